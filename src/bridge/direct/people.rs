//! Who is in a direct message, and whether they are there.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};

use ruma::events::room::member::MembershipState;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::Value;

use crate::bridge::{Bridge, Failure};
use crate::matrix::Intent;
use crate::retry::{Advice, Retryable as _};
use crate::rocketchat;
use crate::rocketchat::documents::{Room, UserRef};
use crate::rocketchat::rest::{OutgoingMessage, Session};
use crate::store::{Ghost, InboxEvent, Portal, PortalKind, StoreError};

/// Who is in a Matrix room, or invited there: who is invited reads along as soon as
/// they like.
#[derive(Debug, Default)]
pub(super) struct Present {
    /// People of Matrix.
    pub users: Vec<OwnedUserId>,
    /// Those of them who are only invited.
    pub invited: HashSet<OwnedUserId>,
    /// Ghosts, whomever they stand for.
    pub ghosts: Vec<OwnedUserId>,
    /// The bridge's own user.
    pub bot: bool,
}

impl Bridge {
    /// The ghost with that Matrix id, if somebody on Rocket.Chat stands behind it to whom
    /// one can write; otherwise why not.
    pub(super) async fn ghost_to_be(
        &self,
        ghost_id: &UserId,
    ) -> Result<Result<Ghost, String>, Failure> {
        let Some(person) = self.person_behind(ghost_id).await? else {
            return Ok(Err(self.why_nobody(ghost_id).await?.into()));
        };
        if person.username.is_none() {
            return Ok(Err("This person on Rocket.Chat has no user name.".into()));
        }
        let ghost = self.ghost_of(&UserRef::from(&person)).await?;
        if ghost.user_id != *ghost_id {
            return Ok(Err(format!("This person is {} here.", ghost.user_id)));
        }
        Ok(Ok(ghost))
    }

    /// Who is in a room, as a user of ours sees it who is there.
    pub(super) async fn present(&self, intent: &Intent, room: &RoomId) -> Result<Present, Failure> {
        let mut present = Present::default();
        for (member, membership) in intent.members(room).await? {
            if !matches!(membership, MembershipState::Join | MembershipState::Invite) {
                continue;
            }
            if member == self.config.appservice.bot {
                present.bot = true;
            } else if self.config.is_ghost(&member) {
                present.ghosts.push(member);
            } else {
                if membership == MembershipState::Invite {
                    present.invited.insert(member.clone());
                }
                present.users.push(member);
            }
        }
        // However the homeserver orders them.
        present.users.sort();
        present.ghosts.sort();
        Ok(present)
    }

    /// Whether there is somebody on Matrix whom another has invited. Who has an account
    /// on Rocket.Chat, or a homeserver that does not tell, counts as being there.
    pub(super) async fn is_somebody(&self, user: &UserId) -> Result<bool, Failure> {
        if self.store.puppet(user)?.is_some() {
            return Ok(true);
        }
        match self.matrix.bot().has_profile(user).await {
            Ok(is_there) => Ok(is_there),
            Err(error) if error.status().is_some() => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether some of these have no account on Rocket.Chat yet.
    pub(super) fn are_strangers_among(&self, users: &[OwnedUserId]) -> Result<bool, StoreError> {
        for user in users {
            if self.store.puppet(user)?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether somebody is one of the people of a direct message.
    pub(in crate::bridge) fn is_of_direct(
        &self,
        portal: &Portal,
        member: &UserId,
    ) -> Result<bool, StoreError> {
        if !self.config.is_ghost(member) {
            return Ok(portal.kind.direct_users().any(|user| user == member));
        }
        let ghost = self.store.ghost_by_localpart(member.localpart())?;
        Ok(ghost.is_some_and(|ghost| {
            ghost.user_id == member
                && (portal.kind.direct_peers()).any(|peer| *peer == ghost.rocket_id)
        }))
    }

    /// The people of a direct message of Rocket.Chat between puppets and others. None
    /// when there are none of one kind. Who has linked their account is of Matrix where no
    /// puppet is: with one they write as people of Rocket.Chat do. Nobody writes to
    /// themselves.
    pub(in crate::bridge) async fn direct_people(
        &self,
        room: &Room,
    ) -> Result<Option<PortalKind>, Failure> {
        let bot = self.rocket().await.bot.user_id().clone();
        let (mut users, mut peers) = (Vec::new(), Vec::new());
        for id in &room.uids {
            match self.store.behind_made_puppet(id)? {
                Some(user) => users.push(user),
                // Whom it stands for on Matrix is in no direct message.
                None if *id == bot => {}
                None => peers.push(id.clone()),
            }
        }
        let mut others = Vec::with_capacity(peers.len());
        let is_among_puppets = !users.is_empty();
        for peer in peers {
            match self.store.linked(&peer)? {
                Some(link) if users.contains(&link.matrix_id) => {}
                Some(link) if !is_among_puppets => users.push(link.matrix_id),
                _ => others.push(peer),
            }
        }
        Ok(PortalKind::direct(users, others))
    }

    /// Does something as one of the puppets of a direct message, the first that may: one
    /// of them may have been switched off.
    pub(in crate::bridge) async fn as_one_of<T, F, Fut>(
        &self,
        portal: &Portal,
        act: F,
    ) -> Result<T, Failure>
    where
        F: Fn(Session) -> Fut,
        Fut: Future<Output = Result<T, rocketchat::Error>>,
    {
        let mut refused = None;
        for user in portal.kind.direct_users() {
            let outcome = match self.puppet_in(portal, user).await {
                Ok(puppet) => self.as_puppet(&puppet, &act).await,
                Err(failure) => Err(failure),
            };
            match outcome {
                Err(failure) if is_about_puppet(&failure) => refused = Some(failure),
                outcome => return outcome,
            }
        }
        Err(refused.unwrap_or_else(|| Failure::Refused("Nobody of the bridge is there.".into())))
    }

    /// Makes sure, before a message, that the Matrix users of a direct message are there
    /// or invited: at the beginning, and the only one also after they left. Of several
    /// who left stays away while others are there.
    pub(in crate::bridge) async fn bring_person_in(
        &self,
        portal: &Portal,
        ghost: &Ghost,
    ) -> Result<(), Failure> {
        if !portal.kind.is_direct() || self.persons_in().contains(&portal.room_id) {
            return Ok(());
        }
        let intent = self.as_ghost(ghost);
        let (mut strangers, mut gone) = (Vec::new(), Vec::new());
        let mut is_anybody_there = false;
        for user in portal.kind.direct_users() {
            match membership_of(&intent, &portal.room_id, user)
                .await?
                .as_deref()
            {
                Some("join" | "invite") => is_anybody_there = true,
                None => strangers.push(user),
                Some(_) => gone.push(user),
            }
        }
        if is_anybody_there {
            gone.clear();
        }
        for user in strangers.into_iter().chain(gone) {
            self.ask_in(&intent, &portal.room_id, user).await?;
        }
        self.persons_in().insert(portal.room_id.clone());
        Ok(())
    }

    async fn ask_in(&self, intent: &Intent, room: &RoomId, user: &UserId) -> Result<(), Failure> {
        match intent.invite_direct(room, user).await {
            Ok(()) => tracing::debug!(%room, "invited to a direct message"),
            // They want no invitations, or have banned the ghost: what is said waits in
            // the room.
            Err(error) if matches!(error.advice(), Advice::GiveUp) => {
                tracing::warn!(%room, %error, "cannot be invited");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Invites somebody who asked for it, if they are not there.
    pub(super) async fn invite_back(&self, portal: &Portal, user: &UserId) -> Result<(), Failure> {
        let intent = self.reader(portal).await?;
        match membership_of(&intent, &portal.room_id, user)
            .await?
            .as_deref()
        {
            Some("join" | "invite") => Ok(()),
            _ => Ok(intent.invite_direct(&portal.room_id, user).await?),
        }
    }

    /// Somebody left a room: whether that was the person of a direct message is
    /// looked at before the next message.
    pub(in crate::bridge) fn person_left(&self, room: &RoomId) {
        self.persons_in().remove(room);
    }

    /// A person of Matrix left a direct message, or was removed. On Rocket.Chat nobody
    /// can leave one: where others stay, these are told.
    pub(in crate::bridge) async fn on_direct_left(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        member: &UserId,
    ) -> Result<(), Failure> {
        if !portal.kind.has_several() || !self.is_of_direct(portal, member)? {
            return Ok(());
        }
        let intent = self.reader(portal).await?;
        let mut stays_somebody = false;
        for user in portal.kind.direct_users() {
            let membership = membership_of(&intent, &portal.room_id, user).await?;
            stays_somebody |= matches!(membership.as_deref(), Some("join" | "invite"));
            if user == member && matches!(membership.as_deref(), Some("join" | "invite")) {
                // Back already.
                return Ok(());
            }
        }
        if !stays_somebody {
            return Ok(());
        }
        let puppet = self.puppet_in(portal, member).await?;
        // They read it there.
        if puppet.own {
            return Ok(());
        }
        let id = self.message_id(&event.event_id, 0, 0);
        let text = "I am no longer in this conversation on Matrix: what is written here does not \
                    reach me.";
        let (id, rid) = (&id, &portal.rid);
        let told = self
            .as_puppet(&puppet, |session| async move {
                let message = OutgoingMessage {
                    id,
                    rid,
                    msg: text,
                    tmid: None,
                    alias: None,
                    avatar: None,
                    emoji: None,
                };
                session.send_message(&message).await
            })
            .await;
        match told {
            Err(failure) if failure.is_permanent() => {
                tracing::warn!(rid = %portal.rid, %failure, "nobody could be told who left");
                Ok(())
            }
            outcome => outcome.map(drop),
        }
    }

    /// Whether these are all of the bridge's own homeserver. Others would not be given what
    /// was said between their invitation and their coming, where a room shows nobody what
    /// was said before.
    pub(super) fn are_local<'a>(&self, users: impl IntoIterator<Item = &'a OwnedUserId>) -> bool {
        let own = &self.config.homeserver.server_name;
        users.into_iter().all(|user| user.server_name() == own)
    }

    fn persons_in(&self) -> MutexGuard<'_, HashSet<OwnedRoomId>> {
        self.persons_in
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody's membership of a room, if they ever had one.
pub(super) async fn membership_of(
    intent: &Intent,
    room: &RoomId,
    user: &UserId,
) -> Result<Option<String>, Failure> {
    let member = intent.state(room, "m.room.member", user.as_str()).await?;
    let membership = member.as_ref().and_then(|member| member.get("membership"));
    Ok(membership.and_then(Value::as_str).map(str::to_owned))
}

/// Whether a failure may be this puppet's alone.
fn is_about_puppet(failure: &Failure) -> bool {
    match failure {
        Failure::RocketChat(rocketchat::Error::Unauthorized { .. }) => true,
        Failure::RocketChat(_) | Failure::Refused(_) => failure.is_permanent(),
        _ => false,
    }
}
