//! Rooms that their people encrypt on Rocket.Chat (end to end, in private groups and direct
//! messages): the bridge cannot read what is said there, and must not say anything in clear
//! among people who believe that nobody else reads along. Both sides are told once; what is
//! said on Matrix comes back to whoever said it. It goes on by itself when they switch
//! encryption off.
//!
//! News are only a reason to ask: `rooms.info` is what counts. Lists of rooms do not tell
//! (Rocket.Chat 6.14: no `encrypted` in `rooms.adminRooms`).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::json;

use super::from_rocketchat::Document;
use super::{Bridge, Failure, derived, marker};
use crate::rocketchat::documents::{Message as RocketMessage, Room, RoomType, UserRef};
use crate::rocketchat::rest::OutgoingMessage;
use crate::rocketchat::{RocketMessageId, RocketRoomId};
use crate::store::{Portal, PortalId, PortalKind};

/// In which connection to Rocket.Chat each room was asked about last, unless something
/// has come since that tells of encryption.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<AskedRooms>);

#[derive(Debug, Default)]
struct AskedRooms {
    in_connection: HashMap<PortalId, u64>,
    /// How often something came: an answer of before it says nothing.
    doubts: u64,
}

impl Asked {
    fn lock(&self) -> MutexGuard<'_, AskedRooms> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_current(&self, portal: &PortalId, connection: Option<u64>) -> bool {
        connection.is_some() && self.lock().in_connection.get(portal).copied() == connection
    }

    fn doubts(&self) -> u64 {
        self.lock().doubts
    }

    fn note(&self, portal: &PortalId, connection: Option<u64>, doubts: u64) {
        let mut asked = self.lock();
        if let Some(connection) = connection
            && asked.doubts == doubts
        {
            asked.in_connection.insert(portal.clone(), connection);
        }
    }

    fn doubt(&self, portal: &PortalId) {
        let mut asked = self.lock();
        asked.doubts += 1;
        asked.in_connection.remove(portal);
    }
}

impl Bridge {
    /// Something has come from Rocket.Chat, and may wait for long: from now on nothing is
    /// said there before it was asked whether the room is encrypted.
    pub(super) fn doubt_if_about_encryption(&self, portal: &PortalId, document: &Document) {
        if let Document::Message(message) = document
            && is_about_encryption(message)
        {
            self.encryption_asked.doubt(portal);
        }
    }

    /// Deals with a message that nobody but the people of its room can read, or that tells
    /// of encryption in it. Whether it is such a one.
    pub(super) async fn take_unreadable(
        &self,
        portal: &Portal,
        message: &RocketMessage,
    ) -> Result<bool, Failure> {
        if !is_about_encryption(message) {
            return Ok(false);
        }
        let is_secret = message.t.as_deref() == Some("e2e");
        let known = self.store.room_state(&portal.id)?;
        // Rocket.Chat sends a message again for many reasons.
        let is_news = !is_secret || message.ts.0 > known.secret_seen;
        if message.ts.0 <= portal.since || !is_news {
            return Ok(true);
        }
        if !is_secret || !known.encrypted || !known.told_encrypted {
            let by = self.is_for_matrix(message).await?.then_some(&message.u);
            self.look_at_encryption(portal, is_secret, by).await?;
        }
        if is_secret {
            self.store.amend_room_state(&portal.id, |state| {
                state.secret_seen = state.secret_seen.max(message.ts.0);
            })?;
        }
        Ok(true)
    }

    /// Refuses what is said on Matrix while people on Rocket.Chat encrypt: the server itself
    /// takes it, in clear (6.14, recording 90).
    pub(super) async fn refuse_if_encrypted(&self, portal: &Portal) -> Result<(), Failure> {
        let connection = self.rooms.connection();
        let was_encrypted = self.store.room_state(&portal.id)?.encrypted;
        // Channels cannot be encrypted. Of what was switched on in this connection a message
        // tells; before it nobody listened.
        let is_known = portal.kind == PortalKind::Channel
            || self.encryption_asked.is_current(&portal.id, connection);
        if is_known && !was_encrypted {
            return Ok(());
        }
        let doubts = self.encryption_asked.doubts();
        let is_encrypted = self.look_at_encryption(portal, false, None).await?;
        self.encryption_asked.note(&portal.id, connection, doubts);
        match is_encrypted {
            true => Err(Failure::Refused(
                "The room is encrypted on Rocket.Chat, and the bridge cannot encrypt: it would be there for all to read.".into(),
            )),
            false => Ok(()),
        }
    }

    /// Looks whether a room is encrypted now, and says so on both sides when that is new;
    /// `is_secret` when something has come that is. Whether it is encrypted.
    async fn look_at_encryption(
        &self,
        portal: &Portal,
        is_secret: bool,
        by: Option<&UserRef>,
    ) -> Result<bool, Failure> {
        let known = self.store.room_state(&portal.id)?;
        let now = match self.is_encrypted_now(portal).await? {
            Some(now) => now,
            // It cannot be asked: it is as it was, or as what has come says.
            None => known.encrypted || is_secret,
        };
        // Before anybody is told, which may fail or take its time.
        if now && !known.encrypted {
            self.store.amend_room_state(&portal.id, |state| {
                state.encrypted = true;
                state.told_encrypted = false;
            })?;
            self.store.flushed().await?;
        }
        let is_told = known.told_encrypted;
        let is_noted = is_told && known.encrypted;
        let told = match (now, is_told) {
            (true, _) if !is_noted => {
                let text = "This room is end-to-end encrypted on Rocket.Chat, and the bridge cannot read or write encrypted messages: nothing is mirrored between the two sides until somebody switches encryption off there.";
                let told = self.say_encryption_on_matrix(portal, by, known.said, text);
                self.as_far_as_told(told.await)?;
                let text = "This room is encrypted, and the bridge to Matrix cannot read or write encrypted messages: nothing is mirrored between here and Matrix until somebody switches encryption off.";
                if !self.is_told_through_another(portal)? {
                    self.say_encryption_on_rocketchat(portal, known.said, text)
                        .await?;
                }
                true
            }
            // By now it is off, or somebody's program says what it likes.
            (false, false) if is_secret => {
                let text = "Something was written encrypted on Rocket.Chat, and the bridge cannot read it: such messages are missing here.";
                let told = self.say_encryption_on_matrix(portal, by, known.said, text);
                self.as_far_as_told(told.await)?;
                true
            }
            (false, true) if !is_secret => {
                if known.encrypted {
                    let text = "This room is no longer encrypted on Rocket.Chat: messages are mirrored again. What was written encrypted stays there.";
                    let told = self.say_encryption_on_matrix(portal, by, known.said, text);
                    self.as_far_as_told(told.await)?;
                }
                false
            }
            _ => is_told,
        };
        if told != is_told || now != known.encrypted {
            tracing::info!(rid = %portal.rid, encrypted = now, "encryption on Rocket.Chat");
            self.store.amend_room_state(&portal.id, |state| {
                state.said += 1;
                state.encrypted = now;
                state.told_encrypted = told;
            })?;
        }
        Ok(now)
    }

    /// Whether people on Rocket.Chat know already, by another portal of the same room.
    fn is_told_through_another(&self, portal: &Portal) -> Result<bool, Failure> {
        for other in self.other_portals(portal)? {
            let known = self.store.room_state(&other.id)?;
            if known.encrypted && known.told_encrypted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a room is encrypted; none where nobody of the bridge may ask.
    async fn is_encrypted_now(&self, portal: &Portal) -> Result<Option<bool>, Failure> {
        let rid = &portal.rid;
        let room = match portal.kind {
            PortalKind::Direct { .. } => {
                self.as_one_of(
                    portal,
                    |session| async move { session.room_info(rid).await },
                )
                .await
            }
            _ => {
                let asked = self.rocket().await.bot.room_info(rid).await;
                asked.map_err(Failure::from)
            }
        };
        match room {
            Ok(room) => Ok(room.map(|room| room.encrypted)),
            Err(failure) if failure.is_permanent() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// As the bot; in a direct message as the ghost of whoever wrote, or of any of its people.
    async fn say_encryption_on_matrix(
        &self,
        portal: &Portal,
        by: Option<&UserRef>,
        number: u64,
        text: &str,
    ) -> Result<(), Failure> {
        let mut content = json!({ "msgtype": "m.notice", "body": text, "m.mentions": {} });
        marker::stamp_as_own(&mut content);
        let number = number.to_string();
        let txn = derived::state_notice_id(&portal.id, &["encryption", &number]);
        let room = &portal.room_id;
        if !portal.kind.is_direct() {
            let bot = self.matrix.bot();
            bot.send(room, "m.room.message", &content, &txn, None)
                .await?;
            return Ok(());
        }
        let peer = portal.kind.direct_peers().next().cloned();
        let peer = peer.map(|id| UserRef {
            id,
            username: None,
            name: None,
        });
        let Some(speaker) = by.or(peer.as_ref()) else {
            return Ok(());
        };
        let ghost = self.ghost_of(speaker).await?;
        self.send_as_ghost(portal, &ghost, "m.room.message", &content, &txn, None)
            .await?;
        Ok(())
    }

    /// As the bridge's account; in a direct message as the puppet, where there is one that
    /// is nobody's own account: otherwise the others are told each by themselves.
    async fn say_encryption_on_rocketchat(
        &self,
        portal: &Portal,
        number: u64,
        text: &str,
    ) -> Result<(), Failure> {
        let key = &self.registration.as_token;
        let id = derived::encryption_id(key, &format!("{} {number}", portal.id));
        let told = self.say_encryption_in_room(portal, &id, text).await;
        match told {
            // Some servers take nothing in clear into such rooms.
            Err(failure) if failure.is_permanent() => {
                tracing::warn!(rid = %portal.rid, %failure, "nobody on Rocket.Chat could be told that the room is encrypted");
                Ok(())
            }
            told => told,
        }
    }

    async fn say_encryption_in_room(
        &self,
        portal: &Portal,
        id: &RocketMessageId,
        text: &str,
    ) -> Result<(), Failure> {
        let message = OutgoingMessage {
            id,
            rid: &portal.rid,
            msg: text,
            tmid: None,
            alias: None,
            avatar: None,
            emoji: None,
        };
        if !portal.kind.is_direct() {
            self.rocket().await.bot.send_message(&message).await?;
            return Ok(());
        }
        for user in portal.kind.direct_users() {
            let puppet = self.puppet_in(portal, user).await?;
            if !puppet.own {
                let message = &message;
                return self
                    .as_puppet(&puppet, |session| async move {
                        session.send_message(message).await.map(drop)
                    })
                    .await;
            }
        }
        for peer in portal.kind.direct_peers() {
            self.tell_directly(peer, id, text).await?;
        }
        Ok(())
    }

    /// Says in an encrypted group into which the bridge's account or a puppet was invited,
    /// once, that it is not mirrored.
    pub(super) async fn decline_if_encrypted(&self, rid: &RocketRoomId) -> Result<(), Failure> {
        let bot = &self.rocket().await.bot;
        let room = match bot.room_info(rid).await {
            Ok(room) => room,
            Err(error) if error.is_denied() => None,
            Err(error) => return Err(error.into()),
        };
        let is_secret = |room: &Room| room.t == RoomType::Group && room.encrypted;
        if !room.as_ref().is_some_and(is_secret) {
            return Ok(());
        }
        let id = derived::encryption_id(&self.registration.as_token, &format!("invited {rid}"));
        let message = OutgoingMessage {
            id: &id,
            rid,
            msg: "This room is encrypted, and the bridge to Matrix cannot read encrypted messages: it is not mirrored there. Switch encryption off and invite again.",
            tmid: None,
            alias: None,
            avatar: None,
            emoji: None,
        };
        match bot.send_message(&message).await {
            Err(error) if error.is_denied() => {
                tracing::warn!(%rid, %error, "nobody could be told that an encrypted room is not mirrored");
                Ok(())
            }
            sent => Ok(sent.map(drop)?),
        }
    }
}

/// Whether a message is encrypted, or tells of encryption in its room.
fn is_about_encryption(message: &RocketMessage) -> bool {
    let kind = message.t.as_deref().unwrap_or_default();
    kind == "e2e" || kind.starts_with("room_e2e")
}
