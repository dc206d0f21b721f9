//! The process is stopped (a signal, a frozen function, a pause of the machine) while an answer is
//! under way, for longer than the fetch may take.

use std::time::Duration;

use serde_json::{Value, json};

use crate::faulty_provider::{Fault, FaultyProvider};
use crate::program::{Program, needed, new_database};

/// Longer than the fetch and its lease.
const STOPPED_FOR: Duration = Duration::from_secs(4);
const TIMEOUT: (&str, &str) = ("TOKEN_SERVER__UPSTREAM__TIMEOUT_SECONDS", "1");

/// A server with a realm of this config and secret `k`, and its provider, which holds its answers.
async fn serve(database: &str, config: impl Fn(&str) -> Value) -> (Program, FaultyProvider) {
    let program = Program::serve(database, &[], &[TIMEOUT]);
    program.wait_for_status("/readyz", 200).await;
    let provider = FaultyProvider::start().await;
    let realm = json!({"id": "r", "config": config(&provider.url())});
    program.post("/api/realm", &realm).await;
    let secret = json!({"realm": "r", "key": "k", "credentials": {"refresh_token": "r-0"}});
    program.post("/api/secret", &secret).await;
    (program, provider)
}

/// Asks, and stops the process between the request and its answer.
async fn ask_across_a_stop(program: &Program, provider: &FaultyProvider) -> (u16, Value) {
    let stop = async {
        provider.wait_for_calls(1).await;
        program.signal("STOP");
        provider.release();
        tokio::time::sleep(STOPPED_FOR).await;
        program.signal("CONT");
    };
    let ask = program.token();
    tokio::join!(ask, stop).0
}

fn rotating(url: &str) -> Value {
    json!({"inputs": {"refresh_token": {"from": "rotating"}},
        "requests": [{"url": url, "form": {"refresh_token": "{{ refresh_token }}"}}],
        "token": "$.access_token", "expires": {"path": "$.expires_in"},
        "save": {"refresh_token": "$.refresh_token"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_came_while_the_process_was_stopped_is_stored_and_its_token_handed_out() {
    let Some(server) = needed("TEST_POSTGRES_URL") else {
        return;
    };
    let (program, provider) = serve(&new_database(&server).await, rotating).await;
    provider.script(Fault::HoldThenJson(
        json!({"access_token": "t-1", "expires_in": 7200, "refresh_token": "r-1"}),
    ));
    let (status, answer) = ask_across_a_stop(&program, &provider).await;
    assert_eq!((status, &answer["token"]), (200, &json!("t-1")), "{answer}");
    let grant = program.get("/api/secret/k/status?realm=r").await.1["grant"].clone();
    assert_eq!(
        (&grant["state"], &grant["generation"]),
        (&json!("held"), &json!(1)),
        "{grant}"
    );
    assert_eq!(provider.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_came_while_the_process_was_stopped_is_not_fetched_again() {
    let Some(server) = needed("TEST_MYSQL_URL") else {
        return;
    };
    let plain = |url: &str| {
        json!({"url": url, "method": "GET", "token_path": "access_token",
            "expires_in_path": "expires_in"})
    };
    let (program, provider) = serve(&new_database(&server).await, plain).await;
    provider.script(Fault::HoldThenJson(
        json!({"access_token": "t-1", "expires_in": 7200}),
    ));
    let (status, answer) = ask_across_a_stop(&program, &provider).await;
    assert_eq!((status, &answer["token"]), (200, &json!("t-1")), "{answer}");
    assert_eq!(provider.calls(), 1);
}
