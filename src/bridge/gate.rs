//! Whether a server can be reached. When it is away one task asks for it, and
//! all who need it wait for that one.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;

/// How long a server that is away is left alone between two looks: short, since
/// a look is one cheap request, and messages wait for it.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// Open while the server can be reached.
#[derive(Debug)]
pub(super) struct Gate {
    name: &'static str,
    open: watch::Sender<bool>,
}

impl Gate {
    /// An open gate, until somebody finds otherwise.
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            open: watch::Sender::new(true),
        }
    }

    /// Somebody could not reach the server.
    pub(super) fn close(&self) {
        if self.open.send_replace(false) {
            tracing::warn!(
                server = self.name,
                "cannot be reached; what is for it waits"
            );
        }
    }

    /// Whether the server can be reached as far as known.
    pub(super) fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Waits until the server can be reached.
    pub(super) async fn opened(&self) {
        // The sender lives in self: the wait cannot fail.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }

    /// The server can be reached again.
    pub(super) fn open(&self) {
        if !self.open.send_replace(true) {
            tracing::info!(server = self.name, "can be reached again");
        }
    }

    /// Waits until the server cannot be reached.
    pub(super) async fn closed(&self) {
        // The sender lives in self: the wait cannot fail.
        let _ = self.open.subscribe().wait_for(|open| !*open).await;
    }

    /// Looks after the gate for ever: while it is closed, asks `is_there` until
    /// the answer is yes.
    pub(super) async fn watch<F, Fut>(&self, is_there: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = bool>,
    {
        loop {
            self.closed().await;
            while !is_there().await {
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
            self.open();
        }
    }
}
