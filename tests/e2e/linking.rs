//! Who has an account on both sides and proves both is one person: they speak as themselves
//! on either side, and once.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use rand::RngExt as _;
use serde_json::json;
use testbed::{MatrixUser, RocketMessage, RocketUser, Sample, World, WorldOptions};

use crate::BRIDGE;
use crate::direct::second_registration;

/// Alice on Matrix and Alicia on Rocket.Chat, who are the same; Carol there and Bob here.
pub(crate) struct Two {
    pub(crate) world: World,
    pub(crate) alice: MatrixUser,
    pub(crate) bob: MatrixUser,
    pub(crate) alicia: RocketUser,
    pub(crate) carol: RocketUser,
    /// The channel on Matrix.
    pub(crate) room: String,
    /// The channel on Rocket.Chat.
    pub(crate) channel: String,
    /// Alice's room with the bridge.
    pub(crate) desk: String,
    /// Alicia's direct message with it.
    rocket_desk: String,
}

/// A world in which the homeserver lets the bridge act as its users.
pub(crate) fn granted(directory: &Path) -> Result<WorldOptions> {
    let (registration, token) = second_registration(directory)?;
    let mut options = WorldOptions::new(BRIDGE);
    options.more_registrations = vec![registration];
    options.extra_config = json!({ "appservice": { "double_puppet_token": token } });
    Ok(options)
}

impl Two {
    pub(crate) async fn in_world(mut options: WorldOptions) -> Result<Self> {
        options.channels = vec!["general".into()];
        let world = World::start(options).await?;
        let (alice, bob) = (
            world.matrix_user("alice").await?,
            world.matrix_user("bob").await?,
        );
        let (alicia, carol) = (
            world.rocket_user("alicia").await?,
            world.rocket_user("carol").await?,
        );
        let channel = carol.join_channel("general").await?;
        let room = alice.join(&world.alias("general")).await?;
        bob.join(&room).await?;
        let desk = desk_of(&world, &alice).await?;
        let rocket_desk = alicia.open_dm(World::ROCKET_BOT).await?;
        Ok(Self {
            world,
            alice,
            bob,
            alicia,
            carol,
            room,
            channel,
            desk,
            rocket_desk,
        })
    }

    /// Gives the bridge a command on Matrix; its answer.
    pub(crate) async fn ask(&self, command: &str) -> Result<String> {
        ask(&self.alice, &self.desk, command).await
    }

    /// The same on Rocket.Chat.
    pub(crate) async fn ask_there(&self, by: &RocketUser, command: &str) -> Result<String> {
        ask_there(by, command).await
    }

    /// A code that Alice asked for.
    pub(crate) async fn code(&self) -> Result<String> {
        code_in(&self.ask("login").await?)
    }

    /// Proves both accounts: asked for on Matrix, entered on Rocket.Chat.
    pub(crate) async fn link(&self) -> Result<()> {
        link(&self.alice, &self.desk, &self.alicia).await
    }

    pub(crate) async fn wait_for_members(&self, here: &[&str], gone: &[&str]) -> Result<()> {
        let what = format!("{here:?} in the channel, and not {gone:?}");
        self.world
            .eventually(&what, async || {
                let there = self.carol.channel_members(&self.channel).await?;
                let is = |name: &&str| there.iter().any(|member| member == name);
                Ok((here.iter().all(is) && !gone.iter().any(is)).then_some(()))
            })
            .await
    }

    /// How often each side shows a text.
    pub(crate) async fn count(&self, text: &str) -> Result<(usize, usize)> {
        let here = self.bob.room_texts(&self.room).await?;
        let there = self.carol.room_texts(&self.channel).await?;
        let of = |texts: Vec<String>| texts.iter().filter(|one| *one == text).count();
        Ok((of(here), of(there)))
    }
}

/// The room of somebody with the bridge alone.
pub(crate) async fn desk_of(world: &World, user: &MatrixUser) -> Result<String> {
    let bot = world.user_id("rocketchatbot");
    let desk = user.create_direct(&[&bot]).await?;
    user.wait_for_message(&desk, "the greeting", |event| event.sender == bot)
        .await?;
    Ok(desk)
}

/// Gives the bridge a command on Matrix; its answer.
pub(crate) async fn ask(user: &MatrixUser, desk: &str, command: &str) -> Result<String> {
    let event = user.send_text(desk, command).await?;
    let answer = user
        .wait_for_message(desk, &format!("an answer to {command:?}"), |answer| {
            answer.in_reply_to() == Some(&event)
        })
        .await?;
    Ok(answer.body().to_owned())
}

/// The same on Rocket.Chat.
pub(crate) async fn ask_there(by: &RocketUser, command: &str) -> Result<String> {
    let desk = by.open_dm(World::ROCKET_BOT).await?;
    let answers = |messages: &[RocketMessage]| {
        messages
            .iter()
            .filter(|message| message.username == World::ROCKET_BOT)
            .map(|message| message.text.clone())
            .collect::<Vec<_>>()
    };
    let before = answers(&by.room_messages(&desk).await?).len();
    by.send(&desk, command).await?;
    by.wait_until(&desk, &format!("an answer to {command:?}"), |messages| {
        answers(messages).get(before).cloned()
    })
    .await
}

/// Proves that two accounts are one person's: asked for on Matrix, entered on Rocket.Chat.
pub(crate) async fn link(user: &MatrixUser, desk: &str, account: &RocketUser) -> Result<()> {
    let code = code_in(&ask(user, desk, "login").await?)?;
    let shown = ask_there(account, &format!("login {code}")).await?;
    assert!(shown.contains("--confirm"), "{shown}");
    let done = ask_there(account, &format!("login {code} --confirm")).await?;
    assert!(done.contains("are now one person"), "{done}");
    user.wait_for_message(desk, "that they are linked", |event| {
        event.body().contains("are now one person")
    })
    .await?;
    Ok(())
}

/// The code in an answer.
pub(crate) fn code_in(answer: &str) -> Result<String> {
    answer
        .split(|c: char| c.is_whitespace() || c == '`')
        .find(|word| word.len() == 14 && word.matches('-').count() == 2)
        .map(str::to_owned)
        .with_context(|| format!("no code in {answer:?}"))
}

#[tokio::test]
async fn who_proved_both_accounts_speaks_as_themselves_on_either_side() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let two = Two::in_world(granted(directory.path())?).await?;
    let (alice, bob, alicia, carol) = (&two.alice, &two.bob, &two.alicia, &two.carol);
    let (room, channel) = (two.room.as_str(), two.channel.as_str());
    let puppet = two.world.puppet("alice");
    let before = alice.send_text(room, "as a puppet").await?;
    let old = carol.wait_for_text(channel, "as a puppet").await?;
    assert_eq!(old.username, puppet);

    two.link().await?;
    two.wait_for_members(&["alicia"], &[&puppet]).await?;

    // Each side is said on the other, by themselves.
    let here = alice.send_text(room, "from Matrix").await?;
    let there = carol.wait_for_text(channel, "from Matrix").await?;
    assert_eq!(there.username, "alicia");
    let back = alicia.send(channel, "from Rocket.Chat").await?;
    let said = bob.wait_for_text(room, "from Rocket.Chat").await?;
    assert_eq!(said.sender, alice.user_id);
    let document = alicia.wait_for_text(channel, "from Rocket.Chat").await?;
    let written = document.document["ts"]["$date"].as_u64();
    if let Some(written) = written {
        assert_eq!(said.origin_server_ts, written);
    }
    assert!(
        !alice
            .joined_members(room)
            .await?
            .contains_key(&two.world.ghost("alicia"))
    );

    // Whatever was written where is changed from either side.
    alice
        .edit_text(room, &here, "from Matrix, edited there")
        .await?;
    carol
        .wait_for_text(channel, "from Matrix, edited there")
        .await?;
    alicia
        .edit(channel, &there.id, "from Matrix, edited here")
        .await?;
    bob.wait_for_shown(room, &here, "from Matrix, edited here")
        .await?;
    alice
        .edit_text(room, &said.event_id, "from Rocket.Chat, edited there")
        .await?;
    carol
        .wait_for_text(channel, "from Rocket.Chat, edited there")
        .await?;
    alicia
        .edit(channel, &back, "from Rocket.Chat, edited here")
        .await?;
    bob.wait_for_shown(room, &said.event_id, "from Rocket.Chat, edited here")
        .await?;
    // As often as they like: what the bridge wrote is told from what they wrote.
    alice.edit_text(room, &said.event_id, "one after").await?;
    alice.edit_text(room, &said.event_id, "the other").await?;
    carol.wait_for_text(channel, "the other").await?;
    for text in ["in between", "the other"] {
        alicia.edit(channel, &back, text).await?;
        bob.wait_for_shown(room, &said.event_id, text).await?;
    }
    // What somebody else makes of it is not in their mouth.
    let admin = two.world.rocket_admin();
    admin.edit(channel, &back, "by the administrator").await?;
    let told = bob
        .wait_for_message(room, "whose edit it was", |event| {
            event.body().contains("by the administrator")
        })
        .await?;
    assert_ne!(told.sender, alice.user_id);
    // Also what the puppet wrote.
    alice
        .edit_text(room, &before, "as a puppet, edited")
        .await?;
    let edited = carol.wait_for_text(channel, "as a puppet, edited").await?;
    assert_eq!(edited.username, puppet);

    // Reactions.
    let carols = carol.send(channel, "react to this").await?;
    let target = bob.wait_for_text(room, "react to this").await?;
    alice.react(room, &target.event_id, "👍").await?;
    alicia.react(&carols, ":tada:", true).await?;
    carol
        .wait_for_reactions(
            channel,
            &carols,
            &[(":thumbsup:", "alicia"), (":tada:", "alicia")],
        )
        .await?;
    bob.wait_for_reactions(
        room,
        &target.event_id,
        &[(&alice.user_id, "👍"), (&alice.user_id, "🎉")],
    )
    .await?;
    alicia.react(&carols, ":tada:", false).await?;
    bob.wait_for_reactions(room, &target.event_id, &[(&alice.user_id, "👍")])
        .await?;

    // Files.
    let sample = Sample::pdf().named("mine.pdf");
    alicia.upload_file(channel, sample.clone().into()).await?;
    let file = bob
        .wait_for_message(room, "the file", |event| {
            event.text("/filename") == "mine.pdf" || event.body() == "mine.pdf"
        })
        .await?;
    assert_eq!(file.sender, alice.user_id);
    alice
        .send_file(room, &Sample::pdf().named("yours.pdf"), |_| {})
        .await?;
    let file = carol
        .wait_for_message(channel, "the file", |message| {
            message.document["file"]["name"] == "yours.pdf"
        })
        .await?;
    assert_eq!(file.username, "alicia");

    // Deletions.
    alicia.delete(channel, &there.id).await?;
    bob.wait_for_redaction(room, &here).await?;
    alice.redact(room, &said.event_id).await?;
    carol.wait_until_gone(channel, &back).await?;

    // Nobody gets past with a copy of what the bridge marked: neither another, nor herself.
    alicia.send(channel, "copy me").await?;
    let mut copied = bob.wait_for_text(room, "copy me").await?.content;
    copied["body"] = "copied".into();
    bob.send_event(room, "m.room.message", copied.clone())
        .await?;
    let by_bob = carol.wait_for_text(channel, "copied").await?;
    assert_eq!(by_bob.username, two.world.puppet("bob"));
    copied["body"] = "copied by herself".into();
    alice.send_event(room, "m.room.message", copied).await?;
    carol.wait_for_text(channel, "copied by herself").await?;

    // A mention of one is one of the other.
    carol.send(channel, "look, @alicia").await?;
    let mention = bob
        .wait_for_message(room, "the mention", |event| {
            event.body().starts_with("look")
        })
        .await?;
    assert_eq!(
        mention.content["m.mentions"]["user_ids"],
        json!([alice.user_id])
    );

    // Nothing came twice.
    for text in ["copy me", "react to this"] {
        assert_eq!(two.count(text).await?, (1, 1), "{text}");
    }
    let files = carol.room_messages(channel).await?;
    let with_file = |name: &str| {
        let of = files
            .iter()
            .filter(|message| message.document["file"]["name"] == name);
        of.count()
    };
    assert_eq!((with_file("mine.pdf"), with_file("yours.pdf")), (1, 1));

    // And back.
    let answer = two.ask("logout").await?;
    assert!(answer.contains("no longer linked"), "{answer}");
    alice.send_text(room, "a puppet again").await?;
    let again = carol.wait_for_text(channel, "a puppet again").await?;
    assert_eq!(again.username, puppet);
    alicia.send(channel, "a ghost again").await?;
    let again = bob.wait_for_text(room, "a ghost again").await?;
    assert_eq!(again.sender, two.world.ghost("alicia"));
    two.wait_for_members(&["alicia", &puppet], &[]).await?;
    Ok(())
}

#[tokio::test]
async fn only_who_has_both_accounts_can_link_them() -> Result<()> {
    let two = Two::in_world(WorldOptions::new(BRIDGE)).await?;
    let (alice, bob, alicia, carol) = (&two.alice, &two.bob, &two.alicia, &two.carol);
    let (room, channel) = (two.room.as_str(), two.channel.as_str());

    // What others could read is worthless.
    let shown = alice.send_text(room, "!rc login").await?;
    let refused = alice
        .wait_for_message(room, "the refusal", |event| {
            let of = event
                .content
                .pointer("/m.relates_to/m.in_reply_to/event_id");
            of.is_some_and(|of| *of == shown.as_str())
        })
        .await?;
    assert!(refused.body().contains("nobody else"), "{}", refused.body());
    let code = two.code().await?;
    let before = carol.open_dm(World::ROCKET_BOT).await?;
    carol
        .send(channel, &format!("!matrix login {code} --confirm"))
        .await?;
    carol
        .wait_for_message(&before, "the refusal", |message| {
            message.text.contains("Others could read")
        })
        .await?;
    let spent = two.ask_there(alicia, &format!("login {code}")).await?;
    assert!(spent.contains("no such code"), "{spent}");

    // Nor is a code given where others read it, also when there is no other way to somebody.
    two.ask_there(alicia, "whoami").await?;
    let bots = alicia.find_user(World::ROCKET_BOT).await?;
    let bots = bots.context("the bridge's account")?["_id"].clone();
    let bots = bots.as_str().context("its id")?;
    let asked = alicia.send(channel, "!matrix login").await?;
    alicia
        .wait_for_message(&two.rocket_desk, "the refusal", |message| {
            message.text.contains("A code is for you alone")
        })
        .await?;
    carol.wait_until_gone(channel, &asked).await?;
    alicia.set_blocked(&two.rocket_desk, bots, true).await?;
    for (n, words) in ["login", "whoami", "status"].into_iter().enumerate() {
        let asked = alicia.send(channel, &format!("!matrix {words}")).await?;
        let said = carol
            .wait_until(channel, "that the bridge cannot answer", |messages| {
                let to_that = |one: &&RocketMessage| one.document["tmid"] == asked.as_str();
                messages.iter().find(to_that).map(|one| one.text.clone())
            })
            .await?;
        let expected = "I cannot write to you";
        assert!(said.contains(expected), "{n}: {said}");
        for word in ["login ", &two.world.puppet("alice"), "alicia", "general"] {
            assert!(!said.contains(word), "{n}: {said}");
        }
    }
    alicia.set_blocked(&two.rocket_desk, bots, false).await?;

    // A code is for whoever enters it first, and asks whether it is meant.
    let code = two.code().await?;
    let first = two
        .ask_there(alicia, &format!("login {} --confirm", code.to_lowercase()))
        .await?;
    assert!(
        first.contains(&alice.user_id) && first.contains("--confirm"),
        "{first}"
    );
    let other = two
        .ask_there(carol, &format!("login {code} --confirm"))
        .await?;
    assert!(other.contains("Somebody else"), "{other}");
    let same_side = two.ask(&format!("login {code}")).await?;
    assert!(same_side.contains("on the other side"), "{same_side}");

    // Guessing ends.
    for _ in 0..4 {
        two.ask_there(carol, "login AAAA-AAAA-AAAA").await?;
    }
    let enough = two.ask_there(carol, "login AAAA-AAAA-AAAA").await?;
    assert!(enough.contains("too many"), "{enough}");

    // The other way round, and without the homeserver's leave to act as her.
    let code = code_in(&two.ask_there(alicia, "login").await?)?;
    let what = two.ask(&format!("login {code}")).await?;
    assert!(what.contains("alicia"), "{what}");
    two.world.bridge.kill_and_restart().await?;
    let done = two.ask(&format!("login {code} --confirm")).await?;
    assert!(done.contains("are now one person"), "{done}");
    alicia
        .wait_for_message(&two.rocket_desk, "that they are linked", |message| {
            message.text.contains("are now one person")
        })
        .await?;
    let puppet = two.world.puppet("alice");
    alice.send_text(room, "as herself").await?;
    let said = carol.wait_for_text(channel, "as herself").await?;
    assert_eq!(said.username, "alicia");
    two.wait_for_members(&["alicia"], &[&puppet]).await?;
    alicia.send(channel, "by her ghost").await?;
    let said = bob.wait_for_text(room, "by her ghost").await?;
    assert_eq!(said.sender, two.world.ghost("alicia"));
    assert_eq!(two.count("as herself").await?, (1, 1));

    // Nobody has two partners.
    let taken = two.ask("login").await?;
    assert!(taken.contains("already"), "{taken}");
    let taken = two.ask_there(alicia, "login").await?;
    assert!(taken.contains("already"), "{taken}");

    // Who leaves on Matrix leaves there.
    alice.leave(room).await?;
    two.wait_for_members(&[], &["alicia", &puppet]).await?;
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_refused_ends_the_link_and_loses_nothing() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.sim_args = vec!["--no-create-tokens".into()];
    let two = Two::in_world(options).await?;
    let (alice, alicia, carol) = (&two.alice, &two.alicia, &two.carol);
    let (room, channel) = (two.room.as_str(), two.channel.as_str());
    let puppet = two.world.puppet("alice");
    let token_of = async |user: &RocketUser, name: &str| {
        let body = json!({ "tokenName": name, "bypassTwoFactor": true });
        let answer = user.post("users.generatePersonalAccessToken", body).await?;
        let token = answer["token"].as_str().context("no token")?;
        Ok::<_, anyhow::Error>(token.to_owned())
    };

    two.link().await?;
    alice.send_text(room, "still a puppet").await?;
    let said = carol.wait_for_text(channel, "still a puppet").await?;
    assert_eq!(said.username, puppet);
    let foreign = token_of(carol, "hers").await?;
    let refused = two.ask(&format!("login token {foreign}")).await?;
    assert!(refused.contains("does not accept"), "{refused}");
    let token = token_of(alicia, "bridge").await?;
    let answer = two.ask(&format!("login token {token}")).await?;
    assert!(answer.contains("are now one person"), "{answer}");
    let shown = alice.room_texts(&two.desk).await?;
    assert!(
        shown.iter().all(|text| !text.contains(&token)),
        "the token is taken away"
    );
    assert!(!two.world.bridge.logs().contains(&token));
    alice.send_text(room, "as herself").await?;
    let said = carol.wait_for_text(channel, "as herself").await?;
    assert_eq!(said.username, "alicia");

    alicia
        .post(
            "users.removePersonalAccessToken",
            json!({ "tokenName": "bridge" }),
        )
        .await?;
    alice.send_text(room, "not lost").await?;
    let said = carol.wait_for_text(channel, "not lost").await?;
    assert_eq!(said.username, puppet);
    alice
        .wait_for_message(&two.desk, "that the link has ended", |event| {
            event.body().contains("no longer accepts the token")
        })
        .await?;
    assert_eq!(two.count("not lost").await?, (1, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_nothing_a_linked_person_says_is_lost_or_doubled() -> Result<()> {
    const LINES: usize = 40;
    let directory = tempfile::tempdir()?;
    let two = Two::in_world(granted(directory.path())?).await?;
    let mut said = BTreeSet::new();
    for line in 0..LINES {
        // In the midst of it the puppet gives way, and comes back.
        if line == LINES / 4 {
            two.link().await?;
        }
        let (here, there) = (format!("here {line}"), format!("there {line}"));
        two.alice.send_text(&two.room, &here).await?;
        said.insert(here);
        if line >= LINES / 4 {
            two.alicia.send(&two.channel, &there).await?;
            said.insert(there);
        }
        if rand::rng().random_range(0..4) == 0 {
            two.world.bridge.kill().await?;
            two.world.bridge.start()?;
            two.world.bridge.ready().await?;
        }
    }
    two.world.bridge.ready().await?;
    for text in &said {
        two.bob.wait_for_text(&two.room, text).await?;
        two.carol.wait_for_text(&two.channel, text).await?;
    }
    // What came after all of that is there: nothing more is on its way.
    two.bob.send_text(&two.room, "the end").await?;
    two.carol.wait_for_text(&two.channel, "the end").await?;
    two.carol.send(&two.channel, "the other end").await?;
    two.bob.wait_for_text(&two.room, "the other end").await?;
    for text in &said {
        assert_eq!(two.count(text).await?, (1, 1), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn direct_messages_of_a_linked_person_are_their_own() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let two = Two::in_world(granted(directory.path())?).await?;
    let (alice, alicia, carol) = (&two.alice, &two.alicia, &two.carol);
    let ghost = two.world.ghost("carol");
    // One that was there before goes on as it began.
    let old_room = alice.create_direct(&[&ghost]).await?;
    alice.send_text(&old_room, "before").await?;
    let old = carol.wait_for_dm(&two.world.puppet("alice")).await?;
    carol.wait_for_text(&old, "before").await?;
    // And so does one of which nobody here knows: what was said in it stays there.
    let dm = carol.open_dm("alicia").await?;
    carol.send(&dm, "from long ago").await?;

    two.link().await?;
    alice.send_text(&old_room, "after").await?;
    let said = carol.wait_for_text(&old, "after").await?;
    assert_eq!(said.username, two.world.puppet("alice"));
    carol.send(&old, "as ever").await?;
    alice.wait_for_text(&old_room, "as ever").await?;

    carol.send(&dm, "to yourself").await?;
    let invite = alice
        .wait_for_invite("carol's room", |invite| invite.sender == ghost)
        .await?;
    let room = alice.join(&invite.room_id).await?;
    alice.wait_for_text(&room, "to yourself").await?;
    let texts = alice.room_texts(&room).await?;
    assert!(!texts.iter().any(|text| text == "from long ago"));
    let event = alice.send_text(&room, "from myself").await?;
    let said = carol.wait_for_text(&dm, "from myself").await?;
    assert_eq!(said.username, "alicia");
    alicia.send(&dm, "and from there").await?;
    let there = alice.wait_for_text(&room, "and from there").await?;
    assert_eq!(there.sender, alice.user_id);
    alice
        .edit_text(&room, &event, "from myself, edited")
        .await?;
    carol.wait_for_text(&dm, "from myself, edited").await?;
    alice.redact(&room, &event).await?;
    carol.wait_until_gone(&dm, &said.id).await?;
    carol.send(&dm, "marker").await?;
    alice.wait_for_text(&room, "marker").await?;
    let there = carol.room_texts(&dm).await?;
    for text in ["and from there", "to yourself"] {
        assert_eq!(there.iter().filter(|one| *one == text).count(), 1);
    }

    // Whose account on Matrix is deactivated is there on Rocket.Chat only, where they are.
    two.wait_for_members(&["alicia"], &[]).await?;
    let body = json!({
        "auth": {
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": "alice" },
            "password": alice.password,
        },
    });
    let path = "/_matrix/client/v3/account/deactivate";
    let answer = alice.request("POST", path, Some(&body)).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    alicia
        .wait_for_message(&two.rocket_desk, "the end of the link", |message| {
            message.text.contains("The account on Matrix is gone")
        })
        .await?;
    alicia.send(&two.channel, "a ghost now").await?;
    let said = two.bob.wait_for_text(&two.room, "a ghost now").await?;
    assert_eq!(said.sender, two.world.ghost("alicia"));
    two.wait_for_members(&["alicia"], &[]).await?;
    Ok(())
}
