//! Rooms and who is in them.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::State;
use crate::{
    json::{self, Doc},
    time,
};

/// A user's subscription to a room.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sub {
    /// Order of joining over all rooms.
    pub seq: u64,
    /// The document.
    pub doc: Doc,
}

impl Sub {
    /// The member's user id.
    pub fn uid(&self) -> &str {
        self.doc
            .get("u")
            .and_then(|user| user["_id"].as_str())
            .unwrap_or("")
    }

    /// What updates and REST show: the copy of the room's custom fields is only in `inserted`.
    pub fn shown(&self) -> Doc {
        json::without(&self.doc, &["customFields"])
    }
}

#[derive(Debug)]
struct Room {
    doc: Doc,
    seq: u64,
    members: HashMap<String, Sub>,
    /// Members whom the next message alerts: kept apart so that a message costs the same in a big
    /// room in which everybody is alerted already.
    quiet: HashSet<String>,
}

/// A room as the journal keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub struct SavedRoom {
    /// Order of creation.
    pub seq: u64,
    /// The document.
    pub doc: Doc,
}

/// A removed room or subscription, for `rooms.get` and `subscriptions.get`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Removed {
    /// The id.
    #[serde(rename = "_id")]
    pub id: String,
    /// Whose subscription it was; empty for rooms.
    pub uid: String,
    /// When.
    pub at: i64,
}

/// The code that joining a room needs, which no document shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JoinCode {
    /// The room.
    pub rid: String,
    /// The code; empty for none.
    pub code: String,
}

/// All rooms and subscriptions.
#[derive(Debug, Default)]
pub struct Rooms {
    all: HashMap<String, Room>,
    by_name: HashMap<String, String>,
    joined: HashMap<String, HashSet<String>>,
    join_codes: HashMap<String, String>,
    /// Rooms deleted since the beginning.
    pub removed_rooms: Vec<Removed>,
    /// Subscriptions removed since the beginning.
    pub removed_subs: Vec<Removed>,
    next: u64,
}

impl Rooms {
    fn next_seq(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Stores a room in place of an older version of it.
    pub fn store(&mut self, saved: SavedRoom) {
        let rid = json::text(&saved.doc, "_id").to_owned();
        let name = json::text(&saved.doc, "name").to_owned();
        self.next = self.next.max(saved.seq);
        if let Some(room) = self.all.get_mut(&rid) {
            let old = json::text(&room.doc, "name").to_owned();
            room.doc = saved.doc;
            if old != name {
                self.by_name.remove(&old);
            }
        } else {
            let room = Room {
                doc: saved.doc,
                seq: saved.seq,
                members: HashMap::new(),
                quiet: HashSet::new(),
            };
            self.all.insert(rid.clone(), room);
        }
        if !name.is_empty() {
            self.by_name.insert(name, rid);
        }
    }

    /// Stores a subscription in place of an older version of it.
    pub fn store_sub(&mut self, sub: Sub) {
        let (rid, uid) = (json::text(&sub.doc, "rid").to_owned(), sub.uid().to_owned());
        self.next = self.next.max(sub.seq);
        if let Some(room) = self.all.get_mut(&rid) {
            if json::flag(&sub.doc, "alert") && json::flag(&sub.doc, "open") {
                room.quiet.remove(&uid);
            } else {
                room.quiet.insert(uid.clone());
            }
            room.members.insert(uid.clone(), sub);
            self.joined.entry(uid).or_default().insert(rid);
        }
    }

    /// Removes a subscription.
    pub fn forget_sub(&mut self, rid: &str, uid: &str) -> Option<Sub> {
        if let Some(joined) = self.joined.get_mut(uid) {
            joined.remove(rid);
        }
        let room = self.all.get_mut(rid)?;
        room.quiet.remove(uid);
        room.members.remove(uid)
    }

    /// Removes a room and its subscriptions.
    pub fn forget(&mut self, rid: &str) {
        self.join_codes.remove(rid);
        if let Some(room) = self.all.remove(rid) {
            self.by_name.remove(json::text(&room.doc, "name"));
            for uid in room.members.keys() {
                if let Some(joined) = self.joined.get_mut(uid) {
                    joined.remove(rid);
                }
            }
        }
    }

    /// Keeps the code of a room.
    pub fn keep_join_code(&mut self, code: JoinCode) {
        if code.code.is_empty() {
            self.join_codes.remove(&code.rid);
        } else {
            self.join_codes.insert(code.rid, code.code);
        }
    }

    /// The codes of all rooms that have one.
    pub fn join_codes(&self) -> impl Iterator<Item = JoinCode> + '_ {
        self.join_codes.iter().map(|(rid, code)| JoinCode {
            rid: rid.clone(),
            code: code.clone(),
        })
    }

    /// Every room as it is saved, in order of creation.
    pub fn saved(&self) -> Vec<SavedRoom> {
        let mut list: Vec<SavedRoom> = self
            .all
            .values()
            .map(|room| SavedRoom {
                seq: room.seq,
                doc: room.doc.clone(),
            })
            .collect();
        list.sort_by_key(|room| room.seq);
        list
    }

    /// Every subscription.
    pub fn all_subs(&self) -> impl Iterator<Item = &Sub> {
        self.all.values().flat_map(|room| room.members.values())
    }
}

impl State {
    /// A room's document.
    pub fn room(&self, rid: &str) -> Option<&Doc> {
        self.rooms.all.get(rid).map(|room| &room.doc)
    }

    /// A room's id by its name; `c` and `p` share the names.
    pub fn room_named(&self, name: &str) -> Option<&str> {
        self.rooms.by_name.get(name).map(String::as_str)
    }

    /// All rooms in order of creation.
    pub fn rooms_in_order(&self) -> Vec<&Doc> {
        let mut list: Vec<&Room> = self.rooms.all.values().collect();
        list.sort_by_key(|room| room.seq);
        list.into_iter().map(|room| &room.doc).collect()
    }

    /// A user's subscription to a room.
    pub fn sub(&self, rid: &str, uid: &str) -> Option<&Sub> {
        self.rooms.all.get(rid)?.members.get(uid)
    }

    /// Members of a room in order of joining.
    pub fn subs_of_room(&self, rid: &str) -> Vec<&Sub> {
        let mut list: Vec<&Sub> = self
            .rooms
            .all
            .get(rid)
            .map_or_else(Vec::new, |room| room.members.values().collect());
        list.sort_by_key(|sub| sub.seq);
        list
    }

    /// How many members a room has.
    pub fn member_count(&self, rid: &str) -> usize {
        self.rooms.all.get(rid).map_or(0, |room| room.members.len())
    }

    /// Members whom the next message alerts.
    pub fn quiet_members(&self, rid: &str) -> Vec<String> {
        self.rooms
            .all
            .get(rid)
            .map_or_else(Vec::new, |room| room.quiet.iter().cloned().collect())
    }

    /// A user's subscriptions in order of joining.
    pub fn subs_of_user(&self, uid: &str) -> Vec<&Sub> {
        let mut list: Vec<&Sub> = self.rooms.joined.get(uid).map_or_else(Vec::new, |joined| {
            joined.iter().filter_map(|rid| self.sub(rid, uid)).collect()
        });
        list.sort_by_key(|sub| sub.seq);
        list
    }

    /// Keeps the code that joining a room needs.
    pub fn keep_join_code(&mut self, rid: &str, code: &str) {
        let code = JoinCode {
            rid: rid.to_owned(),
            code: code.to_owned(),
        };
        self.journal.put("join_codes", &code);
        self.rooms.keep_join_code(code);
    }

    /// The code that joining a room needs, if any.
    pub fn join_code(&self, rid: &str) -> Option<&str> {
        self.rooms.join_codes.get(rid).map(String::as_str)
    }

    /// Inserts a room; no event.
    pub fn insert_room(&mut self, doc: Doc) {
        let saved = SavedRoom {
            seq: self.rooms.next_seq(),
            doc,
        };
        self.journal.put("rooms", &saved);
        self.rooms.store(saved);
    }

    /// Changes a room, sets `_updatedAt` and shows it to its members' streams.
    pub fn change_room(&mut self, rid: &str, change: impl FnOnce(&mut Doc)) {
        let Some(room) = self.rooms.all.get(rid) else {
            return;
        };
        let (seq, mut doc) = (room.seq, room.doc.clone());
        change(&mut doc);
        doc.insert("_updatedAt".to_owned(), json::date(time::now_ms()));
        let saved = SavedRoom { seq, doc };
        self.journal.put("rooms", &saved);
        self.rooms.store(saved);
        self.emit_room(rid, "updated");
    }

    /// Makes a room and its subscriptions as old as that, in ms. Nobody is told.
    pub fn age_room(&mut self, rid: &str, age_ms: i64) {
        let at = json::date(time::now_ms() - age_ms);
        let date = |doc: &mut Doc| {
            doc.insert("ts".to_owned(), at.clone());
            doc.insert("_updatedAt".to_owned(), at.clone());
        };
        if let Some(room) = self.rooms.all.get(rid) {
            let (seq, mut doc) = (room.seq, room.doc.clone());
            date(&mut doc);
            let saved = SavedRoom { seq, doc };
            self.journal.put("rooms", &saved);
            self.rooms.store(saved);
        }
        let members: Vec<String> = (self.subs_of_room(rid).iter())
            .map(|sub| sub.uid().to_owned())
            .collect();
        for member in members {
            if let Some(mut sub) = self.sub(rid, &member).cloned() {
                date(&mut sub.doc);
                self.journal.put("subs", &sub);
                self.rooms.store_sub(sub);
            }
        }
    }

    /// Inserts a subscription and tells its owner.
    pub fn insert_sub(&mut self, doc: Doc) {
        let sub = Sub {
            seq: self.rooms.next_seq(),
            doc,
        };
        self.journal.put("subs", &sub);
        let uid = sub.uid().to_owned();
        self.emit_user(&uid, "subscriptions-changed", json!(["inserted", sub.doc]));
        self.rooms.store_sub(sub);
    }

    /// Changes a subscription, sets `_updatedAt` and tells its owner.
    pub fn change_sub(&mut self, rid: &str, uid: &str, change: impl FnOnce(&mut Doc)) {
        let Some(mut sub) = self.sub(rid, uid).cloned() else {
            return;
        };
        change(&mut sub.doc);
        sub.doc
            .insert("_updatedAt".to_owned(), json::date(time::now_ms()));
        self.journal.put("subs", &sub);
        if self.watched(uid) {
            self.emit_user(
                uid,
                "subscriptions-changed",
                json!(["updated", sub.shown()]),
            );
        }
        self.rooms.store_sub(sub);
    }

    /// Removes a subscription, tells its owner, and ends its stream of the room's messages without
    /// a frame (capture 24).
    pub fn remove_sub(&mut self, rid: &str, uid: &str) {
        let Some(sub) = self.rooms.forget_sub(rid, uid) else {
            return;
        };
        let removed = Removed {
            id: json::text(&sub.doc, "_id").to_owned(),
            uid: uid.to_owned(),
            at: time::now_ms(),
        };
        self.journal.remove("subs", &format!("{rid}\u{0}{uid}"));
        self.journal.put("removed_subs", &removed);
        self.rooms.removed_subs.push(removed);
        let shown =
            json!({ "_id": sub.doc["_id"], "rid": rid, "t": sub.doc["t"], "u": sub.doc["u"] });
        self.emit_user(uid, "subscriptions-changed", json!(["removed", shown]));
        self.end_message_stream(uid, rid);
    }

    /// Removes a room, its messages and subscriptions.
    pub fn remove_room(&mut self, rid: &str) {
        let members: Vec<String> = self
            .subs_of_room(rid)
            .iter()
            .map(|sub| sub.uid().to_owned())
            .collect();
        for uid in &members {
            self.remove_sub(rid, uid);
        }
        let removed = Removed {
            id: rid.to_owned(),
            uid: String::new(),
            at: time::now_ms(),
        };
        self.journal.remove("rooms", rid);
        self.journal.put("removed_rooms", &removed);
        self.rooms.removed_rooms.push(removed);
        self.rooms.forget(rid);
        self.messages.forget_room(rid);
        self.remove_files_in(rid);
        self.drop_avatar(&super::avatars::Owner::Room(rid.to_owned()));
        self.emit("stream-room-data", rid, &json!([{ "_id": rid }]));
    }

    /// Sets or removes one key of a room and shows it.
    pub fn set_room(&mut self, rid: &str, key: &str, value: Option<Value>) {
        self.change_room(rid, |doc| {
            match value {
                Some(value) => doc.insert(key.to_owned(), value),
                None => doc.remove(key),
            };
        });
    }
}
