//! Making channels, groups and direct rooms (facts 3.3, capture 50).

use serde_json::{Value, json};

use crate::{
    error::Failure,
    ids,
    json::{self, Doc},
    state::{State, users::User},
    text, time,
};

/// What `channels.create` and `groups.create` take.
#[derive(Debug, Default)]
pub struct NewRoom {
    /// `c` or `p`.
    pub kind: &'static str,
    /// Name as given.
    pub name: String,
    /// Usernames; unknown ones are skipped.
    pub members: Vec<String>,
    /// Only owners may write.
    pub read_only: bool,
    /// Topic, description and the like.
    pub extra: Doc,
    /// Custom fields; rooms that the server makes for itself have none at all.
    pub custom_fields: Option<Doc>,
    /// The creator does not become a member.
    pub exclude_self: bool,
}

/// Turns a title into a name as the server does: letters without their accents, dashes.
fn slug(title: &str) -> String {
    let mut slug = String::new();
    for one in title.chars() {
        match one {
            'ä' => slug.push_str("ae"),
            'ö' => slug.push_str("oe"),
            'ü' => slug.push_str("ue"),
            'Ä' => slug.push_str("Ae"),
            'Ö' => slug.push_str("Oe"),
            'Ü' => slug.push_str("Ue"),
            'ß' => slug.push_str("ss"),
            '&' => slug.push_str("and"),
            one if one.is_ascii_alphanumeric() || "-_.".contains(one) => slug.push(one),
            one if one.is_whitespace() => slug.push('-'),
            _ => {}
        }
    }
    slug
}

/// How a direct room is called for one of its members: usernames and display names of the others.
pub(super) fn labels(members: &[User], uid: &str) -> (String, String) {
    let others = || {
        members
            .iter()
            .filter(|other| other.id() != uid || members.len() == 1)
    };
    let name: Vec<&str> = others().map(User::name).collect();
    let fname: Vec<&str> = others()
        .map(|other| match other.shown_name() {
            "" => other.name(),
            shown => shown,
        })
        .collect();
    (name.join(", "), fname.join(", "))
}

impl State {
    /// Checks a room name and returns it as it will be stored.
    pub fn valid_room_name(&self, name: &str, not: Option<&str>) -> Result<String, Failure> {
        let details = json!({ "function": "RocketChat.getValidRoomName", "channel_name": name });
        let stored = if self.settings.on("UI_Allow_room_names_with_special_chars") {
            slug(name)
        } else if text::valid_name(name, self.settings.text("UTF8_Channel_Names_Validation")) {
            name.to_owned()
        } else {
            let reason = format!("{name} is not a valid room name.");
            return Err(Failure::coded("error-invalid-room-name", &reason).with(details));
        };
        if self.room_named(&stored).is_some_and(|rid| Some(rid) != not) {
            let reason = format!("A channel with name '{name}' exists");
            return Err(Failure::coded("error-duplicate-channel-name", &reason).with(details));
        }
        Ok(stored)
    }

    /// Makes a channel or group; nobody's joining is written down as a message.
    pub fn create_room(&mut self, uid: &str, new: NewRoom) -> Result<Doc, Failure> {
        let name = self.valid_room_name(&new.name, None)?;
        let room = self.create_named_room(uid, &name, new)?;
        let team = json::text(&room, "teamId").to_owned();
        if let Some(main) = self.teams.get(&team).map(|team| team.room().to_owned()) {
            let by = self.author_of(uid);
            self.system_message("user-added-room-to-team", &main, &name, by, Value::Null);
        }
        Ok(room)
    }

    /// Makes a room of a name that was checked before, or that the server chose.
    pub fn create_named_room(
        &mut self,
        uid: &str,
        name: &str,
        new: NewRoom,
    ) -> Result<Doc, Failure> {
        let Some(creator) = self.users.get(uid).cloned() else {
            return Err(Failure::NotLoggedIn);
        };
        let mut members: Vec<_> = new
            .members
            .iter()
            .filter_map(|name| self.users.exactly_named(name))
            .filter(|user| user.id() != uid)
            .cloned()
            .collect();
        members.sort_by_key(|user| user.seq);
        members.dedup_by_key(|user| user.seq);
        if !new.exclude_self {
            members.push(creator.clone());
        }
        let now = time::now_ms();
        let rid = ids::object(now);
        let mut room = new.extra;
        let broadcast = json::flag(&room, "broadcast");
        for (key, value) in [
            ("_id", json!(rid)),
            ("fname", json!(new.name)),
            ("name", json!(name)),
            ("t", json!(new.kind)),
            ("msgs", json!(0)),
            ("usersCount", json!(members.len())),
            ("u", creator.author()),
            ("ts", json::date(now)),
            ("ro", json!(new.read_only || broadcast)),
            ("default", json!(false)),
            ("sysMes", json!(true)),
            ("_updatedAt", json::date(now)),
        ] {
            room.insert(key.to_owned(), value);
        }
        if let Some(fields) = new.custom_fields {
            room.insert("customFields".to_owned(), Value::Object(fields));
        }
        self.insert_room(room.clone());
        for member in &members {
            let mut sub = json::doc(json!({
                "_id": ids::object(now), "open": true, "alert": false, "unread": 0, "userMentions": 0,
                "groupMentions": 0, "ts": json::date(now), "rid": rid, "name": name, "fname": new.name,
                "t": new.kind, "u": member.short(),
            }));
            if let Some(fields) = room.get("customFields") {
                sub.insert("customFields".to_owned(), fields.clone());
            }
            if member.id() == uid {
                sub.insert("ls".to_owned(), json::date(now));
                sub.insert("roles".to_owned(), json!(["owner"]));
            }
            if let Some(parent) = room.get("prid") {
                sub.insert("prid".to_owned(), parent.clone());
            }
            self.insert_sub(sub);
        }
        self.emit_room(&rid, "inserted");
        self.emit_room(&rid, "updated");
        Ok(room)
    }

    /// Makes or finds the direct room of the named users and, unless excluded, the caller. Names
    /// with `@` that nobody has are dropped (capture 50).
    pub fn create_direct(
        &mut self,
        uid: &str,
        names: &[String],
        exclude_self: bool,
    ) -> Result<Value, Failure> {
        let invalid = || {
            Failure::coded("error-invalid-user", "Invalid user")
                .with(json!({ "method": "createDirectMessage" }))
        };
        let not_allowed = || Failure::not_allowed("createDirectMessage");
        if !self.may(uid, "create-d") {
            return Err(not_allowed());
        }
        let mut members: Vec<_> = Vec::new();
        for name in names {
            match self.users.named(name) {
                Some(user) => members.push(user.clone()),
                None if name.contains('@') => {}
                None => return Err(invalid()),
            }
        }
        if !exclude_self {
            members.push(self.users.get(uid).cloned().ok_or_else(invalid)?);
        } else if !self.may(uid, "view-room-administration") {
            return Err(not_allowed());
        }
        members.sort_by_key(|user| user.seq);
        members.dedup_by_key(|user| user.seq);
        let limit = self.settings.number("DirectMesssage_maxUsers");
        if members.len() as i64 > limit {
            let reason = format!(
                "You cannot add more than {limit} users, including yourself to a direct message"
            );
            return Err(
                Failure::coded("error-direct-message-max-user-exceeded", &reason)
                    .with(json!({ "method": "createDirectRoom" })),
            );
        }
        let mut uids: Vec<String> = members.iter().map(|user| user.id().to_owned()).collect();
        uids.sort();
        let usernames: Vec<&str> = members.iter().map(|user| user.name()).collect();
        let known = if uids.len() == 2 {
            Some(uids.concat())
        } else {
            self.direct_room_of(&uids)
        };
        let now = time::now_ms();
        let rid = known.clone().unwrap_or_else(|| ids::object(now));
        let exists = self.room(&rid).is_some();
        if !exists {
            self.insert_room(json::doc(json!({
                "_id": rid, "t": "d", "usernames": usernames, "usersCount": members.len(), "msgs": 0,
                "ts": json::date(now), "uids": uids, "default": false, "ro": false, "sysMes": true,
                "_updatedAt": json::date(now), "_USERNAMES": usernames,
            })));
        }
        for member in &members {
            let opens = member.id() == uid || members.len() != 2;
            if self.sub(&rid, member.id()).is_some() {
                if opens {
                    self.change_sub(&rid, member.id(), |sub| {
                        sub.insert("open".to_owned(), json!(true));
                    });
                }
                continue;
            }
            let (name, fname) = labels(&members, member.id());
            self.insert_sub(json::doc(json!({
                "_id": ids::meteor(), "rid": rid, "u": member.short(), "open": opens, "_updatedAt": json::date(now),
                "ts": json::date(now), "alert": false, "unread": 0, "userMentions": 0, "groupMentions": 0, "t": "d",
                "fname": fname, "name": name,
            })));
        }
        if !exists {
            self.emit_room(&rid, "inserted");
        }
        let shown = self
            .room(&rid)
            .map_or(json!(usernames), |room| room["usernames"].clone());
        Ok(json!({ "t": "d", "rid": rid, "usernames": shown, "_id": rid }))
    }

    fn direct_room_of(&self, uids: &[String]) -> Option<String> {
        let first = uids.first()?;
        self.subs_of_user(first)
            .iter()
            .filter(|sub| json::text(&sub.doc, "t") == "d")
            .filter_map(|sub| self.room(json::text(&sub.doc, "rid")))
            .find(|room| json::texts(room, "uids") == uids)
            .map(|room| json::text(room, "_id").to_owned())
    }
}
