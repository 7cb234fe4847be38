//! An event of Matrix on its way to Rocket.Chat.

mod aside;
mod edit;
mod file;
mod file_found;
mod file_post;
mod file_upload;
mod message;
mod post;
mod reaction;
mod redaction;
mod surroundings;
mod under_way;

use std::sync::Arc;

use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId};
use serde_json::{Value, json};

pub(super) use under_way::UnderWay;

use super::homeserver_watch::Held;
use super::lane::Place;
use super::pace::Pace;
use super::perseverance::Attempt;
use super::voice::is_no_seat;
use super::{Bridge, Failure, derived, marker};
use crate::rocketchat::RocketMessageId;
use crate::store::{Change, InboxEvent, Message, Portal, Rest, Store, StoreError, Thread};

/// An event that lies in the inbox: only its number waits in memory.
#[derive(Debug)]
pub(super) struct Waiting {
    number: u64,
}

/// What is to be written down when an event is done.
#[derive(Debug, Default)]
struct Done {
    /// The message that came of it.
    message: Option<Message>,
    /// The thread that it stands in, by its first message.
    thread: Option<(Portal, RocketMessageId, Thread)>,
}

impl Done {
    /// Writes it down together with `change`.
    fn write(self, store: &Store, mut change: Change<'_>) -> Result<(), StoreError> {
        if let Some((portal, first, thread)) = &self.thread {
            change = change.thread(portal, first, thread);
        }
        match self.message {
            Some(message) => store.finish_message(message, change),
            None => change.commit(),
        }
    }
}

impl Bridge {
    /// Queues an event of the inbox, in its place.
    pub(super) fn enqueue_event(&self, event: Held) {
        let waiting = Waiting {
            number: event.number,
        };
        self.to_rocket
            .push(&event.room_id, [(event.place, waiting)]);
    }

    /// Queues events of the inbox before what waits in their room.
    pub(super) fn enqueue_first(&self, room: &RoomId, events: Vec<Held>) {
        let jobs = events.into_iter().map(|event| {
            let waiting = Waiting {
                number: event.number,
            };
            (event.place, waiting)
        });
        self.to_rocket.push_first(&room.to_owned(), jobs);
    }

    /// Does what an event asks for and strikes it from the inbox. Ends when it is
    /// done or set aside.
    pub(super) async fn work_event(self: Arc<Self>, room: OwnedRoomId, waiting: Waiting) {
        let number = waiting.number;
        let event = match self.store.inbox_event(number) {
            Ok(Some(event)) => event,
            Ok(None) => return,
            Err(error) => {
                // It stays in the inbox, for a program that can read it.
                tracing::error!(number, %error, "an event of the inbox cannot be worked");
                return;
            }
        };
        // Without a place among those who try something, which others need meanwhile.
        if matches!(self.store.portal_of_room(&room), Ok(Some(_))) {
            self.rocket().await;
        }
        let deliver = async |attempt| {
            let done = self.deliver(&event, attempt).await?;
            let change = self.store.change().strike(number);
            Ok(done.write(&self.store, change)?)
        };
        let moves_file = matches!(self.store.portal_of_room(&room), Ok(Some(_)))
            && file::moves_file(&self.store, &event).unwrap_or(true);
        let done = match moves_file {
            true => self.persevere_with_file(deliver).await,
            false => self.persevere(deliver).await,
        };
        if let Err(failure) = done {
            tracing::error!(%room, event = %event.event_id, %failure, "could not be mirrored to Rocket.Chat; set aside");
            self.set_event_aside(&event, number, &failure).await;
        }
    }

    /// Does what an event asks for; what is to be written down of it.
    async fn deliver(
        self: &Arc<Self>,
        event: &InboxEvent,
        attempt: Attempt,
    ) -> Result<Done, Failure> {
        if self.config.is_ours(&event.sender) {
            if self.is_parting(event) {
                self.on_put_out(event, &event.sender).await?;
            }
            return Ok(Done::default());
        }
        self.resume_gathering(&event.room_id).await?;
        let json: Value = serde_json::from_str(event.json.get())
            .map_err(|_| Failure::Refused("The event cannot be read.".into()))?;
        let content = json.get("content").unwrap_or(&Value::Null);
        if self.is_sent_by_us(event, &json, content)? {
            return Ok(Done::default());
        }
        if self.came_too_late(event, &json).await? {
            return Ok(Done::default());
        }
        if self.happened_too_soon(event, &json)? {
            return Err(Failure::NotYet("the room to be mirrored"));
        }
        let membership = content.get("membership").and_then(Value::as_str);
        if !matches!(membership, Some("leave" | "ban"))
            && self.store.rest(&event.sender)?.is_some()
            && !self.needs_no_puppet(event)?
        {
            let can_wait = self.can_be_relayed(&event.room_id, &event.sender)?;
            if !(can_wait && self.voices.seats_are_taken()) {
                match self.wake_puppet(&event.sender).await {
                    // What they write goes out through the bridge's account meanwhile.
                    Err(failure) if is_no_seat(&failure) && can_wait => {
                        self.voices.no_seat_for_now();
                    }
                    outcome => outcome?,
                }
            }
        }
        if json.get("state_key").is_none() && self.comes_round(event, &json, content).await? {
            return Ok(Done::default());
        }
        match event.kind.as_str() {
            "m.room.member" => {
                self.on_membership(event, &json, content).await?;
                Ok(Done::default())
            }
            "m.room.avatar" => {
                self.on_room_picture(event, &json, content)?;
                Ok(Done::default())
            }
            "m.room.tombstone" => {
                self.on_tombstone(event, &json, content).await?;
                Ok(Done::default())
            }
            "m.room.message" | "m.sticker"
                if self.store.portal_of_earlier_room(&event.room_id)?.is_some()
                    && self.store.portal_of_room(&event.room_id)?.is_none() =>
            {
                self.on_word_in_earlier_room(event).await?;
                Ok(Done::default())
            }
            "m.room.power_levels" => {
                self.on_room_state(event, &json, content)?;
                if let Some(portal) = self.store.portal_of_room(&event.room_id)? {
                    self.agree_on_rights(&portal).await?;
                }
                Ok(Done::default())
            }
            kind if Self::is_room_state(kind) => {
                self.on_room_state(event, &json, content)?;
                Ok(Done::default())
            }
            "m.room.message" => self.on_message_event(event, &json, content, attempt).await,
            "m.reaction" => self.on_reaction(event, &json, content).await,
            "m.room.redaction" => {
                self.on_redaction(event, &json, content).await?;
                Ok(Done::default())
            }
            kind @ ("m.room.encryption" | "m.room.encrypted") => {
                self.on_encryption(event, kind).await?;
                Ok(Done::default())
            }
            kind if (json.get("state_key").is_none() && is_for_people(kind))
                || begins_live_location(event, &json, content) =>
            {
                match self.store.portal_of_room(&event.room_id)? {
                    Some(portal) => {
                        self.refuse_if_archived(&portal).await?;
                        self.refuse_if_encrypted(&portal).await?;
                        self.mirror_words(&portal, event, &json, content, attempt)
                            .await
                    }
                    None => Ok(Done::default()),
                }
            }
            _ => Ok(Done::default()),
        }
    }

    /// Whether what somebody does is not done by the account that the bridge made for them,
    /// which may go on resting: they have linked their own.
    fn needs_no_puppet(&self, event: &InboxEvent) -> Result<bool, StoreError> {
        let user = &event.sender;
        if self.store.linked_user(user)?.is_none() {
            return Ok(false);
        }
        // A direct message may have begun with the puppet, and in a private group it may go
        // on for them.
        let needs = match self.store.portal_of_room(&event.room_id)? {
            Some(portal) => {
                portal.kind.is_direct() || self.store.is_made_puppet_in_room(&portal.id, user)?
            }
            None => false,
        };
        if !needs && self.store.rest(user)? == Some(Rest::Suspected) {
            self.store.change().no_rest(user).commit()?;
        }
        Ok(!needs)
    }

    /// Says once in a mirrored room that what is encrypted stays behind; where somebody
    /// gives the bot commands, of each that it cannot read.
    async fn on_encryption(&self, event: &InboxEvent, kind: &str) -> Result<(), Failure> {
        let room = &event.room_id;
        let portal = self.store.portal_of_room(room)?;
        let is_told = self.store.is_told_of_encryption(room)?;
        let (speaker, text) = match portal {
            Some(_) if is_told => return Ok(()),
            Some(portal) => (
                self.reader(&portal).await?,
                "This room is encrypted, and the bridge cannot read encrypted messages: they do \
                 not reach it. Use a room without encryption."
                    .to_owned(),
            ),
            None if self.store.is_bot_room(room)? => {
                if self.pace(event.sender.as_str(), event.event_id.as_str()) != Pace::Go {
                    return Ok(());
                }
                let first = match kind {
                    "m.room.encrypted" => "Nothing was done.",
                    _ => "From now on I do nothing here.",
                };
                (self.matrix.bot(), self.encrypted_for_commands(first))
            }
            None => return Ok(()),
        };
        self.say(&speaker, room, &event.event_id, "encryption", &text)
            .await?;
        if !is_told {
            self.store.note_told_of_encryption(room)?;
        }
        Ok(())
    }

    /// A notice about an event, once however often it is worked.
    pub(super) async fn say(
        &self,
        speaker: &crate::matrix::Intent,
        room: &RoomId,
        about: &EventId,
        purpose: &str,
        text: &str,
    ) -> Result<(), Failure> {
        let mut content = json!({
            "msgtype": "m.notice",
            "body": text,
            "m.mentions": {},
            "m.relates_to": { "m.in_reply_to": { "event_id": about } },
        });
        marker::stamp_as_own(&mut content);
        let txn = derived::notice_id(about, purpose);
        speaker
            .send(room, "m.room.message", &content, &txn, None)
            .await?;
        Ok(())
    }
}

/// The place of an event in its room's order.
pub(super) fn place_of(event: &InboxEvent) -> Place {
    let json: Value = serde_json::from_str(event.json.get()).unwrap_or(Value::Null);
    let content = json.get("content").unwrap_or(&Value::Null);
    let relation = content.get("m.relates_to").unwrap_or(&Value::Null);
    let refers_to = [
        relation.get("event_id"),
        relation.pointer("/m.in_reply_to/event_id"),
        content.get("redacts"),
        json.get("redacts"),
    ];
    let ids: Vec<String> = refers_to
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let is_edit = relation.get("rel_type").and_then(Value::as_str) == Some("m.replace");
    let member = json.get("state_key").and_then(Value::as_str);
    let member = member.filter(|_| event.kind == "m.room.member");
    Place {
        people: std::iter::once(event.sender.to_string())
            .chain(member.map(str::to_owned))
            .collect(),
        id: event.event_id.to_string(),
        changes: if is_edit || event.kind == "m.room.redaction" {
            ids.clone()
        } else {
            Vec::new()
        },
        refers_to: ids,
        alone: json.get("state_key").is_some(),
        slow: file::brings_file(&event.kind, content),
    }
}

/// Whether an event of that type, which is no state, says something to people, so
/// that it must not vanish without a word.
pub(super) fn is_for_people(kind: &str) -> bool {
    // Verification, the state of a delivery, where somebody is now, who is in a call:
    // sent by programs, often, and for programs.
    const OF_CLIENTS: [&str; 11] = [
        "m.key.",
        "com.beeper.",
        "m.room.",
        "io.element.",
        "m.beacon",
        "org.matrix.msc3489.",
        "org.matrix.msc3672.",
        "org.matrix.call.",
        "org.matrix.msc3401.",
        "org.matrix.msc4143.",
        "m.rtc.member",
    ];
    !OF_CLIENTS.iter().any(|start| kind.starts_with(start))
}

/// Whether somebody begins to share where they are (MSC3489). Where they go is not
/// carried over, nor that they stop.
fn begins_live_location(event: &InboxEvent, json: &Value, content: &Value) -> bool {
    let kinds = ["m.beacon_info", "org.matrix.msc3672.beacon_info"];
    let is_live = |content: Option<&Value>| {
        let live = content.and_then(|content| content.get("live"));
        live.and_then(Value::as_bool) == Some(true)
    };
    let before = json.pointer("/unsigned/prev_content");
    let is_own = json.get("state_key").and_then(Value::as_str) == Some(event.sender.as_str());
    kinds.contains(&event.kind.as_str()) && is_own && is_live(Some(content)) && !is_live(before)
}

/// Which event this one replaces, if it is an edit.
fn replaced_by(content: &Value) -> Option<OwnedEventId> {
    let relation = content.get("m.relates_to")?;
    if relation.get("rel_type")?.as_str()? != "m.replace" {
        return None;
    }
    EventId::parse(relation.get("event_id")?.as_str()?).ok()
}

/// Which event a redaction is of: in the content from room version 11 on.
fn redacted_by(json: &Value, content: &Value) -> Option<OwnedEventId> {
    let id = content.get("redacts").or_else(|| json.get("redacts"))?;
    EventId::parse(id.as_str()?).ok()
}
