//! Files of Rocket.Chat on Matrix: whole, once, in their place, and nobody else's.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testbed::{Event, MatrixUser, NewFile, RocketUser, Sample, World, WorldOptions, sha256};

use crate::{BRIDGE, Direct, General, general_in, in_direct, in_general, office};

/// The event of a file by its name; not an edit of it.
async fn file_event(alice: &MatrixUser, room: &str, name: &str) -> Result<Event> {
    alice
        .wait_for_message(room, &format!("the file {name}"), |event| {
            event.text("/filename") == name && !is_edit(event)
        })
        .await
}

fn is_edit(event: &Event) -> bool {
    event
        .relation()
        .is_some_and(|(kind, _)| kind == "m.replace")
}

/// The file behind an event is that file, to the byte, and said to be so large.
async fn assert_whole(alice: &MatrixUser, event: &Event, sample: &Sample) -> Result<()> {
    let (_, bytes) = alice.download(event.text("/url")).await?;
    assert_eq!(sha256(&bytes), sample.sha256(), "{}", sample.name);
    assert_eq!(
        event.content["info"]["size"],
        sample.bytes.len(),
        "{event:?}"
    );
    Ok(())
}

/// How many events with that file name there are, edits and redacted ones left out.
async fn count(alice: &MatrixUser, room: &str, name: &str) -> Result<usize> {
    let events = alice.room_messages(room).await?;
    let found = events
        .iter()
        .filter(|event| event.text("/filename") == name && !is_edit(event));
    Ok(found.count())
}

fn captioned(sample: &Sample, text: Option<&str>, description: Option<&str>) -> NewFile {
    NewFile {
        text: text.map(str::to_owned),
        description: description.map(str::to_owned),
        ..sample.clone().into()
    }
}

/// Tells the simulator how to treat the next answers with a file.
async fn on_downloads(world: &World, times: u32, action: Value) -> Result<()> {
    let rule = json!({
        "match": { "path": "/file-upload/", "times": times }, "action": action,
    });
    world
        .rocketchat
        .control()
        .call("POST", "rules", Some(&rule))
        .await?;
    Ok(())
}

/// How many requests the rules have met.
async fn hits(world: &World) -> Result<u64> {
    let rules = world.rocketchat.control().rules().await?;
    let hits = rules.as_array().into_iter().flatten();
    Ok(hits.filter_map(|rule| rule["hits"].as_u64()).sum())
}

async fn samples() -> Result<Vec<(Sample, &'static str, &'static str)>> {
    Ok(vec![
        (Sample::png(1, 900, 700)?, "m.image", "image/png"),
        (
            Sample::png(2, 30, 20)?.named("small.png"),
            "m.image",
            "image/png",
        ),
        (Sample::gif(4, 40, 30)?, "m.image", "image/gif"),
        (Sample::wav(5), "m.audio", "audio/wav"),
        (Sample::ogg(6), "m.audio", "audio/ogg"),
        (Sample::mp4(7), "m.video", "video/mp4"),
        (Sample::pdf(), "m.file", "application/pdf"),
        (Sample::text("words"), "m.file", "text/plain"),
        (
            Sample::random(8, 300_000),
            "m.file",
            "application/octet-stream",
        ),
        (Sample::random(9, 1).named("one byte"), "m.file", ""),
    ])
}

#[tokio::test]
async fn files_of_every_kind_arrive_whole_in_a_channel() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let samples = samples().await?;
    for (sample, ..) in &samples {
        carol.upload_file(&channel, sample.clone().into()).await?;
    }
    let mut last = 0;
    for (sample, msgtype, media_type) in &samples {
        let event = file_event(&alice, &room, &sample.name).await?;
        assert_eq!(event.msgtype(), *msgtype, "{event:?}");
        assert_eq!(event.body(), sample.name, "without a caption");
        assert_eq!(event.sender, world.ghost("carol"));
        assert_eq!(event.content["m.mentions"], json!({}));
        if !media_type.is_empty() {
            assert_eq!(event.content["info"]["mimetype"], *media_type);
        }
        assert!(event.origin_server_ts >= last, "in order");
        last = event.origin_server_ts;
        assert_whole(&alice, &event, sample).await?;
    }
    let events = alice.room_messages(&room).await?;
    let names: Vec<_> = events.iter().map(|event| event.text("/filename")).collect();
    let sent: Vec<_> = samples
        .iter()
        .map(|(sample, ..)| sample.name.as_str())
        .collect();
    assert_eq!(names, sent, "each once, in order, and nothing else");
    let picture = file_event(&alice, &room, "picture.png").await?;
    let info = &picture.content["info"];
    assert_eq!(
        (&info["w"], &info["h"]),
        (&json!(900), &json!(700)),
        "of the original"
    );
    assert!(info["xyz.amorgan.blurhash"].is_string(), "{info}");
    let small = info["thumbnail_url"].as_str().context("no thumbnail")?;
    let (_, bytes) = alice.download(small).await?;
    assert_eq!(info["thumbnail_info"]["size"], bytes.len());
    let width = info["thumbnail_info"]["w"].as_u64();
    assert!(width.is_some_and(|w| (1..900).contains(&w)), "{info}");
    let small = file_event(&alice, &room, "small.png").await?;
    assert!(
        small.content["info"]["thumbnail_url"].is_null(),
        "{small:?}"
    );
    let sound = file_event(&alice, &room, "sound.wav").await?;
    assert_eq!(sound.content["info"]["duration"], 1000);
    // Alice's puppet is in the channel and reads: nobody else has to enter.
    let members = carol.channel_members(&channel).await?;
    assert!(
        !members.contains(&World::ROCKET_BOT.to_owned()),
        "{members:?}"
    );

    // The same names again, from a run that has forgotten everything it knew in memory.
    world.bridge.kill().await?;
    let late = Sample::random(10, 50_000).named("while away.bin");
    carol
        .upload_file(&channel, captioned(&late, Some("said *with* it"), None))
        .await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    let event = file_event(&alice, &room, "while away.bin").await?;
    assert_eq!(event.body(), "said **with** it");
    assert_whole(&alice, &event, &late).await?;
    assert_eq!(count(&alice, &room, "picture.png").await?, 1);
    Ok(())
}

#[tokio::test]
async fn captions_threads_replies_and_edits_keep_the_file() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    alice.send_text(&room, "look at this").await?;
    let said = carol.wait_for_text(&channel, "look at this").await?;
    let puppet = world.puppet("alice");

    // Text and description; whoever is called is.
    let sample = Sample::png(1, 30, 20)?;
    let text = format!("*see* @{puppet}");
    let with_both = captioned(
        &sample.clone().named("both.png"),
        Some(&text),
        Some("of _mine_"),
    );
    carol.upload_file(&channel, with_both).await?;
    let both = file_event(&alice, &room, "both.png").await?;
    assert!(both.body().starts_with("**see** "), "{}", both.body());
    assert!(both.body().ends_with("\nof *mine*"), "{}", both.body());
    assert!(both.formatted_body().contains("<strong>see</strong>"));
    assert_eq!(
        both.content["m.mentions"]["user_ids"],
        json!([alice.user_id])
    );
    assert_whole(&alice, &both, &sample).await?;

    // In a thread, and as a reply.
    let in_thread = NewFile {
        thread: Some(said.id.clone()),
        ..Sample::text("in a thread").named("thread.txt").into()
    };
    carol.upload_file(&channel, in_thread).await?;
    let event = file_event(&alice, &room, "thread.txt").await?;
    let root = alice.wait_for_text(&room, "look at this").await?.event_id;
    assert_eq!(event.relation(), Some(("m.thread", root.as_str())));
    let link = format!(
        "{}/channel/general?msg={}",
        world.rocketchat.base_url(),
        said.id
    );
    let quoting = format!("[ ]({link})\nas you say");
    let files = [Sample::text("quoting").named("reply.txt").into()];
    carol.post_files(&channel, &quoting, &files).await?;
    let event = file_event(&alice, &room, "reply.txt").await?;
    assert_eq!(event.in_reply_to(), Some(root.as_str()));
    assert_eq!(event.body(), "as you say");

    // Several in one message: in order, one event each, each with its own caption.
    let several = [
        captioned(
            &Sample::png(2, 20, 20)?.named("first.png"),
            None,
            Some("one"),
        ),
        captioned(&Sample::text("two").named("second.txt"), None, None),
        captioned(&Sample::wav(3).named("third.wav"), None, Some("three")),
    ];
    let id = carol.post_files(&channel, "all of them", &several).await?;
    let third = file_event(&alice, &room, "third.wav").await?;
    let first = file_event(&alice, &room, "first.png").await?;
    let second = file_event(&alice, &room, "second.txt").await?;
    assert_eq!(first.body(), "all of them\none");
    assert_eq!(second.body(), "second.txt");
    assert_eq!(third.body(), "three");
    let order = alice.room_messages(&room).await?;
    let order: Vec<_> = order
        .iter()
        .rev()
        .take(3)
        .rev()
        .map(|event| event.event_id.clone())
        .collect();
    assert_eq!(
        order,
        [&first, &second, &third].map(|event| event.event_id.clone())
    );

    // A star changes nothing. An edit changes the caption and not the file.
    carol
        .post("chat.starMessage", json!({ "messageId": id }))
        .await?;
    let edited = |event: &Event, body: &'static str| {
        let id = event.event_id.clone();
        move |one: &Event| one.relation() == Some(("m.replace", &id)) && one.new_body() == body
    };
    carol.edit(&channel, &id, "another word").await?;
    let edit = alice
        .wait_for_message(
            &room,
            "the new caption",
            edited(&first, "all of them\nanother word"),
        )
        .await?;
    assert_eq!(
        edit.text("/m.new_content/url"),
        first.text("/url"),
        "not uploaded again"
    );
    assert_eq!(edit.text("/m.new_content/filename"), "first.png");
    assert_eq!(edit.text("/m.new_content/msgtype"), "m.image");

    // Without a caption, with one, and without; also by a bridge that was away.
    let plain = carol
        .upload_file(&channel, Sample::text("x").named("bare.txt").into())
        .await?;
    let bare = file_event(&alice, &room, "bare.txt").await?;
    carol.edit(&channel, &plain, "said later").await?;
    alice
        .wait_for_message(&room, "a caption", edited(&bare, "said later"))
        .await?;
    world.bridge.kill().await?;
    carol.edit(&channel, &plain, "said even later").await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    let edit = alice
        .wait_for_message(&room, "the other caption", edited(&bare, "said even later"))
        .await?;
    assert_eq!(edit.text("/m.new_content/url"), bare.text("/url"));

    // Deleted: every part of it.
    carol.delete(&channel, &id).await?;
    alice
        .wait_until(&room, "all three to be gone", |events| {
            let gone = |id: &str| {
                events
                    .iter()
                    .any(|one| one.event_id == id && one.is_redacted())
            };
            let all = [&first, &second, &third];
            all.iter().all(|one| gone(&one.event_id)).then_some(())
        })
        .await?;
    let edits = alice.room_messages(&room).await?;
    let of_others = edits.iter().filter(|one| {
        one.relation() == Some(("m.replace", second.event_id.as_str()))
            || one.relation() == Some(("m.replace", third.event_id.as_str()))
    });
    assert_eq!(of_others.count(), 0, "what an edit does not touch stays");
    Ok(())
}

#[tokio::test]
async fn files_of_direct_messages_are_read_by_the_puppet() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    let large = Sample::png(1, 800, 600)?;
    let message = carol
        .upload_file(&dm, captioned(&large, None, Some("mine")))
        .await?;
    let event = file_event(&alice, &room, "picture.png").await?;
    assert_eq!(event.body(), "mine");
    assert_whole(&alice, &event, &large).await?;
    // The thumbnail is Rocket.Chat's own.
    let stored = carol.documents(&dm).await?;
    let stored = stored
        .iter()
        .find(|one| one.id == message)
        .context("the message")?;
    let link = stored.document["attachments"][0]["image_url"]
        .as_str()
        .context("a thumbnail")?;
    let (_, small) = carol.download(link).await?;
    let info = &event.content["info"];
    let (_, bytes) = alice
        .download(info["thumbnail_url"].as_str().context("no thumbnail")?)
        .await?;
    assert_eq!(sha256(&bytes), sha256(&small));
    assert_ne!(sha256(&bytes), large.sha256());
    assert_eq!(info["thumbnail_info"]["size"], small.len());
    assert!(
        info["thumbnail_info"]["w"]
            .as_u64()
            .is_some_and(|w| w <= 480),
        "{info}"
    );

    let voice = Sample::wav(2)
        .named("1763663465123.m4a")
        .declared("audio/aac");
    carol.upload_file(&dm, voice.clone().into()).await?;
    let event = file_event(&alice, &room, &voice.name).await?;
    assert_eq!(event.msgtype(), "m.audio");
    assert_eq!(event.content["org.matrix.msc3245.voice"], json!({}));
    assert_whole(&alice, &event, &voice).await?;

    // A reader whose token was taken away gets another.
    let puppet = carol
        .find_user(&world.puppet("alice"))
        .await?
        .context("the puppet")?;
    world
        .rocket_admin()
        .post("users.logout", json!({ "userId": puppet["_id"] }))
        .await?;
    let after = Sample::text("after").named("after.txt");
    carol.upload_file(&dm, after.clone().into()).await?;
    let event = file_event(&alice, &room, "after.txt").await?;
    assert_whole(&alice, &event, &after).await
}

/// A portal of a private group in which nobody of the bridge but its account is.
async fn in_group(world: &World) -> Result<(MatrixUser, RocketUser, String, String)> {
    let carol = world.rocket_user("carol").await?;
    let group = carol
        .create_group("inner-circle", &[World::ROCKET_BOT])
        .await?;
    let admin = world.matrix_user("admin").await?;
    let bot = world.user_id("rocketchatbot");
    let commands = office(world, &admin).await?;
    admin.send_text(&commands, "bridge inner-circle").await?;
    let invite = admin
        .wait_for_invite("the portal of the group", |invite| invite.sender == bot)
        .await?;
    let portal = admin.join(&invite.room_id).await?;
    Ok((admin, carol, portal, group))
}

/// The bridge's account may read in two rooms: who writes in one of them gains nothing
/// of the other.
#[tokio::test]
async fn a_file_of_another_room_is_nobodys_to_show() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let (admin, _, portal, group) = in_group(&world).await?;
    let secret = Sample::png(1, 900, 700)?.named("secret.png");
    let message = carol.upload_file(&group, secret.clone().into()).await?;
    let event = file_event(&admin, &portal, "secret.png").await?;
    assert_whole(&admin, &event, &secret).await?;
    // Both rooms have a reader that may read in the other one, too.
    carol
        .upload_file(&channel, Sample::text("x").named("own.txt").into())
        .await?;
    file_event(&alice, &room, "own.txt").await?;

    let stored = carol.documents(&group).await?;
    let stored = stored
        .iter()
        .find(|one| one.id == message)
        .context("the message")?;
    let file = &stored.document["file"];
    let mallory = world.rocket_user("mallory").await?;
    mallory.join_channel("general").await?;
    for attachment in [
        stored.document["attachments"][0].clone(),
        json!({ "type": "file", "title": "stolen", "image_url": stored.document["attachments"][0]["image_url"] }),
        json!({ "title": "stolen", "title_link": format!("/file-upload/{}/x", file["_id"].as_str().unwrap_or("")) }),
    ] {
        mallory
            .send_message(json!({
                "rid": channel, "msg": "for me", "file": file, "files": [file],
                "attachments": [attachment],
            }))
            .await?;
    }
    mallory
        .send_message(json!({ "rid": channel, "msg": "for me", "files": [file] }))
        .await?;
    mallory.send(&channel, "last").await?;
    alice.wait_for_text(&room, "last").await?;
    let told = alice.room_messages(&room).await?;
    let told: Vec<_> = told
        .iter()
        .filter(|one| one.body().contains("for me"))
        .collect();
    assert_eq!(told.len(), 4);
    for event in told {
        assert_eq!(event.msgtype(), "m.text", "{event:?}");
        assert!(event.body().starts_with("[file: "), "{}", event.body());
        assert!(
            event.body().contains("not among the files of this room"),
            "{}",
            event.body()
        );
        assert!(!event.content.to_string().contains("mxc://"), "{event:?}");
    }
    Ok(())
}

/// Each kind of room has a list of files that knows no others.
#[tokio::test]
async fn files_arrive_from_a_room_that_was_made_public_or_private_since() -> Result<()> {
    let General { world, .. } = in_general().await?;
    let (admin, carol, portal, group) = in_group(&world).await?;
    for (endpoint, kind, name) in [
        ("groups.setType", "c", "public.txt"),
        ("channels.setType", "p", "private.txt"),
    ] {
        carol
            .post(endpoint, json!({ "roomId": group, "type": kind }))
            .await?;
        let sample = Sample::text(name).named(name);
        carol.upload_file(&group, sample.clone().into()).await?;
        let event = file_event(&admin, &portal, name).await?;
        assert_whole(&admin, &event, &sample).await?;
    }
    Ok(())
}

#[tokio::test]
async fn hostile_files_are_harmless_and_no_address_is_followed() -> Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let evil = format!("http://{}", listener.local_addr()?);
    let called = tokio::spawn(async move { listener.accept().await.is_ok() });
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;

    // Addresses in every place that Rocket.Chat takes them.
    for key in [
        "title_link",
        "image_url",
        "audio_url",
        "video_url",
        "thumb_url",
        "author_icon",
    ] {
        for kind in ["file", "card"] {
            let mut attachment = json!({ "type": kind, "title": format!("by {key}") });
            attachment[key] = format!("{evil}/file-upload/abc/x.png").into();
            let message = json!({ "rid": channel, "msg": format!("{kind} {key}"), "attachments": [attachment] });
            carol.send_message(message).await?;
            alice
                .wait_for_message(&room, key, |one| {
                    one.body().starts_with(&format!("{kind} {key}"))
                })
                .await?;
        }
    }
    // Ids that are none.
    for id in ["..", "%2e%2e", "a?b", "nosuchfile"] {
        let link = format!("/file-upload/{id}/x.png");
        let file = json!({ "type": "file", "title": "x.png", "title_link": link });
        carol
            .send_message(
                json!({ "rid": channel, "msg": format!("id {id}"), "attachments": [file] }),
            )
            .await?;
        alice
            .wait_for_message(&room, id, |one| {
                one.body().contains(&format!("id {id}")) && one.body().contains("[file: x.png")
            })
            .await?;
    }

    // What it is decides, not what it is said to be.
    world
        .change_setting("FileUpload_MediaTypeBlackList", json!(""))
        .await?;
    let html = b"<!DOCTYPE html><html><script>alert(1)</script></html>";
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>";
    for (name, bytes) in [("page.html", &html[..]), ("drawing.svg", &svg[..])] {
        let file = NewFile {
            name: name.to_owned(),
            content_type: "text/plain".to_owned(),
            bytes: bytes.to_vec(),
            ..NewFile::default()
        };
        let id = carol.upload_unconfirmed(&channel, &file).await?;
        let link = format!("/file-upload/{id}/photo.png");
        let (name, kind) = (format!("photo of {name}.png"), "image/png");
        let attachment = json!({
            "type": "file", "title": name, "title_link": link, "image_url": link,
            "image_type": kind, "image_size": 1, "image_dimensions": { "width": 9, "height": 9 },
        });
        let files = json!([{ "_id": id, "name": name, "type": kind, "size": 1 }]);
        carol
            .send_message(
                json!({ "rid": channel, "msg": "", "files": files, "attachments": [attachment] }),
            )
            .await?;
        let event = file_event(&alice, &room, &name).await?;
        assert_eq!(event.msgtype(), "m.file", "{event:?}");
        assert_eq!(
            event.content["info"]["size"],
            bytes.len(),
            "not the claimed one"
        );
        assert_eq!(event.content["info"].get("w"), None);
        let got = alice.fetch_media(event.text("/url")).await?;
        assert_eq!(sha256(&got.bytes), sha256(bytes));
        assert_eq!(
            got.content_type, "application/octet-stream",
            "no browser runs it"
        );
    }

    // Names that lead elsewhere, or read otherwise than they are.
    for (title, clean) in [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\system.ini", "system.ini"),
        ("cod\u{202e}gpj.exe", "codgpj.exe"),
        ("a\u{0}b\r\nc.txt", "abc.txt"),
        ("", "file"),
    ] {
        let id = carol
            .upload_unconfirmed(&channel, &Sample::text(clean).into())
            .await?;
        let link = format!("/file-upload/{id}/x");
        let file = json!({ "type": "file", "title": title, "title_link": link });
        carol
            .send_message(json!({ "rid": channel, "msg": "", "attachments": [file] }))
            .await?;
        let event = file_event(&alice, &room, clean).await?;
        assert_eq!(event.body(), clean);
    }
    let long = "n".repeat(5000);
    let id = carol
        .upload_unconfirmed(&channel, &Sample::text("long").into())
        .await?;
    let file =
        json!({ "type": "file", "title": long, "title_link": format!("/file-upload/{id}/x") });
    carol
        .send_message(json!({ "rid": channel, "msg": "long", "attachments": [file] }))
        .await?;
    let event = alice.wait_for_text(&room, "long").await?;
    assert!(
        event.text("/filename").len() <= 255,
        "{}",
        event.text("/filename").len()
    );
    assert!(
        !called.is_finished(),
        "an address in a message was followed"
    );
    Ok(())
}

#[tokio::test]
async fn what_the_homeserver_does_not_take_is_told_in_words() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.synapse_config = json!({ "max_upload_size": "100K" });
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = general_in(World::start(options).await?).await?;
    let (fits, exact, beyond) = (50_000, 102_400, 102_401);
    for size in [fits, exact] {
        let sample = Sample::random(size as u64, size).named(&format!("{size}.bin"));
        carol.upload_file(&channel, sample.clone().into()).await?;
        let event = file_event(&alice, &room, &sample.name).await?;
        assert_whole(&alice, &event, &sample).await?;
    }
    let large = Sample::random(3, beyond).named("large.bin");
    let id = carol
        .upload_file(&channel, captioned(&large, Some("the *big* one"), None))
        .await?;
    carol.send(&channel, "behind it").await?;
    let told = alice
        .wait_for_message(&room, "the words", |one| one.body().contains("large.bin"))
        .await?;
    assert_eq!(told.msgtype(), "m.text");
    let words = "[file: large.bin (100 KiB)]\nIt is too large for the Matrix homeserver, which \
                 takes files of up to 100 KiB. Until ";
    assert!(told.body().starts_with(words), "{}", told.body());
    assert!(
        told.body().ends_with("\nthe **big** one"),
        "{}",
        told.body()
    );
    alice.wait_for_text(&room, "behind it").await?;
    // Whoever reads it can have the file.
    let link = told.body().split(' ').find_map(|word| {
        let link = word.lines().next()?;
        link.strip_prefix(world.bridge.base_url())
            .map(str::to_owned)
    });
    let link = link.context("no link")?;
    let got = reqwest::get(format!("{}{link}", world.bridge.base_url())).await?;
    assert_eq!(got.status(), 200);
    assert_eq!(sha256(&got.bytes().await?), large.sha256());
    // Its caption is edited like any other.
    carol.edit(&channel, &id, "not so big").await?;
    alice
        .wait_for_message(&room, "the edit", |one| {
            one.relation() == Some(("m.replace", &told.event_id))
                && one.new_body().starts_with(words)
                && one.new_body().ends_with("\nnot so big")
        })
        .await?;
    // And with the message the link goes.
    carol.delete(&channel, &id).await?;
    world
        .eventually("the link to end", async || {
            let got = reqwest::get(format!("{}{link}", world.bridge.base_url())).await?;
            Ok((got.status() != 200).then_some(()))
        })
        .await
}

#[tokio::test]
async fn what_breaks_off_on_its_way_arrives_whole_and_once() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    // The bridge's account is in, so that every answer brings a file.
    carol
        .upload_file(&channel, Sample::text("first").named("first.txt").into())
        .await?;
    file_event(&alice, &room, "first.txt").await?;
    let length = 400_000;
    let cuts = [0, 1, 5_000, 65_536, 131_073, length - 1];
    let faults: Vec<_> = cuts
        .iter()
        .map(|after| json!({ "cut_download": { "after": after } }))
        .chain([
            json!({ "shorten_download": { "to": 1000 } }),
            json!({ "stall_download": { "after": 100_000, "ms": 60_000 } }),
            json!({ "status": { "status": 502 } }),
            json!("refuse"),
        ])
        .collect();
    for (n, fault) in faults.iter().enumerate() {
        let before = hits(&world).await?;
        on_downloads(&world, 1, fault.clone()).await?;
        let sample = Sample::random(n as u64, length as usize).named(&format!("file {n}.bin"));
        carol.upload_file(&channel, sample.clone().into()).await?;
        let behind = format!("behind {n}");
        carol.send(&channel, &behind).await?;
        let event = file_event(&alice, &room, &sample.name).await?;
        assert_whole(&alice, &event, &sample).await?;
        alice.wait_for_text(&room, &behind).await?;
        assert!(hits(&world).await? > before, "{fault} was not met");
        world.rocketchat.control().clear_rules().await?;
    }
    let events = alice.room_messages(&room).await?;
    let bodies: Vec<_> = events
        .iter()
        .skip(1)
        .map(|event| event.body().to_owned())
        .collect();
    let expected: Vec<_> = (0..faults.len())
        .flat_map(|n| [format!("file {n}.bin"), format!("behind {n}")])
        .collect();
    assert_eq!(bodies, expected, "each once, in order");
    Ok(())
}

/// Whatever never comes through is told, with its reason; what stands behind it comes.
#[tokio::test]
async fn what_never_comes_through_holds_nothing_up_for_long() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    carol
        .upload_file(&channel, Sample::text("first").named("first.txt").into())
        .await?;
    file_event(&alice, &room, "first.txt").await?;
    // While Rocket.Chat answers everything else.
    on_downloads(&world, 1_000, json!({ "cut_download": { "after": 100 } })).await?;
    let sample = Sample::random(1, 100_000).named("cut.bin");
    carol
        .upload_file(&channel, captioned(&sample, Some("with words"), None))
        .await?;
    carol.send(&channel, "behind it").await?;
    let others = world.rocket_user("dave").await?;
    others.join_channel("general").await?;
    others.send(&channel, "of somebody else").await?;
    alice.wait_for_text(&room, "of somebody else").await?;
    let told = alice
        .wait_until_within(Duration::from_secs(180), &room, "the words", |events| {
            events
                .iter()
                .find(|one| one.body().contains("cut.bin"))
                .cloned()
        })
        .await?;
    assert!(
        told.body().starts_with("[file: cut.bin (97.6 KiB)]\n"),
        "{}",
        told.body()
    );
    assert!(told.body().ends_with("\nwith words"), "{}", told.body());
    alice.wait_for_text(&room, "behind it").await?;
    world.rocketchat.control().clear_rules().await?;

    // A file that goes while it is on its way is told, and the message's deletion too.
    on_downloads(&world, 1_000, json!({ "status": { "status": 404 } })).await?;
    carol
        .upload_file(&channel, Sample::text("gone").named("gone.txt").into())
        .await?;
    let told = alice
        .wait_for_message(&room, "the words", |one| one.body().contains("gone.txt"))
        .await?;
    assert_eq!(told.msgtype(), "m.text", "{told:?}");
    Ok(())
}

#[tokio::test]
async fn a_bridge_that_is_killed_brings_every_file_once() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    carol
        .upload_file(&channel, Sample::text("first").named("first.txt").into())
        .await?;
    file_event(&alice, &room, "first.txt").await?;
    let mut sent = Vec::new();
    // In the middle of the transfer.
    on_downloads(
        &world,
        1,
        json!({ "stall_download": { "after": 200_000, "ms": 60_000 } }),
    )
    .await?;
    let sample = Sample::random(1, 400_000).named("stalled.bin");
    carol.upload_file(&channel, sample.clone().into()).await?;
    sent.push(sample);
    world
        .eventually("the transfer to begin", async || {
            Ok((hits(&world).await? > 0).then_some(()))
        })
        .await?;
    world.bridge.kill_and_restart().await?;
    // And at any moment of several.
    for n in 0..6_u64 {
        let samples = [n * 2 + 10, n * 2 + 11]
            .map(|seed| Sample::random(seed, 60_000).named(&format!("{seed}.bin")));
        let files: Vec<NewFile> = samples.iter().cloned().map(Into::into).collect();
        carol
            .post_files(&channel, &format!("pair {n}"), &files)
            .await?;
        sent.extend(samples);
        tokio::time::sleep(Duration::from_millis(n * 45)).await;
        world.bridge.kill_and_restart().await?;
    }
    for sample in &sent {
        let event = file_event(&alice, &room, &sample.name).await?;
        assert_whole(&alice, &event, sample).await?;
    }
    carol.send(&channel, "the last").await?;
    alice.wait_for_text(&room, "the last").await?;
    for sample in &sent {
        assert_eq!(
            count(&alice, &room, &sample.name).await?,
            1,
            "{}",
            sample.name
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_large_file_is_never_in_memory() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    carol
        .upload_file(&channel, Sample::text("first").named("first.txt").into())
        .await?;
    file_event(&alice, &room, "first.txt").await?;
    let large = Sample::random(1, 99 << 20).named("large.bin");
    world
        .change_setting("FileUpload_MaxFileSize", json!(200 << 20))
        .await?;
    carol.upload_file(&channel, large.clone().into()).await?;
    let before = world.bridge.rss_bytes()?;
    let mut most = 0;
    let event = world
        .eventually("the large file", async || {
            most = most.max(world.bridge.rss_bytes()?);
            let events = alice.room_messages(&room).await?;
            Ok(events
                .into_iter()
                .find(|one| one.text("/filename") == "large.bin"))
        })
        .await?;
    let grown = most.saturating_sub(before);
    assert!(grown < 16 << 20, "{} MiB more than before", grown >> 20);
    assert_whole(&alice, &event, &large).await
}

/// Rocket.Chat gives files to members only: where no puppet is one, the bridge's account
/// becomes one of a public channel.
#[tokio::test]
async fn a_file_is_read_where_nobody_of_matrix_is_in_the_channel() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.extra_config = json!({ "bridge": { "channels": ["dev-*"] } });
    let world = World::start(options).await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.create_channel("dev-files", &[]).await?;
    let bot = world.matrix_bot()?;
    let room = world
        .eventually("the channel on Matrix", async || {
            bot.resolve_alias(&world.alias("dev-files")).await
        })
        .await?;
    carol.send(&channel, "nobody here").await?;
    bot.wait_for_text(&room, "nobody here").await?;
    let account = World::ROCKET_BOT.to_owned();
    assert!(!carol.channel_members(&channel).await?.contains(&account));
    let sample = Sample::png(77, 40, 30)?;
    carol.upload_file(&channel, sample.clone().into()).await?;
    let event = file_event(&bot, &room, &sample.name).await?;
    assert_whole(&bot, &event, &sample).await?;
    assert!(carol.channel_members(&channel).await?.contains(&account));
    // Nobody of Matrix got in by that.
    assert_eq!(
        bot.joined_members(&room).await?.len(),
        2,
        "the bot and the ghost"
    );
    Ok(())
}
