//! What a person sees, and waiting for it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use super::rooms::room_path;
use super::{Event, MatrixUser};
use crate::http::escape;
use crate::wait::{DEADLINE, Wait};

/// A room the user is invited to.
#[derive(Debug, Clone)]
pub struct Invite {
    /// The room.
    pub room_id: String,
    /// Who invites.
    pub sender: String,
    /// Whether the invite says that it is a direct room.
    pub is_direct: bool,
    /// The stripped state that came with it.
    pub state: Vec<Event>,
}

impl MatrixUser {
    /// The whole timeline, oldest first: messages, state, everything that this
    /// user may see.
    ///
    /// # Errors
    /// When the user may not read the room.
    pub async fn room_events(&self, room: &str) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        let mut from = String::new();
        loop {
            let path = format!("{}/messages?dir=f&limit=1000{from}", room_path(room));
            let mut answer = self.api.json("GET", &path, None).await?;
            let chunk: Vec<Event> = serde_json::from_value(answer["chunk"].take())?;
            let next = answer["end"].as_str().map(str::to_owned);
            let Some(next) = next.filter(|_| !chunk.is_empty()) else {
                return Ok(events);
            };
            events.extend(chunk);
            from = format!("&from={}", escape(&next));
        }
    }

    /// The `m.room.message` events of the timeline, oldest first, redacted ones
    /// and edits included.
    ///
    /// # Errors
    /// When the user may not read the room.
    pub async fn room_messages(&self, room: &str) -> Result<Vec<Event>> {
        let mut events = self.room_events(room).await?;
        events.retain(Event::is_message);
        Ok(events)
    }

    /// The plain bodies of the messages that were not redacted, oldest first.
    ///
    /// # Errors
    /// When the user may not read the room.
    pub async fn room_texts(&self, room: &str) -> Result<Vec<String>> {
        let messages = self.room_messages(room).await?;
        Ok(messages
            .iter()
            .filter(|message| !message.is_redacted())
            .map(|message| message.body().to_owned())
            .collect())
    }

    /// One event by its id.
    ///
    /// # Errors
    /// When the user may not see it.
    pub async fn event(&self, room: &str, event_id: &str) -> Result<Event> {
        let path = format!("{}/event/{}", room_path(room), escape(event_id));
        Ok(serde_json::from_value(
            self.api.json("GET", &path, None).await?,
        )?)
    }

    /// Waits for a message with this plain body.
    ///
    /// # Errors
    /// When it does not come: shows the room as this user sees it.
    pub async fn wait_for_text(&self, room: &str, body: &str) -> Result<Event> {
        let what = format!("the message {body:?}");
        self.wait_for_message(room, &what, |message| message.body() == body)
            .await
    }

    /// Waits for the first message that `wanted` accepts.
    ///
    /// # Errors
    /// When it does not come: shows the room as this user sees it.
    pub async fn wait_for_message(
        &self,
        room: &str,
        what: &str,
        mut wanted: impl FnMut(&Event) -> bool,
    ) -> Result<Event> {
        self.wait_until(room, what, |events| {
            events
                .iter()
                .find(|event| event.is_message() && wanted(event))
                .cloned()
        })
        .await
    }

    /// Waits until `condition`, shown the whole timeline, returns something.
    ///
    /// # Errors
    /// When it does not within [`DEADLINE`]: shows the room as this user sees it.
    pub async fn wait_until<T>(
        &self,
        room: &str,
        what: &str,
        condition: impl FnMut(&[Event]) -> Option<T>,
    ) -> Result<T> {
        self.wait_until_within(DEADLINE, room, what, condition)
            .await
    }

    /// As [`MatrixUser::wait_until`], with another deadline.
    ///
    /// # Errors
    /// When the deadline passes.
    pub async fn wait_until_within<T>(
        &self,
        deadline: Duration,
        room: &str,
        what: &str,
        mut condition: impl FnMut(&[Event]) -> Option<T>,
    ) -> Result<T> {
        let what = format!("{what}, as seen by {} in {room}", self.user_id);
        let mut wait = Wait::new(&what, deadline);
        loop {
            let look = wait.look(async {
                let events = self.room_events(room).await?;
                match condition(&events) {
                    Some(found) => Ok(Some(found)),
                    None => Err(anyhow!("{}", describe(&events))),
                }
            });
            if let Some(found) = self.evidence.explain(look.await)? {
                return Ok(found);
            }
        }
    }

    /// Everything the server tells a client that starts, or that continues at
    /// `since`; answers at once.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn sync(&self, since: Option<&str>) -> Result<Value> {
        let filter = json!({"room": {"timeline": {"limit": 100}}}).to_string();
        let since = since.map_or(String::new(), |since| format!("&since={}", escape(since)));
        let path = format!(
            "/_matrix/client/v3/sync?timeout=0&filter={}{since}",
            escape(&filter)
        );
        self.api.json("GET", &path, None).await
    }

    /// After whom a client names a room that has no name, in the order of their ids. As
    /// clients that load members when they need them.
    ///
    /// # Errors
    /// When the homeserver refuses, or does not say.
    pub async fn heroes(&self, room: &str) -> Result<Vec<String>> {
        let filter = json!({"room": {"state": {"lazy_load_members": true}}}).to_string();
        let path = format!(
            "/_matrix/client/v3/sync?timeout=0&filter={}",
            escape(&filter)
        );
        let sync = self.api.json("GET", &path, None).await?;
        let heroes = &sync["rooms"]["join"][room]["summary"]["m.heroes"];
        let mut heroes: Vec<String> = serde_json::from_value(heroes.clone())?;
        heroes.sort();
        Ok(heroes)
    }

    /// The invites that wait for an answer.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub async fn invites(&self) -> Result<Vec<Invite>> {
        let answer = self.sync(None).await?;
        let rooms = answer.pointer("/rooms/invite").and_then(Value::as_object);
        rooms
            .into_iter()
            .flatten()
            .map(|(room_id, room)| self.read_invite(room_id, room))
            .collect()
    }

    /// Waits for an invite that `wanted` accepts.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn wait_for_invite(
        &self,
        what: &str,
        mut wanted: impl FnMut(&Invite) -> bool,
    ) -> Result<Invite> {
        let what = format!("an invite of {}: {what}", self.user_id);
        let mut wait = Wait::new(&what, DEADLINE);
        loop {
            let look = wait.look(async {
                let invites = self.invites().await?;
                match invites.iter().find(|invite| wanted(invite)) {
                    Some(found) => Ok(Some(found.clone())),
                    None => Err(anyhow!("invites: {invites:?}")),
                }
            });
            if let Some(found) = self.evidence.explain(look.await)? {
                return Ok(found);
            }
        }
    }

    /// Waits until exactly these users, and nobody else, are joined.
    ///
    /// # Errors
    /// When they do not become that.
    pub async fn wait_for_members(&self, room: &str, user_ids: &[&str]) -> Result<()> {
        let wanted: BTreeSet<&str> = user_ids.iter().copied().collect();
        let what = format!("the members of {room} to be {wanted:?}");
        let mut wait = Wait::new(&what, DEADLINE);
        loop {
            let look = wait.look(async {
                let members = self.joined_members(room).await?;
                let joined: BTreeSet<&str> = members.keys().map(String::as_str).collect();
                if joined == wanted {
                    return Ok(Some(()));
                }
                Err(anyhow!("members: {joined:?}"))
            });
            if self.evidence.explain(look.await)?.is_some() {
                return Ok(());
            }
        }
    }

    fn read_invite(&self, room_id: &str, room: &Value) -> Result<Invite> {
        let state: Vec<Event> =
            serde_json::from_value(room["invite_state"]["events"].clone()).unwrap_or_default();
        let own = state.iter().find(|event| {
            event.kind == "m.room.member" && event.state_key.as_deref() == Some(&self.user_id)
        });
        Ok(Invite {
            room_id: room_id.to_owned(),
            sender: own.map(|event| event.sender.clone()).unwrap_or_default(),
            is_direct: own.is_some_and(|event| event.content["is_direct"] == true),
            state,
        })
    }
}

/// The end of a timeline, a line an event.
fn describe(events: &[Event]) -> String {
    const SHOWN: usize = 25;
    let skipped = events.len().saturating_sub(SHOWN);
    let lines = events.iter().skip(skipped).map(|event| {
        format!(
            "\n  {} {} {} {}",
            event.event_id, event.kind, event.sender, event.content
        )
    });
    format!(
        "{} events, the last:{}",
        events.len(),
        lines.collect::<String>()
    )
}
