//! `chat.*` (facts 4.4 to 4.8).

use serde_json::{Value, json};

use super::{
    Route,
    call::{Answer, Call, Reply, Shape, done, ok},
    get, post,
};
use crate::{
    error::Failure,
    json::{self, Doc},
    state::State,
    text, time,
};

/// Routes of this family.
pub const ROUTES: &[Route] = &[
    post("chat.sendMessage", send),
    post("chat.postMessage", post_message),
    post("chat.update", update),
    post("chat.delete", delete),
    post("chat.react", react),
    post("chat.reportMessage", report),
    get("chat.getMessage", get_message),
    get("chat.syncMessages", sync),
    get("chat.getDeletedMessages", deleted),
];

fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    value.and_then(Value::as_array).map(|list| {
        list.iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    })
}

/// From 7.x on the body's keys are checked (facts 4.4).
fn strict(state: &State, call: &Call, allowed: &[&str]) -> Result<(), Failure> {
    if state.options.profile.strict_chat_schema()
        && call.body.keys().any(|key| !allowed.contains(&key.as_str()))
    {
        return Err(Failure::Schema(
            "must NOT have additional properties".to_owned(),
        ));
    }
    Ok(())
}

fn send(state: &mut State, call: &Call) -> Answer {
    strict(state, call, &["message", "previewUrls"])?;
    let message = match call.body.get("message") {
        value if !json::truthy(value) => {
            return Err(Failure::coded(
                "error-invalid-params",
                "The \"message\" parameter must be provided.",
            ));
        }
        Some(Value::Object(message)) => message.clone(),
        _ => Doc::new(),
    };
    if crate::actions::send::is_system_type(json::text(&message, "t")) {
        return Err(Failure::plain(
            "Cannot send system messages using 'chat.sendMessage'",
        ));
    }
    let prepared = state.prepare_send(
        &call.uid,
        message,
        texts(call.body.get("previewUrls")),
        true,
    )?;
    Ok(Reply::Send(Box::new(prepared), Shape::Message))
}

/// Finds the room of one target of `chat.postMessage`: `#name`, `@user` (makes the direct room), id
/// or name.
pub fn target(state: &mut State, uid: &str, wanted: &str) -> Result<String, Failure> {
    let unknown = || Failure::bare("invalid-channel");
    if let Some(user) = wanted.strip_prefix('@') {
        let name = state
            .users
            .get(user)
            .or_else(|| state.users.named(user))
            .map(|user| user.name().to_owned())
            .ok_or_else(unknown)?;
        let room = state.create_direct(uid, &[name], false)?;
        return room["rid"].as_str().map(str::to_owned).ok_or_else(unknown);
    }
    let bare = wanted.strip_prefix('#').unwrap_or(wanted);
    if bare.is_empty() {
        return Err(unknown());
    }
    if state.room(bare).is_some() {
        return Ok(bare.to_owned());
    }
    if let Some(rid) = state.room_named(bare) {
        return Ok(rid.to_owned());
    }
    // A bare user id or name opens the direct room too.
    match state
        .users
        .get(bare)
        .or_else(|| state.users.named(bare))
        .map(|user| user.name().to_owned())
    {
        Some(name) if !wanted.starts_with('#') => {
            let room = state.create_direct(uid, &[name], false)?;
            room["rid"].as_str().map(str::to_owned).ok_or_else(unknown)
        }
        _ => Err(unknown()),
    }
}

fn post_message(state: &mut State, call: &Call) -> Answer {
    strict(
        state,
        call,
        &[
            "roomId",
            "channel",
            "text",
            "alias",
            "emoji",
            "avatar",
            "attachments",
            "customFields",
            "tmid",
        ],
    )?;
    let wanted = call.body.get("roomId").or_else(|| call.body.get("channel"));
    let targets = match wanted {
        Some(Value::String(one)) => vec![one.clone()],
        other => texts(other).unwrap_or_default(),
    };
    let Some(first) = targets.first().cloned() else {
        return Err(Failure::bare("invalid-channel"));
    };
    let message = posted(state, call)?;
    let mut answer = None;
    for (at, wanted) in targets.iter().enumerate() {
        let rid = target(state, &call.uid, wanted)?;
        if !state.may_access(&call.uid, &rid) {
            return Err(Failure::plain("error-not-allowed"));
        }
        if state
            .room(&rid)
            .is_some_and(|room| json::text(room, "t") == "c")
            && state.sub(&rid, &call.uid).is_none()
        {
            state.bring_in(&rid, &call.uid, None);
        }
        let prepared = state.prepare_post(&call.uid, &rid, message.clone())?;
        if at == 0 && targets.len() == 1 {
            return Ok(Reply::Send(Box::new(prepared), Shape::Posted(first)));
        }
        let doc = state.commit_send(prepared)?;
        answer.get_or_insert(doc);
    }
    ok(json!({ "ts": time::now_ms(), "channel": first, "message": answer }))
}

/// The message that the body of `chat.postMessage` describes.
pub fn posted(state: &State, call: &Call) -> Result<Doc, Failure> {
    let raw = call.body.get("text").or_else(|| call.body.get("msg"));
    let trimmed = raw.and_then(Value::as_str).unwrap_or("").trim().to_owned();
    let profile = state.options.profile;
    if profile.post_message_size_check()
        && text::utf16_length(&trimmed) as i64 > state.settings.number("Message_MaxAllowedSize")
    {
        return Err(Failure::written("error-message-size-exceeded"));
    }
    let mut message = Doc::new();
    message.insert("msg".to_owned(), json!(trimmed));
    let alias = ["username", "alias"]
        .iter()
        .map(|key| call.b(key))
        .find(|value| !value.is_empty())
        .unwrap_or("");
    if profile.post_message_stores_defaults() || !alias.is_empty() {
        message.insert("alias".to_owned(), json!(alias));
    }
    let attachments = call.body.get("attachments").cloned();
    let parse = call
        .body
        .get("parseUrls")
        .and_then(Value::as_bool)
        .unwrap_or(!json::truthy(attachments.as_ref()));
    if profile.post_message_stores_defaults() || !parse {
        message.insert("parseUrls".to_owned(), json!(parse));
    }
    if let Some(mut attachments) = attachments.filter(|one| json::truthy(Some(one))) {
        for attachment in attachments
            .as_array_mut()
            .into_iter()
            .flatten()
            .filter_map(Value::as_object_mut)
        {
            if let Some(text) = attachment.remove("msg") {
                attachment.insert("text".to_owned(), text);
            }
        }
        message.insert("attachments".to_owned(), attachments);
    } else if profile.post_message_stores_defaults() {
        message.insert("attachments".to_owned(), json!([]));
    }
    message.insert(
        "groupable".to_owned(),
        call.body.get("groupable").cloned().unwrap_or(json!(false)),
    );
    for (key, names) in [
        ("avatar", ["icon_url", "avatar"]),
        ("emoji", ["icon_emoji", "emoji"]),
    ] {
        if let Some(value) = names
            .iter()
            .map(|name| call.b(name))
            .find(|value| !value.is_empty())
        {
            message.insert(key.to_owned(), json!(value));
        }
    }
    for key in ["bot", "tmid", "customFields"] {
        if let Some(value) = call.body.get(key) {
            message.insert(key.to_owned(), value.clone());
        }
    }
    Ok(message)
}

fn addressed<'a>(
    state: &'a State,
    call: &Call,
) -> Result<&'a crate::state::messages::Message, Failure> {
    let id = call.b("msgId");
    let message = state.messages.get(id).ok_or_else(|| Failure::Written {
        error: Some(format!("No message found with the id of \"{id}\".")),
        kind: None,
    })?;
    if message.rid() != call.b("roomId") {
        return Err(Failure::written(
            "The room id provided does not match where the message is from.",
        ));
    }
    Ok(message)
}

fn need(call: &Call, keys: &[&str]) -> Result<(), Failure> {
    for key in keys {
        match call.body.get(*key) {
            None => return Err(Failure::plain(format!("Match error: Missing key '{key}'"))),
            Some(Value::String(_)) => {}
            Some(_) => {
                return Err(Failure::plain(format!(
                    "Match error: Expected string in field {key}"
                )));
            }
        }
    }
    Ok(())
}

fn update(state: &mut State, call: &Call) -> Answer {
    need(call, &["roomId", "msgId", "text"])?;
    let id = json::text(&addressed(state, call)?.doc, "_id").to_owned();
    let extra = json::only(&call.body, &["customFields"]);
    state.edit_message(
        &call.uid,
        &id,
        call.b("text"),
        extra,
        texts(call.body.get("previewUrls")).as_deref(),
    )?;
    ok(json!({ "message": state.messages.get(&id).map(|message| &message.doc) }))
}

fn delete(state: &mut State, call: &Call) -> Answer {
    need(call, &["msgId", "roomId"])?;
    let message = addressed(state, call)?;
    let (id, rid, author) = (
        call.b("msgId").to_owned(),
        message.rid().to_owned(),
        message.author().to_owned(),
    );
    let shown = json!({ "_id": id, "rid": rid, "u": message.doc["u"] });
    let mut acting = call.uid.clone();
    if json::flag(&call.body, "asUser") && author != call.uid {
        if !state.may_in(&call.uid, "force-delete-message", &rid) {
            return Err(Failure::written(
                "Unauthorized. You must have the permission \"force-delete-message\" to delete other's message as them.",
            ));
        }
        acting = author;
    }
    state.delete_message(&acting, &id)?;
    ok(json!({ "_id": id, "ts": time::now_ms().to_string(), "message": shown }))
}

fn react(state: &mut State, call: &Call) -> Answer {
    let id = call.b("messageId");
    if id.is_empty() {
        return Err(Failure::coded(
            "error-messageid-param-not-provided",
            "The required \"messageId\" param is missing.",
        ));
    }
    if !state.messages.has(id) {
        return Err(Failure::coded(
            "error-message-not-found",
            "The provided \"messageId\" does not match any existing message.",
        ));
    }
    let emoji = if call.b("emoji").is_empty() {
        call.b("reaction")
    } else {
        call.b("emoji")
    };
    if emoji.is_empty() {
        return Err(Failure::coded(
            "error-emoji-param-not-provided",
            "The required \"emoji\" param is missing.",
        ));
    }
    let should = call.body.get("shouldReact").and_then(Value::as_bool);
    match state.prepare_reaction(&call.uid, id, emoji, should)? {
        Some(reaction) => Ok(Reply::React(Box::new(reaction))),
        None => done(),
    }
}

/// Takes a report; nobody reads it here.
fn report(state: &mut State, call: &Call) -> Answer {
    if call.b("messageId").is_empty() {
        return Err(Failure::written(
            "The required \"messageId\" param is missing.",
        ));
    }
    if call.b("description").is_empty() {
        return Err(Failure::written(
            "The required \"description\" param is missing.",
        ));
    }
    let seen = state
        .messages
        .get(call.b("messageId"))
        .is_some_and(|message| state.may_access(&call.uid, message.rid()));
    if seen {
        done()
    } else {
        Err(
            Failure::coded("error-invalid-message_id", "Invalid message id")
                .with(json!({ "method": "reportMessage" })),
        )
    }
}

fn get_message(state: &mut State, call: &Call) -> Answer {
    if call.q("msgId").is_empty() {
        return Err(Failure::coded(
            "error-messageid-param-not-provided",
            "The \"msgId\" query parameter must be provided.",
        ));
    }
    let Some(message) = state.messages.get(call.q("msgId")) else {
        return Err(Failure::silent());
    };
    if !state.may_access(&call.uid, message.rid()) {
        return Err(Failure::not_allowed("getSingleMessage"));
    }
    ok(json!({ "message": message.doc }))
}

fn sync(state: &mut State, call: &Call) -> Answer {
    let (rid, since) = (call.q("roomId"), call.q("lastUpdate"));
    let paged = state.options.profile.strict_chat_schema() && !call.q("type").is_empty();
    if rid.is_empty() {
        return Err(Failure::coded(
            "error-roomId-param-not-provided",
            "The required \"roomId\" query param is missing.",
        ));
    }
    if since.is_empty() && !paged {
        return Err(Failure::coded(
            "error-lastUpdate-param-not-provided",
            "The required \"lastUpdate\" query param is missing.",
        ));
    }
    let since = if paged {
        call.q("next").parse().unwrap_or(0)
    } else {
        time::parse_iso(since).ok_or_else(|| {
            Failure::coded(
                "error-roomId-param-invalid",
                "The \"lastUpdate\" query parameter must be a valid date.",
            )
        })?
    };
    if !state.may_access(&call.uid, rid) {
        return Err(Failure::not_allowed("messages/get"));
    }
    if paged {
        return ok(json!({ "result": cursor(state, call, since) }));
    }
    ok(json!({ "result": state.changes_since(rid, since) }))
}

/// The cursor form of 7.x: oldest first, `count` at a time, and where to go on (facts 4.6).
fn cursor(state: &State, call: &Call, since: i64) -> Value {
    let deleted = call.q("type") == "DELETED";
    let changes = state.changes_since(call.q("roomId"), since);
    let (list, key) = if deleted {
        (&changes["deleted"], "_deletedAt")
    } else {
        (&changes["updated"], "_updatedAt")
    };
    let mut list = list.as_array().cloned().unwrap_or_default();
    let at = |one: &Value| json::date_ms(one.get(key)).unwrap_or(0);
    list.sort_by_key(at);
    let count = call.q("count").parse().unwrap_or(50);
    let more = list.len() > count;
    list.truncate(count);
    let next = if more {
        list.last().map(|last| at(last).to_string())
    } else {
        None
    };
    let shown = if deleted { "deleted" } else { "updated" };
    json!({ "updated": [], "deleted": [], shown: list, "cursor": { "next": next, "previous": null } })
}

fn deleted(state: &mut State, call: &Call) -> Answer {
    if call.q("roomId").is_empty() || call.q("since").is_empty() {
        return Err(Failure::Schema(
            "must have required property 'roomId'".to_owned(),
        ));
    }
    let since = time::parse_iso(call.q("since")).unwrap_or(0);
    let mut gone = state.messages.deleted_since(call.q("roomId"), since);
    gone.sort_by_key(|one| one.ts);
    let list = gone
        .iter()
        .map(|one| json::doc(json!({ "_id": one.id })))
        .collect();
    call.page_where(state, "messages", list, "{}", false)
}
