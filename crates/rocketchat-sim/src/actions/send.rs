//! Sending a message (facts 4.4, captures 10 and 11): checked first, stored in a second step, with
//! the time between them that a real server needs. Two sends of one id can thus both pass the
//! check, and the loser meets MongoDB's E11000, as recorded.

use serde_json::{Value, json};

use crate::{
    error::Failure,
    ids,
    json::{self, Doc},
    state::State,
    text, time,
};

/// A message that passed all checks and waits to be stored.
#[derive(Debug)]
pub struct Prepared {
    uid: String,
    doc: Doc,
    /// Tell the author privately when storing fails (not for `chat.postMessage`).
    tells: bool,
}

/// Types that `chat.sendMessage` refuses; others can be forged (facts 4.2).
const SYSTEM_TYPES: &[&str] = &[
    "uj",
    "ut",
    "ujt",
    "ul",
    "ult",
    "au",
    "added-user-to-team",
    "ru",
    "removed-user-from-team",
    "r",
    "rm",
    "user-muted",
    "user-unmuted",
    "subscription-role-added",
    "subscription-role-removed",
    "room-archived",
    "room-unarchived",
    "room-set-read-only",
    "room-removed-read-only",
    "room-allowed-reacting",
    "room-disallowed-reacting",
    "room_e2e_enabled",
    "room_e2e_disabled",
    "user-converted-to-team",
    "user-converted-to-channel",
    "user-removed-room-from-team",
    "user-deleted-room-from-team",
    "user-added-room-to-team",
    "command",
    "livechat-close",
    "livechat-started",
];

/// Whether a client-sent type is one that only the server may write.
pub fn is_system_type(kind: &str) -> bool {
    SYSTEM_TYPES.contains(&kind)
}

fn sent_date(value: &Value) -> Option<i64> {
    value.as_str().and_then(time::parse_iso)
}

impl State {
    /// Checks a message sent by `chat.sendMessage` or the method `sendMessage`. Over REST a `ts` is
    /// a text; over DDP it is a date and stays.
    pub fn prepare_send(
        &mut self,
        uid: &str,
        mut message: Doc,
        previews: Option<Vec<String>>,
        over_rest: bool,
    ) -> Result<Prepared, Failure> {
        if json::flag(&message, "tshow") && !message.contains_key("tmid") {
            return Err(
                Failure::coded("invalid-params", "tshow provided but missing tmid")
                    .with(json!({ "method": "sendMessage" })),
            );
        }
        let now = time::now_ms();
        let mut broken_ts = false;
        if json::truthy(message.get("ts")) {
            let sent = message["ts"].clone();
            let at = if over_rest {
                sent_date(&sent)
            } else {
                json::date_ms(Some(&sent))
            };
            let off = at.map_or(i64::MAX, |at| (now - at).abs());
            if off > 60_000 {
                return Err(Failure::coded(
                    "error-message-ts-out-of-sync",
                    "Message timestamp is out of sync",
                )
                .with(json!({ "method": "sendMessage", "message_ts": sent, "server_ts": now })));
            }
            if off > 10_000 {
                message.insert("ts".to_owned(), json::date(now));
            } else {
                broken_ts = over_rest;
            }
        } else {
            message.insert("ts".to_owned(), json::date(now));
        }
        if let Some(text) = message.get("msg").and_then(Value::as_str)
            && text::utf16_length(text) as i64 > self.settings.number("Message_MaxAllowedSize")
        {
            return Err(Failure::coded(
                "error-message-size-exceeded",
                "Message size exceeds Message_MaxAllowedSize",
            )
            .with(json!({ "method": "sendMessage" })));
        }
        if let Some(parent) = message
            .get("tmid")
            .and_then(Value::as_str)
            .and_then(|tmid| self.messages.get(tmid))
        {
            // The parent's room wins, and a reply to a reply belongs to the root.
            let (rid, root) = (json!(parent.rid()), parent.doc.get("tmid").cloned());
            message.insert("rid".to_owned(), rid);
            if let Some(root) = root {
                message.insert("tmid".to_owned(), root);
            }
        }
        let rid = match message.get("rid") {
            Some(Value::String(rid)) if !rid.is_empty() => rid.clone(),
            _ => {
                return Err(Failure::plain(
                    "The 'rid' property on the message object is missing.",
                ));
            }
        };
        let checked = self
            .check_room(uid, &rid)
            .and_then(|()| self.compose(uid, &rid, message, previews, broken_ts));
        match checked {
            Ok(doc) => Ok(Prepared {
                uid: uid.to_owned(),
                doc,
                tells: true,
            }),
            Err(failure) => {
                self.tell(uid, &rid, &failure.told_to_author());
                Err(failure)
            }
        }
    }

    /// Checks a message of `chat.postMessage` to a room that is known and accessible.
    pub fn prepare_post(
        &mut self,
        uid: &str,
        rid: &str,
        message: Doc,
    ) -> Result<Prepared, Failure> {
        self.check_room(uid, rid)?;
        let mut message = message;
        message.insert("ts".to_owned(), json::date(time::now_ms()));
        if let Some(parent) = message
            .get("tmid")
            .and_then(Value::as_str)
            .and_then(|tmid| self.messages.get(tmid))
            && let Some(root) = parent.doc.get("tmid").cloned()
        {
            message.insert("tmid".to_owned(), root);
        }
        let doc = self.compose(uid, rid, message, None, false)?;
        Ok(Prepared {
            uid: uid.to_owned(),
            doc,
            tells: false,
        })
    }

    /// May a user write in a room (facts 3.2)?
    pub fn check_room(&self, uid: &str, rid: &str) -> Result<(), Failure> {
        let Some(room) = self.room(rid) else {
            return Err(Failure::plain("error-invalid-room"));
        };
        if !self.may_access(uid, rid) {
            return Err(Failure::plain("error-not-allowed"));
        }
        let name = self.users.get(uid).map_or("", |user| user.name());
        if json::text(room, "t") == "d"
            && self.sub(rid, uid).is_some_and(|sub| {
                json::flag(&sub.doc, "blocked") || json::flag(&sub.doc, "blocker")
            })
        {
            return Err(Failure::plain("room_is_blocked"));
        }
        if json::flag(room, "ro")
            && !self.may_in(uid, "post-readonly", rid)
            && !json::texts(room, "unmuted").iter().any(|one| one == name)
        {
            return Err(Failure::plain(
                "You can't send messages because the room is readonly.",
            ));
        }
        if json::texts(room, "muted").iter().any(|one| one == name) {
            return Err(Failure::plain("You_have_been_muted"));
        }
        Ok(())
    }

    fn compose(
        &self,
        uid: &str,
        rid: &str,
        mut message: Doc,
        previews: Option<Vec<String>>,
        broken_ts: bool,
    ) -> Result<Doc, Failure> {
        let author = self.users.get(uid).ok_or(Failure::NotLoggedIn)?.author();
        message.insert("u".to_owned(), author);
        message.insert("rid".to_owned(), json!(rid));
        if (json::truthy(message.get("alias")) || json::truthy(message.get("avatar")))
            && !self.may_in(uid, "message-impersonate", rid)
        {
            return Err(Failure::plain("Not enough permission"));
        }
        // What a message itself carries as a mark is stored unchecked; only its room counts here.
        self.check_federation(rid, &Doc::new(), "send message")?;
        let unencrypted = self.settings.on("E2E_Enable")
            && !self.settings.on("E2E_Allow_Unencrypted_Messages")
            && json::text(&message, "t") != "e2e";
        if unencrypted
            && self
                .room(rid)
                .is_some_and(|room| json::flag(room, "encrypted"))
        {
            return Err(Failure::plain("error-not-allowed"));
        }
        super::check::message(&mut message, &|text| self.tree(text))?;
        self.check_custom_fields(&message)?;
        if broken_ts {
            return Err(Failure::plain("message.ts.getTime is not a function"));
        }
        if !json::flag(&message, "tshow") {
            message.remove("tshow");
        }
        let text = text::close_fence(json::text(&message, "msg"));
        message.insert("msg".to_owned(), json!(text));
        self.compute(uid, &mut message, previews.as_deref());
        for (name, permission) in [("all", "mention-all"), ("here", "mention-here")] {
            let marked = message["mentions"]
                .as_array()
                .is_some_and(|list| list.iter().any(|one| one["_id"] == name));
            if marked && !self.may_in(uid, permission, rid) {
                let reason = format!("Notify {name} in this room not allowed");
                return Err(Failure::coded("error-action-not-allowed", &reason)
                    .with(json!({ "action": "Notify all in this room" })));
            }
        }
        Ok(message)
    }

    /// Fills what depends on the text: `mentions`, `channels`, `urls`, quotes, `md`. `uid` writes.
    /// `parseUrls: false` leaves out `urls`, and so quotes too.
    pub fn compute(&self, uid: &str, message: &mut Doc, previews: Option<&[String]>) {
        let text = json::text(message, "msg").to_owned();
        let mut mentions = Vec::new();
        let names = text::user_names(&text, self.settings.text("UTF8_User_Names_Validation"));
        for group in names
            .iter()
            .filter(|name| *name == "all" || *name == "here")
        {
            mentions.push(json!({ "_id": group, "username": group }));
        }
        let mut users: Vec<_> = names
            .iter()
            .filter_map(|name| self.users.exactly_named(name))
            .collect();
        users.sort_by_key(|user| user.seq);
        for user in users {
            let mut mention = user.author();
            mention["type"] = json!("user");
            mentions.push(mention);
        }
        message.insert("mentions".to_owned(), Value::Array(mentions));
        let channels: Vec<Value> =
            text::room_names(&text, self.settings.text("UTF8_Channel_Names_Validation"))
                .iter()
                .filter_map(|name| self.room_named(name).and_then(|rid| self.room(rid)))
                .map(|room| Value::Object(json::only(room, &["_id", "name", "fname"])))
                .collect();
        message.insert("channels".to_owned(), Value::Array(channels));
        let site = self.settings.text("Site_Url");
        let urls: Vec<Value> = text::links(&text)
            .into_iter()
            .map(|url| {
                let skipped =
                    previews.is_some_and(|wanted| !wanted.contains(&url)) && !url.contains(site);
                let mut entry = json!({ "url": url, "meta": {} });
                if skipped {
                    entry["ignoreParse"] = json!(true);
                }
                entry
            })
            .collect();
        if message.get("parseUrls") == Some(&json!(false)) {
            message.remove("urls");
        } else {
            message.insert("urls".to_owned(), Value::Array(urls));
        }
        self.quote(uid, message);
        // What is encrypted is nobody's markup.
        let tree = match json::text(message, "t") {
            "e2e" | "otr" => None,
            _ => self.tree(&text),
        };
        match tree {
            Some(tree) => message.insert("md".to_owned(), tree),
            None => message.remove("md"),
        };
    }

    fn check_custom_fields(&self, message: &Doc) -> Result<(), Failure> {
        let Some(fields) = message.get("customFields") else {
            return Ok(());
        };
        if !self.settings.on("Message_CustomFields_Enabled") {
            return Err(Failure::plain("Custom fields not enabled"));
        }
        let schema: Value =
            serde_json::from_str(self.settings.text("Message_CustomFields")).unwrap_or(Value::Null);
        if super::check::matches_schema(fields, &schema) {
            Ok(())
        } else {
            Err(Failure::plain("Invalid custom fields"))
        }
    }

    /// Whether the id of a prepared message is taken: the check that a real server makes before it
    /// inserts. `None` lets it go on.
    pub fn duplicate(&self, prepared: &Prepared) -> Option<Failure> {
        let id = json::text(&prepared.doc, "_id");
        (!id.is_empty() && self.messages.has(id))
            .then(|| Failure::plain(self.options.cannot_read("starred", "undefined")))
    }

    /// Stores a prepared message and does what follows: counters, unread marks, notices, threads.
    pub fn commit_send(&mut self, prepared: Prepared) -> Result<Doc, Failure> {
        let Prepared {
            uid,
            mut doc,
            tells,
        } = prepared;
        let rid = json::text(&doc, "rid").to_owned();
        if self.room(&rid).is_none() {
            return Err(Failure::plain("error-invalid-room"));
        }
        let id = match doc.get("_id").and_then(Value::as_str) {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => ids::meteor(),
        };
        if self.messages.has(&id) {
            let text = format!(
                "E11000 duplicate key error collection: rocketchat.rocketchat_message index: _id_ dup key: {{ _id: {} }}",
                json!(id)
            );
            if tells {
                self.tell(&uid, &rid, &text);
            }
            return Err(Failure::plain(text));
        }
        doc.insert("_id".to_owned(), json!(id));
        // A real server needs some milliseconds until it stores: never the same date as `ts`.
        let sent = json::date_ms(doc.get("ts")).unwrap_or(0);
        doc.insert(
            "_updatedAt".to_owned(),
            json::date(time::now_ms().max(sent + 1)),
        );
        self.insert_message(doc.clone());
        self.after_send(&uid, &rid, &doc);
        Ok(doc)
    }

    fn after_send(&mut self, uid: &str, rid: &str, doc: &Doc) {
        self.count_in_discussion(rid);
        let in_thread = doc.contains_key("tmid") && !json::flag(doc, "tshow");
        if !in_thread {
            self.mark_unread(uid, rid, doc);
        }
        if !doc.contains_key("tmid") {
            self.mark_read(uid, rid);
        }
        self.notify(uid, rid, doc);
        let last = doc.clone();
        let at = doc.get("ts").cloned().unwrap_or(Value::Null);
        self.change_room(rid, |room| {
            let count = json::number(room, "msgs");
            room.insert("msgs".to_owned(), json!(count + 1));
            if !in_thread {
                room.insert("lm".to_owned(), at);
                room.insert("lastMessage".to_owned(), Value::Object(last));
            }
        });
        if let Some(tmid) = doc.get("tmid").and_then(Value::as_str) {
            self.after_reply(uid, rid, tmid, doc);
        }
    }

    /// What is news like a message but is not the last one of its room.
    pub fn after_news(&mut self, uid: &str, rid: &str, doc: &Doc) {
        self.mark_unread(uid, rid, doc);
        self.mark_read(uid, rid);
        self.notify(uid, rid, doc);
    }

    /// Unread marks of everybody but the author: an alert for members who have none yet, counters
    /// in DMs and for those who are mentioned (settings `Unread_Count*` at their defaults).
    fn mark_unread(&mut self, uid: &str, rid: &str, doc: &Doc) {
        let direct = self
            .room(rid)
            .is_some_and(|room| json::text(room, "t") == "d");
        let mentions = doc
            .get("mentions")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let everybody = mentions
            .iter()
            .any(|one| one["_id"] == "all" || one["_id"] == "here");
        let mentioned: Vec<String> = mentions
            .iter()
            .filter(|one| one["type"] == "user")
            .filter_map(|one| one["_id"].as_str())
            .map(str::to_owned)
            .collect();
        let mut touched = if direct || everybody {
            self.subs_of_room(rid)
                .iter()
                .map(|sub| sub.uid().to_owned())
                .collect()
        } else {
            let mut list = self.quiet_members(rid);
            list.extend(
                mentioned
                    .iter()
                    .filter(|one| self.sub(rid, one).is_some())
                    .cloned(),
            );
            list
        };
        touched.sort();
        touched.dedup();
        for member in touched.into_iter().filter(|member| member != uid) {
            let personally = mentioned.contains(&member);
            self.change_sub(rid, &member, |sub| {
                let mut add = |key: &str| {
                    let count = json::number(sub, key);
                    sub.insert(key.to_owned(), json!(count + 1));
                };
                if direct || everybody || personally {
                    add("unread");
                }
                if personally {
                    add("userMentions");
                }
                if everybody {
                    add("groupMentions");
                }
                sub.insert("alert".to_owned(), json!(true));
                sub.insert("open".to_owned(), json!(true));
            });
        }
    }

    /// The author, or whoever reads, has seen the room.
    pub fn mark_read(&mut self, uid: &str, rid: &str) {
        self.change_sub(rid, uid, |sub| {
            sub.insert("open".to_owned(), json!(true));
            sub.insert("alert".to_owned(), json!(false));
            for key in ["unread", "userMentions", "groupMentions"] {
                sub.insert(key.to_owned(), json!(0));
            }
            sub.insert("ls".to_owned(), json::date(time::now_ms()));
        });
    }

    /// Desktop notices to members that have a socket.
    fn notify(&mut self, uid: &str, rid: &str, doc: &Doc) {
        let Some(room) = self.room(rid) else { return };
        let (kind, name) = (
            json::text(room, "t").to_owned(),
            json::text(room, "name").to_owned(),
        );
        // A discussion has no name that says anything.
        let shown_name = match json::text(room, "fname") {
            fname if !fname.is_empty() && room.contains_key("prid") => fname,
            _ => json::text(room, "name"),
        }
        .to_owned();
        let author = doc.get("u").cloned().unwrap_or(Value::Null);
        let username = author["username"].as_str().unwrap_or("").to_owned();
        let text = match json::text(doc, "msg") {
            "" if doc.contains_key("file") => "Uploaded a file",
            text => text,
        };
        let (title, shown, label) = if kind == "d" {
            (username.clone(), text.to_owned(), username)
        } else {
            (
                format!("#{shown_name}"),
                format!("{username}: {text}"),
                name,
            )
        };
        let mut payload = json!({
            "_id": doc["_id"], "rid": rid, "sender": author, "type": kind,
            "message": json::only(doc, &["msg", "t"]), "name": label,
        });
        if let Some(tmid) = doc.get("tmid") {
            payload["tmid"] = tmid.clone();
        }
        let notice = json!([{ "title": title, "text": shown, "payload": payload }]);
        let concerns = |member: &str| {
            let Some(tmid) = doc.get("tmid").and_then(Value::as_str) else {
                return true;
            };
            // A reply in a thread is news to those who follow it, and to who is mentioned.
            let follows = self.messages.get(tmid).is_some_and(|root| {
                root.author() == member
                    || json::texts(&root.doc, "replies")
                        .iter()
                        .any(|one| one == member)
            });
            let mentioned = doc
                .get("mentions")
                .and_then(Value::as_array)
                .is_some_and(|list| list.iter().any(|one| one["_id"] == member));
            follows || mentioned || json::flag(doc, "tshow")
        };
        let members: Vec<String> = self
            .hub
            .connected_users()
            .into_iter()
            .filter(|member| member != uid && self.sub(rid, member).is_some() && concerns(member))
            .collect();
        for member in members {
            self.emit_user(&member, "notification", notice.clone());
        }
    }
}
