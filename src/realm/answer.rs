//! Judging what a provider answered: a token and its life, or why not.
//!
//! No token found is a failure, always, whatever the status says: most providers answer errors with HTTP 200.

use std::time::Duration;

use serde_json::Value;

use super::Path;
use crate::failure::{Failure, FailureKind, ProviderSays};
use crate::token::TokenText;

/// Where the token and its life are in an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The token.
    pub token: Path,
    /// The seconds left; `None`: never told.
    pub expires_in: Option<Path>,
}

/// A good answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The token.
    pub token: TokenText,
    /// How long it lives from the request on; `None`: not told.
    pub expires_in: Option<Duration>,
}

/// The life of a token whose provider tells none (inherited).
pub const DEFAULT_LIFE: Duration = Duration::from_mins(5);

/// The longest life believed: a hundred years.
const LONGEST_SECONDS: f64 = 100.0 * 366.0 * 86_400.0;

impl Reading {
    /// Judges an answer.
    ///
    /// # Errors
    /// `Refused` or `Busy` with the provider's code and message; `Malformed` when it says nothing usable.
    pub fn read(&self, status: u16, body: &[u8]) -> Result<Answer, Failure> {
        let Ok(document) = serde_json::from_slice::<Value>(body) else { return Err(no_json(status, body)) };
        if !(200..300).contains(&status) {
            return Err(refusal(status, &document));
        }
        if says_error(&document) {
            return Err(refusal(status, &document));
        }
        let token = self.token.find(&document).and_then(token_text);
        let Some(token) = token else { return Err(self.no_token(status, &document)) };
        let expires_in = self.expires_in.as_ref().and_then(|path| path.find(&document));
        Ok(Answer { token, expires_in: expires_in.map_or(Ok(None), life)? })
    }

    fn no_token(&self, status: u16, document: &Value) -> Failure {
        let says = provider_says(document);
        if says != ProviderSays::default() {
            return refusal(status, document);
        }
        let detail = format!("the provider's answer (HTTP {status}) has no token at {}", self.token.as_str());
        Failure::new(FailureKind::Malformed, detail)
    }
}

fn token_text(value: &Value) -> Option<TokenText> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(TokenText::from(text.as_str())),
        Value::Number(number) => Some(TokenText::from(number.to_string())),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Seconds, as a number or a numeric string. `null` counts as not told.
fn life(value: &Value) -> Result<Option<Duration>, Failure> {
    let seconds = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    match seconds {
        Some(seconds) if (1.0..=LONGEST_SECONDS).contains(&seconds) => {
            Ok(Some(Duration::from_secs_f64(seconds)))
        }
        Some(_) | None => {
            let detail =
                "the provider's expiry is not a number of seconds from 1 to 100 years; nothing was stored";
            Err(Failure::new(FailureKind::Malformed, detail))
        }
    }
}

fn no_json(status: u16, body: &[u8]) -> Failure {
    let looks_like = match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => "is empty",
        Some(b'<') => "is HTML or XML, not JSON",
        Some(b'{' | b'[') => "is broken or truncated JSON",
        Some(_) => "is not JSON",
    };
    let detail = format!("the provider's answer (HTTP {status}) {looks_like}");
    Failure::new(kind_of(status).unwrap_or(FailureKind::Malformed), detail)
}

fn refusal(status: u16, document: &Value) -> Failure {
    let kind = kind_of(status).unwrap_or(FailureKind::Refused);
    let detail = match kind {
        FailureKind::Busy => format!("the provider is overloaded or broken (HTTP {status})"),
        FailureKind::Malformed => format!("the provider redirects (HTTP {status}), which is not followed"),
        FailureKind::Config
        | FailureKind::Refused
        | FailureKind::Quota
        | FailureKind::Unreachable
        | FailureKind::TimedOut => {
            format!("the provider refused (HTTP {status})")
        }
    };
    Failure { provider: provider_says(document), ..Failure::new(kind, detail) }
}

/// What a status alone says; `None` for success.
fn kind_of(status: u16) -> Option<FailureKind> {
    match status {
        200..300 => None,
        429 | 500.. => Some(FailureKind::Busy),
        400..500 => Some(FailureKind::Refused),
        _ => Some(FailureKind::Malformed),
    }
}

/// Whether an answer is an error whatever else is in it: an `errcode` other than 0 (WeChat's family), an `error` (RFC
/// 6749 §5.2). Other members mean one thing here and another there.
fn says_error(document: &Value) -> bool {
    let errcode = document.get("errcode").and_then(words);
    let error = document.get("error").and_then(Value::as_str);
    errcode.is_some_and(|code| code != "0") || error.is_some_and(|error| !error.is_empty())
}

/// The pairs of members in which providers put code and message, most telling first.
const CODE_AND_MESSAGE: [(&str, &[&str]); 8] = [
    ("errcode", &["errmsg"]),
    ("error", &["error_description", "message", "error_msg"]),
    ("error_code", &["error_msg", "error_description", "description", "message", "msg"]),
    ("errorCode", &["errorMessage", "errorMsg", "message"]),
    ("err_no", &["err_tips", "err_msg"]),
    ("code", &["msg", "message", "errmsg", "error_description"]),
    ("Code", &["Message"]),
    ("status", &["message", "msg"]),
];

/// The provider's error code and message, looked for where providers put them.
fn provider_says(document: &Value) -> ProviderSays {
    let nested = ["error", "err", "Error"]
        .iter()
        .find_map(|name| document.get(name).filter(|value| value.is_object()));
    let place = nested.unwrap_or(document);
    for (code_name, message_names) in CODE_AND_MESSAGE {
        let code = place.get(code_name).and_then(words);
        if code.is_some() {
            let message = message_names.iter().find_map(|name| place.get(name).and_then(words));
            return ProviderSays { code, message };
        }
    }
    let message = ["errmsg", "message", "msg", "error_description"].iter();
    ProviderSays { code: None, message: message.filter_map(|name| place.get(name)).find_map(words) }
}

fn words(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    Some(printable.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<Answer, Failure> {
        let reading =
            Reading { token: Path::of_name("access_token"), expires_in: Some(Path::of_name("expires_in")) };
        reading.read(status, body.as_bytes())
    }

    #[test]
    fn good_answers_give_token_and_life() {
        for (body, seconds) in [
            (r#"{"access_token":"t","expires_in":7200}"#, Some(7200)),
            (r#"{"access_token":"t","expires_in":"7200"}"#, Some(7200)),
            (r#"{"errcode":0,"errmsg":"ok","access_token":"t","expires_in":7200.0}"#, Some(7200)),
            (r#"{"errcode":"0","error":null,"access_token":"t"}"#, None),
            (r#"{"access_token":"t"}"#, None),
            (r#"{"access_token":"t","expires_in":null}"#, None),
        ] {
            let answer = read(200, body).unwrap();
            assert_eq!(answer.token.expose(), "t");
            assert_eq!(answer.expires_in, seconds.map(Duration::from_secs), "{body}");
        }
        assert!(read(201, r#"{"access_token":1234}"#).is_ok());
    }

    #[test]
    fn bad_answers_are_failures_of_the_right_kind() {
        use FailureKind::{Busy, Malformed, Refused};
        for (status, body, kind) in [
            (200, r#"{"errcode":40013,"errmsg":"invalid appid"}"#, Refused),
            (200, r#"{"errcode":40001,"errmsg":"bad","access_token":"stale","expires_in":7200}"#, Refused),
            (200, r#"{"error":"invalid_grant","access_token":"stale"}"#, Refused),
            (200, r#"{"access_token":"t","expires_in":0.5}"#, Malformed),
            (200, r#"{"access_token":""}"#, Malformed),
            (200, r#"{"access_token":["t"]}"#, Malformed),
            (200, "<html>", Malformed),
            (200, r#"{"access_token":"t","#, Malformed),
            (200, "", Malformed),
            (200, "[]", Malformed),
            (200, r#"{"access_token":"t","expires_in":-1}"#, Malformed),
            (200, r#"{"access_token":"t","expires_in":0}"#, Malformed),
            (200, r#"{"access_token":"t","expires_in":"NaN"}"#, Malformed),
            (200, r#"{"access_token":"t","expires_in":1e300}"#, Malformed),
            (200, r#"{"access_token":"t","expires_in":true}"#, Malformed),
            (302, "", Malformed),
            (401, r#"{"error":"invalid_client"}"#, Refused),
            (401, r#"{"access_token":"t","expires_in":1}"#, Refused),
            (429, "slow down", Busy),
            (503, "<html>", Busy),
        ] {
            assert_eq!(read(status, body).unwrap_err().kind, kind, "{status} {body}");
        }
    }

    #[test]
    fn the_providers_words_are_found() {
        for (body, code, message) in [
            (r#"{"errcode":40164,"errmsg":"invalid ip"}"#, Some("40164"), Some("invalid ip")),
            (
                r#"{"error":"invalid_client","error_description":"who?"}"#,
                Some("invalid_client"),
                Some("who?"),
            ),
            (r#"{"error":{"code":"E1","message":"m"}}"#, Some("E1"), Some("m")),
            (r#"{"code":99991663,"msg":"bad"}"#, Some("99991663"), Some("bad")),
            (r#"{"message":"only words"}"#, None, Some("only words")),
            ("[]", None, None),
        ] {
            let says = provider_says(&serde_json::from_str(body).unwrap());
            assert_eq!((says.code.as_deref(), says.message.as_deref()), (code, message), "{body}");
        }
    }
}
