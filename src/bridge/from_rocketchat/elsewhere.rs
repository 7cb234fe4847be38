//! What people of another Matrix room of the same channel do. To a portal that is news
//! as what people of Rocket.Chat do, and comes by the same way: the records of the other
//! portals tell whose it is. The bot says it, under that person's name: a ghost stands for
//! somebody of Rocket.Chat, and nobody's words are put into another's mouth.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ruma::{OwnedMxcUri, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::json;

use crate::bridge::known_members::Member;
use crate::bridge::perseverance::Attempt;
use crate::bridge::{Bridge, Failure, derived, marker};
use crate::matrix;
use crate::rocketchat::RocketMessageId;
use crate::rocketchat::documents::Message as RocketMessage;
use crate::store::{Ghost, Message, Origin, Portal, StoreError};

/// Somebody who wrote in another Matrix room of the same channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bridge) struct Elsewhere {
    /// Who.
    pub user: OwnedUserId,
    /// In which room.
    room: OwnedRoomId,
    /// As which event, as far as that is known.
    said: Option<ruma::OwnedEventId>,
}

/// How somebody is shown in a room that they are not in (MSC4144).
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// The same for the same person.
    pub id: String,
    /// Their name, and their whole id: names are nobody's own.
    pub name: String,
    /// Their picture.
    pub picture: Option<OwnedMxcUri>,
}

impl Bridge {
    /// The portals that the room of this one has besides it.
    pub(in crate::bridge) fn other_portals(
        &self,
        portal: &Portal,
    ) -> Result<Vec<Portal>, StoreError> {
        let mut portals = self.store.portals_of(&portal.rid)?;
        portals.retain(|other| other.id != portal.id);
        Ok(portals)
    }

    /// Waits until what was noted of something that is about to be posted is on disk, where
    /// other portals have only that to tell whose it is.
    pub(in crate::bridge) async fn flush_for_others(&self, portal: &Portal) -> Result<(), Failure> {
        if !self.other_portals(portal)?.is_empty() {
            self.store.flushed().await?;
        }
        Ok(())
    }

    /// Who wrote a message in another Matrix room of the channel; none when it comes from
    /// Rocket.Chat, from this portal's own room, or from the bridge itself.
    pub(in crate::bridge) async fn elsewhere(
        &self,
        portal: &Portal,
        message: &RocketMessage,
    ) -> Result<Option<Elsewhere>, Failure> {
        if message.hidden || message.federated || self.is_for_matrix(message).await? {
            return Ok(None);
        }
        let own = self.store.message(&portal.id, &message.id)?;
        if own.as_ref().is_some_and(|own| own.origin == Origin::Matrix) {
            return Ok(None);
        }
        for other in self.other_portals(portal)? {
            let known = self.store.message(&other.id, &message.id)?;
            if let Some(known) = known.filter(|known| known.origin == Origin::Matrix) {
                return Ok(Some(Elsewhere {
                    user: known.sender,
                    room: known.room_id,
                    said: known.events.into_iter().next(),
                }));
            }
        }
        // The other portal has ended since.
        let was_shown = own.is_some_and(|own| own.sender == self.config.appservice.bot);
        match self.store.behind_puppet(&message.u.id)? {
            Some(user) if was_shown => Ok(Some(Elsewhere {
                user,
                room: portal.room_id.clone(),
                said: None,
            })),
            _ => Ok(None),
        }
    }

    /// How many bridges carried a message on before this one shows it.
    pub(super) fn hops_before(
        &self,
        portal: &Portal,
        message: &RocketMessage,
    ) -> Result<u32, StoreError> {
        let mut most = 0;
        for other in self.other_portals(portal)? {
            let known = self.store.message(&other.id, &message.id)?;
            most = most.max(known.map_or(0, |known| known.hops));
        }
        Ok(most)
    }

    /// Makes sure that it is known whose file a message of ours brings, also when the queue
    /// of the portal that it came from has not come so far. Whether it is one too many.
    pub(super) async fn note_files_elsewhere(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        attempt: Attempt,
    ) -> Result<bool, Failure> {
        if message.file.is_none() {
            return Ok(false);
        }
        for other in self.other_portals(portal)? {
            if self.note_own_file(&other, message, attempt).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether somebody who writes elsewhere is banned from this portal's room: nobody gets
    /// round that through another room. They are told, once for each ban.
    pub(super) async fn is_banned_here(
        &self,
        portal: &Portal,
        them: &Elsewhere,
    ) -> Result<bool, Failure> {
        let member = self.member_of(&portal.room_id, &them.user).await?;
        let Some(ban) = member.filter(|member| member.membership == "ban") else {
            return Ok(false);
        };
        tracing::info!(room = %portal.room_id, user = %them.user, "who is banned from the room is not shown in it");
        if ban.is_told.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let mut content = json!({
            "msgtype": "m.notice",
            "body": format!("{} is banned from another room of this channel: what they write here is not shown there.", them.user),
            "m.mentions": {},
        });
        if let Some(said) = &them.said {
            content["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": said } });
        }
        marker::stamp_as_own(&mut content);
        let txn = derived::notice_id(&ban.event_id, "banned elsewhere");
        let bot = self.matrix.bot();
        match bot
            .send(&them.room, "m.room.message", &content, &txn, None)
            .await
        {
            Err(error) if error.is_forbidden() || error.is_not_found() => {}
            outcome => drop(outcome?),
        }
        ban.is_told.store(true, Ordering::Relaxed);
        Ok(true)
    }

    /// Who somebody is in a room, as the homeserver said last.
    async fn member_of(
        &self,
        room: &RoomId,
        user: &UserId,
    ) -> Result<Option<Arc<Member>>, matrix::Error> {
        let ask = async || {
            tracing::debug!(%room, %user, "asking who somebody is in a room");
            let event = self
                .matrix
                .bot()
                .state_event(room, "m.room.member", user.as_str())
                .await?;
            Ok(event.map(|event| Member::of(event.event_id, &event.content)))
        };
        self.known_members.get(room, user, ask).await
    }

    /// Tells who wrote something elsewhere that it did not reach this portal's room, as an
    /// answer to what they wrote.
    pub(super) async fn tell_elsewhere(
        &self,
        portal: &Portal,
        them: &Elsewhere,
        message: &RocketMessage,
        why: &str,
    ) -> Result<(), Failure> {
        if them.room == portal.room_id {
            // Their room is mirrored no more.
            tracing::warn!(message = %message.id, user = %them.user, "its author can no longer be told");
            return Ok(());
        }
        let mut content = json!({
            "msgtype": "m.notice",
            "body": format!(
                "This did not reach {}, another room on Matrix of this channel. {why} It is \
                 kept: `!rc resend` tries again.",
                portal.room_id
            ),
            "m.mentions": {},
        });
        if let Some(said) = &them.said {
            content["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": said } });
        }
        marker::stamp_as_own(&mut content);
        let revision = super::revision(message).to_string();
        let about = ["not said here", message.id.as_str(), &revision];
        let txn = derived::state_notice_id(&portal.id, &about);
        let bot = self.matrix.bot();
        match bot
            .send(&them.room, "m.room.message", &content, &txn, None)
            .await
        {
            Err(error) if error.is_forbidden() || error.is_not_found() => {
                tracing::warn!(room = %them.room, user = %them.user, %error, "its author cannot be told");
            }
            outcome => drop(outcome?),
        }
        Ok(())
    }

    /// The bot, as one who says what others wrote.
    pub(super) async fn bot_as_ghost(&self) -> Ghost {
        let rocket = self.rocket().await;
        Ghost {
            rocket_id: rocket.bot.user_id().clone(),
            user_id: self.config.appservice.bot.clone(),
            username: self.config.appservice.bot.localpart().to_owned(),
        }
    }

    /// How somebody is shown who wrote elsewhere, by their profile in that room.
    pub(super) async fn shown_here(&self, them: &Elsewhere) -> Result<Shown, Failure> {
        let member = match self.member_of(&them.room, &them.user).await {
            // The bot is no longer there: the id is enough.
            Err(error) if error.is_forbidden() || error.is_not_found() => None,
            outcome => outcome?,
        };
        let member = member.as_deref();
        let name = match member.and_then(|member| member.name.as_deref()) {
            Some(name) => {
                let name = crate::convert::to_matrix::safe_name(name);
                format!("{} ({})", super::content::shortened(&name), them.user)
            }
            None => them.user.to_string(),
        };
        Ok(Shown {
            id: derived::profile_id(them.user.as_str()),
            name,
            picture: member.and_then(|member| member.picture.clone()),
        })
    }

    /// Whether a reaction was given in another Matrix room of the channel. Whoever asks
    /// holds the lock on the message's reactions.
    pub(super) fn is_given_elsewhere(
        &self,
        portal: &Portal,
        message: &RocketMessageId,
        emoji: &str,
        username: &str,
    ) -> Result<bool, Failure> {
        for other in self.other_portals(portal)? {
            let reactions = self.store.reactions(&other.id, message)?;
            let is_given = reactions.given.iter().any(|given| {
                given.origin == Origin::Matrix && given.emoji == emoji && given.username == username
            });
            if is_given {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The same of who gave it. Rocket.Chat has one of each person, from wherever it came.
    pub(in crate::bridge) fn is_also_given_elsewhere(
        &self,
        portal: &Portal,
        known: &Message,
        reaction: &crate::store::Reaction,
    ) -> Result<bool, Failure> {
        self.is_given_elsewhere(portal, &known.id, &reaction.emoji, &reaction.username)
    }
}
