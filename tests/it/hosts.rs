//! Where a credential may go.

use serde_json::{Value, json};

use crate::faulty_provider::Fault;
use crate::harness::{Reply, Server, World, good};

fn realm(id: &str, url: &str) -> Value {
    json!({"id": id, "config": {"inputs": {"secret": {}, "tenant": {"secret": false, "default": "t.example"}},
        "requests": [{"url": url, "headers": {"X-S": "{{ secret }}"}}], "token": "$.access_token", "expires": "never"}})
}

async fn save(server: &Server, realm: &Value) -> Reply {
    server.post("/api/realm", realm).await
}

async fn store(server: &Server, realm: &str, credentials: Value) -> Reply {
    let secret = json!({"realm": realm, "key": "k", "credentials": credentials});
    server.post("/api/secret", &secret).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_realm_with_secrets_gets_another_host_only_if_it_is_confirmed() {
    let world = World::new().await;
    let server = world.serve().await;
    save(&server, &realm("r", "https://a.example/x")).await.ok();
    save(&server, &realm("r", "https://b.example/x")).await.ok();
    store(&server, "r", json!({"secret": "s-1"})).await.ok();
    save(&server, &realm("r", "https://b.example/other"))
        .await
        .ok();
    for url in [
        "https://evil.example/x",
        "http://b.example/x",
        "https://b.example:8443/x",
        "https://{{ tenant }}/x",
    ] {
        let refused = save(&server, &realm("r", url)).await;
        assert_eq!(refused.problem(), (409, "hosts_changed"), "{url}");
        assert_eq!(refused.body["old_hosts"], json!(["https://b.example"]));
        assert_eq!(refused.body["new_hosts"].as_array().unwrap().len(), 1);
        let stored = server.get("/api/realm/r").await.ok();
        assert_eq!(
            stored["config"]["requests"][0]["url"], "https://b.example/other",
            "nothing is saved"
        );
    }
    // A function is a host too.
    let function = json!({"id": "r", "config": null, "logic_code": "https://evil.example/fn"});
    assert_eq!(
        save(&server, &function).await.problem(),
        (409, "hosts_changed")
    );
    // So is what answers may name.
    let mut hosts = realm("r", "https://b.example/other");
    hosts["config"]["hosts"] = json!(["*.evil.example"]);
    assert_eq!(
        save(&server, &hosts).await.problem(),
        (409, "hosts_changed")
    );
    let mut confirmed = realm("r", "https://c.example/x");
    confirmed["confirm_hosts"] = json!(["other.example"]);
    assert_eq!(
        save(&server, &confirmed).await.problem(),
        (409, "hosts_changed")
    );
    confirmed["confirm_hosts"] = json!(["c.example"]);
    save(&server, &confirmed).await.ok();
    confirmed["confirm_hosts"] = json!("c.example");
    assert_eq!(save(&server, &confirmed).await.places(), ["/confirm_hosts"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_realm_uses_tokens_of_another_only_with_its_hosts_confirmed() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    for (name, key) in [("written", "k"), ("named", "{{ which }}")] {
        let mut borrowing = json!({"id": name, "config": {"inputs": {"which": {"required": false}},
            "depends_on": {"t": {"realm": "r", "key": key}}, "token": "$.t",
            "requests": [{"url": "https://elsewhere.example/", "headers": {"X-T": "{{ tokens.t }}"}}]}});
        let refused = save(&server, &borrowing).await;
        assert_eq!(refused.problem(), (409, "hosts_changed"), "{name}");
        assert_eq!(
            (&refused.body["old_hosts"], &refused.body["new_hosts"]),
            (&json!([]), &json!(["https://elsewhere.example"]))
        );
        borrowing["confirm_hosts"] = json!(["elsewhere.example"]);
        save(&server, &borrowing).await.ok();
        borrowing["confirm_hosts"] = json!([]);
        save(&server, &borrowing).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_names_the_host_changes_with_all_secret_inputs() {
    let world = World::new().await;
    let server = world.serve().await;
    save(&server, &realm("r", "https://{{ tenant }}/x"))
        .await
        .ok();
    let at_a = json!({"tenant": "a.example", "secret": "s-1"});
    store(&server, "r", at_a.clone()).await.ok();
    store(&server, "r", json!({"secret": "s-2"})).await.ok();
    store(&server, "r", json!({"tenant": "a.example"}))
        .await
        .ok();
    for credentials in [
        json!({"tenant": "evil.example"}),
        json!({"tenant": "evil.example", "secret": "******************"}),
        json!({"tenant": null}),
    ] {
        let refused = store(&server, "r", credentials.clone()).await;
        assert_eq!(refused.status, 400, "{credentials}");
        assert_eq!(refused.places(), ["/credentials/secret"], "{credentials}");
    }
    let next =
        json!({"realm": "r", "key": "k", "next": {"credentials": {"tenant": "evil.example"}}});
    let refused = server.post("/api/secret", &next).await;
    assert_eq!(refused.places(), ["/next/credentials/secret"]);
    store(
        &server,
        "r",
        json!({"tenant": "b.example", "secret": "s-3"}),
    )
    .await
    .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_sends_what_is_stored_only_where_the_saved_realm_does() {
    let world = World::new().await;
    let server = world.serve().await;
    world.provider.script(Fault::Json(good("t", 60)));
    save(&server, &realm("r", &world.provider.url())).await.ok();
    store(&server, "r", json!({"secret": "s-1"})).await.ok();
    let elsewhere = world.provider.url().replace("127.0.0.1", "localhost");
    let tried = |url: &str| json!({"realm": "r", "key": "k", "config": realm("r", url)["config"]});
    let refused = server.post("/api/realm/test", &tried(&elsewhere)).await;
    assert_eq!(refused.problem(), (409, "hosts_changed"));
    assert_eq!(world.provider.calls(), 0);
    let mut confirmed = tried(&elsewhere);
    confirmed["confirm_hosts"] = json!(["localhost"]);
    server.post("/api/realm/test", &confirmed).await.ok();
    let same = tried(&world.provider.url());
    server.post("/api/realm/test", &same).await.ok();
    server
        .post("/api/realm/r/test", &json!({"key": "k"}))
        .await
        .ok();
    assert_eq!(world.provider.calls(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_does_not_follow_a_secret_to_another_host() {
    let world = World::new().await;
    let server = world.serve().await;
    let config = json!({"inputs": {"tenant": {"secret": false}, "ticket": {"from": "pushed"},
            "zone": {"from": "pushed", "secret": false}, "note": {"secret": false, "required": false}},
        "requests": [{"url": "https://{{ tenant }}/x", "headers": {"X-T": "{{ ticket }}{{ zone }}"}}], "token": "$.t"});
    save(&server, &json!({"id": "r", "config": config}))
        .await
        .ok();
    store(&server, "r", json!({"tenant": "a.example"}))
        .await
        .ok();
    for (name, version) in [("ticket", 1), ("zone", 2)] {
        let path = format!("/api/secret/k/inputs/{name}?realm=r");
        let value = json!({"value": "pushed-value"});
        let reply = server.put(&path, &value).await;
        assert_eq!(reply.ok()["pushed_version"], version);
    }
    let kept = store(&server, "r", json!({"tenant": "a.example", "note": "x"})).await;
    assert_eq!(kept.ok()["warnings"], json!(null), "nothing moved");
    let next = json!({"realm": "r", "key": "k", "next": {"credentials": {"tenant": "b.example"}}});
    let refused = server.post("/api/secret", &next).await;
    assert_eq!(refused.places(), ["/next/credentials/note", "/next"]);
    let moved = store(&server, "r", json!({"tenant": "b.example", "note": "x"})).await;
    let warnings = moved.ok()["warnings"].to_string();
    assert!(
        warnings.contains("dropped") && warnings.contains(": ticket, zone;"),
        "{warnings}"
    );
    assert!(
        warnings.contains("/inputs/ticket") && warnings.contains("/inputs/zone"),
        "{warnings}"
    );
    let token = server.get("/api/token?realm=r&key=k").await;
    assert_eq!(token.problem(), (503, "config"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_definition_stops_calling_secret_does_not_go_elsewhere_alone() {
    let world = World::new().await;
    let server = world.serve().await;
    let mut open = realm("r", "https://{{ tenant }}/x");
    save(&server, &open).await.ok();
    store(
        &server,
        "r",
        json!({"tenant": "a.example", "secret": "s-1"}),
    )
    .await
    .ok();
    open["config"]["inputs"]["secret"] = json!({"secret": false});
    save(&server, &open).await.ok();
    let refused = store(&server, "r", json!({"tenant": "evil.example"})).await;
    assert_eq!(refused.places(), ["/credentials/secret"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_realm_that_uses_tokens_of_another_gets_another_host_only_if_it_is_confirmed() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let mut borrowing = json!({"id": "b", "confirm_hosts": ["a.example"], "config": {
        "depends_on": {"t": {"realm": "r", "key": "k"}}, "token": "$.t",
        "requests": [{"url": "https://a.example/", "headers": {"X-T": "{{ tokens.t }}"}}]}});
    save(&server, &borrowing).await.ok();
    borrowing["config"]["requests"][0]["url"] = json!("https://evil.example/");
    let refused = save(&server, &borrowing).await;
    assert_eq!(
        refused.problem(),
        (409, "hosts_changed"),
        "it has no secrets"
    );
    borrowing["confirm_hosts"] = json!(["evil.example"]);
    save(&server, &borrowing).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn given_inputs_of_a_trial_do_not_say_where_a_stored_token_goes() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t", 60)));
    let url = url::Url::parse(&world.provider.url()).unwrap();
    let host = format!("127.0.0.1:{}", url.port().unwrap());
    let borrowing = json!({"id": "b", "confirm_hosts": ["{{ base }}", host], "config": {"hosts": [host],
        "inputs": {"base": {"secret": false}, "which": {"secret": false, "default": "k"}},
        "depends_on": {"t": {"realm": "r", "key": "{{ which }}"}}, "token": "$.access_token", "expires": "never",
        "requests": [{"url": "{{ base }}", "headers": {"X-T": "{{ tokens.t }}"}}]}});
    save(&server, &borrowing).await.ok();
    let mut asked = json!({"inputs": {"base": url.as_str(), "which": "k"}});
    let refused = server.post("/api/realm/b/test", &asked).await;
    assert_eq!(refused.places(), ["/inputs/base", "/inputs/which"]);
    assert_eq!(world.provider.calls(), 0);
    asked["tokens"] = json!({"t": "given"});
    server.post("/api/realm/b/test", &asked).await.ok();
    assert_eq!(world.provider.calls(), 1);
    let secret = json!({"realm": "b", "key": "k", "credentials": {"base": url.as_str()}});
    server.post("/api/secret", &secret).await.ok();
    server
        .post("/api/realm/b/test", &json!({"key": "k"}))
        .await
        .ok();
}
