//! How much memory a provider's answers take.

use serde_json::{Value, json};

use crate::faulty_provider::{Fault, FaultyProvider};
use crate::program::Program;

/// The most that a fetch of ten steps may add, in kilobytes.
const MOST_KB: u64 = 100 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn ten_steps_of_a_megabyte_of_empty_objects_take_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("t.db").display());
    // As much in each of ten responses as the default allows in one.
    let settings = [
        ("TOKEN_SERVER__UPSTREAM__ALLOW_NETWORKS", "loopback"),
        ("TOKEN_SERVER__UPSTREAM__MAX_RESPONSE_BYTES", "16777216"),
    ];
    let program = Program::serve(&database, &[], &settings);
    program.wait_for_status("/readyz", 200).await;
    let provider = FaultyProvider::start().await;
    let steps = vec![json!({"url": provider.url(), "success_when": {"status": 200}}); 10];
    let config = json!({"requests": steps, "vars": {"v": "{{ steps[8].body.a[0] | json }}"},
        "token": "$.access_token", "outputs": {"v": "{{ v }}"}, "expires": "never"});
    program
        .post("/api/realm", &json!({"id": "r", "config": config}))
        .await;
    program
        .post("/api/secret", &json!({"realm": "r", "key": "k"}))
        .await;
    let objects: Vec<Value> = vec![json!({}); 349_000];
    provider.script(Fault::Json(json!({"access_token": "t", "a": objects})));
    let before = program.peak_memory_kb();
    let (status, answer) = program.token().await;
    assert_eq!(
        (status, &answer["code"]),
        (502, &json!("upstream_malformed"))
    );
    let grown = program.peak_memory_kb() - before;
    assert!(provider.calls() == 10 && grown < MOST_KB, "{grown} kB");

    // As many values as there may be.
    let objects: Vec<Value> = vec![json!({}); 4_900];
    provider.script(Fault::Json(json!({"access_token": "t", "a": objects})));
    program
        .post("/api/secret", &json!({"realm": "r", "key": "k2"}))
        .await;
    let (status, answer) = program.get("/api/token?realm=r&key=k2").await;
    assert_eq!((status, &answer["outputs"]["v"]), (200, &json!("{}")));
    let grown = program.peak_memory_kb() - before;
    assert!(grown < MOST_KB, "{grown} kB");
}
