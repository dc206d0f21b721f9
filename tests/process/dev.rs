//! What the README's first command starts.

use std::process::Command;

use serde_json::Value;

use crate::program::{Program, run};

/// The first lines it prints, up to the last hint.
fn welcome(program: &Program) -> Vec<String> {
    let mut lines = Vec::new();
    while !lines
        .last()
        .is_some_and(|line: &String| line.contains("Ctrl-C"))
    {
        lines.push(program.next_line());
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn each_printed_curl_line_works_as_pasted() {
    let mut program = Program::start(&["dev", "--listen", "127.0.0.1:0"], &[]);
    let lines = welcome(&program);
    let curls: Vec<_> = lines
        .iter()
        .filter(|line| line.trim_start().starts_with("curl "))
        .collect();
    assert_eq!(curls.len(), 7, "{lines:#?}");
    for curl in &curls {
        let pasted = Command::new("sh")
            .args(["-c", &format!("{curl} --silent --fail")])
            .output()
            .unwrap();
        assert!(pasted.status.success(), "{curl}: {pasted:?}");
        let answer: Value = serde_json::from_slice(&pasted.stdout).unwrap();
        if curl.contains("/api/token") {
            assert!(
                answer["token"].as_str().unwrap().len() > 20,
                "{curl}: {answer}"
            );
        }
        if curl.contains("/calls") {
            assert_eq!(
                answer,
                serde_json::json!({"wechat": 2, "wecom": 1, "oauth2": 1})
            );
        }
    }
    let folder = lines
        .iter()
        .find_map(|line| line.split("data: ").nth(1)?.split(" (").next())
        .unwrap();
    assert!(std::path::Path::new(folder).exists());
    program.signal("INT");
    assert_eq!(program.end().await, Some(0));
    assert!(
        !std::path::Path::new(folder).exists(),
        "the temporary folder is removed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_kept_where_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("kept");
    for version in [1, 2] {
        let mut program = Program::start(
            &[
                "dev",
                "--listen",
                "127.0.0.1:0",
                "--data",
                data.to_str().unwrap(),
            ],
            &[],
        );
        welcome(&program);
        let (status, token) = program.get("/api/token?realm=demo-wechat&key=demo").await;
        assert_eq!(
            (status, &token["version"]),
            (200, &serde_json::json!(version)),
            "{token}"
        );
        program.signal("INT");
        assert_eq!(program.end().await, Some(0));
    }
}

#[test]
fn dev_listens_on_loopback_only() {
    let refused = run(&["dev", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_is_served_without_the_internet() {
    let program = Program::start(&["dev", "--listen", "127.0.0.1:0"], &[]);
    welcome(&program);
    let client = token_server::upstream::client_builder()
        .unwrap()
        .build()
        .unwrap();
    let page = client
        .get(format!("{}/docs/", program.url))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(page.contains("swagger-ui"), "{page}");
    assert!(
        !page.contains("https://"),
        "loads nothing from elsewhere: {page}"
    );
    let (status, description) = program.get("/openapi.json").await;
    assert_eq!(
        (status, &description["openapi"]),
        (200, &serde_json::json!("3.1.0"))
    );
    let committed: Value = serde_json::from_str(include_str!("../../openapi.json")).unwrap();
    assert_eq!(description, committed, "make gen");
}
