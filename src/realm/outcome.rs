//! What comes of a fetch, and how providers tell that nothing does.

use std::time::Duration;

use serde_json::Value;

use super::budget::MOST_VALUES;
use super::recipe::ResponseFormat;
use super::response::StepResponse;
use crate::clock::Timestamp;
use crate::failure::{Failure, FailureKind, ProviderSays};
use crate::token::TokenText;

/// What a fetch brought.
#[derive(Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The token.
    pub token: TokenText,
    /// How long it lives from the request on.
    pub expiry: Expiry,
    /// Further values that are handed out with it.
    pub outputs: Vec<(String, Value)>,
    /// When the grant ends that it was fetched with, as far as is known.
    pub grant_expires_at: Option<Timestamp>,
}

/// How long a token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// So long from the request on.
    In(Duration),
    /// The provider did not tell.
    Untold,
    /// Until it is rejected.
    Never,
}

/// The life of a token whose provider tells none (inherited).
pub const DEFAULT_LIFE: Duration = Duration::from_mins(5);

/// A longer life is most often an instant that was read as a duration.
const DOUBTFUL_LIFE: Duration = Duration::from_hours(20 * 366 * 24);

impl Expiry {
    /// What an operator should know of a life that is hardly one.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        let Self::In(life) = self else { return None };
        let years = life.as_secs() / (366 * 86_400);
        let told = || {
            format!(
                "the token is taken to live {years} years: is the unit of the realm's expires right?"
            )
        };
        (*life > DOUBTFUL_LIFE).then(told)
    }
}

impl Fetched {
    /// A token without outputs.
    #[must_use]
    pub fn of(token: &str, expiry: Expiry) -> Self {
        Self {
            token: TokenText::from(token),
            expiry,
            outputs: Vec::new(),
            grant_expires_at: None,
        }
    }
}

/// A response whose body is not what the realm says.
pub(super) fn unreadable(response: &StepResponse) -> Failure {
    let format = response.format;
    let looks_like = match response.text.trim_start().as_bytes().first() {
        None => "is empty".to_owned(),
        Some(_) if response.has_too_many_values => {
            format!("and those before it have more than {MOST_VALUES} values together")
        }
        Some(b'<') if format == ResponseFormat::Xml => {
            "is XML that is broken, truncated, too large, or has a DOCTYPE".to_owned()
        }
        Some(b'<') => "is HTML or XML, not what the realm says".to_owned(),
        Some(b'{' | b'[') if format == ResponseFormat::Json => {
            "is broken or truncated JSON".to_owned()
        }
        Some(_) => format!("is not {}", format.name()),
    };
    let status = response.status;
    let kind = status_kind(status).unwrap_or(FailureKind::Malformed);
    // What the status says comes first: the page of a proxy is no JSON, and that is not what is
    // wrong.
    let detail = match kind {
        FailureKind::Busy => {
            format!("the provider is overloaded or broken (HTTP {status}): its answer {looks_like}")
        }
        FailureKind::Config | FailureKind::Refused => {
            format!("the provider refused (HTTP {status}): its answer {looks_like}")
        }
        FailureKind::Malformed
        | FailureKind::Quota
        | FailureKind::Dependency
        | FailureKind::Reauthorise
        | FailureKind::Unreachable
        | FailureKind::TimedOut => format!("the provider's answer (HTTP {status}) {looks_like}"),
    };
    Failure {
        is_response: true,
        is_throttled: status == 429,
        ..Failure::new(kind, detail)
    }
}

/// What a status alone says; `None` for success.
pub(super) fn status_kind(status: u16) -> Option<FailureKind> {
    match status {
        200..300 => None,
        401 | 403 => Some(FailureKind::Config),
        429 | 500.. => Some(FailureKind::Busy),
        400..500 => Some(FailureKind::Refused),
        _ => Some(FailureKind::Malformed),
    }
}

/// Whether a response is an error whatever else is in it: an `errcode` other than 0 (WeChat's
/// family), an `error` (RFC 6749 §5.2). Other members mean one thing here and another there.
pub(super) fn says_error(document: &Value) -> bool {
    let errcode = document.get("errcode").and_then(words);
    let error = document.get("error").and_then(Value::as_str);
    errcode.is_some_and(|code| code != "0") || error.is_some_and(|error| !error.is_empty())
}

/// What the inherited form knows of codes, since it cannot say it: `errcode` of WeChat's family,
/// `error` of RFC 6749 §5.2.
///
/// Source: developers.weixin.qq.com, return codes of `cgi-bin/token`; the same numbers mean the
///         same in WeCom.
pub(super) fn known_class(document: &Value) -> Option<FailureKind> {
    let code = |name: &str| document.get(name).and_then(words).unwrap_or_default();
    match code("errcode").as_str() {
        // Wrong secret, app id, corp id; this machine's address is not on the list.
        "40001" | "40013" | "40056" | "40125" | "40164" => return Some(FailureKind::Config),
        "45009" => return Some(FailureKind::Quota),
        "-1" => return Some(FailureKind::Busy),
        _ => {}
    }
    match code("error").as_str() {
        "invalid_client" | "unauthorized_client" | "unsupported_grant_type" | "invalid_scope" => {
            Some(FailureKind::Config)
        }
        "temporarily_unavailable" => Some(FailureKind::Busy),
        _ => None,
    }
}

/// The pairs of members in which providers put code and message, most telling first.
const CODE_AND_MESSAGE: [(&str, &[&str]); 8] = [
    ("errcode", &["errmsg"]),
    ("error", &["error_description", "message", "error_msg"]),
    (
        "error_code",
        &[
            "error_msg",
            "error_description",
            "description",
            "message",
            "msg",
        ],
    ),
    ("errorCode", &["errorMessage", "errorMsg", "message"]),
    ("err_no", &["err_tips", "err_msg"]),
    ("code", &["msg", "message", "errmsg", "error_description"]),
    ("Code", &["Message"]),
    ("status", &["message", "msg"]),
];

/// The provider's error code and message, looked for where providers put them.
pub(super) fn provider_says(document: &Value) -> ProviderSays {
    let nested = ["error", "err", "Error"]
        .iter()
        .find_map(|name| document.get(name).filter(|value| value.is_object()));
    let nested = nested
        .map(says_at)
        .filter(|says| *says != ProviderSays::default());
    nested.unwrap_or_else(|| says_at(document))
}

fn says_at(place: &Value) -> ProviderSays {
    for (code_name, message_names) in CODE_AND_MESSAGE {
        let code = place.get(code_name).and_then(words);
        if code.is_some() {
            let message = message_names
                .iter()
                .find_map(|name| place.get(name).and_then(words));
            return ProviderSays { code, message };
        }
    }
    let message = ["errmsg", "message", "msg", "error_description"].iter();
    ProviderSays {
        code: None,
        message: message.filter_map(|name| place.get(name)).find_map(words),
    }
}

/// A code or a message: text or a number, on one line.
pub(super) fn words(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            return None;
        }
    };
    let printable = text.chars().map(|c| {
        if crate::secret::is_invisible(c) {
            ' '
        } else {
            c
        }
    });
    Some(printable.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_providers_words_are_found() {
        for (body, code, message) in [
            (
                r#"{"errcode":40164,"errmsg":"invalid ip"}"#,
                Some("40164"),
                Some("invalid ip"),
            ),
            (
                r#"{"error":"invalid_client","error_description":"who?"}"#,
                Some("invalid_client"),
                Some("who?"),
            ),
            (
                r#"{"error":{"code":"E1","message":"m"}}"#,
                Some("E1"),
                Some("m"),
            ),
            (
                r#"{"code":99991663,"msg":"bad"}"#,
                Some("99991663"),
                Some("bad"),
            ),
            (
                r#"{"code":40013,"msg":"bad","error":{}}"#,
                Some("40013"),
                Some("bad"),
            ),
            (r#"{"message":"only words"}"#, None, Some("only words")),
            ("[]", None, None),
        ] {
            let says = provider_says(&serde_json::from_str(body).unwrap());
            assert_eq!(
                (says.code.as_deref(), says.message.as_deref()),
                (code, message),
                "{body}"
            );
        }
    }
}
