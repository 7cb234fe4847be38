//! Ends every process we started when we end, however we end.
//!
//! Destructors do not run when a test process is killed or aborts. So one small
//! shell waits at the other end of a pipe: when the pipe closes, which the
//! kernel sees to, it kills the process groups that are still on its list.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result};

const SCRIPT: &str = r#"
trap '' INT TERM HUP
groups=' '
while read -r change group; do
  case $change in
    add) groups="$groups$group " ;;
    drop) groups="${groups%%" $group "*} ${groups#*" $group "}" ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
"#;

static REAPER: OnceLock<Mutex<ChildStdin>> = OnceLock::new();

/// Puts a process group on the list.
pub(crate) fn watch(group: u32) -> Result<()> {
    tell("add", group)
}

/// Takes a process group from the list: its leader was reaped, so the number
/// may soon belong to somebody else.
pub(crate) fn forget(group: u32) -> Result<()> {
    tell("drop", group)
}

fn tell(change: &str, group: u32) -> Result<()> {
    let pipe = match REAPER.get() {
        Some(pipe) => pipe,
        None => {
            let started = start()?;
            REAPER.get_or_init(|| Mutex::new(started))
        }
    };
    let mut pipe = pipe.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(pipe, "{change} {group}").context("the shell that cleans up after us is gone")
}

fn start() -> Result<ChildStdin> {
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot start sh")?;
    shell.stdin.take().context("sh has no standard input")
}
