//! One lock for each key, there while somebody holds or wants it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError, Weak};

use tokio::sync::{Mutex, OwnedMutexGuard};

/// Locks by key: what is made on demand is made once, and making one thing does
/// not hold up another.
#[derive(Debug)]
pub(super) struct KeyedLock<K>(SyncMutex<HashMap<K, Weak<Mutex<()>>>>);

impl<K: Eq + Hash + Clone> KeyedLock<K> {
    pub(super) fn new() -> Self {
        Self(SyncMutex::new(HashMap::new()))
    }

    /// Waits for the key's lock; dropping the guard gives it up.
    pub(super) async fn lock(&self, key: &K) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match locks.get(key).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    locks.retain(|_, lock| lock.strong_count() > 0);
                    let lock = Arc::new(Mutex::new(()));
                    locks.insert(key.clone(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}
