//! The simulator as a process.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitStatus;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{RocketUser, SimControl};
use crate::binaries;
use crate::http::{Evidence, string_at};
use crate::ports::PortLease;
use crate::process::{Launch, ManagedProcess};
use crate::wait::DEADLINE;

/// How the simulator is started.
#[derive(Debug)]
pub struct SimOptions {
    /// Where it keeps its data and its log.
    pub directory: PathBuf,
    /// Where it listens.
    pub port: PortLease,
    /// More command line arguments.
    pub args: Vec<String>,
    /// Shown when something waited for does not come.
    pub evidence: Evidence,
}

/// A simulated Rocket.Chat with an administrator.
#[derive(Debug)]
pub struct RocketSim {
    process: ManagedProcess,
    base_url: String,
    admin: RocketUser,
    control: SimControl,
    control_token: String,
    evidence: Evidence,
    users: Mutex<HashMap<String, RocketUser>>,
    _port: PortLease,
}

impl RocketSim {
    /// The administrator's user name.
    pub const ADMIN: &'static str = "admin";

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// When it cannot be built or started: with the end of its log.
    pub async fn start(options: SimOptions) -> Result<Self> {
        let program = binaries::rocketchat_sim().await?;
        std::fs::create_dir_all(&options.directory)?;
        let admin_password = "admin-password";
        let control_token = format!("control-{:016x}", rand::random::<u64>());
        let base_url = format!("http://127.0.0.1:{}", options.port.port());
        let mut args: Vec<String> = vec![
            "--listen".to_owned(),
            format!("127.0.0.1:{}", options.port.port()),
            "--data".to_owned(),
            options.directory.join("data").display().to_string(),
            "--admin-username".to_owned(),
            Self::ADMIN.to_owned(),
            "--admin-password".to_owned(),
            admin_password.to_owned(),
            "--control-token".to_owned(),
            control_token.clone(),
        ];
        args.extend(options.args);
        let process = ManagedProcess::new(Launch {
            name: "the Rocket.Chat simulator",
            program,
            args: args.into_iter().map(Into::into).collect(),
            // Its log is a file, where colours are noise.
            env: vec![("NO_COLOR".to_owned(), "1".to_owned())],
            log: options.directory.join("rocketchat-sim.log"),
            output: options.directory.join("rocketchat-sim.out"),
            directory: options.directory,
        });
        start_and_wait(&process).await?;
        let control = SimControl::new(&base_url, &control_token)?;
        let admin = RocketUser::login(&base_url, Self::ADMIN, admin_password, control.clone())
            .await?
            .with_evidence(options.evidence.clone());
        Ok(Self {
            process,
            base_url,
            admin,
            control,
            control_token,
            evidence: options.evidence,
            users: Mutex::default(),
            _port: options.port,
        })
    }

    /// Where it listens, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The administrator.
    pub fn admin(&self) -> &RocketUser {
        &self.admin
    }

    /// Its own interface.
    pub fn control(&self) -> &SimControl {
        &self.control
    }

    /// What its own interface asks for in `X-Sim-Control`.
    pub fn control_token(&self) -> &str {
        &self.control_token
    }

    /// The person of this name: made at first, the same afterwards.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn user(&self, username: &str) -> Result<RocketUser> {
        let mut users = self.users.lock().await;
        if let Some(user) = users.get(username) {
            return Ok(user.clone());
        }
        let user = self.create_user(username, &["user"]).await?;
        users.insert(username.to_owned(), user.clone());
        Ok(user)
    }

    /// Makes an account with these roles and logs in; its display name is the
    /// user name with a capital, its password the user name and `-password`.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn create_user(&self, username: &str, roles: &[&str]) -> Result<RocketUser> {
        let password = format!("{username}-password");
        let account = json!({
            "username": username,
            "name": capitalised(username),
            "email": format!("{username}@rocketchat.test"),
            "password": password,
            "roles": roles,
            "joinDefaultChannels": false,
            // A verified address would make Rocket.Chat ask for codes by e-mail.
            "verified": false,
            "requirePasswordChange": false,
            "sendWelcomeEmail": false,
        });
        self.admin.post("users.create", account).await?;
        let user = RocketUser::login(&self.base_url, username, &password, self.control.clone());
        Ok(user.await?.with_evidence(self.evidence.clone()))
    }

    /// Makes the bridge's account; returns it with a personal access token that
    /// needs no second factor.
    ///
    /// # Errors
    /// When Rocket.Chat refuses.
    pub async fn create_bridge_account(&self, username: &str) -> Result<(RocketUser, String)> {
        let account = self.create_user(username, &["admin", "bot"]).await?;
        let request = json!({ "tokenName": "bridge", "bypassTwoFactor": true });
        let answer = account
            .post("users.generatePersonalAccessToken", request)
            .await?;
        let token = string_at(&answer, "/token")?;
        Ok((account, token))
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
        start_and_wait(&self.process).await
    }

    /// Its log so far.
    pub fn logs(&self) -> String {
        self.process.log()
    }
}

async fn start_and_wait(process: &ManagedProcess) -> Result<()> {
    process.start()?;
    process
        .wait_ready(DEADLINE, || async {
            let output = process.output();
            let Some((line, _)) = output.split_once('\n') else {
                return Ok(None);
            };
            let ready: Value = serde_json::from_str(line)
                .with_context(|| format!("its first line is not JSON: {line}"))?;
            string_at(&ready, "/listening").map(Some)
        })
        .await
        .map(drop)
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
