//! Reactions: Rocket.Chat sends, with every change, the message with all that are
//! there now, by names; what changed shows only beside what was there before.

use std::collections::BTreeSet;

use ruma::OwnedEventId;
use serde_json::{Value, json};

use crate::bridge::voice::Voice;
use crate::bridge::{Bridge, Failure, derived};
use crate::clock::now_ms;
use crate::rocketchat::documents::{Message as RocketMessage, UserRef};
use crate::rocketchat::{RocketUserId, Username};
use crate::store::{BegunReaction, Ghost, Message, Origin, Portal, Reaction, Reactions};

/// How often a reaction that Rocket.Chat has lost is given again. It keeps all
/// reactions to a message in one place and writes them without a lock: of several
/// at the same moment some are lost (6.14, 7.x).
const MOST_REPAIRS: u8 = 10;

/// How long after it was given a reaction of somebody's own account may be lost (ms). Later
/// they have taken it away.
const LOST_WITHIN_MS: i64 = 10_000;

/// Who stands behind a username.
enum Who {
    Ghost(Ghost),
    /// The bridge itself speaks as them.
    Ours(RocketUserId),
    /// The bridge's own account.
    Bridge,
    Nobody,
}

/// What a document shows of reactions that is not as it was.
struct Changes {
    /// Somebody gives another one.
    has_new: bool,
    /// Whose are gone.
    gone: BTreeSet<String>,
}

impl Changes {
    fn of(before: &Reactions, now: &BTreeSet<(&str, &str)>) -> Self {
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
    pub(super) async fn mirror_reactions(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        known: &Message,
    ) -> Result<(), Failure> {
        if known.room_id != portal.room_id || known.events.is_empty() {
            return Ok(());
        }
        let has_any = !message.reactions.is_empty();
        if !has_any {
            let known = self.store.reactions(&portal.id, &message.id)?;
            if known.given.is_empty() && known.begun.is_empty() {
                return Ok(());
            }
        }
        let _one_at_a_time = self.reacting.lock(&message.id).await;
        let mut reactions = self.store.reactions(&portal.id, &message.id)?;
        let seen = message.updated_at.map_or(0, |at| at.0);
        if seen < reactions.seen {
            return Ok(());
        }
        let now: BTreeSet<(&str, &str)> = message
            .reactions
            .iter()
            .flat_map(|(emoji, users)| {
                let emoji = emoji.trim_matches(':');
                users.iter().map(move |user| (emoji, user.as_str()))
            })
            .collect();
        let changes = Changes::of(&reactions, &now);
        self.end_begun(portal, message, known, &mut reactions, &now)
            .await?;
        self.remove_reactions(portal, message, known, &mut reactions, (&now, &changes))
            .await?;
        for (emoji, username) in &now {
            let is_known = reactions
                .given
                .iter()
                .any(|known| known.emoji == *emoji && known.username == *username);
            let of = ((*emoji).to_owned(), (*username).to_owned());
            if is_known || reactions.refused.contains(&of) {
                continue;
            }
            let added = self
                .add_reaction(portal, message, known, &reactions, emoji, username)
                .await;
            match added {
                Ok(Some(reaction)) => reactions.given.push(reaction),
                Ok(None) => continue,
                // The message is there: what one reaction lacks is not its author's loss,
                // nor that of the other reactions.
                Err(failure) if failure.is_permanent() => {
                    tracing::warn!(message = %message.id, username, %failure, "a reaction is not mirrored");
                    reactions.refused.push(of);
                }
                Err(failure) => return Err(failure),
            }
            let known = self.of_part(known, message);
            self.store.change().reactions(&known, &reactions).commit()?;
        }
        reactions
            .refused
            .retain(|(emoji, username)| now.contains(&(emoji.as_str(), username.as_str())));
        reactions.seen = seen;
        let known = self.of_part(known, message);
        Ok(self.store.change().reactions(&known, &reactions).commit()?)
    }

    /// A reaction that is new on Rocket.Chat; none where nothing is to be remembered.
    async fn add_reaction(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        known: &Message,
        reactions: &Reactions,
        emoji: &str,
        username: &str,
    ) -> Result<Option<Reaction>, Failure> {
        // All that other rooms give are one of the bot's for each emoji.
        let who = match self.who_is(portal, username).await? {
            Who::Ghost(ghost) => Who::Ghost(ghost),
            _ if self.is_given_elsewhere(portal, &message.id, emoji, username)? => {
                Who::Ghost(self.bot_as_ghost().await)
            }
            who => who,
        };
        match who {
            Who::Bridge => {
                let of = self.of_part(known, message);
                if self.is_given_for_somebody(&of, emoji, None)? {
                    return Ok(None);
                }
                // Given for somebody who no longer gives it.
                let voice = self.relay_for(&self.config.appservice.bot).await?;
                self.unreact(&voice, username, &message.id, emoji).await?;
                Ok(None)
            }
            Who::Ghost(ghost) => {
                let begun = BegunReaction {
                    emoji: emoji.to_owned(),
                    username: username.to_owned(),
                    user: ghost.user_id.clone(),
                    at: message.updated_at.map_or(0, |at| at.0),
                };
                let mut noted = reactions.clone();
                noted.begun.push(begun.clone());
                let part = self.of_part(known, message);
                self.store.change().reactions(&part, &noted).commit()?;
                // The event does not say which reaction it is: killed after it is sent,
                // the bridge finds it by this note only.
                self.store.flushed().await?;
                let event = self
                    .give_reaction(portal, message, known, reactions, &ghost, &begun)
                    .await?;
                if let Some(last) = known.events.last()
                    && self.config.is_ours(&ghost.user_id)
                    && ghost.user_id != self.config.appservice.bot
                {
                    self.ghost_has_read(&portal.room_id, &ghost.user_id, last);
                }
                Ok(Some(Reaction {
                    relayed: false,
                    emoji: emoji.to_owned(),
                    username: username.to_owned(),
                    user: ghost.user_id,
                    origin: Origin::RocketChat,
                    event,
                    repairs: 0,
                    ending: false,
                    given_at: 0,
                    seen_there: true,
                }))
            }
            Who::Ours(id) => {
                self.take_back(message, &id, emoji).await?;
                Ok(None)
            }
            Who::Nobody => Err(Failure::Refused("There is no such user.".into())),
        }
    }

    /// What was begun and is no longer wanted when the bridge comes back to it: given
    /// to its end, which finds the event if it is there, and taken away.
    async fn end_begun(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        known: &Message,
        reactions: &mut Reactions,
        now: &BTreeSet<(&str, &str)>,
    ) -> Result<(), Failure> {
        for begun in std::mem::take(&mut reactions.begun) {
            if now.contains(&(begun.emoji.as_str(), begun.username.as_str())) {
                // Given again with the others, as the same.
                continue;
            }
            let ghost = match &begun.user {
                bot if *bot == self.config.appservice.bot => Some(self.bot_as_ghost().await),
                user if self.config.is_ours(user) => {
                    self.store.ghost_by_localpart(user.localpart())?
                }
                user => self.themselves(user)?,
            };
            let Some(ghost) = ghost else {
                continue;
            };
            let given = self
                .give_reaction(portal, message, known, reactions, &ghost, &begun)
                .await;
            let event = match given {
                Ok(event) => event,
                Err(failure) if failure.is_permanent() => continue,
                Err(failure) => return Err(failure),
            };
            // The other name of the same emoji may still be there.
            if reactions.given.iter().any(|other| other.event == event) {
                continue;
            }
            let purpose = format!("no reaction {event}");
            let user = &ghost.user_id;
            let txn = derived::transaction_id(&portal.id, user, &message.id, 0, &purpose);
            let intent = self.acting(&ghost.user_id);
            let removed = intent.redact(&portal.room_id, &event, &txn, None).await;
            match removed.map_err(Failure::from) {
                Err(failure) if !failure.is_permanent() => return Err(failure),
                Err(failure) => tracing::warn!(%event, %failure, "a reaction stays on Matrix"),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// The record under which the reactions to one message of Rocket.Chat are kept,
    /// which may be a piece of a longer one.
    fn of_part(&self, known: &Message, message: &RocketMessage) -> Message {
        Message {
            id: message.id.clone(),
            ..known.clone()
        }
    }

    /// Takes away on Matrix what is no longer there, and gives again what
    /// Rocket.Chat has lost.
    async fn remove_reactions(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        known: &Message,
        reactions: &mut Reactions,
        (now, changes): (&BTreeSet<(&str, &str)>, &Changes),
    ) -> Result<(), Failure> {
        let is_there = |reaction: &Reaction| {
            now.contains(&(reaction.emoji.as_str(), reaction.username.as_str()))
        };
        for given in &mut reactions.given {
            given.seen_there |= is_there(given);
        }
        let mut at = 0;
        while let Some(reaction) = reactions.given.get(at).cloned() {
            // One whose removal was begun is taken away to the end, also if it has been
            // given again since: then it is a new one.
            if is_there(&reaction) && !reaction.ending {
                at += 1;
                continue;
            }
            if reaction.origin == Origin::Matrix && !self.was_taken_there(&reaction, changes)? {
                if let Some(stored) = reactions.given.get_mut(at)
                    && stored.repairs < MOST_REPAIRS
                {
                    stored.repairs += 1;
                    // A repeat of the document that lacks it tells nothing more.
                    stored.seen_there = false;
                    match self.give_again(message, &reaction).await {
                        Err(failure) if failure.is_permanent() => {
                            tracing::warn!(message = %message.id, %failure, "a reaction stays lost");
                            stored.repairs = MOST_REPAIRS;
                        }
                        outcome => outcome?,
                    }
                }
                at += 1;
                continue;
            }
            if let Some(stored) = reactions.given.get_mut(at) {
                stored.ending = true;
                let part = self.of_part(known, message);
                self.store.change().reactions(&part, reactions).commit()?;
                // Else one that is given again meanwhile is taken for this one.
                self.store.flushed().await?;
            }
            reactions.given.remove(at);
            let mut change = self.store.change();
            // The other name of the same emoji may still be there.
            if !reactions
                .given
                .iter()
                .any(|other| other.event == reaction.event)
            {
                let purpose = format!("no reaction {}", reaction.event);
                let txn =
                    derived::transaction_id(&portal.id, &reaction.user, &message.id, 0, &purpose);
                let ghost = self.eraser_of(portal, &reaction.user).await?;
                let room = &portal.room_id;
                match ghost.redact(room, &reaction.event, &txn, None).await {
                    // The ghost was removed from the room.
                    Err(error) if error.is_forbidden() => {
                        let reader = self.reader(portal).await?;
                        if let Err(error) = reader.redact(room, &reaction.event, &txn, None).await {
                            tracing::warn!(%room, %error, "a reaction stays on Matrix");
                        }
                    }
                    Err(error) if error.is_not_found() => {}
                    outcome => {
                        outcome?;
                    }
                }
                change = change.no_reaction(&portal.room_id, &reaction.event);
            }
            let known = self.of_part(known, message);
            change.reactions(&known, reactions).commit()?;
        }
        Ok(())
    }

    /// Reacts as a ghost. The event of the same emoji under another name serves for
    /// both: Matrix allows one only.
    async fn give_reaction(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        known: &Message,
        reactions: &Reactions,
        ghost: &Ghost,
        begun: &BegunReaction,
    ) -> Result<OwnedEventId, Failure> {
        let (emoji, at) = (begun.emoji.as_str(), begun.at);
        let Some(target) = known.events.first() else {
            return Err(Failure::Refused("There is nothing to react to.".into()));
        };
        let mut content = json!({
            "m.relates_to": { "rel_type": "m.annotation", "event_id": target },
        });
        let key = match rocketchat_emoji::unicode(emoji) {
            Some(unicode) => unicode.to_owned(),
            None => {
                let shown = format!(":{emoji}:");
                // MSC4027, and the key that clients knew before it.
                content["shortcode"] = shown.clone().into();
                content["com.beeper.reaction.shortcode"] = shown.clone().into();
                match self.custom_emoji(emoji).await? {
                    Some(custom) => custom.image.to_string(),
                    None => shown,
                }
            }
        };
        content["m.relates_to"]["key"] = Value::from(key.clone());
        let same = reactions.given.iter().find(|other| {
            other.user == ghost.user_id
                && !other.ending
                && other.origin == Origin::RocketChat
                && rocketchat_emoji::unicode(&other.emoji) == Some(key.as_str())
        });
        if let Some(same) = same {
            return Ok(same.event.clone());
        }
        // One that was taken away and given anew, at another time, is another one.
        let purpose = format!("reaction {emoji}");
        let txn = derived::transaction_id(&portal.id, &ghost.user_id, &message.id, at, &purpose);
        let sent = self
            .send_as_ghost(portal, ghost, "m.reaction", &content, &txn, None)
            .await;
        match sent {
            // It is there, and its answer was lost.
            Err(Failure::Matrix(error)) if error.is_duplicate_annotation() => {
                let intent = self.acting(&ghost.user_id);
                let own = intent.own_reaction(&portal.room_id, target, &key).await?;
                own.ok_or(Failure::NotYet("a reaction to be seen"))
            }
            outcome => outcome,
        }
    }

    /// Gives a Matrix user's reaction again that got lost on Rocket.Chat.
    async fn give_again(&self, message: &RocketMessage, lost: &Reaction) -> Result<(), Failure> {
        tracing::info!(message = %message.id, emoji = lost.emoji, "a reaction got lost; it is given again");
        let voice = self.voice_of_reaction(lost).await?;
        self.as_voice(&voice, |session| async move {
            session.react(&message.id, &lost.emoji, true).await
        })
        .await
    }

    /// Takes a puppet's reaction away that its Matrix user no longer gives: at the
    /// same moment as another's it may have come back. Looked at once more, since
    /// the document may be older than what has just been given.
    async fn take_back(
        &self,
        message: &RocketMessage,
        puppet: &RocketUserId,
        emoji: &str,
    ) -> Result<(), Failure> {
        let Some(user) = self.store.behind_made_puppet(puppet)? else {
            return Ok(());
        };
        let made = self.made_puppet_of(&user).await?;
        let username = made.username.clone();
        self.unreact(&Voice::Puppet(made), &username, &message.id, emoji)
            .await
    }

    /// The account of a Matrix user that has that name, or the one that acts for them.
    async fn account_named(
        &self,
        user: &ruma::UserId,
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
    fn is_of_ended_link(&self, user: &ruma::UserId, username: &str) -> Result<bool, Failure> {
        let now = self.store.puppet(user)?;
        let made = self.store.made_puppet(user)?;
        let is_known = (now.iter().chain(&made)).any(|puppet| puppet.username == username);
        Ok(!is_known && self.store.has_been_linked(user)?)
    }

    /// Whether a reaction that was given on Matrix, and is not there, was taken away on
    /// Rocket.Chat by the person themselves. One that was given a moment ago may as well be
    /// lost, unless the document shows nothing else that is new. One that was never seen there
    /// since it was given may not have come yet.
    fn was_taken_there(&self, reaction: &Reaction, changes: &Changes) -> Result<bool, Failure> {
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
    fn themselves(&self, user: &ruma::UserId) -> Result<Option<Ghost>, Failure> {
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
        let given = there.is_some_and(|message| {
            let users = message.reactions.get(&format!(":{emoji}:"));
            users.is_some_and(|users| users.iter().any(|name| name.as_str() == username))
        });
        if !given {
            return Ok(());
        }
        self.as_voice(voice, |session| async move {
            session.react(id, emoji, false).await
        })
        .await
    }

    /// Whose name this is now. Asked for each time: a name that changes hands must
    /// not give anybody another's reactions.
    async fn who_is(&self, portal: &Portal, username: &str) -> Result<Who, Failure> {
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
        if self.is_linked_and_banned(portal, &user.id).await? {
            return Err(Failure::Refused(
                "They are banned from the room on Matrix.".into(),
            ));
        }
        let speaker = self.says_as(portal, &UserRef::from(&user)).await?;
        Ok(Who::Ghost(speaker))
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
