//! How a simulator is started.

use std::path::PathBuf;

use crate::profile::VersionProfile;

/// Everything that can be chosen when a simulator starts. `Options::default()` gives what a test
/// wants: a free port, memory only, no limiter, no artificial delay, control token `control`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address to listen on; port 0 picks a free one.
    pub listen: String,
    /// Directory of the journal; `None` keeps everything in memory.
    pub data: Option<PathBuf>,
    /// `Site_Url`; `None` takes the address that is listened on.
    pub site_url: Option<String>,
    /// Name of the first administrator.
    pub admin_username: String,
    /// Password of the first administrator.
    pub admin_password: String,
    /// Value of the header `X-Sim-Control`; `None` switches the control API off.
    pub control_token: Option<String>,
    /// Which version to imitate.
    pub profile: VersionProfile,
    /// Start value of `API_Enable_Rate_Limiter` and of the `DDP_Rate_Limit_*_Enabled` settings.
    pub rate_limits: bool,
    /// Delay 401 and 403 answers by 500 to 1000 ms as the real server does (facts 0.2).
    pub delay_denials: bool,
    /// Time that every sent message takes, in milliseconds; a real server needs about 70.
    pub message_delay_ms: u64,
    /// Wording of engine errors of Node 16 and later, whatever the profile says.
    pub new_engine_wording: bool,
    /// The server's environment has `CREATE_TOKENS_FOR_USERS=true` (before 8.0).
    pub create_tokens: bool,
    /// The server's `CREATE_TOKENS_FOR_USERS_SECRET` (8.0 on).
    pub create_tokens_secret: Option<String>,
    /// How long a new account is not asked for a second factor, in seconds (1800 on a real server).
    pub two_factor_grace_s: u64,
    /// Silence after which the server pings a socket, and again after which it closes it, in ms.
    pub heartbeat_ms: u64,
    /// Messages carry no `md`, as with `DISABLE_MESSAGE_PARSER=true` in the server's environment.
    pub no_md: bool,
    /// With profile 8.0: `md` as from 8.7 on, with spoilers, tables and rules.
    pub new_markdown: bool,
    /// Time between reading a message's reactions and writing them back by `chat.react`, in
    /// milliseconds. Reactions that arrive meanwhile are lost, as on a real server (facts 6); 0 loses
    /// none.
    pub reaction_race_ms: u64,
    /// Threads that answer requests.
    pub workers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            data: None,
            site_url: None,
            admin_username: "admin".to_owned(),
            admin_password: "admin-password".to_owned(),
            control_token: Some("control".to_owned()),
            profile: VersionProfile::default(),
            rate_limits: false,
            delay_denials: false,
            message_delay_ms: 0,
            new_engine_wording: false,
            create_tokens: true,
            create_tokens_secret: None,
            two_factor_grace_s: 1800,
            heartbeat_ms: 15_000,
            no_md: false,
            new_markdown: false,
            reaction_race_ms: 0,
            workers: 1,
        }
    }
}

impl Options {
    /// The engine's text for reading `property` of `value` (`undefined` or `null`).
    pub fn cannot_read(&self, property: &str, value: &str) -> String {
        if self.profile.old_engine() && !self.new_engine_wording {
            format!("Cannot read property '{property}' of {value}")
        } else {
            format!("Cannot read properties of {value} (reading '{property}')")
        }
    }
}
