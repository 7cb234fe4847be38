//! How direct messages of puppets are noticed.
//!
//! Nothing reaches the bridge's own socket about a direct message that it is not
//! in, and a socket for each puppet would turn presence off for the whole server
//! (more than 200 logins on Rocket.Chat Community). So one cheap request of the
//! administrator's asks for the rooms of puppets, those with the newest messages
//! first, without any text; what changed is read as the puppet. It shows new
//! messages, not edits, deletions and reactions: rooms that are in use get a socket
//! besides (see [`super::direct_sockets`]), the look finds those that wake up, and
//! the others are read back one after the other.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Bridge, Failure, derived};
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::documents::{Room, RoomType};
use crate::rocketchat::rest::RoomOrder;
use crate::store::{PortalId, PortalKind};

/// How long between two looks: half of it is what a direct message waits on
/// average.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// How long Rocket.Chat is left alone when it refuses a look: somebody has to give
/// the bridge's account its rights back.
const AFTER_REFUSAL: Duration = Duration::from_secs(30);

/// How long between two direct messages that are read back although nothing was
/// written in them: a thousand take half an hour, at half a request a second.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(2);

/// How many rooms a look asks for at a time. The next page is asked for only
/// when every room of this one has changed.
const PAGE: usize = 25;

/// What a look saw.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    /// How many messages the room had.
    messages: u64,
    /// How many documents of it had come from a socket.
    arrivals: u64,
}

impl Look {
    /// Whether more was written since an earlier look than came from the socket: it
    /// is half dead then, or a frame was lost.
    fn misses_since(&self, earlier: Option<Look>) -> bool {
        let Some(earlier) = earlier else {
            return true;
        };
        self.messages.saturating_sub(earlier.messages)
            > self.arrivals.saturating_sub(earlier.arrivals)
    }
}

/// What each room was like when it was looked at last.
#[derive(Default)]
pub(super) struct Seen {
    rooms: Mutex<HashMap<RocketRoomId, Look>>,
    /// Of whom all have been looked at once.
    complete: Mutex<HashSet<String>>,
    turn: AtomicUsize,
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, HashMap<RocketRoomId, Look>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an earlier look saw of the room.
    fn of(&self, rid: &RocketRoomId) -> Option<Look> {
        self.lock().get(rid).copied()
    }

    /// Whether all rooms of those have been looked at once.
    fn is_complete(&self, name: &str) -> bool {
        let complete = self.complete.lock().unwrap_or_else(PoisonError::into_inner);
        complete.contains(name)
    }

    fn note_complete(&self, name: &str) {
        let mut complete = self.complete.lock().unwrap_or_else(PoisonError::into_inner);
        if !complete.contains(name) {
            complete.insert(name.to_owned());
        }
    }

    /// Whose turn it is.
    fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// A room whose portal has ended: what is written next is looked at anew.
    pub(super) fn forget(&self, rid: &RocketRoomId) {
        self.lock().remove(rid);
    }

    fn note(&self, rid: &RocketRoomId, look: Look) {
        self.lock().insert(rid.clone(), look);
    }
}

impl Bridge {
    /// Looks for new direct messages, for ever.
    pub(super) async fn watch_direct_messages(self: Arc<Self>) {
        loop {
            if let Err(failure) = self.persevere(|_| self.look_at_direct_messages()).await {
                tracing::error!(%failure, "direct messages cannot be looked for");
                tokio::time::sleep(AFTER_REFUSAL).await;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Reads the direct messages back that no socket hears, one after the other, for
    /// ever.
    pub(super) async fn go_round_direct_messages(self: Arc<Self>) {
        loop {
            tokio::time::sleep(BETWEEN_ROUNDS).await;
            for portal in self.store.portals() {
                if !matches!(portal.kind, PortalKind::Direct { .. })
                    || self.is_heard(&portal.rid).await
                {
                    continue;
                }
                if let Err(failure) = self.read_back_now(&portal.id).await {
                    tracing::warn!(rid = %portal.rid, %failure, "a direct message could not be read back");
                }
                tokio::time::sleep(BETWEEN_ROUNDS).await;
            }
        }
    }

    async fn look_at_direct_messages(self: &Arc<Self>) -> Result<(), Failure> {
        let prefix = self.config.rocketchat.puppet_prefix.clone();
        self.look_at_those_of(&prefix).await?;
        // Of people with an account of their own, one at each look.
        let links: Vec<_> = (self.store.links().into_iter())
            .filter(|link| link.token.is_some())
            .collect();
        if !links.is_empty() {
            let turn = self.direct_watch.turn() % links.len();
            if let Some(link) = links.get(turn) {
                self.look_at_those_of(&link.username).await?;
            }
        }
        Ok(())
    }

    /// Looks at the direct messages of those whose names have this in them.
    async fn look_at_those_of(self: &Arc<Self>, name: &str) -> Result<(), Failure> {
        let rocket = self.rocket().await;
        let mut offset = 0;
        loop {
            let page = rocket
                .bot
                .admin_rooms(
                    &[RoomType::Direct],
                    name,
                    RoomOrder::LastMessage,
                    offset,
                    PAGE,
                )
                .await?;
            let found = page.items.len();
            let mut news = 0;
            for room in page.items {
                let look = Look {
                    messages: room.msgs,
                    arrivals: self.rooms.arrivals(&PortalId::own(&room.id)),
                };
                let earlier = self.direct_watch.of(&room.id);
                if earlier.is_some_and(|earlier| earlier.messages == look.messages) {
                    continue;
                }
                news += 1;
                self.direct_watch.note(&room.id, look);
                let missing = look.misses_since(earlier);
                // In a task of its own: one room that cannot be mirrored must not hide
                // the others.
                let bridge = Arc::clone(self);
                tokio::spawn(async move {
                    if let Err(failure) = bridge
                        .persevere(|_| bridge.on_direct_news(&room, missing))
                        .await
                    {
                        bridge.tell_of_unopened(&room, &failure).await;
                    }
                });
            }
            let is_last = found < PAGE;
            if is_last {
                self.direct_watch.note_complete(name);
            }
            // Sorted by the last message: below a page without news there are none,
            // once all have been seen.
            if is_last || (news == 0 && self.direct_watch.is_complete(name)) {
                return Ok(());
            }
            offset += found;
        }
    }

    /// Tells whoever wrote to a puppet that it does not arrive.
    async fn tell_of_unopened(&self, room: &Room, failure: &Failure) {
        tracing::error!(rid = %room.id, %failure, "a direct message cannot be mirrored");
        let why = failure.person_text();
        let told = self
            .persevere(async |_| {
                let Some(kind) = self.direct_people(room).await? else {
                    return Ok(());
                };
                let users: Vec<_> = kind.direct_users().map(ToString::to_string).collect();
                let text = format!(
                    "What you write to {} does not reach Matrix. {why} It is tried again when you write more.",
                    users.join(", ")
                );
                for peer in kind.direct_peers() {
                    let about = format!("{} {peer}", room.id);
                    let about = RocketRoomId::new(about);
                    let id = derived::telling_id_of_room(&about, room.msgs);
                    self.tell_directly(peer, &id, &text).await?;
                }
                Ok(())
            })
            .await;
        if let Err(failure) = told {
            tracing::warn!(rid = %room.id, %failure, "nobody could be told");
        }
    }

    async fn on_direct_news(self: &Arc<Self>, room: &Room, missing: bool) -> Result<(), Failure> {
        if room.federated {
            return Ok(());
        }
        // A room that was opened and not written in yet needs nothing; one whose last
        // message was deleted does.
        if room.msgs == 0 && self.store.own_portal(&room.id)?.is_none() {
            return Ok(());
        }
        if !missing && self.is_heard(&room.id).await {
            return Ok(());
        }
        if self.store.own_portal(&room.id)?.is_none() && !self.goes_on(room).await? {
            return Ok(());
        }
        if let Some(portal) = self.open_direct(room).await? {
            self.read_back(portal.id.clone());
            self.follow_direct(portal);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(messages: u64, arrivals: u64) -> Look {
        Look { messages, arrivals }
    }

    #[test]
    fn what_was_written_and_did_not_come_is_missed() {
        assert!(look(1, 0).misses_since(None), "seen for the first time");
        assert!(!look(3, 7).misses_since(Some(look(1, 5))));
        assert!(look(3, 6).misses_since(Some(look(1, 5))), "one of two came");
        assert!(
            !look(2, 6).misses_since(Some(look(3, 5))),
            "one was deleted"
        );
    }
}
