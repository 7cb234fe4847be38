//! The server itself: version, settings, methods.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, Request, Session};
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::RocketUserId;
use crate::rocketchat::realtime::frame;
use crate::rocketchat::version::ServerVersion;
use crate::secret::Secret;

/// More pages than any server has settings.
const MAX_PAGES: usize = 100;

/// What a server says of itself to anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// Its version; for an anonymous caller without the patch level.
    pub version: ServerVersion,
    /// As the server wrote it.
    pub version_text: String,
}

#[derive(Deserialize)]
struct InfoAnswer {
    version: String,
}

#[derive(Deserialize)]
struct SettingsAnswer {
    settings: Vec<Value>,
    #[serde(default)]
    total: usize,
}

#[derive(Deserialize)]
struct MethodAnswer {
    message: String,
}

impl Client {
    /// Asks `/api/info` for the version.
    ///
    /// # Errors
    /// [`Error::NotRocketChat`] when something else answers at this address.
    pub async fn info(&self) -> Result<ServerInfo, Error> {
        info(self, None).await
    }

    /// The values of public settings, of those among `ids` that the server has.
    /// From 7.0 the server filters; before, all of them are read and thrown away.
    ///
    /// # Errors
    /// What any request may give; anonymous callers have 10 calls a minute.
    pub async fn public_settings(&self, ids: &[&str]) -> Result<BTreeMap<String, Value>, Error> {
        public_settings(self, None, ids).await
    }
}

impl Session {
    /// As [`Client::info`], with the patch level if the account may see statistics.
    ///
    /// # Errors
    /// As [`Client::info`].
    pub async fn info(&self) -> Result<ServerInfo, Error> {
        info(self.client(), Some(self.credentials())).await
    }

    /// As [`Client::public_settings`], within the account's rate limit.
    ///
    /// # Errors
    /// What any request may give.
    pub async fn public_settings(&self, ids: &[&str]) -> Result<BTreeMap<String, Value>, Error> {
        public_settings(self.client(), Some(self.credentials()), ids).await
    }

    /// Changes a setting, as administrator.
    ///
    /// # Errors
    /// Without the right `edit-privileged-setting`, for an unknown setting, and when the
    /// server asks for a second factor.
    pub async fn set_setting(&self, id: &str, value: Value) -> Result<(), Error> {
        let path = ["api", "v1", "settings", id];
        self.bytes(Request::post(&path, json!({ "value": value })))
            .await
            .map(drop)
    }

    /// Calls a realtime method over REST and returns its result (null if it has
    /// none), dates as `{"$date": ms}`.
    ///
    /// # Errors
    /// The method's error, sorted as those of requests are.
    pub async fn method_call(&self, method: &str, params: Vec<Value>) -> Result<Value, Error> {
        let call = json!({ "msg": "method", "id": "1", "method": method, "params": params });
        let path = ["api", "v1", "method.call", method];
        let request = Request::post(&path, json!({ "message": call.to_string() }));
        let answer: MethodAnswer = self.json(request).await?;
        frame::method_result(&answer.message)
    }
}

async fn info(
    client: &Client,
    credentials: Option<(&RocketUserId, &Secret)>,
) -> Result<ServerInfo, Error> {
    let request = Request::get(&["api", "info"]).limit(1024 * 1024);
    let answer: InfoAnswer = client.json(request, credentials).await?;
    let version = answer.version.parse().map_err(|_| Error::NotRocketChat {
        what: "an unreadable version",
    })?;
    Ok(ServerInfo {
        version,
        version_text: answer.version.chars().take(64).collect(),
    })
}

async fn public_settings(
    client: &Client,
    credentials: Option<(&RocketUserId, &Secret)>,
    ids: &[&str],
) -> Result<BTreeMap<String, Value>, Error> {
    let mut found = BTreeMap::new();
    let mut offset = 0;
    for _ in 0..MAX_PAGES {
        let request = Request::get(&["api", "v1", "settings.public"])
            .query("_id", ids.join(","))
            .query("offset", offset.to_string())
            // As many as the server gives at once: a page would be at most 100, and
            // anonymous callers have few calls.
            .query("count", "0");
        let page: SettingsAnswer = client.json(request, credentials).await?;
        let sent = page.settings.len();
        for mut setting in page.settings {
            let id = setting["_id"].as_str().unwrap_or_default().to_owned();
            if ids.contains(&id.as_str()) {
                found.insert(id, setting["value"].take());
            }
        }
        offset += sent;
        if sent == 0 || offset >= page.total || found.len() == ids.len() {
            break;
        }
    }
    Ok(found)
}
