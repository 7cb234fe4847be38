//! Trying again for as long as it can help.

use std::future::Future;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::failure::{Failure, Side};
use super::{Bridge, Gate};
use crate::clock::now_ms;
use crate::retry::{Advice, Backoff, Retryable as _};

/// How often something may fail for no known reason while its server answers
/// others, before it is set aside: with growing pauses, about a minute.
const STRIKES: u32 = 12;

/// The longest pause between two tries. Outages do not wait for it: the gate
/// wakes everybody.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// How long what has another form is tried in its own.
const PATIENCE: Duration = Duration::from_secs(50);

/// How often it has failed by then at the least: a large file takes its time.
const LEAST_STRIKES: u32 = 2;

/// How long after logging in anew that is not tried again.
const BETWEEN_RENEWALS: Duration = Duration::from_secs(60);

/// How many attempts may be under way at once, over all rooms and both
/// directions: enough to keep both servers busy, and few enough to leave them
/// room for their own people.
pub(super) const ATTEMPTS_AT_ONCE: usize = 48;

/// How many files may be on their way at once, over all rooms and both directions:
/// each holds some hundred KiB of buffers and two connections.
pub(super) const TRANSFERS_AT_ONCE: usize = 6;

/// What an attempt should know of those before it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Attempt {
    /// An earlier one may have succeeded although its answer was lost.
    pub maybe_done: bool,
    /// How many have failed although their server answered others.
    pub strikes: u32,
    /// When the first of them began.
    pub struck: Option<Instant>,
}

impl Attempt {
    /// Whether something has failed before that need not have.
    pub(super) fn is_repeat(&self) -> bool {
        self.strikes > 0
    }

    /// Whether it is time for another form of what does not succeed, where there is
    /// one: some attempts and about a minute have gone into it, and others wait behind
    /// it.
    pub(super) fn is_last(&self) -> bool {
        let is_late = self.struck.is_some_and(|first| first.elapsed() >= PATIENCE);
        (is_late && self.strikes >= LEAST_STRIKES) || self.strikes + 1 >= STRIKES
    }
}

impl Bridge {
    /// Does `operation` until it succeeds or cannot. An outage of either server
    /// never makes it give up; it waits until the server is back.
    ///
    /// # Errors
    /// The permanent failure, or the one that stayed after [`STRIKES`] tries
    /// while the server was there.
    pub(super) async fn persevere<T, F, Fut>(&self, operation: F) -> Result<T, Failure>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        self.persevere_within(None, operation).await
    }

    /// As [`Bridge::persevere`], of what moves a file: few do so at once, and who waits
    /// for that holds no place among those who try something.
    ///
    /// # Errors
    /// As [`Bridge::persevere`].
    pub(super) async fn persevere_with_file<T, F, Fut>(&self, operation: F) -> Result<T, Failure>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        self.persevere_within(Some(&self.transfers), operation)
            .await
    }

    async fn persevere_within<T, F, Fut>(
        &self,
        transfers: Option<&Semaphore>,
        mut operation: F,
    ) -> Result<T, Failure>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let mut backoff = Backoff::new(Duration::from_millis(100), LONGEST_PAUSE);
        let mut attempt = Attempt::default();
        loop {
            let began;
            let tried = {
                let _transfer = match transfers {
                    Some(transfers) => Some(transfers.acquire().await),
                    None => None,
                };
                // Given back before the pause: what waits must not keep others
                // from working. Never closed.
                let _slot = self.attempts.acquire().await;
                began = Instant::now();
                operation(attempt).await
            };
            let failure = match tried {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let Advice::Retry { after, maybe_done } = failure.advice() else {
                return Err(failure);
            };
            attempt.maybe_done |= maybe_done;
            let pause = backoff.next_pause(after);
            if failure.is_rate_limit() || matches!(failure, Failure::Store(_)) {
                tracing::debug!(%failure, "waiting");
                tokio::time::sleep(pause).await;
                continue;
            }
            if let Some(side) = failure.side()
                && !self.is_there(side).await
            {
                tracing::debug!(%failure, "an outage");
                self.is_away(side);
                self.gate(side).opened().await;
                attempt.struck = None;
                continue;
            }
            attempt.strikes += 1;
            attempt.struck.get_or_insert(began);
            if attempt.strikes >= STRIKES {
                return Err(failure);
            }
            tracing::debug!(%failure, strikes = attempt.strikes, "trying again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Asks a server something that it can only answer when all of it works: its
    /// database, and the bridge's own token. One request that fails says little:
    /// another homeserver may be away, or a proxy may dislike one text.
    pub(super) async fn is_there(&self, side: Side) -> bool {
        if !self.gate(side).is_open() {
            return false;
        }
        self.answers(side).await
    }

    /// As [`Bridge::is_there`], whatever is known so far.
    pub(super) async fn answers(&self, side: Side) -> bool {
        match side {
            Side::Matrix => self.matrix.bot().display_name().await.is_ok(),
            Side::RocketChat => match self.rocket().await.bot.me().await {
                Ok(_) => true,
                Err(error) => {
                    if error.is_unauthorized() && self.may_renew_now() {
                        self.renew_bot().await;
                    }
                    false
                }
            },
        }
    }

    /// Whether it is time to log the bridge's account in anew: Rocket.Chat blocks
    /// whoever tries too often.
    fn may_renew_now(&self) -> bool {
        let mut last = self
            .last_renewal
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_time = last.is_none_or(|last| last.elapsed() >= BETWEEN_RENEWALS);
        if is_time {
            *last = Some(Instant::now());
        }
        is_time
    }

    /// A server could not be reached.
    pub(super) fn is_away(&self, side: Side) {
        self.gate(side).close();
        if side == Side::Matrix {
            self.homeserver.suspect(now_ms());
        }
    }

    fn gate(&self, side: Side) -> &Gate {
        match side {
            Side::Matrix => &self.matrix_gate,
            Side::RocketChat => &self.rocket_gate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_form_is_due_after_some_attempts_and_about_a_minute() {
        let after = |strikes, ago: u64| Attempt {
            strikes,
            struck: Instant::now().checked_sub(Duration::from_secs(ago)),
            ..Attempt::default()
        };
        assert!(!Attempt::default().is_last(), "the first of all");
        assert!(!after(1, 300).is_last(), "a large file takes its time");
        assert!(!after(8, 10).is_last(), "it may pass");
        assert!(after(2, 60).is_last());
        assert!(after(STRIKES - 1, 5).is_last(), "there is no other");
    }
}
