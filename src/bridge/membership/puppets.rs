//! People of Matrix and their puppets: in the room on Rocket.Chat is who is in the Matrix
//! room, as far as Rocket.Chat lets them.

use ruma::UserId;

use super::{Look, Seat, Why};
use crate::bridge::{Bridge, Failure, derived};
use crate::rocketchat::documents::UserRef;
use crate::rocketchat::rest::OutgoingMessage;
use crate::rocketchat::{RocketMessageId, RocketUserId};
use crate::store::{Portal, PortalKind, Puppet};

impl Bridge {
    /// Makes it the same on both sides whether a Matrix user is in a portal. What they
    /// did on Matrix and Rocket.Chat refuses is taken back; who was removed or added on
    /// Rocket.Chat is removed or invited here.
    pub(in crate::bridge) async fn settle_puppet(
        &self,
        portal: &Portal,
        user: &UserId,
        why: Why<'_>,
    ) -> Result<(), Failure> {
        let key = (portal.rid.clone(), user.as_str().to_owned());
        let _alone = self.members.settling.lock(&key).await;
        self.forget_presence(&portal.room_id, user);
        self.settle_account(portal, user, why).await?;
        self.leave_to_themselves(portal, user).await
    }

    /// As [`Bridge::settle_puppet`], of the account that acts for them.
    async fn settle_account(
        &self,
        portal: &Portal,
        user: &UserId,
        why: Why<'_>,
    ) -> Result<(), Failure> {
        let mut seat = self.seat(portal, user).await?;
        let mut puppet = self.store.puppet(user)?;
        let mut is_member = match &puppet {
            Some(puppet) => self.is_member(portal, &puppet.credentials.user_id).await?,
            None => false,
        };
        let mut was_member = self.store.is_puppet_in_room(&portal.id, user)?;
        if !is_member
            && portal.kind == PortalKind::Group
            && let Some(own) = &puppet
            && let Some(made) = self.goes_on_as_puppet(portal, own).await?
        {
            is_member = self.is_member(portal, &made.credentials.user_id).await?;
            was_member = true;
            puppet = Some(made);
        }
        if let Some(puppet) = &puppet {
            self.tell_of_banned(portal, puppet, &seat, why).await?;
        }
        if !is_member && why.is_outdated() {
            return Ok(());
        }
        if was_member && seat.event.is_none() {
            match self.earlier_seat(portal, user).await? {
                Some(earlier) if matches!(earlier.membership(), "leave" | "ban") => seat = earlier,
                // They come when they follow the upgrade, which was not their doing.
                Some(_) if is_member => return Ok(()),
                _ => {}
            }
        }
        if is_member || seat.membership() != "join" {
            self.no_longer_along(portal, user)?;
        }
        let is_out = seat.event.is_some() && !matches!(seat.membership(), "join" | "invite");
        if is_member || is_out {
            self.no_longer_parted(portal, user)?;
        }
        if !(is_member && is_out) && self.store.leaving(&portal.id, user)?.is_some() {
            let change = self.store.change();
            change.not_leaving(&portal.id, user).commit()?;
        }

        if portal.plumbed
            && matches!(seat.membership(), "join" | "invite")
            && !is_member
            && was_member
        {
            let Some(puppet) = puppet else { return Ok(()) };
            return self.removed_from_plumbed(portal, &puppet, &seat, why).await;
        }
        match (seat.membership(), is_member, was_member) {
            ("join" | "invite", true, true) => self.no_longer_staying(
                portal,
                puppet.as_ref().map(|puppet| &puppet.credentials.user_id),
            ),
            ("join" | "invite", true, false) => match &puppet {
                Some(puppet) => self.note_puppet_in(portal, puppet),
                None => Ok(()),
            },
            ("join" | "invite", false, true) => {
                if !self.has_account(puppet.as_ref()).await? {
                    return Ok(());
                }
                let parting = puppet
                    .as_ref()
                    .and_then(|own| self.parting(portal, own, &seat));
                if let Some(parting) = parting {
                    // Perhaps they cannot be removed here.
                    parting.commit()?;
                }
                // While it cannot be done here it is not agreed.
                match self.put_out(portal, user, why.by()).await? {
                    true => {
                        self.no_longer_along(portal, user)?;
                        self.note_puppet_out(portal, user)
                    }
                    false => self.note_reading_along(portal, user, &seat).await,
                }
            }
            ("join", false, false) => match self.kept_parted(portal, user).await? {
                // They were told, or are when they write something.
                Some(_) => Ok(()),
                None => self.let_in(portal, user, &seat).await,
            },
            ("invite" | "knock", false, false) => Ok(()),
            (membership, true, was_member) => {
                let Some(puppet) = puppet else { return Ok(()) };
                // As long as another room of the channel has them they are there for that;
                // with one that ends they leave.
                if self.is_held_by_another(portal, user).await?
                    || self.store.is_puppet_leaving(portal, user)?
                {
                    self.note_puppet_out(portal, user)
                } else if puppet.own
                    && membership != "ban"
                    && !self
                        .follows_there(portal, user, &seat, was_member, why)
                        .await?
                {
                    Ok(())
                } else if membership != "ban" && (!was_member || self.was_put_out(&seat)) {
                    match self.invites(portal)? {
                        true => self.invite_person_here(portal, user, why).await,
                        false => Ok(()),
                    }
                } else {
                    self.take_puppet_out(portal, &puppet, &seat).await
                }
            }
            (_, false, _) => {
                self.note_puppet_out(portal, user)?;
                self.no_longer_staying(
                    portal,
                    puppet.as_ref().map(|puppet| &puppet.credentials.user_id),
                )
            }
        }
    }

    /// As [`Bridge::settle_puppet`], after somebody on Rocket.Chat has removed a puppet.
    pub(super) async fn settle_as(
        &self,
        portal: &Portal,
        user: &UserId,
        by: &UserRef,
    ) -> Result<(), Failure> {
        let why = Why::News {
            by: Some(by),
            message: &RocketMessageId::new(""),
            at: 0,
            came: false,
        };
        self.settle_puppet(portal, user, why).await
    }

    /// Whether somebody is in another Matrix room of the same channel.
    pub(in crate::bridge) async fn is_held_by_another(
        &self,
        portal: &Portal,
        user: &UserId,
    ) -> Result<bool, Failure> {
        for other in self.store.portals_of(&portal.rid)? {
            if other.id == portal.id {
                continue;
            }
            // The bot may have been put out of that room: its portal is about to end.
            let seat = match self.seat(&other, user).await {
                Err(Failure::Matrix(error)) if error.is_forbidden() || error.is_not_found() => {
                    continue;
                }
                outcome => outcome?,
            };
            let is_there = match other.plumbed {
                true => seat.membership() == "join",
                false => matches!(seat.membership(), "join" | "invite"),
            };
            if is_there {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether who is added on Rocket.Chat is invited to this of the room's portals: to
    /// one of them.
    fn invites(&self, portal: &Portal) -> Result<bool, Failure> {
        let first = self.store.portals_of(&portal.rid)?.into_iter().next();
        Ok(first.is_none_or(|first| first.id == portal.id))
    }

    /// Says that a puppet cannot be added whose Matrix user is kept out, if that was tried,
    /// to whoever did it. Where Rocket.Chat does not say who that was (6.x, in channels),
    /// the room is told.
    async fn tell_of_banned(
        &self,
        portal: &Portal,
        puppet: &Puppet,
        seat: &Seat,
        why: Why<'_>,
    ) -> Result<(), Failure> {
        let Why::News {
            by,
            message,
            at,
            came: true,
        } = why
        else {
            return Ok(());
        };
        let ban = seat.event.as_ref().filter(|_| seat.membership() == "ban");
        // They may have come before that.
        let is_since =
            ban.is_some_and(|ban| i64::try_from(ban.origin_server_ts).is_ok_and(|ban| ban < at));
        if !is_since {
            return Ok(());
        }
        let text = format!(
            "{} is banned from the room {} on Matrix and cannot be added to it.",
            puppet.username, portal.name
        );
        let id = derived::telling_id(message, "banned");
        let text = crate::convert::to_rocketchat::plain(&text);
        match by {
            Some(by) => self.tell_directly(&by.id, &id, &text).await,
            None => self.tell_room(portal, &id, &text).await,
        }
    }

    /// Says something in a room on Rocket.Chat as the bridge's account, once for each id.
    pub(in crate::bridge) async fn tell_room(
        &self,
        portal: &Portal,
        id: &RocketMessageId,
        text: &str,
    ) -> Result<(), Failure> {
        let message = OutgoingMessage {
            id,
            rid: &portal.rid,
            msg: text,
            tmid: None,
            alias: None,
            avatar: None,
            emoji: None,
        };
        let told = self.rocket().await.bot.send_message(&message).await;
        match told.map_err(Failure::from) {
            // It may not speak there.
            Err(failure) if failure.is_permanent() => {
                tracing::info!(rid = %portal.rid, %failure, "a room could not be told something");
                Ok(())
            }
            outcome => outcome.map(drop),
        }
    }

    /// Says once that somebody who has left the Matrix room is still in the room on
    /// Rocket.Chat. It is tried again when rights change there, and at each round.
    pub(super) async fn tell_staying(
        &self,
        portal: &Portal,
        puppet: &Puppet,
        seat: &Seat,
        failure: &Failure,
    ) -> Result<(), Failure> {
        let id = &puppet.credentials.user_id;
        let Some(event) = &seat.event else {
            return Ok(());
        };
        let known = self.store.room_rights(&portal.id)?;
        if known.staying.get(id) == Some(&event.event_id) {
            return Ok(());
        }
        let why = failure.person_text();
        let text = format!(
            "{} is still in this room on Rocket.Chat. {why}",
            puppet.matrix_id
        );
        let bot = self.matrix.bot();
        match self
            .say(&bot, &portal.room_id, &event.event_id, "staying", &text)
            .await
        {
            Err(failure) if failure.is_permanent() => {}
            outcome => outcome?,
        }
        let text = format!(
            "{} has left this room on Matrix, and is still in it here. {why}",
            puppet.username
        );
        let id = derived::telling_id_of_event(&event.event_id, "staying");
        let text = crate::convert::to_rocketchat::plain(&text);
        self.tell_room(portal, &id, &text).await?;
        Ok(self.store.amend_room_rights(&portal.id, |rights| {
            let staying = &mut rights.staying;
            staying.insert(puppet.credentials.user_id.clone(), event.event_id.clone());
        })?)
    }

    pub(super) fn no_longer_staying(
        &self,
        portal: &Portal,
        id: Option<&RocketUserId>,
    ) -> Result<(), Failure> {
        let Some(id) = id else { return Ok(()) };
        Ok(self.store.amend_room_rights(&portal.id, |rights| {
            rights.staying.remove(id);
        })?)
    }

    /// Somebody's membership of the room that a portal was in before, where they have not
    /// come into the one that follows it; none when the portal has not moved.
    async fn earlier_seat(&self, portal: &Portal, user: &UserId) -> Result<Option<Seat>, Failure> {
        let bot = self.matrix.bot();
        for room in self.earlier_rooms(portal).await? {
            let event = match bot.state_event(&room, "m.room.member", user.as_str()).await {
                // It cannot be told any more: nobody is removed for that.
                Err(error) if error.is_forbidden() => None,
                outcome => outcome?,
            };
            if event.is_some() {
                return Ok(Some(Seat { event }));
            }
        }
        Ok(None)
    }

    /// Whether a puppet's account is there: who lost it with that was not removed.
    pub(super) async fn has_account(&self, puppet: Option<&Puppet>) -> Result<bool, Failure> {
        let Some(puppet) = puppet else {
            return Ok(false);
        };
        let rocket = self.rocket().await;
        let account = rocket.bot.user_by_id(&puppet.credentials.user_id).await?;
        Ok(account.is_some())
    }

    pub(in crate::bridge) fn note_puppet_in(
        &self,
        portal: &Portal,
        puppet: &Puppet,
    ) -> Result<(), Failure> {
        let change = self.store.change();
        change.puppet_in_room(&portal.id, puppet).commit()?;
        self.no_longer_uninvited(portal, &puppet.matrix_id)?;
        // They may have rights on either side.
        self.members.looks.add(Look::Rights(portal.id.clone()));
        Ok(())
    }

    pub(super) fn note_puppet_out(&self, portal: &Portal, user: &UserId) -> Result<(), Failure> {
        let change = self.store.change();
        change.puppet_not_in_room(&portal.id, user).commit()?;
        self.no_longer_uninvited(portal, user)
    }

    /// Whether the bridge itself removed somebody from the Matrix room.
    pub(in crate::bridge) fn was_put_out(&self, seat: &Seat) -> bool {
        let by = seat.by_another();
        by.is_some_and(|event| self.config.is_ours(&event.sender))
    }
}
