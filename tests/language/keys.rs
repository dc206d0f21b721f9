//! Throw-away keys: made once in each run, never written down.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ECDSA_P521_SHA512,
};
use serde_json::{Map, Value};

/// One key of each kind, and a certificate of the RSA key.
pub(crate) struct Keys {
    pub(crate) rsa: KeyPair,
    pub(crate) ec: KeyPair,
    pub(crate) ec384: KeyPair,
    pub(crate) ec521: KeyPair,
    pub(crate) ed25519: KeyPair,
    /// PEM.
    pub(crate) certificate: String,
}

/// The keys of this run.
pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let rsa = new_rsa();
        let certificate = CertificateParams::new(["client.example".to_owned()]).unwrap();
        let certificate = certificate.self_signed(&rsa).unwrap().pem();
        Keys {
            certificate,
            rsa,
            ec: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
            ec384: KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
            ec521: KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).unwrap(),
            ed25519: new_ed25519(),
        }
    })
}

fn new_rsa() -> KeyPair {
    let key = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    KeyPair::from_pem(&pem("PRIVATE KEY", der.as_ref())).unwrap()
}

/// In the first version of PKCS #8, as OpenSSL writes it; not every library reads the second, which
/// rcgen writes.
fn new_ed25519() -> KeyPair {
    let der = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
    KeyPair::from_pem(&pem("PRIVATE KEY", der.as_ref())).unwrap()
}

/// DER as PEM.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// Example values with a key in place of `@rsa`, `@ec`, `@ed25519`, and the certificate of
/// `@certificate`.
pub(crate) fn filled(values: &Value) -> Map<String, Value> {
    let fill = |value: &Value| match value.as_str() {
        Some("@rsa") => keys().rsa.serialize_pem().into(),
        Some("@ec") => keys().ec.serialize_pem().into(),
        Some("@ed25519") => keys().ed25519.serialize_pem().into(),
        Some("@certificate") => keys().certificate.as_str().into(),
        _ => value.clone(),
    };
    values
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), fill(value)))
        .collect()
}
