//! What happened while nobody listened: read back from a room's cursor, after
//! every time that something may have been missed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cursor::Cursor;
use super::from_rocketchat::Document;
use super::{Bridge, Failure};
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::documents::{Message, SyncResult, Timestamp};
use crate::store::{Portal, PortalKind};

/// How far before the cursor is read, in ms. `_updatedAt` is stamped before the
/// document is written, and streams do not keep the order of the stamps.
const OVERLAP_MS: i64 = 5_000;

/// How many documents of one room may wait before the room stops taking them
/// from the socket and is read back later instead: memory stays bounded when the
/// homeserver is away.
const LONGEST_QUEUE: usize = 2_000;

/// What is known of each portal's Rocket.Chat side while the bridge runs.
#[derive(Default)]
pub(super) struct Rooms {
    rooms: Mutex<HashMap<RocketRoomId, Room>>,
    listening: AtomicBool,
}

struct Room {
    cursor: Cursor,
    hearing: Hearing,
    /// Asked to read back while that was under way.
    again: bool,
    waiting: usize,
}

enum Hearing {
    /// What comes now is not taken: it will be read back with the rest.
    Missing,
    /// Being read back; what comes meanwhile waits behind it.
    ReadingBack(Vec<Message>),
    /// What comes is taken.
    Live,
}

impl Rooms {
    fn lock(&self) -> MutexGuard<'_, HashMap<RocketRoomId, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The socket is there, or not.
    pub(super) fn set_listening(&self, listening: bool) {
        self.listening.store(listening, Ordering::Relaxed);
    }

    /// Whether the socket is there.
    pub(super) fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    /// From now on something may be missed in these rooms.
    pub(super) fn miss<'a>(&self, rids: impl IntoIterator<Item = &'a RocketRoomId>) {
        let mut rooms = self.lock();
        for rid in rids {
            if let Some(room) = rooms.get_mut(rid) {
                room.miss();
            }
        }
    }

    /// A document came from the socket: returned if it is to be queued now.
    pub(super) fn arrive(&self, rid: &RocketRoomId, message: Box<Message>) -> Option<Box<Message>> {
        let mut rooms = self.lock();
        let room = rooms.get_mut(rid)?;
        if room.waiting >= LONGEST_QUEUE {
            room.miss();
            room.again = true;
        }
        match &mut room.hearing {
            Hearing::Missing => None,
            Hearing::ReadingBack(behind) => {
                behind.push(*message);
                None
            }
            Hearing::Live => Some(message),
        }
    }

    /// Work on a document begins.
    pub(super) fn begin(&self, rid: &RocketRoomId, at: i64) {
        if let Some(room) = self.lock().get_mut(rid) {
            room.cursor.begin(at);
            room.waiting += 1;
        }
    }

    /// Work on a document is done: the new cursor, if it moved, and whether the
    /// room should now be read back.
    fn finish(&self, rid: &RocketRoomId, at: i64) -> (Option<i64>, bool) {
        let mut rooms = self.lock();
        let Some(room) = rooms.get_mut(rid) else {
            return (None, false);
        };
        room.waiting = room.waiting.saturating_sub(1);
        let read_back = room.waiting == 0 && room.again && matches!(room.hearing, Hearing::Missing);
        (room.cursor.finish(at), read_back)
    }

    /// Begins to read back; none when that is under way already (then it is done
    /// once more afterwards).
    fn start_reading(&self, rid: &RocketRoomId, stored: i64) -> Option<i64> {
        let mut rooms = self.lock();
        let room = rooms.entry(rid.clone()).or_insert_with(|| Room {
            cursor: Cursor::at(stored),
            hearing: Hearing::Missing,
            again: false,
            waiting: 0,
        });
        if matches!(room.hearing, Hearing::ReadingBack(_)) {
            room.again = true;
            return None;
        }
        room.again = false;
        room.cursor.hold();
        room.hearing = Hearing::ReadingBack(Vec::new());
        Some(room.cursor.position())
    }

    /// Reading back failed: as if it had not begun.
    fn stop_reading(&self, rid: &RocketRoomId) {
        if let Some(room) = self.lock().get_mut(rid) {
            room.miss();
        }
    }

    /// The documents read back have been queued: what waited behind them, or
    /// none when something was missed meanwhile.
    fn finish_reading(&self, rid: &RocketRoomId) -> Option<Vec<Message>> {
        let mut rooms = self.lock();
        let room = rooms.get_mut(rid)?;
        match std::mem::replace(&mut room.hearing, Hearing::Missing) {
            Hearing::ReadingBack(behind) => {
                room.hearing = Hearing::Live;
                Some(behind)
            }
            _ => None,
        }
    }

    /// Everything up to now has begun to be worked: the new cursor, if it moved,
    /// and whether to read back once more.
    fn release(&self, rid: &RocketRoomId) -> (Option<i64>, bool) {
        let mut rooms = self.lock();
        match rooms.get_mut(rid) {
            Some(room) if matches!(room.hearing, Hearing::Live) => {
                (room.cursor.release(), std::mem::take(&mut room.again))
            }
            _ => (None, false),
        }
    }
}

impl Room {
    fn miss(&mut self) {
        self.cursor.hold();
        self.hearing = Hearing::Missing;
    }
}

impl Bridge {
    /// Reads a portal's room back from its cursor, in a task of its own.
    pub(super) fn read_back(self: &Arc<Self>, rid: RocketRoomId) {
        let bridge = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(failure) = bridge.read_back_now(&rid).await {
                tracing::error!(%rid, %failure, "a room could not be read back");
            }
        });
    }

    /// Reads a portal's room back from its cursor.
    pub(super) async fn read_back_now(self: &Arc<Self>, rid: &RocketRoomId) -> Result<(), Failure> {
        loop {
            let Some(portal) = self.store.portal(rid)? else {
                return Ok(());
            };
            let stored = self.store.cursor(rid)?.unwrap_or(portal.since);
            let Some(position) = self.rooms.start_reading(rid, stored) else {
                return Ok(());
            };
            let since = Timestamp((position - OVERLAP_MS).max(portal.since - 1));
            let read = match self.persevere(|_| self.sync(&portal, since)).await {
                Ok(read) => read,
                Err(failure) => {
                    self.rooms.stop_reading(rid);
                    return Err(failure);
                }
            };
            self.enqueue_documents(rid, documents_in_order(read));
            if let Some(behind) = self.rooms.finish_reading(rid) {
                let behind = behind
                    .into_iter()
                    .map(|message| Document::Message(Box::new(message)))
                    .collect();
                self.enqueue_documents(rid, behind);
            }
            let (moved, again) = self.rooms.release(rid);
            self.store_cursor(rid, moved);
            if !again {
                return Ok(());
            }
        }
    }

    async fn sync(&self, portal: &Portal, since: Timestamp) -> Result<SyncResult, Failure> {
        match &portal.kind {
            PortalKind::Direct { matrix_user, .. } => {
                let puppet = self.puppet_of(matrix_user).await?;
                self.as_puppet(&puppet, |session| async move {
                    session.sync_messages(&portal.rid, since).await
                })
                .await
            }
            _ => Ok(self
                .rocket()
                .await
                .bot
                .sync_messages(&portal.rid, since)
                .await?),
        }
    }

    /// Notes that a document has been dealt with.
    pub(super) fn document_done(self: &Arc<Self>, rid: &RocketRoomId, updated_at: Option<i64>) {
        let Some(at) = updated_at else { return };
        let (moved, read_back) = self.rooms.finish(rid, at);
        self.store_cursor(rid, moved);
        if read_back {
            self.read_back(rid.clone());
        }
    }

    fn store_cursor(&self, rid: &RocketRoomId, moved: Option<i64>) {
        if let Some(at) = moved
            && let Err(error) = self.store.change().cursor(rid, at).commit()
        {
            // An older cursor only means that more is read back.
            tracing::error!(%rid, %error, "the cursor could not be stored");
        }
    }
}

/// Messages as they were written, then what was deleted.
fn documents_in_order(read: SyncResult) -> Vec<Document> {
    let mut updated = read.updated;
    // The answer has the newest first, also among those of one millisecond: turned
    // round, so that the sort, which keeps the order of equals, keeps theirs.
    updated.reverse();
    updated.sort_by_key(|message| message.ts);
    updated
        .into_iter()
        .map(|message| Document::Message(Box::new(message)))
        .chain(
            read.deleted
                .into_iter()
                .map(|deleted| Document::Deleted(deleted.id)),
        )
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn messages_of_one_moment_keep_their_order() {
        let message = |id: &str, ts: &str| {
            serde_json::from_value(json!({
                "_id": id, "rid": "r", "msg": "", "ts": ts, "u": { "_id": "u" },
            }))
            .unwrap()
        };
        let (early, late) = ("2026-01-01T00:00:00.001Z", "2026-01-01T00:00:00.002Z");
        let read = SyncResult {
            // As the server answers: the newest first.
            updated: vec![
                message("4", late),
                message("3", late),
                message("2", early),
                message("1", early),
            ],
            deleted: Vec::new(),
            unreadable: 0,
        };
        let order: Vec<_> = documents_in_order(read)
            .iter()
            .map(|document| document.place().id)
            .collect();
        assert_eq!(order, ["1", "2", "3", "4"]);
    }
}
