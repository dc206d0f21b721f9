//! JSON of a provider, with a bound on how many values it has: a megabyte of `{}` would take a
//! hundred times as much memory.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};

/// Reads JSON and takes its values from what is left.
///
/// `None`: it is not JSON, or has more values than are left.
pub(super) fn read(text: &str, left: &Cell<usize>) -> Option<Json> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Bounded(left).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(value)
}

/// One value, and those in it.
struct Bounded<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Json, D::Error> {
        let left = self.0.get().checked_sub(1);
        self.0
            .set(left.ok_or_else(|| D::Error::custom("too many values"))?);
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Bounded(self.0))? {
            list.push(item);
        }
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key()? {
            object.insert(name, members.next_value_seed(Bounded(self.0))?);
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_serde_json_reads() {
        for text in [
            r#"{"a":[1,-2,1.0,1e3,12345678901234567890,"x\u00e4",null,true],"b":{"c":{}}}"#,
            "\"text\"",
            " 7 ",
            r#"{"a":1,"a":2}"#,
            "1e400",
            "{",
            "{} {}",
            "",
            "nul",
        ] {
            let left = Cell::new(100);
            assert_eq!(read(text, &left), serde_json::from_str(text).ok(), "{text}");
        }
        assert_eq!(read(&"[".repeat(10_000), &Cell::new(50_000)), None);
    }

    #[test]
    fn values_are_counted_and_bounded() {
        let text = r#"{"a":[{},{}],"b":1}"#;
        let left = Cell::new(5);
        assert!(read(text, &left).is_some());
        assert_eq!(left.get(), 0);
        assert_eq!(read(text, &Cell::new(4)), None);
    }
}
