//! `cargo xtask test`.

use std::process::{ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use testbed::{binaries, synapse};

use crate::package_app;
use crate::progress::step;

#[derive(Debug, Args)]
pub struct Options {
    /// Passed on to `cargo test --workspace`, as in `cargo xtask test --test world`
    /// or `cargo xtask test restarts -- --nocapture`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Sets up, runs, sums up.
pub async fn run(options: Options) -> Result<ExitCode> {
    let began = Instant::now();
    step("setting up Synapse", synapse::ensure_installed()).await?;
    step(
        "building the bridge and the simulator",
        binaries::build(&[binaries::BRIDGE, binaries::SIMULATOR]),
    )
    .await?;

    // Whoever names tests wants these.
    if options.arguments.is_empty() {
        package_app::build().await?;
        package_app::test().await?;
    }
    eprintln!("==> running the tests");
    let mut tests = binaries::cargo();
    tests
        .args(["test", "--workspace"])
        .args(&options.arguments)
        .env(binaries::BUILT, "1")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    // A failing test tells which promise broke; where `anyhow` noticed it would
    // bury that under pages of the runtime's frames.
    if std::env::var_os("RUST_LIB_BACKTRACE").is_none() {
        tests.env("RUST_LIB_BACKTRACE", "0");
    }
    let status = tests.status().await.context("cannot run cargo")?;
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    if status.success() {
        eprintln!("==> all tests passed, {minutes:.1} minutes with set-up");
        Ok(ExitCode::SUCCESS)
    } else {
        eprintln!("==> tests FAILED, {minutes:.1} minutes with set-up");
        Ok(ExitCode::FAILURE)
    }
}
