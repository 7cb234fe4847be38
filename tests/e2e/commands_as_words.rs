//! What somebody writes on one side never acts as a command on the other.

use anyhow::Result;
use serde_json::json;
use testbed::{Sample, World};

use crate::commands::Desk;
use crate::membership::{id_of, wait_for_level};
use crate::relay::in_relayed_general;
use crate::{General, in_general};

#[tokio::test]
async fn words_of_matrix_are_never_a_command_on_rocketchat() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    alice.set_display_name("!matrix help\n/leave").await?;
    let words = [
        "!matrix help",
        "/matrix help",
        " /leave",
        "/kick carol\n/leave",
        "well\n!matrix help\n/leave",
        "> !matrix help",
        "\u{200b}!matrix help",
        "/me !matrix help",
        "/topic gone",
    ];
    for text in words {
        alice.send_text(&room, text).await?;
    }
    let said = alice.send_text(&room, "said").await?;
    alice.edit_text(&room, &said, "!matrix help").await?;
    alice.reply(&room, &said, "/archive").await?;
    let named = Sample::text("x").named("!matrix help");
    alice.send_captioned(&room, &named, "!matrix help").await?;
    alice.send_file(&room, &named, |_| {}).await?;
    alice
        .send_event(
            &room,
            "m.room.message",
            json!({ "msgtype": "m.emote", "body": "!matrix dm @bob:matrix.test" }),
        )
        .await?;
    alice
        .send_html(&room, "help", "<p>!matrix help</p><p>/leave</p>")
        .await?;
    // What a room is called and about.
    let body = json!({
        "roomId": channel, "userId": id_of(&carol, &world.puppet("alice")).await?,
    });
    world.rocket_admin().post("channels.addOwner", body).await?;
    wait_for_level(&world, &alice, &room, &alice.user_id, Some(100)).await?;
    let topic = "/archive\n!matrix unbridge";
    alice
        .send_state(&room, "m.room.topic", "", json!({ "topic": topic }))
        .await?;
    world
        .eventually("the topic on Rocket.Chat", async || {
            let info = carol.get(&format!("rooms.info?roomId={channel}")).await?;
            let topic = info["room"]["topic"].as_str().unwrap_or_default();
            Ok(topic.contains("!matrix unbridge").then_some(()))
        })
        .await?;
    alice.send_text(&room, "that is all").await?;
    carol.wait_for_text(&channel, "that is all").await?;

    let messages = carol.room_messages(&channel).await?;
    let of_alice = messages
        .iter()
        .filter(|message| message.username == world.puppet("alice"))
        .count();
    assert!(
        of_alice >= words.len() + 7,
        "all arrived as words: {messages:#?}"
    );
    assert!(
        messages
            .iter()
            .all(|message| message.username != World::ROCKET_BOT),
        "nothing was answered: {messages:#?}"
    );
    let members = carol.channel_members(&channel).await?;
    for name in ["carol", &world.puppet("alice")] {
        assert!(members.iter().any(|member| member == name), "{members:?}");
    }
    // Answers would be in a direct message with the bridge.
    let puppet = carol.find_user(&world.puppet("alice")).await?;
    let puppet = puppet.expect("the puppet")["_id"].clone();
    let rooms = world
        .rocket_admin()
        .get("rooms.adminRooms?types[]=d&count=100")
        .await?;
    let with_bot = rooms["rooms"].as_array().into_iter().flatten().any(|room| {
        let of = |who: &str| room["usernames"].to_string().contains(who);
        of(World::ROCKET_BOT)
            && (of(&world.puppet("alice"))
                || room["uids"]
                    .to_string()
                    .contains(puppet.as_str().unwrap_or("-")))
    });
    assert!(!with_bot, "{rooms}");
    Ok(())
}

/// Who speaks through the bridge's account has no more to say to it by that.
#[tokio::test]
async fn words_of_relayed_people_are_never_a_command_on_rocketchat() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_relayed_general().await?;
    let control = world.rocketchat.control();
    alice.set_display_name("!matrix help").await?;
    let words = ["!matrix help", "/leave", "well\n/matrix help"];
    let mut number = 0;
    for names_stand_in_the_text in [false, true] {
        if names_stand_in_the_text {
            // The text begins with what she calls herself.
            control
                .set_permission("message-impersonate", &["app"])
                .await?;
        }
        for text in words {
            alice.send_text(&room, text).await?;
            number += 1;
        }
        let said = alice.send_text(&room, "said").await?;
        alice.edit_text(&room, &said, "!matrix help").await?;
        let named = Sample::text("x").named("!matrix help");
        alice.send_captioned(&room, &named, "!matrix help").await?;
        number += 2;
        let marker = format!("that is all, {number}");
        alice.send_text(&room, &marker).await?;
        number += 1;
        carol
            .wait_for_message(&channel, "the marker", |message| {
                message.text.ends_with(&marker)
            })
            .await?;
    }
    let messages = carol.room_messages(&channel).await?;
    let relayed = messages
        .iter()
        .filter(|message| message.username == World::ROCKET_BOT)
        .count();
    assert_eq!(relayed, number, "words and no answers: {messages:#?}");
    let rooms = world.rocket_bot.subscriptions().await?;
    assert!(rooms.iter().all(|room| room["t"] != "d"), "{rooms:?}");
    let members = carol.channel_members(&channel).await?;
    assert!(
        members.iter().any(|member| member == "carol"),
        "{members:?}"
    );
    Ok(())
}

#[tokio::test]
async fn words_of_rocketchat_are_never_a_command_on_matrix() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let words = [
        "!rc help",
        "well\n!rc help",
        "> !rc help",
        "*!rc* help",
        "help",
        "unbridge general",
    ];
    for text in words {
        carol.send(&channel, text).await?;
    }
    let said = carol.send(&channel, "said").await?;
    alice.wait_for_text(&room, "said").await?;
    carol.edit(&channel, &said, "!rc help").await?;
    carol.send_in_thread(&channel, &said, "!rc whoami").await?;
    carol
        .upload(&channel, "!rc help", "text/plain", b"x", "!rc help")
        .await?;
    // What was mirrored stays so: a message is no command afterwards.
    let other = carol.send(&channel, "other").await?;
    alice.wait_for_text(&room, "other").await?;
    carol.edit(&channel, &other, "!matrix whoami").await?;
    for topic in ["!rc unbridge", "!matrix unbridge"] {
        let body = json!({ "roomId": channel, "topic": topic });
        world.rocket_admin().post("channels.setTopic", body).await?;
    }
    let body = json!({ "data": { "name": "!rc help" } });
    carol.post("users.updateOwnBasicInfo", body).await?;
    // What an integration says under somebody's name.
    let admin = world.rocket_admin();
    let hook = admin.create_webhook("general", "carol").await?;
    for text in ["!matrix whoami", "!rc help", "/matrix help"] {
        admin.call_webhook(&hook, json!({ "text": text })).await?;
        alice
            .wait_for_message(&room, "what the integration says", |event| {
                event.sender == world.ghost("carol") && event.body().ends_with(text)
            })
            .await?;
    }
    // An answer to something is words as well.
    carol
        .quote(&channel, &[&said], "!rc unbridge general")
        .await?;
    carol.send(&channel, "that is all").await?;
    alice.wait_for_text(&room, "that is all").await?;

    // The bot would have answered before what stands behind it is worked.
    alice.send_text(&room, "!rc whoami").await?;
    alice
        .wait_for_message(&room, "an answer to her", |event| {
            event.body().contains("On Rocket.Chat you are")
        })
        .await?;
    let bot = world.user_id("rocketchatbot");
    let answers = alice.room_messages(&room).await?;
    let answers: Vec<_> = answers
        .iter()
        .filter(|event| event.sender == bot)
        .map(|event| event.body().to_owned())
        .collect();
    assert!(
        answers.iter().all(|text| !text.contains("I am the bridge")
            && !text.contains("no longer mirrored")
            && !text.contains("There is no such command")),
        "{answers:#?}"
    );
    let desk = Desk::of(&carol).await?;
    assert!(desk.answers().await?.is_empty());
    Ok(())
}
