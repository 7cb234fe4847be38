//! The door through which people give the bridge commands on Rocket.Chat: as text, since
//! servers without a licence run no private apps from 7.0 on. In the direct message with
//! the bridge's account everything is a command, elsewhere what starts with `!matrix`, or
//! `/matrix` where a client sends that as a message.
//!
//! A command is written down when it is taken, never mirrored, and answered in the direct
//! message with the bridge's account, under an id that follows from its own: so it is
//! answered once, also across a kill. What somebody writes on Matrix comes from a puppet
//! or the bridge's account and is no command here.

use std::sync::Arc;

use super::context::{Context, Door, Who};
use super::lane::Place;
use super::pace::Outcome;
use super::states::one_line;
use super::{Bridge, Failure, derived};
use crate::clock::now_ms;
use crate::convert::to_rocketchat;
use crate::retry::Retryable as _;
use crate::rocketchat::documents::{Message as RocketMessage, User};
use crate::rocketchat::rest::OutgoingMessage;
use crate::rocketchat::{RocketMessageId, RocketUserId};
use crate::store::{ASKED_REMEMBERED_FOR, Asked, Portal};

/// What makes a message a command.
const PREFIXES: [&str; 2] = ["!matrix", "/matrix"];

/// How much of a command is read, in characters.
const LONGEST: usize = 2000;

/// How much of it is repeated with its answer.
const LONGEST_SHOWN: usize = 300;

/// From what age on (ms) it is looked whether a command was answered by a bridge that has
/// forgotten it.
const OLD_MS: i64 = 60_000;

/// How far before the last look is looked again, in ms: clocks differ.
pub(super) const OVERLAP_MS: i64 = 10 * 60 * 1000;

/// What is said where others read it to somebody whom the bridge cannot answer.
const UNTOLD: &str = "I have dealt with that. What I answer is for you alone, and I cannot write to you: unblock me, or open a direct message with me, and ask me there.";

/// The same, of what was not dealt with.
const UNTOLD_AND_UNDONE: &str = "That is not done. Why is for you alone, and I cannot write to you: unblock me, or open a direct message with me, and ask me there.";

/// Why somebody is not heard whose account is switched off.
const INACTIVE: &str = "This account on Rocket.Chat is switched off.";

/// What somebody wants, if the text starts with the prefix.
fn after_prefix(text: &str) -> Option<&str> {
    let text = text.trim();
    PREFIXES.iter().find_map(|prefix| {
        let start = text.get(..prefix.len())?;
        let rest = text.get(prefix.len()..)?;
        let is_word = rest.is_empty() || rest.starts_with(char::is_whitespace);
        (start.eq_ignore_ascii_case(prefix) && is_word).then(|| rest.trim())
    })
}

impl Bridge {
    /// Takes a message of a mirrored room, by somebody of Rocket.Chat, for a command if it
    /// is one: then it is not mirrored.
    pub(super) async fn take_command_of(
        self: &Arc<Self>,
        portal: &Portal,
        message: &RocketMessage,
    ) -> Result<bool, Failure> {
        let may_be = after_prefix(&message.msg).is_some() || message.edited_at.is_some();
        if !may_be {
            return Ok(false);
        }
        // Also what another room of the channel knows: what a linked person wrote there on
        // Matrix comes from their own account.
        let others = self.sources_besides(portal)?;
        for one in std::iter::once(portal).chain(&others) {
            if self.store.message(&one.id, &message.id)?.is_some() {
                return Ok(false);
            }
        }
        let is_taken = self.take_command(message, false)?;
        // Written before the room was mirrored: for whoever listened then.
        Ok(is_taken || (after_prefix(&message.msg).is_some() && message.ts.0 <= portal.since))
    }

    /// Something was written in a room that is not mirrored: perhaps to the bridge.
    pub(super) fn on_unmirrored_words(self: &Arc<Self>, message: Box<RocketMessage>) {
        let Some(rocket) = self.rocket_if_there() else {
            return;
        };
        let to_bot = is_to_bot(&message, rocket.bot.user_id());
        if !may_be_command(&message, to_bot) {
            return;
        }
        let bridge = Arc::clone(self);
        tokio::spawn(async move {
            let taken = bridge
                .persevere(async |_| {
                    if bridge.is_for_matrix(&message).await? {
                        bridge.take_command(&message, to_bot)?;
                    }
                    Ok(())
                })
                .await;
            if let Err(failure) = taken {
                tracing::error!(message = %message.id, %failure, "a command could not be taken");
            }
        });
    }

    /// Takes a message of somebody of Rocket.Chat for a command if it is one. `true` when
    /// it is, or was before it was edited.
    pub(super) fn take_command(
        self: &Arc<Self>,
        message: &RocketMessage,
        to_bot: bool,
    ) -> Result<bool, Failure> {
        if self.store.is_asked(&message.id)? {
            return Ok(true);
        }
        // What a moderator made of somebody's words is not theirs, nor is what an
        // integration says under their name.
        let by_another = (message.edited_by.as_ref()).is_some_and(|by| by.id != message.u.id);
        if message.t.is_some() || message.bot || message.imported || by_another {
            return Ok(false);
        }
        let prefixed = after_prefix(&message.msg);
        let words = match prefixed {
            Some(words) => words,
            None if to_bot => message.msg.trim(),
            None => return Ok(false),
        };
        let remembered = i64::try_from(ASKED_REMEMBERED_FOR.as_millis()).unwrap_or(i64::MAX);
        if message.ts.0 < now_ms() - remembered + 2 * OVERLAP_MS {
            // Whether it was answered is forgotten.
            return Ok(true);
        }
        let asked = Asked {
            message: message.id.clone(),
            rid: message.rid.clone(),
            by: message.u.id.clone(),
            words: words.chars().take(LONGEST).collect(),
            at: message.ts.0,
            to_bot,
            prefixed: prefixed.is_some(),
            call: None,
        };
        if self.store.take_asked(&asked)? {
            self.enqueue_asked(&asked);
        }
        Ok(true)
    }

    fn enqueue_asked(&self, asked: &Asked) {
        let place = Place {
            people: vec![asked.by.as_str().to_owned()],
            id: asked.message.as_str().to_owned(),
            refers_to: Vec::new(),
            changes: Vec::new(),
            alone: true,
            slow: false,
        };
        self.asked.push(&asked.by, [(place, asked.message.clone())]);
    }

    /// Takes up commands that an earlier run has not answered.
    pub(super) fn take_up_asked(&self) {
        for asked in self.store.all_asked() {
            self.enqueue_asked(&asked);
        }
    }

    /// Does what a command asks for, and answers.
    pub(super) async fn work_asked(self: Arc<Self>, message: RocketMessageId) {
        let asked = match self.store.asked(&message) {
            Ok(Some(asked)) => asked,
            Ok(None) => return,
            Err(error) => {
                // It stays, for a program that can read it.
                tracing::error!(%message, %error, "a command cannot be worked");
                return;
            }
        };
        // Without a place among those who try something, which others need meanwhile.
        self.rocket().await;
        let mut done = self.persevere(|_| self.answer(&asked, None)).await;
        if let Err(failure) = &done {
            tracing::error!(%message, %failure, "a command failed");
            let why = failure.person_text();
            done = self.persevere(|_| self.answer(&asked, Some(&why))).await;
        }
        if let Err(failure) = done {
            tracing::error!(%message, %failure, "nobody could be told what came of a command");
        }
        if let Err(error) = self.store.note_answered(&asked, now_ms()) {
            tracing::error!(%message, %error, "it is not noted that a command was answered");
        }
    }

    /// Answers a command: with what came of it, or `instead` with that.
    async fn answer(self: &Arc<Self>, asked: &Asked, instead: Option<&str>) -> Result<(), Failure> {
        let rocket = self.rocket().await;
        let id = self.id_of_answer(asked);
        if asked.at < now_ms() - OLD_MS && rocket.bot.get_message(&id).await?.is_some() {
            return Ok(());
        }
        let Some(account) = rocket.bot.user_by_id(&asked.by).await? else {
            return Ok(());
        };
        // Two programs that answer each other never end.
        let is_program = account.roles.iter().any(|role| role == "bot");
        if is_program && !asked.prefixed {
            return Ok(());
        }
        let context = match &asked.call {
            Some(_) => self.context_of_call(asked, &account).await?,
            None => Context {
                who: Who::of_account(&account),
                door: Door::Text,
                room: None,
                rid: (!asked.to_bot).then(|| asked.rid.clone()),
                id: asked.message.to_string(),
                event: None,
                prefix: if asked.to_bot { "" } else { PREFIXES[0] },
                unplaced: Vec::new(),
            },
        };
        if self
            .refuse_inactive(&context, &account, &asked.words)
            .is_err()
        {
            return Ok(());
        }
        let outcome = match instead {
            Some(why) => Outcome::Answered(why.to_owned()),
            None => self.carry_out(&context, &asked.words, asked.at).await?,
        };
        // What was too many is not taken away: it can be given again.
        let (answer, is_dealt_with) = match outcome {
            Outcome::Answered(answer) => (answer, instead.is_none()),
            Outcome::TooMany(answer) => (answer, false),
            Outcome::Silent => return Ok(()),
        };
        if self.tell_answer(asked, &answer, is_dealt_with).await? && is_dealt_with {
            self.clear_away(asked).await?;
        }
        Ok(())
    }

    fn id_of_answer(&self, asked: &Asked) -> RocketMessageId {
        match asked.call {
            Some(_) => asked.message.clone(),
            None => derived::answer_id(&self.registration.as_token, &asked.message),
        }
    }

    /// Tells somebody in their direct message with the bridge what came of their command; or,
    /// where that cannot be, in the room where they gave it that it cannot. `true` when they
    /// have the answer.
    ///
    /// # Errors
    /// When they can be told neither way.
    pub(super) async fn tell_answer(
        &self,
        asked: &Asked,
        answer: &str,
        is_dealt_with: bool,
    ) -> Result<bool, Failure> {
        let id = self.id_of_answer(asked);
        let text = match asked.to_bot && asked.call.is_none() {
            true => answer.to_owned(),
            false => {
                let words = one_line(&asked.words.replace('`', "'"), LONGEST_SHOWN);
                format!("To `{words}`: {answer}")
            }
        };
        let text = to_rocketchat::plain_with_code(&text);
        match self.tell_directly(&asked.by, &id, &text).await {
            // Blocked, or direct messages are switched off.
            Err(failure) if failure.is_permanent() && !asked.to_bot => {
                tracing::debug!(%failure, "somebody cannot be written to");
            }
            outcome => return outcome.map(|()| true),
        }
        // Never the answer: a code in it would be whoever's enters it first.
        let text = match is_dealt_with {
            true => UNTOLD,
            false => UNTOLD_AND_UNDONE,
        };
        let rocket = self.rocket().await;
        // Nothing that they wrote shows who it is for, where the App brought it.
        let (text, thread) = match asked.call {
            None => (text.to_owned(), Some(&asked.message)),
            Some(_) => {
                if !rocket.bot.is_member(&asked.rid, &asked.by).await? {
                    return Ok(false);
                }
                let account = rocket.bot.user_by_id(&asked.by).await?;
                let Some(name) = account.and_then(|account| account.username) else {
                    return Ok(false);
                };
                (format!("@{name} {text}"), None)
            }
        };
        let message = OutgoingMessage {
            id: &id,
            rid: &asked.rid,
            msg: &text,
            tmid: thread,
            alias: None,
            avatar: None,
            emoji: None,
        };
        rocket.bot.send_message(&message).await?;
        Ok(false)
    }

    /// Refuses a command of somebody whose account is switched off, which keeps its roles,
    /// and notes that.
    ///
    /// # Errors
    /// [`Failure::Refused`] for such an account.
    pub(super) fn refuse_inactive(
        &self,
        context: &Context,
        account: &User,
        words: &str,
    ) -> Result<(), Failure> {
        if account.active {
            return Ok(());
        }
        let refused = Err(Failure::Refused(INACTIVE.into()));
        if let Some(given) = self.commands.given_by(words) {
            self.audit(context, given.name, "", &refused);
        }
        refused
    }

    /// Takes a command away from a room where others read it, where the bridge's account
    /// may.
    async fn clear_away(&self, asked: &Asked) -> Result<(), Failure> {
        if asked.to_bot || asked.call.is_some() {
            return Ok(());
        }
        let rocket = self.rocket().await;
        match rocket
            .bot
            .delete_message(&asked.rid, &asked.message, false)
            .await
        {
            Err(error) if matches!(error.advice(), crate::retry::Advice::GiveUp) => {
                tracing::debug!(rid = %asked.rid, %error, "a command stays where it was written");
                Ok(())
            }
            outcome => Ok(outcome?),
        }
    }
}

/// Whether a message of a room that is not mirrored may be a command. What was one before it
/// was edited has been taken.
pub(super) fn may_be_command(message: &RocketMessage, to_bot: bool) -> bool {
    to_bot || (after_prefix(&message.msg).is_some() && message.edited_at.is_none())
}

/// Whether it was written in the direct message of its author with the bridge's account.
pub(super) fn is_to_bot(message: &RocketMessage, bot: &RocketUserId) -> bool {
    message.rid == super::direct::direct_id(bot, &message.u.id)
}

#[cfg(test)]
mod tests {
    use super::after_prefix;

    #[test]
    fn a_command_starts_with_its_prefix_as_a_word() {
        for (text, words) in [
            ("!matrix dm @a:b.org", Some("dm @a:b.org")),
            (" /matrix\thelp ", Some("help")),
            ("!MATRIX", Some("")),
            ("!matrixdm", None),
            ("see !matrix help", None),
            ("!matri", None),
            ("ä!matrix", None),
            ("", None),
        ] {
            assert_eq!(after_prefix(text), words, "{text:?}");
        }
    }
}
