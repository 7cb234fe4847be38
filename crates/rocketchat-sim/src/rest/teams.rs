//! `teams.*` (facts 3.6, capture 50).

use serde_json::{Value, json};

use super::{
    Route,
    call::{Answer, Call, done, ok},
    get, post,
};
use crate::{
    actions::teams::NewTeam,
    error::Failure,
    json::{self, Doc},
    state::{State, teams::Team},
};

/// Routes of this family.
pub const ROUTES: &[Route] = &[
    post("teams.create", create),
    get("teams.list", list),
    get("teams.listAll", list_all),
    get("teams.info", info),
    get("teams.members", members),
    get("teams.listRooms", list_rooms),
    post("teams.addMembers", add_members),
    post("teams.removeMember", remove_member),
    post("teams.leave", leave),
    post("teams.addRooms", add_rooms),
    post("teams.removeRoom", remove_room),
    post("teams.update", update),
    post("teams.delete", delete),
];

fn missing(key: &str) -> Failure {
    Failure::Schema(format!("must have required property '{key}'"))
}

/// The team that `teamId` or `teamName` names.
fn find<'a>(state: &'a State, call: &Call) -> Result<&'a Team, Failure> {
    let (id, name) = (call.either("teamId"), call.either("teamName"));
    let found = if id.is_empty() {
        state.teams.named(name)
    } else {
        state.teams.get(id)
    };
    found.ok_or_else(|| Failure::written("team-does-not-exist"))
}

/// The team, when the caller has a permission in its main room.
fn with(state: &State, call: &Call, permission: &str) -> Result<(String, String), Failure> {
    let team = find(state, call)?;
    if !state.may_in(&call.uid, permission, team.room()) {
        return Err(Failure::Forbidden);
    }
    Ok((team.id().to_owned(), team.room().to_owned()))
}

/// The team, when the caller may see it: everybody a public one, members and administrators any.
fn seen<'a>(state: &'a State, call: &Call) -> Result<&'a Team, Failure> {
    let team = find(state, call)?;
    let public = team.doc["type"] == json!(0);
    if !public && !team.has(&call.uid) && !state.may(&call.uid, "view-all-teams") {
        return Err(Failure::Forbidden);
    }
    Ok(team)
}

/// Of `data` only `type`: whether the team is private.
fn update(state: &mut State, call: &Call) -> Answer {
    let (id, _) = with(state, call, "edit-team")?;
    let kind = call.body.get("data").and_then(|data| data.get("type"));
    let Some(kind @ (0 | 1)) = kind.and_then(Value::as_i64) else {
        return Err(missing("data/type"));
    };
    if let Some(mut team) = state.teams.get(&id).cloned() {
        team.doc.insert("type".to_owned(), json!(kind));
        state.save_team(team);
    }
    done()
}

fn create(state: &mut State, call: &Call) -> Answer {
    if !state.may(&call.uid, "create-team") {
        return Err(Failure::Forbidden);
    }
    if call.b("name").is_empty() {
        return Err(Failure::plain("Match error: Missing key 'name'"));
    }
    let private = match call.body.get("type").and_then(Value::as_i64) {
        Some(0) => false,
        Some(1) => true,
        _ => {
            return Err(Failure::plain(
                "Match error: Failed Match.OneOf, Match.Maybe or Match.Optional validation in field type",
            ));
        }
    };
    let empty = Doc::new();
    let room = call
        .body
        .get("room")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let extra = room
        .get("extraData")
        .and_then(Value::as_object)
        .map(|extra| {
            json::only(
                extra,
                &["topic", "description", "announcement", "broadcast"],
            )
        });
    let team = state.create_team(
        &call.uid,
        NewTeam {
            name: call.b("name").to_owned(),
            private,
            members: json::texts(&call.body, "members"),
            read_only: json::flag(room, "readOnly"),
            extra: extra.unwrap_or_default(),
        },
    )?;
    ok(json!({ "team": team }))
}

fn shown(state: &State, team: &Team) -> Doc {
    let mut doc = team.doc.clone();
    doc.insert(
        "rooms".to_owned(),
        json!(state.rooms_of_team(team.id()).len()),
    );
    doc.insert("numberOfUsers".to_owned(), json!(team.members.len()));
    doc
}

fn list(state: &mut State, call: &Call) -> Answer {
    let teams = state
        .teams
        .in_order()
        .into_iter()
        .filter(|team| team.has(&call.uid))
        .map(|team| {
            let mut doc = shown(state, team);
            let owner = state.sub(team.room(), &call.uid).is_some_and(|sub| {
                json::texts(&sub.doc, "roles")
                    .iter()
                    .any(|role| role == "owner")
            });
            doc.insert("isOwner".to_owned(), json!(owner));
            doc
        })
        .collect();
    call.page_where(state, "teams", teams, "{}", false)
}

fn list_all(state: &mut State, call: &Call) -> Answer {
    if !state.may(&call.uid, "view-all-teams") {
        return Err(Failure::Forbidden);
    }
    let teams = state
        .teams
        .in_order()
        .into_iter()
        .map(|team| shown(state, team))
        .collect();
    call.page_where(state, "teams", teams, "{}", false)
}

fn info(state: &mut State, call: &Call) -> Answer {
    ok(json!({ "teamInfo": seen(state, call)?.doc }))
}

fn members(state: &mut State, call: &Call) -> Answer {
    let team = seen(state, call)?;
    let members = team
        .members
        .iter()
        .filter_map(|member| {
            let user = state.users.get(&member.uid)?;
            let mut shown = json::only(&user.doc, &["_id", "username", "name", "status"]);
            shown.insert("settings".to_owned(), json!({}));
            let mut doc = member.doc.clone();
            doc.insert("user".to_owned(), Value::Object(shown));
            Some(doc)
        })
        .collect();
    call.page_where(state, "members", members, "{}", false)
}

/// Rooms that the caller may see: public ones, and those it is in; all for who owns the team.
fn list_rooms(state: &mut State, call: &Call) -> Answer {
    let team = seen(state, call)?;
    let all = state.may_in(&call.uid, "view-all-team-channels", team.room());
    let rooms = state
        .rooms_of_team(team.id())
        .into_iter()
        .filter(|room| {
            all || json::text(room, "t") == "c"
                || state.sub(json::text(room, "_id"), &call.uid).is_some()
        })
        .collect();
    call.page_where(state, "rooms", rooms, "{}", false)
}

fn add_members(state: &mut State, call: &Call) -> Answer {
    let Some(list) = call.body.get("members").and_then(Value::as_array) else {
        return Err(missing("members"));
    };
    let (team, room) = {
        let team = find(state, call)?;
        (team.id().to_owned(), team.room().to_owned())
    };
    if !["add-team-member", "edit-team-member"]
        .iter()
        .any(|permission| state.may_in(&call.uid, permission, &room))
    {
        return Err(Failure::Forbidden);
    }
    let people: Vec<(String, Option<Value>)> = list
        .iter()
        .filter_map(|one| {
            let uid = one["userId"].as_str()?;
            Some((uid.to_owned(), one.get("roles").cloned()))
        })
        .collect();
    if people.iter().any(|(uid, _)| state.users.get(uid).is_none()) {
        return Err(Failure::plain("invalid-user"));
    }
    state.add_to_team(&call.uid, &team, &people);
    done()
}

fn remove_member(state: &mut State, call: &Call) -> Answer {
    if call.b("userId").is_empty() {
        return Err(missing("userId"));
    }
    let (team, _) = with(state, call, "edit-team-member")?;
    if state.users.get(call.b("userId")).is_none() {
        return Err(Failure::written("invalid-user"));
    }
    let rooms = json::texts(&call.body, "rooms");
    state.remove_from_team(Some(&call.uid), &team, call.b("userId"), &rooms)?;
    done()
}

fn leave(state: &mut State, call: &Call) -> Answer {
    let team = find(state, call)?.id().to_owned();
    let rooms = json::texts(&call.body, "rooms");
    state.remove_from_team(None, &team, &call.uid, &rooms)?;
    done()
}

fn add_rooms(state: &mut State, call: &Call) -> Answer {
    if call.body.get("rooms").and_then(Value::as_array).is_none() {
        return Err(missing("rooms"));
    }
    let (team, _) = with(state, call, "add-team-channel")?;
    let rooms = json::texts(&call.body, "rooms");
    for rid in &rooms {
        let Some(room) = state.room(rid) else {
            return Err(Failure::plain("invalid-room"));
        };
        if !json::text(room, "teamId").is_empty() {
            return Err(Failure::plain("room-already-on-team"));
        }
        let owns = state.sub(rid, &call.uid).is_some_and(|sub| {
            json::texts(&sub.doc, "roles")
                .iter()
                .any(|role| role == "owner")
        });
        if !owns && !state.may(&call.uid, "move-room-to-team") {
            return Err(Failure::plain("error-no-owner-channel"));
        }
    }
    let mut shown = Vec::new();
    for rid in &rooms {
        // Shown as it was, with the team (capture 50).
        let mut room = state.room(rid).cloned().unwrap_or_default();
        room.insert("teamId".to_owned(), json!(team));
        shown.push(room);
        state.move_room(&call.uid, &team, rid, true);
    }
    ok(json!({ "rooms": shown }))
}

fn remove_room(state: &mut State, call: &Call) -> Answer {
    if call.b("roomId").is_empty() {
        return Err(missing("roomId"));
    }
    let (team, _) = with(state, call, "remove-team-channel")?;
    let rid = call.b("roomId");
    let Some(room) = state.room(rid).cloned() else {
        return Err(Failure::plain("invalid-room"));
    };
    if json::text(&room, "teamId") != team {
        return Err(Failure::plain("room-not-on-that-team"));
    }
    state.move_room(&call.uid, &team, rid, false);
    ok(json!({ "room": json::without(&room, &["teamId", "teamDefault"]) }))
}

fn delete(state: &mut State, call: &Call) -> Answer {
    let (team, _) = with(state, call, "delete-team")?;
    let rooms = json::texts(&call.body, "roomsToRemove");
    state.delete_team(&call.uid, &team, &rooms);
    done()
}
