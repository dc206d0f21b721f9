//! `token-server key` on a database that no server uses.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use token_server::api_key::ApiKey;

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let database = format!("sqlite:{}", folder.join("t.db").display());
    Command::new(env!("CARGO_BIN_EXE_token-server"))
        .args(["--output", "json", "key", "--database", &database])
        .args(arguments)
        .env_remove("TOKEN_SERVER_CONFIG")
        .current_dir(folder)
        .output()
        .unwrap()
}

fn answer(folder: &Path, arguments: &[&str]) -> Value {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Exit code and words.
fn refusal(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(folder, arguments);
    let words = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), words)
}

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap()
}

#[test]
fn keys_are_made_listed_rotated_and_ended_on_an_empty_database() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let admin = answer(folder, &["create", "--role", "admin"]);
    let app = [
        "create", "--role", "app", "--scope", "wx*:*", "--rate", "9/s",
    ];
    let app = answer(folder, &app);
    for made in [&admin, &app] {
        let key = ApiKey::read(text(made, "key")).unwrap();
        assert_eq!(key.id().as_str(), text(made, "id"));
    }
    assert!(admin["expires_at"].is_i64() && app["expires_at"].is_null());

    let listed = answer(folder, &["list"]);
    let printed = listed.to_string();
    for made in [&admin, &app] {
        assert!(!printed.contains(&text(made, "key")[16..]), "{printed}");
    }
    let items = listed["list"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{printed}");
    assert_eq!(items[1]["scopes"], serde_json::json!(["wx*:*"]));

    let rotated = answer(folder, &["rotate", text(&app, "id")]);
    assert_eq!(rotated["id"], app["id"]);
    assert_ne!(rotated["key"], app["key"]);
    let shown = answer(folder, &["show", text(&app, "id")]);
    assert!(shown["previous_until"].is_i64(), "{shown}");
    let disabled = answer(folder, &["disable", text(&app, "id")]);
    assert!(disabled["disabled_at"].is_i64(), "{disabled}");
    let enabled = answer(folder, &["enable", text(&app, "id")]);
    assert!(enabled["disabled_at"].is_null(), "{enabled}");
    answer(folder, &["revoke", text(&app, "id")]);
    let (code, words) = refusal(folder, &["show", text(&app, "id")]);
    assert_eq!(code, Some(1));
    assert!(words.contains("there is no API key"), "{words}");
}

#[test]
fn the_last_key_of_an_admin_is_ended_only_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let admin = answer(folder, &["create", "--role", "admin", "--expires", "never"]);
    assert!(admin["expires_at"].is_null(), "{admin}");
    let id = text(&admin, "id");
    for action in ["revoke", "disable"] {
        let (code, words) = refusal(folder, &[action, id]);
        assert_eq!(code, Some(1), "{words}");
        assert!(words.contains("last working API key"), "{words}");
        let shown = answer(folder, &["show", id]);
        assert!(shown["disabled_at"].is_null(), "{shown}");
    }
    answer(folder, &["revoke", id, "--force"]);
    assert_eq!(refusal(folder, &["show", id]).0, Some(1));
}

#[test]
fn what_is_no_key_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        (
            &["create", "--role", "app"][..],
            "reaches only what its scopes allow",
        ),
        (
            &["create", "--role", "cron", "--scope", "a:b"],
            "reaches no secret",
        ),
        (&["create", "--role", "app", "--scope", "a"], "no colon"),
        (
            &["create", "--role", "admin", "--rate", "0/s"],
            "calls a second",
        ),
        (
            &["create", "--role", "admin", "--expires", "soon"],
            "expected a duration",
        ),
        (&["create", "--role", "king"], "possible values"),
        (
            &["create", "--role", "admin", "--certificate", "no.pem"],
            "--certificate no.pem",
        ),
    ] {
        let (code, told) = refusal(folder.path(), arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
}
