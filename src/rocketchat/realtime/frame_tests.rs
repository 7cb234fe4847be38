//! Frames as a Rocket.Chat 6.14 sent them, and what no server should send.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::event::{Change, Event, Logged, Pictured};
use super::frame::Frame;
use super::translate::event_of_frame as hear;
use crate::rocketchat::documents::Timestamp;
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::{RocketRoomId, RocketUserId, Username};

const FRAMES: &str = include_str!("../../../tests/data/rocketchat/frames.jsonl");

fn changed(collection: &str, event: &str, args: Value) -> String {
    json!({
        "msg": "changed", "collection": collection, "id": "id",
        "fields": { "eventName": event, "args": args },
    })
    .to_string()
}

#[test]
fn every_recorded_frame_is_understood() {
    let mut events = 0;
    for line in FRAMES.lines() {
        let raw: Value = serde_json::from_str(line).unwrap();
        let frame = Frame::parse(line).unwrap_or_else(|error| panic!("{error:?}: {line}"));
        let fits = match raw["msg"].as_str() {
            Some("connected") => matches!(frame, Frame::Connected),
            Some("failed") => matches!(frame, Frame::Failed),
            Some("ping") => matches!(frame, Frame::Ping(_)),
            Some("pong") => matches!(frame, Frame::Pong),
            Some("ready") => matches!(&frame, Frame::Ready(ids) if !ids.is_empty()),
            Some("nosub") if raw["id"].is_string() => matches!(frame, Frame::NoSub { .. }),
            Some("result") => matches!(&frame, Frame::Result { outcome, .. }
                if outcome.is_err() == raw["error"].is_object()),
            Some("changed") => matches!(frame, Frame::Changed { .. }),
            Some("error") => matches!(&frame, Frame::Error { reason } if !reason.is_empty()),
            _ => matches!(frame, Frame::Other),
        };
        assert!(fits, "{line}\nbecame {frame:?}");
        let event = hear(line).unwrap_or_else(|error| panic!("{error:?}: {line}"));
        let name = raw["fields"]["eventName"].as_str().unwrap_or_default();
        let args = &raw["fields"]["args"];
        match (raw["collection"].as_str(), event) {
            (Some("stream-room-messages"), Some(Event::Message { message, room })) => {
                assert_eq!(args[0]["_id"], message.id.as_str());
                assert_eq!(name == "__my_messages__", room.participant.is_some());
            }
            (Some("stream-notify-room"), Some(event)) => {
                let rid = name.split('/').next().unwrap();
                match event {
                    Event::Deleted { rid: found, id } => {
                        assert_eq!((found.as_str(), &args[0]["_id"]), (rid, &json!(id)));
                    }
                    Event::DeletedBulk {
                        rid: found,
                        predicate,
                        ..
                    } => {
                        assert_eq!(found.as_str(), rid);
                        assert!(predicate.after.is_some() || predicate.before.is_some());
                    }
                    Event::UserActivity {
                        rid: found, name, ..
                    } => {
                        assert_eq!(
                            (found.as_str(), args[0].as_str()),
                            (rid, Some(name.as_str()))
                        );
                    }
                    other => panic!("{line}\nbecame {other:?}"),
                }
            }
            (Some("stream-notify-user"), event) => match event {
                Some(Event::SubscriptionChanged {
                    change,
                    subscription,
                }) => {
                    assert_eq!(args[1]["rid"], subscription.rid.as_str());
                    assert_eq!(args[0] == "removed", change == Change::Removed);
                }
                Some(Event::RoomChanged { room, .. }) => {
                    assert_eq!(args[1]["_id"], room.id.as_str())
                }
                Some(Event::Ephemeral(message)) => assert!(message.private),
                Some(Event::Notification(value)) => assert!(value.is_object()),
                None => assert!(name.ends_with("/userData"), "{line}"),
                Some(other) => panic!("{line}\nbecame {other:?}"),
            },
            (Some("stream-notify-logged"), Some(Event::Logged(logged))) => {
                let typed = [Logged::AVATAR, Logged::NAME, Logged::GONE, Logged::STATUS]
                    .contains(&name)
                    || Logged::EMOJI.contains(&name);
                assert_eq!(!typed, matches!(logged, Logged::Other { .. }), "{line}");
            }
            (collection, None) => assert!(
                !collection
                    .is_some_and(|name| name.contains("notify") || name.contains("messages")),
                "{line} told nothing"
            ),
            (_, Some(other)) => panic!("{line}\nbecame {other:?}"),
        }
        events += 1;
    }
    assert!(events > 50);
}

#[test]
fn pictures_and_names_that_change_are_told_of_whom() {
    let news = |event: &str, args: Value| match hear(&changed("stream-notify-logged", event, args))
    {
        Ok(Some(Event::Logged(logged))) => Some(logged),
        Err(unreadable) => {
            assert!(!unreadable.maybe_message, "nothing is to be read back");
            None
        }
        other => panic!("{other:?}"),
    };
    let user = || Pictured::User(Username::new("face93tl6k"));
    let room = || Pictured::Room(RocketRoomId::new("6b009de291f7307ee0dac1de"));
    let tag = |tag: &str| Some(tag.to_owned());
    // As they were recorded.
    for (args, of, etag) in [
        (
            json!([{ "username": "face93tl6k", "etag": "5Y2AKMZ77Y7npdfAK" }]),
            user(),
            tag("5Y2AKMZ77Y7npdfAK"),
        ),
        (json!([{ "username": "face93tl6k" }]), user(), None),
        (
            json!([{ "rid": "6b009de291f7307ee0dac1de", "etag": "KeaAWiFJ5Cy8pthiy" }]),
            room(),
            tag("KeaAWiFJ5Cy8pthiy"),
        ),
        (json!([{ "rid": "6b009de291f7307ee0dac1de" }]), room(), None),
        (
            json!([{ "username": "face93tl6k", "etag": 5 }]),
            user(),
            None,
        ),
    ] {
        assert_eq!(
            news("updateAvatar", args),
            Some(Logged::Avatar { of, etag })
        );
    }
    let name = json!([{ "_id": "WTpPxiuCeJ4zdCwJn", "name": "Temp locky5840w", "username": "ren.n42j1n" }]);
    let renamed = Logged::Name {
        id: RocketUserId::new("WTpPxiuCeJ4zdCwJn"),
        name: tag("Temp locky5840w"),
        username: Some(Username::new("ren.n42j1n")),
    };
    assert_eq!(news("Users:NameChanged", name), Some(renamed));
    let emoji = json!([{ "emojiData": { "name": "smile", "aliases": [], "extension": "png" } }]);
    for event in ["updateEmojiCustom", "deleteEmojiCustom"] {
        assert_eq!(news(event, emoji.clone()), Some(Logged::Emoji));
    }
    for odd in [
        json!([]),
        json!([{}]),
        json!([["u1"]]),
        json!([{ "username": "" }]),
        json!([{ "_id": 5, "rid": "\n" }]),
    ] {
        assert_eq!(news("updateAvatar", odd.clone()), None, "{odd}");
        assert_eq!(news("Users:NameChanged", odd.clone()), None, "{odd}");
    }
}

#[test]
fn a_setting_that_changes_is_told_with_its_value() {
    let setting =
        json!(["updated", { "_id": "FileUpload_MaxFileSize", "value": 1000, "enterprise": false }]);
    let told = hear(&changed(
        "stream-notify-all",
        "public-settings-changed",
        setting,
    ))
    .unwrap();
    let expected = Event::Setting {
        id: "FileUpload_MaxFileSize".to_owned(),
        value: json!(1000),
    };
    assert_eq!(told, Some(expected));
}

#[test]
fn garbage_and_half_frames_ask_for_reading_back() {
    let whole = changed("stream-room-messages", "r1", json!([{ "_id": "m" }]));
    for text in [
        "",
        "garbage",
        &whole[..whole.len() / 2],
        "\u{0}",
        "{\"msg\":\"changed\"}",
    ] {
        let unreadable = hear(text).unwrap_err();
        assert!(unreadable.maybe_message, "{text}");
        assert!(!unreadable.what.contains("r1"));
    }
    for text in ["[]", "null", "5", "\"x\""] {
        assert!(!hear(text).unwrap_err().maybe_message, "{text}");
    }
    assert_eq!(hear("{\"server_id\":\"0\"}"), Ok(None));
}

#[test]
fn a_message_that_cannot_be_read_names_its_room() {
    let in_room = hear(&changed(
        "stream-room-messages",
        "r1",
        json!([{ "_id": 5 }]),
    ))
    .unwrap_err();
    assert_eq!(in_room.rid.unwrap().as_str(), "r1");
    let mine = changed(
        "stream-room-messages",
        "__my_messages__",
        json!([{ "_id": 5, "rid": "r2" }, {}]),
    );
    let mine = hear(&mine).unwrap_err();
    assert!(mine.maybe_message);
    assert_eq!(mine.rid.unwrap().as_str(), "r2");
    let list = changed(
        "stream-room-messages",
        "__my_messages__",
        json!([["m", "r", "text"]]),
    );
    assert!(
        hear(&list).unwrap_err().maybe_message,
        "a list was taken for a message"
    );
}

#[test]
fn a_bulk_deletion_never_takes_more_than_the_server_did() {
    let bulk = |value: Value| {
        hear(&changed(
            "stream-notify-room",
            "r1/deleteMessageBulk",
            json!([value]),
        ))
    };
    let good = json!({ "rid": "r1", "ts": { "$gt": { "$date": 5 }, "$lt": { "$date": 9 } }, "users": ["bob"], "excludePinned": true });
    let Ok(Some(Event::DeletedBulk { predicate, ids, .. })) = bulk(good) else {
        panic!("not understood");
    };
    assert_eq!(
        (predicate.after, predicate.before),
        (Some(Timestamp(5)), Some(Timestamp(9)))
    );
    assert!(!predicate.inclusive && predicate.exclude_pinned && ids.is_empty());
    for odd in [
        json!({ "ts": { "$gt": "soon" } }),
        json!({ "ts": 5 }),
        json!({ "users": "bob" }),
        json!({ "users": [5] }),
        json!({ "ids": [""] }),
        json!([]),
    ] {
        assert!(bulk(odd.clone()).unwrap_err().maybe_message, "{odd}");
    }
}

#[test]
fn errors_of_methods_are_sorted_as_those_of_requests() {
    let error = |error: Value| match Frame::parse(
        &json!({ "msg": "result", "id": "1", "error": error }).to_string(),
    ) {
        Ok(Frame::Result {
            outcome: Err(error),
            ..
        }) => error,
        other => panic!("{other:?}"),
    };
    let limited = error(
        json!({ "error": "too-many-requests", "reason": "You must wait 38 seconds before trying again.", "details": { "timeToReset": 37289 } }),
    );
    assert!(
        matches!(limited, Error::RateLimited { after: Some(after) } if after.as_millis() == 37289)
    );
    let limited = error(
        json!({ "error": "too-many-requests", "reason": "You must wait 38 seconds before trying again." }),
    );
    assert!(matches!(limited, Error::RateLimited { after: Some(after) } if after.as_secs() == 38));
    assert_eq!(
        error(json!({ "error": 404, "reason": "Method 'x' not found" })),
        Error::EndpointMissing
    );
    assert_eq!(
        error(json!({ "error": 500 })),
        Error::Server { status: 500 }
    );
    assert_eq!(
        error(json!({ "error": "not-allowed", "message": "[not-allowed]" })).code(),
        Some("not-allowed")
    );
    assert_eq!(error(json!("odd")).code(), None);
}

#[test]
fn a_changed_setting_is_told_by_its_id() {
    let frame = changed(
        "stream-notify-all",
        "public-settings-changed",
        json!(["updated", { "_id": "Site_Url", "value": "x" }]),
    );
    let expected = Event::Setting {
        id: "Site_Url".to_owned(),
        value: json!("x"),
    };
    assert_eq!(hear(&frame), Ok(Some(expected)));
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "\\PC{0,200}") {
        let _ = hear(&text);
    }

    #[test]
    fn no_spoilt_frame_breaks_the_reader(
        index in 0usize..61, cut in any::<prop::sample::Index>(), with in "[\\PC\\x00-\\x1f]{0,4}"
    ) {
        let line = FRAMES.lines().nth(index).unwrap_or("{}");
        let at = cut.index(line.len() + 1);
        if line.is_char_boundary(at) {
            let _ = hear(&line[..at]);
            let _ = hear(&format!("{}{with}{}", &line[..at], &line[at..]));
        }
    }
}
