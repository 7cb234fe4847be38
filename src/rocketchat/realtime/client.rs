//! The connection that comes back.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use url::Url;

use super::event::Event;
use super::stream::Stream;
use crate::retry::Backoff;
use crate::rocketchat::error::Error;
use crate::rocketchat::rest::Credentials;

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's address, `http` or `https`.
    pub base: Url,
    /// The account.
    pub credentials: Credentials,
    /// What to subscribe to from the beginning.
    pub streams: Vec<Stream>,
    /// For opening the socket, and again for logging in.
    pub connect_timeout: Duration,
    /// After so much silence a ping is sent, after as much again the socket counts as
    /// gone.
    pub silence_timeout: Duration,
    /// Larger frames end the connection.
    pub max_frame_bytes: usize,
    /// Events that wait for the receiver; when they are as many, the socket is read no
    /// further.
    pub queue: usize,
    /// Pauses between attempts.
    pub backoff: Backoff,
}

impl Options {
    /// With the defaults: 10 s, 15 s, 32 MiB, 1000 events.
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

/// A running connection. Dropping it ends it.
#[derive(Debug)]
pub struct Realtime {
    _private: (),
}

/// Starts a connection in a task of its own.
///
/// The events are to be received without pause: the channel is bounded, and while it is
/// full nothing is read from the socket.
pub fn start(options: Options) -> (Realtime, mpsc::Receiver<Event>) {
    let _ = options;
    todo!()
}

impl Realtime {
    /// Subscribes to one more stream, now and after every reconnection. The answer comes
    /// as [`Event::Subscribed`] or [`Event::SubscriptionRefused`]; asking again for one
    /// that is ready asks the server anew (after rejoining a room the old subscription
    /// is dead).
    pub async fn subscribe(&self, stream: Stream) {
        let _ = stream;
        todo!()
    }

    /// Ends a subscription.
    pub async fn unsubscribe(&self, stream: Stream) {
        let _ = stream;
        todo!()
    }

    /// Calls a method and returns its result, null if it has none, dates as
    /// `{"$date": ms}`.
    ///
    /// # Errors
    /// The method's error, sorted as those of requests are; [`Error::Transport`] when the
    /// connection is not ready or goes away meanwhile.
    pub async fn call(&self, method: &str, params: Vec<Value>) -> Result<Value, Error> {
        let _ = (method, params);
        todo!()
    }

    /// Uses another token from now on: after [`Event::Unauthorized`], or at the next
    /// connection.
    pub fn set_credentials(&self, credentials: Credentials) {
        let _ = credentials;
        todo!()
    }

    /// Whether [`Event::Ready`] holds.
    pub fn is_ready(&self) -> bool {
        todo!()
    }

    /// Closes the socket and waits until the task has ended.
    pub async fn shutdown(self) {
        todo!()
    }
}
