//! Acting as somebody's own Matrix user, where an administrator of the homeserver has granted
//! that (`appservice.double_puppet_token`): what a linked person writes on Rocket.Chat is
//! then said by themselves, in rooms in which they are. Everywhere else their ghost speaks.
//!
//! The homeserver sends such events back like any other of that user, perhaps before the
//! bridge knows their ids, or after it was killed. So each bears a seal that follows from a
//! key: nobody else can make one, and it is of one room, sender, type, transaction and time.
//! A client that copies the content (as some do when they forward a message) sends it at
//! another time.

use std::time::Instant;

use ruma::{EventId, RoomId, UserId};
use serde_json::{Value, json};

use super::{GRANT_BELIEVED_FOR, locked};
use crate::bridge::marker::{self, Marker};
use crate::bridge::{Bridge, Failure, derived};
use crate::matrix::Intent;
use crate::rocketchat::documents::UserRef;
use crate::store::{Ghost, InboxEvent, Message, Portal};

impl Bridge {
    /// Acts as a user of the bridge, or as somebody real where that is granted.
    pub(in crate::bridge) fn acting(&self, user: &UserId) -> Intent {
        match &self.double_puppets {
            Some(client) if !self.config.is_ours(user) => client.as_user(user.to_owned()),
            _ => self.matrix.as_user(user.to_owned()),
        }
    }

    /// Whether the homeserver lets the bridge act as somebody real.
    pub(in crate::bridge) async fn may_act_as(&self, user: &UserId) -> Result<bool, Failure> {
        let Some(client) = &self.double_puppets else {
            return Ok(false);
        };
        if self.config.is_ours(user) || user.server_name() != self.config.homeserver.server_name {
            return Ok(false);
        }
        let known = locked(&self.linking.granted).get(user).copied();
        if let Some((at, granted)) = known
            && at.elapsed() < GRANT_BELIEVED_FOR
        {
            return Ok(granted);
        }
        let granted = match client.as_user(user.to_owned()).whoami().await {
            Ok(found) => found == *user,
            // The homeserver has answered: it does not know the token, or the user.
            Err(error) if error.is_forbidden() || error.is_unknown_token() => {
                tracing::warn!(%user, %error, "the homeserver does not let the bridge act as them; their ghost speaks");
                false
            }
            Err(error) => return Err(error.into()),
        };
        locked(&self.linking.granted).insert(user.to_owned(), (Instant::now(), granted));
        Ok(granted)
    }

    /// Whether the bridge speaks as a linked person themselves in a room now.
    pub(in crate::bridge) async fn speaks_as_themselves(
        &self,
        portal: &Portal,
        user: &UserId,
    ) -> Result<bool, Failure> {
        let here = (portal.room_id.clone(), user.to_owned());
        if locked(&self.linking.unfit).contains(&here) || !self.may_act_as(user).await? {
            return Ok(false);
        }
        if locked(&self.linking.present).contains(&here) {
            return Ok(true);
        }
        let reader = self.reader(portal).await?;
        let member = reader
            .state(&portal.room_id, "m.room.member", user.as_str())
            .await?;
        let membership = member.as_ref().and_then(|member| member.get("membership"));
        let is_there = membership.and_then(Value::as_str) == Some("join");
        if is_there {
            locked(&self.linking.present).insert(here);
        }
        Ok(is_there)
    }

    /// Somebody's membership of a room has changed.
    pub(in crate::bridge) fn forget_presence(&self, room: &RoomId, user: &UserId) {
        let here = (room.to_owned(), user.to_owned());
        locked(&self.linking.present).remove(&here);
        locked(&self.linking.unfit).remove(&here);
    }

    /// In a room their own user was refused what the ghost may do: it speaks there from now
    /// on, until they come again.
    pub(in crate::bridge) fn note_unfit(&self, room: &RoomId, user: &UserId) {
        let here = (room.to_owned(), user.to_owned());
        tracing::info!(%room, %user, "they may not do that in this room themselves; their ghost does");
        locked(&self.linking.present).remove(&here);
        locked(&self.linking.unfit).insert(here);
    }

    /// Who says on Matrix what somebody of Rocket.Chat does in a portal: their ghost, or
    /// they themselves.
    pub(in crate::bridge) async fn says_as(
        &self,
        portal: &Portal,
        user: &UserRef,
    ) -> Result<Ghost, Failure> {
        let ghost = self.ghost_of(user).await?;
        let is_peer = portal.kind.direct_peers().any(|peer| *peer == user.id);
        if is_peer {
            return Ok(ghost);
        }
        match self.store.linked(&user.id)? {
            Some(link) if self.speaks_as_themselves(portal, &link.matrix_id).await? => Ok(Ghost {
                user_id: link.matrix_id,
                ..ghost
            }),
            _ => Ok(ghost),
        }
    }

    /// Who has sent the events of a message, if the bridge may still speak as them for this
    /// author. None of somebody else's words, and of those of a person who was linked then
    /// and is no more.
    pub(in crate::bridge) async fn sender_of(
        &self,
        portal: &Portal,
        known: &Message,
        author: &UserRef,
    ) -> Result<Option<Ghost>, Failure> {
        let ghost = self.ghost_of(author).await?;
        if ghost.user_id == known.sender {
            return Ok(Some(ghost));
        }
        let Some(link) = self.store.linked(&author.id)? else {
            return Ok(None);
        };
        let is_theirs = link.matrix_id == known.sender;
        let may = is_theirs && self.speaks_as_themselves(portal, &known.sender).await?;
        Ok(may.then_some(Ghost {
            user_id: link.matrix_id,
            ..ghost
        }))
    }

    /// Who takes away what a message became on Matrix: who sent it, where the bridge may
    /// act as them now.
    pub(in crate::bridge) async fn eraser_of(
        &self,
        portal: &Portal,
        sender: &UserId,
    ) -> Result<Intent, Failure> {
        if self.config.is_ours(sender) {
            return Ok(self.matrix.as_user(sender.to_owned()));
        }
        let is_linked = self.store.linked_user(sender)?.is_some();
        match is_linked && self.speaks_as_themselves(portal, sender).await? {
            true => Ok(self.acting(sender)),
            false => self.reader(portal).await,
        }
    }

    /// Marks an event that the bridge sends as somebody real.
    pub(in crate::bridge) fn seal_event(
        &self,
        content: &Value,
        room: &RoomId,
        sender: &UserId,
        kind: &str,
        txn: &str,
        at: Option<u64>,
    ) -> Value {
        let key = &self.registration.as_token;
        let mac = derived::event_seal(key, room, sender, kind, txn, at);
        let mut sealed = content.clone();
        marker::stamp_seal(
            &mut sealed,
            json!({ "txn": txn, "at": at, "mac": mac.expose() }),
        );
        sealed
    }

    /// Whether an event of somebody real is one that the bridge has sent as them.
    pub(in crate::bridge) fn is_sent_by_us(
        &self,
        event: &InboxEvent,
        json: &Value,
        content: &Value,
    ) -> Result<bool, Failure> {
        let time = json.get("origin_server_ts").and_then(Value::as_u64);
        let seen = Seen {
            room: &event.room_id,
            sender: &event.sender,
            kind: &event.kind,
            event: &event.event_id,
            time,
        };
        self.has_our_seal(&seen, content)
    }

    /// As [`Bridge::is_sent_by_us`], of an event that was read in a room.
    pub(in crate::bridge) fn has_our_seal(
        &self,
        seen: &Seen<'_>,
        content: &Value,
    ) -> Result<bool, Failure> {
        let Some(seal) = marker::seal_of(content) else {
            return Ok(false);
        };
        let text = |key: &str| seal.get(key).and_then(Value::as_str);
        let (Some(txn), Some(mac)) = (text("txn"), text("mac")) else {
            return Ok(false);
        };
        let at = seal.get("at").and_then(Value::as_u64);
        let key = &self.registration.as_token;
        let expected = derived::event_seal(key, seen.room, seen.sender, seen.kind, txn, at);
        if !expected.matches(mac) {
            return Ok(false);
        }
        if at.is_none() || at == seen.time {
            return Ok(true);
        }
        // A homeserver that sets its own time, or a copy: of a copy the record knows the
        // event that it was made from.
        let known = match (Marker::of(content), self.store.portal_of_room(seen.room)?) {
            (Some(marker), Some(portal)) => {
                let message = marker.message_id;
                self.store.message(&portal.id, &message)?
            }
            _ => None,
        };
        Ok(known.is_none_or(|known| known.events.iter().any(|event| event == seen.event)))
    }
}

/// What an event is known by.
pub(in crate::bridge) struct Seen<'a> {
    /// Its room.
    pub room: &'a RoomId,
    /// Who sent it.
    pub sender: &'a UserId,
    /// Its type.
    pub kind: &'a str,
    /// Its id.
    pub event: &'a EventId,
    /// When (ms), as the homeserver says.
    pub time: Option<u64>,
}
