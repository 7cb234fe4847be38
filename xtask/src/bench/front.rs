//! What stands between the bridge and Synapse while rooms are measured: it counts
//! requests, and answers for rooms that stand in the bridge's store and nowhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, http, web};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// What the ids of rooms begin with for which it answers by itself.
const FAR: &str = "far-away-";
/// What is in the aliases and ghosts that belong to them.
const FAR_NAMES: &str = "_rocketchat_far";
/// How long it takes for such an answer: about what Synapse takes.
const FAR_TAKES: Duration = Duration::from_millis(5);
/// The largest body that is passed on.
const LARGEST: usize = 64 << 20;

/// A counting door to a homeserver.
pub(super) struct Front {
    pub(super) url: String,
    passed: Arc<AtomicU64>,
    far_rooms: Arc<AtomicUsize>,
    handle: ServerHandle,
}

struct State {
    synapse: String,
    bot: String,
    http: reqwest::Client,
    passed: Arc<AtomicU64>,
    far_rooms: Arc<AtomicUsize>,
    server: String,
}

impl Front {
    /// Opens it before a homeserver; `bot` is in every room for which it answers.
    pub(super) fn open(synapse: &str, bot: &str) -> Result<Self> {
        let passed = Arc::new(AtomicU64::new(0));
        let far_rooms = Arc::new(AtomicUsize::new(0));
        let (_, server) = bot.split_once(':').context("the bot has no server")?;
        let state = web::Data::new(State {
            synapse: synapse.trim_end_matches('/').to_owned(),
            bot: bot.to_owned(),
            http: reqwest::Client::new(),
            passed: Arc::clone(&passed),
            far_rooms: Arc::clone(&far_rooms),
            server: server.to_owned(),
        });
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let (started, handle) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let outcome = actix_web::rt::System::new().block_on(async move {
                let app = move || {
                    App::new()
                        .app_data(state.clone())
                        .app_data(web::PayloadConfig::new(LARGEST))
                        .default_service(web::to(pass))
                };
                let server = HttpServer::new(app)
                    .workers(1)
                    .disable_signals()
                    .listen(listener)?
                    .run();
                // Whoever waits for it is told by its silence.
                let _ = started.send(server.handle());
                server.await
            });
            if let Err(error) = outcome {
                eprintln!("the door to Synapse: {error}");
            }
        });
        Ok(Self {
            url: format!("http://{address}"),
            passed,
            far_rooms,
            handle: handle.recv().context("the door to Synapse did not open")?,
        })
    }

    /// How many requests went through, or were answered here.
    pub(super) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// From now on the bot is in so many rooms for which it answers.
    pub(super) fn show_far_rooms(&self, count: usize) {
        self.far_rooms.store(count, Ordering::Relaxed);
    }

    /// Closes it.
    pub(super) async fn close(self) {
        self.handle.stop(false).await;
    }
}

async fn pass(request: HttpRequest, body: web::Bytes, state: web::Data<State>) -> HttpResponse {
    state.passed.fetch_add(1, Ordering::Relaxed);
    let path = request.uri().to_string();
    if path.contains(FAR) || path.contains(FAR_NAMES) {
        tokio::time::sleep(FAR_TAKES).await;
        return HttpResponse::Ok().json(far_away(request.method().as_str(), &path, &state.bot));
    }
    let lists_rooms = path
        .split('?')
        .next()
        .unwrap_or_default()
        .ends_with("/joined_rooms");
    match forward(&request, body, &state, &path).await {
        Ok((status, _, body)) if lists_rooms => {
            HttpResponse::build(status).json(with_far(&state, &body))
        }
        Ok((status, kind, body)) => {
            let mut response = HttpResponse::build(status);
            if let Some(kind) = kind {
                response.insert_header(("content-type", kind));
            }
            response.body(body)
        }
        Err(error) => HttpResponse::BadGateway().body(error.to_string()),
    }
}

/// What a quiet room says in which only the bot is.
fn far_away(method: &str, path: &str, bot: &str) -> Value {
    let path = path.split('?').next().unwrap_or_default();
    match (method, path.rsplit('/').next().unwrap_or_default()) {
        ("GET", "messages") => json!({ "chunk": [], "start": "t" }),
        ("GET", "joined_members") => json!({ "joined": { bot: {} } }),
        ("GET", "members") => json!({ "chunk": [] }),
        ("GET", "state") => json!([]),
        ("GET", _) if path.contains("power_levels") => json!({ "users": { bot: 100 } }),
        ("PUT", _) => json!({ "event_id": "$far-away" }),
        _ => json!({}),
    }
}

/// The id of a room for which the door answers.
pub(super) fn far_room(number: usize, server: &str) -> String {
    format!("!{FAR}{number}:{server}")
}

/// In which rooms the bot is, those included for which the door answers.
fn with_far(state: &State, body: &[u8]) -> Value {
    let mut answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let count = state.far_rooms.load(Ordering::Relaxed);
    if let Some(rooms) = answer["joined_rooms"].as_array_mut() {
        rooms.extend((0..count).map(|number| json!(far_room(number, &state.server))));
    }
    answer
}

async fn forward(
    request: &HttpRequest,
    body: web::Bytes,
    state: &State,
    path: &str,
) -> Result<(http::StatusCode, Option<Vec<u8>>, web::Bytes)> {
    let method = reqwest::Method::from_bytes(request.method().as_str().as_bytes())?;
    let mut passed_on = state
        .http
        .request(method, format!("{}{path}", state.synapse));
    for (name, value) in request.headers() {
        let name = name.as_str();
        if !["host", "content-length", "connection", "accept-encoding"].contains(&name) {
            passed_on = passed_on.header(name, value.as_bytes());
        }
    }
    let answer = passed_on.body(body.to_vec()).send().await?;
    let status = http::StatusCode::from_u16(answer.status().as_u16())?;
    let kind = answer.headers().get("content-type");
    let kind = kind.map(|kind| kind.as_bytes().to_vec());
    Ok((status, kind, answer.bytes().await?))
}
