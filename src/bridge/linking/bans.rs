//! Who is banned from a Matrix room does not speak there by way of their account on
//! Rocket.Chat, nor by another room of the same channel; nor does who is muted in a room that
//! existed before, where rights are for its own people and are not carried over.

use ruma::{OwnedUserId, UserId};

use super::locked;
use crate::bridge::power::{POWER_LEVELS, PowerLevels};
use crate::bridge::{Bridge, Failure, derived};
use crate::convert::to_rocketchat::plain;
use crate::matrix::TimelineEvent;
use crate::rocketchat::documents::Message as RocketMessage;
use crate::rocketchat::{RocketMessageId, RocketUserId};
use crate::store::Portal;

/// Whether somebody has been muted in a room: their own level is below that of everybody, and
/// below that of events of this type, which are no state. Where everybody's is, it is nobody's
/// mute, and what their ghost may is for the homeserver to say.
fn is_muted(levels: &PowerLevels, user: &UserId, kind: &str) -> bool {
    levels.level_of(user) < levels.level("users_default") && !levels.may_send(user, kind)
}

impl Bridge {
    /// The Matrix user with whom an account is linked, or was last.
    fn user_of_account(&self, id: &RocketUserId) -> Result<Option<OwnedUserId>, Failure> {
        Ok(match self.store.linked(id)? {
            Some(link) => Some(link.matrix_id),
            None => self.store.was_account_of(id)?,
        })
    }

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
        let Some(user) = self.user_of_account(id)? else {
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

    /// As [`Bridge::is_linked_and_banned`], or muted there for events of this type.
    pub(in crate::bridge) async fn is_linked_and_silenced(
        &self,
        portal: &Portal,
        id: &RocketUserId,
        kind: &str,
    ) -> Result<bool, Failure> {
        Ok(self.is_linked_and_banned(portal, id).await?
            || self.mute_of_linked(portal, id, kind).await?.is_some())
    }

    /// The rights by which the Matrix user with whom an account is linked, or was last, is
    /// muted in a portal's room that existed before. Elsewhere Rocket.Chat has them as well.
    async fn mute_of_linked(
        &self,
        portal: &Portal,
        id: &RocketUserId,
        kind: &str,
    ) -> Result<Option<(OwnedUserId, TimelineEvent)>, Failure> {
        let Some(user) = self.user_of_account(id)? else {
            return Ok(None);
        };
        let mute = self.rights_that_mute(portal, &user, kind).await?;
        Ok(mute.map(|mute| (user, mute)))
    }

    async fn rights_that_mute(
        &self,
        portal: &Portal,
        user: &UserId,
        kind: &str,
    ) -> Result<Option<TimelineEvent>, Failure> {
        if !portal.plumbed {
            return Ok(None);
        }
        let bot = self.matrix.bot();
        let rights = bot.state_event(&portal.room_id, POWER_LEVELS, "").await?;
        Ok(rights.filter(|rights| {
            let levels = PowerLevels::of(rights.content.clone());
            is_muted(&levels, user, kind)
        }))
    }

    /// Whether a linked person is muted in a portal's room that existed before.
    pub(in crate::bridge) async fn is_muted_here(
        &self,
        portal: &Portal,
        user: &UserId,
        kind: &str,
    ) -> Result<bool, Failure> {
        Ok(self.rights_that_mute(portal, user, kind).await?.is_some())
    }

    /// Whether what a linked person's account has written stays out of a portal's room,
    /// because they are banned from it or muted there. They are told once for each ban, and
    /// for each state of the rights.
    pub(in crate::bridge) async fn keeps_linked_out(
        &self,
        portal: &Portal,
        message: &RocketMessage,
    ) -> Result<bool, Failure> {
        let id = &message.u.id;
        let (user, by, what) = match self.ban_of_linked(portal, id).await? {
            Some((user, ban)) => (user, ban.event_id, "banned from"),
            None => match self.mute_of_linked(portal, id, "m.room.message").await? {
                Some((user, rights)) => (user, rights.event_id, "muted in"),
                None => return Ok(false),
            },
        };
        let told_of = (by, user);
        if locked(&self.linking.told_bans).contains(&told_of) {
            return Ok(true);
        }
        let (by, user) = &told_of;
        tracing::info!(room = %portal.room_id, %user, what, "somebody is not heard in a room");
        let text = format!(
            "{user} is {what} the room {} ({}) on Matrix: what you write does not reach it, from wherever.",
            portal.name, portal.room_id
        );
        let about = RocketMessageId::new(by.as_str());
        // Rights mute several.
        let purpose = match what {
            "muted in" => format!("muted linked {user}"),
            _ => "banned linked".to_owned(),
        };
        let id = derived::telling_id(&about, &purpose);
        let told = self.tell_directly(&message.u.id, &id, &plain(&text)).await;
        match told {
            // They want no messages: it stays out all the same.
            Err(failure) if failure.is_permanent() => {
                tracing::info!(%user, %failure, "somebody cannot be told that they are not heard");
            }
            told => told?,
        }
        locked(&self.linking.told_bans).insert(told_of);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;
    use serde_json::json;

    use super::*;

    #[test]
    fn who_is_below_everybody_is_muted_and_nobody_is_where_all_are() {
        let (alice, bob) = (user_id!("@alice:x.org"), user_id!("@bob:x.org"));
        let of = |levels: serde_json::Value, user: &UserId| {
            is_muted(&PowerLevels::of(levels), user, "m.room.message")
        };
        let muted = json!({ "users": { "@alice:x.org": -1 } });
        assert!(of(muted.clone(), alice));
        assert!(!of(muted, bob));
        // An announcement.
        assert!(!of(json!({ "events_default": 50 }), alice));
        let below = json!({ "users_default": 10, "users": { "@alice:x.org": 5 } });
        assert!(!of(below, alice), "she has less, and may write");
        let named = json!({ "users_default": 10, "events": { "m.room.message": 7 },
            "users": { "@alice:x.org": 5 } });
        assert!(of(named, alice));
    }
}
