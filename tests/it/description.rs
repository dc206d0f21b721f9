//! The committed description of the API.

use serde_json::Value;

#[test]
fn the_committed_description_of_the_api_is_up_to_date() {
    let committed: Value = serde_json::from_str(include_str!("../../openapi.json")).unwrap();
    let current = serde_json::to_value(token_server::http::description()).unwrap();
    assert!(
        committed == current,
        "openapi.json is not up to date: make gen"
    );
}

/// Method, path and description of each operation.
fn operations() -> Vec<(String, String, Value)> {
    let description = serde_json::to_value(token_server::http::description()).unwrap();
    let mut all = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        let methods = item
            .as_object()
            .unwrap()
            .iter()
            .filter(|(_, operation)| operation["responses"].is_object());
        all.extend(
            methods.map(|(method, operation)| (method.clone(), path.clone(), operation.clone())),
        );
    }
    assert!(all.len() > 20, "{all:?}");
    all
}

#[test]
fn what_any_operation_may_answer_is_declared() {
    for (method, path, operation) in operations() {
        let problem = |status: &str, code: &str| {
            let response = &operation["responses"][status];
            let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
            schema == "#/components/schemas/ProblemBody"
                && response["description"]
                    .as_str()
                    .is_some_and(|text| text.contains(code))
        };
        let is_of_caller = path.starts_with("/api/");
        for (status, code) in [
            ("401", "`unauthorized`"),
            ("403", "`role_not_allowed`"),
            ("429", "`too_many_failures`"),
        ] {
            assert_eq!(problem(status, code), is_of_caller, "{method} {path}");
        }
        // The gate stands before open routes too.
        for (status, code) in [
            ("400", ""),
            ("403", "`forbidden`"),
            ("429", "`rate_limited`"),
        ] {
            assert!(problem(status, code), "{method} {path} {status}");
        }
        let reads_body = operation.get("requestBody").is_some() || path == "/api/token";
        assert_eq!(
            problem("413", "`body_too_large`"),
            reads_body,
            "{method} {path}"
        );
        let needs_store = path.starts_with("/api/") && !path.starts_with("/api/catalog");
        assert_eq!(
            problem("503", "`store_unavailable`"),
            needs_store,
            "{method} {path}"
        );
    }
}

#[test]
fn answers_are_described_and_problems_have_their_media_type() {
    for (method, path, operation) in operations() {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let json = &response["content"]["application/json"]["schema"]["$ref"];
            assert_ne!(
                *json, "#/components/schemas/ProblemBody",
                "{method} {path} {status}"
            );
            let words = response["description"].as_str().unwrap_or_default();
            assert!(
                !words.is_empty(),
                "{method} {path} {status} is not described"
            );
        }
    }
}

/// Generators of clients name their functions by it.
#[test]
fn every_operation_has_a_name_of_its_own() {
    let names: Vec<_> = operations()
        .iter()
        .map(|(_, _, operation)| operation["operationId"].to_string())
        .collect();
    let unique: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len(), "{names:?}");
}

/// What `tests/process/schemathesis.rs` cannot see, since other things are refused there as well.
#[test]
fn what_is_posted_is_described_as_strictly_as_it_is_read() {
    let description = serde_json::to_value(token_server::http::description()).unwrap();
    let schemas = &description["components"]["schemas"];
    for (method, path, operation) in operations() {
        let Some(body) = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            .as_str()
            .and_then(|name| name.strip_prefix("#/components/schemas/"))
        else {
            assert!(operation["requestBody"].is_null(), "{method} {path}");
            continue;
        };
        assert_eq!(schemas[body]["additionalProperties"], false, "{body}");
    }
    assert_eq!(schemas["ReportBody"]["oneOf"].as_array().unwrap().len(), 3);
    assert_eq!(schemas["InputEditBody"]["required"][0], "value");
    assert!(schemas["TrialBody"]["not"]["required"].is_array());
    let config = &schemas["RealmEditBody"]["properties"]["config"];
    assert!(config["anyOf"].is_array() && config["example"].is_object());
}
