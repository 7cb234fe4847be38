//! Frames of Rocket.Chat's socket.

use matrix_appservice_rocketchat::rocketchat::realtime::{Event, event_of_frame};
use serde_json::Value;

/// A message that cannot be read is not taken for something else: it is read back
/// later.
pub(crate) fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let heard = event_of_frame(text);
    let Ok(frame) = serde_json::from_str::<Value>(text) else {
        return;
    };
    if frame["msg"] != "changed" || frame["collection"] != "stream-room-messages" {
        return;
    }
    match heard {
        Ok(Some(Event::Message { message, .. })) => {
            let id = &frame["fields"]["args"][0]["_id"];
            assert_eq!(id, message.id.as_str());
        }
        Ok(other) => panic!("a message became {other:?}"),
        Err(unreadable) => assert!(unreadable.maybe_message, "{unreadable:?}"),
    }
}
