//! People of Matrix and their puppets: in the room on Rocket.Chat is who is in the Matrix
//! room, as far as Rocket.Chat lets them.

use ruma::UserId;

use super::{Look, Seat, Why, refusal, room_type};
use crate::bridge::room_state::NEEDS_CODE;
use crate::bridge::voice::Voice;
use crate::bridge::{Bridge, Failure, derived};
use crate::retry::Retryable as _;
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
    async fn tell_staying(
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

    fn no_longer_staying(&self, portal: &Portal, id: Option<&RocketUserId>) -> Result<(), Failure> {
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

    /// Makes sure that a puppet is in a portal's room on Rocket.Chat, before it does
    /// something there.
    ///
    /// # Errors
    /// [`Failure::Refused`] for who was removed from the Matrix room, or whose own account
    /// is out of the room on Rocket.Chat; what Rocket.Chat says.
    pub(in crate::bridge) async fn bring_puppet_in(
        &self,
        portal: &Portal,
        puppet: &Puppet,
    ) -> Result<(), Failure> {
        let user = &puppet.matrix_id;
        self.must_not_be_parted(portal, user).await?;
        // Who is in a direct message is fixed.
        let is_in = match puppet.own {
            true => self.store.is_puppet_in_room(&portal.id, user)?,
            false => self.store.is_made_puppet_in_room(&portal.id, user)?,
        };
        if room_type(portal).is_none() || is_in {
            return Ok(());
        }
        let key = (portal.rid.clone(), user.as_str().to_owned());
        let _alone = self.members.settling.lock(&key).await;
        if self.store.is_puppet_in_room(&portal.id, user)? {
            return Ok(());
        }
        let seat = self.seat(portal, user).await?;
        // Who has left spoke before that.
        let was_removed = seat.membership() != "join" && seat.by_another().is_some();
        if was_removed {
            return Err(Failure::Refused(
                "You are not in this room any more.".into(),
            ));
        }
        self.admit_account(portal, puppet, &seat).await
    }

    /// A Matrix user has come into the room: their puppet follows, or they cannot stay,
    /// since what is said here they may not read there.
    async fn let_in(&self, portal: &Portal, user: &UserId, seat: &Seat) -> Result<(), Failure> {
        let why = match self.admit(portal, user, seat).await {
            Ok(()) => return Ok(()),
            Err(failure) => refusal(failure)?,
        };
        tracing::info!(rid = %portal.rid, %user, "Rocket.Chat does not let them in");
        // Who may be in a room that existed before is for its own people.
        let reason = format!("You cannot be in this room. {why}");
        if !portal.plumbed && self.kick_by_bot(portal, user, &reason).await? {
            return Ok(());
        }
        let Some(event) = &seat.event else {
            return Ok(());
        };
        let text = format!("{user} is not in this room on Rocket.Chat. {why}");
        self.say(
            &self.matrix.bot(),
            &portal.room_id,
            &event.event_id,
            "admission",
            &text,
        )
        .await
    }

    /// Brings a puppet in, with its own rights or those of who invited its user.
    pub(super) async fn admit(
        &self,
        portal: &Portal,
        user: &UserId,
        seat: &Seat,
    ) -> Result<(), Failure> {
        match self.voice_in(portal, user).await? {
            Voice::Puppet(puppet) => self.admit_account(portal, &puppet, seat).await,
            // Nobody is to be seen there, and nothing is said of it: their words tell.
            Voice::Relay(_) => {
                self.must_not_be_open(portal).await?;
                self.admit_without_account(portal, user, seat).await?;
                self.tell_of_relay(portal, user).await
            }
        }
    }

    /// As [`Bridge::admit`], with this account: what is begun with one goes on with it,
    /// also when its user would speak otherwise by now.
    async fn admit_account(
        &self,
        portal: &Portal,
        puppet: &Puppet,
        seat: &Seat,
    ) -> Result<(), Failure> {
        let user = &puppet.matrix_id;
        match portal.kind {
            // A puppet would not be asked for the code.
            PortalKind::Channel if !puppet.own && self.asks_for_code(portal).await? => {
                let id = &puppet.credentials.user_id;
                if !self.is_member(portal, id).await? {
                    self.must_not_be_open(portal).await?;
                    self.admit_to_group(portal, puppet, user, seat).await?;
                }
            }
            PortalKind::Channel => {
                self.as_puppet(puppet, |session| async move {
                    session.join_channel(&portal.rid).await
                })
                .await?;
            }
            PortalKind::Group => {
                let id = &puppet.credentials.user_id;
                if !self.is_member(portal, id).await?
                    && !self.admit_as_themselves(portal, puppet).await?
                {
                    self.admit_to_group(portal, puppet, user, seat).await?;
                }
            }
            _ => return Ok(()),
        }
        self.note_puppet_in(portal, puppet)
    }

    async fn admit_to_group(
        &self,
        portal: &Portal,
        puppet: &Puppet,
        user: &UserId,
        seat: &Seat,
    ) -> Result<(), Failure> {
        let rocket = self.rocket().await;
        let id = &puppet.credentials.user_id;
        let kind = &room_type(portal).unwrap_or_default();
        let is_agreed = portal.plumbed || self.store.is_admitted(&portal.id, user)?;
        // It would read there what was said before they came, as the bridge's accounts
        // never do for anybody; and whoever was removed there would be back.
        if is_agreed && puppet.own {
            return Err(Failure::Refused(
                "Your own account on Rocket.Chat is no member of this private group: somebody there can add it.".into(),
            ));
        }
        // They were let in by right when they had no account; or whoever owns the group
        // agreed that people of the Matrix room take part.
        if is_agreed {
            rocket.bot.invite(&portal.rid, kind, id).await?;
            return Ok(());
        }
        let Some(host) = self.host_of(portal, seat).await? else {
            let why = match portal.kind {
                PortalKind::Channel => NEEDS_CODE,
                _ => "Only who is invited may come into a private group.",
            };
            return Err(Failure::Refused(why.into()));
        };
        if host == self.config.appservice.bot && !self.store.came_by_account(&portal.id, user)? {
            // At an administrator's command.
            rocket.bot.invite(&portal.rid, kind, id).await?;
            return Ok(());
        }
        if self.config.is_ours(&host) {
            return Err(Failure::Refused(
                "The invitation from Rocket.Chat no longer stands.".into(),
            ));
        }
        let host = self.account_in(portal, &host).await?;
        self.as_puppet(&host, |session| async move {
            session.invite(&portal.rid, kind, id).await
        })
        .await
    }

    /// A Matrix user has left, or was removed by another: so is their puppet. Who alone
    /// owns the room stays there.
    async fn take_puppet_out(
        &self,
        portal: &Portal,
        puppet: &Puppet,
        seat: &Seat,
    ) -> Result<(), Failure> {
        let user = &puppet.matrix_id;
        let id = &puppet.credentials.user_id;
        if let Some(event) = seat.by_another()
            && !self.config.is_ours(&event.sender)
        {
            match self.kick_as(portal, &event.sender, id).await {
                Ok(()) => {
                    self.note_puppet_out(portal, user)?;
                    return self.no_longer_staying(portal, Some(id));
                }
                Err(failure) => {
                    let why = refusal(failure)?;
                    // In a room that existed before, who may stay is for its own people.
                    if puppet.own && portal.plumbed {
                        let failure = Failure::Refused(why);
                        return self.tell_staying(portal, puppet, seat, &failure).await;
                    }
                    if puppet.own {
                        return self.bring_back(portal, puppet, event, &why).await;
                    }
                }
            }
        }
        let kind = room_type(portal).unwrap_or_default();
        let left = self
            .as_puppet(puppet, |session| {
                let kind = kind.clone();
                async move { session.leave(&portal.rid, &kind).await }
            })
            .await;
        match left {
            Ok(()) => {}
            Err(failure) if super::is_not_in_room(&failure) => {}
            Err(failure) if failure.is_permanent() => {
                tracing::info!(rid = %portal.rid, %user, %failure, "their puppet stays in the room");
                return self.tell_staying(portal, puppet, seat, &failure).await;
            }
            Err(failure) => return Err(failure),
        }
        self.note_puppet_out(portal, user)?;
        self.no_longer_staying(portal, Some(id))
    }

    /// A puppet was added on Rocket.Chat: its Matrix user is invited, by the ghost of who
    /// did it, or where that may not, by the bot.
    async fn invite_person_here(
        &self,
        portal: &Portal,
        user: &UserId,
        why: Why<'_>,
    ) -> Result<(), Failure> {
        let room = &portal.room_id;
        // That two rooms are joined brings nobody from one into the other.
        if portal.plumbed && matches!(why, Why::Look) {
            return Ok(());
        }
        if let Some(by) = why.by()
            && let Some(hand) = self.hand_of(portal, &by.id).await?
            // Else perhaps the bot can.
            && self.invite_by_hand(portal, &hand, user).await?
        {
            return self.come_if_granted(portal, user).await;
        }
        if portal.plumbed {
            let failure = Failure::Refused(
                "Who added me has no right to invite people into the room on Matrix that this \
                 one is joined with."
                    .into(),
            );
            return self.say_uninvited(portal, user, why, &failure).await;
        }
        match self.matrix.bot().invite(room, user, None).await {
            Ok(()) => {}
            // They want no invitations, or the bot lacks the power.
            Err(error) if matches!(error.advice(), crate::retry::Advice::GiveUp) => {
                tracing::warn!(%room, %user, %error, "cannot be invited");
                return self
                    .say_uninvited(portal, user, why, &Failure::from(error))
                    .await;
            }
            Err(error) => return Err(error.into()),
        }
        self.come_if_granted(portal, user).await
    }

    /// Says as the puppet, in the room into which it was brought, that its user is not
    /// there, once each time: Rocket.Chat does not always tell who did it. Where the puppet
    /// may not speak, the bridge says so to who did it, or in the room.
    async fn say_uninvited(
        &self,
        portal: &Portal,
        user: &UserId,
        why: Why<'_>,
        failure: &Failure,
    ) -> Result<(), Failure> {
        // Who has their own account there reads it there.
        if self.store.linked_user(user)?.is_some() {
            return Ok(());
        }
        let known = self.store.room_rights(&portal.id)?;
        let is_tried = matches!(why, Why::News { came: true, .. });
        if known.uninvited.contains(user) && !is_tried {
            return Ok(());
        }
        let puppet = self.puppet_of(user).await?;
        let about = match why {
            Why::News { message, .. } => message.clone(),
            Why::Look => RocketMessageId::new(format!("{} {user}", portal.rid)),
        };
        let id = derived::telling_id(&about, "uninvited");
        let reason = failure.person_text();
        let text = crate::convert::to_rocketchat::plain(&format!(
            "I cannot be invited into this room on Matrix, so I read nothing of what is written here. {reason}"
        ));
        let (id, msg) = (&id, &text);
        let told = self
            .as_puppet(&puppet, |session| async move {
                let message = OutgoingMessage {
                    id,
                    rid: &portal.rid,
                    msg,
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
                tracing::info!(rid = %portal.rid, %user, %failure, "their puppet cannot say that they are not there");
                let text = crate::convert::to_rocketchat::plain(&format!(
                    "{} cannot be invited into the room {} on Matrix, and reads nothing of what is written here. {reason}",
                    puppet.username, portal.name
                ));
                match why.by() {
                    Some(by) => self.tell_directly(&by.id, id, &text).await?,
                    None => self.tell_room(portal, id, &text).await?,
                }
            }
            outcome => drop(outcome?),
        }
        Ok(self.store.amend_room_rights(&portal.id, |rights| {
            rights.uninvited.insert(user.to_owned());
        })?)
    }

    /// Somebody is invited, or is not to be: when they cannot be another time, it is said
    /// again.
    pub(super) fn no_longer_uninvited(
        &self,
        portal: &Portal,
        user: &UserId,
    ) -> Result<(), Failure> {
        Ok(self.store.amend_room_rights(&portal.id, |rights| {
            rights.uninvited.remove(user);
        })?)
    }
}
