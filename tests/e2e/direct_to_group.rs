//! A direct message whose room becomes that of a private group: what was said before stays
//! where it was said, and nothing that was on its way is lost.

use anyhow::Result;
use testbed::Rule;

use crate::{Direct, in_direct};

#[tokio::test]
async fn what_was_said_before_the_group_stays_in_the_direct_message() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    let bob = world.matrix_user("bob").await?;
    let alice_there = world.puppet("alice");
    let hers = alice.send_text(&room, "between us").await?;
    let hers_there = carol.wait_for_text(&dm, "between us").await?.id;
    carol.send(&dm, "and from me").await?;
    let carols = alice.wait_for_text(&room, "and from me").await?.event_id;
    alice.invite(&room, &bob.user_id).await?;
    let group = carol.wait_for_group(&[]).await?;
    bob.join(&room).await?;

    // Neither a quote nor a thread leads back there.
    alice.reply(&room, &hers, "a reply to that").await?;
    let reply = carol
        .wait_for_message(&group, "the reply", |message| {
            message.text.ends_with("a reply to that")
        })
        .await?;
    assert!(reply.text.contains("not here"), "{}", reply.text);
    assert!(!reply.text.contains("http"), "{}", reply.text);
    bob.send_in_thread(&room, &hers, "in its thread").await?;
    let in_thread = carol
        .wait_for_message(&group, "what was said in the thread", |message| {
            message.text.ends_with("in its thread")
        })
        .await?;
    assert!(in_thread.text.contains("not here"), "{}", in_thread.text);
    assert_eq!(
        carol.room_texts(&dm).await?.len(),
        3,
        "nothing new is there"
    );

    // What happens to it happens there.
    let heart = alice.react(&room, &carols, "❤️").await?;
    let carols_there = carol.wait_for_text(&dm, "and from me").await?.id;
    carol
        .wait_for_reactions(&dm, &carols_there, &[(":heart:", &alice_there)])
        .await?;
    alice.redact(&room, &heart).await?;
    carol.wait_for_reactions(&dm, &carols_there, &[]).await?;
    alice.edit_text(&room, &hers, "between us two").await?;
    carol
        .wait_for_words(&dm, &hers_there, "between us two")
        .await?;
    alice.redact(&room, &hers).await?;
    carol.wait_until_gone(&dm, &hers_there).await
}

#[tokio::test]
async fn what_is_on_its_way_when_a_third_comes_reaches_those_it_was_for() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    let bob = world.matrix_user("bob").await?;
    carol.send(&dm, "first").await?;
    alice.wait_for_text(&room, "first").await?;
    // It waits for its file, and what stands behind it for that.
    world
        .rocketchat
        .control()
        .add_rule(Rule::on("/file-upload").status(503))
        .await?;
    carol
        .upload(&dm, "plan.txt", "text/plain", &[b'x'; 50_000], "")
        .await?;
    carol.send(&dm, "what do you think?").await?;
    alice.invite(&room, &bob.user_id).await?;
    carol.wait_for_group(&[]).await?;
    world.rocketchat.control().clear_rules().await?;
    let other = alice
        .wait_for_invite("the room for what is between the two", |invite| {
            invite.sender == world.ghost("carol")
        })
        .await?;
    let other = alice.join(&other.room_id).await?;
    alice.wait_for_text(&other, "what do you think?").await?;
    let arrived = alice.room_messages(&other).await?;
    let files = arrived.iter().filter(|event| event.body() == "plan.txt");
    assert_eq!(files.count(), 1, "the file once");
    bob.join(&room).await?;
    for event in bob.room_events(&room).await? {
        assert_ne!(event.body(), "what do you think?");
    }
    Ok(())
}
