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
