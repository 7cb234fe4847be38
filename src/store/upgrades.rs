//! Portals that follow their Matrix room into another.

use ruma::{OwnedRoomId, RoomId};

use super::change::Change;
use super::keys;
use super::records::{InboxEvent, Portal, Text};
use super::{PortalId, Store, StoreError, readable};

impl Store {
    /// The portal that a Matrix room was before it moved on, as it is now.
    ///
    /// # Errors
    /// When the store fails.
    pub fn portal_of_earlier_room(&self, room: &RoomId) -> Result<Option<Portal>, StoreError> {
        match self.get::<Text>(&keys::earlier_room(room))? {
            Some(id) => self.portal(&PortalId::stored(id.0)),
            None => Ok(None),
        }
    }

    /// Every Matrix room that a portal has left and that not everybody has left yet.
    pub fn unfinished_moves(&self) -> Vec<(OwnedRoomId, PortalId)> {
        self.scan::<Text>(keys::UNFINISHED_MOVES)
            .filter_map(|item| readable(item, "unfinished move"))
            .filter_map(|(key, id)| {
                let room = RoomId::parse(*keys::parts(&key)?.first()?).ok()?;
                Some((room, PortalId::stored(id.0)))
            })
            .collect()
    }

    /// The tombstone that waits until the bridge is let into this room.
    ///
    /// # Errors
    /// When the store fails.
    pub fn awaited_upgrade(&self, room: &RoomId) -> Result<Option<InboxEvent>, StoreError> {
        self.get(&keys::awaited_upgrade(room))
    }
}

impl Change<'_> {
    /// A portal moves into another Matrix room. Its messages stay where they are; its
    /// threads begin anew, for relations do not reach across rooms.
    pub fn moved_portal(mut self, from: &Portal, to: &Portal) -> Self {
        for thread in self.store.thread_keys(&to.id) {
            match thread {
                Ok(key) => self = self.unset(key),
                Err(error) => self.failed = Some(error),
            }
        }
        let id = Text(to.id.as_str().to_owned());
        self.forget_room(&from.room_id)
            .portal(to)
            .set(keys::earlier_room(&from.room_id), &id)
            .set(keys::unfinished_move(&from.room_id), &id)
    }

    /// Notes that everybody has followed a portal out of this room.
    pub fn finished_move(self, room: &RoomId) -> Self {
        self.unset(keys::unfinished_move(room))
    }

    /// Notes that a tombstone waits until the bridge is let into this room.
    pub fn awaited_upgrade(self, room: &RoomId, tombstone: &InboxEvent) -> Self {
        self.set(keys::awaited_upgrade(room), tombstone)
    }

    /// Notes that no tombstone waits for this room.
    pub fn no_awaited_upgrade(self, room: &RoomId) -> Self {
        self.unset(keys::awaited_upgrade(room))
    }
}

impl Store {
    fn thread_keys(
        &self,
        portal: &PortalId,
    ) -> impl Iterator<Item = Result<keys::Key, StoreError>> + use<> {
        let keys = self.db.scan_prefix(keys::threads_in(portal)).keys();
        keys.map(|key| Ok(key?.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::{event_id, room_id, user_id};

    use super::*;
    use crate::rocketchat::{RocketMessageId, RocketRoomId};
    use crate::store::{PortalKind, Thread};

    #[test]
    fn a_portal_that_moves_is_found_by_both_rooms_and_begins_its_threads_anew() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), 1 << 20, "example.org", "_rc_").unwrap();
        let (old, new) = (room_id!("!old:example.org"), room_id!("!new"));
        let portal = Portal::own(
            RocketRoomId::new("rid"),
            old.to_owned(),
            PortalKind::Channel,
            "general".into(),
            0,
        );
        let first = RocketMessageId::new("first");
        let thread = Thread {
            root: event_id!("$root").to_owned(),
            latest: event_id!("$root").to_owned(),
        };
        let ghost = user_id!("@_rc_carol:example.org");
        let change = store.change().portal(&portal).ghost_in_room(old, ghost);
        change.thread(&portal, &first, &thread).commit().unwrap();
        let moved = Portal {
            room_id: new.to_owned(),
            ..portal.clone()
        };
        store
            .change()
            .moved_portal(&portal, &moved)
            .commit()
            .unwrap();
        assert_eq!(store.portal_of_room(old).unwrap(), None);
        assert_eq!(store.portal_of_room(new).unwrap(), Some(moved.clone()));
        assert_eq!(store.portal_of_earlier_room(old).unwrap(), Some(moved));
        assert_eq!(store.thread(&portal.id, &first).unwrap(), None);
        let expected = [(old.to_owned(), portal.id)];
        assert_eq!(store.unfinished_moves(), expected);
        assert_eq!(store.ghosts_in_room(old).unwrap(), [ghost.to_owned()]);
        assert!(store.ghosts_in_room(new).unwrap().is_empty());
        store.change().finished_move(old).commit().unwrap();
        assert!(store.unfinished_moves().is_empty());
    }
}
