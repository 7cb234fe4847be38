//! An event of Matrix on its way to Rocket.Chat.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId};
use serde_json::{Value, json};

use super::homeserver_watch::Held;
use super::lane::Place;
use super::{Bridge, Failure, derived, marker};
use crate::convert::to_rocketchat;
use crate::rocketchat::RocketMessageId;
use crate::rocketchat::rest::{OutgoingMessage, Sent};
use crate::store::{DeadLetter, InboxEvent, Message, Origin, Portal, PortalKind, Puppet};

/// How many ids are tried for one event. A second is needed only when somebody
/// took the first on purpose.
const IDS_TO_TRY: u32 = 3;

/// An event that lies in the inbox: only its number waits in memory.
#[derive(Debug)]
pub(super) struct Waiting {
    number: u64,
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
        let done = self
            .persevere(async |_| {
                let change = self.store.change().strike(number);
                match self.deliver(&event).await? {
                    Some(message) => change.message(&message).commit()?,
                    None => change.commit()?,
                }
                Ok(())
            })
            .await;
        if let Err(failure) = done {
            tracing::error!(%room, event = %event.event_id, %failure, "could not be mirrored to Rocket.Chat; set aside");
            self.set_event_aside(&event, number, &failure).await;
        }
    }

    /// Does what an event asks for; the record of the message that came of it, if
    /// any.
    async fn deliver(self: &Arc<Self>, event: &InboxEvent) -> Result<Option<Message>, Failure> {
        if self.config.is_ours(&event.sender) {
            return Ok(None);
        }
        let json: Value = serde_json::from_str(event.json.get())
            .map_err(|_| Failure::Refused("The event cannot be read.".into()))?;
        let content = json.get("content").unwrap_or(&Value::Null);
        match event.kind.as_str() {
            "m.room.member" => {
                self.on_membership(event, &json, content).await?;
                Ok(None)
            }
            "m.room.message" => self.on_message_event(event, &json, content).await,
            "m.room.redaction" => {
                self.on_redaction(event, &json, content).await?;
                Ok(None)
            }
            "m.room.encryption" | "m.room.encrypted" => {
                self.on_encryption(event).await?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    async fn on_message_event(
        self: &Arc<Self>,
        event: &InboxEvent,
        json: &Value,
        content: &Value,
    ) -> Result<Option<Message>, Failure> {
        let body = content
            .get("body")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let portal = self.store.portal_of_room(&event.room_id)?;
        // Notices are what programs say: answering them is how two bots never end.
        let is_notice = content.get("msgtype").and_then(Value::as_str) == Some("m.notice");
        if !is_notice && let Some(command) = self.command_in(event, body, portal.is_some())? {
            self.run_command(event, &command).await?;
            return Ok(None);
        }
        let Some(portal) = portal else {
            return Ok(None);
        };
        let mut content = content;
        if let Some(original) = replaced_by(content) {
            let known = self.store.message_of_event(&portal.room_id, &original)?;
            let new = content.get("m.new_content").unwrap_or(content);
            if let Some(known) = known {
                self.edit(&portal, event, new, &known).await?;
                return Ok(None);
            }
            // Of something that never arrived: the words are what counts.
            content = new;
        }
        let Some(text) = to_rocketchat::text(content) else {
            return Ok(None);
        };
        let text = match self.lateness(json) {
            Some(written) => to_rocketchat::late(&text, written),
            None => text,
        };
        let puppet = self.puppet_of(&event.sender).await?;
        let id = self.post(&portal, &puppet, &event.event_id, &text).await?;
        self.follow_direct(portal.clone());
        Ok(Some(Message {
            id,
            rid: portal.rid,
            room_id: portal.room_id,
            events: vec![event.event_id.clone()],
            sender: event.sender.clone(),
            origin: Origin::Matrix,
            revision: 0,
            deleted: false,
        }))
    }

    /// When the event was written, if that is so long ago that people should know.
    fn lateness(&self, json: &Value) -> Option<SystemTime> {
        let written = json.get("origin_server_ts")?.as_u64()?;
        let written = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(written))?;
        let age = SystemTime::now().duration_since(written).ok()?;
        (age >= self.config.bridge.late_after).then_some(written)
    }

    /// Posts a text as a puppet, under an id that follows from the event. When the
    /// server has a message with that id, it is this one from an earlier try, or
    /// somebody else's in its way.
    async fn post(
        &self,
        portal: &Portal,
        puppet: &Puppet,
        event: &EventId,
        text: &str,
    ) -> Result<RocketMessageId, Failure> {
        self.bring_puppet_in(portal, puppet).await?;
        for attempt in 0..IDS_TO_TRY {
            let id = derived::message_id(event, attempt);
            let outgoing = OutgoingMessage {
                id: &id,
                rid: &portal.rid,
                msg: text,
                tmid: None,
                alias: None,
                avatar: None,
                emoji: None,
            };
            let sent = match self.send_in_room(portal, puppet, &outgoing).await? {
                Sent::Stored(_) => return Ok(id),
                Sent::IdTaken => {
                    let rocket = self.rocket().await;
                    match rocket.bot.get_message(&id).await {
                        // Not the bot's to see, as in a direct message: the puppet's.
                        Ok(None)
                        | Err(
                            crate::rocketchat::Error::Refused { .. }
                            | crate::rocketchat::Error::Forbidden { .. },
                        ) => {
                            self.as_puppet(puppet, |session| {
                                let id = id.clone();
                                async move { session.get_message(&id).await }
                            })
                            .await?
                        }
                        outcome => outcome?,
                    }
                }
            };
            match sent {
                Some(there)
                    if there.rid == portal.rid && there.u.id == puppet.credentials.user_id =>
                {
                    return Ok(id);
                }
                // Two requests with one id at the same moment: the other one is
                // not to be seen yet.
                None => return Err(Failure::NotYet("an earlier attempt to be stored")),
                Some(_) => {
                    tracing::warn!(%event, "somebody's message bears the id meant for this event")
                }
            }
        }
        Err(Failure::Refused(
            "Messages of others bear every id that this one could have.".into(),
        ))
    }

    /// Sends as a puppet; once more when it turns out that it is no longer in the
    /// channel, as anybody may join again. Whoever was removed from a private group
    /// stays out: the bridge's rights are not the sender's.
    async fn send_in_room(
        &self,
        portal: &Portal,
        puppet: &Puppet,
        outgoing: &OutgoingMessage<'_>,
    ) -> Result<Sent, Failure> {
        let send = || {
            self.as_puppet(puppet, |session| async move {
                session.send_message(outgoing).await
            })
        };
        match send().await {
            Err(Failure::RocketChat(error))
                if error.is_denied() && portal.kind == PortalKind::Channel =>
            {
                self.store
                    .change()
                    .puppet_not_in_room(&portal.rid, &puppet.matrix_id)
                    .commit()?;
                self.bring_puppet_in(portal, puppet).await?;
                send().await
            }
            outcome => outcome,
        }
    }

    async fn edit(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        new: &Value,
        known: &Message,
    ) -> Result<(), Failure> {
        if known.sender != event.sender || known.deleted {
            return Ok(());
        }
        let Some(text) = to_rocketchat::text(new) else {
            return Ok(());
        };
        let puppet = self.puppet_of(&event.sender).await?;
        let (rid, id, text) = (&portal.rid, &known.id, text.as_str());
        self.as_puppet(&puppet, |session| async move {
            session.update_message(rid, id, text).await
        })
        .await?;
        Ok(())
    }

    async fn on_redaction(
        &self,
        event: &InboxEvent,
        json: &Value,
        content: &Value,
    ) -> Result<(), Failure> {
        let Some(portal) = self.store.portal_of_room(&event.room_id)? else {
            return Ok(());
        };
        let Some(redacted) = redacted_by(json, content) else {
            return Ok(());
        };
        let Some(known) = self.store.message_of_event(&portal.room_id, &redacted)? else {
            return Ok(());
        };
        if known.origin != Origin::Matrix || known.sender != event.sender {
            return Ok(());
        }
        // Before it is done, so that the echo is not mirrored back.
        self.store
            .change()
            .message(&Message {
                deleted: true,
                ..known.clone()
            })
            .commit()?;
        let puppet = self.puppet_of(&event.sender).await?;
        let (rid, id) = (&portal.rid, &known.id);
        self.as_puppet(&puppet, |session| async move {
            session.delete_message(rid, id, false).await
        })
        .await
    }

    /// Says once in a room that what is encrypted stays behind.
    async fn on_encryption(&self, event: &InboxEvent) -> Result<(), Failure> {
        let speaker = match self.store.portal_of_room(&event.room_id)? {
            Some(portal) => self.reader(&portal).await?,
            None if self.store.is_bot_room(&event.room_id)? => self.matrix.bot(),
            None => return Ok(()),
        };
        let is_news = self
            .told_of_encryption
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(event.room_id.clone());
        if is_news {
            let text = "This room is encrypted, and the bridge cannot read encrypted messages: \
                        they do not reach it. Use a room without encryption.";
            self.say(
                &speaker,
                &event.room_id,
                &event.event_id,
                "encryption",
                text,
            )
            .await?;
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

    /// Keeps what could not be delivered, and tells its sender.
    async fn set_event_aside(&self, event: &InboxEvent, number: u64, failure: &Failure) {
        let letter = DeadLetter {
            content: event.json.clone(),
            ..DeadLetter::new(
                Origin::Matrix,
                event.room_id.clone(),
                event.event_id.as_str(),
                failure.to_string(),
                &Value::Null,
            )
        };
        let written = self
            .store
            .change()
            .dead_letter(&letter)
            .strike(number)
            .commit();
        if let Err(error) = written {
            tracing::error!(%error, "what was set aside could not be written down; it stays in the inbox");
        }
        let text = format!(
            "This did not reach Rocket.Chat. {} It is kept for the bridge's administrator.",
            failure.person_text()
        );
        let told = self
            .persevere(async |_| {
                let speaker = match self.store.portal_of_room(&event.room_id)? {
                    Some(portal) => self.reader(&portal).await?,
                    None => self.matrix.bot(),
                };
                self.say(&speaker, &event.room_id, &event.event_id, "failure", &text)
                    .await
            })
            .await;
        if let Err(failure) = told {
            tracing::warn!(event = %event.event_id, %failure, "its sender could not be told");
        }
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
    Place {
        sender: event.sender.to_string(),
        id: event.event_id.to_string(),
        refers_to: refers_to
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        alone: json.get("state_key").is_some(),
    }
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
