//! Replaying recordings: what stands in a recording is mapped to what the simulator answered, and
//! the two are compared.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

use std::collections::{BTreeMap, HashMap};

use rocketchat_sim::{state::users::password_digest, time};
use serde_json::Value;

pub mod accounts;
pub mod player;
#[path = "samples.rs"]
pub mod samples;

/// Recorded texts (ids, tokens, dates) and what they are in the simulator.
#[derive(Default)]
pub struct Known {
    pub texts: HashMap<String, String>,
    dates: BTreeMap<i64, i64>,
    /// Files whose text the recording shows when they are downloaded, by their SHA-256.
    pub contents: HashMap<String, String>,
}

pub fn is_id(text: &str) -> bool {
    let alphanumeric = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    alphanumeric
        && (text.len() == 17
            || text.len() == 34
            || (text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit())))
}

fn is_placeholder(text: &str) -> bool {
    text.starts_with('<') && text.ends_with('>')
}

impl Known {
    /// Takes over from an answer what the recorded and the simulated side have at the same place.
    pub fn learn(&mut self, recorded: &Value, simulated: &Value) {
        match (recorded, simulated) {
            (Value::Object(a), Value::Object(b)) => {
                if let (Some(Value::Number(a)), Some(Value::Number(b))) =
                    (a.get("$date"), b.get("$date"))
                {
                    self.dates.insert(a.as_i64().unwrap(), b.as_i64().unwrap());
                }
                a.iter().for_each(|(key, value)| {
                    if let Some(other) = b.get(key) {
                        self.learn(value, other);
                    }
                });
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                a.iter()
                    .zip(b)
                    .for_each(|(one, other)| self.learn(one, other));
            }
            (Value::String(a), Value::String(b)) if a != b => {
                if let (Some(a), Some(b)) = (time::parse_iso(a), time::parse_iso(b)) {
                    self.dates.insert(a, b);
                } else if is_placeholder(a) {
                    self.texts.insert(a.clone(), b.clone());
                } else if is_id(a) && is_id(b) {
                    // The first meeting counts: later lists may be in another order.
                    self.texts.entry(a.clone()).or_insert_with(|| b.clone());
                }
            }
            _ => {}
        }
    }

    /// A recorded date in the simulator's time. `line` is when the line was recorded.
    pub fn date(&self, recorded: i64, line: i64) -> i64 {
        if let Some(known) = self.dates.get(&recorded) {
            return *known;
        }
        if (recorded - line).abs() > 12 * 3_600_000 {
            return recorded;
        }
        let lower = self.dates.range(..recorded).next_back();
        let upper = self.dates.range(recorded..).next();
        match (lower, upper) {
            (Some((before, sim)), Some((_, next))) => {
                sim + (recorded - before).min((next - sim) / 2)
            }
            _ => time::now_ms() + recorded - line,
        }
    }

    /// A recorded text as the simulator has to see it.
    pub fn text(&self, recorded: &str, line: i64) -> String {
        if let Some(ms) = time::parse_iso(recorded).filter(|_| recorded.len() == 24) {
            return time::iso(self.date(ms, line));
        }
        if let Some(known) = self.texts.get(recorded) {
            return known.clone();
        }
        if let Some(label) = recorded
            .strip_prefix("<email:")
            .and_then(|rest| rest.strip_suffix('>'))
        {
            return format!("{label}@replay.invalid");
        }
        if let Some(label) = recorded
            .strip_prefix("<password:")
            .and_then(|rest| rest.strip_suffix('>'))
        {
            return format!("pw-{label}");
        }
        if let Some(label) = recorded
            .strip_prefix("<sha256-password:")
            .and_then(|rest| rest.strip_suffix('>'))
        {
            return password_digest(&format!("pw-{label}"));
        }
        // Ids inside longer texts: stream events, messages of method.call.
        let mut text = recorded.to_owned();
        let mut words: Vec<&str> = recorded
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| is_id(word))
            .collect();
        words.sort_unstable();
        words.dedup();
        for word in words {
            if let Some(known) = self.texts.get(word) {
                text = text.replace(word, known);
            }
        }
        // Tokens inside a cookie.
        for (placeholder, token) in &self.texts {
            if is_placeholder(placeholder) && text.contains(placeholder) {
                text = text.replace(placeholder, token);
            }
        }
        let mut at_byte = 0;
        while let Some(date) = text.get(at_byte..at_byte + 24).filter(|_| text.len() > 24) {
            if date.ends_with('Z')
                && let Some(ms) = time::parse_iso(date)
            {
                text.replace_range(at_byte..at_byte + 24, &time::iso(self.date(ms, line)));
            }
            at_byte += 1;
        }
        // The token in the address of a webhook.
        if let Some(token) = self.texts.get("<incoming-token>") {
            text = text.replace("<incoming-token>", token);
        }
        while let Some((start, rest)) = text.split_once("<email:") {
            let Some((label, rest)) = rest.split_once('>') else {
                break;
            };
            text = format!("{start}{label}@replay.invalid{rest}");
        }
        text
    }

    /// A recorded value as the simulator has to see it.
    pub fn value(&self, recorded: &Value, line: i64) -> Value {
        match recorded {
            Value::String(text) => Value::String(self.text(text, line)),
            Value::Array(list) => list.iter().map(|one| self.value(one, line)).collect(),
            Value::Object(map) => match map.get("$date").and_then(Value::as_i64) {
                Some(ms) if map.len() == 1 => serde_json::json!({ "$date": self.date(ms, line) }),
                _ => map
                    .iter()
                    .map(|(key, value)| (key.clone(), self.value(value, line)))
                    .collect(),
            },
            other => other.clone(),
        }
    }
}

/// Keys whose numbers are compared by value, not only by type.
const COUNTED: &[&str] = &[
    "msgs",
    "usersCount",
    "unread",
    "userMentions",
    "groupMentions",
    "tcount",
    "count",
    "offset",
    "total",
    "size",
];

/// Compares two answers: same keys, same types, same texts where they are no ids, dates or tokens.
/// Differences are named by their path.
pub fn differences(
    known: &Known,
    recorded: &Value,
    simulated: &Value,
    path: &str,
    found: &mut Vec<String>,
) {
    let kind = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    match (recorded, simulated) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a {
                // `shown` is a remark of the recording, `lastTokenPart` is random.
                if key == "shown" || key == "lastTokenPart" {
                    continue;
                }
                // Nobody draws a smaller picture byte for byte as another program does.
                let smaller = a
                    .get("name")
                    .and_then(Value::as_str)
                    .is_some_and(|name| name.starts_with("thumb-"));
                if (key == "image_preview" && b.contains_key(key)) || (smaller && key == "size") {
                    continue;
                }
                if path.ends_with(".files[]") && key == "token" && b.contains_key(key) {
                    continue;
                }
                match b.get(key) {
                    Some(other) => {
                        differences(known, value, other, &format!("{path}.{key}"), found)
                    }
                    None => found.push(format!("{path}.{key} is missing")),
                }
            }
            for key in b.keys().filter(|key| !a.contains_key(*key)) {
                found.push(format!("{path}.{key} is too much"));
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                found.push(format!(
                    "{path} has {} entries, recorded {}",
                    b.len(),
                    a.len()
                ));
            }
            for (one, other) in a.iter().zip(b) {
                differences(known, one, other, &format!("{path}[]"), found);
            }
        }
        (Value::Bool(a), Value::Bool(b)) if a != b => {
            found.push(format!("{path} is {b}, recorded {a}"))
        }
        (Value::Number(a), Value::Number(b)) => {
            let key = path.rsplit('.').next().unwrap_or("");
            if COUNTED.contains(&key) && a != b {
                found.push(format!("{path} is {b}, recorded {a}"));
            }
        }
        (Value::String(a), Value::String(b)) => {
            let expected = known.text(a, time::now_ms());
            let free = (time::parse_iso(a).is_some() && time::parse_iso(b).is_some())
                || (is_id(a) && is_id(b))
                || is_placeholder(a)
                || (a.starts_with("http://127.0.0.1:3100") && b.starts_with("http://127.0.0.1:"))
                || (path.ends_with(".ts") && a.parse::<i64>().is_ok() && b.parse::<i64>().is_ok());
            if !free && a != b && expected != *b {
                found.push(format!("{path} is {b:?}, recorded {a:?}"));
            }
        }
        (a, b) if kind(a) != kind(b) => {
            found.push(format!("{path} is {}, recorded {}", kind(b), kind(a)))
        }
        _ => {}
    }
}

/// The shape of a value: keys and types, lists by the set of their entries' shapes.
pub fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(list) => {
            let mut shapes: Vec<String> = list.iter().map(shape).collect();
            shapes.sort();
            shapes.dedup();
            format!("[{}]", shapes.join(" "))
        }
        Value::Object(map) => {
            let mut keys: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{key}:{}", shape(value)))
                .collect();
            keys.sort();
            format!("{{{}}}", keys.join(" "))
        }
    }
}
