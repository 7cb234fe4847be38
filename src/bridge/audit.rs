//! Who changed what by a command: in the log, under a target of its own, and in the store.

use super::context::{Context, Who};
use super::states::one_line;
use super::{Bridge, Failure};
use crate::clock::now_ms;
use crate::retry::Retryable as _;
use crate::store::{AuditEntry, Outcome};

/// Longer words behind a command are cut, in characters.
const LONGEST: usize = 300;

/// Where it goes in the log.
const TARGET: &str = "matrix_appservice_rocketchat::audit";

impl Context {
    /// Who asks, as programs know them: by ids that do not change.
    pub fn caller_id(&self) -> String {
        match &self.who {
            Who::Matrix(user) => user.to_string(),
            Who::RocketChat { id, .. } => Who::account_id(id),
            Who::Api(name) => format!("api:{name}"),
        }
    }

    /// Where they ask, likewise.
    pub fn place_id(&self) -> Option<String> {
        match (&self.room, &self.rid) {
            (Some(room), _) => Some(room.to_string()),
            (None, Some(rid)) => Some(format!("rocketchat:{rid}")),
            (None, None) => None,
        }
    }
}

impl Bridge {
    /// Notes what came of a command that changes something. What will be tried again is
    /// noted then. `words` must not have a secret in them; they go into the store and not
    /// into the log, which has nothing that people wrote.
    pub fn audit<T>(
        &self,
        context: &Context,
        command: &str,
        words: &str,
        outcome: &Result<T, Failure>,
    ) {
        let (outcome, why) = match outcome {
            Ok(_) => (Outcome::Done, None),
            Err(Failure::Refused(why)) => (Outcome::Refused, Some(why.clone())),
            Err(failure) if !matches!(failure.advice(), crate::retry::Advice::GiveUp) => return,
            Err(failure) => (Outcome::Failed, Some(failure.person_text())),
        };
        let entry = AuditEntry {
            at: now_ms(),
            who: context.caller_id(),
            door: context.door.name().to_owned(),
            place: context.place_id(),
            command: command.to_owned(),
            words: one_line(words, LONGEST),
            outcome,
            why: why.map(|why| one_line(&why, LONGEST)),
            id: context.id.clone(),
        };
        tracing::info!(
            target: TARGET,
            who = entry.who,
            door = entry.door,
            place = entry.place,
            command,
            ?outcome,
            "a command"
        );
        if let Err(error) = self.store.note_audit(&entry) {
            tracing::error!(%error, command, "it is not noted what was done");
        }
    }
}
