//! The description of the API for programs (OpenAPI 3.1), made of the list of routes.

use serde_json::{Map, Value, json};

use super::routes::{Act, ROUTES, Right, Route};

/// Where the API is.
const PREFIX: &str = "/_rocketchat/provision/v1/";

/// The whole description.
pub(super) fn description() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = format!(
            "{PREFIX}{}",
            route.path.replace("{}", &format!("{{{}}}", route.argument))
        );
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[route.method.to_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Provisioning of matrix-appservice-rocketchat",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas(),
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut parameters: Vec<Value> = route
        .query
        .iter()
        .map(|(name, what)| {
            json!({ "name": name, "in": "query", "description": what, "schema": { "type": "string" } })
        })
        .collect();
    if !route.argument.is_empty() {
        parameters.push(json!({
            "name": route.argument, "in": "path", "required": true,
            "description": match route.argument {
                "room" => "the id of the Matrix room, percent-encoded",
                _ => "its number in the list",
            },
            "schema": { "type": "string" },
        }));
    }
    let (status, schema) = answer_of(route.act);
    let error = |what: &str| {
        json!({
            "description": what,
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
        })
    };
    let mut operation = json!({
        "operationId": format!("{:?}", route.act),
        "summary": route.what,
        "parameters": parameters,
        "responses": {
            status: {
                "description": "Done",
                "content": { "application/json": { "schema": schema } },
            },
            "default": error("Not done; `errcode` and `error` say why"),
        },
    });
    if route.right != Right::Nobody {
        operation["security"] = json!([{ "token": [] }]);
        operation["description"] = match route.right {
            Right::Write => "Needs a token that may write.",
            _ => "Any token may.",
        }
        .into();
    }
    if let Some(body) = body_of(route.act) {
        let schema = format!("#/components/schemas/{body}");
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": { "$ref": schema } } },
        });
    }
    operation
}

/// The name of what is sent with a request.
fn body_of(act: Act) -> Option<&'static str> {
    Some(match act {
        Act::MakePortal => "NewPortal",
        Act::Propose => "NewProposal",
        Act::Approve => "Approval",
        Act::Reject => "Refusal",
        Act::Describe
        | Act::Status
        | Act::ListPortals
        | Act::ShowPortal
        | Act::EndPortal
        | Act::ListProposals
        | Act::ListDeadLetters
        | Act::Resend
        | Act::WhoIs
        | Act::Audit => return None,
    })
}

/// The status of success and what it brings.
fn answer_of(act: Act) -> (&'static str, Value) {
    let of = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let list = |field: &str, name: &str| json!({ "type": "object", "required": [field], "properties": { field: { "type": "array", "items": of(name) } } });
    match act {
        Act::Describe => ("200", json!({ "type": "object" })),
        Act::Status => ("200", of("Status")),
        Act::ListPortals => ("200", list("portals", "Portal")),
        Act::MakePortal => ("200", of("Portal")),
        Act::ShowPortal => ("200", of("PortalState")),
        Act::EndPortal => ("202", json!({ "type": "object" })),
        Act::ListProposals => ("200", list("proposals", "Proposal")),
        Act::Propose | Act::Approve | Act::Reject => ("200", of("Said")),
        Act::ListDeadLetters => ("200", list("dead_letters", "DeadLetter")),
        Act::Resend => ("202", json!({ "type": "object" })),
        Act::WhoIs => ("200", of("Person")),
        Act::Audit => ("200", list("audit", "AuditEntry")),
    }
}

fn schemas() -> Value {
    let object = |fields: &[(&str, &str)]| {
        let properties: Map<String, Value> = fields
            .iter()
            .map(|(name, kind)| {
                let kind: Value = match kind.strip_suffix('?') {
                    Some(kind) => json!([kind, "null"]),
                    None => json!(kind),
                };
                ((*name).to_owned(), json!({ "type": kind }))
            })
            .collect();
        json!({ "type": "object", "properties": properties })
    };
    let portal = [
        ("room", "string"),
        ("rid", "string"),
        ("kind", "string"),
        ("name", "string"),
        ("plumbed", "boolean"),
    ];
    let state = [
        ("waiting", "integer"),
        ("given_up", "integer"),
        ("carried_until", "integer?"),
    ];
    // What is asked of people who administer rooms.
    let side = json!({
        "type": "string", "enum": ["matrix", "rocketchat"],
        "description": "for whom: the token's `user` or its `account`; needed where it has both",
    });
    let confirm = json!({
        "type": "array", "items": { "type": "string", "enum": ["public", "federated"] },
        "description": "what it brings with it and has to be confirmed, as the refusal names it",
    });
    let code = json!({ "type": "string", "description": "that of the notice" });
    json!({
        "Proposal": object(&[
            ("room", "string"), ("rid", "string"), ("by", "string"), ("decides", "string"),
            ("stage", "string"), ("code", "string?"), ("made", "integer"), ("until", "integer"),
            ("history", "boolean"), ("consequences", "array"),
        ]),
        "NewProposal": {
            "type": "object", "required": ["room", "channel"],
            "properties": {
                "room": { "type": "string", "description": "the Matrix room: its id; for an `account` also its address" },
                "channel": { "type": "string", "description": "the name of the channel or group" },
                "side": side.clone(),
                "history": { "type": "boolean", "description": "what was written on Rocket.Chat before comes, too" },
                "dry_run": { "type": "boolean", "description": "only says what would happen" },
                "confirm": confirm.clone(),
            },
        },
        "Approval": {
            "type": "object", "required": ["code"],
            "properties": { "code": code.clone(), "side": side.clone(), "confirm": confirm },
        },
        "Refusal": {
            "type": "object", "required": ["code"],
            "properties": { "code": code, "side": side },
        },
        "Said": object(&[("said", "string")]),
        "Error": object(&[("errcode", "string"), ("error", "string")]),
        "Status": object(&[
            ("matrix", "boolean"), ("rocketchat", "boolean"), ("version", "string"),
            ("rooms", "integer"), ("directs", "integer"), ("waiting", "integer"),
            ("given_up", "integer"), ("joins", "integer"),
        ]),
        "Portal": object(&portal),
        "PortalState": object(&[portal.as_slice(), &state].concat()),
        "NewPortal": object(&[("channel", "string"), ("invite", "string?")]),
        "DeadLetter": object(&[
            ("number", "integer"), ("from", "string"), ("room", "string"), ("id", "string"),
            ("sender", "string?"), ("at", "integer"), ("why", "string"),
        ]),
        "Person": object(&[
            ("user", "string?"), ("account", "string?"), ("username", "string?"),
            ("kind", "string"),
        ]),
        "AuditEntry": object(&[
            ("number", "integer"), ("at", "integer"), ("who", "string"), ("door", "string"),
            ("place", "string?"), ("command", "string"), ("words", "string"),
            ("outcome", "string"), ("why", "string?"), ("id", "string"),
        ]),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::routes::{Found, find};
    use super::*;

    #[test]
    fn the_description_has_every_route_and_no_other() {
        let description = description();
        let mut described = 0;
        for (path, methods) in description["paths"].as_object().unwrap() {
            let path = path.strip_prefix(PREFIX).unwrap();
            let path = path.replace("{room}", "!r:b.org").replace("{number}", "7");
            for method in methods.as_object().unwrap().keys() {
                let found = find(&method.to_uppercase(), &path);
                assert!(matches!(found, Found::Route(..)), "{method} {path}");
                described += 1;
            }
        }
        assert_eq!(described, ROUTES.len());
        let text = description.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(
                description["components"]["schemas"].get(name).is_some(),
                "{name}"
            );
        }
    }
}
