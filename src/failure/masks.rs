//! Credentials in text that others see, and the spellings in which they are found there.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{
    GeneralPurpose, NO_PAD, STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::secret::{MASK, is_invisible};

/// The longest text that is looked through, in bytes.
const LONGEST_TEXT: usize = 16 << 10;

/// What is to be masked.
pub(super) struct Masks {
    values: Vec<String>,
    /// The longest first.
    shapes: Vec<String>,
    /// The length of the longest that may be cut off at the end of a text, in bytes.
    longest: usize,
}

impl Masks {
    /// Masks of these values.
    pub(super) fn of<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let (values, long): (Vec<&str>, Vec<&str>) = values
            .filter(|value| value.len() >= SHORTEST_MASKED)
            .partition(|value| value.len() <= LONGEST_TEXT);
        let mut shapes: Vec<String> = values.iter().copied().flat_map(shapes_of).collect();
        shapes.sort_by_key(|shape| std::cmp::Reverse(shape.len()));
        shapes.dedup();
        let lengths = shapes
            .iter()
            .map(String::len)
            .chain(long.iter().map(|value| 3 * value.len()));
        Self {
            longest: lengths.max().unwrap_or_default(),
            values: values.into_iter().map(str::to_owned).collect(),
            shapes,
        }
    }

    /// The text with all that is known masked.
    pub(super) fn mask(&self, text: &str) -> String {
        let mut end = text.len().min(LONGEST_TEXT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut masked = self.without_encoded(&text[..end]);
        for shape in &self.shapes {
            if masked.contains(shape.as_str()) {
                masked = masked.replace(shape.as_str(), MASK);
            }
        }
        if end < text.len() {
            // What begins near the cut may be a part of a credential.
            let mut keep = masked.len().saturating_sub(self.longest);
            while !masked.is_char_boundary(keep) {
                keep -= 1;
            }
            masked.truncate(keep);
        }
        masked
    }

    /// Words in base64 or hex that hold a value beside other things, as `base64(id:secret)` does.
    fn without_encoded(&self, text: &str) -> String {
        let is_encoded = |c: char| c.is_ascii_alphanumeric() || "+/-_".contains(c);
        let mut masked = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(begin) = rest.find(is_encoded) {
            let (before, from) = rest.split_at(begin);
            let end = from.find(|c| !is_encoded(c)).unwrap_or(from.len());
            let (word, after) = from.split_at(end);
            masked.push_str(before);
            if self.is_in(word) {
                masked.push_str(MASK);
                rest = after.trim_start_matches('=');
            } else {
                masked.push_str(word);
                rest = after;
            }
        }
        masked + rest
    }

    /// Whether a word, decoded, holds a value.
    fn is_in(&self, word: &str) -> bool {
        if word.len() < 2 * SHORTEST_MASKED {
            return false;
        }
        let plain = word.replace('-', "+").replace('_', "/");
        // Without the bits that are left over at the end.
        let whole = plain.len() - usize::from(plain.len() % 4 == 1);
        let base64 = FORGIVING.decode(&plain[..whole]).ok();
        let hex = (0..word.len() / 2).map(|at| u8::from_str_radix(&word[2 * at..2 * at + 2], 16));
        let hex = hex.collect::<Result<Vec<u8>, _>>().ok();
        [base64, hex].into_iter().flatten().any(|bytes| {
            let text = String::from_utf8_lossy(&bytes);
            self.values
                .iter()
                .any(|value| text.contains(value.as_str()))
        })
    }
}

/// Base64 without padding, whatever its last bits.
const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    NO_PAD.with_decode_allow_trailing_bits(true),
);

/// Credentials shorter than this many bytes are not searched for in the provider's words.
const SHORTEST_MASKED: usize = 4;
/// A credential as it may be echoed: as it is, in other case, as in a URL, a form, a JSON string, in
/// base64 and hex.
fn shapes_of(value: &str) -> impl Iterator<Item = String> {
    let in_url = utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
    let unreserved = [("%2D", "-"), ("%2E", "."), ("%5F", "_"), ("%7E", "~")];
    let in_url = unreserved.iter().fold(in_url, |text, (encoded, plain)| {
        text.replace(encoded, plain)
    });
    let in_form: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let in_json = serde_json::Value::from(value).to_string();
    let in_json = in_json.trim_matches('"').to_owned();
    let in_our_form = in_url.replace("%20", "+");
    let lower_url = in_url.to_lowercase();
    let in_ascii_json = in_json.chars().fold(String::new(), |text, c| {
        let mut units = [0; 2];
        let escaped = |unit: &u16| format!("\\u{unit:04x}");
        if c.is_ascii() {
            text + c.encode_utf8(&mut [0; 4])
        } else {
            c.encode_utf16(&mut units)
                .iter()
                .map(escaped)
                .fold(text, |text, unit| text + &unit)
        }
    });
    let printable = value
        .chars()
        .map(|c| if is_invisible(c) { ' ' } else { c })
        .collect();
    let hex = value.bytes().fold(String::new(), |text, byte| {
        let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
        text + digit(byte >> 4).encode_utf8(&mut [0; 4]) + digit(byte & 15).encode_utf8(&mut [0; 4])
    });
    [
        value.to_owned(),
        value.to_uppercase(),
        value.to_lowercase(),
        STANDARD.encode(value),
        STANDARD_NO_PAD.encode(value),
        URL_SAFE_NO_PAD.encode(value),
        hex.to_uppercase(),
        hex,
        in_url,
        lower_url,
        in_form,
        in_our_form,
        in_json,
        in_ascii_json,
        printable,
    ]
    .into_iter()
    .filter(|shape| shape.len() >= SHORTEST_MASKED)
}
