//! Reads a transaction's body, as leniently as can be: the homeserver repeats a
//! refused transaction for ever, and everything after it waits. Pure.

use std::collections::BTreeMap;

use serde_json::error::Category;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{InboundEvent, Transaction, ephemeral};

/// Types, state keys and ids have at most this many bytes (Client-Server API,
/// "Size limits").
const MAX_FIELD_BYTES: usize = 255;

/// Why a body is no transaction at all.
#[derive(Debug, PartialEq, Eq)]
pub enum NotATransaction {
    /// Not JSON as a whole.
    NotJson(String),
    /// JSON, but not what a transaction is made of.
    BadShape(&'static str),
}

/// Reads a transaction's body; `id` is the homeserver's. One event that cannot be read
/// is counted and logged with its index and the reason, and harms no other.
///
/// # Errors
/// When the body is not JSON, or has no list of events.
pub fn read(id: String, body: &[u8]) -> Result<Transaction, NotATransaction> {
    // Where bytes are not UTF-8 the rest of the transaction still counts.
    let text = String::from_utf8_lossy(body);
    if matches!(text, std::borrow::Cow::Owned(_)) {
        tracing::warn!(transaction = %id, "the transaction is not UTF-8: replaced what is not");
    }
    // Raw values are skipped without recursion, however deep they are. Of a
    // repeated key the last counts.
    let parts: BTreeMap<String, &RawValue> =
        serde_json::from_str(&text).map_err(|error| match error.classify() {
            Category::Data => NotATransaction::BadShape("the body is not an object"),
            _ => NotATransaction::NotJson(error.to_string()),
        })?;
    let short_lived = parts
        .get("ephemeral")
        .or_else(|| parts.get("de.sorunome.msc2409.ephemeral"));
    let elements: Vec<&RawValue> = match parts.get("events") {
        Some(raw) => serde_json::from_str(raw.get())
            .map_err(|_| NotATransaction::BadShape("`events` is not an array"))?,
        None if short_lived.is_some() => Vec::new(),
        None => return Err(NotATransaction::BadShape("`events` is missing")),
    };

    let mut events = Vec::with_capacity(elements.len());
    let mut unreadable = 0;
    for (index, element) in elements.into_iter().enumerate() {
        match event(element) {
            Ok(event) => events.push(event),
            Err(reason) => {
                unreadable += 1;
                tracing::warn!(transaction = %id, index, reason, "left out an event that cannot be read");
            }
        }
    }
    Ok(Transaction {
        id,
        events,
        ephemeral: short_lived
            .map(|raw| ephemeral::read(raw))
            .unwrap_or_default(),
        unreadable,
    })
}

fn event(raw: &RawValue) -> Result<InboundEvent, String> {
    let (fields, json) = whole(raw)?;
    Ok(InboundEvent {
        event_id: id(&fields, "event_id")?,
        room_id: id(&fields, "room_id")?,
        sender: id(&fields, "sender")?,
        kind: text(&fields, "type")?.ok_or("no type")?.to_owned(),
        state_key: text(&fields, "state_key")?.map(str::to_owned),
        origin_server_ts: fields
            .get("origin_server_ts")
            .and_then(Value::as_u64)
            .unwrap_or(0),
        json,
    })
}

/// Reads the whole event once, so that nobody after us meets a surprise: nesting
/// beyond serde_json's limit of 128, numbers beyond all bounds.
///
/// `unsigned` is the homeserver's addition and dispensable. It quotes other
/// events (`prev_content`, `redacted_because`) one level deeper than they were
/// accepted: someone who nests his membership as deeply as allowed must not make
/// the ban that follows it unreadable.
fn whole(raw: &RawValue) -> Result<(Map<String, Value>, Box<RawValue>), String> {
    let first = match serde_json::from_str(raw.get()) {
        Ok(fields) => return Ok((fields, raw.to_owned())),
        Err(error) if error.classify() == Category::Data => return Err("not an object".to_owned()),
        Err(error) => error.to_string(),
    };
    let mut parts: BTreeMap<String, &RawValue> =
        serde_json::from_str(raw.get()).map_err(|_| first.clone())?;
    if parts.remove("unsigned").is_none() {
        return Err(first);
    }
    let json = serde_json::value::to_raw_value(&parts).map_err(|_| first)?;
    let fields = serde_json::from_str(json.get()).map_err(|error| error.to_string())?;
    Ok((fields, json))
}

fn text<'a>(fields: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, String> {
    match fields.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= MAX_FIELD_BYTES => Ok(Some(text)),
        Some(Value::String(_)) => Err(format!("{key} has more than {MAX_FIELD_BYTES} bytes")),
        Some(_) => Err(format!("{key} is not a string")),
    }
}

fn id<'a, T: TryFrom<&'a str>>(fields: &'a Map<String, Value>, key: &str) -> Result<T, String> {
    let text = text(fields, key)?.ok_or_else(|| format!("no {key}"))?;
    // Ids end up in logs, keys and paths: none has control characters.
    if text.chars().any(char::is_control) {
        return Err(format!("{key} has control characters"));
    }
    T::try_from(text).map_err(|_| format!("{key} is not such an id"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use serde_json::json;

    use super::*;

    fn good(n: u32) -> Value {
        json!({
            "event_id": format!("$e{n}:example.org"),
            "room_id": "!r:example.org",
            "sender": "@alice:example.org",
            "type": "m.room.message",
            "origin_server_ts": 1_700_000_000_000_u64,
            "content": {"msgtype": "m.text", "body": "hi"},
        })
    }

    fn with(change: impl FnOnce(&mut Value)) -> Value {
        let mut event = good(1);
        change(&mut event);
        event
    }

    fn read_all(body: &str) -> Transaction {
        read("t".to_owned(), body.as_bytes()).unwrap()
    }

    fn refusal(body: &[u8]) -> NotATransaction {
        read("t".to_owned(), body).unwrap_err()
    }

    #[test]
    fn events_keep_their_order_and_their_text() {
        let body = json!({"events": [good(1), good(2), good(3)]}).to_string();
        let transaction = read_all(&body);
        let ids: Vec<_> = transaction
            .events
            .iter()
            .map(|e| e.event_id.as_str())
            .collect();
        assert_eq!(
            ids,
            ["$e1:example.org", "$e2:example.org", "$e3:example.org"]
        );
        assert_eq!(transaction.unreadable, 0);
        assert_eq!(transaction.events[0].json.get(), good(1).to_string());
        assert_eq!(transaction.events[0].state_key, None);
        assert_eq!(transaction.events[0].origin_server_ts, 1_700_000_000_000);
    }

    #[test]
    fn a_state_event_is_told_by_its_key_also_when_empty() {
        let body = json!({"events": [with(|e| e["state_key"] = json!(""))]}).to_string();
        assert_eq!(read_all(&body).events[0].state_key.as_deref(), Some(""));
    }

    #[test]
    fn ids_of_new_room_versions_are_read() {
        let body = json!({"events": [with(|e| {
            e["event_id"] = json!("$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg");
            e["room_id"] = json!("!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM");
        })]})
        .to_string();
        assert_eq!(read_all(&body).events.len(), 1);
    }

    #[test]
    fn one_bad_event_never_blocks_the_others() {
        let long = "x".repeat(300);
        let bad = [
            json!(null),
            json!(17),
            json!("event"),
            json!([]),
            json!({}),
            with(|e| {
                e.as_object_mut().unwrap().remove("event_id");
            }),
            with(|e| e["event_id"] = json!(7)),
            with(|e| e["event_id"] = json!("no-sigil")),
            with(|e| e["event_id"] = json!(format!("${long}"))),
            with(|e| e["event_id"] = json!("$a\nb:example.org")),
            with(|e| e["room_id"] = json!({"$ne": null})),
            with(|e| e["room_id"] = json!("#alias:example.org")),
            with(|e| e["sender"] = json!(["@a:example.org"])),
            with(|e| e["sender"] = json!("@a")),
            with(|e| e["type"] = json!(null)),
            with(|e| e["type"] = json!(long)),
            with(|e| e["state_key"] = json!(1)),
            with(|e| e["state_key"] = json!(long)),
        ];
        for event in bad {
            let body = json!({"events": [good(1), event, good(2)]}).to_string();
            let transaction = read_all(&body);
            assert_eq!(
                (transaction.events.len(), transaction.unreadable),
                (2, 1),
                "with {event}"
            );
        }
    }

    #[test]
    fn an_absurd_time_is_no_reason_to_lose_the_event() {
        for ts in [json!(-1), json!("now"), json!(1.5), json!(null), json!([])] {
            let body = json!({"events": [with(|e| e["origin_server_ts"] = ts)]}).to_string();
            assert_eq!(read_all(&body).events[0].origin_server_ts, 0);
        }
    }

    #[test]
    fn deep_nesting_costs_one_event_and_no_stack() {
        for levels in [200, 10_000, 1_000_000] {
            let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            let event = good(1).to_string();
            let poison = event.replace("\"hi\"", &deep);
            let body = format!(r#"{{"events":[{event},{poison},{deep},{event}]}}"#);
            let transaction = read_all(&body);
            assert_eq!((transaction.events.len(), transaction.unreadable), (2, 2));
            let unclosed = format!(r#"{{"events":{}"#, "[".repeat(levels));
            assert!(matches!(
                refusal(unclosed.as_bytes()),
                NotATransaction::NotJson(_)
            ));
            assert!(matches!(
                refusal(deep.as_bytes()),
                NotATransaction::BadShape(_)
            ));
        }
    }

    #[test]
    fn what_the_homeserver_quotes_cannot_hide_an_event() {
        let event = with(|e| e["unsigned"] = json!({"prev_content": "QUOTED"})).to_string();
        for levels in [100, 125, 126, 127, 5_000] {
            let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            let body = format!(r#"{{"events":[{}]}}"#, event.replace("\"QUOTED\"", &deep));
            let transaction = read_all(&body);
            assert_eq!(transaction.unreadable, 0, "{levels} levels");
            let json = transaction.events[0].json.get();
            let read: Value = serde_json::from_str(json).expect("what was promised to be readable");
            assert_eq!(read["content"]["body"], "hi");
            assert_eq!(
                read.get("unsigned").is_some(),
                levels <= 125,
                "{levels} levels"
            );
        }
    }

    #[test]
    fn odd_json_is_read_as_far_as_it_goes() {
        let event = good(1).to_string();
        let table: [(&str, String, usize, usize); 6] = [
            ("huge number", event.replace("\"hi\"", "1e999"), 0, 1),
            (
                "long number",
                event.replace("\"hi\"", &"9".repeat(400)),
                0,
                1,
            ),
            ("half a surrogate", event.replace("hi", "\\ud800"), 0, 1),
            (
                "repeated key",
                event.replacen('{', r#"{"type":"x","#, 1),
                1,
                0,
            ),
            ("NUL in the text", event.replace("hi", "\\u0000"), 1, 0),
            (
                "unknown fields",
                event.replacen('{', r#"{"a":{"b":[1]},"#, 1),
                1,
                0,
            ),
        ];
        for (name, event, readable, unreadable) in table {
            let transaction = read_all(&format!(r#"{{"events":[{event}]}}"#));
            assert_eq!(
                (transaction.events.len(), transaction.unreadable),
                (readable, unreadable),
                "{name}"
            );
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_do_not_block() {
        let body = json!({"events": [good(1), good(2)]}).to_string();
        let mut bytes = body.into_bytes();
        let at = bytes.windows(2).position(|pair| pair == b"hi").unwrap();
        bytes[at] = 0xff;
        assert_eq!(read("t".to_owned(), &bytes).unwrap().events.len(), 2);
    }

    #[test]
    fn only_what_is_no_transaction_is_refused() {
        for body in [
            "",
            "{",
            "nope",
            "{\"events\":[}",
            "{\"events\":[]} trailing",
            "<html>",
        ] {
            assert!(
                matches!(refusal(body.as_bytes()), NotATransaction::NotJson(_)),
                "{body:?}"
            );
        }
        for body in [
            "[]",
            "3",
            "null",
            "\"x\"",
            "{}",
            "{\"events\":{}}",
            "{\"events\":null}",
        ] {
            assert!(
                matches!(refusal(body.as_bytes()), NotATransaction::BadShape(_)),
                "{body:?}"
            );
        }
        assert!(matches!(
            refusal(&[0xff, 0xfe]),
            NotATransaction::NotJson(_)
        ));
    }

    #[test]
    fn ephemeral_events_come_under_either_name() {
        let typing = json!({
            "type": "m.typing", "room_id": "!r:example.org", "content": { "user_ids": [] },
        });
        for key in ["ephemeral", "de.sorunome.msc2409.ephemeral"] {
            let body = json!({"events": [], key: [typing, 3, null]}).to_string();
            assert_eq!(read_all(&body).ephemeral.len(), 1);
        }
        let both = json!({
            "events": [],
            "ephemeral": [typing],
            "de.sorunome.msc2409.ephemeral": [typing],
        });
        assert_eq!(read_all(&both.to_string()).ephemeral.len(), 1);
        let alone = json!({"ephemeral": [typing]}).to_string();
        assert_eq!(read_all(&alone).ephemeral.len(), 1);
        let odd = json!({"events": [good(1)], "ephemeral": "x"}).to_string();
        assert_eq!(read_all(&odd).events.len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = read("t".to_owned(), &bytes);
        }

        #[test]
        fn good_events_survive_any_company(
            parts in proptest::collection::vec(proptest::option::of("[\\[\\]{}\",:0-9a-z\\\\]{0,40}"), 0..20)
        ) {
            let mut sent = 0;
            let elements: Vec<String> = parts
                .into_iter()
                .filter_map(|junk| match junk {
                    None => {
                        sent += 1;
                        Some(good(sent).to_string())
                    }
                    // Any JSON may stand there; what is none breaks the whole.
                    Some(junk) => serde_json::from_str::<&RawValue>(&junk).is_ok().then_some(junk),
                })
                .collect();
            let body = format!(r#"{{"events":[{}]}}"#, elements.join(","));
            proptest::prop_assert_eq!(read_all(&body).events.len(), sent as usize);
        }
    }
}
