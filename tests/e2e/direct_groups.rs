//! Direct messages of several people, and what becomes of one when others come.

use anyhow::Result;
use serde_json::json;
use testbed::{MatrixUser, RocketUser, Rule, Sample, World};

use crate::{Direct, in_direct, world_with_general};

/// Alice and Bob on Matrix, Carol and Dave on Rocket.Chat.
struct Four {
    world: World,
    alice: MatrixUser,
    bob: MatrixUser,
    carol: RocketUser,
    dave: RocketUser,
}

async fn four() -> Result<Four> {
    let world = world_with_general().await?;
    Ok(Four {
        alice: world.matrix_user("alice").await?,
        bob: world.matrix_user("bob").await?,
        carol: world.rocket_user("carol").await?,
        dave: world.rocket_user("dave").await?,
        world,
    })
}

impl Four {
    /// Everybody of Matrix says something in the channel, so that they have puppets.
    async fn known(self) -> Result<Self> {
        let channel = self.carol.join_channel("general").await?;
        for user in [&self.alice, &self.bob] {
            let general = user.join(&self.world.alias("general")).await?;
            let name = user.user_id.trim_start_matches('@');
            let text = format!("here is {}", name.split(':').next().unwrap_or_default());
            user.send_text(&general, &text).await?;
            self.carol
                .wait_for_message(&channel, &text, |message| message.text.ends_with(&text))
                .await?;
        }
        Ok(self)
    }
}

#[tokio::test]
async fn several_people_have_one_direct_message_that_somebody_on_matrix_began() -> Result<()> {
    let Four {
        world,
        alice,
        bob,
        carol,
        dave,
    } = four().await?;
    let (ghost_carol, ghost_dave) = (world.ghost("carol"), world.ghost("dave"));
    let room = alice
        .create_direct(&[&ghost_carol, &ghost_dave, &bob.user_id])
        .await?;
    // Written before any ghost can have come.
    alice.send_text(&room, "are you all there?").await?;
    let puppets = [world.puppet("alice"), world.puppet("bob")];
    let dm = carol
        .wait_for_dm_with(&["dave", &puppets[0], &puppets[1]])
        .await?;
    carol.wait_for_text(&dm, "are you all there?").await?;
    bob.join(&room).await?;
    dave.send(&dm, "I am").await?;
    let word = bob.wait_for_text(&room, "I am").await?;
    assert_eq!(word.sender, ghost_dave);
    let hers = bob.send_text(&room, "so am I").await?;
    let found = dave.wait_for_text(&dm, "so am I").await?;
    assert_eq!(found.username, puppets[1]);
    let picture = Sample::jpeg(1, 30, 20)?;
    bob.send_captioned(&room, &picture, "our hills").await?;
    let shown = carol
        .wait_for_message(&dm, "the picture", |message| message.file_link().is_some())
        .await?;
    assert_eq!(shown.username, puppets[1]);
    for user in [&carol, &dave] {
        let (_, bytes) = user.download(shown.file_link().expect("a file")).await?;
        assert!(bytes == picture.bytes, "everybody there has it");
    }
    dave.upload(&dm, "plan.txt", "text/plain", b"a plan", "")
        .await?;
    for user in [&alice, &bob] {
        let arrived = user
            .wait_for_message(&room, "the file", |event| event.msgtype() == "m.file")
            .await?;
        assert_eq!(arrived.sender, ghost_dave);
        let (_, bytes) = user.download(arrived.text("/url")).await?;
        assert_eq!(bytes, b"a plan");
    }
    assert_eq!(alice.heroes(&room).await?, {
        let mut others = [ghost_carol.as_str(), ghost_dave.as_str(), &bob.user_id];
        others.sort_unstable();
        others
    });

    // All that messages can do, also across a kill and while the bridge is away.
    for round in ["killed", "away"] {
        match round {
            "killed" => world.bridge.kill_and_restart().await?,
            _ => drop(world.bridge.stop().await?),
        }
        let (edited, other) = (format!("bob {round}"), format!("carol {round}"));
        bob.edit_text(&room, &hers, &edited).await?;
        carol.react(&found.id, ":heart:", true).await?;
        let said = carol.send(&dm, &other).await?;
        if round == "away" {
            world.bridge.start()?;
            world.bridge.ready().await?;
        }
        dave.wait_for_words(&dm, &found.id, &edited).await?;
        alice
            .wait_for_reactions(&room, &hers, &[(&ghost_carol, "❤️")])
            .await?;
        let said_here = alice.wait_for_text(&room, &other).await?;
        assert_eq!(said_here.sender, ghost_carol);
        let reaction = alice.react(&room, &said_here.event_id, "🎉").await?;
        carol
            .wait_for_reactions(&dm, &said, &[(":tada:", &puppets[0])])
            .await?;
        alice.redact(&room, &reaction).await?;
        carol.wait_for_reactions(&dm, &said, &[]).await?;
        carol.delete(&dm, &said).await?;
        alice.wait_for_redaction(&room, &said_here.event_id).await?;
        carol.react(&found.id, ":heart:", false).await?;
        alice.wait_for_reactions(&room, &hers, &[]).await?;
    }

    // Who leaves leaves it to the others, and Rocket.Chat is told, where nobody can.
    bob.leave(&room).await?;
    let told = carol
        .wait_for_message(&dm, "who left", |message| {
            message.text.contains("no longer in this conversation")
        })
        .await?;
    assert_eq!(told.username, puppets[1]);
    carol.send(&dm, "without bob").await?;
    alice.wait_for_text(&room, "without bob").await?;
    assert!(bob.invites().await?.is_empty(), "he is left in peace");
    alice.invite(&room, &bob.user_id).await?;
    bob.join(&room).await?;
    bob.send_text(&room, "back again").await?;
    carol.wait_for_text(&dm, "back again").await?;

    // The same people have one, whoever begins.
    let second = bob
        .create_direct(&[&ghost_dave, &alice.user_id, &ghost_carol])
        .await?;
    bob.wait_for_members(&second, &[&bob.user_id, &ghost_carol, &ghost_dave])
        .await?;
    bob.send_text(&second, "in another room").await?;
    carol.wait_for_text(&dm, "in another room").await?;
    carol.send(&dm, "where now?").await?;
    bob.wait_for_text(&second, "where now?").await?;
    assert!(
        !alice
            .room_texts(&room)
            .await?
            .contains(&"where now?".to_owned()),
        "said in one room only"
    );
    Ok(())
}

/// Killed at any point of its making, it has one room.
#[tokio::test]
async fn several_people_have_one_direct_message_that_somebody_on_rocketchat_began() -> Result<()> {
    let Four {
        world,
        alice,
        bob,
        carol,
        dave,
    } = four().await?.known().await?;
    let puppets = [world.puppet("alice"), world.puppet("bob")];
    let dm = carol
        .open_dm_with(&["dave", &puppets[0], &puppets[1]])
        .await?;
    dave.send(&dm, "hello all").await?;
    let (ghost_carol, ghost_dave) = (world.ghost("carol"), world.ghost("dave"));
    let is_theirs =
        |invite: &testbed::Invite| invite.sender == ghost_carol || invite.sender == ghost_dave;
    // At some point of its making.
    alice.wait_for_invite("the room", is_theirs).await?;
    world.bridge.kill_and_restart().await?;
    carol.send(&dm, "and welcome").await?;
    let mut rooms = Vec::new();
    for user in [&alice, &bob] {
        let invite = user.wait_for_invite("the room", is_theirs).await?;
        assert!(invite.is_direct, "Element shows it among people");
        assert_eq!(
            invite.sender, ghost_dave,
            "whoever wrote first is who invites"
        );
        let room = user.join(&invite.room_id).await?;
        user.wait_for_text(&room, "and welcome").await?;
        assert_eq!(user.room_texts(&room).await?, ["hello all", "and welcome"]);
        assert!(
            user.invites().await?.is_empty(),
            "one conversation, one room"
        );
        rooms.push(room);
    }
    assert_eq!(rooms[0], rooms[1]);
    let room = &rooms[0];
    let name = alice.state_content(room, "m.room.name", "").await?;
    assert!(name.is_none(), "it is called after its people");
    let mut others = vec![ghost_carol.clone(), ghost_dave.clone(), bob.user_id.clone()];
    others.sort();
    assert_eq!(alice.heroes(room).await?, others);
    alice.send_text(room, "from alice").await?;
    let said = dave.wait_for_text(&dm, "from alice").await?;
    assert_eq!(said.username, puppets[0]);
    bob.send_text(room, "from bob").await?;
    dave.wait_for_text(&dm, "from bob").await?;

    // A direct message of two of them is another one.
    let two = carol.open_dm(&puppets[0]).await?;
    carol.send(&two, "only you").await?;
    let invite = alice.wait_for_invite("the other", is_theirs).await?;
    let other = alice.join(&invite.room_id).await?;
    assert_ne!(&other, room);
    alice.wait_for_text(&other, "only you").await?;
    assert_eq!(alice.heroes(&other).await?, [ghost_carol]);
    Ok(())
}

/// A client may invite them all at once, or a person one after the other.
#[tokio::test]
async fn who_is_invited_before_anything_was_said_is_of_the_direct_message() -> Result<()> {
    let Four {
        world,
        alice,
        bob,
        carol,
        dave,
    } = four().await?;
    let (ghost_carol, ghost_dave) = (world.ghost("carol"), world.ghost("dave"));
    let room = alice.create_direct(&[&ghost_carol]).await?;
    alice
        .wait_for_members(&room, &[&alice.user_id, &ghost_carol])
        .await?;
    alice.invite(&room, &ghost_dave).await?;
    alice
        .wait_for_members(&room, &[&alice.user_id, &ghost_carol, &ghost_dave])
        .await?;
    world.bridge.kill_and_restart().await?;
    alice.invite(&room, &bob.user_id).await?;
    bob.join(&room).await?;
    bob.send_text(&room, "now we are four").await?;
    let puppets = [world.puppet("alice"), world.puppet("bob")];
    let dm = dave
        .wait_for_dm_with(&["carol", &puppets[0], &puppets[1]])
        .await?;
    dave.wait_for_text(&dm, "now we are four").await?;
    carol.send(&dm, "so we are").await?;
    alice.wait_for_text(&room, "so we are").await?;
    assert_eq!(
        carol.room_texts(&dm).await?,
        ["now we are four", "so we are"]
    );
    Ok(())
}

#[tokio::test]
async fn what_is_said_between_two_is_shown_to_no_third() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    let bob = world.matrix_user("bob").await?;
    let dave = world.rocket_user("dave").await?;
    let (ghost_carol, ghost_dave) = (world.ghost("carol"), world.ghost("dave"));
    let (alice_there, bob_there) = (world.puppet("alice"), world.puppet("bob"));
    carol.wait_for_text(&dm, "hi").await?;
    carol.send(&dm, "between us").await?;
    alice.wait_for_text(&room, "between us").await?;

    // A third of Matrix, then a fourth of Rocket.Chat.
    alice.invite(&room, &bob.user_id).await?;
    world.bridge.kill_and_restart().await?;
    let group = carol.wait_for_group(&[]).await?;
    alice
        .wait_for_message(&room, "where it goes on", |event| {
            event.body().contains("private group")
        })
        .await?;
    carol
        .wait_for_message(&group, "why it is there", |message| {
            message.text.contains("has brought others")
        })
        .await?;
    bob.join(&room).await?;
    assert!(
        !bob.room_texts(&room)
            .await?
            .contains(&"between us".to_owned()),
        "who comes later does not read what was said before"
    );
    bob.send_text(&room, "three of us").await?;
    let said = carol.wait_for_text(&group, "three of us").await?;
    assert_eq!(said.username, bob_there);
    carol.send(&group, "welcome bob").await?;
    let said = bob.wait_for_text(&room, "welcome bob").await?;
    assert_eq!(said.sender, ghost_carol);
    let members = carol.group_members(&group).await?;
    let bot = World::ROCKET_BOT.to_owned();
    let mut expected = vec![alice_there.clone(), bob_there.clone(), "carol".into(), bot];
    expected.sort();
    assert_eq!(members, expected);
    assert_eq!(
        carol.wait_for_group(&[]).await?,
        group,
        "there is one group"
    );

    // What is written between the two stays between the two.
    carol.send(&dm, "for alice only").await?;
    let other = alice
        .wait_for_invite("carol's new room", |invite| invite.sender == ghost_carol)
        .await?;
    let other = alice.join(&other.room_id).await?;
    alice.wait_for_text(&other, "for alice only").await?;
    assert_eq!(alice.room_texts(&other).await?, ["for alice only"]);
    for event in alice.room_events(&room).await? {
        assert_ne!(event.body(), "for alice only");
    }
    // The same for somebody else of Rocket.Chat.
    alice.invite(&other, &ghost_dave).await?;
    let second = dave.wait_for_group(&[]).await?;
    dave.send(&second, "what is this about?").await?;
    alice.wait_for_text(&other, "what is this about?").await?;
    assert!(
        !dave
            .room_texts(&second)
            .await?
            .contains(&"for alice only".to_owned())
    );
    Ok(())
}

/// Who may make no groups on Rocket.Chat gets none through the bridge.
#[tokio::test]
async fn a_third_person_for_whom_there_can_be_no_group_does_not_come_in() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    world.rocket_user("dave").await?;
    let bob = world.matrix_user("bob").await?;
    let ghost_dave = world.ghost("dave");
    carol.wait_for_text(&dm, "hi").await?;
    let control = world.rocketchat.control();
    control.set_permission("create-p", &["admin"]).await?;
    // What is written while Rocket.Chat thinks about it makes no other room.
    let creation = Rule::on("/api/v1/groups.create").times(1).delay(2000);
    control.add_rule(creation).await?;
    alice.invite(&room, &ghost_dave).await?;
    world
        .eventually("the group is asked for", async || {
            let asked = control.rules().await?[0]["hits"].as_u64();
            Ok((asked == Some(1)).then_some(()))
        })
        .await?;
    carol.send(&dm, "meanwhile").await?;
    alice
        .wait_for_message(&room, "why not", |event| {
            event
                .body()
                .contains(&format!("{ghost_dave} could not be brought in"))
        })
        .await?;
    alice.wait_for_text(&room, "meanwhile").await?;
    alice.invite(&room, &bob.user_id).await?;
    alice
        .wait_for_message(&room, "why not", |event| {
            event
                .body()
                .contains(&format!("{} could not be", bob.user_id))
        })
        .await?;
    alice.send_text(&room, "as before").await?;
    carol.wait_for_text(&dm, "as before").await?;
    carol.send(&dm, "between us").await?;
    alice.wait_for_text(&room, "between us").await?;
    let members = alice.joined_members(&room).await?;
    let mut expected = vec![alice.user_id.clone(), world.ghost("carol")];
    expected.sort();
    assert_eq!(members.into_keys().collect::<Vec<_>>(), expected);
    assert!(bob.invites().await?.is_empty());
    Ok(())
}

/// Whatever becomes of the room in which others were to come in.
#[tokio::test]
async fn a_direct_message_goes_on_when_its_room_was_lost_on_the_way() -> Result<()> {
    let world = world_with_general().await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    world.rocket_user("dave").await?;
    let (ghost_carol, ghost_dave) = (world.ghost("carol"), world.ghost("dave"));
    // In which the ghost has no power of its own.
    let room = alice
        .create_room(json!({
            "preset": "private_chat", "is_direct": true, "invite": [ghost_carol],
        }))
        .await?;
    alice.send_text(&room, "hi").await?;
    let dm = carol.wait_for_dm(&world.puppet("alice")).await?;
    carol.wait_for_text(&dm, "hi").await?;
    let control = world.rocketchat.control();
    control.set_permission("create-p", &["admin"]).await?;
    let creation = Rule::on("/api/v1/groups.create").times(1).delay(2000);
    control.add_rule(creation).await?;
    alice.invite(&room, &ghost_dave).await?;
    world
        .eventually("the group is asked for", async || {
            let asked = control.rules().await?[0]["hits"].as_u64();
            Ok((asked == Some(1)).then_some(()))
        })
        .await?;
    alice.kick(&room, &ghost_carol, "go").await?;
    carol.send(&dm, "are you there?").await?;
    let invite = alice
        .wait_for_invite("another room", |invite| invite.sender == ghost_carol)
        .await?;
    let other = alice.join(&invite.room_id).await?;
    alice.wait_for_text(&other, "are you there?").await?;
    alice.send_text(&other, "here").await?;
    carol.wait_for_text(&dm, "here").await?;
    Ok(())
}

/// More than a direct message may have get a private group.
#[tokio::test]
async fn more_people_than_a_direct_message_may_have_get_a_private_group() -> Result<()> {
    let Four {
        world,
        alice,
        bob,
        carol,
        dave,
    } = four().await?;
    world
        .rocket_admin()
        .set_setting("DirectMesssage_maxUsers", json!(3))
        .await?;
    let room = alice
        .create_direct(&[&world.ghost("carol"), &world.ghost("dave"), &bob.user_id])
        .await?;
    alice.send_text(&room, "many of us").await?;
    let group = carol.wait_for_group(&[]).await?;
    carol.wait_for_text(&group, "many of us").await?;
    dave.send(&group, "indeed").await?;
    alice.wait_for_text(&room, "indeed").await?;
    // Who is invited and has not come yet stays when members are compared: rights are
    // compared behind that.
    let control = world.rocketchat.control();
    control
        .add_rule(Rule::on("/api/v1/groups.roles").delay(0))
        .await?;
    world.bridge.kill_and_restart().await?;
    world
        .eventually("members are compared", async || {
            let asked = control.rules().await?[0]["hits"].as_u64();
            Ok(asked.is_some_and(|hits| hits > 0).then_some(()))
        })
        .await?;
    let members = carol.group_members(&group).await?;
    assert!(members.contains(&world.puppet("bob")), "{members:?}");
    let invites = bob.invites().await?;
    assert!(invites.iter().any(|invite| invite.room_id == room));
    bob.join(&room).await?;
    bob.send_text(&room, "me too").await?;
    dave.wait_for_text(&group, "me too").await?;
    Ok(())
}

/// Whoever begins first, nothing that was said is lost.
#[tokio::test]
async fn a_direct_message_that_both_sides_begin_at_once_is_one() -> Result<()> {
    let Four {
        world,
        alice,
        bob,
        carol,
        dave,
    } = four().await?.known().await?;
    let puppet = world.puppet("alice");
    let (ghost_carol, ghost_dave) = (world.ghost("carol"), world.ghost("dave"));
    for others in [&[][..], &[dave.username.as_str()][..]] {
        let mut names = vec![puppet.as_str()];
        names.extend(others);
        let mut ghosts = vec![ghost_carol.as_str()];
        if !others.is_empty() {
            ghosts.push(&ghost_dave);
        }
        let begun = tokio::sync::Notify::new();
        let (dm, room) = tokio::join!(
            async {
                let dm = carol.open_dm_with(&names).await?;
                carol.send(&dm, "hello alice").await?;
                if !others.is_empty() {
                    // Once somewhat earlier: a room is there that nobody has entered.
                    alice.wait_for_invite("carol's room", |_| true).await?;
                }
                begun.notify_one();
                Ok::<_, anyhow::Error>(dm)
            },
            async {
                if !others.is_empty() {
                    begun.notified().await;
                }
                let room = alice.create_direct(&ghosts).await?;
                alice.send_text(&room, "hello carol").await?;
                Ok::<_, anyhow::Error>(room)
            }
        );
        let (dm, room) = (dm?, room?);
        carol.wait_for_text(&dm, "hello carol").await?;
        alice.wait_for_text(&room, "hello alice").await?;
        carol.send(&dm, "and now?").await?;
        alice.wait_for_text(&room, "and now?").await?;
        let texts = alice.room_texts(&room).await?;
        let count = |text: &str| texts.iter().filter(|said| *said == text).count();
        assert_eq!(
            (count("hello alice"), count("and now?")),
            (1, 1),
            "{texts:?}"
        );
        world
            .eventually("no other invitation", async || {
                let invites = alice.invites().await?;
                Ok(invites.is_empty().then_some(()))
            })
            .await?;
    }
    drop(bob);
    Ok(())
}

#[tokio::test]
async fn the_command_dm_opens_direct_messages() -> Result<()> {
    let Four {
        world,
        alice,
        bob,
        carol,
        dave,
    } = four().await?.known().await?;
    let bot = world.matrix_bot()?.user_id;
    let desk = alice.create_direct(&[&bot]).await?;
    alice
        .wait_for_members(&desk, &[&alice.user_id, &bot])
        .await?;
    let ask = async |command: &str, part: &str| {
        let asked = alice.send_text(&desk, command).await?;
        alice
            .wait_for_message(&desk, part, |event| {
                event.in_reply_to() == Some(&asked) && event.body().contains(part)
            })
            .await
    };
    ask("dm carol", "you are invited there").await?;
    let ghost = world.ghost("carol");
    let invite = alice
        .wait_for_invite("the room", |invite| invite.sender == ghost)
        .await?;
    assert!(invite.is_direct);
    let room = alice.join(&invite.room_id).await?;
    alice.send_text(&room, "hello carol").await?;
    let dm = carol.wait_for_dm(&world.puppet("alice")).await?;
    carol.wait_for_text(&dm, "hello carol").await?;
    // Found again; invited again after leaving.
    let again = ask("dm @carol", "you are invited there").await?;
    assert!(again.body().contains(&room));
    alice.leave(&room).await?;
    ask("!rc dm carol", "you are invited there").await?;
    alice
        .wait_for_invite("back", |invite| invite.room_id == room)
        .await?;
    // With several.
    ask("dm carol dave", "carol, dave").await?;
    let both = alice
        .wait_for_invite("both", |invite| invite.room_id != room)
        .await?;
    let both = alice.join(&both.room_id).await?;
    alice.send_text(&both, "hello both").await?;
    let dm = dave
        .wait_for_dm_with(&["carol", &world.puppet("alice")])
        .await?;
    dave.wait_for_text(&dm, "hello both").await?;

    ask("dm", "With whom?").await?;
    ask("dm nobody", "nobody called nobody").await?;
    ask(&format!("dm {}", World::ROCKET_BOT), "the bridge itself").await?;
    ask(&format!("dm {}", world.puppet("alice")), "your own account").await?;
    ask(&format!("dm {}", world.puppet("bob")), &bob.user_id).await?;
    let erin = world.rocket_user("erin").await?;
    let active = json!({ "userId": erin.id, "activeStatus": false });
    world
        .rocket_admin()
        .post("users.setActiveStatus", active)
        .await?;
    ask("dm erin", "switched off").await?;
    ask("dm a b c", "nobody called").await?;
    ask("dm a b c d e f g h", "more people than").await?;
    Ok(())
}
