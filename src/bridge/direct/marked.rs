//! `m.direct`: what tells the clients of a Matrix user which rooms are direct messages. It
//! is account data of theirs, so the bridge changes it only where an administrator has
//! granted that (`appservice.double_puppet_token`), and only for users of its own
//! homeserver. A room is marked once: who takes the mark away again keeps it away.

use std::sync::Arc;
use std::time::Duration;

use ruma::{OwnedUserId, RoomId, UserId};
use serde_json::{Map, Value};

use crate::bridge::{Bridge, Failure};
use crate::store::Portal;

/// The type of the account data.
const DIRECT: &str = "m.direct";

/// How long between two looks that nobody asks for.
const BETWEEN_LOOKS: Duration = Duration::from_secs(15 * 60);

/// How long between two looks at the least: each goes through all portals.
const REST: Duration = Duration::from_millis(500);

impl Bridge {
    /// A room has become a direct message, or is none any more: its people's clients are
    /// told soon.
    pub(in crate::bridge) fn direct_rooms_changed(&self) {
        self.marking.notify_one();
    }

    /// Marks rooms for as long as the bridge runs. Ends at once where that is not granted.
    pub(in crate::bridge) async fn mark_direct_rooms(self: Arc<Self>) {
        if self.double_puppets.is_none() {
            return;
        }
        loop {
            self.mark_what_changed().await;
            tokio::time::sleep(REST).await;
            let _ = tokio::time::timeout(BETWEEN_LOOKS, self.marking.notified()).await;
        }
    }

    async fn mark_what_changed(&self) {
        for (room, user) in self.store.all_marked_direct() {
            let portal = match self.store.portal_of_room(&room) {
                Ok(portal) => portal,
                Err(error) => {
                    tracing::warn!(%error, "it is not known whether a room is a direct message");
                    continue;
                }
            };
            let is_direct = portal.is_some_and(|portal| {
                let mut users = portal.kind.direct_users();
                users.any(|one| *one == user)
            });
            // While a group is being made of it, it may yet stay one.
            if is_direct || !matches!(self.store.gathering(&room), Ok(None)) {
                continue;
            }
            let done = self.persevere(async |_| self.unmark_direct(&room, &user).await);
            if let Err(failure) = done.await {
                tracing::warn!(%room, %user, %failure, "a room stays marked as a direct message");
            }
        }
        for portal in self.store.portals() {
            for user in portal.kind.direct_users() {
                if !self.are_local([user])
                    || !matches!(
                        self.store.is_marked_direct(&portal.room_id, user),
                        Ok(false)
                    )
                {
                    continue;
                }
                let done = self.persevere(async |_| self.mark_direct(&portal, user).await);
                if let Err(failure) = done.await {
                    tracing::warn!(room = %portal.room_id, %user, %failure, "a direct message cannot be marked as one");
                }
            }
        }
    }

    async fn mark_direct(&self, portal: &Portal, user: &UserId) -> Result<(), Failure> {
        let mut ghosts = Vec::new();
        for peer in portal.kind.direct_peers() {
            if let Some(ghost) = self.store.ghost(peer)? {
                ghosts.push(ghost.user_id);
            }
        }
        self.change_marks(user, |marks| add(marks, &portal.room_id, &ghosts))
            .await?;
        Ok(self.store.note_marked_direct(&portal.room_id, user)?)
    }

    async fn unmark_direct(&self, room: &RoomId, user: &UserId) -> Result<(), Failure> {
        self.change_marks(user, |marks| remove(marks, room)).await?;
        Ok(self.store.note_not_marked_direct(room, user)?)
    }

    /// Changes a user's marks, if `change` says that it did.
    async fn change_marks(
        &self,
        user: &UserId,
        change: impl FnOnce(&mut Map<String, Value>) -> bool,
    ) -> Result<(), Failure> {
        let Some(client) = &self.double_puppets else {
            return Ok(());
        };
        let intent = client.as_user(user.to_owned());
        let mut marks = match intent.account_data(DIRECT).await? {
            None => Map::new(),
            Some(Value::Object(marks)) => marks,
            Some(_) => {
                return Err(Failure::Refused(
                    "Their `m.direct` is not of the form that it should have.".into(),
                ));
            }
        };
        if change(&mut marks) {
            intent
                .set_account_data(DIRECT, &Value::Object(marks))
                .await?;
        }
        Ok(())
    }
}

/// Puts a room under each of these users. Whether anything changed.
fn add(marks: &mut Map<String, Value>, room: &RoomId, users: &[OwnedUserId]) -> bool {
    let mut changed = false;
    for user in users {
        let rooms = marks
            .entry(user.as_str())
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Some(rooms) = rooms.as_array_mut()
            && !rooms.iter().any(|known| known == room.as_str())
        {
            rooms.push(room.as_str().into());
            changed = true;
        }
    }
    changed
}

/// Takes a room away from everybody. Whether anything changed.
fn remove(marks: &mut Map<String, Value>, room: &RoomId) -> bool {
    let mut changed = false;
    marks.retain(|_, rooms| {
        let Some(rooms) = rooms.as_array_mut() else {
            return true;
        };
        let before = rooms.len();
        rooms.retain(|known| known != room.as_str());
        changed |= rooms.len() != before;
        !rooms.is_empty() || before == 0
    });
    changed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::{room_id, user_id};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_room_is_marked_once_and_nothing_else_is_touched() {
        let mut marks = json!({ "@b:x": ["!old:x"], "@odd:x": 5 })
            .as_object()
            .unwrap()
            .clone();
        let users = [user_id!("@a:x").to_owned(), user_id!("@b:x").to_owned()];
        assert!(add(&mut marks, room_id!("!new:x"), &users));
        assert!(!add(&mut marks, room_id!("!new:x"), &users));
        assert_eq!(
            Value::Object(marks.clone()),
            json!({ "@a:x": ["!new:x"], "@b:x": ["!old:x", "!new:x"], "@odd:x": 5 })
        );
        assert!(remove(&mut marks, room_id!("!new:x")));
        assert!(!remove(&mut marks, room_id!("!new:x")));
        assert_eq!(
            Value::Object(marks),
            json!({ "@b:x": ["!old:x"], "@odd:x": 5 })
        );
    }
}
