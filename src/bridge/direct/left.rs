//! Rooms that a direct message has left for another one: tidied, also when that is
//! interrupted.

use std::sync::Arc;

use super::decline;
use crate::bridge::{Bridge, Failure};
use crate::matrix::Intent;
use crate::retry::{Advice, Retryable as _};
use crate::rocketchat::documents::UserRef;
use crate::store::{LeftRoom, Message, Origin};

/// How many pages of a room are looked through for what nobody has seen.
const PAGES: usize = 50;

impl Bridge {
    /// Tidies rooms that an earlier run did not come to.
    pub(in crate::bridge) fn tidy_left_rooms(self: &Arc<Self>) {
        for left in self.store.left_rooms() {
            self.tidy_later(left);
        }
    }

    /// Tidies a room, in a task of its own.
    pub(super) fn tidy_later(self: &Arc<Self>, left: LeftRoom) {
        let bridge = Arc::clone(self);
        tokio::spawn(async move {
            let room = &left.portal.room_id;
            if let Err(failure) = bridge.persevere(|_| bridge.tidy(&left)).await {
                // At the next start.
                tracing::error!(%room, %failure, "a room that a direct message has left is not tidy");
            }
        });
    }

    async fn tidy(self: &Arc<Self>, left: &LeftRoom) -> Result<(), Failure> {
        const WHY: &str = "This conversation goes on in the other room.";
        let LeftRoom { portal, unseen } = left;
        let room = &portal.room_id;
        // Meanwhile somebody has made it a portal again.
        if self.store.portal_of_room(room)?.is_some() {
            return Ok(self.store.change().no_left_room(room).commit()?);
        }
        let reader = self.reader(portal).await?;
        if *unseen {
            for user in portal.kind.direct_users() {
                match reader.kick(room, user, Some(WHY)).await {
                    Err(error) if matches!(error.advice(), Advice::GiveUp) => {
                        tracing::debug!(%room, %error, "an invitation stays");
                    }
                    outcome => outcome?,
                }
            }
        }
        for peer in portal.kind.direct_peers() {
            let person = UserRef {
                id: peer.clone(),
                username: None,
                name: None,
            };
            let ghost = self.ghost_of(&person).await?;
            match decline(&self.as_ghost(&ghost), room, WHY).await {
                Err(failure) if failure.is_permanent() => {
                    tracing::info!(%room, %failure, "the ghost could not leave the earlier room");
                }
                outcome => outcome?,
            }
            self.store
                .change()
                .ghost_not_in_room(room, &ghost.user_id)
                .commit()?;
        }
        let unsaid = match unseen {
            true => self.unseen_in(left, &reader).await?,
            false => Vec::new(),
        };
        let mut change = self.store.change().no_left_room(room);
        for message in &unsaid {
            change = change.unsaid(message);
        }
        let Some(first) = unsaid.iter().map(|message| message.sent_at).min() else {
            return Ok(change.commit()?);
        };
        let rid = &portal.rid;
        let id = &portal.id;
        let since = first - 1;
        let since = self.store.cursor(id)?.map_or(since, |at| at.min(since));
        change.cursor(id, since).commit()?;
        tracing::info!(%rid, messages = unsaid.len(), "said again in the other room, as nobody has seen it");
        self.rooms.rewind(id, since);
        self.read_back(id.clone());
        Ok(())
    }

    /// What was said on Rocket.Chat since nobody of Matrix is in the room.
    async fn unseen_in(&self, left: &LeftRoom, reader: &Intent) -> Result<Vec<Message>, Failure> {
        let room = &left.portal.room_id;
        let mut unsaid = self.store.messages_in(room)?;
        unsaid.retain(|message| message.origin == Origin::RocketChat && !message.deleted);
        if unsaid.is_empty() {
            return Ok(unsaid);
        }
        let mut unseen = Vec::new();
        let mut from = None;
        'pages: for _ in 0..PAGES {
            let page = reader
                .messages_backwards(room, from.as_deref(), 100)
                .await?;
            for event in page.events {
                // Until then somebody was there, or declined.
                if !self.config.is_ours(&event.sender) {
                    break 'pages;
                }
                unseen.push(event.event_id);
            }
            from = page.end;
            if from.is_none() {
                break;
            }
        }
        unsaid.retain(|message| message.events.iter().any(|event| unseen.contains(event)));
        Ok(unsaid)
    }
}
