//! Reading and verifying signed JWTs, beside the engine.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::keys::keys;

/// A JWT taken apart.
pub(crate) struct Jwt {
    /// As it stands in the text.
    pub(crate) text: String,
    pub(crate) header: Value,
    pub(crate) claims: Value,
    signature: Vec<u8>,
}

impl Jwt {
    /// Every JWT in a text.
    pub(crate) fn all_in(text: &str) -> Vec<Self> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        text.split(|c| !is_part(c)).filter_map(Self::read).collect()
    }

    fn read(text: &str) -> Option<Self> {
        let [header, claims, signature] = text.split('.').collect::<Vec<_>>().try_into().ok()?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let json = |part: &str| {
            serde_json::from_slice::<Value>(&decode(part)?)
                .ok()
                .filter(Value::is_object)
        };
        Some(Self {
            text: text.to_owned(),
            header: json(header)?,
            claims: json(claims)?,
            signature: decode(signature)?,
        })
    }

    /// Whether it is signed by this run's key of its algorithm, for HS256 by the text given.
    pub(crate) fn is_signed(&self, secret: &[u8]) -> bool {
        let signed = self.text.rsplit_once('.').unwrap().0.as_bytes();
        let keys = keys();
        let by = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key)
                .verify(signed, &self.signature)
                .is_ok()
        };
        match self.header["alg"].as_str() {
            Some("HS256") => hmac::verify(
                &hmac::Key::new(hmac::HMAC_SHA256, secret),
                signed,
                &self.signature,
            )
            .is_ok(),
            Some("RS256") => by(&RSA_PKCS1_2048_8192_SHA256, keys.rsa.public_key_raw()),
            Some("RS512") => by(&RSA_PKCS1_2048_8192_SHA512, keys.rsa.public_key_raw()),
            Some("PS256") => by(&RSA_PSS_2048_8192_SHA256, keys.rsa.public_key_raw()),
            Some("ES256") => by(&ECDSA_P256_SHA256_FIXED, keys.ec.public_key_raw()),
            Some("EdDSA") => by(&ED25519, keys.ed25519.public_key_raw()),
            _ => false,
        }
    }

    /// What is signed, without the signature: PS256 and ES256 sign differently each time.
    pub(crate) fn unsigned(&self) -> String {
        let hash = digest::digest(
            &digest::SHA256,
            self.text.rsplit_once('.').unwrap().0.as_bytes(),
        );
        format!("jwt {}", URL_SAFE_NO_PAD.encode(hash.as_ref()))
    }
}
