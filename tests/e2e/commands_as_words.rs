//! What somebody writes on one side never acts as a command on the other.

use anyhow::Result;
use serde_json::json;
use testbed::{Sample, World};

use crate::commands::Desk;
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
    alice.send_text(&room, "that is all").await?;
    carol.wait_for_text(&channel, "that is all").await?;

    let messages = carol.room_messages(&channel).await?;
    let of_alice = messages
        .iter()
        .filter(|message| message.username == world.puppet("alice"))
        .count();
    assert!(
        of_alice >= words.len() + 6,
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
