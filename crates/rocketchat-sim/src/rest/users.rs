//! `users.*` (facts 2.3, capture 60).

use serde_json::{Value, json};

use super::{
    Route,
    call::{Answer, Call, done, ok},
    get, post,
};
use crate::{
    error::Failure,
    json::{self, Doc},
    state::{State, users::User},
};

/// Routes of this family.
pub const ROUTES: &[Route] = &[
    post("users.create", create),
    post("users.update", update),
    post("users.updateOwnBasicInfo", update_own),
    get("users.info", info),
    get("users.list", list),
    post("users.setActiveStatus", set_active),
    post("users.delete", delete),
    get("users.presence", presence),
    get("users.getStatus", status),
    get("users.getPresence", get_presence),
    post("users.deleteOwnAccount", delete_own),
    post("users.setStatus", set_status),
    get("users.checkUsernameAvailability", available),
];

const CREATE_KEYS: &[&str] = &[
    "email",
    "name",
    "password",
    "username",
    "active",
    "bio",
    "nickname",
    "statusText",
    "roles",
    "joinDefaultChannels",
    "requirePasswordChange",
    "setRandomPassword",
    "sendWelcomeEmail",
    "verified",
    "customFields",
    "fields",
];

const UPDATE_KEYS: &[&str] = &[
    "email",
    "name",
    "password",
    "username",
    "bio",
    "nickname",
    "statusText",
    "status",
    "active",
    "roles",
    "joinDefaultChannels",
    "requirePasswordChange",
    "setRandomPassword",
    "sendWelcomeEmail",
    "verified",
    "customFields",
];

fn additional() -> Failure {
    Failure::Schema("must NOT have additional properties".to_owned())
}

fn missing(key: &str) -> Failure {
    Failure::Schema(format!("must have required property '{key}'"))
}

fn create(state: &mut State, call: &Call) -> Answer {
    let newer = state.options.profile == crate::profile::VersionProfile::V8_0;
    let known = |key: &&String| {
        CREATE_KEYS.contains(&key.as_str()) || (newer && *key == "freeSwitchExtension")
    };
    if call.body.keys().any(|key| !known(&key)) {
        return Err(additional());
    }
    if let Some(key) = ["email", "name", "password", "username"]
        .iter()
        .find(|key| {
            !(call.body.contains_key(**key)
                || **key == "password" && json::flag(&call.body, "setRandomPassword"))
        })
    {
        return Err(missing(key));
    }
    let user = state.create_user(&call.uid, &call.body)?;
    ok(json!({ "user": user }))
}

fn update(state: &mut State, call: &Call) -> Answer {
    if call
        .body
        .keys()
        .any(|key| !["userId", "data", "confirmRelinquish"].contains(&key.as_str()))
    {
        return Err(additional());
    }
    if call.b("userId").is_empty() {
        return Err(missing("userId"));
    }
    let Some(Value::Object(data)) = call.body.get("data") else {
        return Err(missing("data"));
    };
    if data.keys().any(|key| !UPDATE_KEYS.contains(&key.as_str())) {
        return Err(additional());
    }
    state.second_factor(&call.uid, &call.token, call.code.as_deref())?;
    let user = state.update_user(&call.uid, call.b("userId"), data)?;
    ok(json!({ "user": user }))
}

/// Keys of a change of one's own profile that are simulated: those that change how one is shown.
const OWN_KEYS: &[&str] = &["name", "username", "bio", "nickname", "statusText"];

fn update_own(state: &mut State, call: &Call) -> Answer {
    let Some(Value::Object(data)) = call.body.get("data") else {
        return Err(missing("data"));
    };
    if data.keys().any(|key| !OWN_KEYS.contains(&key.as_str())) {
        return Err(additional());
    }
    // What is not sent stays, unlike with users.update.
    let mut whole = state
        .users
        .get(&call.uid)
        .map(|user| json::only(&user.doc, &["bio", "nickname"]))
        .unwrap_or_default();
    whole.extend(data.clone());
    for (key, setting) in [
        ("name", "Accounts_AllowRealNameChange"),
        ("username", "Accounts_AllowUsernameChange"),
    ] {
        if whole.contains_key(key) && !state.settings.on(setting) {
            return Err(Failure::coded("error-not-allowed", "Not allowed")
                .with(json!({ "method": "saveUserProfile" })));
        }
    }
    let mut user = state.update_user(&call.uid, &call.uid, &whole)?;
    // The real server shows even this to its owner (capture 60).
    user.insert(
        "services".to_owned(),
        json!({ "password": { "bcrypt": "$2b$10$simulated" } }),
    );
    ok(json!({ "user": user }))
}

/// What callers without `view-full-other-user-info` do not see.
const PRIVATE: &[&str] = &[
    "emails",
    "roles",
    "lastLogin",
    "_updatedAt",
    "settings",
    "avatarOrigin",
    "createdAt",
    "requirePasswordChange",
    "bio",
    "nickname",
    "statusDefault",
    "utcOffset",
    "customFields",
];

fn visible(state: &State, viewer: &str, user: &User) -> Doc {
    if state.may(viewer, "view-full-other-user-info") {
        json::without(
            &user.doc,
            &[
                "_updatedAt",
                "settings",
                "statusDefault",
                "utcOffset",
                "avatarOrigin",
            ],
        )
    } else {
        json::without(&user.doc, PRIVATE)
    }
}

fn info(state: &mut State, call: &Call) -> Answer {
    let (id, name) = (call.q("userId"), call.q("username"));
    if id.is_empty() && name.is_empty() {
        return Err(Failure::Schema(
            "must have required property 'userId'\n must have required property 'username'\n must have required property 'importId'\n must match a schema in anyOf"
                .to_owned(),
        ));
    }
    let found = if id.is_empty() {
        state.users.exactly_named(name)
    } else {
        state.users.get(id)
    };
    let Some(user) = found else {
        return Err(Failure::written("User not found."));
    };
    let full = state.may(&call.uid, "view-full-other-user-info");
    let mut shown = visible(state, &call.uid, user);
    shown.insert("canViewAllInfo".to_owned(), json!(full));
    if call.q("fields").contains("userRooms") && (full || user.id() == call.uid) {
        let rooms: Vec<Doc> = state
            .subs_of_user(user.id())
            .iter()
            .map(|sub| {
                json::only(
                    &sub.doc,
                    &["_id", "rid", "name", "t", "roles", "unread", "federated"],
                )
            })
            .collect();
        shown.insert("rooms".to_owned(), json!(rooms));
        // This other view of an account is without them (capture 60).
        shown.remove("customFields");
    }
    ok(json!({ "user": shown }))
}

fn list(state: &mut State, call: &Call) -> Answer {
    if !state.may(&call.uid, "view-d-room") {
        return Err(Failure::Forbidden);
    }
    let full = state.may(&call.uid, "view-full-other-user-info");
    let users = state
        .users
        .in_order()
        .into_iter()
        .map(|user| {
            let mut keys = vec![
                "_id",
                "username",
                "name",
                "status",
                "active",
                "type",
                "avatarETag",
            ];
            if full {
                keys.extend(["emails", "roles", "lastLogin"]);
            }
            let mut shown = json::only(&user.doc, &keys);
            let insensitive = if user.shown_name().is_empty() {
                user.name()
            } else {
                user.shown_name()
            }
            .to_lowercase();
            shown.insert("nameInsensitive".to_owned(), json!(insensitive));
            shown
        })
        .collect();
    call.page(state, "users", users, "{\"username\":1}")
}

fn set_active(state: &mut State, call: &Call) -> Answer {
    if call.b("userId").is_empty() {
        return Err(missing("userId"));
    }
    let Some(active) = call.body.get("activeStatus").and_then(Value::as_bool) else {
        return Err(missing("activeStatus"));
    };
    if !state.may(&call.uid, "edit-other-user-active-status") {
        return Err(Failure::Forbidden);
    }
    let uid = call.b("userId").to_owned();
    state.set_active(&uid, active, json::flag(&call.body, "confirmRelinquish"))?;
    ok(json!({ "user": { "_id": uid, "active": active } }))
}

fn delete(state: &mut State, call: &Call) -> Answer {
    if !state.may(&call.uid, "delete-user") {
        return Err(Failure::Forbidden);
    }
    let uid = call.user_param(state)?.id().to_owned();
    state.delete_user(&uid, json::flag(&call.body, "confirmRelinquish"))?;
    done()
}

fn presence(state: &mut State, call: &Call) -> Answer {
    let wanted: Vec<&str> = call
        .q("ids")
        .split(',')
        .filter(|id| !id.is_empty())
        .collect();
    let users: Vec<Doc> = state
        .users
        .in_order()
        .into_iter()
        .filter(|user| {
            if wanted.is_empty() {
                json::text(&user.doc, "status") != "offline"
            } else {
                wanted.contains(&user.id())
            }
        })
        .map(|user| {
            json::only(
                &user.doc,
                &[
                    "_id",
                    "username",
                    "name",
                    "status",
                    "utcOffset",
                    "statusText",
                    "avatarETag",
                ],
            )
        })
        .collect();
    ok(json!({ "users": users, "full": call.q("from").is_empty() && wanted.is_empty() }))
}

fn status(state: &mut State, call: &Call) -> Answer {
    let own =
        call.q("userId").is_empty() && call.q("username").is_empty() && call.q("user").is_empty();
    let user = if own {
        state.users.get(&call.uid).ok_or(Failure::NotLoggedIn)?
    } else {
        call.user_param(state)?
    };
    let mut shown = json::only(&user.doc, &["_id", "status"]);
    if own {
        shown.insert(
            "connectionStatus".to_owned(),
            json!(if state.watched(user.id()) {
                "online"
            } else {
                "offline"
            }),
        );
    }
    ok(Value::Object(shown))
}

fn get_presence(state: &mut State, call: &Call) -> Answer {
    let named = ["userId", "username", "user"]
        .iter()
        .any(|key| !call.q(key).is_empty());
    let user = if named {
        call.user_param(state)?
    } else {
        state.users.get(&call.uid).ok_or(Failure::NotLoggedIn)?
    };
    let mut shown = json!({ "presence": user.doc["status"] });
    if user.id() == call.uid {
        shown["connectionStatus"] = json!(if state.watched(user.id()) {
            "online"
        } else {
            "offline"
        });
        shown["lastLogin"] = user.doc.get("lastLogin").cloned().unwrap_or(Value::Null);
    }
    ok(shown)
}

/// Only where people may; with the password, as clients send it.
fn delete_own(state: &mut State, call: &Call) -> Answer {
    if call.b("password").is_empty() {
        return Err(Failure::written("Body parameter \"password\" is required."));
    }
    if !state.settings.on("Accounts_AllowDeleteOwnAccount") {
        return Err(Failure::coded("error-not-allowed", "Not allowed"));
    }
    let known = state
        .users
        .get(&call.uid)
        .and_then(|user| user.password.clone());
    if known.as_deref() != Some(&call.b("password").to_lowercase()) {
        return Err(Failure::coded("error-invalid-password", "Invalid password")
            .with(json!({ "method": "deleteUserOwnAccount" })));
    }
    let confirmed = json::flag(&call.body, "confirmRelinquish");
    state.delete_user(&call.uid, confirmed)?;
    done()
}

fn set_status(state: &mut State, call: &Call) -> Answer {
    if call.body.get("message").is_none() && call.body.get("status").is_none() {
        return Err(Failure::plain(
            "Match error: Failed Match.OneOf, Match.Maybe or Match.Optional validation",
        ));
    }
    let own = call.b("userId").is_empty() && call.b("username").is_empty();
    let uid = if own {
        call.uid.clone()
    } else {
        call.user_param(state)?.id().to_owned()
    };
    if uid != call.uid && !state.may(&call.uid, "edit-other-user-info") {
        return Err(Failure::Forbidden);
    }
    let name = state
        .users
        .get(&uid)
        .map(|user| user.shown_name().to_owned());
    let old = state.users.get(&uid).map_or(String::new(), |user| {
        json::text(&user.doc, "status").to_owned()
    });
    let text = call
        .body
        .get("message")
        .and_then(Value::as_str)
        .map(str::to_owned);
    if let Some(text) = &text {
        state.change_user(&uid, |user| {
            user.doc.insert("statusText".to_owned(), json!(text));
        });
        state.set_status(&uid, &old, Some(text), name.as_deref());
    }
    if let Some(status) = call.body.get("status").and_then(Value::as_str) {
        if !["online", "away", "offline", "busy"].contains(&status) {
            return Err(Failure::coded(
                "error-invalid-status",
                "Valid status types include online, away, offline, and busy.",
            )
            .with(json!({ "method": "users.setStatus" })));
        }
        let shown = text.or_else(|| {
            state
                .users
                .get(&uid)
                .map(|user| json::text(&user.doc, "statusText").to_owned())
        });
        state.set_status(&uid, status, shown.as_deref(), name.as_deref());
    }
    done()
}

fn available(state: &mut State, call: &Call) -> Answer {
    ok(json!({ "result": state.users.named(call.q("username")).is_none() }))
}
