//! Reads the ephemeral events of a transaction: typing, receipts, presence. They are
//! worth little, so what cannot be read, or is larger than anything sensible, is left
//! out without a word. Pure.

use std::collections::BTreeMap;

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::Deserialize;
use serde_json::value::RawValue;

/// As many of a transaction are read; Synapse sends at most 100.
const MOST: usize = 1_000;

/// Larger ones are left out, in bytes: a list of two thousand people is not as large.
const LARGEST: usize = 128 * 1024;

/// As many people, or receipts, of one event are read.
const MOST_PEOPLE: usize = 2_000;

/// As many bytes of a status line are read; more would be cut anyhow.
const LONGEST_STATUS: usize = 1_024;

/// What is so now and will soon be otherwise: never stored, never repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ephemeral {
    /// Who is typing in a room now (`m.typing`); whoever is missing is not.
    Typing {
        /// The room.
        room: OwnedRoomId,
        /// Everybody who is, ghosts among them.
        users: Vec<OwnedUserId>,
    },
    /// Who has read up to where (`m.receipt`): public receipts of the room itself.
    /// Private ones (`m.read.private`) and those of threads are left out.
    Read {
        /// The room.
        room: OwnedRoomId,
        /// Who, and the last event that they have read.
        read: Vec<(OwnedUserId, OwnedEventId)>,
    },
    /// Whether somebody is there (`m.presence`).
    Presence {
        /// Who.
        user: OwnedUserId,
        /// Whether they are.
        presence: Presence,
        /// Their status line.
        status: Option<String>,
    },
}

/// Whether somebody is there (Client-Server API v1.19, "Presence").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// There.
    Online,
    /// Away from the keyboard.
    Unavailable,
    /// Not there.
    Offline,
}

impl Presence {
    /// The specification's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Unavailable => "unavailable",
            Self::Offline => "offline",
        }
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type")]
    kind: String,
    room_id: Option<String>,
    sender: Option<String>,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct Typing<'a> {
    #[serde(borrow)]
    user_ids: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Receipts<'a> {
    #[serde(borrow, rename = "m.read", default)]
    read: BTreeMap<String, &'a RawValue>,
}

#[derive(Deserialize)]
struct Receipt {
    thread_id: Option<String>,
}

#[derive(Deserialize)]
struct Present {
    presence: String,
    status_msg: Option<String>,
}

/// Reads the list of them. Of something that is no list nothing is read.
pub(super) fn read(raw: &RawValue) -> Vec<Ephemeral> {
    let elements: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    elements
        .into_iter()
        .take(MOST)
        .filter(|element| element.get().len() <= LARGEST)
        .filter_map(one)
        .collect()
}

fn one(raw: &RawValue) -> Option<Ephemeral> {
    let head: Head<'_> = serde_json::from_str(raw.get()).ok()?;
    let content = head.content.get();
    match head.kind.as_str() {
        "m.typing" => {
            let typing: Typing<'_> = serde_json::from_str(content).ok()?;
            let users = typing.user_ids.into_iter().filter_map(|user| {
                let user: String = serde_json::from_str(user.get()).ok()?;
                id(&user)
            });
            Some(Ephemeral::Typing {
                room: id(&head.room_id?)?,
                users: users.take(MOST_PEOPLE).collect(),
            })
        }
        "m.receipt" => {
            let events: BTreeMap<String, &RawValue> = serde_json::from_str(content).ok()?;
            let read = events.into_iter().flat_map(|(event, receipts)| {
                let receipts: Option<Receipts<'_>> = serde_json::from_str(receipts.get()).ok();
                let event: Option<OwnedEventId> = id(&event);
                let people = receipts.map(|receipts| receipts.read).unwrap_or_default();
                people.into_iter().filter_map(move |(user, receipt)| {
                    let receipt: Receipt = serde_json::from_str(receipt.get()).ok()?;
                    let of_room = receipt.thread_id.is_none_or(|thread| thread == "main");
                    Some((id(&user).filter(|_| of_room)?, event.clone()?))
                })
            });
            Some(Ephemeral::Read {
                room: id(&head.room_id?)?,
                read: read.take(MOST_PEOPLE).collect(),
            })
        }
        "m.presence" => {
            let present: Present = serde_json::from_str(content).ok()?;
            let presence = match present.presence.as_str() {
                "online" => Presence::Online,
                "unavailable" => Presence::Unavailable,
                "offline" => Presence::Offline,
                _ => return None,
            };
            Some(Ephemeral::Presence {
                user: id(&head.sender?)?,
                presence,
                status: present
                    .status_msg
                    .filter(|status| status.len() <= LONGEST_STATUS),
            })
        }
        _ => None,
    }
}

/// An id without control characters, which none has.
fn id<'a, T: TryFrom<&'a str>>(text: &'a str) -> Option<T> {
    if text.len() > 255 || text.chars().any(char::is_control) {
        return None;
    }
    T::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    fn read_all(list: &str) -> Vec<Ephemeral> {
        read(serde_json::from_str(list).unwrap())
    }

    fn read_one(event: Value) -> Option<Ephemeral> {
        read_all(&json!([event]).to_string()).pop()
    }

    fn alice() -> OwnedUserId {
        "@alice:example.org".try_into().unwrap()
    }

    fn room() -> OwnedRoomId {
        "!r:example.org".try_into().unwrap()
    }

    #[test]
    fn all_three_kinds_are_read() {
        let typing = json!({
            "type": "m.typing", "room_id": room(), "content": { "user_ids": [alice(), 3, "x"] },
        });
        let users = vec![alice()];
        assert_eq!(
            read_one(typing),
            Some(Ephemeral::Typing {
                room: room(),
                users
            })
        );
        let receipt = json!({
            "type": "m.receipt", "room_id": room(), "content": {
                "$a": { "m.read": { alice(): { "ts": 1 } } },
                "$b": { "m.read": { "@bob:example.org": { "thread_id": "main" } } },
            },
        });
        let read = vec![
            (alice(), "$a".try_into().unwrap()),
            (
                "@bob:example.org".try_into().unwrap(),
                "$b".try_into().unwrap(),
            ),
        ];
        assert_eq!(
            read_one(receipt),
            Some(Ephemeral::Read { room: room(), read })
        );
        let presence = json!({
            "type": "m.presence", "sender": alice(),
            "content": { "presence": "unavailable", "status_msg": "lunch", "last_active_ago": 3 },
        });
        assert_eq!(
            read_one(presence),
            Some(Ephemeral::Presence {
                user: alice(),
                presence: Presence::Unavailable,
                status: Some("lunch".to_owned()),
            })
        );
    }

    #[test]
    fn what_somebody_reads_in_private_or_in_a_thread_is_left_out() {
        let receipt = json!({
            "type": "m.receipt", "room_id": room(), "content": {
                "$a": { "m.read.private": { alice(): { "ts": 1 } } },
                "$b": { "m.read": { alice(): { "ts": 1, "thread_id": "$root" } } },
            },
        });
        assert_eq!(
            read_one(receipt),
            Some(Ephemeral::Read {
                room: room(),
                read: Vec::new()
            })
        );
    }

    #[test]
    fn what_makes_no_sense_is_left_out_and_harms_nothing_else() {
        let good = json!({ "type": "m.typing", "room_id": room(), "content": { "user_ids": [] } });
        for bad in [
            json!(null),
            json!([]),
            json!({}),
            json!({ "type": "m.typing" }),
            json!({ "type": "m.typing", "room_id": 3, "content": { "user_ids": [] } }),
            json!({ "type": "m.typing", "room_id": "!r\n:x", "content": { "user_ids": [] } }),
            json!({ "type": "m.typing", "room_id": room(), "content": { "user_ids": {} } }),
            json!({ "type": "m.typing", "room_id": room(), "content": [] }),
            json!({ "type": "m.receipt", "room_id": room(), "content": [] }),
            json!({ "type": "m.presence", "sender": alice(), "content": { "presence": "here" } }),
            json!({ "type": "m.presence", "sender": "alice", "content": { "presence": "online" } }),
            json!({ "type": "m.room.message", "room_id": room(), "content": {} }),
        ] {
            assert_eq!(
                read_all(&json!([good, bad, good]).to_string()).len(),
                2,
                "{bad}"
            );
        }
        assert!(read_all("3").is_empty());
    }

    #[test]
    fn size_and_nesting_cost_nothing() {
        let good = json!({ "type": "m.typing", "room_id": room(), "content": { "user_ids": [] } });
        for levels in [200, 60_000, 1_000_000] {
            let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            let odd = good
                .to_string()
                .replacen('{', &format!(r#"{{"x":{deep},"#), 1);
            let list = format!("[{deep},{odd},{good}]");
            let read = read_all(&list);
            let expected = if odd.len() <= LARGEST { 2 } else { 1 };
            assert_eq!(read.len(), expected, "{levels} levels");
        }
        let crowd: Vec<_> = (0..10_000).map(|n| format!("@u{n}:e.org")).collect();
        let mut event = good.clone();
        event["content"]["user_ids"] = json!(crowd);
        assert_eq!(
            read_one(event.clone()),
            None,
            "larger than anything sensible"
        );
        event["content"]["user_ids"] = json!(crowd[..5_000]);
        let Some(Ephemeral::Typing { users, .. }) = read_one(event) else {
            panic!("not read");
        };
        assert_eq!(users.len(), MOST_PEOPLE);
        let many = vec![good; 5_000];
        assert_eq!(read_all(&json!(many).to_string()).len(), MOST);
    }
}
