//! `chat.*` about threads (facts 4.6, capture 15).

use serde_json::{Value, json};

use super::{
    Route,
    call::{Answer, Call, done, ok},
    get, post,
};
use crate::{
    error::Failure,
    json::{self, Doc},
    state::State,
    time,
};

/// Routes of this family.
pub const ROUTES: &[Route] = &[
    get("chat.getThreadMessages", messages),
    get("chat.syncThreadMessages", sync_messages),
    get("chat.getThreadsList", list),
    get("chat.syncThreadsList", sync_list),
    post("chat.followMessage", |state, call| {
        follow(state, call, true)
    }),
    post("chat.unfollowMessage", |state, call| {
        follow(state, call, false)
    }),
];

/// The room of the thread that `tmid` names.
fn thread_room(state: &State, call: &Call, method: &str) -> Result<String, Failure> {
    let tmid = call.q("tmid");
    if tmid.is_empty() {
        return Err(Failure::coded(
            "error-invalid-params",
            "The required \"tmid\" query param is missing.",
        ));
    }
    let parent = state
        .messages
        .get(tmid)
        .ok_or_else(|| Failure::coded("error-invalid-message", "Invalid Message"))?;
    let rid = parent.rid().to_owned();
    if !state.may_access(&call.uid, &rid) {
        return Err(Failure::not_allowed(method));
    }
    Ok(rid)
}

/// The room that `rid` names.
fn room(state: &State, call: &Call, method: &str) -> Result<String, Failure> {
    let rid = call.q("rid");
    if rid.is_empty() {
        return Err(Failure::coded(
            "error-room-id-param-not-provided",
            "The required \"rid\" query param is missing.",
        ));
    }
    if !state.may_access(&call.uid, rid) {
        return Err(Failure::not_allowed(method));
    }
    Ok(rid.to_owned())
}

fn since(call: &Call) -> Result<i64, Failure> {
    time::parse_iso(call.q("updatedSince")).ok_or_else(|| {
        Failure::coded(
            "error-updatedSince-param-invalid",
            "The \"updatedSince\" query parameter must be a valid date.",
        )
    })
}

/// Replies of a thread, hidden ones left out.
fn replies(state: &State, rid: &str, tmid: &str) -> Vec<Doc> {
    state
        .messages
        .newest_first(rid, i64::MIN, i64::MAX)
        .filter(|one| !one.hidden() && json::text(&one.doc, "tmid") == tmid)
        .map(|one| one.doc.clone())
        .collect()
}

/// Parents in a room.
fn parents(state: &State, rid: &str) -> Vec<Doc> {
    state
        .messages
        .newest_first(rid, i64::MIN, i64::MAX)
        .filter(|one| !one.hidden() && one.doc.contains_key("tcount"))
        .map(|one| one.doc.clone())
        .collect()
}

/// `{update, remove}`: what changed of `list`, and what went of the room and passes `gone`.
fn changes(
    state: &State,
    rid: &str,
    since: i64,
    mut list: Vec<Doc>,
    gone: impl Fn(Option<&str>) -> bool,
) -> Value {
    list.retain(|one| json::date_ms(one.get("_updatedAt")).is_some_and(|at| at > since));
    list.reverse();
    let remove: Vec<Value> = state
        .messages
        .deleted_since(rid, since)
        .into_iter()
        .filter(|one| gone(one.tmid.as_deref()))
        .map(|one| json!({ "_id": one.id, "_deletedAt": json::date(one.at) }))
        .collect();
    json!({ "update": list, "remove": remove })
}

fn messages(state: &mut State, call: &Call) -> Answer {
    let rid = thread_room(state, call, "getThreadMessages")?;
    let list = replies(state, &rid, call.q("tmid"));
    call.page(state, "messages", list, "{\"ts\":1}")
}

fn sync_messages(state: &mut State, call: &Call) -> Answer {
    let rid = thread_room(state, call, "syncThreadMessages")?;
    let (since, tmid) = (since(call)?, call.q("tmid"));
    let list = replies(state, &rid, tmid);
    let messages = changes(state, &rid, since, list, |of| of == Some(tmid));
    ok(json!({ "messages": messages }))
}

fn list(state: &mut State, call: &Call) -> Answer {
    let rid = room(state, call, "getThreadsList")?;
    let mut list = parents(state, &rid);
    match call.q("type") {
        "following" => list.retain(|one| json::texts(one, "replies").contains(&call.uid)),
        "unread" => {
            let unread = state
                .sub(&rid, &call.uid)
                .map_or_else(Vec::new, |sub| json::texts(&sub.doc, "tunread"));
            list.retain(|one| unread.iter().any(|id| id == json::text(one, "_id")));
        }
        _ => {}
    }
    let text = call.q("text").to_lowercase();
    list.retain(|one| json::text(one, "msg").to_lowercase().contains(&text));
    call.page(state, "threads", list, "{\"tlm\":-1}")
}

fn sync_list(state: &mut State, call: &Call) -> Answer {
    let rid = room(state, call, "syncThreadsList")?;
    let since = since(call)?;
    let list = parents(state, &rid);
    let threads = changes(state, &rid, since, list, |of| of.is_none());
    ok(json!({ "threads": threads }))
}

fn follow(state: &mut State, call: &Call, follow: bool) -> Answer {
    if call.b("mid").is_empty() {
        return Err(Failure::written(
            "The required \"mid\" body param is missing.",
        ));
    }
    state.follow(&call.uid, call.b("mid"), follow)?;
    done()
}
