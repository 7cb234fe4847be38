//! What is to be looked at: each thing once, however often somebody asks for it, and
//! one look at a thing at a time.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A queue in which nothing stands twice.
#[derive(Debug)]
pub(in crate::bridge) struct Queue<T> {
    state: Mutex<State<T>>,
    more: Notify,
}

#[derive(Debug)]
struct State<T> {
    order: VecDeque<T>,
    waiting: HashSet<T>,
    under_way: HashSet<T>,
}

impl<T: Clone + Eq + Hash> Queue<T> {
    pub(in crate::bridge) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                order: VecDeque::new(),
                waiting: HashSet::new(),
                under_way: HashSet::new(),
            }),
            more: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a look, unless one is asked for already that has not begun: that one
    /// will see what there is to see now.
    pub(in crate::bridge) fn add(&self, thing: T) {
        let mut state = self.lock();
        if state.waiting.insert(thing.clone()) {
            state.order.push_back(thing);
            self.more.notify_one();
        }
    }

    /// Waits for the next thing. [`Queue::done`] must follow.
    pub(in crate::bridge) async fn next(&self) -> T {
        loop {
            if let Some(thing) = self.take() {
                return thing;
            }
            self.more.notified().await;
        }
    }

    fn take(&self) -> Option<T> {
        let mut state = self.lock();
        let free = state
            .order
            .iter()
            .position(|thing| !state.under_way.contains(thing))?;
        let thing = state.order.remove(free)?;
        state.waiting.remove(&thing);
        state.under_way.insert(thing.clone());
        Some(thing)
    }

    /// A look is over.
    pub(in crate::bridge) fn done(&self, thing: &T) {
        let mut state = self.lock();
        state.under_way.remove(thing);
        // Whoever went to sleep because only this one was there.
        if state.waiting.contains(thing) {
            self.more.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Queue;

    #[test]
    fn what_is_asked_for_twice_is_looked_at_once() {
        let queue = Queue::new();
        for thing in ["a", "b", "a"] {
            queue.add(thing);
        }
        assert_eq!(queue.take(), Some("a"));
        assert_eq!(queue.take(), Some("b"));
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn a_change_during_a_look_brings_another_when_that_is_over() {
        let queue = Queue::new();
        queue.add("a");
        assert_eq!(queue.take(), Some("a"));
        queue.add("a");
        queue.add("b");
        assert_eq!(queue.take(), Some("b"), "one at a time");
        assert_eq!(queue.take(), None);
        queue.done(&"a");
        assert_eq!(queue.take(), Some("a"));
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let queue = std::sync::Arc::new(Queue::new());
        let waiting = tokio::spawn({
            let queue = std::sync::Arc::clone(&queue);
            async move { [queue.next().await, queue.next().await] }
        });
        queue.add(1);
        queue.add(2);
        assert_eq!(waiting.await.unwrap(), [1, 2]);
    }
}
