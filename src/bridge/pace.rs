//! How many commands somebody may give, through all doors together.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::context::Context;
use super::{Bridge, Failure};

/// The time in which commands are counted.
const A_WHILE: Duration = Duration::from_secs(60);

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
        let is_lately = |at: &Instant| now.saturating_duration_since(*at) < A_WHILE;
        all.retain(|_, given| {
            given.times.retain(|(at, _)| is_lately(at));
            given.told.take_if(|(at, _)| !is_lately(at));
            !given.times.is_empty() || given.told.is_some()
        });
        let given = all.entry(caller.to_owned()).or_default();
        if given.times.iter().any(|(_, known)| known == id) {
            return Pace::Go;
        }
        if given.times.len() < most {
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

impl Bridge {
    /// Whether a command is worked, or its giver has given too many.
    pub(super) fn pace(&self, context: &Context) -> Pace {
        let most = self.config.commands.per_minute;
        self.paces
            .take(&context.caller_id(), &context.id, most, Instant::now())
    }

    /// Carries a command out, wherever it came from, unless its giver has given too many:
    /// that is said once, and then nothing for a while, which is an empty answer.
    pub(super) async fn carry_out(
        self: &std::sync::Arc<Self>,
        context: &Context,
        words: &str,
    ) -> Result<String, Failure> {
        match self.pace(context) {
            Pace::Go => self.commands.run(self, context, words).await,
            Pace::TooMany => Err(Failure::Refused(self.too_many_commands())),
            Pace::StillTooMany => Ok(String::new()),
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
