//! What is signed and encrypted, looked at by the libraries that callers use: botocore, the Tencent
//! Cloud SDK, `PyJWT`, cryptography. `tests/peers/signing/check.py` is theirs; `tests/run` installs
//! them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use token_server::realm::Definition;
use token_server::realm::catalog::{preset, presets};

use crate::example::{definition, rehearsed};
use crate::jwt::Jwt;
use crate::keys::keys;

const NOW: i64 = 1_772_327_045;

/// Where the libraries are, from the environment that `tests/run` sets; `None` prints a skip, and
/// fails in CI.
fn needed() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "what tests/run exports")]
    let (found, in_ci) = (
        std::env::var("TEST_SIGNING_PYTHON").ok(),
        std::env::var("CI").is_ok_and(|ci| ci == "true"),
    );
    if found.is_none() {
        assert!(
            !in_ci,
            "TEST_SIGNING_PYTHON is not set: run the tests by tests/run"
        );
        #[expect(clippy::print_stderr, reason = "a skip must be seen")]
        {
            eprintln!("SKIPPED: TEST_SIGNING_PYTHON is not set; run: make test");
        }
    }
    found
}

/// Runs the script; answers what it printed.
fn ask(python: &str, arguments: &[&str], document: &Value) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/signing/check.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(document.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every case must be right, and wrong once `spoilt`.
fn assert_right(python: &str, cases: &[Value], spoil: impl Fn(&mut Value)) {
    assert!(!cases.is_empty());
    let spoilt = cases.iter().cloned().map(|mut case| {
        spoil(&mut case);
        case["name"] = format!("{}, spoilt", case["name"].as_str().unwrap()).into();
        case
    });
    let all: Vec<Value> = spoilt.chain(cases.iter().cloned()).collect();
    let said = ask(python, &[], &all.into());
    let said = |name: &str| said[name].as_str().map(str::to_owned);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        assert_eq!(said(name), None, "{name}");
        assert!(
            said(&format!("{name}, spoilt")).is_some(),
            "{name}: the library would not see a fault"
        );
    }
}

/// What a template makes of these inputs, as the token of a realm that calls nothing.
fn made(vars: &Value, inputs: &Value) -> String {
    let declared: Value = inputs
        .as_object()
        .unwrap()
        .keys()
        .map(|name| (name.clone(), json!({})))
        .collect();
    let config = json!({"inputs": declared, "vars": vars, "token": "var:made", "expires": "never"});
    let definition = Definition::read(Some(&config), None).unwrap();
    let example = json!({"inputs": inputs, "now": NOW});
    let report = rehearsed(definition.recipe().unwrap(), &example, true).report(true);
    report["token"]
        .as_str()
        .unwrap_or_else(|| panic!("{report}"))
        .to_owned()
}

/// The request of a preset with these inputs.
fn requested(id: &str, inputs: &Value) -> Value {
    let definition = definition(preset(id).unwrap());
    let example = json!({"inputs": inputs, "now": NOW});
    rehearsed(definition.recipe().unwrap(), &example, true).report(true)["requests"][0].clone()
}

fn spoil_authorization(case: &mut Value) {
    let authorization = &mut case["request"]["headers"]["Authorization"];
    let mut text = authorization.as_str().unwrap().to_owned();
    let last = text.pop().unwrap();
    text.push(if last == '0' { '1' } else { '0' });
    *authorization = text.into();
}

#[test]
fn botocore_signs_the_same_request_for_aws() {
    let Some(python) = needed() else { return };
    let role = "arn:aws:iam::123456789012:role/path/äöü+example role";
    let cases = [("us-east-1", "session", "900"), ("eu-central-1", "a=b,c.d@e-f", "3600")].map(
        |(region, session, seconds)| {
            let inputs = json!({"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalr/XUtnFEMI+K7MDENG=",
                "region": region, "role_arn": role, "session_name": session, "duration_seconds": seconds});
            let mut case = inputs.clone();
            case["request"] = requested("aws-sts-assume-role", &inputs);
            case["duration_seconds"] = seconds.parse::<u64>().unwrap().into();
            case["name"] = region.into();
            (case["kind"], case["now"]) = (json!("aws"), NOW.into());
            case
        },
    );
    assert_right(&python, &cases, spoil_authorization);
}

#[test]
fn the_tencent_cloud_sdk_signs_the_same_request() {
    let Some(python) = needed() else { return };
    let policy =
        r#"{"version":"2.0","statement":[{"effect":"allow","action":"cos:*","resource":"*"}]}"#;
    let policy_encoded = "%7B%22version%22%3A%222.0%22%2C%22statement%22%3A%5B%7B%22effect%22%3A%22allow%22%2C\
        %22action%22%3A%22cos%3A%2A%22%2C%22resource%22%3A%22%2A%22%7D%5D%7D";
    let cases = [("ap-guangzhou", "tokenservice"), ("na-siliconvalley", "另一个名字")].map(|(region, session)| {
        let inputs = json!({"secret_id": "AKIDEXAMPLE", "secret_key": "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE",
            "region": region, "session_name": session, "access_policy": policy, "duration_seconds": "7200"});
        let parameters = json!({"Name": session, "Policy": policy_encoded, "DurationSeconds": 7200});
        json!({"name": region, "kind": "tencent", "request": requested("tencentcloud-sts", &inputs), "now": NOW,
            "secret_id": inputs["secret_id"], "secret_key": inputs["secret_key"], "region": region,
            "parameters": parameters})
    });
    assert_right(&python, &cases, spoil_authorization);
}

/// Algorithm, the key it is signed with, and the one that verifies it; vendors hand keys out in
/// several forms.
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, or one story from its beginning to its end"
)]
fn jwt_keys(older: &Value) -> Vec<(&'static str, &'static str, String, String)> {
    let keys = keys();
    let secret = "a secret of more than thirty-two bytes, ä too";
    let rsa = |alg: &'static str| {
        (
            alg,
            alg,
            keys.rsa.serialize_pem(),
            keys.rsa.public_key_pem(),
        )
    };
    let old = |name: &str| older[name].as_str().unwrap().to_owned();
    let second = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let shared = |alg: &'static str| (alg, alg, secret.repeat(2), secret.repeat(2));
    let ec = |alg: &'static str, key: &rcgen::KeyPair| {
        (alg, alg, key.serialize_pem(), key.public_key_pem())
    };
    vec![
        shared("HS256"),
        shared("HS384"),
        shared("HS512"),
        rsa("RS256"),
        rsa("RS384"),
        rsa("RS512"),
        rsa("PS256"),
        rsa("PS384"),
        rsa("PS512"),
        ec("ES384", &keys.ec384),
        ec("ES512", &keys.ec521),
        (
            "ES256",
            "ES256",
            keys.ec.serialize_pem(),
            keys.ec.public_key_pem(),
        ),
        (
            "EdDSA",
            "EdDSA",
            keys.ed25519.serialize_pem(),
            keys.ed25519.public_key_pem(),
        ),
        (
            "EdDSA, PKCS #8 version 2",
            "EdDSA",
            second.serialize_pem(),
            second.public_key_pem(),
        ),
        (
            "RS256 by PKCS #1",
            "RS256",
            old("pkcs1"),
            keys.rsa.public_key_pem(),
        ),
        (
            "PS256 by PKCS #1",
            "PS256",
            old("pkcs1"),
            keys.rsa.public_key_pem(),
        ),
        (
            "ES256 by SEC 1",
            "ES256",
            old("sec1"),
            keys.ec.public_key_pem(),
        ),
        (
            "RS256 on one line",
            "RS256",
            keys.rsa.serialize_pem().replace('\n', "\\n"),
            keys.rsa.public_key_pem(),
        ),
    ]
}

fn older_forms(python: &str) -> Value {
    let keys = keys();
    ask(
        python,
        &["keys"],
        &json!({"rsa": keys.rsa.serialize_pem(), "ec": keys.ec.serialize_pem()}),
    )
}

/// Spoils the last byte that is signed, the signature's own last character having unused bits.
fn spoil_token(case: &mut Value) {
    let token = case["token"].as_str().unwrap().to_owned();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    case["token"] = format!("{signed}.{first}{}", &signature[1..]).into();
}

#[test]
fn pyjwt_accepts_what_every_algorithm_signs() {
    let Some(python) = needed() else { return };
    let cases = jwt_keys(&older_forms(&python)).into_iter().map(|(name, alg, private, public)| {
        let claims = json!({"iss": "{{ iss }}", "n": "{{ now }}", "list": ["{{ iss }}", 1.5, null, true],
            "nested": {"text": "ä\"\\ 语言"}, "iat": 5});
        let jwt = json!({"alg": alg, "key": "{{ key }}", "header": {"kid": "{{ iss }}", "typ": "JWT"},
            "claims": claims, "lifetime": "10m"});
        let token = made(&json!({"made": {"jwt": jwt}}), &json!({"key": private, "iss": "issuer"}));
        json!({"name": name, "kind": "jwt", "token": token, "alg": alg, "key": public,
            "header": {"alg": alg, "kid": "issuer", "typ": "JWT"},
            "claims": {"iss": "issuer", "n": NOW, "list": ["issuer", 1.5, null, true],
                "nested": {"text": "ä\"\\ 语言"}, "iat": 5, "exp": NOW + 600}})
    });
    assert_right(&python, &cases.collect::<Vec<_>>(), spoil_token);
}

#[test]
fn pyjwt_accepts_what_the_presets_sign() {
    let Some(python) = needed() else { return };
    let mut cases = Vec::new();
    for preset in presets() {
        let definition = definition(preset);
        let example = &preset.examples[0];
        let report = rehearsed(definition.recipe().unwrap(), example, true).report(true);
        let by = |key: &str| {
            example["inputs"]
                .as_object()
                .unwrap()
                .values()
                .any(|value| value == key)
        };
        let public = match (by("@rsa"), by("@ec")) {
            (true, _) => keys().rsa.public_key_pem(),
            (_, true) => keys().ec.public_key_pem(),
            _ => continue,
        };
        let place = format!("{} {}", report["requests"], report["token"]);
        let Some(jwt) = Jwt::all_in(&place).into_iter().next() else {
            continue;
        };
        cases.push(
            json!({"name": preset.id, "kind": "jwt", "token": jwt.text, "alg": jwt.header["alg"],
            "key": public, "header": jwt.header, "claims": jwt.claims}),
        );
    }
    assert!(cases.len() >= 10, "only {} presets sign", cases.len());
    assert_right(&python, &cases, spoil_token);
}

/// Spoils what was made, in its middle.
fn spoil_made(case: &mut Value) {
    let mut made = case["made"].as_str().unwrap().to_owned();
    let middle = made.len() / 2;
    let other = if &made[middle..=middle] == "0" {
        "1"
    } else {
        "0"
    };
    made.replace_range(middle..=middle, other);
    case["made"] = made.into();
}

#[test]
fn cryptography_verifies_and_decrypts_what_keys_made() {
    let Some(python) = needed() else { return };
    let (keys, older) = (keys(), older_forms(&python));
    let text = "POST\n/token?a=b\n语言";
    let with = |filter: &str, key: &str| {
        made(
            &json!({"made": format!("{{{{ text | {filter} | base64 }}}}")}),
            &json!({"text": text, "key": key}),
        )
    };
    let (private, public) = (keys.rsa.serialize_pem(), keys.rsa.public_key_pem());
    let mut cases = Vec::new();
    for (form, key) in [
        ("PKCS #8", private.as_str()),
        ("PKCS #1", older["pkcs1"].as_str().unwrap()),
    ] {
        cases.push(
            json!({"name": format!("signed by {form}"), "kind": "rsa_sha256", "text": text,
            "made": with("rsa_sha256(key)", key), "public": public}),
        );
    }
    for (kind, key) in [
        ("rsa_sha512", &keys.rsa),
        ("rsa_pss_sha256", &keys.rsa),
        ("ecdsa_sha256", &keys.ec),
        ("ed25519", &keys.ed25519),
    ] {
        cases.push(
            json!({"name": kind, "kind": kind, "text": text, "public": key.public_key_pem(),
            "made": with(&format!("{kind}(key)"), &key.serialize_pem())}),
        );
    }
    for (kind, filter) in [
        ("rsa_encrypt", "rsa_encrypt(key)"),
        ("rsa_encrypt_oaep", "rsa_encrypt_oaep(key)"),
        ("rsa_encrypt_oaep", "rsa_encrypt_oaep(key, 'sha256')"),
        ("rsa_encrypt_oaep_sha1", "rsa_encrypt_oaep(key, 'sha1')"),
    ] {
        for (form, key) in [
            ("a public key", &public),
            ("a certificate", &keys.certificate),
        ] {
            cases.push(
                json!({"name": format!("{filter} for {form}"), "kind": kind, "text": text,
                "made": with(filter, key), "private": private}),
            );
        }
    }
    assert_right(&python, &cases, spoil_made);
}

#[test]
fn cryptography_finds_the_same_fingerprints() {
    let Some(python) = needed() else { return };
    let (keys, older) = (keys(), older_forms(&python));
    let old = |name: &str| older[name].as_str().unwrap().to_owned();
    let forms = [
        ("certificate", keys.certificate.clone()),
        ("RSA public key", keys.rsa.public_key_pem()),
        ("RSA, PKCS #8", keys.rsa.serialize_pem()),
        ("RSA, PKCS #1", old("pkcs1")),
        ("EC public key", keys.ec.public_key_pem()),
        ("EC, PKCS #8", keys.ec.serialize_pem()),
        ("EC, SEC 1", old("sec1")),
        ("P-384, PKCS #8", keys.ec384.serialize_pem()),
        ("P-521, PKCS #8", keys.ec521.serialize_pem()),
        ("Ed25519 public key", keys.ed25519.public_key_pem()),
        ("Ed25519, PKCS #8", keys.ed25519.serialize_pem()),
    ];
    let cases = forms.map(|(name, pem)| {
        let made = made(
            &json!({"made": "{{ pem | spki_sha256 | hex }}"}),
            &json!({"pem": pem}),
        );
        json!({"name": name, "kind": "spki_sha256", "pem": pem, "made": made})
    });
    assert_right(&python, &cases, spoil_made);
    // The fingerprint of Snowflake's key is that of its public half.
    let definition = definition(preset("snowflake").unwrap());
    let report = rehearsed(
        definition.recipe().unwrap(),
        &preset("snowflake").unwrap().examples[0],
        true,
    )
    .report(true);
    let issuer = Jwt::all_in(report["token"].as_str().unwrap())[0].claims["iss"]
        .as_str()
        .unwrap()
        .to_owned();
    let der = rcgen::PublicKeyData::subject_public_key_info(&keys.rsa);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    assert!(
        issuer.ends_with(&format!(".SHA256:{}", STANDARD.encode(hash.as_ref()))),
        "{issuer}"
    );
}
