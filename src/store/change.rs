//! Changes to the store that happen together or not at all.

use ruma::{EventId, RoomId, UserId};

use super::endings::{Departure, Ending, Rest, Unbridged};
use super::keys::{self, Key};
use super::records::{
    CustomEmoji, DeadLetter, EventRef, FileLink, FilePost, Gathering, Ghost, InboxEvent, LeftRoom,
    Message, MessageRef, Number, Portal, Puppet, Reactions, Record, Text, Thread, encode,
};
use super::{PortalId, Store, StoreError};
use crate::rocketchat::{RocketMessageId, RocketRoomId, RocketUserId};

/// Changes that [`Change::commit`] makes all at once.
#[must_use = "nothing is written before `commit`"]
pub struct Change<'a> {
    pub(super) store: &'a Store,
    batch: sled::Batch,
    pub(super) failed: Option<StoreError>,
}

impl<'a> Change<'a> {
    pub(super) fn of(store: &'a Store) -> Self {
        Self {
            store,
            batch: sled::Batch::default(),
            failed: None,
        }
    }

    pub(super) fn set<R: Record>(mut self, key: Key, record: &R) -> Self {
        match encode(record) {
            Ok(bytes) => self.batch.insert(key, bytes),
            Err(error) => self.failed = Some(error),
        }
        self
    }

    pub(super) fn mark(mut self, key: Key) -> Self {
        self.batch.insert(key, &[]);
        self
    }

    pub(super) fn unset(mut self, key: Key) -> Self {
        self.batch.remove(key);
        self
    }

    /// Adds or replaces a portal.
    pub fn portal(self, portal: &Portal) -> Self {
        self.set(keys::portal(&portal.id), portal).set(
            keys::portal_of_room(&portal.room_id),
            &Text(portal.id.as_str().to_owned()),
        )
    }

    /// Ends a portal. Where its Rocket.Chat side has been mirrored to is kept.
    pub fn no_portal(self, portal: &Portal) -> Self {
        self.unset(keys::portal(&portal.id))
            .unset(keys::portal_of_room(&portal.room_id))
            .unset(keys::room_state(&portal.id))
    }

    /// Takes a Matrix room away from its portal, before the portal moves on.
    pub fn forget_room(self, room: &RoomId) -> Self {
        self.unset(keys::portal_of_room(room))
    }

    /// Notes that the people of a room get a private group.
    pub fn gathering(self, gathering: &Gathering) -> Self {
        self.set(keys::gathering(&gathering.room_id), gathering)
    }

    /// Notes that they have got it, or do not get it.
    pub fn no_gathering(self, room: &RoomId) -> Self {
        self.unset(keys::gathering(room))
    }

    /// Notes that a direct message has left a room, which is to be tidied.
    pub fn left_room(self, left: &LeftRoom) -> Self {
        self.set(keys::left_room(&left.portal.room_id), left)
    }

    /// Notes that it is tidy.
    pub fn no_left_room(self, room: &RoomId) -> Self {
        self.unset(keys::left_room(room))
    }

    /// Forgets that a message is on Matrix, with what hangs on it there.
    pub fn unsaid(mut self, message: &Message) -> Self {
        let portal = message.portal_id();
        for event in &message.events {
            self = self.unset(keys::message_of_event(&message.room_id, event));
        }
        self.unset(keys::reactions(&portal, &message.id))
            .unset(keys::thread(&portal, &message.id))
            .unset(keys::message(&portal, &message.id))
    }

    /// Moves a portal's cursor (ms).
    pub fn cursor(self, portal: &PortalId, at: i64) -> Self {
        self.set(keys::cursor(portal), &Number(at))
    }

    /// Notes that the homeserver was well at this time (ms).
    pub fn homeserver_well(self, at: i64) -> Self {
        self.set(keys::homeserver_well(), &Number(at))
    }

    /// Notes the number of the last transaction that arrived.
    pub fn last_transaction(self, number: i64) -> Self {
        self.set(keys::last_transaction(), &Number(number))
    }

    /// Adds or replaces a ghost.
    pub fn ghost(self, ghost: &Ghost) -> Self {
        self.set(keys::ghost(&ghost.rocket_id), ghost).set(
            keys::ghost_by_localpart(ghost.user_id.localpart()),
            &Text(ghost.rocket_id.as_str().to_owned()),
        )
    }

    /// Adds or replaces a puppet.
    pub fn puppet(self, puppet: &Puppet) -> Self {
        self.set(keys::puppet(&puppet.matrix_id), puppet).set(
            keys::puppet_by_rocket_id(&puppet.credentials.user_id),
            &Text(puppet.matrix_id.to_string()),
        )
    }

    /// Adds or replaces a message, found by its id and by each of its events.
    pub fn message(mut self, message: &Message) -> Self {
        let portal = message.portal_id();
        let reference = MessageRef {
            portal: portal.clone(),
            id: message.id.clone(),
        };
        for event in &message.events {
            self = self.set(keys::message_of_event(&message.room_id, event), &reference);
        }
        let first = Text(message.id.as_str().to_owned());
        for id in &message.more {
            self = self.set(keys::continued(&portal, id), &first);
        }
        self.set(keys::message(&portal, &message.id), message)
    }

    /// Adds or replaces what is known of a file on its way, found by its event and by
    /// its uploads.
    pub(super) fn file_post(mut self, post: &FilePost) -> Self {
        let draft = &post.draft;
        let Some(event) = draft.events.first() else {
            return self;
        };
        let reference = EventRef {
            room: draft.room_id.clone(),
            event: event.clone(),
        };
        for key in keys::of_uploads(post) {
            self = self.set(key, &reference);
        }
        self.set(keys::file_post(&draft.room_id, event), post)
    }

    /// Forgets a file that was on its way.
    pub(super) fn no_file_post(mut self, post: &FilePost) -> Self {
        let draft = &post.draft;
        let Some(event) = draft.events.first() else {
            return self;
        };
        for key in keys::of_uploads(post) {
            self = self.unset(key);
        }
        self.unset(keys::file_post(&draft.room_id, event))
    }

    /// Notes that an event edits a message.
    pub fn edit_event(self, message: &Message, event: &EventId) -> Self {
        let reference = MessageRef {
            portal: message.portal_id(),
            id: message.id.clone(),
        };
        self.set(keys::edit_event(&message.room_id, event), &reference)
    }

    /// Replaces the reactions to a message, found by each of their events too.
    pub fn reactions(mut self, message: &Message, reactions: &Reactions) -> Self {
        let portal = message.portal_id();
        let reference = MessageRef {
            portal: portal.clone(),
            id: message.id.clone(),
        };
        for reaction in &reactions.given {
            let key = keys::reaction_event(&message.room_id, &reaction.event);
            self = self.set(key, &reference);
        }
        self.set(keys::reactions(&portal, &message.id), reactions)
    }

    /// Forgets what an event was a reaction to.
    pub fn no_reaction(self, room: &RoomId, event: &EventId) -> Self {
        self.unset(keys::reaction_event(room, event))
    }

    /// Adds or replaces what is known of a thread.
    pub fn thread(self, portal: &Portal, first: &RocketMessageId, thread: &Thread) -> Self {
        self.set(keys::thread(&portal.id, first), thread).set(
            keys::thread_of_root(&portal.room_id, &thread.root),
            &Text(first.as_str().to_owned()),
        )
    }

    /// Adds or replaces a custom emoji.
    pub fn custom_emoji(self, emoji: &CustomEmoji) -> Self {
        self.set(keys::custom_emoji(&emoji.name), emoji).set(
            keys::custom_emoji_by_image(&emoji.image),
            &Text(emoji.name.clone()),
        )
    }

    /// Adds or replaces a link to a file.
    pub fn file_link(self, id: &str, link: &FileLink) -> Self {
        let file = &link.file;
        self.set(keys::linked_file(id), link)
            .mark(keys::link_of_message(&file.portal, &file.message, id))
    }

    /// Ends a link to a file.
    pub fn no_file_link(self, id: &str, link: &FileLink) -> Self {
        let file = &link.file;
        self.unset(keys::linked_file(id))
            .unset(keys::link_of_message(&file.portal, &file.message, id))
    }

    /// Ends all links to files of a message.
    pub fn no_file_links_of(mut self, portal: &PortalId, message: &RocketMessageId) -> Self {
        for key in self.store.file_links_of(portal, message) {
            match key {
                Ok(key) => {
                    if let Some(id) = keys::last_part(&key) {
                        self.batch.remove(keys::linked_file(id));
                    }
                    self.batch.remove(key);
                }
                Err(error) => self.failed = Some(error),
            }
        }
        self
    }

    /// Puts an event into the inbox again that has been there before, under a new
    /// number.
    pub fn again(self, number: u64, event: &InboxEvent) -> Self {
        self.set(keys::inbox(number), event)
    }

    /// Strikes a worked event from the inbox.
    pub fn strike(self, number: u64) -> Self {
        self.unset(keys::inbox(number))
    }

    /// Notes that a ghost is in a room.
    pub fn ghost_in_room(self, room: &RoomId, ghost: &UserId) -> Self {
        self.mark(keys::ghost_in_room(room, ghost))
    }

    /// Notes that a ghost is not in a room, whatever was noted before.
    pub fn ghost_not_in_room(self, room: &RoomId, ghost: &UserId) -> Self {
        self.unset(keys::ghost_in_room(room, ghost))
    }

    /// Notes that the account that acts for a Matrix user is in a portal's room.
    pub fn puppet_in_room(self, portal: &PortalId, puppet: &Puppet) -> Self {
        let key = keys::puppet_in_room(portal, &puppet.matrix_id);
        match puppet.own {
            true => self.set(key, &Text(puppet.credentials.user_id.as_str().to_owned())),
            false => self.mark(key),
        }
    }

    /// Notes that a puppet is not in a portal's room, whatever was noted before.
    pub fn puppet_not_in_room(self, portal: &PortalId, user: &UserId) -> Self {
        self.unset(keys::puppet_in_room(portal, user))
    }

    /// Adds or replaces what is known of the end of a portal, found by either room.
    pub fn ending(self, ending: &Ending) -> Self {
        let portal = &ending.portal;
        self.set(keys::ending(&portal.id), ending).set(
            keys::ending_of_room(&portal.room_id),
            &Text(portal.id.as_str().to_owned()),
        )
    }

    /// A portal has been ended, with all that belonged to it.
    pub fn no_ending(self, ending: &Ending) -> Self {
        let portal = &ending.portal;
        self.unset(keys::ending(&portal.id))
            .unset(keys::ending_of_room(&portal.room_id))
    }

    /// Notes that a room is mirrored no more because somebody wished so.
    pub fn unbridged(self, rid: &RocketRoomId, unbridged: &Unbridged) -> Self {
        self.set(keys::unbridged(rid), unbridged)
    }

    /// Somebody wishes a room to be mirrored again.
    pub fn not_unbridged(self, rid: &RocketRoomId) -> Self {
        self.unset(keys::unbridged(rid))
    }

    /// Notes why a ghost has left its rooms.
    pub fn departure(self, user: &RocketUserId, departure: &Departure) -> Self {
        self.set(keys::departure(user), departure)
    }

    /// The person behind a ghost is there again.
    pub fn no_departure(self, user: &RocketUserId) -> Self {
        self.unset(keys::departure(user))
    }

    /// Notes what is thought of a Matrix user whose account may be gone.
    pub fn rest(self, user: &UserId, rest: Rest) -> Self {
        self.set(keys::rest(user), &rest)
    }

    /// A Matrix user is there.
    pub fn no_rest(self, user: &UserId) -> Self {
        self.unset(keys::rest(user))
    }

    /// Notes that the bot takes commands in a room, or no longer does.
    pub fn bot_room(self, room: &RoomId, takes_commands: bool) -> Self {
        let key = keys::bot_room(room);
        if takes_commands {
            self.mark(key)
        } else {
            self.unset(key)
        }
    }

    /// Sets aside what could not be delivered, once for each id.
    pub fn dead_letter(mut self, letter: &DeadLetter) -> Self {
        match self.store.dead_letter_of(&letter.room_id, &letter.id) {
            Ok(Some(number)) => self = self.unset(keys::dead_letter(number)),
            Ok(None) => {}
            Err(error) => self.failed = Some(error),
        }
        let number = self.store.number();
        let index = keys::dead_letter_of(&letter.room_id, &letter.id);
        match i64::try_from(number) {
            Ok(found) => self.set(index, &Number(found)),
            Err(_) => self,
        }
        .set(keys::dead_letter(number), letter)
    }

    /// The author of what was set aside has been told, unless another form of it has been
    /// set aside since.
    pub fn letter_told(mut self, letter: &DeadLetter) -> Self {
        let (room, id) = (&letter.room_id, &letter.id);
        let found = self.store.dead_letter_of(room, id).and_then(|number| {
            let kept = self.store.letter_of(room, id)?;
            Ok(number.zip(kept))
        });
        match found {
            Ok(Some((number, kept))) if kept.revision == letter.revision => {
                let told = DeadLetter {
                    untold: false,
                    ..kept
                };
                self.set(keys::dead_letter(number), &told)
            }
            Ok(_) => self,
            Err(error) => {
                self.failed = Some(error);
                self
            }
        }
    }

    /// Forgets what had been set aside.
    pub fn no_dead_letter(self, room: &RoomId, id: &str) -> Self {
        match self.store.dead_letter_of(room, id) {
            Ok(Some(number)) => self
                .unset(keys::dead_letter(number))
                .unset(keys::dead_letter_of(room, id)),
            Ok(None) => self,
            Err(error) => {
                let mut failed = self;
                failed.failed = Some(error);
                failed
            }
        }
    }

    /// Makes the changes.
    ///
    /// # Errors
    /// When a record cannot be written or the store fails; then nothing changed.
    pub fn commit(self) -> Result<(), StoreError> {
        match self.failed {
            Some(error) => Err(error),
            None => Ok(self.store.db.apply_batch(self.batch)?),
        }
    }
}
