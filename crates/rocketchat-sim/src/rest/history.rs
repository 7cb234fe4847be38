//! Reading rooms (facts 4.6, capture 30).

use serde_json::json;

use super::{
    Route,
    call::{Answer, Call, ok},
    channels, get,
};
use crate::{error::Failure, state::State, time};

/// Routes of this family; `im.history` and `im.messages` are with their own.
pub const ROUTES: &[Route] = &[
    get("channels.history", |state, call| {
        room_history(state, call, "c")
    }),
    get("groups.history", |state, call| {
        room_history(state, call, "p")
    }),
    get("channels.messages", |state, call| {
        room_messages(state, call, "c")
    }),
    get("groups.messages", |state, call| {
        room_messages(state, call, "p")
    }),
];

fn room_history(state: &mut State, call: &Call, kind: &str) -> Answer {
    let rid = channels::find(state, call, kind)?;
    if !state.may_preview(&call.uid, &rid) {
        return Err(Failure::Forbidden);
    }
    shown(state, call, &rid)
}

fn room_messages(state: &mut State, call: &Call, kind: &str) -> Answer {
    let rid = channels::find(state, call, kind)?;
    if !state.may_preview(&call.uid, &rid) {
        return Err(Failure::Forbidden);
    }
    all_messages(state, call, &rid)
}

/// `*.history` of a room: newest first, bounds exclusive unless `inclusive`, an invalid date finds
/// nothing, thread replies only with `showThreadMessages`.
pub fn shown(state: &State, call: &Call, rid: &str) -> Answer {
    let inclusive = call.q("inclusive") == "true";
    let bound = |key: &str, default: i64| match call.q(key) {
        "" => Some(default),
        text => time::parse_iso(text),
    };
    let (Some(oldest), Some(latest)) =
        (bound("oldest", i64::MIN + 1), bound("latest", i64::MAX - 1))
    else {
        return ok(json!({ "messages": [] }));
    };
    let (from, to) = if inclusive {
        (oldest, latest)
    } else {
        (oldest + 1, latest - 1)
    };
    let (offset, count) = call.paging(state);
    let threads = call.q("showThreadMessages") == "true";
    let messages = state.history(rid, from, to, threads, offset, count);
    let mut answer = json!({ "messages": messages });
    if call.q("unreads") == "true" && !call.q("oldest").is_empty() {
        // What lies before the page and is newer than `oldest`.
        let all = state.history(rid, from, to, threads, 0, usize::MAX);
        let left = all
            .len()
            .saturating_sub(offset.saturating_add(messages.len()));
        answer["unreadNotLoaded"] = json!(left);
        if left > 0
            && let Some(first) = messages.last()
        {
            answer["firstUnread"] = json!(first);
        }
    }
    ok(answer)
}

/// `*.messages` of a room: everything, hidden copies and thread replies included, paginated.
pub fn all_messages(state: &State, call: &Call, rid: &str) -> Answer {
    let list = state
        .messages
        .newest_first(rid, i64::MIN, i64::MAX)
        .map(|one| one.doc.clone())
        .collect();
    call.page(state, "messages", list, "{\"ts\":-1}")
}
