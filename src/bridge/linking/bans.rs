//! Who is banned from a Matrix room does not speak there by way of their account on
//! Rocket.Chat, nor by another room of the same channel.

use ruma::OwnedUserId;

use super::locked;
use crate::bridge::{Bridge, Failure, derived};
use crate::convert::to_rocketchat::plain;
use crate::matrix::TimelineEvent;
use crate::rocketchat::documents::Message as RocketMessage;
use crate::rocketchat::{RocketMessageId, RocketUserId};
use crate::store::Portal;

impl Bridge {
    /// The ban that keeps the Matrix user with whom an account is linked, or was last, out of a
    /// portal's room now: the end of a link is no way round it.
    async fn ban_of_linked(
        &self,
        portal: &Portal,
        id: &RocketUserId,
    ) -> Result<Option<(OwnedUserId, TimelineEvent)>, Failure> {
        if portal.kind.is_direct() {
            return Ok(None);
        }
        let user = match self.store.linked(id)? {
            Some(link) => Some(link.matrix_id),
            None => self.store.was_account_of(id)?,
        };
        let Some(user) = user else {
            return Ok(None);
        };
        let seat = self.seat(portal, &user).await?;
        let is_banned = seat.membership() == "ban";
        Ok(seat.event.filter(|_| is_banned).map(|ban| (user, ban)))
    }

    /// Whether a linked person is banned from a portal's room.
    pub(in crate::bridge) async fn is_linked_and_banned(
        &self,
        portal: &Portal,
        id: &RocketUserId,
    ) -> Result<bool, Failure> {
        Ok(self.ban_of_linked(portal, id).await?.is_some())
    }

    /// Whether what a linked person's account has written stays out of a portal's room,
    /// because they are banned from it. They are told once for each ban.
    pub(in crate::bridge) async fn keeps_linked_out(
        &self,
        portal: &Portal,
        message: &RocketMessage,
    ) -> Result<bool, Failure> {
        let Some((user, ban)) = self.ban_of_linked(portal, &message.u.id).await? else {
            return Ok(false);
        };
        if locked(&self.linking.told_bans).contains(&ban.event_id) {
            return Ok(true);
        }
        tracing::info!(room = %portal.room_id, %user, "who is banned from the room is not heard in it");
        let text = format!(
            "{} is banned from the room {} ({}) on Matrix: what you write does not reach it, from wherever.",
            user, portal.name, portal.room_id
        );
        let about = RocketMessageId::new(ban.event_id.as_str());
        let id = derived::telling_id(&about, "banned linked");
        let told = self.tell_directly(&message.u.id, &id, &plain(&text)).await;
        match told {
            // They want no messages: it stays out all the same.
            Err(failure) if failure.is_permanent() => {
                tracing::info!(%user, %failure, "somebody cannot be told that they are banned");
            }
            told => told?,
        }
        locked(&self.linking.told_bans).insert(ban.event_id);
        Ok(true)
    }
}
