//! Server information, settings, permissions, roles (facts 1.4, 1.5, capture 03).

use serde_json::{Value, json};

use super::{
    Route,
    call::{Answer, Call, done, ok},
    get, open, post,
};
use crate::{
    error::Failure,
    json::{self, Doc},
    state::State,
};

/// Routes of this family.
pub const ROUTES: &[Route] = &[
    open(get("settings.public", public)),
    get("settings", all),
    get("settings/:", one),
    post("settings/:", change),
    get("permissions.listAll", permissions),
    post("permissions.update", change_permissions),
    get("roles.list", roles),
];

const ROLES: &str = include_str!("../data/roles.json");

/// `/api/info`: the patch level and more only for callers with `view-statistics`.
pub fn api_info(state: &State, uid: &str) -> Value {
    let profile = state.options.profile;
    let mut info = json!({
        "version": profile.short_version(), "minimumClientVersions": { "desktop": "3.9.6", "mobile": "4.39.0" },
        "cloudWorkspaceId": "", "success": true,
    });
    if state.may(uid, "view-statistics") {
        let full = profile.full_version();
        info["version"] = json!(full);
        info["info"] = json!({
            "version": full, "marketplaceApiVersion": "1.47.0-alpha",
            "commit": {
                "hash": "simulated", "date": "2024-10-15", "author": "rocketchat-sim", "subject": "develop",
                "tag": full, "branch": "develop",
            },
            "build": {
                "date": "2024-10-15T00:00:00.000Z", "nodeVersion": if profile.old_engine() { "v14.21.3" } else { "v22.0.0" },
                "arch": "x64", "platform": "linux", "osRelease": "6.1.0", "totalMemory": 8_589_934_592_u64,
                "freeMemory": 4_294_967_296_u64, "cpus": 2,
            },
        });
    }
    info
}

fn docs(values: Vec<Value>) -> Vec<Doc> {
    values.into_iter().map(crate::json::doc).collect()
}

fn public(state: &mut State, call: &Call) -> Answer {
    let mut settings = docs(state.settings.shown(true));
    if state.options.profile.settings_id_filter() && !call.q("_id").is_empty() {
        settings.retain(|one| call.q("_id").split(',').any(|id| one["_id"] == id));
    }
    call.page(state, "settings", settings, "{\"_id\":1}")
}

fn all(state: &mut State, call: &Call) -> Answer {
    let settings = docs(
        state
            .settings
            .shown(!state.may(&call.uid, "view-privileged-setting")),
    );
    call.page(state, "settings", settings, "{\"_id\":1}")
}

fn one(state: &mut State, call: &Call) -> Answer {
    if !state.may(&call.uid, "view-privileged-setting") {
        return Err(Failure::Forbidden);
    }
    match state.settings.get(&call.parameter) {
        Some(setting) => ok(json!({ "_id": call.parameter, "value": setting.value })),
        None => Err(Failure::silent()),
    }
}

fn change(state: &mut State, call: &Call) -> Answer {
    if !state.may(&call.uid, "edit-privileged-setting") {
        return Err(Failure::Forbidden);
    }
    state.second_factor(&call.uid, &call.token, call.code.as_deref())?;
    let Some(value) = call.body.get("value").cloned() else {
        return Err(Failure::silent());
    };
    if state.change_setting(&call.parameter, value) {
        done()
    } else {
        Err(Failure::silent())
    }
}

fn permissions(state: &mut State, _call: &Call) -> Answer {
    let mut list = state.permissions.shown();
    if !state.options.profile.has_view_history() {
        list.retain(|one| one["_id"] != "view-history");
    }
    ok(json!({ "update": list, "remove": [] }))
}

/// Sets the roles of permissions; the answer lists all, as they are then.
fn change_permissions(state: &mut State, call: &Call) -> Answer {
    if !state.may(&call.uid, "access-permissions") {
        return Err(Failure::Forbidden);
    }
    state.second_factor(&call.uid, &call.token, call.code.as_deref())?;
    let known: Vec<String> = serde_json::from_str::<Vec<Value>>(ROLES)
        .unwrap_or_default()
        .iter()
        .filter_map(|role| role["_id"].as_str())
        .map(str::to_owned)
        .collect();
    let mut changes = Vec::new();
    for one in call
        .body
        .get("permissions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
    {
        let (id, roles) = (json::text(one, "_id"), json::texts(one, "roles"));
        if id.is_empty() || roles.iter().any(|role| !known.contains(role)) {
            return Err(Failure::Written {
                error: Some("Invalid permission".to_owned()),
                kind: Some("error-invalid-permission".to_owned()),
            });
        }
        changes.push((id.to_owned(), roles));
    }
    for (id, roles) in changes {
        state.change_permission(&id, &roles);
    }
    ok(json!({ "permissions": state.permissions.shown() }))
}

fn roles(_state: &mut State, _call: &Call) -> Answer {
    ok(json!({ "roles": serde_json::from_str::<Value>(ROLES).unwrap_or(Value::Null) }))
}
