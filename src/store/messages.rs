//! Messages that are on both sides, and what belongs to them: reactions, threads,
//! the pictures of emoji.

use std::collections::HashMap;
use std::sync::PoisonError;

use ruma::{EventId, MxcUri, RoomId};

use super::change::Change;
use super::keys::{self, Key};
use super::records::{CustomEmoji, Message, MessageRef, Reactions, Text, Thread};
use super::{PortalId, Store, StoreError};
use crate::rocketchat::RocketMessageId;

impl Store {
    /// The message with that Rocket.Chat id, in that room only; also by the id of
    /// one that continues it.
    ///
    /// # Errors
    /// When the store fails.
    pub fn message(
        &self,
        portal: &PortalId,
        id: &RocketMessageId,
    ) -> Result<Option<Message>, StoreError> {
        if let Some(message) = self.get(&keys::message(portal, id))? {
            return Ok(Some(message));
        }
        match self.get::<Text>(&keys::continued(portal, id))? {
            Some(first) => self.get(&keys::message(portal, &RocketMessageId::new(first.0))),
            None => Ok(None),
        }
    }

    /// Whether anything was mirrored from or to a Matrix room.
    ///
    /// # Errors
    /// When the store fails.
    pub fn has_messages_in(&self, room: &RoomId) -> Result<bool, StoreError> {
        let first = self.db.scan_prefix(keys::messages_in_room(room)).next();
        Ok(first.transpose()?.is_some())
    }

    /// The messages that are in a Matrix room.
    ///
    /// # Errors
    /// When the store fails.
    pub fn messages_in(&self, room: &RoomId) -> Result<Vec<Message>, StoreError> {
        let mut messages = HashMap::new();
        for item in self.scan::<MessageRef>(&keys::messages_in_room(room)) {
            let (_, of) = item?;
            if !messages.contains_key(&of.id)
                && let Some(message) = self.message(&of.portal, &of.id)?
            {
                messages.insert(of.id, message);
            }
        }
        Ok(messages.into_values().collect())
    }

    /// Changes a message's record as it is now; whether there is one.
    ///
    /// # Errors
    /// When the store fails.
    pub fn amend_message(
        &self,
        portal: &PortalId,
        id: &RocketMessageId,
        amend: impl FnOnce(&mut Message),
    ) -> Result<bool, StoreError> {
        let _alone = self.amending.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut message) = self.message(portal, id)? else {
            return Ok(false);
        };
        amend(&mut message);
        self.change().message(&message).commit()?;
        Ok(true)
    }

    /// Notes a message that is about to be posted on Rocket.Chat, so that what
    /// happens to it there is understood before its answer comes. What an earlier
    /// attempt has noted of it stays, and is returned.
    ///
    /// # Errors
    /// When the store fails.
    pub fn begin_message(&self, message: &Message) -> Result<Option<Message>, StoreError> {
        let _alone = self.amending.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.get(&keys::message(&message.portal_id(), &message.id))?;
        if known.is_none() {
            self.change().message(message).commit()?;
        }
        Ok(known)
    }

    /// Writes a message down that is on both sides now, together with `change`. If it
    /// was deleted meanwhile, or is pinned, it stays so.
    ///
    /// # Errors
    /// When the store fails; then nothing changed.
    pub fn finish_message(&self, message: Message, change: Change<'_>) -> Result<(), StoreError> {
        let _alone = self.amending.lock().unwrap_or_else(PoisonError::into_inner);
        let meanwhile: Option<Message> =
            self.get(&keys::message(&message.portal_id(), &message.id))?;
        let finished = match meanwhile {
            Some(known) => Message {
                deleted: known.deleted,
                pinned: known.pinned,
                foreign_revision: known.foreign_revision,
                ..message
            },
            None => message,
        };
        change.message(&finished).commit()
    }

    /// The message that an event is of, in that room only.
    ///
    /// # Errors
    /// When the store fails.
    pub fn message_of_event(
        &self,
        room: &RoomId,
        event: &EventId,
    ) -> Result<Option<Message>, StoreError> {
        self.message_at(&keys::message_of_event(room, event))
    }

    /// The message that an event edits, in that room only.
    ///
    /// # Errors
    /// When the store fails.
    pub fn message_of_edit(
        &self,
        room: &RoomId,
        event: &EventId,
    ) -> Result<Option<Message>, StoreError> {
        self.message_at(&keys::edit_event(room, event))
    }

    /// The message that a reaction is to, in that room only, and which of its ids on
    /// Rocket.Chat has the reaction.
    ///
    /// # Errors
    /// When the store fails.
    pub fn message_of_reaction(
        &self,
        room: &RoomId,
        event: &EventId,
    ) -> Result<Option<(Message, RocketMessageId)>, StoreError> {
        let Some(found) = self.get::<MessageRef>(&keys::reaction_event(room, event))? else {
            return Ok(None);
        };
        let message = self.message(&found.portal, &found.id)?;
        Ok(message.map(|message| (message, found.id)))
    }

    fn message_at(&self, key: &Key) -> Result<Option<Message>, StoreError> {
        match self.get::<MessageRef>(key)? {
            Some(found) => self.message(&found.portal, &found.id),
            None => Ok(None),
        }
    }

    /// The reactions to a message.
    ///
    /// # Errors
    /// When the store fails.
    pub fn reactions(
        &self,
        portal: &PortalId,
        id: &RocketMessageId,
    ) -> Result<Reactions, StoreError> {
        Ok(self.get(&keys::reactions(portal, id))?.unwrap_or_default())
    }

    /// What is known of a thread beyond its first message.
    ///
    /// # Errors
    /// When the store fails.
    pub fn thread(
        &self,
        portal: &PortalId,
        first: &RocketMessageId,
    ) -> Result<Option<Thread>, StoreError> {
        self.get(&keys::thread(portal, first))
    }

    /// The first message on Rocket.Chat of the thread with that root.
    ///
    /// # Errors
    /// When the store fails.
    pub fn thread_of_root(
        &self,
        room: &RoomId,
        root: &EventId,
    ) -> Result<Option<RocketMessageId>, StoreError> {
        let found = self.get::<Text>(&keys::thread_of_root(room, root))?;
        Ok(found.map(|id| RocketMessageId::new(id.0)))
    }

    /// A custom emoji whose image is on Matrix.
    ///
    /// # Errors
    /// When the store fails.
    pub fn custom_emoji(&self, name: &str) -> Result<Option<CustomEmoji>, StoreError> {
        self.get(&keys::custom_emoji(name))
    }

    /// The name of the custom emoji with that image.
    ///
    /// # Errors
    /// When the store fails.
    pub fn custom_emoji_by_image(&self, image: &MxcUri) -> Result<Option<String>, StoreError> {
        let found = self.get::<Text>(&keys::custom_emoji_by_image(image))?;
        Ok(found.map(|name| name.0))
    }
}
