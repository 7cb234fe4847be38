//! How far somebody has read, where the administrator wants it shown.
//!
//! Rocket.Chat has one mark for a whole room, and shows nobody's mark to others without
//! a licence. So what Matrix says becomes the puppet's mark; and of people on Rocket.Chat
//! only that is known that they show by writing and reacting.

use std::sync::Arc;
use std::time::Instant;

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::in_time;
use super::latest::Due;
use crate::bridge::{Bridge, Failure};
use crate::rocketchat::RocketRoomId;
use crate::store::StoreError;

/// So many receipts of one event are looked at.
const MOST_LOOKED_AT: usize = 200;

impl Bridge {
    /// The homeserver says who has read up to where.
    pub(super) fn read_on_matrix(
        &self,
        room: &RoomId,
        read: Vec<(OwnedUserId, OwnedEventId)>,
    ) -> Result<(), StoreError> {
        if !self.config.bridge.receipts.to_rocketchat() {
            return Ok(());
        }
        let Some(portal) = self.store.portal_of_room(room)? else {
            return Ok(());
        };
        for (user, _) in read.into_iter().take(MOST_LOOKED_AT) {
            if self.has_puppet_in(&portal, &user)? {
                let key = (portal.rid.clone(), user);
                let now = Instant::now();
                self.ephemerals
                    .receipts_to_rocket
                    .change(|latest| latest.put(key, (), now));
            }
        }
        Ok(())
    }

    /// A ghost has written this, or has reacted to it: whoever is behind it has read the
    /// room up to there.
    pub(in crate::bridge) fn ghost_has_read(&self, room: &RoomId, ghost: &UserId, event: &EventId) {
        if !self.config.bridge.receipts.to_matrix() {
            return;
        }
        let key = (room.to_owned(), ghost.to_owned());
        let now = Instant::now();
        self.ephemerals
            .receipts_to_matrix
            .change(|latest| latest.put(key, event.to_owned(), now));
    }

    pub(super) async fn show_receipts_on_rocketchat(self: Arc<Self>) {
        let desk = &self.ephemerals.receipts_to_rocket;
        loop {
            let next = desk.lock().next(Instant::now());
            match next {
                Due::Tell((rid, user), ()) => self.tell_rocketchat_read(&rid, &user).await,
                Due::Wait(until) => desk.wait(Some(until)).await,
                Due::Idle => desk.wait(None).await,
            }
        }
    }

    async fn tell_rocketchat_read(&self, rid: &RocketRoomId, user: &UserId) {
        if !self.rocket_gate.is_open() || self.rocket_if_there().is_none() {
            return;
        }
        let telling = async {
            match self.store.puppet(user)? {
                Some(puppet) => {
                    self.as_puppet(
                        &puppet,
                        |session| async move { session.mark_read(rid).await },
                    )
                    .await
                }
                None => Ok(()),
            }
        };
        in_time::<_, Failure>("what was read", telling).await;
    }

    pub(super) async fn show_receipts_on_matrix(self: Arc<Self>) {
        let desk = &self.ephemerals.receipts_to_matrix;
        loop {
            let next = desk.lock().next(Instant::now());
            match next {
                Due::Tell((room, ghost), event) => {
                    self.tell_matrix_read(room, ghost, event).await;
                }
                Due::Wait(until) => desk.wait(Some(until)).await,
                Due::Idle => desk.wait(None).await,
            }
        }
    }

    async fn tell_matrix_read(&self, room: OwnedRoomId, ghost: OwnedUserId, event: OwnedEventId) {
        if self.matrix_gate.is_open() {
            let ghost = self.matrix.as_user(ghost);
            in_time("what was read", ghost.has_read(&room, &event)).await;
        }
    }
}
