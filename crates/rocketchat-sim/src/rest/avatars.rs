//! `/avatar/…`, `users.setAvatar` and what belongs to it (facts 2.6, capture 44).

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use serde_json::json;

use super::{
    Route,
    call::{Answer, Call, Reply, done, ok},
    downloads::{http_date, query_or_cookie},
    get, open, post, serve,
};
use crate::{
    error::Failure,
    state::{State, avatars::Owner},
};

/// Routes of this family.
pub const ROUTES: &[Route] = &[
    post("users.setAvatar", set),
    post("users.resetAvatar", reset),
    open(get("users.getAvatar", location)),
    get("users.getAvatarSuggestion", |_, _| {
        ok(json!({ "suggestions": {} }))
    }),
];

/// Backgrounds of letters; the length of the name chooses.
const COLOURS: [&str; 6] = [
    "#158D65", "#7F1B9F", "#B68D00", "#E26D0E", "#10529E", "#6C727A",
];

/// When letters were last changed, says the server.
const LETTERS_SINCE: &str = "Thu, 01 Jan 2015 00:00:00 GMT";

fn letters(name: &str) -> String {
    let colour = COLOURS[name.encode_utf16().count() % COLOURS.len()];
    let letter = name
        .chars()
        .find(|one| one.is_alphanumeric())
        .map_or_else(String::new, |one| one.to_uppercase().to_string());
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 200 200\">\n<rect width=\"100%\" height=\"100%\" fill=\"{colour}\"/>\n<text x=\"50%\" y=\"50%\" dy=\"0.36em\" text-anchor=\"middle\" pointer-events=\"none\" fill=\"#ffffff\" font-family=\"'Helvetica', 'Arial', 'Lucida Grande', 'sans-serif'\" font-size=\"125\">\n{letter}\n</text>\n</svg>"
    )
}

fn svg(response: &mut actix_web::HttpResponseBuilder, name: &str) -> HttpResponse {
    response
        .insert_header(("content-type", "image/svg+xml"))
        .insert_header(("vary", "Accept-Encoding"))
        .body(letters(name))
}

/// Answers `GET /avatar/<username>` and `/avatar/room/<rid>`; `None` for other paths.
pub fn answer(state: &State, request: &HttpRequest) -> Option<HttpResponse> {
    let raw = request.path().strip_prefix("/avatar/")?;
    if !matches!(request.method().as_str(), "GET" | "HEAD") {
        return None;
    }
    let mut response = HttpResponse::build(StatusCode::OK);
    response.insert_header(("access-control-allow-origin", "*"));
    let known =
        query_or_cookie(request).is_some_and(|(uid, token)| serve::is_valid(state, &uid, &token));
    let room = raw.strip_prefix("room/");
    // Never a refusal: who may not see gets letters of what the address says, query included.
    if !known
        && state
            .settings
            .on("Accounts_AvatarBlockUnauthenticatedAccess")
    {
        let query = request.query_string();
        let asked = room.unwrap_or(raw);
        return Some(if query.is_empty() {
            svg(&mut response, asked)
        } else {
            svg(&mut response, &format!("{asked}?{query}"))
        });
    }
    if raw.starts_with('@') {
        return Some(svg(&mut response, raw));
    }
    let name = super::emoji::percent_decoded(raw);
    let (owner, label) = match room {
        Some(rid) => match state.room_label(rid) {
            Some(label) => (Some(Owner::Room(rid.to_owned())), label),
            None => return Some(HttpResponse::NotFound().finish()),
        },
        None => {
            let user = state.users.exactly_named(&name);
            (user.map(|user| Owner::User(user.id().to_owned())), name)
        }
    };
    if room.is_none() {
        response
            .insert_header(("cache-control", "public, max-age=3600"))
            .insert_header(("content-disposition", "inline"));
    }
    let since = request
        .headers()
        .get("if-modified-since")
        .and_then(|value| value.to_str().ok());
    let stored = owner.and_then(|owner| state.avatars.get(&owner).cloned());
    let bytes = stored
        .as_ref()
        .and_then(|one| std::fs::read(state.avatar_path(&one.owner)).ok());
    let (Some(avatar), Some(bytes)) = (stored, bytes) else {
        if room.is_some() {
            response
                .insert_header(("cache-control", "public, max-age=3600"))
                .insert_header(("content-disposition", "inline"));
        }
        response.insert_header(("last-modified", LETTERS_SINCE));
        if since == Some(LETTERS_SINCE) {
            return Some(response.status(StatusCode::NOT_MODIFIED).finish());
        }
        return Some(svg(&mut response, &label));
    };
    let changed = http_date(avatar.at);
    response
        .insert_header(("content-security-policy", "default-src 'none'"))
        .insert_header(("last-modified", changed.as_str()));
    if since == Some(&changed) {
        return Some(response.status(StatusCode::NOT_MODIFIED).finish());
    }
    Some(
        response
            .insert_header(("content-type", avatar.kind))
            .body(bytes),
    )
}

fn set(state: &mut State, call: &Call) -> Answer {
    let edits_others = state.may_edit_avatars(&call.uid);
    if !edits_others && !state.settings.on("Accounts_AllowUserAvatarChange") {
        return Err(
            Failure::coded("error-not-allowed", "Change avatar is not allowed")
                .with(json!({ "method": "users.setAvatar" })),
        );
    }
    let url = call.b("avatarUrl");
    if !url.is_empty() {
        // Nothing is fetched from anywhere: a real server refuses private addresses like this.
        return Err(Failure::coded(
            "error-avatar-invalid-url",
            &format!("Invalid avatar URL: {url}"),
        )
        .with(json!({ "function": "setUserAvatar", "url": url })));
    }
    let form = call.form.take().unwrap_or_else(|| {
        let text = "Unsupported content type: application/json";
        Err(Failure::plain(text))
    })?;
    let text = |key: &str| crate::json::text(&form.fields, key).to_owned();
    let (id, name) = (text("userId"), text("username"));
    let uid = if id.is_empty() && name.is_empty() {
        call.uid.clone()
    } else {
        let found = if id.is_empty() {
            state.users.named(&name)
        } else {
            state.users.get(&id)
        };
        let Some(found) = found else {
            return Err(Failure::coded(
                "error-invalid-user",
                "The optional \"userId\" or \"username\" param provided does not match any users",
            ));
        };
        if found.id() != call.uid && !edits_others {
            return Err(Failure::coded("error-not-allowed", "Not allowed"));
        }
        found.id().to_owned()
    };
    let Some(file) = form.file else {
        return Err(Failure::written("The 'image' param is required"));
    };
    let bytes = std::fs::read(file.bytes.path())
        .map_err(|error| Failure::coded("ufs: cannot upload file", &error.to_string()))?;
    state.set_user_avatar(&uid, &bytes)?;
    done()
}

fn reset(state: &mut State, call: &Call) -> Answer {
    let uid = call.user_param(state)?.id().to_owned();
    let own = uid == call.uid && state.settings.on("Accounts_AllowUserAvatarChange");
    if !own && !state.may_edit_avatars(&call.uid) {
        return Err(Failure::coded("error-not-allowed", "Not allowed"));
    }
    state.reset_user_avatar(&uid);
    done()
}

fn location(state: &mut State, call: &Call) -> Answer {
    let name = call.user_param(state)?.name().to_owned();
    Ok(Reply::Redirect(state.avatar_url(&name)))
}
