//! `emoji-custom.*` and the pictures (facts 6, capture 45). Uploading is an order of the control API.

use actix_web::{HttpResponse, http::StatusCode};
use serde_json::json;

use super::{
    Route,
    call::{Answer, Call, done, ok},
    get, post, rooms,
};
use crate::{error::Failure, json, state::State};

/// Routes of this family.
pub const ROUTES: &[Route] = &[
    get("emoji-custom.list", list),
    get("emoji-custom.all", all),
    post("emoji-custom.delete", delete),
];

/// What the server draws for a picture that it does not have.
const UNKNOWN: &str = r##"<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<svg xmlns="http://www.w3.org/2000/svg" pointer-events="none" width="50" height="50" style="width: 50px; height: 50px; background-color: #000;">
	<text text-anchor="middle" y="50%" x="50%" dy="0.36em" pointer-events="auto" fill="#ffffff" font-family="Helvetica, Arial, Lucida Grande, sans-serif" style="font-weight: 400; font-size: 28px;">
		?
	</text>
</svg>"##;

/// `GET /emoji-custom/<name>.<extension>`, for everybody. A gif is called a jpeg.
pub fn picture(state: &State, file: &str) -> HttpResponse {
    let file = percent_decoded(file);
    match state.emoji.file(&file) {
        Some(emoji) => {
            let kind = match emoji.extension.as_str() {
                "png" => "image/png",
                "svg" => "image/svg+xml",
                _ => "image/jpeg",
            };
            HttpResponse::build(StatusCode::OK)
                .content_type(kind)
                .insert_header(("content-disposition", "inline"))
                .insert_header(("cache-control", "public, max-age=31536000"))
                .body(emoji.picture.clone())
        }
        None => HttpResponse::build(StatusCode::OK)
            .insert_header(("content-type", "image/svg+xml"))
            .insert_header(("content-disposition", "inline"))
            .insert_header(("cache-control", "public, max-age=0"))
            .body(UNKNOWN),
    }
}

/// The parts of a path are encoded as those of a query, but for the plus sign.
pub(super) fn percent_decoded(text: &str) -> String {
    let pair = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

fn list(state: &mut State, call: &Call) -> Answer {
    let since = rooms::since(call)?;
    let update: Vec<_> = state
        .emoji
        .all
        .iter()
        .filter(|one| since.is_none_or(|since| one.updated > since))
        .map(|one| one.shown())
        .collect();
    let remove: Vec<_> = state
        .emoji
        .removed
        .iter()
        .filter(|(_, at)| since.is_some_and(|since| *at > since))
        .map(|(id, at)| json!({ "_id": id, "_deletedAt": json::date(*at) }))
        .collect();
    ok(json!({ "emojis": { "update": update, "remove": remove } }))
}

fn all(state: &mut State, call: &Call) -> Answer {
    let list = state
        .emoji
        .all
        .iter()
        .map(|one| json::doc(one.shown()))
        .collect();
    call.page(state, "emojis", list, "{\"name\":1}")
}

fn delete(state: &mut State, call: &Call) -> Answer {
    if !state.may(&call.uid, "manage-emoji") {
        return Err(Failure::silent());
    }
    if state.delete_emoji(call.b("emojiId")) {
        done()
    } else {
        Err(Failure::silent())
    }
}
