//! Opening what the configuration names, at the start and later: one channel after the
//! other in the background, and where somebody speaks at once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use ruma::OwnedUserId;
use tokio::sync::{Notify, Semaphore};

use super::{Bridge, Failure};
use crate::clock::now_ms;
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::documents::{Message as RocketMessage, Room, RoomType};
use crate::rocketchat::rest::RoomOrder;

/// How long between two looks for new rooms.
const BETWEEN_LOOKS: Duration = Duration::from_secs(15);

/// How many portals are made at once. More only lengthen the homeserver's queue, in which
/// messages stand too.
const OPENINGS_AT_ONCE: usize = 3;

/// How many besides, because somebody has spoken where one is to be made.
const FIRST_AT_ONCE: usize = 3;

/// How long between two pages of rooms: Rocket.Chat has its own people to serve.
const BETWEEN_PAGES: Duration = Duration::from_millis(250);

/// How many rooms are asked for their newest message, in turn, until one tells.
const ASKED_FOR_NEWEST: usize = 25;

const PAGE: usize = 100;

/// So that it ends whatever a server answers.
const MOST_PAGES: usize = 10_000;

/// How far before the last look is looked again, in ms: clocks differ.
pub(super) const OVERLAP_MS: i64 = 10 * 60 * 1000;

/// What is known of rooms without a portal.
#[derive(Debug)]
pub(super) struct Unmirrored {
    /// When something was first written in them in this run (ms, Rocket.Chat's clock);
    /// [`NOT_WANTED`] where that is nobody's concern.
    heard: Mutex<HashMap<RocketRoomId, i64>>,
    /// When each puppet was last asked (ms).
    pub(super) asked: Mutex<HashMap<OwnedUserId, i64>>,
    /// All rooms are to be looked at.
    wake: Notify,
    /// The channels of the configuration have been opened in this run, as far as possible.
    opened: AtomicBool,
    first: Semaphore,
}

/// That a room was looked at and is not to be mirrored.
const NOT_WANTED: i64 = i64::MAX;

impl Default for Unmirrored {
    fn default() -> Self {
        Self {
            heard: Mutex::default(),
            asked: Mutex::default(),
            wake: Notify::new(),
            opened: AtomicBool::new(false),
            first: Semaphore::new(FIRST_AT_ONCE),
        }
    }
}

impl Unmirrored {
    fn heard(&self) -> MutexGuard<'_, HashMap<RocketRoomId, i64>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the channels of the configuration have been opened in this run, as far as
    /// possible.
    pub(super) fn all_opened(&self) -> bool {
        self.opened.load(Ordering::Relaxed)
    }

    /// Has all rooms looked at soon.
    pub(super) fn look_at_all(&self) {
        self.wake.notify_one();
    }

    /// A room has a portal: what is heard from now on has another place.
    pub(super) fn forget(&self, rid: &RocketRoomId) {
        self.heard().remove(rid);
    }

    /// Something was written in a room; whether it is to be looked at.
    pub(super) fn hear(&self, message: &RocketMessage) -> bool {
        let is_renamed = message.t.as_deref() == Some("r");
        match self.heard().entry(message.rid.clone()) {
            Entry::Vacant(first) => {
                first.insert(message.ts.0);
                true
            }
            Entry::Occupied(mut first) => {
                let is_to_be_looked_at = is_renamed && *first.get() == NOT_WANTED;
                if is_to_be_looked_at || *first.get() != NOT_WANTED {
                    let earliest = message.ts.0.min(*first.get());
                    first.insert(earliest);
                }
                is_to_be_looked_at
            }
        }
    }

    /// A room is not to be mirrored, as far as its name goes.
    fn not_wanted(&self, rid: &RocketRoomId) {
        self.heard().insert(rid.clone(), NOT_WANTED);
    }
}

/// Whether a channel's name is one that a pattern stands for: `*` is any text.
pub(super) fn is_like(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl Bridge {
    pub(super) fn patterns(&self) -> impl Iterator<Item = &String> {
        let channels = self.config.bridge.channels.iter();
        channels.filter(|name| name.contains('*'))
    }

    /// Whether the configuration names a room, by a pattern or outright.
    fn is_in_configuration(&self, room: &Room) -> bool {
        let name = room.name.as_deref().unwrap_or_default();
        let is_meant = match room.t {
            RoomType::Channel => self.patterns().any(|pattern| is_like(pattern, name)),
            _ => false,
        } || self.config.bridge.channels.iter().any(|one| one == name);
        is_meant
            && matches!(room.t, RoomType::Channel | RoomType::Group)
            && room.prid.is_none()
            && !room.archived
            && !room.federated
    }

    /// Whether a room has no portal and should: the configuration names it, or it is a
    /// discussion of a mirrored room that was made since that is mirrored.
    fn lacks_portal(&self, room: &Room) -> Result<bool, Failure> {
        // What it is joined with besides is another matter.
        if self.store.own_portal(&room.id)?.is_some() {
            return Ok(false);
        }
        let parent = match &room.prid {
            Some(parent) => self.store.own_portal(parent)?,
            None => None,
        };
        let made = room.ts.map_or(0, |at| at.0);
        let is_discussion = parent.is_some_and(|parent| made > parent.since);
        // Unless somebody wished otherwise.
        Ok((is_discussion || self.is_in_configuration(room))
            && self.store.unbridged(&room.id)?.is_none())
    }

    /// From when on (ms, Rocket.Chat's clock) the configuration wants what was written in
    /// a room, although its portal could not be made at that time.
    pub(super) fn wanted_since(&self, room: &Room) -> Result<Option<i64>, Failure> {
        if !self.is_in_configuration(room) || self.store.unbridged(&room.id)?.is_some() {
            return Ok(None);
        }
        let heard = self.unmirrored.heard().get(&room.id).map(|at| at - 1);
        let opening = self.store.opening_since()?;
        Ok(heard.into_iter().chain(opening).min())
    }

    /// Makes the portals that the configuration names, as far as they are missing. What
    /// is written meanwhile is mirrored too, also when the bridge is killed before it is
    /// through.
    async fn open_configured_channels(self: &Arc<Self>) {
        if let Err(failure) = self.note_opening().await {
            tracing::error!(%failure, "what is written before all channels are mirrored may stay behind");
        }
        let names = self.config.bridge.channels.iter();
        let names = names.filter(|name| !name.contains('*'));
        futures_util::stream::iter(names)
            .for_each_concurrent(OPENINGS_AT_ONCE, async |name| {
                if let Err(failure) = self.persevere(|_| self.open_configured(name)).await {
                    tracing::error!(channel = name, %failure, "a channel of bridge.channels cannot be mirrored");
                }
            })
            .await;
        self.newest_rooms_are_read().await;
        let subscribed = self
            .persevere(async |_| self.look_at_own_subscriptions().await)
            .await;
        if let Err(failure) = subscribed {
            tracing::warn!(%failure, "invitations of the bridge's account cannot be looked for");
        }
        match self.open_found_rooms(true).await {
            Ok(()) => {
                if let Err(error) = self.store.note_opening_since(None) {
                    tracing::error!(%error, "the store does not take notes");
                }
            }
            Err(failure) => {
                tracing::error!(%failure, "rooms that are to be mirrored cannot be looked for");
            }
        }
        self.unmirrored.opened.store(true, Ordering::Relaxed);
    }

    /// Notes on disk since when channels of the configuration are mirrored, unless an
    /// earlier run has begun and was not through.
    async fn note_opening(self: &Arc<Self>) -> Result<(), Failure> {
        if self.config.bridge.channels.is_empty() || self.store.opening_since()?.is_some() {
            return Ok(());
        }
        let newest = self.persevere(|_| self.newest_message()).await?;
        self.store.note_opening_since(Some(newest))?;
        Ok(self.store.flushed().await?)
    }

    /// When the newest message was written (ms, Rocket.Chat's clock) of all rooms that
    /// the bridge's account can read; now, when there is none.
    async fn newest_message(&self) -> Result<i64, Failure> {
        let rocket = self.rocket().await;
        let types = [RoomType::Channel, RoomType::Group];
        let (order, count) = (RoomOrder::LastMessage, ASKED_FOR_NEWEST);
        let rooms = rocket.bot.admin_rooms(&types, "", order, 0, count).await?;
        // The list itself does not tell when.
        for room in rooms.items {
            match rocket.bot.room_info(&room.id).await {
                Ok(Some(Room {
                    last_message_at: Some(at),
                    ..
                })) => return Ok(at.0),
                Ok(_) => {}
                Err(error) if error.is_denied() || error.code() == Some("error-room-archived") => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(now_ms())
    }

    /// Mirrors what the configuration names and is not mirrored yet, and discussions of
    /// mirrored rooms that were made meanwhile. `all` looks at every room of the server;
    /// otherwise at the newest.
    async fn open_found_rooms(self: &Arc<Self>, all: bool) -> Result<(), Failure> {
        let known_until = self.store.rooms_seen()?;
        let mut newest = known_until.unwrap_or_default();
        let mut offset = 0;
        for _ in 0..MOST_PAGES {
            let page = self
                .persevere(async |_| {
                    let rocket = self.rocket().await;
                    let types = [RoomType::Channel, RoomType::Group];
                    let rooms =
                        rocket
                            .bot
                            .admin_rooms(&types, "", RoomOrder::Created, offset, PAGE);
                    Ok(rooms.await?)
                })
                .await?;
            let mut is_old = true;
            let mut lacking = Vec::new();
            for room in &page.items {
                let made = room.ts.map_or(0, |at| at.0);
                newest = newest.max(made);
                is_old &= known_until.is_some_and(|until| made < until - OVERLAP_MS);
                if self.lacks_portal(room)? {
                    // What was made since the last look is mirrored from its beginning.
                    let is_new = known_until.is_some_and(|until| made > until);
                    lacking.push((room.id.clone(), is_new));
                }
            }
            futures_util::stream::iter(lacking)
                .for_each_concurrent(OPENINGS_AT_ONCE, async |(rid, is_new)| {
                    self.open_lacking(&rid, is_new).await;
                })
                .await;
            offset += page.sent;
            if page.sent == 0 || offset >= page.total || (is_old && !all) {
                break;
            }
            tokio::time::sleep(BETWEEN_PAGES).await;
        }
        if known_until != Some(newest) {
            self.store.note_rooms_seen(newest)?;
        }
        Ok(())
    }

    /// Mirrors a room that is to be mirrored and is not.
    async fn open_lacking(self: &Arc<Self>, rid: &RocketRoomId, is_new: bool) {
        let opened = self
            .persevere(async |_| match self.store.own_portal(rid)? {
                Some(_) => Ok(()),
                None => self.open_by_id(rid, is_new, false).await.map(drop),
            })
            .await;
        if let Err(failure) = opened {
            tracing::warn!(%rid, %failure, "a room cannot be mirrored");
        }
    }

    /// Opens what is to be mirrored, after each connection and when it is time, for ever.
    pub(super) async fn look_for_rooms(self: Arc<Self>) {
        // Not before there is a connection.
        self.unmirrored.wake.notified().await;
        loop {
            self.open_configured_channels().await;
            while tokio::time::timeout(BETWEEN_LOOKS, self.unmirrored.wake.notified())
                .await
                .is_err()
            {
                if let Err(failure) = self.open_found_rooms(false).await {
                    tracing::warn!(%failure, "new rooms cannot be looked for");
                }
            }
        }
    }

    /// Looks for rooms that have changed, for ever: nothing tells of a room that becomes
    /// private, and not all of what is told of others: administrators may hide it.
    pub(super) async fn look_for_changed_rooms(self: Arc<Self>) {
        loop {
            tokio::time::sleep(BETWEEN_LOOKS).await;
            if let Err(failure) = self.compare_changed_rooms().await {
                tracing::warn!(%failure, "changed rooms cannot be looked for");
            }
        }
    }

    /// Mirrors a room in which something was written, if the configuration says so,
    /// before those whose turn it is.
    pub(super) async fn look_at_unmirrored(
        self: &Arc<Self>,
        rid: &RocketRoomId,
    ) -> Result<(), Failure> {
        // Never closed.
        let _place = self.unmirrored.first.acquire().await;
        let room = self
            .persevere(async |_| Ok(self.rocket().await.bot.room_as_admin(rid).await?))
            .await?;
        let Some(room) = room.filter(|room| self.is_in_configuration(room)) else {
            self.unmirrored.not_wanted(rid);
            return Ok(());
        };
        if self.lacks_portal(&room)? {
            let known_until = self.store.rooms_seen()?;
            let made = room.ts.map_or(0, |at| at.0);
            let is_new = known_until.is_some_and(|until| made > until);
            self.open_lacking(rid, is_new).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn a_star_is_any_text() {
        let table = [
            ("*", "general", true),
            ("dev-*", "dev-ops", true),
            ("dev-*", "dev-", true),
            ("dev-*", "devops", false),
            ("*-dev", "my-dev", true),
            ("*-dev", "my-dev-2", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("general", "general", true),
            ("general", "general-2", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(is_like(pattern, name), expected, "{pattern} {name}");
        }
    }
}
