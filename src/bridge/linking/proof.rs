//! Proving an account, from either side, and taking that back.
//!
//! Whoever asks for a code on one side enters it on the other: so the two servers say which
//! accounts these are. A code is given in private, is good once and for some minutes, for
//! whoever enters it first, and for nobody when it was written where others read it. Before
//! anything is done whoever enters it is shown whose accounts would become one: somebody
//! may have been talked into it.

use std::sync::Arc;
use std::time::Duration;

use ruma::{OwnedRoomId, OwnedUserId, UserId};

use super::super::context::{Context, Door, Who};
use super::super::direct::direct_id;
use crate::bridge::{Bridge, Failure, derived};
use crate::clock::now_ms;
use crate::rocketchat::documents::User;
use crate::rocketchat::rest::Credentials;
use crate::rocketchat::{RocketUserId, Username};
use crate::secret::Secret;
use crate::store::{Asker, Link, LoginCode, TokenFrom};

/// How long a code is good.
const GOOD_FOR: Duration = Duration::from_secs(10 * 60);

/// The characters of a code: none that is taken for another.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// How many it has; 5 bits each.
const LENGTH: usize = 12;

/// What stands behind a code to say that it is meant.
const CONFIRM: &str = "--confirm";

fn refused<T>(why: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Refused(why.into()))
}

/// A new code, in groups that are easy to type.
fn new_code() -> String {
    let bytes: [u8; LENGTH] = rand::random();
    let mut code = String::with_capacity(LENGTH + 2);
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 && at % 4 == 0 {
            code.push('-');
        }
        code.push(char::from(ALPHABET[usize::from(byte & 31)]));
    }
    code
}

/// A code as it is compared: however somebody typed it.
fn plain_code(typed: &str) -> String {
    typed
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_uppercase())
        .collect()
}

/// The two accounts that a link is of.
struct Both {
    user: OwnedUserId,
    room: OwnedRoomId,
    account: User,
}

impl Both {
    fn username(&self) -> &str {
        let name = self.account.username.as_ref();
        name.map_or(self.account.id.as_str(), Username::as_str)
    }
}

impl Bridge {
    /// `login`: gives a code, takes one, or takes a token.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell whoever asks.
    pub async fn log_in_person(
        self: &Arc<Self>,
        context: &Context,
        arguments: &str,
    ) -> Result<String, Failure> {
        let _alone = self.linking.changing.lock().await;
        let words: Vec<&str> = arguments.split_whitespace().collect();
        match words.as_slice() {
            [] => self.give_code(context).await,
            ["token"] => refused("Put the token behind it: `login token <token>`"),
            ["token", token] => self.take_token(context, token).await,
            [code] => self.enter_code(context, code, false).await,
            [code, CONFIRM] => self.enter_code(context, code, true).await,
            _ => refused(format!(
                "`login` gives you a code; on the other side `login <code>` shows what it does, and `login <code> {CONFIRM}` does it."
            )),
        }
    }

    /// `logout`: takes a link back.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell whoever asks.
    pub async fn log_out_person(self: &Arc<Self>, context: &Context) -> Result<String, Failure> {
        let _alone = self.linking.changing.lock().await;
        let link = match &context.who {
            Who::Matrix(user) => self.store.link(user)?,
            Who::RocketChat { id, .. } => self.store.link_of_account(id)?,
            Who::Api(_) => return refused("Programs have no accounts of their own."),
        };
        let Some(link) = link else {
            return Ok("Your account is linked to none on the other side.".into());
        };
        let from = link.token.as_ref().map(|token| token.from);
        let own = match self.store.puppet(&link.matrix_id)?.filter(|own| own.own) {
            Some(own) => Some(self.with_token(&own)?),
            None => None,
        };
        self.end_link_kindly(&link, own.as_ref(), "One of them asked for it.")
            .await?;
        if let Some(own) = own.filter(|_| from == Some(TokenFrom::Server)) {
            let rocket = self.rocket().await;
            self.revoke(&rocket, &own).await;
        }
        Ok(format!(
            "`{}` and `{}` on Rocket.Chat are no longer linked, and the bridge has forgotten the token of the account. Under My Account, Personal Access Tokens, you can revoke one that you gave it.",
            link.matrix_id, link.username
        ))
    }

    async fn give_code(&self, context: &Context) -> Result<String, Failure> {
        let asker = match &context.who {
            Who::Matrix(user) => {
                self.must_be_linkable(user)?;
                let room = self.room_between_us(context).await?;
                Asker::Matrix {
                    user: user.clone(),
                    room,
                }
            }
            Who::RocketChat { id, username, .. } => {
                if context.door == Door::Text && !self.is_private_place(context).await? {
                    return refused(
                        "A code is for you alone: write `login` in our direct message, where nobody else reads along.",
                    );
                }
                self.linkable_account(id).await?;
                Asker::RocketChat {
                    id: id.clone(),
                    username: username.clone(),
                }
            }
            Who::Api(_) => return refused("Programs have no accounts of their own."),
        };
        let mut change = self.store.change();
        for known in self.store.login_codes() {
            if known.until < now_ms() || is_same_asker(&known.asker, &asker) {
                change = change.no_login_code(&known.digest);
            }
        }
        let code = new_code();
        let until = now_ms() + i64::try_from(GOOD_FOR.as_millis()).unwrap_or(i64::MAX);
        let noted = LoginCode {
            digest: self.digest_of(&code),
            asker: asker.clone(),
            until,
            entered: None,
        };
        change.login_code(&noted).commit()?;
        self.store.flushed().await?;
        let minutes = GOOD_FOR.as_secs() / 60;
        Ok(match asker {
            Asker::Matrix { user, .. } => format!(
                "Write this to the bridge's account on Rocket.Chat, logged in there as yourself, within {minutes} minutes: `login {code}`\nIt makes `{user}` and that account one person. Show the code to nobody."
            ),
            Asker::RocketChat { username, .. } => format!(
                "Write this to `{}` on Matrix, from your own account there, in a room with nobody else, within {minutes} minutes: `login {code}`\nIt makes `{username}` and that account one person. Show the code to nobody.",
                self.config.appservice.bot
            ),
        })
    }

    fn digest_of(&self, code: &str) -> String {
        derived::code_digest(&self.registration.as_token, &plain_code(code))
    }

    async fn enter_code(
        self: &Arc<Self>,
        context: &Context,
        typed: &str,
        is_meant: bool,
    ) -> Result<String, Failure> {
        let who = match &context.who {
            Who::Matrix(user) => user.to_string(),
            Who::RocketChat { id, .. } => id.to_string(),
            Who::Api(_) => return refused("Programs have no accounts of their own."),
        };
        let digest = self.digest_of(typed);
        // The same command again, whose answer was lost.
        if is_meant && let Some(link) = self.own_link(context)?.filter(|own| own.proof == digest) {
            return self.say_linked(context, &link).await;
        }
        if self.linking.has_guessed_enough(&who) {
            return refused("You have entered too many wrong codes. Try again in ten minutes.");
        }
        let known = self.store.login_code(&digest)?;
        let Some(known) = known.filter(|known| known.until >= now_ms()) else {
            self.linking.note_guess(&who);
            return refused(
                "There is no such code, or it is too old. `login` on the other side gives a new one.",
            );
        };
        let is_sides = matches!(
            (&known.asker, &context.who),
            (Asker::Matrix { .. }, Who::RocketChat { .. })
                | (Asker::RocketChat { .. }, Who::Matrix(_))
        );
        if !is_sides {
            return refused("A code is entered on the other side than the one that gave it.");
        }
        if !self.is_private_place(context).await? {
            let change = self.store.change();
            change.no_login_code(&digest).commit()?;
            self.store.flushed().await?;
            return refused(
                "Others could read this code, so it is good for nothing any more. `login` on the other side gives a new one; enter it where only the bridge reads it.",
            );
        }
        if let Some((first, _)) = &known.entered
            && *first != who
        {
            self.linking.note_guess(&who);
            return refused("Somebody else has entered this code.");
        }
        let both = self.both_of(context, &known).await?;
        let is_shown = known
            .entered
            .as_ref()
            .is_some_and(|(_, command)| *command != context.id);
        if !is_meant || !is_shown {
            if known.entered.is_none() {
                let entered = LoginCode {
                    entered: Some((who, context.id.clone())),
                    ..known
                };
                self.store.change().login_code(&entered).commit()?;
                self.store.flushed().await?;
            }
            let command = context.written(&format!("login {typed} {CONFIRM}"));
            return Ok(format!(
                "This makes `{}` on Matrix and `{}` (`{}`) on Rocket.Chat one person: what either writes is said as the other, and who has one of them speaks as both. Do it only if both are yours, and if you asked for the code yourself. If so, write: `{command}`",
                both.user,
                both.username(),
                both.account.id
            ));
        }
        self.link_both(context, &both, &digest).await
    }

    async fn link_both(
        self: &Arc<Self>,
        context: &Context,
        both: &Both,
        digest: &str,
    ) -> Result<String, Failure> {
        let rocket = self.rocket().await;
        let id = &both.account.id;
        let token = match self.token_from_server(&rocket, id).await? {
            Some(token) => Some(self.seal_token(&both.user, id, &token, TokenFrom::Server)?),
            None => None,
        };
        let link = Link {
            matrix_id: both.user.clone(),
            rocket_id: id.clone(),
            username: both.username().to_owned(),
            token,
            room: both.room.clone(),
            proof: digest.to_owned(),
            since: now_ms(),
        };
        self.store
            .change()
            .link(&link)
            .no_login_code(digest)
            .commit()?;
        self.store.flushed().await?;
        tracing::info!(user = %link.matrix_id, account = %link.rocket_id, "two accounts are linked");
        self.say_linked(context, &link).await
    }

    /// Tells the other side, and what the one that asked is answered.
    async fn say_linked(
        self: &Arc<Self>,
        context: &Context,
        link: &Link,
    ) -> Result<String, Failure> {
        if link.token.is_some() {
            self.accounts_changed(link);
        }
        let (text, ask) = (linked_words(link), ask_for_token(link));
        let told = match &context.who {
            Who::Matrix(_) => {
                self.tell_on_rocketchat(&link.rocket_id, &link.proof, "linked", &text)
                    .await
            }
            _ => {
                let text = format!("{text}{}", ask.clone().unwrap_or_default());
                self.tell_on_matrix(link, "linked", &text).await
            }
        };
        match told {
            Err(failure) if failure.is_permanent() => {
                tracing::warn!(user = %link.matrix_id, %failure, "somebody could not be told that their accounts are linked");
            }
            told => told?,
        }
        Ok(match (&context.who, ask) {
            (_, None) => text,
            (Who::Matrix(_), Some(ask)) => format!("{text}{ask}"),
            _ => format!(
                "{text} Rocket.Chat gives the bridge no token for your account, though: go on in your room with the bridge on Matrix, where it says how."
            ),
        })
    }

    /// A personal access token that somebody sends, where the server gives none.
    async fn take_token(
        self: &Arc<Self>,
        context: &Context,
        token: &str,
    ) -> Result<String, Failure> {
        let Who::Matrix(user) = &context.who else {
            return refused(
                "The token is for the bridge on Matrix: write this there, in a room with nobody else.",
            );
        };
        // Whatever it is, it stays nowhere.
        let is_gone = self.take_away(context).await?;
        let room = self
            .room_between_us(context)
            .await
            .map_err(|failure| match failure {
                Failure::Refused(why) => Failure::Refused(format!(
                    "{why} Others may have read the token: revoke it on Rocket.Chat."
                )),
                other => other,
            })?;
        let Some(link) = self.store.link(user)? else {
            return refused("First prove the account on Rocket.Chat: `login` gives you a code.");
        };
        let token = Secret::new(token);
        let credentials = Credentials {
            user_id: link.rocket_id.clone(),
            token: token.clone(),
        };
        let rocket = self.rocket().await;
        match rocket.client.session(credentials).me().await {
            Ok(me) if me.id == link.rocket_id => {}
            Ok(_) => return refused("This token belongs to another account."),
            Err(error) if error.is_unauthorized() => {
                return refused(format!(
                    "Rocket.Chat does not accept this token for {}. It must be one of that account, made with \"Ignore Two Factor Authentication\".",
                    link.username
                ));
            }
            Err(error) => return Err(error.into()),
        }
        let sealed = self.seal_token(user, &link.rocket_id, &token, TokenFrom::Person)?;
        let link = Link {
            token: Some(sealed),
            room,
            ..link
        };
        self.store.change().link(&link).commit()?;
        self.store.flushed().await?;
        self.accounts_changed(&link);
        let rest = match is_gone {
            true => "",
            false => {
                " I may not remove your message with the token from this room: remove it yourself."
            }
        };
        Ok(format!("{}{rest}", linked_words(&link)))
    }

    /// Removes the message that a command came in, where the bot may; whether it is gone.
    async fn take_away(&self, context: &Context) -> Result<bool, Failure> {
        let (Some(room), Some(event)) = (&context.room, &context.event) else {
            return Ok(false);
        };
        let txn = derived::notice_id(event, "a token");
        match self.matrix.bot().redact(room, event, &txn, None).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_forbidden() || error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The link of whoever asks.
    fn own_link(&self, context: &Context) -> Result<Option<Link>, Failure> {
        Ok(match &context.who {
            Who::Matrix(user) => self.store.link(user)?,
            Who::RocketChat { id, .. } => self.store.link_of_account(id)?,
            Who::Api(_) => None,
        })
    }

    /// Whose accounts a code would make one, if they still may be.
    async fn both_of(&self, context: &Context, code: &LoginCode) -> Result<Both, Failure> {
        let (user, room, id) = match (&code.asker, &context.who) {
            (Asker::Matrix { user, room }, Who::RocketChat { id, .. }) => (user, room.clone(), id),
            (Asker::RocketChat { id, .. }, Who::Matrix(user)) => {
                (user, self.room_between_us(context).await?, id)
            }
            _ => return refused("A code is entered on the other side."),
        };
        self.must_be_linkable(user)?;
        let account = self.linkable_account(id).await?;
        Ok(Both {
            user: user.clone(),
            room,
            account,
        })
    }

    fn must_be_linkable(&self, user: &UserId) -> Result<(), Failure> {
        if self.config.is_ours(user) {
            return refused("This Matrix user stands for somebody of Rocket.Chat already.");
        }
        match self.store.link(user)? {
            Some(link) => refused(format!(
                "{user} is linked to {} on Rocket.Chat already. `logout` ends that.",
                link.username
            )),
            None => Ok(()),
        }
    }

    /// An account on Rocket.Chat that somebody may link: a person's own, in use, and not
    /// linked.
    async fn linkable_account(&self, id: &RocketUserId) -> Result<User, Failure> {
        let rocket = self.rocket().await;
        let account = rocket.bot.user_by_id(id).await?;
        let Some(account) = account.filter(|account| account.active && !account.federated) else {
            return refused("This account on Rocket.Chat is not in use there.");
        };
        let is_program = account.roles.iter().any(|role| role == "bot")
            || matches!(account.kind.as_deref(), Some("bot" | "app"));
        let is_ours = *id == *rocket.bot.user_id() || self.store.behind_made_puppet(id)?.is_some();
        if is_program || is_ours {
            return refused("This account on Rocket.Chat is no person's.");
        }
        match self.store.link_of_account(id)? {
            Some(link) => refused(format!(
                "This account on Rocket.Chat is linked to {} on Matrix already. `logout` ends that.",
                link.matrix_id
            )),
            None => Ok(account),
        }
    }

    /// The room on Matrix in which somebody talks with the bridge alone.
    async fn room_between_us(&self, context: &Context) -> Result<OwnedRoomId, Failure> {
        match &context.room {
            Some(room) if self.is_between_us(context).await? => Ok(room.clone()),
            _ => refused(format!(
                "This is for a room with nobody else: write it to {} in a direct message.",
                self.config.appservice.bot
            )),
        }
    }

    /// Whether nobody but the bridge could read what was written.
    async fn is_private_place(&self, context: &Context) -> Result<bool, Failure> {
        match (&context.who, context.door) {
            (Who::RocketChat { .. }, Door::App) => Ok(true),
            // In the direct message with the bridge's account there is no room around.
            (Who::RocketChat { id, .. }, _) => match &context.rid {
                None => Ok(true),
                Some(rid) => {
                    let rocket = self.rocket().await;
                    Ok(*rid == direct_id(rocket.bot.user_id(), id))
                }
            },
            _ => self.is_between_us(context).await,
        }
    }
}

fn is_same_asker(one: &Asker, other: &Asker) -> bool {
    match (one, other) {
        (Asker::Matrix { user: one, .. }, Asker::Matrix { user: other, .. }) => one == other,
        (Asker::RocketChat { id: one, .. }, Asker::RocketChat { id: other, .. }) => one == other,
        _ => false,
    }
}

fn linked_words(link: &Link) -> String {
    format!(
        "`{}` on Matrix and `{}` (`{}`) on Rocket.Chat are now one person. If you do not know one of them, write `logout` at once.",
        link.matrix_id, link.username, link.rocket_id
    )
}

/// What is said where the server gives no token.
fn ask_for_token(link: &Link) -> Option<String> {
    link.token.is_none().then(|| {
        format!(
            " One thing is missing: Rocket.Chat gives the bridge no token for `{}`. Make one there (My Account, Personal Access Tokens, with \"Ignore Two Factor Authentication\") and write here: `login token <token>`",
            link.username
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_the_same_however_it_is_typed() {
        let code = new_code();
        assert_eq!(code.len(), LENGTH + 2);
        assert_eq!(plain_code(&code).len(), LENGTH);
        let typed = code.to_lowercase().replace('-', " ");
        assert_eq!(plain_code(&typed), plain_code(&code));
        assert_ne!(new_code(), code);
    }
}
