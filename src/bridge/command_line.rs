//! The door through which people give the bridge commands on Matrix (that on Rocket.Chat
//! is [`super::rocket_commands`]). What the commands are is not known here.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ruma::{EventId, OwnedUserId, UserId};
use serde_json::Value;

use super::context::{Context, Door, Who};
use super::pace::Outcome;
use super::{Bridge, Failure};
use crate::clock::now_ms;
use crate::convert::to_rocketchat::{self, ToBridge};
use crate::store::InboxEvent;

/// What makes a message a command outside the bot's own rooms.
const PREFIX: &str = "!rc";

/// The answer to a command, on its way.
pub type Reply<'a> = Pin<Box<dyn Future<Output = Result<String, Failure>> + Send + 'a>>;

/// A command, as the doors need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// Its name.
    pub name: &'static str,
    /// It changes something, and what stands behind it is no secret: it may be written down
    /// before it is done.
    pub changes: bool,
    /// It is about the room that it is given in.
    pub is_about_room: bool,
}

/// The commands, as the bridge needs them.
pub trait CommandLine: Send + Sync + 'static {
    /// What the bot says when somebody invites it.
    fn greeting(&self, bridge: &Bridge, inviter: &UserId) -> String;

    /// The command that words give, if there is one of that name.
    fn given_by(&self, words: &str) -> Option<Given>;

    /// Does what the words ask for and says what came of it. A failure that may
    /// pass makes the command be given again: doing it twice must be as once.
    fn run<'a>(
        &'a self,
        bridge: &'a Arc<Bridge>,
        context: &'a Context,
        words: &'a str,
    ) -> Reply<'a>;
}

impl Bridge {
    /// The command in a message, if it is one: everything in the bot's rooms, and
    /// elsewhere what starts with `!rc`.
    pub(super) fn command_in(
        &self,
        event: &InboxEvent,
        content: &Value,
        in_portal: bool,
    ) -> Result<Option<ToBridge>, Failure> {
        let is_bot_room = !in_portal && self.store.is_bot_room(&event.room_id)?;
        let body = content.get("body").and_then(Value::as_str);
        // Most of what is said is no command, and not worth the reading.
        if !is_bot_room && !body.is_some_and(|body| body.contains(PREFIX)) {
            return Ok(None);
        }
        let ToBridge { words, unplaced } = to_rocketchat::to_bridge(content);
        let after_prefix = words
            .strip_prefix(PREFIX)
            .filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        let words = match after_prefix {
            Some(words) => words.trim().to_owned(),
            None if is_bot_room => words,
            None => return Ok(None),
        };
        let answered = self.answered_by(event, content)?;
        let unplaced = unplaced.into_iter();
        Ok(Some(ToBridge {
            words,
            unplaced: unplaced
                .filter(|user| {
                    *user != self.config.appservice.bot && Some(user) != answered.as_ref()
                })
                .collect(),
        }))
    }

    /// Who wrote what a message answers, as far as that is known: clients mention them
    /// without a word of it.
    fn answered_by(
        &self,
        event: &InboxEvent,
        content: &Value,
    ) -> Result<Option<OwnedUserId>, Failure> {
        let id = content.pointer("/m.relates_to/m.in_reply_to/event_id");
        let Some(id) = id.and_then(|id| EventId::parse(id.as_str()?).ok()) else {
            return Ok(None);
        };
        let known = self.store.message_of_event(&event.room_id, &id)?;
        Ok(known.map(|known| known.sender))
    }

    /// Runs a command and answers in the same room.
    pub(super) async fn run_command(
        self: &Arc<Self>,
        event: &InboxEvent,
        said: ToBridge,
    ) -> Result<(), Failure> {
        let json: Value = serde_json::from_str(event.json.get()).unwrap_or_default();
        let given_at = json.get("origin_server_ts").and_then(|at| at.as_i64());
        let given_at = given_at.unwrap_or_else(now_ms);
        let is_in_portal = self.store.portal_of_room(&event.room_id)?.is_some();
        let needs_prefix = is_in_portal || !self.store.is_bot_room(&event.room_id)?;
        let context = Context {
            who: Who::Matrix(event.sender.clone()),
            door: Door::Matrix,
            room: Some(event.room_id.clone()),
            rid: None,
            id: event.event_id.to_string(),
            event: Some(event.event_id.clone()),
            prefix: if needs_prefix { PREFIX } else { "" },
            unplaced: said.unplaced,
        };
        let answer = match self.carry_out(&context, &said.words, given_at).await? {
            Outcome::Answered(answer) | Outcome::TooMany(answer) => answer,
            Outcome::Silent => return Ok(()),
        };
        let speaker = match self.store.portal_of_room(&event.room_id)? {
            Some(portal) => self.reader(&portal).await?,
            None => self.matrix.bot(),
        };
        let said = self
            .say(&speaker, &event.room_id, &event.event_id, "answer", &answer)
            .await;
        match said {
            // It has left, as it was told to.
            Err(Failure::Matrix(error)) if error.is_forbidden() => Ok(()),
            said => said,
        }
    }
}
