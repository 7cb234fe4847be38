//! How large a file the homeserver takes.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Bridge, Failure};

/// How long it is believed: administrators change it with a restart.
const BELIEVED_FOR: Duration = Duration::from_secs(300);

/// The bound as it was last seen.
#[derive(Debug, Default)]
pub(super) struct LastSeen(Mutex<Option<(Instant, Option<u64>)>>);

impl Bridge {
    /// The largest file that the homeserver takes, in bytes (`m.upload.size`), not older
    /// than a few minutes; none when it sets no bound.
    ///
    /// # Errors
    /// When the homeserver cannot be asked.
    pub(super) async fn upload_limit(&self) -> Result<Option<u64>, Failure> {
        let seen = {
            let last = &self.upload_limit_seen.0;
            *last.lock().unwrap_or_else(PoisonError::into_inner)
        };
        if let Some((at, limit)) = seen
            && at.elapsed() < BELIEVED_FOR
        {
            return Ok(limit);
        }
        let limit = self.matrix.bot().upload_limit().await?;
        self.note_upload_limit(Some((Instant::now(), limit)));
        Ok(limit)
    }

    /// Lets the bound be asked for anew: it turned out to be another.
    pub(super) fn forget_upload_limit(&self) {
        self.note_upload_limit(None);
    }

    fn note_upload_limit(&self, seen: Option<(Instant, Option<u64>)>) {
        let last = &self.upload_limit_seen.0;
        *last.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}
