//! Who stands behind a reaction on Rocket.Chat, and with which account one of Matrix was
//! given there.

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId};

use crate::bridge::voice::Voice;
use crate::bridge::{Bridge, Failure};
use crate::clock::now_ms;
use crate::rocketchat::documents::{Message as RocketMessage, UserRef};
use crate::rocketchat::{RocketUserId, Username};
use crate::store::{Ghost, Origin, Portal, Reaction, Reactions};

/// How long after it was given a reaction of somebody's own account may be lost (ms). Later
/// they have taken it away.
const LOST_WITHIN_MS: i64 = 10_000;

/// Who stands behind a username.
pub(super) enum Who {
    Ghost(Ghost),
    /// A linked person: who says it on Matrix, and their user there.
    Linked(Ghost, OwnedUserId),
    /// The bridge itself speaks as them.
    Ours(RocketUserId),
    /// The bridge's own account.
    Bridge,
    /// They are kept out of the Matrix room.
    Banned,
    Nobody,
}

/// Whether a message has this reaction of somebody's.
fn gives(message: &RocketMessage, emoji: &str, username: &str) -> bool {
    let users = message.reactions.get(&format!(":{emoji}:"));
    users.is_some_and(|users| users.iter().any(|name| name.as_str() == username))
}

/// What a document shows of reactions that is not as it was.
pub(super) struct Changes {
    /// Somebody gives another one.
    has_new: bool,
    /// Whose are gone.
    gone: BTreeSet<String>,
}

impl Changes {
    pub(super) fn of(before: &Reactions, now: &BTreeSet<(&str, &str)>) -> Self {
        let had = |emoji: &str, name: &str| {
            (before.given.iter()).any(|given| given.emoji == emoji && given.username == name)
                || (before.refused.iter()).any(|(of, by)| of == emoji && by == name)
        };
        let gone = (before.given.iter())
            .filter(|given| !now.contains(&(given.emoji.as_str(), given.username.as_str())))
            .map(|given| given.username.clone());
        Self {
            has_new: now.iter().any(|(emoji, name)| !had(emoji, name)),
            gone: gone.collect(),
        }
    }

    /// Whether nothing has happened but that this one takes theirs away. What loses a
    /// reaction is another one that is written at the same moment, and shows with it.
    fn are_only_of(&self, username: &str) -> bool {
        !self.has_new && self.gone.iter().all(|name| name == username)
    }
}

impl Bridge {
    /// Whether a linked person's account gives a reaction now; none where it cannot be told.
    pub(super) async fn still_reacts(
        &self,
        message: &RocketMessage,
        user: &UserId,
        emoji: &str,
        username: &str,
    ) -> Result<Option<bool>, Failure> {
        let own = self.puppet_of(user).await?;
        let id = &message.id;
        let now = self
            .as_puppet(&own, |session| async move { session.get_message(id).await })
            .await;
        match now {
            Ok(now) => Ok(Some(now.is_some_and(|now| gives(&now, emoji, username)))),
            Err(failure) if failure.is_permanent() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Whether a reaction that a linked person gave on Matrix is there now, although a
    /// document lacks it, which may be older.
    pub(super) async fn is_there_after_all(
        &self,
        message: &RocketMessage,
        reaction: &Reaction,
    ) -> Result<bool, Failure> {
        let own = self.store.linked_user(&reaction.user)?;
        if reaction.origin != Origin::Matrix
            || reaction.relayed
            || own.is_none_or(|link| link.username != reaction.username)
        {
            return Ok(false);
        }
        let (user, emoji) = (&reaction.user, &reaction.emoji);
        let now = self
            .still_reacts(message, user, emoji, &reaction.username)
            .await?;
        Ok(now == Some(true))
    }

    /// The account of a Matrix user that has that name, or the one that acts for them.
    async fn account_named(
        &self,
        user: &UserId,
        username: &str,
    ) -> Result<crate::store::Puppet, Failure> {
        match self.store.made_puppet(user)? {
            Some(made) if made.username == username => return Ok(made),
            _ => {}
        }
        if self.is_of_ended_link(user, username)? {
            return Err(Failure::Refused(
                "It was given with an account on Rocket.Chat that is no longer linked to yours: take it away there.".into(),
            ));
        }
        self.puppet_of(user).await
    }

    /// Whether a name is neither a puppet's nor that of the account that acts for its user
    /// now: so it is one that did, or the puppet was renamed.
    fn is_of_ended_link(&self, user: &UserId, username: &str) -> Result<bool, Failure> {
        let now = self.store.puppet(user)?;
        let made = self.store.made_puppet(user)?;
        let is_known = (now.iter().chain(&made)).any(|puppet| puppet.username == username);
        Ok(!is_known && self.store.has_been_linked(user)?)
    }

    /// Whether a reaction that was given on Matrix, and is not there, was taken away on
    /// Rocket.Chat by the person themselves. One that was given a moment ago may as well be
    /// lost, unless the document shows nothing else that is new. One that was never seen there
    /// since it was given may not have come yet.
    pub(super) fn was_taken_there(
        &self,
        reaction: &Reaction,
        changes: &Changes,
    ) -> Result<bool, Failure> {
        let own = self.store.linked_user(&reaction.user)?;
        let by_own = own.is_some_and(|link| link.username == reaction.username);
        if self.is_of_ended_link(&reaction.user, &reaction.username)? {
            return Ok(true);
        }
        let is_old = now_ms().saturating_sub(reaction.given_at) > LOST_WITHIN_MS;
        let is_alone = changes.are_only_of(&reaction.username);
        Ok(by_own && (is_old || (reaction.seen_there && is_alone)))
    }

    /// A linked person, as who speaks as themselves.
    pub(super) fn themselves(&self, user: &UserId) -> Result<Option<Ghost>, Failure> {
        let Some(link) = self.store.linked_user(user)? else {
            return Ok(None);
        };
        let ghost = self.store.ghost(&link.rocket_id)?;
        Ok(ghost.map(|ghost| Ghost {
            user_id: link.matrix_id,
            ..ghost
        }))
    }

    /// With which account a reaction of Matrix was given.
    pub(in crate::bridge) async fn voice_of_reaction(
        &self,
        reaction: &Reaction,
    ) -> Result<Voice, Failure> {
        match reaction.relayed {
            true => self.relay_for(&reaction.user).await,
            false => Ok(Voice::Puppet(
                self.account_named(&reaction.user, &reaction.username)
                    .await?,
            )),
        }
    }

    /// Removes an account's reaction if it is there: the server takes the removal of
    /// one that is not there for a reaction, where the message has none at all
    /// (6.14, 7.x).
    pub(in crate::bridge) async fn unreact(
        &self,
        voice: &Voice,
        username: &str,
        id: &crate::rocketchat::RocketMessageId,
        emoji: &str,
    ) -> Result<(), Failure> {
        let there = self
            .as_voice(
                voice,
                |session| async move { session.get_message(id).await },
            )
            .await?;
        if !there.is_some_and(|message| gives(&message, emoji, username)) {
            return Ok(());
        }
        self.as_voice(voice, |session| async move {
            session.react(id, emoji, false).await
        })
        .await
    }

    /// Whose name this is now. Asked for each time: a name that changes hands must
    /// not give anybody another's reactions.
    pub(super) async fn who_is(&self, portal: &Portal, username: &str) -> Result<Who, Failure> {
        let rocket = self.rocket().await;
        let Ok(username) = Username::parse(username) else {
            return Ok(Who::Nobody);
        };
        let Some(user) = rocket.bot.user_by_username(&username).await? else {
            return Ok(Who::Nobody);
        };
        if self.store.behind_made_puppet(&user.id)?.is_some() {
            return Ok(Who::Ours(user.id));
        }
        if user.id == *rocket.bot.user_id() {
            return Ok(Who::Bridge);
        }
        if user.federated {
            return Ok(Who::Nobody);
        }
        if self
            .is_linked_and_silenced(portal, &user.id, "m.reaction")
            .await?
        {
            return Ok(Who::Banned);
        }
        let speaker = self.says_as(portal, &UserRef::from(&user)).await?;
        Ok(match self.store.linked(&user.id)? {
            Some(link) => Who::Linked(speaker, link.matrix_id),
            None => Who::Ghost(speaker),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::{event_id, user_id};

    use super::*;

    fn given(emoji: &str, username: &str) -> Reaction {
        Reaction {
            emoji: emoji.into(),
            username: username.into(),
            user: user_id!("@alice:example.org").to_owned(),
            origin: Origin::Matrix,
            event: event_id!("$event").to_owned(),
            repairs: 0,
            ending: false,
            given_at: 0,
            seen_there: true,
            relayed: false,
        }
    }

    #[test]
    fn what_another_does_at_the_same_moment_may_have_lost_a_reaction() {
        let before = Reactions {
            given: vec![
                given("heart", "alicia"),
                given("tada", "alicia"),
                given("eyes", "carol"),
            ],
            refused: vec![("rocket".into(), "dave".into())],
            ..Reactions::default()
        };
        let is_only_hers = |now: &[(&'static str, &'static str)]| {
            let now = now.iter().copied().collect();
            Changes::of(&before, &now).are_only_of("alicia")
        };
        let (eyes, rocket) = (("eyes", "carol"), ("rocket", "dave"));
        assert!(is_only_hers(&[("tada", "alicia"), eyes, rocket]));
        assert!(is_only_hers(&[eyes, rocket]), "both of hers");
        assert!(!is_only_hers(&[rocket]), "another's is gone too");
        assert!(!is_only_hers(&[eyes, rocket, ("heart", "carol")]));
        assert!(!is_only_hers(&[eyes, rocket, ("grin", "alicia")]));
    }
}
