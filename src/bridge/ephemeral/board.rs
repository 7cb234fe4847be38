//! What is to be seen on the other side, and what is seen there: who types. Nothing
//! waits in line here. What counts is how it is now, so a flood of news costs a bounded
//! number of requests and a bounded number of records. Without I/O.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// So many people are shown as typing at once, over all rooms.
pub(super) const MOST: usize = 100;

/// So many in one room: clients name three or four.
pub(super) const MOST_IN_ROOM: usize = 8;

/// Between two requests for the same person in the same room.
const BETWEEN: Duration = Duration::from_secs(1);

/// Between two requests at all: twenty a second.
const PACE: Duration = Duration::from_millis(50);

/// How long the other side shows what it is told, and when it is told again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// It forgets by itself after this.
    pub lasts: Duration,
    /// It is told again after this.
    pub again: Duration,
}

/// Who types where, as wished and as shown.
#[derive(Debug)]
pub(super) struct Board<R, P> {
    times: Times,
    people: HashMap<(R, P), Entry>,
    next_request: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    /// Until when they are taken to type; none when they have stopped.
    until: Option<Instant>,
    /// When the other side was last told that they do; none when it does not show it.
    shown: Option<Instant>,
    /// When the other side was last told anything.
    told: Option<Instant>,
    /// It is being told.
    under_way: bool,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<R, P> {
    /// Tell that somebody types, or no longer does.
    Tell(R, P, bool),
    /// Nothing before this moment.
    Wait(Instant),
    /// Nothing until somebody types.
    Idle,
}

impl<R: Clone + Eq + Hash, P: Clone + Eq + Hash> Board<R, P> {
    pub(super) fn new(times: Times) -> Self {
        Self {
            times,
            people: HashMap::new(),
            next_request: None,
        }
    }

    /// Somebody types, and is taken to until then. When there are too many already, it is
    /// not shown.
    pub(super) fn types(&mut self, room: R, person: P, until: Instant) {
        let key = (room, person);
        if let Some(entry) = self.people.get_mut(&key) {
            entry.until = Some(until);
            return;
        }
        let in_room = self.people.keys().filter(|(room, _)| *room == key.0);
        if self.people.len() >= MOST || in_room.count() >= MOST_IN_ROOM {
            return;
        }
        let entry = Entry {
            until: Some(until),
            shown: None,
            told: None,
            under_way: false,
        };
        self.people.insert(key, entry);
    }

    /// Somebody has stopped.
    pub(super) fn stopped(&mut self, room: R, person: P) {
        if let Some(entry) = self.people.get_mut(&(room, person)) {
            entry.until = None;
        }
    }

    /// Of a room only these type now: all others have stopped.
    pub(super) fn only(&mut self, room: &R, typing: &[P]) {
        for ((of, person), entry) in &mut self.people {
            if of == room && !typing.contains(person) {
                entry.until = None;
            }
        }
    }

    /// What to do now. [`Board::told`] must follow a [`Next::Tell`].
    pub(super) fn next(&mut self, now: Instant) -> Next<R, P> {
        let Times { lasts, again } = self.times;
        self.people.retain(|_, entry| {
            if entry.until.is_some_and(|until| until <= now) {
                entry.until = None;
            }
            // What the other side has forgotten by itself need not be taken back.
            let is_seen = entry.shown.is_some_and(|shown| shown + lasts > now);
            let is_new = entry.told.is_some_and(|told| told + BETWEEN > now);
            entry.under_way || entry.until.is_some() || is_seen || is_new
        });
        let mut earliest: Option<Instant> = None;
        let mut first = None;
        for (key, entry) in &self.people {
            if entry.under_way {
                continue;
            }
            let mut due = match (entry.until, entry.shown) {
                (None, None) => continue,
                (Some(_), Some(shown)) => shown + again,
                _ => now,
            };
            if let Some(told) = entry.told {
                due = due.max(told + BETWEEN);
            }
            if let Some(pace) = self.next_request {
                due = due.max(pace);
            }
            if due <= now {
                // Whoever was told of longest ago; of new ones any.
                if first.is_none_or(|(_, told)| entry.told < told) {
                    first = Some((key, entry.told));
                }
            } else {
                let due = entry.until.map_or(due, |until| due.min(until));
                earliest = Some(earliest.map_or(due, |earliest| earliest.min(due)));
            }
        }
        let Some(key) = first.map(|(key, _)| key.clone()) else {
            return earliest.map_or(Next::Idle, Next::Wait);
        };
        self.next_request = Some(now + PACE);
        let typing = match self.people.get_mut(&key) {
            Some(entry) => {
                entry.under_way = true;
                entry.until.is_some()
            }
            None => false,
        };
        Next::Tell(key.0, key.1, typing)
    }

    /// The other side was told, or could not be.
    pub(super) fn told(&mut self, room: R, person: P, typing: bool, done: bool, now: Instant) {
        let key = (room, person);
        let Some(entry) = self.people.get_mut(&key) else {
            return;
        };
        if !done {
            // Not tried again: there will be other news.
            self.people.remove(&key);
            return;
        }
        entry.under_way = false;
        entry.told = Some(now);
        entry.shown = typing.then_some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times {
        lasts: Duration::from_secs(15),
        again: Duration::from_secs(8),
    };

    struct Trial {
        board: Board<&'static str, u32>,
        now: Instant,
        /// Seconds since the start, person, whether typing.
        told: Vec<(u64, u32, bool)>,
        start: Instant,
    }

    impl Trial {
        fn new() -> Self {
            let start = Instant::now();
            Self {
                board: Board::new(TIMES),
                now: start,
                told: Vec::new(),
                start,
            }
        }

        fn types(&mut self, person: u32, seconds: u64) {
            let until = self.now + Duration::from_secs(seconds);
            self.board.types("r", person, until);
        }

        /// Does what is to be done for so long.
        fn run(&mut self, time: Duration) {
            let end = self.now + time;
            loop {
                match self.board.next(self.now) {
                    Next::Tell(room, person, typing) => {
                        let at = (self.now - self.start).as_secs();
                        self.told.push((at, person, typing));
                        self.board.told(room, person, typing, true, self.now);
                    }
                    Next::Wait(at) if at <= end => {
                        assert!(at > self.now, "no wait without end");
                        self.now = at;
                    }
                    Next::Wait(_) | Next::Idle => break,
                }
            }
            self.now = end;
        }
    }

    #[test]
    fn typing_is_told_renewed_and_ended() {
        let mut trial = Trial::new();
        trial.types(1, 300);
        trial.run(Duration::from_secs(20));
        trial.board.stopped("r", 1);
        trial.run(Duration::from_secs(60));
        let expected = [(0, 1, true), (8, 1, true), (16, 1, true), (20, 1, false)];
        assert_eq!(trial.told, expected);
        trial.run(Duration::ZERO);
        assert!(trial.board.people.is_empty());
    }

    #[test]
    fn typing_ends_when_nobody_says_that_it_goes_on() {
        let mut trial = Trial::new();
        trial.types(1, 10);
        trial.run(Duration::from_secs(60));
        assert_eq!(trial.told, [(0, 1, true), (8, 1, true), (10, 1, false)]);
    }

    #[test]
    fn news_that_change_nothing_ask_for_nothing() {
        let mut trial = Trial::new();
        for _ in 0..70 {
            trial.types(1, 15);
            trial.run(Duration::from_millis(100));
        }
        assert_eq!(trial.told, [(0, 1, true)]);
    }

    #[test]
    fn whoever_starts_and_stops_without_pause_costs_a_request_a_second() {
        let mut trial = Trial::new();
        for round in 0..1_000 {
            match round % 2 {
                0 => trial.types(1, 15),
                _ => trial.board.stopped("r", 1),
            }
            trial.run(Duration::from_millis(10));
        }
        assert!(trial.told.len() <= 11, "{:?}", trial.told);
    }

    #[test]
    fn a_crowd_is_shown_in_part_and_slowly() {
        let mut trial = Trial::new();
        for person in 0..10_000 {
            trial.types(person, 300);
        }
        trial.run(Duration::from_secs(1));
        assert_eq!(trial.told.len(), MOST_IN_ROOM);
        for room in [
            "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n",
        ] {
            for person in 0..100 {
                trial.board.types(room, person, trial.now + TIMES.lasts);
            }
        }
        assert_eq!(trial.board.people.len(), MOST);
        trial.told.clear();
        trial.run(Duration::from_secs(2));
        assert!(trial.told.len() <= 41, "{}", trial.told.len());
    }

    #[test]
    fn whoever_is_missing_in_a_list_has_stopped() {
        let mut trial = Trial::new();
        trial.types(1, 300);
        trial.types(2, 300);
        trial.run(Duration::from_secs(2));
        trial.board.only(&"r", &[2]);
        trial.run(Duration::from_secs(2));
        trial.told.sort_unstable();
        assert_eq!(trial.told, [(0, 1, true), (0, 2, true), (2, 1, false)]);
    }

    #[test]
    fn what_comes_too_late_or_fails_is_dropped() {
        let mut trial = Trial::new();
        trial.types(1, 5);
        // Nobody got round to it.
        trial.now += Duration::from_secs(6);
        trial.run(Duration::from_secs(1));
        assert_eq!(trial.told, []);
        trial.types(1, 5);
        let now = trial.now;
        assert_eq!(trial.board.next(now), Next::Tell("r", 1, true));
        assert_eq!(trial.board.next(now), Next::Idle, "one at a time");
        trial.board.told("r", 1, true, false, now);
        trial.run(Duration::from_secs(60));
        assert_eq!(trial.told, []);
        assert!(trial.board.people.is_empty());
    }
}
