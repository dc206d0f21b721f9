//! 224 real token endpoints: each as a definition, what it must be sent, and what is made of its
//! answers.
//!
//! `tests/providers/providers.jsonl` has them; the expected values were worked out by its
//! converter, not by the engine.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::exchange::differences;
use crate::jwt::Jwt;
use crate::keys::filled;
use crate::program::{Check, Checked, in_parallel};

static PROVIDERS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let lines = include_str!("../providers/providers.jsonl").lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
});

/// One of them by its id.
pub(crate) fn provider(id: &str) -> &'static Value {
    PROVIDERS
        .iter()
        .find(|provider| provider["id"] == id)
        .unwrap_or_else(|| panic!("there is no {id}"))
}

/// How many must pass. One cannot be said in the language: it packs bytes of its own.
const ENOUGH: usize = 223;

#[test]
fn real_providers_are_sent_what_they_want_and_their_answers_are_understood() {
    let wrong: Vec<(String, Vec<String>)> = in_parallel(&PROVIDERS, |provider| {
        let is_expressible = provider["expressible"] == true;
        let said = if is_expressible {
            checked(provider)
        } else {
            vec!["cannot be said".to_owned()]
        };
        (provider["id"].as_str().unwrap().to_owned(), said)
    })
    .into_iter()
    .filter(|(_, said)| !said.is_empty())
    .collect();
    let passed = PROVIDERS.len() - wrong.len();
    let lines: Vec<_> = wrong
        .iter()
        .map(|(id, said)| format!("{id}:\n    {}", said.join("\n    ")))
        .collect();
    let told = format!(
        "{passed} of {} providers pass\n{}",
        PROVIDERS.len(),
        lines.join("\n")
    );
    #[expect(clippy::print_stderr, reason = "a count is to be seen")]
    {
        eprintln!("{told}");
    }
    assert!(passed >= ENOUGH, "{told}");
}

/// What is wrong with one provider's token, its refresh and its error.
pub(crate) fn checked(provider: &Value) -> Vec<String> {
    let mut wrong = token(provider);
    if !provider["refresh"].is_null() {
        wrong.extend(
            refreshed(provider)
                .iter()
                .map(|line| format!("refresh: {line}")),
        );
    }
    if let Some(answers) = provider["error_answers"].as_array() {
        wrong.extend(
            refused(&run(provider, answers, &Value::Null)).map(|line| format!("error: {line}")),
        );
    }
    wrong
}

fn run(provider: &Value, answers: &[Value], grant: &Value) -> Checked {
    let credentials = json!({"inputs": filled(&provider["inputs"]), "tokens": provider["tokens"], "grant": grant});
    let check = Check {
        config: &provider["config"],
        credentials: &credentials,
        answers,
        facts: provider,
        show_secrets: true,
        output: "json",
    };
    check.run()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn token(provider: &Value) -> Vec<String> {
    let checked = run(provider, list(&provider["answers"]), &Value::Null);
    let report = checked.report();
    let mut wrong = Vec::new();
    if checked.code != 0 {
        wrong.push(format!("exit code {}: {}", checked.code, checked.stderr));
    }
    let (signed, unsigned) = signed_jwts(provider, &report);
    wrong.extend(unsigned);
    wrong.extend(wrong_values(provider, &report));
    wrong.extend(wrong_requests(&provider["requests"], &report, &signed));
    wrong
}

fn wrong_values(provider: &Value, report: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut differ = |name: &str, wanted: &Value| {
        if report[name] != *wanted {
            wrong.push(format!("{name}: wanted {wanted}, got {}", report[name]));
        }
    };
    let never = provider["never_expires"] == true;
    differ("never_expires", &never.into());
    if !never {
        differ("expires_in", &provider["expires_in"]);
    }
    differ("outputs", &provider["outputs"]);
    differ("save", &provider["save"]);
    if provider["token"].is_null() {
        if report["token"].as_str().is_none_or(str::is_empty) {
            wrong.push("there is no token".to_owned());
        }
    } else {
        differ("token", &provider["token"]);
    }
    wrong
}

fn wrong_requests(wanted: &Value, report: &Value, signed: &[String]) -> Vec<String> {
    let (wanted, made) = (list(wanted), list(&report["requests"]));
    let mut wrong = Vec::new();
    if wanted.len() != made.len() {
        wrong.push(format!(
            "{} requests wanted, {} made",
            wanted.len(),
            made.len()
        ));
    }
    for (index, (wanted, made)) in wanted.iter().zip(made).enumerate() {
        let found = differences(wanted, made, signed);
        wrong.extend(
            found
                .into_iter()
                .map(|line| format!("request {index}, {line}")),
        );
    }
    wrong
}

/// The JWTs that were to be signed, as found in the token or a request, and what is wrong with
/// others.
fn signed_jwts(provider: &Value, report: &Value) -> (Vec<String>, Vec<String>) {
    let (mut signed, mut wrong) = (Vec::new(), Vec::new());
    let place = format!("{} {}", report["requests"], report["token"]);
    let all: Vec<Jwt> = Jwt::all_in(&place);
    let secret = shared_secret(provider);
    for (var, wanted) in provider["jwts"].as_object().into_iter().flatten() {
        let mut header = wanted["header"].clone();
        header["alg"] = wanted["alg"].clone();
        let found = all
            .iter()
            .find(|jwt| jwt.header == header && jwt.claims == wanted["claims"]);
        match found {
            Some(jwt) if jwt.is_signed(&secret) => signed.push(jwt.text.clone()),
            Some(_) => wrong.push(format!("{var}: the signature does not fit the key")),
            None => {
                let shown: Vec<_> = all
                    .iter()
                    .map(|jwt| format!("{} {}", jwt.header, jwt.claims))
                    .collect();
                wrong.push(format!(
                    "{var}: wanted {header} {}, made {shown:?}",
                    wanted["claims"]
                ));
            }
        }
    }
    (signed, wrong)
}

/// What HS256 is keyed with, which each of these four says in its own way.
fn shared_secret(provider: &Value) -> Vec<u8> {
    let input = |name: &str| provider["inputs"][name].as_str().unwrap().to_owned();
    match provider["id"].as_str().unwrap() {
        "zhipu-jwt" => input("api_key").split_once('.').unwrap().1.into(),
        "ghost-admin" => {
            let key = input("admin_api_key");
            let hex = key.split_once(':').unwrap().1;
            (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect()
        }
        "heymarket" => format!("{}||{}", input("api_secret_id"), input("api_secret_key")).into(),
        "twilio-access-token" => input("api_key_secret").into(),
        _ => Vec::new(),
    }
}

/// A second fetch, once a refresh token is stored.
fn refreshed(provider: &Value) -> Vec<String> {
    let refresh = &provider["refresh"];
    let checked = run(provider, list(&refresh["answers"]), &refresh["grant"]);
    let mut wrong = wrong_requests(&refresh["requests"], &checked.report(), &[]);
    if checked.code != 0 {
        wrong.push(format!("exit code {}: {}", checked.code, checked.stderr));
    }
    wrong
}

const CLASSES: [&str; 8] = [
    "config",
    "refused",
    "busy",
    "quota",
    "dependency",
    "reauthorise",
    "malformed",
    "unreachable",
];

fn refused(checked: &Checked) -> Option<String> {
    let report = checked.report();
    let class = report["error"]["class"].as_str().unwrap_or("none");
    if checked.code == 1 && CLASSES.contains(&class) && report["token"].is_null() {
        return None;
    }
    Some(format!(
        "exit code {}, class {class}, token {}",
        checked.code, report["token"]
    ))
}

/// The one that is packed: JSON, signed, deflated, base64 with three characters changed.
#[test]
fn a_packed_signature_is_read_back() {
    let provider = provider("tencent-im-usersig");
    let token = run(provider, &[], &Value::Null).report()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let packed = STANDARD
        .decode(token.replace('*', "+").replace('-', "/").replace('_', "="))
        .unwrap();
    let mut json = String::new();
    std::io::Read::read_to_string(
        &mut flate2::read::ZlibDecoder::new(packed.as_slice()),
        &mut json,
    )
    .unwrap();
    let read: Value = serde_json::from_str(&json).unwrap();
    let input = |name: &str| provider["inputs"][name].as_str().unwrap();
    let signed = format!(
        "TLS.identifier:{}\nTLS.sdkappid:{}\nTLS.time:1760000000\nTLS.expire:86400\n",
        input("identifier"),
        input("sdk_app_id")
    );
    let key =
        aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, input("secret_key").as_bytes());
    let signature = STANDARD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()).as_ref());
    let wanted = json!({"TLS.ver": "2.0", "TLS.identifier": input("identifier"), "TLS.sdkappid": 1_400_000_001,
        "TLS.expire": 86400, "TLS.time": 1_760_000_000, "TLS.sig": signature});
    assert_eq!(read, wanted);
    assert!(
        URL_SAFE_NO_PAD.decode(&token).is_err(),
        "it has the characters that were changed"
    );
}
