//! Reading what an operator posts: absent keeps, `null` clears, our own answers' fields are
//! accepted and ignored.

mod api_keys;
mod credentials;
mod patch;

use serde_json::Value;

use self::credentials::{credential_patch, read_credentials, read_next};
pub(crate) use self::patch::LARGEST_CREDENTIAL;
pub(super) use self::patch::MOST_CREDENTIALS;
pub use self::patch::{NextValue, Patch};
use super::ServiceError;
use crate::clock::Timestamp;
use crate::json::{Issues, Object};

use crate::secret::{is_invisible, numbered};

/// A posted realm; the definition is checked after it is merged with what is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct RealmEdit {
    /// Which realm.
    pub id: String,
    /// Its config, as posted.
    pub config: Patch<Value>,
    /// The URL of a function.
    pub logic_code: Patch<String>,
    /// The operator's comment.
    pub comment: Patch<String>,
    /// Hosts that credentials may go to from now on.
    pub confirm_hosts: Vec<String>,
}

/// The longest realm id, in characters.
pub(crate) const LONGEST_REALM: usize = 50;
/// The longest key, in characters.
pub(crate) const LONGEST_KEY: usize = 200;
/// The longest comment, in characters.
pub(crate) const LONGEST_COMMENT: usize = 5000;
/// Fields of our answers that a posted realm may carry.
pub(crate) const REALM_ANSWER_FIELDS: [&str; 7] = [
    "mode",
    "version",
    "created_at",
    "updated_at",
    "warnings",
    "success",
    "$schema",
];
/// Fields of our answers, and of the inherited service's, that a posted secret may carry.
pub(crate) const SECRET_ANSWER_FIELDS: [&str; 5] =
    ["version", "created_at", "updated_at", "warnings", "success"];

impl RealmEdit {
    /// Reads a posted realm.
    ///
    /// # Errors
    /// `Invalid` with everything that is wrong but the definition itself.
    pub fn read(document: &Value) -> Result<Self, ServiceError> {
        let mut issues = Issues::default();
        let edit = Self::read_members(document, &mut issues);
        Ok(issues.into_result(edit)?)
    }

    fn read_members(document: &Value, issues: &mut Issues) -> Option<Self> {
        let mut object = Object::read(document, "", issues)?;
        let id = object.required_text("id", issues);
        if let Some(id) = id {
            check_name(id, "/id", LONGEST_REALM, issues);
        }
        let config = Patch::from_member(object.member("config"), |config| Some(config.clone()));
        let logic_code = text_patch(&mut object, "logic_code", issues);
        let comment = text_patch(&mut object, "comment", issues);
        if let Patch::Set(comment) = &comment {
            check_comment(comment, issues);
        }
        let confirm_hosts = read_confirmed(&mut object, issues);
        object.finish(&REALM_ANSWER_FIELDS, |_| false, issues);
        Some(Self {
            id: id?.to_owned(),
            config,
            logic_code,
            comment,
            confirm_hosts,
        })
    }
}

fn text_patch(object: &mut Object<'_>, name: &'static str, issues: &mut Issues) -> Patch<String> {
    let member = object.member(name);
    let text = object.text(name, issues);
    Patch::from_member(member, |_| text.map(str::to_owned))
}

/// Reads `confirm_hosts`: hosts that credentials may go to from now on.
pub(crate) fn read_confirmed(object: &mut Object<'_>, issues: &mut Issues) -> Vec<String> {
    let at = object.pointer_of("confirm_hosts");
    let hosts = match object.member("confirm_hosts") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(hosts)) => hosts
            .iter()
            .map(|host| host.as_str().map(str::to_owned))
            .collect(),
        Some(_) => None,
    };
    hosts.unwrap_or_else(|| {
        issues.add(at, "expected an array of hosts, e.g. [\"new.example.com\"]");
        Vec::new()
    })
}

fn check_comment(comment: &str, issues: &mut Issues) {
    if comment.chars().count() > LONGEST_COMMENT {
        issues.add(
            "/comment",
            format!("must not be longer than {LONGEST_COMMENT} characters"),
        );
    }
    if comment
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        issues.add(
            "/comment",
            "must not have control characters other than line breaks and tabs",
        );
    }
}

/// Checks a realm id or key: 1 to `longest` characters, all of which show, no blanks at the ends.
///
/// MySQL takes names that differ in trailing blanks for one.
pub(crate) fn check_name(name: &str, pointer: &str, longest: usize, issues: &mut Issues) {
    if name.is_empty() {
        issues.add(pointer, "must not be empty");
    }
    if name.chars().count() > longest {
        issues.add(
            pointer,
            format!("must not be longer than {longest} characters"),
        );
    }
    if name.chars().any(is_invisible) {
        issues.add(
            pointer,
            "must not have control characters, direction marks or other characters that do not show",
        );
    }
    if matches!(name, "." | "..") {
        issues.add(pointer, "must not be . or ..: a URL cannot name it");
    }
    if name.trim() != name {
        issues.add(pointer, "must not begin or end with blanks");
    }
}

/// A posted secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretEdit {
    /// Its realm.
    pub realm: String,
    /// Its key.
    pub key: String,
    /// Whether `credentials` was `null`, which clears all names of the operator's choice.
    pub clears_named: bool,
    /// By name; masked values are left out, an empty text clears.
    pub credentials: Vec<(String, Patch<String>)>,
    /// The operator's token, for a fixed realm.
    pub token: Patch<String>,
    /// Until when that token works.
    pub expires_at: Patch<Timestamp>,
    /// Credentials that replace the stored ones once they are seen to work.
    pub next: Patch<Vec<(String, NextValue)>>,
}

impl std::fmt::Debug for SecretEdit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretEdit of {}/{}", self.realm, self.key)
    }
}

impl SecretEdit {
    /// Reads a posted secret.
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
        let realm = object.required_text("realm", issues);
        let key = object.required_text("key", issues);
        for (name, pointer, longest) in
            [(realm, "/realm", LONGEST_REALM), (key, "/key", LONGEST_KEY)]
        {
            if let Some(name) = name {
                check_name(name, pointer, longest, issues);
            }
        }
        let clears_named = object.member("credentials").is_some_and(Value::is_null);
        let credentials = read_credentials(&mut object, "", issues);
        let credentials = credentials
            .into_iter()
            .filter_map(|(name, patch)| Some((name, patch?)))
            .collect();
        let token = credential_patch(object.member("token"), "/token", issues);
        let expires_at =
            Patch::from_member(object.member("expires_at"), |value| instant(value, issues));
        let next = match object.member("next") {
            None => Patch::Keep,
            Some(Value::Null) => Patch::Clear,
            Some(next) => Patch::Set(read_next(next, issues)),
        };
        object.finish(
            &SECRET_ANSWER_FIELDS,
            |name| numbered(name).is_some(),
            issues,
        );
        Some(Self {
            realm: realm?.to_owned(),
            key: key?.to_owned(),
            clears_named,
            credentials,
            token: token.unwrap_or(Patch::Keep),
            expires_at,
            next,
        })
    }
}

fn instant(value: &Value, issues: &mut Issues) -> Option<Timestamp> {
    let parsed = value
        .as_i64()
        .filter(|ms| (0..=i64::from(u32::MAX) * 10_000).contains(ms));
    if parsed.is_none() {
        issues.add(
            "/expires_at",
            "expected milliseconds since 1970-01-01 UTC as a number, or null for never",
        );
    }
    parsed.map(Timestamp::from_epoch_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn places(outcome: Result<impl std::fmt::Debug, ServiceError>) -> Vec<String> {
        match outcome {
            Err(ServiceError::Invalid(issues)) => {
                issues.into_iter().map(|issue| issue.pointer).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn absent_keeps_and_null_clears() {
        let edit = RealmEdit::read(&json!({"id": "r", "comment": null, "version": 3})).unwrap();
        assert_eq!((edit.config, edit.comment), (Patch::Keep, Patch::Clear));
    }

    #[test]
    fn masked_credentials_are_left_out_and_empty_ones_clear() {
        let posted = json!({"realm": "r", "key": "k", "key_1": "******************", "key_2": "", "key_7": "v",
            "credentials": {"corpid": "c"}});
        let edit = SecretEdit::read(&posted).unwrap();
        let set = |text: &str| Patch::Set(text.to_owned());
        let expected = [
            ("key_2", Patch::Clear),
            ("key_7", set("v")),
            ("corpid", set("c")),
        ]
        .map(|(n, p)| (n.to_owned(), p));
        assert_eq!(edit.credentials, expected);
    }

    #[test]
    fn wrong_fields_are_told_with_their_places() {
        let long = "k".repeat(51);
        for (posted, expected) in [
            (json!([]), vec![""]),
            (json!({}), vec!["/id"]),
            (json!({"id": ""}), vec!["/id"]),
            (json!({"id": " r"}), vec!["/id"]),
            (json!({"id": "a\u{0}"}), vec!["/id"]),
            (json!({"id": long}), vec!["/id"]),
            (
                json!({"id": "r", "comment": 1, "surplus": 2}),
                vec!["/comment", "/surplus"],
            ),
        ] {
            assert_eq!(places(RealmEdit::read(&posted)), expected, "{posted}");
        }
        let posted = json!({"realm": 1, "key": "k", "kye_1": "x", "key_2": 3, "expires_at": "soon",
            "credentials": {"1a": "x", "big": "x".repeat(LARGEST_CREDENTIAL + 1)}});
        let mut told = places(SecretEdit::read(&posted));
        told.sort();
        assert_eq!(
            told,
            [
                "/credentials/1a",
                "/credentials/big",
                "/expires_at",
                "/key_2",
                "/kye_1",
                "/realm"
            ]
        );
    }
}
