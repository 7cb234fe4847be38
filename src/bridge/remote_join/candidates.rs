//! Which homeservers may help into a room.

use ruma::{OwnedRoomAliasId, OwnedServerName, RoomAliasId, RoomId, ServerName, UserId};
use serde_json::Value;

use crate::store::InboxEvent;

/// How many are asked at the most: the list is in the hand of whoever invites.
pub(super) const MOST: usize = 12;

/// How much of the state that comes with an invitation is looked at.
const MOST_STATE: usize = 100;

/// Adds those that are not there yet.
pub(in crate::bridge) fn add(
    list: &mut Vec<OwnedServerName>,
    more: impl IntoIterator<Item = OwnedServerName>,
) {
    for server in more {
        if list.len() >= MOST {
            break;
        }
        if !list.contains(&server) {
            list.push(server);
        }
    }
}

/// The homeservers that an invitation names, the likeliest first: the inviter's, that of
/// the room's alias, that which made the room, those of its members and of whoever set
/// its state, that in its id (of rooms before version 12).
pub(super) fn of_invitation(
    ours: &ServerName,
    event: &InboxEvent,
    json: &Value,
) -> Vec<OwnedServerName> {
    let state = stripped_state(json);
    let text = |event: &Value, key: &str| event.get(key).and_then(Value::as_str).map(str::to_owned);
    let user = |id: Option<String>| {
        let id = UserId::parse(id?).ok()?;
        Some(id.server_name().to_owned())
    };
    let of_kind = |kind: &'static str| {
        state
            .iter()
            .filter(move |event| event.get("type").and_then(Value::as_str) == Some(kind))
    };
    let mut servers = vec![event.sender.server_name().to_owned()];
    let alias = alias_in(json).map(|alias| alias.server_name().to_owned());
    add(&mut servers, alias);
    let makers = of_kind("m.room.create").filter_map(|event| user(text(event, "sender")));
    add(&mut servers, makers);
    let members = of_kind("m.room.member")
        .filter(|event| event.pointer("/content/membership") == Some(&"join".into()))
        .filter_map(|event| user(text(event, "state_key")));
    add(&mut servers, members);
    let setters = state.iter().filter_map(|event| user(text(event, "sender")));
    add(&mut servers, setters);
    add(&mut servers, server_in(&event.room_id));
    servers.retain(|server| server != ours);
    servers
}

/// The server in a room's id: it made the room. Ids since version 12 have none
/// (MSC4291).
pub(in crate::bridge) fn server_in(room: &RoomId) -> Option<OwnedServerName> {
    room.server_name().map(ToOwned::to_owned)
}

/// The alias that an invitation names its room by.
pub(super) fn alias_in(json: &Value) -> Option<OwnedRoomAliasId> {
    let event = stripped_state(json)
        .iter()
        .find(|event| event.get("type") == Some(&"m.room.canonical_alias".into()))?;
    RoomAliasId::parse(event.pointer("/content/alias")?.as_str()?).ok()
}

/// What an invitation says of its room. Anybody may have written it.
fn stripped_state(json: &Value) -> &[Value] {
    let state = json
        .pointer("/unsigned/invite_room_state")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    state.get(..MOST_STATE).unwrap_or(state)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::{event_id, room_id, server_name, user_id};
    use serde_json::json;

    use super::*;

    fn invitation(room: &RoomId, json: &Value) -> InboxEvent {
        InboxEvent {
            event_id: event_id!("$invite").to_owned(),
            room_id: room.to_owned(),
            sender: user_id!("@bob:inviter.org").to_owned(),
            kind: "m.room.member".into(),
            json: serde_json::value::to_raw_value(json).unwrap(),
        }
    }

    #[test]
    fn an_invitation_names_all_who_may_help_once() {
        let json = json!({ "unsigned": { "invite_room_state": [
            { "type": "m.room.create", "sender": "@m:maker.org", "state_key": "", "content": {} },
            { "type": "m.room.canonical_alias", "sender": "@m:maker.org", "state_key": "",
              "content": { "alias": "#hall:alias.org" } },
            { "type": "m.room.member", "sender": "@x:one.org", "state_key": "@x:one.org",
              "content": { "membership": "join" } },
            { "type": "m.room.member", "sender": "@x:one.org", "state_key": "@gone:left.org",
              "content": { "membership": "leave" } },
            { "type": "m.room.name", "sender": "@n:example.org", "state_key": "", "content": {} },
            { "type": "m.room.topic", "sender": "nobody", "content": 7 },
            "nothing",
        ] } });
        let ours = server_name!("example.org");
        let event = invitation(room_id!("!r:old.org"), &json);
        let servers = of_invitation(ours, &event, &json);
        let expected = [
            "inviter.org",
            "alias.org",
            "maker.org",
            "one.org",
            "old.org",
        ];
        assert_eq!(servers, expected);
        let without = invitation(
            room_id!("!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM"),
            &json!({}),
        );
        assert_eq!(of_invitation(ours, &without, &json!({})), ["inviter.org"]);
    }

    #[test]
    fn whoever_invites_does_not_decide_how_many_are_asked() {
        let state: Vec<_> = (0..5_000)
            .map(|n| json!({ "type": "m.room.name", "sender": format!("@u:s{n}.org") }))
            .collect();
        let json = json!({ "unsigned": { "invite_room_state": state } });
        let event = invitation(room_id!("!r:old.org"), &json);
        assert_eq!(
            of_invitation(server_name!("example.org"), &event, &json).len(),
            MOST
        );
    }
}
