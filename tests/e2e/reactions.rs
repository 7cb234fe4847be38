//! Reactions: who thinks what of a message is the same on both sides.

use anyhow::Result;
use testbed::{MatrixUser, RocketUser, Rule, World};

use crate::{General, in_general};

/// A picture of one pixel.
const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// A message that people react to.
struct Target {
    event: String,
    id: String,
}

async fn target(general: &General, text: &str) -> Result<Target> {
    let id = general.carol.send(&general.channel, text).await?;
    let event = general.alice.wait_for_text(&general.room, text).await?;
    Ok(Target {
        event: event.event_id,
        id,
    })
}

/// Another person on each side.
async fn others(world: &World, general: &General) -> Result<(MatrixUser, RocketUser)> {
    let bob = world.matrix_user("bob").await?;
    bob.join(&general.room).await?;
    let dave = world.rocket_user("dave").await?;
    dave.join_channel("general").await?;
    Ok((bob, dave))
}

#[tokio::test]
async fn a_reaction_that_is_taken_back_while_the_bridge_is_dead_does_not_stay() -> Result<()> {
    let general = in_general().await?;
    let General {
        ref world,
        ref alice,
        ref carol,
        ref room,
        ref channel,
    } = general;
    // Alice has a puppet.
    alice.send_text(room, "hi").await?;
    carol.wait_for_text(channel, "hi").await?;

    // Given on Rocket.Chat, without the bridge getting to know of it.
    let on = target(&general, "one").await?;
    let control = world.rocketchat.control();
    let late = Rule::on("/api/v1/chat.react")
        .answer_after_delay(60_000)
        .times(1);
    control.add_rule(late).await?;
    let reaction = alice.react(room, &on.event, "👍").await?;
    let puppet = world.puppet("alice");
    carol
        .wait_for_reactions(channel, &on.id, &[(":thumbsup:", &puppet)])
        .await?;
    world.bridge.kill().await?;
    alice.redact(room, &reaction).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    carol.wait_for_reactions(channel, &on.id, &[]).await?;

    // Given on Matrix, the moment before.
    let ghost = world.ghost("carol");
    for text in ["two", "three", "four"] {
        let on = target(&general, text).await?;
        carol.react(&on.id, ":heart:", true).await?;
        alice
            .wait_for_reactions(room, &on.event, &[(&ghost, "❤️")])
            .await?;
        world.bridge.kill().await?;
        carol.react(&on.id, ":heart:", false).await?;
        world.bridge.start()?;
        world.bridge.ready().await?;
        alice.wait_for_reactions(room, &on.event, &[]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_reaction_is_the_same_emoji_on_both_sides() -> Result<()> {
    let general = in_general().await?;
    let General {
        ref world,
        ref alice,
        ref carol,
        ref room,
        ref channel,
    } = general;
    let control = world.rocketchat.control();
    control
        .upload_emoji("party_parrot", &["conga_parrot"], PICTURE)
        .await?;
    let (ghost, puppet) = (world.ghost("carol"), world.puppet("alice"));
    let (ghost, puppet) = (ghost.as_str(), puppet.as_str());

    // Each way: plain, with and without the selector of its coloured form, with a
    // tone, a flag.
    let on = target(&general, "from Matrix").await?;
    let mut given = Vec::new();
    for emoji in ["👍", "❤", "✅\u{fe0f}", "👍🏽", "🇩🇪", ":conga_parrot:"] {
        given.push(alice.react(room, &on.event, emoji).await?);
    }
    let mut wanted = vec![
        (":thumbsup:", puppet),
        (":heart:", puppet),
        (":white_check_mark:", puppet),
        (":thumbsup_tone3:", puppet),
        (":flag_de:", puppet),
        (":party_parrot:", puppet),
    ];
    carol.wait_for_reactions(channel, &on.id, &wanted).await?;
    for reaction in given.drain(..3) {
        alice.redact(room, &reaction).await?;
    }
    carol
        .wait_for_reactions(channel, &on.id, &wanted.split_off(3))
        .await?;

    let on = target(&general, "from Rocket.Chat").await?;
    for name in [
        ":heart:",
        ":white_check_mark:",
        ":thumbsup_tone3:",
        ":flag_de:",
    ] {
        carol.react(&on.id, name, true).await?;
    }
    let wanted = [(ghost, "❤️"), (ghost, "✅"), (ghost, "👍🏽"), (ghost, "🇩🇪")];
    alice.wait_for_reactions(room, &on.event, &wanted).await?;
    carol.react(&on.id, ":heart:", false).await?;
    alice
        .wait_for_reactions(room, &on.event, &wanted[1..])
        .await?;

    // Two names of one emoji are one reaction, until both are gone.
    let on = target(&general, "two names").await?;
    carol.react(&on.id, ":+1:", true).await?;
    carol.react(&on.id, ":thumbsup:", true).await?;
    carol.react(&on.id, ":tada:", true).await?;
    let (thumb, tada) = ((ghost, "👍"), (ghost, "🎉"));
    alice
        .wait_for_reactions(room, &on.event, &[thumb, tada])
        .await?;
    carol.react(&on.id, ":+1:", false).await?;
    carol.react(&on.id, ":tada:", false).await?;
    alice.wait_for_reactions(room, &on.event, &[thumb]).await?;
    carol.react(&on.id, ":thumbsup:", false).await?;
    alice.wait_for_reactions(room, &on.event, &[]).await?;

    // One of this Rocket.Chat's own has its picture on Matrix, and back.
    let on = target(&general, "own emoji").await?;
    carol.react(&on.id, ":party_parrot:", true).await?;
    let parrot = alice
        .wait_until(room, "the parrot", |events| {
            events
                .iter()
                .find(|event| event.relation() == Some(("m.annotation", &on.event)))
                .cloned()
        })
        .await?;
    assert_eq!(parrot.text("/shortcode"), ":party_parrot:");
    let key = parrot.text("/m.relates_to/key").to_owned();
    let (media_type, picture) = alice.download(&key).await?;
    assert_eq!(media_type, "image/png");
    assert!(picture.starts_with(b"\x89PNG"));
    let mine = alice.react(room, &on.event, &key).await?;
    let parrot = ":party_parrot:";
    carol
        .wait_for_reactions(channel, &on.id, &[(parrot, "carol"), (parrot, puppet)])
        .await?;
    alice.redact(room, &mine).await?;
    carol
        .wait_for_reactions(channel, &on.id, &[(parrot, "carol")])
        .await?;

    // One that Rocket.Chat does not know is said in words, and can be unsaid.
    let mine = alice.react(room, &on.event, "🫡").await?;
    let line = carol.wait_for_text(channel, "reacted with 🫡").await?;
    assert_eq!(line.thread(), Some(on.id.as_str()));
    assert_eq!(line.username, puppet);
    alice.redact(room, &mine).await?;
    carol.wait_until_gone(channel, &line.id).await?;
    Ok(())
}

#[tokio::test]
async fn a_reaction_is_its_givers_to_take_back() -> Result<()> {
    let general = in_general().await?;
    let (bob, dave) = others(&general.world, &general).await?;
    let General {
        ref world,
        ref alice,
        ref carol,
        ref room,
        ref channel,
    } = general;
    let (puppet, bobs) = (world.puppet("alice"), world.puppet("bob"));
    let (ghost, daves) = (world.ghost("carol"), world.ghost("dave"));
    let all = async |on: &Target, there: &[&str], here: &[&str]| -> Result<()> {
        let there: Vec<_> = there.iter().map(|name| (":tada:", *name)).collect();
        let here: Vec<_> = here.iter().map(|user| (*user, "🎉")).collect();
        carol.wait_for_reactions(channel, &on.id, &there).await?;
        alice.wait_for_reactions(room, &on.event, &here).await
    };

    // Four people, one emoji.
    let on = target(&general, "a party").await?;
    let hers = alice.react(room, &on.event, "🎉").await?;
    let his = bob.react(room, &on.event, "🎉").await?;
    for user in [carol, &dave] {
        user.react(&on.id, ":tada:", true).await?;
    }
    let everybody = [alice.user_id.as_str(), &bob.user_id, &ghost, &daves];
    all(&on, &[&puppet, &bobs, "carol", "dave"], &everybody).await?;
    // Each takes back their own, some after a restart.
    bob.redact(room, &his).await?;
    dave.react(&on.id, ":tada:", false).await?;
    all(&on, &[&puppet, "carol"], &[&alice.user_id, &ghost]).await?;
    world.bridge.kill_and_restart().await?;
    alice.redact(room, &hers).await?;
    carol.react(&on.id, ":tada:", false).await?;
    all(&on, &[], &[]).await?;

    // Nobody has another's taken away: Rocket.Chat knows no such thing.
    world.let_tidy(room, &bob.user_id).await?;
    carol.react(&on.id, ":tada:", true).await?;
    all(&on, &["carol"], &[&ghost]).await?;
    let events = alice.room_events(room).await?;
    let carols = events
        .iter()
        .rfind(|event| event.kind == "m.reaction" && event.sender == ghost)
        .map(|event| event.event_id.clone())
        .unwrap_or_default();
    bob.redact(room, &carols).await?;
    alice
        .wait_for_message(room, "the bot's word on that", |event| {
            event.body().contains("nobody can take another's reaction")
        })
        .await?;
    carol
        .wait_for_reactions(channel, &on.id, &[(":tada:", "carol")])
        .await?;

    // While the bridge is away.
    let on = target(&general, "reacted to before").await?;
    let hers = alice.react(room, &on.event, "🎉").await?;
    carol.react(&on.id, ":tada:", true).await?;
    all(&on, &[&puppet, "carol"], &[&alice.user_id, &ghost]).await?;
    world.bridge.stop().await?;
    alice.redact(room, &hers).await?;
    bob.react(room, &on.event, "🎉").await?;
    carol.react(&on.id, ":tada:", false).await?;
    dave.react(&on.id, ":tada:", true).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    all(&on, &[&bobs, "dave"], &[&bob.user_id, &daves]).await?;
    Ok(())
}

/// Rocket.Chat reads all reactions to a message and writes them back without a
/// lock.
#[tokio::test]
async fn reactions_that_rocketchat_loses_to_each_other_are_given_again() -> Result<()> {
    let general = in_general().await?;
    let (bob, dave) = others(&general.world, &general).await?;
    let General {
        ref world,
        ref alice,
        ref carol,
        ref room,
        ref channel,
    } = general;
    // Their puppets are in the room already, so that they come at one time.
    for user in [alice, &bob] {
        user.send_text(room, "here").await?;
    }
    let on = target(&general, "say all at once").await?;
    let control = world.rocketchat.control();
    control.lose_reactions_within(100).await?;
    tokio::try_join!(
        alice.react(room, &on.event, "👍"),
        bob.react(room, &on.event, "🎉"),
        alice.react(room, &on.event, "🚀"),
        bob.react(room, &on.event, "👀"),
        async {
            carol
                .react(&on.id, ":heart:", true)
                .await
                .map(|()| String::new())
        },
        async {
            dave.react(&on.id, ":heart:", true)
                .await
                .map(|()| String::new())
        },
    )?;
    let (puppet, bobs) = (world.puppet("alice"), world.puppet("bob"));
    let wanted = [
        (":thumbsup:", &puppet),
        (":tada:", &bobs),
        (":rocket:", &puppet),
        (":eyes:", &bobs),
    ];
    carol
        .wait_until(channel, "the reactions from Matrix", |documents| {
            let message = documents.iter().find(|document| document.id == on.id)?;
            wanted
                .iter()
                .all(|(emoji, name)| message.reacted(emoji).contains(name))
                .then_some(())
        })
        .await?;
    control.lose_reactions_within(0).await?;
    // What Rocket.Chat has lost of its own people's is lost: Matrix shows what is
    // there.
    carol.react(&on.id, ":grinning:", true).await?;
    world
        .eventually("both sides to agree", async || {
            let documents = carol.documents(channel).await?;
            let message = documents.iter().find(|document| document.id == on.id);
            let there = message.map(|message| message.reactions().len());
            let here = alice.reactions(room, &on.event).await?;
            let still = here.iter().filter(|(user, _)| *user == alice.user_id);
            if there == Some(here.len()) && still.count() == 2 {
                return Ok(Some(()));
            }
            anyhow::bail!("there {:?}, here {here:?}", message.map(|m| m.reactions()))
        })
        .await
}
