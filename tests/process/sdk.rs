//! What real SDKs send, beside what the presets of the catalog send for the same credentials.
//!
//! `tests/peers/sdk/cases.json` says which SDK goes with which preset, and explains each
//! difference; one that is not explained fails, and so does an explanation of a difference that is
//! gone.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::certificates::{Authority, Issued, file};
use crate::exchange::{Leaves, leaves_of, token_leaves};
use crate::program::{command, needed};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// `cases.json`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Headers in which SDKs name themselves, their host and their attempt; no provider needs them
    /// for a token.
    client_headers: Vec<String>,
    cases: Vec<Case>,
}

/// One SDK and one preset.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    preset: String,
    /// The script in `tests/peers/sdk`.
    script: String,
    /// Values other than those of the preset's first example.
    #[serde(default)]
    values: serde_json::Map<String, Value>,
    /// Hosts that the SDK asks beside those of the preset.
    #[serde(default)]
    hosts: Vec<String>,
    /// Vars of the preset replaced, so that the very bytes that the SDK signs are signed.
    #[serde(default)]
    vars: serde_json::Map<String, Value>,
    /// Why the SDK's word for the token is not compared; it does not say, or does not get so far.
    #[serde(default)]
    untold: Option<String>,
    #[serde(default)]
    differences: Vec<Difference>,
}

/// Something that the SDK does otherwise, and why that is right for us.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    at: String,
    /// Null where the SDK sends nothing there; "*" where it is another each time or with each
    /// version.
    theirs: Value,
    /// Null where the preset sends nothing there.
    ours: Value,
    why: String,
}

/// Keys and certificates for all cases.
struct Material {
    ca: Authority,
    rsa: String,
    ec: String,
    /// Of the RSA key: PEM, and its SHA-256 in hex.
    certificate: (String, String),
    client_headers: Vec<String>,
}

fn certificate_of(key: &rcgen::KeyPair) -> (String, String) {
    let certificate = rcgen::CertificateParams::default()
        .self_signed(key)
        .unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.der());
    let hex: Vec<_> = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    (certificate.pem(), hex.concat())
}

#[test]
fn python_sdks_send_what_the_presets_send() {
    if let Some(python) = needed("TEST_SDK_PYTHON") {
        compare_all(&python, ".py");
    }
}

#[test]
fn node_sdks_send_what_the_presets_send() {
    if let Some(node) = needed("TEST_SDK_NODE") {
        compare_all(&node, ".mjs");
    }
}

/// Two at a time: most of it is loading the SDK.
fn compare_all(interpreter: &str, extension: &str) {
    let text = std::fs::read_to_string(format!("{ROOT}/tests/peers/sdk/cases.json")).unwrap();
    let Table {
        client_headers,
        cases,
    } = serde_json::from_str(&text).unwrap();
    let cases: Vec<_> = cases
        .into_iter()
        .filter(|case| case.script.ends_with(extension))
        .collect();
    assert!(!cases.is_empty());
    let rsa = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
        .unwrap();
    let ec = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let ca = Authority::new("invented CA");
    let certificate = certificate_of(&rsa);
    let material = Material {
        ca,
        rsa: rsa.serialize_pem(),
        ec: ec.serialize_pem(),
        certificate,
        client_headers,
    };
    let (next, wrong) = (Mutex::new(cases.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(case) = next.lock().unwrap().next() else {
                        return;
                    };
                    let found = compare(interpreter, case, &material);
                    wrong.lock().unwrap().extend(found);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "of {} cases:\n{}",
        cases.len(),
        wrong.join("\n")
    );
}

/// What is wrong, a line each.
fn compare(interpreter: &str, case: &Case, material: &Material) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (config, example) = preset(case, material);
    let ours = render(folder.path(), &config, &example);
    let theirs = watch(folder.path(), interpreter, case, material, &example, &ours);
    let name = format!("{} by {}", case.preset, case.script);
    let (sent, meant) = (list(&theirs["requests"]), list(&ours["requests"]));
    let mut wrong = Vec::new();
    if sent.len() != meant.len() {
        let error = theirs["error"].as_str().unwrap_or_default();
        wrong.push(format!(
            "{name}: {} requests, ours {}: {sent:?} {error}",
            sent.len(),
            meant.len()
        ));
    }
    let mut differences = BTreeMap::new();
    for (number, (theirs, ours)) in sent.iter().zip(meant).enumerate() {
        let prefix = if number == 0 {
            String::new()
        } else {
            format!("{number}.")
        };
        note_differences(
            &prefix,
            &leaves_of(theirs, ours),
            &leaves_of(ours, ours),
            &mut differences,
        );
    }
    let (result, token) = (&theirs["result"], &ours["token"]);
    if meant.is_empty() {
        note_differences(
            "",
            &token_leaves(result),
            &token_leaves(token),
            &mut differences,
        );
    } else if (result != token) != case.untold.is_some() {
        wrong.push(format!(
            "{name}: it takes {result} for the token, we {token}: {}",
            theirs["error"]
        ));
    }
    let is_telemetry = |place: &str| {
        let name = place.rsplit_once("header.").map(|(_, name)| name);
        name.is_some_and(|name| material.client_headers.iter().any(|known| known == name))
    };
    differences.retain(|place, _| !is_telemetry(place));
    explain(case, differences, &name, &mut wrong);
    wrong
}

type Differences = BTreeMap<String, (Value, Value)>;

fn note_differences(prefix: &str, theirs: &Leaves, ours: &Leaves, found: &mut Differences) {
    for place in theirs.keys().chain(ours.keys()) {
        let of = |leaves: &Leaves| leaves.get(place).cloned().unwrap_or_default();
        if of(theirs) != of(ours) {
            found.insert(format!("{prefix}{place}"), (of(theirs), of(ours)));
        }
    }
}

/// Takes what the table explains out of the differences.
fn explain(case: &Case, mut found: Differences, name: &str, wrong: &mut Vec<String>) {
    for Difference {
        at,
        theirs,
        ours,
        why,
    } in &case.differences
    {
        assert!(why.len() > 20, "{name}: {at}: say why");
        let is_so = found.remove(at).is_some_and(|(is_theirs, is_ours)| {
            let fits = |said: &Value, is: &Value| said == is || said == "*" && !is.is_null();
            fits(ours, &is_ours) && fits(theirs, &is_theirs)
        });
        if !is_so {
            wrong.push(format!("{name}: {at}: explained, but it is not so"));
        }
    }
    let line = |(place, (theirs, ours)): (String, (Value, Value))| {
        format!("{name}: {place}: it sends {theirs}, we {ours}")
    };
    wrong.extend(found.into_iter().map(line));
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The config of a preset and its first example, with the case's values.
fn preset(case: &Case, material: &Material) -> (Value, Value) {
    let text = std::fs::read_to_string(format!("{ROOT}/catalog/{}.json", case.preset)).unwrap();
    let preset: Value = serde_json::from_str(&text).unwrap();
    let mut example = preset["examples"][0].clone();
    let inputs = example["inputs"].as_object_mut().unwrap();
    inputs.extend(case.values.clone());
    for value in inputs.values_mut() {
        match value.as_str() {
            Some("@rsa") => *value = material.rsa.as_str().into(),
            Some("@ec") => *value = material.ec.as_str().into(),
            Some("@certificate") => *value = material.certificate.0.as_str().into(),
            Some("@thumbprint") => *value = material.certificate.1.as_str().into(),
            _ => {}
        }
    }
    for (name, default) in [
        ("now", json!(1_760_000_000)),
        ("uuid", json!("00000000-0000-4000-8000-000000000001")),
        ("nonce", json!("0123456789abcdef0123456789abcdef")),
    ] {
        if example[name].is_null() {
            example[name] = default;
        }
    }
    let mut config = preset["config"].clone();
    for (name, value) in &case.vars {
        let var = config["vars"]
            .get_mut(name)
            .unwrap_or_else(|| panic!("{}: no var {name}", case.preset));
        *var = value.clone();
    }
    (config, example)
}

/// What `realm check` prints.
fn render(folder: &std::path::Path, config: &Value, example: &Value) -> Value {
    let write =
        |name: &str, value: &Value| file(folder, name, &value.to_string()).display().to_string();
    let values = json!({"inputs": example["inputs"], "tokens": example["tokens"]});
    let mut args = vec![
        "realm".to_owned(),
        "check".to_owned(),
        write("config.json", config),
    ];
    args.extend(["--show-secrets", "--output", "json", "--credentials"].map(str::to_owned));
    args.push(write("values.json", &values));
    args.extend(["--now".to_owned(), example["now"].to_string()]);
    for name in ["uuid", "nonce"] {
        args.extend([
            format!("--{name}"),
            example[name].as_str().unwrap().to_owned(),
        ]);
    }
    for (number, step) in list(&example["exchange"]).iter().enumerate() {
        args.extend([
            "--answer".to_owned(),
            write(&format!("answer-{number}.json"), &step["answer"]),
        ]);
    }
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let output = command(&args).stdin(Stdio::null()).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// Runs the script; answers what it printed.
fn watch(
    folder: &std::path::Path,
    interpreter: &str,
    case: &Case,
    material: &Material,
    example: &Value,
    ours: &Value,
) -> Value {
    let hosts = list(&ours["requests"]).iter().filter_map(|request| {
        url::Url::parse(request["url"].as_str()?)
            .ok()?
            .host_str()
            .map(str::to_owned)
    });
    let hosts: Vec<_> = hosts.chain(case.hosts.clone()).collect();
    let hosts: Vec<_> = hosts
        .iter()
        .map(String::as_str)
        .chain(["localhost"])
        .collect();
    let Issued { certificate, key } = material.ca.issue("invented providers", &hosts);
    let ca = file(folder, "ca.pem", &material.ca.pem);
    let answers: Vec<_> = list(&example["exchange"])
        .iter()
        .map(|step| step["answer"].clone())
        .collect();
    let mut values = example["inputs"].clone();
    values["tokens"] = example["tokens"].clone();
    let task = json!({"preset": case.preset, "values": values, "now": example["now"], "uuid": example["uuid"],
        "nonce": example["nonce"], "answers": answers, "ca": ca,
        "certificate": file(folder, "certificate.pem", &certificate), "key": file(folder, "key.pem", &key)});
    let mut child = Command::new(interpreter)
        .arg(format!("{ROOT}/tests/peers/sdk/{}", case.script))
        .envs([
            ("NODE_EXTRA_CA_CERTS", ca.as_os_str()),
            ("HOME", folder.as_os_str()),
        ])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(task.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let last = String::from_utf8_lossy(&output.stdout)
        .lines()
        .last()
        .unwrap_or_default()
        .to_owned();
    serde_json::from_str(&last)
        .unwrap_or_else(|_| panic!("{} by {}: {output:?}", case.preset, case.script))
}
