//! Seeing what arrives, at the moment a person's client would: by a sync that
//! waits on Matrix, by the realtime connection on Rocket.Chat.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use testbed::{MatrixUser, RocketUser};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::ledger::{Ledger, Side};

/// Watches until it is dropped.
#[derive(Debug)]
pub(super) struct Watcher(JoinHandle<()>);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watcher {
    fn spawn(
        ledger: Arc<Ledger>,
        watching: impl Future<Output = Result<()>> + Send + 'static,
    ) -> Self {
        Self(tokio::spawn(async move {
            if let Err(error) = watching.await {
                ledger.broken(format!("{error:#}"));
            }
        }))
    }
}

/// What stands in the ledger for an invite: it brings no text.
pub(super) fn invitation(sender: &str, invited: &str) -> String {
    format!("invite of {invited} by {sender}")
}

/// Watches all rooms of this user; on return everything that follows is seen.
pub(super) async fn matrix(user: MatrixUser, ledger: Arc<Ledger>) -> Result<Watcher> {
    let mut since = next_sync(&user, None, &ledger).await?;
    let book = Arc::clone(&ledger);
    Ok(Watcher::spawn(ledger, async move {
        loop {
            since = next_sync(&user, Some(&since), &book).await?;
        }
    }))
}

async fn next_sync(user: &MatrixUser, since: Option<&str>, ledger: &Ledger) -> Result<String> {
    // Only what a watcher needs, so that watching costs the homeserver little.
    let filter = "%7B%22presence%22:%7B%22types%22:%5B%5D%7D,\
                  %22account_data%22:%7B%22types%22:%5B%5D%7D,\
                  %22room%22:%7B%22timeline%22:%7B%22limit%22:1000,\
                  %22types%22:%5B%22m.room.message%22%5D%7D,\
                  %22state%22:%7B%22types%22:%5B%5D%7D,\
                  %22ephemeral%22:%7B%22types%22:%5B%5D%7D%7D%7D";
    let position = match since {
        Some(since) => format!("&timeout=30000&since={since}"),
        None => String::new(),
    };
    let path = format!("/_matrix/client/v3/sync?filter={filter}&set_presence=offline{position}");
    let answer = user.request("GET", &path, None).await?;
    let now = Instant::now();
    if answer.status != 200 {
        bail!("sync: {} {}", answer.status, answer.body);
    }
    let rooms = answer
        .body
        .pointer("/rooms/join")
        .and_then(Value::as_object);
    for room in rooms.into_iter().flatten().map(|(_, room)| room) {
        if since.is_some() && room.pointer("/timeline/limited") == Some(&Value::Bool(true)) {
            bail!("sync left events out");
        }
        let events = room.pointer("/timeline/events").and_then(Value::as_array);
        for event in events.into_iter().flatten() {
            if let Some(body) = event.pointer("/content/body").and_then(Value::as_str) {
                ledger.seen(Side::Matrix, body, now);
            }
        }
    }
    let invites = answer
        .body
        .pointer("/rooms/invite")
        .and_then(Value::as_object);
    for invite in invites.into_iter().flatten().map(|(_, invite)| invite) {
        let events = invite
            .pointer("/invite_state/events")
            .and_then(Value::as_array);
        for event in events.into_iter().flatten() {
            let invited = event["state_key"].as_str() == Some(&user.user_id);
            if let Some(sender) = event["sender"].as_str().filter(|_| invited) {
                ledger.seen(Side::Matrix, &invitation(sender, &user.user_id), now);
            }
        }
    }
    let next = answer.body["next_batch"].as_str();
    Ok(next.context("a sync without next_batch")?.to_owned())
}

/// Watches these rooms as this user; on return everything that follows is seen.
pub(super) async fn rocket(
    base: &str,
    user: RocketUser,
    rooms: &[&String],
    ledger: Arc<Ledger>,
) -> Result<Watcher> {
    let address = base.replacen("http", "ws", 1) + "/websocket";
    let (stream, _) = connect_async(address).await?;
    let mut socket = Socket(stream);
    socket
        .send(json!({ "msg": "connect", "version": "1", "support": ["1"] }))
        .await?;
    socket.until(|frame| frame["msg"] == "connected").await?;
    let login = json!({
        "msg": "method", "id": "login", "method": "login", "params": [{ "resume": user.token }],
    });
    socket.send(login).await?;
    let answer = socket.until(|frame| frame["id"] == "login").await?;
    if answer.get("error").is_some() {
        bail!("the watcher may not log in: {answer}");
    }
    for room in rooms {
        let subscription = json!({
            "msg": "sub", "id": room, "name": "stream-room-messages", "params": [room, false],
        });
        socket.send(subscription).await?;
        socket
            .until(|frame| frame["subs"][0].as_str() == Some(room))
            .await?;
    }
    let book = Arc::clone(&ledger);
    Ok(Watcher::spawn(ledger, async move {
        loop {
            let frame = socket.next().await?;
            let now = Instant::now();
            if let Some(text) = frame.pointer("/fields/args/0/msg").and_then(Value::as_str) {
                book.seen(Side::Rocket, text, now);
            }
        }
    }))
}

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn send(&mut self, frame: Value) -> Result<()> {
        Ok(self.0.send(Message::text(frame.to_string())).await?)
    }

    /// The next frame; pings are answered.
    async fn next(&mut self) -> Result<Value> {
        loop {
            let message = self.0.next().await.context("the socket was closed")??;
            let Message::Text(text) = message else {
                continue;
            };
            let frame: Value = serde_json::from_str(&text)?;
            if frame["msg"] == "ping" {
                self.send(json!({ "msg": "pong" })).await?;
            } else {
                return Ok(frame);
            }
        }
    }

    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let frame = self.next().await?;
            if frame["msg"] == "nosub" {
                bail!("the watcher may not watch: {frame}");
            }
            if wanted(&frame) {
                return Ok(frame);
            }
        }
    }
}
