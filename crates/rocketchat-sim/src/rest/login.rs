//! `login`, `logout`, `me` (facts 1.1, 1.4).

use serde_json::{Value, json};

use super::{
    Route,
    call::{Answer, Call, Reply, ok},
    get, open, post,
};
use crate::{
    json::{self, Doc},
    state::{State, users::User, users::token_hash},
};

/// Routes of this family.
pub const ROUTES: &[Route] = &[
    open(post("login", login)),
    post("logout", logout),
    get("me", me),
];

const PREFERENCES: &str = include_str!("../data/user-settings.json");

fn profile(state: &State, user: &User) -> Doc {
    let mut doc = json::without(&user.doc, &["createdAt", "type", "lastLogin"]);
    doc.insert(
        "settings".to_owned(),
        serde_json::from_str(PREFERENCES).unwrap_or(Value::Null),
    );
    doc.insert("avatarUrl".to_owned(), json!(state.avatar_url(user.name())));
    doc
}

/// Accounts made by an administrator have the e-mail factor on, the first administrator has not.
fn has_mail_factor(user: &User) -> bool {
    user.doc.get("avatarOrigin").is_none()
}

fn login(state: &mut State, call: &Call) -> Answer {
    let mut options = call.body.clone();
    // The convenient form; unknown keys beside it leave the body as it is, for the method to refuse.
    let convenient = options
        .keys()
        .all(|key| ["user", "username", "email", "password", "code"].contains(&key.as_str()));
    if convenient && options.contains_key("password") {
        let given = ["user", "username", "email"]
            .iter()
            .find_map(|key| options.get(*key).cloned());
        if let Some(Value::String(name)) = given {
            let key = if options.contains_key("email") || name.contains('@') {
                "email"
            } else {
                "username"
            };
            options.insert("user".to_owned(), json!({ key: name }));
        }
    }
    let login = state.log_in(&Value::Object(options), true)?;
    let Some(user) = state.users.get(&login.uid) else {
        return Err(crate::error::Failure::NotLoggedIn);
    };
    let mut me = profile(state, user);
    let mut services = json!({ "password": { "bcrypt": "$2b$10$simulated" } });
    if has_mail_factor(user) {
        services["email2fa"] = json!({ "enabled": true });
    }
    me.insert("services".to_owned(), services);
    Ok(Reply::Bare(
        json!({ "status": "success", "data": { "userId": login.uid, "authToken": login.token, "me": me } }),
    ))
}

fn logout(state: &mut State, call: &Call) -> Answer {
    let hash = token_hash(&call.token);
    state.change_user(&call.uid, |user| {
        user.tokens.retain(|token| token.hash != hash)
    });
    state.close_sockets_of(&call.uid, Some(&hash));
    Ok(Reply::Bare(
        json!({ "status": "success", "data": { "message": "You've been logged out!" } }),
    ))
}

fn me(state: &mut State, call: &Call) -> Answer {
    let Some(user) = state.users.get(&call.uid) else {
        return Err(crate::error::Failure::NotLoggedIn);
    };
    let mut me = profile(state, user);
    let mut services = json!({ "password": { "exists": user.password.is_some() } });
    if has_mail_factor(user) {
        services["email2fa"] = json!({ "enabled": true });
    }
    me.insert("services".to_owned(), services);
    me.insert("isOAuthUser".to_owned(), json!(false));
    if let Some(email) = user.verified_email() {
        me.insert("email".to_owned(), json!(email));
    }
    ok(Value::Object(me))
}
