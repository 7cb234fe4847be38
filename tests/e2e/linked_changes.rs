//! One person with two accounts changes from either side what they said on either: it is the
//! same on both in the end, whatever breaks, and nobody else speaks for them.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use matrix_appservice_rocketchat::clock::now_ms;
use matrix_appservice_rocketchat::rocketchat::{RocketMessageId, RocketRoomId};
use matrix_appservice_rocketchat::store::{LoginCode, PortalId, Rest, Store};
use rand::RngExt as _;
use ruma::UserId;
use serde_json::json;
use testbed::{Sample, World, WorldOptions};

use crate::BRIDGE;
use crate::linking::{Two, code_in, granted};

/// How many messages are said on each side.
const MESSAGES: usize = 6;
/// How many changes are made to them.
const CHANGES: usize = 88;
/// After how many changes, on average, something breaks.
const BETWEEN_BREAKS: usize = 6;
/// How many files each side sends meanwhile.
const FILES: usize = 4;
/// Emoji and their names: the first is given and taken back on Matrix, the other on
/// Rocket.Chat.
const EMOJI: [(&str, &str); 2] = [("👍", ":thumbsup:"), ("🎉", ":tada:")];

/// What a side shows of a message: its text and the reactions.
type Shown = (String, BTreeSet<usize>);

/// What must be there in the end.
struct Said {
    event: String,
    id: String,
    /// On which side its author changes it, wherever they said it.
    on_matrix: bool,
    text: String,
    is_deleted: bool,
    /// The reaction on Matrix, while it is given.
    reaction: Option<String>,
    /// Whether the one on Rocket.Chat is given.
    reacts_there: bool,
}

impl Said {
    fn expected(&self) -> Option<Shown> {
        let mut reactions = BTreeSet::new();
        reactions.extend(self.reaction.as_ref().map(|_| 0));
        reactions.extend(self.reacts_there.then_some(1));
        (!self.is_deleted).then(|| (self.text.clone(), reactions))
    }
}

async fn say(two: &Two, number: usize) -> Result<Vec<Said>> {
    let mut said = Vec::new();
    for here in [true, false] {
        let text = format!("message {number} of {here}");
        let (event, id) = if here {
            let event = two.alice.send_text(&two.room, &text).await?;
            (
                event,
                two.carol.wait_for_text(&two.channel, &text).await?.id,
            )
        } else {
            let id = two.alicia.send(&two.channel, &text).await?;
            (two.bob.wait_for_text(&two.room, &text).await?.event_id, id)
        };
        said.push(Said {
            event,
            id,
            on_matrix: number.is_multiple_of(2) == here,
            text,
            is_deleted: false,
            reaction: None,
            reacts_there: false,
        });
    }
    Ok(said)
}

async fn change(two: &Two, one: &mut Said, number: usize) -> Result<()> {
    let Two {
        alice,
        alicia,
        room,
        channel,
        ..
    } = two;
    if one.is_deleted {
        return Ok(());
    }
    match rand::rng().random_range(0..24) {
        0 => {
            one.is_deleted = true;
            match one.on_matrix {
                true => drop(alice.redact(room, &one.event).await?),
                false => alicia.delete(channel, &one.id).await?,
            }
        }
        1..12 => {
            one.text = format!("change {number}");
            match one.on_matrix {
                true => drop(alice.edit_text(room, &one.event, &one.text).await?),
                false => alicia.edit(channel, &one.id, &one.text).await?,
            }
        }
        12..18 => match one.reaction.take() {
            Some(reaction) => drop(alice.redact(room, &reaction).await?),
            None => one.reaction = Some(alice.react(room, &one.event, EMOJI[0].0).await?),
        },
        _ => {
            one.reacts_there = !one.reacts_there;
            alicia.react(&one.id, EMOJI[1].1, one.reacts_there).await?;
        }
    }
    Ok(())
}

async fn on_matrix(two: &Two, one: &Said) -> Result<Option<Shown>> {
    let (bob, room) = (&two.bob, &two.room);
    if bob.event(room, &one.event).await?.is_redacted() {
        return Ok(None);
    }
    let text = bob.shown(room, &one.event).await?["body"].clone();
    let mut reactions = BTreeSet::new();
    for (user, key) in bob.reactions(room, &one.event).await? {
        if *user != *two.alice.user_id {
            bail!("{user} reacts with {key}");
        }
        let emoji = EMOJI.iter().position(|(emoji, _)| *emoji == key);
        reactions.insert(emoji.with_context(|| format!("another emoji: {key}"))?);
    }
    Ok(Some((
        text.as_str().unwrap_or_default().to_owned(),
        reactions,
    )))
}

async fn on_rocketchat(two: &Two, one: &Said) -> Result<Option<Shown>> {
    let messages = two.carol.room_messages(&two.channel).await?;
    let Some(message) = messages.into_iter().find(|message| message.id == one.id) else {
        return Ok(None);
    };
    let mut reactions = BTreeSet::new();
    for (key, user) in message.reactions() {
        if user != "alicia" {
            bail!("{user} reacts with {key}");
        }
        let emoji = EMOJI.iter().position(|(_, emoji)| *emoji == key);
        reactions.insert(emoji.with_context(|| format!("another emoji: {key}"))?);
    }
    Ok(Some((message.text, reactions)))
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_what_a_linked_person_changes_is_the_same_on_both_sides()
-> Result<()> {
    let directory = tempfile::tempdir()?;
    let two = Two::in_world(granted(directory.path())?).await?;
    two.link().await?;
    let (bridge, control) = (&two.world.bridge, two.world.rocketchat.control());
    // Before that there are both, the puppet and the account.
    two.wait_for_members(&["alicia"], &[]).await?;
    let before = written(&two).await?;
    let mut said = Vec::new();
    for number in 0..MESSAGES {
        said.extend(say(&two, number).await?);
    }
    for number in 0..CHANGES {
        let at = rand::rng().random_range(0..said.len());
        change(&two, &mut said[at], number).await?;
        if number % (CHANGES / FILES) == 0 {
            let number = number / (CHANGES / FILES);
            let file = Sample::pdf().named(&format!("here {number}.pdf"));
            two.alice.send_file(&two.room, &file, |_| {}).await?;
            let file = Sample::pdf().named(&format!("there {number}.pdf"));
            two.alicia.upload_file(&two.channel, file.into()).await?;
        }
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
    two.world
        .eventually("both sides to say the same", async || {
            for one in &said {
                let expected = one.expected();
                let (here, there) = (on_matrix(&two, one).await?, on_rocketchat(&two, one).await?);
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
    for side in ["here", "there"] {
        for number in 0..FILES {
            let name = format!("{side} {number}.pdf");
            two.bob
                .wait_for_message(&two.room, &name, |event| is_file(event, &name))
                .await?;
            two.carol
                .wait_for_message(&two.channel, &name, |message| {
                    message.document["file"]["name"] == name.as_str()
                })
                .await?;
        }
    }
    // What came after all of that is there: nothing more is on its way.
    two.bob.send_text(&two.room, "the end").await?;
    two.carol.wait_for_text(&two.channel, "the end").await?;
    two.carol.send(&two.channel, "the other end").await?;
    two.bob.wait_for_text(&two.room, "the other end").await?;
    let left = said.iter().filter(|one| !one.is_deleted).count() + 2 * FILES + 2;
    let (here, there) = written(&two).await?;
    assert_eq!(
        (here - before.0, there - before.1),
        (left, left),
        "nothing else was said"
    );
    Ok(())
}

fn is_file(event: &testbed::Event, name: &str) -> bool {
    event.text("/filename") == name || event.body() == name
}

/// How many messages both sides show.
async fn written(two: &Two) -> Result<(usize, usize)> {
    let here = two.bob.room_messages(&two.room).await?;
    let here = here
        .iter()
        // A reaction to what was deleted on the other side meanwhile is answered by a notice.
        .filter(|event| !event.is_redacted() && event.msgtype() != "m.notice")
        .filter(|event| event.relation().is_none_or(|(kind, _)| kind != "m.replace"));
    Ok((
        here.count(),
        two.carol.room_messages(&two.channel).await?.len(),
    ))
}

#[tokio::test]
async fn what_a_linked_person_takes_back_or_others_take_from_them_stays_gone() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let two = Two::in_world(granted(directory.path())?).await?;
    two.link().await?;
    let (alice, bob, alicia, carol) = (&two.alice, &two.bob, &two.alicia, &two.carol);
    let (room, channel) = (two.room.as_str(), two.channel.as_str());
    let admin = two.world.rocket_admin();

    // A reaction that was given on Matrix and is taken back on Rocket.Chat at once.
    let on = carol.send(channel, "react to this").await?;
    let target = bob.wait_for_text(room, "react to this").await?.event_id;
    for _ in 0..3 {
        alice.react(room, &target, "👍").await?;
        carol
            .wait_for_reactions(channel, &on, &[(":thumbsup:", "alicia")])
            .await?;
        alicia.react(&on, ":thumbsup:", false).await?;
        bob.wait_for_reactions(room, &target, &[]).await?;
    }
    carol.react(&on, ":heart:", true).await?;
    let ghost = two.world.ghost("carol");
    bob.wait_for_reactions(room, &target, &[(&ghost, "❤️")])
        .await?;
    carol
        .wait_for_reactions(channel, &on, &[(":heart:", "carol")])
        .await?;
    // One that another's at the same moment has lost is given again.
    let control = two.world.rocketchat.control();
    control.lose_reactions_within(100).await?;
    tokio::try_join!(alice.react(room, &target, "🚀"), async {
        carol
            .react(&on, ":tada:", true)
            .await
            .map(|()| String::new())
    })?;
    carol
        .wait_until(channel, "the reaction that was lost", |documents| {
            let message = documents.iter().find(|document| document.id == on)?;
            (message.reacted(":rocket:").iter())
                .any(|name| name == "alicia")
                .then_some(())
        })
        .await?;
    control.lose_reactions_within(0).await?;
    let given = bob.reactions(room, &target).await?;
    assert!(
        given.contains(&(alice.user_id.to_string(), "🚀".to_owned())),
        "{given:?}"
    );

    // What moderators of Rocket.Chat do to her words, wherever she wrote them.
    let here = alice.send_text(room, "written on Matrix").await?;
    let there = carol.wait_for_text(channel, "written on Matrix").await?;
    let back = alicia.send(channel, "written there").await?;
    let said = bob.wait_for_text(room, "written there").await?;
    admin
        .edit(channel, &there.id, "what an administrator made of it")
        .await?;
    let told = bob
        .wait_for_message(room, "whose edit it was", |event| {
            event.body().contains("what an administrator made of it")
        })
        .await?;
    assert_ne!(told.sender, alice.user_id, "not in her mouth");
    for id in [&there.id, &back] {
        admin.delete(channel, id).await?;
    }
    bob.wait_for_redaction(room, &here).await?;
    bob.wait_for_redaction(room, &said.event_id).await?;

    // What moderators of Matrix take away.
    let here = alice.send_text(room, "also on Matrix").await?;
    let there = carol.wait_for_text(channel, "also on Matrix").await?;
    let back = alicia.send(channel, "also there").await?;
    let said = bob.wait_for_text(room, "also there").await?;
    two.world.let_tidy(room, &bob.user_id).await?;
    bob.redact(room, &here).await?;
    carol.wait_until_gone(channel, &there.id).await?;
    bob.redact(room, &said.event_id).await?;
    carol.wait_until_gone(channel, &back).await?;
    alice.send_text(room, "marker").await?;
    carol.wait_for_text(channel, "marker").await?;
    assert_eq!(two.count("also on Matrix").await?, (0, 0));
    assert_eq!(two.count("also there").await?, (0, 0));

    // What a kill left without a record was found again in the room, and is hers to change.
    let mut found = Vec::new();
    for text in ["found again", "found and regretted"] {
        let id = alicia.send(channel, text).await?;
        found.push((bob.wait_for_text(room, text).await?.event_id, id));
    }
    two.world.bridge.stop().await?;
    change_store(&two.world, |store| {
        let portal = PortalId::own(&RocketRoomId::new(channel));
        for (_, id) in &found {
            let is_known = store.amend_message(&portal, &RocketMessageId::new(id), |known| {
                known.posted_by = None;
                known.sent_at = 0;
            })?;
            assert!(is_known, "{id}");
        }
        Ok(())
    })
    .await?;
    two.world.bridge.start()?;
    two.world.bridge.ready().await?;
    alice
        .edit_text(room, &found[0].0, "found again, and edited")
        .await?;
    carol
        .wait_for_words(channel, &found[0].1, "found again, and edited")
        .await?;
    alice.redact(room, &found[1].0).await?;
    carol.wait_until_gone(channel, &found[1].1).await?;
    Ok(())
}

#[tokio::test]
async fn what_a_linked_person_said_there_loses_nothing_there_by_what_happens_here() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let two = Two::in_world(granted(directory.path())?).await?;
    two.link().await?;
    let (alice, bob, alicia, carol) = (&two.alice, &two.bob, &two.alicia, &two.carol);
    let (room, channel) = (two.room.as_str(), two.channel.as_str());
    let named = |name: &str| Sample::png(1, 30, 20).map(|sample| sample.named(name));
    let shown = async |name: &str| {
        bob.wait_for_message(room, name, |event| event.text("/filename") == name)
            .await
    };

    // What she quotes is quoted still when she edits her words here.
    let original = carol.send(channel, "the original").await?;
    bob.wait_for_text(room, "the original").await?;
    let second = carol.send(channel, "another original").await?;
    bob.wait_for_text(room, "another original").await?;
    let quote = alicia
        .quote(channel, &[&original, &second], "my answer")
        .await?;
    let said = bob
        .wait_for_message(room, "the answer", |event| {
            event.body().ends_with("my answer")
        })
        .await?;
    assert_eq!(said.sender, alice.user_id);
    alice
        .edit_text(room, &said.event_id, "my better answer")
        .await?;
    carol
        .wait_for_message(channel, "the edit, with what it quotes", |message| {
            let attachments = message.document["attachments"].as_array();
            let quotes = attachments.into_iter().flatten();
            let quotes = quotes.filter(|one| one["message_link"].is_string());
            message.id == quote && message.text.ends_with("my better answer") && quotes.count() == 2
        })
        .await?;

    // What she says beside a file, in both forms in which servers keep that.
    for (name, text, description) in [
        ("text.png", Some("beside"), None),
        ("description.png", None, Some("beside")),
    ] {
        let file = testbed::NewFile {
            text: text.map(str::to_owned),
            description: description.map(str::to_owned),
            ..named(name)?.into()
        };
        let id = alicia.upload_file(channel, file).await?;
        let said = shown(name).await?;
        assert_eq!(
            (said.sender.as_str(), said.body()),
            (&*alice.user_id, "beside")
        );
        let mut new = said.content.clone();
        new["body"] = json!("beside it");
        alice
            .edit_content(room, &said.event_id, new, json!({}))
            .await?;
        let edited = carol
            .wait_for_message(channel, "the caption", |message| {
                let kept = message.document["attachments"][0]["description"].as_str();
                message.id == id && (message.text == "beside it" || kept == Some("beside it"))
            })
            .await?;
        assert_eq!(edited.document["file"]["name"], name);
        // Nobody says it again: what came after it shows only her own edit.
        alicia.send(channel, &format!("after {name}")).await?;
        bob.wait_for_text(room, &format!("after {name}")).await?;
        let edits = bob
            .room_events(room)
            .await?
            .into_iter()
            .filter(|event| event.relation() == Some(("m.replace", said.event_id.as_str())));
        assert_eq!(edits.count(), 1, "{name}");
        // Back to what it was, from there.
        alicia.edit(channel, &id, "beside").await?;
        bob.wait_for_shown(room, &said.event_id, "beside").await?;
    }

    // Of several files one has the words; the others cannot be edited from here.
    let id = alicia
        .post_files(
            channel,
            "both of these",
            &[named("a.png")?.into(), named("b.png")?.into()],
        )
        .await?;
    let (first, other) = (shown("a.png").await?, shown("b.png").await?);
    let mut new = other.content.clone();
    new["body"] = json!("the second");
    let refused = alice
        .edit_content(room, &other.event_id, new, json!({}))
        .await?;
    alice
        .wait_for_message(room, "why not", |event| {
            event.in_reply_to() == Some(&refused) && event.body().contains("edited there")
        })
        .await?;
    let mut new = first.content.clone();
    new["body"] = json!("both of them");
    alice
        .edit_content(room, &first.event_id, new, json!({}))
        .await?;
    let is_whole = |message: &testbed::RocketMessage| {
        let attachments = message.document["attachments"].as_array();
        message.id == id
            && message.text == "both of them"
            && attachments.is_some_and(|all| all.len() == 2)
    };
    carol
        .wait_for_message(channel, "both files and the words", is_whole)
        .await?;

    // Files that are thrown away there go here, by her own hand, which deletes nothing
    // there; also when the bridge is killed before that is over.
    let before = carol.room_messages(channel).await?.len();
    two.world.rocket_admin().clean_files(channel).await?;
    bob.wait_for_redaction(room, &first.event_id).await?;
    two.world.bridge.kill_and_restart().await?;
    bob.wait_for_redaction(room, &other.event_id).await?;
    alice.send_text(room, "the end").await?;
    carol.wait_for_text(channel, "the end").await?;
    let after = carol.room_messages(channel).await?;
    assert_eq!(after.len(), before + 1, "{after:?}");
    assert!(after.iter().any(|message| message.text == "both of them"));
    let told = alice.room_texts(room).await?;
    let refusals = told.iter().filter(|text| text.contains("did not reach"));
    assert_eq!(refusals.count(), 1, "of the edit alone: {told:?}");
    Ok(())
}

/// Changes what the bridge, which does not run, has in its store: in a copy, so that nothing
/// of this process holds the store when the bridge opens it.
pub(crate) async fn change_store(
    world: &World,
    change: impl FnOnce(&Store) -> Result<()>,
) -> Result<()> {
    let config = world.bridge.config()?;
    let path = config["store"]["path"].as_str().context("no path")?;
    let path = world.bridge.directory().join(path);
    let copy = tempfile::tempdir()?;
    copy_files(&path, copy.path())?;
    let store = Store::open(
        copy.path(),
        1 << 20,
        testbed::Synapse::SERVER_NAME,
        "_rocketchat_",
    )?;
    change(&store)?;
    store.flushed().await?;
    drop(store);
    copy_files(copy.path(), &path)
}

fn copy_files(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_files(&entry.path(), &to)?,
            false => drop(std::fs::copy(entry.path(), to)?),
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_code_is_good_for_a_while_and_a_few_guesses_and_a_puppet_may_rest() -> Result<()> {
    let two = Two::in_world(WorldOptions::new(BRIDGE)).await?;
    let (alice, alicia, carol) = (&two.alice, &two.alicia, &two.carol);
    let world = &two.world;
    alice.send_text(&two.room, "as a puppet").await?;
    carol.wait_for_text(&two.channel, "as a puppet").await?;

    // Too old: as if ten minutes had passed.
    let code = two.code().await?;
    world.bridge.stop().await?;
    change_store(world, |store| {
        let codes = store.login_codes();
        assert_eq!(codes.len(), 1, "{codes:?}");
        assert!(
            (0..=10 * 60_000).contains(&(codes[0].until - now_ms())),
            "good for ten minutes at the most"
        );
        let old = LoginCode {
            until: now_ms() - 1,
            ..codes[0].clone()
        };
        Ok(store.change().login_code(&old).commit()?)
    })
    .await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    let late = two
        .ask_there(alicia, &format!("login {code} --confirm"))
        .await?;
    assert!(late.contains("too old"), "{late}");

    // Guessed too often: also the right one is refused then, to who guessed.
    let code = two.code().await?;
    for _ in 0..5 {
        two.ask_there(carol, "login AAAA-AAAA-AAAA").await?;
    }
    let enough = two
        .ask_there(carol, &format!("login {code} --confirm"))
        .await?;
    assert!(enough.contains("too many"), "{enough}");
    let free = two.ask_there(alicia, &format!("login {code}")).await?;
    assert!(free.contains("--confirm"), "{free}");
    // And only the one who was shown what it means can mean it.
    let done = two
        .ask_there(alicia, &format!("login {code} --confirm"))
        .await?;
    assert!(done.contains("are now one person"), "{done}");
    let again = two.ask_there(carol, "login").await?;
    assert!(code_in(&again).is_ok(), "she may still ask: {again}");

    // A puppet that is not needed goes on resting, whatever she says.
    two.wait_for_members(&["alicia"], &[&world.puppet("alice")])
        .await?;
    world.bridge.stop().await?;
    let user = <&UserId>::try_from(&*alice.user_id)?;
    change_store(world, |store| {
        Ok(store.change().rest(user, Rest::Resting).commit()?)
    })
    .await?;
    let puppet = carol.find_user(&world.puppet("alice")).await?;
    let id = puppet.context("the puppet")?["_id"].clone();
    let body = json!({ "userId": id, "activeStatus": false });
    world
        .rocket_admin()
        .post("users.setActiveStatus", body)
        .await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    alice.send_text(&two.room, "without my puppet").await?;
    let said = carol
        .wait_for_text(&two.channel, "without my puppet")
        .await?;
    assert_eq!(said.username, "alicia");
    let puppet = world
        .rocket_admin()
        .get(&format!("users.info?username={}", world.puppet("alice")))
        .await?;
    assert_eq!(puppet["user"]["active"], false, "{puppet}");
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_wrong_links_nothing_and_is_kept_nowhere() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.sim_args = vec!["--no-create-tokens".into()];
    let two = Two::in_world(options).await?;
    let wrong = "not-a-token-of-anybody";
    let first = two.ask(&format!("login token {wrong}")).await?;
    assert!(first.contains("First prove the account"), "{first}");
    two.link().await?;
    let said = two.ask("whoami").await?;
    assert!(said.contains("lacks a token"), "{said}");
    let refused = two.ask(&format!("login token {wrong}")).await?;
    assert!(refused.contains("does not accept this token"), "{refused}");
    assert!(!two.world.bridge.logs().contains(wrong));
    let shown = two.alice.room_texts(&two.desk).await?;
    assert!(shown.iter().all(|text| !text.contains(wrong)), "{shown:?}");
    // She goes on as she was.
    two.alice.send_text(&two.room, "as ever").await?;
    let said = two.carol.wait_for_text(&two.channel, "as ever").await?;
    assert_eq!(said.username, two.world.puppet("alice"));
    let answer = two.ask("logout").await?;
    assert!(answer.contains("no longer linked"), "{answer}");
    Ok(())
}
