//! What `realm check` says beside its report, and how it ends.

use serde_json::{Value, json};

use crate::program::{Check, Checked, check_text};

/// Two requests, of which the second needs the first.
fn two_steps() -> Value {
    json!({
        "inputs": {"user": {"secret": false}, "password": {}},
        "depends_on": {"base": {"realm": "b", "key": "k"}},
        "requests": [
            {"url": "https://provider.example/login", "json": {"user": "{{ user }}", "base": "{{ tokens.base }}"}},
            {"url": "https://provider.example/token", "query": {"code": "{{ steps[0].body.code }}"}},
        ],
        "token": "$.token",
        "expires": {"path": "$.life"},
    })
}

fn check(credentials: &Value, answers: &[Value]) -> Checked {
    let config = &two_steps();
    Check {
        config,
        credentials,
        answers,
        facts: &Value::Null,
        show_secrets: false,
        output: "json",
    }
    .run()
}

fn values() -> Value {
    json!({"inputs": {"user": "u", "password": "p"}, "tokens": {"base": "t"}})
}

fn first() -> Value {
    json!({"status": 200, "body": {"code": "c"}})
}

fn second() -> Value {
    json!({"status": 200, "body": {"token": "t", "life": 7200}})
}

#[test]
fn a_definition_alone_is_right_and_tells_what_it_needs() {
    let checked = check(&Value::Null, &[]);
    assert_eq!(
        (checked.code, &checked.report()["requests"]),
        (0, &json!([])),
        "{}",
        checked.stderr
    );
    assert!(
        checked
            .stderr
            .contains("--credentials with user, password, tokens.base"),
        "{}",
        checked.stderr
    );
    let checked = check(&Value::Null, &[first(), second()]);
    assert_eq!(checked.code, 1, "answers cannot be judged without values");
}

#[test]
fn an_answer_for_each_request_ends_well() {
    let checked = check(&values(), &[first(), second()]);
    assert_eq!(
        (checked.code, &checked.report()["expires_in"]),
        (0, &json!(7_200_000)),
        "{}",
        checked.stderr
    );
    assert_eq!(checked.stderr, "");
}

#[test]
fn too_few_answers_bring_no_token() {
    let checked = check(&values(), &[first()]);
    assert_eq!(checked.code, 1);
    assert!(
        checked.stderr.contains("request 2 has no --answer"),
        "{}",
        checked.stderr
    );
    assert_eq!(
        check(&values(), &[]).code,
        0,
        "no answer was given: none is judged"
    );
}

#[test]
fn what_is_not_used_is_told() {
    let mut values = values();
    values["inputs"]["usr"] = "MARKED".into();
    values["tokens"]["bsae"] = "MARKED".into();
    let untold = json!({"status": 200, "body": {"token": "t"}});
    let checked = check(&values, &[first(), untold, second()]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    for warning in [
        "no input usr",
        "no depends_on.bsae",
        "assuming 300 s",
        "3 answers for 2 requests",
    ] {
        assert!(
            checked.stderr.contains(warning),
            "{warning}: {}",
            checked.stderr
        );
    }
    assert!(!checked.stderr.contains("MARKED"), "{}", checked.stderr);
}

#[test]
fn each_of_a_repeated_header_is_shown() {
    let config = &json!({
        "requests": [{"url": "https://provider.example", "headers": {"X-Part": ["a", "b"]}}], "token": "$.t",
    });
    let none = &json!({});
    let check = |output| {
        Check {
            config,
            credentials: none,
            answers: &[],
            facts: &Value::Null,
            show_secrets: false,
            output,
        }
        .run()
    };
    assert_eq!(
        check("json").report()["requests"][0]["headers"]["X-Part"],
        json!(["a", "b"])
    );
    let table = check("table").stdout;
    assert!(table.contains("X-Part: a\nX-Part: b"), "{table}");
}

/// Exit code 2 and a report, as with one that can be read and is wrong.
#[test]
fn a_definition_that_cannot_be_read_is_wrong() {
    for (name, text, told) in [
        (
            "a.yaml",
            "token: $.t\nrequests:\n  - url: {{ host }}/token\n",
            "quote every value that has {{",
        ),
        (
            "a.yaml",
            "token: $.t\ntoken: $.x\n",
            "duplicate mapping key: token",
        ),
        ("a.yaml", "token:\t$.t\n\trequests: []\n", "line 1 column 8"),
        (
            "a.json",
            r#"{"config": {"token": "$.t", "token": "$.x"}}"#,
            "the member token occurs twice",
        ),
        ("a.json", r#"{"config": "#, "line 1"),
        ("a.toml", "token = \n", "line 1"),
        ("a.json", "[]", "expected an object"),
    ] {
        let checked = check_text(name, text);
        let error = &checked.report()["error"];
        assert_eq!(
            (checked.code, &error["class"]),
            (2, &json!("definition")),
            "{text}: {}",
            checked.stderr
        );
        for told_in in [error["message"].as_str().unwrap(), &checked.stderr] {
            assert!(told_in.contains(told), "{text}: {told_in}");
            assert!(!told_in.contains("DuplicateKeyPolicy"), "{told_in}");
        }
    }
}

#[test]
fn a_life_that_is_hardly_one_is_doubted() {
    let instant = json!({"status": 200, "body": {"token": "t", "life": 1_760_003_600}});
    let checked = check(&values(), &[first(), instant]);
    assert_eq!(checked.code, 0);
    assert!(
        checked.stderr.contains("55 years: is the unit"),
        "{}",
        checked.stderr
    );
}
