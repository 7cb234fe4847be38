//! Documents as a Rocket.Chat 6.14 delivered them, by REST and by socket, and odd ones.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

const MESSAGES: &str = include_str!("../../../tests/data/rocketchat/messages.jsonl");
const ROOMS: &str = include_str!("../../../tests/data/rocketchat/rooms.jsonl");
const USERS: &str = include_str!("../../../tests/data/rocketchat/users.jsonl");
const SUBSCRIPTIONS: &str = include_str!("../../../tests/data/rocketchat/subscriptions.jsonl");
const MEMBERS: &str = include_str!("../../../tests/data/rocketchat/members.jsonl");

fn all<T: DeserializeOwned>(recorded: &str) -> Vec<(Value, T)> {
    let read = |line: &str| {
        let document = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("unreadable ({error}): {line}"));
        (serde_json::from_str(line).unwrap(), document)
    };
    recorded.lines().map(read).collect()
}

fn date(raw: &Value) -> Option<Timestamp> {
    serde_json::from_value(raw.clone()).ok()
}

#[test]
fn every_recorded_message_is_read_with_its_fields() {
    let messages = all::<Message>(MESSAGES);
    assert!(messages.len() > 150);
    for (raw, message) in messages {
        assert_eq!(raw["_id"], message.id.as_str());
        assert_eq!(raw["rid"], message.rid.as_str());
        assert_eq!(raw["msg"], message.msg.as_str());
        assert_eq!(raw["u"]["_id"], message.u.id.as_str());
        assert_eq!(raw["t"].as_str(), message.t.as_deref());
        assert_eq!(
            raw["tmid"].as_str(),
            message.tmid.as_ref().map(|id| id.as_str())
        );
        assert_eq!(date(&raw["ts"]), Some(message.ts), "{raw}");
        assert_eq!(date(&raw["_updatedAt"]), message.updated_at);
        assert_eq!(date(&raw["editedAt"]), message.edited_at);
        assert_eq!(raw["editedBy"].is_object(), message.edited_by.is_some());
        assert_eq!(
            raw["drid"].as_str(),
            message.drid.as_ref().map(|id| id.as_str())
        );
        let length = |key: &str| raw[key].as_array().map_or(0, Vec::len);
        assert_eq!(length("attachments"), message.attachments.len(), "{raw}");
        assert_eq!(length("mentions"), message.mentions.len(), "{raw}");
        assert_eq!(length("channels"), message.channels.len(), "{raw}");
        assert_eq!(length("files"), message.files.len(), "{raw}");
        assert_eq!(length("urls"), message.urls.len(), "{raw}");
        assert_eq!(raw["file"].is_object(), message.file.is_some());
        assert_eq!(raw["md"].is_array(), message.md.is_some());
        let reactions = raw["reactions"].as_object().map_or(0, serde_json::Map::len);
        assert_eq!(reactions, message.reactions.len());
        assert!(message.reactions.values().all(|names| !names.is_empty()));
        for attachment in &message.attachments {
            let recognised = attachment.message_link.is_some()
                || attachment.title_link.is_some()
                || attachment.text.is_some()
                || attachment.title.is_some()
                || attachment.image_url.is_some()
                || attachment.author_name.is_some()
                || !attachment.fields.is_empty();
            assert!(
                recognised || raw["attachments"][0].as_object().unwrap().len() < 3,
                "{raw}"
            );
        }
    }
}

#[test]
fn every_recorded_room_user_subscription_and_member_is_read() {
    for (raw, room) in all::<Room>(ROOMS) {
        assert_eq!(raw["t"], room.t.as_str());
        assert_eq!(raw["msgs"].as_u64(), Some(room.msgs));
        assert_eq!(date(&raw["lm"]), room.last_message_at);
        assert_eq!(
            raw["usernames"].as_array().map_or(0, Vec::len),
            room.usernames.len()
        );
        assert_eq!(raw["archived"].as_bool().unwrap_or(false), room.archived);
    }
    for (raw, user) in all::<User>(USERS) {
        assert_eq!(
            raw["username"].as_str(),
            user.username.as_ref().map(|name| name.as_str())
        );
        assert_eq!(raw["active"].as_bool(), Some(user.active));
        assert_eq!(raw["roles"].as_array().unwrap().len(), user.roles.len());
        assert_eq!(raw["type"].as_str(), user.kind.as_deref());
    }
    for (raw, subscription) in all::<Subscription>(SUBSCRIPTIONS) {
        assert_eq!(raw["rid"], subscription.rid.as_str());
        assert_eq!(raw["open"].as_bool().unwrap_or(false), subscription.open);
        assert_eq!(date(&raw["ls"]), subscription.last_seen);
    }
    for (raw, member) in all::<Member>(MEMBERS) {
        assert_eq!(raw["_id"], member.id.as_str());
    }
}

#[test]
fn hashes_in_a_message_are_not_kept() {
    let message: Message = serde_json::from_value(json!({
        "_id": "m", "rid": "r", "msg": "bob", "t": "removed-user-from-team", "ts": 1,
        "u": { "_id": "a", "username": "alice", "services": { "password": { "bcrypt": "$2b$x" } } },
    }))
    .unwrap();
    assert!(!format!("{message:?}").contains("$2b$"));
    assert_eq!(message.u.username.unwrap().as_str(), "alice");
}

fn minimal(key: &str, value: Value) -> Value {
    let mut document = json!({ "_id": "m", "rid": "r", "msg": "x", "ts": 1, "u": { "_id": "a" } });
    document[key] = value;
    document
}

#[test]
fn no_odd_field_loses_a_message_and_none_is_made_without_its_ids() {
    let optional = [
        "msg",
        "ts",
        "_updatedAt",
        "editedAt",
        "editedBy",
        "t",
        "alias",
        "avatar",
        "emoji",
        "tmid",
        "tshow",
        "tcount",
        "mentions",
        "channels",
        "attachments",
        "file",
        "files",
        "reactions",
        "pinned",
        "pinnedBy",
        "md",
        "urls",
        "private",
        "_hidden",
        "parent",
        "federation",
        "bot",
        "drid",
        "role",
        "groupable",
        "imported",
        "blocks",
        "customFields",
    ];
    let odd = [
        json!(null),
        json!(true),
        json!(-1.5),
        json!("x\u{0}y"),
        json!([1, null, {}]),
        json!({ "a": [] }),
    ];
    for key in optional {
        for value in &odd {
            let read = serde_json::from_value::<Message>(minimal(key, value.clone()));
            assert!(read.is_ok(), "{key} = {value} lost the message");
        }
    }
    for key in ["_id", "rid", "u"] {
        for value in &odd {
            let read = serde_json::from_value::<Message>(minimal(key, value.clone()));
            assert!(read.is_err(), "{key} = {value} made a message");
        }
    }
}

#[test]
fn one_bad_mention_does_not_lose_the_others() {
    let mentions = json!([{ "_id": "" }, { "_id": "b", "username": "bob" }, 5]);
    let message: Message = serde_json::from_value(minimal("mentions", mentions)).unwrap();
    assert_eq!(message.mentions.len(), 1);
    let everybody = json!([{ "_id": "all", "username": "all" }]);
    let message: Message = serde_json::from_value(minimal("mentions", everybody)).unwrap();
    assert!(message.mentions[0].is_everybody());
}

#[test]
fn marks_of_rocket_chats_own_federation_are_seen() {
    let message: Message =
        serde_json::from_value(minimal("federation", json!({ "eventId": "$x" }))).unwrap();
    assert!(message.federated);
    let room: Room = serde_json::from_value(json!({ "_id": "r", "federated": true })).unwrap();
    assert!(room.federated);
    let user: User = serde_json::from_value(json!({ "_id": "u", "federated": false })).unwrap();
    assert!(!user.federated && user.active);
}

#[test]
fn one_bad_part_of_a_card_does_not_lose_the_others() {
    let card = json!({
        "title": 5, "text": "t",
        "fields": [1, { "title": "a", "value": 2 }, { "title": null, "value": true }],
        "actions": ["x", { "type": 1, "text": "go", "url": [] }],
    });
    let message: Message =
        serde_json::from_value(minimal("attachments", json!([7, card]))).unwrap();
    let [card] = message.attachments.as_slice() else {
        panic!("{:?}", message.attachments);
    };
    assert_eq!(
        (card.title.as_deref(), card.text.as_deref()),
        (None, Some("t"))
    );
    let fields: Vec<_> = card
        .fields
        .iter()
        .map(|field| (field.title.as_str(), field.value.as_str()))
        .collect();
    assert_eq!(fields, [("a", "2"), ("", "true")]);
    let texts: Vec<_> = card
        .actions
        .iter()
        .map(|action| action.text.as_deref())
        .collect();
    assert_eq!(texts, [Some("go")]);
}

#[test]
fn an_empty_alias_is_none() {
    let message: Message = serde_json::from_value(minimal("alias", json!(""))).unwrap();
    assert_eq!(message.alias, None);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        let key = prop_oneof![
            "[a-z]{1,4}",
            Just("_id".to_owned()),
            Just("attachments".to_owned()),
            Just("usernames".to_owned()),
            Just("$date".to_owned()),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(key, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_document_breaks_the_readers(
        (index, value, other) in (0usize..7, any_json(), any_json())
    ) {
        let key = ["attachments", "reactions", "ts", "mentions", "md", "u", "file"][index];
        let _ = serde_json::from_value::<Message>(minimal(key, value.clone()));
        let _ = serde_json::from_value::<Message>(value.clone());
        let _ = serde_json::from_value::<Room>(value.clone());
        let _ = serde_json::from_value::<User>(other);
        let _ = serde_json::from_value::<Subscription>(value);
    }
}
