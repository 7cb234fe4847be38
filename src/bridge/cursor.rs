//! Up to where a room of Rocket.Chat has been mirrored. Pure.

use std::collections::BTreeMap;

/// Follows the documents of one room by their `_updatedAt` (ms). The cursor is
/// a promise: everything changed up to it has been dealt with. So it stays
/// behind the oldest document that is still being worked, and stands still
/// while the socket is away, since what happened meanwhile is not known.
#[derive(Debug)]
pub(super) struct Cursor {
    at: i64,
    seen: i64,
    open: BTreeMap<i64, usize>,
    held: bool,
}

impl Cursor {
    /// Continues from a stored position; held until the room was read back.
    pub(super) fn at(position: i64) -> Self {
        Self {
            at: position,
            seen: position,
            open: BTreeMap::new(),
            held: true,
        }
    }

    /// The position to store, and to read back from.
    pub(super) fn position(&self) -> i64 {
        self.at
    }

    /// Work on a document begins. One of unknown time counts as changed just now.
    /// Returns what [`Cursor::finish`] wants back.
    pub(super) fn begin(&mut self, updated_at: Option<i64>) -> i64 {
        let ticket = updated_at.unwrap_or(self.seen);
        *self.open.entry(ticket).or_default() += 1;
        self.seen = self.seen.max(ticket);
        ticket
    }

    /// Work on a document is done. Returns the new position if it moved.
    pub(super) fn finish(&mut self, ticket: i64) -> Option<i64> {
        if let Some(count) = self.open.get_mut(&ticket) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&ticket);
            }
        }
        self.advance()
    }

    /// From now on documents may be missed.
    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    /// Goes back, if it is further; held until the room was read back.
    pub(super) fn rewind(&mut self, to: i64) {
        self.at = self.at.min(to);
        self.seen = self.seen.min(to);
        self.held = true;
    }

    /// Everything missed has begun to be worked. Returns the new position if it
    /// moved.
    pub(super) fn release(&mut self) -> Option<i64> {
        self.held = false;
        self.advance()
    }

    fn advance(&mut self) -> Option<i64> {
        if self.held {
            return None;
        }
        let reached = match self.open.first_key_value() {
            // Not the document's own time: others may bear the same.
            Some((oldest, _)) => self.seen.min(oldest - 1),
            None => self.seen,
        };
        if reached <= self.at {
            return None;
        }
        self.at = reached;
        Some(reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_behind_the_oldest_open_document() {
        let mut cursor = Cursor::at(10);
        assert_eq!(cursor.release(), None);
        cursor.begin(Some(20));
        cursor.begin(Some(30));
        assert_eq!(cursor.finish(30), Some(19));
        assert_eq!(cursor.finish(20), Some(30));
    }

    #[test]
    fn two_documents_of_one_moment_both_count() {
        let mut cursor = Cursor::at(10);
        cursor.release();
        cursor.begin(Some(20));
        cursor.begin(Some(20));
        assert_eq!(cursor.finish(20), Some(19));
        assert_eq!(cursor.finish(20), Some(20));
    }

    #[test]
    fn it_stands_still_while_documents_may_be_missed() {
        let mut cursor = Cursor::at(10);
        cursor.release();
        cursor.hold();
        cursor.begin(Some(50));
        assert_eq!(cursor.finish(50), None);
        assert_eq!(cursor.position(), 10);
        assert_eq!(cursor.release(), Some(50));
    }

    #[test]
    fn what_has_no_time_of_its_own_holds_the_cursor_too() {
        let mut cursor = Cursor::at(10);
        cursor.release();
        cursor.begin(Some(20));
        assert_eq!(cursor.finish(20), Some(20));
        let ticket = cursor.begin(None);
        cursor.begin(Some(30));
        assert_eq!(cursor.finish(30), None, "held by what has no time");
        assert_eq!(cursor.finish(ticket), Some(30));
    }

    #[test]
    fn it_never_goes_back() {
        let mut cursor = Cursor::at(100);
        cursor.release();
        cursor.begin(Some(40));
        assert_eq!(cursor.finish(40), None);
        assert_eq!(cursor.position(), 100);
    }
}
