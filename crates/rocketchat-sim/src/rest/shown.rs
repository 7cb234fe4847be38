//! What REST shows of a message, and to whom: stored is more.

use serde_json::{Value, json};

use crate::{json::Doc, state::State};

/// Leaves only the caller's own stars on messages (facts 4.1).
pub(super) fn own_stars(value: &mut Value, uid: &str) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|one| own_stars(one, uid)),
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                match inner {
                    Value::Array(stars) if key == "starred" => {
                        stars.retain(|star| star["_id"] == uid)
                    }
                    inner => own_stars(inner, uid),
                }
            }
        }
        _ => {}
    }
}

/// With real names on, REST shows people in messages by the names that they have now (capture 60),
/// and those of who reacted beside the usernames (facts 4.1).
pub(super) fn real_names(state: &State, value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|one| real_names(state, one)),
        Value::Object(map) => {
            if map.contains_key("msg") && map.contains_key("u") {
                current_names(state, map);
            }
            for (key, inner) in map.iter_mut() {
                let Value::Object(reactions) = inner else {
                    real_names(state, inner);
                    continue;
                };
                if key != "reactions" {
                    real_names(state, inner);
                    continue;
                }
                for reaction in reactions.values_mut().filter_map(Value::as_object_mut) {
                    let names: Vec<String> = crate::json::texts(reaction, "usernames")
                        .iter()
                        .map(|name| match state.users.named(name) {
                            Some(user) => user.shown_name().to_owned(),
                            None => name.clone(),
                        })
                        .collect();
                    reaction.insert("names".to_owned(), json!(names));
                }
            }
        }
        _ => {}
    }
}

/// Puts the present names of its author and of who is mentioned into a message.
fn current_names(state: &State, message: &mut Doc) {
    let rename = |person: &mut Value| {
        let user = person["_id"].as_str().and_then(|uid| state.users.get(uid));
        if let Some(user) = user.filter(|user| !user.shown_name().is_empty()) {
            person["name"] = json!(user.shown_name());
        }
    };
    if let Some(author) = message.get_mut("u") {
        rename(author);
    }
    if let Some(Value::Array(mentions)) = message.get_mut("mentions") {
        mentions.iter_mut().for_each(rename);
    }
}
