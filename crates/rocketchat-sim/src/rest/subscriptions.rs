//! `subscriptions.*` (facts 3.4).

use serde_json::json;

use super::{
    Route,
    call::{Answer, Call, done, ok},
    get, post, rooms,
};
use crate::{error::Failure, state::State};

/// Routes of this family.
pub const ROUTES: &[Route] = &[
    get("subscriptions.get", updates),
    get("subscriptions.getOne", one),
    post("subscriptions.read", read),
    post("subscriptions.unread", unread),
];

fn updates(state: &mut State, call: &Call) -> Answer {
    let since = rooms::since(call)?;
    ok(state.subs_since(&call.uid, since))
}

fn one(state: &mut State, call: &Call) -> Answer {
    if call.q("roomId").is_empty() {
        return Err(Failure::Schema(
            "must have required property 'roomId'".to_owned(),
        ));
    }
    ok(json!({ "subscription": state.sub(call.q("roomId"), &call.uid).map(|sub| &sub.doc) }))
}

fn read(state: &mut State, call: &Call) -> Answer {
    let rid = if call.b("rid").is_empty() {
        call.b("roomId")
    } else {
        call.b("rid")
    }
    .to_owned();
    if !state.may_access(&call.uid, &rid) {
        return Err(Failure::not_allowed("readMessages"));
    }
    state.mark_read(&call.uid, &rid);
    done()
}

/// Marks a room unread from its last message on.
fn unread(state: &mut State, call: &Call) -> Answer {
    let rid = call.b("roomId").to_owned();
    if state.sub(&rid, &call.uid).is_none() {
        return Err(Failure::not_allowed("unreadMessages"));
    }
    let before = state
        .last_visible(&rid)
        .and_then(|last| crate::json::date_ms(last.get("ts")).map(|at| crate::json::date(at - 1)));
    state.change_sub(&rid, &call.uid, |sub| {
        sub.insert("open".to_owned(), json!(true));
        sub.insert("alert".to_owned(), json!(true));
        if let Some(before) = before {
            sub.insert("ls".to_owned(), before);
        }
    });
    done()
}
