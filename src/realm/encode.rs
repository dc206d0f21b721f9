//! Percent-encoding, in one place.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but the unreserved characters of RFC 3986 §2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Percent-encoded, for a query or a path.
pub(crate) fn rfc3986(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Encoded for a form (`application/x-www-form-urlencoded`): blanks are `+`.
pub(crate) fn form_component(text: &str) -> String {
    rfc3986(text).replace("%20", "+")
}

/// `name=value&…`
pub(crate) fn pairs(list: &[(String, String)], encode: fn(&str) -> String) -> String {
    let pairs: Vec<_> = list
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    pairs.join("&")
}
