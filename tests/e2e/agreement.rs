//! People change what they said, on both sides at once, while the bridge is killed,
//! connections break and answers are lost: in the end both sides say the same.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use rand::RngExt as _;
use testbed::{Rule, World};

use crate::{General, in_direct, in_general};

/// How many messages each of the two says.
const MESSAGES: usize = 5;
/// How many changes are made to them.
const CHANGES: usize = 60;
/// After how many changes, on average, something breaks.
const BETWEEN_BREAKS: usize = 6;
/// Emoji and their names.
const EMOJI: [(&str, &str); 3] = [("👍", ":thumbsup:"), ("🎉", ":tada:"), ("❤️", ":heart:")];

/// What a side shows of a message: its text, and who reacts with which emoji.
type Shown = (String, BTreeSet<(String, usize)>);

/// What must be there in the end.
struct Said {
    event: String,
    id: String,
    is_alices: bool,
    text: String,
    is_deleted: bool,
    /// Alice's reactions: emoji and event.
    alices: BTreeMap<usize, String>,
    carols: BTreeSet<usize>,
}

impl Said {
    /// What both sides must show; nothing when it is deleted.
    fn expected(&self) -> Option<Shown> {
        let alices = self.alices.keys().map(|at| ("alice".to_owned(), *at));
        let carols = self.carols.iter().map(|at| ("carol".to_owned(), *at));
        (!self.is_deleted).then(|| (self.text.clone(), alices.chain(carols).collect()))
    }
}

#[tokio::test]
async fn whatever_breaks_between_changes_both_sides_agree_in_a_channel() -> Result<()> {
    agree(in_general().await?).await
}

#[tokio::test]
async fn whatever_breaks_between_changes_both_sides_agree_in_a_direct_message() -> Result<()> {
    let direct = in_direct().await?;
    agree(General {
        world: direct.world,
        alice: direct.alice,
        carol: direct.carol,
        room: direct.room,
        channel: direct.dm,
    })
    .await
}

async fn agree(general: General) -> Result<()> {
    let World {
        bridge, rocketchat, ..
    } = &general.world;
    let mut said = say_something(&general).await?;
    let before = general.carol.room_messages(&general.channel).await?.len() - said.len();
    let control = rocketchat.control();
    // Of what the bridge asks for, some is done without an answer, some not at all.
    for user in [&general.world.puppet("alice"), World::ROCKET_BOT] {
        let some = || Rule::on("/api/v1/chat.").username(user).probability(0.1);
        control.add_rule(some().do_without_answering()).await?;
        control.add_rule(some().status(502)).await?;
    }
    for change in 0..CHANGES {
        let at = rand::rng().random_range(0..said.len());
        make_a_change(&general, &mut said[at], change).await?;
        match rand::rng().random_range(0..2 * BETWEEN_BREAKS) {
            0 => {
                bridge.kill().await?;
                bridge.start()?;
            }
            1 => drop(control.drop_sockets(None).await?),
            _ => {}
        }
    }
    bridge.ready().await?;
    general
        .world
        .eventually("both sides to say the same", async || {
            for one in &said {
                let expected = one.expected();
                let here = on_matrix(&general, one).await?;
                let there = on_rocket(&general, one).await?;
                if here != expected || there != expected {
                    bail!(
                        "{} {}: instead of {expected:?}, Matrix says {here:?}, and Rocket.Chat {there:?}",
                        one.event,
                        one.id
                    );
                }
            }
            Ok(Some(()))
        })
        .await?;
    let written = general.carol.room_messages(&general.channel).await?;
    let left = said.iter().filter(|one| !one.is_deleted).count();
    assert_eq!(written.len(), before + left, "nothing else was said");
    Ok(())
}

async fn say_something(general: &General) -> Result<Vec<Said>> {
    let mut said = Vec::new();
    for number in 0..MESSAGES {
        for is_alices in [true, false] {
            let text = format!("message {number} of {is_alices}");
            let (event, id) = if is_alices {
                let event = general.alice.send_text(&general.room, &text).await?;
                let there = general.carol.wait_for_text(&general.channel, &text);
                (event, there.await?.id)
            } else {
                let id = general.carol.send(&general.channel, &text).await?;
                let here = general.alice.wait_for_text(&general.room, &text);
                (here.await?.event_id, id)
            };
            said.push(Said {
                event,
                id,
                is_alices,
                text,
                is_deleted: false,
                alices: BTreeMap::new(),
                carols: BTreeSet::new(),
            });
        }
    }
    Ok(said)
}

/// Somebody edits, deletes, reacts or takes a reaction back.
async fn make_a_change(general: &General, one: &mut Said, change: usize) -> Result<()> {
    let General {
        alice,
        carol,
        room,
        channel,
        ..
    } = general;
    if one.is_deleted {
        return Ok(());
    }
    match rand::rng().random_range(0..20) {
        0 => {
            one.is_deleted = true;
            if one.is_alices {
                alice.redact(room, &one.event).await?;
            } else {
                carol.delete(channel, &one.id).await?;
            }
        }
        1..8 => {
            one.text = format!("change {change}");
            if one.is_alices {
                alice.edit_text(room, &one.event, &one.text).await?;
            } else {
                carol.edit(channel, &one.id, &one.text).await?;
            }
        }
        8..14 => {
            let emoji = rand::rng().random_range(0..EMOJI.len());
            match one.alices.remove(&emoji) {
                Some(reaction) => drop(alice.redact(room, &reaction).await?),
                None => {
                    let reaction = alice.react(room, &one.event, EMOJI[emoji].0).await?;
                    one.alices.insert(emoji, reaction);
                }
            }
        }
        _ => {
            let emoji = rand::rng().random_range(0..EMOJI.len());
            let on = one.carols.insert(emoji);
            if !on {
                one.carols.remove(&emoji);
            }
            carol.react(&one.id, EMOJI[emoji].1, on).await?;
        }
    }
    Ok(())
}

async fn on_matrix(general: &General, one: &Said) -> Result<Option<Shown>> {
    let General {
        world, alice, room, ..
    } = general;
    if alice.event(room, &one.event).await?.is_redacted() {
        return Ok(None);
    }
    let text = alice.shown(room, &one.event).await?["body"].clone();
    let ghost = world.ghost("carol");
    let mut reactions = BTreeSet::new();
    for (user, key) in alice.reactions(room, &one.event).await? {
        let name = if user == ghost { "carol" } else { "alice" };
        let emoji = EMOJI.iter().position(|(emoji, _)| *emoji == key);
        reactions.insert((name.to_owned(), emoji.context("another emoji")?));
    }
    Ok(Some((
        text.as_str().unwrap_or_default().to_owned(),
        reactions,
    )))
}

async fn on_rocket(general: &General, one: &Said) -> Result<Option<Shown>> {
    let messages = general.carol.room_messages(&general.channel).await?;
    let Some(message) = messages.into_iter().find(|message| message.id == one.id) else {
        return Ok(None);
    };
    let puppet = general.world.puppet("alice");
    let mut reactions = BTreeSet::new();
    for (key, user) in message.reactions() {
        let name = if user == puppet { "alice" } else { "carol" };
        let emoji = EMOJI.iter().position(|(_, emoji)| *emoji == key);
        reactions.insert((name.to_owned(), emoji.context("another emoji")?));
    }
    Ok(Some((message.text, reactions)))
}
