//! Commands that people give on Rocket.Chat: taken, and answered once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::records::{Number, Record};
use super::{PortalId, Store, StoreError, keys, readable};
use crate::rocketchat::{RocketMessageId, RocketRoomId, RocketUserId};

/// How long it is remembered which commands were answered. Older messages are no commands
/// any more.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(14 * 24 * 3600);

/// What the moment is called up to which commands were looked for.
const MOMENT: &str = "commands";

/// A command that somebody gave on Rocket.Chat: in a message, or through the App.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The message that it stands in; of one that the App brought, that which answers it.
    pub message: RocketMessageId,
    /// Where that was written, or what whoever gave it had before them.
    pub rid: RocketRoomId,
    /// By whom.
    pub by: RocketUserId,
    /// What they want, without the prefix.
    pub words: String,
    /// When (ms, Rocket.Chat's clock).
    pub at: i64,
    /// It was written in the direct message with the bridge's account, or in no room.
    pub to_bot: bool,
    /// It began with the prefix.
    pub prefixed: bool,
    /// The App brought it, by the call with this id.
    #[serde(default)]
    pub call: Option<String>,
}

impl Record for Asked {
    const NAME: &'static str = "command on Rocket.Chat";
}

impl Store {
    /// Takes a command unless it has been taken before. `true` when it is new.
    ///
    /// # Errors
    /// When the store fails.
    pub fn take_asked(&self, asked: &Asked) -> Result<bool, StoreError> {
        let _one_at_a_time = self
            .accepting
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.is_asked(&asked.message)? {
            return Ok(false);
        }
        self.change()
            .set(keys::asked(&asked.message), asked)
            .commit()?;
        Ok(true)
    }

    /// Whether a message was taken for a command, as far as that is remembered.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_asked(&self, message: &RocketMessageId) -> Result<bool, StoreError> {
        Ok(self.db.contains_key(keys::asked(message))?
            || self.db.contains_key(keys::answered(message))?)
    }

    /// A command that waits for its answer.
    ///
    /// # Errors
    /// When the store fails.
    pub fn asked(&self, message: &RocketMessageId) -> Result<Option<Asked>, StoreError> {
        self.get(&keys::asked(message))
    }

    /// All of them, in the order in which they were given.
    pub fn all_asked(&self) -> Vec<Asked> {
        let mut all: Vec<Asked> = self
            .scan(keys::ASKED)
            .filter_map(|item| readable(item, "command on Rocket.Chat"))
            .map(|(_, asked)| asked)
            .collect();
        all.sort_by_key(|asked| asked.at);
        all
    }

    /// Notes that a command was answered.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_answered(&self, asked: &Asked, now: i64) -> Result<(), StoreError> {
        self.change()
            .unset(keys::asked(&asked.message))
            .set(keys::answered(&asked.message), &Number(now))
            .commit()
    }

    /// Notes that a command begins to change who is in a portal's room: whoever finds it half
    /// done knows it for its own.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn begin_removal(
        &self,
        portal: &PortalId,
        command: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        let change = self.change();
        change
            .set(keys::removal_begun(portal, command), &Number(now))
            .commit()?;
        self.flushed().await
    }

    /// Whether a command has begun to change who is in a portal's room.
    ///
    /// # Errors
    /// When the store fails.
    pub fn has_begun_removal(&self, portal: &PortalId, command: &str) -> Result<bool, StoreError> {
        Ok(self.db.contains_key(keys::removal_begun(portal, command))?)
    }

    /// Forgets what was answered before that moment (ms).
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn forget_answered(&self, before: i64) -> Result<(), StoreError> {
        for item in self.scan::<Number>(keys::ANSWERED) {
            let (key, at) = item?;
            if at.0 < before {
                self.db.remove(key)?;
            }
        }
        Ok(())
    }

    /// Up to when commands in direct messages with the bridge's account were looked for
    /// (ms).
    ///
    /// # Errors
    /// When the store fails.
    pub fn commands_seen(&self) -> Result<Option<i64>, StoreError> {
        self.moment(MOMENT)
    }

    /// Notes that they were looked for.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_commands_seen(&self, at: i64) -> Result<(), StoreError> {
        self.note_moment(MOMENT, at)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_command_is_taken_once_and_waits_until_it_is_answered() {
        let dir = tempfile::tempdir().unwrap();
        let store = super::super::tests::open(dir.path()).unwrap();
        let asked = |id: &str, at: i64| Asked {
            message: RocketMessageId::new(id),
            rid: RocketRoomId::new("r"),
            by: RocketUserId::new("u"),
            words: "help".into(),
            at,
            to_bot: true,
            prefixed: false,
            call: None,
        };
        let (later, earlier) = (asked("a", 20), asked("b", 10));
        assert!(store.take_asked(&later).unwrap());
        assert!(store.take_asked(&earlier).unwrap());
        assert!(!store.take_asked(&later).unwrap());
        assert_eq!(store.all_asked(), [earlier.clone(), later.clone()]);
        store.note_answered(&earlier, 100).unwrap();
        assert_eq!(store.all_asked(), [later]);
        assert!(!store.take_asked(&earlier).unwrap(), "answered already");
        store.forget_answered(101).unwrap();
        assert!(!store.is_asked(&earlier.message).unwrap());

        let portal = PortalId::own(&RocketRoomId::new("r"));
        assert!(!store.has_begun_removal(&portal, "$e").unwrap());
        store.begin_removal(&portal, "$e", 200).await.unwrap();
        assert!(store.has_begun_removal(&portal, "$e").unwrap());
        assert!(!store.has_begun_removal(&portal, "$f").unwrap());
        store.forget_answered(201).unwrap();
        assert!(!store.has_begun_removal(&portal, "$e").unwrap());
    }
}
