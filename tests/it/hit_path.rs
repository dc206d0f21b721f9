//! The hit path and the router give the same answer.

use token_server::config::{Config, Environment};
use token_server::http::{Keyless, Peer};

use crate::faulty_provider::Fault;
use crate::harness::{World, good};

#[tokio::test]
async fn the_hit_path_answers_what_the_router_answers() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t/1+=", 7200)));
    server.token().await.ok();
    let config = Config::load_without_file(&Environment::of(&[]), &[]).unwrap();
    let door = token_server::app::door(&server.services, &config, Keyless::Everything).unwrap();
    for path in [
        "/api/token?realm=r&key=k",
        "/api/token?key=k&realm=r&other=1",
        "/api/token?realm=r&key=%6B&flush=0",
    ] {
        let hit = server.get(path).await;
        let request = axum::extract::Request::get(path)
            .header("host", "localhost")
            // What may have a body is not for the hit path.
            .header("transfer-encoding", "chunked")
            .body(axum::body::Body::empty())
            .unwrap();
        let routed = door.answer(request, &Peer::default()).await;
        assert!(routed.headers().contains_key("x-request-id"), "{path}");
        assert_eq!(hit.status, routed.status().as_u16());
        for name in ["content-type", "cache-control"] {
            assert_eq!(hit.headers[name], routed.headers()[name], "{path}");
        }
        assert!(
            !hit.headers.contains_key("x-request-id"),
            "{path} took the slow path"
        );
        let body = axum::body::to_bytes(routed.into_body(), 10_000)
            .await
            .unwrap();
        assert_eq!(
            hit.body,
            serde_json::from_slice::<serde_json::Value>(&body).unwrap()
        );
        assert_eq!(hit.body["source"], "memory");
    }
    let metrics = server.services.metrics.text();
    assert!(
        metrics.contains(r#"token_requests_total{outcome="ok",source="memory"} 6"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn what_the_hit_path_cannot_answer_goes_to_the_router() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t", 7200)));
    server.token().await.ok();
    for path in [
        "/api/token?realm=r&key=k&flush=1",
        "/api/token?realm=r",
        "/api/token",
        "/api/token?realm=R&key=k",
    ] {
        assert!(
            server.get(path).await.headers.contains_key("x-request-id"),
            "{path}"
        );
    }
    let body = server.get_with_body("/api/token?realm=r&key=k", "{}").await;
    assert!(body.headers.contains_key("x-request-id"));
    assert_eq!(body.ok()["source"], "memory");
}
