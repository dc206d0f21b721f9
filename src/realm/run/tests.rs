use serde_json::{Value, json};

use super::*;
use crate::realm::{Definition, Expiry};

fn facts(inputs: &[(&str, &str)]) -> Facts {
    Facts {
        secret: SecretId::new("r", "k"),
        inputs: inputs.iter().copied().collect(),
        tokens: BTreeMap::from([("base".to_owned(), TokenText::from("base-token"))]),
        has_saved: false,
        forced: false,
        now: Timestamp::from_epoch_ms(1_760_000_000_500),
        uuid: "00000000-0000-4000-8000-000000000001".to_owned(),
        nonce: "0123456789abcdef0123456789abcdef".to_owned(),
    }
}

fn definition(config: &Value) -> Definition {
    Definition::read(Some(config), None).unwrap_or_else(|issues| panic!("{issues:?}"))
}

fn first(config: &Value, facts: Facts) -> Result<Request, Failure> {
    let definition = definition(config);
    let mut run = definition.recipe().unwrap().begin(facts)?;
    run.next_request().map(Option::unwrap)
}

fn fetched(config: &Value, facts: Facts, responses: &[(u16, Value)]) -> Result<Fetched, Failure> {
    let definition = definition(config);
    let mut run = definition.recipe().unwrap().begin(facts)?;
    for (status, body) in responses {
        run.next_request()?.unwrap();
        run.take(RawResponse::json(*status, body))?;
    }
    assert!(run.next_request()?.is_none(), "there are more requests");
    run.finish()
}

fn inherited(method: &str) -> Value {
    json!({"url": "https://idp.example.com/token?v=1", "method": method, "token_path": "access_token",
        "expires_in_path": "expires_in", "arguments": [
            {"name": "q", "place": "url", "value": "$key_1"},
            {"name": "n", "place": "body", "value": 1},
            {"name": "secret", "place": "body", "value": "$corp"},
            {"name": "X-Key", "place": "header", "value": "$key_1"}]})
}

#[test]
fn inherited_arguments_go_to_their_places() {
    let request = first(
        &inherited("POST"),
        facts(&[("key_1", "a b&c~"), ("corp", "s")]),
    )
    .unwrap();
    assert_eq!(
        request.url.as_str(),
        "https://idp.example.com/token?v=1&q=a%20b%26c~"
    );
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        request.headers,
        [
            header("X-Key", "a b&c~"),
            header("content-type", "application/json")
        ]
    );
    assert_eq!(request.body.unwrap().text, r#"{"n":1,"secret":"s"}"#);
    assert!(
        !format!("{:?}", request.shown).contains("a b"),
        "{:?}",
        request.shown
    );

    let request = first(&inherited("GET"), facts(&[("key_1", "x"), ("corp", "s")])).unwrap();
    assert_eq!(request.url.query(), Some("v=1&q=x&n=1&secret=s"));
    assert!(request.body.is_none());
}

#[test]
fn a_missing_numbered_credential_fails_and_names_both_ends() {
    let failure = first(&inherited("GET"), facts(&[("corp", "s")])).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Config);
    assert!(
        failure
            .detail
            .contains("$key_1 at /config/arguments/0/value"),
        "{failure}"
    );
    assert!(
        failure
            .detail
            .contains("secret r/k has no credential key_1"),
        "{failure}"
    );
}

#[test]
fn an_unknown_dollar_name_is_a_literal() {
    let request = first(&inherited("GET"), facts(&[("key_1", "x")])).unwrap();
    assert_eq!(request.url.query(), Some("v=1&q=x&n=1&secret=%24corp"));
}

#[test]
fn a_credential_that_is_no_header_value_is_refused() {
    let failure = first(&inherited("GET"), facts(&[("key_1", "line\nbreak")])).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Config);
    assert!(!failure.detail.contains("break"));
}

#[test]
fn a_function_gets_the_secret_as_json() {
    let definition = Definition::read(None, Some("https://fn.example.com/")).unwrap();
    let mut run = definition
        .recipe()
        .unwrap()
        .begin(facts(&[("key_1", "a"), ("corpid", "b")]))
        .unwrap();
    let body = run.next_request().unwrap().unwrap().body.unwrap().text;
    assert_eq!(
        body,
        r#"{"realm":"r","key":"k","key_1":"a","credentials":{"corpid":"b"}}"#
    );
}

#[test]
fn good_responses_give_token_and_life() {
    for (body, seconds) in [
        (json!({"access_token": "t", "expires_in": 7200}), Some(7200)),
        (
            json!({"access_token": "t", "expires_in": "7200"}),
            Some(7200),
        ),
        (
            json!({"errcode": 0, "errmsg": "ok", "access_token": "t", "expires_in": 7200.0}),
            Some(7200),
        ),
        (
            json!({"errcode": "0", "error": null, "access_token": "t"}),
            None,
        ),
        (json!({"access_token": "t"}), None),
        (json!({"access_token": "t", "expires_in": null}), None),
    ] {
        let token = fetched(
            &inherited("GET"),
            facts(&[("key_1", "x")]),
            &[(200, body.clone())],
        )
        .unwrap();
        let expected = seconds.map_or(Expiry::Untold, |seconds| {
            Expiry::In(std::time::Duration::from_secs(seconds))
        });
        assert_eq!(
            (token.token.expose(), token.expiry),
            ("t", expected),
            "{body}"
        );
    }
}

/// A text response is shown without what a var takes out of it.
#[test]
fn what_a_var_takes_out_of_a_response_is_not_shown() {
    let config = json!({"vars": {"line": "{{ steps[0].text | split('Auth=', 1) }}"}, "token": "var:line",
        "requests": [{"url": "https://provider.example/login"}], "response": {"format": "text"}});
    let definition = definition(&config);
    let mut run = definition.recipe().unwrap().begin(facts(&[])).unwrap();
    run.next_request().unwrap();
    run.take(RawResponse {
        status: 200,
        headers: Vec::new(),
        body: b"ok\nAuth=MARKED".to_vec(),
    })
    .unwrap();
    let shown = run.shown_response().unwrap().to_string();
    assert!(
        shown.contains("Auth=") && !shown.contains("MARKED"),
        "{shown}"
    );
    assert_eq!(run.finish().unwrap().token.expose(), "MARKED");
}

#[test]
fn of_a_response_that_cannot_be_read_the_status_is_told_first() {
    let definition = definition(&inherited("GET"));
    for (status, body, words) in [
        (
            503,
            "<html>",
            "the provider is overloaded or broken (HTTP 503): its answer is HTML or XML",
        ),
        (
            429,
            "slow down",
            "the provider is overloaded or broken (HTTP 429): its answer is not JSON",
        ),
        (
            403,
            "",
            "the provider refused (HTTP 403): its answer is empty",
        ),
        (
            200,
            "<html>",
            "the provider's answer (HTTP 200) is HTML or XML",
        ),
    ] {
        let mut run = definition
            .recipe()
            .unwrap()
            .begin(facts(&[("key_1", "x")]))
            .unwrap();
        run.next_request().unwrap();
        let raw = RawResponse {
            status,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        };
        let failure = run.take(raw).unwrap_err();
        assert!(failure.detail.starts_with(words), "{}", failure.detail);
    }
}

#[test]
fn bad_responses_are_failures_of_the_right_kind() {
    use FailureKind::{Busy, Config, Malformed, Refused};
    let definition = definition(&inherited("GET"));
    for (status, body, kind) in [
        (200, r#"{"errcode":40013,"errmsg":"invalid appid"}"#, Config),
        (
            200,
            r#"{"errcode":40001,"errmsg":"bad","access_token":"stale","expires_in":7200}"#,
            Config,
        ),
        (200, r#"{"errcode":-1,"errmsg":"system busy"}"#, Busy),
        (200, r#"{"errcode":41001,"errmsg":"other"}"#, Refused),
        (
            200,
            r#"{"error":"invalid_grant","access_token":"stale"}"#,
            Refused,
        ),
        (200, r#"{"access_token":"t","expires_in":0.5}"#, Malformed),
        (200, r#"{"access_token":""}"#, Malformed),
        (200, r#"{"access_token":["t"]}"#, Malformed),
        (200, "<html>", Malformed),
        (200, r#"{"access_token":"t","#, Malformed),
        (200, "", Malformed),
        (200, "[]", Malformed),
        (200, r#"{"access_token":"t","expires_in":-1}"#, Malformed),
        (200, r#"{"access_token":"t","expires_in":0}"#, Malformed),
        (200, r#"{"access_token":"t","expires_in":"NaN"}"#, Malformed),
        (200, r#"{"access_token":"t","expires_in":1e300}"#, Malformed),
        (200, r#"{"access_token":"t","expires_in":true}"#, Malformed),
        (302, "", Malformed),
        (400, r#"{"error":"invalid_request"}"#, Refused),
        (401, r#"{"error":"invalid_client"}"#, Config),
        (403, r#"{"access_token":"t","expires_in":1}"#, Config),
        (429, "slow down", Busy),
        (503, "<html>", Busy),
    ] {
        let mut run = definition
            .recipe()
            .unwrap()
            .begin(facts(&[("key_1", "x")]))
            .unwrap();
        run.next_request().unwrap();
        let raw = RawResponse {
            status,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        };
        let outcome = run.take(raw).and_then(|_| run.finish());
        assert_eq!(outcome.unwrap_err().kind, kind, "{status} {body}");
    }
}

#[test]
fn what_has_no_value_is_left_out_and_types_are_kept() {
    let config = json!({"inputs": {"id": {"secret": false}, "scope": {"required": false, "secret": false}}, "token": "$.t", "requests": [{
        "url": "https://idp.example.com", "query": {"scope": "{{ scope }}"},
        "json": {"id": "{{ id | int }}", "at": "{{ now }}", "text": "{{ now | string }}", "scope": "{{ scope }}", "ok": true}}]});
    let request = first(&config, facts(&[("id", "42")])).unwrap();
    assert_eq!(request.method, http::Method::POST);
    assert_eq!(request.url.as_str(), "https://idp.example.com/");
    assert_eq!(
        request.body.unwrap().text,
        r#"{"id":42,"at":1760000000,"text":"1760000000","ok":true}"#
    );
}

#[test]
fn later_requests_use_the_responses_of_earlier_ones() {
    let config = json!({"inputs": {"id": {"secret": false}}, "vars": {"got": "{{ steps[0].body.a['b-c'] }}!"}, "token": "$.token",
        "outputs": {"header": "Bearer {{ token }}", "first": "steps[0].body.n", "absent": "$.absent"},
        "requests": [{"url": "https://one.example"}, {"url": "https://two.example", "text": "{{ got }}"}]});
    let definition = definition(&config);
    let mut run = definition
        .recipe()
        .unwrap()
        .begin(facts(&[("id", "x")]))
        .unwrap();
    run.next_request().unwrap().unwrap();
    run.take(RawResponse::json(200, &json!({"a": {"b-c": "v"}, "n": 7})))
        .unwrap();
    assert_eq!(
        run.next_request().unwrap().unwrap().body.unwrap().text,
        "v!"
    );
    run.take(RawResponse::json(200, &json!({"token": "t"})))
        .unwrap();
    let fetched = run.finish().unwrap();
    assert_eq!(
        fetched.outputs,
        [
            ("header".to_owned(), json!("Bearer t")),
            ("first".to_owned(), json!(7))
        ]
    );

    let mut run = definition
        .recipe()
        .unwrap()
        .begin(facts(&[("id", "x")]))
        .unwrap();
    run.next_request().unwrap().unwrap();
    run.take(RawResponse::json(200, &json!({}))).unwrap();
    assert_eq!(
        run.next_request().unwrap_err().kind,
        FailureKind::Malformed,
        "an answer that lacks it is no fault of the operator"
    );
}

#[test]
fn codes_decide_the_class_then_the_status() {
    let config = json!({"token": "$.t", "success_when": {"path": "$.code", "equals": 0}, "requests": [{"url": "https://x.example"}],
        "errors": {"code": "$.code", "message": "$.msg", "config": [40013, "Auth*"], "busy": [-1], "quota": ["45009"],
            "dependency": [40001]}});
    for (status, body, kind, code) in [
        (
            200,
            json!({"code": 40013, "msg": "m"}),
            FailureKind::Config,
            Some("40013"),
        ),
        (
            200,
            json!({"code": "AuthFailure.Expired"}),
            FailureKind::Config,
            Some("AuthFailure.Expired"),
        ),
        (200, json!({"code": -1}), FailureKind::Busy, Some("-1")),
        (
            500,
            json!({"code": "45009"}),
            FailureKind::Quota,
            Some("45009"),
        ),
        (
            200,
            json!({"code": 40001}),
            FailureKind::Dependency,
            Some("40001"),
        ),
        (200, json!({"code": 1}), FailureKind::Refused, Some("1")),
        (403, json!({"code": 1}), FailureKind::Config, Some("1")),
        (200, json!({}), FailureKind::Refused, None),
    ] {
        let failure = fetched(&config, facts(&[]), &[(status, body.clone())]).unwrap_err();
        assert_eq!(
            (failure.kind, failure.provider.code.as_deref()),
            (kind, code),
            "{body}"
        );
    }
}

#[test]
fn what_rotates_is_told_when_its_step_succeeded() {
    let config = json!({"inputs": {"refresh_token": {"from": "rotating"}}, "token": "$.t",
        "save": {"refresh_token": {"from": "steps[0].body.r", "expires": {"path": "steps[0].body.left", "unit": "seconds"}}},
        "requests": [{"url": "https://one.example", "form": {"refresh_token": "{{ refresh_token }}"}},
                     {"url": "https://two.example"}]});
    let definition = definition(&config);
    let mut run = definition
        .recipe()
        .unwrap()
        .begin(facts(&[("refresh_token", "old")]))
        .unwrap();
    assert!(run.next_request().unwrap().unwrap().spends);
    let saved = run
        .take(RawResponse::json(200, &json!({"r": "new", "left": 100})))
        .unwrap();
    assert_eq!(saved.values.get("refresh_token"), Some("new"));
    assert_eq!(
        saved.expires_at,
        Some(Timestamp::from_epoch_ms(1_760_000_100_500))
    );
    assert!(!run.next_request().unwrap().unwrap().spends);
    let failure = {
        let mut run = definition
            .recipe()
            .unwrap()
            .begin(facts(&[("refresh_token", "old")]))
            .unwrap();
        run.next_request().unwrap();
        run.take(RawResponse::json(400, &json!({"error": "invalid_grant"})))
            .unwrap_err()
    };
    assert_eq!(failure.kind, FailureKind::Reauthorise);
}

#[test]
fn secrets_are_masked_in_what_is_shown() {
    let config = json!({"inputs": {"id": {"secret": false}, "key": {}}, "token": "$.t",
        "vars": {"pair": "{{ id }}:{{ key }}", "twice": "{{ pair | base64 }}"},
        "depends_on": {"base": {"realm": "b", "key": "{{ id }}"}},
        "requests": [{"url": "https://x.example/{{ id }}", "query": {"t": "{{ tokens.base }}", "id": "{{ id }}"},
            "headers": {"Authorization": "Basic {{ twice }}"}, "json": {"id": "{{ id }}", "key": "{{ key }}"}}]});
    let request = first(&config, facts(&[("id", "app"), ("key", "hunter2")])).unwrap();
    assert_eq!(request.headers[0].1, "Basic YXBwOmh1bnRlcjI=");
    let shown = format!("{:?}", request.shown);
    for hidden in ["hunter2", "YXBw", "base-token"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    assert_eq!(
        request.shown.body.as_deref(),
        Some(r#"{"id":"app","key":"******************"}"#)
    );
    assert_eq!(
        request.shown.url,
        "https://x.example/app?t=******************&id=app"
    );
}

#[test]
fn oauth2_is_expanded_as_the_rfc_says() {
    let config = json!({"oauth2": {"token_endpoint": "https://as.example/token", "scope": ["a", "b"], "audience": "https://api"}});
    let request = first(
        &config,
        facts(&[("client_id", "i d"), ("client_secret", "s:+")]),
    )
    .unwrap();
    assert_eq!(
        request.body.unwrap().text,
        "grant_type=client_credentials&scope=a+b&audience=https%3A%2F%2Fapi"
    );
    assert_eq!(
        request.headers[0],
        (
            "Authorization".to_owned(),
            "Basic aStkOnMlM0ElMkI=".to_owned()
        )
    );
    let post = json!({"oauth2": {"token_endpoint": "https://as.example/token", "grant_type": "refresh_token",
        "token_endpoint_auth_method": "client_secret_post"}});
    let request = first(
        &post,
        facts(&[
            ("client_id", "i"),
            ("client_secret", "s"),
            ("refresh_token", "r"),
        ]),
    )
    .unwrap();
    assert_eq!(
        request.body.unwrap().text,
        "grant_type=refresh_token&refresh_token=r&client_id=i&client_secret=s"
    );
    assert!(request.spends);
}

#[test]
fn a_secret_is_masked_also_as_it_was_sent() {
    let config = json!({"oauth2": {"token_endpoint": "https://as.example/token"}});
    let definition = definition(&config);
    let mut run = definition
        .recipe()
        .unwrap()
        .begin(facts(&[("client_id", "id"), ("client_secret", "hunter2")]))
        .unwrap();
    let sent = run.next_request().unwrap().unwrap().headers[0].1.clone();
    let echoed =
        json!({"error": "invalid_client", "error_description": format!("{sent} is wrong")});
    let failure = run.take(RawResponse::json(401, &echoed)).unwrap_err();
    let shown = run.masked(failure).provider.message.unwrap();
    assert_eq!(shown, "Basic ****************** is wrong");
}

#[test]
fn a_request_may_be_plain_if_it_carries_no_secret_or_says_so() {
    let inputs = json!({"open": {"secret": false}, "hidden": {"secret": true}});
    let general = |sent: &str, more: Value| {
        let mut request = json!({"url": "http://a.example/", "query": {"q": sent}});
        request
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"inputs": inputs, "token": "$.t", "expires": {"lifetime": 60}, "requests": [request],
            "vars": {"made": "{{ hidden | sha256 | hex }}"}})
    };
    let values = [
        ("open", "o"),
        ("hidden", "h"),
        ("key_1", "k"),
        ("corp", "c"),
    ];
    let literal = json!({"url": "http://a.example", "method": "GET", "token_path": "t"});
    for (config, expected) in [
        (general("{{ open }}", json!({})), true),
        (general("{{ hidden }}", json!({})), false),
        (general("a{{ open }}{{ made }}", json!({})), false),
        (
            general("{{ hidden }}", json!({"insecure_http": true})),
            true,
        ),
        (
            general("{{ hidden }}", json!({"insecure_http": false})),
            false,
        ),
        (
            general("x", json!({"headers": {"X-Key": "{{ hidden }}"}})),
            false,
        ),
        (general("x", json!({"json": {"a": ["{{ made }}"]}})), false),
        (general("x", json!({"text": "{{ open }}"})), true),
        (inherited("POST"), false),
        (literal, true),
    ] {
        let request = first(&config, facts(&values)).unwrap();
        assert_eq!(request.may_be_plain, expected, "{config}");
    }
    let function = Definition::read(None, Some("http://f.example/")).unwrap();
    let mut run = function.recipe().unwrap().begin(facts(&values)).unwrap();
    assert!(!run.next_request().unwrap().unwrap().may_be_plain);
}
