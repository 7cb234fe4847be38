//! `rooms.*` (facts 3.4 to 3.6).

use serde_json::{Value, json};

use super::{
    Route,
    call::{Answer, Call, done, ok},
    get, post,
};
use crate::{
    actions::delete::Clean,
    error::Failure,
    json::{self, Doc},
    state::State,
    time,
};

/// Routes of this family.
pub const ROUTES: &[Route] = &[
    get("rooms.get", updates),
    get("rooms.info", info),
    get("rooms.isMember", is_member),
    get("rooms.adminRooms", admin_rooms),
    get("rooms.adminRooms.getRoom", admin_room),
    post("rooms.delete", delete),
    post("rooms.leave", leave),
    post("rooms.cleanHistory", clean),
    post("rooms.muteUser", |state, call| mute(state, call, true)),
    post("rooms.unmuteUser", |state, call| mute(state, call, false)),
];

/// What administrators see of rooms they are not in: no text, no `lm` (facts 3.4).
const ADMIN_KEYS: &[&str] = &[
    "_id",
    "t",
    "name",
    "fname",
    "usernames",
    "uids",
    "usersCount",
    "msgs",
    "ts",
    "ro",
    "default",
    "featured",
    "topic",
    "description",
    "announcement",
    "muted",
    "prid",
    "u",
    "broadcast",
    "archived",
    "teamId",
    "teamMain",
    "avatarETag",
];

/// A date parameter that may be missing; a bad one has the text that `rooms.get` shares with others.
pub fn since(call: &Call) -> Result<Option<i64>, Failure> {
    match call.q("updatedSince") {
        "" => Ok(None),
        text => time::parse_iso(text).map(Some).ok_or_else(|| {
            Failure::coded(
                "error-roomId-param-invalid",
                "The \"lastUpdate\" query parameter must be a valid date.",
            )
        }),
    }
}

fn updates(state: &mut State, call: &Call) -> Answer {
    let since = since(call)?;
    ok(state.rooms_since(&call.uid, since))
}

/// No room has that id or name.
pub(super) fn unknown_room() -> Failure {
    Failure::coded(
        "error-room-not-found",
        "The required \"roomId\" or \"roomName\" param provided does not match any channel",
    )
}

fn named_room(state: &State, call: &Call) -> Result<String, Failure> {
    let (id, name) = (call.either("roomId"), call.either("roomName"));
    if id.is_empty() && name.is_empty() {
        return Err(Failure::coded(
            "error-roomid-param-not-provided",
            "The parameter \"roomId\" or \"roomName\" is required",
        ));
    }
    let rid = if id.is_empty() {
        state.room_named(name).unwrap_or("")
    } else {
        id
    };
    if state.room(rid).is_none() {
        return Err(unknown_room());
    }
    Ok(rid.to_owned())
}

fn info(state: &mut State, call: &Call) -> Answer {
    let rid = named_room(state, call)?;
    if !state.may_access(&call.uid, &rid) {
        return Err(Failure::Written {
            error: Some("not-allowed".to_owned()),
            kind: Some("Not Allowed".to_owned()),
        });
    }
    let room = state.room(&rid);
    if room.is_some_and(|room| json::flag(room, "archived")) {
        let name = room.map_or("", |room| json::text(room, "name"));
        return Err(Failure::coded(
            "error-room-archived",
            &format!("The channel, {name}, is archived"),
        ));
    }
    let mut shown = json!({ "room": room });
    let about = |rid: &str, keys: &[&str]| state.room(rid).map(|room| json::only(room, keys));
    let room = room.cloned().unwrap_or_default();
    let mut parent = about(
        json::text(&room, "prid"),
        &["_id", "name", "fname", "t", "prid", "u"],
    );
    if let Some(team) = state.teams.get(json::text(&room, "teamId")) {
        shown["team"] = json!(json::only(&team.doc, &["_id", "name", "roomId", "type"]));
        if parent.is_none() && !json::flag(&room, "teamMain") {
            parent = about(team.room(), &["_id", "name", "fname", "t"]);
        }
    }
    if let Some(parent) = parent {
        shown["parent"] = json!(parent);
    }
    ok(shown)
}

fn is_member(state: &mut State, call: &Call) -> Answer {
    let rid = named_room(state, call)?;
    let user = call.user_param(state)?.id().to_owned();
    if !state.may_access(&call.uid, &rid) {
        return Err(Failure::Forbidden);
    }
    ok(json!({ "isMember": state.sub(&rid, &user).is_some() }))
}

fn admin_rooms(state: &mut State, call: &Call) -> Answer {
    if !state.may(&call.uid, "view-room-administration") {
        return Err(Failure::plain("error-not-authorized"));
    }
    let types = call.q_list("types");
    let filter = call.q("filter").to_lowercase();
    let mut rooms: Vec<&Doc> = state
        .rooms_in_order()
        .into_iter()
        .filter(|room| types.is_empty() || types.iter().any(|kind| kind == json::text(room, "t")))
        .filter(|room| {
            filter.is_empty()
                || ["name", "fname"]
                    .iter()
                    .any(|key| json::text(room, key).to_lowercase().contains(&filter))
                || (json::text(room, "t") == "d"
                    && json::texts(room, "usernames")
                        .iter()
                        .any(|name| name.to_lowercase().contains(&filter)))
        })
        .collect();
    // The order may come from keys that are not shown; `query` and `fields` have no effect here.
    let order = if call.q("sort").is_empty() {
        "{\"default\":-1,\"name\":1}"
    } else {
        call.q("sort")
    };
    let order: Value = serde_json::from_str(order).unwrap_or(Value::Null);
    super::query::sort(&mut rooms, &order);
    // Only what is shown is copied: there may be very many.
    let total = rooms.len();
    let (offset, count) = call.paging(state);
    let shown: Vec<Doc> = rooms
        .into_iter()
        .skip(offset)
        .take(count)
        .map(|room| json::only(room, ADMIN_KEYS))
        .collect();
    ok(json!({ "rooms": shown, "count": shown.len(), "offset": offset, "total": total }))
}

fn admin_room(state: &mut State, call: &Call) -> Answer {
    if !state.may(&call.uid, "view-room-administration") {
        return Err(Failure::plain("error-not-authorized"));
    }
    match state.room(call.q("rid")) {
        Some(room) => ok(Value::Object(json::only(room, ADMIN_KEYS))),
        None => Err(Failure::plain("not-allowed")),
    }
}

fn delete(state: &mut State, call: &Call) -> Answer {
    if call.b("roomId").is_empty() {
        return Err(Failure::written("The 'roomId' param is required"));
    }
    let rid = call.b("roomId").to_owned();
    state.erase_room(&call.uid, &rid)?;
    done()
}

fn leave(state: &mut State, call: &Call) -> Answer {
    let rid = named_room(state, call)?;
    state.leave(&call.uid, &rid)?;
    done()
}

fn clean(state: &mut State, call: &Call) -> Answer {
    let rid = named_room(state, call)?;
    let date = |key: &str| {
        time::parse_iso(call.b(key))
            .ok_or_else(|| Failure::written(&format!("Body parameter \"{key}\" is required.")))
    };
    let (latest, oldest) = (date("latest")?, date("oldest")?);
    if !state.may_in(&call.uid, "clean-channel-history", &rid) {
        return Err(Failure::not_allowed("cleanRoomHistory"));
    }
    let on = |key: &str| json::flag(&call.body, key);
    let count = state.clean_history(
        &rid,
        &Clean {
            oldest,
            latest,
            inclusive: on("inclusive"),
            limit: call.body.get("limit").and_then(Value::as_u64).unwrap_or(0) as usize,
            exclude_pinned: on("excludePinned"),
            ignore_discussion: on("ignoreDiscussion"),
            ignore_threads: on("ignoreThreads"),
            files_only: on("filesOnly"),
            users: json::texts(&call.body, "users"),
        },
    );
    ok(json!({ "_id": rid, "count": count }))
}

fn mute(state: &mut State, call: &Call, mute: bool) -> Answer {
    let rid = call.b("roomId").to_owned();
    let name = call.user_param(state)?.name().to_owned();
    state.mute(&call.uid, &rid, &name, mute)?;
    done()
}
