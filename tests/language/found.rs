//! Where values are found, and what they are read as: vars in every place, lives in every unit,
//! codes by pattern.

use serde_json::{Map, Value, json};
use token_server::realm::Definition;

use crate::example::rehearsed;

/// 2025-10-09T08:53:20Z.
const NOW: i64 = 1_760_000_000;

/// What comes of a realm of one request with these members, and these answers.
fn report(members: &Value, answers: &[Value]) -> Value {
    shown(members, answers, true)
}

fn shown(members: &Value, answers: &[Value], with_secrets: bool) -> Value {
    let mut config = json!({"inputs": {"grant": {"from": "rotating"}, "secret": {}},
        "requests": [{"url": "https://provider.example/token", "form": {"grant": "{{ grant }}"}}],
        "token": "$.t", "expires": "never", "save": {"grant": "$.next"}});
    config
        .as_object_mut()
        .unwrap()
        .extend(members.as_object().cloned().unwrap_or_default());
    let definition = Definition::read(Some(&config), None)
        .unwrap_or_else(|wrong| panic!("{members}: {wrong:?}"));
    let exchange: Vec<Value> = answers
        .iter()
        .map(|answer| json!({"answer": answer}))
        .collect();
    let example =
        json!({"inputs": {"grant": "g0", "secret": "s"}, "exchange": exchange, "now": NOW});
    rehearsed(definition.recipe().unwrap(), &example, with_secrets).report(with_secrets)
}

fn ok(body: &Value) -> Value {
    json!({"status": 200, "headers": {}, "body": body})
}

/// With a var `x` of this template.
fn with_var(template: &str, members: &Value) -> Value {
    let mut all = Map::from_iter([("vars".to_owned(), json!({"x": template}))]);
    all.extend(members.as_object().cloned().unwrap_or_default());
    all.into()
}

#[test]
fn a_var_is_found_wherever_a_place_is_named() {
    let answer =
        ok(&json!({"t": "token", "a": 7200, "b": "60", "msg": "E1: key locked", "next": "g1"}));
    let smaller = "{{ steps[0].body.a if steps[0].body.a < (steps[0].body.b | int) else (steps[0].body.b | int) }}";
    let said = report(
        &with_var(smaller, &json!({"expires": {"path": "var:x"}})),
        std::slice::from_ref(&answer),
    );
    assert_eq!(said["expires_in"], 60_000, "{said}");

    let first_word = "{{ steps[0].body.msg | split(':', 0) }}";
    let condition =
        json!({"success_when": {"path": "var:x", "not_equals": "E1"}, "errors": {"config": "E1"}});
    let said = report(
        &with_var(first_word, &condition),
        std::slice::from_ref(&answer),
    );
    assert_eq!(
        (&said["error"]["class"], &said["error"]["code"]),
        (&json!("config"), &json!("E1")),
        "{said}"
    );
    let condition = json!({"success_when": {"path": "var:x", "equals": "E1"}});
    let said = report(
        &with_var(first_word, &condition),
        std::slice::from_ref(&answer),
    );
    assert_eq!(said["token"], "token", "{said}");

    let errors = json!({"errors": {"code": "var:x", "message": "var:x", "busy": "locked"}});
    let last_word = "{{ steps[0].body.msg | split(' ', -1) }}";
    let refused = json!({"status": 400, "headers": {}, "body": {"msg": "is locked"}});
    let said = report(&with_var(last_word, &errors), &[refused]);
    assert_eq!(said["error"]["class"], "busy", "{said}");
    assert_eq!(
        (&said["error"]["code"], &said["error"]["message"]),
        (&json!("locked"), &json!("locked"))
    );

    let save =
        json!({"save": {"grant": {"from": "var:x", "expires": {"path": "var:x", "unit": "days"}}}});
    let said = report(
        &with_var("{{ steps[0].body.b | int }}", &save),
        std::slice::from_ref(&answer),
    );
    assert_eq!(
        (&said["save"], &said["token"]),
        (&json!({"grant": "60"}), &json!("token")),
        "{said}"
    );
}

/// The rows of the reference.
#[test]
fn what_no_member_can_say_is_worked_out_in_a_var() {
    for (body, template, unit, life_ms) in [
        (
            json!({"ttl": "3600s"}),
            "{{ steps[0].body.ttl | replace('s', '') }}",
            "seconds",
            3_600_000,
        ),
        (
            json!({"expires": "/Date(1760003600000)/"}),
            "{{ steps[0].body.expires | split('(', 1) | split(')', 0) }}",
            "epoch_milliseconds",
            3_600_000,
        ),
        (
            json!({"data": r#"{"life": 60}"#}),
            "{{ (steps[0].body.data | from_json).life }}",
            "seconds",
            60_000,
        ),
    ] {
        let mut body = body;
        body["t"] = "token".into();
        let expires = json!({"expires": {"path": "var:x", "unit": unit}});
        let said = report(&with_var(template, &expires), &[ok(&body)]);
        assert_eq!(said["expires_in"], life_ms, "{template}: {said}");
    }
    let lines = json!({"status": 200, "headers": {}, "body": "SID=a\nAuth=b c\nLSID=d\n"});
    let members =
        json!({"response": {"format": "text"}, "token": "var:x", "save": {"grant": "var:x"}});
    let line = "{{ steps[0].text | split('Auth=', 1) | split('\\n', 0) | trim }}";
    assert_eq!(report(&with_var(line, &members), &[lines])["token"], "b c");
    let members = json!({"errors": {"code": "var:x", "config": "locked"}});
    let told = "{{ 'locked' if 'is locked' in steps[0].text else 'other' }}";
    for (text, class) in [("<b>it is locked</b>", "config"), ("<b>no</b>", "refused")] {
        let said = report(
            &with_var(told, &members),
            &[json!({"status": 400, "headers": {}, "body": text})],
        );
        assert_eq!(said["error"]["class"], class, "{said}");
    }
}

/// As with a path that finds nothing; but one that cannot be worked out for another reason fails
/// the fetch.
#[test]
fn a_var_that_lacks_a_value_is_found_nowhere() {
    let answer = ok(&json!({"t": "token", "soon": "x"}));
    let lacking = "{{ steps[0].body.absent | int }}";
    for members in [
        json!({"expires": {"path": "var:x", "default": 60}}),
        json!({"token": ["var:x", "$.t"], "expires": {"lifetime": 60}}),
        json!({"outputs": {"absent": "var:x"}, "expires": {"lifetime": 60}}),
        json!({"save": {"grant": "var:x"}, "expires": {"lifetime": 60}}),
    ] {
        let said = report(&with_var(lacking, &members), std::slice::from_ref(&answer));
        assert_eq!(
            (&said["token"], &said["expires_in"]),
            (&json!("token"), &json!(60_000)),
            "{members}: {said}"
        );
        assert_eq!(
            (&said["outputs"], &said["save"]),
            (&json!({}), &json!({})),
            "{members}: {said}"
        );
    }
    let wrong = with_var(
        "{{ steps[0].body.soon | int }}",
        &json!({"expires": {"path": "var:x", "default": 60}}),
    );
    let said = report(&wrong, &[answer]);
    assert_eq!(
        (&said["error"]["class"], &said["token"]),
        (&json!("malformed"), &Value::Null),
        "{said}"
    );
}

/// A grant is stored as soon as the answer came that it is made from.
#[test]
fn a_saved_var_is_known_with_the_last_answer_that_it_is_made_from() {
    let request = |path: &str| json!({"url": format!("https://provider.example/{path}"), "form": {"grant": "{{ grant }}"}});
    let members = json!({"vars": {"x": "{{ y }}!", "y": "{{ steps[0].body.next }}"},
        "requests": [request("a"), request("b")], "save": {"grant": "var:x"}});
    let broken = json!({"status": 500, "headers": {}, "body": ""});
    let said = report(&members, &[ok(&json!({"next": "g1"})), broken]);
    assert_eq!(
        (&said["save"], &said["error"]["class"]),
        (&json!({"grant": "g1!"}), &json!("busy")),
        "{said}"
    );
}

#[test]
fn a_life_is_read_in_every_unit() {
    for (told, expires, life_ms) in [
        (json!(90), json!({"unit": "seconds"}), 90_000),
        (json!(1.5), json!({"unit": "hours"}), 5_400_000),
        (json!("30"), json!({"unit": "days"}), 2_592_000_000_i64),
        (
            json!("Thu, 09 Oct 2025 08:54:20 GMT"),
            json!({"unit": "http_date"}),
            60_000,
        ),
        (
            json!("2025-10-09T16:54:20+0800"),
            json!({"unit": "rfc3339"}),
            60_000,
        ),
        (
            json!("2025-10-09 08:54:20"),
            json!({"unit": "rfc3339"}),
            60_000,
        ),
        (
            json!("2025-10-09 16:54:20"),
            json!({"unit": "rfc3339", "zone": "Asia/Shanghai"}),
            60_000,
        ),
        (
            json!("2025-10-09T08:54:20Z"),
            json!({"unit": "rfc3339", "zone": "Asia/Shanghai"}),
            60_000,
        ),
        (
            json!("2025-10-10"),
            json!({"unit": "date", "zone": "Asia/Shanghai"}),
            25_600_000,
        ),
    ] {
        let mut expires = expires;
        expires["path"] = "$.e".into();
        let said = report(
            &json!({"expires": expires}),
            &[ok(&json!({"t": "token", "e": told}))],
        );
        assert_eq!(said["expires_in"], life_ms, "{told} {expires}: {said}");
    }
    let wrong = json!({"expires": {"path": "$.e", "unit": "http_date"}});
    let said = report(&wrong, &[ok(&json!({"t": "token", "e": "2025-10-09"}))]);
    let detail = said["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("at $.e (unit http_date)"), "{said}");
}

#[test]
fn a_pattern_fits_anywhere_and_a_code_written_out_wins() {
    let errors = json!({"errors": {"code": "$.m", "config": ["E7", "*locked*"], "busy": ["E*"], "quota": ["*limit", "a*b*c"]}});
    for (text, class) in [
        ("E7", "config"),
        ("E8", "busy"),
        ("the account is locked now", "config"),
        ("locked", "config"),
        ("rate limit", "quota"),
        ("limits", "refused"),
        ("a-b-c", "quota"),
        ("a-c-b", "refused"),
        ("xa-b-c", "refused"),
    ] {
        let said = report(
            &errors,
            &[json!({"status": 400, "headers": {}, "body": {"m": text}})],
        );
        assert_eq!(said["error"]["class"], class, "{text}: {said}");
    }
}

/// The places of `errors` are of the format that the realm says; in another they are the usual ones
/// too.
#[test]
fn an_error_in_another_format_has_its_code_although_the_realm_names_a_place() {
    let members = json!({"response": {"format": "xml"}, "token": "$.r.t", "save": {"grant": "$.r.n"},
        "errors": {"code": "$.r.code", "message": "$.r.text", "config": ["x9"]}});
    let refused = json!({"status": 200, "headers": {}, "body": "{\"error\":\"x9\",\"error_description\":\"who?\"}"});
    let said = report(&members, &[refused]);
    let error = &said["error"];
    assert_eq!(
        (&error["class"], &error["code"], &error["message"]),
        (&json!("config"), &json!("x9"), &json!("who?"))
    );
}

/// An answer's fault is the provider's, also where it went through a var; the operator's stays his.
#[test]
fn what_an_answer_lacks_is_malformed_through_a_var_too() {
    let answer = json!({"status": 200, "headers": {"Location": "/done"}, "body": {"t": "token"}});
    for (vars, class) in [
        (
            json!({"x": "{{ steps[0].headers.location | split('code=', 1) }}"}),
            "malformed",
        ),
        (
            json!({"at": "{{ steps[0].headers.location }}", "x": "{{ at | split('code=', 1) }}"}),
            "malformed",
        ),
        (json!({"x": "{{ secret | split('code=', 1) }}"}), "config"),
    ] {
        let said = report(
            &json!({"vars": vars, "token": "var:x"}),
            std::slice::from_ref(&answer),
        );
        assert_eq!(said["error"]["class"], class, "{vars}: {said}");
    }
}

/// What is signed over an answer's object is over what came.
#[test]
fn an_object_of_an_answer_keeps_its_order_and_numbers() {
    let request = |json: &Value| json!({"url": "https://provider.example/token", "json": json});
    let members = json!({"requests": [request(&json!({"g": "{{ grant }}"})), request(&json!({"echo": "{{ steps[0].body.o }}"}))],
        "save": {"grant": "steps[0].body.next"}, "outputs": {"text": "{{ steps[0].body.o | json }}"}});
    let first =
        json!({"status": 200, "headers": {}, "body": r#"{"o":{"z":1.0,"a":{"y":2,"b":3}}}"#});
    let said = report(&members, &[first, ok(&json!({"t": "token"}))]);
    assert_eq!(
        said["requests"][1]["body"], r#"{"echo":{"z":1.0,"a":{"y":2,"b":3}}}"#,
        "{said}"
    );
    assert_eq!(
        said["outputs"]["text"], r#"{"z":1.0,"a":{"y":2,"b":3}}"#,
        "{said}"
    );
}

#[test]
fn every_cookie_can_be_sent_on() {
    let request =
        |headers: &Value| json!({"url": "https://provider.example/token", "headers": headers});
    let members = json!({"requests": [request(&json!({})),
            request(&json!({"Cookie": "sid={{ steps[0].cookies.sid }}; csrf={{ steps[0].cookies['x-csrf'] }}"}))],
        "save": {"grant": "$.next"}});
    let set = json!([
        "lang=zh",
        "sid=old",
        "x-csrf=c1; Path=/",
        "sid=new; HttpOnly"
    ]);
    let first = json!({"status": 200, "headers": {"Set-Cookie": set}, "body": {}});
    let said = report(&members, &[first, ok(&json!({"t": "token"}))]);
    assert_eq!(
        said["requests"][1]["headers"]["Cookie"], "sid=new; csrf=c1",
        "{said}"
    );
}

/// The old grant is spent: nothing that is wrong with its successor's life, or with another's,
/// keeps that from being stored.
#[test]
fn a_new_grant_is_saved_although_its_life_cannot_be_read() {
    let life = |path: &str| json!({"save": {"grant": {"from": "$.next", "expires": {"path": path, "unit": "seconds"}}}});
    for (members, told) in [
        (life("$.life"), json!(0)),
        (life("$.life"), json!("soon")),
        (
            with_var("{{ steps[0].body.life | int }}", &life("var:x")),
            json!("soon"),
        ),
    ] {
        let said = report(
            &members,
            &[ok(&json!({"t": "token", "next": "g1", "life": told}))],
        );
        assert_eq!(
            (&said["save"]["grant"], &said["token"]),
            (&json!("g1"), &json!("token")),
            "{told}: {said}"
        );
    }
}

#[test]
fn a_var_that_cannot_be_tested_is_told() {
    let members = with_var(
        "{{ steps[0].body.a | int }}",
        &json!({"success_when": {"path": "var:x", "equals": 5}}),
    );
    let said = report(&members, &[ok(&json!({"t": "token", "a": "5s"}))]);
    assert_eq!(said["error"]["class"], "malformed", "{said}");
    assert!(
        said["error"]["detail"]
            .as_str()
            .unwrap()
            .contains("/config/vars/x"),
        "{said}"
    );
    let refused = json!({"status": 400, "headers": {}, "body": {"error": "E1"}});
    let said = report(&members, &[refused]);
    assert_eq!(
        (&said["error"]["class"], &said["error"]["code"]),
        (&json!("refused"), &json!("E1")),
        "{said}"
    );
}

/// A provider that repeats what it grants, in an answer that is refused all the same.
#[test]
fn what_is_granted_is_masked_in_the_providers_words() {
    let answer = json!({"status": 400, "headers": {},
        "body": {"next": "MARKED-GRANT", "t": "MARKED-TOKEN", "error": "E1", "message": "MARKED-GRANT for MARKED-TOKEN"}});
    let said = shown(&json!({}), &[answer], false).to_string();
    assert!(said.contains(" for ") && !said.contains("MARKED"), "{said}");
}

/// However a definition is written, one request is bounded.
#[test]
fn a_request_is_bounded_as_a_whole() {
    let large = "x".repeat(200_000);
    for body in [
        json!({"form": {"a": vec!["{{ secret }}"; 8]}}),
        json!({"json": {"a": vec!["{{ secret }}"; 8]}}),
    ] {
        let mut request = json!({"url": "https://provider.example/token"});
        request
            .as_object_mut()
            .unwrap()
            .extend(body.as_object().cloned().unwrap());
        let config = json!({"inputs": {"secret": {"secret": false}}, "requests": [request], "token": "$.t", "expires": "never"});
        let definition = Definition::read(Some(&config), None).unwrap();
        let example = json!({"inputs": {"secret": large}});
        let said = rehearsed(definition.recipe().unwrap(), &example, true).report(true);
        assert_eq!(said["error"]["class"], "config");
        assert!(
            said["error"]["detail"]
                .as_str()
                .unwrap()
                .contains("more than 1048576 bytes"),
            "{}",
            said["error"]
        );
    }
    let many: Vec<Value> = (0..11).map(|_| json!(vec!["{{ secret }}"; 100])).collect();
    let config = json!({"inputs": {"secret": {"secret": false}}, "requests": [{"url": "https://provider.example", "json": many}],
        "token": "$.t", "expires": "never"});
    let wrong = Definition::read(Some(&config), None).unwrap_err();
    assert!(
        wrong[0].detail.contains("more than 1000 values"),
        "{wrong:?}"
    );
}
