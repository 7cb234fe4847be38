//! An event as a client sees it.

use serde::Deserialize;
use serde_json::Value;

/// A timeline or state event. Fields that an endpoint leaves out are empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Event {
    /// `$…`; empty in stripped state.
    pub event_id: String,
    /// Who sent it.
    pub sender: String,
    /// Its `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its content; an empty object once redacted.
    pub content: Value,
    /// When, in milliseconds since 1970.
    pub origin_server_ts: u64,
    /// Present in state events only.
    pub state_key: Option<String>,
    /// What the server adds: transaction id, `redacted_because`, relations.
    pub unsigned: Value,
}

impl Event {
    /// Whether it is an `m.room.message`.
    pub fn is_message(&self) -> bool {
        self.kind == "m.room.message"
    }

    /// The plain body; empty when there is none.
    pub fn body(&self) -> &str {
        self.text("/body")
    }

    /// The plain body that an edit puts in place of the old; empty in what is not
    /// an edit.
    pub fn new_body(&self) -> &str {
        self.text("/m.new_content/body")
    }

    /// The message type (`m.text`, `m.image`, …); empty when there is none.
    pub fn msgtype(&self) -> &str {
        self.text("/msgtype")
    }

    /// The formatted body; empty when there is none.
    pub fn formatted_body(&self) -> &str {
        self.text("/formatted_body")
    }

    /// The relation as `(rel_type, event_id)`, when it has one of that kind.
    pub fn relation(&self) -> Option<(&str, &str)> {
        let relation = self.content.get("m.relates_to")?;
        Some((
            relation.get("rel_type")?.as_str()?,
            relation.get("event_id")?.as_str()?,
        ))
    }

    /// The id of the event it is a rich reply to.
    pub fn in_reply_to(&self) -> Option<&str> {
        self.content
            .pointer("/m.relates_to/m.in_reply_to/event_id")?
            .as_str()
    }

    /// Whether its content was taken away.
    pub fn is_redacted(&self) -> bool {
        self.unsigned.get("redacted_because").is_some()
    }

    /// Who took its content away, if somebody did.
    pub fn redacted_by(&self) -> Option<&str> {
        self.unsigned["redacted_because"]["sender"].as_str()
    }

    /// A string anywhere in the content by JSON pointer; empty when not there.
    pub fn text(&self, pointer: &str) -> &str {
        self.content
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}
