//! Signals, logs, metrics, ports.

use serde_json::{Value, json};

use crate::faulty_provider::{Fault, FaultyProvider};
use crate::program::{Program, command, run};

fn sqlite(folder: &tempfile::TempDir) -> String {
    format!("sqlite:{}", folder.path().join("t.db").display())
}

#[tokio::test(flavor = "multi_thread")]
async fn term_drains_what_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let provider = FaultyProvider::start().await;
    provider.script(Fault::HoldThenJson(
        json!({"access_token": "late", "expires_in": 7200}),
    ));
    let mut program = Program::serve(
        &sqlite(&folder),
        &[],
        &[("TOKEN_SERVER__SERVER__DRAIN_DELAY_SECONDS", "1")],
    );
    program.wait_for_status("/readyz", 200).await;
    let realm = json!({"id": "r", "config": {"url": provider.url(), "method": "GET", "token_path": "access_token"}});
    program.post("/api/realm", &realm).await;
    program
        .post("/api/secret", &json!({"realm": "r", "key": "k"}))
        .await;
    let ((status, answer), ()) = tokio::join!(program.token(), async {
        provider.wait_for_calls(1).await;
        program.signal("TERM");
        let draining = program.wait_for_status("/readyz", 503).await;
        assert_eq!(draining["status"], "draining");
        provider.release();
    });
    assert_eq!((status, &answer["token"]), (200, &json!("late")));
    assert_eq!(program.end().await, Some(0), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_term_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let provider = FaultyProvider::start().await;
    provider.script(Fault::Hang);
    let mut program = Program::serve(
        &sqlite(&folder),
        &[],
        &[("TOKEN_SERVER__SERVER__DRAIN_DELAY_SECONDS", "600")],
    );
    program.wait_for_status("/readyz", 200).await;
    program.signal("TERM");
    program.wait_for_status("/readyz", 503).await;
    program.signal("TERM");
    assert_eq!(program.end().await, Some(0));
    program.wait_for_log(r#""finished":false"#).await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, or one story from its beginning to its end"
)]
async fn logs_have_request_ids_and_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let provider = FaultyProvider::start().await;
    let mut program = Program::start(
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--metrics-listen",
            "off",
            "--database",
            &sqlite(&folder),
        ],
        &[("TOKEN_SERVER__LOG__FILTER", "trace")],
    );
    program.wait_for_status("/readyz", 200).await;
    let realm = json!({"id": "r", "config": {"url": provider.url(), "method": "GET", "token_path": "access_token",
        "arguments": [{"name": "secret", "place": "url", "value": "$key_1"},
                      {"name": "X-Key", "place": "header", "value": "$key_1"}]}});
    program.post("/api/realm", &realm).await;
    for fault in [
        Fault::Json(json!({"errcode": 1, "errmsg": "credential-in-no-log is wrong"})),
        Fault::CloseEarly,
        Fault::Redirect("http://127.0.0.1:1/?credential-in-no-log".to_owned()),
        Fault::Json(json!({"access_token": "token-in-no-log", "expires_in": 7200})),
    ] {
        provider.script(fault);
        // Saved anew: another attempt is made at once.
        program
            .post(
                "/api/secret",
                &json!({"realm": "r", "key": "k", "key_1": null}),
            )
            .await;
        program
            .post(
                "/api/secret",
                &json!({"realm": "r", "key": "k", "key_1": "credential-in-no-log"}),
            )
            .await;
        program.token().await;
        program.get("/api/secret/k?realm=r").await;
    }
    let fixed = json!({"realm": "f", "key": "k", "token": "token-in-no-log"});
    program.post("/api/realm", &json!({"id": "f"})).await;
    program.post("/api/secret", &fixed).await;
    assert_eq!(
        program.get("/api/token?realm=f&key=k").await.1["token"],
        "token-in-no-log"
    );
    program.signal("INT");
    assert_eq!(program.end().await, Some(0));
    let log = program.log();
    // Our own lines; the trace level of the HTTP libraries shows bytes on the wire only when asked
    // for by name.
    let leaks: Vec<_> = log
        .lines()
        .filter(|line| line.contains("-in-no-log"))
        .collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    let answered = log
        .lines()
        .filter(|line| line.contains(r#""message":"answered""#));
    for line in answered {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["span"]["request_id"].is_string(), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_on_a_listener_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let provider = FaultyProvider::start().await;
    provider.script(Fault::Json(
        json!({"access_token": "t", "expires_in": 7200}),
    ));
    let program = Program::start(
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--metrics-listen",
            "127.0.0.1:0",
            "--database",
            &sqlite(&folder),
        ],
        &[],
    );
    program.wait_for_status("/readyz", 200).await;
    let realm = json!({"id": "r", "config": {"url": provider.url(), "method": "GET", "token_path": "access_token",
        "expires_in_path": "expires_in"}});
    program.post("/api/realm", &realm).await;
    program
        .post("/api/secret", &json!({"realm": "r", "key": "k"}))
        .await;
    program.token().await;
    program.token().await;
    assert_eq!(program.get("/metrics").await.0, 404);
    let line = program
        .log()
        .lines()
        .find(|line| line.contains(r#""message":"metrics""#))
        .unwrap()
        .to_owned();
    let line: Value = serde_json::from_str(&line).unwrap();
    let url = format!("http://{}/metrics", line["address"].as_str().unwrap());
    let client = crate::program::admin_client();
    let text = client.get(url).send().await.unwrap().text().await.unwrap();
    for expected in [
        r#"token_server_token_requests_total{outcome="ok",source="upstream"} 1"#,
        r#"token_server_token_requests_total{outcome="ok",source="memory"} 1"#,
        r#"token_server_upstream_calls_total{realm="r",outcome="ok"} 1"#,
        r#"token_server_token_expires_in_seconds{realm="r",key="k"} 7"#,
        "token_server_http_request_duration_seconds_count",
        r#"token_server_token_request_duration_seconds_count{source="memory"} 1"#,
        r#"token_server_upstream_duration_seconds_count{realm="r"} 1"#,
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serving_other_machines_without_tls_needs_a_setting() {
    let refused = run(&[
        "serve",
        "--listen",
        "0.0.0.0:0",
        "--database",
        "sqlite::memory:",
    ]);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{message}");
    assert!(message.contains("server.plain_http"), "{message}");
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "serve",
        "--listen",
        "0.0.0.0:0",
        "--metrics-listen",
        "off",
        "--database",
    ];
    let database = sqlite(&folder);
    let args = [&args[..], &[&database]].concat();
    let plain = [("TOKEN_SERVER__SERVER__PLAIN_HTTP", "true")];
    let mut program = Program::start(&args, &plain);
    program.wait_for_log("plain text").await;
    program.signal("INT");
    assert_eq!(program.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_and_a_newer_schema_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let database = sqlite(&folder);
    let program = Program::ready(&database, &[]).await;
    let address = program.url.trim_start_matches("http://").to_owned();
    let taken = run(&[
        "serve",
        "--listen",
        &address,
        "--metrics-listen",
        "off",
        "--database",
        &database,
    ]);
    assert_eq!(taken.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&taken.stderr).contains(&address));
    let args = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--metrics-listen",
        &address,
        "--database",
        &database,
    ];
    let taken = run(&args);
    assert_eq!(taken.status.code(), Some(69));
    let message = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(
        message.contains(&address) && message.contains("--metrics-listen or"),
        "{message}"
    );
    assert!(
        !message.contains("--listen"),
        "that is the API's: {message}"
    );

    let db = sea_orm::Database::connect(&database).await.unwrap();
    let newer = "INSERT INTO ts_migration (version, applied_at) VALUES ('m9999_future', 0)";
    sea_orm::ConnectionTrait::execute_unprepared(&db, newer)
        .await
        .unwrap();
    let refused = command(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--metrics-listen",
        "off",
        "--database",
        &database,
    ])
    .output()
    .unwrap();
    assert_eq!(refused.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("m9999_future"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_development_version_ends_it_with_the_code_for_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let database = sqlite(&folder);
    let db = sea_orm::Database::connect(format!("{database}?mode=rwc"))
        .await
        .unwrap();
    sea_orm::ConnectionTrait::execute_unprepared(&db, "CREATE TABLE ts_fetch (id TEXT)")
        .await
        .unwrap();
    let args = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--metrics-listen",
        "off",
        "--database",
        &database,
    ];
    let refused = command(&args).output().unwrap();
    assert_eq!(refused.status.code(), Some(78));
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(message.contains("before the first release"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sqlite_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let _program = Program::ready(&sqlite(&folder), &[]).await;
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.file_name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_reached_its_database_says_why_and_ends_when_told() {
    let address = crate::faulty_provider::closed_port_url();
    let port = url::Url::parse(&address).unwrap().port().unwrap();
    let mut program = Program::serve(
        &format!("mysql://u:hush@127.0.0.1:{port}/d"),
        &[],
        &[
            ("TOKEN_SERVER__SERVER__DRAIN_DELAY_SECONDS", "0"),
            ("TOKEN_SERVER__SERVER__DRAIN_TIMEOUT_SECONDS", "600"),
        ],
    );
    program.wait_for_status("/readyz", 503).await;
    while !program.log().contains("the database cannot be used yet") {
        tokio::task::yield_now().await;
    }
    program.signal("TERM");
    assert_eq!(program.end().await, Some(0));
    let log = program.log();
    assert!(
        log.contains("Connection refused") && log.contains(&port.to_string()),
        "{log}"
    );
    assert!(
        !log.contains(r#""message":"ready""#) && !log.contains("hush"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_own_sockets_are_never_called() {
    let folder = tempfile::tempdir().unwrap();
    let database = sqlite(&folder);
    let metrics = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics_address = metrics.local_addr().unwrap().to_string();
    drop(metrics);
    let listen = [
        "--listen",
        "127.0.0.1:0",
        "--metrics-listen",
        &metrics_address,
    ];
    let args = [&["serve", "--database", &database][..], &listen].concat();
    let program = Program::start(&args, &[]);
    program.wait_for_status("/readyz", 200).await;
    let metrics = format!("http://{metrics_address}/metrics");
    for url in [program.at("/api/realm"), metrics] {
        let config =
            json!({"url": url, "method": "GET", "token_path": "t", "expires_in_path": "e"});
        let realm = json!({"id": "r", "config": config, "confirm_hosts": ["127.0.0.1"]});
        program.post("/api/realm", &realm).await;
        program
            .post(
                "/api/secret",
                &json!({"realm": "r", "key": "k", "credentials": {"a": "b"}}),
            )
            .await;
        let (status, problem) = program.token().await;
        assert_eq!(
            (status, &problem["code"]),
            (503, &json!("config")),
            "{url}: {problem}"
        );
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("token-server itself"), "{url}: {problem}");
    }
}
