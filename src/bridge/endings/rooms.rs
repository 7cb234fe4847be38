//! Noticing that a room is gone, on either side.
//!
//! Rocket.Chat tells members when a room is deleted, and the bridge's account is no
//! member of most channels. So it is asked every few seconds which rooms were deleted;
//! and after every connection, and now and then, which rooms there are. An answer that
//! is not the one that was hoped for is no proof: what ends a portal is that two
//! requests for that very room say that there is none. Nor is a list of Matrix in which
//! a room is missing: there it is asked, a little later, for the membership in that room.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ruma::{RoomId, UserId};
use serde_json::Value;
use tokio::sync::Notify;

use super::is_direct;
use crate::bridge::keyed_lock::KeyedLock;
use crate::bridge::{Bridge, Failure};
use crate::clock::now_ms;
use crate::matrix::Intent;
use crate::rocketchat::documents::{RoomType, Timestamp};
use crate::rocketchat::rest::RoomOrder;
use crate::rocketchat::{RocketRoomId, RocketUserId};
use crate::store::{InboxEvent, Portal, PortalKind, Reason};

/// How long between two questions which rooms were deleted.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(5);

/// How long Rocket.Chat is left alone when it refuses that question.
const AFTER_REFUSAL: Duration = Duration::from_secs(60);

/// How far before the newest moment that Rocket.Chat told of is asked again, in ms.
const OVERLAP_MS: i64 = 10_000;

/// How far back is asked for the first time, in ms: as much as the clocks of the two
/// computers may differ.
const FIRST_LOOK_MS: i64 = 3_600_000;

/// How long between two rounds.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(15 * 60);

/// How many rooms a page of a round has.
const PAGE: usize = 100;

/// How long between two pages: Rocket.Chat has its own people to serve.
const BETWEEN_PAGES: Duration = Duration::from_millis(250);

/// How many pages are looked at, so that a round ends whatever a server answers.
const MOST_PAGES: usize = 10_000;

/// How long it is waited before the homeserver is asked a second time, in another way,
/// whether the bridge is in a room that it left out: one of its workers may be behind the
/// others.
const BEFORE_BELIEVED: Duration = Duration::from_secs(3);

/// What the tasks share that look whether everything is still there.
pub(in crate::bridge) struct Rounds {
    wake: Notify,
    /// Held while somebody's ghost is taken out of its rooms.
    pub(super) parting: KeyedLock<RocketUserId>,
}

impl Default for Rounds {
    fn default() -> Self {
        Self {
            wake: Notify::new(),
            parting: KeyedLock::new(),
        }
    }
}

/// What there is of a room on Rocket.Chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// It is there.
    Here,
    /// It belongs to Rocket.Chat's own federation.
    Federated,
    /// It is not there any more.
    Gone,
}

/// Whether a user of ours is out of a room, by the membership that it has there.
pub(in crate::bridge) async fn is_out(intent: &Intent, room: &RoomId) -> Result<bool, Failure> {
    let own = intent
        .state(room, "m.room.member", intent.user_id().as_str())
        .await;
    match own {
        Err(error) if error.is_forbidden() => Ok(true),
        own => Ok(is_no_member(own?.as_ref())),
    }
}

/// Whether that is the membership of somebody who is not in the room. What cannot be read
/// is no sign of it.
fn is_no_member(own: Option<&Value>) -> bool {
    own.is_none_or(|content| {
        let membership = content.get("membership").and_then(Value::as_str);
        matches!(membership, Some("leave" | "ban" | "invite" | "knock"))
    })
}

impl Bridge {
    /// Begins to look whether the rooms of portals are still there, for as long as the
    /// bridge runs.
    pub(in crate::bridge) fn watch_for_ends(self: &Arc<Self>) {
        tokio::spawn(Arc::clone(self).ask_for_deleted_rooms());
        tokio::spawn(Arc::clone(self).go_round_portals());
    }

    /// Compares all portals with what there is, soon.
    pub(in crate::bridge) fn compare_portals(&self) {
        self.rounds.wake.notify_one();
    }

    /// Something hints that a room may be gone, or no longer the bridge's business.
    pub(in crate::bridge) fn look_for_room(self: &Arc<Self>, rid: &RocketRoomId) {
        let (bridge, rid) = (Arc::clone(self), rid.clone());
        tokio::spawn(async move {
            if let Err(failure) = bridge.look_for_room_now(&rid).await {
                tracing::warn!(%rid, %failure, "whether a room is still there cannot be told now");
            }
        });
    }

    async fn look_for_room_now(self: &Arc<Self>, rid: &RocketRoomId) -> Result<(), Failure> {
        let portals = self.store.portals_of(rid)?;
        if portals.is_empty() {
            return Ok(());
        }
        let reason = match self.persevere(|_| self.find_room(rid)).await? {
            Found::Here => return Ok(()),
            Found::Federated => Reason::Federated,
            Found::Gone => Reason::RoomDeleted,
        };
        for portal in &portals {
            self.end_portal(portal, reason.clone()).await?;
        }
        Ok(())
    }

    /// Whether a room is on Rocket.Chat, asked in two ways that do not depend on each
    /// other.
    async fn find_room(&self, rid: &RocketRoomId) -> Result<Found, Failure> {
        let rocket = self.rocket().await;
        match rocket.bot.room_info(rid).await {
            Ok(Some(room)) if room.federated => return Ok(Found::Federated),
            Ok(Some(_)) => return Ok(Found::Here),
            Ok(None) => {}
            // It is there, and not for the bridge's account to see.
            Err(error) if error.is_denied() || error.code() == Some("error-room-archived") => {
                return Ok(Found::Here);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(match rocket.bot.room_as_admin(rid).await? {
            Some(_) => Found::Here,
            None => Found::Gone,
        })
    }

    async fn ask_for_deleted_rooms(self: Arc<Self>) {
        let mut since = now_ms() - FIRST_LOOK_MS;
        self.newest_rooms_are_read().await;
        loop {
            let asked = self
                .persevere(async |_| {
                    let rocket = self.rocket().await;
                    let since = Timestamp(since - OVERLAP_MS);
                    Ok(rocket.bot.rooms_get(Some(since)).await?)
                })
                .await;
            match asked {
                Ok(changes) => {
                    // By Rocket.Chat's clock only.
                    let updated = changes.updated.iter().filter_map(|room| room.updated_at);
                    let removed = changes.removed.iter().filter_map(|room| room.deleted_at);
                    since = updated.chain(removed).map(|at| at.0).fold(since, i64::max);
                    for room in changes.updated.iter().filter(|room| room.federated) {
                        self.look_for_room(&room.id);
                    }
                    for room in &changes.removed {
                        if let Ok(rid) = RocketRoomId::parse(room.id.as_str()) {
                            self.look_for_room(&rid);
                        }
                    }
                    tokio::time::sleep(BETWEEN_QUESTIONS).await;
                }
                Err(failure) => {
                    tracing::warn!(%failure, "which rooms were deleted cannot be asked now");
                    tokio::time::sleep(AFTER_REFUSAL).await;
                }
            }
        }
    }

    async fn go_round_portals(self: Arc<Self>) {
        // Not before there is a connection.
        self.rounds.wake.notified().await;
        loop {
            if let Err(failure) = self.compare_with_rocketchat().await {
                tracing::warn!(%failure, "which rooms there are on Rocket.Chat cannot be told now");
            }
            if let Err(failure) = self.compare_with_matrix().await {
                tracing::warn!(%failure, "in which rooms the bridge is on Matrix cannot be told now");
            }
            // Whoever wakes us may have missed something; or it is time.
            let _ = tokio::time::timeout(BETWEEN_ROUNDS, self.rounds.wake.notified()).await;
        }
    }

    /// Looks for every portal whose room is not among those that there are.
    async fn compare_with_rocketchat(self: &Arc<Self>) -> Result<(), Failure> {
        let portals = self.store.portals();
        let (direct, named): (Vec<_>, Vec<_>) = portals.into_iter().partition(is_direct);
        let prefix = self.config.rocketchat.puppet_prefix.as_str();
        let named = self
            .not_listed(named, &[RoomType::Channel, RoomType::Group], "")
            .await?;
        let direct = self.not_listed(direct, &[RoomType::Direct], prefix).await?;
        for rid in named.into_iter().chain(direct) {
            self.look_for_room_now(&rid).await?;
        }
        Ok(())
    }

    /// Which of these portals' rooms are not listed, or as rooms of Rocket.Chat's own
    /// federation.
    async fn not_listed(
        &self,
        portals: Vec<Portal>,
        kinds: &[RoomType],
        filter: &str,
    ) -> Result<Vec<RocketRoomId>, Failure> {
        let mut missing: HashMap<RocketRoomId, ()> =
            portals.into_iter().map(|portal| (portal.rid, ())).collect();
        let mut odd = Vec::new();
        let mut offset = 0;
        for _ in 0..MOST_PAGES {
            if missing.is_empty() {
                break;
            }
            let page = self
                .persevere(async |_| {
                    let rocket = self.rocket().await;
                    let order = RoomOrder::Created;
                    let rooms = rocket.bot.admin_rooms(kinds, filter, order, offset, PAGE);
                    Ok(rooms.await?)
                })
                .await?;
            for room in &page.items {
                if missing.remove(&room.id).is_some() && room.federated {
                    odd.push(room.id.clone());
                }
            }
            offset += page.sent;
            if page.sent == 0 || offset >= page.total {
                break;
            }
            tokio::time::sleep(BETWEEN_PAGES).await;
        }
        odd.extend(missing.into_keys());
        Ok(odd)
    }

    /// Ends every portal of a channel in whose Matrix room the bot is no longer.
    async fn compare_with_matrix(self: &Arc<Self>) -> Result<(), Failure> {
        // Before it is asked where the bot is: it enters a room before that is a portal.
        let portals = self.store.portals();
        if portals.iter().all(is_direct) {
            return Ok(());
        }
        let joined = self
            .persevere(async |_| Ok(self.matrix.bot().joined_rooms().await?))
            .await?;
        let missing: Vec<_> = portals
            .into_iter()
            .filter(|portal| !is_direct(portal) && !joined.contains(&portal.room_id))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(BEFORE_BELIEVED).await;
        let bot = self.matrix.bot();
        for portal in missing {
            if self.persevere(|_| is_out(&bot, &portal.room_id)).await? {
                self.end_portal(&portal, Reason::RoomLost).await?;
            } else {
                tracing::warn!(room = %portal.room_id, "the homeserver left a room out of those that the bridge is in");
            }
        }
        Ok(())
    }

    /// Whether something could not be done in the room of a direct message because none of
    /// the bridge's ghosts is in it any more: an administrator of the homeserver may have
    /// removed the room with all that was in it, of which nobody is told when the bridge was
    /// away. Then its portal ends, and the conversation goes on in a new room.
    pub(in crate::bridge) async fn has_lost_direct_room(
        self: &Arc<Self>,
        portal: &Portal,
        failure: &Failure,
    ) -> Result<bool, Failure> {
        let is_shut_out = matches!(
            failure,
            Failure::Matrix(error) if error.is_forbidden() || error.is_not_found()
        );
        if !is_direct(portal) || !is_shut_out {
            return Ok(false);
        }
        for peer in portal.kind.direct_peers() {
            let Some(ghost) = self.store.ghost(peer)? else {
                continue;
            };
            let intent = self.as_ghost(&ghost);
            if intent.joined_rooms().await?.contains(&portal.room_id) {
                return Ok(false);
            }
            tokio::time::sleep(BEFORE_BELIEVED).await;
            if !is_out(&intent, &portal.room_id).await? {
                return Ok(false);
            }
        }
        self.end_portal(portal, Reason::RoomLost).await?;
        Ok(true)
    }

    /// Whether an event tells that the bot, or the ghost of a direct message, is out of
    /// a room by what looks like its own doing: so a homeserver's administrator closes a
    /// room.
    pub(in crate::bridge) fn is_parting(&self, event: &InboxEvent) -> bool {
        if event.kind != "m.room.member" {
            return false;
        }
        let json: Value = serde_json::from_str(event.json.get()).unwrap_or_default();
        let is_leave = matches!(
            json.pointer("/content/membership").and_then(Value::as_str),
            Some("leave" | "ban")
        );
        let is_about_the_sender =
            json.get("state_key").and_then(Value::as_str) == Some(event.sender.as_str());
        if !is_leave || !is_about_the_sender {
            return false;
        }
        match self.store.portal_of_room(&event.room_id) {
            Ok(Some(portal)) => event.sender == self.config.appservice.bot || is_direct(&portal),
            Ok(None) => false,
            // It will be found at the next round.
            Err(error) => {
                tracing::error!(%error, "the store fails");
                false
            }
        }
    }

    /// The bot, or the ghost of a direct message, was put out of a room, or the room was
    /// closed: when it really is not there any more, the room's portal ends.
    pub(in crate::bridge) async fn on_put_out(
        self: &Arc<Self>,
        event: &InboxEvent,
        member: &UserId,
    ) -> Result<(), Failure> {
        let Some(portal) = self.store.portal_of_room(&event.room_id)? else {
            return Ok(());
        };
        let speaks_here = match &portal.kind {
            PortalKind::Channel | PortalKind::Group => *member == self.config.appservice.bot,
            _ => *self.reader(&portal).await?.user_id() == *member,
        };
        if !speaks_here {
            return Ok(());
        }
        let intent = match *member == self.config.appservice.bot {
            true => self.matrix.bot(),
            false => self.matrix.as_user(member.to_owned()),
        };
        if intent.joined_rooms().await?.contains(&portal.room_id) {
            return Ok(());
        }
        self.end_portal(&portal, Reason::RoomLost).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_membership_that_is_another_one_ends_a_portal() {
        assert!(is_no_member(None), "never set, or the room is not there");
        for membership in ["leave", "ban"] {
            assert!(is_no_member(Some(&json!({ "membership": membership }))));
        }
        assert!(!is_no_member(Some(&json!({ "membership": "join" }))));
        assert!(!is_no_member(Some(&Value::Null)), "unreadable");
    }
}
