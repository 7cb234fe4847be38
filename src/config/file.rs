//! The file of the configuration as it is written, and what each section must be.

use std::path::{Path, PathBuf};

use ruma::{ServerName, UserId};
use serde::Deserialize;
use url::Url;

use super::environment::Environment;
use super::problem::ConfigProblem;
use super::{
    Appservice, BridgeOptions, Direction, Homeserver, LogFormat, LogOptions, MediaOptions,
    Relaying, RocketChat, RocketLogin, StoreOptions, api, commands,
};
use crate::secret::Secret;

/// The file as written, before it is checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) homeserver: HomeserverSection,
    #[serde(default)]
    pub(super) appservice: AppserviceSection,
    pub(super) rocketchat: RocketChatSection,
    #[serde(default)]
    pub(super) bridge: BridgeSection,
    #[serde(default)]
    pub(super) commands: commands::CommandsSection,
    #[serde(default)]
    pub(super) api: api::ApiSection,
    #[serde(default)]
    pub(super) media: MediaSection,
    #[serde(default)]
    pub(super) store: StoreSection,
    #[serde(default)]
    pub(super) log: LogSection,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HomeserverSection {
    url: String,
    server_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AppserviceSection {
    registration: PathBuf,
    listen: String,
    url: String,
    id: String,
    bot_localpart: String,
    ghost_prefix: String,
    double_puppet_token: Secret,
}

impl Default for AppserviceSection {
    fn default() -> Self {
        Self {
            registration: "registration.yaml".into(),
            listen: "127.0.0.1:29330".into(),
            url: "http://localhost:29330".into(),
            id: "rocketchat".into(),
            bot_localpart: "rocketchatbot".into(),
            ghost_prefix: "_rocketchat_".into(),
            double_puppet_token: Secret::none(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RocketChatSection {
    url: String,
    #[serde(default)]
    user_id: String,
    #[serde(default = "Secret::none")]
    token: Secret,
    #[serde(default)]
    username: String,
    #[serde(default = "Secret::none")]
    password: Secret,
    #[serde(default = "default_puppet_prefix")]
    puppet_prefix: String,
    #[serde(default = "Secret::none")]
    create_token_secret: Secret,
}

fn default_puppet_prefix() -> String {
    "mx_".into()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BridgeSection {
    admins: Vec<String>,
    channels: Vec<String>,
    open_by_alias: bool,
    federate: bool,
    join_all_up_to: u64,
    publish: bool,
    late_after_seconds: u64,
    proposals_hold_seconds: u64,
    relay: Relaying,
    typing: Direction,
    presence: Direction,
    receipts: Direction,
}

impl Default for BridgeSection {
    fn default() -> Self {
        Self {
            admins: Vec::new(),
            channels: Vec::new(),
            open_by_alias: true,
            federate: true,
            join_all_up_to: 100,
            publish: false,
            late_after_seconds: 60,
            proposals_hold_seconds: 72 * 3600,
            relay: Relaying::NoSeat,
            typing: Direction::Both,
            presence: Direction::Off,
            receipts: Direction::Off,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MediaSection {
    public_url: String,
    links: bool,
    link_days: u64,
}

impl Default for MediaSection {
    fn default() -> Self {
        Self {
            public_url: String::new(),
            links: true,
            link_days: 30,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StoreSection {
    path: PathBuf,
    cache_mib: u64,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self {
            path: "data".into(),
            cache_mib: 32,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogSection {
    level: String,
    format: LogFormat,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Text,
        }
    }
}

impl HomeserverSection {
    pub(super) fn checked(self) -> Result<Homeserver, ConfigProblem> {
        let server_name = ServerName::parse(&self.server_name).map_err(|_| {
            ConfigProblem::value(
                "homeserver.server_name",
                &self.server_name,
                "the part after the colon in your users' ids, such as example.org",
            )
        })?;
        Ok(Homeserver {
            url: server_url("homeserver.url", &self.url)?,
            server_name,
        })
    }
}

impl AppserviceSection {
    pub(super) fn checked(
        self,
        server_name: &ServerName,
        base: &Path,
        environment: &Environment,
    ) -> Result<Appservice, ConfigProblem> {
        let bot = UserId::parse(format!("@{}:{server_name}", self.bot_localpart))
            .ok()
            .filter(|_| is_plain_localpart(&self.bot_localpart))
            .ok_or_else(|| {
                ConfigProblem::value(
                    "appservice.bot_localpart",
                    &self.bot_localpart,
                    "lower-case letters, digits and . _ - only",
                )
            })?;
        if !is_plain_localpart(&self.ghost_prefix) || self.ghost_prefix.len() < 2 {
            return Err(ConfigProblem::value(
                "appservice.ghost_prefix",
                &self.ghost_prefix,
                "at least two of: lower-case letters, digits and . _ -",
            ));
        }
        if self.bot_localpart.starts_with(&self.ghost_prefix) {
            return Err(ConfigProblem::value(
                "appservice.bot_localpart",
                &self.bot_localpart,
                "a name that does not start with appservice.ghost_prefix, or it could be taken for a ghost",
            ));
        }
        if self.id.is_empty() {
            return Err(ConfigProblem::value(
                "appservice.id",
                &self.id,
                "any short name, such as rocketchat",
            ));
        }
        let host_and_port = self.listen.rsplit_once(':');
        if !host_and_port
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        {
            return Err(ConfigProblem::value(
                "appservice.listen",
                &self.listen,
                "an address and a port, such as 127.0.0.1:29330",
            ));
        }
        let double_puppet_token = environment
            .secret("DOUBLE_PUPPET_TOKEN")?
            .unwrap_or(self.double_puppet_token);
        Ok(Appservice {
            registration: base.join(self.registration),
            listen: self.listen,
            url: server_url("appservice.url", &self.url)?,
            id: self.id,
            bot,
            ghost_prefix: self.ghost_prefix,
            as_token: environment.secret("AS_TOKEN")?,
            hs_token: environment.secret("HS_TOKEN")?,
            double_puppet_token: Some(double_puppet_token).filter(|token| !token.is_empty()),
        })
    }
}

impl RocketChatSection {
    pub(super) fn checked(self, environment: &Environment) -> Result<RocketChat, ConfigProblem> {
        let token = environment
            .secret("ROCKETCHAT_TOKEN")?
            .unwrap_or(self.token);
        let password = environment
            .secret("ROCKETCHAT_PASSWORD")?
            .unwrap_or(self.password);
        let create_token_secret = environment
            .secret("CREATE_TOKEN_SECRET")?
            .unwrap_or(self.create_token_secret);
        let login = if !token.is_empty() {
            if self.user_id.is_empty() {
                return Err(ConfigProblem::missing(
                    "rocketchat.user_id",
                    "the _id of the bridge's account, which Rocket.Chat shows beside the token",
                ));
            }
            RocketLogin::Token {
                user_id: self.user_id,
                token,
            }
        } else if !self.username.is_empty() && !password.is_empty() {
            RocketLogin::Password {
                username: self.username,
                password,
            }
        } else {
            return Err(ConfigProblem::missing(
                "rocketchat.token",
                "a personal access token with rocketchat.user_id, or rocketchat.username with rocketchat.password",
            ));
        };
        if self.puppet_prefix.is_empty()
            || !self
                .puppet_prefix
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        {
            return Err(ConfigProblem::value(
                "rocketchat.puppet_prefix",
                &self.puppet_prefix,
                "letters, digits and . _ - only, such as mx_",
            ));
        }
        Ok(RocketChat {
            url: server_url("rocketchat.url", &self.url)?,
            login,
            puppet_prefix: self.puppet_prefix,
            create_token_secret: Some(create_token_secret).filter(|secret| !secret.is_empty()),
        })
    }
}

impl BridgeSection {
    pub(super) fn checked(self) -> Result<BridgeOptions, ConfigProblem> {
        let admins = self
            .admins
            .iter()
            .map(|admin| {
                UserId::parse(admin).map_err(|_| {
                    ConfigProblem::value(
                        "bridge.admins",
                        admin,
                        "full Matrix user ids, such as \"@admin:example.org\"",
                    )
                })
            })
            .collect::<Result<_, _>>()?;
        for name in &self.channels {
            if name.trim().is_empty() || name.starts_with('#') {
                return Err(ConfigProblem::value(
                    "bridge.channels",
                    name,
                    "the channel's name without #, such as general",
                ));
            }
        }
        Ok(BridgeOptions {
            admins,
            channels: self.channels,
            open_by_alias: self.open_by_alias,
            federate: self.federate,
            join_all_up_to: self.join_all_up_to,
            publish: self.publish,
            late_after: std::time::Duration::from_secs(self.late_after_seconds),
            proposals_hold: std::time::Duration::from_secs(self.proposals_hold_seconds),
            relay: self.relay,
            typing: self.typing,
            presence: self.presence,
            receipts: self.receipts,
        })
    }
}

impl MediaSection {
    pub(super) fn checked(self, listener: &Url) -> Result<MediaOptions, ConfigProblem> {
        let public_url = match self.public_url.as_str() {
            "" => listener.clone(),
            url => server_url("media.public_url", url)?,
        };
        if !(1..=3650).contains(&self.link_days) {
            return Err(ConfigProblem::value(
                "media.link_days",
                &self.link_days.to_string(),
                "a number of days from 1 to 3650; to have no links, set media.links to false",
            ));
        }
        Ok(MediaOptions {
            has_public_url: !self.public_url.is_empty(),
            public_url,
            links: self.links,
            link_lifetime: std::time::Duration::from_secs(self.link_days * 24 * 3600),
        })
    }
}

impl StoreSection {
    pub(super) fn checked(self, base: &Path) -> Result<StoreOptions, ConfigProblem> {
        if !(1..=65_536).contains(&self.cache_mib) {
            return Err(ConfigProblem::value(
                "store.cache_mib",
                &self.cache_mib.to_string(),
                "a number of MiB from 1 to 65536",
            ));
        }
        Ok(StoreOptions {
            path: base.join(self.path),
            cache_bytes: self.cache_mib * 1024 * 1024,
        })
    }
}

impl LogSection {
    pub(super) fn checked(self) -> Result<LogOptions, ConfigProblem> {
        if tracing_subscriber::EnvFilter::try_new(&self.level).is_err() {
            return Err(ConfigProblem::value(
                "log.level",
                &self.level,
                "trace, debug, info, warn or error, or a filter such as info,matrix_appservice_rocketchat=debug",
            ));
        }
        Ok(LogOptions {
            level: self.level,
            format: self.format,
        })
    }
}

fn is_plain_localpart(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'))
}

/// A URL of a server: http or https, without account, query or fragment, since
/// paths are appended to it.
fn server_url(key: &'static str, text: &str) -> Result<Url, ConfigProblem> {
    let wrong = |why| ConfigProblem::value(key, text, why);
    let url =
        Url::parse(text).map_err(|_| wrong("a full URL, such as https://chat.example.org"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("a URL that starts with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ConfigProblem::value(
            key,
            "a URL with an account in it",
            "a URL without user name and password",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("a URL without ? and #"));
    }
    Ok(url)
}
