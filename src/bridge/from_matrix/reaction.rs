//! Reactions of Matrix.

use std::sync::Arc;

use ruma::{EventId, MxcUri, OwnedEventId};
use serde_json::{Value, json};

use super::Done;
use super::message::References;
use crate::bridge::perseverance::Attempt;
use crate::bridge::voice::Voice;
use crate::bridge::{Bridge, Failure};
use crate::clock::now_ms;
use crate::store::{InboxEvent, Message, Origin, Portal, Reaction};

impl Bridge {
    pub(super) async fn on_reaction(
        self: &Arc<Self>,
        event: &InboxEvent,
        json: &Value,
        content: &Value,
    ) -> Result<Done, Failure> {
        let Some(portal) = self.store.portal_of_room(&event.room_id)? else {
            return Ok(Done::default());
        };
        let Some((target, key)) = annotation(content) else {
            return Ok(Done::default());
        };
        let known = self.store.message_of_event(&portal.room_id, &target)?;
        let Some(known) = known.filter(Message::is_there) else {
            return Err(Failure::Refused(
                "What you reacted to is not on Rocket.Chat.".into(),
            ));
        };
        if let Some(emoji) = self.emoji_on_rocketchat(&key).await?
            && self.react(&portal, event, &known, &emoji).await?
        {
            return Ok(Done::default());
        }
        // One that Rocket.Chat does not know is said in words, beneath the message.
        let words = json!({
            "msgtype": "m.notice",
            "body": format!("reacted with {key}"),
            "m.mentions": {},
        });
        let as_message = InboxEvent {
            kind: "m.room.message".into(),
            ..event.clone()
        };
        let beneath = References::beneath(&portal, &known);
        let attempt = Attempt::default();
        self.mirror_referring(&portal, &as_message, json, &words, beneath, attempt)
            .await
    }

    /// Reacts for the sender; whether the server took the emoji.
    async fn react(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        known: &Message,
        emoji: &str,
    ) -> Result<bool, Failure> {
        let voice = self.voice_in(portal, &event.sender).await?;
        let username = match &voice {
            Voice::Puppet(puppet) => {
                // Who is in an earlier direct message never changes.
                if known.rid == portal.rid {
                    self.bring_puppet_in(portal, puppet).await?;
                }
                puppet.username.clone()
            }
            Voice::Relay(_) => {
                self.may_speak(portal, &event.sender, true).await?;
                self.own_username().await?
            }
        };
        let _one_at_a_time = self.reacting.lock(&known.id).await;
        let reactions = self.store.reactions(&known.portal_id(), &known.id)?;
        let is_there = voice.is_relay()
            && (reactions.given.iter()).any(|other| other.relayed && other.emoji == emoji);
        let reaction = Reaction {
            emoji: emoji.to_owned(),
            username,
            user: event.sender.clone(),
            origin: Origin::Matrix,
            event: event.event_id.clone(),
            repairs: 0,
            ending: false,
            given_at: now_ms(),
            seen_there: false,
            relayed: voice.is_relay(),
        };
        if voice.is_own() {
            // What the person gives there themselves is news: the note alone tells that
            // this is not. Until it is given it cannot have been taken away.
            let coming = Reaction {
                given_at: i64::MAX,
                ..reaction.clone()
            };
            self.note_reaction(known, &coming)?;
            self.store.flushed().await?;
        }
        let id = &known.id;
        if !is_there {
            let given = self
                .as_voice(&voice, |session| async move {
                    session.react(id, emoji, true).await
                })
                .await;
            if voice.is_own() && given.as_ref().is_err_and(Failure::is_permanent) {
                self.unnote_reaction(known, &reaction)?;
            }
            match given {
                Err(Failure::RocketChat(error)) if error.is_unknown_emoji() => return Ok(false),
                outcome => outcome?,
            }
        }
        self.note_reaction(known, &reaction)?;
        // Also of one that is there already: perhaps an earlier attempt got no further.
        if voice.is_relay() {
            let mut reactions = self.store.reactions(&known.portal_id(), &known.id)?;
            self.say_who_reacts(portal, known, &mut reactions).await?;
        }
        Ok(true)
    }

    /// A reaction that was noted has not been given. The lock `reacting` must be held.
    fn unnote_reaction(&self, known: &Message, reaction: &Reaction) -> Result<(), Failure> {
        let mut reactions = self.store.reactions(&known.portal_id(), &known.id)?;
        reactions
            .given
            .retain(|given| given.event != reaction.event);
        let change = self.store.change().reactions(known, &reactions);
        Ok(change
            .no_reaction(&known.room_id, &reaction.event)
            .commit()?)
    }

    /// Notes a reaction that was given on Matrix. The lock `reacting` must be held.
    fn note_reaction(&self, known: &Message, reaction: &Reaction) -> Result<(), Failure> {
        let mut reactions = self.store.reactions(&known.portal_id(), &known.id)?;
        match (reactions.given.iter_mut()).find(|given| given.event == reaction.event) {
            Some(noted) => {
                noted.given_at = reaction.given_at;
                noted.username.clone_from(&reaction.username);
            }
            None => reactions.given.push(reaction.clone()),
        }
        Ok(self.store.change().reactions(known, &reactions).commit()?)
    }

    /// Takes a reaction back whose event was redacted.
    pub(super) async fn on_reaction_removed(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        removed: &EventId,
        known: &Message,
    ) -> Result<(), Failure> {
        let _one_at_a_time = self.reacting.lock(&known.id).await;
        let mut reactions = self.store.reactions(&known.portal_id(), &known.id)?;
        let Some(at) = reactions
            .given
            .iter()
            .position(|given| given.event == removed)
        else {
            return Ok(());
        };
        let reaction = reactions.given[at].clone();
        // Who is one person gives and takes on either side.
        if reaction.origin == Origin::RocketChat && reaction.user != event.sender {
            return Err(Failure::Refused(
                "On Rocket.Chat nobody can take another's reaction away.".into(),
            ));
        }
        if !self
            .is_removed(portal, event, removed, &reaction.user)
            .await?
        {
            return Ok(());
        }
        reactions.given.remove(at);
        let is_given_twice = reactions.given.iter().any(|other| {
            // The bridge's account gives it once for all.
            let is_same = match reaction.relayed {
                true => other.relayed,
                false => !other.relayed && other.user == reaction.user,
            };
            is_same && other.emoji == reaction.emoji
        });
        let is_given_twice = is_given_twice
            || reaction.relayed
                && self.is_given_for_somebody(known, &reaction.emoji, Some(&portal.id))?
            || !reaction.relayed && self.is_also_given_elsewhere(portal, known, &reaction)?;
        if !is_given_twice {
            let voice = self.voice_of_reaction(&reaction).await?;
            self.unreact(&voice, &reaction.username, &known.id, &reaction.emoji)
                .await?;
        }
        if reaction.relayed {
            self.say_who_reacts(portal, known, &mut reactions).await?;
        }
        Ok(self
            .store
            .change()
            .reactions(known, &reactions)
            .no_reaction(&portal.room_id, removed)
            .commit()?)
    }

    /// The name, without colons, under which Rocket.Chat knows a reaction's key.
    async fn emoji_on_rocketchat(&self, key: &str) -> Result<Option<String>, Failure> {
        if key.starts_with("mxc://") {
            return Ok(self.store.custom_emoji_by_image(<&MxcUri>::from(key))?);
        }
        let name = key
            .strip_prefix(':')
            .and_then(|rest| rest.strip_suffix(':'))
            .filter(|name| !name.is_empty() && !name.contains(':'));
        if let Some(name) = name {
            if rocketchat_emoji::is_known(name) {
                return Ok(Some(name.to_owned()));
            }
            return self.custom_emoji_name(name).await;
        }
        if let Some(name) = rocketchat_emoji::short_code(key) {
            return Ok(Some(name.to_owned()));
        }
        let plain = rocketchat_emoji::without_tone(key);
        Ok(plain
            .and_then(|plain| rocketchat_emoji::short_code(&plain))
            .map(str::to_owned))
    }
}

/// Which event is reacted to, and how.
fn annotation(content: &Value) -> Option<(OwnedEventId, String)> {
    /// Longer ones are no emoji and no word.
    const LONGEST: usize = 100;
    let relation = content.get("m.relates_to")?;
    if relation.get("rel_type")?.as_str()? != "m.annotation" {
        return None;
    }
    let target = EventId::parse(relation.get("event_id")?.as_str()?).ok()?;
    let key: String = relation
        .get("key")?
        .as_str()?
        .chars()
        .take(LONGEST)
        .collect();
    (!key.trim().is_empty()).then_some((target, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_annotations_are_reactions() {
        let of = |relation: Value| annotation(&json!({ "m.relates_to": relation }));
        let whole = json!({ "rel_type": "m.annotation", "event_id": "$e", "key": "👍" });
        assert_eq!(
            of(whole).map(|(event, key)| (event.to_string(), key)),
            Some(("$e".into(), "👍".into()))
        );
        assert_eq!(
            of(json!({ "rel_type": "m.annotation", "event_id": "$e" })),
            None
        );
        assert_eq!(
            of(json!({ "rel_type": "m.annotation", "event_id": "$e", "key": " " })),
            None
        );
        assert_eq!(
            of(json!({ "rel_type": "m.thread", "event_id": "$e", "key": "x" })),
            None
        );
        assert_eq!(
            of(json!({ "rel_type": "m.annotation", "event_id": "$e", "key": ["x"] })),
            None
        );
    }
}
