//! The filters of the language. There are no others, and no functions and tests.
//!
//! Errors never repeat a value: it may be a credential.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};

use super::bytes::{Bytes, demand_plain};
use super::{LARGEST_VALUE, crypto, json_of, keys, text_of, value_of};
use crate::realm::encode::{form_component, rfc3986};
use crate::realm::time::{format_date, integer};

type Outcome = Result<Value, Error>;

/// Stands before our own words in an error: others may repeat a value.
const OURS: char = '\u{2}';

/// All filters, as written in a template.
pub(super) const NAMES: &[&str] = &[
    "add",
    "base64",
    "base64url",
    "bool",
    "date",
    "default",
    "ecdsa_sha256",
    "ed25519",
    "float",
    "form_urlencode",
    "from_base64",
    "from_base64url",
    "from_hex",
    "from_json",
    "hex",
    "hmac_md5",
    "hmac_sha1",
    "hmac_sha256",
    "hmac_sha384",
    "hmac_sha512",
    "int",
    "json",
    "lower",
    "md5",
    "replace",
    "rsa_encrypt",
    "rsa_encrypt_oaep",
    "rsa_pss_sha256",
    "rsa_sha256",
    "rsa_sha512",
    "sha1",
    "sha256",
    "sha384",
    "sha512",
    "slice",
    "spki_sha256",
    "split",
    "string",
    "trim",
    "upper",
    "urlencode",
    "utf8",
    "zlib",
];

/// Those that make nothing without an argument.
pub(super) const WITH_ARGUMENT: &[&str] = &[
    "add",
    "date",
    "default",
    "ecdsa_sha256",
    "ed25519",
    "hmac_md5",
    "hmac_sha1",
    "hmac_sha256",
    "hmac_sha384",
    "hmac_sha512",
    "replace",
    "rsa_encrypt",
    "rsa_encrypt_oaep",
    "rsa_pss_sha256",
    "rsa_sha256",
    "rsa_sha512",
    "slice",
    "split",
];

/// Those that make bytes, which are no text yet.
pub(super) const MAKING_BYTES: &[&str] = &[
    "ecdsa_sha256",
    "ed25519",
    "from_base64",
    "from_base64url",
    "from_hex",
    "hmac_md5",
    "hmac_sha1",
    "hmac_sha256",
    "hmac_sha384",
    "hmac_sha512",
    "md5",
    "rsa_encrypt",
    "rsa_encrypt_oaep",
    "rsa_pss_sha256",
    "rsa_sha256",
    "rsa_sha512",
    "sha1",
    "sha256",
    "sha384",
    "sha512",
    "spki_sha256",
    "zlib",
];

pub(super) fn add_all(environment: &mut Environment<'static>) {
    add_encodings(environment);
    add_digests(environment);
    add_parts(environment);
    add_texts(environment);
    add_parts(environment);
    add_numbers(environment);
    let by_key: [(&str, crypto::ByKey); 6] = [
        ("ecdsa_sha256", crypto::ecdsa_sha256),
        ("ed25519", crypto::ed25519),
        ("rsa_encrypt", crypto::rsa_encrypt_pkcs1),
        ("rsa_pss_sha256", crypto::rsa_pss_sha256),
        ("rsa_sha256", crypto::rsa_sha256),
        ("rsa_sha512", crypto::rsa_sha512),
    ];
    for (name, work) in by_key {
        environment.add_filter(name, move |value: Value, key: Value| {
            bytes_with_key(&value, &key, work)
        });
    }
    environment.add_filter(
        "rsa_encrypt_oaep",
        |value: Value, key: Value, digest: Option<Value>| {
            let digest = digest.map_or_else(|| Ok("sha256".to_owned()), |digest| text(&digest))?;
            bytes_with_key(&value, &key, |pem, data| {
                crypto::rsa_encrypt_oaep(&digest, pem, data)
            })
        },
    );
    environment.add_filter("spki_sha256", |pem: Value| -> Outcome {
        let spki = keys::public_key_info(&text(&pem)?).map_err(|wrong| ours(&wrong))?;
        Ok(Bytes::value(crypto::sha256(&spki)))
    });
}

fn add_encodings(environment: &mut Environment<'static>) {
    environment.add_filter("base64", |value: Value| -> Outcome {
        Ok(STANDARD.encode(data(&value)?).into())
    });
    environment.add_filter("base64url", |value: Value| -> Outcome {
        Ok(URL_SAFE_NO_PAD.encode(data(&value)?).into())
    });
    environment.add_filter("hex", |value: Value| -> Outcome {
        Ok(crypto::hex(&data(&value)?).into())
    });
    environment.add_filter("from_base64", |value: Value| -> Outcome {
        let text = text(&value)?;
        let text = text.trim_end_matches('=');
        STANDARD_NO_PAD
            .decode(text)
            .map(Bytes::value)
            .map_err(|_| ours("is not base64"))
    });
    environment.add_filter("from_base64url", |value: Value| -> Outcome {
        let text = text(&value)?;
        let text = text.trim_end_matches('=');
        URL_SAFE_NO_PAD
            .decode(text)
            .map(Bytes::value)
            .map_err(|_| ours("is not base64url"))
    });
    environment.add_filter("from_hex", |value: Value| -> Outcome {
        crypto::from_hex(&text(&value)?)
            .map(Bytes::value)
            .ok_or_else(|| ours("is not hex"))
    });
    environment.add_filter("utf8", |value: Value| -> Outcome {
        String::from_utf8(data(&value)?)
            .map(Value::from)
            .map_err(|_| ours("is not UTF-8"))
    });
    environment.add_filter("urlencode", |value: Value| -> Outcome {
        Ok(rfc3986(&text(&value)?).into())
    });
    environment.add_filter("form_urlencode", |value: Value| -> Outcome {
        Ok(form_component(&text(&value)?).into())
    });
    environment.add_filter("json", |value: Value| -> Outcome {
        let json = json_of(&value).map_err(|wrong| ours(&wrong))?.to_string();
        sized(json)
    });
    environment.add_filter("from_json", |value: Value| -> Outcome {
        let json: serde_json::Value =
            serde_json::from_str(&text(&value)?).map_err(|_| ours("is not JSON"))?;
        Ok(value_of(&json))
    });
    environment.add_filter("zlib", |value: Value| -> Outcome {
        Ok(Bytes::value(
            crypto::zlib(&data(&value)?).ok_or_else(|| ours("cannot be compressed"))?,
        ))
    });
}

fn add_digests(environment: &mut Environment<'static>) {
    let digests: [(&str, crypto::Digest); 5] = [
        ("md5", crypto::md5),
        ("sha1", crypto::sha1),
        ("sha256", crypto::sha256),
        ("sha384", crypto::sha384),
        ("sha512", crypto::sha512),
    ];
    for (name, digest) in digests {
        environment.add_filter(name, move |value: Value| -> Outcome {
            Ok(Bytes::value(digest(&data(&value)?)))
        });
    }
    let macs: [(&str, crypto::Mac); 5] = [
        ("hmac_md5", crypto::hmac_md5),
        ("hmac_sha1", crypto::hmac_sha1),
        ("hmac_sha256", crypto::hmac_sha256),
        ("hmac_sha384", crypto::hmac_sha384),
        ("hmac_sha512", crypto::hmac_sha512),
    ];
    for (name, mac) in macs {
        environment.add_filter(name, move |value: Value, key: Value| -> Outcome {
            Ok(Bytes::value(mac(&data(&key)?, &data(&value)?)))
        });
    }
}

fn add_texts(environment: &mut Environment<'static>) {
    environment.add_filter("upper", |value: Value| -> Outcome {
        sized(text(&value)?.to_uppercase())
    });
    environment.add_filter("lower", |value: Value| -> Outcome {
        sized(text(&value)?.to_lowercase())
    });
    environment.add_filter("trim", |value: Value| -> Outcome {
        Ok(text(&value)?.trim().into())
    });
    environment.add_filter("string", |value: Value| -> Outcome {
        text(&value).map(Value::from)
    });
    environment.add_filter("default", |value: Value, other: Value| -> Value {
        if value.is_none() || value.is_undefined() {
            other
        } else {
            value
        }
    });
}

/// Filters that take a text apart.
fn add_parts(environment: &mut Environment<'static>) {
    environment.add_filter(
        "split",
        |value: Value, separator: Value, index: Value| -> Outcome {
            let (whole, separator) = (text(&value)?, text(&separator)?);
            if separator.is_empty() {
                return Err(ours("split needs a separator that is not empty"));
            }
            let index = number(&index)?;
            let count = i64::try_from(whole.split(&separator).count()).unwrap_or(i64::MAX);
            let index = if index < 0 {
                count.saturating_add(index)
            } else {
                index
            };
            let part = usize::try_from(index)
                .ok()
                .and_then(|index| whole.split(&separator).nth(index));
            part.map(Value::from)
                .ok_or_else(|| ours("split finds no part with this index"))
        },
    );
    environment.add_filter(
        "replace",
        |value: Value, from: Value, to: Value| -> Outcome {
            let (whole, from, to) = (text(&value)?, text(&from)?, text(&to)?);
            if from.is_empty() {
                return Err(ours("replace needs a text to look for that is not empty"));
            }
            if whole.matches(&from).count().saturating_mul(to.len()) > LARGEST_VALUE {
                return Err(ours(&super::too_large()));
            }
            sized(whole.replace(&from, &to))
        },
    );
    environment.add_filter(
        "slice",
        |value: Value, start: Value, length: Value| -> Outcome {
            let whole = text(&value)?;
            let bound = |value: &Value| {
                number(value).and_then(|number| {
                    usize::try_from(number).map_err(|_| ours("slice counts from 0"))
                })
            };
            let slice: String = whole
                .chars()
                .skip(bound(&start)?)
                .take(bound(&length)?)
                .collect();
            Ok(slice.into())
        },
    );
}

fn add_numbers(environment: &mut Environment<'static>) {
    environment.add_filter("int", |value: Value| -> Outcome {
        number(&value).map(Value::from)
    });
    environment.add_filter("float", |value: Value| -> Outcome {
        let float = text(&value)?
            .trim()
            .parse::<f64>()
            .ok()
            .filter(|float| float.is_finite());
        float
            .map(Value::from)
            .ok_or_else(|| ours("is not a number"))
    });
    environment.add_filter("bool", |value: Value| -> Outcome {
        match text(&value)?.trim().to_lowercase().as_str() {
            "true" | "1" | "yes" => Ok(true.into()),
            "false" | "0" | "no" | "" => Ok(false.into()),
            _ => Err(ours("is not true or false")),
        }
    });
    environment.add_filter("add", |value: Value, other: Value| -> Outcome {
        let sum = number(&value)?.checked_add(number(&other)?);
        sum.map(Value::from)
            .ok_or_else(|| ours("is too large a number"))
    });
    environment.add_filter(
        "date",
        |value: Value, format: Value, zone: Option<Value>| -> Outcome {
            let zone = zone.map(|zone| text(&zone)).transpose()?;
            let formatted = format_date(number(&value)?, &text(&format)?, zone.as_deref());
            formatted.map(Value::from).map_err(|wrong| ours(&wrong))
        },
    );
}

fn bytes_with_key(
    value: &Value,
    key: &Value,
    work: impl Fn(&str, &[u8]) -> Result<Vec<u8>, String>,
) -> Outcome {
    work(&text(key)?, &data(value)?)
        .map(Bytes::value)
        .map_err(|wrong| ours(&wrong))
}

/// Text as its UTF-8, bytes as they are.
pub(super) fn data(value: &Value) -> Result<Vec<u8>, Error> {
    match value.downcast_object_ref::<Bytes>() {
        Some(Bytes(bytes)) => Ok(bytes.clone()),
        None => text(value).map(String::into_bytes),
    }
}

fn text(value: &Value) -> Result<String, Error> {
    let text = text_of(value).map_err(|wrong| ours(&wrong))?;
    demand_plain(&text).map_err(|wrong| ours(&wrong))?;
    Ok(text)
}

fn number(value: &Value) -> Result<i64, Error> {
    let whole = if value.kind() == ValueKind::Number {
        value.as_i64()
    } else {
        integer(&text(value)?)
    };
    whole.ok_or_else(|| ours("is not a whole number"))
}

fn sized(text: String) -> Outcome {
    if text.len() > LARGEST_VALUE {
        Err(ours(&super::too_large()))
    } else {
        Ok(text.into())
    }
}

fn ours(words: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("{OURS}{words}"))
}

/// A value that a response lacks.
pub(super) const NO_SUCH_VALUE: &str = "there is no such value";

/// The words of an error, without any value.
pub(super) fn words(error: &Error) -> String {
    let own = error.detail().and_then(|detail| detail.strip_prefix(OURS));
    match (own, error.kind()) {
        (Some(own), _) => own.to_owned(),
        (None, ErrorKind::UndefinedError) => NO_SUCH_VALUE.to_owned(),
        (None, ErrorKind::MissingArgument) => "a filter lacks an argument".to_owned(),
        (None, ErrorKind::TooManyArguments) => "a filter has too many arguments".to_owned(),
        (None, kind) => kind.to_string(),
    }
}
