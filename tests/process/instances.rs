//! Several processes on one database.

use serde_json::json;

use crate::faulty_provider::{Fault, FaultyProvider};
use crate::program::{Program, needed, new_database};

async fn three_processes_ask_once(server: &str) {
    let database = new_database(server).await;
    // Started at the same moment on an empty database: one migrates, the others wait for it.
    let programs: Vec<_> = (0..3)
        .map(|_| Program::serve(&database, &[], &[]))
        .collect();
    for program in &programs {
        program.wait_for_status("/readyz", 200).await;
    }
    let provider = FaultyProvider::start().await;
    let realm = json!({"id": "r", "config": {"url": provider.url(), "method": "GET", "token_path": "access_token",
        "expires_in_path": "expires_in"}});
    programs[0].post("/api/realm", &realm).await;
    programs[1]
        .post("/api/secret", &json!({"realm": "r", "key": "k"}))
        .await;

    provider.script(Fault::HoldThenJson(
        json!({"access_token": "t-1", "expires_in": 7200}),
    ));
    let asks = programs
        .iter()
        .flat_map(|program| (0..50).map(|_| program.token()));
    let (answers, ()) = tokio::join!(futures_util::future::join_all(asks), async {
        provider.wait_for_calls(1).await;
        provider.release();
    });
    assert!(
        answers
            .iter()
            .all(|(status, answer)| *status == 200 && answer["token"] == "t-1"),
        "{answers:?}"
    );
    assert_eq!(provider.calls(), 1, "150 callers of 3 processes");

    // An edit at one is followed by the others.
    provider.script(Fault::Json(
        json!({"access_token": "t-2", "expires_in": 7200}),
    ));
    programs[2]
        .post(
            "/api/secret",
            &json!({"realm": "r", "key": "k", "key_1": "edited"}),
        )
        .await;
    for program in &programs {
        wait_for_token(program, "t-2").await;
    }
    assert_eq!(provider.calls(), 2);
}

async fn wait_for_token(program: &Program, token: &str) {
    for _ in 0..600 {
        if program.token().await.1["token"] == token {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the edit is not followed: {}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_on_mariadb_ask_once() {
    if let Some(server) = needed("TEST_MYSQL_URL") {
        three_processes_ask_once(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_on_postgresql_ask_once() {
    if let Some(server) = needed("TEST_POSTGRES_URL") {
        three_processes_ask_once(&server).await;
    }
}
