//! One child process: started, watched, killed, stopped, started again.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::reaper;
use crate::wait::Wait;

const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// How a process is started, each time anew.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) directory: PathBuf,
    /// Standard error, over all starts.
    pub(crate) log: PathBuf,
    /// Standard output, of the latest start.
    pub(crate) output: PathBuf,
}

/// A process in its own process group, so that a Ctrl-C at the terminal reaches
/// only whoever started it. Killed when dropped.
#[derive(Debug)]
pub(crate) struct ManagedProcess {
    launch: Launch,
    child: Mutex<Option<Child>>,
}

impl ManagedProcess {
    /// Describes a process that does not run yet.
    pub(crate) fn new(launch: Launch) -> Self {
        Self {
            launch,
            child: Mutex::new(None),
        }
    }

    /// Starts it, unless it runs.
    pub(crate) fn start(&self) -> Result<()> {
        let mut child = self.lock();
        if let Some(running) = child.as_mut()
            && running.try_wait()?.is_none()
        {
            bail!("{} runs already", self.launch.name);
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.launch.log)
            .with_context(|| format!("cannot open {}", self.launch.log.display()))?;
        let output = File::create(&self.launch.output)
            .with_context(|| format!("cannot make {}", self.launch.output.display()))?;
        let started = Command::new(&self.launch.program)
            .args(&self.launch.args)
            .envs(self.launch.env.iter().map(|(key, value)| (key, value)))
            .current_dir(&self.launch.directory)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| {
                let program = self.launch.program.display();
                format!("cannot start {} ({program})", self.launch.name)
            })?;
        reaper::watch(started.id())?;
        *child = Some(started);
        Ok(())
    }

    /// The process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.lock().as_ref().map(Child::id)
    }

    /// The exit status, once it has ended by itself or by us.
    pub(crate) fn exit_status(&self) -> Result<Option<ExitStatus>> {
        match self.lock().as_mut() {
            Some(child) => Ok(child.try_wait()?),
            None => Ok(None),
        }
    }

    /// SIGKILL to the whole group; returns when it is gone.
    pub(crate) fn kill(&self) -> Result<()> {
        let Some(mut child) = self.lock().take() else {
            return Ok(());
        };
        // The group may be gone already; what counts is the wait below.
        let _ = signal(child.id(), Signal::KILL);
        child.wait()?;
        reaper::forget(child.id())
    }

    /// SIGTERM, then waits for the end.
    ///
    /// # Errors
    /// When it does not end within half a minute: it is killed then.
    pub(crate) async fn stop(&self) -> Result<Option<ExitStatus>> {
        let Some(pid) = self.pid() else {
            return Ok(None);
        };
        let _ = signal(pid, Signal::TERM);
        let status = self.wait_for_exit(STOP_DEADLINE).await;
        self.kill()?;
        status.map(Some)
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn wait_for_exit(&self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.launch.name);
        let mut wait = Wait::new(&what, deadline);
        loop {
            if let Some(status) = wait.look(async { self.exit_status() }).await? {
                return Ok(status);
            }
        }
    }

    /// Waits until `ready` says yes; ends at once, with the log's tail, when the
    /// process ends before that.
    pub(crate) async fn wait_ready<T, F>(
        &self,
        deadline: Duration,
        mut ready: impl FnMut() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<Option<T>>>,
    {
        let name = self.launch.name;
        let what = format!("{name} to be ready");
        let mut wait = Wait::new(&what, deadline);
        let outcome = loop {
            match wait.look(ready()).await {
                Ok(Some(value)) => return Ok(value),
                Ok(None) => {}
                Err(too_late) => break too_late,
            }
            if let Some(status) = self.exit_status()? {
                break anyhow!("{name} ended with {status}");
            }
        };
        let log = tail(&self.launch.log, 40);
        Err(outcome.context(format!("end of the log of {name}:\n{log}")))
    }

    /// Memory in use (resident set) as Linux counts it.
    pub(crate) fn rss_bytes(&self) -> Result<u64> {
        let status = self.read_proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line
            .and_then(|rest| rest.split_whitespace().next())
            .context("no VmRSS")?;
        Ok(kibibytes.parse::<u64>()? * 1024)
    }

    /// Processor time used since its start, as Linux counts it.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = self.read_proc("stat")?;
        // The program's name, in parentheses, may hold spaces.
        let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
        let mut times = fields.split_whitespace().skip(11);
        let mut next = || -> Result<f64> { Ok(times.next().context("no times")?.parse()?) };
        let ticks = next()? + next()?;
        Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
    }

    fn read_proc(&self, file: &str) -> Result<String> {
        let name = self.launch.name;
        let pid = self.pid().with_context(|| format!("{name} does not run"))?;
        Ok(std::fs::read_to_string(format!("/proc/{pid}/{file}"))?)
    }

    /// The latest start's standard output so far.
    pub(crate) fn output(&self) -> String {
        read_lossy(&self.launch.output)
    }

    /// Everything on standard error so far, over all starts.
    pub(crate) fn log(&self) -> String {
        read_lossy(&self.launch.log)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ManagedProcess {
    fn drop(&mut self) {
        // Nobody is left to be told; the reaper tries again when we end.
        let _ = self.kill();
    }
}

fn signal(group: u32, signal: Signal) -> Result<()> {
    let group = i32::try_from(group)
        .ok()
        .and_then(Pid::from_raw)
        .context("not a process id")?;
    Ok(kill_process_group(group, signal)?)
}

/// The last lines of a text file; says so when there is none.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = read_lossy(path);
    let all: Vec<&str> = text.lines().collect();
    if all.is_empty() {
        return format!("({} is empty)", path.display());
    }
    all.get(all.len().saturating_sub(lines)..)
        .unwrap_or_default()
        .join("\n")
}

fn read_lossy(path: &Path) -> String {
    std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}
