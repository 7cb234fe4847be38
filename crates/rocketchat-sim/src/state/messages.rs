//! Stored messages, found by id, and by room in order of `ts` and of `_updatedAt`; and the trash.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::State;
use crate::{
    json::{self, Doc},
    time,
};

/// A stored message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// Order of insertion over all rooms.
    pub seq: u64,
    /// The document, dates in `{"$date"}` form.
    pub doc: Doc,
}

impl Message {
    /// Room.
    pub fn rid(&self) -> &str {
        json::text(&self.doc, "rid")
    }

    /// Author's user id.
    pub fn author(&self) -> &str {
        self.doc
            .get("u")
            .and_then(|author| author["_id"].as_str())
            .unwrap_or("")
    }

    /// `ts` in milliseconds.
    pub fn ts(&self) -> i64 {
        json::date_ms(self.doc.get("ts")).unwrap_or(0)
    }

    fn updated(&self) -> i64 {
        json::date_ms(self.doc.get("_updatedAt")).unwrap_or(0)
    }

    /// A hidden copy or a hidden deletion.
    pub fn hidden(&self) -> bool {
        json::flag(&self.doc, "_hidden")
    }

    /// The system type, empty for normal messages.
    pub fn kind(&self) -> &str {
        json::text(&self.doc, "t")
    }
}

/// What is left of a hard-deleted message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deleted {
    /// The id.
    #[serde(rename = "_id")]
    pub id: String,
    /// Its room.
    pub rid: String,
    /// Its `ts`.
    pub ts: i64,
    /// When it went.
    pub at: i64,
    /// The thread that it was a reply in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmid: Option<String>,
}

#[derive(Debug, Default)]
struct RoomIndex {
    by_ts: BTreeSet<(i64, u64)>,
    by_update: BTreeSet<(i64, u64)>,
    trash: Vec<Deleted>,
}

/// All messages.
#[derive(Debug, Default)]
pub struct Messages {
    docs: HashMap<u64, Message>,
    ids: HashMap<String, u64>,
    rooms: HashMap<String, RoomIndex>,
    next: u64,
}

impl Messages {
    /// A message by id, hidden ones included.
    pub fn get(&self, id: &str) -> Option<&Message> {
        self.ids.get(id).and_then(|seq| self.docs.get(seq))
    }

    /// Whether the id is taken.
    pub fn has(&self, id: &str) -> bool {
        self.ids.contains_key(id)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.docs.len()
    }

    /// Every message in order of insertion.
    pub fn all(&self) -> Vec<&Message> {
        let mut all: Vec<&Message> = self.docs.values().collect();
        all.sort_by_key(|message| message.seq);
        all
    }

    /// Every deletion.
    pub fn all_trash(&self) -> impl Iterator<Item = &Deleted> {
        self.rooms.values().flat_map(|room| room.trash.iter())
    }

    /// Messages of a room, newest `ts` first, within `[from, to]`.
    pub fn newest_first<'a>(
        &'a self,
        rid: &str,
        from: i64,
        to: i64,
    ) -> Box<dyn Iterator<Item = &'a Message> + 'a> {
        match self.rooms.get(rid) {
            Some(room) if from <= to => Box::new(
                room.by_ts
                    .range((from, 0)..=(to, u64::MAX))
                    .rev()
                    .filter_map(|(_, seq)| self.docs.get(seq)),
            ),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// Messages of a room written after `since`, newest `ts` first.
    pub fn updated_since(&self, rid: &str, since: i64) -> Vec<&Message> {
        let Some(room) = self.rooms.get(rid) else {
            return Vec::new();
        };
        let mut list: Vec<&Message> = room
            .by_update
            .range((since.saturating_add(1), 0)..)
            .filter_map(|(_, seq)| self.docs.get(seq))
            .collect();
        list.sort_by_key(|message| std::cmp::Reverse((message.ts(), message.seq)));
        list
    }

    /// Deletions in a room after `since`, oldest first.
    pub fn deleted_since(&self, rid: &str, since: i64) -> Vec<&Deleted> {
        self.rooms.get(rid).map_or_else(Vec::new, |room| {
            room.trash.iter().filter(|gone| gone.at > since).collect()
        })
    }

    /// Messages of a room in order of insertion, hidden ones included.
    pub fn inserted(&self, rid: &str) -> Vec<&Message> {
        let mut list: Vec<&Message> = self.newest_first(rid, i64::MIN, i64::MAX).collect();
        list.sort_by_key(|message| message.seq);
        list
    }

    /// The number that the next message gets.
    pub fn next_seq(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Stores a message in place of an older version of it.
    pub fn store(&mut self, message: Message) {
        let id = json::text(&message.doc, "_id").to_owned();
        self.forget(&id);
        self.next = self.next.max(message.seq);
        let room = self.rooms.entry(message.rid().to_owned()).or_default();
        room.by_ts.insert((message.ts(), message.seq));
        room.by_update.insert((message.updated(), message.seq));
        self.ids.insert(id, message.seq);
        self.docs.insert(message.seq, message);
    }

    /// Removes a message without a trace.
    pub fn forget(&mut self, id: &str) -> Option<Message> {
        let message = self.docs.remove(&self.ids.remove(id)?)?;
        if let Some(room) = self.rooms.get_mut(message.rid()) {
            room.by_ts.remove(&(message.ts(), message.seq));
            room.by_update.remove(&(message.updated(), message.seq));
        }
        Some(message)
    }

    /// Notes a deletion.
    pub fn bury(&mut self, gone: Deleted) {
        self.forget(&gone.id);
        self.rooms
            .entry(gone.rid.clone())
            .or_default()
            .trash
            .push(gone);
    }

    /// Forgets a room, its messages and its trash.
    pub fn forget_room(&mut self, rid: &str) {
        if let Some(room) = self.rooms.remove(rid) {
            for (_, seq) in room.by_ts {
                if let Some(message) = self.docs.remove(&seq) {
                    self.ids.remove(json::text(&message.doc, "_id"));
                }
            }
        }
    }
}

impl State {
    /// Inserts a message document and shows it on the streams.
    pub fn insert_message(&mut self, doc: Doc) {
        let message = Message {
            seq: self.messages.next_seq(),
            doc,
        };
        self.journal.put("messages", &message);
        self.emit_message(&message.doc);
        self.messages.store(message);
    }

    /// Changes a stored message; `_updatedAt` becomes now and the streams show it again.
    pub fn change_message(&mut self, id: &str, change: impl FnOnce(&mut Doc)) {
        let Some(mut message) = self.messages.forget(id) else {
            return;
        };
        change(&mut message.doc);
        message
            .doc
            .insert("_updatedAt".to_owned(), json::date(time::now_ms()));
        self.journal.put("messages", &message);
        if !message.hidden() {
            self.emit_message(&message.doc);
        }
        self.messages.store(message);
    }

    /// Removes a message and leaves a trace in the trash; no event.
    pub fn bury_message(&mut self, id: &str) {
        if let Some(message) = self.messages.get(id) {
            let gone = Deleted {
                id: id.to_owned(),
                rid: message.rid().to_owned(),
                ts: message.ts(),
                at: time::now_ms(),
                tmid: message
                    .doc
                    .get("tmid")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            };
            self.journal.put("trash", &gone);
            self.messages.bury(gone);
        }
    }

    /// Writes a system message and counts it in the room (facts 4.2).
    pub fn system_message(
        &mut self,
        kind: &str,
        rid: &str,
        text: &str,
        author: Value,
        extra: Value,
    ) {
        self.system_message_doc(kind, rid, text, author, extra);
    }

    /// The same, and returns what was written.
    pub fn system_message_doc(
        &mut self,
        kind: &str,
        rid: &str,
        text: &str,
        author: Value,
        extra: Value,
    ) -> Doc {
        let now = time::now_ms();
        let mut doc = json::doc(json!({
            "_id": crate::ids::object(now), "t": kind, "rid": rid, "ts": json::date(now), "msg": text,
            "u": author, "groupable": false, "_updatedAt": json::date(now),
        }));
        if let Value::Object(extra) = extra {
            doc.extend(extra);
        }
        self.insert_message(doc.clone());
        self.change_room(rid, |room| {
            let count = json::number(room, "msgs");
            room.insert("msgs".to_owned(), json!(count + 1));
        });
        doc
    }

    /// The last message of a room that its list of rooms may show.
    pub fn last_visible(&self, rid: &str) -> Option<Doc> {
        self.messages
            .newest_first(rid, i64::MIN, i64::MAX)
            .find(|message| {
                !message.hidden()
                    && message.kind().is_empty()
                    && (!message.doc.contains_key("tmid") || json::flag(&message.doc, "tshow"))
            })
            .map(|message| message.doc.clone())
    }
}
