//! JSON in which no member occurs twice: `serde_json` keeps the last of them and says nothing.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Reads a document.
///
/// # Errors
/// It is not JSON; or a member occurs twice in an object, which is an error of the data
/// (`is_data`) and names it.
pub(crate) fn read(text: &[u8]) -> serde_json::Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let document = Strict.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(document)
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!(
                    "the member {name} occurs twice in one object"
                )));
            }
            object.insert(name, members.next_value_seed(Self)?);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_as_by_serde_json() {
        for text in [
            r#"{"a": [1, -2, 3.5, 1e300, "x\n", true, null, {}], "b": {"a": 18446744073709551615}}"#,
            "null",
            "[]",
            "{",
            "[1] 2",
            "1e999",
            "",
        ] {
            let plain = serde_json::from_str::<Value>(text);
            let strict = read(text.as_bytes());
            assert_eq!(strict.as_ref().ok(), plain.as_ref().ok(), "{text}");
            assert_eq!(
                strict.map_err(|error| error.to_string()),
                plain.map_err(|error| error.to_string()),
                "{text}"
            );
        }
        assert!(read("[".repeat(200).as_bytes()).is_err());
    }

    #[test]
    fn a_member_that_occurs_twice_is_refused_with_its_place() {
        let error = read(b"{\"a\": {\"b\": 1,\n \"b\": 2}}").unwrap_err();
        assert!(error.is_data());
        assert_eq!(
            error.to_string(),
            "the member b occurs twice in one object at line 2 column 4"
        );
        assert!(read(br#"[{"a": 1}, {"a": 1}]"#).is_ok());
    }
}
