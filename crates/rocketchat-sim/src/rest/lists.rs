//! Finding people and rooms (capture 03 and 60): `spotlight`, `directory`, `users.autocomplete`.

use serde_json::{Value, json};

use super::{
    Route,
    call::{Answer, Call, ok},
    get,
};
use crate::{
    error::Failure,
    json::{self, Doc},
    state::{State, users::User},
};

/// Routes of this family.
pub const ROUTES: &[Route] = &[
    get("spotlight", spotlight),
    get("directory", directory),
    get("users.autocomplete", autocomplete),
];

/// How many of each `spotlight` shows.
const SPOTLIGHT: usize = 5;
/// How many `users.autocomplete` shows.
const AUTOCOMPLETE: usize = 10;

fn names(user: &User, term: &str) -> bool {
    user.name().to_lowercase().contains(term) || user.shown_name().to_lowercase().contains(term)
}

/// People and public rooms whose name has a text in it; `@` in front finds people only, `#` rooms.
/// People that the caller shares no room with are marked `outside`.
fn spotlight(state: &mut State, call: &Call) -> Answer {
    let query = call.q("query");
    if query.is_empty() {
        return Err(Failure::Schema(
            "must have required property 'query'".to_owned(),
        ));
    }
    let (people, rooms) = (!query.starts_with('#'), !query.starts_with('@'));
    let term = query.trim_start_matches(['@', '#']).to_lowercase();
    let shares_room = |uid: &str| {
        state
            .subs_of_user(uid)
            .iter()
            .any(|sub| state.sub(json::text(&sub.doc, "rid"), &call.uid).is_some())
    };
    let users: Vec<Doc> = state
        .users
        .in_order()
        .into_iter()
        .filter(|user| people && user.active() && names(user, &term))
        .take(SPOTLIGHT)
        .map(|user| {
            let mut shown = json::only(
                &user.doc,
                &[
                    "_id",
                    "username",
                    "name",
                    "status",
                    "statusText",
                    "nickname",
                    "avatarETag",
                ],
            );
            if !shares_room(user.id()) {
                shown.insert("outside".to_owned(), json!(true));
            }
            shown
        })
        .collect();
    let found: Vec<Doc> = state
        .rooms_in_order()
        .into_iter()
        .filter(|room| rooms && json::text(room, "t") == "c" && !json::flag(room, "archived"))
        .filter(|room| {
            ["name", "fname"]
                .iter()
                .any(|key| json::text(room, key).to_lowercase().contains(&term))
        })
        // Rooms that the caller is in are in its own list already.
        .filter(|room| state.sub(json::text(room, "_id"), &call.uid).is_none())
        .take(SPOTLIGHT)
        .map(|room| {
            json::only(
                room,
                &[
                    "_id",
                    "t",
                    "name",
                    "fname",
                    "lastMessage",
                    "prid",
                    "teamMain",
                    "avatarETag",
                ],
            )
        })
        .collect();
    ok(json!({ "users": users, "rooms": found }))
}

/// `query` is `{"type":"channels"|"users"|"teams","text":…}`; the newest first unless sorted.
fn directory(state: &mut State, call: &Call) -> Answer {
    let query: Value = match call.q("query") {
        "" => json!({}),
        text => serde_json::from_str(text).map_err(|_| {
            Failure::coded(
                "error-invalid-query",
                &format!("Invalid query parameter provided: \"{text}\""),
            )
            .with(json!({ "helperMethod": "parseJsonQuery" }))
        })?,
    };
    let text = |key: &str, parameter: &str| {
        query[key]
            .as_str()
            .unwrap_or_else(|| call.q(parameter))
            .to_owned()
    };
    let kind = match text("type", "type") {
        kind if kind.is_empty() => "channels".to_owned(),
        kind => kind,
    };
    let term = text("text", "text").to_lowercase();
    let rooms = |wanted: &dyn Fn(&Doc) -> bool, permission: &str| -> Vec<Doc> {
        if !state.may(&call.uid, permission) {
            return Vec::new();
        }
        state
            .rooms_in_order()
            .into_iter()
            .rev()
            .filter(|room| wanted(room))
            .filter(|room| {
                ["name", "fname", "topic"]
                    .iter()
                    .any(|key| json::text(room, key).to_lowercase().contains(&term))
            })
            .map(|room| {
                json::only(
                    room,
                    &[
                        "_id",
                        "t",
                        "name",
                        "fname",
                        "description",
                        "topic",
                        "usersCount",
                        "lm",
                        "ts",
                        "archived",
                        "federated",
                        "featured",
                        "msgs",
                        "prid",
                        "teamId",
                        "teamMain",
                        "avatarETag",
                    ],
                )
            })
            .collect()
    };
    let list = match kind.as_str() {
        "channels" => rooms(
            &|room| json::text(room, "t") == "c" && !json::flag(room, "teamMain"),
            "view-c-room",
        ),
        "teams" => rooms(
            &|room| {
                json::flag(room, "teamMain") && state.may_access(&call.uid, json::text(room, "_id"))
            },
            "view-c-room",
        ),
        "users" => {
            if !state.may(&call.uid, "view-outside-room") || !state.may(&call.uid, "view-d-room") {
                return Err(Failure::plain("error-not-allowed"));
            }
            let full = state.may(&call.uid, "view-full-other-user-info");
            state
                .users
                .in_order()
                .into_iter()
                .filter(|user| user.active() && names(user, &term))
                .map(|user| {
                    let mut keys = vec![
                        "_id",
                        "username",
                        "name",
                        "nickname",
                        "bio",
                        "createdAt",
                        "federated",
                        "avatarETag",
                    ];
                    if full {
                        keys.push("emails");
                    }
                    json::only(&user.doc, &keys)
                })
                .collect()
        }
        _ => return Err(Failure::written("Please verify the parameters")),
    };
    call.page_where(state, "result", list, "{}", false)
}

fn autocomplete(state: &mut State, call: &Call) -> Answer {
    let selector: Value = serde_json::from_str(call.q("selector"))
        .map_err(|_| Failure::Schema("must have required property 'selector'".to_owned()))?;
    let term = selector["term"].as_str().unwrap_or("").to_lowercase();
    let empty = Vec::new();
    let except = selector["exceptions"].as_array().unwrap_or(&empty);
    let items: Vec<Doc> = state
        .users
        .in_order()
        .into_iter()
        .filter(|user| user.active() && names(user, &term) && !except.contains(&json!(user.name())))
        .take(AUTOCOMPLETE)
        .map(|user| {
            json::only(
                &user.doc,
                &[
                    "_id",
                    "username",
                    "name",
                    "nickname",
                    "status",
                    "statusText",
                    "avatarETag",
                ],
            )
        })
        .collect();
    ok(json!({ "items": items }))
}
