//! Files from Matrix: each arrives on Rocket.Chat once, as it was sent.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{MatrixUser, RocketMessage, RocketUser, Rule, Sample, World, WorldOptions};

use crate::{BRIDGE, Direct, General, general_in, in_direct, in_general, open_group};

/// A picture of its own.
fn png(width: u32, height: u32, seed: u8) -> Vec<u8> {
    Sample::png(seed.into(), width, height)
        .expect("a picture")
        .bytes
}

/// So many bytes that are of no known type.
fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut file = Sample::random(seed, length).bytes;
    file[0] = 0;
    file
}

/// How long something may take that is tried for a minute first.
const PATIENTLY: Duration = Duration::from_secs(150);

/// A message on Rocket.Chat with a file of that name.
async fn wait_for_file(carol: &RocketUser, rid: &str, name: &str) -> Result<RocketMessage> {
    carol
        .wait_for_message(rid, &format!("the file {name:?}"), |message| {
            message.document["file"]["name"] == name
        })
        .await
}

/// Whether a message has exactly this file.
async fn ensure_bytes(carol: &RocketUser, message: &RocketMessage, sent: &[u8]) -> Result<()> {
    let link = message.file_link().context("no link to a file")?;
    let (_, got) = carol.download(link).await?;
    ensure!(
        got == sent,
        "{link}: {} bytes came of {}",
        got.len(),
        sent.len()
    );
    Ok(())
}

/// The content of a message with an uploaded file.
async fn content(
    alice: &MatrixUser,
    msgtype: &str,
    name: &str,
    media_type: &str,
    file: &[u8],
) -> Result<Value> {
    let mxc = alice.upload(name, media_type, file).await?;
    Ok(json!({
        "msgtype": msgtype, "body": name, "url": mxc,
        "info": { "mimetype": media_type, "size": file.len() },
    }))
}

fn with(mut content: Value, more: Value) -> Value {
    if let Some(more) = more.as_object() {
        for (key, value) in more {
            content[key] = value.clone();
        }
    }
    content
}

/// All messages with files in a room: names in order.
async fn files_in(carol: &RocketUser, rid: &str) -> Result<Vec<String>> {
    let messages = carol.room_messages(rid).await?;
    let names = messages
        .iter()
        .filter_map(|message| message.document["file"]["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}

/// What a file is sent as, its name, what its sender says it is, its bytes; and its name
/// and type on Rocket.Chat.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    Vec<u8>,
    &'static str,
    &'static str,
);

#[tokio::test]
async fn every_kind_of_file_of_matrix_arrives_byte_by_byte() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let voice = json!({ "org.matrix.msc3245.voice": {}, "m.voice": {} });
    #[rustfmt::skip]
    let table: [Row; 10] = [
        ("m.image", "cat.png", "image/png", png(40, 30, 1), "cat.png", "image/png"),
        ("m.image", "large.png", "image/png", png(900, 700, 2), "large.png", "image/png"),
        ("m.audio", "tone.wav", "audio/wav", Sample::wav(3).bytes, "tone.wav", "audio/wav"),
        ("m.audio", "voice", "audio/ogg; codecs=opus", Sample::ogg(4).bytes, "voice.ogg", "audio/ogg"),
        ("m.video", "film.mp4", "video/mp4", Sample::mp4(5).bytes, "film.mp4", "video/mp4"),
        ("m.file", "paper.pdf", "application/pdf", Sample::pdf().bytes, "paper.pdf", "application/pdf"),
        ("m.file", "notes.txt", "text/plain", b"some notes".to_vec(), "notes.txt", "text/plain"),
        ("m.file", "data", "application/octet-stream", bytes(300, 7), "data", "application/octet-stream"),
        // No end, and a lie about the type.
        ("m.file", "picture", "video/mp4", png(9, 9, 8), "picture.png", "image/png"),
        // More than a name.
        ("m.file", "../../e\u{202e}tc/pass\u{0007}wd.pdf", "application/pdf", Sample::pdf().bytes, "passwd.pdf", "application/pdf"),
    ];
    for (msgtype, name, media_type, file, _, _) in &table {
        let sent = content(&alice, msgtype, name, media_type, file).await?;
        let sent = match *name {
            "voice" => with(sent, voice.clone()),
            _ => sent,
        };
        alice.send_event(&room, "m.room.message", sent).await?;
    }
    let sticker = png(20, 20, 10);
    let mxc = alice.upload("", "image/png", sticker.clone()).await?;
    let sticker_event =
        json!({ "body": "waving cat", "url": mxc, "info": { "mimetype": "image/png" } });
    alice.send_event(&room, "m.sticker", sticker_event).await?;
    let last = wait_for_file(&carol, &channel, "waving cat.png").await?;
    ensure_bytes(&carol, &last, &sticker).await?;
    for (_, name, _, file, there, kind) in &table {
        let message = wait_for_file(&carol, &channel, there).await?;
        assert_eq!(message.username, world.puppet("alice"), "{name}");
        assert_eq!(message.text, "", "{name}");
        assert_eq!(message.document["file"]["type"], **kind, "{name}");
        ensure_bytes(&carol, &message, file).await?;
    }
    // Each once, in the order in which they were sent.
    let mut order: Vec<_> = table.iter().map(|row| row.4).collect();
    order.push("waving cat.png");
    assert_eq!(files_in(&carol, &channel).await?, order);
    Ok(())
}

#[tokio::test]
async fn what_is_said_with_a_file_and_done_to_it_is_carried_over() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let send = async |content: Value| alice.send_event(&room, "m.room.message", content).await;
    let image = async |name: &str, seed: u8| {
        content(&alice, "m.image", name, "image/png", &png(30, 20, seed)).await
    };
    let captioned = |content: Value, caption: &str, html: &str| {
        let name = content["body"].clone();
        let caption = json!({
            "filename": name, "body": caption,
            "format": "org.matrix.custom.html", "formatted_body": html,
        });
        with(content, caption)
    };

    // Formatted, with somebody mentioned.
    let carols = world.ghost("carol");
    let caption = captioned(
        image("one.png", 1).await?,
        "see @carol *this*",
        &format!("see <a href=\"https://matrix.to/#/{carols}\">carol</a> <b>this</b>"),
    );
    let mentioning = json!({ "m.mentions": { "user_ids": [carols] } });
    let one_content = with(caption, mentioning);
    let one = send(one_content.clone()).await?;
    let there = wait_for_file(&carol, &channel, "one.png").await?;
    assert_eq!(there.text, "see @carol *this*");
    assert_eq!(there.document["mentions"][0]["username"], "carol");

    // Longer than a message may be.
    let long = "word ".repeat(1500);
    let two = captioned(image("two.png", 2).await?, &long, &long);
    let two_event = send(two).await?;
    let two = wait_for_file(&carol, &channel, "two.png").await?;
    let rest = carol
        .wait_for_message(&channel, "the rest of the caption", |message| {
            message.document["file"].is_null() && message.text.starts_with("word")
        })
        .await?;
    let words = |text: &str| text.split_whitespace().count();
    assert_eq!(words(&two.text) + words(&rest.text), 1500);

    // In a thread, and as an answer.
    let root = carol.send(&channel, "root").await?;
    let root_event = alice.wait_for_text(&room, "root").await?.event_id;
    let in_thread = json!({ "m.relates_to": {
        "rel_type": "m.thread", "event_id": root_event, "is_falling_back": true,
        "m.in_reply_to": { "event_id": root_event },
    } });
    send(with(image("three.png", 3).await?, in_thread)).await?;
    let three = wait_for_file(&carol, &channel, "three.png").await?;
    assert_eq!(three.thread(), Some(root.as_str()));
    let answering = json!({ "m.relates_to": { "m.in_reply_to": { "event_id": root_event } } });
    let four = send(with(image("four.png", 4).await?, answering)).await?;
    let four_there = wait_for_file(&carol, &channel, "four.png").await?;
    assert_eq!(four_there.quotes(), [root.as_str()]);

    // Others answer it, react to it, and go on in its thread.
    carol.react(&four_there.id, ":tada:", true).await?;
    alice
        .wait_for_reactions(&room, &four, &[(&world.ghost("carol"), "🎉")])
        .await?;
    alice.reply(&room, &four, "an answer").await?;
    let answer = carol
        .wait_for_message(&channel, "the answer", |message| {
            message.text.ends_with("an answer")
        })
        .await?;
    assert_eq!(answer.quotes(), [four_there.id.as_str()]);

    // The caption changes, across a restart, and goes.
    world.bridge.kill_and_restart().await?;
    let new = captioned(one_content.clone(), "now that", "now <i>that</i>");
    let new = with(new, json!({ "filename": "one.png" }));
    alice.edit_content(&room, &one, new, json!({})).await?;
    let edited = carol.wait_for_text(&channel, "now _that_").await?;
    assert_eq!(edited.id, there.id);
    ensure_bytes(&carol, &edited, &png(30, 20, 1)).await?;
    let bare =
        json!({ "msgtype": "m.image", "body": "one.png", "url": one_content["url"], "info": {} });
    alice.edit_content(&room, &one, bare, json!({})).await?;
    carol
        .wait_for_message(&channel, "no caption", |message| {
            message.id == there.id && message.text.is_empty()
        })
        .await?;
    // Another file in its place: it is named.
    let other = image("other.png", 5).await?;
    alice.edit_content(&room, &one, other, json!({})).await?;
    let renamed = carol
        .wait_for_message(&channel, "what took its place", |message| {
            message.id == there.id && message.text.contains("other.png")
        })
        .await?;
    assert!(renamed.text.contains("takes the place"), "{}", renamed.text);
    ensure_linked(&renamed.text, &png(30, 20, 5)).await?;
    // And back: nobody has the other one from the bridge any more.
    let bare =
        json!({ "msgtype": "m.image", "body": "one.png", "url": one_content["url"], "info": {} });
    alice.edit_content(&room, &one, bare, json!({})).await?;
    carol
        .wait_for_message(&channel, "the first again", |message| {
            message.id == there.id && message.text.is_empty()
        })
        .await?;
    let link = link_in(&renamed.text)?;
    world
        .eventually("the link ends", async || {
            Ok((reqwest::get(link).await?.status() == 410).then_some(()))
        })
        .await?;

    // Its author takes one away, a moderator another one, in all its pieces.
    let link = four_there.file_link().context("a link")?.to_owned();
    alice.redact(&room, &four).await?;
    carol.wait_until_gone(&channel, &four_there.id).await?;
    assert!(
        carol.download(&link).await.is_err(),
        "the file is there still"
    );
    let dave = world.matrix_user("dave").await?;
    dave.join(&room).await?;
    world.let_tidy(&room, &dave.user_id).await?;
    dave.redact(&room, &two_event).await?;
    carol.wait_until_gone(&channel, &two.id).await?;
    carol.wait_until_gone(&channel, &rest.id).await?;
    // And one goes on Rocket.Chat.
    carol.request("GET", "/api/v1/me", None).await?;
    world.rocket_admin().delete(&channel, &there.id).await?;
    alice.wait_for_redaction(&room, &one).await?;
    Ok(())
}

#[tokio::test]
async fn files_go_into_direct_messages_and_private_groups() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    let first = content(
        &alice,
        "m.image",
        "private.png",
        "image/png",
        &png(20, 20, 1),
    )
    .await?;
    let event = alice.send_event(&room, "m.room.message", first).await?;
    let there = wait_for_file(&carol, &dm, "private.png").await?;
    ensure_bytes(&carol, &there, &png(20, 20, 1)).await?;
    carol.react(&there.id, ":tada:", true).await?;
    alice
        .wait_for_reactions(&room, &event, &[(&world.ghost("carol"), "🎉")])
        .await?;
    alice.redact(&room, &event).await?;
    carol.wait_until_gone(&dm, &there.id).await?;

    let admin = world.matrix_user("admin").await?;
    let (group, portal) = open_group(&world, &carol, &admin, "inner-circle").await?;
    let file = content(
        &admin,
        "m.file",
        "secret.pdf",
        "application/pdf",
        &Sample::pdf().bytes,
    )
    .await?;
    admin.send_event(&portal, "m.room.message", file).await?;
    let there = wait_for_file(&carol, &group, "secret.pdf").await?;
    ensure_bytes(&carol, &there, &Sample::pdf().bytes).await
}

/// Encrypts as the specification says, with Node's own cryptography: the `file` of an
/// event, but for its address, and what is uploaded.
async fn encrypted(plain: &[u8]) -> Result<(Value, Vec<u8>)> {
    const SCRIPT: &str = "
        const crypto = require('crypto');
        const plain = require('fs').readFileSync(0);
        const key = crypto.randomBytes(32);
        const iv = Buffer.concat([crypto.randomBytes(8), Buffer.alloc(8)]);
        const cipher = crypto.createCipheriv('aes-256-ctr', key, iv);
        const secret = Buffer.concat([cipher.update(plain), cipher.final()]);
        const bare = (bytes) => bytes.toString('base64').replace(/=+$/, '');
        const hash = crypto.createHash('sha256').update(secret).digest();
        console.log(JSON.stringify({
            file: {
                v: 'v2', iv: bare(iv), hashes: { sha256: bare(hash) },
                key: { alg: 'A256CTR', kty: 'oct', ext: true, key_ops: ['encrypt', 'decrypt'],
                    k: key.toString('base64url') },
            },
            secret: secret.toString('base64'),
        }));";
    use base64::Engine as _;
    use tokio::io::AsyncWriteExt as _;
    let mut node = tokio::process::Command::new("node")
        .args(["-e", SCRIPT])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .context("Node.js is needed to encrypt independently of the bridge")?;
    let mut stdin = node.stdin.take().context("no input")?;
    stdin.write_all(plain).await?;
    drop(stdin);
    let output = node.wait_with_output().await?;
    let made: Value = serde_json::from_slice(&output.stdout)?;
    let secret = made["secret"].as_str().context("nothing encrypted")?;
    let secret = base64::engine::general_purpose::STANDARD.decode(secret)?;
    Ok((made["file"].clone(), secret))
}

#[tokio::test]
async fn encrypted_files_are_decrypted_and_false_ones_refused() -> Result<()> {
    let General {
        world: _world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let send = async |name: &str, mut file: Value, secret: Vec<u8>| -> Result<String> {
        let mxc = alice.upload("", "application/octet-stream", secret).await?;
        file["url"] = json!(mxc);
        let content = json!({
            "msgtype": "m.image", "body": name, "file": file,
            "info": { "mimetype": "image/png" },
        });
        alice.send_event(&room, "m.room.message", content).await
    };
    let small = png(50, 40, 1);
    let (file, secret) = encrypted(&small).await?;
    send("small.png", file, secret).await?;
    let large = bytes(3_000_000, 2);
    let (file, secret) = encrypted(&large).await?;
    send("large.bin", file, secret).await?;
    // One byte is another.
    let (file, mut secret) = encrypted(&large).await?;
    let middle = secret.len() / 2;
    secret[middle] ^= 1;
    let forged = send("forged.bin", file, secret).await?;
    // No key.
    let (mut file, secret) = encrypted(&small).await?;
    file["key"]["k"] = json!("short");
    let keyless = send("keyless.png", file, secret).await?;
    alice.send_text(&room, "marker").await?;
    carol.wait_for_text(&channel, "marker").await?;

    let there = wait_for_file(&carol, &channel, "small.png").await?;
    ensure_bytes(&carol, &there, &small).await?;
    assert_eq!(there.document["file"]["type"], "image/png");
    let there = wait_for_file(&carol, &channel, "large.bin").await?;
    ensure_bytes(&carol, &there, &large).await?;
    assert_eq!(
        files_in(&carol, &channel).await?,
        ["small.png", "large.bin"]
    );
    for (event, why) in [
        (&forged, "hash is another"),
        (&keyless, "key is not complete"),
    ] {
        let notice = alice
            .wait_for_message(&room, "the notice", |notice| {
                notice.in_reply_to() == Some(event.as_str()) && notice.msgtype() == "m.notice"
            })
            .await?;
        assert!(notice.body().contains(why), "{}", notice.body());
    }
    Ok(())
}

#[tokio::test]
async fn what_rocketchat_does_not_take_arrives_in_words() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let send = async |name: &str, file: &[u8]| -> Result<String> {
        let sent = content(&alice, "m.file", name, "application/octet-stream", file).await?;
        alice.send_event(&room, "m.room.message", sent).await
    };
    let words = async |name: &str| {
        carol
            .wait_for_message(&channel, &format!("words for {name}"), |message| {
                message.document["file"].is_null() && plain(&message.text).contains(name)
            })
            .await
            .map(|message| plain(&message.text))
    };
    // A new server takes no drawings.
    send(
        "drawing.svg",
        b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
    )
    .await?;
    let said = words("drawing.svg").await?;
    assert!(
        said.starts_with("[file: drawing.svg (41 bytes, image/svg+xml)]"),
        "{said}"
    );
    assert!(said.contains("does not take files of this type"), "{said}");
    // Nothing in it.
    send("empty.txt", b"").await?;
    let said = words("empty.txt").await?;
    assert!(said.contains("It is empty"), "{said}");
    // Called a picture, and none.
    send("broken.png", b"\x89PNG\r\n\x1a\nnot a picture").await?;
    let there = wait_for_file(&carol, &channel, "broken.png.bin").await?;
    ensure_bytes(&carol, &there, b"\x89PNG\r\n\x1a\nnot a picture").await?;
    // Not on the homeserver.
    let nowhere = json!({ "msgtype": "m.file", "body": "nowhere.bin",
        "filename": "nowhere.bin", "url": "mxc://matrix.test/nowhere" });
    let nowhere = with(nowhere, json!({ "body": "with words" }));
    let nowhere = alice.send_event(&room, "m.room.message", nowhere).await?;
    let said = words("nowhere.bin").await?;
    assert!(said.contains("The homeserver does not have it."), "{said}");
    assert!(said.ends_with("with words"), "{said}");
    alice
        .wait_for_message(&room, "the notice", |notice| {
            notice.in_reply_to() == Some(nowhere.as_str()) && notice.msgtype() == "m.notice"
        })
        .await?;

    // The limit is found out by itself, also one that was set just now.
    world
        .change_setting("FileUpload_MaxFileSize", json!(1000))
        .await?;
    send("thousand.bin", &bytes(1000, 1)).await?;
    let said = words("thousand.bin").await?;
    assert!(
        said.starts_with("[file: thousand.bin (1000 bytes)]"),
        "{said}"
    );
    assert!(
        said.contains("too large for Rocket.Chat, which takes files of up to 999 bytes"),
        "{said}"
    );
    ensure_linked(&said, &bytes(1000, 1)).await?;
    // An encrypted one is in clear behind its link.
    let secret = Sample::mp4(8).bytes;
    let (mut file, uploaded) = encrypted(&secret).await?;
    file["url"] = json!(
        alice
            .upload("", "application/octet-stream", uploaded)
            .await?
    );
    let sent = json!({ "msgtype": "m.file", "body": "secret.mp4", "file": file });
    let event = alice.send_event(&room, "m.room.message", sent).await?;
    let said = words("secret.mp4").await?;
    assert!(said.contains("video/mp4"), "{said}");
    ensure_linked(&said, &secret).await?;
    // The link ends with the message.
    alice.redact(&room, &event).await?;
    world
        .eventually("the link to end", async || {
            Ok(ensure_linked(&said, &secret).await.is_err().then_some(()))
        })
        .await?;
    send("less.bin", &bytes(999, 2)).await?;
    let there = wait_for_file(&carol, &channel, "less.bin").await?;
    ensure_bytes(&carol, &there, &bytes(999, 2)).await?;
    world
        .change_setting("FileUpload_MaxFileSize", json!(-1))
        .await?;
    send("more.bin", &bytes(5000, 3)).await?;
    wait_for_file(&carol, &channel, "more.bin").await?;
    world
        .change_setting("FileUpload_MediaTypeWhiteList", json!("image/*"))
        .await?;
    send("only-pictures.bin", &bytes(50, 4)).await?;
    words("only-pictures.bin").await?;
    world
        .change_setting("FileUpload_MediaTypeWhiteList", json!(""))
        .await?;
    world
        .change_setting("FileUpload_Enabled", json!(false))
        .await?;
    let off = send("off.bin", &bytes(50, 5)).await?;
    let said = words("off.bin").await?;
    assert!(said.contains("Rocket.Chat does not take files."), "{said}");
    // What stands there in words is edited and deleted as any text.
    let new = content(
        &alice,
        "m.file",
        "off.bin",
        "application/octet-stream",
        b"x",
    )
    .await?;
    let new = with(
        new,
        json!({ "filename": "off.bin", "body": "now with words" }),
    );
    alice.edit_content(&room, &off, new, json!({})).await?;
    let edited = carol
        .wait_for_message(&channel, "the edit", |message| {
            message.text.ends_with("now with words")
        })
        .await?;
    alice.redact(&room, &off).await?;
    carol.wait_until_gone(&channel, &edited.id).await
}

fn link_in(text: &str) -> Result<&str> {
    text.split([' ', '<', '|', '>', '\n'])
        .find(|word| word.starts_with("http://"))
        .with_context(|| format!("no link in {text:?}"))
}

/// Whether the link in a text leads to exactly this file.
async fn ensure_linked(text: &str, file: &[u8]) -> Result<()> {
    let link = link_in(text)?;
    let got = reqwest::get(link)
        .await?
        .error_for_status()?
        .bytes()
        .await?;
    ensure!(got == file, "{link}: {} bytes", got.len());
    Ok(())
}

/// A text without what keeps it from being markup.
fn plain(text: &str) -> String {
    text.replace(['\u{200b}', '\\'], "")
}

#[tokio::test]
async fn files_that_cannot_be_had_hold_nobody_up_for_ever() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let dave = world.matrix_user("dave").await?;
    dave.join(&room).await?;
    // Of a homeserver that is not there.
    let remote = json!({ "msgtype": "m.image", "body": "remote.png",
        "url": "mxc://gone.invalid/remote", "info": { "mimetype": "image/png", "size": 5 } });
    let event = alice.send_event(&room, "m.room.message", remote).await?;
    alice.send_text(&room, "behind it").await?;
    // Others go on meanwhile, also where Rocket.Chat stops taking one's file.
    let stalled = bytes(20_000_000, 1);
    let rule = json!({
        "match": { "path": "/api/v1/rooms.media/", "user": world.puppet("erin"), "times": 1 },
        "action": { "stall_upload": { "after": 1000, "ms": 90_000 } },
    });
    world
        .rocketchat
        .control()
        .call("POST", "rules", Some(&rule))
        .await?;
    let erin = world.matrix_user("erin").await?;
    erin.join(&room).await?;
    let sent = content(
        &erin,
        "m.file",
        "stalled.bin",
        "application/octet-stream",
        &stalled,
    )
    .await?;
    erin.send_event(&room, "m.room.message", sent).await?;
    dave.send_text(&room, "beside it").await?;
    carol.wait_for_text(&channel, "beside it").await?;
    let meanwhile = carol.room_messages(&channel).await?;
    assert!(
        !meanwhile
            .iter()
            .any(|message| plain(&message.text).contains("remote.png")),
        "neither erin's joining nor what dave says waits for alice's file"
    );
    // Nor does it hold up others when she is called something else now.
    alice.set_display_name("Alice with a file").await?;
    dave.send_text(&room, "beside the other name").await?;
    carol
        .wait_for_text(&channel, "beside the other name")
        .await?;
    let meanwhile = carol.room_messages(&channel).await?;
    assert!(
        !meanwhile
            .iter()
            .any(|message| plain(&message.text).contains("remote.png")),
        "what dave says does not wait for alice's other name"
    );
    let said = carol
        .wait_until_within(PATIENTLY, &channel, "the words", |documents| {
            let found = documents
                .iter()
                .find(|message| plain(&message.text).contains("remote.png"));
            found.map(|message| plain(&message.text))
        })
        .await?;
    assert!(
        said.starts_with("[file: remote.png (5 bytes, image/png)]"),
        "{said}"
    );
    carol.wait_for_text(&channel, "behind it").await?;
    let there = carol
        .wait_until_within(
            PATIENTLY,
            &channel,
            "the one that stood still",
            |documents| {
                let found = documents
                    .iter()
                    .find(|message| message.document["file"]["name"] == "stalled.bin");
                found.cloned()
            },
        )
        .await?;
    ensure_bytes(&carol, &there, &stalled).await?;
    alice
        .wait_for_message(&room, "the notice", |notice| {
            notice.in_reply_to() == Some(event.as_str()) && notice.msgtype() == "m.notice"
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn transfers_that_are_cut_begin_again() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let control = world.rocketchat.control();
    let file = bytes(2_000_000, 1);
    for (number, after) in [0_u64, 1000, 777_777, 1_999_999].into_iter().enumerate() {
        let rule = json!({
            "match": { "path": "/api/v1/rooms.media/", "times": 2 },
            "action": { "cut_upload": { "after": after } },
        });
        control.call("POST", "rules", Some(&rule)).await?;
        let name = format!("cut-{number}.bin");
        let sent = content(&alice, "m.file", &name, "application/octet-stream", &file).await?;
        alice.send_event(&room, "m.room.message", sent).await?;
        let there = wait_for_file(&carol, &channel, &name).await?;
        ensure_bytes(&carol, &there, &file).await?;
        control.clear_rules().await?;
    }
    // The server is away altogether: it waits.
    let rid = Rule::on("/api/v1/rooms.media/").times(3).status(502);
    control.add_rule(rid).await?;
    let sent = content(
        &alice,
        "m.file",
        "late.bin",
        "application/octet-stream",
        &file,
    )
    .await?;
    alice.send_event(&room, "m.room.message", sent).await?;
    wait_for_file(&carol, &channel, "late.bin").await?;
    let names: Vec<_> = (0..4).map(|number| format!("cut-{number}.bin")).collect();
    assert_eq!(
        files_in(&carol, &channel).await?,
        [names, vec!["late.bin".into()]].concat()
    );
    Ok(())
}

/// How a bridge is interrupted around the moment when a file is posted.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    /// It is uploaded; the answer is on its way.
    Uploaded,
    /// The server has the request to post it, and does it while the bridge looks.
    BeforePosting,
    /// As before, but it does it when the bridge has looked and tried again.
    PostedLate,
    /// It is posted; the answer is on its way.
    Posted,
    /// It is posted, the answer is lost, and the bridge lives on.
    AnswerLost,
}

impl Moment {
    fn rule(self, in_one_step: bool) -> Rule {
        let first = match in_one_step {
            true => "/api/v1/rooms.upload/",
            false => "/api/v1/rooms.media/",
        };
        let second = match in_one_step {
            true => "/api/v1/rooms.upload/",
            false => "/api/v1/rooms.mediaConfirm/",
        };
        match self {
            Self::Uploaded => Rule::on(first).times(1).answer_after_delay(3000),
            Self::BeforePosting => Rule::on(second).times(1).delay(1000),
            Self::PostedLate => Rule::on(second).times(1).delay(8000),
            Self::Posted => Rule::on(second).times(1).answer_after_delay(3000),
            Self::AnswerLost => Rule::on(second).times(1).do_without_answering(),
        }
    }
}

/// Sends a file for each moment, interrupts the bridge in it, and looks that each file is
/// there once and whole.
async fn interrupted(world: &World, moments: &[Moment], in_one_step: bool) -> Result<()> {
    let control = world.rocketchat.control();
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let channel = carol.join_channel("general").await?;
    let room = alice.join(&world.alias("general")).await?;
    let file = |number: usize| bytes(20_000, number as u64 + 1);
    let name = |number: usize| format!("file-{number}.bin");
    let mut events = Vec::new();
    for (number, moment) in moments.iter().enumerate() {
        control.clear_rules().await?;
        control.add_rule(moment.rule(in_one_step)).await?;
        // What is taken back can be seen before it goes.
        control
            .add_rule(Rule::on("/api/v1/chat.delete").delay(1500))
            .await?;
        let (name, file) = (name(number), file(number));
        let sent = content(&alice, "m.file", &name, "application/octet-stream", &file).await?;
        events.push(alice.send_event(&room, "m.room.message", sent).await?);
        world
            .eventually("the request to come", async || {
                let rules = control.rules().await?;
                Ok((rules[0]["hits"].as_u64() > Some(0)).then_some(()))
            })
            .await?;
        if *moment != Moment::AnswerLost {
            world.bridge.kill_and_restart().await?;
        }
        let text = format!("after {number}");
        alice.send_text(&room, &text).await?;
        carol.wait_for_text(&channel, &text).await?;
        let copies = async || -> Result<usize> {
            let all = files_in(&carol, &channel).await?;
            Ok(all.iter().filter(|other| **other == name).count())
        };
        if *moment == Moment::PostedLate {
            let what = format!("{name} to be posted late");
            world
                .eventually(&what, async || Ok((copies().await? == 2).then_some(())))
                .await?;
        }
        let what = format!("{name} to be there once ({moment:?})");
        world
            .eventually(&what, async || Ok((copies().await? == 1).then_some(())))
            .await?;
        let there = wait_for_file(&carol, &channel, &name).await?;
        ensure_bytes(&carol, &there, &file)
            .await
            .with_context(|| format!("{moment:?} {number}"))?;
    }
    control.clear_rules().await?;
    alice.send_text(&room, "marker").await?;
    carol.wait_for_text(&channel, "marker").await?;
    let mut found = files_in(&carol, &channel).await?;
    found.sort();
    let mut expected: Vec<_> = (0..moments.len()).map(name).collect();
    expected.sort();
    assert_eq!(found, expected);
    for (number, event) in events.iter().enumerate() {
        let there = wait_for_file(&carol, &channel, &name(number)).await?;
        ensure_bytes(&carol, &there, &file(number)).await?;
        let event = alice.event(&room, event).await?;
        assert!(!event.is_redacted(), "{:?} {number}", moments[number]);
    }
    // They are the bridge's own still: what is done to them is carried over.
    let last = events.len() - 1;
    let there = wait_for_file(&carol, &channel, &name(last)).await?;
    carol.react(&there.id, ":tada:", true).await?;
    let carols = world.ghost("carol");
    alice
        .wait_for_reactions(&room, &events[last], &[(&carols, "🎉")])
        .await?;
    alice.redact(&room, &events[0]).await?;
    carol
        .wait_until(&channel, "the first to be gone", |documents| {
            let is_there = documents
                .iter()
                .any(|one| one.is_written() && one.document["file"]["name"] == name(0));
            (!is_there).then_some(())
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_twenty_times_around_posting_each_file_is_there_once() -> Result<()> {
    let world = crate::world_with_general().await?;
    let round = [
        Moment::Uploaded,
        Moment::BeforePosting,
        Moment::Posted,
        Moment::BeforePosting,
        Moment::Posted,
        Moment::AnswerLost,
    ];
    let mut moments: Vec<_> = round.into_iter().cycle().take(22).collect();
    moments.extend([Moment::PostedLate; 2]);
    interrupted(&world, &moments, false).await
}

async fn world_of(version: &str) -> Result<World> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.sim_args = vec!["--version-profile".into(), version.into()];
    if version == "8.0" {
        let secret = ["--create-tokens-secret".into(), "open sesame".into()];
        options.sim_args.extend(secret);
        options.extra_config = json!({ "rocketchat": { "create_token_secret": "open sesame" } });
    }
    World::start(options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_files_in_one_step_has_each_once() -> Result<()> {
    let world = world_of("6.9").await?;
    let moments = [
        Moment::BeforePosting,
        Moment::Posted,
        Moment::AnswerLost,
        Moment::PostedLate,
    ];
    interrupted(&world, &moments, true).await
}

#[tokio::test]
async fn a_server_without_the_one_step_takes_files_too() -> Result<()> {
    let General {
        world: _world,
        alice,
        carol,
        room,
        channel,
    } = general_in(world_of("8.0").await?).await?;
    let picture = png(30, 20, 1);
    let sent = content(&alice, "m.image", "cat.png", "image/png", &picture).await?;
    let sent = with(sent, json!({ "filename": "cat.png", "body": "my cat" }));
    alice.send_event(&room, "m.room.message", sent).await?;
    let there = wait_for_file(&carol, &channel, "cat.png").await?;
    assert_eq!(there.text, "my cat");
    ensure_bytes(&carol, &there, &picture).await
}

/// What happens on Rocket.Chat to a message with a file before the bridge knows that it
/// is there.
#[tokio::test]
async fn what_happens_to_a_file_before_its_answer_comes_is_understood() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let control = world.rocketchat.control();
    control
        .add_rule(Rule::on("/api/v1/rooms.mediaConfirm/").answer_after_delay(4000))
        .await?;
    let send = async |name: &str| {
        let sent = content(&alice, "m.image", name, "image/png", &png(30, 20, 1)).await?;
        alice.send_event(&room, "m.room.message", sent).await
    };
    let one = send("one.png").await?;
    let there = wait_for_file(&carol, &channel, "one.png").await?;
    carol.react(&there.id, ":tada:", true).await?;
    let carols = world.ghost("carol");
    alice
        .wait_for_reactions(&room, &one, &[(&carols, "🎉")])
        .await?;
    let answer = carol.quote(&channel, &[there.id.as_str()], "nice").await?;
    let quoting = alice
        .wait_for_message(&room, "the answer", |event| event.body().contains("nice"))
        .await?;
    assert_eq!(quoting.in_reply_to(), Some(one.as_str()), "{answer}");

    let two = send("two.png").await?;
    let there = wait_for_file(&carol, &channel, "two.png").await?;
    world.rocket_admin().delete(&channel, &there.id).await?;
    alice.wait_for_redaction(&room, &two).await?;
    // Deleted while the bridge is away and knows nothing of it yet.
    let three = send("three.png").await?;
    let there = wait_for_file(&carol, &channel, "three.png").await?;
    world.bridge.kill().await?;
    world.rocket_admin().delete(&channel, &there.id).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    alice.wait_for_redaction(&room, &three).await?;
    control.clear_rules().await?;
    alice.send_text(&room, "marker").await?;
    carol.wait_for_text(&channel, "marker").await?;
    assert_eq!(files_in(&carol, &channel).await?, ["one.png"]);
    Ok(())
}

/// The most memory that the bridge takes while something is awaited, in MiB.
async fn memory_during<T>(world: &World, awaited: impl Future<Output = Result<T>>) -> Result<u64> {
    let mut awaited = std::pin::pin!(awaited);
    let mut most = 0;
    loop {
        most = most.max(world.bridge.rss_bytes()?);
        tokio::select! {
            outcome = &mut awaited => {
                outcome?;
                return Ok(most / 1_048_576);
            }
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    }
}

/// How much more memory the bridge may take for files on their way, in MiB.
const MORE_MIB: u64 = 16;

#[tokio::test(flavor = "multi_thread")]
async fn large_files_and_many_at_once_take_little_memory() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into()];
    options.synapse_config = json!({ "max_upload_size": "200M" });
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = general_in(World::start(options).await?).await?;
    // A debug build takes much for itself, its own code most of all.
    alice.send_text(&room, "hi").await?;
    carol.wait_for_text(&channel, "hi").await?;
    let before = world.bridge.rss_bytes()? / 1_048_576;
    let large = bytes(100_000_000, 1);
    let sent = content(
        &alice,
        "m.file",
        "large.bin",
        "application/octet-stream",
        &large,
    )
    .await?;
    let most = memory_during(&world, async {
        alice.send_event(&room, "m.room.message", sent).await?;
        wait_for_file(&carol, &channel, "large.bin").await
    })
    .await?;
    let more = most.saturating_sub(before);
    assert!(more < MORE_MIB, "{more} MiB more for one of 100 MB");
    let there = wait_for_file(&carol, &channel, "large.bin").await?;
    ensure_bytes(&carol, &there, &large).await?;

    let mut people = vec![alice];
    for name in ["dave", "erin", "frank", "grace"] {
        let person = world.matrix_user(name).await?;
        person.join(&room).await?;
        people.push(person);
    }
    let mut waiting = Vec::new();
    for number in 0..20 {
        let person = &people[number % people.len()];
        let file = bytes(4_000_000, number as u64 + 2);
        let name = format!("many-{number}.bin");
        let sent = content(person, "m.file", &name, "application/octet-stream", &file).await?;
        waiting.push((person, sent, name, file));
    }
    let most = memory_during(&world, async {
        for (person, sent, _, _) in &waiting {
            person
                .send_event(&room, "m.room.message", sent.clone())
                .await?;
        }
        for (_, _, name, _) in &waiting {
            wait_for_file(&carol, &channel, name).await?;
        }
        Ok(())
    })
    .await?;
    let more = most.saturating_sub(before);
    assert!(more < MORE_MIB, "{more} MiB more for twenty at once");
    for (_, _, name, file) in &waiting {
        let there = wait_for_file(&carol, &channel, name).await?;
        ensure_bytes(&carol, &there, file).await?;
    }
    assert_eq!(files_in(&carol, &channel).await?.len(), 21);
    Ok(())
}
