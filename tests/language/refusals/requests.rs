//! Requests, `oauth2`, bases and what rotates, where they are wrong.

use serde_json::{Map, Value, json};

use super::{assert_refused, issues, with};

/// An object so many members deep.
fn nested(depth: usize) -> Value {
    (0..depth).fold(json!("{{ appid }}"), |inside, _| json!({"a": inside}))
}

#[test]
fn whether_secrets_may_go_over_http_is_yes_or_no() {
    let url = "http://provider.example/token";
    let wrong = "expected true or false";
    assert_refused(vec![
        (
            with(json!({"requests": [{"url": url, "insecure_http": "yes"}]})),
            "/config/requests/0/insecure_http",
            wrong,
        ),
        (
            json!({"oauth2": {"token_endpoint": url, "insecure_http": 1}}),
            "/config/oauth2/insecure_http",
            wrong,
        ),
        (
            json!({"url": url, "method": "GET", "token_path": "t", "insecure_http": {}}),
            "/config/insecure_http",
            wrong,
        ),
    ]);
}

#[test]
fn requests_are_what_http_can_carry() {
    let request = |request: Value| with(json!({"requests": [request]}));
    let url = "https://provider.example/token";
    assert_refused(vec![
        (
            request(json!({"url": url, "form": {}, "json": {}})),
            "/config/requests/0",
            "expected one of form, json, xml and text",
        ),
        (
            request(json!({"url": "ftp://provider.example"})),
            "/config/requests/0/url",
            "expected an http or https URL",
        ),
        (
            request(json!({"url": "provider.example/{{ appid }}"})),
            "/config/requests/0/url",
            "begins with http:// or https://",
        ),
        (
            request(json!({"method": "FETCH", "url": url})),
            "/config/requests/0/method",
            "expected one of: GET, POST",
        ),
        (
            request(json!({"url": url, "headers": {"Host": "x"}})),
            "/config/requests/0/headers/Host",
            "is set by the HTTP client itself",
        ),
        (
            request(json!({"url": url, "headers": {"a b": "x"}})),
            "/config/requests/0/headers/a b",
            "is not a valid header name",
        ),
        (
            request(json!({"url": url, "xml": {"a": "x", "b": "y"}})),
            "/config/requests/0/xml",
            "expected one member: the root element",
        ),
        (
            request(json!({"url": url, "xml": {"a": {"b c": "x"}}})),
            "/config/requests/0/xml/a/b c",
            "is not a name of XML",
        ),
        (
            request(json!({"url": url, "form": {"a": {"b": 1}}})),
            "/config/requests/0/form/a",
            "found an object",
        ),
        (
            with(json!({"requests": {"url": url}})),
            "/config/requests",
            "expected an array, found an object",
        ),
        (
            with(json!({"tls": {"certificate": "{{ appid }}"}})),
            "/config/tls",
            "certificate and key go together",
        ),
    ]);
}

#[test]
fn documents_are_bounded() {
    let request = |request: Value| with(json!({"requests": [request]}));
    let url = "https://provider.example/token";
    // Deeper than anything that a provider wants.
    let places: Vec<_> = issues(&request(json!({"url": url, "json": nested(40)})))
        .into_iter()
        .map(|issue| issue.detail)
        .collect();
    assert_eq!(places, ["more than 16 values within values"]);
    assert_refused(vec![(
        with(json!({"requests": vec![json!({"url": url}); 11]})),
        "/config/requests",
        "at most 10 requests",
    )]);
    let many: Map<_, _> = (0..101)
        .map(|number| (format!("a{number}"), json!("x")))
        .collect();
    assert_refused(vec![(
        request(json!({"url": url, "form": many})),
        "/config/requests/0/form",
        "at most 100 members",
    )]);
}

#[test]
fn oauth2_makes_its_request_itself() {
    let oauth2 = |oauth2: Value, more: Value| {
        let mut config = json!({"oauth2": {"token_endpoint": "https://provider.example/token"}});
        for (member, value) in oauth2.as_object().unwrap() {
            config["oauth2"][member] = value.clone();
        }
        for (member, value) in more.as_object().unwrap() {
            config[member] = value.clone();
        }
        config
    };
    assert_eq!(issues(&oauth2(json!({}), json!({}))), []);
    let requests = json!({"requests": [{"url": "https://provider.example"}]});
    assert_refused(vec![
        (
            oauth2(json!({}), requests),
            "/config/requests",
            "oauth2 makes the request",
        ),
        (
            oauth2(json!({"token_endpoint": null}), json!({})),
            "/config/oauth2/token_endpoint",
            "required: a string",
        ),
        (
            oauth2(json!({"grant_type": "authorization_code"}), json!({})),
            "/config/oauth2/grant_type",
            "needs a person at a browser",
        ),
        (
            oauth2(json!({"grant_type": "jwt_bearer"}), json!({})),
            "/config/oauth2/assertion",
            "required for jwt_bearer",
        ),
        (
            oauth2(
                json!({"token_endpoint_auth_method": "client_secret_form"}),
                json!({}),
            ),
            "/config/oauth2/token_endpoint_auth_method",
            "expected one of: client_secret_basic",
        ),
        (
            oauth2(json!({"scopes": "a"}), json!({})),
            "/config/oauth2/scopes",
            "did you mean scope?",
        ),
        (
            oauth2(
                json!({"token_endpoint_auth_method": "private_key_jwt", "assertion_alg": "HS256"}),
                json!({}),
            ),
            "/config/oauth2/assertion_alg",
            "HS256 does not go with this method",
        ),
    ]);
}

#[test]
fn bases_are_named_by_inputs_that_stay() {
    let base = |base: Value| with(json!({"depends_on": {"base": base}}));
    assert_refused(vec![
        (
            base(json!({"realm": "wechat"})),
            "/config/depends_on/base/key",
            "required: a string",
        ),
        (
            base(json!({"realm": "wechat", "key": "{{ grant }}"})),
            "/config/depends_on/base/key",
            "only inputs that do not rotate",
        ),
        (
            base(json!({"realm": "wechat", "key": "{{ base }}"})),
            "/config/depends_on/base/key",
            "only inputs that do not rotate",
        ),
        (
            base(json!({"realm": "wechat", "secret": "x", "key": "y"})),
            "/config/depends_on/base/secret",
            "unknown field",
        ),
    ]);
}

#[test]
fn what_rotates_is_saved_and_nothing_else_is() {
    assert_refused(vec![
        (
            with(json!({"save": null})),
            "/config/inputs/grant",
            "rotates, so save must say where its new value is",
        ),
        (
            with(json!({"save": {"grant": "$.x", "appid": "$.y"}})),
            "/config/save/appid",
            "is no rotating input",
        ),
        (
            with(
                json!({"inputs": {"appid": {}, "secret": {}, "grant": {"from": "rotating", "default": "x"}}}),
            ),
            "/config/inputs/grant/default",
            "a rotating input has no default",
        ),
        (
            with(
                json!({"inputs": {"appid": {}, "secret": {}, "grant": {"from": "rotaing"}}, "save": null}),
            ),
            "/config/inputs/grant/from",
            "did you mean rotating?",
        ),
        (
            with(json!({"save": {"grant": {"expires": "never"}}})),
            "/config/save/grant/from",
            "required: where the new value is",
        ),
    ]);
    let inputs = json!({"appid": {}, "secret": {}});
    let unsaved = with(
        json!({"inputs": inputs, "save": null, "refresh_requests": [{"url": "https://provider.example"}]}),
    );
    assert_refused(vec![(
        unsaved,
        "/config/refresh_requests",
        "save is missing",
    )]);
}

#[test]
fn everything_wrong_is_told_at_once() {
    let config = json!({
        "inputs": {"app id": {}, "secret": {"from": "magic"}, "grant": {"from": "rotating"}},
        "vars": {"a": "{{ a }}", "b": "{{ unheard }}", "c": {"jwt": {"alg": "none", "key": "k"}}},
        "requests": [
            {"url": "ftp://x", "method": "BREW", "headers": {"Host": "x", "X-Raw": "{% raw %}"}, "form": {}, "json": {}},
            {"url": "https://provider.example", "form": {"x": "{{ y | md6 }}"}},
        ],
        "token": "$..x", "expires": {"path": "$.e", "unit": "years"}, "surplus": 1,
        "outputs": {"o": "steps[5].body.x"}, "errors": {"code": "$.", "config": {}},
        "policy": {"refresh_ahead": "soon"},
    });
    let mut places: Vec<_> = issues(&config)
        .into_iter()
        .map(|issue| issue.pointer)
        .collect();
    places.sort();
    places.dedup();
    assert_eq!(
        places,
        [
            "/config/errors/code",
            "/config/errors/config",
            "/config/expires/unit",
            "/config/inputs/app id",
            "/config/inputs/grant",
            "/config/inputs/secret/from",
            "/config/outputs/o",
            "/config/policy/refresh_ahead",
            "/config/requests/0",
            "/config/requests/0/headers/Host",
            "/config/requests/0/headers/X-Raw",
            "/config/requests/0/method",
            "/config/requests/0/url",
            "/config/requests/1/form/x",
            "/config/surplus",
            "/config/token",
            "/config/vars/a",
            "/config/vars/b",
            "/config/vars/c/jwt/alg",
        ]
    );
}
