//! How many commands somebody may give, through all doors together. Whoever gives more is
//! told so each time, up to a bound: what answers without end can be made to flood a room.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::context::Context;
use super::{Bridge, Failure};
use crate::clock::now_ms;

/// The time in which commands are counted.
const A_WHILE: Duration = Duration::from_secs(60);

/// So long a command is known again: longer than anything is tried.
const KNOWN_FOR: Duration = Duration::from_secs(3600);

/// So many times as many commands as may be given are answered: what is beyond them, with a
/// refusal.
const ANSWERED: usize = 3;

/// When people gave their last commands.
#[derive(Debug, Default)]
pub(super) struct Paces(Mutex<HashMap<String, Given>>);

#[derive(Debug, Default)]
struct Given {
    /// When, and what a repeat is known by.
    times: VecDeque<(Instant, String)>,
    /// Those that were too many, whose giver was told so.
    told: VecDeque<(Instant, String)>,
}

/// Whether a command is worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// It is.
    Go,
    /// It is one too many, which is to be said.
    TooMany,
    /// Likewise, and the last one of which that is said for a while.
    LastTold,
    /// Another one too many, after all that.
    Silent,
}

/// What came of a command, for the door that it came through.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was dealt with, and this is the answer: what it did or why it did not.
    Answered(String),
    /// It was one too many, which is to be said; what was written stays as it is.
    TooMany(String),
    /// It was one of too many to answer them all.
    Silent,
}

impl Paces {
    /// Counts a command of `caller`; the same one, known by its `id`, once.
    pub(super) fn take(&self, caller: &str, id: &str, most: usize, now: Instant) -> Pace {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let within = |at: &Instant, time| now.saturating_duration_since(*at) < time;
        all.retain(|_, given| {
            while given
                .times
                .front()
                .is_some_and(|(at, _)| !within(at, KNOWN_FOR))
            {
                given.times.pop_front();
            }
            while given
                .told
                .front()
                .is_some_and(|(at, _)| !within(at, A_WHILE))
            {
                given.told.pop_front();
            }
            !given.times.is_empty() || !given.told.is_empty()
        });
        let given = all.entry(caller.to_owned()).or_default();
        if given.times.iter().any(|(_, known)| known == id) {
            return Pace::Go;
        }
        let most_told = most.saturating_mul(ANSWERED - 1).max(1);
        // Tried again: what was told of it does not change.
        if let Some(place) = given.told.iter().position(|(_, told)| told == id) {
            return told(place + 1, most_told);
        }
        let lately = given.times.iter().rev();
        if lately.take_while(|(at, _)| within(at, A_WHILE)).count() < most {
            given.times.push_back((now, id.to_owned()));
            return Pace::Go;
        }
        if given.told.len() >= most_told {
            return Pace::Silent;
        }
        given.told.push_back((now, id.to_owned()));
        told(given.told.len(), most_told)
    }
}

/// What is said of a command that is one too many, the so-many-th of these.
fn told(number: usize, most: usize) -> Pace {
    match number < most {
        true => Pace::TooMany,
        false => Pace::LastTold,
    }
}

/// Whether something was given longer ago (ms since 1970) than commands are counted for: it
/// has waited for a server or the bridge, which is not its giver's haste.
fn has_waited(given_at: i64) -> bool {
    now_ms() - given_at > i64::try_from(A_WHILE.as_millis()).unwrap_or(i64::MAX)
}

impl Bridge {
    /// Whether a command is worked, or its giver has given too many.
    pub(super) fn pace(&self, caller: &str, id: &str) -> Pace {
        let most = self.config.commands.per_minute;
        self.paces.take(caller, id, most, Instant::now())
    }

    /// Carries a command out that was given at `given_at` (ms since 1970), unless its giver
    /// has given too many. What has waited for so long that it is not counted any more is
    /// carried out where Rocket.Chat itself set the time; a time that came with an event
    /// anybody may have made up.
    ///
    /// # Errors
    /// What keeps it from being carried out and may pass.
    pub(super) async fn carry_out(
        self: &std::sync::Arc<Self>,
        context: &Context,
        words: &str,
        given_at: i64,
    ) -> Result<Outcome, Failure> {
        let pace = match has_waited(given_at) && context.rocket_user().is_some() {
            true => Pace::Go,
            false => self.pace(&context.caller_id(), &context.id),
        };
        match pace {
            Pace::Go => match self.commands.run(self, context, words).await {
                Ok(answer) | Err(Failure::Refused(answer)) => Ok(Outcome::Answered(answer)),
                Err(failure) => Err(failure),
            },
            Pace::Silent => Ok(Outcome::Silent),
            told => Ok(Outcome::TooMany(self.too_many_commands(told))),
        }
    }

    /// What whoever has given too many commands is told.
    pub(super) fn too_many_commands(&self, pace: Pace) -> String {
        let most = self.config.commands.per_minute;
        let commands = if most == 1 { "command" } else { "commands" };
        let last = match pace {
            Pace::LastTold => " For now I say so no more: what you write meanwhile is not read.",
            _ => "",
        };
        format!(
            "You have given {most} {commands} within a minute, and more is not taken. This one is not done: wait a minute, and give it again.{last}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_too_often_is_told_each_time_up_to_a_bound_and_others_are_not_kept() {
        let paces = Paces::default();
        let now = Instant::now();
        for id in ["1", "2"] {
            assert_eq!(paces.take("a", id, 2, now), Pace::Go);
        }
        assert_eq!(paces.take("a", "1", 2, now), Pace::Go, "a repeat");
        for id in ["3", "4", "5"] {
            assert_eq!(paces.take("a", id, 2, now), Pace::TooMany, "{id}");
        }
        assert_eq!(paces.take("a", "6", 2, now), Pace::LastTold);
        assert_eq!(paces.take("a", "7", 2, now), Pace::Silent);
        assert_eq!(paces.take("a", "3", 2, now), Pace::TooMany, "a repeat");
        assert_eq!(paces.take("a", "6", 2, now), Pace::LastTold, "a repeat");
        assert_eq!(paces.take("b", "8", 2, now), Pace::Go);
        let later = now + A_WHILE;
        assert_eq!(paces.take("a", "9", 2, later), Pace::Go);
    }

    #[test]
    fn even_one_command_a_minute_is_answered_beyond_it() {
        let paces = Paces::default();
        let now = Instant::now();
        assert_eq!(paces.take("a", "1", 1, now), Pace::Go);
        assert_eq!(paces.take("a", "2", 1, now), Pace::TooMany);
        assert_eq!(paces.take("a", "3", 1, now), Pace::LastTold);
    }
}
