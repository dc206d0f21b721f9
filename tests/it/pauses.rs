//! Pauses after failures, and floors under which the provider is not asked.

use std::time::Duration;

use serde_json::{Value, json};

use crate::faulty_provider::Fault;
use crate::harness::{Server, World, good};

async fn served(server: &Server) -> Value {
    server.token().await.ok()["token"].clone()
}

/// What the inherited form takes for a failure that an operator must mend.
fn refused() -> Fault {
    Fault::Json(json!({"errcode": 40164, "errmsg": "invalid ip"}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_refuses_before_the_tokens_end_is_asked_again_when_it_ends() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t-1", 60)));
    assert_eq!(served(&server).await, "t-1");
    world.advance(Duration::from_secs(50), &[&server]).await;
    world.provider.script(refused());
    let kept = server.flush().await.ok();
    assert_eq!(
        (&kept["token"], &kept["renewed"]),
        (&json!("t-1"), &json!(false))
    );
    assert_eq!(kept["retry_after"], 10, "when the held token ends");
    world.provider.script(Fault::Json(good("t-2", 60)));
    world.advance(Duration::from_secs(11), &[&server]).await;
    assert_eq!(served(&server).await, "t-2", "no gap");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nothing_is_held_a_refusal_is_tried_again_ever_more_slowly() {
    let world = World::new().await;
    let server = world
        .serve_policy(json!({"cool_down": "2s", "config_retry": "6s"}))
        .await;
    for (calls, pause) in [(1, 2), (2, 4), (3, 6), (4, 6)] {
        world.provider.script(refused());
        for _ in 0..3 {
            assert_eq!(server.token().await.problem(), (502, "config"));
        }
        assert_eq!(world.provider.calls(), calls);
        world.advance(Duration::from_secs(pause), &[&server]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_count_of_a_quota_pauses_until_it_is_free_and_no_longer() {
    let world = World::new().await;
    // Longer than a caller waits, shorter than `config_retry`.
    let quota = json!({"quota": [{"limit": 1, "per": "1m", "scope": "realm"}]});
    let server = world.serve_policy(quota).await;
    let other = json!({"realm": "r", "key": "other", "key_1": "a", "key_2": "b"});
    server.post("/api/secret", &other).await.ok();
    world.provider.script(Fault::Json(good("t-1", 7200)));
    assert_eq!(served(&server).await, "t-1");
    let over = server.get("/api/token?realm=r&key=other").await;
    assert_eq!(over.problem(), (429, "upstream_quota"));
    assert_eq!(over.body["retry_after"], 60);
    world.advance(Duration::from_mins(1), &[&server]).await;
    world.provider.script(Fault::Json(good("t-2", 7200)));
    let answer = server.get("/api/token?realm=r&key=other").await.ok();
    assert_eq!(answer["token"], "t-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_waits_for_its_turn_where_a_quota_is_free_soon() {
    let world = World::on_real_time().await;
    let quota = json!({"quota": [{"limit": 1, "per": "1s", "scope": "realm"}]});
    let server = world.serve_policy(quota).await;
    let keys = ["a", "b", "c"];
    for key in keys {
        let secret = json!({"realm": "r", "key": key, "key_1": "a", "key_2": "b"});
        server.post("/api/secret", &secret).await.ok();
        world.provider.script(Fault::Json(good(key, 7200)));
    }
    let asks = keys.map(|key| server.get_owned(format!("/api/token?realm=r&key={key}")));
    for reply in futures_util::future::join_all(asks).await {
        reply.ok();
    }
    assert_eq!(world.provider.calls(), keys.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_repeats_its_token_is_not_asked_by_each_min_ttl() {
    let world = World::new().await;
    let server = world
        .serve_policy(json!({"reissue": "same", "same_until": "30s"}))
        .await;
    world.provider.script(Fault::Json(good("t-1", 60)));
    assert_eq!(served(&server).await, "t-1");
    world.advance(Duration::from_secs(31), &[&server]).await;
    let longer = || server.get("/api/token?realm=r&key=k&min_ttl=45000");
    for repeated in [
        (Fault::Json(good("t-1", 29)), 2),
        (Fault::Json(good("t-2", 60)), 2),
    ] {
        world.provider.script(repeated.0);
        for _ in 0..5 {
            assert_eq!(longer().await.ok()["token"], "t-1");
        }
        assert_eq!(world.provider.calls(), repeated.1, "once in the window");
    }
    // Nor for one that the repeated token had when it was fetched: 22 s are more than are left now.
    world.advance(Duration::from_secs(9), &[&server]).await;
    for _ in 0..5 {
        let answer = server.get("/api/token?realm=r&key=k&min_ttl=22000").await;
        assert_eq!(answer.ok()["token"], "t-1");
    }
    assert_eq!(world.provider.calls(), 2);
    world.advance(Duration::from_secs(18), &[&server]).await;
    assert_eq!(longer().await.ok()["token"], "t-2", "its renewal is due");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_min_ttl_longer_than_any_token_lives_is_not_asked_for_each_time() {
    for policy in [
        json!({"reissue": "same", "same_until": "2h"}),
        json!({"reissue": "replaces"}),
        json!({"reissue": "coexists"}),
    ] {
        let world = World::new().await;
        let server = world.serve_policy(policy.clone()).await;
        world.provider.script(Fault::Json(good("t-1", 7200)));
        assert_eq!(served(&server).await, "t-1");
        world.advance(Duration::from_secs(1), &[&server]).await;
        for _ in 0..5 {
            for ms in [7_201_000, 7_200_000, 7_199_999] {
                let path = format!("/api/token?realm=r&key=k&min_ttl={ms}");
                assert_eq!(server.get(&path).await.ok()["renewed"], false, "{policy}");
            }
        }
        assert_eq!(world.provider.calls(), 1, "{policy}");
    }
}
