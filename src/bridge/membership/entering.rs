//! How a Matrix user's account comes into a room on Rocket.Chat, and out of it; and who is
//! invited here because it came there.

use ruma::UserId;

use super::{Seat, Why, refusal, room_type};
use crate::bridge::room_state::NEEDS_CODE;
use crate::bridge::voice::Voice;
use crate::bridge::{Bridge, Failure, derived};
use crate::retry::Retryable as _;
use crate::rocketchat::RocketMessageId;
use crate::rocketchat::rest::OutgoingMessage;
use crate::store::{Portal, PortalKind, Puppet};

impl Bridge {
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
    pub(super) async fn let_in(
        &self,
        portal: &Portal,
        user: &UserId,
        seat: &Seat,
    ) -> Result<(), Failure> {
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
    pub(super) async fn admit_account(
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

    pub(super) async fn admit_to_group(
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
    pub(super) async fn take_puppet_out(
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
    pub(super) async fn invite_person_here(
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
    pub(super) async fn say_uninvited(
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
