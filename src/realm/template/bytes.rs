//! Bytes as a type of their own: they never pass into text unseen.
//!
//! `MiniJinja` would write them into text lossily. So they are an object whose text is a mark that
//! no template can write; all text is looked through for it.

use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};

/// A character that no text has: the last of the last private plane.
const MARK: &str = "\u{10FFFD}bytes\u{10FFFD}";

/// Bytes as a value of templates.
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MARK)
    }
}

impl Object for Bytes {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MARK)
    }
}

impl Bytes {
    pub(crate) fn value(bytes: impl Into<Vec<u8>>) -> Value {
        Value::from_object(Self(bytes.into()))
    }
}

/// Refuses text into which bytes were put.
pub(super) fn demand_plain(text: &str) -> Result<(), String> {
    if text.contains(MARK) {
        return Err("puts bytes into text: end with | hex or | base64 first".to_owned());
    }
    Ok(())
}
