//! Files whose upload is under way at this moment: whoever sees a message that could be of
//! one of them waits for its answer, which says which message it is.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use ruma::OwnedEventId;

use crate::store::{FilePost, PortalId};

type Key = (PortalId, OwnedEventId);

/// The events whose files are being given to Rocket.Chat.
#[derive(Debug, Default)]
pub(in crate::bridge) struct UnderWay(Mutex<HashSet<Key>>);

/// As long as it lives, an upload is under way.
#[derive(Debug)]
pub(super) struct Giving<'a> {
    all: &'a UnderWay,
    key: Option<Key>,
}

fn key_of(post: &FilePost) -> Option<Key> {
    let event = post.draft.events.first()?;
    Some((post.draft.portal_id(), event.clone()))
}

impl UnderWay {
    /// An upload begins.
    pub(super) fn begin(&self, post: &FilePost) -> Giving<'_> {
        let key = key_of(post);
        if let Some(key) = &key {
            self.with(|all| all.insert(key.clone()));
        }
        Giving { all: self, key }
    }

    /// Whether the answer to an upload is still to come.
    pub(super) fn has(&self, post: &FilePost) -> bool {
        key_of(post).is_some_and(|key| self.with(|all| all.contains(&key)))
    }

    fn with<T>(&self, with: impl FnOnce(&mut HashSet<Key>) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Giving<'_> {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.all.with(|all| all.remove(key));
        }
    }
}
