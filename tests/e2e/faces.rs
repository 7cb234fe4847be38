//! Names and pictures: of people, both ways; of rooms, both ways; of emoji.

use std::io::Cursor;

use anyhow::{Context, Result, bail};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};
use testbed::{Downloaded, MatrixUser, Rule, Sample, World, WorldOptions};

use crate::{BRIDGE, General, general_in, in_direct, in_general, world_with_general};

/// A picture of one colour.
fn picture(width: u32, height: u32, red: u8, format: ImageFormat) -> Vec<u8> {
    let pixels = RgbImage::from_pixel(width, height, Rgb([red, 40, 200]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(pixels)
        .write_to(&mut bytes, format)
        .expect("a picture");
    bytes.into_inner()
}

fn png(red: u8) -> Vec<u8> {
    picture(64, 64, red, ImageFormat::Png)
}

/// The same for people on Rocket.Chat.
fn sample(red: u8) -> Sample {
    Sample {
        name: "picture.png".to_owned(),
        content_type: "image/png".to_owned(),
        bytes: png(red),
    }
}

/// How red a picture of Rocket.Chat is; none when the server draws letters.
fn red_of(picture: &Downloaded) -> Result<Option<u8>> {
    if picture.content_type.starts_with("image/svg") {
        return Ok(None);
    }
    Ok(Some(look(&picture.bytes)?.0))
}

/// How red the middle of a picture is, and how large it is.
fn look(bytes: &[u8]) -> Result<(u8, u32, u32)> {
    let picture = image::load_from_memory(bytes)?.to_rgb8();
    let (width, height) = picture.dimensions();
    let Rgb([red, ..]) = *picture.get_pixel(width / 2, height / 2);
    Ok((red, width, height))
}

/// A PNG that says to be 30000 pixels wide and high, in a hundred bytes.
fn bomb() -> Vec<u8> {
    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut crc = u32::MAX;
        for byte in kind.iter().chain(data) {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0xEDB8_8320 * (crc & 1));
            }
        }
        let length = u32::try_from(data.len()).expect("a short chunk");
        [&length.to_be_bytes()[..], kind, data, &(!crc).to_be_bytes()].concat()
    }
    let size = 30_000_u32.to_be_bytes();
    let head = [&size[..], &size, &[8, 2, 0, 0, 0]].concat();
    // The beginning of a stream of zeros.
    let data = [0x78, 0x9c, 0xec, 0xc1, 0x01, 0x01, 0x00, 0x00];
    [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &head),
        chunk(b"IDAT", &data),
        chunk(b"IEND", b""),
    ]
    .concat()
}

/// Waits until somebody's profile has these values; none is none.
async fn shown(
    world: &World,
    alice: &MatrixUser,
    user: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value> {
    world
        .eventually("the profile on Matrix", async || {
            let profile = alice.profile(user).await?;
            if wanted(&profile) {
                return Ok(Some(profile));
            }
            bail!("{user}: {profile}")
        })
        .await
}

/// Waits until a ghost shows this picture of Rocket.Chat; its address.
async fn ghost_shows(world: &World, alice: &MatrixUser, user: &str, red: u8) -> Result<String> {
    world
        .eventually("the ghost's picture", async || {
            let profile = alice.profile(user).await?;
            let mxc = profile["avatar_url"].as_str().context("no picture")?;
            let (media_type, bytes) = alice.download(mxc).await?;
            if media_type == "image/png" && look(&bytes)?.0 == red {
                return Ok(Some(mxc.to_owned()));
            }
            bail!("another picture")
        })
        .await
}

/// Waits until somebody on Rocket.Chat has a picture as red as this, or letters.
async fn puppet_shows(general: &General, username: &str, red: Option<u8>) -> Result<()> {
    let what = format!("the picture of {username} to be {red:?}");
    general
        .world
        .eventually(&what, async || {
            let found = red_of(&general.carol.fetch_avatar(username).await?)?;
            // What was a JPEG meanwhile is not quite as red.
            let agrees = match (found, red) {
                (Some(found), Some(red)) => found.abs_diff(red) < 6,
                (None, None) => true,
                _ => false,
            };
            if agrees {
                return Ok(Some(()));
            }
            bail!("red: {found:?}")
        })
        .await
}

async fn puppet_called(general: &General, username: &str, name: &str) -> Result<()> {
    general
        .world
        .eventually(&format!("{username} to be called {name}"), async || {
            let user = general.carol.find_user(username).await?;
            let user = user.context("nobody")?;
            if user["name"] == name {
                return Ok(Some(()));
            }
            bail!("{user}")
        })
        .await
}

/// How often the bridge, or anybody, has called an endpoint of Rocket.Chat.
pub(crate) async fn calls(world: &World, endpoint: &str) -> Result<u64> {
    let stats = world.rocketchat.control().stats().await?;
    let counts = stats["requests"].as_object().context("no counts")?;
    let matching = counts
        .iter()
        .filter(|(key, _)| key.to_lowercase().ends_with(&endpoint.to_lowercase()));
    Ok(matching.filter_map(|(_, count)| count.as_u64()).sum())
}

/// How often somebody's membership in a room was written.
async fn memberships(alice: &MatrixUser, room: &str, user: &str) -> Result<usize> {
    let events = alice.room_events(room).await?;
    let is_of = |event: &&testbed::Event| {
        event.kind == "m.room.member" && event.state_key.as_deref() == Some(user)
    };
    Ok(events.iter().filter(is_of).count())
}

#[tokio::test]
async fn people_of_rocketchat_have_their_names_and_pictures_on_matrix() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into(), "other".into()];
    let general = general_in(World::start(options).await?).await?;
    let General {
        ref world,
        ref alice,
        ref carol,
        ref room,
        ref channel,
    } = general;
    let dave = world.rocket_user("dave").await?;
    dave.join_channel("general").await?;
    let other = carol.join_channel("other").await?;
    let other_room = alice.join(&world.alias("other")).await?;
    let (ghost, daves) = (world.ghost("carol"), world.ghost("dave"));

    // First met: the name at once, the picture soon. Who has set none has none.
    carol.set_display_name("Carol \u{202e}Danvers").await?;
    carol.set_avatar(&sample(10)).await?;
    dave.send(channel, "I have no picture").await?;
    carol.send(channel, "hello").await?;
    carol.send(&other, "hello there").await?;
    alice.wait_for_text(room, "hello").await?;
    alice.wait_for_text(&other_room, "hello there").await?;
    // Her ghost was there before, as all members' ghosts in a small channel.
    alice
        .wait_until(room, "the ghost with her name", |events| {
            let shown = events
                .iter()
                .rfind(|event| event.kind == "m.room.member" && event.sender == ghost);
            shown.filter(|event| event.content["displayname"] == "Carol Danvers")?;
            Some(())
        })
        .await?;
    ghost_shows(world, alice, &ghost, 10).await?;
    let of_dave = alice.profile(&daves).await?;
    assert_eq!(of_dave.get("avatar_url"), None, "{of_dave}");

    // Changed: once, however many rooms.
    let in_the_other = async |name: &str, red: u8| -> Result<()> {
        let what = format!("{name} with the picture {red}, in the other room");
        world
            .eventually(&what, async || {
                let members = alice.joined_members(&other_room).await?;
                let member = &members[&ghost];
                let mxc = member["avatar_url"].as_str().context("no picture")?;
                if member["display_name"] == name && look(&alice.download(mxc).await?.1)?.0 == red {
                    return Ok(Some(()));
                }
                bail!("{member}")
            })
            .await
    };
    in_the_other("Carol Danvers", 10).await?;
    let before = memberships(alice, &other_room, &ghost).await?;
    carol.set_avatar(&sample(90)).await?;
    let mxc = ghost_shows(world, alice, &ghost, 90).await?;
    world
        .change_setting("UI_Use_Real_Name", json!(true))
        .await?;
    carol.set_display_name("Captain Marvel").await?;
    shown(world, alice, &ghost, |profile| {
        profile["displayname"] == "Captain Marvel" && profile["avatar_url"] == mxc
    })
    .await?;
    in_the_other("Captain Marvel", 90).await?;
    let after = memberships(alice, &other_room, &ghost).await?;
    // Synapse takes together what comes soon after each other.
    assert!(
        (before + 1..=before + 2).contains(&after),
        "{before}, {after}"
    );

    // Where the server tells of no names, the bridge looks; messages tell at once.
    world
        .change_setting("UI_Use_Real_Name", json!(false))
        .await?;
    carol.set_display_name("Carol in silence").await?;
    shown(world, alice, &ghost, |profile| {
        profile["displayname"] == "Carol in silence"
    })
    .await?;
    carol.set_display_name("Carol again").await?;
    carol.send(channel, "called otherwise").await?;
    alice.wait_for_text(room, "called otherwise").await?;
    shown(world, alice, &ghost, |profile| {
        profile["displayname"] == "Carol again"
    })
    .await?;

    // Taken away, and in no format that everybody shows.
    carol.reset_avatar().await?;
    shown(world, alice, &ghost, |profile| {
        profile.get("avatar_url").is_none()
    })
    .await?;
    let without_picture = async |name: &str| -> Result<()> {
        world
            .eventually(
                &format!("{name} without a picture, in the room"),
                async || {
                    let members = alice.joined_members(room).await?;
                    let member = &members[&ghost];
                    if member["display_name"] == name && member["avatar_url"].is_null() {
                        return Ok(Some(()));
                    }
                    bail!("{member}")
                },
            )
            .await
    };
    without_picture("Carol again").await?;
    // Nothing of it is done again when the bridge comes back, and what happened
    // meanwhile is.
    world.bridge.stop().await?;
    carol.set_display_name("Carol, finally").await?;
    dave.set_avatar(&sample(150)).await?;
    let before = memberships(alice, room, &ghost).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    ghost_shows(world, alice, &daves, 150).await?;
    shown(world, alice, &ghost, |profile| {
        profile["displayname"] == "Carol, finally" && profile.get("avatar_url").is_none()
    })
    .await?;
    world.bridge.restart().await?;
    dave.set_avatar(&sample(220)).await?;
    ghost_shows(world, alice, &daves, 220).await?;
    without_picture("Carol, finally").await?;
    let after = memberships(alice, room, &ghost).await?;
    assert_eq!(after, before + 1, "the one name");
    Ok(())
}

#[tokio::test]
async fn somebody_who_calls_themselves_after_a_matrix_user_does_not_look_like_one() -> Result<()> {
    let general = in_general().await?;
    let General {
        ref world,
        ref alice,
        ref carol,
        ref room,
        ref channel,
    } = general;
    let mine = &alice.user_id;
    carol.set_display_name(mine).await?;
    carol.send(channel, "it is me, Alice").await?;
    alice.wait_for_text(room, "it is me, Alice").await?;
    let profile = alice.profile(&world.ghost("carol")).await?;
    let name = profile["displayname"].as_str().context("no name")?;
    assert!(!name.starts_with('@') && name != mine, "{name}");
    Ok(())
}

#[tokio::test]
async fn people_of_matrix_have_their_names_and_pictures_on_rocketchat() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.channels = vec!["general".into(), "other".into()];
    let general = general_in(World::start(options).await?).await?;
    let General {
        ref world,
        ref alice,
        ref carol,
        ref room,
        ref channel,
    } = general;
    let puppet = world.puppet("alice");
    let other_room = alice.join(&world.alias("other")).await?;
    let bob = world.matrix_user("bob").await?;
    bob.join(room).await?;

    // First met, with a name that Rocket.Chat does not take as it is.
    let mxc = alice.upload("me.png", "image/png", png(10)).await?;
    alice.set_display_name("Alice 100% </b>\\o/").await?;
    alice.set_avatar(&mxc).await?;
    alice.send_text(room, "hello").await?;
    alice.send_text(&other_room, "hello there").await?;
    carol.wait_for_text(channel, "hello").await?;
    puppet_called(&general, &puppet, "Alice 100％ ＜／b＞＼o／").await?;
    puppet_shows(&general, &puppet, Some(10)).await?;
    let account = carol.find_user(&puppet).await?.context("no puppet")?;

    // Changed: once, however many rooms, and nothing else of the account is lost.
    let about =
        json!({ "userId": account["_id"], "data": { "bio": "a puppet", "nickname": "al" } });
    world.rocket_admin().post("users.update", about).await?;
    let (pictures, names) = (
        calls(world, "users.setAvatar").await?,
        calls(world, "users.update").await?,
    );
    let mxc = alice.upload(
        "me.jpg",
        "image/jpeg",
        picture(5000, 3000, 90, ImageFormat::Jpeg),
    );
    alice.set_avatar(&mxc.await?).await?;
    puppet_shows(&general, &puppet, Some(90)).await?;
    alice.set_display_name("Alice").await?;
    puppet_called(&general, &puppet, "Alice").await?;
    let account = world.rocket_admin().find_user(&puppet).await?;
    let account = account.context("no puppet")?;
    assert_eq!(
        (&account["bio"], &account["nickname"]),
        (&json!("a puppet"), &json!("al"))
    );

    // A name for one room is for that room.
    let member = json!({ "membership": "join", "displayname": "Al in the other room" });
    let nickname = alice
        .send_state(&other_room, "m.room.member", &alice.user_id, member)
        .await;
    nickname?;
    // What comes after it is there.
    bob.set_display_name("Bob").await?;
    bob.send_text(room, "who is that?").await?;
    puppet_called(&general, &world.puppet("bob"), "Bob").await?;
    alice.send_text(&other_room, "me").await?;
    carol.wait_for_text(world.channel("other")?, "me").await?;
    puppet_called(&general, &puppet, "Alice").await?;
    assert_eq!(calls(world, "users.setAvatar").await?, pictures + 1);
    // Alice's and Bob's, whose puppet was there since he came.
    assert_eq!(calls(world, "users.update").await?, names + 2);

    // Taken away, and what is no picture.
    alice.set_avatar("").await?;
    puppet_shows(&general, &puppet, None).await?;
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>".to_vec();
    for (name, media_type, bytes) in [
        ("bomb.png", "image/png", bomb()),
        ("me.svg", "image/svg+xml", svg),
        (
            "me.png",
            "image/png",
            b"\x89PNG\r\n\x1a\n and so on".to_vec(),
        ),
    ] {
        let good = alice.upload("me.png", "image/png", png(30)).await?;
        alice.set_avatar(&good).await?;
        puppet_shows(&general, &puppet, Some(30)).await?;
        let odd = alice.upload(name, media_type, bytes).await?;
        alice.set_avatar(&odd).await?;
        puppet_shows(&general, &puppet, None).await?;
    }
    alice.send_text(room, "still here").await?;
    carol.wait_for_text(channel, "still here").await?;

    // While the bridge is away.
    world.bridge.stop().await?;
    alice.set_display_name("Alice was here").await?;
    let gif = picture(32, 48, 200, ImageFormat::Gif);
    let mxc = alice.upload("me.gif", "image/gif", gif).await?;
    alice.set_avatar(&mxc).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    puppet_called(&general, &puppet, "Alice was here").await?;
    puppet_shows(&general, &puppet, Some(200)).await?;
    let pictures = calls(world, "users.setAvatar").await?;
    world.bridge.restart().await?;
    alice.send_text(room, "and again").await?;
    bob.set_display_name("Robert").await?;
    puppet_called(&general, &world.puppet("bob"), "Robert").await?;
    assert_eq!(calls(world, "users.setAvatar").await?, pictures);
    Ok(())
}

#[tokio::test]
async fn a_bridge_that_is_killed_comes_to_show_what_was_chosen_last() -> Result<()> {
    let general = in_general().await?;
    let General {
        ref world,
        ref alice,
        ref carol,
        ref room,
        ref channel,
    } = general;
    carol.send(channel, "hello").await?;
    alice.wait_for_text(room, "hello").await?;
    alice.send_text(room, "hello, Carol").await?;
    carol.wait_for_text(channel, "hello, Carol").await?;
    for red in [10, 50, 90, 130] {
        let mxc = alice.upload("me.png", "image/png", png(red)).await?;
        alice.set_avatar(&mxc).await?;
        alice.set_display_name(&format!("Alice {red}")).await?;
        carol.set_avatar(&sample(red)).await?;
        carol.set_display_name(&format!("Carol {red}")).await?;
        world.bridge.kill_and_restart().await?;
    }
    let ghost = world.ghost("carol");
    shown(world, alice, &ghost, |profile| {
        profile["displayname"] == "Carol 130"
    })
    .await?;
    ghost_shows(world, alice, &ghost, 130).await?;
    puppet_called(&general, &world.puppet("alice"), "Alice 130").await?;
    puppet_shows(&general, &world.puppet("alice"), Some(130)).await
}

#[tokio::test]
async fn rooms_have_the_same_picture_on_both_sides() -> Result<()> {
    let general = in_general().await?;
    let General {
        ref world,
        ref alice,
        ref carol,
        ref room,
        ref channel,
    } = general;
    let admin = world.rocket_admin();
    let bot = world.user_id("rocketchatbot");
    let on_matrix = async |red: Option<u8>| -> Result<()> {
        let what = format!("the room's picture on Matrix to be {red:?}");
        world
            .eventually(&what, async || {
                let content = alice.state_content(room, "m.room.avatar", "").await?;
                let url = content.as_ref().and_then(|content| content["url"].as_str());
                let found = match url {
                    Some(mxc) => Some(look(&alice.download(mxc).await?.1)?.0),
                    None => None,
                };
                if found == red {
                    return Ok(Some(()));
                }
                bail!("red: {found:?}")
            })
            .await
    };
    let on_rocketchat = async |red: Option<u8>| -> Result<()> {
        let what = format!("the room's picture on Rocket.Chat to be {red:?}");
        world
            .eventually(&what, async || {
                let found = red_of(&carol.fetch_room_avatar(channel).await?)?;
                if found == red {
                    return Ok(Some(()));
                }
                bail!("red: {found:?}")
            })
            .await
    };
    let pictures = async || -> Result<Vec<String>> {
        let events = alice.room_events(room).await?;
        let pictures = events
            .into_iter()
            .filter(|event| event.kind == "m.room.avatar");
        Ok(pictures.map(|event| event.sender).collect())
    };

    // From Rocket.Chat: set, changed, taken away, changed while the bridge is away.
    admin.set_room_avatar(channel, Some(&sample(10))).await?;
    on_matrix(Some(10)).await?;
    admin.set_room_avatar(channel, Some(&sample(20))).await?;
    on_matrix(Some(20)).await?;
    admin.set_room_avatar(channel, None).await?;
    on_matrix(None).await?;
    world.bridge.stop().await?;
    admin.set_room_avatar(channel, Some(&sample(30))).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    on_matrix(Some(30)).await?;
    assert_eq!(pictures().await?, vec![bot.clone(); 4]);

    // From Matrix, by somebody who may there and not here: both show the old one.
    world.let_tidy(room, &alice.user_id).await?;
    let set = async |red: u8| -> Result<()> {
        let mxc = alice.upload("room.png", "image/png", png(red)).await?;
        let content = json!({ "url": mxc });
        alice.send_state(room, "m.room.avatar", "", content).await?;
        Ok(())
    };
    set(40).await?;
    alice
        .wait_for_message(room, "the bot's word on it", |event| {
            event.sender == bot && event.body().contains("new picture did not reach")
        })
        .await?;
    on_matrix(Some(30)).await?;
    on_rocketchat(Some(30)).await?;
    assert_eq!(pictures().await?.len(), 6, "hers, and the old one again");

    // By somebody who may, also what is no picture.
    let puppet = carol.find_user(&world.puppet("alice")).await?;
    let puppet = puppet.context("no puppet")?;
    let puppet_id = puppet["_id"].as_str().unwrap_or_default();
    admin.make_moderator(channel, puppet_id).await?;
    set(50).await?;
    on_rocketchat(Some(50)).await?;
    let bad = alice.upload("room.png", "image/png", bomb()).await?;
    let content = json!({ "url": bad });
    alice.send_state(room, "m.room.avatar", "", content).await?;
    alice
        .wait_for_message(room, "the bot's word on that", |event| {
            event.sender == bot
                && event
                    .body()
                    .contains("no picture that Rocket.Chat can show")
        })
        .await?;
    on_matrix(Some(50)).await?;
    alice
        .send_state(room, "m.room.avatar", "", json!({}))
        .await?;
    on_rocketchat(None).await?;
    // While the bridge is away.
    world.bridge.stop().await?;
    set(60).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    on_rocketchat(Some(60)).await?;
    // Nothing comes back of it: hers and the old one again, hers, the bad one and hers
    // again, none, hers.
    admin.set_room_avatar(channel, Some(&sample(70))).await?;
    on_matrix(Some(70)).await?;
    assert_eq!(pictures().await?.len(), 12);

    // Another is set before the bridge has heard that hers is.
    let late = Rule::on("/api/v1/rooms.saveRoomSettings")
        .username(&world.puppet("alice"))
        .times(1)
        .answer_after_delay(3_000);
    world.rocketchat.control().add_rule(late).await?;
    set(80).await?;
    on_rocketchat(Some(80)).await?;
    admin.set_room_avatar(channel, Some(&sample(90))).await?;
    on_matrix(Some(90)).await?;
    on_rocketchat(Some(90)).await?;

    // The bot's picture is redacted by who may.
    let events = alice.room_events(room).await?;
    let last = events.iter().rfind(|event| event.kind == "m.room.avatar");
    alice
        .redact(room, &last.context("no picture")?.event_id)
        .await?;
    on_rocketchat(None).await?;
    Ok(())
}

#[tokio::test]
async fn a_direct_message_has_the_face_of_the_other_and_no_picture_of_its_own() -> Result<()> {
    let direct = in_direct().await?;
    let (world, alice, carol) = (&direct.world, &direct.alice, &direct.carol);
    carol.set_avatar(&sample(10)).await?;
    let ghost = world.ghost("carol");
    let mxc = ghost_shows(world, alice, &ghost, 10).await?;
    world
        .eventually("the room to show her face", async || {
            let members = alice.joined_members(&direct.room).await?;
            Ok((members[&ghost]["avatar_url"] == mxc).then_some(()))
        })
        .await?;
    // What Alice does with it is hers.
    let content = json!({ "url": mxc });
    alice
        .send_state(&direct.room, "m.room.avatar", "", content)
        .await?;
    alice.send_text(&direct.room, "after it").await?;
    carol.wait_for_text(&direct.dm, "after it").await?;
    let settings = calls(world, "rooms.saveRoomSettings").await?;
    assert_eq!(settings, 0);
    // The other way no state is made at all.
    let dave = world.rocket_user("dave").await?;
    dave.set_avatar(&sample(20)).await?;
    let dm = dave.open_dm(&world.puppet("alice")).await?;
    dave.send(&dm, "a new conversation").await?;
    let invite = alice.wait_for_invite("from Dave", |_| true).await?;
    let room = alice.join(&invite.room_id).await?;
    alice.wait_for_text(&room, "a new conversation").await?;
    ghost_shows(world, alice, &world.ghost("dave"), 20).await?;
    let picture = alice.state_content(&room, "m.room.avatar", "").await?;
    assert_eq!(picture, None);
    Ok(())
}

#[tokio::test]
async fn messages_do_not_wait_for_pictures() -> Result<()> {
    let general = in_general().await?;
    let General {
        ref world,
        ref alice,
        ref carol,
        ref room,
        ref channel,
    } = general;
    let control = world.rocketchat.control();
    // Rocket.Chat takes no pictures, and has trouble giving them.
    control
        .add_rule(Rule::on("/avatar/carol").status(502))
        .await?;
    carol.set_avatar(&sample(20)).await?;
    let refusal = r#"{"success":false,"error":"Not allowed [error-not-allowed]","errorType":"error-not-allowed"}"#;
    let json_type = json!({ "content-type": "application/json" });
    let setting = Rule::on("/api/v1/users.setAvatar");
    control
        .add_rule(setting.status_with(400, json_type, refusal))
        .await?;
    let mxc = alice.upload("me.png", "image/png", png(10)).await?;
    alice.set_avatar(&mxc).await?;
    for number in 0..5 {
        let text = format!("number {number}");
        alice.send_text(room, &text).await?;
        carol.wait_for_text(channel, &text).await?;
        let answer = format!("answer {number}");
        carol.send(channel, &answer).await?;
        alice.wait_for_text(room, &answer).await?;
    }
    puppet_shows(&general, &world.puppet("alice"), None).await?;
    // Once the administrator has mended it, the next change arrives.
    control.clear_rules().await?;
    let mxc = alice.upload("me.png", "image/png", png(30)).await?;
    alice.set_avatar(&mxc).await?;
    puppet_shows(&general, &world.puppet("alice"), Some(30)).await?;
    ghost_shows(world, alice, &world.ghost("carol"), 20).await?;
    Ok(())
}

#[tokio::test]
async fn a_custom_emoji_is_uploaded_once() -> Result<()> {
    let general = general_in(world_with_general().await?).await?;
    let General {
        ref world,
        ref alice,
        ref carol,
        ref room,
        ref channel,
    } = general;
    use base64::Engine as _;
    let picture = base64::engine::general_purpose::STANDARD.encode(png(10));
    let control = world.rocketchat.control();
    control
        .upload_emoji("flamingo", &["pink"], &picture)
        .await?;
    let image = async |text: &str| -> Result<String> {
        carol.send(channel, text).await?;
        let words = text.split(' ').next_back().unwrap_or_default().to_owned();
        let event = alice
            .wait_for_message(room, text, |event| event.body().ends_with(&words))
            .await?;
        let html = event.formatted_body();
        let (_, rest) = html.split_once("src=\"").context(html.to_owned())?;
        let (mxc, _) = rest.split_once('"').context("no end")?;
        Ok(mxc.to_owned())
    };
    let first = image("look :flamingo: one").await?;
    assert_eq!(look(&alice.download(&first).await?.1)?.0, 10);
    // By its other name, in another message, after a restart: the same file.
    assert_eq!(image("look :pink: two").await?, first);
    world.bridge.restart().await?;
    assert_eq!(image("look :flamingo: three").await?, first);
    // Another picture under the same name is another file, once.
    let picture = base64::engine::general_purpose::STANDARD.encode(png(90));
    let order = json!({
        "name": "flamingo", "aliases": ["pink"], "extension": "png", "picture": picture,
        "previous": "flamingo",
    });
    control.call("POST", "emoji", Some(&order)).await?;
    let second = image("look :flamingo: four").await?;
    assert_eq!(look(&alice.download(&second).await?.1)?.0, 90);
    assert_eq!(image("look :pink: five").await?, second);
    Ok(())
}
