//! What becomes of messages in a direct message: only the puppet hears of it, and
//! nobody has rights over the other.

use anyhow::Result;

use crate::{Direct, in_direct};

#[tokio::test]
async fn edits_answers_reactions_and_deletions_go_both_ways_in_a_direct_message() -> Result<()> {
    let Direct {
        world,
        alice,
        carol,
        room,
        dm,
    } = in_direct().await?;
    let (ghost, puppet) = (world.ghost("carol"), world.puppet("alice"));
    let hers = alice.send_text(&room, "word of alice").await?;
    let hers_there = carol.wait_for_text(&dm, "word of alice").await?.id;
    let other = carol.send(&dm, "word of carol").await?;
    let other_here = alice.wait_for_text(&room, "word of carol").await?.event_id;

    for round in ["now", "after a restart", "while away"] {
        match round {
            "after a restart" => world.bridge.kill_and_restart().await?,
            "while away" => drop(world.bridge.stop().await?),
            _ => {}
        }
        let (his_words, her_words) = (format!("carol {round}"), format!("alice {round}"));
        alice.edit_text(&room, &hers, &her_words).await?;
        carol.edit(&dm, &other, &his_words).await?;
        let reaction = alice.react(&room, &other_here, "🎉").await?;
        carol.react(&hers_there, ":heart:", true).await?;
        let (answer, answer_there) = (format!("to carol {round}"), format!("to alice {round}"));
        alice.reply(&room, &other_here, &answer).await?;
        carol.quote(&dm, &[&hers_there], &answer_there).await?;
        let (thread, thread_there) = (
            format!("beneath carol {round}"),
            format!("beneath alice {round}"),
        );
        alice.send_in_thread(&room, &other_here, &thread).await?;
        carol
            .send_in_thread(&dm, &hers_there, &thread_there)
            .await?;
        if round == "while away" {
            world.bridge.start()?;
            world.bridge.ready().await?;
        }

        carol.wait_for_words(&dm, &hers_there, &her_words).await?;
        alice.wait_for_shown(&room, &other_here, &his_words).await?;
        carol
            .wait_for_reactions(&dm, &other, &[(":tada:", &puppet)])
            .await?;
        alice
            .wait_for_reactions(&room, &hers, &[(&ghost, "❤️")])
            .await?;
        let found = carol
            .wait_for_message(&dm, &answer, |message| message.text.ends_with(&answer))
            .await?;
        assert_eq!(found.quotes(), [other.as_str()]);
        let found = alice.wait_for_text(&room, &answer_there).await?;
        assert_eq!(found.in_reply_to(), Some(hers.as_str()));
        let found = carol.wait_for_text(&dm, &thread).await?;
        assert_eq!(found.thread(), Some(other.as_str()));
        let found = alice.wait_for_text(&room, &thread_there).await?;
        assert_eq!(found.relation(), Some(("m.thread", hers.as_str())));
        alice.redact(&room, &reaction).await?;
        carol.react(&hers_there, ":heart:", false).await?;
        carol.wait_for_reactions(&dm, &other, &[]).await?;
        alice.wait_for_reactions(&room, &hers, &[]).await?;
    }

    // Each takes away their own; not the other's, and is told so.
    alice.redact(&room, &other_here).await?;
    alice
        .wait_for_message(&room, "why not", |event| {
            event
                .body()
                .contains("nobody can delete what the other wrote")
        })
        .await?;
    let last = carol.send(&dm, "last of carol").await?;
    let last_here = alice.wait_for_text(&room, "last of carol").await?.event_id;
    alice.redact(&room, &hers).await?;
    carol.delete(&dm, &last).await?;
    carol.wait_until_gone(&dm, &hers_there).await?;
    let gone = alice.wait_for_redaction(&room, &last_here).await?;
    assert_eq!(gone.redacted_by(), Some(ghost.as_str()));

    // Across a restart, and while the bridge is away.
    for is_away in [false, true] {
        let hers = alice.send_text(&room, "too much").await?;
        let hers_there = carol.wait_for_text(&dm, "too much").await?.id;
        let other = carol.send(&dm, "too much too").await?;
        let other_here = alice
            .wait_until(&room, "too much too", |events| {
                let mut left = events.iter().filter(|event| !event.is_redacted());
                let found = left.find(|event| event.body() == "too much too");
                found.map(|event| event.event_id.clone())
            })
            .await?;
        world.bridge.stop().await?;
        if !is_away {
            world.bridge.restart().await?;
        }
        alice.redact(&room, &hers).await?;
        carol.delete(&dm, &other).await?;
        if is_away {
            world.bridge.restart().await?;
        }
        carol.wait_until_gone(&dm, &hers_there).await?;
        alice.wait_for_redaction(&room, &other_here).await?;
    }
    Ok(())
}
