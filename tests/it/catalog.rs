//! The catalog and the schema over HTTP.

use serde_json::json;

use crate::harness::World;

#[tokio::test(flavor = "multi_thread")]
async fn presets_are_listed_shown_and_can_be_saved() {
    let world = World::new().await;
    let server = world.serve().await;
    let all = server.get("/api/catalog?pageSize=1000").await.ok();
    let total = all["data"]["total"].as_u64().unwrap();
    assert!(
        total >= 80 && all["data"]["list"].as_array().unwrap().len() as u64 == total,
        "{total}"
    );
    let found = server.get("/api/catalog?keyword=微信").await.ok();
    let ids: Vec<&str> = found["data"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["id"].as_str().unwrap())
        .collect();
    assert!(ids.contains(&"wechat-official-account"), "{ids:?}");
    for line in all["data"]["list"].as_array().unwrap() {
        let id = line["id"].as_str().unwrap();
        let preset = server.get(&format!("/api/catalog/{id}")).await.ok();
        let saved = server
            .post("/api/realm", &json!({"id": id, "config": preset["config"]}))
            .await
            .ok();
        assert_eq!(saved["mode"], "config", "{id}");
    }
    let reply = server.get("/api/catalog/wechat-oficial-account").await;
    assert_eq!(reply.problem(), (404, "unknown_preset"));
    assert!(
        reply.body["detail"]
            .as_str()
            .unwrap()
            .contains("did you mean wechat-official-account?")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_served_as_committed() {
    let world = World::new().await;
    let server = world.serve().await;
    let reply = server.get("/schema/realm.json").await;
    assert_eq!(reply.headers["content-type"], "application/schema+json");
    let committed: serde_json::Value =
        serde_json::from_str(include_str!("../../schema/realm.json")).unwrap();
    assert_eq!(reply.ok(), committed);
}
