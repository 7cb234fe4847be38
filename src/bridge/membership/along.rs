//! People who were removed from a private room on Rocket.Chat, and whom the bridge cannot
//! remove from the Matrix room: who made it, from version 12 on, or who has as much power.
//! They must not read what they may not read there, so nothing more goes to that room until
//! they have left.

use ruma::UserId;

use super::Seat;
use crate::bridge::{Bridge, Failure, derived};
use crate::store::{Portal, StoreError};

impl Bridge {
    /// Notes that somebody cannot be removed from the Matrix room of a private room, and
    /// tells both rooms what follows from that, once.
    pub(super) async fn note_reading_along(
        &self,
        portal: &Portal,
        user: &UserId,
        seat: &Seat,
    ) -> Result<(), Failure> {
        let known = self.store.room_rights(&portal.id)?;
        if seat.membership() != "join"
            || !self.is_private(portal)?
            || known.reading_along.contains(user)
        {
            return Ok(());
        }
        self.store.amend_room_rights(&portal.id, |rights| {
            rights.reading_along.insert(user.to_owned());
        })?;
        let Some(event) = &seat.event else {
            return Ok(());
        };
        let text = format!(
            "{user} was removed from this room, but the bridge lacks the power to remove them \
             from it on Matrix. Until they have left there, nothing that is written here \
             reaches Matrix."
        );
        let id = derived::telling_id_of_event(&event.event_id, "along");
        let text = crate::convert::to_rocketchat::plain(&text);
        self.tell_room(portal, &id, &text).await?;
        let text = format!(
            "{user} was removed from this room on Rocket.Chat, and the bridge lacks the power \
             to remove them here. Until they have left, nothing from Rocket.Chat arrives."
        );
        let bot = self.matrix.bot();
        match self
            .say(&bot, &portal.room_id, &event.event_id, "along", &text)
            .await
        {
            Err(failure) if failure.is_permanent() => Ok(()),
            outcome => outcome,
        }
    }

    /// Somebody is no longer where they may not be.
    pub(super) fn no_longer_along(&self, portal: &Portal, user: &UserId) -> Result<(), StoreError> {
        self.store.amend_room_rights(&portal.id, |rights| {
            rights.reading_along.remove(user);
        })
    }

    /// Whether somebody would read along who may not.
    pub(in crate::bridge) fn is_read_along(&self, portal: &Portal) -> Result<bool, StoreError> {
        let rights = self.store.room_rights(&portal.id)?;
        Ok(!rights.reading_along.is_empty() && self.is_private(portal)?)
    }
}
