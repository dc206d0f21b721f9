//! Digests, signatures and JWTs, by aws-lc-rs. MD5 stays for providers that still sign with it.

use std::io::Write as _;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, Pkcs1PublicEncryptingKey,
};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use md5::Digest as _;
use serde_json::{Map, Value as Json};

use super::keys;

pub(super) type Digest = fn(&[u8]) -> Vec<u8>;
pub(super) type ByKey = fn(&str, &[u8]) -> Result<Vec<u8>, String>;
pub(super) type Mac = fn(&[u8], &[u8]) -> Vec<u8>;

pub(super) fn md5(data: &[u8]) -> Vec<u8> {
    md5::Md5::digest(data).to_vec()
}

pub(super) fn sha1(data: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, data)
        .as_ref()
        .to_vec()
}

pub(super) fn sha256(data: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, data).as_ref().to_vec()
}

pub(super) fn sha384(data: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA384, data).as_ref().to_vec()
}

pub(super) fn sha512(data: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA512, data).as_ref().to_vec()
}

fn mac(algorithm: hmac::Algorithm, key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, key), data)
        .as_ref()
        .to_vec()
}

pub(super) fn hmac_sha1(key: &[u8], data: &[u8]) -> Vec<u8> {
    mac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key, data)
}

pub(super) fn hmac_sha256(key: &[u8], data: &[u8]) -> Vec<u8> {
    mac(hmac::HMAC_SHA256, key, data)
}

pub(super) fn hmac_sha384(key: &[u8], data: &[u8]) -> Vec<u8> {
    mac(hmac::HMAC_SHA384, key, data)
}

pub(super) fn hmac_sha512(key: &[u8], data: &[u8]) -> Vec<u8> {
    mac(hmac::HMAC_SHA512, key, data)
}

/// HMAC of RFC 2104 over MD5, which the library leaves out.
pub(super) fn hmac_md5(key: &[u8], data: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 64;
    let mut block = if key.len() > BLOCK {
        md5(key)
    } else {
        key.to_vec()
    };
    block.resize(BLOCK, 0);
    let padded = |with: u8| block.iter().map(move |byte| byte ^ with);
    let inner: Vec<u8> = padded(0x36).chain(data.iter().copied()).collect();
    let outer: Vec<u8> = padded(0x5c).chain(md5(&inner)).collect();
    md5(&outer)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

pub(super) fn zlib(data: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).ok()?;
    encoder.finish().ok()
}

/// PKCS #1 v1.5 signature over SHA-256.
pub(super) fn rsa_sha256(pem: &str, data: &[u8]) -> Result<Vec<u8>, String> {
    rsa_sign(pem, &signature::RSA_PKCS1_SHA256, data)
}

/// PKCS #1 v1.5 signature over SHA-512.
pub(super) fn rsa_sha512(pem: &str, data: &[u8]) -> Result<Vec<u8>, String> {
    rsa_sign(pem, &signature::RSA_PKCS1_SHA512, data)
}

/// PSS signature over SHA-256, with a salt as long as the digest.
pub(super) fn rsa_pss_sha256(pem: &str, data: &[u8]) -> Result<Vec<u8>, String> {
    rsa_sign(pem, &signature::RSA_PSS_SHA256, data)
}

fn rsa_sign(
    pem: &str,
    encoding: &'static dyn signature::RsaEncoding,
    data: &[u8],
) -> Result<Vec<u8>, String> {
    let key = keys::rsa(pem)?;
    let mut signed = vec![0; key.public_modulus_len()];
    let done = key.sign(encoding, &SystemRandom::new(), data, &mut signed);
    done.map_err(|_| "the RSA key cannot sign".to_owned())?;
    Ok(signed)
}

pub(super) fn rsa_encrypt_pkcs1(pem: &str, data: &[u8]) -> Result<Vec<u8>, String> {
    let key = keys::public_rsa(pem)?;
    let key = Pkcs1PublicEncryptingKey::new(key).map_err(|_| keys::unusable())?;
    let mut out = vec![0; key.ciphertext_size()];
    let length = key.encrypt(data, &mut out).map_err(|_| too_long())?.len();
    out.truncate(length);
    Ok(out)
}

/// OAEP with the digest named: `sha1` (Java's default) or `sha256`.
pub(super) fn rsa_encrypt_oaep(digest: &str, pem: &str, data: &[u8]) -> Result<Vec<u8>, String> {
    let algorithm = match digest {
        "sha1" => &OAEP_SHA1_MGF1SHA1,
        "sha256" => &OAEP_SHA256_MGF1SHA256,
        _ => return Err("expected 'sha1' or 'sha256' as the digest of OAEP".to_owned()),
    };
    let key = keys::public_rsa(pem)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| keys::unusable())?;
    let mut out = vec![0; key.ciphertext_size()];
    let length = key
        .encrypt(algorithm, data, &mut out, None)
        .map_err(|_| too_long())?
        .len();
    out.truncate(length);
    Ok(out)
}

fn too_long() -> String {
    "is too long to be encrypted with this RSA key".to_owned()
}

/// The signature algorithms of JWTs (RFC 7518 §3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::realm) enum JwtAlgorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl JwtAlgorithm {
    pub(in crate::realm) const ALL: [(&'static str, Self); 13] = [
        ("HS256", Self::Hs256),
        ("HS384", Self::Hs384),
        ("HS512", Self::Hs512),
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("ES512", Self::Es512),
        ("EdDSA", Self::EdDsa),
    ];

    /// Whether the key is a secret that both sides have.
    pub(in crate::realm) fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    pub(in crate::realm) fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, algorithm)| *algorithm == self)
            .map_or("", |(name, _)| name)
    }
}

/// A signed JWT in compact form; header and claims in the given order.
pub(in crate::realm) fn sign_jwt(
    algorithm: JwtAlgorithm,
    key: &[u8],
    header: &Map<String, Json>,
    claims: &Map<String, Json>,
) -> Result<String, String> {
    let encoded = |part: &Map<String, Json>| {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).unwrap_or_default())
    };
    let signed = format!("{}.{}", encoded(header), encoded(claims));
    let signature = jwt_signature(algorithm, key, signed.as_bytes())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn jwt_signature(algorithm: JwtAlgorithm, key: &[u8], signed: &[u8]) -> Result<Vec<u8>, String> {
    let pem = || std::str::from_utf8(key).map_err(|_| keys::unusable());
    match algorithm {
        JwtAlgorithm::Hs256 => Ok(hmac_sha256(key, signed)),
        JwtAlgorithm::Hs384 => Ok(hmac_sha384(key, signed)),
        JwtAlgorithm::Hs512 => Ok(hmac_sha512(key, signed)),
        JwtAlgorithm::Rs256 => rsa_sign(pem()?, &signature::RSA_PKCS1_SHA256, signed),
        JwtAlgorithm::Rs384 => rsa_sign(pem()?, &signature::RSA_PKCS1_SHA384, signed),
        JwtAlgorithm::Rs512 => rsa_sign(pem()?, &signature::RSA_PKCS1_SHA512, signed),
        JwtAlgorithm::Ps256 => rsa_sign(pem()?, &signature::RSA_PSS_SHA256, signed),
        JwtAlgorithm::Ps384 => rsa_sign(pem()?, &signature::RSA_PSS_SHA384, signed),
        JwtAlgorithm::Ps512 => rsa_sign(pem()?, &signature::RSA_PSS_SHA512, signed),
        JwtAlgorithm::Es256 => ecdsa_sign(
            pem()?,
            &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            "P-256",
            signed,
        ),
        JwtAlgorithm::Es384 => ecdsa_sign(
            pem()?,
            &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
            "P-384",
            signed,
        ),
        JwtAlgorithm::Es512 => ecdsa_sign(
            pem()?,
            &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
            "P-521",
            signed,
        ),
        JwtAlgorithm::EdDsa => ed25519(pem()?, signed),
    }
}

fn ecdsa_sign(
    pem: &str,
    algorithm: &'static signature::EcdsaSigningAlgorithm,
    curve: &str,
    data: &[u8],
) -> Result<Vec<u8>, String> {
    let der = keys::private(pem)?;
    let key = EcdsaKeyPair::from_private_key_der(algorithm, der.secret_der());
    let key = key.map_err(|_| format!("the key is not a {curve} private key"))?;
    let signature = key
        .sign(&SystemRandom::new(), data)
        .map_err(|_| keys::unusable())?;
    Ok(signature.as_ref().to_vec())
}

/// ECDSA over SHA-256 by a P-256 key, as DER.
pub(super) fn ecdsa_sha256(pem: &str, data: &[u8]) -> Result<Vec<u8>, String> {
    ecdsa_sign(
        pem,
        &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        "P-256",
        data,
    )
}

/// Ed25519 (RFC 8032).
pub(super) fn ed25519(pem: &str, data: &[u8]) -> Result<Vec<u8>, String> {
    let der = keys::private(pem)?;
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_der());
    let key = key.map_err(|_| "the key is not an Ed25519 private key (PKCS #8)".to_owned())?;
    Ok(key.sign(data).as_ref().to_vec())
}
