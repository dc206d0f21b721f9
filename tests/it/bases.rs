//! Tokens that are made from other tokens.

use serde_json::{Value, json};

use crate::faulty_provider::{Fault, FaultyProvider};
use crate::harness::{Server, World, good};

/// Realm `ticket`, whose provider is asked with the token of `r`/`k`.
async fn serve_ticket(world: &World, provider: &FaultyProvider) -> Server {
    let server = world.serve_realm().await;
    let realm = json!({"id": "ticket", "confirm_hosts": ["127.0.0.1"], "config": {
        "inputs": {"app": {"secret": false}}, "depends_on": {"base": {"realm": "r", "key": "{{ app }}"}},
        "requests": [{"url": provider.url(), "query": {"access_token": "{{ tokens.base }}"}}],
        "token": "$.ticket", "expires": {"path": "$.expires_in"},
        "errors": {"code": "$.errcode", "dependency": [40001]}}});
    server.post("/api/realm", &realm).await.ok();
    server
        .post(
            "/api/secret",
            &json!({"realm": "ticket", "key": "t", "credentials": {"app": "k"}}),
        )
        .await
        .ok();
    server
}

async fn ticket(server: &Server) -> crate::harness::Reply {
    server.get("/api/token?realm=ticket&key=t").await
}

fn sent(provider: &FaultyProvider) -> Vec<String> {
    provider
        .requests()
        .into_iter()
        .map(|request| request.path_and_query)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cached_token_of_the_base_is_used() {
    let world = World::new().await;
    let tickets = FaultyProvider::start().await;
    let server = serve_ticket(&world, &tickets).await;
    world.provider.script(Fault::Json(good("base-1", 7200)));
    tickets.script(Fault::Json(
        json!({"ticket": "ticket-1", "expires_in": 7200}),
    ));
    assert_eq!(server.token().await.ok()["token"], "base-1");
    let asks = (0..20).map(|_| ticket(&server));
    for reply in futures_util::future::join_all(asks).await {
        assert_eq!(reply.ok()["token"], "ticket-1");
    }
    assert_eq!(
        (world.provider.calls(), sent(&tickets)),
        (1, vec!["/token?access_token=base-1".to_owned()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_base_is_renewed_once_and_the_fetch_made_again() {
    let world = World::new().await;
    let tickets = FaultyProvider::start().await;
    let server = serve_ticket(&world, &tickets).await;
    world.provider.script(Fault::Json(good("base-1", 7200)));
    server.token().await.ok();
    world
        .advance(std::time::Duration::from_mins(1), &[&server])
        .await;
    world.provider.script(Fault::Json(good("base-2", 7200)));
    tickets.script(Fault::Json(
        json!({"errcode": 40001, "errmsg": "invalid credential"}),
    ));
    let reply = ticket(&server).await;
    assert_eq!(
        reply.problem(),
        (502, "upstream_dependency"),
        "both base tokens were refused"
    );
    assert_eq!(
        sent(&tickets),
        ["/token?access_token=base-1", "/token?access_token=base-2"]
    );
    assert_eq!(world.provider.calls(), 2);
    tickets.script(Fault::Json(
        json!({"ticket": "ticket-1", "expires_in": 7200}),
    ));
    let retried = server
        .post("/api/secret/t/retry?realm=ticket", &json!({}))
        .await
        .ok();
    assert_eq!(
        (&retried["token"], world.provider.calls()),
        (&json!("ticket-1"), 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_base_is_told_and_a_held_token_goes_on() {
    let world = World::new().await;
    let tickets = FaultyProvider::start().await;
    let server = serve_ticket(&world, &tickets).await;
    world.provider.script(Fault::Status(500, "{}".to_owned()));
    let reply = ticket(&server).await;
    assert_eq!(reply.problem(), (503, "upstream_busy"));
    assert!(
        reply.body["detail"]
            .as_str()
            .unwrap()
            .contains("the token of secret named at /config/depends_on/base"),
        "{reply:?}"
    );
    assert_eq!(tickets.calls(), 0);
    world.provider.script(Fault::Json(good("base-1", 7200)));
    tickets.script(Fault::Json(
        json!({"ticket": "ticket-1", "expires_in": 7200}),
    ));
    world
        .advance(std::time::Duration::from_secs(10), &[&server])
        .await;
    assert_eq!(ticket(&server).await.ok()["token"], "ticket-1");
    server.delete("/api/secret/k?realm=r").await;
    let flushed = server
        .get("/api/token?realm=ticket&key=t&flush=true")
        .await
        .ok();
    assert_eq!(
        (&flushed["token"], &flushed["renewed"]),
        (&json!("ticket-1"), &json!(false))
    );
    assert!(
        flushed["warning"]
            .as_str()
            .unwrap()
            .contains("does not exist"),
        "{flushed}"
    );
}

fn depending(id: &str, realm: &str, key: &str) -> Value {
    json!({"id": id, "config": {"inputs": {"app": {"secret": false}}, "depends_on": {"base": {"realm": realm, "key": key}}, "token": "var:t",
        "vars": {"t": "{{ tokens.base }}"}, "expires": {"lifetime": 600}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn cycles_are_refused_when_saved_where_they_show_and_else_when_fetching() {
    let world = World::new().await;
    let server = world.serve().await;
    assert_eq!(
        server
            .post("/api/realm", &depending("a", "a", "x"))
            .await
            .places(),
        ["/config/depends_on"]
    );
    server
        .post("/api/realm", &depending("a", "b", "x"))
        .await
        .ok();
    server
        .post("/api/realm", &depending("b", "c", "x"))
        .await
        .ok();
    assert_eq!(
        server
            .post("/api/realm", &depending("c", "a", "x"))
            .await
            .places(),
        ["/config/depends_on"]
    );

    server
        .post("/api/realm", &depending("d", "{{ app }}", "x"))
        .await
        .ok();
    server
        .post(
            "/api/secret",
            &json!({"realm": "d", "key": "x", "credentials": {"app": "d"}}),
        )
        .await
        .ok();
    let reply = server.get("/api/token?realm=d&key=x").await;
    assert_eq!(reply.problem(), (503, "config"));
    assert!(
        reply.body["detail"]
            .as_str()
            .unwrap()
            .contains("depends on itself"),
        "{reply:?}"
    );
    assert_eq!(
        server.get("/api/token?realm=a&key=x").await.status,
        400,
        "no such secret"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_may_be_five_deep() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("base-1", 7200)));
    let mut base = ("r".to_owned(), "k");
    for depth in 1..=6 {
        let id = format!("d{depth}");
        server
            .post("/api/realm", &depending(&id, &base.0, base.1))
            .await
            .ok();
        server
            .post(
                "/api/secret",
                &json!({"realm": id, "key": "x", "credentials": {"app": "-"}}),
            )
            .await
            .ok();
        base = (id, "x");
    }
    assert_eq!(
        server.get("/api/token?realm=d5&key=x").await.ok()["token"],
        "base-1"
    );
    let reply = server.get("/api/token?realm=d6&key=x").await;
    assert_eq!(reply.problem(), (503, "config"));
    assert!(
        reply.body["detail"]
            .as_str()
            .unwrap()
            .contains("deeper than 5"),
        "{reply:?}"
    );
    assert_eq!(world.provider.calls(), 1);
}
