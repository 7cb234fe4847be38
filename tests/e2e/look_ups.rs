//! Finding people and channels of Rocket.Chat from Matrix, and the names of ghosts and
//! rooms that do not exist yet.

use anyhow::Result;
use serde_json::{Value, json};
use testbed::{MatrixUser, World};

use crate::world_with_general;

/// Asks the homeserver as a client does.
async fn look_up(user: &MatrixUser, what: &str) -> Result<Value> {
    let path = format!("/_matrix/client/v3/thirdparty/{what}");
    Ok(user.request("GET", &path, None).await?.body)
}

fn all<'a>(found: &'a Value, key: &str) -> Vec<&'a str> {
    let rows = found.as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter().filter_map(|row| row[key].as_str()).collect()
}

/// Asks the bridge as the homeserver does.
async fn ask(world: &World, what: &str) -> Result<(u16, Value)> {
    let path = format!("/_matrix/app/v1/thirdparty/{what}");
    let answer = world
        .bridge
        .request_as_homeserver("GET", &path, None)
        .await?;
    Ok((answer.status, answer.body))
}

#[tokio::test]
async fn people_and_channels_are_found_and_nothing_is_made_by_looking() -> Result<()> {
    let world = world_with_general().await?;
    let alice = world.matrix_user("alice").await?;
    let carol = world.rocket_user("carol").await?;
    world.rocket_user("caroline").await?;
    carol.create_channel("cooking", &[]).await?;
    carol.create_group("coven", &[]).await?;

    let protocols = look_up(&alice, "protocols").await?;
    let instance = &protocols["rocketchat"]["instances"][0];
    assert_eq!(instance["network_id"], "rocketchat", "{protocols}");
    let field = &protocols["rocketchat"]["field_types"]["username"];
    assert!(field["regexp"].is_string() && field["placeholder"].is_string());

    let found = look_up(&alice, "user/rocketchat?username=carol").await?;
    let ghosts = [world.ghost("carol"), world.ghost("caroline")];
    assert_eq!(all(&found, "userid"), ghosts, "{found}");
    let found = look_up(&alice, "user/rocketchat?username=%40CAROLI").await?;
    assert_eq!(all(&found, "userid"), [world.ghost("caroline")]);
    let found = look_up(&alice, "location/rocketchat?channel=cooking").await?;
    assert_eq!(all(&found, "alias"), [world.alias("cooking")], "{found}");
    let found = look_up(&alice, "location/rocketchat?channel=%23co").await?;
    assert_eq!(all(&found, "alias"), [world.alias("cooking")], "no groups");
    let found = look_up(&alice, "location/rocketchat?channel=coven").await?;
    assert!(all(&found, "alias").is_empty(), "{found}");
    for ghost in &ghosts {
        assert_eq!(alice.profile(ghost).await.ok(), None, "nobody was made");
    }
    let cooking = alice.resolve_alias("#nothing:localhost").await?;
    assert!(cooking.is_none());

    // What was found can be used.
    let room = alice.create_direct(&[&ghosts[0]]).await?;
    alice.send_text(&room, "found you").await?;
    let dm = carol.wait_for_dm(&world.puppet("alice")).await?;
    carol.wait_for_text(&dm, "found you").await?;
    alice.join(&world.alias("cooking")).await?;

    // Ids on Matrix have no capitals; names on Rocket.Chat may.
    let erika = world.rocket_user("Erika.M").await?;
    erika.create_channel("Plans-2027", &[]).await?;
    let found = look_up(&alice, "user/rocketchat?username=erika.m").await?;
    assert_eq!(all(&found, "userid"), [world.ghost("erika.m")], "{found}");
    let room = alice.create_direct(&[&world.ghost("erika.m")]).await?;
    alice.send_text(&room, "with a capital").await?;
    let dm = erika.wait_for_dm(&world.puppet("alice")).await?;
    erika.wait_for_text(&dm, "with a capital").await?;
    let found = look_up(&alice, "location/rocketchat?channel=plans").await?;
    assert_eq!(all(&found, "alias"), [world.alias("plans-2027")], "{found}");
    alice.join(&world.alias("plans-2027")).await?;
    // Also when the bridge's account is in it.
    erika
        .create_channel("gardening", &[World::ROCKET_BOT])
        .await?;
    let found = look_up(&alice, "location/rocketchat?channel=garden").await?;
    assert_eq!(all(&found, "alias"), [world.alias("gardening")], "{found}");

    // Nor are puppets and the bridge's own account people to be found.
    for name in [world.puppet("alice"), World::ROCKET_BOT.to_owned()] {
        let found = look_up(&alice, &format!("user/rocketchat?username={name}")).await?;
        assert!(all(&found, "userid").is_empty(), "{found}");
    }
    Ok(())
}

#[tokio::test]
async fn questions_by_matrix_id_and_hostile_ones_are_answered() -> Result<()> {
    let world = world_with_general().await?;
    let carol = world.rocket_user("carol").await?;
    let gone = world.rocket_user("gone").await?;
    let admin = world.rocket_admin();
    let off = json!({ "userId": gone.id, "activeStatus": false });
    admin.post("users.setActiveStatus", off).await?;

    let (status, found) = ask(&world, &format!("user?userid={}", world.ghost("carol"))).await?;
    assert_eq!(status, 200);
    assert_eq!(found[0]["fields"]["username"], carol.username);
    let alias = world.alias("general").replace('#', "%23");
    let (status, found) = ask(&world, &format!("location?alias={alias}")).await?;
    assert_eq!(status, 200);
    assert_eq!(found[0]["fields"]["channel"], "general");

    let long = "x".repeat(2_000);
    for nothing in [
        format!("user?userid={}", world.ghost("nobody")),
        format!("user?userid={}", world.ghost("gone")),
        format!("user?userid={}", world.user_id("alice")),
        "user?userid=nonsense".to_owned(),
        "user".to_owned(),
        "user/rocketchat".to_owned(),
        "user/rocketchat?username=".to_owned(),
        "user/rocketchat?username=gone".to_owned(),
        format!("user/rocketchat?username={long}"),
        "user/rocketchat?username=a%00b".to_owned(),
        "user/rocketchat?username=%7B%22%24ne%22%3Anull%7D".to_owned(),
        "user/irc?username=carol".to_owned(),
        "location?alias=%23_rocketchat_general:elsewhere.org".to_owned(),
        "location?alias=nonsense".to_owned(),
        "location/rocketchat?channel=%2E%2E%2F".to_owned(),
        "location/irc?channel=general".to_owned(),
        "protocol/irc".to_owned(),
    ] {
        let (status, body) = ask(&world, &nothing).await?;
        assert_eq!(
            (status, &body["errcode"]),
            (404, &json!("M_NOT_FOUND")),
            "{nothing}"
        );
    }
    let stranger = world
        .bridge
        .get("/_matrix/app/v1/thirdparty/user/rocketchat?username=carol")
        .await?;
    assert_eq!(stranger.status, 401);
    Ok(())
}
