//! What is to be told once, of each thing only the latest: presence and receipts.
//! Bounded in number and pace; what does not fit is dropped. Without I/O.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// So many wait at once.
const MOST: usize = 500;

/// The latest of each.
#[derive(Debug)]
pub(super) struct Latest<K, V> {
    /// Between two requests for the same thing.
    between: Duration,
    /// Between two requests at all.
    pace: Duration,
    next_request: Option<Instant>,
    waiting: HashMap<K, (Instant, V)>,
    told: HashMap<K, Instant>,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due<K, V> {
    /// Tell this.
    Tell(K, V),
    /// Nothing before this moment.
    Wait(Instant),
    /// Nothing until something is there.
    Idle,
}

impl<K: Clone + Eq + Hash, V> Latest<K, V> {
    pub(super) fn new(between: Duration, pace: Duration) -> Self {
        Self {
            between,
            pace,
            next_request: None,
            waiting: HashMap::new(),
            told: HashMap::new(),
        }
    }

    /// This is how it is now.
    pub(super) fn put(&mut self, key: K, value: V, now: Instant) {
        let is_full = self.waiting.len() >= MOST;
        let due = self.told.get(&key).map_or(now, |told| *told + self.between);
        match self.waiting.entry(key) {
            Entry::Occupied(mut waiting) => waiting.get_mut().1 = value,
            Entry::Vacant(_) if is_full => {}
            Entry::Vacant(place) => {
                place.insert((due, value));
            }
        }
    }

    /// What to do now.
    pub(super) fn next(&mut self, now: Instant) -> Due<K, V> {
        let between = self.between;
        self.told.retain(|_, told| *told + between > now);
        let Some((key, due)) = self
            .waiting
            .iter()
            .map(|(key, (due, _))| (key, *due))
            .min_by_key(|(_, due)| *due)
        else {
            return Due::Idle;
        };
        let due = self.next_request.map_or(due, |pace| due.max(pace));
        if due > now {
            return Due::Wait(due);
        }
        let key = key.clone();
        let Some((_, value)) = self.waiting.remove(&key) else {
            return Due::Idle;
        };
        self.next_request = Some(now + self.pace);
        self.told.insert(key.clone(), now);
        Due::Tell(key, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_is_told_and_not_too_often() {
        let mut latest = Latest::new(Duration::from_secs(5), Duration::from_millis(100));
        let start = Instant::now();
        latest.put("a", 1, start);
        latest.put("a", 2, start);
        latest.put("b", 3, start + Duration::from_millis(1));
        assert_eq!(latest.next(start), Due::Tell("a", 2));
        let paced = start + Duration::from_millis(100);
        assert_eq!(latest.next(start), Due::Wait(paced));
        assert_eq!(latest.next(paced), Due::Tell("b", 3));
        latest.put("a", 4, paced);
        latest.put("a", 5, paced);
        let again = start + Duration::from_secs(5);
        assert_eq!(
            latest.next(paced + Duration::from_millis(100)),
            Due::Wait(again)
        );
        assert_eq!(latest.next(again), Due::Tell("a", 5));
        assert_eq!(latest.next(again), Due::Idle);
    }

    #[test]
    fn a_crowd_takes_bounded_memory() {
        let mut latest = Latest::new(Duration::from_secs(5), Duration::from_millis(100));
        let mut now = Instant::now();
        for number in 0..100_000 {
            latest.put(number, (), now);
        }
        assert_eq!(latest.waiting.len(), MOST);
        let mut told = 0;
        loop {
            match latest.next(now) {
                Due::Tell(..) => told += 1,
                Due::Wait(at) => now = at,
                Due::Idle => break,
            }
        }
        assert_eq!(told, MOST);
        assert!(latest.told.len() <= 51, "{}", latest.told.len());
    }
}
