//! Comparing everything: after each connection to Rocket.Chat, and now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ruma::OwnedUserId;
use ruma::events::room::member::MembershipState;

use super::{Look, Why, room_type};
use crate::bridge::{Bridge, Failure};
use crate::rocketchat::RocketUserId;
use crate::store::{Portal, PortalId, PortalKind};

/// How long between two rounds.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(15 * 60);

/// How long between two rooms: both servers have their people to serve.
const BETWEEN_ROOMS: Duration = Duration::from_millis(100);

impl Bridge {
    /// Compares the members of all portals soon.
    pub(in crate::bridge) fn compare_all_members(&self) {
        self.forget_permissions();
        self.members.round.notify_one();
    }

    /// Compares everything when it is time, for ever.
    pub(super) async fn go_round_members(self: Arc<Self>) {
        // Not before there is a connection.
        self.members.round.notified().await;
        loop {
            for portal in self.store.portals() {
                if room_type(&portal).is_some() {
                    self.members.looks.add_in_turn(Look::Room(portal.id));
                }
            }
            let _ = tokio::time::timeout(BETWEEN_ROUNDS, self.members.round.notified()).await;
        }
    }

    /// Looks at rooms, one after the other, for as long as the bridge runs.
    pub(super) async fn look_at_rooms(self: Arc<Self>) {
        loop {
            let look = self.members.looks.next().await;
            let bridge = Arc::clone(&self);
            let next = look.clone();
            // In a task of its own: a panic must not end the worker.
            let looked = tokio::spawn(async move {
                let done = match &next {
                    Look::Room(id) => bridge.compare_members_of(id).await,
                    Look::Rights(id) => bridge.persevere(|_| bridge.compare_rights(id)).await,
                };
                if let Err(failure) = done {
                    tracing::warn!(?next, %failure, "members cannot be compared now");
                }
            });
            if looked.await.is_err() {
                tracing::error!(?look, "a look at members ended unexpectedly");
            }
            self.members.looks.done(&look);
            tokio::time::sleep(BETWEEN_ROOMS).await;
        }
    }

    async fn compare_rights(&self, id: &PortalId) -> Result<(), Failure> {
        match self.store.portal(id)? {
            Some(portal) => self.agree_on_rights(&portal).await,
            None => Ok(()),
        }
    }

    /// Makes the members and rights of a portal the same on both sides: in a small room
    /// of everybody, in a big one of those who are in the Matrix room.
    async fn compare_members_of(&self, id: &PortalId) -> Result<(), Failure> {
        let Some(portal) = self.store.portal(id)? else {
            return Ok(());
        };
        let rid = &portal.rid;
        let Some(kind) = room_type(&portal) else {
            return Ok(());
        };
        let seen = self
            .persevere(async |_| {
                let rocket = self.rocket().await;
                let room = match rocket.bot.room_info(rid).await {
                    Ok(Some(room)) => room,
                    Ok(None) => return Ok(None),
                    // Nothing changes in it, or the bridge's account is not in it.
                    Err(error)
                        if error.is_denied() || error.code() == Some("error-room-archived") =>
                    {
                        return Ok(None);
                    }
                    Err(error) => return Err(error.into()),
                };
                self.note_size(&portal, room.users_count);
                let there = rocket.bot.room_members(rid, &kind).await?;
                let here = self.matrix.bot().members(&portal.room_id).await?;
                Ok(Some((there, here)))
            })
            .await?;
        let Some((there, here)) = seen else {
            return Ok(());
        };
        let is_small = self.persevere(|_| self.is_small(&portal)).await?;
        let bot = self.rocket().await.bot.user_id().clone();
        let there: BTreeSet<RocketUserId> = there
            .into_iter()
            .filter(|member| !member.federated && member.id != bot)
            .map(|member| member.id)
            .collect();
        let here: BTreeMap<OwnedUserId, MembershipState> = here.into_iter().collect();
        for id in &there {
            if self.store.behind_puppet(id)?.is_none()
                && self.ghost_is_amiss(&portal, id, &here, is_small)?
            {
                self.persevere(|_| self.settle_ghost(&portal, id, Why::Look))
                    .await?;
            }
        }
        for (user, membership) in &here {
            if !self.config.is_ghost(user)
                || !matches!(membership, MembershipState::Join | MembershipState::Invite)
            {
                continue;
            }
            let Some(ghost) = self.store.ghost_by_localpart(user.localpart())? else {
                continue;
            };
            let id = &ghost.rocket_id;
            // Anybody may have spoken in a public channel.
            let was_member = self.store.standing(&portal.id, id)?.is_member;
            if !there.contains(id) && (was_member || portal.kind == PortalKind::Group) {
                self.persevere(|_| self.settle_ghost(&portal, id, Why::Look))
                    .await?;
            }
        }
        self.compare_puppets(&portal, &there, &here).await?;
        self.persevere(|_| self.agree_on_rights(&portal)).await
    }

    /// Whether a member on Rocket.Chat has another place on Matrix than they should.
    fn ghost_is_amiss(
        &self,
        portal: &Portal,
        id: &RocketUserId,
        here: &BTreeMap<OwnedUserId, MembershipState>,
        is_small: bool,
    ) -> Result<bool, Failure> {
        let Some(ghost) = self.store.ghost(id)? else {
            return Ok(is_small);
        };
        let was_in = self
            .store
            .is_ghost_in_room(&portal.room_id, &ghost.user_id)?;
        let is_noted = self.store.standing(&portal.id, id)?.is_member;
        Ok(match here.get(&ghost.user_id) {
            Some(MembershipState::Join) => !is_noted,
            Some(MembershipState::Ban) => true,
            _ => is_small || was_in,
        })
    }

    async fn compare_puppets(
        &self,
        portal: &Portal,
        there: &BTreeSet<RocketUserId>,
        here: &BTreeMap<OwnedUserId, MembershipState>,
    ) -> Result<(), Failure> {
        let noted: BTreeSet<OwnedUserId> = self
            .store
            .puppets_in_room(&portal.id, usize::MAX)?
            .into_iter()
            .collect();
        let mut users = noted.clone();
        for id in there {
            users.extend(self.store.behind_puppet(id)?);
        }
        let is_private = self.is_private(portal)?;
        for (user, membership) in here {
            if *membership == MembershipState::Join
                && !self.config.is_ours(user)
                && (is_private || self.store.puppet(user)?.is_some())
            {
                users.insert(user.clone());
            }
        }
        for user in users {
            let puppet = self.store.puppet(&user)?;
            let is_there = puppet.is_some_and(|puppet| there.contains(&puppet.credentials.user_id));
            let is_here = matches!(
                here.get(&user),
                Some(MembershipState::Join | MembershipState::Invite)
            );
            let is_noted = noted.contains(&user);
            if is_there == is_here
                && is_here == is_noted
                && !self.has_two_faces(&user, there, here)?
            {
                continue;
            }
            // There because of another room of the channel.
            let id = &portal.id;
            if is_there
                && !is_here
                && !is_noted
                && (self.store.is_puppet_held_in(&portal.rid, Some(id), &user)?
                    || self.store.is_puppet_leaving(portal, &user)?)
            {
                continue;
            }
            // The bridge's account speaks for them: nobody is to be there.
            if is_here
                && !is_there
                && !is_noted
                && self.is_relayed(portal, &user)?
                && (!is_private || self.store.is_admitted(&portal.id, &user)?)
            {
                self.persevere(|_| self.tell_of_relay(portal, &user))
                    .await?;
                continue;
            }
            self.persevere(|_| self.settle_puppet(portal, &user, Why::Look))
                .await?;
        }
        Ok(())
    }
}
