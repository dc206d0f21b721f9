//! A marked value is put wherever a definition can put one, and looked for in all that is told.

use serde_json::{Value, json};

use crate::faulty_provider::Fault;
use crate::harness::{Server, World, good};

const MARK: &str = "S3cr3t/Pässw0rd+with=odd~chars";

/// What of the mark nobody may see, as it is or in hex.
const PARTS: [&str; 5] = ["S3cr3t", "ssw0rd", "53336372", "5333:6372", "UzNjcjN0"];

fn assert_unmarked(told: &Value, by: &str) {
    let text = told.to_string();
    for part in PARTS {
        assert!(!text.contains(part), "{by}: {text}");
    }
}

/// Realm `base` with the marked secret `app`.
async fn marked(world: &World) -> Server {
    let server = world.serve().await;
    let config = json!({"inputs": {"client_id": {}, "client_secret": {"secret": true}},
        "requests": [{"url": world.provider.url(), "form": {"id": "{{ client_id }}", "secret": "{{ client_secret }}"}}],
        "token": "$.access_token", "expires": {"path": "$.expires_in"}});
    save(&server, "base", &config).await;
    let credentials = json!({"client_id": "an-id", "client_secret": MARK});
    server
        .post(
            "/api/secret",
            &json!({"realm": "base", "key": "app", "credentials": credentials}),
        )
        .await
        .ok();
    server
}

async fn save(server: &Server, id: &str, config: &Value) {
    server
        .post("/api/realm", &json!({"id": id, "config": config, "confirm_hosts": ["127.0.0.1", "{{ client_secret }}"]}))
        .await
        .ok();
}

/// Definitions by which a trial once told the credential.
fn ways(url: &str) -> Vec<(&'static str, Value)> {
    let inputs = json!({"client_id": {}, "client_secret": {"secret": true}});
    let whole = json!({"v": "{{ client_secret }}"});
    vec![
        (
            "a tested value",
            json!({"inputs": inputs, "vars": whole, "requests": [{"url": url}], "token": "$.access_token",
                "success_when": {"path": "var:v", "equals": ["z"]}}),
        ),
        (
            "an expiry",
            json!({"inputs": inputs, "vars": whole, "requests": [{"url": url}], "token": "$.access_token",
                "expires": {"path": "var:v", "unit": "rfc3339"}}),
        ),
        (
            "declared harmless",
            json!({"inputs": {"client_id": {}, "client_secret": {"secret": false}}, "vars": whole,
                "requests": [{"url": url, "query": {"q": "{{ client_secret }}"}, "headers": {"X-S": "{{ client_secret | hex }}"}}],
                "token": "$.absent", "errors": {"code": "var:v", "message": "var:v"}}),
        ),
        (
            "the name of a base",
            json!({"inputs": inputs, "depends_on": {"t": {"realm": "base", "key": "{{ client_secret }}"}},
                "requests": [{"url": url, "query": {"t": "{{ tokens.t }}"}}], "token": "$.access_token"}),
        ),
        (
            "a refused address",
            json!({"inputs": inputs, "token": "$.access_token",
                "requests": [{"url": "http://[fd00:{{ client_secret | hex | slice(0, 4) }}:{{ client_secret | hex | slice(4, 4) }}::1]/"}]}),
        ),
        (
            "a fingerprint",
            json!({"inputs": inputs, "vars": {"v": "{{ client_secret | slice(0, 2) }}"}, "requests": [], "token": "var:v"}),
        ),
        (
            "short parts",
            json!({"inputs": inputs, "token": "$.access_token", "requests": [{"url": url,
                "json": {"p0": "{{ client_secret | slice(0, 2) }}", "p1": "{{ client_secret | slice(2, 2) }}"}}]}),
        ),
        (
            "an invalid header",
            json!({"inputs": inputs, "token": "$.access_token",
                "requests": [{"url": url, "headers": {"X-S": "{{ client_secret ~ '\n' }}"}}]}),
        ),
        (
            "a URL that is none",
            json!({"inputs": inputs, "token": "$.access_token", "requests": [{"url": "{{ client_secret }}"}]}),
        ),
        (
            "a number that is none",
            json!({"inputs": inputs, "token": "$.access_token", "requests": [{"url": url, "json": {"n": "{{ client_secret | int }}"}}]}),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_with_a_stored_secret_tells_its_structure_only() {
    let world = World::new().await;
    let server = marked(&world).await;
    // The provider repeats what it gets, and more.
    let echo = json!({"access_token": "t-1", "expires_in": 60, "said": MARK, MARK: 1});
    world.provider.script(Fault::Json(echo));
    for (way, config) in ways(&world.provider.url()) {
        let hosts = [
            "127.0.0.1",
            "{{ client_secret }}",
            "[fd00:{{ client_secret | hex | slice(0, 4) }}:{{ client_secret | hex | slice(4, 4) }}::1]",
        ];
        let ask = json!({"realm": "base", "key": "app", "config": config, "confirm_hosts": hosts});
        let reply = server.post("/api/realm/test", &ask).await;
        assert_unmarked(&reply.body, way);
        for finding in reply.body["findings"].as_array().into_iter().flatten() {
            assert!(finding.get("value").is_none(), "{way}: {finding}");
        }
        for member in ["length", "fingerprint", "expires_in"] {
            assert!(
                reply.body["token"].get(member).is_none(),
                "{way}: {}",
                reply.body
            );
        }
    }
    let report = server
        .post("/api/realm/base/test", &json!({"key": "app"}))
        .await
        .ok();
    let step = &report["steps"][0];
    assert_eq!(
        step["request"],
        json!({"method": "POST", "url": world.provider.url(), "query": [], "headers": [],
            "body": {"type": "form", "members": ["id", "secret"]}})
    );
    assert_eq!(
        (
            &step["answer"]["status"],
            &step["answer"]["body"]["access_token"]
        ),
        (&json!(200), &json!("string"))
    );
    assert_eq!(step["answer"]["media_type"], "application/json");
    assert!(step["answer"]["bytes"].is_u64() && step["duration_ms"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_with_a_token_that_was_not_given_tells_its_structure_only() {
    let world = World::new().await;
    let server = marked(&world).await;
    world
        .provider
        .script(Fault::Json(good("a-token-of-another", 7200)));
    let config = json!({"depends_on": {"t": {"realm": "base", "key": "app"}},
        "requests": [{"url": world.provider.url(), "query": {"t": "{{ tokens.t | slice(0, 3) }}"}}], "token": "$.access_token"});
    let mut ask = json!({"config": config});
    let refused = server.post("/api/realm/test", &ask).await;
    assert_eq!(refused.problem(), (409, "hosts_changed"));
    assert_eq!(world.provider.calls(), 0);
    ask["confirm_hosts"] = json!(["127.0.0.1"]);
    let report = server.post("/api/realm/test", &ask).await.ok();
    assert_eq!(report["steps"][0]["request"]["query"], json!(["t"]));
    assert!(report["token"].get("length").is_none(), "{report}");
    ask["tokens"] = json!({"t": "a-given-token"});
    let report = server.post("/api/realm/test", &ask).await.ok();
    assert!(report["token"]["length"].is_u64(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_were_given_are_masked_where_they_are_tested() {
    let world = World::new().await;
    let server = world.serve().await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    for (way, config) in &ways(&world.provider.url())[..2] {
        let ask = json!({"config": config, "inputs": {"client_id": "i", "client_secret": MARK}});
        let report = server.post("/api/realm/test", &ask).await.ok();
        assert_unmarked(&report, way);
        assert!(report["findings"].to_string().contains("***"), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_tells_nothing_that_was_rendered() {
    let world = World::new().await;
    let server = marked(&world).await;
    let echo = json!({"said": MARK});
    world.provider.script(Fault::Json(echo));
    for (number, (way, mut config)) in ways(&world.provider.url()).into_iter().enumerate() {
        // Whoever declares it harmless wants it shown.
        config["inputs"]["client_secret"] = json!({"secret": true});
        let realm = format!("way-{number}");
        save(&server, &realm, &config).await;
        let credentials = json!({"client_id": "an-id", "client_secret": MARK});
        let secret = json!({"realm": realm, "key": "k", "credentials": credentials});
        server.post("/api/secret", &secret).await.ok();
        let token = server
            .get_owned(format!("/api/token?realm={realm}&key=k"))
            .await;
        if way == "a fingerprint" {
            continue;
        }
        assert!(token.status >= 400, "{way}: {token:?}");
        assert_unmarked(&token.body, way);
        let status = server
            .get_owned(format!("/api/secret/k/status?realm={realm}"))
            .await;
        assert_unmarked(&status.body, way);
    }
    assert_unmarked(&server.get("/api/log").await.ok(), "the log of calls");
}
