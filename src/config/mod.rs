//! The configuration: one YAML file, its defaults, and what is refused.
//!
//! `config.yaml.example` shows every option; a test holds the two together.
//! Secrets may come from the environment instead (see [`Environment`]).

mod api;
mod commands;
mod environment;
mod file;
mod problem;
mod registration;

use std::path::{Path, PathBuf};

use ruma::{OwnedServerName, OwnedUserId, UserId};
use serde::Deserialize;
use url::Url;

pub use api::{ApiOptions, ApiToken};
pub use commands::{CommandOptions, Giver, Rule};
pub use environment::{Environment, SECRET_VARIABLES};
pub use problem::ConfigProblem;
pub use registration::{PROTOCOL, Registration, RegistrationProblem};

use crate::secret::Secret;
use file::File;

/// The whole configuration, checked: whoever holds one need not look again.
#[derive(Debug, Clone)]
pub struct Config {
    /// The Matrix side.
    pub homeserver: Homeserver,
    /// How the homeserver and the bridge know each other.
    pub appservice: Appservice,
    /// The Rocket.Chat side.
    pub rocketchat: RocketChat,
    /// What is mirrored, and who may change it.
    pub bridge: BridgeOptions,
    /// Who may give which commands.
    pub commands: CommandOptions,
    /// Which programs may use the provisioning API.
    pub api: ApiOptions,
    /// Files that do not fit the other side.
    pub media: MediaOptions,
    /// Where the bridge keeps what it must not forget.
    pub store: StoreOptions,
    /// What is written about the bridge's doings.
    pub log: LogOptions,
}

/// The homeserver that the bridge serves.
#[derive(Debug, Clone)]
pub struct Homeserver {
    /// How the bridge reaches it.
    pub url: Url,
    /// The part after the colon in its user ids.
    pub server_name: OwnedServerName,
}

/// The appservice registration, as far as the configuration decides it.
#[derive(Debug, Clone)]
pub struct Appservice {
    /// The registration file.
    pub registration: PathBuf,
    /// `host:port` to listen on.
    pub listen: String,
    /// How the homeserver reaches that address.
    pub url: Url,
    /// The id of the appservice.
    pub id: String,
    /// The bot's full user id.
    pub bot: OwnedUserId,
    /// What the localparts of ghosts and of aliases start with.
    pub ghost_prefix: String,
    /// Token from the environment instead of the registration file.
    pub as_token: Option<Secret>,
    /// Token from the environment instead of the registration file.
    pub hs_token: Option<Secret>,
    /// The `as_token` of a second registration, by which the bridge may mark direct
    /// messages for people of its own homeserver.
    pub double_puppet_token: Option<Secret>,
}

/// The Rocket.Chat server and the bridge's account there.
#[derive(Debug, Clone)]
pub struct RocketChat {
    /// How the bridge reaches it.
    pub url: Url,
    /// How the bridge logs in.
    pub login: RocketLogin,
    /// What the usernames of puppets start with.
    pub puppet_prefix: String,
    /// The server's secret for `users.createToken` (Rocket.Chat 8).
    pub create_token_secret: Option<Secret>,
}

/// The bridge's own account on Rocket.Chat.
#[derive(Debug, Clone)]
pub enum RocketLogin {
    /// A personal access token: has no end, and skips the second factor when made so.
    Token {
        /// The account's `_id`.
        user_id: String,
        /// The token.
        token: Secret,
    },
    /// Name and password.
    Password {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
}

/// What is mirrored, and who may change it.
#[derive(Debug, Clone)]
pub struct BridgeOptions {
    /// Who may command the bridge from Matrix.
    pub admins: Vec<OwnedUserId>,
    /// Channels and groups mirrored from the start, by name.
    pub channels: Vec<String>,
    /// Whether an alias opens a portal for any public channel.
    pub open_by_alias: bool,
    /// Whether people of other homeservers may join the rooms that the bridge makes
    /// for channels.
    pub federate: bool,
    /// Up to how many members all ghosts of a room's members come to Matrix, and not
    /// only of those who speak.
    pub join_all_up_to: u64,
    /// Whether public channels are shown in the homeserver's directory of rooms.
    pub publish: bool,
    /// From which delay on a late message says when it was written.
    pub late_after: std::time::Duration,
    /// How long a proposal to join rooms that exist waits for an answer.
    pub proposals_hold: std::time::Duration,
    /// Who speaks on Rocket.Chat through the bridge's own account.
    pub relay: Relaying,
    /// Where it is shown that somebody of the other side is typing.
    pub typing: Direction,
    /// Where it is shown who of the other side is there.
    pub presence: Direction,
    /// Where it is shown how far somebody of the other side has read.
    pub receipts: Direction,
}

/// Who of Matrix speaks on Rocket.Chat through the bridge's own account, under their name,
/// in place of an account of their own. Of rooms; direct messages need accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relaying {
    /// Nobody: who gets no account is not heard.
    Never,
    /// Who gets no account because the licence of Rocket.Chat allows no more.
    NoSeat,
    /// People of other homeservers; besides as [`Relaying::NoSeat`].
    OtherHomeservers,
    /// Everybody.
    Everybody,
}

/// To which side something is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To neither.
    Off,
    /// From Rocket.Chat to Matrix.
    ToMatrix,
    /// From Matrix to Rocket.Chat.
    ToRocketchat,
    /// To both.
    Both,
}

impl Direction {
    /// Whether it goes to Matrix.
    pub fn to_matrix(self) -> bool {
        matches!(self, Self::ToMatrix | Self::Both)
    }

    /// Whether it goes to Rocket.Chat.
    pub fn to_rocketchat(self) -> bool {
        matches!(self, Self::ToRocketchat | Self::Both)
    }
}

/// Files that do not fit the other side.
#[derive(Debug, Clone)]
pub struct MediaOptions {
    /// How browsers of people on both sides reach the listener.
    pub public_url: Url,
    /// Whether somebody has said so: otherwise it is the address for the homeserver.
    pub has_public_url: bool,
    /// Whether a file that does not fit is linked to.
    pub links: bool,
    /// How long a link works.
    pub link_lifetime: std::time::Duration,
}

impl MediaOptions {
    /// Whether the address looks as if people's browsers could not reach it: this host
    /// itself, a private network, or a name without a dot. What they reach in fact
    /// nobody here can know.
    pub fn looks_private(&self) -> bool {
        match self.public_url.host() {
            Some(url::Host::Ipv4(ip)) => {
                ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
            }
            Some(url::Host::Ipv6(ip)) => {
                ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_unique_local()
                    || ip.is_unicast_link_local()
            }
            Some(url::Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                !name.contains('.')
                    || [".localhost", ".local", ".internal", ".lan", ".home.arpa"]
                        .iter()
                        .any(|end| name.ends_with(end))
            }
            None => true,
        }
    }
}

/// The store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Its directory.
    pub path: PathBuf,
    /// The most its cache may take, in bytes.
    pub cache_bytes: u64,
}

/// Logging.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// A level or a filter of `tracing-subscriber`.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads and checks the file at `path`, with the secrets of `environment`.
    ///
    /// # Errors
    /// The first thing that is wrong, with the key, the value found and what
    /// would be right.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigProblem> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigProblem::unreadable(path, &error))?;
        let base = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, base, environment).map_err(|problem| problem.in_file(path))
    }

    /// Checks the text of a configuration file; relative paths count from `base`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(
        text: &str,
        base: &Path,
        environment: &Environment,
    ) -> Result<Self, ConfigProblem> {
        let file: File =
            serde_saphyr::from_str(text).map_err(|error| ConfigProblem::from_yaml(&error, text))?;
        let homeserver = file.homeserver.checked()?;
        let appservice = file
            .appservice
            .checked(&homeserver.server_name, base, environment)?;
        Ok(Self {
            media: file.media.checked(&appservice.url)?,
            appservice,
            rocketchat: file.rocketchat.checked(environment)?,
            bridge: file.bridge.checked()?,
            commands: commands::commands(file.commands)?,
            api: api::api(file.api, environment)?,
            store: file.store.checked(base)?,
            log: file.log.checked()?,
            homeserver,
        })
    }

    /// Whether `user` is a ghost of this bridge, by its name alone.
    pub fn is_ghost(&self, user: &UserId) -> bool {
        user.server_name() == self.homeserver.server_name
            && user.localpart().starts_with(&self.appservice.ghost_prefix)
    }

    /// Whether `user` is the bot or a ghost: what they do is the bridge's own doing.
    pub fn is_ours(&self, user: &UserId) -> bool {
        *user == *self.appservice.bot || self.is_ghost(user)
    }
}

#[cfg(test)]
mod tests;
