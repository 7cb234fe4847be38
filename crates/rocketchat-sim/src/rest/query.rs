//! A small part of MongoDB's language, for the parameters `query`, `sort` and `fields` (facts 0.4).

use std::borrow::Borrow;
use std::cmp::Ordering;

use regex::Regex;
use serde_json::{Value, json};

use crate::{
    json::{self, Doc},
    time,
};

fn field<'a>(doc: &'a Doc, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('.');
    let mut value = doc.get(parts.next()?)?;
    for part in parts {
        value = value.get(part)?;
    }
    Some(value)
}

/// Dates compare as numbers, whichever way they are written.
fn comparable(value: &Value) -> Value {
    if let Some(ms) = json::date_ms(Some(value)) {
        return json!(ms);
    }
    match value.get("$date") {
        Some(Value::String(text)) => time::parse_iso(text).map_or(Value::Null, |ms| json!(ms)),
        _ => value.clone(),
    }
}

fn compare(one: &Value, other: &Value) -> Ordering {
    compare_keys(&comparable(one), &comparable(other))
}

/// Compares what [`comparable`] made.
fn compare_keys(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a
            .as_f64()
            .partial_cmp(&b.as_f64())
            .unwrap_or(Ordering::Equal),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (a, b) => a.to_string().cmp(&b.to_string()),
    }
}

fn meets(value: Option<&Value>, condition: &Value) -> bool {
    if let Some(Value::Array(list)) = value
        && !condition.is_array()
    {
        return list.iter().any(|one| meets(Some(one), condition));
    }
    let null = Value::Null;
    let value = value.unwrap_or(&null);
    match condition.as_object() {
        Some(operators)
            if operators
                .keys()
                .any(|key| key.starts_with('$') && key != "$date") =>
        {
            operators
                .iter()
                .all(|(operator, wanted)| match operator.as_str() {
                    "$gt" => !value.is_null() && compare(value, wanted) == Ordering::Greater,
                    "$gte" => !value.is_null() && compare(value, wanted) != Ordering::Less,
                    "$lt" => !value.is_null() && compare(value, wanted) == Ordering::Less,
                    "$lte" => !value.is_null() && compare(value, wanted) != Ordering::Greater,
                    "$ne" => comparable(value) != comparable(wanted),
                    "$in" => wanted.as_array().is_some_and(|list| {
                        list.iter().any(|one| comparable(one) == comparable(value))
                    }),
                    "$nin" => wanted.as_array().is_some_and(|list| {
                        list.iter().all(|one| comparable(one) != comparable(value))
                    }),
                    "$exists" => json!(!value.is_null()) == *wanted,
                    "$regex" => wanted
                        .as_str()
                        .and_then(|pattern| Regex::new(pattern).ok())
                        .is_some_and(|regex| {
                            value.as_str().is_some_and(|text| regex.is_match(text))
                        }),
                    "$options" => true,
                    _ => false,
                })
        }
        _ => comparable(value) == comparable(condition),
    }
}

/// Whether a document meets a filter.
pub fn matches(doc: &Doc, filter: &Doc) -> bool {
    filter.iter().all(|(key, condition)| {
        let each = |all: bool| {
            condition.as_array().is_some_and(|list| {
                let mut met = list
                    .iter()
                    .filter_map(Value::as_object)
                    .map(|inner| matches(doc, inner));
                if all {
                    met.all(|met| met)
                } else {
                    met.any(|met| met)
                }
            })
        };
        match key.as_str() {
            "$and" => each(true),
            "$or" => each(false),
            _ => meets(field(doc, key), condition),
        }
    })
}

/// Sorts by the keys of `order`, 1 up and -1 down; an empty order changes nothing.
pub fn sort<D: Borrow<Doc>>(list: &mut Vec<D>, order: &Value) {
    let Some(order) = order.as_object().filter(|order| !order.is_empty()) else {
        return;
    };
    // What is compared is looked up once: there may be very many.
    let mut keyed: Vec<(Vec<Value>, D)> = list
        .drain(..)
        .map(|one| {
            let keys = order
                .keys()
                .map(|key| field(one.borrow(), key).map_or(Value::Null, comparable));
            (keys.collect(), one)
        })
        .collect();
    keyed.sort_by(|(one, _), (other, _)| {
        one.iter()
            .zip(other)
            .zip(order.values())
            .map(|((one, other), direction)| {
                let ordering = compare_keys(one, other);
                if direction.as_i64() == Some(-1) {
                    ordering.reverse()
                } else {
                    ordering
                }
            })
            .find(|ordering| *ordering != Ordering::Equal)
            .unwrap_or(Ordering::Equal)
    });
    list.extend(keyed.into_iter().map(|(_, one)| one));
}

/// Shows the wanted keys, or all but the unwanted; `_id` stays unless it is unwanted.
pub fn project(doc: Doc, fields: &Value) -> Doc {
    let Some(fields) = fields.as_object().filter(|fields| !fields.is_empty()) else {
        return doc;
    };
    let keeps = fields.values().any(|one| one.as_i64() == Some(1));
    doc.into_iter()
        .filter(|(key, _)| match fields.get(key) {
            Some(one) => one.as_i64() != Some(0),
            None => !keeps || key == "_id",
        })
        .collect()
}
