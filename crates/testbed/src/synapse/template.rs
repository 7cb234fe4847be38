//! A database with all tables and nobody in it, made once: creating it takes a
//! Synapse several seconds, copying it none.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::config::{DATABASE, SIGNING_KEY};
use super::install::{Installed, Lock};
use super::{Synapse, SynapseOptions};
use crate::ports::PortLease;

/// Puts the database, and the signing key that it belongs to, into the
/// directory of a Synapse that never ran.
pub(super) async fn copy_into(installed: &Installed, directory: &Path) -> Result<()> {
    if directory.join(DATABASE).exists() {
        return Ok(());
    }
    let template = installed.directory().join("template");
    if !template.exists() {
        make(installed, &template).await?;
    }
    for file in [DATABASE, SIGNING_KEY] {
        fs::copy(template.join(file), directory.join(file))
            .with_context(|| format!("cannot copy {file} from {}", template.display()))?;
    }
    Ok(())
}

async fn make(installed: &Installed, template: &Path) -> Result<()> {
    let _lock = Lock::take(
        &installed.directory().join("template.lock"),
        "the empty database",
    )
    .await?;
    if template.exists() {
        return Ok(());
    }
    let work = tempfile::Builder::new()
        .prefix("template-")
        .tempdir_in(installed.directory())?;
    let directory = work.path().canonicalize()?;
    let mut options = SynapseOptions::new(&directory, PortLease::any()?);
    options.from_template = false;
    let synapse = Synapse::launch(installed, options, directory.clone()).await?;
    synapse.stop().await?;
    // A clean end folds the write-ahead log back into the one file.
    let finished = tempfile::Builder::new()
        .prefix("template-")
        .tempdir_in(installed.directory())?;
    for file in [DATABASE, SIGNING_KEY] {
        fs::copy(directory.join(file), finished.path().join(file))?;
    }
    let finished = finished.keep();
    fs::rename(&finished, template)
        .with_context(|| format!("cannot rename {} to template", finished.display()))
}
