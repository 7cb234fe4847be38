//! Checks on what clients put into a message (facts 4.3).

use serde_json::{Map, Value, json};

use crate::{
    error::Failure,
    json::{self, Doc},
};

/// Makes the tree of a text.
type Tree<'a> = dyn Fn(&str) -> Option<Value> + 'a;

const LINKS: &[&str] = &[
    "title_link",
    "image_url",
    "audio_url",
    "video_url",
    "thumb_url",
    "author_icon",
    "author_link",
    "message_link",
];

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) | Value::Object(_) => "object",
    }
}

fn mismatch(expected: &str, value: &Value, field: &str) -> Failure {
    Failure::plain(format!(
        "Match error: Match error: Expected {expected}, got {} in field {field}",
        type_name(value)
    ))
}

/// Checks the keys of a message and completes its attachments: a missing `ts` becomes 1970, and a
/// description gets its tree from `tree`.
pub fn message(message: &mut Doc, tree: &Tree) -> Result<(), Failure> {
    for key in ["_id", "msg", "text", "alias", "emoji", "tmid", "avatar"] {
        if let Some(value) = message.get(key)
            && !value.is_string()
        {
            return Err(mismatch("string", value, key));
        }
    }
    if let Some(value) = message.get("tshow")
        && !value.is_boolean()
    {
        return Err(mismatch("boolean", value, "tshow"));
    }
    match message.get_mut("attachments") {
        None => Ok(()),
        Some(Value::Array(list)) => list.iter_mut().try_for_each(|one| attachment(one, tree)),
        Some(other) => Err(Failure::plain(format!(
            "Match error: Match error: Expected array, got {other} in field attachments"
        ))),
    }
}

fn attachment(value: &mut Value, tree: &Tree) -> Result<(), Failure> {
    let Value::Object(attachment) = value else {
        return Err(mismatch("object", value, "attachments"));
    };
    for key in LINKS {
        if let Some(link) = attachment.get(*key) {
            let allowed = link.as_str().is_some_and(|link| {
                ["http://", "https://", "data:", "/file-upload/"]
                    .iter()
                    .any(|start| link.starts_with(start))
            });
            if !allowed {
                return Err(Failure::plain("Invalid href value provided"));
            }
        }
    }
    for key in [
        "text",
        "title",
        "description",
        "author_name",
        "pretext",
        "color",
    ] {
        if let Some(value) = attachment.get(key)
            && !value.is_string()
        {
            return Err(mismatch("string", value, &format!("attachments.{key}")));
        }
    }
    if !json::truthy(attachment.get("ts")) {
        attachment.insert("ts".to_owned(), json!("1970-01-01T00:00:00.000Z"));
    }
    // A text gets no tree: only quotes have one (capture 10).
    if let Some(tree) = attachment
        .get("description")
        .and_then(Value::as_str)
        .and_then(tree)
    {
        attachment.insert("descriptionMd".to_owned(), tree);
    }
    Ok(())
}

/// A small part of JSON schema, as much as `Message_CustomFields` needs: `type`, `properties`,
/// `required`, `additionalProperties: false`.
pub fn matches_schema(value: &Value, schema: &Value) -> bool {
    let of_type = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("string") => value.is_string(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        _ => true,
    };
    let empty = Map::new();
    let object = value.as_object().unwrap_or(&empty);
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    let complete = schema["required"].as_array().is_none_or(|keys| {
        keys.iter()
            .filter_map(Value::as_str)
            .all(|key| object.contains_key(key))
    });
    let closed = schema["additionalProperties"] == json!(false);
    of_type
        && complete
        && object.iter().all(|(key, value)| {
            properties
                .get(key)
                .map_or(!closed, |inner| matches_schema(value, inner))
        })
}
