//! The connected sockets, and which of them listens to which stream.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytestring::ByteString;
use serde_json::Value;
use tokio::sync::{Notify, mpsc::UnboundedSender};

/// What the writing task of a socket is told to do.
#[derive(Debug)]
pub enum Out {
    /// Send a text frame, not before the instant.
    Text(ByteString, Option<Instant>),
    /// Send a binary frame.
    Binary(Vec<u8>),
    /// Send the first part of a message in fragments whose end never comes.
    Half(String),
    /// Say goodbye with this code and close.
    Close(u16),
    /// Cut the connection without a word.
    Drop,
}

/// One subscription of a socket.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Name without parameters, e.g. `stream-room-messages`.
    pub name: String,
    /// The event, e.g. a room id.
    pub event: String,
    /// False when a protected stream waits for the login.
    pub live: bool,
}

/// One connected socket.
#[derive(Debug)]
pub struct Socket {
    /// DDP session, empty before `connect`.
    pub session: String,
    /// Whose socket, after a login.
    pub user: Option<String>,
    /// Hash of the token it logged in with.
    pub token: Option<String>,
    /// Subscriptions by their id.
    pub subs: BTreeMap<String, Subscription>,
    /// Users whose presence is followed, and the subscription that holds this.
    pub presence: Option<(String, HashSet<String>)>,
    /// Frames sent, the lost ones not counted.
    pub frames: u64,
    /// Frames are lost silently.
    pub muted: bool,
    /// Frames wait so long.
    pub delay: Duration,
    /// Changed frames are sent so many times, 1 is normal.
    pub repeat: u32,
    out: UnboundedSender<Out>,
    /// Ends the reading task.
    pub ended: Arc<Notify>,
}

/// All sockets.
#[derive(Debug, Default)]
pub struct Hub {
    sockets: BTreeMap<u64, Socket>,
    streams: HashMap<String, Vec<(u64, String)>>,
    users: HashMap<String, Vec<u64>>,
    next: u64,
}

fn key(name: &str, event: &str) -> String {
    format!("{name}\u{0}{event}")
}

impl Hub {
    /// Takes a new socket in and numbers it.
    pub fn add(&mut self, out: UnboundedSender<Out>, ended: Arc<Notify>) -> u64 {
        self.next += 1;
        let socket = Socket {
            session: String::new(),
            user: None,
            token: None,
            subs: BTreeMap::new(),
            presence: None,
            frames: 0,
            muted: false,
            delay: Duration::ZERO,
            repeat: 1,
            out,
            ended,
        };
        self.sockets.insert(self.next, socket);
        self.next
    }

    /// Forgets a socket; returns whose it was.
    pub fn remove(&mut self, id: u64) -> Option<String> {
        let user = self.set_user(id, None, None);
        if let Some(socket) = self.sockets.remove(&id) {
            for (sub_id, sub) in &socket.subs {
                self.unindex(id, sub_id, sub);
            }
        }
        user
    }

    /// A socket.
    pub fn socket(&self, id: u64) -> Option<&Socket> {
        self.sockets.get(&id)
    }

    /// A socket, to change it.
    pub fn socket_mut(&mut self, id: u64) -> Option<&mut Socket> {
        self.sockets.get_mut(&id)
    }

    /// All sockets by number.
    pub fn all(&self) -> impl Iterator<Item = (u64, &Socket)> {
        self.sockets.iter().map(|(id, socket)| (*id, socket))
    }

    /// Numbers of a user's sockets.
    pub fn of_user(&self, uid: &str) -> Vec<u64> {
        self.users.get(uid).cloned().unwrap_or_default()
    }

    /// Users that have sockets.
    pub fn connected_users(&self) -> Vec<String> {
        self.users.keys().cloned().collect()
    }

    /// Whether a user has a socket.
    pub fn has_user(&self, uid: &str) -> bool {
        self.users.contains_key(uid)
    }

    /// Sets whose socket it is; returns whose it was.
    pub fn set_user(
        &mut self,
        id: u64,
        user: Option<String>,
        token: Option<String>,
    ) -> Option<String> {
        let socket = self.sockets.get_mut(&id)?;
        let before = std::mem::replace(&mut socket.user, user.clone());
        socket.token = token;
        if let Some(before) = &before
            && let Some(ids) = self.users.get_mut(before)
        {
            ids.retain(|one| *one != id);
            if ids.is_empty() {
                self.users.remove(before);
            }
        }
        if let Some(user) = user {
            self.users.entry(user).or_default().push(id);
        }
        before
    }

    /// Adds a subscription.
    pub fn subscribe(&mut self, id: u64, sub_id: &str, sub: Subscription) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            self.streams
                .entry(key(&sub.name, &sub.event))
                .or_default()
                .push((id, sub_id.to_owned()));
            socket.subs.insert(sub_id.to_owned(), sub);
        }
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, id: u64, sub_id: &str) {
        let Some(socket) = self.sockets.get_mut(&id) else {
            return;
        };
        if socket
            .presence
            .as_ref()
            .is_some_and(|(holder, _)| holder == sub_id)
        {
            socket.presence = None;
        }
        if let Some(sub) = socket.subs.remove(sub_id) {
            self.unindex(id, sub_id, &sub);
        }
    }

    fn unindex(&mut self, id: u64, sub_id: &str, sub: &Subscription) {
        let key = key(&sub.name, &sub.event);
        if let Some(list) = self.streams.get_mut(&key) {
            list.retain(|(one, other)| *one != id || other != sub_id);
            if list.is_empty() {
                self.streams.remove(&key);
            }
        }
    }

    /// Sockets that listen to an event, once per live subscription.
    pub fn listeners(&self, name: &str, event: &str) -> Vec<u64> {
        self.streams
            .get(&key(name, event))
            .map_or_else(Vec::new, |list| {
                list.iter()
                    .filter(|(id, sub_id)| {
                        self.sockets
                            .get(id)
                            .and_then(|socket| socket.subs.get(sub_id))
                            .is_some_and(|sub| sub.live)
                    })
                    .map(|(id, _)| *id)
                    .collect()
            })
    }

    /// Sends a frame to a socket, subject to what the control API asked for.
    pub fn send(&mut self, id: u64, frame: &ByteString, changed: bool) {
        let Some(socket) = self.sockets.get_mut(&id) else {
            return;
        };
        if socket.muted {
            return;
        }
        let due = (!socket.delay.is_zero()).then(|| Instant::now() + socket.delay);
        for _ in 0..if changed { socket.repeat } else { 1 } {
            socket.frames += 1;
            // A closed channel means that the socket is going away; its reader cleans up.
            let _ = socket.out.send(Out::Text(frame.clone(), due));
        }
    }

    /// Sends a frame that is not a stream event.
    pub fn reply(&mut self, id: u64, frame: &Value) {
        self.send(id, &ByteString::from(frame.to_string()), false);
    }

    /// Hands something else to the writing task.
    pub fn push(&mut self, id: u64, out: Out) {
        if let Some(socket) = self.sockets.get(&id) {
            let ends = matches!(out, Out::Close(_) | Out::Drop);
            let _ = socket.out.send(out);
            if ends {
                socket.ended.notify_one();
            }
        }
    }
}
