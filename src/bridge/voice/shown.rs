//! Under which name and picture the bridge's account speaks for somebody.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ruma::MxcUri;
use serde_json::Value;

use super::Voice;
use crate::bridge::{Bridge, Failure};
use crate::convert::to_rocketchat;
use crate::rocketchat::{RocketMessageId, Username};
use crate::store::Portal;

/// How long it is believed what the bridge's account is and may; changes of permissions
/// are told of besides.
const BELIEVED_FOR: Duration = Duration::from_secs(300);

/// The permission to speak under another name: the role `bot` has it, `admin` has not.
const IMPERSONATE: &str = "message-impersonate";

/// The bridge's account on Rocket.Chat.
#[derive(Debug, Clone)]
struct Account {
    username: String,
    /// Whether it may speak under other names.
    may_use_names: bool,
}

/// The account as it was last seen.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<Option<(Instant, Account)>>);

impl Names {
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// How a message is shown to be somebody's.
#[derive(Debug, Clone, Default)]
pub(in crate::bridge) struct Shown {
    /// Display name in place of the account's.
    pub alias: Option<String>,
    /// Address of a picture in place of the account's.
    pub avatar: Option<String>,
    /// The name where it has to stand in the text, in the dialect of Rocket.Chat.
    in_text: Option<String>,
}

impl Bridge {
    async fn own_account(&self) -> Result<Account, Failure> {
        let seen = {
            let last = &self.voices.names.0;
            last.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        if let Some((at, account)) = seen
            && at.elapsed() < BELIEVED_FOR
        {
            return Ok(account);
        }
        let me = self.rocket().await.bot.me().await?;
        let account = Account {
            may_use_names: self.roles_allow(&me.roles, IMPERSONATE).await?,
            username: me.username.map(Username::into_string).unwrap_or_default(),
        };
        self.note_own_account(account.clone());
        Ok(account)
    }

    fn note_own_account(&self, account: Account) {
        let last = &self.voices.names.0;
        *last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), account));
    }

    /// The user name of the bridge's account.
    pub(in crate::bridge) async fn own_username(&self) -> Result<String, Failure> {
        Ok(self.own_account().await?.username)
    }

    /// Rocket.Chat has refused a name in place of the account's: it stands in the text
    /// for a while.
    pub(in crate::bridge) async fn names_are_refused(&self) -> Result<(), Failure> {
        let account = Account {
            may_use_names: false,
            ..self.own_account().await?
        };
        tracing::warn!(
            "the bridge's account on Rocket.Chat lacks the permission {IMPERSONATE}: names stand in the text"
        );
        self.note_own_account(account);
        Ok(())
    }

    /// Says in the log when the bridge's account may not speak under other names.
    pub(in crate::bridge) async fn check_names(&self) {
        match self.own_account().await {
            Ok(account) if !account.may_use_names => tracing::warn!(
                "the bridge's account on Rocket.Chat lacks the permission {IMPERSONATE}, which the role bot mostly has: for whom it speaks is said in the text of each message"
            ),
            Ok(_) => {}
            Err(failure) => {
                tracing::warn!(%failure, "what the bridge's account may do on Rocket.Chat is not known");
            }
        }
    }

    /// How what is posted now is shown to be somebody's.
    pub(in crate::bridge) async fn shown(
        &self,
        portal: &Portal,
        voice: &Voice,
    ) -> Result<Shown, Failure> {
        let Voice::Relay(relay) = voice else {
            return Ok(Shown::default());
        };
        let seat = self.seat(portal, &relay.user).await?;
        let content = seat.event.map(|event| event.content).unwrap_or_default();
        let text = |key| content.get(key).and_then(Value::as_str);
        let alias = to_rocketchat::alias(text("displayname"), &relay.user);
        if !self.own_account().await?.may_use_names {
            return Ok(Shown {
                in_text: Some(to_rocketchat::plain(&alias)),
                ..Shown::default()
            });
        }
        Ok(Shown {
            avatar: text("avatar_url").and_then(|url| self.face_link(<&MxcUri>::from(url))),
            alias: Some(alias),
            in_text: None,
        })
    }

    /// As [`Bridge::shown`], of a message that is there: its name and picture stay, and a
    /// name that stands in its text has to stand there again.
    pub(in crate::bridge) async fn shown_again(
        &self,
        portal: &Portal,
        voice: &Voice,
        id: &RocketMessageId,
    ) -> Result<Shown, Failure> {
        let mut shown = self.shown(portal, voice).await?;
        if let Voice::Relay(relay) = voice {
            let there = self.rocket().await.bot.get_message(id).await?;
            let has_alias = there.is_some_and(|there| there.alias.is_some());
            if has_alias {
                shown.in_text = None;
            } else if let Some(alias) = &shown.alias {
                shown.in_text = Some(to_rocketchat::plain(alias));
            } else if shown.in_text.is_none() {
                let alias = to_rocketchat::alias(None, &relay.user);
                shown.in_text = Some(to_rocketchat::plain(&alias));
            }
        }
        Ok(shown)
    }

    /// Words as the account may post them: with the name where that has to stand in the
    /// text, and without what the bridge's account would quote for somebody who may not
    /// read it.
    pub(in crate::bridge) async fn words_for(
        &self,
        portal: &Portal,
        voice: &Voice,
        shown: &Shown,
        words: String,
    ) -> Result<String, Failure> {
        if !voice.is_relay() {
            return Ok(words);
        }
        let settings = self.server_settings().await?;
        let site = settings.site_or(&self.config.rocketchat.url);
        let words = to_rocketchat::without_quotes(&words, &site, |id| {
            let id = RocketMessageId::parse(id);
            id.is_ok_and(|id| {
                let known = self.store.message(&portal.id, &id);
                matches!(known, Ok(Some(known)) if known.is_there() && !known.events.is_empty())
            })
        });
        Ok(match &shown.in_text {
            Some(name) if words.is_empty() => name.clone(),
            Some(name) => format!("{name}\n{words}"),
            None => words,
        })
    }
}
