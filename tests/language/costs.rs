//! What a run may cost, and that it is refused beyond that.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value, json};
use token_server::clock::Timestamp;
use token_server::failure::{Failure, FailureKind};
use token_server::realm::{Definition, Facts, Fetched, RawResponse, RunLimits};
use token_server::secret::SecretId;

use crate::keys::{keys, pem};

fn facts(inputs: &[(&str, &str)]) -> Facts {
    Facts {
        secret: SecretId::new("r", "k"),
        inputs: inputs.iter().copied().collect(),
        tokens: BTreeMap::new(),
        has_saved: false,
        forced: false,
        now: Timestamp::from_epoch_ms(1_760_000_000_500),
        uuid: String::new(),
        nonce: String::new(),
    }
}

fn definition(config: &Value) -> Definition {
    Definition::read(Some(config), None).unwrap_or_else(|issues| panic!("{issues:?}"))
}

/// A token that is worked out of vars, without a call.
fn made(vars: &Value, inputs: &[(&str, &str)], limits: RunLimits) -> Result<Fetched, Failure> {
    let declared: Map<_, _> = inputs
        .iter()
        .map(|(name, _)| ((*name).to_owned(), json!({})))
        .collect();
    let definition = definition(
        &json!({"inputs": declared, "vars": vars, "requests": [], "token": "var:made", "expires": "never"}),
    );
    let run = definition.recipe().unwrap().begin(facts(inputs))?;
    run.within(limits).finish()
}

/// `{{ k | rsa_sha512(k) | rsa_sha512(k) … | hex }}`
fn chain(filter: &str, times: usize) -> String {
    let mut text = "{{ 'x'".to_owned();
    for _ in 0..times {
        let _ = write!(text, " | {filter}");
    }
    text + " | hex }}"
}

fn rsa_8192() -> String {
    pem("RSA PRIVATE KEY", include_bytes!("rsa-8192.der"))
}

#[test]
fn a_run_uses_private_keys_twenty_times() {
    let ed25519 = keys().ed25519.serialize_pem();
    let rsa = keys().rsa.serialize_pem();
    for (filter, key) in [
        ("ed25519(k)", &ed25519),
        ("rsa_sha512(k)", &rsa),
        ("rsa_pss_sha256(k)", &rsa),
    ] {
        let inputs = [("k", key.as_str())];
        let at_most = json!({"made": chain(filter, 20)});
        assert!(
            made(&at_most, &inputs, RunLimits::default()).is_ok(),
            "{filter}"
        );
        let too_often =
            json!({"a": chain(filter, 11), "b": chain(filter, 10), "made": "{{ a ~ b }}"});
        let failure = made(&too_often, &inputs, RunLimits::default()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Config, "{failure}");
        assert!(failure.detail.contains("at most 20 times"), "{failure}");
    }
    let jwts: Map<_, _> = (0..21)
        .map(|number| {
            let jwt = json!({"jwt": {"alg": "EdDSA", "key": "k", "claims": {"n": number}}});
            (format!("j{number}"), jwt)
        })
        .collect();
    let all: Vec<_> = jwts.keys().map(String::as_str).collect();
    let mut vars = jwts.clone();
    vars.insert(
        "made".to_owned(),
        format!("{{{{ {} }}}}", all.join(" ~ ")).into(),
    );
    let inputs = [("k", ed25519.as_str())];
    let failure = made(&vars.into(), &inputs, RunLimits::default()).unwrap_err();
    assert!(failure.detail.contains("at most 20 times"), "{failure}");
}

#[test]
fn an_rsa_key_of_more_than_4096_bits_is_refused() {
    let key = rsa_8192();
    let vars = json!({"made": "{{ 'x' | rsa_sha256(k) | hex }}"});
    let failure = made(&vars, &[("k", &key)], RunLimits::default()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Config, "{failure}");
    assert!(failure.detail.contains("more than 4096 bits"), "{failure}");
    let config = json!({"vars": {"made": {"jwt": {"alg": "RS256", "key": key}}}, "requests": [], "token": "var:made"});
    let issues = Definition::read(Some(&config), None).unwrap_err();
    assert_eq!(issues[0].pointer, "/config/vars/made/jwt/key");
    assert!(
        issues[0].detail.contains("more than 4096 bits"),
        "{issues:?}"
    );
}

#[test]
fn filters_touch_sixteen_megabytes_in_all() {
    let text = "x".repeat(60_000);
    let doubled = json!({"big": "{{ t ~ t ~ t ~ t }}"});
    let replaces = |count: usize| {
        let mut vars = doubled.clone();
        for number in 0..count {
            vars[format!("v{number}")] = json!("{{ big | replace('y', 'z') | slice(0, 1) }}");
        }
        let all: Vec<_> = (0..count).map(|number| format!("v{number}")).collect();
        vars["made"] = format!("{{{{ {} }}}}", all.join(" ~ ")).into();
        vars
    };
    let inputs = [("t", text.as_str())];
    assert!(made(&replaces(4), &inputs, RunLimits::default()).is_ok());
    let failure = made(&replaces(30), &inputs, RunLimits::default()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Config, "{failure}");
    assert!(failure.detail.contains("more than 16 MiB"), "{failure}");
    // Operators read too.
    let mut vars = doubled.clone();
    for number in 0..20 {
        vars[format!("c{number}")] = "{{ big == big or big < t or big in t or big > t }}".into();
    }
    let all: Vec<_> = (0..20).map(|number| format!("c{number}")).collect();
    vars["made"] = format!("{{{{ {} }}}}", all.join(" ~ ")).into();
    let failure = made(&vars, &inputs, RunLimits::default()).unwrap_err();
    assert!(failure.detail.contains("more than 16 MiB"), "{failure}");
}

#[test]
fn names_of_bases_and_constants_use_no_keys_and_little_else() {
    let ed25519 = keys().ed25519.serialize_pem();
    let config = json!({"inputs": {"k": {}}, "depends_on": {"t": {"realm": "a", "key": chain("ed25519(k)", 1)}},
        "requests": [{"url": "https://a.example/"}], "token": "$.t"});
    let definition = definition(&config);
    let inputs = [("k", ed25519.as_str())].into_iter().collect();
    let failure = definition.recipe().unwrap().bases(&inputs).unwrap_err();
    assert!(
        failure.detail.contains("names of other secrets"),
        "{failure}"
    );
    let long = format!(
        "{{{{ '{}' {} }}}}",
        "a".repeat(500),
        "| replace('a', 'aaaaa') | replace('aaaaa', 'a')".repeat(8)
    );
    let config = json!({"vars": {"v": long}, "requests": [], "token": "var:v"});
    assert!(Definition::read(Some(&config), None).is_err());
}

#[test]
fn the_time_of_a_run_counts_while_it_computes() {
    let looks = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&looks);
    let limits = RunLimits {
        is_over: Arc::new(move || seen.fetch_add(1, Ordering::Relaxed) > 20),
        ..RunLimits::default()
    };
    let mut vars = json!({"v0": "{{ 'x' | sha256 | hex }}"});
    for number in 1..50 {
        vars[format!("v{number}")] = format!("{{{{ v{} | sha256 | hex }}}}", number - 1).into();
    }
    vars["made"] = "{{ v49 }}".into();
    assert!(made(&vars, &[], RunLimits::default()).is_ok());
    let failure = made(&vars, &[], limits).unwrap_err();
    assert_eq!(failure.kind, FailureKind::TimedOut, "{failure}");
}

fn two_steps() -> Definition {
    definition(
        &json!({"requests": [{"url": "https://a.example/1"}, {"url": "https://a.example/2"}],
            "token": "$.t", "expires": "never"}),
    )
}

#[test]
fn the_responses_of_a_run_have_fifty_thousand_values_together() {
    let objects = |count: usize| json!({"t": "x", "a": vec![json!({}); count]});
    let definition = two_steps();
    let mut run = definition.recipe().unwrap().begin(facts(&[])).unwrap();
    run.next_request().unwrap();
    run.take(RawResponse::json(200, &objects(30_000))).unwrap();
    run.next_request().unwrap();
    let failure = run
        .take(RawResponse::json(200, &objects(30_000)))
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Malformed);
    assert!(
        failure.detail.contains("more than 50000 values"),
        "{failure}"
    );
}

#[test]
fn the_responses_of_a_run_have_so_many_bytes_together() {
    let definition = two_steps();
    let body = json!({"t": "x".repeat(600)});
    let run = definition.recipe().unwrap().begin(facts(&[])).unwrap();
    let mut run = run.within(RunLimits {
        response_bytes: 1000,
        ..RunLimits::default()
    });
    run.next_request().unwrap();
    run.take(RawResponse::json(200, &body)).unwrap();
    run.next_request().unwrap();
    let failure = run.take(RawResponse::json(200, &body)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Malformed);
    assert!(failure.detail.contains("max_response_bytes"), "{failure}");
}
