//! People of Matrix and their puppets: in the room on Rocket.Chat is who is in the Matrix
//! room, as far as Rocket.Chat lets them.

use ruma::{EventId, OwnedUserId, UserId};
use serde_json::Value;

use super::{Look, Seat, Why, refusal, room_type};
use crate::bridge::{Bridge, Failure, derived};
use crate::matrix::TimelineEvent;
use crate::retry::Retryable as _;
use crate::rocketchat::RocketMessageId;
use crate::rocketchat::documents::{RoomType, UserRef};
use crate::rocketchat::rest::OutgoingMessage;
use crate::store::{Portal, PortalKind, Puppet};

/// How many changes of somebody's membership are looked back through for their
/// invitation: a join is made anew for every new name and picture.
const MOST_CHANGES: usize = 50;

impl Bridge {
    /// Makes it the same on both sides whether a Matrix user is in a portal. What they
    /// did on Matrix and Rocket.Chat refuses is taken back; who was removed or added on
    /// Rocket.Chat is removed or invited here.
    pub(super) async fn settle_puppet(
        &self,
        portal: &Portal,
        user: &UserId,
        why: Why<'_>,
    ) -> Result<(), Failure> {
        let key = (portal.rid.clone(), user.as_str().to_owned());
        let _alone = self.members.settling.lock(&key).await;
        let seat = self.seat(portal, user).await?;
        let puppet = self.store.puppet(user)?;
        let is_member = match &puppet {
            Some(puppet) => self.is_member(portal, &puppet.credentials.user_id).await?,
            None => false,
        };
        if !is_member && why.is_outdated() {
            return Ok(());
        }
        let was_member = self.store.is_puppet_in_room(&portal.rid, user)?;
        match (seat.membership(), is_member, was_member) {
            ("join" | "invite", true, true) => Ok(()),
            ("join" | "invite", true, false) => self.note_puppet_in(portal, user),
            ("join" | "invite", false, true) => {
                if !self.has_account(puppet.as_ref()).await? {
                    return Ok(());
                }
                // While it cannot be done here it is not agreed.
                if self.put_out(portal, user, why.by()).await? {
                    self.note_puppet_out(portal, user)?;
                }
                Ok(())
            }
            ("join", false, false) => self.let_in(portal, user, &seat).await,
            ("invite" | "knock", false, false) => Ok(()),
            (membership, true, was_member) => {
                let Some(puppet) = puppet else { return Ok(()) };
                if membership != "ban" && (!was_member || self.was_put_out(&seat)) {
                    self.invite_person_here(portal, user, why.by()).await
                } else {
                    self.take_puppet_out(portal, &puppet, &seat).await?;
                    match (membership, was_member, why) {
                        (
                            "ban",
                            false,
                            Why::News {
                                by: Some(by),
                                message,
                                ..
                            },
                        ) => {
                            let text = format!(
                                "{} is banned from the room {} on Matrix and cannot be added to it.",
                                puppet.username, portal.name
                            );
                            let id = derived::telling_id(message, "banned");
                            let text = crate::convert::to_rocketchat::plain(&text);
                            self.tell_directly(&by.id, &id, &text).await
                        }
                        _ => Ok(()),
                    }
                }
            }
            (_, false, _) => self.note_puppet_out(portal, user),
        }
    }

    /// Whether a puppet's account is there: who lost it with that was not removed.
    async fn has_account(&self, puppet: Option<&Puppet>) -> Result<bool, Failure> {
        let Some(puppet) = puppet else {
            return Ok(false);
        };
        let rocket = self.rocket().await;
        let account = rocket.bot.user_by_id(&puppet.credentials.user_id).await?;
        Ok(account.is_some())
    }

    fn note_puppet_in(&self, portal: &Portal, user: &UserId) -> Result<(), Failure> {
        let change = self.store.change();
        change.puppet_in_room(&portal.rid, user).commit()?;
        // They may have rights on either side.
        self.members.looks.add(Look::Rights(portal.rid.clone()));
        Ok(())
    }

    fn note_puppet_out(&self, portal: &Portal, user: &UserId) -> Result<(), Failure> {
        let change = self.store.change();
        Ok(change.puppet_not_in_room(&portal.rid, user).commit()?)
    }

    /// Whether the bridge itself removed somebody from the Matrix room.
    fn was_put_out(&self, seat: &Seat) -> bool {
        let by = seat.by_another();
        by.is_some_and(|event| self.config.is_ours(&event.sender))
    }

    /// Makes sure that a puppet is in a portal's room on Rocket.Chat, before it does
    /// something there.
    ///
    /// # Errors
    /// [`Failure::Refused`] for who was removed from the Matrix room; what Rocket.Chat
    /// says.
    pub(in crate::bridge) async fn bring_puppet_in(
        &self,
        portal: &Portal,
        puppet: &Puppet,
    ) -> Result<(), Failure> {
        let user = &puppet.matrix_id;
        // Who is in a direct message is fixed.
        if room_type(portal).is_none() || self.store.is_puppet_in_room(&portal.rid, user)? {
            return Ok(());
        }
        let key = (portal.rid.clone(), user.as_str().to_owned());
        let _alone = self.members.settling.lock(&key).await;
        if self.store.is_puppet_in_room(&portal.rid, user)? {
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
        self.admit(portal, user, &seat).await
    }

    /// A Matrix user has come into the room: their puppet follows, or they cannot stay,
    /// since what is said here they may not read there.
    async fn let_in(&self, portal: &Portal, user: &UserId, seat: &Seat) -> Result<(), Failure> {
        let why = match self.admit(portal, user, seat).await {
            Ok(()) => return Ok(()),
            Err(failure) => refusal(failure)?,
        };
        tracing::info!(rid = %portal.rid, %user, "Rocket.Chat does not let them in");
        let reason = format!("You cannot be in this room. {why}");
        if self.kick_by_bot(portal, user, &reason).await? {
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
    async fn admit(&self, portal: &Portal, user: &UserId, seat: &Seat) -> Result<(), Failure> {
        let puppet = self.puppet_of(user).await?;
        match portal.kind {
            PortalKind::Channel => {
                self.as_puppet(&puppet, |session| async move {
                    session.join_channel(&portal.rid).await
                })
                .await?;
            }
            PortalKind::Group => {
                let id = &puppet.credentials.user_id;
                if !self.is_member(portal, id).await? {
                    self.admit_to_group(portal, id, seat).await?;
                }
            }
            _ => return Ok(()),
        }
        self.note_puppet_in(portal, user)
    }

    async fn admit_to_group(
        &self,
        portal: &Portal,
        id: &crate::rocketchat::RocketUserId,
        seat: &Seat,
    ) -> Result<(), Failure> {
        let Some(host) = self.host_of(portal, seat).await? else {
            return Err(Failure::Refused(
                "Only who is invited may come into a private group.".into(),
            ));
        };
        if host == self.config.appservice.bot {
            // At an administrator's command.
            let rocket = self.rocket().await;
            rocket.bot.invite(&portal.rid, &RoomType::Group, id).await?;
            return Ok(());
        }
        if self.config.is_ours(&host) {
            return Err(Failure::Refused(
                "The invitation from Rocket.Chat no longer stands.".into(),
            ));
        }
        let host = self.puppet_of(&host).await?;
        self.as_puppet(&host, |session| async move {
            session.invite(&portal.rid, &RoomType::Group, id).await
        })
        .await
    }

    /// Who invited somebody, by what stands before their join.
    async fn host_of(&self, portal: &Portal, seat: &Seat) -> Result<Option<OwnedUserId>, Failure> {
        let bot = self.matrix.bot();
        let Some(now) = &seat.event else {
            return Ok(None);
        };
        // The event as it is in the room's state may lack what it replaces.
        let mut event = bot.event(&portal.room_id, &now.event_id).await?;
        for _ in 0..MOST_CHANGES {
            let Some(found) = event else { return Ok(None) };
            let membership = found.content.get("membership").and_then(Value::as_str);
            if membership == Some("invite") {
                return Ok(Some(found.sender));
            }
            event = match replaced(&found) {
                Some(before) => bot.event(&portal.room_id, &before).await?,
                None => None,
            };
        }
        Ok(None)
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
                Ok(()) => return self.note_puppet_out(portal, user),
                Err(failure) => drop(refusal(failure)?),
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
            Ok(()) => self.note_puppet_out(portal, user),
            Err(failure) if super::is_not_in_room(&failure) => self.note_puppet_out(portal, user),
            Err(failure) if failure.is_permanent() => {
                tracing::info!(rid = %portal.rid, %user, %failure, "their puppet stays in the room");
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// A puppet was added on Rocket.Chat: its Matrix user is invited, by the ghost of who
    /// did it, or where that may not, by the bot.
    async fn invite_person_here(
        &self,
        portal: &Portal,
        user: &UserId,
        by: Option<&UserRef>,
    ) -> Result<(), Failure> {
        let room = &portal.room_id;
        if let Some(by) = by
            && let Some(ghost) = self.store.ghost(&by.id)?
            && self.store.is_ghost_in_room(room, &ghost.user_id)?
        {
            match self.as_ghost(&ghost).invite(room, user, None).await {
                Ok(()) => return self.note_puppet_in(portal, user),
                Err(error) if error.is_forbidden() => {}
                Err(error) => return Err(error.into()),
            }
        }
        match self.matrix.bot().invite(room, user, None).await {
            Ok(()) => {}
            // They want no invitations, or the bot lacks the power.
            Err(error) if matches!(error.advice(), crate::retry::Advice::GiveUp) => {
                tracing::warn!(%room, %user, %error, "cannot be invited");
                return self
                    .say_uninvited(portal, user, &Failure::from(error))
                    .await;
            }
            Err(error) => return Err(error.into()),
        }
        self.note_puppet_in(portal, user)
    }

    /// Says once as the puppet, in the room into which it was brought, that its user is not
    /// there: Rocket.Chat does not always tell who did it.
    async fn say_uninvited(
        &self,
        portal: &Portal,
        user: &UserId,
        failure: &Failure,
    ) -> Result<(), Failure> {
        let puppet = self.puppet_of(user).await?;
        let about = RocketMessageId::new(format!("{} {user}", portal.rid));
        let id = derived::telling_id(&about, "uninvited");
        let text = crate::convert::to_rocketchat::plain(&format!(
            "I cannot be invited into this room on Matrix, so I read nothing of what is written here. {}",
            failure.person_text()
        ));
        let (id, text) = (&id, &text);
        let told = self
            .as_puppet(&puppet, |session| async move {
                let message = OutgoingMessage {
                    id,
                    rid: &portal.rid,
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
                tracing::info!(rid = %portal.rid, %user, %failure, "nobody could be told");
                Ok(())
            }
            outcome => outcome.map(drop),
        }
    }
}

/// The event of the same state that stood before this one (Synapse says so; the
/// specification does not).
pub(super) fn replaced(event: &TimelineEvent) -> Option<ruma::OwnedEventId> {
    let before = event.json.pointer("/unsigned/replaces_state")?;
    EventId::parse(before.as_str()?).ok()
}
