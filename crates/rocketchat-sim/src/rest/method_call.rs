//! Methods over REST (facts 7.4).

use serde_json::{Value, json};

use super::{
    Route,
    call::{Answer, Call, Reply, ok},
    open, post,
};
use crate::{error::Failure, realtime::methods::Done, state::State};

/// Routes of this family.
pub const ROUTES: &[Route] = &[
    post("method.call/:", call_method),
    open(post("method.callAnon/:", call_method)),
];

fn call_method(state: &mut State, call: &Call) -> Answer {
    let message: Value = serde_json::from_str(call.b("message")).map_err(|_| {
        let first = call.b("message").chars().nth(1).unwrap_or('u');
        Failure::plain(format!("Unexpected token {first} in JSON at position 1"))
    })?;
    let id = message["id"].clone();
    let params = message["params"].as_array().cloned().unwrap_or_default();
    let user = (!call.uid.is_empty()).then_some(call.uid.as_str());
    let outcome = state
        .count_call(&format!("token {}", call.token), user, &call.parameter)
        .and_then(|()| state.call_method(user, &call.parameter, &params, None));
    match outcome {
        Ok(Done::Send(prepared)) => Ok(Reply::MethodSend(prepared, id)),
        Ok(Done::Value(value)) => ok(wrap(&id, Ok(value))),
        Err(failure) => ok(wrap(&id, Err(failure))),
    }
}

/// The result frame as a text in `message`.
pub fn wrap(id: &Value, result: Result<Option<Value>, Failure>) -> Value {
    let mut frame = json!({ "msg": "result", "id": id });
    match result {
        Ok(Some(value)) => frame["result"] = value,
        Ok(None) => {}
        Err(failure) => frame["error"] = failure.ddp(),
    }
    json!({ "message": frame.to_string() })
}
