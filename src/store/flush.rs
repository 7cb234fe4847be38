//! Flushing to disk, its cost shared by all who wait at the same time.

use tokio::sync::{mpsc, oneshot};

use super::StoreError;

type Waiter = oneshot::Sender<Result<(), StoreError>>;

/// Gathers requests to flush. While one `fsync` is under way, those who ask
/// wait together for the next: what they wrote may have come too late for this
/// one.
#[derive(Clone, Debug)]
pub(super) struct Flusher {
    requests: mpsc::UnboundedSender<Waiter>,
}

impl Flusher {
    /// Starts the thread that flushes; it ends when the last handle is dropped.
    pub(super) fn start(db: sled::Db) -> std::io::Result<Self> {
        let (requests, mut waiting) = mpsc::unbounded_channel::<Waiter>();
        std::thread::Builder::new()
            .name("store-flush".into())
            .spawn(move || {
                let mut together = Vec::new();
                while let Some(first) = waiting.blocking_recv() {
                    together.push(first);
                    while let Ok(another) = waiting.try_recv() {
                        together.push(another);
                    }
                    let outcome = db.flush().map(|_bytes| ()).map_err(StoreError::from);
                    for waiter in together.drain(..) {
                        // Whoever no longer waits no longer needs the answer.
                        let _ = waiter.send(outcome.clone());
                    }
                }
            })?;
        Ok(Self { requests })
    }

    /// Returns when everything written before the call is on disk.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        let (waiter, answer) = oneshot::channel();
        self.requests
            .send(waiter)
            .map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)?
    }
}
