//! A homeserver of canned answers: bytes, so that broken ones can be sent too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};

use ruma::owned_user_id;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::client::{Client, Limits};
use crate::secret::Secret;

pub(crate) const AS_TOKEN: &str = "as-secret";

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method and target, e.g. `GET /_matrix/client/versions`.
    pub line: String,
    pub head: String,
    pub body: String,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub(crate) struct FakeHomeserver {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl FakeHomeserver {
    /// Answers every request with the bytes that `answer` makes of it, and closes.
    pub async fn start(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&seen);
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (notes, answer) = (Arc::clone(&notes), Arc::clone(&answer));
                tokio::spawn(async move {
                    let _ = serve(socket, &notes, &*answer).await;
                });
            }
        });
        Self { url, seen }
    }

    /// The same answer to everything.
    pub async fn always(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_| answer.clone()).await
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn last(&self) -> Seen {
        self.seen().pop().expect("nothing was asked")
    }

    pub fn client(&self) -> Client {
        client_of(&self.url, Limits::default())
    }
}

pub(crate) fn client_of(url: &str, limits: Limits) -> Client {
    Client::with_limits(
        url.parse().unwrap(),
        Secret::new(AS_TOKEN),
        owned_user_id!("@rocketchatbot:example.org"),
        limits,
    )
    .unwrap()
}

/// An HTTP answer with further header lines, each ended by CRLF.
pub(crate) fn answer_with(status: u16, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub(crate) fn json_answer(status: u16, body: &str) -> Vec<u8> {
    answer_with(status, "Content-Type: application/json\r\n", body)
}

async fn serve(
    mut socket: TcpStream,
    notes: &Mutex<Vec<Seen>>,
    answer: &(impl Fn(&Seen) -> Vec<u8> + ?Sized),
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    let seen = loop {
        let n = socket.read(&mut part).await?;
        if n == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&part[..n]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .to_ascii_lowercase()
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
            .unwrap_or(0);
        if body.len() >= length {
            break Seen {
                line: head
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches(" HTTP/1.1")
                    .to_owned(),
                head: head.to_owned(),
                body: body.to_owned(),
            };
        }
    };
    let reply = answer(&seen);
    notes.lock().unwrap().push(seen);
    socket.write_all(&reply).await?;
    socket.shutdown().await
}
