//! A real Synapse as a process.

mod config;
mod federation;
mod install;
mod policy;
mod register;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::Result;
use serde_json::{Value, json};

use crate::http::{Api, Evidence};
use crate::matrix::MatrixUser;
use crate::ports::PortLease;
use crate::process::{Launch, ManagedProcess};
use crate::wait::DEADLINE;

pub(crate) use config::PROBLEMS;
pub use federation::Federation;
pub use install::{Installed, VERSION, ensure_installed};
pub use policy::with_policy;

/// How a Synapse is started.
#[derive(Debug)]
pub struct SynapseOptions {
    /// Where its configuration, database, media and log are.
    pub directory: PathBuf,
    /// Where it listens.
    pub port: PortLease,
    /// Registrations of appservices.
    pub registrations: Vec<PathBuf>,
    /// Merged into `homeserver.yaml`, key by key.
    pub extra_config: Value,
    /// Shown when something waited for does not come.
    pub evidence: Evidence,
    /// Its place among other homeservers; without, it talks to none.
    pub federation: Option<Federation>,
}

impl SynapseOptions {
    /// A Synapse without appservices.
    pub fn new(directory: impl Into<PathBuf>, port: PortLease) -> Self {
        Self {
            directory: directory.into(),
            port,
            registrations: Vec::new(),
            extra_config: json!({}),
            evidence: Evidence::default(),
            federation: None,
        }
    }

    /// The part after the colon in its user ids.
    pub fn server_name(&self) -> String {
        match &self.federation {
            Some(federation) => Federation::server_name(&federation.port),
            None => Synapse::SERVER_NAME.to_owned(),
        }
    }
}

/// A homeserver that nobody outside this machine can reach.
#[derive(Debug)]
pub struct Synapse {
    process: ManagedProcess,
    base_url: String,
    server_name: String,
    directory: PathBuf,
    registration_secret: String,
    evidence: Evidence,
    _port: PortLease,
    _federation: Option<Federation>,
}

impl Synapse {
    /// The part after the colon in its user ids unless it federates: a name that no
    /// resolver knows.
    pub const SERVER_NAME: &'static str = "matrix.test";

    /// Installs Synapse if that was not done yet, starts it and waits until it
    /// answers.
    ///
    /// # Errors
    /// When it does not come up: with the end of its log.
    pub async fn start(options: SynapseOptions) -> Result<Self> {
        let installed = ensure_installed().await?;
        std::fs::create_dir_all(&options.directory)?;
        let directory = options.directory.canonicalize()?;
        let registration_secret = format!("{:032x}", rand::random::<u128>());
        policy::install(&directory)?;
        if options.federation.is_some() {
            federation::install_certificate(&directory, &installed).await?;
        }
        let config_path = config::write(&directory, &options, &registration_secret)?;
        let process = ManagedProcess::new(Launch {
            name: "Synapse",
            program: installed.python(),
            args: vec![
                "-m".into(),
                "synapse.app.homeserver".into(),
                "--config-path".into(),
                config_path.into(),
            ],
            env: installed.environment(),
            log: directory.join("homeserver.err"),
            output: directory.join("homeserver.out"),
            directory: directory.clone(),
        });
        let synapse = Self {
            process,
            base_url: format!("http://127.0.0.1:{}", options.port.port()),
            server_name: options.server_name(),
            directory,
            registration_secret,
            evidence: options.evidence,
            _port: options.port,
            _federation: options.federation,
        };
        synapse.process.start()?;
        synapse.ready().await?;
        Ok(synapse)
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// When it ends or does not answer: with the end of its log.
    pub async fn ready(&self) -> Result<()> {
        let api = Api::new(&self.base_url, &[])?;
        let outcome = self
            .process
            .wait_ready(DEADLINE, || async {
                let answer = api.request("GET", "/health", None).await?;
                Ok((answer.status == 200).then_some(()))
            })
            .await;
        Evidence::new(vec![("Synapse".to_owned(), self.log_path())]).explain(outcome)
    }

    /// Where it listens, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The part after the colon in its user ids.
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// Registers a person and logs in; the password is the localpart and
    /// `-password`.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn register(&self, localpart: &str) -> Result<MatrixUser> {
        self.register_with(localpart, false).await
    }

    /// Registers a server administrator and logs in.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn register_admin(&self, localpart: &str) -> Result<MatrixUser> {
        self.register_with(localpart, true).await
    }

    async fn register_with(&self, localpart: &str, admin: bool) -> Result<MatrixUser> {
        let account = register::Account {
            localpart,
            password: &format!("{localpart}-password"),
            admin,
        };
        let user = register::register(&self.base_url, &self.registration_secret, &account).await?;
        Ok(user.with_evidence(self.evidence.clone()))
    }

    /// How it ended, if it did so by itself.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn exit_status(&self) -> Result<Option<ExitStatus>> {
        self.process.exit_status()
    }

    /// Processor time used since its start, as Linux counts it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn cpu_seconds(&self) -> Result<f64> {
        self.process.cpu_seconds()
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn kill(&self) -> Result<()> {
        self.process.kill()
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&self) -> Result<()> {
        self.process.stop().await.map(drop)
    }

    /// Starts it again at the same address with its data; stops it before if it
    /// runs.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart(&self) -> Result<()> {
        self.process.stop().await?;
        self.process.start()?;
        self.ready().await
    }

    /// Its log so far.
    pub fn logs(&self) -> String {
        std::fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("homeserver.log")
    }
}
