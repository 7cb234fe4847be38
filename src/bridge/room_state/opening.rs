//! Rooms that are not for everybody. Whoever opens one on Matrix asks for it: the room is
//! closed at once, which needs only the homeserver, and opened when Rocket.Chat lets them.

use std::sync::Arc;

use super::aspects::{Aspect, PRIVATE, PUBLIC};
use crate::bridge::power::POWER_LEVELS;
use crate::bridge::{Bridge, Failure};
use crate::store::{InboxEvent, Portal, PortalKind, StateWish};

/// Whom a private room lets invite others: its moderators.
pub(super) const MAY_INVITE: i64 = 50;

/// Why somebody does not come into a channel that asks for a code.
pub(in crate::bridge) const NEEDS_CODE: &str = "Whoever enters the channel on Rocket.Chat has to know its code: ask somebody who may invite there to invite you.";

impl Bridge {
    /// Whether a channel on Rocket.Chat asks whoever comes for a code, which puppets are not
    /// asked for. Nothing tells of that code (6.14: neither a message nor a list of rooms), so
    /// who comes is the reason to look; an open room is closed then.
    pub(in crate::bridge) async fn asks_for_code(&self, portal: &Portal) -> Result<bool, Failure> {
        // Whoever owns it has agreed that people of the Matrix room take part.
        if portal.kind != PortalKind::Channel || portal.plumbed {
            return Ok(false);
        }
        let now = self.room_now(&portal.rid).await?;
        let asks = now.is_some_and(|now| now.room.join_code_required);
        if asks && !self.is_private(portal)? {
            self.compare_room(&portal.id);
        }
        Ok(asks)
    }

    /// Fails while a room is open for everybody whose channel asks for a code: who came, or
    /// was invited, before it is closed did so by nobody's right.
    pub(in crate::bridge) async fn must_not_be_open(&self, portal: &Portal) -> Result<(), Failure> {
        match !self.is_private(portal)? && self.asks_for_code(portal).await? {
            true => Err(Failure::Refused(NEEDS_CODE.into())),
            false => Ok(()),
        }
    }

    /// Somebody may have opened a private room: it is closed at once, whatever else waits,
    /// for Rocket.Chat perhaps.
    pub(in crate::bridge) fn close_at_once(self: &Arc<Self>, event: &InboxEvent) {
        if event.kind != Aspect::Access.state() {
            return;
        }
        let Ok(Some(portal)) = self.store.portal_of_room(&event.room_id) else {
            return;
        };
        if portal.kind.is_direct() {
            return;
        }
        let bridge = Arc::clone(self);
        tokio::spawn(async move {
            let closed = bridge.persevere(|_| bridge.close_first(&portal)).await;
            if let Err(failure) = closed {
                tracing::warn!(rid = %portal.rid, %failure, "a room cannot be closed now");
            }
            bridge.compare_room(&portal.id);
        });
    }

    /// Closes a private room that somebody on Matrix has opened, and keeps what they wish
    /// for. Whatever else lets people in is looked at with the rest: Rocket.Chat knows
    /// nothing of the kind.
    pub(super) async fn close_first(&self, portal: &Portal) -> Result<(), Failure> {
        let access = Aspect::Access;
        let _alone = self.room_states.closing.lock(&portal.id).await;
        let known = self.store.room_state(&portal.id)?;
        if known.agreed.get(access.key()).map(String::as_str) != Some(PRIVATE) {
            return Ok(());
        }
        let bot = self.matrix.bot();
        let room = &portal.room_id;
        let Some(event) = bot.state_event(room, access.state(), "").await? else {
            return Ok(());
        };
        if self.config.is_ours(&event.sender)
            || access.in_state(&event.content) != PUBLIC
            || known.settled.get(access.key()) == Some(&event.event_id)
        {
            return Ok(());
        }
        let wish = StateWish {
            event: event.event_id,
            sender: event.sender,
            at: i64::try_from(event.origin_server_ts).unwrap_or(i64::MAX),
        };
        // Kept first: what was closed tells nobody any more who opened it.
        self.store
            .amend_room_state(&portal.id, |state| state.opening = Some(wish))?;
        self.store.flushed().await?;
        let closed = access.as_state(PRIVATE);
        match bot
            .send_state(room, access.state(), "", &closed, None)
            .await
        {
            Ok(_) => {
                tracing::info!(rid = %portal.rid, "a private room is closed until Rocket.Chat lets it be opened");
                Ok(())
            }
            // It is asked for all the same, and told where it is refused.
            Err(error) if error.is_forbidden() => Ok(self
                .store
                .amend_room_state(&portal.id, |state| state.opening = None)?),
            Err(error) => Err(error.into()),
        }
    }

    /// Who reads a private room is not for every member to decide: whoever lets them all
    /// invite others is told that it is as it was again.
    pub(super) async fn keep_invites_closed(&self, portal: &Portal) -> Result<(), Failure> {
        if !self.is_private(portal)? {
            return Ok(());
        }
        let room = &portal.room_id;
        let bot = self.matrix.bot();
        let Some(event) = bot.state_event(room, POWER_LEVELS, "").await? else {
            return Ok(());
        };
        let mut is_open = false;
        let raised = self
            .change_power_levels(portal, None, |levels| {
                is_open = levels.level("invite") < MAY_INVITE;
                if is_open {
                    levels.set_level("invite", MAY_INVITE);
                }
            })
            .await;
        match raised {
            Ok(_) if !is_open => Ok(()),
            Ok(_) => {
                tracing::info!(rid = %portal.rid, "only moderators invite people to a private room");
                let text = "Only owners and moderators can invite people here: the room is private on Rocket.Chat.";
                self.say(&bot, room, &event.event_id, "invites", text).await
            }
            // What they invite is looked at one by one.
            Err(failure) if failure.is_permanent() => {
                tracing::info!(%room, %failure, "every member of a private room can invite others");
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }
}
