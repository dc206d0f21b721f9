//! What an API key's scopes keep from it although another secret leads there.

use reqwest::Method;
use serde_json::{Value, json};
use token_server::api_key::Role;

use crate::access::{key, locked};
use crate::faulty_provider::Fault;
use crate::harness::{Reply, Server, World, good};

/// A definition that uses the token of this secret.
fn borrowing(realm: &str, key: &str) -> Value {
    json!({"inputs": {"which": {"secret": false}}, "depends_on": {"base": {"realm": realm, "key": key}},
        "requests": [{"url": "https://t.example/", "query": {"t": "{{ tokens.base }}"}}],
        "token": "$.t", "expires": {"path": "$.e"}})
}

async fn post(server: &Server, key: &str, path: &str, body: &Value) -> Reply {
    server.ask(Method::POST, path, Some(key), Some(body)).await
}

#[tokio::test]
async fn a_realm_depends_only_on_what_the_scopes_of_its_admin_reach() {
    let world = World::new().await;
    let (server, _) = locked(&world).await;
    for (realm, base, scopes, is_allowed) in [
        ("other", "k", &["own:*"][..], false),
        ("other", "k", &["own:*", "other:k"][..], true),
        ("other", "k2", &["own:*", "other:k"][..], false),
        ("other", "{{ which }}", &["own:*", "other:k*"][..], false),
        ("other", "{{ which }}", &["own:*", "other:*"][..], true),
        ("{{ which }}", "k", &["own:*", "other:*"][..], false),
        ("{{ which }}", "k", &["*:*"][..], true),
        ("other", "k", &[][..], true),
    ] {
        let admin = key(&server, Role::Admin, scopes).await;
        let name = format!("{realm}/{base} with {scopes:?}");
        let config = borrowing(realm, base);
        let saving = json!({"id": "own", "config": config, "confirm_hosts": ["t.example"]});
        let saved = post(&server, &admin, "/api/realm", &saving).await;
        let trial =
            json!({"config": config, "inputs": {"which": "k"}, "confirm_hosts": ["t.example"]});
        let tried = post(&server, &admin, "/api/realm/test", &trial).await;
        if is_allowed {
            assert_eq!(saved.status, 200, "{name}: {saved:?}");
            assert_ne!(tried.status, 403, "{name}: {tried:?}");
            continue;
        }
        assert_eq!(saved.problem(), (403, "beyond_scope"), "{name}");
        assert_eq!(tried.problem(), (403, "beyond_scope"), "{name}");
    }
}

#[tokio::test]
async fn a_trial_with_a_given_token_needs_no_scope_for_the_base() {
    let world = World::new().await;
    let (server, _) = locked(&world).await;
    let admin = key(&server, Role::Admin, &["own:*"]).await;
    let mut config = borrowing("other", "k");
    config["requests"][0]["url"] = json!(world.provider.url());
    world
        .provider
        .script(Fault::Json(json!({"t": "x", "e": 60})));
    let trial = json!({"config": config, "inputs": {"which": "k"}, "tokens": {"base": "given"}});
    let tried = post(&server, &admin, "/api/realm/test", &trial).await.ok();
    assert_eq!(tried["success"], true);
}

/// A base whose provider refuses with words of its own, and a secret that needs its token.
async fn with_refused_base(world: &World) -> (Server, String) {
    let (server, admin) = locked(world).await;
    let base = json!({"id": "hidden-base", "config": {
        "requests": [{"url": world.provider.url()}], "token": "$.access_token", "expires": {"path": "$.expires_in"},
        "errors": {"code": "$.errcode", "message": "$.errmsg"}}});
    let ticket = json!({"id": "ticket", "confirm_hosts": ["127.0.0.1"], "config": {
        "depends_on": {"base": {"realm": "hidden-base", "key": "hidden-key"}}, "token": "$.access_token",
        "requests": [{"url": world.provider.url(), "query": {"t": "{{ tokens.base }}"}}], "expires": {"path": "$.expires_in"}}});
    for (path, body) in [
        ("/api/realm", base),
        (
            "/api/secret",
            json!({"realm": "hidden-base", "key": "hidden-key"}),
        ),
        ("/api/realm", ticket),
        ("/api/secret", json!({"realm": "ticket", "key": "t"})),
    ] {
        post(&server, &admin, path, &body).await.ok();
    }
    (server, admin)
}

fn is_silent(reply: &Reply) -> bool {
    let text = reply.body.to_string();
    let told = ["hidden", "40013", "provider-words", "depends_on"];
    !told.iter().any(|words| text.contains(words))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_base_is_told_without_its_name_to_whoever_does_not_reach_it() {
    let world = World::new().await;
    let (server, admin) = with_refused_base(&world).await;
    let refusal = json!({"errcode": 40013, "errmsg": "provider-words"});
    world.provider.script(Fault::Json(refusal));
    let path = "/api/token?realm=ticket&key=t";
    let told = server.ask(Method::GET, path, Some(&admin), None).await;
    assert_eq!(told.body["provider_code"], "40013", "{told:?}");
    assert!(!is_silent(&told), "{told:?}");
    let class = told.problem();
    for (role, scopes) in [
        (Role::App, &["ticket:*"][..]),
        (Role::Edge, &["ticket:*"]),
        (Role::App, &["*:*"]),
    ] {
        let caller = key(&server, role, scopes).await;
        let reply = server.ask(Method::GET, path, Some(&caller), None).await;
        assert_eq!(reply.problem(), class, "{role:?}");
        assert_eq!(
            reply.body["detail"],
            "a token that this one depends on cannot be had"
        );
        assert!(is_silent(&reply), "{reply:?}");
        assert!(reply.body["retry_after"].is_u64(), "{reply:?}");
        for (method, path) in [
            (Method::GET, "/api/secret/t/status?realm=ticket"),
            (Method::POST, "/api/secret/t/renew?realm=ticket"),
        ] {
            let reply = server.ask(method, path, Some(&caller), None).await;
            assert!(is_silent(&reply), "{reply:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_answer_tells_an_app_nothing_of_the_base() {
    let world = World::new().await;
    let (server, admin) = with_refused_base(&world).await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    let path = "/api/token?realm=ticket&key=t";
    server.ask(Method::GET, path, Some(&admin), None).await.ok();
    let gone = "/api/secret/hidden-key?realm=hidden-base";
    server.ask(Method::DELETE, gone, Some(&admin), None).await;
    let forced = format!("{path}&flush=true");
    let told = server.ask(Method::GET, &forced, Some(&admin), None).await;
    let warning = told.ok()["warning"].to_string();
    assert!(warning.contains("hidden-base/hidden-key"), "{warning}");
    let app = key(&server, Role::App, &["ticket:*"]).await;
    for path in [path, &forced] {
        let reply = server.ask(Method::GET, path, Some(&app), None).await;
        assert!(is_silent(&reply), "{reply:?}");
        assert_eq!(
            reply.ok()["warning"],
            "a token that this one depends on cannot be had"
        );
    }
}
