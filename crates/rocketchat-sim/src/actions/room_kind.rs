//! What a room is: public or private, archived, default, with a join code, with fields of its own
//! (facts 3.6, capture 52).

use serde_json::{Value, json};

use crate::{
    error::Failure,
    json::{self, Doc},
    state::State,
};

impl State {
    fn members_of(&self, rid: &str) -> Vec<String> {
        self.subs_of_room(rid)
            .iter()
            .map(|sub| sub.uid().to_owned())
            .collect()
    }

    /// Changes the subscriptions of everybody in a room.
    fn change_subs(&mut self, rid: &str, change: impl Fn(&mut Doc)) {
        for member in self.members_of(rid) {
            self.change_sub(rid, &member, &change);
        }
    }

    /// Of a room of Rocket.Chat's own federation only name and topic may be changed (facts 10.3).
    pub fn check_not_federated(&self, rid: &str, method: &str) -> Result<(), Failure> {
        let federated = self
            .room(rid)
            .is_some_and(|room| json::flag(room, "federated"));
        if federated {
            return Err(Failure::not_allowed(method));
        }
        Ok(())
    }

    /// Archives a room or brings it back. Archiving twice writes twice; members no longer see an
    /// archived room in their list until somebody writes in it.
    ///
    /// # Errors
    ///
    /// `error-not-authorized` without the permission, which owners have for archiving only.
    pub fn archive(&mut self, uid: &str, rid: &str, on: bool) -> Result<(), Failure> {
        let (permission, method) = if on {
            ("archive-room", "archiveRoom")
        } else {
            ("unarchive-room", "unarchiveRoom")
        };
        if !self
            .room(rid)
            .is_some_and(|room| ["c", "p"].contains(&json::text(room, "t")))
        {
            return Err(Failure::coded("error-invalid-room", "Invalid room")
                .with(json!({ "method": method })));
        }
        if !self.may_in(uid, permission, rid) {
            return Err(Failure::coded("error-not-authorized", "Not authorized")
                .with(json!({ "method": method })));
        }
        self.check_not_federated(rid, method)?;
        let by = self.author_of(uid);
        self.set_room(rid, "archived", Some(json!(on)));
        self.change_subs(rid, |sub| {
            sub.insert("alert".to_owned(), json!(false));
            sub.insert("open".to_owned(), json!(!on));
            sub.insert("archived".to_owned(), json!(on));
        });
        let kind = if on {
            "room-archived"
        } else {
            "room-unarchived"
        };
        self.system_message(kind, rid, "", by, Value::Null);
        Ok(())
    }

    /// Makes a channel private, or a group public; a private room is no default room.
    ///
    /// # Errors
    ///
    /// `error-action-not-allowed` without the right to make rooms of the new type.
    pub fn change_type(&mut self, uid: &str, rid: &str, wanted: &str) -> Result<(), Failure> {
        self.check_edit_room(uid, rid)?;
        self.check_not_federated(rid, "saveRoomSettings")?;
        if !self.may(uid, &format!("create-{wanted}")) {
            let reason = if wanted == "p" {
                "Changing a public channel to a private room is not allowed"
            } else {
                "Changing a private group to a public channel is not allowed"
            };
            return Err(Failure::coded("error-action-not-allowed", reason)
                .with(json!({ "method": "saveRoomSettings", "action": "Change_Room_Type" })));
        }
        let by = self.author_of(uid);
        self.change_room(rid, |room| {
            room.insert("t".to_owned(), json!(wanted));
            if wanted == "p" {
                room.remove("default");
            }
        });
        self.change_subs(rid, |sub| {
            sub.insert("t".to_owned(), json!(wanted));
        });
        let said = if wanted == "p" { "private" } else { "public" };
        self.system_message("room_changed_privacy", rid, said, by, Value::Null);
        Ok(())
    }

    /// Sets the fields of a room, of which every subscription keeps a copy.
    pub fn set_custom_fields(&mut self, rid: &str, fields: &Doc) {
        self.set_room(rid, "customFields", Some(json!(fields)));
        self.change_subs(rid, |sub| {
            sub.insert("customFields".to_owned(), json!(fields));
        });
    }

    /// Sets or, when empty, takes away the code that joining needs. Nobody is shown the code.
    pub fn set_join_code(&mut self, rid: &str, code: &str) {
        self.keep_join_code(rid, code);
        self.set_room(rid, "joinCodeRequired", Some(json!(!code.is_empty())));
    }
}
