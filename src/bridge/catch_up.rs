//! What happened while nobody listened: read back from a room's cursor, after
//! every time that something may have been missed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::from_rocketchat::{Document, Job, is_of_the_system};
use super::hearing::{Outcome, Since};
use super::{Bridge, Failure};
use crate::retry::Backoff;
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::documents::{Message, Room, RoomType, SyncResult, Timestamp};
use crate::rocketchat::rest::RoomOrder;
use crate::store::{Portal, PortalId, PortalKind};

/// How far before the cursor is read, in ms. `_updatedAt` is stamped before the
/// document is written, and streams do not keep the order of the stamps.
const OVERLAP_MS: i64 = 5_000;

/// How many rooms are read back at once: an answer is not paged, and Rocket.Chat
/// has its own people to serve.
pub(super) const READ_BACKS_AT_ONCE: usize = 6;

/// How many rooms besides are read back at once because somebody has spoken there
/// while their turn had not come: with thousands of rooms that takes minutes.
pub(super) const FIRST_AT_ONCE: usize = 2;

/// How many rooms are asked for that have the newest messages.
const LAST_TALKED: usize = 100;

/// How many rooms are read back before rounds over everything begin, and before Rocket.Chat
/// is asked for lists of all rooms, which keep it busy: messages come first.
const BEFORE_ROUNDS: usize = 100;

impl Bridge {
    /// Reads a portal's room back from its cursor, in a task of its own, and again
    /// until that succeeds: a room that is not read back is deaf.
    pub(super) fn read_back(self: &Arc<Self>, id: PortalId) {
        let bridge = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(failure) = bridge.read_back_now(&id).await {
                bridge.read_back_again(&id, failure).await;
            }
        });
    }

    /// Reads a room back that could not be, until that succeeds.
    async fn read_back_again(self: &Arc<Self>, id: &PortalId, mut failure: Failure) {
        let mut backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(300));
        loop {
            tracing::error!(portal = %id, %failure, "a room could not be read back; nothing of it is mirrored until that succeeds");
            tokio::time::sleep(backoff.next_pause(None)).await;
            match self.read_back_now(id).await {
                Ok(()) => return,
                Err(another) => failure = another,
            }
        }
    }

    /// Reads rooms back, those first in which people have talked last: what was written
    /// while nobody listened is in these. With thousands, the last come after minutes;
    /// who speaks in one does not wait for that (see [`Bridge::read_back_first`]).
    pub(super) fn read_back_all(self: &Arc<Self>, portals: Vec<PortalId>) {
        let bridge = Arc::clone(self);
        let (connection, count) = (self.rooms.connection(), portals.len());
        tokio::spawn(async move {
            let portals = bridge.last_talked_first(portals).await;
            // A task for each of ten thousand rooms would take memory for nothing.
            let places = Arc::new(tokio::sync::Semaphore::new(READ_BACKS_AT_ONCE));
            for (number, id) in portals.into_iter().enumerate() {
                if number == BEFORE_ROUNDS {
                    bridge.begin_rounds();
                }
                // Never closed.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    return;
                };
                if bridge.rooms.connection() != connection {
                    // All are read back anew, or will be.
                    return;
                }
                let bridge = Arc::clone(&bridge);
                tokio::spawn(async move {
                    if let Err(failure) = bridge.read_back_now(&id).await {
                        drop(place);
                        bridge.read_back_again(&id, failure).await;
                    }
                });
            }
            if count <= BEFORE_ROUNDS {
                bridge.begin_rounds();
            }
        });
    }

    /// Waits until the rooms have been read back, once in this run, in which people talked
    /// last.
    pub(super) async fn newest_rooms_are_read(&self) {
        let mut read = self.newest_read.subscribe();
        // Its sender lives as long as the bridge.
        let _ = read.wait_for(|read| *read).await;
    }

    /// Has everything compared that may have changed unnoticed, and looks for commands.
    fn begin_rounds(self: &Arc<Self>) {
        self.newest_read.send_replace(true);
        let bridge = Arc::clone(self);
        tokio::spawn(async move { bridge.look_for_commands().await });
        self.unmirrored.look_at_all();
        self.compare_faces();
        self.compare_presence();
        self.compare_all_members();
        self.compare_rooms();
        self.compare_portals();
    }

    /// These rooms with those first in which people have talked last on Rocket.Chat. The
    /// others keep their order.
    async fn last_talked_first(&self, mut portals: Vec<PortalId>) -> Vec<PortalId> {
        if portals.len() <= READ_BACKS_AT_ONCE {
            return portals;
        }
        let rocket = self.rocket().await;
        let types = [RoomType::Channel, RoomType::Group];
        let rooms = rocket
            .bot
            .admin_rooms(&types, "", RoomOrder::LastMessage, 0, LAST_TALKED);
        let first: HashMap<RocketRoomId, usize> = match rooms.await {
            Ok(rooms) => rooms
                .items
                .into_iter()
                .map(|room| room.id)
                .zip(0..)
                .collect(),
            Err(error) => {
                tracing::debug!(%error, "where people have talked last is not known");
                return portals;
            }
        };
        portals.sort_by_cached_key(|id| first.get(&id.rid()).copied().unwrap_or(usize::MAX));
        portals
    }

    /// Reads a room back before those whose turn it is, because somebody has spoken in
    /// it. Its turn comes all the same, also where this fails.
    pub(super) fn read_back_first(self: &Arc<Self>, id: &PortalId) {
        // Without a socket nothing would become of it.
        if !self.rooms.is_listening() || !self.reading_first().insert(id.clone()) {
            return;
        }
        let (bridge, id) = (Arc::clone(self), id.clone());
        tokio::spawn(async move {
            if let Err(failure) = bridge.read_back_among(&id, &bridge.first_read_backs).await {
                tracing::debug!(portal = %id, %failure, "a room could not be read back before its turn");
            }
            bridge.reading_first().remove(&id);
        });
    }

    fn reading_first(&self) -> std::sync::MutexGuard<'_, std::collections::HashSet<PortalId>> {
        self.reading_first
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Reads a portal's room back and waits until everything is worked that had happened in
    /// it before: also where another reading is under way, which may have begun earlier.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) async fn read_back_and_work(self: &Arc<Self>, id: &PortalId) -> Result<(), Failure> {
        let before = self.rooms.readings(id);
        loop {
            // Where too much waits, what comes is missed.
            self.to_matrix.settled(id).await;
            let turned = self.rooms.turned();
            tokio::pin!(turned);
            // From now on none goes unnoticed.
            turned.as_mut().enable();
            self.read_back_now(id).await?;
            match self.rooms.since(id, before) {
                // It is mirrored no more.
                _ if self.store.portal(id)?.is_none() => return Ok(()),
                Since::Read => break,
                Since::Reading => turned.await,
                Since::Missed => {}
            }
        }
        self.to_matrix.settled(id).await;
        Ok(())
    }

    /// Reads a portal's room back from its cursor. One that is being read back is left to
    /// whoever does it.
    pub(super) async fn read_back_now(self: &Arc<Self>, id: &PortalId) -> Result<(), Failure> {
        self.read_back_among(id, &self.read_backs).await
    }

    /// The same, in turn with others for these places.
    async fn read_back_among(
        self: &Arc<Self>,
        id: &PortalId,
        places: &tokio::sync::Semaphore,
    ) -> Result<(), Failure> {
        loop {
            let Some(portal) = self.store.portal(id)? else {
                return Ok(());
            };
            // Never closed.
            let _slot = places.acquire().await;
            let stored = self.store.cursor(id)?.unwrap_or(portal.since);
            let Some(reading) = self.rooms.start_reading(id, stored) else {
                return Ok(());
            };
            let since = Timestamp((reading.position - OVERLAP_MS).max(portal.since - 1));
            let read = match self.persevere(|_| self.sync(&portal, since)).await {
                Ok(read) => read,
                Err(failure) => {
                    self.rooms.stop_reading(id, reading);
                    return Err(failure);
                }
            };
            if read.unreadable > 0 {
                tracing::error!(portal = %id, messages = read.unreadable, "messages that cannot be read are left out");
            }
            let documents = documents_in_order(read);
            if self.has_unknown(&portal, &documents)? {
                // Perhaps only the store has forgotten: the bridge was killed, or the
                // homeserver's answer was lost with it.
                let adopted = self.persevere(|_| self.adopt_delivered(&portal)).await;
                if let Err(failure) = adopted {
                    tracing::warn!(portal = %id, %failure, "cannot see what has been delivered before");
                }
            }
            let is_direct = matches!(portal.kind, PortalKind::Direct { .. });
            let outcome = self
                .rooms
                .finish_reading(id, reading, documents, is_direct, |jobs| {
                    self.enqueue_jobs(id, jobs);
                });
            self.store_cursor(id, outcome.moved);
            if !outcome.read_back {
                return Ok(());
            }
        }
    }

    /// Whether the first reading of a room in this run brings messages of which
    /// the store knows nothing.
    fn has_unknown(&self, portal: &Portal, documents: &[Document]) -> Result<bool, Failure> {
        if !self
            .rooms_read
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(portal.id.clone())
        {
            return Ok(false);
        }
        // Perhaps it is a portal since a moment ago. The others are looked at when they are
        // made.
        if matches!(portal.kind, PortalKind::Direct { .. })
            && self.store.room_state(&portal.id)?.bridge_info.is_empty()
        {
            self.compare_room(&portal.id);
        }
        let is_only = self.other_portals(portal)?.is_empty();
        for document in documents {
            if let Document::Message(message) = document
                && is_by_people(message)
                && message.ts.0 > portal.since
                && (!is_only || self.store.behind_made_puppet(&message.u.id)?.is_none())
                && self.is_news(portal, message)?
            {
                return Ok(true);
            }
            // Gone before the store knew of it, and perhaps on Matrix.
            if let Document::Deleted { id, .. } = document
                && self.store.message(&portal.id, id)?.is_none()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the store knows nothing of a message, or not of its last edit.
    fn is_news(&self, portal: &Portal, message: &Message) -> Result<bool, Failure> {
        let known = self.store.message(&portal.id, &message.id)?;
        Ok(known.is_none_or(|known| super::from_rocketchat::revision(message) > known.revision))
    }

    pub(super) async fn sync(
        &self,
        portal: &Portal,
        since: Timestamp,
    ) -> Result<SyncResult, Failure> {
        match &portal.kind {
            PortalKind::Direct { .. } => {
                self.as_one_of(portal, |session| async move {
                    session.sync_messages(&portal.rid, since).await
                })
                .await
            }
            _ => {
                let rocket = self.rocket().await;
                Ok(rocket.bot.sync_messages(&portal.rid, since).await?)
            }
        }
    }

    /// Whether somebody has written into a direct message that is no portal, since it was
    /// one. It is opened for that, and not because it has ended.
    pub(super) async fn goes_on(&self, room: &Room) -> Result<bool, Failure> {
        // What keeps old messages from coming again (see the end of portals).
        let cursor = self.store.cursor(&PortalId::own(&room.id))?;
        let linked = self.linked_since(room)?;
        // What was written before somebody linked their account stays where it is.
        let Some(cursor) = cursor.into_iter().chain(linked).max() else {
            return Ok(true);
        };
        let Some(kind) = self.direct_people(room).await? else {
            return Ok(linked.is_none());
        };
        let would_be = Portal::own(
            room.id.clone(),
            ruma::owned_room_id!("!none:invalid"),
            kind,
            String::new(),
            0,
        );
        let (rid, since) = (&room.id, Timestamp(cursor - OVERLAP_MS));
        let read = self
            .as_one_of(&would_be, |session| async move {
                session.sync_messages(rid, since).await
            })
            .await;
        let read = match read {
            // Whoever writes is told why it does not arrive.
            Err(failure) if failure.is_permanent() => return Ok(true),
            read => read?,
        };
        if read.unreadable > 0 {
            return Ok(true);
        }
        for message in &read.updated {
            if is_by_people(message)
                && linked.is_none_or(|since| message.ts.0 > since)
                && self.store.behind_made_puppet(&message.u.id)?.is_none()
                && self
                    .store
                    .message(&PortalId::own(rid), &message.id)?
                    .is_none()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Since when (ms) somebody's own account makes a direct message one between the two
    /// sides; none where a puppet does.
    pub(super) fn linked_since(&self, room: &Room) -> Result<Option<i64>, Failure> {
        let mut since = None;
        for id in &room.uids {
            if self.store.behind_made_puppet(id)?.is_some() {
                return Ok(None);
            }
            let link = self.store.linked(id)?.map(|link| link.since);
            since = since.max(link);
        }
        Ok(since)
    }

    /// Queues documents of a room, in their order.
    pub(super) fn enqueue_jobs(&self, portal: &PortalId, jobs: Vec<Job>) {
        for job in &jobs {
            self.doubt_if_about_encryption(portal, &job.document);
        }
        let jobs = jobs
            .into_iter()
            .map(|job| (self.place_in(portal, &job.document), job));
        self.to_matrix.push(portal, jobs);
    }

    /// Notes that a document has been dealt with.
    pub(super) fn document_done(self: &Arc<Self>, id: &PortalId, ticket: i64) {
        let Outcome { moved, read_back } = self.rooms.finish(id, ticket);
        self.store_cursor(id, moved);
        if read_back {
            self.read_back(id.clone());
        }
    }

    fn store_cursor(&self, id: &PortalId, moved: Option<i64>) {
        if let Some(at) = moved
            && let Err(error) = self.store.change().cursor(id, at).commit()
        {
            // An older cursor only means that more is read back.
            tracing::error!(portal = %id, %error, "the cursor could not be stored");
        }
    }
}

/// Whether somebody said something, and it still stands.
fn is_by_people(message: &Message) -> bool {
    match message.t.as_deref() {
        Some("rm") => false,
        Some("discussion-created") => true,
        _ => !message.hidden && !is_of_the_system(message),
    }
}

/// Messages as they were written, then what was deleted.
fn documents_in_order(read: SyncResult) -> Vec<Document> {
    let mut updated = read.updated;
    // The answer has the newest first, also among those of one millisecond: turned
    // round, so that the sort, which keeps the order of equals, keeps theirs.
    updated.reverse();
    updated.sort_by_key(|message| message.ts);
    let deleted = read.deleted.into_iter().map(|deleted| Document::Deleted {
        id: deleted.id,
        at: deleted.deleted_at.map(|at| at.0),
    });
    updated
        .into_iter()
        .map(|message| Document::Message(Box::new(message)))
        .chain(deleted)
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
