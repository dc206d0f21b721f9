//! The filters of the language. There are no others, and no functions and tests.
//!
//! Errors never repeat a value: it may be a credential.

use std::cell::Cell;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use minijinja::functions::Function;
use minijinja::value::{FunctionArgs, FunctionResult, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::bytes::{Bytes, demand_plain};
use super::filter_names::WITH_KEYS;
use super::{LARGEST_VALUE, crypto, json_of, keys, text_of, value_of};
use crate::realm::bounded_json;
use crate::realm::budget::{Budget, MOST_VALUES};
use crate::realm::encode::{form_component, rfc3986};
use crate::realm::time::{format_date, integer};

type Outcome = Result<Value, Error>;

/// Stands before our own words in an error: others may repeat a value.
const OURS: char = '\u{2}';

/// The budget's name among those that an expression sees; no author can write it.
pub(super) const BUDGET: &str = "the budget";

/// How much a filter costs for each byte that it reads and writes.
fn weight(filter: &str) -> usize {
    match filter {
        "zlib" => 16,
        "from_json" => 4,
        "json" | "lower" | "replace" | "slice" | "split" | "upper" => 2,
        _ => 1,
    }
}

/// How many bytes a value has; of arrays and objects, which are parts of responses, those of the
/// responses.
pub(super) fn size(value: &Value, budget: &Budget) -> usize {
    if let Some(Bytes(bytes)) = value.downcast_object_ref::<Bytes>() {
        return bytes.len();
    }
    match value.kind() {
        ValueKind::String => value.as_str().map_or(0, str::len),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => budget.response_bytes(),
        ValueKind::Undefined
        | ValueKind::None
        | ValueKind::Bool
        | ValueKind::Number
        | ValueKind::Bytes
        | ValueKind::Plain
        | ValueKind::Invalid
        | _ => size_of::<Value>(),
    }
}

/// Adds a filter that charges what it costs.
fn add<F, Rv, Args>(environment: &mut Environment<'static>, name: &'static str, work: F)
where
    F: Function<Rv, Args>,
    Rv: FunctionResult,
    Args: for<'a> FunctionArgs<'a>,
{
    let work = Value::from_function(work);
    let (weight, has_key) = (weight(name), WITH_KEYS.contains(&name));
    let metered = move |state: &mut State<'_, '_>, args: Rest<Value>| -> Outcome {
        let budget = state.lookup(BUDGET);
        let Some(budget) = budget
            .as_ref()
            .and_then(|budget| budget.downcast_object_ref::<Budget>())
        else {
            return work.call(state, &args);
        };
        let charge = |bytes: usize| {
            let charged = budget.charge(bytes.saturating_mul(weight));
            charged.map_err(|wrong| ours(&wrong))
        };
        charge(args.iter().map(|value| size(value, budget)).sum())?;
        if has_key {
            budget
                .charge_key_operation()
                .map_err(|wrong| ours(&wrong))?;
        }
        let made = work.call(state, &args)?;
        charge(size(&made, budget))?;
        Ok(made)
    };
    environment.add_filter(name, metered);
}

pub(super) fn add_all(environment: &mut Environment<'static>) {
    add_encodings(environment);
    add_json(environment);
    add_digests(environment);
    add_parts(environment);
    add_texts(environment);
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
        add(environment, name, move |value: Value, key: Value| {
            bytes_with_key(&value, &key, work)
        });
    }
    add(
        environment,
        "rsa_encrypt_oaep",
        |value: Value, key: Value, digest: Option<Value>| {
            let digest = digest.map_or_else(|| Ok("sha256".to_owned()), |digest| text(&digest))?;
            bytes_with_key(&value, &key, |pem, data| {
                crypto::rsa_encrypt_oaep(&digest, pem, data)
            })
        },
    );
    add(environment, "spki_sha256", |pem: Value| -> Outcome {
        let spki = keys::public_key_info(&text(&pem)?).map_err(|wrong| ours(&wrong))?;
        Ok(Bytes::value(crypto::sha256(&spki)))
    });
}

fn add_encodings(environment: &mut Environment<'static>) {
    add(environment, "base64", |value: Value| -> Outcome {
        Ok(STANDARD.encode(data(&value)?).into())
    });
    add(environment, "base64url", |value: Value| -> Outcome {
        Ok(URL_SAFE_NO_PAD.encode(data(&value)?).into())
    });
    add(environment, "hex", |value: Value| -> Outcome {
        Ok(crypto::hex(&data(&value)?).into())
    });
    add(environment, "from_base64", |value: Value| -> Outcome {
        let text = text(&value)?;
        let text = text.trim_end_matches('=');
        STANDARD_NO_PAD
            .decode(text)
            .map(Bytes::value)
            .map_err(|_| ours("is not base64"))
    });
    add(environment, "from_base64url", |value: Value| -> Outcome {
        let text = text(&value)?;
        let text = text.trim_end_matches('=');
        URL_SAFE_NO_PAD
            .decode(text)
            .map(Bytes::value)
            .map_err(|_| ours("is not base64url"))
    });
    add(environment, "from_hex", |value: Value| -> Outcome {
        crypto::from_hex(&text(&value)?)
            .map(Bytes::value)
            .ok_or_else(|| ours("is not hex"))
    });
    add(environment, "utf8", |value: Value| -> Outcome {
        String::from_utf8(data(&value)?)
            .map(Value::from)
            .map_err(|_| ours("is not UTF-8"))
    });
    add(environment, "urlencode", |value: Value| -> Outcome {
        Ok(rfc3986(&text(&value)?).into())
    });
    add(environment, "form_urlencode", |value: Value| -> Outcome {
        Ok(form_component(&text(&value)?).into())
    });
}

fn add_json(environment: &mut Environment<'static>) {
    add(environment, "json", |value: Value| -> Outcome {
        let json = json_of(&value).map_err(|wrong| ours(&wrong))?.to_string();
        sized(json)
    });
    add(
        environment,
        "from_json",
        |state: &State<'_, '_>, value: Value| -> Outcome {
            let budget = state.lookup(BUDGET);
            let budget = budget
                .as_ref()
                .and_then(|budget| budget.downcast_object_ref::<Budget>());
            let left = Cell::new(budget.map_or(MOST_VALUES, Budget::values_left));
            let json = bounded_json::read(&text(&value)?, &left)
                .ok_or_else(|| ours("is not JSON, or has too many values"))?;
            if let Some(budget) = budget {
                budget.set_values_left(left.get());
            }
            Ok(value_of(&json))
        },
    );
    add(environment, "zlib", |value: Value| -> Outcome {
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
        add(environment, name, move |value: Value| -> Outcome {
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
        add(
            environment,
            name,
            move |value: Value, key: Value| -> Outcome {
                Ok(Bytes::value(mac(&data(&key)?, &data(&value)?)))
            },
        );
    }
}

fn add_texts(environment: &mut Environment<'static>) {
    add(environment, "upper", |value: Value| -> Outcome {
        sized(text(&value)?.to_uppercase())
    });
    add(environment, "lower", |value: Value| -> Outcome {
        sized(text(&value)?.to_lowercase())
    });
    add(environment, "trim", |value: Value| -> Outcome {
        Ok(text(&value)?.trim().into())
    });
    add(environment, "string", |value: Value| -> Outcome {
        text(&value).map(Value::from)
    });
    add(
        environment,
        "default",
        |value: Value, other: Value| -> Value {
            if value.is_none() || value.is_undefined() {
                other
            } else {
                value
            }
        },
    );
}

/// Filters that take a text apart.
fn add_parts(environment: &mut Environment<'static>) {
    add(
        environment,
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
    add(
        environment,
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
    add(
        environment,
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
    add(environment, "int", |value: Value| -> Outcome {
        number(&value).map(Value::from)
    });
    add(environment, "float", |value: Value| -> Outcome {
        let float = text(&value)?
            .trim()
            .parse::<f64>()
            .ok()
            .filter(|float| float.is_finite());
        float
            .map(Value::from)
            .ok_or_else(|| ours("is not a number"))
    });
    add(environment, "bool", |value: Value| -> Outcome {
        match text(&value)?.trim().to_lowercase().as_str() {
            "true" | "1" | "yes" => Ok(true.into()),
            "false" | "0" | "no" | "" => Ok(false.into()),
            _ => Err(ours("is not true or false")),
        }
    });
    add(
        environment,
        "add",
        |value: Value, other: Value| -> Outcome {
            let sum = number(&value)?.checked_add(number(&other)?);
            sum.map(Value::from)
                .ok_or_else(|| ours("is too large a number"))
        },
    );
    add(
        environment,
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
