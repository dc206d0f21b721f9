//! Keys and certificates as operators paste them: PEM, also with its line ends written out as `\n`.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, PublicEncryptingKey};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};

pub(super) fn unusable() -> String {
    "the key is not usable: expected PEM of a private key (PKCS #8, PKCS #1 or SEC 1)".to_owned()
}

/// PEM with its line ends as they should be: JSON files have them written out, and forms lose them.
pub(in crate::realm) fn pem(text: &str) -> String {
    text.trim().replace("\\r", "").replace("\\n", "\n")
}

/// What a text is that is no private key; never any of it.
fn kind(pem: &str) -> Option<&'static str> {
    let label = pem
        .lines()
        .find_map(|line| line.trim().strip_prefix("-----BEGIN "));
    match label {
        Some(label) if label.contains("ENCRYPTED") => Some("an encrypted one: store it decrypted"),
        Some(_) if pem.contains("Proc-Type: 4,ENCRYPTED") => {
            Some("an encrypted one: store it decrypted")
        }
        Some(label) if label.contains("PUBLIC") => Some("a public key"),
        Some(label) if label.contains("CERTIFICATE") => Some("a certificate"),
        Some(_) => None,
        None => Some("a text without -----BEGIN … PRIVATE KEY-----"),
    }
}

pub(super) fn private(text: &str) -> Result<PrivateKeyDer<'static>, String> {
    let pem = pem(text);
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| match kind(&pem) {
        Some(kind) => format!("{}, found {kind}", unusable()),
        None => unusable(),
    })
}

pub(super) fn rsa(text: &str) -> Result<KeyPair, String> {
    let key = private(text)?;
    let read = match &key {
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(_) | _ => return Err("the key is not an RSA private key".to_owned()),
    };
    let key = read
        .map_err(|_| format!("the key is not an RSA private key of 2048 to {LONGEST_RSA} bits"))?;
    if key.public_modulus_len() * 8 > LONGEST_RSA {
        return Err(too_long());
    }
    Ok(key)
}

/// The longest RSA private key, in bits: one of twice the length takes ten times as long to sign.
const LONGEST_RSA: usize = 4096;

fn too_long() -> String {
    format!("the RSA key has more than {LONGEST_RSA} bits: make one of 2048 to {LONGEST_RSA} bits")
}

/// What is wrong with a text that is an RSA private key, before it is used.
pub(crate) fn doubt(text: &str) -> Option<String> {
    // PEM of a key of 4096 bits is longer.
    let is_long = text.len() > 3000 && text.contains("PRIVATE KEY-----");
    let wrong = is_long.then(|| rsa(text).err()).flatten();
    wrong.filter(|wrong| *wrong == too_long())
}

pub(super) fn public_rsa(text: &str) -> Result<PublicEncryptingKey, String> {
    PublicEncryptingKey::from_der(&public_key_info(text)?)
        .map_err(|_| "the key is not an RSA public key".to_owned())
}

/// The `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7) of a certificate, a public key or a private key,
/// as DER.
pub(super) fn public_key_info(text: &str) -> Result<Vec<u8>, String> {
    let pem = pem(text);
    if let Ok(public) = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()) {
        return Ok(public.to_vec());
    }
    if let Ok(certificate) = CertificateDer::from_pem_slice(pem.as_bytes()) {
        let parsed = webpki::EndEntityCert::try_from(&certificate);
        let parsed = parsed.map_err(|_| "the certificate cannot be read".to_owned())?;
        return Ok(parsed.subject_public_key_info().to_vec());
    }
    public_of_private(&pem)
}

fn public_of_private(pem: &str) -> Result<Vec<u8>, String> {
    let words = || "expected PEM of a certificate, a public key or a private key".to_owned();
    if let Ok(key) = rsa(pem) {
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| words())?;
        return Ok(der.as_ref().to_vec());
    }
    let der = private(pem).map_err(|_| words())?;
    let curves = [
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        &ECDSA_P384_SHA384_FIXED_SIGNING,
        &ECDSA_P521_SHA512_FIXED_SIGNING,
    ];
    for curve in curves {
        if let Ok(key) = EcdsaKeyPair::from_private_key_der(curve, der.secret_der()) {
            let der: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| words())?;
            return Ok(der.as_ref().to_vec());
        }
    }
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_der()).map_err(|_| words())?;
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| words())?;
    Ok(der.as_ref().to_vec())
}
