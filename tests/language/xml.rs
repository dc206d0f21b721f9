//! XML as a tree to compare: `{"name": {"@attribute": …, "member": …}}`, written apart from the
//! engine's reader.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

/// Reads a document without namespaces, entities of its own and mixed text.
pub(crate) fn tree(document: &str) -> Option<Value> {
    let mut reader = Reader::from_str(document);
    let mut open = vec![(String::new(), Map::new(), String::new())];
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => open.push(begun(&start)),
            Event::End(_) => {
                let (name, mut members, text) = open.pop()?;
                let text = text.trim();
                let value = if members.is_empty() {
                    text.into()
                } else {
                    if !text.is_empty() {
                        members.insert("#text".to_owned(), text.into());
                    }
                    Value::Object(members)
                };
                add(&mut open.last_mut()?.1, name, value);
            }
            Event::Text(text) => open.last_mut()?.2.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                open.last_mut()?
                    .2
                    .push_str(quick_xml::escape::resolve_predefined_entity(&reference)?);
            }
            Event::Eof => return (open.len() == 1).then(|| open.remove(0).1.into()),
            Event::Decl(_) => {}
            Event::Empty(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::PI(_)
            | Event::DocType(_) => {
                return None;
            }
        }
    }
}

fn begun(start: &BytesStart<'_>) -> (String, Map<String, Value>, String) {
    let attributes = start.attributes().map(|attribute| {
        let attribute = attribute.unwrap();
        let value = quick_xml::escape::unescape(&attribute.value)
            .unwrap()
            .into_owned();
        (format!("@{}", attribute.key.into_inner()), value.into())
    });
    (
        start.name().into_inner().to_owned(),
        attributes.collect(),
        String::new(),
    )
}

fn add(members: &mut Map<String, Value>, name: String, value: Value) {
    match members.get_mut(&name) {
        None => {
            members.insert(name, value);
        }
        Some(Value::Array(list)) => list.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

/// A tree whose leaves are all text, as they are once they were XML.
pub(crate) fn texts(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), texts(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(list) => list.iter().map(texts).collect(),
        Value::String(_) => value.clone(),
        Value::Null => "".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string().into(),
    }
}
