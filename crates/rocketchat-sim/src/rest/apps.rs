//! `/api/apps` (facts 8, capture 72): Apps are kept and listed, and never run. The routes of
//! their settings were not recorded; they are as the server's sources have them.

use std::io::{Cursor, Read as _};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use serde_json::{Map, Value, json};

use super::reply::json_reply;
use super::serve;
use crate::{
    json::Doc,
    profile::VersionProfile,
    state::{State, apps::App},
};

/// The right to all of this.
const MANAGE: &str = "manage-apps";

/// Answers a request below `/api/apps`; `rest` is what stands behind that.
pub fn answer(state: &mut State, request: &HttpRequest, rest: &str, body: &[u8]) -> HttpResponse {
    let Some((uid, ..)) = serve::caller(state, request) else {
        let body = json!({ "status": "error", "message": "You must be logged in to do this." });
        return json_reply(StatusCode::UNAUTHORIZED, &body);
    };
    if !state.may(&uid, MANAGE) {
        let error =
            "User does not have the permissions required for this action [error-unauthorized]";
        return failed(StatusCode::FORBIDDEN, error);
    }
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    match (request.method().as_str(), parts.as_slice()) {
        ("GET", ["installed"]) => {
            let apps: Vec<Value> = state.apps.values().map(App::shown).collect();
            done(json!({ "apps": apps }))
        }
        ("GET", ["count"]) => done(json!({
            "totalMarketplaceEnabled": 0,
            "totalPrivateEnabled": enabled(state),
            "maxMarketplaceApps": 5,
            "maxPrivateApps": most(state),
        })),
        ("POST", []) => install(state, request, body, None),
        ("POST", [id]) => install(state, request, body, Some(id)),
        // Both say nothing in 6.14.
        ("GET", [_]) => done(json!({ "app": {} })),
        ("GET", [_, "status"]) => done(json!({ "status": {} })),
        ("POST", [id, "status"]) => set_status(state, id, body),
        ("GET", [id, "settings"]) => match state.apps.get(*id) {
            Some(app) => done(json!({ "settings": app.settings })),
            None => not_found(id),
        },
        ("POST", [id, "settings"]) => set_settings(state, id, body),
        ("DELETE", [id]) => match state.apps.remove(*id) {
            Some(app) => done(json!({ "app": app.shown() })),
            None => not_found(id),
        },
        _ => HttpResponse::NotFound().body("Not Found"),
    }
}

fn done(mut body: Value) -> HttpResponse {
    body["success"] = json!(true);
    json_reply(StatusCode::OK, &body)
}

fn failed(status: StatusCode, error: &str) -> HttpResponse {
    json_reply(status, &json!({ "success": false, "error": error }))
}

fn not_found(id: &str) -> HttpResponse {
    let error = format!("No App found by the id of: {id}");
    failed(StatusCode::NOT_FOUND, &error)
}

/// How many private Apps a server without a licence runs.
fn most(state: &State) -> usize {
    match state.options.profile {
        VersionProfile::V6_9 | VersionProfile::V6_14 => 3,
        VersionProfile::V7_7 | VersionProfile::V8_0 => 0,
    }
}

fn enabled(state: &State) -> usize {
    state.apps.values().filter(|app| app.is_enabled()).count()
}

fn install(
    state: &mut State,
    request: &HttpRequest,
    body: &[u8],
    id: Option<&str>,
) -> HttpResponse {
    let bad = StatusCode::BAD_REQUEST;
    let Some(package) = part(request, body, "app") else {
        return failed(bad, "Failed to get a file to install for the App.");
    };
    let Some((manifest, texts)) = unpacked(package) else {
        return failed(
            bad,
            "Invalid or unsupported zip format. No END header found",
        );
    };
    let own = manifest["id"].as_str().unwrap_or_default().to_owned();
    let old = state.apps.remove(&own);
    let status = match &old {
        Some(_) if id.is_none() => {
            state.apps.extend(old.map(|old| (own, old)));
            return failed(bad, "App already has an associated runtime");
        }
        Some(old) => old.status.clone(),
        None if id.is_some() => return not_found(&own),
        None if enabled(state) < most(state) => "manually_enabled".to_owned(),
        None => "invalid_license_disabled".to_owned(),
    };
    let kept = old.map(|old| old.settings).unwrap_or_default();
    let app = App {
        settings: settings_of(&texts, &kept),
        manifest,
        status,
    };
    let shown = app.shown();
    state.apps.insert(own, app);
    done(json!({ "app": shown, "implemented": {},
        "licenseValidation": { "errors": {}, "warnings": {} } }))
}

/// The settings that an App would provide when it is run: those whose label and description
/// are among its texts.
fn settings_of(texts: &Value, kept: &Map<String, Value>) -> Map<String, Value> {
    let texts = texts.as_object().cloned().unwrap_or_default();
    let described = |key: &&String| texts.contains_key(&format!("{key}_description"));
    texts
        .keys()
        .filter(described)
        .map(|key| {
            let new = json!({
                "id": key, "type": "string", "packageValue": "", "required": true,
                "public": false, "i18nLabel": key,
            });
            (key.clone(), kept.get(key).cloned().unwrap_or(new))
        })
        .collect()
}

fn set_status(state: &mut State, id: &str, body: &[u8]) -> HttpResponse {
    let asked: Doc = serde_json::from_slice(body).unwrap_or_default();
    let wanted = asked
        .get("status")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let (enables, there_is_room) = (wanted == "manually_enabled", enabled(state) < most(state));
    let Some(app) = state.apps.get_mut(id) else {
        return not_found(id);
    };
    if enables && app.is_enabled() {
        let error = "Can not enable an App which is already enabled.";
        return failed(StatusCode::BAD_REQUEST, error);
    }
    // Recorded of no server: that it refuses is known.
    if enables && !there_is_room {
        let error = "The workspace has reached the limit of private apps";
        return failed(StatusCode::BAD_REQUEST, error);
    }
    wanted.clone_into(&mut app.status);
    done(json!({ "status": {} }))
}

fn set_settings(state: &mut State, id: &str, body: &[u8]) -> HttpResponse {
    let asked: Doc = serde_json::from_slice(body).unwrap_or_default();
    let Some(app) = state.apps.get_mut(id) else {
        return not_found(id);
    };
    let Some(settings) = asked.get("settings").and_then(Value::as_array) else {
        let error = "The settings to update must be present.";
        return failed(StatusCode::BAD_REQUEST, error);
    };
    let mut updated = Vec::new();
    for setting in settings {
        let key = setting["id"].as_str().unwrap_or_default();
        if let Some(known) = app.settings.get_mut(key) {
            *known = setting.clone();
            updated.push(setting.clone());
        }
    }
    done(json!({ "updated": updated }))
}

/// What a zip says of its App, and the English texts in it.
fn unpacked(package: &[u8]) -> Option<(Value, Value)> {
    let mut zip = zip::ZipArchive::new(Cursor::new(package)).ok()?;
    let mut read = |name: &str| -> Option<Value> {
        let mut text = String::new();
        zip.by_name(name).ok()?.read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    };
    let manifest = read("app.json")?;
    let class = manifest["classFile"].as_str()?.to_owned();
    let texts = read("i18n/en.json").unwrap_or_default();
    zip.by_name(&class).is_ok().then_some((manifest, texts))
}

/// The content of a part of a multipart body.
fn part<'a>(request: &HttpRequest, body: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let kind = request.headers().get("content-type")?.to_str().ok()?;
    let (_, boundary) = kind.split_once("boundary=")?;
    let line = format!("--{}", boundary.trim_matches('"'));
    let mut rest = body;
    loop {
        rest = rest.get(find(rest, line.as_bytes())? + line.len()..)?;
        let head_end = find(rest, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(rest.get(..head_end)?).into_owned();
        let content = rest.get(head_end + 4..)?;
        let end = find(content, format!("\r\n{line}").as_bytes())?;
        if head.contains(&format!("name=\"{name}\"")) {
            return content.get(..end);
        }
        rest = content.get(end..)?;
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
