//! One account: login and profile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use serde_json::{Value, json};

use crate::http::{Answer, Api, Evidence, escape, string_at};

/// A person's Matrix client.
#[derive(Debug, Clone)]
pub struct MatrixUser {
    /// `@localpart:server`.
    pub user_id: String,
    /// Good until logout.
    pub access_token: String,
    /// To log in with another client.
    pub password: String,
    pub(crate) api: Api,
    pub(crate) evidence: Evidence,
    transactions: Arc<AtomicU64>,
}

impl MatrixUser {
    /// Logs in by password.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn login(homeserver: &str, user: &str, password: &str) -> Result<Self> {
        let anonymous = Api::new(homeserver, &[])?;
        let request = json!({
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user},
            "password": password,
        });
        let answer = anonymous
            .json("POST", "/_matrix/client/v3/login", Some(&request))
            .await?;
        Self::from_login(homeserver, &answer, password)
    }

    /// Takes what login and registration answer.
    pub(crate) fn from_login(homeserver: &str, answer: &Value, password: &str) -> Result<Self> {
        let access_token = string_at(answer, "/access_token")?;
        let bearer = format!("Bearer {access_token}");
        Ok(Self {
            user_id: string_at(answer, "/user_id")?,
            api: Api::new(homeserver, &[("authorization", &bearer)])?,
            access_token,
            password: password.to_owned(),
            evidence: Evidence::default(),
            transactions: Arc::default(),
        })
    }

    /// Shows the ends of these logs when something waited for does not come.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Evidence) -> Self {
        self.evidence = evidence;
        self
    }

    /// Any request, with this user's token; `path` starts with `/_matrix`.
    ///
    /// # Errors
    /// When no answer comes; a refusal is an answer.
    pub async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.api.request(method, path, body).await
    }

    /// The homeserver's address.
    pub fn homeserver(&self) -> &str {
        self.api.base()
    }

    /// The part before the colon.
    pub fn localpart(&self) -> &str {
        let without_sigil = self.user_id.trim_start_matches('@');
        without_sigil.split(':').next().unwrap_or_default()
    }

    /// Changes the display name.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn set_display_name(&self, name: &str) -> Result<()> {
        let path = format!("{}/displayname", self.profile_path(&self.user_id));
        self.api
            .json("PUT", &path, Some(&json!({ "displayname": name })))
            .await?;
        Ok(())
    }

    /// Changes the avatar to uploaded media.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn set_avatar(&self, mxc: &str) -> Result<()> {
        let path = format!("{}/avatar_url", self.profile_path(&self.user_id));
        self.api
            .json("PUT", &path, Some(&json!({ "avatar_url": mxc })))
            .await?;
        Ok(())
    }

    /// Anybody's global profile.
    ///
    /// # Errors
    /// When there is no such user.
    pub async fn profile(&self, user_id: &str) -> Result<Value> {
        self.api
            .json("GET", &self.profile_path(user_id), None)
            .await
    }

    /// Says online, unavailable or offline.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn set_presence(&self, presence: &str) -> Result<()> {
        let path = format!(
            "/_matrix/client/v3/presence/{}/status",
            escape(&self.user_id)
        );
        self.api
            .json("PUT", &path, Some(&json!({ "presence": presence })))
            .await?;
        Ok(())
    }

    /// A transaction id that this user did not use before.
    pub(crate) fn next_transaction(&self) -> String {
        let number = self.transactions.fetch_add(1, Ordering::Relaxed);
        // Random, because the same account may be used by several clients with
        // one token (the demo after a restart, for example).
        format!("{number}.{:08x}", rand::random::<u32>())
    }

    fn profile_path(&self, user_id: &str) -> String {
        format!("/_matrix/client/v3/profile/{}", escape(user_id))
    }
}
