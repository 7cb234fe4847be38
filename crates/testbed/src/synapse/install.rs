//! A virtual environment with Synapse in it, made once and kept.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::binaries::cache_directory;
use crate::reaper;

/// The version of Synapse.
pub const VERSION: &str = "1.163.2";

const REQUIREMENTS: &str = include_str!("../../synapse-requirements.txt");
/// Written last: an environment without it is half-made.
const COMPLETE: &str = "complete";
const OLDEST_PYTHON: (u32, u32) = (3, 10);

/// A Synapse that can be started.
#[derive(Debug, Clone)]
pub struct Installed {
    directory: PathBuf,
}

impl Installed {
    /// The Python that has Synapse.
    pub fn python(&self) -> PathBuf {
        self.directory.join("venv/bin/python")
    }

    /// Where it is kept.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Keeps Python's own settings of whoever runs us out.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        vec![
            ("PYTHONPATH".to_owned(), String::new()),
            ("PYTHONUNBUFFERED".to_owned(), "1".to_owned()),
        ]
    }
}

/// Makes the virtual environment if that was not done yet; several processes may
/// ask at once. Says on standard error what it does when it takes long.
///
/// # Errors
/// When there is no suitable Python, or a package cannot be installed: says
/// what to do.
pub async fn ensure_installed() -> Result<Installed> {
    static INSTALLED: OnceCell<Installed> = OnceCell::const_new();
    INSTALLED.get_or_try_init(install_once).await.cloned()
}

async fn install_once() -> Result<Installed> {
    let directory = cache_directory().join(format!("synapse-{VERSION}"));
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let installed = Installed {
        directory: directory.canonicalize()?,
    };
    if is_complete(&installed).await {
        return Ok(installed);
    }
    let _lock = Lock::take(&installed.directory.join("lock")).await?;
    if !is_complete(&installed).await {
        install(&installed).await?;
    }
    Ok(installed)
}

/// Whether the environment was finished, from these requirements, and still
/// works: the Python it was made with may have been removed since.
async fn is_complete(installed: &Installed) -> bool {
    let made_from = fs::read_to_string(installed.directory.join(COMPLETE));
    if made_from.ok().as_deref() != Some(REQUIREMENTS) {
        return false;
    }
    let works = run(installed.python(), ["-c", "import synapse"]).await;
    works.is_ok()
}

/// The environment is made in its final place, because its scripts hold its
/// path; the mark of completion is what the rename would have been.
async fn install(installed: &Installed) -> Result<()> {
    let began = Instant::now();
    let venv = installed.directory.join("venv");
    clear_mark(installed)?;
    clear(&venv)?;
    let python = find_python().await?;
    say(&format!(
        "making a virtual environment for Synapse {VERSION} in {} (once)",
        installed.directory.display()
    ));
    make_environment(&python, installed).await?;
    let requirements = installed.directory.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS)?;
    let packages = REQUIREMENTS
        .lines()
        .filter(|line| line.contains("=="))
        .count();
    say(&format!(
        "installing Synapse and what it needs, {packages} packages"
    ));
    let mut pip = Command::new(installed.python());
    pip.args(["-m", "pip", "install", "--no-input", "--prefer-binary"])
        .args(["--disable-pip-version-check", "--progress-bar", "off", "-r"])
        .arg(&requirements);
    show_progress(pip, packages).await?;
    run(installed.python(), ["-c", "import synapse.app.homeserver"])
        .await
        .context("Synapse was installed and cannot be loaded")?;
    fs::write(installed.directory.join(COMPLETE), REQUIREMENTS)?;
    let seconds = began.elapsed().as_secs();
    say(&format!("Synapse {VERSION} is installed ({seconds} s)"));
    Ok(())
}

/// The first Python that is new enough: `BRIDGE_PYTHON`, then the usual names.
async fn find_python() -> Result<PathBuf> {
    let chosen = std::env::var_os("BRIDGE_PYTHON").map(PathBuf::from);
    let names = [
        "python3.11",
        "python3",
        "python3.12",
        "python3.13",
        "python3.10",
    ];
    let candidates = match chosen {
        Some(chosen) => vec![chosen],
        None => names.iter().map(PathBuf::from).collect(),
    };
    let question = "import sys; print(*sys.version_info[:2])";
    let mut seen = Vec::new();
    for candidate in candidates {
        let name = candidate.display().to_string();
        let Ok(answer) = run(&candidate, ["-c", question]).await else {
            seen.push(format!("{name}: does not run"));
            continue;
        };
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        let mut numbers = text.split_whitespace().map(str::parse::<u32>);
        if let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) {
            if (major, minor) >= OLDEST_PYTHON {
                return Ok(candidate);
            }
            seen.push(format!("{name}: is {major}.{minor}"));
        }
    }
    bail!(
        "Synapse needs Python 3.10 or newer ({}); install python3.11, or name one in BRIDGE_PYTHON",
        seen.join(", ")
    )
}

/// `python -m venv`; on a Debian without python3-venv by the virtualenv package,
/// and for root by installing python3-venv.
async fn make_environment(python: &Path, installed: &Installed) -> Result<()> {
    let venv = installed.directory.join("venv");
    let Err(first) = run(
        python,
        [OsStr::new("-m"), "venv".as_ref(), venv.as_os_str()],
    )
    .await
    else {
        return Ok(());
    };
    say("this Python cannot make virtual environments; trying the virtualenv package");
    let Err(second) = by_virtualenv(python, installed).await else {
        return Ok(());
    };
    if rustix::process::geteuid().is_root() {
        say("no pip either; installing python3-venv");
        let third = by_apt_get(python, &venv).await;
        return third.context("python3-venv could not be installed");
    }
    bail!(
        "cannot make a virtual environment. On Debian: apt-get install python3-venv\n\
         python -m venv: {first:#}\nvirtualenv: {second:#}"
    )
}

async fn by_virtualenv(python: &Path, installed: &Installed) -> Result<()> {
    // Beside the environment, so that nothing outside the cache is touched.
    let tool = installed.directory.join("virtualenv");
    let venv = installed.directory.join("venv");
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--no-input", "--target"])
        .arg(&tool)
        .arg("virtualenv");
    finish(pip).await?;
    clear(&venv)?;
    let mut make = Command::new(python);
    make.args(["-m", "virtualenv"])
        .arg(&venv)
        .env("PYTHONPATH", &tool);
    finish(make).await.map(drop)
}

async fn by_apt_get(python: &Path, venv: &Path) -> Result<()> {
    run("apt-get", ["update"]).await?;
    let mut install = Command::new("apt-get");
    install
        .args([
            "install",
            "--yes",
            "--no-install-recommends",
            "python3-venv",
        ])
        .env("DEBIAN_FRONTEND", "noninteractive");
    finish(install).await?;
    clear(venv)?;
    run(
        python,
        [OsStr::new("-m"), "venv".as_ref(), venv.as_os_str()],
    )
    .await
    .map(drop)
}

/// Before anything is made: an end in the middle must not look complete.
fn clear_mark(installed: &Installed) -> Result<()> {
    match fs::remove_file(installed.directory.join(COMPLETE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// An attempt that failed, or another version, may have left something behind.
fn clear(venv: &Path) -> Result<()> {
    if venv.exists() {
        fs::remove_dir_all(venv)?;
    }
    Ok(())
}

pub(super) async fn run<P, I>(program: P, args: I) -> Result<Output>
where
    P: AsRef<OsStr>,
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(args);
    finish(command).await
}

async fn finish(mut command: Command) -> Result<Output> {
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    if !output.status.success() {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}{}", output.status, stdout.trim(), stderr.trim());
    }
    Ok(output)
}

/// Runs pip and counts the packages it has dealt with.
async fn show_progress(mut pip: Command, packages: usize) -> Result<()> {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    let mut running = pip
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    // A pip that outlives us would write into the environment of the next.
    let group = running.id().context("pip has ended already")?;
    reaper::watch(group)?;
    let stdout = running.stdout.take().context("pip has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let mut collected = 0;
    let mut said = Instant::now();
    while let Some(line) = lines.next_line().await? {
        collected += usize::from(line.starts_with("Collecting "));
        if line.starts_with("Installing ") {
            say("unpacking");
        } else if said.elapsed() > Duration::from_secs(3) {
            say(&format!("{collected} of {packages} packages"));
            said = Instant::now();
        }
    }
    let status = running.wait().await?;
    reaper::forget(group)?;
    if !status.success() {
        bail!("pip could not install Synapse ({status}): see above");
    }
    Ok(())
}

fn say(what: &str) {
    eprintln!("[testbed] {what}");
}

/// Held by one process at a time, given back when it ends however it ends.
struct Lock(#[expect(dead_code, reason = "closing it gives the lock back")] File);

impl Lock {
    async fn take(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        if file.try_lock().is_err() {
            say("another process is installing Synapse; waiting for it");
        }
        let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file));
        Ok(Self(locked.await??))
    }
}
