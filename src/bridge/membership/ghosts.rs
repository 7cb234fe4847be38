//! People of Rocket.Chat and their ghosts: in the Matrix room is who is in the room there.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use ruma::UserId;

use super::commanded::banned_by;
use super::{Seat, Why, is_not_in_room, refusal, room_type};
use crate::bridge::{Bridge, Failure, derived};
use crate::matrix::TimelineEvent;
use crate::rocketchat::documents::{Message as RocketMessage, UserRef};
use crate::rocketchat::{RocketMessageId, RocketUserId};
use crate::store::{Ban, Ghost, Portal, PortalKind};

/// How long a room is believed to be big.
const SIZE_BELIEVED_FOR: Duration = Duration::from_secs(60);

impl Bridge {
    /// Makes it the same on both sides whether a person of Rocket.Chat is in a portal.
    pub(super) async fn settle_ghost(
        &self,
        portal: &Portal,
        id: &RocketUserId,
        why: Why<'_>,
    ) -> Result<(), Failure> {
        if let Some(link) = self.store.linked(id)? {
            // One from before they were linked keeps them out, until it is lifted; and so
            // does one of the ghost that speaks for them.
            if let Some(ghost) = self.store.ghost(id)?
                && (self.store.standing(&portal.id, id)?.ban.is_some()
                    || !self.speaks_as_themselves(portal, &link.matrix_id).await?)
            {
                let seat = self.seat(portal, &ghost.user_id).await?;
                self.note_ban(portal, id, &seat)?;
            }
            return self.settle_puppet(portal, &link.matrix_id, why).await;
        }
        let key = (portal.rid.clone(), id.as_str().to_owned());
        let _alone = self.members.settling.lock(&key).await;
        let is_member = self.is_member(portal, id).await?;
        if !is_member && why.is_outdated() {
            return Ok(());
        }
        let Some(ghost) = self.store.ghost(id)? else {
            self.note_standing(portal, id, is_member)?;
            return match is_member {
                true => self.expect_ghost(portal, id).await,
                false => Ok(()),
            };
        };
        let seat = self.seat(portal, &ghost.user_id).await?;
        let was_in = self
            .store
            .is_ghost_in_room(&portal.room_id, &ghost.user_id)?;
        let was_member = self.store.standing(&portal.id, id)?.is_member;
        self.note_ban(portal, id, &seat)?;
        match (is_member, seat.membership()) {
            (true, "join") => self.note_standing(portal, id, true),
            (true, "leave" | "ban") => match self.removed_by(&seat) {
                Some(event) if was_in => self.carry_removal(portal, &ghost, event).await,
                _ if seat.membership() == "ban" => self.uphold_ban(portal, &ghost).await,
                _ => {
                    self.forget_ghost_in(portal, &ghost)?;
                    self.note_standing(portal, id, true)?;
                    self.expect_ghost(portal, id).await
                }
            },
            (true, _) => {
                self.note_standing(portal, id, true)?;
                self.expect_ghost(portal, id).await
            }
            // Anybody may write in a public channel without being a member.
            (false, "join" | "invite")
                if was_member
                    || portal.kind == PortalKind::Group
                    || matches!(why, Why::News { .. }) =>
            {
                self.take_out(portal, &ghost, why.by()).await
            }
            (false, "join") => Ok(()),
            (false, _) => {
                self.forget_ghost_in(portal, &ghost)?;
                self.note_standing(portal, id, false)
            }
        }
    }

    pub(super) fn note_standing(
        &self,
        portal: &Portal,
        id: &RocketUserId,
        is_member: bool,
    ) -> Result<(), Failure> {
        Ok(self.store.amend_standing(&portal.id, id, |standing| {
            standing.is_member = is_member;
        })?)
    }

    fn forget_ghost_in(&self, portal: &Portal, ghost: &Ghost) -> Result<(), Failure> {
        let change = self.store.change();
        Ok(change
            .ghost_not_in_room(&portal.room_id, &ghost.user_id)
            .commit()?)
    }

    /// The event by which somebody on Matrix has removed a ghost, if somebody has.
    fn removed_by<'a>(&self, seat: &'a Seat) -> Option<&'a TimelineEvent> {
        seat.by_another()
            .filter(|event| !self.config.is_ours(&event.sender))
    }

    /// Notes whether somebody is kept out on Matrix.
    fn note_ban(&self, portal: &Portal, id: &RocketUserId, seat: &Seat) -> Result<(), Failure> {
        let event = seat.event.as_ref().filter(|_| seat.membership() == "ban");
        Ok(self.store.amend_standing(&portal.id, id, |standing| {
            let known = standing.ban.as_ref().map(|ban| &ban.event);
            if known == event.map(|event| &event.event_id) {
                return;
            }
            standing.ban = event.map(|event| Ban {
                by: banned_by(event, self.config.is_ours(&event.sender)),
                event: event.event_id.clone(),
                // An upgrade of the room repeats every ban.
                told: standing.ban.as_ref().is_some_and(|ban| ban.told),
            });
        })?)
    }

    /// Removes somebody from a room as the puppet of a Matrix user, so that Rocket.Chat's
    /// rights decide.
    pub(super) async fn kick_as(
        &self,
        portal: &Portal,
        by: &UserId,
        id: &RocketUserId,
    ) -> Result<(), Failure> {
        if self.config.is_ours(by) {
            // Nobody has the bridge's own rights.
            return Err(Failure::Refused(
                "Nobody is known at whose word that is.".into(),
            ));
        }
        let puppet = self.account_in(portal, by).await?;
        let kind = room_type(portal).unwrap_or_default();
        let kicked = self
            .as_puppet(&puppet, |session| {
                let kind = kind.clone();
                async move { session.kick(&portal.rid, &kind, id).await }
            })
            .await;
        match kicked {
            Err(failure) if is_not_in_room(&failure) => Ok(()),
            outcome => outcome,
        }
    }

    /// Somebody on Matrix has removed a ghost: the person is removed on Rocket.Chat, or
    /// the ghost comes back.
    async fn carry_removal(
        &self,
        portal: &Portal,
        ghost: &Ghost,
        event: &TimelineEvent,
    ) -> Result<(), Failure> {
        let id = &ghost.rocket_id;
        let why = match self.kick_as(portal, &event.sender, id).await {
            Ok(()) => {
                tracing::info!(rid = %portal.rid, ghost = %ghost.user_id, "somebody on Matrix removed them");
                self.forget_ghost_in(portal, ghost)?;
                return self.note_standing(portal, id, false);
            }
            Err(failure) => refusal(failure)?,
        };
        let bot = self.matrix.bot();
        let room = &portal.room_id;
        let is_ban = event.content.get("membership").and_then(|m| m.as_str()) == Some("ban");
        if is_ban {
            // In a room that existed before, who may stay is for its own people.
            let unbanned = match portal.plumbed {
                true => Ok(false),
                false => match bot.unban(room, &ghost.user_id, Some(&why)).await {
                    Err(error) if error.is_forbidden() => {
                        tracing::warn!(%room, %error, "the bot may not end a ban");
                        Ok(false)
                    }
                    outcome => outcome.map(|()| true),
                },
            };
            match unbanned {
                Ok(false) => {
                    let text = format!(
                        "{} is still in this room on Rocket.Chat. {why} Their messages no longer reach Matrix.",
                        ghost.username
                    );
                    self.forget_ghost_in(portal, ghost)?;
                    return self
                        .say(&bot, room, &event.event_id, "removal", &text)
                        .await;
                }
                outcome => outcome?,
            };
            self.store
                .amend_standing(&portal.id, id, |standing| standing.ban = None)?;
        }
        self.join_ghost(portal, room, ghost).await?;
        self.note_standing(portal, id, true)?;
        let text = format!(
            "{} stays in this room, since they could not be removed on Rocket.Chat. {why}",
            ghost.username
        );
        self.say(&bot, room, &event.event_id, "removal", &text)
            .await
    }

    /// Somebody who is kept out on Matrix is in the room on Rocket.Chat again: they are
    /// removed as who keeps them out, and told so once.
    async fn uphold_ban(&self, portal: &Portal, ghost: &Ghost) -> Result<(), Failure> {
        let id = &ghost.rocket_id;
        self.forget_ghost_in(portal, ghost)?;
        let Some(ban) = self.store.standing(&portal.id, id)?.ban else {
            return Ok(());
        };
        let removed = match self.kick_as(portal, &ban.by, id).await {
            Ok(()) => true,
            Err(failure) => {
                let why = refusal(failure)?;
                tracing::info!(rid = %portal.rid, why, "who is banned on Matrix stays on Rocket.Chat");
                false
            }
        };
        self.note_standing(portal, id, !removed)?;
        let text = match removed {
            true => "You were removed from it again.",
            false => "What you write there does not reach Matrix.",
        };
        self.tell_of_ban(portal, id, text).await
    }

    /// Tells somebody once that they are kept out.
    async fn tell_of_ban(
        &self,
        portal: &Portal,
        id: &RocketUserId,
        what: &str,
    ) -> Result<(), Failure> {
        let Some(ban) = self.store.standing(&portal.id, id)?.ban else {
            return Ok(());
        };
        if ban.told {
            return Ok(());
        }
        let text = format!(
            "{} has banned you from the room {} on Matrix. {what}",
            ban.by,
            crate::convert::to_rocketchat::plain(&portal.name)
        );
        let message = derived::telling_id(&RocketMessageId::new(ban.event.as_str()), "ban");
        self.tell_directly(id, &message, &text).await?;
        Ok(self.store.amend_standing(&portal.id, id, |standing| {
            if let Some(ban) = &mut standing.ban {
                ban.told = true;
            }
        })?)
    }

    /// Whether the author of a message is kept out of the room on Matrix: then it stays
    /// behind, of which they have been told.
    pub(in crate::bridge) async fn is_kept_out(
        &self,
        portal: &Portal,
        message: &RocketMessage,
    ) -> Result<bool, Failure> {
        let id = &message.u.id;
        if room_type(portal).is_none() || self.store.standing(&portal.id, id)?.ban.is_none() {
            return Ok(false);
        }
        self.tell_of_ban(portal, id, "What you write there does not reach Matrix.")
            .await?;
        Ok(true)
    }

    /// The homeserver says that a ghost is not in its room, although it was. Whoever
    /// removed it decides, if they may; then, or when it just was not there, it comes
    /// back with the next attempt.
    pub(in crate::bridge) async fn look_why_out(
        &self,
        portal: &Portal,
        ghost: &Ghost,
    ) -> Result<(), Failure> {
        if room_type(portal).is_some() {
            let seat = self.seat(portal, &ghost.user_id).await?;
            if self.removed_by(&seat).is_some() {
                return self.settle_ghost(portal, &ghost.rocket_id, Why::Look).await;
            }
        }
        self.forget_ghost_in(portal, ghost)?;
        self.join_ghost_anew(portal, ghost).await
    }

    /// A person has left on Rocket.Chat, or was removed by somebody.
    async fn take_out(
        &self,
        portal: &Portal,
        ghost: &Ghost,
        by: Option<&UserRef>,
    ) -> Result<(), Failure> {
        let removed = match by.filter(|by| by.id != ghost.rocket_id) {
            Some(by) => self.put_out(portal, &ghost.user_id, Some(by)).await?,
            None => false,
        };
        if !removed {
            match self.as_ghost(ghost).leave(&portal.room_id, None).await {
                Err(error) if error.is_forbidden() || error.is_not_found() => {}
                outcome => outcome?,
            }
        }
        self.forget_ghost_in(portal, ghost)?;
        self.note_standing(portal, &ghost.rocket_id, false)
    }

    /// Removes somebody from the Matrix room as the ghost of who removed them on
    /// Rocket.Chat, or where that may not, as the bot. False when neither may.
    pub(super) async fn put_out(
        &self,
        portal: &Portal,
        user: &UserId,
        by: Option<&UserRef>,
    ) -> Result<bool, Failure> {
        let mut reason = "no longer in this room on Rocket.Chat".to_owned();
        if let Some(by) = by {
            let name = by
                .name
                .as_deref()
                .or(by.username.as_ref().map(|n| n.as_str()));
            reason = format!("removed by {} on Rocket.Chat", name.unwrap_or("somebody"));
            if let Some(hand) = self.hand_of(portal, &by.id).await?
                && self.kick_by_hand(portal, &hand, user).await?
            {
                return Ok(true);
            }
        }
        self.kick_by_bot(portal, user, &reason).await
    }

    /// Removes somebody from the Matrix room as the bot; false when it may not.
    pub(super) async fn kick_by_bot(
        &self,
        portal: &Portal,
        user: &UserId,
        reason: &str,
    ) -> Result<bool, Failure> {
        let bot = self.matrix.bot();
        match bot.kick(&portal.room_id, user, Some(reason)).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_forbidden() => {
                tracing::warn!(room = %portal.room_id, %user, %error, "the bot lacks the power to remove somebody");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A person is a member on Rocket.Chat: in a small room their ghost comes, in a big
    /// one when they speak.
    async fn expect_ghost(&self, portal: &Portal, id: &RocketUserId) -> Result<(), Failure> {
        if self.is_small(portal).await? {
            self.members.joins.add((portal.id.clone(), id.clone()));
        }
        Ok(())
    }

    /// Whether everybody in a room comes to Matrix, not only who speaks.
    pub(super) async fn is_small(&self, portal: &Portal) -> Result<bool, Failure> {
        let most = self.config.bridge.join_all_up_to;
        if most == 0 {
            return Ok(false);
        }
        let known = {
            let sizes = self.members.sizes.lock();
            let sizes = sizes.unwrap_or_else(PoisonError::into_inner);
            sizes.get(&portal.rid).copied()
        };
        if let Some((at, size)) = known
            && at.elapsed() < SIZE_BELIEVED_FOR
            && size > most
        {
            return Ok(false);
        }
        let rocket = self.rocket().await;
        let size = match rocket.bot.room_info(&portal.rid).await {
            Ok(Some(room)) => room.users_count,
            Ok(None) => return Ok(false),
            Err(error) if error.is_denied() || error.code() == Some("error-room-archived") => {
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        self.note_size(portal, size);
        Ok(size <= most)
    }

    pub(super) fn note_size(&self, portal: &Portal, size: u64) {
        let sizes = self.members.sizes.lock();
        let mut sizes = sizes.unwrap_or_else(PoisonError::into_inner);
        sizes.insert(portal.rid.clone(), (Instant::now(), size));
    }
}
