//! How fast subscriptions may be asked for.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Rocket.Chat counts 40 in 40 s per connection and name of a stream; a little is left
/// for what its clock and ours disagree about.
const WINDOW: Duration = Duration::from_secs(41);
const LIMIT: usize = 39;
/// How many of them a stream leaves to those that matter more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// Concerns the account or the server as a whole: leaves none.
    Essential,
    /// Brings what must not be missed of a single room.
    Room,
    /// Can be done without.
    Aside,
}

impl Urgency {
    fn reserve(self) -> usize {
        match self {
            Self::Essential => 0,
            Self::Room => 5,
            Self::Aside => 20,
        }
    }
}

/// The subscriptions of one stream name on one connection.
#[derive(Debug, Default)]
pub(super) struct Pace {
    asked: VecDeque<Instant>,
    blocked_until: Option<Instant>,
}

impl Pace {
    /// From when on one more may be asked for; `now` or earlier: at once.
    pub fn free_at(&mut self, now: Instant, urgency: Urgency) -> Instant {
        while self.asked.front().is_some_and(|at| *at + WINDOW <= now) {
            self.asked.pop_front();
        }
        let limit = LIMIT - urgency.reserve();
        let by_count = self
            .asked
            .len()
            .checked_sub(limit)
            .and_then(|over| self.asked.get(over))
            .map_or(now, |at| *at + WINDOW);
        self.blocked_until
            .map_or(by_count, |until| until.max(by_count))
    }

    /// One was asked for.
    pub fn note(&mut self, now: Instant) {
        self.asked.push_back(now);
    }

    /// The server asks to wait.
    pub fn block(&mut self, until: Instant) {
        self.blocked_until = Some(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_forty_in_forty_seconds() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let mut now = start;
        let mut asked = Vec::new();
        for _ in 0..200 {
            now = now.max(pace.free_at(now, Urgency::Room));
            pace.note(now);
            asked.push(now);
        }
        for (index, at) in asked.iter().enumerate() {
            let window = asked[index..]
                .iter()
                .take_while(|other| **other < *at + Duration::from_secs(40))
                .count();
            assert!(window <= 40, "{window} in one window");
        }
        assert_eq!(
            asked[LIMIT - Urgency::Room.reserve() - 1],
            start,
            "the burst was held back"
        );
        assert!(now - start <= 6 * WINDOW, "too slow: {:?}", now - start);
    }

    #[test]
    fn urgent_ones_find_room_after_a_burst() {
        let now = Instant::now();
        let mut pace = Pace::default();
        for (urgency, next) in [
            (Urgency::Aside, Urgency::Room),
            (Urgency::Room, Urgency::Essential),
        ] {
            while pace.free_at(now, urgency) <= now {
                pace.note(now);
            }
            assert!(pace.free_at(now, next) <= now);
        }
    }

    #[test]
    fn the_servers_wish_is_obeyed() {
        let now = Instant::now();
        let mut pace = Pace::default();
        pace.block(now + Duration::from_secs(7));
        assert_eq!(
            pace.free_at(now, Urgency::Essential),
            now + Duration::from_secs(7)
        );
        assert!(
            pace.free_at(now + Duration::from_secs(8), Urgency::Essential)
                <= now + Duration::from_secs(8)
        );
    }
}
