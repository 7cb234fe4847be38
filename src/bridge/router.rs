//! Which room's queue something from Rocket.Chat belongs to.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Bridge;
use super::from_rocketchat::Document;
use super::rocket_side::warn_of_federation;
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::realtime::{Change, Event, Logged, Stream};
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
                    // Direct messages are heard by other sockets.
                    self.rooms.miss(&self.channels());
                }
                Event::Unreadable(unreadable) if unreadable.maybe_message => {
                    tracing::warn!(what = unreadable.what, "a frame was left out");
                    match unreadable.rid {
                        Some(rid) => self.read_back(rid),
                        None => self
                            .channels()
                            .into_iter()
                            .for_each(|rid| self.read_back(rid)),
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
                self.rooms.hear_deletions(&rid);
                self.read_back(rid);
            }
            // A predicate over a room's history: what it took away stands in the
            // answer to a look back.
            Event::DeletedBulk { rid, .. } | Event::Subscribed(Stream::RoomMessages(rid)) => {
                self.read_back(rid);
            }
            Event::SubscriptionChanged {
                change: Change::Inserted,
                subscription,
            } => {
                self.on_subscribed(&subscription);
                self.read_back(subscription.rid);
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
            Logged::Gone { id } => self.look_for_person(id),
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
        channels.sort_by_cached_key(|rid| {
            std::cmp::Reverse(self.store.cursor(rid).ok().flatten().unwrap_or(i64::MAX))
        });
        self.rooms.miss(&channels);
        self.rooms.set_listening(true);
        self.read_back_all(channels.clone());
        let bridge = Arc::clone(self);
        tokio::spawn(async move {
            let rocket = bridge.rocket().await;
            for rid in &channels {
                rocket.follow_deletions(rid).await;
            }
            bridge.follow_typing_at_start();
        });
    }

    /// The mirrored rooms that the bridge's own socket hears: all but direct
    /// messages.
    fn channels(&self) -> Vec<RocketRoomId> {
        self.store
            .portals()
            .into_iter()
            .filter(|portal| !matches!(portal.kind, PortalKind::Direct { .. }))
            .map(|portal| portal.rid)
            .collect()
    }

    pub(super) fn on_document(self: &Arc<Self>, rid: &RocketRoomId, document: Document) {
        match self.store.portal(rid) {
            Ok(Some(portal)) => {
                self.follow_typing(&portal);
                let left = self
                    .rooms
                    .arrive(rid, document, |jobs| self.enqueue_jobs(rid, jobs));
                if left {
                    self.read_back_first(rid);
                }
            }
            Ok(None) => {
                if let Document::Message(message) = document {
                    self.on_unmirrored(&message);
                    self.on_unmirrored_words(message);
                }
            }
            Err(error) => {
                tracing::error!(%error, "the store fails; the room is read back");
                self.rooms.miss([rid]);
                self.read_back(rid.clone());
            }
        }
    }

    /// Logs the bridge's account in anew, where it does so by password.
    pub(super) async fn renew_bot(&self) {
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
