//! `channels.*` and `groups.*`: one implementation, as the two differ in few places (facts 3.3 to
//! 3.6, captures 50 to 52).

use serde_json::{Value, json};

use super::{
    Route,
    call::{Answer, Call, done, ok},
    get, post,
};
use crate::{
    actions::create::NewRoom,
    error::Failure,
    json::{self, Doc},
    state::State,
};

macro_rules! both {
    ($($verb:ident $name:literal $function:ident),* $(,)?) => {
        /// Routes of both families.
        pub const ROUTES: &[Route] = &[
            $($verb(concat!("channels.", $name), |state, call| $function(state, call, "c")),)*
            $($verb(concat!("groups.", $name), |state, call| $function(state, call, "p")),)*
            post("channels.join", join),
            get("channels.list.joined", |state, call| joined(state, call, "c")),
            get("groups.listAll", list_all),
        ];
    };
}

both! {
    post "create" create, get "info" info, get "list" list, post "invite" invite, post "kick" kick,
    post "leave" leave, get "members" members, post "setTopic" topic, post "setDescription" description,
    post "setPurpose" purpose, post "setAnnouncement" announcement, post "rename" rename, post "delete" delete,
    get "roles" roles, get "moderators" moderators, post "addModerator" add_moderator,
    post "removeModerator" remove_moderator, post "addOwner" add_owner, post "removeOwner" remove_owner,
    post "addLeader" add_leader, post "removeLeader" remove_leader, post "addAll" add_all,
    get "counters" counters, get "online" online,
}

fn key(kind: &str) -> &'static str {
    if kind == "c" { "channel" } else { "group" }
}

/// The room that `roomId` or `roomName` names, which must not be archived.
pub fn find_open(state: &State, call: &Call, kind: &str) -> Result<String, Failure> {
    let rid = find(state, call, kind)?;
    check_archived(state, &rid, kind)?;
    Ok(rid)
}

/// Refuses an archived room.
pub fn check_archived(state: &State, rid: &str, kind: &str) -> Result<(), Failure> {
    let Some(room) = state.room(rid).filter(|room| json::flag(room, "archived")) else {
        return Ok(());
    };
    let what = if kind == "c" {
        "channel"
    } else {
        "private group"
    };
    let reason = format!("The {what}, {}, is archived", json::text(room, "name"));
    Err(Failure::coded("error-room-archived", &reason))
}

/// The room that `roomId` or `roomName` names: any public channel, or a group one may access.
pub fn find(state: &State, call: &Call, kind: &str) -> Result<String, Failure> {
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
    let found = state
        .room(rid)
        .is_some_and(|room| json::text(room, "t") == kind)
        && (kind == "c" || state.may_access(&call.uid, rid));
    if found {
        return Ok(rid.to_owned());
    }
    let reason = format!(
        "The required \"roomId\" or \"roomName\" param provided does not match any {}",
        key(kind)
    );
    Err(Failure::coded("error-room-not-found", &reason))
}

fn shown(state: &State, rid: &str, kind: &str) -> Answer {
    ok(json!({ key(kind): state.room(rid) }))
}

fn create(state: &mut State, call: &Call, kind: &'static str) -> Answer {
    if !state.may(&call.uid, &format!("create-{kind}")) {
        return Err(if kind == "c" {
            Failure::Forbidden
        } else {
            Failure::not_allowed("createPrivateGroup")
        });
    }
    if call.b("name").is_empty() {
        return Err(Failure::plain(if kind == "c" {
            "Param \"name\" is required"
        } else {
            "Body param \"name\" is required"
        }));
    }
    let object = |key: &str| {
        call.body
            .get(key)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let extra = object("extraData");
    let wanted = json::only(
        &extra,
        &[
            "topic",
            "description",
            "announcement",
            "broadcast",
            "teamId",
            "encrypted",
            "federated",
        ],
    );
    if json::flag(&extra, "federated") && !state.settings.on("Federation_Matrix_enabled") {
        return Err(Failure::plain("Federation is not enabled"));
    }
    let room = state.create_room(
        &call.uid,
        NewRoom {
            kind,
            name: call.b("name").to_owned(),
            members: json::texts(&call.body, "members"),
            read_only: json::flag(&call.body, "readOnly"),
            extra: wanted,
            custom_fields: Some(object("customFields")),
            exclude_self: json::flag(&call.body, "excludeSelf"),
        },
    )?;
    ok(json!({ key(kind): room }))
}

fn info(state: &mut State, call: &Call, kind: &str) -> Answer {
    let rid = find(state, call, kind)?;
    shown(state, &rid, kind)
}

fn list(state: &mut State, call: &Call, kind: &str) -> Answer {
    if kind == "p" {
        return joined(state, call, kind);
    }
    let rooms = state
        .rooms_in_order()
        .into_iter()
        .filter(|room| json::text(room, "t") == kind)
        .cloned()
        .collect();
    call.page(state, "channels", rooms, "{\"name\":1}")
}

fn joined(state: &mut State, call: &Call, kind: &str) -> Answer {
    let rooms = state
        .subs_of_user(&call.uid)
        .iter()
        .filter_map(|sub| state.room(json::text(&sub.doc, "rid")))
        .filter(|room| json::text(room, "t") == kind)
        .cloned()
        .collect();
    call.page(
        state,
        if kind == "c" { "channels" } else { "groups" },
        rooms,
        "{\"name\":1}",
    )
}

fn list_all(state: &mut State, call: &Call) -> Answer {
    if !state.may(&call.uid, "view-room-administration") {
        return Err(Failure::Forbidden);
    }
    let rooms = state
        .rooms_in_order()
        .into_iter()
        .filter(|room| json::text(room, "t") == "p")
        .cloned()
        .collect();
    call.page(state, "groups", rooms, "{\"name\":1}")
}

fn join(state: &mut State, call: &Call) -> Answer {
    let rid = find_open(state, call, "c")?;
    state.join(&call.uid, &rid, call.b("joinCode"))?;
    shown(state, &rid, "c")
}

fn invite(state: &mut State, call: &Call, kind: &str) -> Answer {
    // The right to invite is asked for, not the access (capture 51).
    let wanted = call.either("roomId").to_owned();
    let rid = match state
        .room(&wanted)
        .map(|room| json::text(room, "t") == kind)
    {
        Some(true) => wanted,
        _ => find(state, call, kind)?,
    };
    check_archived(state, &rid, kind)?;
    let mut ids = json::texts(&call.body, "userIds");
    let mut names = json::texts(&call.body, "usernames");
    ids.extend(
        Some(call.b("userId"))
            .filter(|one| !one.is_empty())
            .map(str::to_owned),
    );
    names.extend(
        Some(call.b("username"))
            .filter(|one| !one.is_empty())
            .map(str::to_owned),
    );
    if ids.is_empty() && names.is_empty() {
        return Err(Failure::coded(
            "error-users-params-not-provided",
            "Please provide \"userId\" or \"username\" or \"userIds\" or \"usernames\" as param",
        ));
    }
    let mut guests: Vec<_> = ids.iter().filter_map(|id| state.users.get(id)).collect();
    guests.extend(names.iter().filter_map(|name| state.users.named(name)));
    guests.sort_by_key(|user| user.seq);
    let guests: Vec<String> = guests.iter().map(|user| user.id().to_owned()).collect();
    if guests.is_empty() {
        return Err(if kind == "c" {
            Failure::Written {
                error: Some("invalid-user-invite-list".to_owned()),
                kind: Some("Cannot invite if no users are provided".to_owned()),
            }
        } else {
            Failure::coded(
                "error-empty-invite-list",
                "Cannot invite if no valid users are provided",
            )
        });
    }
    state.invite(&call.uid, &rid, &guests)?;
    shown(state, &rid, kind)
}

fn kick(state: &mut State, call: &Call, kind: &str) -> Answer {
    let rid = find_open(state, call, kind)?;
    let guest = call.user_param(state)?.id().to_owned();
    state.kick(&call.uid, &rid, &guest)?;
    if kind == "c" {
        shown(state, &rid, kind)
    } else {
        done()
    }
}

fn leave(state: &mut State, call: &Call, kind: &str) -> Answer {
    let rid = find_open(state, call, kind)?;
    state.leave(&call.uid, &rid)?;
    if kind == "c" {
        shown(state, &rid, kind)
    } else {
        done()
    }
}

/// The list of a room's active members, online ones first, then by name.
pub fn member_list(state: &State, call: &Call, rid: &str) -> Answer {
    let filter = call.q("filter").to_lowercase();
    let status = call.q_list("status");
    let direct = state
        .room(rid)
        .is_some_and(|room| json::text(room, "t") == "d");
    let mut members: Vec<Doc> = state
        .subs_of_room(rid)
        .iter()
        .filter_map(|sub| state.users.get(sub.uid()))
        .filter(|user| user.active())
        .filter(|user| {
            filter.is_empty()
                || user.name().to_lowercase().contains(&filter)
                || user.shown_name().to_lowercase().contains(&filter)
        })
        .filter(|user| {
            status.is_empty()
                || status
                    .iter()
                    .any(|one| one == json::text(&user.doc, "status"))
        })
        .map(|user| {
            let mut keys = vec![
                "_id",
                "username",
                "name",
                "status",
                "statusText",
                "utcOffset",
                "federated",
            ];
            if !direct {
                keys.push("_updatedAt");
            }
            json::only(&user.doc, &keys)
        })
        .collect();
    members.sort_by_key(|one| {
        let rank = ["online", "away", "busy", "offline"]
            .iter()
            .position(|s| *s == json::text(one, "status"));
        (rank, json::text(one, "username").to_owned())
    });
    call.page_where(state, "members", members, "{}", false)
}

fn members(state: &mut State, call: &Call, kind: &str) -> Answer {
    let rid = find(state, call, kind)?;
    member_list(state, call, &rid)
}

fn room_text(state: &mut State, call: &Call, kind: &str, parameter: &str, stored: &str) -> Answer {
    let rid = find_open(state, call, kind)?;
    let Some(Value::String(value)) = call.body.get(parameter) else {
        return Err(Failure::written(&format!(
            "The bodyParam \"{parameter}\" is required"
        )));
    };
    let unchanged = state
        .room(&rid)
        .is_some_and(|room| json::text(room, stored) == value);
    if unchanged && kind == "c" {
        return Err(Failure::written(&format!(
            "The channel {parameter} is the same as what it would be changed to."
        )));
    }
    if unchanged {
        state.check_edit_room(&call.uid, &rid)?;
    } else {
        let value = value.clone();
        state.change_room_text(&call.uid, &rid, stored, &value)?;
    }
    ok(json!({ parameter: value }))
}

fn topic(state: &mut State, call: &Call, kind: &str) -> Answer {
    room_text(state, call, kind, "topic", "topic")
}

fn description(state: &mut State, call: &Call, kind: &str) -> Answer {
    room_text(state, call, kind, "description", "description")
}

fn purpose(state: &mut State, call: &Call, kind: &str) -> Answer {
    room_text(state, call, kind, "purpose", "description")
}

fn announcement(state: &mut State, call: &Call, kind: &str) -> Answer {
    room_text(state, call, kind, "announcement", "announcement")
}

fn rename(state: &mut State, call: &Call, kind: &str) -> Answer {
    let rid = find_open(state, call, kind)?;
    if call.b("name").trim().is_empty() {
        return Err(Failure::written("The bodyParam \"name\" is required"));
    }
    let unchanged = state
        .room(&rid)
        .is_some_and(|room| json::text(room, "fname") == call.b("name"));
    if unchanged && kind == "c" {
        return Err(Failure::written(
            "The channel name is the same as what it would be renamed to.",
        ));
    }
    if !unchanged {
        state.rename_room(&call.uid, &rid, call.b("name"))?;
    }
    shown(state, &rid, kind)
}

fn delete(state: &mut State, call: &Call, kind: &str) -> Answer {
    let rid = find(state, call, kind)?;
    state.erase_room(&call.uid, &rid)?;
    done()
}

fn roles(state: &mut State, call: &Call, kind: &str) -> Answer {
    let rid = find_open(state, call, kind)?;
    let roles: Vec<Doc> = state
        .subs_of_room(&rid)
        .iter()
        .filter(|sub| !json::texts(&sub.doc, "roles").is_empty())
        .map(|sub| json::only(&sub.doc, &["_id", "rid", "u", "roles"]))
        .collect();
    ok(json!({ "roles": roles }))
}

fn moderators(state: &mut State, call: &Call, kind: &str) -> Answer {
    let rid = find(state, call, kind)?;
    let users: Vec<Value> = state
        .subs_of_room(&rid)
        .iter()
        .filter(|sub| {
            json::texts(&sub.doc, "roles")
                .iter()
                .any(|role| role == "moderator")
        })
        .map(|sub| sub.doc["u"].clone())
        .collect();
    ok(json!({ "moderators": users }))
}

fn role(state: &mut State, call: &Call, kind: &str, role: &str, give: bool) -> Answer {
    let rid = find_open(state, call, kind)?;
    let guest = call.user_param(state)?.id().to_owned();
    state.change_role(&call.uid, &rid, &guest, role, give)?;
    done()
}

fn add_moderator(state: &mut State, call: &Call, kind: &str) -> Answer {
    role(state, call, kind, "moderator", true)
}

fn remove_moderator(state: &mut State, call: &Call, kind: &str) -> Answer {
    role(state, call, kind, "moderator", false)
}

fn add_owner(state: &mut State, call: &Call, kind: &str) -> Answer {
    role(state, call, kind, "owner", true)
}

fn remove_owner(state: &mut State, call: &Call, kind: &str) -> Answer {
    role(state, call, kind, "owner", false)
}

fn add_leader(state: &mut State, call: &Call, kind: &str) -> Answer {
    role(state, call, kind, "leader", true)
}

fn remove_leader(state: &mut State, call: &Call, kind: &str) -> Answer {
    role(state, call, kind, "leader", false)
}

fn add_all(state: &mut State, call: &Call, kind: &str) -> Answer {
    let rid = find_open(state, call, kind)?;
    if !state.may(&call.uid, "add-all-to-room") {
        return Err(Failure::not_allowed("addAllToRoom"));
    }
    let active_only = json::flag(&call.body, "activeUsersOnly");
    let users: Vec<String> = state
        .users
        .in_order()
        .into_iter()
        .filter(|user| user.active() || !active_only)
        .map(|user| user.id().to_owned())
        .collect();
    if users.len() as i64 > state.settings.number("API_User_Limit") {
        return Err(
            Failure::coded("error-user-limit-exceeded", "User Limit Exceeded")
                .with(json!({ "method": "addAllToRoom" })),
        );
    }
    for uid in users {
        state.bring_in(&rid, &uid, None);
    }
    shown(state, &rid, kind)
}

/// What a member, or for administrators anybody, has not read of a room.
fn counters(state: &mut State, call: &Call, kind: &str) -> Answer {
    let rid = find(state, call, kind)?;
    let uid = match call.q("userId") {
        "" => call.uid.clone(),
        other if other == call.uid || state.may(&call.uid, "view-room-administration") => {
            other.to_owned()
        }
        _ => return Err(Failure::Forbidden),
    };
    let empty = Doc::new();
    let room = state.room(&rid).unwrap_or(&empty);
    let (members, latest) = (state.member_count(&rid), room.get("lm").cloned());
    let msgs = json::number(room, "msgs");
    let Some(sub) = state.sub(&rid, &uid) else {
        return ok(json!({
            "joined": false, "members": members, "unreads": null, "unreadsFrom": null,
            "msgs": msgs, "latest": latest, "userMentions": 0,
        }));
    };
    let seen = json::date_ms(sub.doc.get("ls")).or(json::date_ms(sub.doc.get("ts")));
    let unread = seen.map(|seen| {
        state
            .messages
            .newest_first(&rid, seen + 1, i64::MAX)
            .count()
    });
    ok(json!({
        "joined": json::flag(&sub.doc, "open"), "members": members, "unreads": unread,
        "unreadsFrom": seen.map(json::date), "msgs": msgs, "latest": latest,
        "userMentions": json::number(&sub.doc, "userMentions"),
    }))
}

/// Who of a room is online.
fn online(state: &mut State, call: &Call, kind: &str) -> Answer {
    let wanted = ["roomId", "_id"]
        .iter()
        .map(|key| call.q(key).to_owned())
        .find(|id| !id.is_empty());
    let rid = match wanted {
        Some(rid) => rid,
        None => find(state, call, kind)?,
    };
    let known = state
        .room(&rid)
        .is_some_and(|room| json::text(room, "t") == kind);
    if !known {
        return Err(Failure::plain("Channel does not exists"));
    }
    if !state.may_access(&call.uid, &rid) {
        return Err(Failure::Forbidden);
    }
    let online: Vec<Value> = state
        .subs_of_room(&rid)
        .iter()
        .filter_map(|sub| state.users.get(sub.uid()))
        .filter(|user| json::text(&user.doc, "status") == "online")
        .map(|user| user.short())
        .collect();
    ok(json!({ "online": online }))
}
