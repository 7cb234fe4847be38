//! Who changed what by a command, for whoever has to know later.

use serde::{Deserialize, Serialize};

use super::records::Record;
use super::{Store, StoreError, keys, readable};

/// So many are kept of what was done; then the oldest go.
const KEPT: u64 = 1_000;

/// So many are kept of what was refused, which anybody can cause: they push nothing out but
/// each other.
const REFUSED_KEPT: u64 = 200;

/// Among so many of the last ones a repeat is recognised.
const LATELY: usize = 50;

/// Something that somebody did by a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When (ms since 1970, the bridge's clock).
    pub at: i64,
    /// Who: a Matrix user id; `rocketchat:` and an account's id; `api:` and a token's name.
    pub who: String,
    /// Through which door: `matrix`, `text`, `app` or `api`.
    pub door: String,
    /// The Matrix room, or `rocketchat:` and the room's id there.
    #[serde(default)]
    pub place: Option<String>,
    /// The command's name.
    pub command: String,
    /// What stood behind it, as far as that is no secret; not all of what is long.
    #[serde(default)]
    pub words: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it was not done.
    #[serde(default)]
    pub why: Option<String>,
    /// The event, message or call that it was given by.
    pub id: String,
}

/// What came of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was carried out.
    Done,
    /// It was not, for a reason that whoever gave it was told.
    Refused,
    /// A server or the bridge failed at it.
    Failed,
}

impl Record for AuditEntry {
    const NAME: &'static str = "entry of the audit";
}

impl Store {
    /// Notes what somebody did; once for the same `id` and command. The oldest entries make
    /// room for it.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let _one_at_a_time = self
            .accepting
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_refused = entry.outcome == Outcome::Refused;
        let (prefix, kept) = match is_refused {
            true => (keys::AUDIT_REFUSED, REFUSED_KEPT),
            false => (keys::AUDIT, KEPT),
        };
        let is_known = self
            .audit(is_refused)
            .take(LATELY)
            .any(|(_, known)| known.id == entry.id && known.command == entry.command);
        if is_known {
            return Ok(());
        }
        let last = match self.db.scan_prefix(prefix).next_back() {
            Some(item) => keys::number_of(&item?.0),
            None => None,
        };
        let number = last.map_or(0, |last| last.saturating_add(1));
        let mut change = self.change().set(keys::audit(prefix, number), entry);
        if let Some(first_kept) = (number + 1).checked_sub(kept) {
            for key in self.db.scan_prefix(prefix).keys() {
                let key = key?;
                if keys::number_of(&key).is_none_or(|number| number >= first_kept) {
                    break;
                }
                change = change.unset(key.to_vec());
            }
        }
        change.commit()
    }

    /// What was done, or what was refused, the latest first, each with its number, which
    /// grows.
    pub fn audit(&self, refused: bool) -> impl Iterator<Item = (u64, AuditEntry)> {
        let prefix = match refused {
            true => keys::AUDIT_REFUSED,
            false => keys::AUDIT,
        };
        self.db
            .scan_prefix(prefix)
            .rev()
            .filter_map(|item| {
                let entry = item
                    .map_err(StoreError::from)
                    .and_then(|(key, value)| Ok((key.to_vec(), super::records::decode(&value)?)));
                readable(entry, "entry of the audit")
            })
            .filter_map(|(key, entry)| Some((keys::number_of(&key)?, entry)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn what_was_done_is_kept_once_and_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let store = super::super::tests::open(dir.path()).unwrap();
        let entry = |id: u64| AuditEntry {
            at: 1,
            who: "@a:b.org".into(),
            door: "matrix".into(),
            place: None,
            command: "kick".into(),
            words: "carol".into(),
            outcome: Outcome::Done,
            why: None,
            id: id.to_string(),
        };
        for id in 0..KEPT + 3 {
            store.note_audit(&entry(id)).unwrap();
        }
        store.note_audit(&entry(KEPT)).unwrap();
        let numbers: Vec<u64> = store.audit(false).map(|(number, _)| number).collect();
        assert_eq!(numbers.len() as u64, KEPT);
        assert_eq!(
            (numbers.first(), numbers.last()),
            (Some(&(KEPT + 2)), Some(&3))
        );
        assert_eq!(store.audit(false).next().unwrap().1, entry(KEPT + 2));
        for id in 0..REFUSED_KEPT + 1 {
            let refused = AuditEntry {
                outcome: Outcome::Refused,
                ..entry(id)
            };
            store.note_audit(&refused).unwrap();
        }
        assert_eq!(store.audit(true).count() as u64, REFUSED_KEPT);
        assert_eq!(store.audit(false).count() as u64, KEPT);
    }
}
