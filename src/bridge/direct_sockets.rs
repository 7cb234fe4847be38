//! Sockets of the puppets whose direct messages are in use, so that answers,
//! edits and deletions arrive at once. Few: every login counts towards the 200
//! at which Rocket.Chat Community turns presence off for everybody.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use ruma::{OwnedUserId, UserId};
use tokio::sync::{Mutex, mpsc};

use super::Bridge;
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::realtime::{self, Event, Realtime, Stream};
use crate::store::{Portal, PortalId, PortalKind};

/// How many sockets there are at the most. The one that was used longest ago
/// gives way; its rooms are looked at like all others.
const AT_ONCE: usize = 40;

/// The sockets, by the Matrix user behind the puppet.
#[derive(Default)]
pub(super) struct DirectSockets(Mutex<HashMap<OwnedUserId, Socket>>);

struct Socket {
    realtime: Realtime,
    /// The rooms it was asked to follow, and whether it hears them now.
    rooms: HashMap<RocketRoomId, bool>,
    used: Instant,
}

impl Bridge {
    /// From now on a direct message in use is heard at once. Others nothing: in
    /// channels the bridge's own socket hears everything.
    pub(super) fn follow_direct(self: &Arc<Self>, portal: Portal) {
        let PortalKind::Direct { matrix_user, .. } = portal.kind else {
            return;
        };
        let bridge = Arc::clone(self);
        tokio::spawn(async move { bridge.follow(matrix_user, portal.rid).await });
    }

    async fn follow(self: &Arc<Self>, user: OwnedUserId, rid: RocketRoomId) {
        let mut sockets = self.direct_sockets.0.lock().await;
        if let Some(socket) = sockets.get_mut(&user) {
            socket.used = Instant::now();
            if !socket.rooms.contains_key(&rid) {
                for stream in self.streams_of(&rid) {
                    socket.realtime.subscribe(stream).await;
                }
                socket.rooms.insert(rid, false);
            }
            return;
        }
        let puppet = match self.store.puppet(&user) {
            Ok(Some(puppet)) => self.with_token(&puppet),
            _ => return,
        };
        let Ok(puppet) = puppet else { return };
        if sockets.len() >= AT_ONCE {
            let oldest = sockets.iter().min_by_key(|(_, socket)| socket.used);
            if let Some(oldest) = oldest.map(|(user, _)| user.clone())
                && let Some(socket) = sockets.remove(&oldest)
            {
                self.miss_directs(socket.rooms.keys());
                tokio::spawn(socket.realtime.shutdown());
            }
        }
        let rocket = self.rocket().await;
        let (realtime, events) = realtime::start(realtime::Options::new(
            rocket.client.base_url().clone(),
            puppet.credentials,
            self.streams_of(&rid),
        ));
        tokio::spawn(Arc::clone(self).route_direct(user.clone(), events));
        sockets.insert(
            user,
            Socket {
                realtime,
                rooms: HashMap::from([(rid, false)]),
                used: Instant::now(),
            },
        );
    }

    /// From now on something may be missed in these direct messages.
    fn miss_directs<'a>(&self, rids: impl IntoIterator<Item = &'a RocketRoomId>) {
        let portals: Vec<_> = rids.into_iter().map(PortalId::own).collect();
        self.rooms.miss(&portals);
    }

    /// Takes what a puppet's socket brings, until it is closed.
    async fn route_direct(self: Arc<Self>, user: OwnedUserId, mut events: mpsc::Receiver<Event>) {
        while let Some(event) = events.recv().await {
            match &event {
                Event::Disconnected { .. } => {
                    let rooms = self.note_heard(&user, None, false).await;
                    self.miss_directs(&rooms);
                    continue;
                }
                Event::Subscribed(Stream::RoomMessages(rid)) => {
                    self.note_heard(&user, Some(rid), true).await;
                }
                Event::SubscriptionRefused {
                    stream: Stream::RoomMessages(rid),
                    ..
                } => {
                    self.note_heard(&user, Some(rid), false).await;
                }
                Event::Unreadable(unreadable) if unreadable.maybe_message => {
                    for rid in self.followed(&user).await {
                        self.read_back_room(&rid);
                    }
                }
                Event::Unauthorized => {
                    self.renew_socket(&user).await;
                    continue;
                }
                _ => {}
            }
            self.route_room_event(event);
        }
    }

    /// Notes whether a socket hears one of its rooms, or all; which these are.
    async fn note_heard(
        &self,
        user: &UserId,
        rid: Option<&RocketRoomId>,
        heard: bool,
    ) -> HashSet<RocketRoomId> {
        let mut sockets = self.direct_sockets.0.lock().await;
        let Some(socket) = sockets.get_mut(user) else {
            return HashSet::new();
        };
        socket
            .rooms
            .iter_mut()
            .filter(|(followed, _)| rid.is_none_or(|rid| rid == *followed))
            .map(|(followed, is_heard)| {
                *is_heard = heard;
                followed.clone()
            })
            .collect()
    }

    async fn followed(&self, user: &UserId) -> Vec<RocketRoomId> {
        let sockets = self.direct_sockets.0.lock().await;
        sockets
            .get(user)
            .map(|socket| socket.rooms.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Whether a puppet's socket hears this room now.
    pub(super) async fn is_heard(&self, rid: &RocketRoomId) -> bool {
        let sockets = self.direct_sockets.0.lock().await;
        sockets
            .values()
            .any(|socket| socket.rooms.get(rid) == Some(&true))
    }

    async fn renew_socket(&self, user: &UserId) {
        // Any request as the puppet renews a token that is no longer accepted.
        let renewed = async {
            let puppet = self.puppet_of(user).await?;
            self.as_puppet(&puppet, |session| async move { session.me().await })
                .await?;
            let puppet = self.puppet_of(user).await?;
            self.with_token(&puppet)
        };
        match renewed.await {
            Ok(puppet) => {
                if let Some(socket) = self.direct_sockets.0.lock().await.get(user) {
                    socket.realtime.set_credentials(puppet.credentials);
                }
            }
            Err(failure) => tracing::warn!(%user, %failure, "a puppet's socket cannot log in"),
        }
    }

    fn streams_of(&self, rid: &RocketRoomId) -> Vec<Stream> {
        let mut streams = vec![
            Stream::RoomMessages(rid.clone()),
            Stream::Deletions(rid.clone()),
        ];
        if self.config.bridge.typing.to_matrix() {
            streams.push(Stream::UserActivity(rid.clone()));
        }
        streams
    }

    /// Closes the sockets.
    pub(super) async fn stop_following_directs(&self) {
        let sockets = std::mem::take(&mut *self.direct_sockets.0.lock().await);
        for socket in sockets.into_values() {
            socket.realtime.shutdown().await;
        }
    }
}
