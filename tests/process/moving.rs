//! Moving from the inherited service: the server runs before the switch, on what was imported.

use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection};
use serde_json::{Value, json};

use crate::faulty_provider::{Fault, FaultyProvider};
use crate::program::{Program, needed, new_database, output_of};

/// Looks through the database for due tokens often.
const OFTEN: (&str, &str) = ("TOKEN_SERVER__RENEWAL__SWEEP_INTERVAL_SECONDS", "0.2");

/// An inherited database with two secrets whose tokens were fetched an hour ago.
async fn inherited(server: &str, provider: &FaultyProvider) -> (DatabaseConnection, String) {
    let url = new_database(server).await;
    let db = Database::connect(&url).await.unwrap();
    let config = json!({"url": provider.url(), "method": "GET", "content_type": "json",
        "arguments": [{"name": "appid", "place": "url", "value": "$key_1"}],
        "token_path": "access_token", "expires_in_path": "expires_in"});
    for statement in [
        "CREATE TABLE realm (id VARCHAR(50) PRIMARY KEY, config JSON, logic_code VARCHAR(5000))".to_owned(),
        "CREATE TABLE secret (`key` VARCHAR(200), realm VARCHAR(50), key_1 VARCHAR(200), token TEXT,
         expires_at BIGINT, PRIMARY KEY (`key`, realm))"
            .to_owned(),
        format!("INSERT INTO realm VALUES ('wxgzh', '{config}', NULL)"),
        "INSERT INTO secret SELECT k, 'wxgzh', k, CONCAT('production-', k), (UNIX_TIMESTAMP() + 3600) * 1000
         FROM (SELECT 'app' AS k UNION SELECT 'other') AS names"
            .to_owned(),
    ] {
        db.execute_unprepared(&statement).await.unwrap();
    }
    (db, url)
}

fn import(from: &str, into: &str, more: &[&str]) -> Value {
    let args = ["import", "--from", from, "--database", into];
    let args = [&args[..], &["--output", "json"], more].concat();
    serde_json::from_str(&output_of(&args)).unwrap()
}

/// As if so many seconds had passed since the import.
async fn let_pass(db: &DatabaseConnection, seconds: i64) {
    let ms = seconds * 1000;
    db.execute_unprepared(&format!(
        "UPDATE ts_token SET obtained_at = obtained_at - {ms}, due_at = due_at - {ms}, expires_at = expires_at - {ms},
         last_asked_at = last_asked_at - {ms}"
    ))
    .await
    .unwrap();
}

/// A secret of this server's own, whose tokens live for two seconds. Each renewal after the first
/// shows that the refresher has looked through the database since the one before.
async fn heartbeat(program: &Program) -> FaultyProvider {
    let provider = FaultyProvider::start().await;
    provider.script(Fault::Json(json!({"access_token": "own", "expires_in": 2})));
    let realm = json!({"id": "r", "config": {"url": provider.url(), "method": "GET",
        "token_path": "access_token", "expires_in_path": "expires_in", "policy": {"refresh_ahead": "50%"}}});
    program.post("/api/realm", &realm).await;
    program
        .post("/api/secret", &json!({"realm": "r", "key": "k"}))
        .await;
    assert_eq!(program.token().await.1["token"], "own");
    provider
}

/// Waits until the refresher has looked again, whatever it was at.
async fn until_passed_by(heartbeat: &FaultyProvider) {
    // What others left due is renewed two seconds later than what is one's own.
    heartbeat.wait_for_calls(heartbeat.calls() + 3).await;
}

/// Waits until the token of production has expired, which nobody has asked for here.
async fn until_expired(program: &Program, provider: &FaultyProvider) {
    let path = "/api/secret/app/status?realm=wxgzh";
    while program.get(path).await.1["state"] != "expired" {
        assert_eq!(provider.calls(), 0, "nobody has asked");
    }
}

async fn ask(program: &Program) -> Value {
    program.get("/api/token?realm=wxgzh&key=app").await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_before_the_switch_leaves_the_tokens_of_production_alone() {
    let Some(server) = needed("TEST_MYSQL_URL") else {
        return;
    };
    let provider = FaultyProvider::start().await;
    provider.script(Fault::Json(
        json!({"access_token": "t-1", "expires_in": 7200}),
    ));
    let (there, from) = inherited(&server, &provider).await;
    let here = new_database(&server).await;
    let report = import(&from, &here, &[]);
    assert_eq!(report["tokens"]["taken"], 2, "{report}");
    let db = Database::connect(&here).await.unwrap();
    let_pass(&db, 3597).await;

    let program = Program::serve(&here, &[], &[OFTEN]);
    program.wait_for_status("/readyz", 200).await;
    let heartbeat = heartbeat(&program).await;
    until_expired(&program, &provider).await;
    until_passed_by(&heartbeat).await;
    // A sweep on call leaves them alone, too.
    program.post("/api/cron/refresh", &json!({})).await;
    assert_eq!(provider.calls(), 0, "nobody has asked");

    let asks = futures_util::future::join_all((0..10).map(|_| ask(&program)));
    for answer in asks.await {
        assert_eq!(answer["token"], "t-1", "{answer}");
    }
    until_passed_by(&heartbeat).await;
    let asked: Vec<_> = provider
        .requests()
        .into_iter()
        .map(|request| request.path_and_query)
        .collect();
    assert_eq!(asked, ["/token?appid=app"], "once, and for none but this");

    // At the switch, what has a live token here is taken care of from then on.
    let switched = import(&from, &here, &["--switched"]);
    assert_eq!(switched["switched"], 1, "{switched}");
    for db in [there, db] {
        db.close().await.unwrap();
    }
}
