//! Commands that connect rooms of the two sides, and bring the bot into rooms.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{Door, Scenario, Stage, bare, has, lacks, membership_of, scenario};
use crate::membership::{wait_for_member, wait_for_membership, wait_for_notice};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!("bridge", bridge, bridge_without_the_right),
    scenario!("approve", approve, approve_without_the_right),
    scenario!("unbridge", unbridge, unbridge_without_the_right),
    scenario!("reject", reject, reject_without_the_right),
    scenario!("join", join, join_without_the_right),
    scenario!("leave", leave, leave_without_the_right),
];

/// A room of Alice's with Bob and the bot in it, and a channel of Carol's with Dave.
struct Pair {
    name: String,
    hall: String,
    rid: String,
}

impl Pair {
    /// Those of a door that are for `what`: made at first, the same afterwards.
    async fn of(stage: &Stage, door: Door, what: &str) -> Result<Self> {
        let name = format!("{what}-{}", door.name());
        let alias = format!("#{name}:{}", stage.world.synapse.server_name());
        if let Some(hall) = stage.alice.resolve_alias(&alias).await? {
            let rid = stage.carol.channel_id(&name).await?;
            return Ok(Self { name, hall, rid });
        }
        let rid = stage.carol.create_channel(&name, &["dave"]).await?;
        let bot = stage.world.user_id("rocketchatbot");
        let hall = stage
            .alice
            .create_room(json!({
                "preset": "public_chat",
                "room_version": "11",
                "room_alias_name": name,
                "name": format!("The hall of {name}"),
                "creation_content": { "m.federate": false },
                "power_level_content_override": { "users": {
                    (stage.alice.user_id.as_str()): 100, (bot.as_str()): 50,
                } },
            }))
            .await?;
        stage.bob.join(&hall).await?;
        stage.alice.invite(&hall, &bot).await?;
        wait_for_notice(&stage.alice, &hall, "I am the bridge to Rocket.Chat").await?;
        Ok(Self { name, hall, rid })
    }

    /// Gives a command in the room of the door's side, as who administers it.
    async fn by_owner(&self, stage: &Stage, door: Door, words: &str) -> Result<String> {
        match door {
            Door::Matrix => stage.on_matrix(&stage.alice, &self.hall, words).await,
            _ => stage.there(door, &stage.carol, &self.rid, words).await,
        }
    }

    /// The same, as who is only in it.
    async fn by_member(&self, stage: &Stage, door: Door, words: &str) -> Result<String> {
        match door {
            Door::Matrix => stage.on_matrix(&stage.bob, &self.hall, words).await,
            _ => stage.there(door, &stage.dave, &self.rid, words).await,
        }
    }

    /// The command that proposes to join both, through a door.
    fn proposal(&self, door: Door) -> String {
        match door {
            Door::Matrix => format!("bridge {}", self.name),
            _ => format!("bridge {}", self.hall),
        }
    }

    /// The code of the notice in the room of the side to which a door leads.
    async fn code_for(&self, stage: &Stage, door: Door) -> Result<String> {
        let notice = match door {
            Door::Matrix => {
                let part = "proposes to join";
                let notice = wait_for_notice(&stage.alice, &self.hall, part).await?;
                notice.body().to_owned()
            }
            _ => {
                let notice = stage
                    .carol
                    .wait_for_message(&self.rid, "the proposal", |message| {
                        message.text.contains("proposes to join")
                    })
                    .await?;
                bare(&notice.text)
            }
        };
        let (_, rest) = notice.split_once("approve ").context("no code")?;
        Ok(rest
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect())
    }

    /// Proposes to join both from the other side than the door's; the code for that.
    async fn proposed(&self, stage: &Stage, door: Door) -> Result<String> {
        let from = match door {
            Door::Matrix => Door::Text,
            _ => Door::Matrix,
        };
        let said = self.by_owner(stage, from, &self.proposal(from)).await?;
        has(&said, &["Proposed"])?;
        self.code_for(stage, door).await
    }

    /// Nobody of one hears the other: what is said last is there alone.
    async fn are_apart(&self, stage: &Stage, word: &str) -> Result<()> {
        stage.alice.send_text(&self.hall, word).await?;
        stage.carol.send(&self.rid, word).await?;
        // What is heard after it, in a room where both are heard.
        let marker = format!("after {word}");
        stage.alice.send_text(&stage.room, &marker).await?;
        stage.carol.wait_for_text(&stage.channel, &marker).await?;
        stage.carol.send(&stage.channel, &marker).await?;
        stage
            .alice
            .wait_for_message(&stage.room, "the marker", |event| {
                event.body() == marker && event.sender != stage.alice.user_id
            })
            .await?;
        let here = stage.alice.room_texts(&self.hall).await?;
        let there = stage.carol.room_texts(&self.rid).await?;
        for texts in [here, there] {
            let said = texts.iter().filter(|text| *text == word).count();
            ensure!(said == 1, "{texts:?}");
        }
        Ok(())
    }
}

async fn bridge(stage: &Stage, door: Door) -> Result<()> {
    let pair = Pair::of(stage, door, "bridge").await?;
    let proposal = pair.proposal(door);
    let dry = format!("{proposal} --dry-run");
    has(
        &pair.by_owner(stage, door, &dry).await?,
        &["Nothing was done"],
    )?;
    has(&pair.by_owner(stage, door, &proposal).await?, &["Proposed"])?;
    // Those of the other side are asked, in their room.
    let other = match door {
        Door::Matrix => Door::Text,
        _ => Door::Matrix,
    };
    let code = pair.code_for(stage, other).await?;
    ensure!(code.len() == 10, "{code}");
    if door == Door::Matrix {
        // A new room, for who administers the bridge.
        let rid = stage.carol.create_channel("attic", &[]).await?;
        let said = stage
            .to_bot(&stage.boss, &stage.office, "bridge attic")
            .await?;
        has(&said, &["#attic is mirrored"])?;
        let room = stage.boss.join(&stage.world.alias("attic")).await?;
        stage.boss.send_text(&room, "dusty").await?;
        stage.carol.wait_for_text(&rid, "dusty").await?;
    }
    Ok(())
}

async fn bridge_without_the_right(stage: &Stage, door: Door) -> Result<()> {
    let pair = Pair::of(stage, door, "bridge").await?;
    let said = pair.by_member(stage, door, &pair.proposal(door)).await?;
    match door {
        Door::Matrix => has(&said, &["whoever may change the power levels"])?,
        _ => has(&said, &["for owners of this room"])?,
    }
    let said = pair.by_owner(stage, door, "bridge").await?;
    match door {
        Door::Matrix => has(&said, &["Which channel?", "`!rc bridge general`"])?,
        _ => has(&said, &["name its alias (`#room:example.org`)"])?,
    }
    pair.are_apart(stage, "nobody proposed").await?;
    let texts = stage.carol.room_texts(&pair.rid).await?;
    ensure!(
        !texts.iter().any(|text| text.contains("proposes")),
        "{texts:?}"
    );
    Ok(())
}

async fn approve(stage: &Stage, door: Door) -> Result<()> {
    let pair = Pair::of(stage, door, "approve").await?;
    let code = pair.code_for(stage, door).await?;
    let said = pair
        .by_owner(stage, door, &format!("approve {code}"))
        .await?;
    has(&said, &["Approved"])?;
    let joined = format!("is joined with {}", pair.name);
    wait_for_notice(&stage.alice, &pair.hall, &joined).await?;
    stage.bob.send_text(&pair.hall, "from the hall").await?;
    stage.dave.wait_for_text(&pair.rid, "from the hall").await?;
    stage.dave.send(&pair.rid, "from the channel").await?;
    stage
        .bob
        .wait_for_text(&pair.hall, "from the channel")
        .await?;
    match door {
        Door::Matrix => deleting_takes_own_rights(stage, &pair).await,
        _ => Ok(()),
    }
}

/// Who moderates the room on Matrix deletes nothing in the channel that it was joined with,
/// unless they may there; who moderates the channel deletes in both.
async fn deleting_takes_own_rights(stage: &Stage, pair: &Pair) -> Result<()> {
    let of_dave = stage.dave.send(&pair.rid, "Dave's own").await?;
    let here = stage.alice.wait_for_text(&pair.hall, "Dave's own").await?;
    let redaction = stage.alice.redact(&pair.hall, &here.event_id).await?;
    stage
        .alice
        .wait_for_message(&pair.hall, "that it is still there", |event| {
            event.msgtype() == "m.notice" && event.in_reply_to() == Some(&redaction)
        })
        .await?;
    let there = stage.carol.room_messages(&pair.rid).await?;
    ensure!(
        there.iter().any(|message| message.id == of_dave),
        "{there:?}"
    );
    let of_bob = stage.bob.send_text(&pair.hall, "Bob's own").await?;
    let there = stage.carol.wait_for_text(&pair.rid, "Bob's own").await?;
    stage.carol.delete(&pair.rid, &there.id).await?;
    stage.alice.wait_for_redaction(&pair.hall, &of_bob).await?;
    Ok(())
}

async fn approve_without_the_right(stage: &Stage, door: Door) -> Result<()> {
    let pair = Pair::of(stage, door, "approve").await?;
    let code = pair.proposed(stage, door).await?;
    let said = pair
        .by_member(stage, door, &format!("approve {code}"))
        .await?;
    match door {
        Door::Matrix => has(&said, &["whoever may change the power levels"])?,
        _ => has(&said, &["for owners of the room"])?,
    }
    let said = pair.by_owner(stage, door, "approve").await?;
    has(&said, &["Its code stands in the notice"])?;
    pair.are_apart(stage, "nobody approved").await
}

async fn unbridge(stage: &Stage, door: Door) -> Result<()> {
    let pair = Pair::of(stage, door, "approve").await?;
    let said = pair.by_owner(stage, door, "unbridge").await?;
    has(&said, &["are no longer joined"])?;
    let bot = stage.world.user_id("rocketchatbot");
    wait_for_membership(&stage.alice, &pair.hall, &bot, "leave").await?;
    let puppet = stage.world.puppet("bob");
    wait_for_member(&stage.world, &stage.carol, &pair.rid, &puppet, false).await?;
    pair.are_apart(stage, "no longer heard").await
}

async fn unbridge_without_the_right(stage: &Stage, door: Door) -> Result<()> {
    let pair = Pair::of(stage, door, "approve").await?;
    let said = pair.by_member(stage, door, "unbridge").await?;
    has(
        &said,
        &["That is for whoever administers one of the two rooms"],
    )?;
    stage.bob.send_text(&pair.hall, "still heard").await?;
    stage.dave.wait_for_text(&pair.rid, "still heard").await?;
    // Nor what is somewhere else.
    let said = pair.by_member(stage, door, "unbridge general").await?;
    has(&said, &["others end a channel in its own room"])
}

async fn reject(stage: &Stage, door: Door) -> Result<()> {
    let pair = Pair::of(stage, door, "reject").await?;
    let code = pair.code_for(stage, door).await?;
    let said = pair
        .by_owner(stage, door, &format!("reject {code}"))
        .await?;
    has(&said, &["Declined"])?;
    // Who proposed it is told, in their room.
    match door {
        Door::Matrix => {
            stage
                .carol
                .wait_for_message(&pair.rid, "the no", |message| {
                    message.text.contains("declined")
                })
                .await?;
        }
        _ => drop(wait_for_notice(&stage.alice, &pair.hall, "declined").await?),
    }
    let said = pair.by_owner(stage, door, &format!("approve {code}")).await;
    // On Matrix the bot may have left the room that it was only asked about.
    if door != Door::Matrix {
        has(&said?, &["That was declined already"])?;
    }
    pair.are_apart(stage, "it was declined").await
}

async fn reject_without_the_right(stage: &Stage, door: Door) -> Result<()> {
    let pair = Pair::of(stage, door, "reject").await?;
    let code = pair.proposed(stage, door).await?;
    let said = pair
        .by_member(stage, door, &format!("reject {code}"))
        .await?;
    match door {
        Door::Matrix => has(&said, &["whoever may change the power levels"])?,
        _ => has(&said, &["for owners of the room"])?,
    }
    let said = pair.by_owner(stage, door, "reject").await?;
    has(&said, &["Its code stands in the notice"])
}

/// A room on Matrix that the bot is to enter through a door.
async fn lobby(stage: &Stage, door: Door) -> Result<(String, String)> {
    let name = format!("lobby-{}", door.name());
    let alias = format!("#{name}:{}", stage.world.synapse.server_name());
    if let Some(room) = stage.alice.resolve_alias(&alias).await? {
        return Ok((room, alias));
    }
    let options = json!({ "preset": "public_chat", "room_alias_name": name });
    Ok((stage.alice.create_room(options).await?, alias))
}

/// Gives a command as somebody who may send the bot about.
async fn by_administrator(stage: &Stage, door: Door, words: &str) -> Result<String> {
    match door {
        Door::Matrix => stage.to_bot(&stage.boss, &stage.office, words).await,
        _ => {
            let administrator = stage.world.rocket_admin();
            stage.to_bot_there(door, administrator, words).await
        }
    }
}

async fn join(stage: &Stage, door: Door) -> Result<()> {
    let (room, alias) = lobby(stage, door).await?;
    let said = by_administrator(stage, door, &format!("join {alias}")).await?;
    has(&said, &["I am on my way into"])?;
    let bot = stage.world.user_id("rocketchatbot");
    wait_for_membership(&stage.alice, &room, &bot, "join").await?;
    // Whoever asked is told when it is done, and what comes next.
    let next = match door {
        Door::Matrix => "`!rc bridge <channel>`".to_owned(),
        _ => format!("`!matrix bridge {alias}`"),
    };
    let told = format!("I am in {alias} now");
    let said = match door {
        Door::Matrix => {
            let said = wait_for_notice(&stage.boss, &stage.office, &told).await?;
            said.body().to_owned()
        }
        _ => {
            let administrator = stage.world.rocket_admin();
            let desk = stage.desk(administrator).await?;
            let said = administrator
                .wait_for_message(&desk, "that it is inside", |message| {
                    bare(&message.text).contains(&told)
                })
                .await?;
            bare(&said.text)
        }
    };
    has(&said, &[&next])
}

async fn join_without_the_right(stage: &Stage, door: Door) -> Result<()> {
    let (room, alias) = lobby(stage, door).await?;
    let said = stage
        .in_channel(door, &stage.alice, &stage.carol, &format!("join {alias}"))
        .await?;
    has(
        &said,
        &[
            "Only administrators",
            "`bridge.admins`",
            "those of the server",
        ],
    )?;
    let bot = stage.world.user_id("rocketchatbot");
    ensure!(membership_of(&stage.alice, &room, &bot).await? == "leave");
    let said = by_administrator(stage, door, "join lobby").await?;
    has(&said, &["That is no room", "`#room:example.org`"])
}

async fn leave(stage: &Stage, door: Door) -> Result<()> {
    let (room, alias) = lobby(stage, door).await?;
    let said = by_administrator(stage, door, &format!("leave {alias}")).await?;
    has(&said, &["I have left"])?;
    let bot = stage.world.user_id("rocketchatbot");
    wait_for_membership(&stage.alice, &room, &bot, "leave").await?;
    Ok(())
}

async fn leave_without_the_right(stage: &Stage, door: Door) -> Result<()> {
    let (room, alias) = lobby(stage, door).await?;
    let said = stage
        .in_channel(door, &stage.alice, &stage.carol, &format!("leave {alias}"))
        .await?;
    has(&said, &["Only administrators"])?;
    lacks(&said, &["I have left"])?;
    let bot = stage.world.user_id("rocketchatbot");
    ensure!(membership_of(&stage.alice, &room, &bot).await? == "join");
    // A mirrored room is not left: that would end it for everybody.
    let said = by_administrator(stage, door, &format!("leave {}", stage.room)).await?;
    lacks(&said, &["I have left"])?;
    ensure!(membership_of(&stage.alice, &stage.room, &bot).await? == "join");
    Ok(())
}
