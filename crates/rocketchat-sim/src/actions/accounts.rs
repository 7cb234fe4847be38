//! Making and changing accounts (facts 2.3 to 2.5, capture 60).

use serde_json::{Value, json};

use crate::{
    error::Failure,
    ids,
    json::{self, Doc},
    state::{State, users::User, users::password_digest},
    text, time,
};

fn required(field: &str) -> Failure {
    Failure::coded(
        "error-the-field-is-required",
        &format!("The field {field} is required"),
    )
    .with(json!({ "method": "insertOrUpdateUser", "field": field }))
}

fn taken(value: &str) -> Failure {
    Failure::coded(
        "error-field-unavailable",
        &format!("{value} is already in use :("),
    )
    .with(json!({ "method": "insertOrUpdateUser", "field": value }))
}

fn action(reason: &str, action: &str) -> Failure {
    Failure::coded("error-action-not-allowed", reason)
        .with(json!({ "method": "insertOrUpdateUser", "action": action }))
}

/// A display name with `<`, `>`, `/`, `\` or a stray `%` is refused (facts 2.5).
fn valid_display_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let percent = |at: usize| {
        bytes
            .get(at + 1..at + 3)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
    };
    !name.contains(['<', '>', '\\', '/'])
        && bytes
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'%')
            .all(|(at, _)| {
                percent(at).is_some_and(|byte| byte.is_ascii() && !b"<>\\/".contains(&byte))
            })
}

impl State {
    fn check_username(&self, name: &str) -> Result<(), Failure> {
        if !text::valid_name(name, self.settings.text("UTF8_User_Names_Validation")) {
            return Err(Failure::coded(
                "error-input-is-not-a-valid-field",
                &format!("{name} is not a valid username"),
            )
            .with(json!({ "method": "insertOrUpdateUser", "input": name, "field": "Username" })));
        }
        Ok(())
    }

    fn blocked_name(&self, name: &str) -> bool {
        let lists = [
            self.settings.text("Accounts_SystemBlockedUsernameList"),
            self.settings.text("Accounts_BlockedUsernameList"),
            "all,here",
        ];
        lists
            .iter()
            .flat_map(|list| list.split(','))
            .any(|one| !one.is_empty() && one.trim().eq_ignore_ascii_case(name))
    }

    fn check_email(&self, address: &str, not: Option<&str>) -> Result<(), Failure> {
        let valid = address.split_once('@').is_some_and(|(local, host)| {
            !local.is_empty() && !host.is_empty() && !host.contains('@')
        });
        if !valid {
            return Err(
                Failure::coded("error-invalid-email", &format!("Invalid email {address}")).with(
                    json!({ "function": "RocketChat.validateEmailDomain", "email": address }),
                ),
            );
        }
        if self
            .users
            .with_email(address)
            .is_some_and(|user| Some(user.id()) != not)
        {
            return Err(taken(address));
        }
        Ok(())
    }

    fn check_roles(&self, caller: &str, roles: &[String]) -> Result<(), Failure> {
        const ROLES: &[&str] = &[
            "admin",
            "user",
            "bot",
            "app",
            "guest",
            "anonymous",
            "livechat-agent",
            "livechat-manager",
        ];
        if roles.iter().any(|role| !ROLES.contains(&role.as_str())) {
            return Err(action(
                "The field Roles consist invalid role id",
                "Assign_role",
            ));
        }
        if roles.iter().any(|role| role == "admin") && !self.may(caller, "assign-admin-role") {
            return Err(action("Assigning admin is not allowed", "Assign_admin"));
        }
        Ok(())
    }

    /// Custom fields that `Accounts_CustomFields` declares; others are dropped silently.
    fn declared_fields(&self, fields: &Doc) -> Doc {
        let declared: Value = serde_json::from_str(self.settings.text("Accounts_CustomFields"))
            .unwrap_or(Value::Null);
        fields
            .iter()
            .filter(|(key, _)| declared.get(key.as_str()).is_some())
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }

    /// Makes an account; too long a `bio` or `nickname` fails after it was made, as on the server.
    pub fn create_user(&mut self, caller: &str, data: &Doc) -> Result<Doc, Failure> {
        if !self.may(caller, "create-user") {
            return Err(action("Adding user is not allowed", "Adding_user"));
        }
        let name = json::text(data, "name");
        let username = json::text(data, "username").trim();
        if name.trim().is_empty() && self.settings.on("Accounts_RequireNameForSignUp") {
            return Err(required("Name"));
        }
        if username.is_empty() {
            return Err(required("Username"));
        }
        let roles = match json::texts(data, "roles") {
            roles if roles.is_empty() => vec!["user".to_owned()],
            roles => roles,
        };
        self.check_roles(caller, &roles)?;
        self.check_username(username)?;
        if json::text(data, "password").is_empty() && !json::flag(data, "setRandomPassword") {
            return Err(required("Password"));
        }
        if self.users.named(username).is_some() && !self.blocked_name(username) {
            return Err(taken(username));
        }
        if self.blocked_name(username) {
            return Err(Failure::coded(
                "error-blocked-username",
                &format!("{username} is blocked and can't be used!"),
            )
            .with(json!({ "method": "checkUsernameAvailability", "field": username })));
        }
        let email = data.get("email").map_or(String::new(), |value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        });
        self.check_email(&email, None)?;
        if !valid_display_name(name) {
            return Err(Failure::plain("Name contains invalid characters"));
        }
        let (uid, now) = (ids::meteor(), time::now_ms());
        let active = data
            .get("active")
            .and_then(Value::as_bool)
            .unwrap_or(!self.settings.on("Accounts_ManuallyApproveNewUsers"));
        let mut doc = json::doc(json!({
            "_id": uid, "createdAt": json::date(now), "username": username,
            "emails": [{ "address": email, "verified": json::flag(data, "verified") }], "type": "user", "roles": roles,
            "status": "offline", "active": active, "_updatedAt": json::date(now),
        }));
        if json::flag(data, "setRandomPassword") {
            doc.insert("requirePasswordChange".to_owned(), json!(true));
        } else if let Some(value) = data.get("requirePasswordChange") {
            doc.insert("requirePasswordChange".to_owned(), value.clone());
        }
        if let Some(fields) = data.get("customFields").and_then(Value::as_object) {
            let fields = self.declared_fields(fields);
            if !fields.is_empty() {
                doc.insert("customFields".to_owned(), Value::Object(fields));
            }
        }
        let password = Some(password_digest(json::text(data, "password")));
        let seq = self.users.next_seq();
        self.save_user(User {
            doc,
            seq,
            password,
            tokens: Vec::new(),
        });
        if data
            .get("joinDefaultChannels")
            .and_then(Value::as_bool)
            .unwrap_or(true)
        {
            let defaults: Vec<String> = self
                .rooms_in_order()
                .into_iter()
                .filter(|room| json::flag(room, "default"))
                .map(|room| json::text(room, "_id").to_owned())
                .collect();
            for rid in defaults {
                self.bring_in(&rid, &uid, None);
            }
        }
        // A refusal leaves an account without name, settings and profile (captures 90 and 91).
        self.check_profile(data)?;
        let (display, settings) = (json!(name), json!({}));
        self.change_user(&uid, |user| {
            // Only now: the messages about joining the default channels carry no name (capture 60).
            user.doc.insert("name".to_owned(), display);
            user.doc.insert("settings".to_owned(), settings);
            for key in ["bio", "nickname"] {
                if let Some(value) = data.get(key).filter(|value| json::truthy(Some(value))) {
                    user.doc.insert(key.to_owned(), value.clone());
                }
            }
        });
        self.full_user(&uid).ok_or(Failure::NotLoggedIn)
    }

    fn check_profile(&self, data: &Doc) -> Result<(), Failure> {
        for (key, title, limit) in [("bio", "Bio", 260), ("nickname", "Nickname", 120)] {
            if text::utf16_length(json::text(data, key)) > limit {
                return Err(Failure::coded(
                    &format!("error-{key}-size-exceeded"),
                    &format!("{title} size exceeds {limit} characters"),
                )
                .with(json!({ "method": "saveUserProfile" })));
            }
        }
        Ok(())
    }

    /// Changes an account; a missing `bio` or `nickname` is erased, as on the server.
    pub fn update_user(&mut self, caller: &str, uid: &str, data: &Doc) -> Result<Doc, Failure> {
        if caller != uid && !self.may(caller, "edit-other-user-info") {
            return Err(action("Editing user is not allowed", "Editing_user"));
        }
        let Some(old) = self.users.get(uid).cloned() else {
            return Err(Failure::plain(self.options.cannot_read("roles", "null")));
        };
        if json::flag(&old.doc, "federated") {
            return Err(Failure::plain("Edit_Federated_User_Not_Allowed"));
        }
        if let Some(username) = data.get("username").and_then(Value::as_str)
            && username != old.name()
        {
            self.check_username(username)?;
        }
        if data.contains_key("roles") {
            self.check_roles(caller, &json::texts(data, "roles"))?;
        }
        if let Some(email) = data.get("email").and_then(Value::as_str) {
            self.check_email(email, Some(uid))?;
        }
        self.check_profile(data)?;
        let lost = || {
            Failure::coded(
                "error-could-not-save-identity",
                "Could not save user identity",
            )
            .with(json!({ "method": "saveUser" }))
        };
        if let Some(name) = data.get("name").and_then(Value::as_str) {
            if name.is_empty() {
                return Err(lost());
            }
            if !valid_display_name(name) {
                return Err(Failure::plain("Name contains invalid characters"));
            }
        }
        if let Some(username) = data.get("username").and_then(Value::as_str) {
            let other = self
                .users
                .named(username)
                .is_some_and(|user| user.id() != uid);
            if username.is_empty()
                || other
                || (username != old.name() && self.blocked_name(username))
            {
                return Err(lost());
            }
        }
        let custom = data
            .get("customFields")
            .and_then(Value::as_object)
            .map(|fields| self.declared_fields(fields));
        let password = data
            .get("password")
            .and_then(Value::as_str)
            .filter(|one| !one.is_empty())
            .map(password_digest);
        let revoke = password.is_some() && caller != uid;
        self.change_user(uid, |user| {
            for key in ["bio", "nickname"] {
                match data.get(key).filter(|value| json::truthy(Some(value))) {
                    Some(value) => user.doc.insert(key.to_owned(), value.clone()),
                    None => user.doc.remove(key),
                };
            }
            for key in [
                "name",
                "username",
                "roles",
                "statusText",
                "requirePasswordChange",
            ] {
                if let Some(value) = data.get(key) {
                    user.doc.insert(key.to_owned(), value.clone());
                }
            }
            if let Some(email) = data.get("email") {
                let verified = json::flag(data, "verified");
                user.doc.insert(
                    "emails".to_owned(),
                    json!([{ "address": email, "verified": verified }]),
                );
            } else if let Some(verified) = data.get("verified") {
                user.doc["emails"][0]["verified"] = verified.clone();
            }
            if let Some(custom) = custom.filter(|custom| !custom.is_empty()) {
                let fields = user.doc.entry("customFields").or_insert_with(|| json!({}));
                if let Value::Object(fields) = fields {
                    fields.extend(custom);
                }
            }
            if let Some(password) = password {
                user.password = Some(password);
            }
        });
        if let Some(active) = data.get("active").and_then(Value::as_bool) {
            self.set_active(uid, active, true)?;
        }
        if data.contains_key("status") || data.contains_key("statusText") {
            // The status itself stays as it is, only the text changes (capture 60).
            let status = &json::text(&old.doc, "status").to_owned();
            let text = json::text(data, "statusText").to_owned();
            let name = self.users.get(uid).map(|user| user.shown_name().to_owned());
            self.set_status(uid, status, Some(&text), name.as_deref());
        }
        if revoke {
            self.revoke_tokens(uid);
        }
        self.after_rename(uid, &old);
        self.full_user(uid).ok_or(Failure::NotLoggedIn)
    }

    /// A new username goes into old messages, mentions and DMs, and every message concerned is
    /// shown again (facts 2.4).
    fn after_rename(&mut self, uid: &str, old: &User) {
        let Some(user) = self.users.get(uid).cloned() else {
            return;
        };
        let renamed = user.name() != old.name();
        let display = user.shown_name() != old.shown_name();
        if renamed || (display && self.settings.on("UI_Use_Real_Name")) {
            let event = json!([{ "_id": uid, "name": if renamed { old.shown_name() } else { user.shown_name() }, "username": user.name() }]);
            self.emit("stream-notify-logged", "Users:NameChanged", &event);
        }
        if renamed || display {
            self.rename_in_rooms(&user, old);
        }
        if !renamed {
            return;
        }
        let (before, after) = (format!("@{}", old.name()), format!("@{}", user.name()));
        let concerned: Vec<String> = self
            .messages
            .all()
            .into_iter()
            .filter(|one| {
                one.author() == uid
                    || one
                        .doc
                        .get("mentions")
                        .and_then(Value::as_array)
                        .is_some_and(|list| list.iter().any(|m| m["_id"] == uid))
            })
            .map(|one| json::text(&one.doc, "_id").to_owned())
            .collect();
        for id in concerned {
            self.change_message(&id, |doc| {
                if doc["u"]["_id"] == uid {
                    doc["u"]["username"] = json!(user.name());
                }
                let mut mentioned = false;
                if let Some(Value::Array(list)) = doc.get_mut("mentions") {
                    for mention in list.iter_mut().filter(|mention| mention["_id"] == uid) {
                        mention["username"] = json!(user.name());
                        mentioned = true;
                    }
                }
                if mentioned {
                    let text = json::text(doc, "msg").replace(&before, &after);
                    doc.insert("msg".to_owned(), json!(text));
                    doc.remove("md");
                }
            });
        }
    }

    /// A new name goes into the lists of rooms: of direct rooms for the others, of one's own
    /// subscriptions, of who is muted and who made a room.
    fn rename_in_rooms(&mut self, user: &User, old: &User) {
        let uid = user.id();
        let rids: Vec<String> = self
            .subs_of_user(uid)
            .iter()
            .map(|sub| json::text(&sub.doc, "rid").to_owned())
            .collect();
        for rid in rids {
            if user.name() != old.name() {
                self.rename_in_room(&rid, user, old);
            }
            let direct = self
                .room(&rid)
                .is_some_and(|room| json::text(room, "t") == "d");
            if !direct {
                continue;
            }
            let members: Vec<User> = self
                .subs_of_room(&rid)
                .iter()
                .filter_map(|sub| self.users.get(sub.uid()))
                .cloned()
                .collect();
            for member in members.iter().filter(|one| one.id() != uid) {
                let (name, fname) = crate::actions::create::labels(&members, member.id());
                self.change_sub(&rid, member.id(), |sub| {
                    sub.insert("name".to_owned(), json!(name));
                    sub.insert("fname".to_owned(), json!(fname));
                });
            }
        }
    }

    fn rename_in_room(&mut self, rid: &str, user: &User, old: &User) {
        let uid = user.id().to_owned();
        let concerned = self.room(rid).is_some_and(|room| {
            room.get("u").is_some_and(|u| u["_id"] == uid.as_str())
                || ["usernames", "_USERNAMES", "muted", "unmuted"]
                    .iter()
                    .any(|key| json::texts(room, key).iter().any(|one| one == old.name()))
        });
        if concerned {
            self.change_room(rid, |room| {
                if room.get("u").is_some_and(|u| u["_id"] == uid.as_str()) {
                    room["u"]["username"] = json!(user.name());
                }
                for key in ["usernames", "_USERNAMES", "muted", "unmuted"] {
                    if let Some(Value::Array(list)) = room.get_mut(key) {
                        for one in list.iter_mut().filter(|one| **one == old.name()) {
                            *one = json!(user.name());
                        }
                    }
                }
            });
        }
        self.change_sub(rid, &uid, |sub| {
            sub["u"]["username"] = json!(user.name());
        });
    }
}
