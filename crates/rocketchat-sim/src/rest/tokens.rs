//! Personal access tokens and `users.createToken` (facts 1.3, capture 01).

use serde_json::{Value, json};

use super::{
    Route,
    call::{Answer, Call, done, ok},
    get, post,
};
use crate::{
    error::Failure,
    ids, json,
    state::{State, users::Token, users::token_hash},
    time,
};

/// Routes of this family.
pub const ROUTES: &[Route] = &[
    post("users.generatePersonalAccessToken", generate),
    post("users.regeneratePersonalAccessToken", regenerate),
    post("users.removePersonalAccessToken", remove),
    get("users.getPersonalAccessTokens", list),
    post("users.createToken", create),
    post("users.logout", logout),
];

fn token_name(call: &Call) -> Result<String, Failure> {
    match call.b("tokenName") {
        "" => Err(Failure::written("The 'tokenName' param is required")),
        name => Ok(name.to_owned()),
    }
}

fn allowed(state: &mut State, call: &Call, method: &str) -> Result<(), Failure> {
    if !state.may(&call.uid, "create-personal-access-tokens") {
        return Err(
            Failure::coded("not-authorized", "Not Authorized").with(json!({ "method": method }))
        );
    }
    state.second_factor(&call.uid, &call.token, call.code.as_deref())
}

fn missing(method: &str) -> Failure {
    Failure::coded("error-token-does-not-exists", "Token does not exist")
        .with(json!({ "method": method }))
}

fn issue(state: &mut State, uid: &str, name: &str, bypass: bool) -> Value {
    let raw = ids::token();
    let token = Token {
        hash: token_hash(&raw),
        when: time::now_ms(),
        name: Some(name.to_owned()),
        bypass,
        last_part: raw[raw.len() - 6..].to_owned(),
    };
    state.change_user(uid, |user| user.tokens.push(token));
    json!({ "token": raw })
}

fn generate(state: &mut State, call: &Call) -> Answer {
    let name = token_name(call)?;
    allowed(state, call, "personalAccessTokens:generateToken")?;
    let taken = state.users.get(&call.uid).is_some_and(|user| {
        user.tokens
            .iter()
            .any(|one| one.name.as_ref() == Some(&name))
    });
    if taken {
        return Err(Failure::coded(
            "error-token-already-exists",
            "A token with this name already exists",
        )
        .with(json!({ "method": "personalAccessTokens:generateToken" })));
    }
    ok(issue(
        state,
        &call.uid,
        &name,
        json::flag(&call.body, "bypassTwoFactor"),
    ))
}

fn take(state: &mut State, call: &Call, method: &str) -> Result<(String, bool), Failure> {
    let name = token_name(call)?;
    allowed(state, call, method)?;
    let user = state.users.get(&call.uid).ok_or(Failure::NotLoggedIn)?;
    let bypass = user
        .tokens
        .iter()
        .find(|one| one.name.as_ref() == Some(&name))
        .ok_or_else(|| missing(method))?
        .bypass;
    state.change_user(&call.uid, |user| {
        user.tokens.retain(|one| one.name.as_ref() != Some(&name))
    });
    Ok((name, bypass))
}

fn regenerate(state: &mut State, call: &Call) -> Answer {
    let (name, bypass) = take(state, call, "personalAccessTokens:regenerateToken")?;
    ok(issue(state, &call.uid, &name, bypass))
}

fn remove(state: &mut State, call: &Call) -> Answer {
    take(state, call, "personalAccessTokens:removeToken")?;
    done()
}

fn list(state: &mut State, call: &Call) -> Answer {
    if !state.may(&call.uid, "create-personal-access-tokens") {
        return Err(Failure::Forbidden);
    }
    let tokens: Vec<Value> = state.users.get(&call.uid).map_or_else(Vec::new, |user| {
        user.tokens
            .iter()
            .filter(|token| token.name.is_some())
            .map(|token| {
                json!({
                    "name": token.name, "createdAt": json::date(token.when), "lastTokenPart": token.last_part,
                    "bypassTwoFactor": token.bypass,
                })
            })
            .collect()
    });
    ok(json!({ "tokens": tokens }))
}

fn create(state: &mut State, call: &Call) -> Answer {
    let uid = call.user_param(state)?.id().to_owned();
    let refused = || {
        Failure::coded("error-not-authorized", "Not authorized")
            .with(json!({ "method": "createToken" }))
    };
    let open = if state.options.profile.create_token_secret() {
        state
            .options
            .create_tokens_secret
            .as_deref()
            .is_some_and(|secret| secret == call.b("secret"))
    } else {
        state.options.create_tokens
    };
    if !open || (uid != call.uid && !state.may(&call.uid, "user-generate-access-token")) {
        return Err(refused());
    }
    let token = state.issue_login_token(&uid);
    ok(json!({ "data": { "userId": uid, "authToken": token } }))
}

fn logout(state: &mut State, call: &Call) -> Answer {
    let uid = match call.b("userId") {
        "" => call.uid.clone(),
        uid => uid.to_owned(),
    };
    if uid != call.uid && !state.may(&call.uid, "logout-other-user") {
        return Err(Failure::Forbidden);
    }
    state.revoke_tokens(&uid);
    ok(json!({ "message": format!("User {uid} has been logged out!") }))
}
