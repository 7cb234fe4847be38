//! The queues of all rooms, in one direction: each room works its own, and a
//! room with nothing to do costs nothing.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    lanes: Mutex<HashMap<K, Lane<J>>>,
    work: Work<K, J>,
    idle: Notify,
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
            }),
        }
    }

    /// Adds jobs to a room's queue, in order, and starts what may start.
    pub(super) fn push(&self, room: &K, jobs: impl IntoIterator<Item = (Place, J)>) {
        let started = {
            let mut lanes = self.lock();
            let lane = lanes
                .entry(room.clone())
                .or_insert_with(|| Lane::new(AT_ONCE_PER_ROOM));
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
            lane.push_first(jobs);
            return;
        }
        self.push(room, jobs);
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
            let Some(lane) = lanes.get_mut(room) else {
                return;
            };
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
        self.spawn(room, started);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Lane<J>>> {
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
