//! What is to be looked at: each thing once, however often somebody asks for it, and
//! one look at a thing at a time.
//!
//! What somebody has a reason to look at comes before what a round over everything asks
//! for. The latter is handed out at a pace: with ten thousand rooms a round would
//! otherwise keep both servers busy, and news would wait behind it for half an hour.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// A queue in which nothing stands twice.
#[derive(Debug)]
pub(in crate::bridge) struct Queue<T> {
    state: Mutex<State<T>>,
    more: Notify,
    pace: Duration,
}

#[derive(Debug)]
struct State<T> {
    /// For which there is a reason.
    soon: VecDeque<T>,
    /// Which are a round's. One that got a reason since stands here as well.
    in_turn: VecDeque<T>,
    waiting: HashMap<T, Since>,
    under_way: HashSet<T>,
    /// Before then no other of a round.
    next_turn: Instant,
}

/// Why something waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    /// There is a reason.
    Reason,
    /// It is its turn.
    Turn,
}

/// What there is to do now.
#[derive(Debug, PartialEq, Eq)]
enum Next<T> {
    Now(T),
    /// Not before then, unless something is added.
    At(Instant),
    /// Nothing.
    Never,
}

impl<T: Clone + Eq + Hash> Queue<T> {
    /// An empty queue, which hands out what is in it for a round with at least `pace`
    /// between two.
    pub(in crate::bridge) fn new(pace: Duration) -> Self {
        Self {
            state: Mutex::new(State {
                soon: VecDeque::new(),
                in_turn: VecDeque::new(),
                waiting: HashMap::new(),
                under_way: HashSet::new(),
                next_turn: Instant::now(),
            }),
            more: Notify::new(),
            pace,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a look, unless one is asked for already that has not begun: that one
    /// will see what there is to see now.
    pub(in crate::bridge) fn add(&self, thing: T) {
        let mut state = self.lock();
        let before = state.waiting.insert(thing.clone(), Since::Reason);
        if before != Some(Since::Reason) {
            state.soon.push_back(thing);
            self.more.notify_one();
        }
    }

    /// Asks for a look at everything for which there is no other reason than that it is
    /// time: it comes after what [`Queue::add`] asks for.
    pub(in crate::bridge) fn add_in_turn(&self, thing: T) {
        let mut state = self.lock();
        if !state.waiting.contains_key(&thing) {
            state.waiting.insert(thing.clone(), Since::Turn);
            state.in_turn.push_back(thing);
            self.more.notify_one();
        }
    }

    /// Waits for the next thing. [`Queue::done`] must follow.
    pub(in crate::bridge) async fn next(&self) -> T {
        loop {
            match self.take() {
                Next::Now(thing) => return thing,
                Next::At(then) => {
                    let _ = tokio::time::timeout_at(then, self.more.notified()).await;
                }
                Next::Never => self.more.notified().await,
            }
        }
    }

    fn take(&self) -> Next<T> {
        let mut state = self.lock();
        let State {
            soon,
            in_turn,
            waiting,
            under_way,
            next_turn,
        } = &mut *state;
        let now = Instant::now();
        let thing = match soon.iter().position(|thing| !under_way.contains(thing)) {
            Some(free) => soon.remove(free),
            None => {
                // Those that got a reason meanwhile have been handed out, or will be.
                while in_turn
                    .front()
                    .is_some_and(|thing| waiting.get(thing) != Some(&Since::Turn))
                {
                    in_turn.pop_front();
                }
                let free = in_turn.iter().position(|thing| {
                    !under_way.contains(thing) && waiting.get(thing) == Some(&Since::Turn)
                });
                let Some(free) = free else { return Next::Never };
                if now < *next_turn {
                    return Next::At(*next_turn);
                }
                *next_turn = now + self.pace;
                in_turn.remove(free)
            }
        };
        let Some(thing) = thing else {
            return Next::Never;
        };
        waiting.remove(&thing);
        under_way.insert(thing.clone());
        Next::Now(thing)
    }

    /// A look is over.
    pub(in crate::bridge) fn done(&self, thing: &T) {
        let mut state = self.lock();
        state.under_way.remove(thing);
        // Whoever went to sleep because only this one was there.
        if state.waiting.contains_key(thing) {
            self.more.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::{Next, Queue};

    fn taken<T: Clone + Eq + std::hash::Hash>(queue: &Queue<T>) -> Option<T> {
        match queue.take() {
            Next::Now(thing) => Some(thing),
            Next::At(_) | Next::Never => None,
        }
    }

    #[tokio::test]
    async fn what_is_asked_for_twice_is_looked_at_once() {
        let queue = Queue::new(Duration::ZERO);
        for thing in ["a", "b", "a"] {
            queue.add(thing);
        }
        assert_eq!(taken(&queue), Some("a"));
        assert_eq!(taken(&queue), Some("b"));
        assert_eq!(taken(&queue), None);
    }

    #[tokio::test]
    async fn a_change_during_a_look_brings_another_when_that_is_over() {
        let queue = Queue::new(Duration::ZERO);
        queue.add("a");
        assert_eq!(taken(&queue), Some("a"));
        queue.add("a");
        queue.add("b");
        assert_eq!(taken(&queue), Some("b"), "one at a time");
        assert_eq!(taken(&queue), None);
        queue.done(&"a");
        assert_eq!(taken(&queue), Some("a"));
    }

    #[tokio::test]
    async fn a_reason_comes_before_a_round_and_each_thing_once() {
        let queue = Queue::new(Duration::ZERO);
        for thing in ["a", "b", "c"] {
            queue.add_in_turn(thing);
        }
        queue.add("c");
        queue.add("d");
        queue.add_in_turn("d");
        let order: Vec<_> = std::iter::from_fn(|| taken(&queue)).collect();
        assert_eq!(order, ["c", "d", "a", "b"]);
        for thing in order {
            queue.done(&thing);
        }
        queue.add_in_turn("c");
        assert_eq!(taken(&queue), Some("c"), "another round");
        assert_eq!(taken(&queue), None);
    }

    #[tokio::test]
    async fn a_round_goes_at_its_pace_and_a_reason_at_once() {
        let queue = Queue::new(Duration::from_secs(3600));
        for thing in [1, 2] {
            queue.add_in_turn(thing);
        }
        assert_eq!(queue.take(), Next::Now(1));
        assert!(matches!(queue.take(), Next::At(_)), "not before its time");
        queue.add(3);
        assert_eq!(queue.take(), Next::Now(3));
        assert!(matches!(queue.take(), Next::At(_)));
        queue.add(2);
        assert_eq!(queue.take(), Next::Now(2), "it has got a reason");
        assert_eq!(queue.take(), Next::Never);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let queue = std::sync::Arc::new(Queue::new(Duration::ZERO));
        let waiting = tokio::spawn({
            let queue = std::sync::Arc::clone(&queue);
            async move { [queue.next().await, queue.next().await] }
        });
        queue.add(1);
        queue.add_in_turn(2);
        assert_eq!(waiting.await.unwrap(), [1, 2]);
    }
}
