//! What the numbers were measured on.

use std::process::Stdio;

use anyhow::Result;
use testbed::{binaries, synapse};
use tokio::process::Command;

/// The machine and the versions of a run.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) cores: usize,
    /// Processes that wanted to run in the minute before the start.
    pub(super) load: f64,
    /// The commit, with a mark when files differ from it.
    pub(super) commit: String,
    pub(super) rustc: String,
    pub(super) synapse: &'static str,
}

/// Looks around; warns when others are at work.
pub(super) async fn describe() -> Result<Machine> {
    let cores = std::thread::available_parallelism()?.get();
    let text = std::fs::read_to_string("/proc/loadavg")?;
    let load = text.split_whitespace().next().unwrap_or_default().parse()?;
    let machine = Machine {
        cores,
        load,
        commit: said_by("git", &["describe", "--always", "--dirty"]).await,
        rustc: said_by("rustc", &["--version"]).await,
        synapse: synapse::VERSION,
    };
    if machine.is_busy() {
        eprintln!("warning: this machine is busy (load {load}); trust ratios, not numbers");
    }
    Ok(machine)
}

impl Machine {
    /// Whether others were at work: building the programs counts, too.
    pub(super) fn is_busy(&self) -> bool {
        self.load > self.cores as f64 / 2.0
    }
}

async fn said_by(program: &str, arguments: &[&str]) -> String {
    let said = Command::new(program)
        .args(arguments)
        .current_dir(binaries::workspace())
        .stdin(Stdio::null())
        .output()
        .await;
    match said {
        Ok(said) if said.status.success() => {
            String::from_utf8_lossy(&said.stdout).trim().to_owned()
        }
        _ => format!("(no {program})"),
    }
}
