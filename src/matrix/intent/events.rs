//! Events: sending, redacting and reading them.

use std::time::Duration;

use ruma::api::client::message::{get_message_events, send_message_event};
use ruma::api::client::redact::redact_event;
use ruma::api::client::relations::get_relating_events_with_rel_type_and_event_type as reactions;
use ruma::api::client::room::get_room_event;
use ruma::api::client::state::{get_state_event_for_key, get_state_events, send_state_event};
use ruma::api::client::typing::create_typing_event;
use ruma::events::relation::RelationType;
use ruma::events::{MessageLikeEventType, StateEventType, TimelineEventType};
use ruma::serde::Raw;
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, RoomId, TransactionId, UInt,
};
use serde_json::Value;

use super::Intent;
use crate::matrix::error::Error;

/// How many pages of an event's reactions are looked through.
const PAGES_OF_REACTIONS: usize = 10;

/// A stretch of a room's history.
#[derive(Debug, Clone, Default)]
pub struct MessagesPage {
    /// The newest first. Those that cannot be read are left out.
    pub events: Vec<TimelineEvent>,
    /// Where the next older page starts; none at the beginning of the room.
    pub end: Option<String>,
    /// How many were left out.
    pub unreadable: usize,
}

/// One event of a room's history.
#[derive(Debug, Clone)]
pub struct TimelineEvent {
    /// The event's id.
    pub event_id: OwnedEventId,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// Its type.
    pub kind: String,
    /// Present in state events only, also when empty.
    pub state_key: Option<String>,
    /// The content; an empty object once redacted.
    pub content: Value,
    /// Milliseconds since 1970; 0 if absent or not such a number.
    pub origin_server_ts: u64,
    /// The whole event as sent, but for its `room_id`, which may be missing.
    pub json: Value,
}

impl Intent {
    /// Sends a message event. `ts` (milliseconds since 1970) gives it another
    /// time than now. See [`Intent`] on transaction ids.
    ///
    /// # Errors
    /// `M_FORBIDDEN` for one who is not in the room or lacks the right,
    /// `M_TOO_LARGE` above 64 KiB, `Kind::Request` for a time beyond 2^53.
    pub async fn send(
        &self,
        room: &RoomId,
        kind: &str,
        content: &Value,
        txn_id: &TransactionId,
        ts: Option<u64>,
    ) -> Result<OwnedEventId, Error> {
        type Request = send_message_event::v3::Request;
        let body = Raw::new(content)
            .map_err(|_| self.unbuildable::<Request>("content"))?
            .cast_unchecked();
        let mut request = Request::new_raw(
            room.to_owned(),
            txn_id.to_owned(),
            MessageLikeEventType::from(kind),
            body,
        );
        request.timestamp = self.timestamp::<Request>(ts)?;
        Ok(self.call(request).await?.event_id)
    }

    /// Sets a state of the room.
    ///
    /// # Errors
    /// As [`Intent::send`].
    pub async fn send_state(
        &self,
        room: &RoomId,
        kind: &str,
        state_key: &str,
        content: &Value,
        ts: Option<u64>,
    ) -> Result<OwnedEventId, Error> {
        type Request = send_state_event::v3::Request;
        let body = Raw::new(content)
            .map_err(|_| self.unbuildable::<Request>("content"))?
            .cast_unchecked();
        let mut request = Request::new_raw(
            room.to_owned(),
            StateEventType::from(kind),
            state_key.to_owned(),
            body,
        );
        request.timestamp = self.timestamp::<Request>(ts)?;
        Ok(self.call(request).await?.event_id)
    }

    /// The content of a state of the room; none if it was never set, and
    /// [`Value::Null`] if it cannot be read (nested too deeply).
    ///
    /// # Errors
    /// `M_FORBIDDEN` for one who is not in the room.
    pub async fn state(
        &self,
        room: &RoomId,
        kind: &str,
        state_key: &str,
    ) -> Result<Option<Value>, Error> {
        let request = get_state_event_for_key::v3::Request::new(
            room.to_owned(),
            StateEventType::from(kind),
            state_key.to_owned(),
        );
        match self.call(request).await {
            // Set, if unreadable: not to be taken for absent.
            Ok(response) => Ok(Some(
                serde_json::from_str(response.event_or_content.get()).unwrap_or_default(),
            )),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A state of the room with who set it and when; none if it was never set, or where
    /// the homeserver does not say (before specification 1.16 this was Synapse's own).
    ///
    /// # Errors
    /// `M_FORBIDDEN` for one who is not in the room.
    pub async fn state_event(
        &self,
        room: &RoomId,
        kind: &str,
        state_key: &str,
    ) -> Result<Option<TimelineEvent>, Error> {
        let mut request = get_state_event_for_key::v3::Request::new(
            room.to_owned(),
            StateEventType::from(kind),
            state_key.to_owned(),
        );
        request.format = get_state_event_for_key::v3::StateEventFormat::Event;
        match self.call(request).await {
            Ok(response) => Ok(TimelineEvent::read(response.event_or_content.get())),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The whole state of the room, of which only events of these types are kept: there
    /// may be tens of thousands of members. Those that cannot be read are left out.
    ///
    /// # Errors
    /// `M_FORBIDDEN` for one who is not in the room; `Kind::Answer` for a room whose state
    /// is larger than any answer that is read.
    pub async fn state_of(
        &self,
        room: &RoomId,
        wanted: &[&str],
    ) -> Result<Vec<TimelineEvent>, Error> {
        let request = get_state_events::v3::Request::new(room.to_owned());
        let response = self.call(request).await?;
        let is_wanted = |kind: Option<String>| kind.is_some_and(|kind| wanted.contains(&&*kind));
        Ok(response
            .room_state
            .iter()
            .filter(|event| is_wanted(event.get_field("type").ok().flatten()))
            .filter_map(|event| TimelineEvent::read(event.json().get()))
            .collect())
    }

    /// An event of the room; none that the homeserver does not have, or does not
    /// show to this user.
    ///
    /// # Errors
    /// `M_FORBIDDEN` for one who is not in the room.
    pub async fn event(
        &self,
        room: &RoomId,
        event: &EventId,
    ) -> Result<Option<TimelineEvent>, Error> {
        let request = get_room_event::v3::Request::new(room.to_owned(), event.to_owned());
        match self.call(request).await {
            Ok(response) => Ok(TimelineEvent::read(response.event.json().get())),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// This user's own reaction to an event with that key, if there is one among
    /// the newest.
    ///
    /// # Errors
    /// As [`Intent::event`].
    pub async fn own_reaction(
        &self,
        room: &RoomId,
        event: &EventId,
        key: &str,
    ) -> Result<Option<OwnedEventId>, Error> {
        let mut from = None;
        for _ in 0..PAGES_OF_REACTIONS {
            let mut request = reactions::v1::Request::new(
                room.to_owned(),
                event.to_owned(),
                RelationType::Annotation,
                TimelineEventType::Reaction,
            );
            request.limit = Some(UInt::from(100_u32));
            request.from = from;
            let response = self.call(request).await?;
            let found = response
                .chunk
                .iter()
                .filter_map(|event| TimelineEvent::read(event.json().get()))
                .find(|event| {
                    let given = event.content.pointer("/m.relates_to/key");
                    event.sender == self.user_id() && given.and_then(Value::as_str) == Some(key)
                });
            if let Some(found) = found {
                return Ok(Some(found.event_id));
            }
            from = response.next_batch;
            if from.is_none() {
                break;
            }
        }
        Ok(None)
    }

    /// Takes the content out of an event. See [`Intent`] on transaction ids.
    ///
    /// # Errors
    /// `M_FORBIDDEN` without the right to, `M_NOT_FOUND` for an unknown event.
    pub async fn redact(
        &self,
        room: &RoomId,
        event: &EventId,
        txn_id: &TransactionId,
        reason: Option<&str>,
    ) -> Result<OwnedEventId, Error> {
        let mut request =
            redact_event::v3::Request::new(room.to_owned(), event.to_owned(), txn_id.to_owned());
        request.reason = reason.map(str::to_owned);
        Ok(self.call(request).await?.event_id)
    }

    /// Reads the room's history from the newest event, or from where the page
    /// before ended, towards the older ones.
    ///
    /// # Errors
    /// `M_FORBIDDEN` for one who is not in the room.
    pub async fn messages_backwards(
        &self,
        room: &RoomId,
        from: Option<&str>,
        limit: u32,
    ) -> Result<MessagesPage, Error> {
        let mut request = get_message_events::v3::Request::backward(room.to_owned());
        request.from = from.map(str::to_owned);
        request.limit = UInt::from(limit);
        let response = self.call(request).await?;
        let total = response.chunk.len();
        let events: Vec<_> = response
            .chunk
            .iter()
            .filter_map(|event| TimelineEvent::read(event.json().get()))
            .collect();
        Ok(MessagesPage {
            unreadable: total - events.len(),
            events,
            end: response.end,
        })
    }

    /// Shows the user as typing for so long, or with `None` no longer.
    ///
    /// # Errors
    /// `M_FORBIDDEN` for one who is not in the room.
    pub async fn typing(&self, room: &RoomId, timeout: Option<Duration>) -> Result<(), Error> {
        use create_typing_event::v3::{Request, Typing, TypingInfo};
        let state = timeout.map_or(Typing::No, |timeout| TypingInfo::new(timeout).into());
        self.call(Request::new(
            self.user_id().to_owned(),
            room.to_owned(),
            state,
        ))
        .await?;
        Ok(())
    }

    /// Says that the user has read a room up to this event, for everybody to see.
    /// Safe to repeat; an older event than before changes nothing.
    ///
    /// # Errors
    /// `M_FORBIDDEN` for one who is not in the room.
    pub async fn has_read(&self, room: &RoomId, event: &EventId) -> Result<(), Error> {
        use ruma::api::client::receipt::create_receipt::v3::{ReceiptType, Request};
        self.call(Request::new(
            room.to_owned(),
            ReceiptType::Read,
            event.to_owned(),
        ))
        .await?;
        Ok(())
    }

    fn timestamp<R: ruma::api::Metadata>(
        &self,
        ts: Option<u64>,
    ) -> Result<Option<MilliSecondsSinceUnixEpoch>, Error> {
        ts.map(|ts| {
            UInt::new(ts)
                .map(MilliSecondsSinceUnixEpoch)
                .ok_or_else(|| self.unbuildable::<R>("ts"))
        })
        .transpose()
    }
}

impl TimelineEvent {
    fn read(json: &str) -> Option<Self> {
        let event: Value = serde_json::from_str(json).ok()?;
        let text = |key: &str| event.get(key).and_then(Value::as_str);
        Some(Self {
            event_id: text("event_id")?.try_into().ok()?,
            sender: text("sender")?.try_into().ok()?,
            kind: text("type")?.to_owned(),
            state_key: text("state_key").map(str::to_owned),
            content: event.get("content").cloned().unwrap_or_default(),
            origin_server_ts: event
                .get("origin_server_ts")
                .and_then(Value::as_u64)
                .unwrap_or(0),
            json: event,
        })
    }
}
