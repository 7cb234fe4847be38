//! Small helpers for documents, and the two ways in which they are shown: REST writes dates as ISO
//! texts, sockets and the journal as `{"$date":ms}` (facts 0.1, 7.1). Inside, the latter is kept.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value, json};

use crate::time;

/// A stored document.
pub type Doc = Map<String, Value>;

/// A date as it is kept in documents.
pub fn date(ms: i64) -> Value {
    json!({ "$date": ms })
}

/// Milliseconds of a kept date.
pub fn date_ms(value: Option<&Value>) -> Option<i64> {
    value?.as_object()?.get("$date")?.as_i64()
}

/// The text under `key`, or an empty one.
pub fn text<'a>(doc: &'a Doc, key: &str) -> &'a str {
    doc.get(key).and_then(Value::as_str).unwrap_or("")
}

/// The truth under `key`, false when absent.
pub fn flag(doc: &Doc, key: &str) -> bool {
    doc.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// The number under `key`, 0 when absent.
pub fn number(doc: &Doc, key: &str) -> i64 {
    doc.get(key).and_then(Value::as_i64).unwrap_or(0)
}

/// The texts of the list under `key`.
pub fn texts(doc: &Doc, key: &str) -> Vec<String> {
    doc.get(key)
        .and_then(Value::as_array)
        .map_or_else(Vec::new, |list| {
            list.iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        })
}

/// JavaScript's idea of truth.
pub fn truthy(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(_) => true,
    }
}

/// The named keys of a document, those that exist.
pub fn only(doc: &Doc, keys: &[&str]) -> Doc {
    keys.iter()
        .filter_map(|key| {
            doc.get(*key)
                .map(|value| ((*key).to_owned(), value.clone()))
        })
        .collect()
}

/// A document without the named keys.
pub fn without(doc: &Doc, keys: &[&str]) -> Doc {
    doc.iter()
        .filter(|(key, _)| !keys.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Turns a `json!({…})` into a document.
pub fn doc(value: Value) -> Doc {
    match value {
        Value::Object(map) => map,
        other => Doc::from_iter([("value".to_owned(), other)]),
    }
}

/// Shows a value as REST does: kept dates become ISO texts.
pub struct RestView<'a>(pub &'a Value);

impl Serialize for RestView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(list) => {
                let mut sequence = serializer.serialize_seq(Some(list.len()))?;
                for item in list {
                    sequence.serialize_element(&RestView(item))?;
                }
                sequence.end()
            }
            Value::Object(map) => {
                if map.len() == 1
                    && let Some(ms) = date_ms(Some(self.0))
                {
                    return serializer.serialize_str(&time::iso(ms));
                }
                let mut object = serializer.serialize_map(Some(map.len()))?;
                for (key, value) in map {
                    object.serialize_entry(key, &RestView(value))?;
                }
                object.end()
            }
            other => other.serialize(serializer),
        }
    }
}
