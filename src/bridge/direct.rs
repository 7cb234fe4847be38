//! Direct messages: found or made, from either side.

use std::collections::HashSet;
use std::sync::{Arc, MutexGuard, PoisonError};

use ruma::api::client::room::create_room;
use ruma::api::client::room::create_room::v3::RoomPreset;
use ruma::events::room::member::MembershipState;
use ruma::{EventId, OwnedRoomId, RoomId, UserId};
use serde_json::Value;

use super::homeserver_watch::{Held, new_event};
use super::{Bridge, Failure};
use crate::matrix::Intent;
use crate::retry::{Advice, Retryable as _};
use crate::rocketchat::documents::{Room, UserRef};
use crate::rocketchat::{RocketRoomId, RocketUserId, Username};
use crate::store::{Ghost, InboxEvent, Portal, PortalKind};

/// How many pages of a new direct room are looked through for what was written
/// before the ghost came.
const PAGES_BEFORE_JOIN: usize = 10;

impl Bridge {
    /// A Matrix user invites a ghost: their room becomes the portal of the direct
    /// message between the user's puppet and the person behind the ghost.
    pub(super) async fn on_ghost_invited(
        self: &Arc<Self>,
        event: &InboxEvent,
        ghost_id: &UserId,
    ) -> Result<(), Failure> {
        let room = &event.room_id;
        if self.store.ending_of_room(room)?.is_some() {
            return Err(Failure::NotYet("the end of the earlier conversation"));
        }
        let intent = self.matrix.as_user(ghost_id.to_owned());
        if let Some(portal) = self.store.portal_of_room(room)? {
            return self.ghost_invited_to_portal(&portal, &intent, event).await;
        }
        let Some(person) = self.person_behind(ghost_id).await? else {
            // Without an account it could not even decline.
            intent.register().await?;
            let why = self.why_nobody(ghost_id).await?;
            return decline(&intent, room, why).await;
        };
        let Some(username) = person.username.clone() else {
            return decline(
                &intent,
                room,
                "This person on Rocket.Chat has no user name.",
            )
            .await;
        };
        let ghost = self.ghost_of(&UserRef::from(&person)).await?;
        if ghost.user_id != *ghost_id {
            intent.register().await?;
            let why = format!("This person is {} here.", ghost.user_id);
            return decline(&intent, room, &why).await;
        }
        let joining = self.joining(&ghost);
        match intent.join(room, None).await {
            Ok(()) => self.joined(&ghost, &joining),
            Err(error) if error.is_forbidden() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if let Some(why) = self.why_not_direct(&intent, room, &event.sender).await? {
            self.say(&intent, room, &event.event_id, "declined", why)
                .await?;
            return decline(&intent, room, why).await;
        }
        let puppet = self.puppet_of(&event.sender).await?;
        let peer = username.clone();
        let direct = self
            .as_puppet(&puppet, |session| {
                let peer = peer.clone();
                async move { session.direct_room(&[&peer]).await }
            })
            .await?;
        // A username may have changed hands meanwhile.
        if direct.rid != direct_id(&puppet.credentials.user_id, &person.id) {
            return Err(Failure::Refused(
                "Rocket.Chat opened a direct message with somebody else.".into(),
            ));
        }
        self.connect_direct(&direct.rid, room, event, &ghost, &username)
            .await?;
        self.take_up_earlier(&intent, room, &event.sender, &event.event_id)
            .await
    }

    /// Why a room cannot be a direct message, seen from inside.
    async fn why_not_direct(
        &self,
        ghost: &Intent,
        room: &RoomId,
        inviter: &UserId,
    ) -> Result<Option<&'static str>, Failure> {
        if ghost.state(room, "m.room.encryption", "").await?.is_some() {
            return Ok(Some(
                "This room is encrypted, and the bridge cannot read encrypted messages. Please start a direct message without encryption.",
            ));
        }
        // Who is invited reads along as soon as they like.
        let strangers = ghost
            .members(room)
            .await?
            .into_iter()
            .any(|(member, membership)| {
                matches!(membership, MembershipState::Join | MembershipState::Invite)
                    && member != *inviter
                    && member != *ghost.user_id()
            });
        Ok(strangers.then_some(
            "A direct message with a person of Rocket.Chat is between two. To talk in a group, mirror a channel.",
        ))
    }

    /// A third person comes into a direct message, or is invited: it is no longer
    /// between two. The room is its portal no more; what is written on Rocket.Chat
    /// from now on comes in a new one.
    pub(super) async fn end_direct(
        &self,
        portal: &Portal,
        event: &InboxEvent,
    ) -> Result<(), Failure> {
        let ghost = self.reader(portal).await?;
        // First of all nothing more of it comes here.
        self.store.change().no_portal(portal).commit()?;
        self.person_left(&portal.room_id);
        tracing::info!(rid = %portal.rid, room = %portal.room_id, "a direct message is no longer between two");
        let why = "A direct message with a person of Rocket.Chat is between two, and somebody else \
                   is here now. It goes on in a room of its own: start a new direct message, or \
                   wait for an answer.";
        self.say(&ghost, &portal.room_id, &event.event_id, "third", why)
            .await?;
        decline(&ghost, &portal.room_id, "A direct message is between two.").await
    }

    /// Makes a room the portal of a direct message; when that had another room,
    /// it moves on from there.
    async fn connect_direct(
        self: &Arc<Self>,
        rid: &RocketRoomId,
        room: &RoomId,
        event: &InboxEvent,
        ghost: &Ghost,
        username: &Username,
    ) -> Result<(), Failure> {
        let _one_at_a_time = self.making_portal.lock(rid).await;
        let earlier = self.store.portal(rid)?;
        let portal = Portal {
            rid: rid.clone(),
            room_id: room.to_owned(),
            kind: PortalKind::Direct {
                matrix_user: event.sender.clone(),
                peer: ghost.rocket_id.clone(),
            },
            name: username.as_str().to_owned(),
            // A direct message of a puppet began with the bridge.
            since: earlier.as_ref().map_or(0, |earlier| earlier.since),
        };
        let mut change = self
            .store
            .change()
            .portal(&portal)
            .ghost_in_room(room, &ghost.user_id);
        let moved_from = earlier.filter(|earlier| earlier.room_id != portal.room_id);
        if let Some(earlier) = &moved_from {
            change = change.forget_room(&earlier.room_id);
        }
        change.commit()?;
        tracing::info!(%rid, %room, "a direct message is mirrored");
        if let Some(earlier) = moved_from {
            let intent = self.as_ghost(ghost);
            let why = "This conversation goes on in the other room.";
            if let Err(failure) = decline(&intent, &earlier.room_id, why).await {
                tracing::info!(%failure, "the ghost could not leave the earlier room");
            }
        }
        self.read_back(rid.clone());
        Ok(())
    }

    /// What the inviter wrote before the ghost had joined: the homeserver does not
    /// send it to the bridge.
    async fn take_up_earlier(
        self: &Arc<Self>,
        ghost: &Intent,
        room: &RoomId,
        inviter: &UserId,
        invitation: &EventId,
    ) -> Result<(), Failure> {
        let mut from = None;
        let mut earlier = Vec::new();
        'pages: for _ in 0..PAGES_BEFORE_JOIN {
            let page = ghost.messages_backwards(room, from.as_deref(), 100).await?;
            for event in page.events {
                if event.event_id == invitation {
                    break 'pages;
                }
                if event.sender == inviter && event.kind == "m.room.message" {
                    earlier.push(event);
                }
            }
            from = page.end;
            if from.is_none() {
                break;
            }
        }
        let earlier = earlier
            .into_iter()
            .rev()
            .filter_map(|event| new_event(room, event))
            .collect();
        let accepted = self.store.accept(earlier)?;
        let accepted = accepted.iter().map(Held::from).collect();
        self.enqueue_first(room, accepted);
        Ok(())
    }

    /// Somebody invites a ghost to a room that is mirrored already.
    async fn ghost_invited_to_portal(
        self: &Arc<Self>,
        portal: &Portal,
        ghost: &Intent,
        event: &InboxEvent,
    ) -> Result<(), Failure> {
        let room = &portal.room_id;
        if let Some(known) = self.store.ghost_by_localpart(ghost.user_id().localpart())?
            && known.user_id == ghost.user_id()
        {
            let is_the_peer =
                matches!(&portal.kind, PortalKind::Direct { peer, .. } if *peer == known.rocket_id);
            if is_the_peer {
                self.join_ghost(portal, room, &known).await?;
                // Perhaps the first attempt was interrupted before it came to this.
                return self
                    .take_up_earlier(ghost, room, &event.sender, &event.event_id)
                    .await;
            }
        }
        ghost.register().await?;
        decline(
            ghost,
            room,
            "Who is in a mirrored room is decided on Rocket.Chat; invite this person there.",
        )
        .await
    }

    /// A Rocket.Chat user writes to a puppet: the Matrix room is made and the
    /// Matrix user invited.
    pub(super) async fn open_direct(
        self: &Arc<Self>,
        room: &Room,
    ) -> Result<Option<Portal>, Failure> {
        if let Some(portal) = self.store.portal(&room.id)? {
            return Ok(Some(portal));
        }
        let _one_at_a_time = self.making_portal.lock(&room.id).await;
        if let Some(portal) = self.store.portal(&room.id)? {
            return Ok(Some(portal));
        }
        self.must_not_be_ending(&room.id)?;
        let Some((matrix_user, peer)) = self.two_of(room)? else {
            return Ok(None);
        };
        let rocket = self.rocket().await;
        let Some(person) = rocket.bot.user_by_id(&peer).await? else {
            return Ok(None);
        };
        if person.federated || person.id == *rocket.bot.user_id() {
            return Ok(None);
        }
        let ghost = self.ghost_of(&UserRef::from(&person)).await?;
        let intent = self.as_ghost(&ghost);
        let room_id = match self.find_made_for(&intent, room).await? {
            Some(made_before) => made_before,
            None => {
                let mut request = create_room::v3::Request::new();
                request.is_direct = true;
                request.preset = Some(RoomPreset::TrustedPrivateChat);
                request.initial_state = self.bridge_state(room, &ghost.user_id);
                let joining = self.joining(&ghost);
                let made = intent.create_room(request).await?;
                self.joined(&ghost, &joining);
                made
            }
        };
        let portal = Portal {
            rid: room.id.clone(),
            room_id,
            kind: PortalKind::Direct { matrix_user, peer },
            name: person
                .username
                .map(Username::into_string)
                .unwrap_or_default(),
            since: 0,
        };
        self.store
            .change()
            .portal(&portal)
            .ghost_in_room(&portal.room_id, &ghost.user_id)
            .commit()?;
        self.store.flushed().await?;
        tracing::info!(rid = %portal.rid, room = %portal.room_id, "a direct message is mirrored");
        Ok(Some(portal))
    }

    /// Makes sure, before a message, that the Matrix user of a direct message is
    /// there or invited: at the beginning, and after they left.
    pub(super) async fn bring_person_in(
        &self,
        portal: &Portal,
        ghost: &Ghost,
    ) -> Result<(), Failure> {
        let PortalKind::Direct { matrix_user, .. } = &portal.kind else {
            return Ok(());
        };
        if self.persons_in().contains(&portal.room_id) {
            return Ok(());
        }
        let intent = self.as_ghost(ghost);
        let member = intent
            .state(&portal.room_id, "m.room.member", matrix_user.as_str())
            .await?;
        let membership = member
            .as_ref()
            .and_then(|member| member.get("membership"))
            .and_then(Value::as_str);
        if !matches!(membership, Some("join" | "invite")) {
            match intent.invite_direct(&portal.room_id, matrix_user).await {
                Ok(()) => tracing::debug!(room = %portal.room_id, "invited to a direct message"),
                // They want no invitations, or have banned the ghost: what is said
                // waits in the room.
                Err(error) if matches!(error.advice(), Advice::GiveUp) => {
                    tracing::warn!(room = %portal.room_id, %error, "cannot be invited");
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.persons_in().insert(portal.room_id.clone());
        Ok(())
    }

    /// Somebody left a room: whether that was the person of a direct message is
    /// looked at before the next message.
    pub(super) fn person_left(&self, room: &RoomId) {
        self.persons_in().remove(room);
    }

    fn persons_in(&self) -> MutexGuard<'_, HashSet<OwnedRoomId>> {
        self.persons_in
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The Matrix user and the Rocket.Chat user of a direct message between a
    /// puppet and somebody else.
    pub(super) fn two_of(
        &self,
        room: &Room,
    ) -> Result<Option<(ruma::OwnedUserId, crate::rocketchat::RocketUserId)>, Failure> {
        let [one, other] = room.uids.as_slice() else {
            return Ok(None);
        };
        Ok(
            match (
                self.store.behind_puppet(one)?,
                self.store.behind_puppet(other)?,
            ) {
                (Some(user), None) => Some((user, other.clone())),
                (None, Some(user)) => Some((user, one.clone())),
                _ => None,
            },
        )
    }
}

/// The id that Rocket.Chat gives the direct message of two people.
pub(super) fn direct_id(one: &RocketUserId, other: &RocketUserId) -> RocketRoomId {
    let mut both = [one.as_str(), other.as_str()];
    both.sort_unstable();
    RocketRoomId::new(both.concat())
}

/// Leaves a room, or declines the invitation, with a reason that the inviter sees.
async fn decline(ghost: &Intent, room: &RoomId, why: &str) -> Result<(), Failure> {
    match ghost.leave(room, Some(why)).await {
        // Not there, or not any more.
        Err(error) if error.is_forbidden() || error.is_not_found() => Ok(()),
        outcome => Ok(outcome?),
    }
}
