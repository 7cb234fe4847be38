//! What a room is like, the same on both sides: name, topic, who may enter, who may
//! write; and what follows from that: alias, directory, the state that tells of the
//! bridge.
//!
//! As with [`super::faces`], nobody waits for it. News from either side are only a reason
//! to look; a look compares how it is now on both sides with what was agreed last
//! ([`crate::store::RoomState`]). What differs on one side only was changed there and is
//! carried over, from Matrix with the rights of the one who did it; when Rocket.Chat
//! refuses, it is put back and they are told. What differs on both sides is decided by
//! who was last.
//!
//! * [`aspects`]: what is compared. Pure.
//! * [`agree`]: a look at a room.
//! * [`writing`]: who may write.
//! * [`history`]: who may read.
//! * [`opening`]: what is not open to everybody stays so.
//! * [`telling`]: what is said about a room.
//! * [`places`]: alias and directory.
//! * [`plumbed`]: rooms that existed on both sides, which stay as each side has them.
//! * [`spelling`]: names that Rocket.Chat takes in another spelling only.
//! * [`info`]: the state that tells of the bridge.
//! * [`teams`] makes spaces.
//! * [`round`]: comparing all rooms, after each connection and now and then.

mod agree;
mod aspects;
mod history;
mod info;
mod opening;
mod places;
mod plumbed;
mod round;
mod spelling;
mod teams;
mod telling;
mod writing;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;

pub(super) use aspects::agreed_states;
use aspects::{ARCHIVED, Aspect, OPEN, PRIVATE, writing_of};
pub(super) use info::BRIDGE_STATE;
pub(super) use opening::NEEDS_CODE;
pub(super) use places::CANONICAL;

use super::keyed_lock::KeyedLock;
use super::look_queue::Queue;
use super::power::PowerLevels;
use super::{Bridge, Failure};
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::documents::{Message as RocketMessage, Room, UserRef};
use crate::store::{InboxEvent, Portal, PortalId, PortalKind, RoomState, StateWish, StoreError};

/// How many rooms are looked at at once.
const WORKERS: usize = 3;

/// How long between two rooms of a round, each several requests to both servers, which
/// have their own people to serve.
const BETWEEN_ROOMS: Duration = Duration::from_millis(100);

/// Which states of Matrix are a reason to look.
const STATES: [&str; 6] = [
    "m.room.name",
    "m.room.topic",
    "m.room.join_rules",
    "m.room.power_levels",
    "m.room.history_visibility",
    "m.room.canonical_alias",
];

/// What a system message on Rocket.Chat said.
#[derive(Debug, Clone)]
struct Hint {
    /// Who did it.
    user: UserRef,
    /// When (ms, Rocket.Chat's clock).
    at: i64,
}

/// Rooms that are to be looked at.
pub(super) struct RoomStates {
    queue: Queue<PortalId>,
    /// Held while a room that somebody opened is closed.
    closing: KeyedLock<PortalId>,
    round: Notify,
    /// The rows of a list by which rooms were last looked at: one that says the same again
    /// is no reason to look again.
    rows: Mutex<HashMap<RocketRoomId, u64>>,
    /// Who changed what, as far as Rocket.Chat said so in this run.
    hints: Mutex<HashMap<(PortalId, Aspect), Hint>>,
}

impl RoomStates {
    pub(super) fn new() -> Self {
        Self {
            queue: Queue::new(BETWEEN_ROOMS),
            closing: KeyedLock::new(),
            round: Notify::new(),
            rows: Mutex::default(),
            hints: Mutex::default(),
        }
    }

    fn hint(&self, portal: &PortalId, aspect: Aspect) -> Option<Hint> {
        let hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        hints.get(&(portal.clone(), aspect)).cloned()
    }

    fn forget_hint(&self, portal: &PortalId, aspect: Aspect) {
        let mut hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        hints.remove(&(portal.clone(), aspect));
    }
}

impl Bridge {
    /// Begins to look after what rooms are like, for as long as the bridge runs.
    pub(super) fn look_after_rooms(self: &Arc<Self>) {
        for _ in 0..WORKERS {
            let bridge = Arc::clone(self);
            tokio::spawn(async move {
                loop {
                    let id = bridge.room_states.queue.next().await;
                    // In a task of its own: a panic must not end the worker.
                    let look = tokio::spawn(Arc::clone(&bridge).look_at_room_state(id.clone()));
                    if look.await.is_err() {
                        tracing::error!(portal = %id, "a look at a room ended unexpectedly");
                    }
                    bridge.room_states.queue.done(&id);
                }
            });
        }
        for portal in self.store.portals() {
            if matches!(self.store.room_state(&portal.id), Ok(state) if state.changes > 0) {
                self.compare_room(&portal.id);
            }
        }
        tokio::spawn(Arc::clone(self).go_round_rooms());
    }

    /// Notes what a room is like that the bridge has just made.
    pub(super) fn begin_room_state(
        &self,
        portal: &Portal,
        room: &Room,
        is_closed: bool,
    ) -> Result<(), StoreError> {
        self.store.amend_room_state(&portal.id, |state| {
            *state = RoomState {
                making: state.making,
                ..RoomState::default()
            };
            for aspect in [Aspect::Access, Aspect::Name, Aspect::Topic] {
                let value = aspect.on_rocketchat(room);
                state.agreed.insert(aspect.key().to_owned(), value);
            }
            let writing = Aspect::Writing.key().to_owned();
            state.agreed.insert(writing, OPEN.to_owned());
            state.announcement = room.announcement.clone().or_else(|| Some(String::new()));
            state.description = room.description.clone().or_else(|| Some(String::new()));
            state.alias = self.alias_of(room);
            if is_closed {
                let access = Aspect::Access.key().to_owned();
                state.agreed.insert(access, PRIVATE.to_owned());
                state.alias = None;
            }
        })
    }

    /// A room may be another than it was.
    pub(super) fn compare_room(&self, portal: &PortalId) {
        self.room_states.queue.add(portal.clone());
    }

    /// Whether only those who are in it may read a room: a group, or a channel of a private
    /// team.
    pub(super) fn is_private(&self, portal: &Portal) -> Result<bool, StoreError> {
        // Who may read the Matrix room is for its own people, who agreed to what that means.
        if portal.plumbed {
            return Ok(false);
        }
        let state = self.store.room_state(&portal.id)?;
        let access = state.agreed.get(Aspect::Access.key()).map(String::as_str);
        Ok(portal.kind == PortalKind::Group || access == Some(PRIVATE))
    }

    /// Compares all rooms soon.
    pub(super) fn compare_rooms(&self) {
        self.room_states.round.notify_one();
    }

    /// Somebody on Matrix has changed what a room is like.
    pub(super) fn on_room_state(
        &self,
        event: &InboxEvent,
        json: &Value,
        content: &Value,
    ) -> Result<(), StoreError> {
        let Some(portal) = self.store.portal_of_room(&event.room_id)? else {
            return Ok(());
        };
        if matches!(portal.kind, PortalKind::Direct { .. })
            || json.get("state_key").and_then(Value::as_str) != Some("")
        {
            return Ok(());
        }
        self.store.amend_room_state(&portal.id, |state| {
            state.changes += 1;
            // The bridge changes rights as well: who wished for this must not be lost
            // beneath that.
            if event.kind == Aspect::Writing.state() && !portal.plumbed {
                let agreed = state.agreed.get(Aspect::Writing.key()).map(String::as_str);
                let levels = PowerLevels::of(content.clone());
                state.wish = match agreed {
                    Some(agreed) if writing_of(&levels, Some(agreed)) != agreed => {
                        Some(StateWish {
                            event: event.event_id.clone(),
                            sender: event.sender.clone(),
                            at: crate::clock::now_ms(),
                        })
                    }
                    _ => state.wish.take(),
                };
            }
        })?;
        self.compare_room(&portal.id);
        Ok(())
    }

    /// Whether a state of that type is one of those that are looked at.
    pub(super) fn is_room_state(kind: &str) -> bool {
        STATES.contains(&kind)
    }

    /// Something on Matrix was redacted that is no message: perhaps a name.
    pub(super) fn on_state_redacted(&self, portal: &Portal) -> Result<(), StoreError> {
        if !matches!(portal.kind, PortalKind::Direct { .. }) {
            self.store
                .amend_room_state(&portal.id, |state| state.changes += 1)?;
            self.compare_room(&portal.id);
        }
        Ok(())
    }

    /// Rocket.Chat tells of a change of a room. It is only a reason to look, and tells
    /// who did it: clients can write such messages themselves.
    pub(super) fn note_system_message(&self, portal: &Portal, message: &RocketMessage) {
        let told = Aspect::told_by(message.t.as_deref().unwrap_or_default());
        if told.is_empty() {
            return;
        }
        {
            let hints = &self.room_states.hints;
            let mut hints = hints.lock().unwrap_or_else(PoisonError::into_inner);
            for aspect in told {
                let hint = Hint {
                    user: message.u.clone(),
                    at: message.ts.0,
                };
                let known = hints.entry((portal.id.clone(), *aspect));
                let newest = known.or_insert_with(|| hint.clone());
                if newest.at < hint.at {
                    *newest = hint;
                }
            }
        }
        self.compare_room(&portal.id);
    }

    async fn look_at_room_state(self: Arc<Self>, id: PortalId) {
        let done = self.persevere(|_| self.agree_on_room(&id, None)).await;
        let Err(failure) = done else { return };
        // It does not come through although both servers answer: whoever wished for it is
        // told, and both sides are the same again.
        let why = failure.person_text();
        tracing::warn!(portal = %id, %failure, "what a room is like could not be carried over");
        let again = self.persevere(|_| self.agree_on_room(&id, Some(&why)));
        if let Err(failure) = again.await {
            tracing::error!(portal = %id, %failure, "a room may not be the same on both sides");
        }
    }

    /// Refuses what is said in a room that is archived: Rocket.Chat itself would take it
    /// (6.14, recording 52).
    pub(super) async fn refuse_if_archived(&self, portal: &Portal) -> Result<(), Failure> {
        let state = self.store.room_state(&portal.id)?;
        let agreed = state.agreed.get(Aspect::Writing.key());
        if agreed.map(String::as_str) != Some(ARCHIVED) {
            return Ok(());
        }
        let rocket = self.rocket().await;
        match rocket.bot.room_as_admin(&portal.rid).await? {
            Some(room) if room.archived => Err(Failure::Refused(
                "The room is archived on Rocket.Chat.".into(),
            )),
            _ => {
                self.compare_room(&portal.id);
                Ok(())
            }
        }
    }
}
