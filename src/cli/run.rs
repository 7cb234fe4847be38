//! `run`: the bridge itself.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{ConfigFile, Problem, runtime};
use crate::bridge::{Bridge, BridgeHandler};
use crate::commands::{Commands, unknown_in_rules};
use crate::config::{Config, LogFormat, LogOptions, Registration};
use crate::matrix::ListenerConfig;
use crate::matrix::listener::{self, DEFAULT_MAX_BODY_BYTES};
use crate::store::Store;

pub(super) fn run(file: &ConfigFile) -> Result<(), Problem> {
    let config = file.load()?;
    if let Some(problem) = unknown_in_rules(&config) {
        return Err(problem.into());
    }
    let registration = Registration::load(&config)?;
    start_log(&config.log)?;
    let store = Store::open(
        &config.store.path,
        config.store.cache_bytes,
        config.homeserver.server_name.as_str(),
        &config.appservice.ghost_prefix,
    )
    .map_err(|error| format!("{}: {error}", config.store.path.display()))?;
    runtime()?.block_on(serve(config, registration, store))
}

async fn serve(config: Config, registration: Registration, store: Store) -> Result<(), Problem> {
    // Before anything is started: a signal must never find nobody.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener_config = ListenerConfig {
        listen: config.appservice.listen.clone(),
        hs_token: registration.hs_token.clone(),
        max_body_bytes: DEFAULT_MAX_BODY_BYTES,
    };
    if config.media.links && config.media.looks_private() {
        tracing::warn!(
            public_url = %config.media.public_url,
            "links to files that do not fit the other side will lead to an address that people's browsers can hardly reach: set media.public_url, or media.links to false"
        );
    }
    let bridge = Bridge::new(config, registration, store, Box::new(Commands))?;
    bridge.take_up_work();
    // First of all the listener: what the homeserver sends is safe in the inbox,
    // whether Rocket.Chat is there or not.
    let listener = listener::start(
        listener_config,
        Arc::new(BridgeHandler(Arc::clone(&bridge))),
    )
    .await?;
    let connect = async {
        bridge.check_matrix().await?;
        bridge.connect_rocketchat().await?;
        Ok::<_, Problem>(())
    };
    let told_to_stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    };
    tokio::pin!(told_to_stop);
    // Told to stop also while it still waits for one of the servers.
    let connected = tokio::select! {
        connected = connect => connected.map(|()| true),
        () = &mut told_to_stop => Ok(false),
    };
    if let Ok(true) = connected {
        told_to_stop.await;
    }
    listener.stop().await;
    bridge.stop().await;
    connected.map(drop)
}

/// Libraries that write whole frames and headers, tokens included, when they are
/// let: never more of theirs than `info`, whatever the configuration asks for.
const TALKATIVE: [&str; 8] = [
    "actix_http",
    "h2",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
    "tokio_tungstenite",
    "tungstenite",
];

fn start_log(options: &LogOptions) -> Result<(), Problem> {
    let mut filter = EnvFilter::try_new(&options.level).map_err(|_| {
        format!(
            "log.level is {:?}; it must be a level such as info, or a filter",
            options.level
        )
    })?;
    for library in TALKATIVE {
        filter = filter.add_directive(format!("{library}=info").parse()?);
    }
    // Tells of every start of a worker, which says nothing to an administrator.
    filter = filter.add_directive("actix_server=warn".parse()?);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match options.format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
