//! Numbers out of what the ledger holds. Pure.

use std::time::{Duration, Instant};

use super::ledger::{Entry, Side};

/// The middle and the slow end of a set of durations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spread {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

impl Spread {
    /// By nearest rank; zero of nothing.
    pub(super) fn of(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut sorted: Vec<_> = durations.into_iter().collect();
        sorted.sort_unstable();
        let rank = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().unwrap_or_default()
        };
        Self {
            p50: rank(50),
            p99: rank(99),
        }
    }
}

/// What became of the messages that went one way.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    pub(super) from: Side,
    pub(super) to: Side,
    pub(super) messages: usize,
    /// From the first message sent to the last one seen.
    pub(super) took: Duration,
    /// From sending to the answer of the sender's own server.
    pub(super) answer: Spread,
    /// From sending to arrival.
    pub(super) arrival: Spread,
    /// From that answer to arrival; zero when it arrived before the answer.
    pub(super) beyond_answer: Spread,
}

impl Flow {
    /// The messages among these that went this way; none when there were none.
    pub(super) fn of(entries: &[Entry], from: Side) -> Option<Self> {
        let mine: Vec<&Entry> = entries.iter().filter(|entry| entry.from == from).collect();
        let to = mine.first()?.to;
        let first = mine.iter().map(|entry| entry.sent).min()?;
        let last = mine.iter().filter_map(|entry| entry.seen).max()?;
        let between = |pick: fn(&Entry) -> (Option<Instant>, Option<Instant>)| {
            Spread::of(mine.iter().filter_map(|entry| {
                let (begin, end) = pick(entry);
                Some(end?.saturating_duration_since(begin?))
            }))
        };
        Some(Self {
            from,
            to,
            messages: mine.len(),
            took: last.duration_since(first),
            answer: between(|entry| (Some(entry.sent), entry.answered)),
            arrival: between(|entry| (Some(entry.sent), entry.seen)),
            beyond_answer: between(|entry| (entry.answered, entry.seen)),
        })
    }

    /// Messages per second.
    pub(super) fn rate(&self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64().max(0.001)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_of_a_hundred_is_beyond_the_99th() {
        let spread = Spread::of((1..=100).map(Duration::from_millis));
        assert_eq!(spread.p50, Duration::from_millis(50));
        assert_eq!(spread.p99, Duration::from_millis(99));
    }

    #[test]
    fn one_value_is_every_percentile_and_nothing_is_zero() {
        let one = Duration::from_millis(7);
        assert_eq!(Spread::of([one]), Spread { p50: one, p99: one });
        assert_eq!(Spread::of([]), Spread::default());
    }
}
