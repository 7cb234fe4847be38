//! `im.*` and its older name `dm.*` (facts 3.3, captures 32 and 50).

use serde_json::{Value, json};

use super::{
    Route,
    call::{Answer, Call, done, ok},
    channels, get, history, post,
};
use crate::{
    error::Failure,
    json::{self, Doc},
    state::State,
};

macro_rules! both {
    ($($verb:ident $name:literal $function:expr),* $(,)?) => {
        /// Routes of this family.
        pub const ROUTES: &[Route] = &[
            $($verb(concat!("im.", $name), $function),)*
            $($verb(concat!("dm.", $name), $function),)*
        ];
    };
}

both! {
    post "create" create, get "list" list, get "list.everyone" everyone, get "members" members,
    get "history" dm_history, get "messages" messages, get "messages.others" others, post "delete" delete,
    post "close" close, post "setTopic" topic, get "counters" counters,
}

fn create(state: &mut State, call: &Call) -> Answer {
    let one_of = |first: &str| {
        Failure::Schema(format!(
            "{first}\n must have required property 'username'\n must match exactly one schema in oneOf"
        ))
    };
    let names: Vec<String> = match (call.body.get("usernames"), call.body.get("username")) {
        (Some(Value::String(list)), _) => list
            .split(',')
            .map(|name| name.trim().to_owned())
            .filter(|n| !n.is_empty())
            .collect(),
        (Some(_), _) => return Err(one_of("must be string")),
        (None, Some(Value::String(name))) => vec![name.clone()],
        _ => return Err(one_of("must have required property 'usernames'")),
    };
    let room = state.create_direct(&call.uid, &names, json::flag(&call.body, "excludeSelf"))?;
    ok(json!({ "room": room }))
}

/// The direct room that `roomId` or `username` names, which the caller must be in.
pub fn find(state: &State, call: &Call) -> Result<String, Failure> {
    let rid = call.either("roomId");
    if rid.is_empty() && call.either("username").is_empty() {
        return Err(Failure::Schema(
            "must have required property 'roomId'".to_owned(),
        ));
    }
    let known = state
        .room(rid)
        .is_some_and(|room| json::text(room, "t") == "d");
    if !known {
        return Err(Failure::coded(
            "error-room-not-found",
            "The required \"roomId\" or \"username\" param provided does not match any direct message",
        ));
    }
    if state.sub(rid, &call.uid).is_none() {
        return Err(Failure::Forbidden);
    }
    Ok(rid.to_owned())
}

fn list(state: &mut State, call: &Call) -> Answer {
    let rooms = state
        .subs_of_user(&call.uid)
        .iter()
        .filter_map(|sub| state.room(json::text(&sub.doc, "rid")))
        .filter(|room| json::text(room, "t") == "d")
        .cloned()
        .collect();
    call.page(state, "ims", rooms, "{\"name\":1}")
}

fn everyone(state: &mut State, call: &Call) -> Answer {
    if !state.may(&call.uid, "view-room-administration") {
        return Err(Failure::Forbidden);
    }
    let rooms = state
        .rooms_in_order()
        .into_iter()
        .filter(|room| json::text(room, "t") == "d")
        .cloned()
        .collect();
    call.page(state, "ims", rooms, "{\"name\":1}")
}

fn members(state: &mut State, call: &Call) -> Answer {
    let rid = find(state, call)?;
    channels::member_list(state, call, &rid)
}

fn dm_history(state: &mut State, call: &Call) -> Answer {
    let rid = find(state, call)?;
    history::shown(state, call, &rid)
}

fn messages(state: &mut State, call: &Call) -> Answer {
    let rid = find(state, call)?;
    history::all_messages(state, call, &rid)
}

fn others(state: &mut State, call: &Call) -> Answer {
    if !state
        .settings
        .on("API_Enable_Direct_Message_History_EndPoint")
    {
        return Err(
            Failure::coded("error-endpoint-disabled", "This endpoint is disabled")
                .with(json!({ "route": "/api/v1/im.messages.others" })),
        );
    }
    if !state.may(&call.uid, "view-room-administration") {
        return Err(Failure::Forbidden);
    }
    let rid = call.q("roomId").to_owned();
    history::all_messages(state, call, &rid)
}

fn delete(state: &mut State, call: &Call) -> Answer {
    let rid = call.either("roomId").to_owned();
    if state
        .room(&rid)
        .is_none_or(|room| json::text(room, "t") != "d")
    {
        return Err(Failure::coded(
            "error-room-not-found",
            "The required \"roomId\" or \"username\" param provided does not match any direct message",
        ));
    }
    state.erase_room(&call.uid, &rid)?;
    done()
}

fn close(state: &mut State, call: &Call) -> Answer {
    let rid = find(state, call)?;
    state.change_sub(&rid, &call.uid, |sub| {
        sub.insert("open".to_owned(), json!(false));
        sub.insert("alert".to_owned(), json!(false));
    });
    done()
}

fn topic(state: &mut State, call: &Call) -> Answer {
    let rid = find(state, call)?;
    let topic = call.b("topic").to_owned();
    state.change_room_text(&call.uid, &rid, "topic", &topic)?;
    ok(json!({ "topic": topic }))
}

fn counters(state: &mut State, call: &Call) -> Answer {
    let rid = find(state, call)?;
    let empty = Doc::new();
    let room = state.room(&rid).unwrap_or(&empty);
    let sub = state.sub(&rid, &call.uid).map_or(&empty, |sub| &sub.doc);
    let seen = json::date_ms(sub.get("ls"));
    let unread = seen.map(|seen| {
        state
            .messages
            .newest_first(&rid, seen + 1, i64::MAX)
            .count()
    });
    ok(json!({
        "joined": true, "members": state.member_count(&rid), "unreads": unread, "unreadsFrom": seen.map(json::date),
        "msgs": json::number(room, "msgs"), "latest": room.get("lm"), "userMentions": json::number(sub, "userMentions"),
    }))
}
