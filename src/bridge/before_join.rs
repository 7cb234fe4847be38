//! What was said in a room before the bridge was in it, where it belongs to the
//! conversation all the same: the homeserver does not send it.

use std::sync::Arc;

use ruma::{EventId, RoomId, UserId};

use super::homeserver_watch::{Held, new_event};
use super::{Bridge, Failure};
use crate::matrix::Intent;

/// How many pages of the room's history are looked through.
const PAGES: usize = 10;

/// Events on a page.
const PAGE: u32 = 100;

impl Bridge {
    /// Takes up, ahead of all that waits for the room, what people did there before the
    /// bridge came: messages, stickers, reactions and whatever else is no state. At most
    /// 1,000 events back, and not beyond `until`. May be done again: what was taken up is
    /// not taken up twice.
    pub(super) async fn take_up_before_join(
        self: &Arc<Self>,
        reader: &Intent,
        room: &RoomId,
        until: Option<&EventId>,
        is_of_people: impl Fn(&UserId) -> bool,
    ) -> Result<(), Failure> {
        let mut from = None;
        let mut earlier = Vec::new();
        'pages: for _ in 0..PAGES {
            let page = reader
                .messages_backwards(room, from.as_deref(), PAGE)
                .await?;
            for event in page.events {
                if until.is_some_and(|until| event.event_id == until) {
                    break 'pages;
                }
                if event.state_key.is_none() && is_of_people(&event.sender) {
                    earlier.push(event);
                }
            }
            from = page.end;
            if from.is_none() {
                break;
            }
        }
        let earlier = earlier
            .into_iter()
            .rev()
            .filter_map(|event| new_event(room, event))
            .collect();
        let accepted = self.store.accept(earlier)?;
        let accepted = accepted.iter().map(Held::from).collect();
        self.enqueue_first(room, accepted);
        Ok(())
    }
}
