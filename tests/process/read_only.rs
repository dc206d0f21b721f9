//! A database that answers and refuses to write, as a replica does after a failover.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::faulty_provider::{Fault, FaultyProvider};
use crate::program::{PATIENCE, Program, needed, new_database};
use crate::servers::{Server, mariadb};

/// A database, and how an administrator sees it.
struct Place {
    admin: DatabaseConnection,
    /// As the program connects.
    url: String,
    /// Makes it refuse writes, in the sessions that are open too.
    refuse: Vec<String>,
    /// Makes it take writes, in sessions that are opened from now on.
    allow: Vec<String>,
    /// The numbers of the program's sessions, in a column `id`.
    sessions: String,
}

impl Place {
    async fn of_mariadb(server: &Server) -> Self {
        let url = |user| format!("mysql://{user}:hush@127.0.0.1:{}/ts", server.port);
        Self {
            // An administrator may write to a read-only server; the program's user may not.
            admin: server.ready(&url("plain")).await,
            url: url("app"),
            refuse: vec!["SET GLOBAL read_only = 1".to_owned()],
            allow: vec!["SET GLOBAL read_only = 0".to_owned()],
            sessions: "SELECT CAST(id AS SIGNED) AS id FROM information_schema.processlist \
                       WHERE user = 'app'"
                .to_owned(),
        }
    }

    async fn of_postgresql(server: &str) -> Self {
        let url = new_database(server).await;
        let name = url.rsplit('/').next().unwrap().to_owned();
        let admin = sea_orm::Database::connect(format!("{server}/postgres"))
            .await
            .unwrap();
        let sessions = format!("FROM pg_stat_activity WHERE datname = '{name}'");
        let set =
            |value| format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}");
        Self {
            admin,
            url,
            refuse: vec![
                set("on"),
                format!("SELECT pg_terminate_backend(pid) {sessions}"),
            ],
            allow: vec![set("off")],
            sessions: format!("SELECT CAST(pid AS BIGINT) AS id {sessions}"),
        }
    }

    async fn run(&self, statements: &[String]) {
        for statement in statements {
            self.admin.execute_unprepared(statement).await.unwrap();
        }
    }

    async fn sessions(&self) -> BTreeSet<i64> {
        let statement =
            Statement::from_string(self.admin.get_database_backend(), self.sessions.clone());
        let rows = self.admin.query_all_raw(statement).await.unwrap();
        rows.iter()
            .map(|row| row.try_get("", "id").unwrap())
            .collect()
    }
}

async fn ask(program: &Program, key: &str) -> (u16, Value) {
    program.get(&format!("/api/token?realm=r&key={key}")).await
}

async fn says_so_and_heals(place: Place) {
    let program = Program::ready(&place.url, &[]).await;
    let provider = FaultyProvider::start().await;
    provider.script(Fault::Json(
        json!({"access_token": "t-1", "expires_in": 7200}),
    ));
    let realm = json!({"id": "r", "config": {"url": provider.url(), "method": "GET",
        "token_path": "access_token", "expires_in_path": "expires_in"}});
    program.post("/api/realm", &realm).await;
    for key in ["k", "other"] {
        program
            .post("/api/secret", &json!({"realm": "r", "key": key}))
            .await;
    }
    assert_eq!(program.token().await.1["token"], "t-1");

    place.run(&place.refuse).await;
    let refused = async {
        loop {
            // A session that was ended is told as such at first.
            let (status, problem) = ask(&program, "other").await;
            if problem["detail"].to_string().contains("refuses to write") {
                return (status, problem);
            }
        }
    };
    let (status, problem) = timeout(PATIENCE, refused).await.unwrap();
    assert_eq!(
        (status, &problem["code"]),
        (503, &json!("store_unavailable"))
    );
    let degraded = program.wait_for_status("/readyz?strict=1", 503).await;
    assert_eq!(degraded["status"], "degraded");
    let reason = degraded["reasons"][0].as_str().unwrap();
    assert!(reason.contains("has refused to write since"), "{reason}");
    assert!(reason.contains("read-only"), "{reason}");
    assert_eq!(program.get("/readyz").await.0, 200);
    assert_eq!(program.token().await.1["token"], "t-1", "the held one");
    let before = place.sessions().await;
    let replaced = async {
        while !place.sessions().await.is_disjoint(&before) {
            // Each look tries to write, and its connection is replaced.
            ask(&program, "other").await;
        }
    };
    timeout(PATIENCE, replaced).await.unwrap();

    place.run(&place.allow).await;
    program.wait_for_status("/readyz?strict=1", 200).await;
    assert_eq!(ask(&program, "other").await.1["token"], "t-1");
    assert_eq!(provider.calls(), 2, "none whose token could not be stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_that_refuses_writes_is_told_and_its_connections_are_replaced() {
    // The server as a whole is made read-only: it is not the one that other tests share.
    if let Some(server) = mariadb() {
        says_so_and_heals(Place::of_mariadb(&server).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_refuses_writes_is_told_and_its_connections_are_replaced() {
    if let Some(server) = needed("TEST_POSTGRES_URL") {
        says_so_and_heals(Place::of_postgresql(&server).await).await;
    }
}
