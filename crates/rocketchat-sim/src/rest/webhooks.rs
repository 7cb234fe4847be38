//! Incoming webhooks (facts 8.3, capture 71): an address at which other programs post messages as
//! an account. Outgoing ones are not there.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use super::{
    Route,
    call::{Answer, Call, ok},
    chat, post,
};
use crate::{
    actions::send::Prepared,
    error::Failure,
    ids,
    json::{self, Doc},
    state::State,
    time,
};

/// Routes of this family.
pub const ROUTES: &[Route] = &[
    post("integrations.create", create),
    post("integrations.remove", remove),
];

fn check_right(state: &State, uid: &str) -> Result<(), Failure> {
    if state.may(uid, "manage-incoming-integrations") {
        Ok(())
    } else {
        Err(Failure::bare("not_authorized"))
    }
}

fn create(state: &mut State, call: &Call) -> Answer {
    if call.b("type") != "webhook-incoming" {
        return Err(Failure::written("Invalid integration type."));
    }
    check_right(state, &call.uid)?;
    let about = json!({ "method": "addIncomingIntegration" });
    let Some(user) = state.users.named(call.b("username")) else {
        return Err(Failure::coded("error-invalid-user", "Invalid user").with(about));
    };
    let channels: Vec<&str> = call.b("channel").split(',').map(str::trim).collect();
    for channel in &channels {
        let known = match channel.split_at_checked(1) {
            Some(("#", name)) => state.room(name).is_some() || state.room_named(name).is_some(),
            Some(("@", name)) => state.users.named(name).is_some(),
            _ => false,
        };
        if !known {
            return Err(Failure::coded("error-invalid-room", "Invalid room").with(about));
        }
    }
    let now = time::now_ms();
    let mut hook = json::only(
        &call.body,
        &[
            "type",
            "name",
            "enabled",
            "username",
            "scriptEnabled",
            "overrideDestinationChannelEnabled",
            "alias",
            "avatar",
            "emoji",
        ],
    );
    let made_by = state.users.get(&call.uid).map(|user| user.short());
    for (key, value) in [
        ("channel", json!(channels)),
        ("scriptEngine", json!("isolated-vm")),
        ("token", json!(ids::meteor() + &ids::meteor())),
        ("userId", json!(user.id())),
        ("_createdAt", json::date(now)),
        ("_createdBy", json!(made_by)),
        ("_id", json!(ids::object(now))),
    ] {
        hook.insert(key.to_owned(), value);
    }
    state.save_webhook(hook.clone());
    ok(json!({ "integration": hook }))
}

fn remove(state: &mut State, call: &Call) -> Answer {
    check_right(state, &call.uid)?;
    match state.remove_webhook(call.b("integrationId")) {
        Some(mut hook) => {
            let at = hook.get("_createdAt").cloned().unwrap_or(Value::Null);
            hook.insert("_updatedAt".to_owned(), at);
            ok(json!({ "integration": hook }))
        }
        None => Err(Failure::written("No integration found.")),
    }
}

/// Status and text of a refusal.
pub type Refusal = (StatusCode, String);

fn refused(failure: &Failure) -> Refusal {
    (StatusCode::BAD_REQUEST, failure.told_to_author())
}

/// What a call to `/hooks/<id>/<token>` posts; an empty call posts nothing. Everything that the
/// call does not say is as the webhook was made.
pub fn incoming(state: &mut State, address: &str, body: Doc) -> Result<Vec<Prepared>, Refusal> {
    let unknown = || {
        let text = "Invalid integration id or token provided.";
        (StatusCode::NOT_FOUND, text.to_owned())
    };
    let (id, token) = address.split_once('/').ok_or_else(unknown)?;
    let hook = state.webhooks.get(id).cloned().ok_or_else(unknown)?;
    if json::text(&hook, "token") != token || !json::flag(&hook, "enabled") {
        return Err(unknown());
    }
    let says = |key: &str| json::truthy(body.get(key));
    if !["text", "msg", "attachments"].iter().any(|key| says(key)) {
        return Ok(Vec::new());
    }
    let mut targets = json::texts(&hook, "channel");
    if says("channel") || says("roomId") {
        if !json::flag(&hook, "overrideDestinationChannelEnabled") {
            let text = "overriding destination channel is disabled for this integration";
            return Err((StatusCode::BAD_REQUEST, text.to_owned()));
        }
        let key = if says("roomId") { "roomId" } else { "channel" };
        targets = vec![json::text(&body, key).to_owned()];
    }
    let mut body = body;
    for key in ["alias", "avatar", "emoji"] {
        if !json::truthy(body.get(key))
            && let Some(value) = hook.get(key)
        {
            body.insert(key.to_owned(), value.clone());
        }
    }
    // A picture leaves no place for an emoji.
    if json::truthy(body.get("avatar")) {
        body.remove("emoji");
    }
    body.insert("bot".to_owned(), json!({ "i": id }));
    let call = Call {
        uid: json::text(&hook, "userId").to_owned(),
        body,
        ..Call::default()
    };
    let message = chat::posted(state, &call).map_err(|failure| refused(&failure))?;
    targets
        .iter()
        .map(|wanted| {
            let rid = chat::target(state, &call.uid, wanted)?;
            state.prepare_post(&call.uid, &rid, message.clone())
        })
        .collect::<Result<_, Failure>>()
        .map_err(|failure| refused(&failure))
}
