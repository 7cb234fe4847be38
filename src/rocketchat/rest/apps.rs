//! Apps of the server (`/api/apps`; recorded from 6.14). Needs the permission `manage-apps`.

use std::time::Duration;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer;
use super::client::{ANSWER_LIMIT, Request, Session, auth_headers};
use super::transfer::described;
use crate::rocketchat::error::Error;
use crate::secret::Secret;

/// The server unpacks an App and starts a program for it before it answers.
const TIMEOUT: Duration = Duration::from_secs(120);

/// An App that a server has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InstalledApp {
    /// Its id.
    pub id: String,
    /// Its version, three numbers.
    pub version: String,
    /// `manually_enabled`, `auto_enabled` and so on.
    #[serde(default)]
    pub status: String,
}

impl InstalledApp {
    /// Whether its commands can be used.
    pub fn is_enabled(&self) -> bool {
        matches!(self.status.as_str(), "manually_enabled" | "auto_enabled")
    }
}

#[derive(Deserialize)]
struct Installed {
    apps: Vec<InstalledApp>,
}

#[derive(Deserialize)]
struct OneApp {
    app: InstalledApp,
}

#[derive(Deserialize)]
struct Settings {
    settings: serde_json::Map<String, Value>,
}

impl Session {
    /// The Apps of the server.
    ///
    /// # Errors
    /// `error-unauthorized` without `manage-apps`.
    pub async fn installed_apps(&self) -> Result<Vec<InstalledApp>, Error> {
        let request = Request::get(&["api", "apps", "installed"]);
        Ok(self.json::<Installed>(request).await?.apps)
    }

    /// Installs an App from its zip, or, when `id` is given, puts a new one in the place
    /// of the one that is there.
    ///
    /// # Errors
    /// `error-unauthorized` without `manage-apps`; the server's words when it takes no
    /// private Apps (`DISABLE_PRIVATE_APP_INSTALLATION`) or this one not.
    pub async fn install_app(
        &self,
        package: Vec<u8>,
        id: Option<&str>,
    ) -> Result<InstalledApp, Error> {
        let client = self.client();
        let (own_id, token) = self.credentials();
        let part = described(Part::bytes(package), "app.zip", "application/zip")?;
        let path = ["api", "apps"].into_iter().chain(id).collect::<Vec<_>>();
        let request = client
            .transfers
            .request(Method::POST, client.address(&path)?)
            .timeout(TIMEOUT)
            .headers(auth_headers(own_id, token)?)
            .multipart(Form::new().part("app", part));
        let response = request.send().await.map_err(|e| answer::transport(&e))?;
        let body = answer::body(response, ANSWER_LIMIT).await?;
        Ok(answer::parse::<OneApp>(&body)?.app)
    }

    /// Switches an App on that is installed.
    ///
    /// # Errors
    /// The server's words, for one when its licence allows no more Apps.
    pub async fn enable_app(&self, id: &str) -> Result<(), Error> {
        let path = ["api", "apps", id, "status"];
        let request = Request::post(&path, json!({ "status": "manually_enabled" }));
        self.bytes(request).await.map(drop)
    }

    /// Sets settings of an App. The server takes a setting whole, so the rest of each is
    /// read first.
    ///
    /// # Errors
    /// `invalid-setting` when the App has none of that name.
    pub async fn set_app_settings(
        &self,
        id: &str,
        values: &[(&str, &Secret)],
    ) -> Result<(), Error> {
        let path = ["api", "apps", id, "settings"];
        let known: Settings = self.json(Request::get(&path)).await?;
        let mut settings = Vec::new();
        for (name, value) in values {
            let Some(mut setting) = known.settings.get(*name).cloned() else {
                return Err(Error::refused("invalid-setting"));
            };
            setting["value"] = json!(value.expose());
            settings.push(setting);
        }
        let request = Request::post(&path, json!({ "settings": settings }));
        self.bytes(request).await.map(drop)
    }
}
