//! Deactivating and deleting accounts (facts 2.4, capture 61).

use serde_json::{Value, json};

use crate::{error::Failure, json, state::State, time};

impl State {
    /// Names of rooms whose only owner a user is: those with other members, which get a new owner,
    /// and those without, which go.
    fn sole_ownerships(&self, uid: &str) -> (Vec<String>, Vec<String>) {
        let (mut change, mut remove) = (Vec::new(), Vec::new());
        for sub in self.subs_of_user(uid) {
            let rid = json::text(&sub.doc, "rid");
            let owns =
                |doc: &json::Doc| json::texts(doc, "roles").iter().any(|role| role == "owner");
            let members = self.subs_of_room(rid);
            if owns(&sub.doc) && members.iter().filter(|one| owns(&one.doc)).count() == 1 {
                if members.len() > 1 {
                    change.push(rid.to_owned())
                } else {
                    remove.push(rid.to_owned())
                }
            }
        }
        (change, remove)
    }

    fn relinquish(&mut self, uid: &str, confirmed: bool) -> Result<(), Failure> {
        let (change, remove) = self.sole_ownerships(uid);
        if change.is_empty() && remove.is_empty() {
            return Ok(());
        }
        if !confirmed {
            let names = |rids: &[String]| -> Vec<String> {
                rids.iter()
                    .filter_map(|rid| self.room(rid))
                    .map(|room| json::text(room, "name").to_owned())
                    .collect()
            };
            return Err(Failure::bare("user-last-owner").with(
                json!({ "shouldBeRemoved": names(&remove), "shouldChangeOwner": names(&change) }),
            ));
        }
        for rid in change {
            let heir = self
                .subs_of_room(&rid)
                .iter()
                .map(|sub| sub.uid().to_owned())
                .find(|one| one != uid);
            if let Some(heir) = heir {
                self.change_sub(&rid, &heir, |sub| {
                    sub.insert("roles".to_owned(), json!(["owner"]));
                });
            }
            self.change_sub(&rid, uid, |sub| {
                sub.remove("roles");
            });
        }
        for rid in remove {
            self.remove_room(&rid);
        }
        Ok(())
    }

    /// Activates or deactivates an account. Deactivation takes its tokens, closes its sockets, and
    /// makes its direct rooms read-only.
    pub fn set_active(&mut self, uid: &str, active: bool, confirmed: bool) -> Result<(), Failure> {
        let Some(user) = self.users.get(uid).cloned() else {
            return Err(Failure::coded("error-invalid-user", "Invalid user"));
        };
        if json::flag(&user.doc, "federated") {
            return Err(Failure::coded(
                "error-user-is-federated",
                "Cannot change federated users status",
            )
            .with(json!({ "method": "setUserActiveStatus" })));
        }
        if user.active() == active {
            return Ok(());
        }
        if !active {
            self.relinquish(uid, confirmed)?;
            self.drop_avatar(&crate::state::avatars::Owner::User(uid.to_owned()));
        }
        self.change_user(uid, |user| {
            user.doc.insert("active".to_owned(), json!(active));
        });
        if !active {
            let now = json::date(time::now_ms());
            let event = json!([{ "id": uid, "diff": { "active": false, "_updatedAt": now }, "unset": {}, "type": "updated" }]);
            self.emit_user(uid, "userData", event);
            self.revoke_tokens(uid);
        }
        let direct: Vec<String> = self
            .subs_of_user(uid)
            .iter()
            .filter(|sub| json::text(&sub.doc, "t") == "d")
            .map(|sub| json::text(&sub.doc, "rid").to_owned())
            .collect();
        for rid in direct {
            if self.member_count(&rid) > 2 {
                continue;
            }
            let peers: Vec<String> = self
                .subs_of_room(&rid)
                .iter()
                .map(|sub| sub.uid().to_owned())
                .filter(|one| one != uid)
                .collect();
            for peer in peers {
                self.change_sub(&rid, &peer, |sub| {
                    sub.insert("archived".to_owned(), json!(!active));
                });
            }
            self.change_room(&rid, |room| {
                room.insert("ro".to_owned(), json!(!active));
                room.insert("reactWhenReadOnly".to_owned(), json!(false));
            });
        }
        Ok(())
    }

    /// Deletes an account and, by `Message_ErasureType`, what it wrote.
    pub fn delete_user(&mut self, uid: &str, confirmed: bool) -> Result<(), Failure> {
        if self
            .users
            .get(uid)
            .is_some_and(|user| json::flag(&user.doc, "federated"))
        {
            return Err(Failure::coded(
                "error-not-allowed",
                "User participated in federation, this user can only be deactivated permanently",
            )
            .with(json!({ "method": "deleteUser" })));
        }
        self.relinquish(uid, confirmed)?;
        let erasure = self.settings.text("Message_ErasureType").to_owned();
        let written: Vec<String> = self
            .messages
            .all()
            .into_iter()
            .filter(|one| one.author() == uid)
            .map(|one| json::text(&one.doc, "_id").to_owned())
            .collect();
        match erasure.as_str() {
            "Delete" => {
                for id in &written {
                    if let Some(doc) = self.messages.get(id).map(|one| one.doc.clone()) {
                        self.remove_files_of(&doc);
                    }
                    self.bury_message(id);
                }
            }
            "Unlink" => {
                for id in &written {
                    self.change_message(id, |doc| {
                        let name = doc["u"]["name"].clone();
                        doc.insert("alias".to_owned(), json!("Removed User"));
                        doc.insert(
                            "u".to_owned(),
                            json!({ "_id": "rocket.cat", "username": "rocket.cat", "name": name }),
                        );
                    });
                }
            }
            _ => {}
        }
        let joined: Vec<(String, String)> = self
            .subs_of_user(uid)
            .iter()
            .map(|sub| {
                (
                    json::text(&sub.doc, "rid").to_owned(),
                    json::text(&sub.doc, "t").to_owned(),
                )
            })
            .collect();
        for (rid, kind) in joined {
            if kind == "d" && self.member_count(&rid) <= 2 {
                // Unlike with other deletions the room goes first, and its members hear of it.
                for peer in self
                    .subs_of_room(&rid)
                    .iter()
                    .map(|sub| sub.uid().to_owned())
                    .collect::<Vec<_>>()
                {
                    self.emit_user(&peer, "rooms-changed", json!(["removed", { "_id": rid }]));
                }
                self.remove_room(&rid);
            } else {
                self.remove_sub(&rid, uid);
                let count = self.member_count(&rid);
                self.set_room(&rid, "usersCount", Some(json!(count)));
            }
        }
        self.close_sockets_of(uid, None);
        if erasure != "Keep" {
            let mut event = json!({ "userId": uid, "messageErasureType": erasure });
            if erasure == "Unlink" {
                event["replaceByUser"] = json!({ "_id": "rocket.cat", "username": "rocket.cat", "alias": "Removed User" });
            }
            self.emit(
                "stream-notify-logged",
                "Users:Deleted",
                &Value::Array(vec![event]),
            );
        }
        self.journal.remove("users", uid);
        self.users.forget(uid);
        Ok(())
    }
}
