//! A database that lets nobody in: at the start that is final where no retry can help; later it is
//! an outage like others.

use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection};
use serde_json::json;

use crate::program::{PATIENCE, Program, needed, new_database, on_both, run};

/// The URL with another user and password.
fn login_as(database: &str, user: &str, password: &str) -> String {
    let mut url = url::Url::parse(database).unwrap();
    url.set_username(user).unwrap();
    url.set_password(Some(password)).unwrap();
    url.to_string()
}

async fn ends_when_its_login_is_refused(server: &str) {
    let database = new_database(server).await;
    let database = login_as(&database, "nobody_here", "hush-password");
    let mut program = Program::serve(&database, &[], &[]);
    let ended = tokio::time::timeout(PATIENCE / 4, program.end()).await;
    assert_eq!(ended.unwrap(), Some(78), "{}", program.log());
    let args = ["migrate", "status", "--database", &database];
    let output = run(&args);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{told}");
    for told in [program.log(), told] {
        for words in ["nobody_here", "database.url", "correct the user"] {
            assert!(told.contains(words), "{words} in {told}");
        }
        assert!(!told.contains("hush"), "{told}");
    }
}

async fn waits_for_a_database_that_is_not_made_yet(server: &str) {
    let made = new_database(server).await;
    let later = format!("{made}_later");
    let program = Program::serve(&later, &[], &[]);
    program
        .wait_for_log("the database cannot be used yet")
        .await;
    let name = later.rsplit('/').next().unwrap();
    let db = Database::connect(&made).await.unwrap();
    db.execute_unprepared(&format!("CREATE DATABASE {name}"))
        .await
        .unwrap();
    db.close().await.unwrap();
    program.wait_for_status("/readyz", 200).await;
}

async fn run_all(db: &DatabaseConnection, statements: &[String]) {
    for statement in statements {
        db.execute_unprepared(statement).await.unwrap();
    }
}

async fn goes_on_when_its_login_is_refused_later(server: &str) {
    let database = new_database(server).await;
    let user = format!("u{}", &uuid::Uuid::now_v7().simple().to_string()[12..]);
    let name = database.rsplit('/').next().unwrap();
    let is_mysql = server.starts_with("mysql");
    let (allow, forbid, back) = if is_mysql {
        let account = format!("{user}@127.0.0.1");
        let password = |word| format!("ALTER USER {account} IDENTIFIED BY '{word}'");
        (
            vec![
                format!("CREATE USER {account} IDENTIFIED BY 'hush-1'"),
                format!("GRANT ALL ON {name}.* TO {account}"),
            ],
            vec![password("hush-2"), format!("KILL USER {user}")],
            vec![password("hush-1"), format!("DROP USER {account}")],
        )
    } else {
        (
            vec![
                format!("CREATE ROLE {user} LOGIN"),
                format!("ALTER DATABASE {name} OWNER TO {user}"),
                format!("ALTER SCHEMA public OWNER TO {user}"),
            ],
            vec![
                format!("ALTER ROLE {user} NOLOGIN"),
                format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{user}'"
                ),
            ],
            vec![
                format!("ALTER ROLE {user} LOGIN"),
                format!("ALTER DATABASE {name} OWNER TO postgres"),
            ],
        )
    };
    let admin = Database::connect(&database).await.unwrap();
    run_all(&admin, &allow).await;
    let database = login_as(&database, &user, "hush-1");
    let program = Program::ready(&database, &[]).await;
    program.post("/api/realm", &json!({"id": "r"})).await;
    run_all(&admin, &forbid).await;
    program.wait_for_status("/readyz?strict=1", 503).await;
    run_all(&admin, &back[..1]).await;
    program.wait_for_status("/readyz?strict=1", 200).await;
    assert_eq!(program.get("/api/realm/r").await.0, 200);
    assert!(!program.log().contains("hush"), "{}", program.log());
    drop(program);
    run_all(&admin, &back[1..]).await;
    admin.close().await.unwrap();
}

on_both! {
    ends_when_its_login_is_refused:
        a_login_that_mariadb_refuses_ends_the_start, a_login_that_postgresql_refuses_ends_the_start;
    waits_for_a_database_that_is_not_made_yet:
        a_database_missing_in_mariadb_is_waited_for, a_database_missing_in_postgresql_is_waited_for;
    goes_on_when_its_login_is_refused_later:
        a_login_that_mariadb_refuses_later_is_an_outage, a_login_that_postgresql_refuses_later_is_an_outage;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_ends_the_start() {
    let Some(server) = needed("TEST_MYSQL_URL") else {
        return;
    };
    let database = login_as(&new_database(&server).await, "root", "hush-password");
    let mut program = Program::serve(&database, &[], &[]);
    assert_eq!(program.end().await, Some(78));
    let told = program.log();
    assert!(told.contains("Access denied for user 'root'"), "{told}");
    assert!(!told.contains("hush"), "{told}");
}
