//! Commands about who is in a mirrored room, with which account they speak, and what of
//! theirs did not arrive.

use anyhow::{Context as _, Result, ensure};
use testbed::{MatrixUser, RocketUser, Rule, World};

use super::{Door, Scenario, Stage, has, membership_of, scenario};
use crate::membership::{wait_for_member, wait_for_membership};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!("invite", invite, invite_without_the_right),
    scenario!("kick", kick, kick_without_the_right),
    scenario!("ban", ban, ban_without_the_right),
    scenario!("unban", unban, unban_without_the_right),
    scenario!("relay", relay, relay_without_the_right),
    scenario!("failed", failed, failed_of_others),
    scenario!("resend", resend, resend_of_others),
];

/// Somebody of the other side, whom only one door is about.
enum Target {
    There(RocketUser),
    Here(MatrixUser),
}

impl Target {
    async fn of(stage: &Stage, door: Door) -> Result<Self> {
        Ok(match door {
            Door::Matrix => Self::There(stage.newcomer_there("erin", door).await?),
            _ => Self::Here(stage.newcomer("erin", door).await?),
        })
    }

    /// As a command names them.
    fn name(&self) -> &str {
        match self {
            Self::There(user) => &user.username,
            Self::Here(user) => &user.user_id,
        }
    }

    /// Their user on Matrix, and their name on Rocket.Chat.
    fn both(&self, world: &World) -> (String, String) {
        match self {
            Self::There(user) => (world.ghost(&user.username), user.username.clone()),
            Self::Here(user) => (user.user_id.clone(), world.puppet_of(&user.user_id)),
        }
    }

    /// Waits until they are, or are not, in the room on both sides.
    async fn wait(&self, stage: &Stage, membership: &str, is_member: bool) -> Result<()> {
        let (user, name) = self.both(&stage.world);
        wait_for_membership(&stage.alice, &stage.room, &user, membership).await?;
        let (world, carol, channel) = (&stage.world, &stage.carol, &stage.channel);
        wait_for_member(world, carol, channel, &name, is_member).await
    }

    /// They are where they are, whatever was asked.
    async fn still(&self, stage: &Stage, membership: &str, is_member: bool) -> Result<()> {
        let (user, name) = self.both(&stage.world);
        let now = membership_of(&stage.alice, &stage.room, &user).await?;
        ensure!(now == membership, "{now} instead of {membership}");
        let members = stage.carol.channel_members(&stage.channel).await?;
        ensure!(members.contains(&name) == is_member, "{members:?}");
        Ok(())
    }

    /// They come into the room by themselves.
    async fn come(&self, stage: &Stage) -> Result<()> {
        match self {
            Self::There(user) => drop(user.join_channel("general").await?),
            Self::Here(user) => drop(user.join(&stage.room).await?),
        }
        self.wait(stage, "join", true).await
    }
}

/// Gives a command about them, as those who may.
async fn by_owners(stage: &Stage, door: Door, words: &str) -> Result<String> {
    stage
        .in_channel(door, &stage.alice, &stage.carol, words)
        .await
}

/// The same, as those who may not.
async fn by_others(stage: &Stage, door: Door, words: &str) -> Result<String> {
    stage.in_channel(door, &stage.bob, &stage.dave, words).await
}

async fn invite(stage: &Stage, door: Door) -> Result<()> {
    let target = Target::of(stage, door).await?;
    let said = by_owners(stage, door, &format!("invite {}", target.name())).await?;
    match &target {
        Target::There(user) => {
            has(&said, &["is in the room on Rocket.Chat now"])?;
            user.wait_for_subscription("the channel", |room| room["rid"] == stage.channel.as_str())
                .await?;
        }
        Target::Here(user) => {
            has(&said, &["is invited"])?;
            let is_it = |invite: &testbed::Invite| invite.room_id == stage.room;
            user.wait_for_invite("the room", is_it).await?;
            user.join(&stage.room).await?;
        }
    }
    target.wait(stage, "join", true).await
}

async fn invite_without_the_right(stage: &Stage, door: Door) -> Result<()> {
    let target = Target::of(stage, door).await?;
    let words = format!("invite {}", target.name());
    // On Matrix everybody in the room may, on Rocket.Chat only who may add people.
    let said = by_others(stage, door, &words).await?;
    match door {
        Door::Matrix => ensure!(
            !said.contains("is in the room on Rocket.Chat now"),
            "{said}"
        ),
        _ => has(&said, &["may not"])?,
    }
    target.still(stage, "leave", false).await?;
    let said = by_owners(stage, door, "invite").await?;
    let example = match door {
        Door::Matrix => "`!rc invite carol`",
        Door::Text => "`!matrix invite @alice:example.org`",
        Door::App => "`/matrix invite @alice:example.org`",
    };
    has(&said, &["Whom?", example])
}

/// What they answer who has not the right to remove people.
fn no_right(door: Door) -> &'static str {
    match door {
        Door::Matrix => "not the power for that in the room on Matrix",
        _ => "may not remove people",
    }
}

async fn kick(stage: &Stage, door: Door) -> Result<()> {
    let target = Target::of(stage, door).await?;
    let words = format!("kick {} calm down", target.name());
    has(&by_owners(stage, door, &words).await?, &["is removed"])?;
    target.wait(stage, "leave", false).await
}

async fn kick_without_the_right(stage: &Stage, door: Door) -> Result<()> {
    let target = Target::of(stage, door).await?;
    let words = format!("kick {}", target.name());
    has(&by_others(stage, door, &words).await?, &[no_right(door)])?;
    target.still(stage, "join", true).await
}

async fn ban(stage: &Stage, door: Door) -> Result<()> {
    let target = Target::of(stage, door).await?;
    target.come(stage).await?;
    let words = format!("ban {} spam", target.name());
    has(&by_owners(stage, door, &words).await?, &["kept out"])?;
    target.wait(stage, "ban", false).await
}

async fn ban_without_the_right(stage: &Stage, door: Door) -> Result<()> {
    let target = Target::of(stage, door).await?;
    let words = format!("ban {}", target.name());
    has(&by_others(stage, door, &words).await?, &[no_right(door)])?;
    target.still(stage, "leave", false).await
}

async fn unban(stage: &Stage, door: Door) -> Result<()> {
    let target = Target::of(stage, door).await?;
    let words = format!("unban {}", target.name());
    has(&by_owners(stage, door, &words).await?, &["may come"])?;
    target.come(stage).await
}

async fn unban_without_the_right(stage: &Stage, door: Door) -> Result<()> {
    let target = Target::of(stage, door).await?;
    let words = format!("unban {}", target.name());
    has(&by_others(stage, door, &words).await?, &[no_right(door)])?;
    target.still(stage, "ban", false).await
}

/// Who says on Rocket.Chat what Bob writes.
async fn voice_of_bob(stage: &Stage, text: &str) -> Result<String> {
    stage.bob.send_text(&stage.room, text).await?;
    let said = stage.carol.wait_for_text(&stage.channel, text).await?;
    Ok(said.username)
}

async fn relay(stage: &Stage, door: Door) -> Result<()> {
    let said = by_owners(stage, door, "relay on").await?;
    has(&said, &["So it was set for this room"])?;
    let who = voice_of_bob(stage, &format!("relayed, {}", door.name())).await?;
    ensure!(who == World::ROCKET_BOT, "{who}");
    by_owners(stage, door, "relay default").await?;
    let who = voice_of_bob(stage, &format!("not relayed, {}", door.name())).await?;
    ensure!(who == stage.world.puppet("bob"), "{who}");
    Ok(())
}

async fn relay_without_the_right(stage: &Stage, door: Door) -> Result<()> {
    let said = by_others(stage, door, "relay on").await?;
    has(&said, &["for administrators", "owns the channel"])?;
    let who = voice_of_bob(stage, &format!("as ever, {}", door.name())).await?;
    ensure!(who == stage.world.puppet("bob"), "{who}");
    let said = by_owners(stage, door, "relay sideways").await?;
    has(&said, &["relay on`", "`off`"])
}

/// Something that did not arrive: what it was, and which way.
struct Lost {
    text: String,
    /// By what `failed` names it.
    id: String,
}

/// What is refused on the other side of a door.
fn words_of(door: Door, what: &str) -> String {
    match door {
        Door::Matrix => format!("raffle, {what}"),
        _ => format!("lottery, {what}, {}", door.name()),
    }
}

impl Lost {
    /// Bob says something that Rocket.Chat does not take, or Dave what the homeserver does
    /// not.
    async fn of(stage: &Stage, door: Door, what: &str) -> Result<Self> {
        let text = words_of(door, what);
        if door == Door::Matrix {
            let control = stage.world.rocketchat.control();
            let puppet = stage.world.puppet("bob");
            control.add_rule(Rule::as_if_muted(&puppet)).await?;
            let id = stage.bob.send_text(&stage.room, &text).await?;
            stage
                .bob
                .wait_for_message(&stage.room, "that it did not arrive", |event| {
                    event.msgtype() == "m.notice" && event.in_reply_to() == Some(&id)
                })
                .await?;
            return Ok(Self { text, id });
        }
        stage.world.synapse.refuse(&[("lottery", "M_TOO_LARGE")])?;
        let id = stage.dave.send(&stage.channel, &text).await?;
        stage
            .dave
            .wait_for_message(&stage.channel, "that it did not arrive", |message| {
                message.thread() == Some(&id) && message.text.contains("did not reach")
            })
            .await?;
        Ok(Self { text, id })
    }

    /// From now on everything is taken.
    async fn end(stage: &Stage, door: Door) -> Result<()> {
        match door {
            Door::Matrix => stage.world.rocketchat.control().clear_rules().await,
            _ => stage.world.synapse.refuse(&[]),
        }
    }

    /// Its number in the list of whoever said it.
    async fn number(&self, stage: &Stage, door: Door) -> Result<String> {
        let list = by_others(stage, door, "failed").await?;
        let line = list.lines().find(|line| line.contains(&self.id));
        let line = line.with_context(|| format!("no {} in {list:?}", self.id))?;
        let (number, _) = line.split_once(':').context("no number")?;
        Ok(number.to_owned())
    }

    async fn wait_until_there(&self, stage: &Stage, door: Door) -> Result<()> {
        match door {
            Door::Matrix => {
                let said = stage
                    .carol
                    .wait_for_text(&stage.channel, &self.text)
                    .await?;
                ensure!(said.username == stage.world.puppet("bob"));
            }
            _ => {
                let said = stage.alice.wait_for_text(&stage.room, &self.text).await?;
                ensure!(said.sender == stage.world.ghost("dave"));
            }
        }
        Ok(())
    }

    /// How often it has arrived.
    async fn count(&self, stage: &Stage, door: Door) -> Result<usize> {
        let texts = match door {
            Door::Matrix => stage.carol.room_texts(&stage.channel).await?,
            _ => stage.alice.room_texts(&stage.room).await?,
        };
        Ok(texts.iter().filter(|text| **text == self.text).count())
    }
}

async fn failed(stage: &Stage, door: Door) -> Result<()> {
    let lost = Lost::of(stage, door, "listed").await?;
    let list = by_others(stage, door, "failed").await?;
    has(&list, &[&lost.id])?;
    // What it said is in no list.
    ensure!(!list.contains("listed"), "{list}");
    Ok(())
}

async fn failed_of_others(stage: &Stage, door: Door) -> Result<()> {
    let lost = Lost::of(stage, door, "not yours").await?;
    let list = by_owners(stage, door, "failed").await?;
    has(&list, &["Nothing was given up"])?;
    stage.ruled_out(door, "failed").await?;
    ensure!(lost.count(stage, door).await? == 0);
    Ok(())
}

async fn resend(stage: &Stage, door: Door) -> Result<()> {
    let lost = Lost::of(stage, door, "again").await?;
    let number = lost.number(stage, door).await?;
    Lost::end(stage, door).await?;
    let said = by_others(stage, door, &format!("resend {number}")).await?;
    has(&said, &["Trying 1 message again"])?;
    lost.wait_until_there(stage, door).await?;
    // Twice is as once, and the rest with one word.
    let said = by_others(stage, door, &format!("resend {number}")).await?;
    has(&said, &["was given up", "failed`"])?;
    by_others(stage, door, "resend").await?;
    let earlier = words_of(door, "listed");
    match door {
        Door::Matrix => drop(stage.carol.wait_for_text(&stage.channel, &earlier).await?),
        _ => drop(stage.alice.wait_for_text(&stage.room, &earlier).await?),
    }
    ensure!(lost.count(stage, door).await? == 1, "it came twice");
    Ok(())
}

async fn resend_of_others(stage: &Stage, door: Door) -> Result<()> {
    let lost = Lost::of(stage, door, "not yours to send").await?;
    let number = lost.number(stage, door).await?;
    Lost::end(stage, door).await?;
    let said = by_owners(stage, door, &format!("resend {number}")).await?;
    has(&said, &["Nothing with the number", "failed` shows"])?;
    let said = by_owners(stage, door, "resend all").await?;
    has(&said, &["by its number", "failed` shows"])?;
    // It is still there for who said it, and has not arrived.
    ensure!(lost.number(stage, door).await? == number);
    ensure!(lost.count(stage, door).await? == 0);
    Ok(())
}
