//! Who may do what: the permission table of a fresh server (capture 03), and the roles of a user,
//! globally and in a room.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    error::Failure,
    json::{self, Doc},
    state::State,
    time,
};

const TABLE: &str = include_str!("data/permissions.json");

/// Roles by permission.
#[derive(Debug)]
pub struct Permissions {
    table: BTreeMap<String, Vec<String>>,
    since: i64,
}

impl Default for Permissions {
    fn default() -> Self {
        Self {
            table: serde_json::from_str(TABLE).unwrap_or_default(),
            since: time::now_ms(),
        }
    }
}

impl Permissions {
    /// Whether one of `roles` has `permission`.
    pub fn allows(&self, roles: &[String], permission: &str) -> bool {
        self.table
            .get(permission)
            .is_some_and(|holders| roles.iter().any(|role| holders.contains(role)))
    }

    /// Gives a permission to these roles and no others; false when there is no such permission.
    pub fn set(&mut self, permission: &str, roles: Vec<String>) -> bool {
        self.table
            .get_mut(permission)
            .map(|holders| *holders = roles)
            .is_some()
    }

    /// The entries of `permissions.listAll`.
    pub fn shown(&self) -> Vec<Value> {
        self.table
            .iter()
            .map(|(id, roles)| json!({ "_id": id, "roles": roles, "_updatedAt": json::date(self.since) }))
            .collect()
    }
}

impl State {
    /// Gives a permission to these roles and no others, and tells who listens; false when there is
    /// no such permission.
    pub fn change_permission(&mut self, permission: &str, roles: &[String]) -> bool {
        if !self.permissions.set(permission, roles.to_vec()) {
            return false;
        }
        let doc = json!({
            "_id": permission, "roles": roles, "_updatedAt": json::date(time::now_ms()),
        });
        self.journal.put("permissions", &doc);
        self.emit(
            "stream-notify-logged",
            "permissions-changed",
            &json!(["updated", doc]),
        );
        true
    }

    /// Whether a user has a permission by one of its global roles.
    pub fn may(&self, uid: &str, permission: &str) -> bool {
        self.users
            .get(uid)
            .is_some_and(|user| self.permissions.allows(&user.roles(), permission))
    }

    /// Whether a user has a permission by a global role or by a role in the room.
    pub fn may_in(&self, uid: &str, permission: &str, rid: &str) -> bool {
        self.may(uid, permission)
            || self.sub(rid, uid).is_some_and(|sub| {
                self.permissions
                    .allows(&json::texts(&sub.doc, "roles"), permission)
            })
    }

    /// Refuses what touches a room or a message of Rocket.Chat's own federation while that is not
    /// working (facts 10.3); `what` completes the sentence.
    pub fn check_federation(&self, rid: &str, message: &Doc, what: &str) -> Result<(), Failure> {
        let federated = self
            .room(rid)
            .is_some_and(|room| json::flag(room, "federated"))
            || message
                .get("federation")
                .is_some_and(|mark| json::truthy(mark.get("eventId")));
        let works = self.settings.on("Federation_Matrix_enabled")
            && self.settings.text("Federation_Matrix_configuration_status") == "Valid";
        if federated && !works {
            let text = format!("Federation configuration is invalid,unable to {what}");
            return Err(Failure::plain(text));
        }
        Ok(())
    }

    /// Whether a user may see and write in a room (facts 3.2): public channels with `view-c-room`,
    /// everything else with a subscription; discussions as their parent. Administrators are no
    /// exception.
    pub fn may_access(&self, uid: &str, rid: &str) -> bool {
        let Some(room) = self.room(rid) else {
            return false;
        };
        if json::text(room, "t") == "c" && self.may(uid, "view-c-room") {
            return true;
        }
        if self.sub(rid, uid).is_some() {
            return true;
        }
        match json::text(room, "prid") {
            "" => false,
            parent if parent != rid => self.may_access(uid, parent),
            _ => false,
        }
    }

    /// Whether a user may read a public channel without being in it, or is in it.
    pub fn may_preview(&self, uid: &str, rid: &str) -> bool {
        self.may_access(uid, rid)
            && (self.sub(rid, uid).is_some()
                || self
                    .room(rid)
                    .is_some_and(|room| json::text(room, "t") != "c")
                || self.may(uid, "preview-c-room"))
    }
}
