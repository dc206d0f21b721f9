//! Reading what an admin posts of an API key.

use serde_json::Value;

use super::patch::Patch;
use crate::api_key::{KeyHash, Rate, Role, Scope};
use crate::clock::Timestamp;
use crate::json::{Issues, Object};
use crate::service::{ApiKeyEdit, NewApiKey, ServiceError};

impl NewApiKey {
    /// Reads a posted key.
    ///
    /// # Errors
    /// `Invalid` with everything that is wrong.
    pub fn read(document: &Value) -> Result<Self, ServiceError> {
        let mut issues = Issues::default();
        let new = Self::read_members(document, &mut issues);
        Ok(issues.into_result(new)?)
    }

    fn read_members(document: &Value, issues: &mut Issues) -> Option<Self> {
        let mut object = Object::read(document, "", issues)?;
        let role = object.required_text("role", issues).and_then(|name| {
            let role = Role::of_name(name);
            if role.is_none() {
                let names: Vec<_> = Role::ALL.iter().map(|role| role.as_str()).collect();
                issues.add("/role", format!("expected one of {}", names.join(", ")));
            }
            role
        });
        let common = Common::read(&mut object, issues);
        let certificate = certificate(&mut object, issues);
        object.finish(&[], |_| false, issues);
        Some(Self {
            role: role?,
            scopes: common.scopes.over(None).unwrap_or_default(),
            note: common.note.over(None),
            expires_at: common.expires_at.over(None),
            rate: common.rate.over(None),
            certificate,
        })
    }
}

impl ApiKeyEdit {
    /// Reads what is posted to change a key: an absent member keeps its value, null clears it.
    ///
    /// # Errors
    /// `Invalid` with everything that is wrong.
    pub fn read(document: &Value) -> Result<Self, ServiceError> {
        let mut issues = Issues::default();
        let edit = Self::read_members(document, &mut issues);
        Ok(issues.into_result(edit)?)
    }

    fn read_members(document: &Value, issues: &mut Issues) -> Option<Self> {
        let mut object = Object::read(document, "", issues)?;
        let common = Common::read(&mut object, issues);
        let disabled = match object.member("disabled") {
            None => None,
            Some(Value::Bool(disabled)) => Some(*disabled),
            Some(_) => {
                issues.add("/disabled", "expected true or false");
                None
            }
        };
        object.finish(&[], |_| false, issues);
        Some(Self {
            note: common.note,
            scopes: common.scopes,
            expires_at: common.expires_at,
            rate: common.rate,
            disabled,
        })
    }
}

/// What a new key and a changed one have in common.
struct Common {
    note: Patch<String>,
    scopes: Patch<Vec<Scope>>,
    expires_at: Patch<Timestamp>,
    rate: Patch<Rate>,
}

impl Common {
    fn read(object: &mut Object<'_>, issues: &mut Issues) -> Self {
        Self {
            note: parsed(object, "note", issues, |text| Ok(text.to_owned())),
            scopes: scopes(object, issues),
            expires_at: expires_at(object, issues),
            rate: parsed(object, "rate", issues, str::parse),
        }
    }
}

fn parsed<T>(
    object: &mut Object<'_>,
    name: &'static str,
    issues: &mut Issues,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Patch<T> {
    match object.member(name) {
        None => Patch::Keep,
        Some(Value::Null) => Patch::Clear,
        Some(Value::String(text)) => match parse(text) {
            Ok(value) => Patch::Set(value),
            Err(wrong) => {
                issues.add(format!("/{name}"), wrong);
                Patch::Keep
            }
        },
        Some(_) => {
            issues.add(format!("/{name}"), "expected a text");
            Patch::Keep
        }
    }
}

fn scopes(object: &mut Object<'_>, issues: &mut Issues) -> Patch<Vec<Scope>> {
    let listed = match object.member("scopes") {
        None => return Patch::Keep,
        Some(Value::Null) => return Patch::Clear,
        Some(Value::Array(listed)) => listed,
        Some(_) => {
            issues.add("/scopes", "expected an array of texts like wxgzh:*");
            return Patch::Keep;
        }
    };
    let mut scopes = Vec::new();
    for (place, scope) in listed.iter().enumerate() {
        let read = scope.as_str().ok_or_else(|| "expected a text".to_owned());
        match read.and_then(str::parse) {
            Ok(scope) => scopes.push(scope),
            Err(wrong) => issues.add(format!("/scopes/{place}"), wrong),
        }
    }
    if scopes.is_empty() {
        return Patch::Clear;
    }
    Patch::Set(scopes)
}

fn expires_at(object: &mut Object<'_>, issues: &mut Issues) -> Patch<Timestamp> {
    match object.member("expires_at") {
        None => Patch::Keep,
        Some(Value::Null) => Patch::Clear,
        Some(value) => {
            let read = value.as_i64().filter(|ms| (0..=LATEST_MS).contains(ms));
            if let Some(ms) = read {
                return Patch::Set(Timestamp::from_epoch_ms(ms));
            }
            let expected = "expected milliseconds since 1970-01-01 UTC, or null for never";
            issues.add("/expires_at", expected);
            Patch::Keep
        }
    }
}

/// The year 9999.
const LATEST_MS: i64 = 253_402_300_799_000;

/// SHA-256 of a certificate's DER, as `openssl x509 -fingerprint -sha256` prints it.
fn certificate(object: &mut Object<'_>, issues: &mut Issues) -> Option<KeyHash> {
    let text = object.text("certificate", issues)?;
    let hash = KeyHash::from_hex(&text.replace(':', ""));
    if hash.is_none() {
        issues.add(
            "/certificate",
            "expected the SHA-256 of the client certificate, 64 hex digits",
        );
    }
    hash
}
