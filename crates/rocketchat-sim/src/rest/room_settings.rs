//! Settings of a room that decide who may write and react (facts 3.6, captures 17, 52 and 90).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    Route,
    call::{Answer, Call, done, ok},
    channels, post,
};
use crate::{error::Failure, json, state::State};

/// Routes of this family.
pub const ROUTES: &[Route] = &[
    post("channels.setReadOnly", |state, call| {
        read_only(state, call, "c")
    }),
    post("groups.setReadOnly", |state, call| {
        read_only(state, call, "p")
    }),
    post("channels.setType", |state, call| set_type(state, call, "c")),
    post("groups.setType", |state, call| set_type(state, call, "p")),
    post("rooms.saveRoomSettings", save),
    post("rooms.favorite", favorite),
];

/// A switch of a room.
struct Switch {
    /// Parameter of `rooms.saveRoomSettings`.
    parameter: &'static str,
    /// Key of the room.
    key: &'static str,
    permission: &'static str,
    /// What a refusal calls it.
    action: &'static str,
    /// Types of the system messages when it is switched on and off.
    messages: [&'static str; 2],
}

const READ_ONLY: &Switch = &Switch {
    parameter: "readOnly",
    key: "ro",
    permission: "set-readonly",
    action: "Change_Room_ReadOnly",
    messages: ["room-set-read-only", "room-removed-read-only"],
};

const SWITCHES: &[&Switch] = &[
    READ_ONLY,
    &Switch {
        parameter: "reactWhenReadOnly",
        key: "reactWhenReadOnly",
        permission: "set-react-when-readonly",
        action: "Change_Room_React_When_ReadOnly",
        messages: ["room-allowed-reacting", "room-disallowed-reacting"],
    },
    &Switch {
        parameter: "encrypted",
        key: "encrypted",
        permission: "toggle-room-e2e-encryption",
        action: "Change_Room_Encrypted",
        messages: ["room_e2e_enabled", "room_e2e_disabled"],
    },
];

fn denied(reason: &str, action: &str) -> Failure {
    Failure::coded("error-action-not-allowed", reason)
        .with(json!({ "method": "saveRoomSettings", "action": action }))
}

/// Switches a setting of a room and says so in it; nothing happens when it is so already.
fn switch(
    state: &mut State,
    uid: &str,
    rid: &str,
    switch: &Switch,
    on: bool,
) -> Result<(), Failure> {
    let key = switch.key;
    let Some(room) = state.room(rid) else {
        return Err(Failure::coded("error-invalid-room", "Invalid room"));
    };
    if json::flag(room, key) == on {
        return Ok(());
    }
    if key == "encrypted" && (json::text(room, "t") == "c" || !state.settings.on("E2E_Enable")) {
        let reason = "Only groups or direct channels can enable encryption";
        return Err(denied(reason, switch.action));
    }
    if !state.may_in(uid, switch.permission, rid) {
        return Err(denied("Editing room is not allowed", switch.action));
    }
    let Some(user) = state.users.get(uid).cloned() else {
        return Err(Failure::NotLoggedIn);
    };
    state.set_room(rid, key, Some(json!(on)));
    let kind = switch.messages[usize::from(!on)];
    // Of encryption the actor is told, of the others nothing.
    let text = if key == "encrypted" { user.name() } else { "" };
    state.system_message(kind, rid, text, user.author(), Value::Null);
    Ok(())
}

fn read_only(state: &mut State, call: &Call, kind: &str) -> Answer {
    let Some(on) = call.body.get("readOnly").and_then(Value::as_bool) else {
        return Err(Failure::written("The bodyParam \"readOnly\" is required"));
    };
    let rid = channels::find(state, call, kind)?;
    if state
        .room(&rid)
        .is_some_and(|room| json::flag(room, "ro") == on)
    {
        let what = if kind == "c" {
            "channel"
        } else {
            "private group"
        };
        return Err(Failure::written(&format!(
            "The {what} read only setting is the same as what it would be changed to."
        )));
    }
    state.check_edit_room(&call.uid, &rid)?;
    switch(state, &call.uid, &rid, READ_ONLY, on)?;
    let key = if kind == "c" { "channel" } else { "group" };
    ok(json!({ key: state.room(&rid) }))
}

/// Makes a channel private, or a group public (capture 52).
fn set_type(state: &mut State, call: &Call, kind: &str) -> Answer {
    let wanted = call.b("type").to_owned();
    let said = match wanted.as_str() {
        "c" => "public",
        "p" => "private",
        _ => return Err(Failure::written("The bodyParam \"type\" is required")),
    };
    let rid = channels::find(state, call, kind)?;
    state.check_edit_room(&call.uid, &rid)?;
    let Some(user) = state.users.get(&call.uid).cloned() else {
        return Err(Failure::NotLoggedIn);
    };
    state.set_room(&rid, "t", Some(json!(wanted)));
    let author = user.author();
    state.system_message("room_changed_privacy", &rid, said, author, Value::Null);
    let key = if kind == "c" { "channel" } else { "group" };
    ok(json!({ key: state.room(&rid) }))
}

/// Texts of a room: parameter and key.
const TEXTS: &[(&str, &str)] = &[
    ("roomTopic", "topic"),
    ("roomDescription", "description"),
    ("roomAnnouncement", "announcement"),
];

/// Takes the switches and texts above, the name and the hidden system messages.
fn save(state: &mut State, call: &Call) -> Answer {
    let rid = call.b("rid").to_owned();
    let known = |key: &String| {
        ["rid", "roomName", "roomAvatar", "systemMessages"].contains(&key.as_str())
            || SWITCHES.iter().any(|one| one.parameter == key)
            || TEXTS.iter().any(|one| one.0 == key)
    };
    if !call.body.keys().all(known) {
        return Err(
            Failure::coded("error-invalid-settings", "Invalid settings provided")
                .with(json!({ "method": "saveRoomSettings" })),
        );
    }
    if state.room(&rid).is_none() {
        return Err(Failure::coded("error-invalid-room", "Invalid room")
            .with(json!({ "method": "saveRoomSettings" })));
    }
    state.check_edit_room(&call.uid, &rid)?;
    if let Some(avatar) = call.body.get("roomAvatar").and_then(Value::as_str) {
        let bytes = match avatar {
            "" => None,
            uri => Some(data_uri(uri)?),
        };
        state.change_room_avatar(&call.uid, &rid, bytes.as_deref())?;
    }
    for (parameter, key) in TEXTS {
        let Some(text) = call.body.get(*parameter).and_then(Value::as_str) else {
            continue;
        };
        if state
            .room(&rid)
            .is_some_and(|room| json::text(room, key) != text)
        {
            state.change_room_text(&call.uid, &rid, key, text)?;
        }
    }
    let name = call.b("roomName");
    if !name.is_empty()
        && state
            .room(&rid)
            .is_some_and(|room| json::text(room, "fname") != name)
    {
        state.rename_room(&call.uid, &rid, name)?;
    }
    if let Some(types) = call.body.get("systemMessages").filter(|one| one.is_array()) {
        state.set_room(&rid, "sysMes", Some(types.clone()));
    }
    for one in SWITCHES {
        if let Some(on) = call.body.get(one.parameter).and_then(Value::as_bool) {
            switch(state, &call.uid, &rid, one, on)?;
        }
    }
    ok(json!({ "rid": rid }))
}

/// The bytes of `data:image/png;base64,…`.
fn data_uri(uri: &str) -> Result<Vec<u8>, Failure> {
    let encoded = uri
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(";base64,"))
        .map(|(_, encoded)| encoded);
    encoded
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .ok_or_else(|| Failure::plain("The first argument must be of type string or an instance of Buffer, ArrayBuffer, or Array or an Array-like Object. Received undefined"))
}

fn favorite(state: &mut State, call: &Call) -> Answer {
    let (rid, on) = (
        call.b("roomId").to_owned(),
        json::flag(&call.body, "favorite"),
    );
    if state.sub(&rid, &call.uid).is_none() {
        return Err(Failure::coded(
            "error-invalid-subscription",
            "You must be part of a room to favorite it",
        )
        .with(json!({ "method": "toggleFavorite" })));
    }
    state.change_sub(&rid, &call.uid, |sub| {
        sub.insert("f".to_owned(), json!(on));
    });
    done()
}
