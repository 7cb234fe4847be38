//! Nobody is in a room twice: where a linked person's own account is on Rocket.Chat, their
//! puppet leaves, and where the bridge speaks as their own Matrix user, their ghost does.
//!
//! What is noted of who is in a room is noted of an account (see
//! [`crate::store::Store::is_puppet_in_room`]). So a link, and its end, need no list of rooms
//! to work through: the round over all members finds what is not as it should be, also after
//! a kill, and whoever speaks before is brought in first.

use std::collections::{BTreeMap, BTreeSet};

use ruma::events::room::member::MembershipState;
use ruma::{OwnedUserId, UserId};

use super::locked;
use crate::bridge::membership::authors::replaced;
use crate::bridge::membership::{Seat, Why, room_type};
use crate::bridge::{Bridge, Failure};
use crate::matrix::TimelineEvent;
use crate::rocketchat::RocketUserId;
use crate::rocketchat::documents::RoomType;
use crate::store::{Link, Portal, PortalKind, Puppet, StoreError};

impl Bridge {
    /// Another account acts for somebody from now on: rooms are looked at, those first in
    /// which they are.
    pub(super) fn accounts_changed(&self, link: &Link) {
        let user = &link.matrix_id;
        locked(&self.linking.granted).remove(user);
        locked(&self.linking.present).retain(|(_, of)| of != user);
        locked(&self.linking.unfit).retain(|(_, of)| of != user);
        for portal in self.store.portals() {
            if matches!(self.store.has_puppet_note(&portal.id, user), Ok(true))
                || matches!(self.store.is_admitted(&portal.id, user), Ok(true))
            {
                self.compare_members(&portal.id);
            }
        }
        self.compare_all_members();
        self.direct_rooms_changed();
    }

    /// The private rooms in which a linked person is by their own account.
    pub(super) fn closed_rooms_of(&self, link: &Link) -> Result<Vec<Portal>, StoreError> {
        let mut rooms = Vec::new();
        // One without a token stood for nobody yet.
        if link.token.is_none() {
            return Ok(rooms);
        }
        for portal in self.store.portals() {
            if room_type(&portal).is_some()
                && self.is_private(&portal)?
                && self.store.is_puppet_in_room(&portal.id, &link.matrix_id)?
            {
                rooms.push(portal);
            }
        }
        Ok(rooms)
    }

    /// What the account of a link that has ended does for its person in private rooms, with its
    /// own rights: it lets their puppet in where there is one that speaks there, and else they
    /// are there by right from now on, though no account of theirs is seen. Where it may not add
    /// people, whoever was there by right before that link still is; who invited them on Matrix
    /// may let them in later, or they have to go: a link, which anybody with an account can make
    /// and end, invites nobody.
    pub(super) async fn leave_in_rooms(
        &self,
        own: &Puppet,
        rooms: &[Portal],
    ) -> Result<(), Failure> {
        let user = &own.matrix_id;
        let made = self.store.made_puppet(user)?;
        let session = self.rocket().await.client.session(own.credentials.clone());
        for portal in rooms {
            if self.store.is_admitted(&portal.id, user)? {
                continue;
            }
            match &made {
                Some(made) if !self.is_relayed(portal, user)? => {
                    let kind = room_type(portal).unwrap_or_default();
                    let id = &made.credentials.user_id;
                    match session.invite(&portal.rid, &kind, id).await {
                        Ok(()) => {}
                        Err(error) => {
                            let failure = Failure::from(error);
                            if !failure.is_permanent() {
                                return Err(failure);
                            }
                            tracing::info!(rid = %portal.rid, %user, %failure, "their account cannot let their puppet in");
                        }
                    }
                }
                _ => {
                    if self.may_invite(portal, &own.credentials.user_id).await? {
                        let change = self.store.change();
                        change.admitted(&portal.id, user).commit()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether somebody's own Matrix user is to follow what their account does, or the
    /// other way, now that it is in a room in which they are not on Matrix.
    pub(in crate::bridge) async fn follows_there(
        &self,
        portal: &Portal,
        user: &UserId,
        seat: &Seat,
        was_member: bool,
        why: Why<'_>,
    ) -> Result<bool, Failure> {
        let Some(event) = &seat.event else {
            // Never there: they come.
            return Ok(true);
        };
        if !was_member {
            // Who has left on Matrix, and then came on Rocket.Chat, comes back; and who has
            // linked an account that is there since the bridge put them out for want of one.
            let link = self.store.linked_user(user)?;
            let is_since = link.is_some_and(|link| {
                i64::try_from(event.origin_server_ts).is_ok_and(|left| left < link.since)
            });
            let is_back = matches!(why, Why::News { .. });
            return Ok(is_back || (is_since && self.was_put_out(seat)));
        }
        // Who declines an invitation stays where they are there, and their ghost speaks.
        // Where it cannot be found out they stay as well.
        let bot = self.matrix.bot();
        let found = bot.event(&portal.room_id, &event.event_id).await?;
        let before = match found.as_ref().and_then(replaced) {
            Some(before) => bot.event(&portal.room_id, &before).await?,
            None => None,
        };
        let before = before.as_ref().and_then(|before| {
            let membership = before.content.get("membership")?;
            membership.as_str()
        });
        if before != Some("join") {
            return Ok(false);
        }
        match seat.by_another() {
            Some(_) => Ok(true),
            None => self.leaves_there(portal, &user.to_owned(), &event.event_id),
        }
    }

    /// Somebody was invited because their account is in the room on Rocket.Chat: a linked
    /// person comes at once, where that is granted.
    pub(in crate::bridge) async fn come_if_granted(
        &self,
        portal: &Portal,
        user: &UserId,
    ) -> Result<(), Failure> {
        let puppet = self.puppet_of(user).await?;
        if puppet.own && self.may_act_as(user).await? {
            match self.acting(user).join(&portal.room_id, None).await {
                Ok(()) => self.forget_presence(&portal.room_id, user),
                // The invitation stands.
                Err(error) if error.is_forbidden() => {
                    tracing::info!(room = %portal.room_id, %user, %error, "they have to come themselves");
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.note_puppet_in(portal, &puppet)
    }

    /// A linked person, whose puppet is in a private group, comes there themselves, if the
    /// puppet may let them in. Whether they have come.
    pub(in crate::bridge) async fn admit_as_themselves(
        &self,
        portal: &Portal,
        own: &Puppet,
    ) -> Result<bool, Failure> {
        if !own.own {
            return Ok(false);
        }
        let Some(made) = self.store.made_puppet(&own.matrix_id)? else {
            return Ok(false);
        };
        if !self.is_member(portal, &made.credentials.user_id).await? {
            return Ok(false);
        }
        let (rid, id) = (&portal.rid, &own.credentials.user_id);
        let invited = self
            .as_puppet(&made, |session| async move {
                session.invite(rid, &RoomType::Group, id).await
            })
            .await;
        match invited {
            Ok(()) => Ok(true),
            Err(failure) if failure.is_permanent() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// The puppet of a linked person, where it goes on for them: in a private group that
    /// their own account is not in, and that it may not let it into. They are told once.
    pub(in crate::bridge) async fn goes_on_as_puppet(
        &self,
        portal: &Portal,
        own: &Puppet,
    ) -> Result<Option<Puppet>, Failure> {
        let user = &own.matrix_id;
        if !own.own || !self.store.is_made_puppet_in_room(&portal.id, user)? {
            return Ok(None);
        }
        if self.admit_as_themselves(portal, own).await? {
            return Ok(None);
        }
        let Some(made) = self.store.made_puppet(user)? else {
            return Ok(None);
        };
        let instead = format!("{} speaks", made.username);
        self.tell_of_stand_in(portal, user, &instead).await?;
        Ok(Some(made))
    }

    /// Says to a linked person for whom the bridge's account speaks in a room, once, why.
    pub(in crate::bridge) async fn tell_of_relay(
        &self,
        portal: &Portal,
        user: &UserId,
    ) -> Result<(), Failure> {
        match self.speaks_as_before(portal, user)? {
            true => {
                self.tell_of_stand_in(portal, user, "the bridge's account speaks")
                    .await
            }
            false => Ok(()),
        }
    }

    /// Says to a linked person, once for each room and link, that their own account is not in
    /// a private room and what speaks for them instead.
    async fn tell_of_stand_in(
        &self,
        portal: &Portal,
        user: &UserId,
        instead: &str,
    ) -> Result<(), Failure> {
        let Some(link) = self.store.linked_user(user)? else {
            return Ok(());
        };
        let known = self.store.room_rights(&portal.id)?;
        if known.told_outside.get(user) == Some(&link.proof) {
            return Ok(());
        }
        let kind = match portal.kind {
            PortalKind::Group => "private group",
            _ => "private channel",
        };
        let text = format!(
            "In the {kind} {} your account {} on Rocket.Chat is no member, and only somebody there can add it: until then {instead} for you in it.",
            portal.name, link.username
        );
        match self.tell_on_matrix(&link, portal.id.as_str(), &text).await {
            Err(failure) if failure.is_permanent() => {
                tracing::warn!(%user, %failure, "somebody could not be told about a room");
            }
            told => told?,
        }
        Ok(self.store.amend_room_rights(&portal.id, |rights| {
            rights
                .told_outside
                .insert(user.to_owned(), link.proof.clone());
        })?)
    }

    /// Somebody on Matrix has removed a linked person, and Rocket.Chat refuses to: they come
    /// back, and whoever did it is told.
    pub(in crate::bridge) async fn bring_back(
        &self,
        portal: &Portal,
        own: &Puppet,
        event: &TimelineEvent,
        why: &str,
    ) -> Result<(), Failure> {
        let (bot, room, user) = (self.matrix.bot(), &portal.room_id, &own.matrix_id);
        let membership = event.content.get("membership");
        if membership.and_then(|membership| membership.as_str()) == Some("ban") {
            match bot.unban(room, user, Some(why)).await {
                Err(error) if error.is_forbidden() => {}
                outcome => outcome?,
            }
        }
        match bot.invite(room, user, None).await {
            Ok(()) => self.come_if_granted(portal, user).await?,
            Err(error) if error.is_forbidden() => {
                tracing::warn!(%room, %user, %error, "they cannot be brought back");
            }
            Err(error) => return Err(error.into()),
        }
        let text = format!(
            "{user} stays in this room, since they could not be removed on Rocket.Chat. {why}"
        );
        self.say(&bot, room, &event.event_id, "removal", &text)
            .await
    }

    /// Whether a linked person is in a room in two ways.
    pub(in crate::bridge) fn has_two_faces(
        &self,
        user: &UserId,
        there: &BTreeSet<RocketUserId>,
        here: &BTreeMap<OwnedUserId, MembershipState>,
    ) -> Result<bool, Failure> {
        let Some(link) = self.store.linked_user(user)? else {
            return Ok(false);
        };
        let made = self.store.made_puppet(user)?;
        let has_puppet = made.is_some_and(|made| there.contains(&made.credentials.user_id));
        let ghost = self.store.ghost(&link.rocket_id)?;
        let has_ghost =
            ghost.is_some_and(|ghost| here.get(&ghost.user_id) == Some(&MembershipState::Join));
        Ok(has_puppet || has_ghost)
    }

    /// The puppet of a linked person leaves where they are themselves, and the ghost where
    /// the bridge speaks as their own user, or where they are no more.
    pub(in crate::bridge) async fn leave_to_themselves(
        &self,
        portal: &Portal,
        user: &UserId,
    ) -> Result<(), Failure> {
        let Some(link) = self.store.linked_user(user)? else {
            return Ok(());
        };
        let Some(kind) = room_type(portal) else {
            return Ok(());
        };
        let is_there = self.is_member(portal, &link.rocket_id).await?;
        if is_there
            && let Some(made) = self.store.made_puppet(user)?
            && self.is_member(portal, &made.credentials.user_id).await?
        {
            // By right they were there before, and are when the link ends.
            if self.is_private(portal)? {
                let change = self.store.change();
                change.admitted(&portal.id, user).commit()?;
            }
            let (rid, kind) = (&portal.rid, &kind);
            let left = self
                .as_puppet(
                    &made,
                    |session| async move { session.leave(rid, kind).await },
                )
                .await;
            match left {
                // The last owner, say.
                Err(failure) if failure.is_permanent() => {
                    tracing::info!(%rid, %user, %failure, "the puppet of a linked person stays in a room");
                }
                outcome => outcome?,
            }
        }
        let Some(ghost) = self.store.ghost(&link.rocket_id)? else {
            return Ok(());
        };
        if !self
            .store
            .is_ghost_in_room(&portal.room_id, &ghost.user_id)?
            || (is_there
                && !self.speaks_as_themselves(portal, user).await?
                && !self.is_linked_and_banned(portal, &link.rocket_id).await?)
        {
            return Ok(());
        }
        match self.as_ghost(&ghost).leave(&portal.room_id, None).await {
            Err(error) if error.is_forbidden() || error.is_not_found() => {}
            outcome => outcome?,
        }
        self.store
            .amend_standing(&portal.id, &link.rocket_id, |standing| {
                standing.is_member = false;
            })?;
        Ok(self
            .store
            .change()
            .ghost_not_in_room(&portal.room_id, &ghost.user_id)
            .commit()?)
    }
}
