//! What an event of the bridge says of where it comes from, so that the bridge
//! knows its own events again when an answer, or its store, was lost.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rocketchat::{FileId, RocketMessageId, RocketRoomId};

/// The key in an event's content.
const KEY: &str = "chat.rocket.bridge";

/// Which message of Rocket.Chat an event mirrors. Believed only of the bridge's
/// own ghosts: anybody can write such a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    /// The room on Rocket.Chat.
    pub room_id: RocketRoomId,
    /// The message there.
    pub message_id: RocketMessageId,
    /// `editedAt` of the document that was mirrored, in ms; 0 when never edited.
    pub revision: i64,
    /// Which of the message's events this is.
    #[serde(default)]
    pub part: usize,
    /// How many there are.
    #[serde(default = "one")]
    pub parts: usize,
    /// The workspace (its `uniqueID`): another bridge may be to another one, or to the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// How many bridges have carried it on, this one included.
    #[serde(default)]
    pub hops: u32,
    /// Which file of the message it brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileId>,
}

fn one() -> usize {
    1
}

impl Marker {
    /// Writes the marker into an event's content.
    pub(super) fn stamp(&self, content: &mut Value) {
        // A struct of two strings and a number is always representable.
        if let (Some(object), Ok(marker)) = (content.as_object_mut(), serde_json::to_value(self)) {
            object.insert(KEY.to_owned(), marker);
        }
    }

    /// The marker of an event's content, if it bears a readable one.
    pub(super) fn of(content: &Value) -> Option<Self> {
        serde_json::from_value(content.get(KEY)?.clone()).ok()
    }
}

/// Marks what the bridge says for itself.
pub(super) fn stamp_as_own(content: &mut Value) {
    if let Some(object) = content.as_object_mut() {
        object.insert(KEY.to_owned(), serde_json::json!({}));
    }
}

/// The key in what stands under [`KEY`].
const SEAL: &str = "seal";

/// Puts a seal beside what an event says of where it comes from.
pub(super) fn stamp_seal(content: &mut Value, seal: Value) {
    let Some(object) = content.as_object_mut() else {
        return;
    };
    let marker = object
        .entry(KEY)
        .or_insert_with(|| Value::Object(serde_json::Map::new()));
    if let Some(marker) = marker.as_object_mut() {
        marker.insert(SEAL.to_owned(), seal);
    }
}

/// The seal of an event's content, if it bears one.
pub(super) fn seal_of(content: &Value) -> Option<&Value> {
    content.get(KEY)?.get(SEAL)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        let marker = Marker {
            room_id: RocketRoomId::new("GENERAL"),
            message_id: RocketMessageId::new("m1"),
            revision: 7,
            part: 1,
            parts: 2,
            workspace: Some("w1".into()),
            hops: 2,
            file: Some(FileId::new("f1")),
        };
        let mut content = json!({ "body": "hi" });
        marker.stamp(&mut content);
        assert_eq!(Marker::of(&content), Some(marker));
    }

    #[test]
    fn nonsense_is_no_marker() {
        assert_eq!(Marker::of(&json!({})), None);
        assert_eq!(Marker::of(&json!({ KEY: "x" })), None);
        assert_eq!(Marker::of(&json!({ KEY: { "room_id": "" } })), None);
    }
}
