//! What a killed process leaves in the store's directory and sled (0.34.7) trips over.

use std::fs::{File, TryLockError};
use std::path::Path;

/// Removes snapshots that were not finished.
///
/// sled writes one at every opening, under a name that ends in `.generating`, and gives
/// it its own when it is whole. Left behind by a process that was killed in between, it
/// is taken for the newest snapshot: the store is called damaged and does not open any
/// more. The one before it is still there, and is all that is needed.
///
/// # Errors
/// When the directory cannot be read, or a file in it not be removed.
pub(super) fn remove_unfinished_snapshots(directory: &Path) -> std::io::Result<()> {
    let file = match File::open(directory.join("db")) {
        Ok(file) => file,
        // There is nothing yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    // The lock that sled takes: another process may be writing its snapshot.
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(()),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            tracing::info!(%name, "an unfinished snapshot of the store is removed");
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
