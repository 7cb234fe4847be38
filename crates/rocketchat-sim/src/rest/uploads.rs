//! Uploading: `rooms.media`, `rooms.mediaConfirm`, `rooms.upload`, and lists of files (facts 5.1,
//! captures 40 to 42).

use serde_json::{Value, json};

use super::{
    Route,
    call::{Answer, Call, Reply, Shape, ok},
    channels, get, post,
};
use crate::{
    error::Failure,
    json::{self, Doc},
    state::{State, files::NewFile},
};

/// Routes of this family.
pub const ROUTES: &[Route] = &[
    post("rooms.media/:", media),
    post("rooms.mediaConfirm/:", confirm),
    post("rooms.upload/:", upload),
    get("channels.files", |state, call| list(state, call, "c")),
    get("groups.files", |state, call| list(state, call, "p")),
    get("im.files", |state, call| list(state, call, "d")),
    get("rooms.images", images),
];

/// Keys that a message with a file takes besides it.
const KEYS: &[&str] = &[
    "avatar",
    "emoji",
    "alias",
    "groupable",
    "msg",
    "tmid",
    "customFields",
    "t",
    "content",
    "description",
];

/// Stores the file of a form; returns its id.
fn store(state: &mut State, call: &Call, rid: &str) -> Result<(String, Doc), Failure> {
    let form = call.form.take().unwrap_or_else(|| {
        let text = "Unsupported content type: application/json";
        Err(Failure::plain(text))
    })?;
    let Some(file) = form.file else {
        return Err(Failure::bare("No file uploaded"));
    };
    state.check_file(rid, &file.kind, file.size)?;
    let look = file
        .look
        .map_err(|reason| Failure::coded("ufs: cannot upload file", &reason))?;
    let new = NewFile {
        uid: &call.uid,
        rid,
        name: &file.name,
        kind: &file.kind,
        size: file.size,
        look,
    };
    let id = state.store_file(new, file.bytes)?;
    Ok((id, form.fields))
}

fn media(state: &mut State, call: &Call) -> Answer {
    let rid = call.parameter.clone();
    if !state.may_access(&call.uid, &rid) {
        return Err(Failure::Forbidden);
    }
    let (id, _) = store(state, call, &rid)?;
    let path = state.files.get(&id).map(|one| one.doc["path"].clone());
    ok(json!({ "file": { "_id": id, "url": path } }))
}

fn confirm(state: &mut State, call: &Call) -> Answer {
    let Some((rid, file)) = call.parameter.split_once('/') else {
        return Err(Failure::bare("invalid-file"));
    };
    if !state.may_access(&call.uid, rid) {
        return Err(Failure::Forbidden);
    }
    if state.files.get(file).is_none() {
        return Err(Failure::bare("invalid-file"));
    }
    send(state, call, rid, file, call.body.clone())
}

fn upload(state: &mut State, call: &Call) -> Answer {
    let rid = call.parameter.clone();
    if !state.may_access(&call.uid, &rid) {
        return Err(Failure::Forbidden);
    }
    let (id, fields) = store(state, call, &rid)?;
    send(state, call, &rid, &id, fields)
}

/// Prepares the message of a file.
fn send(state: &mut State, call: &Call, rid: &str, file: &str, mut data: Doc) -> Answer {
    let mismatch = || {
        Failure::plain("Match error: Failed Match.OneOf, Match.Maybe or Match.Optional validation")
    };
    for (key, value) in &data {
        let right = match key.as_str() {
            "groupable" => value.is_boolean(),
            "content" => value.is_object(),
            key => KEYS.contains(&key) && value.is_string(),
        };
        if !right {
            return Err(mismatch());
        }
    }
    let description = data.remove("description");
    let description = description.as_ref().and_then(Value::as_str);
    let limit = state.settings.number("Message_MaxAllowedSize");
    if state.options.profile.caption_size_check()
        && description.is_some_and(|text| crate::text::utf16_length(text) as i64 > limit)
    {
        return Err(Failure::bare("error-message-size-exceeded"));
    }
    if let Some(fields) = data.get_mut("customFields") {
        let text = fields.as_str().unwrap_or_default();
        *fields =
            serde_json::from_str(text).map_err(|_| Failure::bare("error-invalid-customFields"))?;
    }
    let mut message = state.attach_file(&call.uid, file, description)?;
    message.insert("rid".to_owned(), json!(rid));
    message.insert("msg".to_owned(), json!(""));
    message.insert("groupable".to_owned(), json!(false));
    message.extend(data);
    let prepared = state.prepare_send(&call.uid, message, None, false)?;
    Ok(Reply::Send(
        Box::new(prepared),
        Shape::File(file.to_owned()),
    ))
}

fn list(state: &mut State, call: &Call, kind: &str) -> Answer {
    let rid = if kind == "d" {
        call.q("roomId").to_owned()
    } else {
        channels::find(state, call, kind)?
    };
    if !state.may_access(&call.uid, &rid) {
        return Err(Failure::Forbidden);
    }
    let files = state
        .files
        .in_order()
        .into_iter()
        .filter(|one| one.rid() == rid && !one.is_thumbnail())
        .map(|one| {
            let mut shown = one.doc.clone();
            let owner = state.users.get(json::text(&one.doc, "userId"));
            if let Some(owner) = owner {
                shown.insert("user".to_owned(), owner.author());
            }
            shown
        })
        .collect();
    call.page(state, "files", files, "{\"name\":1}")
}

fn images(state: &mut State, call: &Call) -> Answer {
    let rid = call.q("roomId").to_owned();
    if !state.may_access(&call.uid, &rid) {
        return Err(Failure::Forbidden);
    }
    let files = state
        .files
        .in_order()
        .into_iter()
        .filter(|one| one.rid() == rid && !one.is_thumbnail() && one.doc["typeGroup"] == "image")
        .map(|one| one.doc.clone())
        .collect();
    call.page(state, "files", files, "{\"uploadedAt\":-1}")
}
