//! The committed description of the API.

use serde_json::Value;

#[test]
fn the_committed_description_of_the_api_is_up_to_date() {
    let committed: Value = serde_json::from_str(include_str!("../../openapi.json")).unwrap();
    let current = serde_json::to_value(token_server::http::description()).unwrap();
    assert!(committed == current, "openapi.json is not up to date: make gen");
}
