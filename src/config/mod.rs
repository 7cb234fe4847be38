//! The configuration: one YAML file, its defaults, and what is refused.
//!
//! `config.yaml.example` shows every option; a test holds the two together.
//! Secrets may come from the environment instead (see [`Environment`]).

mod api;
mod commands;
mod environment;
mod problem;
mod registration;

use std::path::{Path, PathBuf};

use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId};
use serde::Deserialize;
use url::Url;

pub use api::{ApiOptions, ApiToken};
pub use commands::{CommandOptions, Giver, Rule};
pub use environment::{Environment, SECRET_VARIABLES};
pub use problem::ConfigProblem;
pub use registration::{PROTOCOL, Registration, RegistrationProblem};

use crate::secret::Secret;

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

/// The file as written, before it is checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    homeserver: HomeserverSection,
    #[serde(default)]
    appservice: AppserviceSection,
    rocketchat: RocketChatSection,
    #[serde(default)]
    bridge: BridgeSection,
    #[serde(default)]
    commands: commands::CommandsSection,
    #[serde(default)]
    api: api::ApiSection,
    #[serde(default)]
    media: MediaSection,
    #[serde(default)]
    store: StoreSection,
    #[serde(default)]
    log: LogSection,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HomeserverSection {
    url: String,
    server_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AppserviceSection {
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
struct RocketChatSection {
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
struct BridgeSection {
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
struct MediaSection {
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
struct StoreSection {
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
struct LogSection {
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
        let server_name = ServerName::parse(&file.homeserver.server_name).map_err(|_| {
            ConfigProblem::value(
                "homeserver.server_name",
                &file.homeserver.server_name,
                "the part after the colon in your users' ids, such as example.org",
            )
        })?;
        let homeserver = Homeserver {
            url: server_url("homeserver.url", &file.homeserver.url)?,
            server_name,
        };
        let appservice = appservice(file.appservice, &homeserver.server_name, base, environment)?;
        Ok(Self {
            media: media(file.media, &appservice.url)?,
            appservice,
            rocketchat: rocketchat(file.rocketchat, environment)?,
            bridge: bridge(file.bridge)?,
            commands: commands::commands(file.commands)?,
            api: api::api(file.api, environment)?,
            store: StoreOptions {
                path: base.join(file.store.path),
                cache_bytes: cache_bytes(file.store.cache_mib)?,
            },
            log: LogOptions {
                level: log_level(file.log.level)?,
                format: file.log.format,
            },
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

fn appservice(
    section: AppserviceSection,
    server_name: &ServerName,
    base: &Path,
    environment: &Environment,
) -> Result<Appservice, ConfigProblem> {
    let bot = UserId::parse(format!("@{}:{server_name}", section.bot_localpart))
        .ok()
        .filter(|_| is_plain_localpart(&section.bot_localpart))
        .ok_or_else(|| {
            ConfigProblem::value(
                "appservice.bot_localpart",
                &section.bot_localpart,
                "lower-case letters, digits and . _ - only",
            )
        })?;
    if !is_plain_localpart(&section.ghost_prefix) || section.ghost_prefix.len() < 2 {
        return Err(ConfigProblem::value(
            "appservice.ghost_prefix",
            &section.ghost_prefix,
            "at least two of: lower-case letters, digits and . _ -",
        ));
    }
    if section.bot_localpart.starts_with(&section.ghost_prefix) {
        return Err(ConfigProblem::value(
            "appservice.bot_localpart",
            &section.bot_localpart,
            "a name that does not start with appservice.ghost_prefix, or it could be taken for a ghost",
        ));
    }
    if section.id.is_empty() {
        return Err(ConfigProblem::value(
            "appservice.id",
            &section.id,
            "any short name, such as rocketchat",
        ));
    }
    let host_and_port = section.listen.rsplit_once(':');
    if !host_and_port.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
        return Err(ConfigProblem::value(
            "appservice.listen",
            &section.listen,
            "an address and a port, such as 127.0.0.1:29330",
        ));
    }
    let double_puppet_token = environment
        .secret("DOUBLE_PUPPET_TOKEN")?
        .unwrap_or(section.double_puppet_token);
    Ok(Appservice {
        registration: base.join(section.registration),
        listen: section.listen,
        url: server_url("appservice.url", &section.url)?,
        id: section.id,
        bot,
        ghost_prefix: section.ghost_prefix,
        as_token: environment.secret("AS_TOKEN")?,
        hs_token: environment.secret("HS_TOKEN")?,
        double_puppet_token: Some(double_puppet_token).filter(|token| !token.is_empty()),
    })
}

fn rocketchat(
    section: RocketChatSection,
    environment: &Environment,
) -> Result<RocketChat, ConfigProblem> {
    let token = environment
        .secret("ROCKETCHAT_TOKEN")?
        .unwrap_or(section.token);
    let password = environment
        .secret("ROCKETCHAT_PASSWORD")?
        .unwrap_or(section.password);
    let create_token_secret = environment
        .secret("CREATE_TOKEN_SECRET")?
        .unwrap_or(section.create_token_secret);
    let login = if !token.is_empty() {
        if section.user_id.is_empty() {
            return Err(ConfigProblem::missing(
                "rocketchat.user_id",
                "the _id of the bridge's account, which Rocket.Chat shows beside the token",
            ));
        }
        RocketLogin::Token {
            user_id: section.user_id,
            token,
        }
    } else if !section.username.is_empty() && !password.is_empty() {
        RocketLogin::Password {
            username: section.username,
            password,
        }
    } else {
        return Err(ConfigProblem::missing(
            "rocketchat.token",
            "a personal access token with rocketchat.user_id, or rocketchat.username with rocketchat.password",
        ));
    };
    if section.puppet_prefix.is_empty()
        || !section
            .puppet_prefix
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    {
        return Err(ConfigProblem::value(
            "rocketchat.puppet_prefix",
            &section.puppet_prefix,
            "letters, digits and . _ - only, such as mx_",
        ));
    }
    Ok(RocketChat {
        url: server_url("rocketchat.url", &section.url)?,
        login,
        puppet_prefix: section.puppet_prefix,
        create_token_secret: Some(create_token_secret).filter(|secret| !secret.is_empty()),
    })
}

fn bridge(section: BridgeSection) -> Result<BridgeOptions, ConfigProblem> {
    let admins = section
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
    for name in &section.channels {
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
        channels: section.channels,
        open_by_alias: section.open_by_alias,
        federate: section.federate,
        join_all_up_to: section.join_all_up_to,
        publish: section.publish,
        late_after: std::time::Duration::from_secs(section.late_after_seconds),
        proposals_hold: std::time::Duration::from_secs(section.proposals_hold_seconds),
        relay: section.relay,
        typing: section.typing,
        presence: section.presence,
        receipts: section.receipts,
    })
}

fn media(section: MediaSection, listener: &Url) -> Result<MediaOptions, ConfigProblem> {
    let public_url = match section.public_url.as_str() {
        "" => listener.clone(),
        url => server_url("media.public_url", url)?,
    };
    if !(1..=3650).contains(&section.link_days) {
        return Err(ConfigProblem::value(
            "media.link_days",
            &section.link_days.to_string(),
            "a number of days from 1 to 3650; to have no links, set media.links to false",
        ));
    }
    Ok(MediaOptions {
        has_public_url: !section.public_url.is_empty(),
        public_url,
        links: section.links,
        link_lifetime: std::time::Duration::from_secs(section.link_days * 24 * 3600),
    })
}

fn cache_bytes(mib: u64) -> Result<u64, ConfigProblem> {
    if !(1..=65_536).contains(&mib) {
        return Err(ConfigProblem::value(
            "store.cache_mib",
            &mib.to_string(),
            "a number of MiB from 1 to 65536",
        ));
    }
    Ok(mib * 1024 * 1024)
}

fn log_level(level: String) -> Result<String, ConfigProblem> {
    match tracing_subscriber::EnvFilter::try_new(&level) {
        Ok(_) => Ok(level),
        Err(_) => Err(ConfigProblem::value(
            "log.level",
            &level,
            "trace, debug, info, warn or error, or a filter such as info,matrix_appservice_rocketchat=debug",
        )),
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

#[cfg(test)]
mod tests;
