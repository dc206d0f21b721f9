//! Definitions that are refused when they are saved, each with the place and the reason.

mod requests;

use serde_json::{Value, json};
use token_server::json::Issue;
use token_server::realm::Definition;

/// A good definition, to spoil.
pub(crate) fn good() -> Value {
    json!({
        "inputs": {"appid": {}, "secret": {"secret": true}, "grant": {"from": "rotating"}},
        "vars": {"base": "{{ appid }}:{{ secret }}"},
        "requests": [{"url": "https://provider.example/token", "form": {"sign": "{{ base | sha256 | hex }}"}}],
        "token": "$.access_token",
        "expires": {"path": "$.expires_in"},
        "save": {"grant": "$.refresh_token"},
    })
}

/// The good definition with members set, `null` to take them out.
fn with(members: Value) -> Value {
    let mut config = good();
    let Value::Object(members) = members else {
        panic!("{members}")
    };
    for (name, value) in members {
        if value.is_null() {
            config.as_object_mut().unwrap().remove(&name);
        } else {
            config[name] = value;
        }
    }
    config
}

/// The good definition with another form body.
fn sending(template: impl Into<Value>) -> Value {
    with(
        json!({"requests": [{"url": "https://provider.example/token", "form": {"sign": template.into()}}]}),
    )
}

fn issues(config: &Value) -> Vec<Issue> {
    Definition::read(Some(config), None)
        .err()
        .unwrap_or_default()
}

/// Every one is refused, at this place (or for the whole that it is part of) and nowhere else, with
/// these words.
fn assert_refused(table: Vec<(Value, &str, &str)>) {
    assert_eq!(issues(&good()), []);
    let mut wrong = Vec::new();
    for (config, place, reason) in table {
        let found = issues(&config);
        let is_here =
            |issue: &Issue| place.starts_with(issue.pointer.as_str()) && !issue.pointer.is_empty();
        let is_told = |issue: &Issue| issue.pointer == place && issue.detail.contains(reason);
        if !found.iter().all(is_here) || !found.iter().any(is_told) {
            let shown: String = config.to_string().chars().take(300).collect();
            wrong.push(format!("{place} {reason:?}: {found:?}\n    {shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The words say how to mend it.
#[test]
fn what_was_meant_is_told() {
    let vars = json!({"base": "{{ b }}", "b": "{{ c }}", "c": "{{ base }}"});
    let header = json!([{"url": "https://provider.example/token", "headers": {"X-Id": "a\nb"},
        "form": {"sign": "{{ base }}"}}]);
    let sign = "/config/requests/0/form/sign";
    assert_refused(vec![
        (
            with(json!({"expires": "$.e"})),
            "/config/expires",
            r#"(did you mean {"path": "$.e"}?)"#,
        ),
        (
            with(json!({"expires": 7200})),
            "/config/expires",
            r#"(did you mean {"lifetime": 7200}?)"#,
        ),
        (
            with(json!({"expires": {"path": "$.e", "lifetime": 60}})),
            "/config/expires",
            "found path and lifetime",
        ),
        (
            with(json!({"expires": {"lifetime": "1 hour"}})),
            "/config/expires/lifetime",
            "",
        ),
        (
            with(json!({"expires": {"lifetime": 60, "unit": "days"}})),
            "/config/expires",
            "are of what stands at path",
        ),
        (
            with(json!({"requests": header})),
            "/config/requests/0/headers/X-Id",
            "no line ends",
        ),
        (
            sending("{{ 'appid }}"),
            sign,
            "the text that begins with ' has no end",
        ),
    ]);
    let told = issues(&with(json!({"vars": vars})));
    let told = told
        .iter()
        .find(|issue| issue.pointer == "/config/vars/base")
        .unwrap();
    assert_eq!(told.detail, "depends on itself: base → b → c → base");
}

/// An answer is used after it came, and for what it has.
#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, or one story from its beginning to its end"
)]
fn answers_that_are_not_there_are_refused() {
    let sign = "/config/requests/0/form/sign";
    let request = json!({"url": "https://provider.example/token", "form": {"sign": "{{ base }}"}});
    let two = json!([request, request]);
    let mut early = two.clone();
    early[0]["success_when"] = json!({"path": "steps[1].body.err", "absent": true});
    let made = |template: &str| with(json!({"vars": {"base": "{{ appid }}", "made": template}}));
    assert_refused(vec![
        (
            sending("{{ steps[0].body.a }}"),
            sign,
            "before the first request there is no answer",
        ),
        (
            with(json!({"vars": {"base": "{{ steps[0].text }}"}, "requests":
                [{"url": "https://provider.example/token", "form": {"sign": "x{{ base }}"}}]})),
            sign,
            "uses steps[0], and before the first request there is no answer",
        ),
        (
            made("{{ steps[1].body.a }}"),
            "/config/vars/made",
            "there is no steps[1]",
        ),
        (
            made("{{ steps[0].boddy.a }}"),
            "/config/vars/made",
            "steps[0] has no boddy, but body, text, status, headers, cookies (did you mean body?)",
        ),
        (
            made("{{ steps[0]['cookie'].a }}"),
            "/config/vars/made",
            "(did you mean cookies?)",
        ),
        (
            with(
                json!({"token": "steps[1].body.t", "requests": two.clone(), "refresh_requests": [two[0].clone()]}),
            ),
            "/config/token",
            "one of requests and refresh_requests has 1 only",
        ),
        (
            with(
                json!({"save": {"grant": "steps[1].body.g"}, "requests": two.clone(),
                "refresh_requests": [two[0].clone()]}),
            ),
            "/config/save/grant",
            "one of requests and refresh_requests has 1 only",
        ),
        (
            with(json!({"requests": early})),
            "/config/requests/0/success_when",
            "comes after the answer that is tested",
        ),
        (
            with(json!({"token": "{{ steps[0].body.t }}"})),
            "/config/token",
            "name that here as var:NAME",
        ),
        (
            with(json!({"token": "headers:X-Token"})),
            "/config/token",
            "did you mean header:NAME?",
        ),
        (
            with(json!({"expires": {"path": "$.e", "unit": "seconds", "zone": "Asia/Shanghai"}})),
            "/config/expires/zone",
            "is only allowed with unit `rfc3339` or `date`",
        ),
        (
            with(json!({"expires": {"path": "$.e", "unit": "date", "zone": "China"}})),
            "/config/expires/zone",
            "is not a time zone, e.g. Asia/Shanghai",
        ),
    ]);
}

/// What no value can make right.
#[test]
fn an_expression_that_always_fails_is_refused() {
    assert_refused(vec![
        (
            sending("{{ appid | sha256 }}"),
            "/config/requests/0/form/sign",
            "{{ appid | sha256 }}: sha256 makes bytes, where text is made: end with | hex or | base64",
        ),
        (
            sending("v1={{ appid | hmac_sha1(secret ~ '&') }}"),
            "/config/requests/0/form/sign",
            "hmac_sha1 makes bytes",
        ),
        (
            with(json!({"vars": {"base": {"json": {"digest": "{{ appid | md5 }}"}}}})),
            "/config/vars/base/json/digest",
            "md5 makes bytes",
        ),
        (
            with(json!({"outputs": {"digest": "{{ token | md5 }}"}})),
            "/config/outputs/digest",
            "md5 makes bytes",
        ),
        (
            sending("{{ now | date('%Y%m%d', 'Asia/Shangai') }}"),
            "/config/requests/0/form/sign",
            "is not a time zone, e.g. Asia/Shanghai",
        ),
        (
            sending("{{ now | date('%!') }}"),
            "/config/requests/0/form/sign",
            "is not a format of a date, e.g. %Y-%m-%d",
        ),
        (
            sending("{{ now_ms | date('%Y') }}"),
            "/config/requests/0/form/sign",
            "is no time",
        ),
        (
            sending("{{ now | slice(-1, 2) }}"),
            "/config/requests/0/form/sign",
            "slice counts from 0",
        ),
    ]);
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, or one story from its beginning to its end"
)]
fn unknown_fields_and_names_are_told_with_the_nearest() {
    assert_refused(vec![
        (
            with(json!({"expire": "never"})),
            "/config/expire",
            "unknown field (did you mean expires?)",
        ),
        (
            with(
                json!({"inputs": {"appid": {"lable": "x"}, "secret": {}, "grant": {"from": "rotating"}}}),
            ),
            "/config/inputs/appid/lable",
            "did you mean label?",
        ),
        (
            with(json!({"requests": [{"url": "https://provider.example", "qeury": {}}]})),
            "/config/requests/0/qeury",
            "did you mean query?",
        ),
        (
            with(json!({"response": {"fromat": "json"}})),
            "/config/response/fromat",
            "did you mean format?",
        ),
        (
            with(json!({"errors": {"confg": [1]}})),
            "/config/errors/confg",
            "did you mean config?",
        ),
        (
            with(json!({"policy": {"resissue": "same"}})),
            "/config/policy/resissue",
            "did you mean reissue?",
        ),
        (
            sending("{{ appId }}"),
            "/config/requests/0/form/sign",
            "appId is no input and no var of this realm (did you mean appid?)",
        ),
        (
            sending("x{{ appid | sha265 | hex }}"),
            "/config/requests/0/form/sign",
            "there is no filter sha265 (did you mean sha256?)",
        ),
        (
            sending("{{ appid | safe }}"),
            "/config/requests/0/form/sign",
            "there is no filter safe",
        ),
        (
            sending("{{ tokens.base }}"),
            "/config/requests/0/form/sign",
            "tokens.base is no alias of depends_on",
        ),
        (
            with(json!({"token": "var:bsae"})),
            "/config/token",
            "there is no var bsae (did you mean base?)",
        ),
        (
            with(json!({"save": {"grnat": "$.x", "grant": "$.x"}})),
            "/config/save/grnat",
            "is no input of this realm (did you mean grant?)",
        ),
        (
            with(json!({"vars": {"base": {"jwt": {"alg": "RS265", "key": "{{ secret }}"}}}})),
            "/config/vars/base/jwt/alg",
            "did you mean RS256?",
        ),
    ]);
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, or one story from its beginning to its end"
)]
fn templates_are_expressions_and_bounded() {
    let sign = "/config/requests/0/form/sign";
    let deep = |brackets: usize| {
        format!(
            "{{{{ {}1{} }}}}",
            "(".repeat(brackets),
            ")".repeat(brackets)
        )
    };
    assert_refused(vec![
        (
            sending("{% if appid %}x{% endif %}"),
            sign,
            "{% is not part of the language",
        ),
        (
            sending("{# a note #}"),
            sign,
            "{# is not part of the language",
        ),
        (sending("{{ appid"), sign, "{{ without its }}"),
        (sending("{{ }}"), sign, "has no expression in it"),
        (sending("{{ 'appid }}"), sign, "has no end"),
        (sending("{{ appid | }}"), sign, "{{ appid | }}"),
        (
            sending("{{ appid * 2 }}"),
            sign,
            "* is not part of the language",
        ),
        (sending("{{ range(9) }}"), sign, "there are no functions"),
        (
            sending("{{ appid.upper() }}"),
            sign,
            "there are no functions",
        ),
        (
            sending("{{ appid | split | upper }}"),
            sign,
            "the filter split needs an argument",
        ),
        (
            sending("{{ appid | hmac_sha256 }}"),
            sign,
            "the filter hmac_sha256 needs an argument",
        ),
        (
            sending("{{ appid | hmac_sha256:appid | hex }}"),
            sign,
            "stands in brackets",
        ),
        (
            sending("{{ [1, 2] is defined }}"),
            sign,
            "is is not part of the language",
        ),
        (
            sending("{{ {'a': 1} }}"),
            sign,
            "braces are not part of the language",
        ),
        (
            sending(format!("{{{{ appid ~ '{}' }}}}", "x".repeat(1100))),
            sign,
            "must not be longer than 1024 bytes",
        ),
        (
            sending("x".repeat(17 << 10)),
            sign,
            "must not be longer than 16384 bytes",
        ),
        (
            sending(format!("{{{{ {}1 }}}}", "-".repeat(2000))),
            sign,
            "must not be longer than 1024 bytes",
        ),
        (
            sending(format!("{{{{ {}1 }}}}", "-".repeat(900))),
            sign,
            "two minus signs in a row",
        ),
        (
            sending(format!("{{{{ {}1 }}}}", "- ".repeat(500))),
            sign,
            "two minus signs in a row",
        ),
        (
            sending(format!("{{{{ {}true }}}}", "not ".repeat(200))),
            sign,
            "100 operators: use vars",
        ),
        (
            sending(deep(3000)),
            sign,
            "must not be longer than 1024 bytes",
        ),
        (sending(deep(400)), sign, "16 brackets within brackets"),
        (
            sending(format!("{{{{ appid{} }}}}", " | upper".repeat(120))),
            sign,
            "100 operators",
        ),
        (
            sending(format!("{{{{ appid{} }}}}", ".a".repeat(300))),
            sign,
            "100 operators",
        ),
    ]);
}

#[test]
fn vars_do_not_depend_on_themselves() {
    let vars = |vars: Value| {
        with(json!({"vars": vars, "requests": [{"url": "https://provider.example"}]}))
    };
    assert_refused(vec![
        (
            vars(json!({"a": "{{ a }}"})),
            "/config/vars/a",
            "depends on itself",
        ),
        (
            vars(json!({"a": "{{ appid }}", "secret": "x"})),
            "/config/vars/secret",
            "is an input too",
        ),
        (
            vars(json!({"now": "x"})),
            "/config/vars/now",
            "now is a word of the language",
        ),
        (
            vars(json!({"1a": "x"})),
            "/config/vars/1a",
            "expected a name of letters, digits and _",
        ),
        (
            vars(json!({"a": null})),
            "/config/vars/a",
            "expected a template (a string), a number or a boolean, found null",
        ),
        (
            vars(json!({"a": {"jwt": {"alg": "HS256"}}})),
            "/config/vars/a/jwt/key",
            "required: a string",
        ),
    ]);
    let round = vars(
        json!({"a": "{{ b }}", "b": {"json": {"x": ["{{ c }}"]}}, "c": "{{ a | upper }}", "d": "{{ a }}"}),
    );
    let places: Vec<_> = issues(&round)
        .into_iter()
        .map(|issue| issue.pointer)
        .collect();
    assert_eq!(
        places,
        ["/config/vars/a", "/config/vars/b", "/config/vars/c"]
    );
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, or one story from its beginning to its end"
)]
fn units_and_places_are_those_of_the_language() {
    let step = |location: &str| with(json!({"token": location}));
    assert_refused(vec![
        (
            with(json!({"expires": {"path": "$.expires_in", "unit": "second"}})),
            "/config/expires/unit",
            "did you mean seconds?",
        ),
        (
            with(json!({"expires": {"unit": "seconds"}})),
            "/config/expires",
            "expected {\"path\"",
        ),
        (
            with(json!({"expires": {"lifetime": "soon"}})),
            "/config/expires/lifetime",
            "",
        ),
        (
            with(json!({"expires": {"lifetime": 0}})),
            "/config/expires/lifetime",
            "must be a second or more",
        ),
        (
            with(json!({"expires": "sometimes"})),
            "/config/expires",
            r#"{"lifetime"}, {"jwt_exp": true} or "never""#,
        ),
        (
            step("$..token"),
            "/config/token",
            "must be a singular query",
        ),
        (
            step("$.data[*]"),
            "/config/token",
            "must be a singular query",
        ),
        (step("$["), "/config/token", "is not a JSONPath of RFC 9535"),
        (step(""), "/config/token", "must not be empty"),
        (
            step("header:"),
            "/config/token",
            "names nothing after the colon",
        ),
        (
            step("steps[1].body.token"),
            "/config/token",
            "there are only 1 requests; steps are counted from 0",
        ),
        (
            step("steps[11].body.token"),
            "/config/token",
            "expected a step from 0 to 9",
        ),
        (
            with(json!({"token": null})),
            "/config/token",
            "required: where the token is",
        ),
        (
            with(json!({"token": []})),
            "/config/token",
            "expected 1 to 10 locations",
        ),
        (with(json!({"token": 7})), "/config/token", "found a number"),
        (
            with(json!({"success_when": {"path": "$.code"}})),
            "/config/success_when",
            "one of equals, not_equals, absent and present",
        ),
        (
            with(json!({"success_when": {"status": 99}})),
            "/config/success_when/status",
            "expected an HTTP status",
        ),
        (
            with(json!({"response": {"format": "yaml"}})),
            "/config/response/format",
            "expected one of: json, xml, form, text",
        ),
        (
            with(json!({"requests": [], "inputs": {"appid": {}, "secret": {}}, "save": null})),
            "/config/token",
            "nothing is called, so there is no answer",
        ),
    ]);
}
