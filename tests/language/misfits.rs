//! Values that do not fit: an error for the operator, of class config, without any value in it.

use serde_json::json;
use token_server::realm::Definition;

use crate::example::rehearsed;
use crate::refusals::good;

/// What a template makes of values that do not fit: an error for the operator, without any value.
#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, or one story from its beginning to its end"
)]
fn values_that_do_not_fit_are_told_without_the_value() {
    let marker = "MARKED-SECRET";
    let jwt = |alg: &str| json!({"jwt": {"alg": alg, "key": "{{ secret }}"}});
    for (var, reason) in [
        (json!("{{ optional }}"), "has no value"),
        (json!("a{{ optional }}"), "has no value"),
        (json!("{{ secret | sha256 }}"), "bytes"),
        (json!("a{{ (secret | sha256) }}"), "bytes"),
        (json!("{{ 'a' ~ (secret | sha256) }}"), "bytes"),
        (json!("{{ secret | int }}"), "is not a whole number"),
        (json!("{{ secret | float }}"), "is not a number"),
        (json!("{{ secret | bool }}"), "is not true or false"),
        (json!("{{ secret | from_hex }}"), "is not hex"),
        (json!("{{ secret | from_base64 | hex }}"), "is not base64"),
        (json!("{{ secret | split('.', 3) }}"), "split finds no part"),
        (json!("{{ secret.member }}"), "there is no such value"),
        (json!("{{ secret | date('%Y') }}"), "is not a whole number"),
        (
            json!("{{ now | date(secret ~ '%!') }}"),
            "is not a format of a date",
        ),
        (
            json!("{{ now | date('%Y', secret) }}"),
            "is not a time zone",
        ),
        (json!("{{ now + secret }}"), ""),
        (
            json!("{{ secret | rsa_sha256(secret) | hex }}"),
            "the key is not usable",
        ),
        (
            json!("{{ secret | rsa_encrypt(secret) | hex }}"),
            "expected PEM of a certificate",
        ),
        (
            json!("{{ secret | spki_sha256 | hex }}"),
            "expected PEM of a certificate",
        ),
        (
            json!("{{ secret | replace('', 'x') }}"),
            "replace needs a text to look for",
        ),
        (json!("{{ secret | slice(-1, 2) }}"), "slice counts from 0"),
        (json!("{{ secret | upper('x') }}"), "too many arguments"),
        (json!("{{ secret | hmac_sha256() }}"), "lacks an argument"),
        (jwt("RS256"), "the key is not usable"),
        (jwt("ES256"), "the key is not usable"),
        (jwt("EdDSA"), "the key is not usable"),
    ] {
        let config = json!({"inputs": {"secret": {"secret": true}, "optional": {"required": false}},
            "vars": {"made": var}, "requests": [{"url": "https://provider.example", "json": {"a": "x{{ made }}"}}],
            "token": "$.t"});
        let definition = Definition::read(Some(&config), None)
            .unwrap_or_else(|wrong| panic!("{var}: {wrong:?}"));
        let example = json!({"inputs": {"secret": marker}});
        for show_secrets in [true, false] {
            let rehearsal = rehearsed(definition.recipe().unwrap(), &example, show_secrets);
            let report = rehearsal.report(show_secrets);
            let error = &report["error"];
            assert_eq!(error["class"], "config", "{var}: {report}");
            assert!(
                error["detail"].as_str().unwrap().contains(reason),
                "{var}: {error}"
            );
            assert!(!report.to_string().contains(marker), "{var}: {report}");
        }
    }
}

#[test]
fn a_missing_value_is_named_with_its_place() {
    let definition = Definition::read(Some(&good()), None).unwrap();
    let example = json!({"inputs": {"secret": "MARKED-SECRET"}});
    let report = rehearsed(definition.recipe().unwrap(), &example, false).report(false);
    let detail = report["error"]["detail"].as_str().unwrap();
    for part in [
        "input appid",
        "/config/inputs/appid",
        "input grant",
        "secret realm/key",
    ] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
    assert_eq!(
        (&report["error"]["class"], &report["requests"]),
        (&json!("config"), &json!([]))
    );
}

/// Values that make no request: a header with a line end, an address that is none.
#[test]
fn values_that_no_request_can_carry_are_refused() {
    for (request, value) in [
        (
            json!({"url": "https://provider.example", "headers": {"X-Key": "{{ value }}"}}),
            "MARKED\r\nX-Injected: 1",
        ),
        (json!({"url": "https://{{ value }}/token"}), "MARKED host"),
        (json!({"url": "{{ value }}/token"}), "ftp://MARKED.example"),
        (json!({"url": "{{ value }}"}), "javascript:MARKED"),
    ] {
        let config =
            json!({"inputs": {"value": {"secret": true}}, "requests": [request], "token": "$.t"});
        let definition = Definition::read(Some(&config), None).unwrap();
        let report = rehearsed(
            definition.recipe().unwrap(),
            &json!({"inputs": {"value": value}}),
            false,
        )
        .report(false);
        assert_eq!(report["error"]["class"], "config", "{report}");
        assert!(!report.to_string().contains("MARKED"), "{report}");
    }
}
