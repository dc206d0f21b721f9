use std::collections::BTreeMap;

use super::*;

struct Values(BTreeMap<&'static str, Value>);

impl Names for Values {
    fn value(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }

    fn is_secret(&self, name: &str) -> bool {
        name == "key"
    }
}

fn names() -> Values {
    let steps = value_of(
        &serde_json::json!([{"body": {"a": [1, {"b": "x"}], "yes": true, "null": null, "big": 12_345_678_901_234_567_890_u64, "whole": 1_760_000_000.0}}]),
    );
    Values(BTreeMap::from([
        ("key", Value::from("k")),
        ("text", Value::from("a b/c~")),
        ("now", Value::from(1_760_000_000_i64)),
        ("none", Value::from(())),
        ("steps", steps),
        ("bytes", Bytes::value(vec![0xff, 0x00])),
    ]))
}

fn json(template: &str) -> Result<Option<Json>, String> {
    Template::read(template, "/at")?
        .json(&names())
        .map(|rendered| rendered.map(|rendered| rendered.real))
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, or one story from its beginning to its end"
)]
fn expressions_and_filters_make_what_they_say() {
    for (template, expected) in [
        ("plain", "plain"),
        ("{{ text | urlencode }}", "a%20b%2Fc~"),
        ("{{ text | form_urlencode }}", "a+b%2Fc~"),
        ("{{ text | base64 }}", "YSBiL2N+"),
        ("{{ text | base64url }}", "YSBiL2N-"),
        ("{{ 'YSBiL2N+' | from_base64 | utf8 }}", "a b/c~"),
        (
            "{{ bytes | hex }}-{{ 'ff00' | from_hex | base64 }}",
            "ff00-/wA=",
        ),
        (
            "{{ 'abc' | md5 | hex }}",
            "900150983cd24fb0d6963f7d28e17f72",
        ),
        (
            "{{ 'abc' | sha1 | hex | upper }}",
            "A9993E364706816ABA3E25717850C26C9CD0D89D",
        ),
        ("{{ 'abc' | sha256 | hex | slice(0, 8) }}", "ba7816bf"),
        (
            "{{ 'what do ya want for nothing?' | hmac_md5('Jefe') | hex }}",
            "750c783e6ab0b503eaa86e310a5db738",
        ),
        (
            "{{ 'what do ya want for nothing?' | hmac_sha1('Jefe') | hex }}",
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
        ),
        (
            "{{ 'a' | hmac_sha256('b' | sha256) | hex | slice(0, 4) }}x",
            "e540x",
        ),
        (
            "{{ now | date('%Y-%m-%d') }} {{ now | date('%H:%M', 'Asia/Shanghai') }}",
            "2025-10-09 16:53",
        ),
        (
            "{{ 'a:b:c' | split(':', 1) }}{{ 'a:b:c' | split(':', -1) }}",
            "bc",
        ),
        ("{{ text | replace('b/', '') | trim | upper }}", "A C~"),
        (
            "{{ steps[0].body.a[1].b }}{{ steps[0].body.a | json }}",
            "x[1,{\"b\":\"x\"}]",
        ),
        ("{{ none | default('d') }}", "d"),
        (
            "{{ 'p' ~ true ~ steps[0].body.whole ~ -1 }}",
            "ptrue1760000000-1",
        ),
        (
            "{{ ('a' ~ ('b' ~ 1)) | upper ~ steps[0].body.a[0] ~ (2 if true else 'x' ~ 3) }}",
            "AB112",
        ),
        (
            "{{ 'k=' ~ text | urlencode if 'a' ~ 'b' == 'ab' else 'x' ~ 'y' }}",
            "k=a%20b%2Fc~",
        ),
        ("{{ text | replace('a' ~ ' ', '~') ~ '!' }}", "~b/c~!"),
        ("{{ 'found' if 'b/c' in text else 'not found' }}", "found"),
        ("{{ 'found' if 'x' not in text else 'not found' }}", "found"),
        (
            "n={{ ('{\"a\": [{\"b\": 7.0}]}' | from_json).a[0].b }}",
            "n=7",
        ),
        (
            "{{ '{\"z\":1.0,\"a\":{\"y\":2,\"b\":3}}' | from_json | json }}",
            r#"{"z":1.0,"a":{"y":2,"b":3}}"#,
        ),
        ("{{ 'abc' | sha384 | hex | slice(0, 8) }}", "cb00753f"),
        (
            "{{ 'what do ya want for nothing?' | hmac_sha384('Jefe') | hex | slice(0, 8) }}",
            "af45d2e3",
        ),
        ("{{ 'x' if text == 'a b/c~' else 'y' }}", "x"),
        ("{{ '}}' }}{{ \"'\" }}", "}}'"),
        ("{{ key ~ ':' ~ text }}", "k:a b/c~"),
    ] {
        assert_eq!(json(template), Ok(Some(expected.into())), "{template}");
    }
}

#[test]
fn a_single_expression_keeps_its_type() {
    for (template, expected) in [
        ("{{ now }}", Some(serde_json::json!(1_760_000_000))),
        (
            "{{ now | add(3600) }}",
            Some(serde_json::json!(1_760_003_600)),
        ),
        ("{{ '7.50' | float }}", Some(serde_json::json!(7.5))),
        ("{{ steps[0].body.yes }}", Some(serde_json::json!(true))),
        (
            "{{ steps[0].body.a }}",
            Some(serde_json::json!([1, {"b": "x"}])),
        ),
        ("{{ now }} ", Some(serde_json::json!("1760000000 "))),
        (
            "{{ steps[0].body.big }}",
            Some(serde_json::json!(12_345_678_901_234_567_890_u64)),
        ),
        (
            "{{ steps[0].body.whole }}x",
            Some(serde_json::json!("1760000000x")),
        ),
        ("{{ none }}", None),
    ] {
        assert_eq!(json(template), Ok(expected), "{template}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_without_its_value() {
    for (template, part) in [
        ("{{ bytes }}", "is bytes"),
        ("x{{ bytes }}", "is bytes"),
        ("{{ bytes ~ 'x' }}", "bytes"),
        ("{{ (bytes ~ 'x') | sha256 | hex }}", "bytes"),
        ("{{ none }}x", "has no value"),
        ("{{ 'Bearer ' ~ none }}", "has no value"),
        ("{{ steps[0].body.absent }}", "no such value"),
        ("{{ steps[3].body }}", "no such value"),
        ("{{ text | int }}", "is not a whole number"),
        ("{{ text | from_hex }}", "is not hex"),
        ("{{ now | date('%Y', 'Mars') }}", "time zone"),
        ("{{ key | rsa_sha256(key) }}", "the key is not usable"),
        ("{{ text | replace('', 'x') }}", "not empty"),
        ("{{ text | hmac_sha256 }}", "hmac_sha256 needs an argument"),
        ("{{ text | hmac_sha256() }}", "lacks an argument"),
        ("{{ absent }}", "absent is not known here"),
    ] {
        let wrong = json(template).unwrap_err();
        assert!(
            wrong.contains(part) && !wrong.contains("a b/c"),
            "{template}: {wrong}"
        );
    }
}

#[test]
fn what_could_hang_or_overflow_is_refused_before_it_is_parsed() {
    let dashes = format!("{{{{ {}1 }}}}", "-".repeat(900));
    let brackets = format!("{{{{ {}1{} }}}}", "(".repeat(300), ")".repeat(300));
    let long = format!("{{{{ '{}' }}}}", "x".repeat(1100));
    let many = format!("{{{{ {}1 }}}}", "not ".repeat(200));
    let huge = "x".repeat(LONGEST + 1);
    for template in [
        "{% if x %}",
        "{# x #}",
        "{{ x",
        "{{ }}",
        "{{ 'x }}",
        "{{ x * 9 }}",
        "{{ x | nothing }}",
        "{{ range(9) }}",
        "{{ x.upper() }}",
        "{{ {'a': 1} }}",
        "{{ x is defined }}",
        "{{ x is y }}",
        "{{ a - - b }}",
        "{{ a b }}",
        &dashes,
        &brackets,
        &long,
        &many,
        &huge,
    ] {
        assert!(Template::read(template, "/at").is_err(), "{template}");
    }
    assert!(
        Template::read("{{ x | base46 }}", "/at")
            .unwrap_err()
            .contains("did you mean base64?")
    );
}

#[test]
fn nothing_grows_beyond_its_bound() {
    let big = Values(BTreeMap::from([(
        "big",
        Value::from("x".repeat(LARGEST_VALUE)),
    )]));
    for template in [
        "{{ big }}{{ big }}",
        "{{ big | replace('x', 'xx') }}",
        "{{ big | hex }}x",
    ] {
        let wrong = Template::read(template, "/at")
            .unwrap()
            .text(&big)
            .unwrap_err();
        assert!(wrong.contains("makes more than"), "{template}: {wrong}");
    }
}
