//! Telling what is being done, and how long it took.

use std::future::Future;
use std::time::Instant;

use anyhow::{Context, Result};

/// Says what begins, does it, says how long it took.
pub async fn step<T>(what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    eprintln!("==> {what}");
    let began = Instant::now();
    let done = work.await.with_context(|| format!("{what}: failed"))?;
    eprintln!("    done in {:.1} s", began.elapsed().as_secs_f64());
    Ok(done)
}
