//! The queues of all rooms, in one direction: each room works its own, and a
//! room with nothing to do costs nothing.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::lane::{Lane, Place};

/// How many jobs of one room may be under way at once. Eight senders at once
/// reach what a real Rocket.Chat 6.14 can take; more only lengthen its queue.
const AT_ONCE_PER_ROOM: usize = 8;

type Work<K, J> = Box<dyn Fn(K, J) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Queues of jobs `J` by room `K`.
pub(super) struct Queues<K, J> {
    inner: Arc<Inner<K, J>>,
}

impl<K, J> Clone for Queues<K, J> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

struct Inner<K, J> {
    lanes: Mutex<HashMap<K, Numbered<J>>>,
    work: Work<K, J>,
    idle: Notify,
    /// A job is done somewhere.
    finished: Notify,
    /// Tells a room's queue from the one that it has when there is work again.
    lanes_made: AtomicU64,
}

/// The jobs of a room, and which of its queues that is.
struct Numbered<J> {
    number: u64,
    lane: Lane<J>,
}

impl<K, J> Queues<K, J>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    J: Send + 'static,
{
    /// Queues whose jobs are done by `work`. A job is done when its future ends:
    /// whatever goes wrong in it is its own business.
    pub(super) fn new<F, Fut>(work: F) -> Self
    where
        F: Fn(K, J) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self {
            inner: Arc::new(Inner {
                lanes: Mutex::new(HashMap::new()),
                work: Box::new(move |room, job| Box::pin(work(room, job))),
                idle: Notify::new(),
                finished: Notify::new(),
                lanes_made: AtomicU64::new(0),
            }),
        }
    }

    /// Adds jobs to a room's queue, in order, and starts what may start.
    pub(super) fn push(&self, room: &K, jobs: impl IntoIterator<Item = (Place, J)>) {
        let started = {
            let mut lanes = self.lock();
            let lane = &mut lanes
                .entry(room.clone())
                .or_insert_with(|| Numbered {
                    number: self.inner.lanes_made.fetch_add(1, Ordering::Relaxed),
                    lane: Lane::new(AT_ONCE_PER_ROOM),
                })
                .lane;
            for (place, job) in jobs {
                lane.push(place, job);
            }
            let started = lane.start();
            if lane.is_empty() {
                lanes.remove(room);
            }
            started
        };
        self.spawn(room, started);
    }

    /// Adds jobs before all that wait in a room whose queue is held by a job that
    /// is alone there.
    pub(super) fn push_first(&self, room: &K, jobs: impl IntoIterator<Item = (Place, J)>) {
        if let Some(lane) = self.lock().get_mut(room) {
            lane.lane.push_first(jobs);
            return;
        }
        self.push(room, jobs);
    }

    /// Waits until everything is done that waits or is under way in a room now. What
    /// comes meanwhile is not waited for.
    pub(super) async fn settled(&self, room: &K) {
        let Some((number, mark)) = self
            .lock()
            .get(room)
            .map(|found| (found.number, found.lane.mark()))
        else {
            return;
        };
        loop {
            let finished = self.inner.finished.notified();
            tokio::pin!(finished);
            // From now on none goes unnoticed.
            finished.as_mut().enable();
            let is_done = match self.lock().get(room) {
                Some(found) => found.number != number || found.lane.has_reached(mark),
                None => true,
            };
            if is_done {
                return;
            }
            finished.await;
        }
    }

    /// Waits until a job is done somewhere, or it is time.
    pub(super) async fn next_finished(&self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.inner.finished.notified()).await;
    }

    /// Waits until no job is waiting or under way anywhere.
    pub(super) async fn drained(&self) {
        loop {
            let changed = self.inner.idle.notified();
            if self.lock().is_empty() {
                return;
            }
            changed.await;
        }
    }

    fn spawn(&self, room: &K, started: Vec<(u64, J)>) {
        for (ticket, job) in started {
            let queues = self.clone();
            let room = room.clone();
            tokio::spawn(async move {
                // Runs also when the job panics: the room must not stand still.
                let _finish = Finish {
                    queues: &queues,
                    room: &room,
                    ticket,
                };
                (queues.inner.work)(room.clone(), job).await;
            });
        }
    }

    fn finish(&self, room: &K, ticket: u64) {
        let started = {
            let mut lanes = self.lock();
            let Some(found) = lanes.get_mut(room) else {
                return;
            };
            let lane = &mut found.lane;
            lane.finish(ticket);
            let started = lane.start();
            if lane.is_empty() {
                lanes.remove(room);
                if lanes.is_empty() {
                    self.inner.idle.notify_waiters();
                }
            }
            started
        };
        self.inner.finished.notify_waiters();
        self.spawn(room, started);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Numbered<J>>> {
        self.inner
            .lanes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

struct Finish<'a, K, J>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    J: Send + 'static,
{
    queues: &'a Queues<K, J>,
    room: &'a K,
    ticket: u64,
}

impl<K, J> Drop for Finish<'_, K, J>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    J: Send + 'static,
{
    fn drop(&mut self) {
        self.queues.finish(self.room, self.ticket);
    }
}
