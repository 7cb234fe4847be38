//! Who somebody of Rocket.Chat is in a Matrix room, and what they do there to others: with
//! the power of who they are. That is their ghost, or the Matrix user with whom they are one
//! person, to whom the rights in the room belong then.

use ruma::{OwnedUserId, RoomId, UserId};
use serde_json::Value;

use crate::bridge::power::PowerLevels;
use crate::bridge::{Bridge, Failure};
use crate::matrix::{self, Intent};
use crate::rocketchat::RocketUserId;
use crate::store::Portal;

/// By whom something is done on Matrix that somebody of Rocket.Chat does.
pub(in crate::bridge) enum Hand {
    /// By them: their ghost, or their own user. The homeserver knows what they may.
    Theirs(Intent),
    /// By the bot, for this user, where they might do it themselves: the bridge cannot act
    /// as them.
    Lent(OwnedUserId),
}

/// Whether somebody may do to another what takes that level.
pub(in crate::bridge) fn has_power_over(
    levels: &PowerLevels,
    who: &UserId,
    target: &UserId,
    what: &str,
) -> bool {
    let own = levels.level_of(who);
    own >= levels.level(what) && own > levels.level_of(target)
}

impl Bridge {
    async fn membership_of(&self, room: &RoomId, user: &UserId) -> Result<String, Failure> {
        let bot = self.matrix.bot();
        let member = bot.state(room, "m.room.member", user.as_str()).await?;
        let membership = member.as_ref().and_then(|member| member.get("membership"));
        let membership = membership.and_then(Value::as_str);
        Ok(membership.unwrap_or("leave").to_owned())
    }

    /// Who somebody of Rocket.Chat is in a portal's room, if they are there now. Where only
    /// the ghost of a linked person is there, it stands in for them, unless they are kept out:
    /// with no power but its own, for levels outlive membership.
    ///
    /// # Errors
    /// When the homeserver fails, or does not show the bot the room.
    pub(in crate::bridge) async fn person_in(
        &self,
        portal: &Portal,
        id: &RocketUserId,
    ) -> Result<Option<OwnedUserId>, Failure> {
        let room = &portal.room_id;
        let ghost = self.store.ghost(id)?.map(|ghost| ghost.user_id);
        let Some(link) = self.store.linked(id)? else {
            return match ghost {
                Some(ghost) if self.membership_of(room, &ghost).await? == "join" => Ok(Some(ghost)),
                _ => Ok(None),
            };
        };
        match self.membership_of(room, &link.matrix_id).await?.as_str() {
            "join" => return Ok(Some(link.matrix_id)),
            "ban" => return Ok(None),
            _ => {}
        }
        match ghost {
            Some(ghost) if self.membership_of(room, &ghost).await? == "join" => Ok(Some(ghost)),
            _ => Ok(None),
        }
    }

    /// By whom it is done in a portal's room what somebody of Rocket.Chat does to another;
    /// none when they are not there.
    pub(in crate::bridge) async fn hand_of(
        &self,
        portal: &Portal,
        id: &RocketUserId,
    ) -> Result<Option<Hand>, Failure> {
        let room = &portal.room_id;
        if let Some(link) = self.store.linked(id)? {
            if self.speaks_as_themselves(portal, &link.matrix_id).await? {
                return Ok(Some(Hand::Theirs(self.acting(&link.matrix_id))));
            }
            let person = self.person_in(portal, id).await?;
            return Ok(person.map(|user| match self.config.is_ours(&user) {
                true => Hand::Theirs(self.acting(&user)),
                false => Hand::Lent(user),
            }));
        }
        let Some(ghost) = self.store.ghost(id)? else {
            return Ok(None);
        };
        let is_there = self.store.is_ghost_in_room(room, &ghost.user_id)?;
        Ok(is_there.then(|| Hand::Theirs(self.as_ghost(&ghost))))
    }

    /// Removes somebody from a portal's room; false when that is refused.
    pub(in crate::bridge) async fn kick_by_hand(
        &self,
        portal: &Portal,
        hand: &Hand,
        target: &UserId,
    ) -> Result<bool, Failure> {
        let room = &portal.room_id;
        let done = match hand {
            Hand::Theirs(intent) => intent.kick(room, target, None).await,
            Hand::Lent(user) => {
                let levels = self.power_levels(portal).await?;
                if !has_power_over(&levels, user, target, "kick") {
                    return Ok(false);
                }
                let reason = at_the_word_of(user, "");
                self.matrix.bot().kick(room, target, Some(&reason)).await
            }
        };
        match done {
            Ok(()) => Ok(true),
            Err(error) if error.is_forbidden() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Invites somebody into a portal's room; false when that is refused.
    pub(in crate::bridge) async fn invite_by_hand(
        &self,
        portal: &Portal,
        hand: &Hand,
        guest: &UserId,
    ) -> Result<bool, Failure> {
        let room = &portal.room_id;
        let done = match hand {
            Hand::Theirs(intent) => intent.invite(room, guest, None).await,
            Hand::Lent(user) => {
                let levels = self.power_levels(portal).await?;
                if levels.level_of(user) < levels.level("invite") {
                    return Ok(false);
                }
                let reason = at_the_word_of(user, "");
                self.matrix.bot().invite(room, guest, Some(&reason)).await
            }
        };
        match done {
            Ok(()) => Ok(true),
            Err(error) if is_refusal(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether it cannot be done, however often it is tried: they may not, or the other wants no
/// invitations.
fn is_refusal(error: &matrix::Error) -> bool {
    use crate::retry::{Advice, Retryable as _};
    matches!(error.advice(), Advice::GiveUp)
}

/// A reason that says for whom the bot does it.
pub(in crate::bridge) fn at_the_word_of(user: &UserId, reason: &str) -> String {
    match reason {
        "" => format!("at the word of {user}"),
        reason => format!("{reason} (at the word of {user})"),
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;
    use serde_json::json;

    use super::*;

    #[test]
    fn nobody_has_power_over_those_who_have_as_much() {
        let levels = PowerLevels::of(json!({ "users": { "@a:x.org": 50, "@b:x.org": 50 } }));
        let (a, b, c) = (
            user_id!("@a:x.org"),
            user_id!("@b:x.org"),
            user_id!("@c:x.org"),
        );
        assert!(has_power_over(&levels, a, c, "kick"));
        assert!(!has_power_over(&levels, a, b, "kick"));
        assert!(!has_power_over(&levels, c, a, "kick"));
    }
}
