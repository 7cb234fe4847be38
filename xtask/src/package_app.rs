//! `cargo xtask package-app`: the Rocket.Chat App as the zip that a server takes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use testbed::binaries;
use tokio::process::Command;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::progress::step;

/// What the file is called, under `rocketchat-app/dist`.
const PACKAGE: &str = "matrix-bridge-app.zip";

#[derive(Debug, Args)]
pub struct Options {
    /// Where the zip is written instead of `rocketchat-app/dist/matrix-bridge-app.zip`.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub async fn run(options: Options) -> Result<ExitCode> {
    build().await?;
    let output = match options.output {
        Some(output) => output,
        None => directory().join("dist").join(PACKAGE),
    };
    package(&output)?;
    println!("{}", output.display());
    Ok(ExitCode::SUCCESS)
}

/// Fetches what the App is built with, checks its types and makes one file of it.
pub async fn build() -> Result<()> {
    step("fetching what the App is built with", npm(&["ci"])).await?;
    step("checking the App", npm(&["run", "--silent", "check"])).await?;
    step("building the App", npm(&["run", "--silent", "build"])).await
}

/// The App's own tests, in the runtime that Rocket.Chat gives it.
pub async fn test() -> Result<()> {
    step("testing the App", npm(&["test"])).await
}

fn directory() -> PathBuf {
    binaries::workspace().join("rocketchat-app")
}

async fn npm(arguments: &[&str]) -> Result<()> {
    let status = Command::new("npm")
        .args(arguments)
        .current_dir(directory())
        .stdin(Stdio::null())
        .stdout(Stdio::from(std::io::stderr()))
        .kill_on_drop(true)
        .status()
        .await
        .context("cannot run npm: Node 20 must be installed")?;
    if !status.success() {
        bail!("npm {} failed", arguments.join(" "));
    }
    Ok(())
}

/// Everything that a server reads of an App: what describes it, the code in one file, the
/// texts. The same sources give the same bytes.
fn package(output: &Path) -> Result<()> {
    let root = directory();
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(root.join("app.json"))?)
            .context("app.json is not JSON")?;
    let Some(class_file) = manifest["classFile"].as_str() else {
        bail!("app.json names no classFile");
    };
    let mut files = vec![
        ("app.json".to_owned(), root.join("app.json")),
        (class_file.to_owned(), root.join("dist").join(class_file)),
    ];
    let mut texts: Vec<_> = std::fs::read_dir(root.join("i18n"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    texts.sort();
    for text in texts {
        let Some(name) = text.file_name().and_then(|name| name.to_str()) else {
            bail!("{} has no name", text.display());
        };
        files.push((format!("i18n/{name}"), text.clone()));
    }
    let file = std::fs::File::create(output)
        .with_context(|| format!("cannot write {}", output.display()))?;
    let mut zip = ZipWriter::new(file);
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, path) in files {
        let content =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        zip.start_file(name, stored)?;
        zip.write_all(&content)?;
    }
    zip.finish()?.sync_all()?;
    Ok(())
}
