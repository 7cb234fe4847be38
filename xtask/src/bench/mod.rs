//! `cargo xtask bench`: how fast the bridge is, beside what Synapse and
//! Rocket.Chat take without it in the same run.
//!
//! * [`stage`] brings people into rooms, mirrored and not;
//! * [`load`] makes them speak, [`watch`] sees what arrives, [`ledger`] holds both
//!   against each other;
//! * [`phases`] says what is measured in which order, [`meter`] what it cost;
//! * [`check`] holds the rooms against the promise at the end;
//! * [`report`] prints the table;
//! * [`files`] is `cargo xtask bench-files`: files in place of messages;
//! * [`rooms`] is `cargo xtask bench-rooms`: many rooms and people, behind [`front`].

mod check;
mod direct;
pub mod files;
mod front;
mod ledger;
mod load;
mod machine;
mod meter;
mod phases;
mod report;
pub mod rooms;
mod stage;
mod statistics;
mod watch;

use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};
use clap::Args;
use testbed::{binaries, synapse};

use crate::progress::step;

#[derive(Debug, Args)]
pub struct Options {
    /// How many people speak at once on each side, each waiting for the answer to
    /// one message before sending the next.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=200))]
    senders: u32,
    /// How many messages are sent in each phase and direction.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
    /// What the simulator takes for each message, in milliseconds: a real server
    /// takes about 70, and 0 shows the bridge's own limit.
    #[arg(long, default_value_t = 70)]
    message_delay_ms: u64,
    /// Measure release programs; the default.
    #[arg(long, conflicts_with = "debug")]
    release: bool,
    /// Measure debug programs, which build faster and run slower.
    #[arg(long)]
    debug: bool,
    /// The bridge's log filter.
    #[arg(long, default_value = "info")]
    log: String,
}

impl Options {
    /// The directory of the programs that are measured.
    fn profile(&self) -> &'static str {
        if self.debug { "debug" } else { "release" }
    }

    /// How many messages each sender says in a phase: at least one.
    fn lines(&self) -> usize {
        (self.messages as usize).div_ceil(self.senders as usize)
    }
}

/// Builds, measures, prints.
pub async fn run(options: Options) -> Result<ExitCode> {
    let here = binaries::directory()?;
    if !here.ends_with(options.profile()) {
        return run_as_built_for(options.profile()).await;
    }
    if std::env::var_os(binaries::BUILT).is_none() {
        let programs = [binaries::BRIDGE, binaries::SIMULATOR];
        step("building the bridge and the simulator", async {
            binaries::build(&programs).await
        })
        .await?;
    }
    step("setting up Synapse", synapse::ensure_installed()).await?;
    let machine = machine::describe().await?;
    let stage = step(
        "starting Synapse, the Rocket.Chat simulator and the bridge",
        stage::Stage::set(&options),
    )
    .await?;
    let results = stage.world.explain(phases::run(&stage, &options).await)?;
    report::print(&options, &machine, &results);
    step("stopping everything", stage.world.stop()).await?;
    Ok(ExitCode::SUCCESS)
}

/// Goes on in a program built like those that are measured: a slow load
/// generator would take the processor from them, and everything that looks for
/// programs looks beside the one that runs.
async fn run_as_built_for(profile: &str) -> Result<ExitCode> {
    let programs = [binaries::BRIDGE, binaries::SIMULATOR, "xtask"];
    let directory = step(&format!("building for {profile}"), async {
        binaries::build_as(profile, &programs).await
    })
    .await?;
    let status = tokio::process::Command::new(directory.join("xtask"))
        .args(std::env::args_os().skip(1))
        .env(binaries::BUILT, "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .context("cannot run what was built")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
