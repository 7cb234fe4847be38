//! Signs of life: who types, who is there, who has read. They are worth something now
//! and nothing later. So they are never stored, never tried again and never wait in a
//! room's queue; of everything only the latest is kept, in bounded number; the requests
//! that they cost are few, paced, and beside the places of those that carry messages.

mod board;
mod following;
mod latest;
mod presence;
mod receipts;
mod typing;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, UserId};
use tokio::sync::{Notify, mpsc};

use super::Bridge;
use crate::matrix::listener::{Ephemeral, Presence};
use crate::rocketchat::RocketRoomId;
use crate::store::{Portal, PortalId, PortalKind, StoreError};
use board::{Board, Times};
use latest::Latest;

/// How many transactions' signs of life wait to be looked at; further ones are dropped.
const MOST_WAITING: usize = 64;

/// A request that takes longer is given up: it would be late.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many requests of one kind are under way at once.
const AT_ONCE: usize = 4;

/// Between two looks at how far the same person has read the same room, and at whether
/// the same person is there.
const BETWEEN_RECEIPTS: Duration = Duration::from_secs(3);

/// Between two requests of one kind: ten a second.
const PACE: Duration = Duration::from_millis(100);

/// Something that a task works on as it is at that moment.
#[derive(Debug)]
struct Desk<T> {
    state: Mutex<T>,
    more: Notify,
}

impl<T> Desk<T> {
    fn new(state: T) -> Self {
        Self {
            state: Mutex::new(state),
            more: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it and wakes the task.
    fn change(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.lock());
        self.more.notify_one();
    }

    /// Waits for the next change, or until then.
    async fn wait(&self, until: Option<Instant>) {
        match until {
            Some(until) => {
                let _ = tokio::time::timeout_at(until.into(), self.more.notified()).await;
            }
            None => self.more.notified().await,
        }
    }
}

/// All that is known of signs of life.
pub(super) struct Ephemerals {
    arrived: mpsc::Sender<Vec<Ephemeral>>,
    /// Taken by the task that works them.
    to_look_at: Mutex<Option<mpsc::Receiver<Vec<Ephemeral>>>>,
    typing_to_rocket: Desk<Board<PortalId, OwnedUserId>>,
    typing_to_matrix: Desk<Board<RocketRoomId, String>>,
    names: typing::Names,
    following: following::Following,
    receipts_to_rocket: Desk<Latest<(RocketRoomId, OwnedUserId), ()>>,
    receipts_to_matrix: Desk<Latest<(OwnedRoomId, OwnedUserId), OwnedEventId>>,
    presence_to_rocket: Desk<Latest<OwnedUserId, (Presence, Option<String>)>>,
    presence_to_matrix: presence::ToMatrix,
}

impl Ephemerals {
    pub(super) fn new() -> Self {
        let (arrived, to_look_at) = mpsc::channel(MOST_WAITING);
        Self {
            arrived,
            to_look_at: Mutex::new(Some(to_look_at)),
            typing_to_rocket: Desk::new(Board::new(Times {
                // As Rocket.Chat's own client does it, which forgets after 15 s.
                lasts: Duration::from_secs(15),
                again: Duration::from_secs(8),
            })),
            typing_to_matrix: Desk::new(Board::new(Times {
                lasts: typing::LASTS_ON_MATRIX,
                again: Duration::from_secs(12),
            })),
            names: typing::Names::default(),
            following: following::Following::default(),
            receipts_to_rocket: Desk::new(Latest::new(BETWEEN_RECEIPTS, PACE)),
            receipts_to_matrix: Desk::new(Latest::new(BETWEEN_RECEIPTS, PACE)),
            presence_to_rocket: Desk::new(Latest::new(presence::BETWEEN, PACE)),
            presence_to_matrix: presence::ToMatrix::default(),
        }
    }
}

impl Bridge {
    /// Takes the signs of life of a transaction. Does nothing but put them down: what
    /// does not fit is dropped.
    pub(super) fn take_ephemeral(&self, signs: Vec<Ephemeral>) {
        if !signs.is_empty() && self.ephemerals.arrived.try_send(signs).is_err() {
            tracing::debug!("signs of life were dropped: too many at once");
        }
    }

    /// Begins to carry signs of life over, for as long as the bridge runs.
    pub(super) fn look_after_ephemerals(self: &Arc<Self>) {
        let options = &self.config.bridge;
        for lack in self.registration.lacks(options) {
            tracing::warn!("{lack}");
        }
        let arrived = {
            let waiting = &self.ephemerals.to_look_at;
            waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
        };
        if let Some(arrived) = arrived {
            tokio::spawn(Arc::clone(self).look_at_ephemerals(arrived));
        }
        if options.typing.to_rocketchat() {
            tokio::spawn(Arc::clone(self).show_typing_on_rocketchat());
        }
        if options.typing.to_matrix() {
            tokio::spawn(Arc::clone(self).show_typing_on_matrix());
        }
        if options.receipts.to_rocketchat() {
            tokio::spawn(Arc::clone(self).show_receipts_on_rocketchat());
        }
        if options.receipts.to_matrix() {
            tokio::spawn(Arc::clone(self).show_receipts_on_matrix());
        }
        if options.presence.to_rocketchat() {
            tokio::spawn(Arc::clone(self).show_presence_on_rocketchat());
        }
        if options.presence.to_matrix() {
            tokio::spawn(Arc::clone(self).show_presence_on_matrix());
        }
    }

    async fn look_at_ephemerals(self: Arc<Self>, mut arrived: mpsc::Receiver<Vec<Ephemeral>>) {
        while let Some(signs) = arrived.recv().await {
            for sign in signs {
                let looked_at = match sign {
                    Ephemeral::Typing { room, users } => self.typing_on_matrix(&room, users),
                    Ephemeral::Read { room, read } => self.read_on_matrix(&room, read),
                    Ephemeral::Presence {
                        user,
                        presence,
                        status,
                    } => self.presence_on_matrix(user, presence, status),
                };
                if let Err(error) = looked_at {
                    tracing::error!(%error, "the store fails; a sign of life is dropped");
                }
            }
            // Many at once must not keep this thread from others.
            tokio::task::yield_now().await;
        }
    }

    /// Whether somebody on Matrix has a puppet that is known in a portal's room. Nobody
    /// gets one, or comes into a room, by typing or reading.
    fn has_puppet_in(&self, portal: &Portal, user: &UserId) -> Result<bool, StoreError> {
        if self.config.is_ours(user) || self.store.puppet(user)?.is_none() {
            return Ok(false);
        }
        match &portal.kind {
            PortalKind::Direct { matrix_user, .. } => Ok(matrix_user == user),
            PortalKind::Channel | PortalKind::Group => {
                self.store.is_puppet_in_room(&portal.id, user)
            }
        }
    }
}

/// Does something that is worth it only now: whether it was done in time.
async fn in_time<T, E: std::fmt::Display>(
    what: &'static str,
    doing: impl Future<Output = Result<T, E>>,
) -> Option<T> {
    match tokio::time::timeout(PATIENCE, doing).await {
        Ok(Ok(done)) => Some(done),
        Ok(Err(error)) => {
            tracing::debug!(%error, "{what} could not be shown");
            None
        }
        Err(_) => {
            tracing::debug!("{what} could not be shown in time");
            None
        }
    }
}
