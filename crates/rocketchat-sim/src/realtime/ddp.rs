//! DDP frames (facts 7.1, captures 20 and 21).

use serde_json::{Value, json};

use super::{hub::Out, methods::Done};
use crate::{error::Failure, ids, server::Shared, state::State};

/// Handles one text frame of a socket.
pub async fn handle(shared: &Shared, id: u64, text: &str) {
    let Ok(frame) = serde_json::from_str::<Value>(text) else {
        return bad(&mut shared.lock(), id, "Bad request", &Value::Null);
    };
    let done = {
        let mut state = shared.lock();
        let done = take(&mut state, id, &frame);
        state.journal.flush();
        done
    };
    let Some((call, prepared)) = done else { return };
    // Only sending takes time; the next frame of this socket waits for it.
    let (pause, duplicate) = {
        let state = shared.lock();
        (
            state.options.message_delay_ms,
            state.duplicate(&prepared).is_some(),
        )
    };
    if pause > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
    }
    let mut state = shared.lock();
    // The method swallows every failure: a result without a result (facts 4.4).
    let result = if duplicate {
        None
    } else {
        state.commit_send(prepared).ok().map(Value::Object)
    };
    finish(&mut state, id, &call, Ok(result));
    state.journal.flush();
}

fn bad(state: &mut State, id: u64, reason: &str, offending: &Value) {
    let mut frame = json!({ "msg": "error", "reason": reason });
    if !offending.is_null() {
        frame["offendingMessage"] = offending.clone();
    }
    state.hub.reply(id, &frame);
}

fn finish(state: &mut State, id: u64, call: &str, result: Result<Option<Value>, Failure>) {
    state
        .hub
        .reply(id, &json!({ "msg": "updated", "methods": [call] }));
    let mut frame = json!({ "msg": "result", "id": call });
    match result {
        Ok(Some(value)) => frame["result"] = value,
        Ok(None) => {}
        Err(failure) => frame["error"] = failure.ddp(),
    }
    state.hub.reply(id, &frame);
}

fn take(
    state: &mut State,
    id: u64,
    frame: &Value,
) -> Option<(String, crate::actions::send::Prepared)> {
    let connected = state
        .hub
        .socket(id)
        .is_some_and(|socket| !socket.session.is_empty());
    let kind = frame.get("msg").and_then(Value::as_str).unwrap_or("");
    match kind {
        "connect" if connected => bad(state, id, "Already connected", frame),
        "connect" => connect(state, id, frame),
        "" => bad(state, id, "Bad request", frame),
        _ if !connected => bad(state, id, "Must connect first", frame),
        "ping" => {
            let mut pong = json!({ "msg": "pong" });
            if let Some(ping) = frame.get("id") {
                pong["id"] = ping.clone();
            }
            state.hub.reply(id, &pong);
        }
        "pong" => {}
        "sub" => {
            let (Some(sub), Some(name), Some(params)) = (
                frame["id"].as_str(),
                frame["name"].as_str(),
                frame.get("params").map_or(Some(&[] as &[Value]), |params| {
                    params.as_array().map(Vec::as_slice)
                }),
            ) else {
                bad(state, id, "Malformed subscription", frame);
                return None;
            };
            state.subscribe(id, sub, name, params);
        }
        "unsub" => {
            if let Some(sub) = frame["id"].as_str() {
                state.hub.unsubscribe(id, sub);
            }
            let mut answer = json!({ "msg": "nosub" });
            if let Some(sub) = frame.get("id") {
                answer["id"] = sub.clone();
            }
            state.hub.reply(id, &answer);
        }
        "method" => {
            let no_params = Vec::new();
            let (Some(call), Some(name), Some(params)) = (
                frame["id"].as_str(),
                frame["method"].as_str(),
                frame
                    .get("params")
                    .map_or(Some(&no_params), Value::as_array),
            ) else {
                bad(state, id, "Malformed method invocation", frame);
                return None;
            };
            return method(state, id, call, name, params);
        }
        _ => bad(state, id, "Bad request", frame),
    }
    None
}

fn connect(state: &mut State, id: u64, frame: &Value) {
    if frame["version"] != "1" {
        state
            .hub
            .reply(id, &json!({ "msg": "failed", "version": "1" }));
        state.hub.push(id, Out::Close(1000));
        return;
    }
    let session = ids::meteor();
    if let Some(socket) = state.hub.socket_mut(id) {
        socket.session.clone_from(&session);
    }
    state
        .hub
        .reply(id, &json!({ "msg": "connected", "session": session }));
}

fn method(
    state: &mut State,
    id: u64,
    call: &str,
    name: &str,
    params: &[Value],
) -> Option<(String, crate::actions::send::Prepared)> {
    if let Err(failure) = state.count_ddp(id, name) {
        finish(state, id, call, Err(failure));
        return None;
    }
    let user = state.hub.socket(id).and_then(|socket| socket.user.clone());
    let result = match name {
        "login" => login(state, id, params.first().unwrap_or(&Value::Null)).map(Some),
        "logout" => {
            logout(state, id);
            Ok(None)
        }
        _ => match state.call_method(user.as_deref(), name, params, Some(id)) {
            Ok(Done::Value(value)) => Ok(value),
            Ok(Done::Send(prepared)) => return Some((call.to_owned(), *prepared)),
            Err(failure) => Err(failure),
        },
    };
    finish(state, id, call, result);
    None
}

fn login(state: &mut State, id: u64, options: &Value) -> Result<Value, Failure> {
    let login = state.log_in(options, false)?;
    let already = state.hub.socket(id).and_then(|socket| socket.user.clone());
    let first = !state.hub.has_user(&login.uid);
    state.hub.set_user(
        id,
        Some(login.uid.clone()),
        Some(crate::state::users::token_hash(&login.token)),
    );
    if already.as_deref() != Some(login.uid.as_str()) {
        if let Some(already) = already {
            state.hub.reply(
                id,
                &json!({ "msg": "removed", "collection": "users", "id": already }),
            );
        }
        if let Some(user) = state.users.get(&login.uid) {
            let fields = crate::json::only(&user.doc, &["username", "emails"]);
            let frame =
                json!({ "msg": "added", "collection": "users", "id": login.uid, "fields": fields });
            state.hub.reply(id, &frame);
        }
    }
    if first {
        state.set_status(&login.uid, "online", None, None);
    }
    state.wake_streams(id);
    Ok(json!({
        "id": login.uid, "token": login.token, "tokenExpires": { "$date": login.expires }, "type": login.kind,
    }))
}

fn logout(state: &mut State, id: u64) {
    let Some(socket) = state.hub.socket(id) else {
        return;
    };
    let (user, token) = (socket.user.clone(), socket.token.clone());
    let Some(uid) = user else { return };
    state.hub.set_user(id, None, None);
    state.hub.reply(
        id,
        &json!({ "msg": "removed", "collection": "users", "id": uid }),
    );
    if let Some(token) = token {
        state.change_user(&uid, |user| user.tokens.retain(|one| one.hash != token));
    }
    state.wake_streams(id);
    if !state.hub.has_user(&uid) {
        state.set_status(&uid, "offline", None, None);
    }
}
