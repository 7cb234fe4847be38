//! `cargo xtask fuzz`: looks for inputs that break a promise of what reads the texts of
//! others (`fuzz/`).
//!
//! libFuzzer needs to be told which code an input reaches. The compiler can do that
//! without being a nightly one: LLVM's pass for it is reached with stable flags.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use clap::Args;
use testbed::binaries;
use tokio::process::Command;

use crate::progress::step;

/// All that can be fuzzed, as `fuzz::Target` names it.
const TARGETS: [&str; 5] = [
    "markdown",
    "to_matrix",
    "to_rocketchat",
    "frames",
    "transactions",
];

/// What makes every edge of the code count how often it is taken, and tells the fuzzer
/// with what values are compared.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Longer inputs find no more, but more slowly, in bytes.
const LONGEST: &str = "-max_len=4096";
/// No input of that length may take so long, in seconds; ordinary ones take less than a
/// thousandth.
const PATIENCE: &str = "-timeout=5";
/// Nor so much memory, in MiB.
const MEMORY: &str = "-rss_limit_mb=1024";

#[derive(Debug, Args)]
pub struct Options {
    /// Only this one; all of them, one after the other, unless it is given.
    #[arg(value_parser = TARGETS)]
    target: Option<String>,
    /// How long to look for, each.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Repeat one input, for example a finding, instead of looking for more.
    #[arg(long, requires = "target")]
    input: Option<PathBuf>,
}

/// Builds the fuzzer and lets it look. Fails when it has found something.
pub async fn run(options: Options) -> Result<ExitCode> {
    let directory = target_directory()?.join("fuzz");
    let mut program = PathBuf::new();
    step("building the fuzzer", async {
        program = build(&directory).await?;
        Ok(())
    })
    .await?;

    let chosen: Vec<&str> = match &options.target {
        Some(target) => vec![target],
        None => TARGETS.to_vec(),
    };
    let mut found_in = Vec::new();
    for target in chosen {
        eprintln!("==> {target}");
        let fuzzer = Fuzzer {
            program: &program,
            directory: &directory,
            target,
        };
        let is_fine = match &options.input {
            Some(input) => fuzzer.repeat(input).await?,
            None => fuzzer.look(options.seconds).await?,
        };
        if !is_fine {
            found_in.push(target);
        }
    }
    if found_in.is_empty() {
        eprintln!("==> nothing found");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("==> a promise is BROKEN in {}", found_in.join(", "));
    for target in found_in {
        eprintln!("    findings: {}", findings(&directory, target).display());
        eprintln!("    to repeat one: cargo xtask fuzz {target} --input FILE");
    }
    eprintln!("    once it is mended, keep its input in fuzz/regressions/TARGET/");
    Ok(ExitCode::FAILURE)
}

fn findings(directory: &Path, target: &str) -> PathBuf {
    directory.join("findings").join(target)
}

/// The directory that cargo builds into: that of this program, without its profile.
fn target_directory() -> Result<PathBuf> {
    let directory = binaries::directory()?;
    let target = directory.parent().context("no target directory")?;
    Ok(target.to_path_buf())
}

/// Builds the fuzzer apart from everything else, because of its flags; returns its
/// program.
async fn build(directory: &Path) -> Result<PathBuf> {
    // With a target named, the flags are not for what runs while building.
    let host = host().await?;
    let status = binaries::cargo()
        .args(["build", "--package", "fuzz", "--bin", "fuzzer"])
        .args(["--features", "engine", "--profile", "fuzz"])
        .args(["--target", &host, "--target-dir"])
        .arg(directory)
        .env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\u{1f}"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("the fuzzer did not build ({status}); it needs a compiler of C++ (`c++`)");
    }
    Ok(directory.join(host).join("fuzz").join("fuzzer"))
}

/// What the compiler builds for when nobody says otherwise.
async fn host() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .arg("-vV")
        .output()
        .await
        .context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .context("rustc does not say for which machine it builds")
}

/// The fuzzer, for one target.
struct Fuzzer<'a> {
    program: &'a Path,
    directory: &'a Path,
    target: &'a str,
}

impl Fuzzer<'_> {
    fn command(&self) -> Result<Command> {
        let findings = findings(self.directory, self.target);
        fs::create_dir_all(&findings)
            .with_context(|| format!("cannot make {}", findings.display()))?;
        let mut command = Command::new(self.program);
        command
            .env("FUZZ_TARGET", self.target)
            .arg(format!("-artifact_prefix={}/", findings.display()))
            .args([LONGEST, PATIENCE, MEMORY])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    /// Makes inputs up; those that reach new code are kept for the next time. Returns
    /// whether all promises were kept.
    async fn look(&self, seconds: u32) -> Result<bool> {
        let corpus = self.directory.join("corpus").join(self.target);
        let seeds = self.directory.join("seeds").join(self.target);
        for directory in [&corpus, &seeds] {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let ours = binaries::workspace().join("fuzz");
        let mut command = self.command()?;
        command
            .env("FUZZ_SEEDS", &seeds)
            .args(["-print_final_stats=1"])
            .arg(format!("-max_total_time={seconds}"));
        let words = ours
            .join("dictionaries")
            .join(format!("{}.dict", self.target));
        if words.exists() {
            command.arg(format!("-dict={}", words.display()));
        }
        command.args([&corpus, &seeds]);
        let known = ours.join("regressions").join(self.target);
        if known.exists() {
            command.arg(known);
        }
        let status = command.status().await.context("cannot run the fuzzer")?;
        Ok(status.success())
    }

    /// Gives it one input. Returns whether all promises were kept.
    async fn repeat(&self, input: &Path) -> Result<bool> {
        let mut command = self.command()?;
        let status = command.arg(input).status().await;
        Ok(status.context("cannot run the fuzzer")?.success())
    }
}
