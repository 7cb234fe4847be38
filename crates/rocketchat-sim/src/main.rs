//! The command line of the simulator.

use std::io::Write;
use std::path::PathBuf;

use clap::Parser;
use rocketchat_sim::{Options, Sim, VersionProfile};
use tokio::signal::unix::{SignalKind, signal};

/// A Rocket.Chat 6.14 in one process, for tests, the demo and benchmarks.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: String,
    /// Directory of the journal; without it everything is forgotten at the end.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Site_Url; the address that is listened on when missing.
    #[arg(long)]
    site_url: Option<String>,
    /// Name of the first administrator.
    #[arg(long, default_value = "admin")]
    admin_username: String,
    /// Password of the first administrator.
    #[arg(long, env = "SIM_ADMIN_PASSWORD", default_value = "admin-password")]
    admin_password: String,
    /// Value of the header X-Sim-Control; without it the control API is off.
    #[arg(long, env = "SIM_CONTROL_TOKEN")]
    control_token: Option<String>,
    /// Version to imitate: 6.9, 6.14, 7.7 or 8.0.
    #[arg(long, default_value = "6.14")]
    version_profile: VersionProfile,
    /// Start with the REST limiter and the DDP limits on.
    #[arg(long)]
    rate_limits: bool,
    /// Delay 401 and 403 answers by 500 to 1000 ms, as the real server does.
    #[arg(long)]
    delay_denials: bool,
    /// Time that every sent message takes, in milliseconds; a real server needs about 70.
    #[arg(long, default_value_t = 0)]
    message_delay_ms: u64,
    /// Use the error texts of Node 16 and later.
    #[arg(long)]
    new_engine_wording: bool,
    /// Refuse users.createToken, as a server without CREATE_TOKENS_FOR_USERS=true.
    #[arg(long)]
    no_create_tokens: bool,
    /// CREATE_TOKENS_FOR_USERS_SECRET of an 8.0 server.
    #[arg(long)]
    create_tokens_secret: Option<String>,
    /// How long a new account is not asked for a second factor, in seconds.
    #[arg(long, default_value_t = 1800)]
    two_factor_grace_s: u64,
    /// Silence after which a socket is pinged, and then closed, in milliseconds.
    #[arg(long, default_value_t = 15_000)]
    heartbeat_ms: u64,
    /// Leave `md` out of messages, as a server with DISABLE_MESSAGE_PARSER=true.
    #[arg(long)]
    no_md: bool,
    /// With profile 8.0: parse texts as from 8.7 on, with spoilers, tables and rules.
    #[arg(long)]
    new_markdown: bool,
    /// Lose reactions that come within so many milliseconds to one message, as a real server does.
    #[arg(long, default_value_t = 0)]
    reaction_race_ms: u64,
    /// Threads that answer requests.
    #[arg(long, default_value_t = 1)]
    workers: usize,
}

impl From<Arguments> for Options {
    fn from(arguments: Arguments) -> Self {
        Self {
            listen: arguments.listen,
            data: arguments.data,
            site_url: arguments.site_url,
            admin_username: arguments.admin_username,
            admin_password: arguments.admin_password,
            control_token: arguments.control_token,
            profile: arguments.version_profile,
            rate_limits: arguments.rate_limits,
            delay_denials: arguments.delay_denials,
            message_delay_ms: arguments.message_delay_ms,
            new_engine_wording: arguments.new_engine_wording,
            create_tokens: !arguments.no_create_tokens,
            create_tokens_secret: arguments.create_tokens_secret,
            two_factor_grace_s: arguments.two_factor_grace_s,
            heartbeat_ms: arguments.heartbeat_ms,
            no_md: arguments.no_md,
            new_markdown: arguments.new_markdown,
            reaction_race_ms: arguments.reaction_race_ms,
            workers: arguments.workers,
        }
    }
}

fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let running = Sim::start(Arguments::parse().into())?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", serde_json::json!({ "listening": running.url() }))?;
    out.flush()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                result = tokio::signal::ctrl_c() => result,
                _ = terminate.recv() => Ok(()),
            }
        })?;
    running.stop();
    Ok(())
}
