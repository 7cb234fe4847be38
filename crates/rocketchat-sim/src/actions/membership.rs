//! Joining, inviting, leaving, kicking, muting (facts 3.5, capture 51).

use serde_json::{Value, json};

use crate::{error::Failure, ids, json, state::State, time};

impl State {
    /// Brings a user into a channel or group: subscription, counter, system message. `inviter` is
    /// named by the message of type `au`; without one it is `uj` by the user itself.
    pub fn bring_in(&mut self, rid: &str, uid: &str, inviter: Option<&str>) {
        let (Some(user), Some(room)) = (self.users.get(uid).cloned(), self.room(rid).cloned())
        else {
            return;
        };
        if self.sub(rid, uid).is_some() {
            return;
        }
        let now = time::now_ms();
        let mut sub = json::doc(json!({
            "_id": ids::object(now), "open": true, "alert": true, "unread": 1, "userMentions": 1, "groupMentions": 0,
            "ts": json::date(now), "rid": rid, "name": room["name"], "t": room["t"], "u": user.author(),
            "_updatedAt": json::date(now),
        }));
        for key in ["fname", "customFields", "prid"] {
            if let Some(value) = room.get(key) {
                sub.insert(key.to_owned(), value.clone());
            }
        }
        self.insert_sub(sub);
        self.emit_room_to(uid, rid, "inserted");
        self.count_members(rid);
        self.change_user(uid, |_| {});
        let (discussion, main) = (room.contains_key("prid"), json::flag(&room, "teamMain"));
        match inviter.and_then(|inviter| self.users.get(inviter)) {
            Some(inviter) => {
                let by = inviter.short();
                let kind = if main { "added-user-to-team" } else { "au" };
                self.system_message(kind, rid, user.name(), by, Value::Null);
            }
            None => {
                let kind = match (discussion, main) {
                    (true, _) => "ut",
                    (_, true) => "ujt",
                    _ => "uj",
                };
                self.system_message(kind, rid, user.name(), user.author(), Value::Null);
            }
        }
        // Whoever is in the main room of a team is in the team.
        if main {
            let team = json::text(&room, "teamId").to_owned();
            self.enrol(inviter.unwrap_or(uid), uid, &team, None);
        }
    }

    fn count_members(&mut self, rid: &str) {
        let count = self.member_count(rid);
        self.set_room(rid, "usersCount", Some(json!(count)));
    }

    /// Joins a public channel, with its code where it has one.
    pub fn join(&mut self, uid: &str, rid: &str, code: &str) -> Result<(), Failure> {
        let public = self
            .room(rid)
            .is_some_and(|room| json::text(room, "t") == "c");
        if !public || !self.may_access(uid, rid) {
            return Err(Failure::not_allowed("joinRoom"));
        }
        if let Some(wanted) = self.join_code(rid)
            && !self.may(uid, "join-without-join-code")
            && self.sub(rid, uid).is_none()
        {
            let refused =
                |code, reason| Failure::coded(code, reason).with(json!({ "method": "joinRoom" }));
            if code.is_empty() {
                return Err(refused("error-code-required", "Code required"));
            }
            if code != wanted {
                return Err(refused("error-code-invalid", "Invalid Room Password"));
            }
        }
        self.bring_in(rid, uid, None);
        Ok(())
    }

    /// Adds users to a room as `uid`, who must have the right to; members already in it are named
    /// to the inviter privately.
    pub fn invite(&mut self, uid: &str, rid: &str, guests: &[String]) -> Result<(), Failure> {
        let refused = || Failure::not_allowed("addUsersToRoom");
        let Some(room) = self.room(rid) else {
            return Err(refused());
        };
        let kind = json::text(room, "t").to_owned();
        let inside = self.sub(rid, uid).is_some();
        let any = if kind == "c" {
            "add-user-to-any-c-room"
        } else {
            "add-user-to-any-p-room"
        };
        let allowed = kind != "d"
            && ((inside && self.may_in(uid, "add-user-to-joined-room", rid)) || self.may(uid, any));
        if !allowed
            || guests
                .iter()
                .any(|guest| self.users.get(guest).is_some_and(|user| !user.active()))
        {
            return Err(refused());
        }
        let names_inviter = kind == "p" || self.options.profile.channel_invite_type() == "au";
        for guest in guests {
            if self.sub(rid, guest).is_some() {
                let name = self
                    .users
                    .get(guest)
                    .map_or("", |user| user.name())
                    .to_owned();
                self.tell(uid, rid, &format!("`@{name}` is already in here."));
            } else {
                self.bring_in(rid, guest, names_inviter.then_some(uid));
            }
        }
        Ok(())
    }

    fn last_owner(&self, rid: &str, uid: &str) -> bool {
        let owners: Vec<String> = self
            .subs_of_room(rid)
            .iter()
            .filter(|sub| {
                json::texts(&sub.doc, "roles")
                    .iter()
                    .any(|role| role == "owner")
            })
            .map(|sub| sub.uid().to_owned())
            .collect();
        owners.len() == 1 && owners[0] == uid
    }

    fn check_last_owner(&self, rid: &str, uid: &str, method: &str) -> Result<(), Failure> {
        if self.last_owner(rid, uid) {
            let reason = "You are the last owner. Please set new owner before leaving the room.";
            return Err(Failure::coded("error-you-are-last-owner", reason)
                .with(json!({ "method": method })));
        }
        Ok(())
    }

    /// Leaves a room; the leaver still sees its own `ul`.
    pub fn leave(&mut self, uid: &str, rid: &str) -> Result<(), Failure> {
        let Some(room) = self.room(rid).cloned() else {
            return Err(Failure::coded("error-invalid-room", "Invalid room")
                .with(json!({ "method": "leaveRoom" })));
        };
        let permission = match json::text(&room, "t") {
            "c" => "leave-c",
            "p" => "leave-p",
            _ => return Err(Failure::not_allowed("leaveRoom")),
        };
        if self.sub(rid, uid).is_none() {
            return Err(
                Failure::coded("error-user-not-in-room", "You are not in this room")
                    .with(json!({ "method": "leaveRoom" })),
            );
        }
        if !self.may(uid, permission) {
            return Err(Failure::not_allowed("leaveRoom"));
        }
        self.check_last_owner(rid, uid, "leaveRoom")?;
        self.take_out(rid, uid, None);
        Ok(())
    }

    /// Takes a member out of a room after saying so in it; `by` is somebody else, or nobody when it
    /// goes itself.
    pub(super) fn take_out(&mut self, rid: &str, uid: &str, by: Option<&str>) {
        let (Some(user), Some(room)) = (self.users.get(uid).cloned(), self.room(rid)) else {
            return;
        };
        if self.sub(rid, uid).is_none() {
            return;
        }
        let main = json::flag(room, "teamMain");
        let team = json::text(room, "teamId").to_owned();
        let (kind, author) = match (by, main) {
            (Some(by), true) => ("removed-user-from-team", self.bared(by)),
            (Some(by), false) => ("ru", self.author_of(by)),
            (None, true) => ("ult", user.short()),
            (None, false) => ("ul", user.author()),
        };
        self.system_message(kind, rid, user.name(), author, Value::Null);
        self.remove_sub(rid, uid);
        self.count_members(rid);
        self.change_user(uid, |_| {});
        if main {
            self.expel(uid, &team);
        }
    }

    /// A whole account with its secrets: 6.14 shows it so in one system message (capture 50).
    fn bared(&self, uid: &str) -> Value {
        let Some(user) = self.users.get(uid) else {
            return Value::Null;
        };
        let mut shown = user.doc.clone();
        let tokens: Vec<Value> = user
            .tokens
            .iter()
            .map(|token| json!({ "when": json::date(token.when), "hashedToken": token.hash }))
            .collect();
        shown.insert(
            "services".to_owned(),
            json!({
                "password": { "bcrypt": "$2b$10$simulated" },
                "email2fa": { "enabled": true, "changedAt": user.doc["createdAt"] },
                "resume": { "loginTokens": tokens },
            }),
        );
        Value::Object(shown)
    }

    /// Removes a user from a room as `uid`; the removed one does not see the `ru`.
    pub fn kick(&mut self, uid: &str, rid: &str, guest: &str) -> Result<(), Failure> {
        let from_outside = match self.room(rid).map(|room| json::text(room, "t")) {
            Some("c") => "kick-user-from-any-c-room",
            _ => "kick-user-from-any-p-room",
        };
        if !self.may_in(uid, "remove-user", rid) && !self.may(uid, from_outside) {
            return Err(Failure::not_allowed("removeUserFromRoom"));
        }
        if self.sub(rid, guest).is_none() {
            return Err(
                Failure::coded("error-user-not-in-room", "User is not in this room")
                    .with(json!({ "method": "removeUserFromRoom" })),
            );
        }
        self.check_last_owner(rid, guest, "removeUserFromRoom")?;
        let name = self
            .users
            .get(guest)
            .map_or("", |user| user.name())
            .to_owned();
        let by = self
            .users
            .get(uid)
            .map(|user| user.author())
            .unwrap_or(Value::Null);
        let team = self.team_of_main(rid).map(|team| team.id().to_owned());
        self.remove_sub(rid, guest);
        self.count_members(rid);
        self.change_user(guest, |_| {});
        match team {
            Some(team) => {
                self.expel(guest, &team);
                let by = self.bared(uid);
                self.system_message("removed-user-from-team", rid, &name, by, Value::Null);
            }
            None => self.system_message("ru", rid, &name, by, Value::Null),
        }
        Ok(())
    }

    /// Mutes or unmutes a member; muting twice writes twice.
    pub fn mute(&mut self, uid: &str, rid: &str, name: &str, mute: bool) -> Result<(), Failure> {
        let method = if mute {
            "muteUserInRoom"
        } else {
            "unmuteUserInRoom"
        };
        if !self.may_in(uid, "mute-user", rid) {
            return Err(Failure::not_allowed(method));
        }
        let member = self
            .users
            .named(name)
            .is_some_and(|user| self.sub(rid, user.id()).is_some());
        if !member {
            return Err(
                Failure::coded("error-user-not-in-room", "User is not in this room")
                    .with(json!({ "method": method })),
            );
        }
        let mut muted = self
            .room(rid)
            .map_or_else(Vec::new, |room| json::texts(room, "muted"));
        muted.retain(|one| one != name);
        if mute {
            muted.push(name.to_owned());
        }
        self.set_room(rid, "muted", Some(json!(muted)));
        // In a room where few may write, whom it is given back may write all the same.
        let room = self.room(rid);
        if room.is_some_and(|room| json::flag(room, "ro")) {
            let mut unmuted = room.map_or_else(Vec::new, |room| json::texts(room, "unmuted"));
            unmuted.retain(|one| one != name);
            if !mute {
                unmuted.push(name.to_owned());
            }
            self.set_room(rid, "unmuted", Some(json!(unmuted)));
        }
        let by = self
            .users
            .get(uid)
            .map(|user| user.author())
            .unwrap_or(Value::Null);
        self.system_message(
            if mute { "user-muted" } else { "user-unmuted" },
            rid,
            name,
            by,
            Value::Null,
        );
        Ok(())
    }

    /// Gives or takes a role in a room.
    pub fn change_role(
        &mut self,
        uid: &str,
        rid: &str,
        guest: &str,
        role: &str,
        give: bool,
    ) -> Result<(), Failure> {
        let title = format!("{}{}", role[..1].to_uppercase(), &role[1..]);
        let method = format!("{}Room{title}", if give { "add" } else { "remove" });
        if !self.may_in(uid, &format!("set-{role}"), rid) {
            return Err(Failure::not_allowed(&method));
        }
        let Some(sub) = self.sub(rid, guest) else {
            return Err(
                Failure::coded("error-user-not-in-room", "User is not in this room")
                    .with(json!({ "method": method })),
            );
        };
        let mut roles = json::texts(&sub.doc, "roles");
        if role != "leader" {
            self.check_federation(rid, &json::Doc::new(), "change room owners")?;
        }
        let has = roles.iter().any(|one| one == role);
        let article = if role == "owner" { "an" } else { "a" };
        if give && has {
            return Err(Failure::coded(
                &format!("error-user-already-{role}"),
                &format!("User is already {article} {role}"),
            )
            .with(json!({ "method": method })));
        }
        if !give && !has {
            return Err(Failure::coded(
                &format!("error-user-not-{role}"),
                &format!("User is not {article} {role}"),
            )
            .with(json!({ "method": method })));
        }
        if !give && role == "owner" && self.last_owner(rid, guest) {
            let reason = "This is the last owner. Please set a new owner before removing this one.";
            return Err(
                Failure::coded("error-remove-last-owner", reason).with(json!({ "method": method }))
            );
        }
        roles.retain(|one| one != role);
        if give {
            roles.push(role.to_owned());
        }
        self.change_sub(rid, guest, |sub| {
            sub.insert("roles".to_owned(), json!(roles));
        });
        let name = self
            .users
            .get(guest)
            .map_or("", |user| user.name())
            .to_owned();
        let by = self
            .users
            .get(uid)
            .map(|user| user.author())
            .unwrap_or(Value::Null);
        let kind = if give {
            "subscription-role-added"
        } else {
            "subscription-role-removed"
        };
        // The display name is the actor's, the server's own mistake (facts 7.5).
        let mut target = json!({ "_id": guest, "username": name });
        if !(give && role == "leader") {
            target["name"] = by["name"].clone();
        }
        let event = json!([{
            "type": if give { "added" } else { "removed" }, "_id": role, "u": target, "scope": rid,
        }]);
        self.system_message(kind, rid, &name, by, json!({ "role": role }));
        self.emit("stream-notify-logged", "roles-change", &event);
        Ok(())
    }

    /// Changes a room's topic or another of its texts and writes it down.
    pub fn change_room_text(
        &mut self,
        uid: &str,
        rid: &str,
        key: &str,
        value: &str,
    ) -> Result<(), Failure> {
        self.check_edit_room(uid, rid)?;
        self.set_room(rid, key, Some(json!(value)));
        let by = self
            .users
            .get(uid)
            .map(|user| user.author())
            .unwrap_or(Value::Null);
        self.system_message(&format!("room_changed_{key}"), rid, value, by, Value::Null);
        Ok(())
    }

    /// The right to change a room.
    pub fn check_edit_room(&self, uid: &str, rid: &str) -> Result<(), Failure> {
        if self.may_in(uid, "edit-room", rid) {
            return Ok(());
        }
        Err(
            Failure::coded("error-action-not-allowed", "Editing room is not allowed")
                .with(json!({ "method": "saveRoomSettings", "action": "Editing_room" })),
        )
    }

    /// Renames a channel or group, and its subscriptions with it.
    pub fn rename_room(&mut self, uid: &str, rid: &str, name: &str) -> Result<(), Failure> {
        self.check_edit_room(uid, rid)?;
        let stored = self.valid_room_name(name, Some(rid))?;
        let shown = name.to_owned();
        self.change_room(rid, |room| {
            room.insert("name".to_owned(), json!(stored));
            room.insert("fname".to_owned(), json!(shown));
        });
        let members: Vec<String> = self
            .subs_of_room(rid)
            .iter()
            .map(|sub| sub.uid().to_owned())
            .collect();
        for member in members {
            self.change_sub(rid, &member, |sub| {
                sub.insert("name".to_owned(), json!(stored));
                sub.insert("fname".to_owned(), json!(name));
            });
        }
        let by = self
            .users
            .get(uid)
            .map(|user| user.author())
            .unwrap_or(Value::Null);
        self.system_message("r", rid, name, by, Value::Null);
        Ok(())
    }

    /// Deletes a room with everything in it.
    pub fn erase_room(&mut self, uid: &str, rid: &str) -> Result<(), Failure> {
        let Some(room) = self.room(rid) else {
            return Err(Failure::coded("error-invalid-room", "Invalid room")
                .with(json!({ "method": "eraseRoom" })));
        };
        let permission = format!("delete-{}", json::text(room, "t"));
        if !self.may_in(uid, &permission, rid) {
            return Err(Failure::not_allowed("eraseRoom"));
        }
        if json::flag(room, "federated") {
            return Err(Failure::coded(
                "error-cannot-delete-federated-room",
                "Federated rooms can't be deleted",
            )
            .with(json!({ "method": "eraseRoom" })));
        }
        let (direct, name) = (
            json::text(room, "t") == "d",
            json::text(room, "name").to_owned(),
        );
        let main = self
            .teams
            .get(json::text(room, "teamId"))
            .map(|team| team.room().to_owned());
        if !direct {
            self.set_room(rid, "usersCount", Some(json!(0)));
        }
        self.remove_room(rid);
        if let Some(main) = main.filter(|main| main != rid) {
            let by = self.author_of(uid);
            self.system_message("user-deleted-room-from-team", &main, &name, by, Value::Null);
        }
        Ok(())
    }

    /// Blocks the other one of a direct message, or no longer: while it lasts nobody writes there.
    pub fn block(&mut self, uid: &str, rid: &str, other: &str, on: bool) -> Result<(), Failure> {
        let method = if on { "blockUser" } else { "unblockUser" };
        let direct = self
            .room(rid)
            .is_some_and(|room| json::text(room, "t") == "d");
        if !direct || self.sub(rid, uid).is_none() || self.sub(rid, other).is_none() {
            return Err(Failure::coded("error-invalid-room", "Invalid room")
                .with(json!({ "method": method })));
        }
        for (who, key) in [(other, "blocked"), (uid, "blocker")] {
            self.change_sub(rid, who, |sub| {
                if on {
                    sub.insert(key.to_owned(), json!(true));
                } else {
                    sub.remove(key);
                }
            });
        }
        Ok(())
    }
}
