//! Which room's queue something from Rocket.Chat belongs to.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Bridge;
use super::from_rocketchat::Document;
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::documents::Message;
use crate::rocketchat::realtime::{Change, Event, Stream};
use crate::store::PortalKind;

impl Bridge {
    /// Takes what the bridge's socket brings, for ever.
    pub(super) async fn route_rocketchat(self: Arc<Self>, mut events: mpsc::Receiver<Event>) {
        while let Some(event) = events.recv().await {
            match event {
                Event::Ready => self.on_ready(),
                Event::Disconnected { reason } => {
                    tracing::warn!(reason, "the socket to Rocket.Chat is gone");
                    self.rooms.set_listening(false);
                    let mirrored = self.store.portals();
                    // Direct messages are heard by other sockets.
                    self.rooms.miss(
                        mirrored
                            .iter()
                            .filter(|portal| !matches!(portal.kind, PortalKind::Direct { .. }))
                            .map(|portal| &portal.rid),
                    );
                }
                Event::Unreadable(unreadable) if unreadable.maybe_message => {
                    tracing::warn!(what = unreadable.what, "a frame was left out");
                    match unreadable.rid {
                        Some(rid) => self.read_back(rid),
                        None => self.on_ready(),
                    }
                }
                Event::Unauthorized => self.renew_bot().await,
                event => self.route_room_event(event),
            }
        }
    }

    /// Takes what any socket brings about a single room.
    pub(super) fn route_room_event(self: &Arc<Self>, event: Event) {
        match event {
            Event::Message { message, .. } => self.on_message(message),
            Event::Deleted { rid, id } => self.enqueue_document(&rid, Document::Deleted(id)),
            Event::DeletedBulk { rid, ids, .. } if !ids.is_empty() => {
                let deleted = ids.into_iter().map(Document::Deleted).collect();
                self.enqueue_documents(&rid, deleted);
            }
            // A predicate over a room's history: what it took away stands in the
            // answer to a look back.
            Event::DeletedBulk { rid, .. }
            | Event::Subscribed(Stream::Deletions(rid) | Stream::RoomMessages(rid)) => {
                self.read_back(rid);
            }
            Event::SubscriptionChanged {
                change: Change::Inserted,
                subscription,
            } => self.read_back(subscription.rid),
            Event::SubscriptionRefused { stream, error } => {
                tracing::error!(?stream, %error, "Rocket.Chat refuses a stream");
            }
            Event::Unreadable(unreadable) => {
                tracing::warn!(what = unreadable.what, "a frame was left out");
            }
            _ => {}
        }
    }

    /// Everything asked for is heard from now on: what happened before has to be
    /// read back.
    fn on_ready(self: &Arc<Self>) {
        tracing::info!("listening to Rocket.Chat");
        let bridge = Arc::clone(self);
        tokio::spawn(async move {
            bridge.open_configured_channels().await;
            bridge.rooms.set_listening(true);
            let rocket = bridge.rocket().await;
            for portal in bridge.store.portals() {
                if !matches!(portal.kind, PortalKind::Direct { .. }) {
                    bridge.read_back(portal.rid.clone());
                    rocket.follow_deletions(&portal.rid).await;
                }
            }
        });
    }

    fn on_message(self: &Arc<Self>, message: Box<Message>) {
        let rid = message.rid.clone();
        match self.store.portal(&rid) {
            Ok(Some(_)) => {
                if let Some(message) = self.rooms.arrive(&rid, message) {
                    self.enqueue_document(&rid, Document::Message(message));
                }
            }
            Ok(None) => {}
            // The cursor does not move on without it: it will be read back.
            Err(error) => tracing::error!(%error, "a message waits for the store"),
        }
    }

    /// Queues a document of a room, in its place.
    pub(super) fn enqueue_document(self: &Arc<Self>, rid: &RocketRoomId, document: Document) {
        self.enqueue_documents(rid, vec![document]);
    }

    /// Queues documents of a room, in their order.
    pub(super) fn enqueue_documents(
        self: &Arc<Self>,
        rid: &RocketRoomId,
        documents: Vec<Document>,
    ) {
        for document in &documents {
            if let Some(at) = document.updated_at() {
                self.rooms.begin(rid, at);
            }
        }
        self.to_matrix.push(
            rid,
            documents
                .into_iter()
                .map(|document| (document.place(), document)),
        );
    }

    async fn renew_bot(self: &Arc<Self>) {
        let rocket = self.rocket().await;
        match self.log_bot_in(&rocket.client).await {
            Ok(credentials) => {
                tracing::info!("the bridge's token is renewed");
                let renewed = rocket.with_credentials(credentials).await;
                self.rocket.send_replace(Some(Arc::new(renewed)));
            }
            Err(error) => tracing::error!(
                %error,
                "Rocket.Chat no longer accepts the bridge's account: check rocketchat.token"
            ),
        }
    }
}
