//! The schema says what the reader reads: the same members in each place, and every preset fits.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use token_server::realm::{Definition, schema};

/// The members that the reader knows at a place, as its complaint about an unknown one tells.
fn read_members(config: &Value, pointer: &str) -> BTreeSet<String> {
    let issues = Definition::read(Some(config), None).unwrap_err();
    let issue = issues
        .iter()
        .find(|issue| issue.pointer == pointer)
        .unwrap_or_else(|| panic!("{pointer}: {issues:?}"));
    let (_, known) = issue
        .detail
        .split_once("expected one of: ")
        .unwrap_or_else(|| panic!("{issue:?}"));
    known.split(", ").map(str::to_owned).collect()
}

fn described_members(root: &Value, name: &str) -> BTreeSet<String> {
    let members = root["$defs"][name]["properties"]
        .as_object()
        .unwrap_or_else(|| panic!("{name}"));
    members.keys().cloned().collect()
}

/// A general config with something unknown in it.
fn general(members: &Value) -> Value {
    let mut config =
        json!({"token": "$.t", "requests": [{"url": "https://x.example"}], "inputs": {"a": {}}});
    config
        .as_object_mut()
        .unwrap()
        .extend(members.as_object().unwrap().clone());
    config
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, or one story from its beginning to its end"
)]
fn the_schema_names_what_the_reader_reads() {
    let root = schema::schema().to_value();
    let zzz = json!({"zzz": 1});
    let inherited = json!({"url": "https://x.example", "method": "GET", "token_path": "t", "zzz": 1,
        "arguments": [{"name": "a", "place": "url", "value": "x", "zzz": 1}]});
    for (config, pointer, name) in [
        (general(&zzz), "/config/zzz", "General"),
        (
            general(&json!({"inputs": {"a": zzz}})),
            "/config/inputs/a/zzz",
            "Input",
        ),
        (
            general(&json!({"vars": {"v": {"jwt": zzz}}})),
            "/config/vars/v/jwt/zzz",
            "Jwt",
        ),
        (
            general(&json!({"requests": [{"url": "https://x.example", "zzz": 1}]})),
            "/config/requests/0/zzz",
            "Request",
        ),
        (
            general(&json!({"response": zzz})),
            "/config/response/zzz",
            "Response",
        ),
        (
            general(&json!({"success_when": zzz})),
            "/config/success_when/zzz",
            "Condition",
        ),
        (
            general(&json!({"expires": zzz})),
            "/config/expires/zzz",
            "ExpiresRule",
        ),
        (
            general(&json!({"save": {"a": zzz}})),
            "/config/save/a/zzz",
            "SaveRule",
        ),
        (
            general(&json!({"depends_on": {"b": zzz}})),
            "/config/depends_on/b/zzz",
            "Base",
        ),
        (
            general(&json!({"errors": zzz})),
            "/config/errors/zzz",
            "Errors",
        ),
        (general(&json!({"tls": zzz})), "/config/tls/zzz", "Tls"),
        (
            general(&json!({"policy": zzz})),
            "/config/policy/zzz",
            "Policy",
        ),
        (
            general(&json!({"policy": {"quota": [zzz]}})),
            "/config/policy/quota/0/zzz",
            "Quota",
        ),
        (json!({"oauth2": zzz}), "/config/oauth2/zzz", "OAuth2"),
        (inherited.clone(), "/config/zzz", "Inherited"),
        (inherited, "/config/arguments/0/zzz", "Argument"),
    ] {
        assert_eq!(
            read_members(&config, pointer),
            described_members(&root, name),
            "{name}"
        );
    }
}

/// Every member has a description and an example, so that the reference page has both.
#[test]
fn every_member_is_described_with_an_example() {
    let root = schema::schema().to_value();
    let mut bare = Vec::new();
    for (name, described) in root["$defs"].as_object().unwrap() {
        for (member, field) in described["properties"].as_object().into_iter().flatten() {
            let is_argument = name == "Argument";
            if field["description"].is_null() || (field["examples"].is_null() && !is_argument) {
                bare.push(format!("{name}.{member}"));
            }
        }
    }
    assert_eq!(bare, [] as [String; 0]);
}

#[test]
fn the_committed_files_are_up_to_date() {
    use token_server::realm::reference;
    for (committed, made) in [
        (include_str!("../../schema/realm.json"), schema::text()),
        (
            include_str!("../../docs/reference/realm-language.md"),
            reference::language(),
        ),
        (
            include_str!("../../docs/reference/catalog.md"),
            reference::catalog(),
        ),
    ] {
        assert!(committed == made, "make gen");
    }
}
