//! Rooms are joined by an agreement: of those who may decide at that moment, once, and also
//! when the bridge is killed in between.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use testbed::{RocketMessage, RocketUser, Rule, World};

use crate::membership::{id_of, role, set_level, wait_for_notice};
use crate::plumbing::{
    alone, ask, ask_there, code_in, hall, proposal_here, proposal_there, talk, world,
};

/// The code of the proposal of that room in a channel.
async fn code_for(user: &RocketUser, rid: &str, room: &str) -> Result<String> {
    let notice = user
        .wait_for_message(rid, "the proposal", |message| {
            message.text.contains("proposes to join") && message.text.contains(room)
        })
        .await?;
    code_in(&notice.text)
}

/// What Rocket.Chat answers with while something there is held up.
fn held(path: &str) -> Rule {
    Rule::on(path).status(503)
}

/// Waits until the bridge has met the one rule that there is.
async fn wait_for_hit(world: &World) -> Result<()> {
    world
        .eventually("the bridge to be held up", async || {
            let rules = world.rocketchat.control().rules().await?;
            Ok(rules[0]["hits"].as_u64().filter(|hits| *hits > 0).map(drop))
        })
        .await
}

#[tokio::test]
async fn who_may_not_decide_any_more_decides_nothing() -> Result<()> {
    let world = world(|_| {}).await?;
    let [alice, bob] = [
        world.matrix_user("alice").await?,
        world.matrix_user("bob").await?,
    ];
    let [carol, dave, erin] = [
        world.rocket_user("carol").await?,
        world.rocket_user("dave").await?,
        world.rocket_user("erin").await?,
    ];
    let tea = carol.create_channel("tea", &["dave", "erin"]).await?;
    let milk = carol.create_channel("milk", &[]).await?;
    let room = hall(&world, &alice, alone("public_chat")).await?;
    let guest = world.matrix_user("guest").await?;
    bob.join(&room).await?;
    set_level(&alice, &room, &bob.user_id, Some(100)).await?;

    // Those on Rocket.Chat decide: whoever owns the channel then.
    ask(&alice, &room, "bridge tea", "Proposed").await?;
    let (code, _) = proposal_there(&carol, &tea).await?;
    ask_there(&dave, &tea, &format!("reject {code}"), "for owners").await?;
    // Its own side does not decide.
    ask(&bob, &room, &format!("approve {code}"), "No proposal").await?;
    role(
        world.rocket_admin(),
        "addOwner",
        &tea,
        &id_of(&carol, "erin").await?,
    )
    .await?;
    role(&erin, "removeOwner", &tea, &carol.id).await?;
    for answer in ["approve", "reject"] {
        let command = format!("{answer} {code}");
        ask_there(&carol, &tea, &command, "for owners").await?;
    }

    // Those on Matrix decide: whoever administers the room then, and is in it.
    ask_there(&carol, &milk, &format!("bridge {room}"), "Proposed").await?;
    let (other, _) = proposal_here(&alice, &room).await?;
    for answer in ["approve", "reject"] {
        let command = format!("{answer} {other}");
        ask(&guest, &room, &command, "may change the power levels").await?;
    }
    set_level(&alice, &room, &alice.user_id, Some(50)).await?;
    for answer in ["approve", "reject"] {
        let command = format!("{answer} {other}");
        ask(&alice, &room, &command, "may change the power levels").await?;
    }
    ask(&bob, &room, &format!("reject {other}"), "Declined").await?;
    carol
        .wait_for_message(&milk, "the no", |message| {
            message.text.contains("has declined")
        })
        .await?;
    ask_there(
        &carol,
        &milk,
        &format!("bridge {room}"),
        "have declined that",
    )
    .await?;

    // What others could not answer still stands for who can; whoever proposed it must be
    // able to, too.
    ask_there(
        &erin,
        &tea,
        &format!("approve {code}"),
        "does not administer",
    )
    .await?;
    wait_for_notice(&bob, &room, "does not administer").await?;
    ask(&bob, &room, "bridge tea", "Proposed").await?;
    let again = erin
        .wait_until(&tea, "the second proposal", |messages| {
            let mut codes = messages.iter().filter_map(|m| code_in(&m.text).ok());
            codes.find(|found| *found != code)
        })
        .await?;
    ask_there(&erin, &tea, &format!("approve {again}"), "Approved").await?;
    wait_for_notice(&bob, &room, "is joined with tea").await?;
    talk((&bob, &room), (&erin, &tea), "now").await?;
    Ok(())
}

#[tokio::test]
async fn what_nobody_answers_lapses_also_while_the_bridge_is_away() -> Result<()> {
    let world = world(|options| {
        options.extra_config = json!({ "bridge": { "proposals_hold_seconds": 3 } });
    })
    .await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let tea = carol.create_channel("tea", &[]).await?;
    let room = hall(&world, &alice, alone("public_chat")).await?;
    let desk = carol.open_dm(World::ROCKET_BOT).await?;
    ask(&alice, &room, "bridge tea", "Proposed").await?;
    let (first, _) = proposal_there(&carol, &tea).await?;
    wait_for_notice(&alice, &room, "it has lapsed").await?;
    ask_there(&carol, &tea, &format!("approve {first}"), "has lapsed").await?;

    ask(&alice, &room, "bridge tea", "Proposed").await?;
    let proposed = SystemTime::now();
    world.bridge.kill().await?;
    let second = carol
        .wait_until(&tea, "the second proposal", |messages| {
            let mut codes = messages.iter().filter_map(|m| code_in(&m.text).ok());
            codes.find(|found| *found != first)
        })
        .await?;
    world
        .eventually("the proposal to be over", async || {
            let held = proposed.elapsed()? > Duration::from_secs(4);
            Ok(held.then_some(()))
        })
        .await?;
    let said = carol.room_messages(&desk).await?;
    let answers = said.iter().filter(|m| m.username == World::ROCKET_BOT);
    let answered = answers.count();
    // Answered too late, and before the bridge can have looked at its proposals.
    carol.send(&desk, &format!("approve {second}")).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    let last = carol
        .wait_until(&desk, "an answer to that", |messages| {
            let is_answer = |m: &&RocketMessage| m.username == World::ROCKET_BOT;
            let answers: Vec<_> = messages.iter().filter(is_answer).collect();
            let last = answers.last().filter(|_| answers.len() > answered)?;
            Some(last.text.clone())
        })
        .await?;
    ensure!(last.contains("has lapsed"), "{last}");
    let lapsed = |texts: Vec<String>| texts.iter().filter(|t| t.contains("it has lapsed")).count();
    world
        .eventually("word of both that have lapsed", async || {
            Ok((lapsed(alice.room_texts(&room).await?) == 2).then_some(()))
        })
        .await?;
    // Nothing has been joined: it can be proposed again.
    ask(&alice, &room, "bridge tea --dry-run", "Nothing was done").await?;
    carol.send(&tea, "only here").await?;
    ask(&alice, &room, "bridge tea", "Proposed").await?;
    let texts = alice.room_texts(&room).await?;
    ensure!(!texts.iter().any(|text| text == "only here"), "{texts:?}");
    Ok(())
}

#[tokio::test]
async fn an_agreement_takes_effect_once_although_the_bridge_is_killed() -> Result<()> {
    let world = world(|_| {}).await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let tea = carol.create_channel("tea", &[]).await?;
    let milk = carol.create_channel("milk", &[]).await?;
    let control = world.rocketchat.control();
    let room = hall(&world, &alice, alone("public_chat")).await?;
    // Killed before anybody can have answered.
    ask(&alice, &room, "bridge tea", "Proposed").await?;
    world.bridge.kill_and_restart().await?;
    world.bridge.ready().await?;
    let (code, _) = proposal_there(&carol, &tea).await?;

    // Approved, and killed before it has taken effect: where the bridge asks how old the
    // channel's messages are, which it asks then only.
    control.add_rule(held("/api/v1/channels.history")).await?;
    ask_there(&carol, &tea, &format!("approve {code}"), "Approved").await?;
    wait_for_hit(&world).await?;
    world.bridge.kill().await?;
    let texts = alice.room_texts(&room).await?;
    ensure!(
        !texts.iter().any(|text| text.contains("is joined with")),
        "it had taken effect: {texts:?}"
    );
    control.clear_rules().await?;
    carol.send(&tea, "while it was dead").await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    wait_for_notice(&alice, &room, "is joined with tea").await?;
    talk((&alice, &room), (&carol, &tea), "after the kill").await?;

    // Killed when one of the rooms has been told.
    let second = hall(&world, &alice, alone("public_chat")).await?;
    ask_there(&carol, &milk, &format!("bridge {second}"), "Proposed").await?;
    let (code, _) = proposal_here(&alice, &second).await?;
    control.add_rule(held("/api/v1/chat.sendMessage")).await?;
    ask(&alice, &second, &format!("approve {code}"), "Approved").await?;
    wait_for_notice(&alice, &second, "is joined with milk").await?;
    wait_for_hit(&world).await?;
    world.bridge.kill().await?;
    control.clear_rules().await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    talk((&alice, &second), (&carol, &milk), "of the second").await?;
    carol
        .wait_for_message(&milk, "that it is joined", |message| {
            message.text.contains("is joined with")
        })
        .await?;
    world.bridge.kill_and_restart().await?;
    world.bridge.ready().await?;
    talk((&alice, &room), (&carol, &tea), "and again").await?;
    for texts in [
        alice.room_texts(&room).await?,
        alice.room_texts(&second).await?,
        carol.room_texts(&tea).await?,
        carol.room_texts(&milk).await?,
    ] {
        let told = texts.iter().filter(|text| text.contains("is joined with"));
        assert_eq!(told.count(), 1, "{texts:?}");
    }
    Ok(())
}

#[tokio::test]
async fn of_agreements_that_exclude_each_other_one_takes_effect() -> Result<()> {
    // All rooms are on this homeserver only, also those that the bridge makes.
    let world = world(|options| {
        options.extra_config = json!({ "bridge": { "federate": false } });
    })
    .await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let control = world.rocketchat.control();
    let tea = carol.create_channel("tea", &[]).await?;
    let milk = carol.create_channel("milk", &[]).await?;

    // Two for one room on Matrix; both have been looked at when the first is carried out.
    let room = hall(&world, &alice, alone("public_chat")).await?;
    let slow = |path: &str| Rule::on(path).times(2).delay(3000);
    control.add_rule(slow("/api/v1/channels.history")).await?;
    for (name, rid) in [("tea", &tea), ("milk", &milk)] {
        ask(&alice, &room, &format!("bridge {name}"), "Proposed").await?;
        let code = code_for(&carol, rid, &room).await?;
        let desk = carol.open_dm(World::ROCKET_BOT).await?;
        carol.send(&desk, &format!("approve {code}")).await?;
    }
    let told_failed = wait_for_notice(&alice, &room, "were to be joined, and cannot be").await?;
    ensure!(
        told_failed
            .body()
            .contains("mirrored by this bridge already"),
        "{}",
        told_failed.body()
    );
    wait_for_notice(&alice, &room, "is joined with").await?;
    let failed = async |rid: &str| {
        let texts = carol.room_texts(rid).await?;
        let failed = texts.iter().any(|text| text.contains("and cannot be"));
        let joined = texts.iter().any(|text| text.contains("is joined with"));
        Ok::<_, anyhow::Error>((failed, joined))
    };
    let (winner, loser) = world
        .eventually("both channels to be told", async || {
            Ok(match (failed(&tea).await?, failed(&milk).await?) {
                ((false, true), (true, false)) => Some((&tea, &milk)),
                ((true, false), (false, true)) => Some((&milk, &tea)),
                (one, other) => {
                    ensure!(!(one.1 && other.1), "both are joined with the room");
                    None
                }
            })
        })
        .await?;
    carol.send(loser, "nobody hears this").await?;
    talk((&alice, &room), (&carol, winner), "one").await?;
    let texts = alice.room_texts(&room).await?;
    ensure!(!texts.iter().any(|text| text == "nobody hears this"));

    // Two for one private group, of which one would let everybody read what the people of
    // the other write. That has to be confirmed on both sides.
    let club = carol.create_group("club", &[World::ROCKET_BOT]).await?;
    let closed = hall(&world, &alice, alone("private_chat")).await?;
    let open = hall(&world, &alice, alone("public_chat")).await?;
    control.clear_rules().await?;
    ask_there(&carol, &club, &format!("bridge {closed}"), "Proposed").await?;
    let bridge = format!("bridge {open}");
    let unconfirmed = ask_there(&carol, &club, &bridge, "--confirm public").await?;
    ensure!(
        unconfirmed.contains("private room club on Rocket.Chat can be read by anybody on Matrix"),
        "{unconfirmed}"
    );
    let confirmed = format!("{bridge} --confirm public");
    ask_there(&carol, &club, &confirmed, "Proposed").await?;
    let (of_closed, _) = proposal_here(&alice, &closed).await?;
    let (of_open, notice) = proposal_here(&alice, &open).await?;
    ensure!(notice.contains("can be read by anybody"), "{notice}");
    let approve = format!("approve {of_open}");
    ask(&alice, &open, &approve, "--confirm public").await?;
    control.add_rule(slow("/api/v1/groups.history")).await?;
    let confirmed = format!("!rc {approve} --confirm public");
    alice.send_text(&open, &confirmed).await?;
    let approve = format!("!rc approve {of_closed}");
    alice.send_text(&closed, &approve).await?;
    let outcome = async |room: &str| {
        let texts = alice.room_texts(room).await?;
        let has = |part: &str| texts.iter().any(|text| text.contains(part));
        Ok::<_, anyhow::Error>((has("is joined with club"), has("and cannot be")))
    };
    world
        .eventually("one of them to take effect", async || {
            let (one, other) = (outcome(&open).await?, outcome(&closed).await?);
            ensure!(!(one.0 && other.0), "both have");
            Ok(((one.0 && other.1) || (one.1 && other.0)).then_some(()))
        })
        .await
        .context("who reads along was agreed by nobody")?;
    Ok(())
}
