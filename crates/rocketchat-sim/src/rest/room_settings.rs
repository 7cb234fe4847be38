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
    post("channels.setDefault", |state, call| {
        set_default(state, call, "c")
    }),
    post("channels.setJoinCode", join_code),
    post("channels.setCustomFields", |state, call| {
        custom_fields(state, call, "c")
    }),
    post("groups.setCustomFields", |state, call| {
        custom_fields(state, call, "p")
    }),
    post("groups.setEncrypted", set_encrypted),
    post("channels.archive", |state, call| archive(state, call, "c")),
    post("groups.archive", |state, call| archive(state, call, "p")),
    post("channels.unarchive", |state, call| {
        unarchive(state, call, "c")
    }),
    post("groups.unarchive", |state, call| {
        unarchive(state, call, "p")
    }),
    post("channels.open", |state, call| open(state, call, "c", true)),
    post("groups.open", |state, call| open(state, call, "p", true)),
    post("channels.close", |state, call| {
        open(state, call, "c", false)
    }),
    post("groups.close", |state, call| open(state, call, "p", false)),
    post("rooms.changeArchivationState", change_archivation),
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
    state.check_not_federated(rid, "saveRoomSettings")?;
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
    let rid = channels::find_open(state, call, kind)?;
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

/// The room under the key of its family.
fn shown(state: &State, rid: &str, kind: &str) -> Answer {
    let key = if kind == "c" { "channel" } else { "group" };
    ok(json!({ key: state.room(rid) }))
}

/// Makes a channel private, or a group public (capture 52).
fn set_type(state: &mut State, call: &Call, kind: &str) -> Answer {
    let wanted = call.b("type").to_owned();
    if wanted.is_empty() {
        return Err(Failure::written("The bodyParam \"type\" is required"));
    }
    let rid = channels::find_open(state, call, kind)?;
    let unchanged = state
        .room(&rid)
        .is_some_and(|room| json::text(room, "t") == wanted);
    if unchanged {
        let what = if kind == "c" {
            "channel"
        } else {
            "private group"
        };
        return Err(Failure::written(&format!(
            "The {what} type is the same as what it would be changed to."
        )));
    }
    check_type(&wanted)?;
    state.change_type(&call.uid, &rid, &wanted)?;
    shown(state, &rid, kind)
}

fn check_type(wanted: &str) -> Result<(), Failure> {
    if ["c", "p"].contains(&wanted) {
        return Ok(());
    }
    Err(
        Failure::coded("error-invalid-room-type", "error-invalid-room-type")
            .with(json!({ "type": wanted })),
    )
}

fn set_default(state: &mut State, call: &Call, kind: &str) -> Answer {
    let Some(on) = call.body.get("default") else {
        return Err(Failure::written("The bodyParam \"default\" is required"));
    };
    let on = on.as_bool().unwrap_or(on == "true");
    let rid = channels::find_open(state, call, kind)?;
    if state
        .room(&rid)
        .is_some_and(|room| json::flag(room, "default") == on)
    {
        return Err(Failure::written(
            "The channel default setting is the same as what it would be changed to.",
        ));
    }
    state.check_edit_room(&call.uid, &rid)?;
    check_administration(state, &call.uid)?;
    state.set_room(&rid, "default", Some(json!(on)));
    shown(state, &rid, kind)
}

/// What only administrators may change.
fn check_administration(state: &State, uid: &str) -> Result<(), Failure> {
    if state.may(uid, "view-room-administration") {
        return Ok(());
    }
    let reason = "Viewing room administration is not allowed";
    Err(denied(reason, "Viewing_room_administration"))
}

fn join_code(state: &mut State, call: &Call) -> Answer {
    if call.b("joinCode").is_empty() {
        return Err(Failure::written("The bodyParam \"joinCode\" is required"));
    }
    let rid = channels::find_open(state, call, "c")?;
    state.check_edit_room(&call.uid, &rid)?;
    state.check_not_federated(&rid, "saveRoomSettings")?;
    state.set_join_code(&rid, call.b("joinCode"));
    shown(state, &rid, "c")
}

fn custom_fields(state: &mut State, call: &Call, kind: &str) -> Answer {
    let Some(Value::Object(fields)) = call.body.get("customFields") else {
        return Err(Failure::written(
            "The bodyParam \"customFields\" is required with a type like object.",
        ));
    };
    let rid = channels::find_open(state, call, kind)?;
    state.check_edit_room(&call.uid, &rid)?;
    state.set_custom_fields(&rid, fields);
    shown(state, &rid, kind)
}

fn set_encrypted(state: &mut State, call: &Call) -> Answer {
    let Some(on) = call.body.get("encrypted").and_then(Value::as_bool) else {
        return Err(Failure::written("The bodyParam \"encrypted\" is required"));
    };
    let rid = channels::find_open(state, call, "p")?;
    state.check_edit_room(&call.uid, &rid)?;
    if let Some(one) = SWITCHES.iter().find(|one| one.key == "encrypted") {
        switch(state, &call.uid, &rid, one, on)?;
    }
    shown(state, &rid, "p")
}

fn archive(state: &mut State, call: &Call, kind: &str) -> Answer {
    let rid = channels::find_open(state, call, kind)?;
    state.archive(&call.uid, &rid, true)?;
    done()
}

fn unarchive(state: &mut State, call: &Call, kind: &str) -> Answer {
    let rid = channels::find(state, call, kind)?;
    if !state
        .room(&rid)
        .is_some_and(|room| json::flag(room, "archived"))
    {
        let name = state.room(&rid).map_or("", |room| json::text(room, "name"));
        return Err(Failure::written(&if kind == "c" {
            format!("The channel, {name}, is not archived")
        } else {
            format!("The private group, {name}, is not archived")
        }));
    }
    state.archive(&call.uid, &rid, false)?;
    done()
}

fn change_archivation(state: &mut State, call: &Call) -> Answer {
    let (rid, on) = (call.b("rid").to_owned(), call.b("action") == "archive");
    if state.room(&rid).is_none() {
        return Err(super::rooms::unknown_room());
    }
    state.archive(&call.uid, &rid, on)?;
    done()
}

/// Shows a room in one's own list, or no longer.
fn open(state: &mut State, call: &Call, kind: &str, on: bool) -> Answer {
    let rid = channels::find(state, call, kind)?;
    let Some(sub) = state.sub(&rid, &call.uid) else {
        return Err(Failure::written("The user/callee is not in the channel."));
    };
    if json::flag(&sub.doc, "open") == on {
        let state_word = if on { "open" } else { "closed" };
        let what = if kind == "c" {
            "channel"
        } else {
            "private group"
        };
        let name = json::text(&sub.doc, "name");
        return Err(Failure::written(&format!(
            "The {what}, {name}, is already {state_word} to the sender"
        )));
    }
    state.change_sub(&rid, &call.uid, |sub| {
        sub.insert("open".to_owned(), json!(on));
        if !on {
            sub.insert("alert".to_owned(), json!(false));
        }
    });
    done()
}

/// Texts of a room: parameter and key.
const TEXTS: &[(&str, &str)] = &[
    ("roomTopic", "topic"),
    ("roomDescription", "description"),
    ("roomAnnouncement", "announcement"),
];

/// Other parameters that are known; those of E2E, retention and the sidebar change nothing that a
/// bridge sees.
const OTHERS: &[&str] = &[
    "rid",
    "roomName",
    "roomAvatar",
    "roomType",
    "roomCustomFields",
    "systemMessages",
    "default",
    "featured",
    "joinCode",
    "favorite",
    "retentionEnabled",
    "retentionMaxAge",
    "retentionExcludePinned",
    "retentionFilesOnly",
    "retentionIgnoreThreads",
    "retentionOverrideGlobal",
    "sidepanel",
];

/// Changes everything that is given, or nothing when one of them is refused.
fn save(state: &mut State, call: &Call) -> Answer {
    let rid = call.b("rid").to_owned();
    let known = |key: &String| {
        OTHERS.contains(&key.as_str())
            || SWITCHES.iter().any(|one| one.parameter == key)
            || TEXTS.iter().any(|one| one.0 == key)
    };
    if !call.body.keys().all(known) {
        return Err(
            Failure::coded("error-invalid-settings", "Invalid settings provided")
                .with(json!({ "method": "saveRoomSettings" })),
        );
    }
    let Some(room) = state.room(&rid) else {
        return Err(Failure::coded("error-invalid-room", "Invalid room")
            .with(json!({ "method": "saveRoomSettings" })));
    };
    let kind = json::text(room, "t").to_owned();
    state.check_edit_room(&call.uid, &rid)?;
    if ["default", "featured", "favorite"]
        .iter()
        .any(|key| call.body.contains_key(*key))
    {
        check_administration(state, &call.uid)?;
    }
    let locked = |key: &String| !["rid", "roomName", "roomTopic"].contains(&key.as_str());
    if call.body.keys().any(locked) {
        state.check_not_federated(&rid, "saveRoomSettings")?;
    }
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
    if let Some(Value::Object(fields)) = call.body.get("roomCustomFields") {
        state.set_custom_fields(&rid, fields);
    }
    for key in ["default", "featured"] {
        if let Some(on) = call.body.get(key).and_then(Value::as_bool) {
            state.set_room(&rid, key, Some(json!(on)));
        }
    }
    if let Some(code) = call.body.get("joinCode").and_then(Value::as_str) {
        state.set_join_code(&rid, code);
    }
    let wanted = call.b("roomType");
    if !wanted.is_empty() && wanted != kind {
        check_type(wanted)?;
        state.change_type(&call.uid, &rid, wanted)?;
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
