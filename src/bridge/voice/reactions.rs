//! Who is behind the reactions of the bridge's account: said in one line in the thread of
//! the message, which changes with them.

use std::collections::BTreeMap;

use ruma::OwnedUserId;

use crate::bridge::{Bridge, Failure, derived};
use crate::convert::to_rocketchat;
use crate::rocketchat::RocketMessageId;
use crate::rocketchat::rest::{OutgoingMessage, Sent};
use crate::store::{Message, Portal, PortalId, Reaction, ReactionLine, Reactions, StoreError};

/// How many people are named for one emoji. Whoever comes after them does not change the
/// line, so a crowd costs no more than a few.
const MOST_NAMED: usize = 5;

/// How many emoji are named.
const MOST_EMOJI: usize = 10;

/// What the line says; none when nobody is behind any.
fn line_of(given: &[Reaction]) -> Option<String> {
    let mut emoji: Vec<&str> = Vec::new();
    let mut people: BTreeMap<&str, Vec<&OwnedUserId>> = BTreeMap::new();
    for reaction in given.iter().filter(|reaction| reaction.relayed) {
        let of = people.entry(&reaction.emoji).or_default();
        if of.is_empty() {
            emoji.push(&reaction.emoji);
        }
        if !of.contains(&&reaction.user) {
            of.push(&reaction.user);
        }
    }
    let lines: Vec<String> = emoji
        .iter()
        .take(MOST_EMOJI)
        .filter_map(|emoji| {
            let people = people.get(emoji)?;
            let named: Vec<String> = people
                .iter()
                .take(MOST_NAMED)
                .map(|user| to_rocketchat::alias(None, user))
                .collect();
            let others = if people.len() > MOST_NAMED {
                " and others"
            } else {
                ""
            };
            let named = to_rocketchat::plain(&format!("{}{others}", named.join(", ")));
            Some(format!(":{emoji}: {named}"))
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

impl Bridge {
    /// Says who is behind the reactions of the bridge's account to a message. The lock
    /// `reacting` must be held.
    pub(in crate::bridge) async fn say_who_reacts(
        &self,
        portal: &Portal,
        known: &Message,
        reactions: &mut Reactions,
    ) -> Result<(), Failure> {
        let wanted = line_of(&reactions.given);
        if wanted == reactions.line.as_ref().map(|line| line.said.clone()) {
            return Ok(());
        }
        let done = self.write_line(portal, known, reactions, wanted).await;
        match done {
            // The reaction is there: its line may be gone, or not be allowed.
            Err(failure) if failure.is_permanent() => {
                tracing::warn!(message = %known.id, %failure, "who reacted cannot be said");
                reactions.line = None;
                reactions.lines += 1;
            }
            outcome => outcome?,
        }
        Ok(self.store.change().reactions(known, reactions).commit()?)
    }

    /// Whether the bridge's account gives an emoji for anybody, in any Matrix room of the
    /// channel but that of the portal `but`.
    pub(in crate::bridge) fn is_given_for_somebody(
        &self,
        known: &Message,
        emoji: &str,
        but: Option<&PortalId>,
    ) -> Result<bool, StoreError> {
        for portal in self.store.portals_of(&known.rid)? {
            if but == Some(&portal.id) {
                continue;
            }
            let reactions = self.store.reactions(&portal.id, &known.id)?;
            if (reactions.given.iter()).any(|given| given.relayed && given.emoji == emoji) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn write_line(
        &self,
        portal: &Portal,
        known: &Message,
        reactions: &mut Reactions,
        wanted: Option<String>,
    ) -> Result<(), Failure> {
        let rocket = self.rocket().await;
        let rid = &known.rid;
        let Some(said) = wanted else {
            if let Some(line) = reactions.line.take() {
                rocket.bot.delete_message(rid, &line.id, false).await?;
                // Its id may not be free again.
                reactions.lines += 1;
            }
            return Ok(());
        };
        // Follows from what is noted, so that one whose note was lost is found again.
        let id = match &reactions.line {
            Some(line) => line.id.clone(),
            None => derived::reactions_id(
                &self.registration.as_token,
                &known.portal_id(),
                &known.id,
                reactions.lines,
            ),
        };
        let is_there = match &reactions.line {
            Some(_) => true,
            None => self.post_line(portal, known, &id, &said).await? == Sent::IdTaken,
        };
        if is_there {
            rocket.bot.update_message(rid, &id, &said).await?;
        }
        reactions.line = Some(ReactionLine { id, said });
        Ok(())
    }

    async fn post_line(
        &self,
        portal: &Portal,
        known: &Message,
        id: &RocketMessageId,
        said: &str,
    ) -> Result<Sent, Failure> {
        let rocket = self.rocket().await;
        let message = OutgoingMessage {
            id,
            rid: &portal.rid,
            msg: said,
            tmid: Some(known.thread.as_ref().unwrap_or(&known.id)),
            alias: None,
            avatar: None,
            emoji: None,
        };
        Ok(rocket.bot.send_message(&message).await?)
    }

    /// The same of a message that was to be deleted, and is there still; in every Matrix room
    /// of the channel.
    pub(in crate::bridge) async fn say_again_who_reacts(
        &self,
        portal: &Portal,
        known: &Message,
    ) -> Result<(), Failure> {
        for known in self.wherever_it_is(known)? {
            let _one_at_a_time = self.reacting.lock(&known.id).await;
            let mut reactions = self.store.reactions(&known.portal_id(), &known.id)?;
            self.say_who_reacts(portal, &known, &mut reactions).await?;
        }
        Ok(())
    }

    /// Takes the lines of a message away, of all Matrix rooms of the channel: before it is
    /// deleted, since with something in its thread Rocket.Chat would keep it as one that was
    /// deleted, and where that has happened without the bridge.
    pub(in crate::bridge) async fn end_reactions_line(
        &self,
        known: &Message,
    ) -> Result<(), Failure> {
        for known in self.wherever_it_is(known)? {
            self.end_line_of(&known).await?;
        }
        Ok(())
    }

    /// A message and its pieces, each by itself, in every Matrix room of its channel.
    fn wherever_it_is(&self, known: &Message) -> Result<Vec<Message>, StoreError> {
        let mut records = vec![known.clone()];
        for portal in self.store.portals_of(&known.rid)? {
            if portal.id == known.portal_id() {
                continue;
            }
            // There each piece may be a message by itself.
            for id in known.rocket_ids() {
                records.extend(self.store.message(&portal.id, id)?);
            }
        }
        let pieces = records.iter().flat_map(|record| {
            record.rocket_ids().map(|id| Message {
                id: id.clone(),
                ..record.clone()
            })
        });
        Ok(pieces.collect())
    }

    async fn end_line_of(&self, known: &Message) -> Result<(), Failure> {
        let _one_at_a_time = self.reacting.lock(&known.id).await;
        let mut reactions = self.store.reactions(&known.portal_id(), &known.id)?;
        let Some(line) = reactions.line.take() else {
            return Ok(());
        };
        let rocket = self.rocket().await;
        match rocket
            .bot
            .delete_message(&known.rid, &line.id, false)
            .await
            .map_err(Failure::from)
        {
            Err(failure) if failure.is_permanent() => {
                tracing::info!(message = %line.id, %failure, "a line about reactions stays");
            }
            outcome => outcome?,
        }
        reactions.lines += 1;
        Ok(self.store.change().reactions(known, &reactions).commit()?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::{EventId, UserId};

    use super::*;
    use crate::store::Origin;

    fn given(emoji: &str, user: &str, relayed: bool) -> Reaction {
        Reaction {
            emoji: emoji.into(),
            username: "bridge".into(),
            user: UserId::parse(format!("@{user}:example.org")).unwrap(),
            origin: Origin::Matrix,
            event: EventId::parse(format!("${user}{emoji}")).unwrap(),
            repairs: 0,
            ending: false,
            given_at: 0,
            seen_there: false,
            relayed,
        }
    }

    #[test]
    fn a_line_names_a_few_and_does_not_change_with_the_rest() {
        assert_eq!(line_of(&[given("heart", "own", false)]), None);
        let one = line_of(&[given("heart", "a", true)]).unwrap();
        assert!(one.starts_with(":heart: ") && one.contains("a:example.org"));
        let many = |count: usize| {
            let all: Vec<_> = (0..count)
                .map(|n| given("heart", &format!("u{n}"), true))
                .collect();
            line_of(&all).unwrap()
        };
        assert!(!many(5).contains("others"));
        assert!(many(6).ends_with("and others"));
        assert_eq!(many(6), many(200));
    }
}
