//! The connection that comes back: what its owner holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use url::Url;

use super::event::Event;
use super::stream::Stream;
use super::task::{Command, Task};
use crate::retry::Backoff;
use crate::rocketchat::error::Error;
use crate::rocketchat::rest::Credentials;

/// How long a method may take before its answer is given up.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's address, `http` or `https`; the socket is `/websocket` below it.
    pub base: Url,
    /// The account.
    pub credentials: Credentials,
    /// What to subscribe to from the beginning.
    pub streams: Vec<Stream>,
    /// For opening the socket, again for logging in, and for sending a frame.
    pub connect_timeout: Duration,
    /// After so much silence a ping is sent, after as much again the socket counts as
    /// gone.
    pub silence_timeout: Duration,
    /// Larger frames end the connection, after an [`Event::Unreadable`]; the next one
    /// reads back.
    pub max_frame_bytes: usize,
    /// Events that wait for the receiver; when they are as many, the socket is read no
    /// further.
    pub queue: usize,
    /// Pauses between attempts. They start over once a connection held for a while.
    pub backoff: Backoff,
}

impl Options {
    /// With the defaults: 10 s, 15 s, 32 MiB, 1000 events, pauses from 200 ms to 30 s.
    pub fn new(base: Url, credentials: Credentials, streams: Vec<Stream>) -> Self {
        Self {
            base,
            credentials,
            streams,
            connect_timeout: Duration::from_secs(10),
            silence_timeout: Duration::from_secs(15),
            max_frame_bytes: 32 * 1024 * 1024,
            queue: 1000,
            backoff: Backoff::default(),
        }
    }
}

/// A running connection. Dropping it ends the connection soon after;
/// [`Self::shutdown`] waits for that.
#[derive(Debug)]
pub struct Realtime {
    commands: mpsc::UnboundedSender<Command>,
    credentials: watch::Sender<Credentials>,
    ready: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

/// Starts a connection in a task of its own, on the present runtime. It ends when the
/// [`Realtime`] or the receiver is dropped, and never by itself.
///
/// The channel is bounded: while it is full nothing is read from the socket, so that a
/// slow receiver slows the server's sending and not our memory's filling. Meanwhile the
/// connection is kept by pings of ours (the server counts any frame as life).
pub fn start(options: Options) -> (Realtime, mpsc::Receiver<Event>) {
    let (event_sender, events) = mpsc::channel(options.queue.max(1));
    let (commands, command_receiver) = mpsc::unbounded_channel();
    let (credentials, watched) = watch::channel(options.credentials.clone());
    let ready = Arc::new(AtomicBool::new(false));
    let task = Task::new(
        options,
        event_sender,
        command_receiver,
        watched,
        Arc::clone(&ready),
    );
    let realtime = Realtime {
        commands,
        credentials,
        ready,
        task: tokio::spawn(task.run()),
    };
    (realtime, events)
}

impl Realtime {
    /// Subscribes to one more stream, now and after every reconnection. Does not wait for
    /// the server: its answer comes as [`Event::Subscribed`] (for essential ones asked for
    /// before it, as [`Event::Ready`]) or [`Event::SubscriptionRefused`]. Asking again for
    /// one that is ready asks the server anew: after rejoining a room the old subscription
    /// is dead without a word.
    pub async fn subscribe(&self, stream: Stream) {
        let _ = self.commands.send(Command::Subscribe(stream));
    }

    /// Ends a subscription. Events that are under way may still come.
    pub async fn unsubscribe(&self, stream: Stream) {
        let _ = self.commands.send(Command::Unsubscribe(stream));
    }

    /// Calls a method and returns its result, null if it has none, dates as
    /// `{"$date": ms}`. Servers allow 10 calls in 10 s per method.
    ///
    /// Not from the task that receives the events, unless events may wait: while their
    /// channel is full no answer is read.
    ///
    /// # Errors
    /// The method's error, sorted as those of requests are; [`Error::Transport`] when the
    /// connection is not logged in, goes away meanwhile, or no answer came within 30 s.
    pub async fn call(&self, method: &str, params: Vec<Value>) -> Result<Value, Error> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Call {
            method: method.to_owned(),
            params,
            reply,
        };
        let lost = |maybe_done, what| Error::Transport { maybe_done, what };
        self.commands
            .send(command)
            .map_err(|_| lost(false, "the realtime connection has ended"))?;
        match timeout(CALL_TIMEOUT, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(lost(true, "the realtime connection was lost")),
            Err(_) => Err(lost(true, "timeout")),
        }
    }

    /// Uses another token of the same account from now on: at once when the old one was
    /// refused ([`Event::Unauthorized`]), otherwise at the next connection.
    pub fn set_credentials(&self, credentials: Credentials) {
        let _ = self.credentials.send(credentials);
    }

    /// Whether [`Event::Ready`] holds: it was told (or is about to be received) and the
    /// connection is there.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Closes the socket and waits until the task has ended. Events not yet received can
    /// still be.
    pub async fn shutdown(self) {
        let Self {
            commands,
            credentials,
            task,
            ..
        } = self;
        drop((commands, credentials));
        let _ = task.await;
    }
}
