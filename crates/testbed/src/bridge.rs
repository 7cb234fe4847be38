//! The bridge as a process.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

use crate::http::{Answer, Api};
use crate::ports::PortLease;
use crate::process::{Launch, ManagedProcess};
use crate::wait::DEADLINE;

/// How the bridge is started.
#[derive(Debug)]
pub struct BridgeOptions {
    /// The program.
    pub binary: PathBuf,
    /// Where its configuration, registration, store and log are.
    pub directory: PathBuf,
    /// Where it listens; must be what the configuration says.
    pub port: PortLease,
    /// The whole configuration.
    pub config: Value,
}

/// The bridge: its files, and its process when started.
#[derive(Debug)]
pub struct Bridge {
    process: ManagedProcess,
    binary: PathBuf,
    directory: PathBuf,
    base_url: String,
    registration: Registration,
    _port: PortLease,
}

#[derive(Debug, Deserialize)]
struct Registration {
    as_token: String,
    hs_token: String,
}

impl Bridge {
    /// Writes the configuration and lets the bridge generate its registration
    /// unless there is one; starts nothing yet, because the homeserver wants to read that first.
    ///
    /// # Errors
    /// When the bridge refuses the configuration: with what it says.
    pub async fn prepare(options: BridgeOptions) -> Result<Self> {
        let BridgeOptions {
            binary,
            directory,
            port,
            config,
        } = options;
        std::fs::create_dir_all(&directory)?;
        let config_path = directory.join("config.yaml");
        write_config(&config_path, &config)?;
        let registration_path = directory.join("registration.yaml");
        if !registration_path.exists() {
            register(&binary, &config_path, &registration_path).await?;
        }
        let text = std::fs::read_to_string(&registration_path)
            .context("the bridge wrote no registration, and said that it did")?;
        let registration: Registration =
            serde_saphyr::from_str(&text).context("the registration cannot be read")?;
        let process = ManagedProcess::new(Launch {
            name: "the bridge",
            program: binary.clone(),
            args: vec!["run".into(), "--config".into(), config_path.into()],
            // Its log is a file, where colours are noise.
            env: vec![("NO_COLOR".to_owned(), "1".to_owned())],
            directory: directory.clone(),
            log: directory.join("bridge.log"),
            output: directory.join("bridge.out"),
        });
        Ok(Self {
            process,
            binary,
            base_url: format!("http://127.0.0.1:{}", port.port()),
            registration,
            directory,
            _port: port,
        })
    }

    /// Starts the process without waiting until it is ready.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn start(&self) -> Result<()> {
        self.process.start()
    }

    /// Waits until it says that both sides are connected and that the channels of its
    /// configuration are mirrored.
    ///
    /// # Errors
    /// When it ends or does not become ready: with the end of its log.
    pub async fn ready(&self) -> Result<()> {
        self.wait_ready(true).await
    }

    /// Waits until it says that both sides are connected.
    ///
    /// # Errors
    /// When it ends or does not become ready: with the end of its log.
    pub async fn connected(&self) -> Result<()> {
        self.wait_ready(false).await
    }

    async fn wait_ready(&self, with_channels: bool) -> Result<()> {
        self.process
            .wait_ready(DEADLINE, || async {
                let answer = self.get("/health/ready").await?;
                let has_channels = answer.body["detail"]["all_channels_mirrored"] == true;
                if answer.status == 200 && (has_channels || !with_channels) {
                    return Ok(Some(()));
                }
                bail!("/health/ready: {} {}", answer.status, answer.body)
            })
            .await
    }

    /// Asks the bridge's own listener, without a token.
    ///
    /// # Errors
    /// When no answer comes; a refusal is an answer.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        Api::new(&self.base_url, &[])?
            .request("GET", path, None)
            .await
    }

    /// Asks the bridge's listener as the homeserver does.
    ///
    /// # Errors
    /// When no answer comes; a refusal is an answer.
    pub async fn request_as_homeserver(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let bearer = format!("Bearer {}", self.registration.hs_token);
        Api::new(&self.base_url, &[("authorization", &bearer)])?
            .request(method, path, body)
            .await
    }

    /// How it ended, if it did so by itself.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn exit_status(&self) -> Result<Option<ExitStatus>> {
        self.process.exit_status()
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn kill(&self) -> Result<()> {
        self.process.kill()
    }

    /// SIGTERM, and waits for the end; the exit status, if it ran.
    ///
    /// # Errors
    /// When it does not end within half a minute.
    pub async fn stop(&self) -> Result<Option<ExitStatus>> {
        self.process.stop().await
    }

    /// Starts it (again) with its store and waits until it is ready; stops it
    /// before if it runs.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn restart(&self) -> Result<()> {
        self.process.stop().await?;
        self.process.start()?;
        self.ready().await
    }

    /// Kills it, starts it again with its store and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn kill_and_restart(&self) -> Result<()> {
        self.kill().await?;
        self.start()?;
        self.ready().await
    }

    /// Waits until it ends by itself, as it does on wrong configuration.
    ///
    /// # Errors
    /// When it goes on.
    pub async fn wait_for_exit(&self, deadline: Duration) -> Result<ExitStatus> {
        self.process.wait_for_exit(deadline).await
    }

    /// Runs another command of the bridge (`check-config`, `doctor`, …) with its
    /// configuration; returns how it ended and what it said on both outputs.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn run_command(&self, arguments: &[&str]) -> Result<(ExitStatus, String)> {
        let done = Command::new(&self.binary)
            .args(arguments)
            .arg("--config")
            .arg(self.config_path())
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .output()
            .await?;
        let said = [done.stdout, done.stderr].concat();
        Ok((done.status, String::from_utf8_lossy(&said).into_owned()))
    }

    /// Replaces the configuration; the next start reads it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_config(&self, config: &Value) -> Result<()> {
        write_config(&self.config_path(), config)
    }

    /// The configuration as it is written now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn config(&self) -> Result<Value> {
        let text = std::fs::read_to_string(self.config_path())?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Everything it logged so far, over all starts.
    pub fn logs(&self) -> String {
        self.process.log()
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Memory in use (resident set) as Linux counts it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn rss_bytes(&self) -> Result<u64> {
        self.process.rss_bytes()
    }

    /// Processor time used since its start, as Linux counts it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn cpu_seconds(&self) -> Result<f64> {
        self.process.cpu_seconds()
    }

    /// Where it listens, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// What the homeserver shows to the bridge.
    pub fn hs_token(&self) -> &str {
        &self.registration.hs_token
    }

    /// What the bridge shows to the homeserver.
    pub fn as_token(&self) -> &str {
        &self.registration.as_token
    }

    /// Its configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.directory.join("config.yaml")
    }

    /// Its registration file.
    pub fn registration_path(&self) -> PathBuf {
        self.directory.join("registration.yaml")
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// JSON is YAML, and leaves no doubt about what is a string.
fn write_config(path: &Path, config: &Value) -> Result<()> {
    std::fs::write(path, serde_json::to_string_pretty(config)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Lets the bridge write its registration.
async fn register(binary: &Path, config: &Path, registration: &Path) -> Result<()> {
    let mut command = Command::new(binary);
    command.args(["registration", "--config"]).arg(config);
    command.arg("--output").arg(registration);
    let done = command
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot run {}", binary.display()))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("the bridge wrote no registration ({}): {said}", done.status);
    }
    Ok(())
}
