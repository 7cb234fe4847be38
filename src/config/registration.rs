//! The appservice registration: written once, read by the bridge and the
//! homeserver (Matrix specification 1.17, Application Service API,
//! "Registration").

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rand::distr::{Alphanumeric, SampleString as _};
use serde::Deserialize;
use thiserror::Error;

use super::{Appservice, BridgeOptions, Config, Direction};
use crate::secret::Secret;

/// The registration file.
#[derive(Debug, Clone, Deserialize)]
pub struct Registration {
    /// The id of the appservice.
    pub id: String,
    /// How the homeserver reaches the bridge.
    pub url: Option<String>,
    /// What the bridge shows the homeserver.
    pub as_token: Secret,
    /// What the homeserver shows the bridge.
    pub hs_token: Secret,
    /// The bot's localpart.
    pub sender_localpart: String,
    /// What belongs to the bridge.
    pub namespaces: Namespaces,
    /// Whether ghosts are rate limited.
    #[serde(default)]
    pub rate_limited: Option<bool>,
    /// Whether typing, receipts and presence are sent to the bridge.
    #[serde(default)]
    pub receive_ephemeral: bool,
    /// The same under the name that homeservers knew it by before Matrix 1.13.
    #[serde(default, rename = "de.sorunome.msc2409.push_ephemeral")]
    push_ephemeral: bool,
    /// The third-party networks that the bridge looks people and rooms up in.
    #[serde(default)]
    protocols: Vec<String>,
}

/// The name of Rocket.Chat in third-party look-ups.
pub const PROTOCOL: &str = "rocketchat";

/// The three kinds of namespaces.
#[derive(Debug, Clone, Deserialize, Default)]
pub struct Namespaces {
    /// Of user ids.
    #[serde(default)]
    pub users: Vec<Namespace>,
    /// Of room aliases.
    #[serde(default)]
    pub aliases: Vec<Namespace>,
}

/// One namespace.
#[derive(Debug, Clone, Deserialize)]
pub struct Namespace {
    /// Whether nobody else may create what matches.
    pub exclusive: bool,
    /// What belongs to it.
    pub regex: String,
}

/// Why a registration cannot be used or written.
#[derive(Debug, Error)]
pub enum RegistrationProblem {
    /// Not there, or no right to read it.
    #[error(
        "the registration {path} cannot be read ({error}); write it with `matrix-appservice-rocketchat registration`"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Not a registration.
    #[error(
        "{path} is not a registration (line {line}): {error}; `matrix-appservice-rocketchat registration` writes one"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where.
        line: u64,
        /// What the reader said, without the values.
        error: String,
    },
    /// Says something else than the configuration.
    #[error(
        "the registration {path} does not match the configuration: {what}; move it away, write it anew with `matrix-appservice-rocketchat registration`, give it to the homeserver and restart that"
    )]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Which key, and both values.
        what: String,
    },
    /// Would be overwritten.
    #[error(
        "{0} exists; its tokens are in use perhaps: move it away first, or name another file with --output"
    )]
    Exists(PathBuf),
    /// Could not be written.
    #[error("cannot write {path}: {error}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

impl Registration {
    /// A new registration for this configuration, with random tokens of 64
    /// characters (381 bits).
    pub fn generate(config: &Config) -> Self {
        let token = || Secret::new(Alphanumeric.sample_string(&mut rand::rng(), 64));
        let appservice = &config.appservice;
        Self {
            id: appservice.id.clone(),
            url: Some(url_text(appservice)),
            as_token: token(),
            hs_token: token(),
            sender_localpart: appservice.bot.localpart().to_owned(),
            namespaces: Namespaces {
                users: vec![exclusive(users_regex(config))],
                aliases: vec![exclusive(aliases_regex(config))],
            },
            rate_limited: Some(false),
            receive_ephemeral: true,
            push_ephemeral: true,
            protocols: vec![PROTOCOL.to_owned()],
        }
    }

    /// A second registration, by which the bridge may act as users of its homeserver: with
    /// random tokens, and without an address, so that nothing is sent to it.
    pub fn generate_double_puppeting(config: &Config) -> Self {
        let server = escape_regex(config.homeserver.server_name.as_str());
        Self {
            id: format!("{}-double-puppeting", config.appservice.id),
            url: None,
            // A name that nobody has: the homeserver asks for one.
            sender_localpart: format!("{}-double-puppeting", config.appservice.bot.localpart()),
            namespaces: Namespaces {
                users: vec![Namespace {
                    exclusive: false,
                    regex: format!("^@.*:{server}$"),
                }],
                aliases: Vec::new(),
            },
            receive_ephemeral: false,
            push_ephemeral: false,
            protocols: Vec::new(),
            ..Self::generate(config)
        }
    }

    /// What an older registration lacks, and what the bridge does not do without it: one
    /// sentence each, for the administrator.
    pub fn lacks(&self, options: &BridgeOptions) -> Vec<&'static str> {
        let wants_ephemeral =
            [options.typing, options.presence, options.receipts].map(Direction::to_rocketchat);
        let mut lacks = Vec::new();
        if wants_ephemeral.contains(&true) && !self.receive_ephemeral && !self.push_ephemeral {
            lacks.push(
                "the registration lacks `receive_ephemeral: true` and `de.sorunome.msc2409.push_ephemeral: true`: add both lines and restart the homeserver, so that Rocket.Chat shows who is typing on Matrix",
            );
        }
        if !self.protocols.iter().any(|protocol| protocol == PROTOCOL) {
            lacks.push(
                "the registration lacks `protocols: [rocketchat]`: add the line and restart the homeserver, so that clients find people and channels of Rocket.Chat",
            );
        }
        lacks
    }

    /// The file's text. Written by hand rather than by a serialiser, so that it
    /// explains itself to the administrator who gives it to the homeserver.
    pub fn to_yaml(&self) -> String {
        let mut text = String::from(
            "# The registration of matrix-appservice-rocketchat. Name this file in the\n\
             # homeserver's app_service_config_files and keep it secret: it holds the tokens.\n",
        );
        let quoted = |value: &str| format!("'{}'", value.replace('\'', "''"));
        let mut line = |key: &str, value: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{key}: {value}");
        };
        line("id", quoted(&self.id));
        let url = self.url.as_deref();
        line("url", url.map_or_else(|| "null".to_owned(), quoted));
        line("as_token", quoted(self.as_token.expose()));
        line("hs_token", quoted(self.hs_token.expose()));
        line("sender_localpart", quoted(&self.sender_localpart));
        line(
            "rate_limited",
            self.rate_limited.unwrap_or(true).to_string(),
        );
        line("receive_ephemeral", self.receive_ephemeral.to_string());
        // The name that Synapse knew the option by before Matrix 1.13.
        line(
            "de.sorunome.msc2409.push_ephemeral",
            self.receive_ephemeral.to_string(),
        );
        line("protocols", format!("[{}]", self.protocols.join(", ")));
        text.push_str("namespaces:\n");
        for (kind, namespaces) in [
            ("users", &self.namespaces.users),
            ("aliases", &self.namespaces.aliases),
        ] {
            let none = if namespaces.is_empty() { " []" } else { "" };
            let _ = writeln!(text, "  {kind}:{none}");
            for namespace in namespaces {
                let _ = writeln!(text, "    - exclusive: {}", namespace.exclusive);
                let _ = writeln!(text, "      regex: {}", quoted(&namespace.regex));
            }
        }
        text.push_str("  rooms: []\n");
        text
    }

    /// Writes the file, readable by its owner alone; never over an existing one.
    ///
    /// # Errors
    /// When it exists or cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), RegistrationProblem> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => RegistrationProblem::Exists(path.to_owned()),
            _ => RegistrationProblem::Unwritable {
                path: path.to_owned(),
                error,
            },
        })?;
        file.write_all(self.to_yaml().as_bytes())
            .map_err(|error| RegistrationProblem::Unwritable {
                path: path.to_owned(),
                error,
            })
    }

    /// Reads the file that the configuration names, puts the tokens of the
    /// environment in their place and holds it against the configuration.
    ///
    /// # Errors
    /// When it cannot be read or says something else than the configuration.
    pub fn load(config: &Config) -> Result<Self, RegistrationProblem> {
        let path = &config.appservice.registration;
        let text =
            std::fs::read_to_string(path).map_err(|error| RegistrationProblem::Unreadable {
                path: path.clone(),
                error,
            })?;
        let mut registration: Self = serde_saphyr::from_str(&text).map_err(|error| {
            let plain = error.without_snippet();
            RegistrationProblem::Malformed {
                path: path.clone(),
                line: plain.location().map_or(0, |location| location.line()),
                error: plain
                    .to_string()
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            }
        })?;
        if let Some(token) = &config.appservice.as_token {
            registration.as_token = token.clone();
        }
        if let Some(token) = &config.appservice.hs_token {
            registration.hs_token = token.clone();
        }
        match registration.mismatch(config) {
            Some(what) => Err(RegistrationProblem::Mismatch {
                path: path.clone(),
                what,
            }),
            None => Ok(registration),
        }
    }

    /// What of the registration contradicts the configuration, if anything.
    fn mismatch(&self, config: &Config) -> Option<String> {
        let appservice = &config.appservice;
        let differs = |key: &str, here: &str, there_key: &str, there: &str| {
            (here != there).then(|| format!("{key} is {here:?}, {there_key} is {there:?}"))
        };
        let has = |namespaces: &[Namespace], regex: &str| {
            namespaces
                .iter()
                .any(|namespace| namespace.exclusive && namespace.regex == regex)
        };
        differs("id", &self.id, "appservice.id", &appservice.id)
            .or_else(|| {
                differs(
                    "sender_localpart",
                    &self.sender_localpart,
                    "appservice.bot_localpart",
                    appservice.bot.localpart(),
                )
            })
            .or_else(|| {
                differs(
                    "url",
                    self.url
                        .as_deref()
                        .unwrap_or_default()
                        .trim_end_matches('/'),
                    "appservice.url",
                    &url_text(appservice),
                )
            })
            .or_else(|| {
                let wanted = users_regex(config);
                (!has(&self.namespaces.users, &wanted)).then(|| {
                    format!("namespaces.users lacks an exclusive entry with the regex {wanted:?}")
                })
            })
            .or_else(|| {
                let wanted = aliases_regex(config);
                (!has(&self.namespaces.aliases, &wanted)).then(|| {
                    format!("namespaces.aliases lacks an exclusive entry with the regex {wanted:?}")
                })
            })
            .or_else(|| {
                (self.as_token == self.hs_token
                    || self.as_token.is_empty()
                    || self.hs_token.is_empty())
                .then(|| "as_token and hs_token must both be set and differ".to_owned())
            })
    }
}

fn url_text(appservice: &Appservice) -> String {
    appservice.url.as_str().trim_end_matches('/').to_owned()
}

fn exclusive(regex: String) -> Namespace {
    Namespace {
        exclusive: true,
        regex,
    }
}

fn users_regex(config: &Config) -> String {
    namespace_regex('@', config)
}

fn aliases_regex(config: &Config) -> String {
    namespace_regex('#', config)
}

fn namespace_regex(sigil: char, config: &Config) -> String {
    format!(
        "^{sigil}{}.*:{}$",
        escape_regex(&config.appservice.ghost_prefix),
        escape_regex(config.homeserver.server_name.as_str())
    )
}

/// Of what a server name or a prefix may hold, these mean something to a regex.
fn escape_regex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '.' | '[' | ']') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
