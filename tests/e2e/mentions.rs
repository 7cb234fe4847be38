//! Mentions: whoever was meant is called, and nobody else.

use anyhow::Result;
use serde_json::{Value, json};
use testbed::{Event, MatrixUser, RocketMessage, RocketUser, html_content, mentions, pill};

use crate::{Direct, General, in_direct, in_general};

/// Whom Rocket.Chat has called because of a message.
fn called(message: &RocketMessage) -> Vec<&str> {
    let called = message.document["mentions"].as_array();
    let names = called.into_iter().flatten();
    names.filter_map(|one| one["username"].as_str()).collect()
}

/// Waits for an event of which the plain body contains a mark.
async fn marked(alice: &MatrixUser, room: &str, mark: &str) -> Result<Event> {
    let what = format!("the message with {mark:?}");
    alice
        .wait_for_message(room, &what, |event| event.body().contains(mark))
        .await
}

/// Waits for a message of which the text contains a mark.
async fn marked_there(carol: &RocketUser, rid: &str, mark: &str) -> Result<RocketMessage> {
    let what = format!("the message with {mark:?}");
    carol
        .wait_for_message(rid, &what, |message| message.text.contains(mark))
        .await
}

fn link_to(target: &str) -> String {
    format!("href=\"https://matrix.to/#/{target}")
}

#[tokio::test]
async fn who_is_mentioned_on_rocketchat_is_mentioned_on_matrix() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let dave = world.rocket_user("dave").await?;
    carol.create_channel("tea", &[]).await?;
    alice.send_text(&room, "here I am").await?;
    carol.wait_for_text(&channel, "here I am").await?;
    let (me, ghost) = (world.puppet("alice"), world.ghost("dave"));

    let text = format!("one: @{me}, and > @{}!", dave.username);
    let id = carol.send(&channel, &text).await?;
    let one = marked(&alice, &room, "one:").await?;
    assert_eq!(
        one.content["m.mentions"],
        json!({ "user_ids": [alice.user_id, ghost] })
    );
    for person in [&alice.user_id, &ghost] {
        let html = one.formatted_body();
        assert!(html.contains(&link_to(person)), "{html}");
    }
    assert!(one.body().contains("Dave"), "by name: {}", one.body());

    for (mark, everybody) in [("two", "@all"), ("three", "@here")] {
        let text = format!("{mark} {everybody}");
        carol.send(&channel, &text).await?;
        let event = marked(&alice, &room, mark).await?;
        assert_eq!(event.content["m.mentions"], json!({ "room": true }));
    }
    carol.send(&channel, "four #general #tea").await?;
    let four = marked(&alice, &room, "four").await?;
    assert!(four.formatted_body().contains(&link_to(&room)), "{four:?}");
    assert!(four.body().ends_with("#tea"), "{four:?}");
    assert_eq!(four.formatted_body().matches("<a ").count(), 1, "{four:?}");
    carol
        .send(
            &channel,
            "five @nobody.here @alice @room x@all.org @alice:matrix.test",
        )
        .await?;
    let five = marked(&alice, &room, "five").await?;
    assert_eq!(five.content["m.mentions"], json!({}));

    // An edit calls those who were not called before, and never everybody.
    let edits = [
        (format!("six @{}", dave.username), json!([])),
        (
            format!("seven @{} @all", carol.username),
            json!([world.ghost("carol")]),
        ),
    ];
    for (text, newly) in edits {
        carol.edit(&channel, &id, &text).await?;
        let (mark, _) = text.split_once(' ').expect("two words");
        let edit = alice
            .wait_for_message(&room, "the edit", |event| {
                event.new_body().starts_with(mark)
            })
            .await?;
        let told = &edit.content["m.mentions"];
        assert_eq!(*told, json!({ "user_ids": newly }), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_name_on_rocketchat_mentions_nobody_and_is_nobody_else() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    alice.send_text(&room, "here I am").await?;
    carol.wait_for_text(&channel, "here I am").await?;
    let dave = world.rocket_user("dave").await?;
    dave.join_channel("general").await?;
    let names = [
        "two words".to_owned(),
        ".*[a-z]+(?".to_owned(),
        "&lt;b&gt; *y* [z](x)".to_owned(),
        "@room @all".to_owned(),
        alice.user_id.clone(),
        format!("\u{202e}evil {}", alice.user_id),
    ];
    for (number, name) in names.iter().enumerate() {
        let data = json!({ "userId": dave.id, "data": { "name": name } });
        world.rocket_admin().post("users.update", data).await?;
        let mark = format!("mark {number}");
        dave.send(&channel, &mark).await?;
        let said = marked(&alice, &room, &mark).await?;
        assert_eq!(said.sender, world.ghost("dave"), "{name}");
        assert_eq!(said.content["m.mentions"], json!({}), "{name}");
        carol
            .send(&channel, &format!("@dave call {number}"))
            .await?;
        let call = marked(&alice, &room, &format!("call {number}")).await?;
        assert_eq!(
            call.content["m.mentions"],
            json!({ "user_ids": [world.ghost("dave")] }),
            "{name}"
        );
        let html = call.formatted_body();
        assert_eq!(html.matches("<a ").count(), 1, "{html}");
        assert!(html.contains(&link_to(&world.ghost("dave"))), "{html}");
        assert!(!html.contains("<b>"), "{html}");
        assert!(!call.body().contains("@room"), "{}", call.body());
    }
    Ok(())
}

#[tokio::test]
async fn who_is_mentioned_on_matrix_is_called_on_rocketchat() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let bob = world.matrix_user("bob").await?;
    bob.join(&room).await?;
    bob.send_text(&room, "here I am").await?;
    carol.wait_for_text(&channel, "here I am").await?;
    // Dave has never been seen by the bridge, and Zoe is not on Rocket.Chat.
    world.rocket_user("dave").await?;
    let (carols, daves) = (world.ghost("carol"), world.ghost("dave"));
    let carol_pill = pill(&carols, "Carol");
    let (bob_pill, zoe) = (pill(&bob.user_id, "bob"), world.user_id("zoe"));
    let bob_there = world.puppet("bob");

    let cases: [(String, &[&str], &[&str]); 8] = [
        (format!("{carol_pill}: 0"), &[&carols], &["carol"]),
        (format!("1 thanks {carol_pill}."), &[&carols], &["carol"]),
        (format!("2 (<b>{carol_pill}</b>)!"), &[&carols], &["carol"]),
        (
            format!("3 <em>dear {bob_pill}</em>, {}", pill(&daves, "D")),
            &[&bob.user_id, &daves],
            &["dave", &bob_there],
        ),
        (
            format!("4 <ul><li>{carol_pill}</li></ul>"),
            &[&carols],
            &["carol"],
        ),
        (
            "5 <code>@carol</code> @carol @all @here".to_owned(),
            &[],
            &[],
        ),
        (format!("6 {}", pill(&zoe, "@carol")), &[&zoe], &[]),
        (
            format!("7 {}", pill(&daves, "@carol @all")),
            &[&daves],
            &["dave"],
        ),
    ];
    for (number, (html, users, names)) in cases.iter().enumerate() {
        alice
            .send_mentioning(&room, "unused", html, mentions(users))
            .await?;
        let there = marked_there(&carol, &channel, &number.to_string()).await?;
        let mut seen = called(&there);
        seen.sort_unstable();
        assert_eq!(&seen, names, "{html}: {:?}", there.text);
    }

    // As older clients and those without formatting do it.
    let content = json!({
        "msgtype": "m.text", "body": "8 @carol, and @carolina.",
        "m.mentions": { "user_ids": [carols] },
    });
    alice.send_event(&room, "m.room.message", content).await?;
    let there = marked_there(&carol, &channel, "8").await?;
    assert_eq!(called(&there), ["carol"], "{:?}", there.text);

    // An edit calls as well.
    let event = alice.send_text(&room, "nine").await?;
    carol.wait_for_text(&channel, "nine").await?;
    let new = html_content("unused", &format!("nine, {carol_pill}"));
    alice
        .edit_content(&room, &event, new, mentions(&[&carols]))
        .await?;
    let there = carol.wait_for_text(&channel, "nine, @carol").await?;
    assert_eq!(called(&there), ["carol"]);
    Ok(())
}

#[tokio::test]
async fn a_name_on_matrix_mentions_nobody_and_is_nobody_else() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let names = [
        "two words",
        ".*[a-z]+(?",
        "<b>x</b> *y* [z](https://example.org)",
        "@carol",
        "@all",
        "@carol:matrix.test",
        "carol",
    ];
    for (number, name) in names.iter().enumerate() {
        let mallory = world.matrix_user(&format!("mallory{number}")).await?;
        mallory.set_display_name(name).await?;
        mallory.join(&room).await?;
        mallory.send_text(&room, &format!("mark {number}")).await?;
        let said = marked_there(&carol, &channel, &format!("mark {number}")).await?;
        let puppet = world.puppet(mallory.localpart());
        assert_eq!(said.username, puppet, "{name}");
        assert_eq!(said.text, format!("mark {number}"), "{name}");
        assert!(called(&said).is_empty(), "{name}");
        let account = carol.find_user(&puppet).await?.expect("the puppet");
        assert_ne!(account["name"], "Carol", "{name}");

        // Whoever mentions them calls them, whatever they are called.
        let label = name.replace('<', "&lt;");
        let html = format!("{} call {number}", pill(&mallory.user_id, &label));
        let whom = mentions(&[&mallory.user_id]);
        alice.send_mentioning(&room, "unused", &html, whom).await?;
        let call = marked_there(&carol, &channel, &format!("call {number}")).await?;
        assert_eq!(call.text, format!("@{puppet} call {number}"), "{name}");
        assert_eq!(called(&call), [puppet.as_str()], "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn only_who_may_call_everybody_on_both_sides_does() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let call = async |mark: &str| -> Result<RocketMessage> {
        let content = json!({
            "msgtype": "m.text", "body": format!("@room {mark}"),
            "m.mentions": { "room": true },
        });
        alice.send_event(&room, "m.room.message", content).await?;
        marked_there(&carol, &channel, mark).await
    };
    let nobody: [&str; 0] = [];
    let bot = world.matrix_bot()?;
    bot.set_power_to_call_everybody(&room, 50).await?;
    let powerless = call("one").await?;
    assert_eq!(called(&powerless), nobody, "without the power on Matrix");
    assert!(powerless.text.contains("room"), "{:?}", powerless.text);

    bot.set_power(&room, &alice.user_id, 50).await?;
    let content = json!({ "msgtype": "m.text", "body": "@room not meant", "m.mentions": {} });
    alice.send_event(&room, "m.room.message", content).await?;
    let typed = marked_there(&carol, &channel, "not meant").await?;
    assert_eq!(called(&typed), nobody, "without saying so");
    let mighty = call("two").await?;
    assert_eq!(called(&mighty), ["all"], "{:?}", mighty.text);

    let control = world.rocketchat.control();
    control.set_permission("mention-all", &["admin"]).await?;
    let refused = call("three").await?;
    assert_eq!(called(&refused), nobody, "without the right on Rocket.Chat");
    assert!(refused.text.contains("three"), "{:?}", refused.text);

    bot.set_power(&room, &alice.user_id, 0).await?;
    control.set_permission("mention-all", &["user"]).await?;
    let powerless = call("four").await?;
    assert_eq!(called(&powerless), nobody, "after the power was taken");
    // Nobody was told that something failed: all four arrived.
    let events = alice.room_messages(&room).await?;
    let notices = events.iter().filter(|event| event.msgtype() == "m.notice");
    assert_eq!(notices.count(), 0);
    Ok(())
}

#[tokio::test]
async fn mentions_work_in_direct_messages() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    let html = format!("one {}.", pill(&world.ghost("carol"), "Carol"));
    let whom: Value = mentions(&[&world.ghost("carol")]);
    alice.send_mentioning(&room, "unused", &html, whom).await?;
    let there = marked_there(&carol, &dm, "one").await?;
    assert_eq!(called(&there), ["carol"]);
    carol
        .send(&dm, &format!("two @{}", world.puppet("alice")))
        .await?;
    let here = marked(&alice, &room, "two").await?;
    assert_eq!(
        here.content["m.mentions"],
        json!({ "user_ids": [alice.user_id] })
    );
    // There is nobody else to call.
    let content = json!({
        "msgtype": "m.text", "body": "@room three", "m.mentions": { "room": true },
    });
    alice.send_event(&room, "m.room.message", content).await?;
    let there = marked_there(&carol, &dm, "three").await?;
    assert_eq!(there.document["mentions"], json!([]), "{:?}", there.text);
    Ok(())
}
