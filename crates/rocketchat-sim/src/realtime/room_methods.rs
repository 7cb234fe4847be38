//! Methods about rooms and people that REST has too, in the form in which clients call them.

use serde_json::{Value, json};

use crate::{error::Failure, json, state::State};

/// Methods that [`State::room_method`] knows.
pub(super) const KNOWN: &[&str] = &[
    "UserPresence:away",
    "UserPresence:online",
    "UserPresence:setDefaultStatus",
    "setUserStatus",
    "addUsersToRoom",
    "removeUserFromRoom",
    "muteUserInRoom",
    "unmuteUserInRoom",
    "addRoomOwner",
    "removeRoomOwner",
    "addRoomModerator",
    "removeRoomModerator",
    "addRoomLeader",
    "removeRoomLeader",
    "getRoomRoles",
    "getUsersOfRoom",
    "archiveRoom",
    "unarchiveRoom",
    "eraseRoom",
    "hideRoom",
    "openRoom",
];

fn text(params: &[Value], at: usize) -> &str {
    params.get(at).and_then(Value::as_str).unwrap_or("")
}

impl State {
    /// Calls one of [`KNOWN`] as `uid`.
    pub(super) fn room_method(
        &mut self,
        uid: &str,
        name: &str,
        params: &[Value],
    ) -> Result<Option<Value>, Failure> {
        let about = params.first().cloned().unwrap_or(Value::Null);
        let key = |key: &str| about[key].as_str().unwrap_or("").to_owned();
        let rid = text(params, 0).to_owned();
        Ok(match name {
            "UserPresence:away" | "UserPresence:online" => {
                let status = name.trim_start_matches("UserPresence:");
                self.set_status(uid, status, None, None);
                Some(json!(true))
            }
            "UserPresence:setDefaultStatus" => {
                self.set_status(uid, text(params, 0), None, None);
                Some(json!(true))
            }
            "setUserStatus" => {
                let said = text(params, 1).to_owned();
                self.change_user(uid, |user| {
                    user.doc.insert("statusText".to_owned(), json!(said));
                });
                let shown = self.users.get(uid).map(|user| user.shown_name().to_owned());
                self.set_status(uid, text(params, 0), Some(&said), shown.as_deref());
                Some(json!(true))
            }
            "addUsersToRoom" => {
                let names: Vec<&str> = about["users"].as_array().map_or_else(Vec::new, |list| {
                    list.iter().filter_map(Value::as_str).collect()
                });
                let mut guests = Vec::new();
                for name in names {
                    let guest = self.users.named(name).ok_or_else(|| {
                        Failure::coded("error-invalid-username", "Invalid username")
                            .with(json!({ "method": "addUsersToRoom" }))
                    })?;
                    guests.push(guest.id().to_owned());
                }
                self.invite(uid, &key("rid"), &guests)?;
                Some(json!(true))
            }
            "removeUserFromRoom" => {
                let guest = self.user_named(&key("username"), name)?;
                self.kick(uid, &key("rid"), &guest)?;
                Some(json!(true))
            }
            "muteUserInRoom" | "unmuteUserInRoom" => {
                let mute = name == "muteUserInRoom";
                self.mute(uid, &key("rid"), &key("username"), mute)?;
                Some(json!(true))
            }
            "archiveRoom" | "unarchiveRoom" => {
                self.archive(uid, &rid, name == "archiveRoom")?;
                None
            }
            "eraseRoom" => {
                self.erase_room(uid, &rid)?;
                Some(json!(true))
            }
            "hideRoom" | "openRoom" => {
                let open = name == "openRoom";
                self.change_sub(&rid, uid, |sub| {
                    sub.insert("open".to_owned(), json!(open));
                    if !open {
                        sub.insert("alert".to_owned(), json!(false));
                    }
                });
                Some(json!(1))
            }
            "getRoomRoles" => {
                if !self.may_access(uid, &rid) {
                    return Err(Failure::not_allowed(name));
                }
                let roles: Vec<Value> = self
                    .subs_of_room(&rid)
                    .iter()
                    .filter(|sub| !json::texts(&sub.doc, "roles").is_empty())
                    .map(|sub| json!(json::only(&sub.doc, &["_id", "rid", "u", "roles"])))
                    .collect();
                Some(json!(roles))
            }
            "getUsersOfRoom" => {
                if !self.may_access(uid, &rid) {
                    return Err(Failure::not_allowed(name));
                }
                let all = params.get(1).and_then(Value::as_bool).unwrap_or(false);
                let records: Vec<Value> = self
                    .subs_of_room(&rid)
                    .iter()
                    .filter_map(|sub| self.users.get(sub.uid()))
                    .filter(|user| user.active())
                    .filter(|user| all || json::text(&user.doc, "status") != "offline")
                    .map(|user| {
                        json!(json::only(
                            &user.doc,
                            &["_id", "username", "name", "status"]
                        ))
                    })
                    .collect();
                Some(json!({ "total": self.member_count(&rid), "records": records }))
            }
            role => {
                let (give, role) = match role.strip_prefix("addRoom") {
                    Some(role) => (true, role),
                    None => (false, role.trim_start_matches("removeRoom")),
                };
                self.change_role(uid, &rid, text(params, 1), &role.to_lowercase(), give)?;
                Some(json!(true))
            }
        })
    }

    fn user_named(&self, name: &str, method: &str) -> Result<String, Failure> {
        self.users
            .named(name)
            .map(|user| user.id().to_owned())
            .ok_or_else(|| {
                Failure::coded("error-invalid-user", "Invalid user")
                    .with(json!({ "method": method }))
            })
    }
}
