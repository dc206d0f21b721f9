//! What runs may cost those who are served, and the machine.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::faulty_provider::Fault;
use crate::harness::{Server, World, good};

fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
    }
    text + &format!("-----END {label}-----\n")
}

fn rsa_key() -> String {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    let key = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    pem("PRIVATE KEY", der.as_ref())
}

/// After a request that all wait for, as much work as a run may have, and more: the chain of
/// signatures of a security review, and as many bytes as filters may touch.
fn costly(url: &str) -> Value {
    let chain = |start: &str, filter: &str, times: usize| {
        (0..times).fold(start.to_owned(), |text, _| text + " | " + filter)
    };
    let mut vars = json!({"long": "{{ t ~ steps[0].body.access_token }}"});
    for number in 0..60 {
        vars[format!("v{number}")] = format!("{{{{ {} }}}}", chain("long", "urlencode", 30)).into();
    }
    vars["signed"] = format!("{{{{ {} | hex }}}}", chain("long", "rsa_sha512(k)", 19)).into();
    let names: Vec<_> = (0..50).map(|number| format!("v{number}")).collect();
    vars["worked_out"] = format!("{{{{ signed ~ {} }}}}", names.join(" ~ ")).into();
    json!({"inputs": {"k": {}, "t": {}}, "vars": vars, "requests": [{"url": url}],
        "token": "var:worked_out", "expires": "never"})
}

#[expect(
    clippy::disallowed_methods,
    reason = "callers of their own; the test waits for them"
)]
fn begin_trials(server: &Arc<Server>, ask: &Value, count: usize) -> Vec<JoinHandle<Value>> {
    let begin = |_| {
        let (server, ask) = (Arc::clone(server), ask.clone());
        tokio::task::spawn(async move { server.post("/api/realm/test", &ask).await.ok() })
    };
    (0..count).map(begin).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_token_is_answered_while_two_costly_trials_compute() {
    let world = World::new().await;
    let server = Arc::new(world.serve_realm().await);
    world.provider.script(Fault::Json(good("held", 7200)));
    server.token().await.ok();
    world.provider.script(Fault::HoldThenJson(good("t", 7200)));
    let ask = json!({"config": costly(&world.provider.url()), "inputs": {"k": rsa_key(), "t": "x".repeat(30_000)}});
    let trials = begin_trials(&server, &ask, 2);
    world.provider.wait_for_calls(3).await;
    world.provider.release();
    let mut answered_meanwhile = 0;
    while trials.iter().any(|trial| !trial.is_finished()) {
        assert_eq!(server.token().await.ok()["token"], "held");
        answered_meanwhile += usize::from(trials.iter().all(|trial| !trial.is_finished()));
    }
    assert!(answered_meanwhile >= 20, "{answered_meanwhile}");
    for trial in trials {
        let report = trial.await.unwrap();
        assert_eq!(report["error"]["class"], "config", "{report}");
        assert!(report.to_string().contains("16 MiB"), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifth_trial_at_once_is_refused() {
    let world = World::new().await;
    let server = Arc::new(world.serve().await);
    world.provider.script(Fault::HoldThenJson(good("t", 7200)));
    let config = json!({"requests": [{"url": world.provider.url()}], "token": "$.access_token", "expires": "never"});
    let ask = json!({"config": config});
    let trials = begin_trials(&server, &ask, 4);
    world.provider.wait_for_calls(4).await;
    let fifth = server.post("/api/realm/test", &ask).await;
    assert_eq!(fifth.problem(), (429, "too_many_trials"));
    assert_eq!(fifth.headers["retry-after"], "1");
    world.provider.release();
    for trial in trials {
        assert_eq!(trial.await.unwrap()["success"], true);
    }
    world.provider.script(Fault::Json(good("t", 7200)));
    let again = server.post("/api/realm/test", &ask).await.ok();
    assert_eq!(again["success"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rsa_key_of_more_than_4096_bits_is_not_saved() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let key = pem(
        "RSA PRIVATE KEY",
        include_bytes!("../language/rsa-8192.der"),
    );
    let secret = json!({"realm": "r", "key": "long", "credentials": {"private_key": key}});
    let refused = server.post("/api/secret", &secret).await;
    assert_eq!(
        (refused.status, refused.places()),
        (400, vec!["/credentials/private_key"])
    );
    let text = refused.body.to_string();
    assert!(text.contains("more than 4096 bits"), "{text}");
}
