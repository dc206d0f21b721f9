//! The command line against a running server.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};
use token_server::clock::Timestamp;

use crate::faulty_provider::{Fault, FaultyProvider};
use crate::program::{Program, command, output_of, run};

fn file(folder: &tempfile::TempDir, name: &str, content: &Value) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, content.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn server(folder: &tempfile::TempDir) -> Program {
    Program::ready(
        &format!("sqlite:{}", folder.path().join("t.db").display()),
        &[],
    )
    .await
}

fn json_of(args: &[&str]) -> Value {
    serde_json::from_str(&output_of(args)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, or one story from its beginning to its end"
)]
async fn realms_secrets_and_tokens_are_handled_from_the_shell() {
    let folder = tempfile::tempdir().unwrap();
    let program = server(&folder).await;
    let provider = FaultyProvider::start().await;
    provider.script(Fault::Json(
        json!({"access_token": "t-1", "expires_in": 7200}),
    ));
    let url = program.url.as_str();
    let realm = json!([{"id": "r", "comment": "from a file", "config": {"url": provider.url(), "method": "POST",
        "token_path": "access_token", "expires_in_path": "expires_in",
        "arguments": [{"name": "pem", "place": "body", "value": "$pem"}]}}, {"id": "second"}]);
    let realms = file(&folder, "realms.json", &realm);
    let applied = output_of(&["realm", "apply", &realms, "--server", url]);
    assert!(
        applied.contains("second") && applied.contains("fixed"),
        "{applied}"
    );
    let listed: Value = serde_json::from_str(&output_of(&[
        "--output", "json", "realm", "list", "--server", url,
    ]))
    .unwrap();
    assert_eq!(listed["data"]["total"], 2);
    // A list as the API answers it can be applied.
    let exported = file(&folder, "export.json", &listed);
    output_of(&["realm", "apply", &exported, "--server", url]);
    assert!(output_of(&["realm", "show", "r", "--server", url]).contains("from a file"));

    let pem = folder.path().join("key.pem");
    std::fs::write(&pem, "line one\nline two\n").unwrap();
    let set_file = format!("pem={}", pem.display());
    let saved = output_of(&[
        "secret",
        "apply",
        "--realm",
        "r",
        "--key",
        "k",
        "--set",
        "key_1=x",
        "--set-file",
        &set_file,
        "--server",
        url,
    ]);
    assert!(
        saved.contains("REALM") && saved.contains("r      k"),
        "{saved}"
    );
    let shown = output_of(&[
        "secret", "show", "k", "--realm", "r", "--server", url, "--output", "json",
    ]);
    assert!(
        shown.contains("******") && !shown.contains("line one"),
        "{shown}"
    );
    assert!(output_of(&["secret", "list", "--realm", "r", "--server", url]).contains('k'));

    let token = output_of(&[
        "token",
        "get",
        "--realm",
        "r",
        "--key",
        "k",
        "--token-only",
        "--server",
        url,
    ]);
    assert_eq!(token, "t-1\n");
    let sent: Value = serde_json::from_str(&provider.requests()[0].body).unwrap();
    assert_eq!(sent["pem"], "line one\nline two");
    let table = output_of(&[
        "token", "get", "--realm", "r", "--key", "k", "--server", url,
    ]);
    assert!(table.contains("memory"), "{table}");

    renewals_are_handled_from_the_shell(url, &provider);
    assert_eq!(
        run(&["realm", "delete", "r", "--server", url])
            .status
            .code(),
        Some(1),
        "in use"
    );
    output_of(&["secret", "delete", "k", "--realm", "r", "--server", url]);
    output_of(&["realm", "delete", "r", "--server", url]);
    let gone = run(&["realm", "show", "r", "--server", url]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("unknown_realm"));
    assert!(output_of(&["healthcheck", "--strict", "--server", url]).contains("ok"));
}

fn renewals_are_handled_from_the_shell(url: &str, provider: &FaultyProvider) {
    let of = [
        "--realm", "r", "--key", "k", "--output", "json", "--server", url,
    ];
    let longer = [&["token", "get", "--min-ttl", "3600"][..], &of].concat();
    assert_eq!(json_of(&longer)["token"], "t-1");
    let reported = [
        &["token", "report", "--version", "1", "--code", "40001"][..],
        &of,
    ]
    .concat();
    assert_eq!(json_of(&reported)["renewed"], false, "it is a moment old");
    let name = ["k", "--realm", "r", "--output", "json", "--server", url];
    assert_eq!(
        json_of(&[&["secret", "status"][..], &name].concat())["state"],
        "valid"
    );
    provider.script(Fault::Json(
        json!({"errcode": 45009, "errmsg": "reach max api daily quota limit"}),
    ));
    run(&[&["secret", "retry"][..], &name].concat());
    times_are_dates_for_people_and_numbers_for_programs(url);
    provider.script(Fault::Json(
        json!({"access_token": "t-2", "expires_in": 7200}),
    ));
    assert_eq!(
        json_of(&[&["secret", "retry"][..], &name].concat())["token"],
        "t-2"
    );
    output_of(
        &[
            &["secret", "apply", "--next", "--set", "pem=rotated"][..],
            &of,
        ]
        .concat(),
    );
    assert_eq!(
        json_of(&[&["secret", "show"][..], &name].concat())["credentials"]["pem"],
        "******************"
    );
}

fn times_are_dates_for_people_and_numbers_for_programs(url: &str) {
    let of = ["--server", url, "--realm", "r"];
    let status = json_of(&[&["secret", "status", "k", "--output", "json"][..], &of].concat());
    let table = output_of(&[&["secret", "status", "k", "--output", "table"][..], &of].concat());
    let date = |ms: &Value| Timestamp::from_epoch_ms(ms.as_i64().unwrap()).rfc3339();
    for time in [
        &status["expires_at"],
        &status["next_attempt_at"],
        &status["last_failure"]["at"],
    ] {
        assert!(
            table.contains(&date(time)) && !table.contains(&time.to_string()),
            "{time}: {table}"
        );
    }
    let log = json_of(&[&["log", "--output", "json"][..], &of].concat());
    let failed = &log["data"]["list"][0];
    let table = output_of(&[&["log", "--output", "table"][..], &of].concat());
    assert!(table.contains(&date(&failed["at"])), "{table}");
    assert!(
        table.contains("PROVIDER_MESSAGE") && table.contains("reach max api daily quota limit"),
        "{table}"
    );
    let at = failed["at"].to_string();
    let total = |more: &[&str]| {
        json_of(&[&["log", "--output", "json"][..], &of, more].concat())["data"]["total"].clone()
    };
    assert_eq!(
        (total(&["--from", &at]), total(&["--to", &at])),
        (json!(1), json!(1))
    );
    assert_eq!(total(&["--from", &date(&failed["at"])]), 1);
    assert_eq!(
        total(&[
            "--from",
            "2000-01-01T00:00:00Z",
            "--to",
            "2001-01-01T00:00:00Z"
        ]),
        0
    );
    assert_eq!(run(&["log", "--from", "yesterday"]).status.code(), Some(2));
    let help = output_of(&["log", "--help"]);
    for outcome in [
        "repeated",
        "asking",
        "overtaken",
        "reauthorise",
        "upstream_quota",
        "upstream_malformed",
    ] {
        assert!(help.contains(outcome), "{outcome}: {help}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_document_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let program = server(&folder).await;
    let documents = json!([{"id": "good"}, {"id": "bad", "config": {"url": "ftp://x"}}]);
    let mut child = command(&["realm", "apply", "-", "--server", &program.url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(documents.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message.contains("document 2") && message.contains("/config/url"),
        "{message}"
    );
}

#[test]
fn exit_codes_tell_what_is_wrong() {
    for (args, code, words) in [
        (vec!["nonsense"], 2, "unrecognized subcommand"),
        (
            vec!["realm", "list", "--server", "http://127.0.0.1:1"],
            69,
            "cannot be reached",
        ),
        (
            vec!["healthcheck", "--server", "http://127.0.0.1:1"],
            69,
            "cannot be reached",
        ),
        (vec!["realm", "list", "--server", "nowhere"], 78, "--server"),
        (
            vec!["config", "check", "--database", "redis://x"],
            78,
            "database.url",
        ),
        (
            vec!["config", "check", "--config", "/nonexistent.toml"],
            78,
            "/nonexistent.toml",
        ),
        (
            vec![
                "migrate",
                "up",
                "--database",
                "postgres://u:hush@127.0.0.1:1/d",
            ],
            69,
            "not available",
        ),
        (
            vec![
                "migrate",
                "status",
                "--database",
                "mysql://u:hush@127.0.0.1:1/d",
            ],
            69,
            "not available",
        ),
        (vec!["secret", "apply"], 2, "required"),
    ] {
        let output = run(&args);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {message}");
        assert!(
            message.contains(words) && !message.contains("hush"),
            "{args:?}: {message}"
        );
    }
}

#[test]
fn the_configuration_is_shown_without_secrets() {
    let output = command(&["config", "show"])
        .envs([
            ("MYSQL_HOST", "db"),
            ("MYSQL_PASSWORD", "hush"),
            (
                "TOKEN_SERVER__UPSTREAM__PROXY_URL",
                "http://u:hush@p:1/?key=hush",
            ),
        ])
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && shown.contains("mysql://root:***@db:3306"),
        "{shown}"
    );
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn settings_without_a_value_are_shown_too() {
    let shown = output_of(&["config", "show"]);
    for name in [
        "metrics.listen",
        "upstream.proxy_url",
        "upstream.ca_file",
        "inputs.file_root",
    ] {
        assert!(
            shown.contains(&format!("# {name} is not set: ")),
            "{name}: {shown}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shown.toml");
    std::fs::write(&path, &shown).unwrap();
    output_of(&["config", "check", "--config", path.to_str().unwrap()]);
    let shown = json_of(&["config", "show", "--output", "json"]);
    assert_eq!(
        shown["metrics"].get("listen"),
        Some(&Value::Null),
        "{shown}"
    );
    let given = command(&["config", "show"])
        .env("TOKEN_SERVER__METRICS__LISTEN", "off")
        .output()
        .unwrap();
    let given = String::from_utf8(given.stdout).unwrap();
    assert!(
        given.contains("listen = \"off\"") && !given.contains("# metrics.listen"),
        "{given}"
    );
}

#[test]
fn the_schema_is_brought_up_to_date_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("t.db").display());
    let status = |database: &str| {
        output_of(&[
            "migrate",
            "status",
            "--database",
            database,
            "--output",
            "json",
        ])
    };
    let before: Value = serde_json::from_str(&status(&database)).unwrap();
    assert!(
        !folder.path().join("t.db").exists(),
        "looking makes nothing"
    );
    assert!(
        before
            .as_array()
            .unwrap()
            .iter()
            .all(|migration| migration["applied"] == false),
        "{before}"
    );
    output_of(&["migrate", "up", "--database", &database]);
    let after: Value = serde_json::from_str(&status(&database)).unwrap();
    assert!(
        after
            .as_array()
            .unwrap()
            .iter()
            .all(|migration| migration["applied"] == true),
        "{after}"
    );
}

#[test]
fn help_is_worth_reading() {
    for args in [
        vec!["--help"],
        vec!["serve", "--help"],
        vec!["secret", "apply", "--help"],
        vec!["import", "--help"],
    ] {
        let help = output_of(&args);
        assert!(help.len() > 400, "{args:?}: {help}");
    }
}

#[test]
fn a_checked_configuration_is_warned_of_what_others_may_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.toml");
    std::fs::write(&file, "[database]\nurl = 'mysql://u:hush@db.example/ts'\n").unwrap();
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(folder.path(), 0o755);
    mode(&file, 0o644);
    let output = run(&["config", "check", "--config", file.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    for words in [
        "the configuration file contains a password",
        "t.toml",
        "is not verified",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("hush"), "{told}");
}

#[test]
fn a_password_in_a_servers_url_is_refused_and_not_printed() {
    for args in [&["healthcheck"][..], &["realm", "list", "--help"]] {
        let output = command(args)
            .env("TOKEN_SERVER_URL", "http://u:CLIPASSWORD@127.0.0.1:1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let expected = if args.contains(&"--help") { 0 } else { 2 };
        assert_eq!(output.status.code(), Some(expected), "{told}");
        assert!(!told.contains("CLIPASSWORD"), "{told}");
    }
}
