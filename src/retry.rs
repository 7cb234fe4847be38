//! The one retry policy: how long to wait after a failure that may pass.

use std::future::Future;
use std::time::Duration;

use rand::RngExt as _;

/// What to do after a failed request. Both clients' errors say this of
/// themselves, so that whoever calls them need not know their codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// The other side is away, busy or asks to slow down: the same request may
    /// succeed later.
    Retry {
        /// How long the other side asked to be left alone, if it said so.
        after: Option<Duration>,
        /// The request may have been carried out although no answer came: look
        /// before repeating what is not recognised as a repeat.
        maybe_done: bool,
    },
    /// Repeating the request unchanged cannot help.
    GiveUp,
}

/// An error that knows whether a retry can help.
pub trait Retryable {
    /// What to do about this failure.
    fn advice(&self) -> Advice;
}

/// Growing pauses with jitter: each is drawn between half and the whole of
/// `first * 2^n`, at most `longest`.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    tries: u32,
}

impl Backoff {
    /// Pauses that start at `first` and stop growing at `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            tries: 0,
        }
    }

    /// The next pause. An explicit wish of the server (`after`) is a lower bound:
    /// it is never cut short, also when it exceeds the longest pause.
    pub fn next_pause(&mut self, after: Option<Duration>) -> Duration {
        let full = self
            .first
            .saturating_mul(2u32.saturating_pow(self.tries.min(16)))
            .min(self.longest);
        self.tries = self.tries.saturating_add(1);
        let drawn = full.mul_f64(rand::rng().random_range(0.5..=1.0));
        after.map_or(drawn, |asked| asked.max(drawn))
    }

    /// How many pauses were handed out.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

impl Default for Backoff {
    /// From 200 ms to 30 s: quick enough for a hiccup, gentle on a server that
    /// has just come back.
    fn default() -> Self {
        Self::new(Duration::from_millis(200), Duration::from_secs(30))
    }
}

/// Repeats `operation` until it succeeds or its error says that this cannot
/// help, at most `max_tries` times.
///
/// # Errors
/// The last error, when it is permanent or the tries are used up.
pub async fn with_retries<T, E, F, Fut>(max_tries: u32, mut operation: F) -> Result<T, E>
where
    E: Retryable,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut backoff = Backoff::default();
    loop {
        let error = match operation().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        match error.advice() {
            Advice::Retry { after, .. } if backoff.tries() + 1 < max_tries => {
                tokio::time::sleep(backoff.next_pause(after)).await;
            }
            _ => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let first = backoff.next_pause(None);
        assert!(first >= Duration::from_millis(50) && first <= Duration::from_millis(100));
        let mut last = first;
        for _ in 0..40 {
            last = backoff.next_pause(None);
        }
        assert!(last >= Duration::from_millis(500) && last <= Duration::from_secs(1));
        backoff.reset();
        assert!(backoff.next_pause(None) <= Duration::from_millis(100));
    }

    #[test]
    fn what_the_server_asks_for_is_never_cut_short() {
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(2));
        let asked = Duration::from_secs(90);
        assert_eq!(backoff.next_pause(Some(asked)), asked);
    }
}
