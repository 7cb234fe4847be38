//! Making and listing discussions (facts 3.3, capture 50).

use serde_json::{Value, json};

use super::{
    Route,
    call::{Answer, Call, ok},
    get, post,
};
use crate::{
    actions::discussions::NewDiscussion,
    error::Failure,
    json::{self, Doc},
    state::State,
};

/// Routes of this family.
pub const ROUTES: &[Route] = &[
    post("rooms.createDiscussion", create),
    get("rooms.getDiscussions", rooms),
    get("chat.getDiscussions", messages),
];

fn create(state: &mut State, call: &Call) -> Answer {
    for key in ["prid", "t_name"] {
        if call.b(key).is_empty() {
            let text = format!("Body parameter \"{key}\" is required.");
            return Err(Failure::written(&text));
        }
    }
    if call
        .body
        .get("users")
        .is_some_and(|users| !users.is_array())
    {
        return Err(Failure::written(
            "Body parameter \"users\" must be an array.",
        ));
    }
    if call
        .body
        .get("encrypted")
        .is_some_and(|one| !one.is_boolean())
    {
        return Err(Failure::written(
            "Body parameter \"encrypted\" must be a boolean when included.",
        ));
    }
    let discussion = state.create_discussion(
        &call.uid,
        NewDiscussion {
            parent: call.b("prid").to_owned(),
            about: call.b("pmid").to_owned(),
            title: call.b("t_name").to_owned(),
            reply: call.b("reply").to_owned(),
            users: json::texts(&call.body, "users"),
            topic: call.b("topic").to_owned(),
            encrypted: json::flag(&call.body, "encrypted"),
        },
    )?;
    ok(json!({ "discussion": discussion }))
}

/// Discussions of a room by title.
fn rooms(state: &mut State, call: &Call) -> Answer {
    let rid = call.q("roomId").to_owned();
    if !state.may_access(&call.uid, &rid) {
        return Err(Failure::Written {
            error: Some("not-allowed".to_owned()),
            kind: Some("Not Allowed".to_owned()),
        });
    }
    let rooms = state
        .rooms_in_order()
        .into_iter()
        .filter(|room| json::text(room, "prid") == rid)
        .cloned()
        .collect();
    call.page_where(state, "discussions", rooms, "{\"fname\":1}", false)
}

/// The messages of a room that tell of discussions, newest first.
fn messages(state: &mut State, call: &Call) -> Answer {
    let rid = call.q("roomId").to_owned();
    if rid.is_empty() {
        return Err(Failure::Schema(
            "must have required property 'roomId'".to_owned(),
        ));
    }
    if !state.may_access(&call.uid, &rid) {
        return Err(Failure::plain("error-not-allowed"));
    }
    let wanted = call.q("text").to_lowercase();
    let list: Vec<Doc> = state
        .messages
        .newest_first(&rid, i64::MIN, i64::MAX)
        .filter(|one| one.doc.contains_key("drid") && !one.hidden())
        .map(|one| one.doc.clone())
        .filter(|doc| json::text(doc, "msg").to_lowercase().contains(&wanted))
        .collect();
    let total = list.len();
    let (offset, count) = call.paging(state);
    let shown: Vec<Value> = list
        .into_iter()
        .skip(offset)
        .take(count)
        .map(Value::Object)
        .collect();
    ok(json!({ "messages": shown, "count": shown.len(), "offset": offset, "total": total }))
}
