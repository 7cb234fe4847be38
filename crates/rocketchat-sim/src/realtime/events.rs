//! What is shown on the streams (facts 7.5, 7.6): every write to a message, room or subscription
//! comes here and goes to whoever listens and may see it.

use bytestring::ByteString;
use serde::Serialize;
use serde_json::{Value, json};

use super::hub::Out;
use crate::{
    json::{self, Doc},
    state::State,
};

#[derive(Serialize)]
struct Fields<'a, A> {
    #[serde(rename = "eventName")]
    event: &'a str,
    args: &'a A,
}

#[derive(Serialize)]
struct Changed<'a, A> {
    msg: &'a str,
    collection: &'a str,
    id: &'a str,
    fields: Fields<'a, A>,
}

/// A changed frame; the collection's id is the literal `id`.
pub fn changed<A: Serialize>(collection: &str, event: &str, args: &A) -> ByteString {
    let frame = Changed {
        msg: "changed",
        collection,
        id: "id",
        fields: Fields { event, args },
    };
    ByteString::from(serde_json::to_string(&frame).unwrap_or_default())
}

impl State {
    /// Shows an event of a stream to everybody who listens.
    pub fn emit(&mut self, collection: &str, event: &str, args: &Value) {
        self.emit_except(collection, event, args, None);
    }

    /// Shows an event to everybody who listens but one socket.
    pub fn emit_except(&mut self, collection: &str, event: &str, args: &Value, not: Option<u64>) {
        let listeners = self.hub.listeners(collection, event);
        if listeners.is_empty() {
            return;
        }
        let frame = changed(collection, event, args);
        for id in listeners {
            if Some(id) != not {
                self.hub.send(id, &frame, true);
            }
        }
    }

    /// Shows an event of one user's own stream.
    pub fn emit_user(&mut self, uid: &str, name: &str, args: Value) {
        if self.hub.has_user(uid) {
            self.emit("stream-notify-user", &format!("{uid}/{name}"), &args);
        }
    }

    /// Whether a user has a socket, so that work for its streams is not in vain.
    pub fn watched(&self, uid: &str) -> bool {
        self.hub.has_user(uid)
    }

    /// Shows a room to the streams of its members.
    pub fn emit_room(&mut self, rid: &str, action: &str) {
        let Some(room) = self.room(rid) else { return };
        let listening: Vec<String> = self
            .hub
            .connected_users()
            .into_iter()
            .filter(|uid| self.sub(rid, uid).is_some())
            .filter(|uid| {
                !self
                    .hub
                    .listeners("stream-notify-user", &format!("{uid}/rooms-changed"))
                    .is_empty()
            })
            .collect();
        let watched = !self.hub.listeners("stream-room-data", rid).is_empty();
        if listening.is_empty() && !watched {
            return;
        }
        let shown = if action == "inserted" {
            room.clone()
        } else {
            json::without(room, &["_USERNAMES", "avatarOrigin"])
        };
        let args = json!([action, shown]);
        for uid in listening {
            self.emit_user(&uid, "rooms-changed", args.clone());
        }
        if watched {
            self.emit("stream-room-data", rid, &json!([shown]));
        }
    }

    /// Shows a room to the stream of one member.
    pub fn emit_room_to(&mut self, uid: &str, rid: &str, action: &str) {
        if self.watched(uid)
            && let Some(room) = self.room(rid)
        {
            let shown = if action == "inserted" {
                room.clone()
            } else {
                json::without(room, &["_USERNAMES", "avatarOrigin"])
            };
            self.emit_user(uid, "rooms-changed", json!([action, shown]));
        }
    }

    /// Shows a stored message: to listeners of its room, and through `__my_messages__` to everybody
    /// who may access the room. Hidden ones and hidden system types are never shown.
    pub fn emit_message(&mut self, doc: &Doc) {
        let kind = json::text(doc, "t");
        if json::flag(doc, "_hidden")
            || doc.contains_key("imported")
            || (!kind.is_empty() && self.settings.lists("Hide_System_Messages", kind))
        {
            return;
        }
        let rid = json::text(doc, "rid").to_owned();
        let direct = self.hub.listeners("stream-room-messages", &rid);
        if !direct.is_empty() {
            let frame = changed("stream-room-messages", &rid, &[doc]);
            for id in direct {
                self.hub.send(id, &frame, true);
            }
        }
        let mine = self
            .hub
            .listeners("stream-room-messages", "__my_messages__");
        if mine.is_empty() {
            return;
        }
        let Some(room) = self.room(&rid) else { return };
        let (room_type, name) = (json::text(room, "t").to_owned(), room.get("name").cloned());
        let mut frames: [Option<ByteString>; 2] = [None, None];
        for id in mine {
            let Some(uid) = self.hub.socket(id).and_then(|socket| socket.user.clone()) else {
                continue;
            };
            if !self.may_access(&uid, &rid) {
                continue;
            }
            let inside = self.sub(&rid, &uid).is_some();
            let frame = frames[usize::from(inside)].get_or_insert_with(|| {
                let mut about = json!({ "roomParticipant": inside, "roomType": room_type });
                if let Some(name) = &name {
                    about["roomName"] = name.clone();
                }
                changed("stream-room-messages", "__my_messages__", &(doc, about))
            });
            self.hub.send(id, frame, true);
        }
    }

    /// Tells a user something privately; nothing is stored (facts 8.4).
    pub fn tell(&mut self, uid: &str, rid: &str, text: &str) {
        if !self.watched(uid) {
            return;
        }
        let now = crate::time::now_ms();
        let mut note = json!({
            "groupable": false, "u": { "_id": "rocket.cat", "username": "rocket.cat" }, "private": true,
            "_id": now.to_string(), "rid": rid, "ts": json::date(now), "_updatedAt": json::date(now), "msg": text,
        });
        if let Some(md) = self.tree(text) {
            note["md"] = md;
        }
        self.emit_user(uid, "message", json!([note]));
    }

    /// Ends a user's streams of a room's messages without a frame (capture 24).
    pub fn end_message_stream(&mut self, uid: &str, rid: &str) {
        for id in self.hub.of_user(uid) {
            let ended: Vec<String> = self.hub.socket(id).map_or_else(Vec::new, |socket| {
                socket
                    .subs
                    .iter()
                    .filter(|(_, sub)| sub.name == "stream-room-messages" && sub.event == rid)
                    .map(|(sub_id, _)| sub_id.clone())
                    .collect()
            });
            for sub_id in ended {
                self.hub.unsubscribe(id, &sub_id);
            }
        }
    }

    /// Closes a user's sockets with code 1000; only those of one token when it is given.
    pub fn close_sockets_of(&mut self, uid: &str, token: Option<&str>) {
        for id in self.hub.of_user(uid) {
            let matches = token.is_none_or(|token| {
                self.hub
                    .socket(id)
                    .and_then(|socket| socket.token.as_deref())
                    == Some(token)
            });
            if matches {
                self.hub.push(id, Out::Close(1000));
            }
        }
    }

    /// Sets a user's status and shows it to followers (capture 23).
    pub fn set_status(&mut self, uid: &str, status: &str, text: Option<&str>, name: Option<&str>) {
        let Some(user) = self.users.get(uid) else {
            return;
        };
        let number = match status {
            "online" => 1,
            "away" => 2,
            "busy" => 3,
            _ => 0,
        };
        let (username, roles) = (user.name().to_owned(), user.roles());
        let mut changed_user = user.clone();
        changed_user.doc.insert("status".to_owned(), json!(status));
        self.users.forget(uid);
        self.save_user(changed_user);
        let args = json!([[uid, username, number, text, name, roles]]);
        self.emit("stream-notify-logged", "user-status", &args);
        let followers: Vec<u64> = self
            .hub
            .all()
            .filter(|(_, socket)| {
                socket
                    .presence
                    .as_ref()
                    .is_some_and(|(_, followed)| followed.contains(uid))
            })
            .map(|(id, _)| id)
            .collect();
        if !followers.is_empty() {
            let frame = ByteString::from(
                json!({
                    "msg": "changed", "collection": "stream-user-presence", "id": uid,
                    "fields": { "uid": uid, "args": [[username, number, text]], "eventName": uid },
                })
                .to_string(),
            );
            for id in followers {
                self.hub.send(id, &frame, true);
            }
        }
    }
}
