//! How many commands somebody may give, through all doors together.

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

/// When people gave their last commands.
#[derive(Debug, Default)]
pub(super) struct Paces(Mutex<HashMap<String, Given>>);

#[derive(Debug, Default)]
struct Given {
    /// When, and what a repeat is known by.
    times: VecDeque<(Instant, String)>,
    /// The command that was too many, whose giver was told so.
    told: Option<(Instant, String)>,
}

/// Whether a command is worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// It is.
    Go,
    /// It is one too many, which is to be said.
    TooMany,
    /// Another one too many, after that was said.
    StillTooMany,
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
            given.told.take_if(|(at, _)| !within(at, A_WHILE));
            !given.times.is_empty() || given.told.is_some()
        });
        let given = all.entry(caller.to_owned()).or_default();
        if given.times.iter().any(|(_, known)| known == id) {
            return Pace::Go;
        }
        let lately = given.times.iter().rev();
        if lately.take_while(|(at, _)| within(at, A_WHILE)).count() < most {
            given.times.push_back((now, id.to_owned()));
            return Pace::Go;
        }
        match &given.told {
            Some((_, told)) if told != id => Pace::StillTooMany,
            _ => {
                given.told = Some((now, id.to_owned()));
                Pace::TooMany
            }
        }
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
    /// has given too many. That is said once, and then nothing for a while, which is an
    /// empty answer. What has waited for so long that it is not counted any more is carried
    /// out where Rocket.Chat itself set the time; a time that came with an event
    /// anybody may have made up: then each is told.
    pub(super) async fn carry_out(
        self: &std::sync::Arc<Self>,
        context: &Context,
        words: &str,
        given_at: i64,
    ) -> Result<String, Failure> {
        let waited = has_waited(given_at);
        let pace = match waited && context.rocket_user().is_some() {
            true => Pace::Go,
            false => self.pace(&context.caller_id(), &context.id),
        };
        match pace {
            Pace::Go => self.commands.run(self, context, words).await,
            Pace::StillTooMany if !waited => Ok(String::new()),
            _ => Err(Failure::Refused(self.too_many_commands())),
        }
    }

    pub(super) fn too_many_commands(&self) -> String {
        format!(
            "You have given {} commands within a minute: wait a little. What you ask meanwhile is not done.",
            self.config.commands.per_minute
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_too_often_is_told_once_and_others_are_not_kept() {
        let paces = Paces::default();
        let now = Instant::now();
        for id in ["1", "2"] {
            assert_eq!(paces.take("a", id, 2, now), Pace::Go);
        }
        assert_eq!(paces.take("a", "1", 2, now), Pace::Go, "a repeat");
        assert_eq!(paces.take("a", "3", 2, now), Pace::TooMany);
        assert_eq!(paces.take("a", "3", 2, now), Pace::TooMany, "said again");
        assert_eq!(paces.take("a", "4", 2, now), Pace::StillTooMany);
        assert_eq!(paces.take("b", "5", 2, now), Pace::Go);
        let later = now + A_WHILE;
        assert_eq!(paces.take("a", "6", 2, later), Pace::Go);
    }
}
