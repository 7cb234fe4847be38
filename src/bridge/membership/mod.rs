//! Who is in a portal, and what they may do there, the same on both sides.
//!
//! Whatever tells that somebody came, left or got other rights is only a reason to look:
//! what counts is how it is now on both sides, compared with what was agreed last (see
//! [`crate::store::Standing`], [`crate::store::RoomRights`] and the notes of who is in
//! which room). So it does not matter in which order news come, how often, or whether
//! some got lost: after every connection and now and then everything is compared.
//!
//! * [`events`]: what happens on Matrix.
//! * [`commanded`]: what people do by command to those of the other side.
//! * [`news`]: what Rocket.Chat tells.
//! * [`ghosts`]: people of Rocket.Chat and their ghosts.
//! * [`puppets`]: people of Matrix and their puppets.
//! * [`joins`]: ghosts that come although their person has not spoken.
//! * [`rights`]: owners and moderators, and levels of power.
//! * [`along`]: who cannot be removed and would read along.
//! * [`authors`]: who did something on Matrix.
//! * [`lacking`]: what the bridge has not the power for.
//! * [`parted`]: whose own account is out of a room stays out.
//! * [`plumbed`]: what is different in rooms that existed on both sides.
//! * [`permissions`]: what roles may do on Rocket.Chat.
//! * [`round`]: comparing everything.

mod along;
pub(super) mod authors;
mod commanded;
mod entering;
mod events;
mod ghosts;
mod joins;
mod lacking;
mod news;
mod parted;
mod permissions;
mod plumbed;
mod puppets;
mod rights;
mod round;

pub use commanded::Removal;
pub(super) use news::is_about_another;
pub(super) use permissions::ADD_PEOPLE;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ruma::UserId;
use serde_json::Value;
use tokio::sync::Notify;

use super::keyed_lock::KeyedLock;
use super::look_queue::Queue;
use super::{Bridge, Failure};
use crate::matrix::TimelineEvent;
use crate::retry::Retryable as _;
use crate::rocketchat::documents::{RoomType, UserRef};
use crate::rocketchat::{self, RocketMessageId, RocketRoomId, RocketUserId};
use crate::store::{Portal, PortalId, PortalKind};

/// What is to be looked at, and what need not be asked for again.
pub(super) struct Members {
    /// Held while it is settled whether somebody is in a room: by their id on
    /// Rocket.Chat, or on Matrix.
    settling: KeyedLock<(RocketRoomId, String)>,
    /// Held while the rights in a room are compared.
    comparing_rights: KeyedLock<RocketRoomId>,
    /// People whose ghosts are to come in.
    joins: Queue<(PortalId, RocketUserId)>,
    looks: Queue<Look>,
    /// Wakes the task that compares everything.
    round: Notify,
    sizes: Mutex<HashMap<RocketRoomId, (Instant, u64)>>,
    permissions: permissions::LastSeen,
}

/// How long between two rooms of a round, each several requests to both servers, which
/// have their own people to serve.
const BETWEEN_TURNS: Duration = Duration::from_millis(250);

/// What is to be compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Look {
    /// Who is in a room, and what they may do.
    Room(PortalId),
    /// What people may do in a room.
    Rights(PortalId),
}

impl Members {
    pub(super) fn new() -> Self {
        Self {
            settling: KeyedLock::new(),
            comparing_rights: KeyedLock::new(),
            joins: Queue::new(Duration::ZERO),
            looks: Queue::new(BETWEEN_TURNS),
            round: Notify::new(),
            sizes: Mutex::default(),
            permissions: permissions::LastSeen::default(),
        }
    }
}

/// Why it is looked whether somebody is in a room.
#[derive(Debug, Clone, Copy)]
pub(super) enum Why<'a> {
    /// Rocket.Chat tells that they came or went.
    News {
        /// Who brought or removed them, if another.
        by: Option<&'a UserRef>,
        /// The message that tells.
        message: &'a RocketMessageId,
        /// When it was written (ms, Rocket.Chat's clock).
        at: i64,
        /// They came. When they are not there now, another message tells how they went.
        came: bool,
    },
    /// Something on Matrix, or it is time.
    Look,
}

impl<'a> Why<'a> {
    /// Whether to leave it to a later message, when somebody is not a member now.
    fn is_outdated(self) -> bool {
        matches!(self, Self::News { came: true, .. })
    }

    fn by(self) -> Option<&'a UserRef> {
        match self {
            Self::News { by, .. } => by,
            Self::Look => None,
        }
    }
}

/// Somebody's membership of a Matrix room, as it is now.
#[derive(Debug)]
pub(super) struct Seat {
    /// The event that says so; none when there never was any.
    pub(super) event: Option<TimelineEvent>,
}

impl Seat {
    /// `join`, `invite`, `leave`, `ban`, `knock`; who was never there has left.
    pub(super) fn membership(&self) -> &str {
        let content = self.event.as_ref().map(|event| &event.content);
        content
            .and_then(|content| content.get("membership"))
            .and_then(Value::as_str)
            .unwrap_or("leave")
    }

    /// Who did it, when it was another than the member.
    pub(super) fn by_another(&self) -> Option<&TimelineEvent> {
        let event = self.event.as_ref()?;
        (event.state_key.as_deref() != Some(event.sender.as_str())).then_some(event)
    }
}

/// The kind of a portal's room, as Rocket.Chat's endpoints are named after it; none for
/// direct messages, whose members never change.
pub(super) fn room_type(portal: &Portal) -> Option<RoomType> {
    match portal.kind {
        PortalKind::Channel => Some(RoomType::Channel),
        PortalKind::Group => Some(RoomType::Group),
        _ => None,
    }
}

/// Whether Rocket.Chat refused because it is as it should be: nobody there to remove.
fn is_not_in_room(failure: &Failure) -> bool {
    matches!(failure, Failure::RocketChat(error) if error.code() == Some("error-user-not-in-room"))
}

/// What to tell when trying again cannot help; the failure, when it can.
fn refusal(failure: Failure) -> Result<String, Failure> {
    match failure.advice() {
        crate::retry::Advice::GiveUp => Ok(failure.person_text()),
        _ => Err(failure),
    }
}

impl Bridge {
    /// Begins to look after members, for as long as the bridge runs.
    pub(super) fn look_after_members(self: &Arc<Self>) {
        tokio::spawn(Arc::clone(self).join_members());
        tokio::spawn(Arc::clone(self).look_at_rooms());
        tokio::spawn(Arc::clone(self).go_round_members());
    }

    /// Looks soon whether a portal has the same members and rights on both sides.
    pub(super) fn compare_members(&self, portal: &PortalId) {
        self.members.looks.add(Look::Room(portal.clone()));
    }

    /// Somebody's membership of a portal's Matrix room, as it is now.
    pub(super) async fn seat(&self, portal: &Portal, user: &UserId) -> Result<Seat, Failure> {
        let bot = self.matrix.bot();
        let event = bot
            .state_event(&portal.room_id, "m.room.member", user.as_str())
            .await?;
        Ok(Seat { event })
    }

    /// Whether somebody is a member of a portal's room on Rocket.Chat now.
    pub(super) async fn is_member(
        &self,
        portal: &Portal,
        id: &RocketUserId,
    ) -> Result<bool, Failure> {
        let rocket = self.rocket().await;
        match rocket.bot.is_member(&portal.rid, id).await {
            Err(rocketchat::Error::EndpointMissing) => {
                let kind = room_type(portal).unwrap_or_default();
                let members = rocket.bot.room_members(&portal.rid, &kind).await?;
                Ok(members.iter().any(|member| member.id == *id))
            }
            outcome => Ok(outcome?),
        }
    }
}
