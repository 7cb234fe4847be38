//! Pins and stars (facts 4.6, capture 19).

use serde_json::json;

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
    post("chat.pinMessage", |state, call| pin(state, call, true)),
    post("chat.unPinMessage", |state, call| pin(state, call, false)),
    post("chat.starMessage", |state, call| star(state, call, true)),
    post("chat.unStarMessage", |state, call| star(state, call, false)),
    get("chat.getPinnedMessages", |state, call| {
        marked_in_room(state, call, |doc, _| json::flag(doc, "pinned"))
    }),
    get("chat.getStarredMessages", |state, call| {
        marked_in_room(state, call, |doc, uid| {
            doc.get("starred")
                .and_then(|stars| stars.as_array())
                .is_some_and(|stars| stars.iter().any(|star| star["_id"] == uid))
        })
    }),
];

/// Messages of a room that are marked, newest first.
fn marked_in_room(state: &mut State, call: &Call, marked: fn(&Doc, &str) -> bool) -> Answer {
    let rid = call.q("roomId");
    if rid.is_empty() {
        return Err(Failure::coded(
            "error-roomId-param-not-provided",
            "The required \"roomId\" query param is missing.",
        ));
    }
    if !state.may_access(&call.uid, rid) {
        return Err(Failure::plain("error-not-allowed"));
    }
    let list = state
        .messages
        .newest_first(rid, i64::MIN, i64::MAX)
        .filter(|one| !one.hidden() && marked(&one.doc, &call.uid))
        .map(|one| one.doc.clone())
        .collect();
    call.page(state, "messages", list, "{\"ts\":-1}")
}

fn marked(state: &State, call: &Call) -> Result<(String, String), Failure> {
    let id = call.b("messageId");
    if id.trim().is_empty() {
        return Err(Failure::coded(
            "error-messageid-param-not-provided",
            "The required \"messageId\" param is required.",
        ));
    }
    let message = state.messages.get(id).ok_or_else(|| {
        Failure::coded(
            "error-message-not-found",
            "The provided \"messageId\" does not match any existing message.",
        )
    })?;
    Ok((id.to_owned(), message.rid().to_owned()))
}

/// Pins or unpins; a pin answers with the system message about it (facts 4.6).
fn pin(state: &mut State, call: &Call, pinned: bool) -> Answer {
    let (id, rid) = marked(state, call)?;
    let (method, method_word) = if pinned {
        ("pinMessage", "pinning")
    } else {
        ("unpinMessage", "unpinning")
    };
    let about = json!({ "method": method, "action": "Message_pinning" });
    if !state.settings.on("Message_AllowPinning") {
        let reason = "Message pinning not allowed";
        return Err(Failure::coded("error-action-not-allowed", reason).with(about));
    }
    if state.sub(&rid, &call.uid).is_none() {
        let reason = format!("Message you are {method_word} was not found");
        return Err(Failure::coded("error-invalid-message", &reason).with(about));
    }
    if !state.may_in(&call.uid, "pin-message", &rid) {
        return Err(
            Failure::coded("not-authorized", "Not Authorized").with(json!({ "method": method }))
        );
    }
    let Some(user) = state.users.get(&call.uid).cloned() else {
        return Err(Failure::NotLoggedIn);
    };
    state.change_message(&id, |doc| {
        doc.insert("pinned".to_owned(), json!(pinned));
        doc.insert("pinnedAt".to_owned(), json::date(time::now_ms()));
        doc.insert("pinnedBy".to_owned(), user.short());
    });
    state.refresh_last_message(&rid, &id);
    if !pinned {
        return done();
    }
    let original = state
        .messages
        .get(&id)
        .map(|one| one.doc.clone())
        .unwrap_or_default();
    let author = original["u"]["username"].as_str().unwrap_or("").to_owned();
    let quote = json!({
        "text": original["msg"], "author_name": author, "author_icon": format!("/avatar/{author}"),
        "ts": original["ts"], "attachments": original.get("attachments").cloned().unwrap_or_else(|| json!([])),
    });
    state.system_message(
        "message_pinned",
        &rid,
        "",
        user.author(),
        json!({ "attachments": [quote] }),
    );
    let notice = state
        .messages
        .newest_first(&rid, i64::MIN, i64::MAX)
        .find(|one| one.kind() == "message_pinned");
    ok(json!({ "message": notice.map(|one| &one.doc) }))
}

fn star(state: &mut State, call: &Call, starred: bool) -> Answer {
    let (id, rid) = marked(state, call)?;
    if !state.settings.on("Message_AllowStarring") {
        let about = json!({ "method": "starMessage", "action": "Message_starring" });
        let reason = "Message starring not allowed";
        return Err(Failure::coded("error-action-not-allowed", reason).with(about));
    }
    if state.sub(&rid, &call.uid).is_none() {
        return Err(Failure::not_allowed("starMessage"));
    }
    let uid = call.uid.clone();
    state.stars = true;
    state.change_message(&id, |doc| {
        let mut stars = doc
            .get("starred")
            .and_then(|stars| stars.as_array())
            .cloned()
            .unwrap_or_default();
        stars.retain(|one| one["_id"] != uid.as_str());
        if starred {
            stars.push(json!({ "_id": uid }));
        }
        doc.insert("starred".to_owned(), json!(stars));
    });
    state.refresh_last_message(&rid, &id);
    done()
}
