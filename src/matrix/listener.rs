//! What the homeserver calls (Application Service API, v1.19 of the
//! specification).

mod app;
mod auth;
mod ephemeral;
mod files;
mod provision;
mod reply;
mod routes;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use ruma::{OwnedEventId, OwnedRoomAliasId, OwnedRoomId, OwnedUserId};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

pub use self::app::{AppAnswer, AppCall};
pub use self::ephemeral::{Ephemeral, Presence};
pub use self::files::{FileRefusal, FileRequest, ServedFile};
pub use self::provision::{ApiAnswer, ApiCall};
use self::routes::{Limits, Shared};
pub use self::transaction::{NotATransaction, read as read_transaction};
use crate::secret::Secret;

/// The largest transaction that is read unless the configuration says otherwise,
/// in bytes. Synapse sends at most 100 events of at most 64 KiB, and as many
/// ephemeral ones.
pub const DEFAULT_MAX_BODY_BYTES: usize = 50 * 1024 * 1024;

/// How long a peer may take to say what it wants.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Until the head is there.
    head: Duration,
    /// From then until the body is there.
    body: Duration,
    /// Within a file that is handed out.
    reader: Duration,
}

impl Patience {
    /// Synapse itself gives a request up after 60 s.
    const USUAL: Self = Self {
        head: Duration::from_secs(10),
        body: Duration::from_secs(60),
        reader: Duration::from_secs(60),
    };
}

/// Requests under way get this long when the listener stops.
const SHUTDOWN_SECONDS: u64 = 30;

/// One event as the homeserver sent it, with the fields that every event has.
#[derive(Debug, Clone)]
pub struct InboundEvent {
    /// At most 255 bytes, as all ids here.
    pub event_id: OwnedEventId,
    /// The room; from room version 12 on an id without a server name.
    pub room_id: OwnedRoomId,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// The event's type, e.g. `m.room.message`; at most 255 bytes.
    pub kind: String,
    /// Present in state events only, also when empty; at most 255 bytes.
    pub state_key: Option<String>,
    /// Milliseconds since 1970, as the sender's server claims; 0 if absent or
    /// not such a number.
    pub origin_server_ts: u64,
    /// The whole event as sent. Reading it as [`Value`] is known to succeed; for
    /// that, an `unsigned` that is nested too deeply is left out.
    ///
    /// A repeat need not be the same text: `unsigned.age` grows.
    pub json: Box<RawValue>,
}

/// What the homeserver sent in one request.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// The homeserver's id; a repeat carries the same, also after a restart.
    pub id: String,
    /// The readable events, in the homeserver's order.
    pub events: Vec<InboundEvent>,
    /// What could be read of typing, receipts and presence, in the homeserver's order.
    pub ephemeral: Vec<Ephemeral>,
    /// How many elements of `events` could not be read. Each was logged with its
    /// index and the reason.
    pub unreadable: usize,
}

/// The handler cannot do it now: the homeserver is told 503 and will repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not possible now")]
pub struct Unavailable;

/// A question about the third-party network (`thirdparty/user`,
/// `thirdparty/location`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThirdPartyQuery {
    /// The protocol asked for; none when the question is by Matrix id
    /// (`userid`, `alias`).
    pub protocol: Option<String>,
    /// The query's fields, without the token. The last of a repeated one counts.
    pub fields: BTreeMap<String, String>,
}

/// How the program is, for probes.
#[derive(Debug, Clone)]
pub struct Health {
    /// Not stuck: a false is a reason to restart the program.
    pub live: bool,
    /// Able to do its work now.
    pub ready: bool,
    /// More, as a JSON object. It is shown to anyone who asks: no secrets, no ids.
    pub detail: Value,
}

/// What stands behind the listener. Its futures run on the program's own
/// runtime and to their end, also when the homeserver hangs up meanwhile.
pub trait Handler: Send + Sync + 'static {
    /// Takes a transaction over. `Ok` promises that it will survive a crash: the
    /// homeserver is then told 200 and forgets it. Repeated transactions and
    /// events are for the handler to recognise. A homeserver that loses patience
    /// (Synapse: after 60 s) repeats while the first call is still at work, so
    /// that two may run at once.
    fn transaction(
        &self,
        transaction: Transaction,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// Whether this user of our namespace exists, creating it if it should.
    fn user_exists(
        &self,
        user: OwnedUserId,
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;

    /// Whether this alias of our namespace exists, creating the room if it should.
    /// The homeserver asks also when we ourselves resolve or join by an alias that
    /// does not exist: to do so here with the same alias would never end.
    fn alias_exists(
        &self,
        alias: OwnedRoomAliasId,
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;

    /// What we tell of a third-party protocol; none for those not ours.
    fn protocol(&self, protocol: &str) -> Option<Value>;

    /// People of the third-party network that match; empty means not found.
    fn third_party_users(
        &self,
        query: ThirdPartyQuery,
    ) -> impl Future<Output = Result<Vec<Value>, Unavailable>> + Send;

    /// Rooms of the third-party network that match; empty means not found.
    fn third_party_locations(
        &self,
        query: ThirdPartyQuery,
    ) -> impl Future<Output = Result<Vec<Value>, Unavailable>> + Send;

    /// The file that a link leads to. Anybody may ask: the handler must know its own
    /// links, and tell nothing of others.
    fn file(
        &self,
        request: FileRequest,
    ) -> impl Future<Output = Result<ServedFile, FileRefusal>> + Send;

    /// What somebody on Rocket.Chat asks for through the App there. Anybody may call: the
    /// handler must know its own App, and tell nothing to others.
    fn app_command(&self, call: AppCall) -> impl Future<Output = AppAnswer> + Send;

    /// What whoever may not use the provisioning API is told, before anything of their body
    /// is read; nothing for who may. Called on the listener's thread: must not block.
    fn refuse_stranger(&self, token: Option<&str>, path: &str) -> Option<ApiAnswer>;

    /// What a program asks for through the provisioning API.
    fn provision(&self, call: ApiCall) -> impl Future<Output = ApiAnswer> + Send;

    /// How the program is. Called on the listener's thread: must not block.
    fn health(&self) -> Health;
}

/// Where and for whom to listen.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// `host:port`; port 0 picks a free one.
    pub listen: String,
    /// What the homeserver must present.
    pub hs_token: Secret,
    /// The largest body that is read; see [`DEFAULT_MAX_BODY_BYTES`].
    pub max_body_bytes: usize,
}

/// Why the listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken, not ours or not an address (`appservice.listen`).
    #[error("cannot listen on {listen} (appservice.listen): {source}")]
    Bind {
        /// The address as configured.
        listen: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The listener's thread could not be started.
    #[error("cannot start the listener's thread: {0}")]
    Thread(std::io::Error),
    /// An empty `hs_token` would let anyone in.
    #[error("hs_token in the registration is empty")]
    EmptyToken,
}

/// A listener at work. Dropping it does not stop it; see [`RunningListener::stop`].
#[derive(Debug)]
pub struct RunningListener {
    address: SocketAddr,
    server: ServerHandle,
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
}

impl RunningListener {
    /// The address actually bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new requests, finishes those under way (for at most 30 s; files that are
    /// being handed out are broken off) and returns when the port is free.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.server.stop(true).await;
        // An error says that the thread is gone already.
        let _ = self.ended.await;
    }
}

/// Binds and serves. Must be called within the program's tokio runtime, on which
/// the handler's futures will run.
///
/// # Errors
/// See [`ListenError`].
pub async fn start<H: Handler>(
    config: ListenerConfig,
    handler: Arc<H>,
) -> Result<RunningListener, ListenError> {
    start_with(config, handler, Patience::USUAL).await
}

/// actix-web's services and bodies are not `Send`: they live on its own
/// single-threaded runtimes. So the server gets a thread and an actix system of
/// its own, and only the handler's futures, which are `Send`, cross over to the
/// program's runtime.
async fn start_with<H: Handler>(
    config: ListenerConfig,
    handler: Arc<H>,
    patience: Patience,
) -> Result<RunningListener, ListenError> {
    if config.hs_token.is_empty() {
        return Err(ListenError::EmptyToken);
    }
    let (stop, stopping) = watch::channel(false);
    let shared = Data::new(Shared {
        handler,
        token: config.hs_token,
        runtime: Handle::current(),
        limits: Limits {
            body_bytes: config.max_body_bytes,
            body_time: patience.body,
            reader_pause: patience.reader,
        },
        stopping,
    });
    let listen = config.listen;
    let (tell_bound, bound) = oneshot::channel();
    let (tell_ended, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("matrix-listener".to_owned())
        .spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                match bind(&listen, patience, shared) {
                    Ok((address, server)) => {
                        let _ = tell_bound.send(Ok((address, server.handle())));
                        if let Err(error) = server.await {
                            tracing::error!(%error, "the listener ended");
                        }
                    }
                    Err(source) => {
                        let _ = tell_bound.send(Err(ListenError::Bind { listen, source }));
                    }
                }
                let _ = tell_ended.send(());
            });
        })
        .map_err(ListenError::Thread)?;
    let (address, server) = bound
        .await
        .map_err(|_| ListenError::Thread(std::io::Error::other("it ended at once")))??;
    tracing::info!(%address, "listening for the homeserver");
    Ok(RunningListener {
        address,
        server,
        stop,
        ended,
    })
}

fn bind<H: Handler>(
    listen: &str,
    patience: Patience,
    shared: Data<Shared<H>>,
) -> std::io::Result<(SocketAddr, Server)> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .configure(routes::configure::<H>)
    })
    // One for the homeserver, which sends one transaction after the other, and
    // one so that probes are answered while a large one is read.
    .workers(2)
    .max_connections(512)
    .client_request_timeout(patience.head)
    .keep_alive(Duration::from_secs(75))
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals()
    // A reader of a file who takes nothing more holds its connection no longer than this.
    .on_connect(move |connection, _| {
        if let Some(stream) = connection.downcast_ref::<actix_web::rt::net::TcpStream>() {
            let pause = u32::try_from(patience.reader.as_millis()).unwrap_or(u32::MAX);
            if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, pause) {
                tracing::debug!(%error, "a connection is not bounded in its pauses");
            }
        }
    })
    .bind(listen)?;
    let address = server
        .addrs()
        .first()
        .copied()
        .ok_or_else(|| std::io::Error::other("no address"))?;
    Ok((address, server.run()))
}
