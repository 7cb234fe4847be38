//! Which room's queue something from Rocket.Chat belongs to.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Bridge;
use super::from_rocketchat::Document;
use super::rocket_side::{bot_credentials, warn_of_federation};
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::realtime::{Change, Event, Logged, Stream};
use crate::store::{Portal, PortalId, PortalKind};

/// How long a pruning of a room may take whose end is told.
const LONGEST_PRUNING_MS: i64 = 600_000;

impl Bridge {
    /// Takes what the bridge's socket brings, for ever.
    pub(super) async fn route_rocketchat(self: Arc<Self>, mut events: mpsc::Receiver<Event>) {
        while let Some(event) = events.recv().await {
            match event {
                Event::Ready => self.on_ready(),
                Event::Disconnected { reason } => {
                    tracing::warn!(reason, "the socket to Rocket.Chat is gone");
                    self.rooms.set_listening(false);
                    // Direct messages are heard by other sockets.
                    self.rooms.miss(&self.channels());
                }
                Event::Unreadable(unreadable) if unreadable.maybe_message => {
                    tracing::warn!(what = unreadable.what, "a frame was left out");
                    match unreadable.rid {
                        Some(rid) => self.read_back_room(&rid),
                        None => self
                            .channels()
                            .into_iter()
                            .for_each(|portal| self.read_back(portal)),
                    }
                }
                Event::Unauthorized => self.renew_bot().await,
                Event::Logged(news) => self.on_news(&news),
                Event::Setting { id, value } => {
                    warn_of_federation(&id, Some(&value));
                    self.setting_changed(&id);
                }
                event => self.route_room_event(event),
            }
        }
    }

    /// Takes what any socket brings about a single room.
    pub(super) fn route_room_event(self: &Arc<Self>, event: Event) {
        match event {
            Event::Message { message, .. } => {
                let rid = message.rid.clone();
                self.on_document(&rid, Document::Message(message));
            }
            Event::Deleted { rid, id } => {
                self.on_document(&rid, Document::Deleted { id, at: None })
            }
            Event::DeletedBulk { rid, ids, .. } if !ids.is_empty() => {
                for id in ids {
                    self.on_document(&rid, Document::Deleted { id, at: None });
                }
            }
            Event::Subscribed(Stream::Deletions(rid)) => {
                for portal in self.portals_heard(&rid) {
                    self.rooms.hear_deletions(&portal.id);
                    self.read_back(portal.id);
                }
            }
            // A predicate over a room's history: what it took away stands in the
            // answer to a look back.
            Event::DeletedBulk { rid, .. } => self.look_for_deleted(&rid),
            Event::Subscribed(Stream::RoomMessages(rid)) => self.read_back_room(&rid),
            Event::SubscriptionChanged {
                change: Change::Inserted,
                subscription,
            } => {
                self.on_subscribed(&subscription);
                self.read_back_room(&subscription.rid);
            }
            Event::UserActivity {
                rid,
                name,
                activities,
                ..
            } => self.activity_on_rocketchat(rid, name, &activities),
            Event::SubscriptionRefused {
                stream: Stream::UserActivity(rid),
                ..
            } => self.typing_is_not_heard(&rid),
            // Of its own accord, or because the room was deleted.
            Event::SubscriptionChanged {
                change: Change::Removed,
                subscription,
            } => self.look_for_room(&subscription.rid),
            Event::SubscriptionRefused { stream, error } => {
                tracing::error!(?stream, %error, "Rocket.Chat refuses a stream");
            }
            Event::Unreadable(unreadable) => {
                tracing::warn!(what = unreadable.what, "a frame was left out");
            }
            _ => {}
        }
    }

    /// Takes what everybody is told who is logged in.
    fn on_news(self: &Arc<Self>, news: &Logged) {
        match news {
            Logged::Avatar { of, .. } => self.picture_changed(of),
            Logged::Name { id, .. } => self.name_changed(id),
            Logged::Status { id } => self.presence_on_rocketchat(id),
            Logged::Gone { id } => {
                self.voices.seat_may_be_free();
                self.look_for_person(id);
            }
            Logged::Emoji => self.forget_emoji(),
            Logged::Other { .. } => self.rights_changed(news),
        }
    }

    /// Everything asked for is heard from now on: what happened before has to be
    /// read back.
    fn on_ready(self: &Arc<Self>) {
        tracing::info!("listening to Rocket.Chat");
        self.forget_settings();
        self.forget_emoji();
        // Before anything else that the socket brings is looked at.
        let mut channels = self.channels();
        // Where people have talked last they will talk next; a cursor that cannot be
        // read is no reason to wait.
        channels.sort_by_cached_key(|id| {
            std::cmp::Reverse(self.store.cursor(id).ok().flatten().unwrap_or(i64::MAX))
        });
        self.rooms.miss(&channels);
        self.rooms.set_listening(true);
        self.read_back_all(channels.clone());
        let bridge = Arc::clone(self);
        tokio::spawn(async move {
            let rocket = bridge.rocket().await;
            let mut asked = std::collections::HashSet::new();
            for rid in channels.iter().map(PortalId::rid) {
                if asked.insert(rid.clone()) {
                    rocket.follow_deletions(&rid).await;
                }
            }
            bridge.follow_typing_at_start();
        });
    }

    /// The portals whose rooms the bridge's own socket hears: all but direct
    /// messages.
    fn channels(&self) -> Vec<PortalId> {
        self.store
            .portals()
            .into_iter()
            .filter(|portal| !matches!(portal.kind, PortalKind::Direct { .. }))
            .map(|portal| portal.id)
            .collect()
    }

    /// The portals of a room. When the store does not say, that is logged.
    pub(super) fn portals_heard(&self, rid: &RocketRoomId) -> Vec<Portal> {
        self.store.portals_of(rid).unwrap_or_else(|error| {
            tracing::error!(%rid, %error, "the portals of a room cannot be read");
            Vec::new()
        })
    }

    /// Reads all portals of a room back.
    pub(super) fn read_back_room(self: &Arc<Self>, rid: &RocketRoomId) {
        for portal in self.portals_heard(rid) {
            self.read_back(portal.id);
        }
    }

    /// Many messages of a room went at once, and which is not said: 6.14 tells that at the
    /// end, which may be minutes after the first of them went. What was written meanwhile
    /// has moved the cursor past them.
    fn look_for_deleted(self: &Arc<Self>, rid: &RocketRoomId) {
        for portal in self.portals_heard(rid) {
            self.rooms.look_back(&portal.id, LONGEST_PRUNING_MS);
            self.read_back(portal.id);
        }
    }

    pub(super) fn on_document(self: &Arc<Self>, rid: &RocketRoomId, document: Document) {
        let portals = match self.store.portals_of(rid) {
            Ok(portals) => portals,
            Err(error) => {
                tracing::error!(%error, "the store fails; the room is read back");
                let own = PortalId::own(rid);
                let further = self.rooms.further_of(rid);
                for id in std::iter::once(own).chain(further) {
                    self.rooms.miss([&id]);
                    self.read_back(id);
                }
                return;
            }
        };
        if let Some(portal) = portals.first() {
            self.follow_typing(portal);
        } else if let Document::Message(message) = document {
            self.on_unmirrored(&message);
            self.on_unmirrored_words(message);
            return;
        }
        for portal in &portals {
            self.doubt_if_about_encryption(&portal.id, &document);
            let left = self.rooms.arrive(&portal.id, document.clone(), |jobs| {
                self.enqueue_jobs(&portal.id, jobs);
            });
            if left {
                self.read_back_first(&portal.id);
            }
        }
    }

    /// Logs the bridge's account in anew, where it does so by password.
    pub(super) async fn renew_bot(&self) {
        let rocket = self.rocket().await;
        let login = &self.config.rocketchat.login;
        match bot_credentials(login, &rocket.client).await {
            Ok(credentials) => {
                tracing::info!("the bridge's token is renewed");
                let renewed = rocket.with_credentials(login, credentials).await;
                self.rocket.send_replace(Some(Arc::new(renewed)));
            }
            Err(error) => tracing::error!(
                %error,
                "Rocket.Chat no longer accepts the bridge's account: check rocketchat.token"
            ),
        }
    }
}
