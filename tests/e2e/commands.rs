//! Commands that people give on Rocket.Chat.

use anyhow::Result;
use matrix_appservice_rocketchat::store::AuditEntry;
use serde_json::json;
use testbed::{RocketMessage, RocketUser, World, WorldOptions};

use crate::linked_changes::change_store;
use crate::{BRIDGE, General, in_general, world_with_general};

/// Carol's direct message with the bridge's account.
pub(crate) struct Desk<'a> {
    carol: &'a RocketUser,
    pub(crate) rid: String,
}

impl<'a> Desk<'a> {
    pub(crate) async fn of(carol: &'a RocketUser) -> Result<Self> {
        let rid = carol.open_dm(World::ROCKET_BOT).await?;
        Ok(Self { carol, rid })
    }

    pub(crate) async fn answers(&self) -> Result<Vec<RocketMessage>> {
        let mut all = self.carol.room_messages(&self.rid).await?;
        all.retain(|message| message.username == World::ROCKET_BOT);
        Ok(all)
    }

    /// The next answer after so many, which has this in it.
    pub(crate) async fn wait_for_answer(&self, after: usize, part: &str) -> Result<String> {
        let what = format!("an answer with {part:?}");
        self.carol
            .wait_until(&self.rid, &what, |messages| {
                let mut answers = messages
                    .iter()
                    .filter(|message| message.username == World::ROCKET_BOT)
                    .skip(after);
                answers
                    .find(|message| message.text.contains(part))
                    .map(|message| message.text.clone())
            })
            .await
    }

    pub(crate) async fn ask(&self, command: &str, part: &str) -> Result<String> {
        self.ask_in(&self.rid, command, part).await
    }

    /// Gives a command somewhere; the answer comes here.
    pub(crate) async fn ask_in(&self, rid: &str, command: &str, part: &str) -> Result<String> {
        let before = self.answers().await?.len();
        self.carol.send(rid, command).await?;
        self.wait_for_answer(before, part).await
    }
}

#[tokio::test]
async fn somebody_on_rocketchat_opens_direct_messages_by_command() -> Result<()> {
    let world = world_with_general().await?;
    let (alice, bob) = (
        world.matrix_user("alice").await?,
        world.matrix_user("bob").await?,
    );
    let carol = world.rocket_user("carol").await?;
    let desk = Desk::of(&carol).await?;
    let ghost = world.ghost("carol");
    let of_carol = |invite: &testbed::Invite| invite.sender == ghost;

    desk.ask("help", "dm <@user:server>").await?;
    let dm_alice = format!("dm {}", alice.user_id);
    // Who has never done anything here has no account yet.
    let first = desk.ask(&dm_alice, "/direct/").await?;
    let invite = alice.wait_for_invite("the room", of_carol).await?;
    assert!(invite.is_direct, "Element shows it among people");
    let room = alice.join(&invite.room_id).await?;
    assert_eq!(alice.heroes(&room).await?, std::slice::from_ref(&ghost));
    let dm = carol.wait_for_dm(&world.puppet("alice")).await?;
    assert!(first.contains(&dm), "{first}");
    carol.send(&dm, "hello alice").await?;
    alice.wait_for_text(&room, "hello alice").await?;
    alice.send_text(&room, "hello carol").await?;
    carol.wait_for_text(&dm, "hello carol").await?;

    // Found again; invited again after leaving.
    let again = desk.ask(&format!("!matrix {dm_alice}"), "/direct/").await?;
    assert_eq!(again, first);
    assert!(alice.invites().await?.is_empty());
    alice.leave(&room).await?;
    desk.ask(&dm_alice, "/direct/").await?;
    alice
        .wait_for_invite("back", |invite| invite.room_id == room)
        .await?;
    alice.join(&room).await?;

    // With several.
    let both = format!("dm {}, {}", alice.user_id, bob.user_id);
    desk.ask(&both, "/direct/").await?;
    let puppets = [world.puppet("alice"), world.puppet("bob")];
    let group = carol.wait_for_dm_with(&[&puppets[0], &puppets[1]]).await?;
    carol.send(&group, "hello both").await?;
    for user in [&alice, &bob] {
        let invite = user.wait_for_invite("the room of both", of_carol).await?;
        let room = user.join(&invite.room_id).await?;
        user.wait_for_text(&room, "hello both").await?;
    }

    // What is meant for the bridge is shown to nobody, wherever it is written.
    desk.ask_in(&dm, "!matrix help", "dm <@user:server>")
        .await?;
    carol.send(&dm, "behind it").await?;
    alice.wait_for_text(&room, "behind it").await?;
    let texts = alice.room_texts(&room).await?;
    assert!(
        texts.iter().all(|text| !text.contains("matrix")),
        "{texts:?}"
    );
    let elsewhere = carol.create_channel("elsewhere", &[]).await?;
    desk.ask_in(&elsewhere, "/matrix help", "dm <@user:server>")
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_command_that_cannot_be_done_is_answered_with_why() -> Result<()> {
    let General {
        world,
        alice,
        carol,
        room,
        channel,
    } = in_general().await?;
    let desk = Desk::of(&carol).await?;
    world.rocket_user("dave").await?;
    desk.ask("dm", "With whom?").await?;
    desk.ask("dm alice", "`alice` is no full Matrix id").await?;
    desk.ask(
        &format!("dm {}", world.user_id("nobody")),
        "There is nobody called",
    )
    .await?;
    desk.ask(
        &format!("dm {}", world.user_id("rocketchatbot")),
        "the bridge itself",
    )
    .await?;
    // Her ghost comes with her first words.
    carol.send(&channel, "hello").await?;
    alice.wait_for_text(&room, "hello").await?;
    desk.ask(&format!("dm {}", world.ghost("carol")), "is you")
        .await?;
    desk.ask(&format!("dm {}", world.ghost("nobody")), "is nobody")
        .await?;
    let many: Vec<_> = (0..8).map(|n| world.user_id(&format!("u{n}"))).collect();
    desk.ask(&format!("dm {}", many.join(" ")), "at most 8 people")
        .await?;
    desk.ask("dn @a:b", "did you mean").await?;
    desk.ask("bridge general", "Which of your rooms").await?;
    assert!(
        carol.find_user(&world.puppet("nobody")).await?.is_none(),
        "nobody got an account by it"
    );

    // In a room: taken away, and answered to her alone.
    let asked = carol.send(&channel, "!matrix dm alice").await?;
    desk.wait_for_answer(0, "To `dm alice`").await?;
    carol.wait_until_gone(&channel, &asked).await?;
    carol.send(&channel, "in the channel").await?;
    alice.wait_for_text(&room, "in the channel").await?;
    let texts = alice.room_texts(&room).await?;
    assert!(
        texts.iter().all(|text| !text.contains("!matrix")),
        "{texts:?}"
    );

    // What people of Matrix write are words.
    alice.send_text(&room, "!matrix help").await?;
    carol.wait_for_text(&channel, "!matrix help").await?;

    // Who may not begin direct messages does not by the bridge.
    let control = world.rocketchat.control();
    control
        .set_permission("create-d", &["admin", "bot"])
        .await?;
    let before = desk.answers().await?.len();
    carol
        .send(&desk.rid, &format!("dm {}", alice.user_id))
        .await?;
    desk.wait_for_answer(before, "may not begin direct messages")
        .await?;
    assert!(alice.invites().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_command_is_answered_once_whatever_happens_to_the_bridge() -> Result<()> {
    let world = world_with_general().await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let desk = Desk::of(&carol).await?;
    desk.ask("help", "dm <@user:server>").await?;

    // Given while it was away.
    world.bridge.stop().await?;
    carol
        .send(&desk.rid, &format!("dm {}", alice.user_id))
        .await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    desk.wait_for_answer(1, "/direct/").await?;
    let ghost = world.ghost("carol");
    alice
        .wait_for_invite("the room", |invite| invite.sender == ghost)
        .await?;
    // Killed at some point of it.
    for _ in 0..3 {
        let before = desk.answers().await?.len();
        carol.send(&desk.rid, "dm somebody").await?;
        world.bridge.kill_and_restart().await?;
        desk.wait_for_answer(before, "no full Matrix id").await?;
    }
    // Said again by the server, for a star.
    let said = carol.room_messages(&desk.rid).await?;
    let first = said.iter().find(|message| message.text == "help");
    carol.star(&first.expect("the command").id, true).await?;
    desk.ask("a", "There is no such command").await?;
    let answers = desk.answers().await?;
    let texts: Vec<_> = answers.iter().map(|answer| &answer.text).collect();
    assert_eq!(texts.len(), 6, "{texts:#?}");
    assert_eq!(alice.invites().await?.len(), 1);

    // Whose account was switched off since is not heard, whatever roles it keeps.
    let dan = world.rocket_user("dan").await?;
    let administrator = json!({ "userId": dan.id, "data": { "roles": ["user", "admin"] } });
    let admin = world.rocket_admin();
    admin.post("users.update", administrator).await?;
    let dans = Desk::of(&dan).await?;
    dans.ask("whoami", "You administer the bridge").await?;
    let elsewhere = carol.create_channel("elsewhere", &[]).await?;
    let group = carol
        .create_group("aside", &[&world.rocket_bot.username])
        .await?;
    world.bridge.stop().await?;
    for (rid, words) in [(&elsewhere, "help dm"), (&group, "help search")] {
        carol.send(rid, &format!("!matrix {words}")).await?;
    }
    dan.send(&dans.rid, "unbridge general").await?;
    carol.send(&desk.rid, "search nobody at all").await?;
    let off = json!({ "userId": dan.id, "activeStatus": false, "confirmRelinquish": true });
    admin.post("users.setActiveStatus", off).await?;
    world.bridge.start()?;
    world.bridge.ready().await?;
    desk.wait_for_answer(6, "search").await?;
    // Also where nothing is mirrored: in a channel that the bridge is not in, and a group.
    desk.wait_for_answer(6, "To `help dm`").await?;
    desk.wait_for_answer(6, "To `help search`").await?;
    world.bridge.stop().await?;
    let account = format!("rocketchat:{}", dan.id);
    change_store(&world, |store| {
        let refused: Vec<_> = store.audit(true).map(|(_, entry)| entry).collect();
        let is_noted = |entry: &AuditEntry| entry.who == account && entry.command == "unbridge";
        assert!(refused.iter().any(is_noted), "{refused:#?}");
        assert!(store.audit(false).all(|(_, entry)| entry.who != account));
        Ok(())
    })
    .await?;
    let said = world.rocket_bot.room_messages(&dans.rid).await?;
    let by_bot = |one: &&RocketMessage| one.username == World::ROCKET_BOT;
    assert_eq!(said.iter().filter(by_bot).count(), 1, "nothing is answered");
    Ok(())
}

#[tokio::test]
async fn somebody_on_rocketchat_writes_to_somebody_of_another_homeserver() -> Result<()> {
    let mut options = WorldOptions::new(BRIDGE);
    options.other_homeservers = 1;
    let world = World::start(options).await?;
    let far = world.other_user(world.other()?, "bob").await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    let desk = Desk::of(&carol).await?;
    let command = format!("dm {} {}", far.user_id, alice.user_id);
    desk.ask(&command, "/direct/").await?;
    let puppets = [world.puppet_of(&far.user_id), world.puppet("alice")];
    let dm = carol.wait_for_dm_with(&[&puppets[0], &puppets[1]]).await?;
    let mut rooms = Vec::new();
    for user in [&far, &alice] {
        let invite = user.wait_for_invite("the room", |_| true).await?;
        assert!(invite.is_direct);
        rooms.push(user.join(&invite.room_id).await?);
    }
    carol.send(&dm, "hello you two").await?;
    far.wait_for_text(&rooms[0], "hello you two").await?;
    far.send_text(&rooms[0], "hello from afar").await?;
    let said = carol.wait_for_text(&dm, "hello from afar").await?;
    assert_eq!(said.username, puppets[0]);
    let unknown = format!("dm @nobody:{}", world.other()?.server_name());
    desk.ask(&unknown, "There is nobody called").await?;
    world.other()?.kill().await?;
    let away = format!("@nobody:{}", world.other()?.server_name());
    desk.ask(&format!("dm {away}"), "does not answer").await?;
    let made = carol.find_user(&world.puppet_of(&away)).await?;
    assert!(made.is_none(), "nobody got an account by it");
    Ok(())
}
