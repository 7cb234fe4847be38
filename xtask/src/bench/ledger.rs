//! When each message was sent, taken by its own server, and seen where it was
//! waited for.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long a phase may stand still: nothing arrives any more.
const STANDSTILL: Duration = Duration::from_secs(60);

/// One of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Matrix,
    Rocket,
}

/// A message on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) from: Side,
    pub(super) to: Side,
    pub(super) sent: Instant,
    pub(super) answered: Option<Instant>,
    pub(super) seen: Option<Instant>,
}

/// The messages of one phase, by their text, which is different for each.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    book: Mutex<Book>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Book {
    entries: HashMap<String, Entry>,
    unseen: usize,
    broken: Option<String>,
}

impl Ledger {
    /// A message is about to be sent.
    pub(super) fn sending(&self, text: &str, from: Side, to: Side, sent: Instant) {
        let mut book = self.lock();
        let entry = Entry {
            from,
            to,
            sent,
            answered: None,
            seen: None,
        };
        book.entries.insert(text.to_owned(), entry);
        book.unseen += 1;
    }

    /// Its server has taken it.
    pub(super) fn answered(&self, text: &str) {
        if let Some(entry) = self.lock().entries.get_mut(text) {
            entry.answered = Some(Instant::now());
        }
    }

    /// A text was seen on a side: counts the first time, where it was waited for.
    pub(super) fn seen(&self, side: Side, text: &str, at: Instant) {
        let mut book = self.lock();
        let Some(entry) = book.entries.get_mut(text) else {
            return;
        };
        if entry.to != side || entry.seen.is_some() {
            return;
        }
        entry.seen = Some(at);
        book.unseen -= 1;
        drop(book);
        self.changed.notify_waiters();
    }

    /// Nobody watches any more.
    pub(super) fn broken(&self, why: String) {
        self.lock().broken = Some(why);
        self.changed.notify_waiters();
    }

    /// Waits until everything sent so far was seen; closes the book and returns
    /// what stood in it.
    ///
    /// # Errors
    /// When nothing arrives any more, or nobody watches.
    pub(super) async fn all_seen(&self) -> Result<HashMap<String, Entry>> {
        loop {
            let changed = self.changed.notified();
            {
                let mut book = self.lock();
                if let Some(why) = &book.broken {
                    bail!("cannot see what arrives: {why}");
                }
                if book.unseen == 0 {
                    return Ok(std::mem::take(&mut book.entries));
                }
            }
            if timeout(STANDSTILL, changed).await.is_err() {
                let book = self.lock();
                let mut missing: Vec<_> = book.entries.iter().collect();
                missing.retain(|(_, entry)| entry.seen.is_none());
                let some: Vec<_> = missing.iter().take(5).map(|(text, _)| text).collect();
                bail!(
                    "{} of {} messages did not arrive, among them {some:?}",
                    missing.len(),
                    book.entries.len()
                );
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_first_arrival_on_the_right_side_counts() -> Result<()> {
        let ledger = Ledger::default();
        let sent = Instant::now();
        ledger.sending("hello", Side::Matrix, Side::Rocket, sent);
        ledger.seen(Side::Matrix, "hello", sent);
        assert_eq!(ledger.lock().unseen, 1, "its own side sees it, too");
        ledger.seen(Side::Rocket, "hello", sent);
        ledger.seen(Side::Rocket, "hello", sent + STANDSTILL);
        let entries = ledger.all_seen().await?;
        assert_eq!(entries["hello"].seen, Some(sent));
        Ok(())
    }
}
