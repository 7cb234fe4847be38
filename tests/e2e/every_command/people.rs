//! Commands about who somebody is, whom they find and to whom they write.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use testbed::{MatrixUser, RocketUser, World};

use super::{Door, Scenario, Stage, has, lacks, own_room, scenario};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!("help", help, help_of_who_may_not),
    scenario!("whoami", whoami, whoami_ruled_out),
    scenario!("status", status, status_ruled_out),
    scenario!("list", list, list_where_others_read),
    scenario!("search", search, search_from_afar),
    scenario!("dm", dm, dm_with_nobody),
    scenario!("login", login, login_with_a_wrong_code),
    scenario!("logout", logout, logout_of_nothing),
];

async fn help(stage: &Stage, door: Door) -> Result<()> {
    let said = stage
        .in_channel(door, &stage.alice, &stage.carol, "help")
        .await?;
    has(
        &said,
        &[
            "invite <", "kick <", "unban <", "unbridge", "relay [", "dm <", "login",
        ],
    )?;
    lacks(&said, &["join <"])?;
    let (how, example) = match door {
        Door::Matrix => ("help kick", "!rc kick carol please calm down"),
        Door::Text => (
            "help kick",
            "!matrix kick @alice:example.org please calm down",
        ),
        Door::App => (
            "help kick",
            "/matrix kick @alice:example.org please calm down",
        ),
    };
    let said = stage
        .in_channel(door, &stage.alice, &stage.carol, how)
        .await?;
    has(&said, &[example, "both sides"])?;
    if door == Door::Matrix {
        let said = stage.to_bot(&stage.boss, &stage.office, "help").await?;
        has(&said, &["join <", "leave [", "unbridge", "bridge <"])?;
        lacks(&said, &["kick <", "relay ["])?;
    }
    Ok(())
}

async fn help_of_who_may_not(stage: &Stage, door: Door) -> Result<()> {
    let said = stage
        .in_channel(door, &stage.bob, &stage.dave, "help")
        .await?;
    has(
        &said,
        &["dm <", "search <", "whoami", "login", "help <command>"],
    )?;
    lacks(
        &said,
        &[
            "kick <", "ban <", "unbridge", "relay [", "join <", "leave", "bridge <",
        ],
    )?;
    let said = stage
        .in_channel(door, &stage.bob, &stage.dave, "help serch")
        .await?;
    has(&said, &["There is no such command", "search`"])?;
    stage.ruled_out(door, "help").await
}

async fn whoami(stage: &Stage, door: Door) -> Result<()> {
    let said = stage
        .in_channel(door, &stage.bob, &stage.dave, "whoami")
        .await?;
    let other = match door {
        Door::Matrix => stage.world.puppet("bob"),
        _ => stage.world.ghost("dave"),
    };
    has(&said, &[&other])
}

async fn whoami_ruled_out(stage: &Stage, door: Door) -> Result<()> {
    stage.ruled_out(door, "whoami").await
}

async fn status(stage: &Stage, door: Door) -> Result<()> {
    let said = stage
        .in_channel(door, &stage.bob, &stage.dave, "status")
        .await?;
    let other = match door {
        Door::Matrix => "#general",
        _ => stage.room.as_str(),
    };
    has(&said, &[other, "Rocket.Chat can be reached"])?;
    // What is of the bridge is for those who run it.
    lacks(&said, &["were given up"])?;
    if door == Door::Matrix {
        let said = stage.to_bot(&stage.boss, &stage.office, "status").await?;
        has(&said, &["were given up", "direct messages are mirrored"])?;
    }
    Ok(())
}

async fn status_ruled_out(stage: &Stage, door: Door) -> Result<()> {
    stage.ruled_out(door, "status").await
}

async fn list(stage: &Stage, door: Door) -> Result<()> {
    let said = match door {
        Door::Matrix => {
            let own = own_room(&stage.world, &stage.bob).await?;
            stage.to_bot(&stage.bob, &own, "list").await?
        }
        _ => stage.to_bot_there(door, &stage.dave, "list").await?,
    };
    has(&said, &["#general", &stage.room])
}

async fn list_where_others_read(stage: &Stage, door: Door) -> Result<()> {
    match door {
        Door::Matrix => {
            let said = stage.on_matrix(&stage.bob, &stage.room, "list").await?;
            has(&said, &["for you alone", "a room of our own"])
        }
        _ => stage.ruled_out(door, "list").await,
    }
}

async fn search(stage: &Stage, door: Door) -> Result<()> {
    if door == Door::Matrix {
        let said = stage
            .on_matrix(&stage.bob, &stage.room, "search dav")
            .await?;
        return has(&said, &[&stage.world.ghost("dave"), "dm <username>"]);
    }
    // The homeserver writes its directory a while after somebody came into a room.
    stage
        .world
        .eventually("Alice to be in the directory", async || {
            let asked = json!({ "search_term": "ali" });
            let path = "/_matrix/client/v3/user_directory/search";
            let found = stage.bob.request("POST", path, Some(&asked)).await?;
            let is_there = found.body.to_string().contains(&stage.alice.user_id);
            Ok(is_there.then_some(()))
        })
        .await?;
    let said = stage.to_bot_there(door, &stage.dave, "search ali").await?;
    has(&said, &[&stage.alice.user_id, "dm <@user:server>"])
}

/// Who is here is not for the whole federation to read.
async fn search_from_afar(stage: &Stage, door: Door) -> Result<()> {
    if door != Door::Matrix {
        return stage.ruled_out(door, "search ali").await;
    }
    let far = stage.world.other_user(stage.world.other()?, "far").await?;
    let own = own_room(&stage.world, &far).await?;
    let said = stage.to_bot(&far, &own, "search dav").await?;
    has(&said, &["not for other homeservers", "`dm carol`"])?;
    lacks(&said, &["_rocketchat_", "dave"])?;
    let help = stage.to_bot(&far, &own, "help").await?;
    lacks(&help, &["search"])
}

async fn dm(stage: &Stage, door: Door) -> Result<()> {
    let world = &stage.world;
    let text = format!("a word in private, {}", door.name());
    if door == Door::Matrix {
        let said = stage.on_matrix(&stage.bob, &stage.room, "dm dave").await?;
        has(&said, &["Your direct message with", "matrix.to"])?;
        let ghost = world.ghost("dave");
        let invite = stage
            .bob
            .wait_for_invite("the direct message", |invite| invite.sender == ghost)
            .await?;
        let room = stage.bob.join(&invite.room_id).await?;
        stage.bob.send_text(&room, &text).await?;
        let dm = stage.dave.wait_for_dm(&world.puppet("bob")).await?;
        stage.dave.wait_for_text(&dm, &text).await?;
        return Ok(());
    }
    let friend = stage.newcomer("friend", door).await?;
    let words = format!("dm {}", friend.user_id);
    let said = stage
        .there(door, &stage.dave, &stage.channel, &words)
        .await?;
    has(&said, &["Your direct message with", "/direct/"])?;
    let invite = friend.wait_for_invite("the room", |_| true).await?;
    let room = friend.join(&invite.room_id).await?;
    let puppet = world.puppet_of(&friend.user_id);
    let dm = stage.dave.wait_for_dm(&puppet).await?;
    stage.dave.send(&dm, &text).await?;
    friend.wait_for_text(&room, &text).await?;
    Ok(())
}

async fn dm_with_nobody(stage: &Stage, door: Door) -> Result<()> {
    let world = &stage.world;
    if door == Door::Matrix {
        let said = stage.on_matrix(&stage.bob, &stage.room, "dm nemo").await?;
        has(
            &said,
            &["There is nobody called nemo", "Give the user name"],
        )?;
        ensure!(stage.bob.invites().await?.is_empty());
        return Ok(());
    }
    let said = stage
        .there(door, &stage.dave, &stage.channel, "dm nemo")
        .await?;
    has(
        &said,
        &["`nemo` is no full Matrix id", "`@alice:example.org`"],
    )?;
    // Who may not begin direct messages does not by the bridge.
    let control = world.rocketchat.control();
    control
        .set_permission("create-d", &["admin", "bot"])
        .await?;
    let friend = stage.newcomer("friend", door).await?;
    let words = format!("dm {}", friend.user_id);
    let said = stage
        .there(door, &stage.dave, &stage.channel, &words)
        .await?;
    has(&said, &["may not begin direct messages"])?;
    control
        .set_permission("create-d", &["admin", "user", "bot", "app"])
        .await?;
    ensure!(friend.invites().await?.is_empty());
    let puppet = world.puppet_of(&friend.user_id);
    ensure!(stage.dave.find_user(&puppet).await?.is_none());
    Ok(())
}

/// One person with an account on each side, and their room with the bot on Matrix.
struct Twice {
    here: MatrixUser,
    there: RocketUser,
    own: String,
}

impl Twice {
    async fn of(stage: &Stage, door: Door) -> Result<Self> {
        let here = stage.newcomer("lena", door).await?;
        let there = stage.newcomer_there("lena", door).await?;
        let own = own_room(&stage.world, &here).await?;
        Ok(Self { here, there, own })
    }

    /// Gives a command through the door, or through one of the other side.
    async fn ask(&self, stage: &Stage, door: Door, words: &str) -> Result<String> {
        match door {
            Door::Matrix => stage.to_bot(&self.here, &self.own, words).await,
            _ => stage.to_bot_there(door, &self.there, words).await,
        }
    }

    /// What they write on Matrix is said on Rocket.Chat with this account.
    async fn speaks_as(&self, stage: &Stage, text: &str, account: &str) -> Result<()> {
        self.here.send_text(&stage.room, text).await?;
        let said = stage.carol.wait_for_text(&stage.channel, text).await?;
        ensure!(
            said.username == account,
            "{} instead of {account}",
            said.username
        );
        Ok(())
    }
}

async fn login(stage: &Stage, door: Door) -> Result<()> {
    let lena = Twice::of(stage, door).await?;
    lena.there.join_channel("general").await?;
    lena.here.join(&stage.room).await?;
    // Asked for on the one side and entered on the other.
    let first = match door {
        Door::Matrix => Door::Text,
        _ => Door::Matrix,
    };
    let given = lena.ask(stage, first, "login").await?;
    let code = given
        .split(|c: char| c.is_whitespace() || c == '`')
        .find(|word| word.len() == 14 && word.matches('-').count() == 2)
        .with_context(|| format!("no code in {given:?}"))?;
    let shown = lena.ask(stage, door, &format!("login {code}")).await?;
    has(&shown, &["--confirm"])?;
    let done = lena
        .ask(stage, door, &format!("login {code} --confirm"))
        .await?;
    has(&done, &["are now one person"])?;
    let text = format!("as myself, {}", door.name());
    lena.speaks_as(stage, &text, &lena.there.username).await
}

async fn login_with_a_wrong_code(stage: &Stage, door: Door) -> Result<()> {
    let said = match door {
        Door::Matrix => {
            let own = own_room(&stage.world, &stage.bob).await?;
            stage
                .to_bot(&stage.bob, &own, "login ABCD-EFGH-JKLM")
                .await?
        }
        _ => {
            stage
                .to_bot_there(door, &stage.dave, "login ABCD-EFGH-JKLM")
                .await?
        }
    };
    has(
        &said,
        &["There is no such code", "`login` on the other side"],
    )
}

async fn logout(stage: &Stage, door: Door) -> Result<()> {
    let lena = Twice {
        here: stage.newcomer("lena", door).await?,
        there: stage.newcomer_there("lena", door).await?,
        own: match door {
            Door::Matrix => own_room(&stage.world, &stage.newcomer("lena", door).await?).await?,
            _ => String::new(),
        },
    };
    let said = lena.ask(stage, door, "logout").await?;
    has(&said, &["no longer"])?;
    let puppet = stage.world.puppet_of(&lena.here.user_id);
    let text = format!("as my puppet, {}", door.name());
    lena.speaks_as(stage, &text, &puppet).await
}

async fn logout_of_nothing(stage: &Stage, door: Door) -> Result<()> {
    let said = match door {
        Door::Matrix => {
            let own = own_room(&stage.world, &stage.bob).await?;
            stage.to_bot(&stage.bob, &own, "logout").await?
        }
        _ => stage.to_bot_there(door, &stage.dave, "logout").await?,
    };
    has(&said, &["linked to none"])?;
    // He is who he was.
    let text = format!("still bob, {}", door.name());
    stage.bob.send_text(&stage.room, &text).await?;
    let said = stage.carol.wait_for_text(&stage.channel, &text).await?;
    ensure!(said.username == stage.world.puppet("bob"));
    ensure!(said.username != World::ROCKET_BOT);
    Ok(())
}
