//! HTTP Basic as `OAuth2` clients send it: RFC 7617, with both halves form-encoded first (RFC 6749
//! §2.3.1).

use axum::http::HeaderValue;
use percent_encoding::percent_decode_str;

/// The client's id and secret in an `Authorization` header; `None` when it is not well-formed
/// Basic.
pub(super) fn decode(header: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    let basic = scheme.eq_ignore_ascii_case("basic").then_some(encoded)?;
    let pair = String::from_utf8(decode_base64(basic.trim())?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((decode_form(id)?, decode_form(secret)?))
}

fn decode_form(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .ok()
        .map(std::borrow::Cow::into_owned)
}

/// Base64 of RFC 4648 §4, padded or not.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for symbol in text.trim_end_matches('=').bytes() {
        bits = (bits << 6 | u32::from(six_bits(symbol)?)) & 0xFFFF;
        held += 6;
        if held >= 8 {
            held -= 8;
            decoded.push(u8::try_from(bits >> held & 0xFF).ok()?);
        }
    }
    Some(decoded)
}

fn six_bits(symbol: u8) -> Option<u8> {
    match symbol {
        b'A'..=b'Z' => Some(symbol - b'A'),
        b'a'..=b'z' => Some(symbol - b'a' + 26),
        b'0'..=b'9' => Some(symbol - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_are_decoded() {
        let decoded = |text: &'static str| decode(&HeaderValue::from_static(text));
        let pair = |id: &str, secret: &str| Some((id.to_owned(), secret.to_owned()));
        assert_eq!(
            decoded("Basic ZGVtby1jbGllbnQ6ZGVtby1jbGllbnQtc2VjcmV0"),
            pair("demo-client", "demo-client-secret")
        );
        assert_eq!(decoded("basic YSUzQWI6KysvPz8="), pair("a:b", "  /??"));
        assert_eq!(decoded("Basic YTo="), pair("a", ""));
        assert_eq!(decoded("Basic YWJj"), None);
        assert_eq!(decoded("Basic YTo*"), None);
        assert_eq!(decoded("Bearer YTo="), None);
    }
}
