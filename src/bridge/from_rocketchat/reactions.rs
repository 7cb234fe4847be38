//! Reactions: Rocket.Chat sends, with every change, the message with all that are
//! there now, by names; what changed shows only beside what was there before.

use std::collections::BTreeSet;

use ruma::OwnedEventId;
use serde_json::{Value, json};

use super::reactors::{Changes, Who};
use crate::bridge::voice::Voice;
use crate::bridge::{Bridge, Failure, derived};
use crate::rocketchat::RocketUserId;
use crate::rocketchat::documents::Message as RocketMessage;
use crate::store::{BegunReaction, Ghost, Message, Origin, Portal, Reaction, Reactions};

/// How often a reaction that Rocket.Chat has lost is given again. It keeps all
/// reactions to a message in one place and writes them without a lock: of several
/// at the same moment some are lost (6.14, 7.x).
const MOST_REPAIRS: u8 = 10;

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
                Ok(Some(reaction)) => {
                    let is_this = |begun: &BegunReaction| {
                        begun.emoji == reaction.emoji && begun.username == reaction.username
                    };
                    reactions.begun.retain(|begun| !is_this(begun));
                    reactions.given.push(reaction);
                }
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
        let who = match self.who_is(portal, username).await? {
            // What they took back on Matrix a moment ago, an older document still has.
            Who::Linked(_, user)
                if self.still_reacts(message, &user, emoji, username).await? == Some(false) =>
            {
                return Ok(None);
            }
            Who::Linked(speaker, _) | Who::Ghost(speaker) => Who::Ghost(speaker),
            // All that other rooms give are one of the bot's for each emoji.
            // Looked at anew with the next document: it may be lifted.
            Who::Banned => return Ok(None),
            who => {
                let elsewhere =
                    self.shows_reaction_of_elsewhere(portal, &message.id, emoji, username);
                match elsewhere.await? {
                    Some(true) => Who::Ghost(self.bot_as_ghost().await),
                    Some(false) => who,
                    // Nobody gets round their ban by the bot.
                    None => return Ok(None),
                }
            }
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
            Who::Ghost(ghost) | Who::Linked(ghost, _) => {
                let begun = BegunReaction {
                    emoji: emoji.to_owned(),
                    username: username.to_owned(),
                    user: ghost.user_id.clone(),
                    at: message.updated_at.map_or(0, |at| at.0),
                };
                let mut noted = reactions.clone();
                let is_this = |other: &BegunReaction| {
                    other.emoji == begun.emoji && other.username == begun.username
                };
                noted.begun.retain(|other| !is_this(other));
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
            Who::Nobody | Who::Banned => Err(Failure::Refused("There is no such user.".into())),
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
                // Given again with the others, as the same; and ended later where it turns
                // out to be taken back since.
                reactions.begun.push(begun);
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
            if !reaction.ending
                && (is_there(&reaction) || self.is_there_after_all(message, &reaction).await?)
            {
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
}
