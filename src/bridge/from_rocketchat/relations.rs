//! What a message of Rocket.Chat refers to: quotes and threads. A target is found
//! only in the bridge's own records of the same room: what readers could not see is
//! never shown to them.

use ruma::OwnedEventId;
use serde_json::{Value, json};
use url::Url;

use crate::bridge::{Bridge, Failure};
use crate::rocketchat::RocketMessageId;
use crate::rocketchat::documents::Message as RocketMessage;
use crate::store::{Change, Message, Portal, Thread};

/// Which messages are quoted, in order. The server made these attachments of the
/// links in the text, after looking whether the author may see what they lead to.
pub(super) fn quoted_in(message: &RocketMessage) -> Vec<RocketMessageId> {
    let links = message
        .attachments
        .iter()
        .filter_map(|attachment| attachment.message_link.as_deref());
    links
        .filter_map(|link| {
            let url = Url::parse(link).ok()?;
            let (_, id) = url.query_pairs().find(|(key, _)| key == "msg")?;
            RocketMessageId::parse(id.into_owned()).ok()
        })
        .collect()
}

/// What the events of a message relate to.
#[derive(Debug, Default)]
pub(super) struct Placement {
    thread: Option<InThread>,
    reply_to: Option<OwnedEventId>,
}

#[derive(Debug)]
struct InThread {
    /// Its first message.
    first: RocketMessageId,
    /// Its events so far; none when its first message is not on Matrix: then it
    /// begins here.
    known: Option<Thread>,
}

impl Placement {
    /// Writes the relation into an event's content. Those after the first follow
    /// the one `before` them.
    pub(super) fn stamp(&self, content: &mut Value, is_first: bool, before: Option<&OwnedEventId>) {
        let reply_to = self.reply_to.as_ref().filter(|_| is_first);
        let thread = self
            .thread
            .as_ref()
            .and_then(|thread| thread.known.as_ref());
        let relation = match (thread, reply_to) {
            (Some(thread), reply_to) => json!({
                "rel_type": "m.thread",
                "event_id": thread.root,
                // For clients that know no threads it looks like a reply.
                "is_falling_back": reply_to.is_none(),
                "m.in_reply_to": { "event_id": reply_to.or(before).unwrap_or(&thread.latest) },
            }),
            (None, Some(reply_to)) => json!({ "m.in_reply_to": { "event_id": reply_to } }),
            (None, None) => return,
        };
        content["m.relates_to"] = relation;
    }

    /// Notes where the thread ends now.
    pub(super) fn note<'a>(
        &self,
        portal: &Portal,
        message: &Message,
        change: Change<'a>,
    ) -> Change<'a> {
        let (Some(thread), Some(first), Some(last)) =
            (&self.thread, message.events.first(), message.events.last())
        else {
            return change;
        };
        let root = thread.known.as_ref().map_or(first, |known| &known.root);
        let now = Thread {
            root: root.clone(),
            latest: last.clone(),
        };
        change.thread(portal, &thread.first, &now)
    }

    /// Whether it begins, on Matrix, a thread that is older on Rocket.Chat.
    pub(super) fn begins_old_thread(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| thread.known.is_none())
    }
}

impl Bridge {
    pub(super) fn placement_of(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        quoted: &[RocketMessageId],
    ) -> Result<Placement, Failure> {
        let thread = match &message.tmid {
            Some(first) => Some(InThread {
                first: first.clone(),
                known: self.thread_of(portal, first)?,
            }),
            None => None,
        };
        let mut reply_to = None;
        for id in quoted {
            reply_to = self.quotable_event(portal, id)?;
            if reply_to.is_some() {
                break;
            }
        }
        Ok(Placement { thread, reply_to })
    }

    /// A thread by its first message; none when that is not on Matrix and nothing
    /// of the thread is.
    fn thread_of(
        &self,
        portal: &Portal,
        first: &RocketMessageId,
    ) -> Result<Option<Thread>, Failure> {
        if let Some(thread) = self.store.thread(&portal.id, first)? {
            return Ok(Some(thread));
        }
        Ok(self.event_of(portal, first)?.map(|root| Thread {
            latest: root.clone(),
            root,
        }))
    }

    /// The event that a quote of a message replies to: not of one that is gone.
    pub(super) fn quotable_event(
        &self,
        portal: &Portal,
        id: &RocketMessageId,
    ) -> Result<Option<OwnedEventId>, Failure> {
        let is_gone = self
            .store
            .message(&portal.id, id)?
            .is_some_and(|known| known.deleted);
        if is_gone {
            return Ok(None);
        }
        self.event_of(portal, id)
    }

    /// The first event of a message, in this portal's room as it is now.
    pub(in crate::bridge) fn event_of(
        &self,
        portal: &Portal,
        id: &RocketMessageId,
    ) -> Result<Option<OwnedEventId>, Failure> {
        let known = self.store.message(&portal.id, id)?;
        Ok(known
            .filter(|known| known.room_id == portal.room_id)
            .and_then(|known| known.events.into_iter().next()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn quotes_are_found_by_their_links() {
        let message: RocketMessage = serde_json::from_value(json!({
            "_id": "m", "rid": "r", "msg": "x", "ts": "2026-01-01T00:00:00.000Z",
            "u": { "_id": "u", "username": "alice" },
            "attachments": [
                { "text": "a", "message_link": "https://chat.example.org/channel/x?foo=1&msg=q1#y" },
                { "text": "b", "message_link": "/channel/x?msg=q2" },
                { "text": "c", "title_link": "https://chat.example.org/?msg=q3" },
                { "text": "d", "message_link": "https://chat.example.org/channel/x" },
            ],
        }))
        .unwrap();
        assert_eq!(quoted_in(&message), [RocketMessageId::new("q1")]);
    }
}
