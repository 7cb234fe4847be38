//! The Matrix events that arrived and still wait to be worked.

use std::collections::HashSet;
use std::time::Duration;

use ruma::EventId;

use super::keys;
use super::records::{InboxEvent, Number, decode, encode};
use super::{Store, StoreError};
use crate::clock::now_ms;

/// How long it is remembered that an event has arrived. Synapse repeats a
/// transaction until it is answered, and may put events that it already sent
/// under a new transaction id when it restarts; both within hours.
const REMEMBER_EVENTS: Duration = Duration::from_secs(14 * 24 * 3600);

/// An event to be put into the inbox.
pub type NewEvent = InboxEvent;

/// An event of the inbox with its number, which is also its place in the order.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Its number.
    pub number: u64,
    /// The event.
    pub event: InboxEvent,
}

impl Store {
    /// Puts those events into the inbox that have not arrived before, in order,
    /// and returns them. They are on disk only after [`Store::flushed`].
    ///
    /// Repeats are recognised by event id, not by transaction id: a homeserver
    /// may send an event again under another transaction id
    /// (element-hq/synapse#11447), and one that was set up anew counts its
    /// transactions from the start.
    ///
    /// # Errors
    /// When the store fails; then none was accepted.
    pub fn accept(&self, events: Vec<NewEvent>) -> Result<Vec<Accepted>, StoreError> {
        let _one_at_a_time = self
            .accepting
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Number(now_ms());
        let mut batch = sled::Batch::default();
        let mut accepted = Vec::with_capacity(events.len());
        let mut in_this_call = HashSet::with_capacity(events.len());
        for event in events {
            let seen = keys::seen_event(&event.event_id);
            if !in_this_call.insert(seen.clone()) || self.db.contains_key(&seen)? {
                continue;
            }
            let number = self.number();
            batch.insert(keys::inbox(number), encode(&event)?);
            batch.insert(seen, encode(&now)?);
            accepted.push(Accepted { number, event });
        }
        if !accepted.is_empty() {
            self.db.apply_batch(batch)?;
        }
        Ok(accepted)
    }

    /// Whether an event has arrived before, as far as that is remembered: for 14
    /// days.
    ///
    /// # Errors
    /// When the store fails.
    pub fn has_seen(&self, event: &EventId) -> Result<bool, StoreError> {
        Ok(self.db.contains_key(keys::seen_event(event))?)
    }

    /// The event with that number, unless it was struck.
    ///
    /// # Errors
    /// When the store fails.
    pub fn inbox_event(&self, number: u64) -> Result<Option<InboxEvent>, StoreError> {
        self.get(&keys::inbox(number))
    }

    /// Everything that waits, in order of arrival. An event that cannot be read
    /// is left out and logged; it stays where it is.
    pub fn inbox(&self) -> impl Iterator<Item = Accepted> {
        self.db.scan_prefix(keys::INBOX).filter_map(|item| {
            let (key, value) = item
                .inspect_err(|error| tracing::error!(%error, "the inbox cannot be read"))
                .ok()?;
            let number = u64::from_be_bytes(key.get(1..)?.try_into().ok()?);
            let event = decode(&value)
                .inspect_err(
                    |error| tracing::error!(number, %error, "an event of the inbox is left out"),
                )
                .ok()?;
            Some(Accepted { number, event })
        })
    }

    /// How many events wait.
    pub fn inbox_len(&self) -> usize {
        self.db.scan_prefix(keys::INBOX).keys().count()
    }

    /// Forgets events that arrived so long ago that no repeat is to be expected.
    /// Returns how many.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forget_old_events(&self) -> Result<usize, StoreError> {
        let before = now_ms() - i64::try_from(REMEMBER_EVENTS.as_millis()).unwrap_or(i64::MAX);
        let mut forgotten = 0;
        for item in self.scan::<Number>(keys::SEEN_EVENTS) {
            let (key, arrived) = item?;
            if arrived.0 < before {
                self.db.remove(key)?;
                forgotten += 1;
            }
        }
        self.forget_old_files(before)?;
        self.forget_answered(before)?;
        Ok(forgotten)
    }
}
