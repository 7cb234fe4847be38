//! Where the programs are, and building the simulator when nobody did.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use tokio::process::Command;
use tokio::sync::OnceCell;

/// The name of the bridge's program.
pub const BRIDGE: &str = "matrix-appservice-rocketchat";
/// The name of the simulator's program.
pub const SIMULATOR: &str = "rocketchat-sim";
/// Set by `cargo xtask` once it has built everything, so that each of many test
/// processes need not ask cargo again.
pub const BUILT: &str = "TESTBED_BUILT";

/// Whether this process has built the simulator.
static BUILT_HERE: AtomicBool = AtomicBool::new(false);

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = crate_directory.ancestors().nth(2);
    root.unwrap_or(crate_directory).to_path_buf()
}

/// Where things are kept that are made once: `.cache` in the workspace, or
/// `BRIDGE_CACHE_DIR`.
pub fn cache_directory() -> PathBuf {
    match std::env::var_os("BRIDGE_CACHE_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => workspace().join(".cache"),
    }
}

/// The directory of the programs that were built with the one that runs: tests
/// live in `deps` under it.
///
/// # Errors
/// When the operating system does not say which program runs.
pub fn directory() -> Result<PathBuf> {
    let this = std::env::current_exe().context("cannot tell which program runs")?;
    let mut directory = this.parent().context("the program is in no directory")?;
    if directory.ends_with("deps") || directory.ends_with("examples") {
        directory = directory.parent().context("deps is in no directory")?;
    }
    Ok(directory.to_path_buf())
}

/// The bridge's program, for whoever cannot ask cargo (`CARGO_BIN_EXE_…`).
///
/// # Errors
/// When the operating system does not say which program runs.
pub fn bridge() -> Result<PathBuf> {
    Ok(directory()?.join(BRIDGE))
}

/// The simulator's program; built first, once per process, unless [`BUILT`] is
/// set. (Cargo holds a lock over its target directory, so several at once wait
/// for each other.)
///
/// # Errors
/// When it does not build.
pub async fn rocketchat_sim() -> Result<PathBuf> {
    static PROGRAM: OnceCell<PathBuf> = OnceCell::const_new();
    let program = PROGRAM.get_or_try_init(|| async {
        let program = directory()?.join(SIMULATOR);
        let is_fresh = std::env::var_os(BUILT).is_some() || BUILT_HERE.load(Ordering::Relaxed);
        if !is_fresh || !program.exists() {
            build(&[SIMULATOR]).await?;
        }
        if !program.exists() {
            bail!("{} was not built", program.display());
        }
        Ok(program)
    });
    program.await.cloned()
}

/// Builds these programs of the workspace, for the profile and into the target
/// directory of the program that runs; cargo shows its progress.
///
/// # Errors
/// When something does not build.
pub async fn build(programs: &[&str]) -> Result<()> {
    let directory = directory()?;
    let profile = directory.file_name().and_then(|name| name.to_str());
    build_as(profile.unwrap_or("debug"), programs).await?;
    Ok(())
}

/// Builds programs as [`build`] does, for the profile whose directory has this
/// name (`debug`, `release`); returns that directory.
///
/// # Errors
/// When something does not build.
pub async fn build_as(profile: &str, programs: &[&str]) -> Result<PathBuf> {
    let directory = directory()?;
    let target = directory.parent().context("no target directory")?;
    let mut command = cargo();
    // All of the workspace takes part in choosing features, as in `cargo test
    // --workspace`: other features would build every dependency twice.
    command.args(["build", "--workspace"]);
    for program in programs {
        command.args(["--bin", program]);
    }
    // The one profile whose directory is not called as it is.
    let name = if profile == "debug" { "dev" } else { profile };
    command
        .args(["--profile", name, "--target-dir"])
        .arg(target)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let status = command.status().await.context("cannot run cargo")?;
    if !status.success() {
        bail!(
            "{} did not build ({status}): see above",
            programs.join(" and ")
        );
    }
    Ok(target.join(profile))
}

/// Cargo, in the workspace, without what the cargo that started us told us about
/// ourselves.
pub fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(workspace());
    let about_us = [
        "CARGO_PKG_",
        "CARGO_BIN_",
        "CARGO_MANIFEST_",
        "CARGO_CRATE_",
    ];
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if about_us.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(&key);
        }
    }
    command
}
