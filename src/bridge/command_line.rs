//! The door through which people give the bridge commands on Matrix (that on Rocket.Chat
//! is [`super::rocket_commands`]). What the commands are is not known here.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ruma::UserId;

use super::context::{Context, Door, Who};
use super::pace::Outcome;
use super::{Bridge, Failure};
use crate::clock::now_ms;
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
        body: &str,
        in_portal: bool,
    ) -> Result<Option<String>, Failure> {
        let body = body.trim();
        let after_prefix = body
            .strip_prefix(PREFIX)
            .filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if let Some(words) = after_prefix {
            return Ok(Some(words.trim().to_owned()));
        }
        if !in_portal && self.store.is_bot_room(&event.room_id)? {
            return Ok(Some(body.to_owned()));
        }
        Ok(None)
    }

    /// Runs a command and answers in the same room.
    pub(super) async fn run_command(
        self: &Arc<Self>,
        event: &InboxEvent,
        words: &str,
    ) -> Result<(), Failure> {
        let json: serde_json::Value = serde_json::from_str(event.json.get()).unwrap_or_default();
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
        };
        let answer = match self.carry_out(&context, words, given_at).await? {
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
