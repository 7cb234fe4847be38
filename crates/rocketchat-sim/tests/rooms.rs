//! What the recordings do not show of rooms: codes, names in lists, teams by their main room, the
//! server's own federation, and fixtures made at once.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/people.rs"]
mod people;

use people::World;
use rocketchat_sim::Options;
use serde_json::{Value, json};

fn options() -> Options {
    Options {
        admin_password: "pw".to_owned(),
        control_token: Some("control".to_owned()),
        ..Options::default()
    }
}

fn id(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_join_code_is_asked_for_and_shown_to_nobody() {
    let world = World::start(options()).await;
    let set = json!({ "rid": world.rid, "joinCode": "sesame" });
    assert_eq!(
        world.alice.post("rooms.saveRoomSettings", &set).await.0,
        200
    );
    let (_, shown) = world
        .alice
        .get(&format!("channels.info?roomId={}", world.rid))
        .await;
    assert_eq!(shown["channel"]["joinCodeRequired"], true);
    assert!(!shown.to_string().contains("sesame"));
    let mut order = json!({ "roomId": world.rid });
    let (_, refused) = world.carol.post("channels.join", &order).await;
    assert_eq!(refused["errorType"], "error-code-required");
    order["joinCode"] = json!("open");
    let (_, refused) = world.carol.post("channels.join", &order).await;
    assert_eq!(refused["errorType"], "error-code-invalid");
    order["joinCode"] = json!("sesame");
    assert_eq!(world.carol.post("channels.join", &order).await.0, 200);
}

#[tokio::test]
async fn a_renamed_user_is_renamed_in_the_lists_of_direct_rooms() {
    let world = World::start(options()).await;
    let (_, made) = world
        .alice
        .post("im.create", &json!({ "usernames": "bob,carol" }))
        .await;
    let rid = id(&made["room"]["rid"]);
    let (_, again) = world
        .carol
        .post("im.create", &json!({ "usernames": "alice,bob" }))
        .await;
    assert_eq!(again["room"]["rid"], rid.as_str());
    let data = json!({ "data": { "username": "robert" } });
    let (status, answer) = world.bob.post("users.updateOwnBasicInfo", &data).await;
    assert_eq!(status, 200, "{answer}");
    let (_, sub) = world
        .alice
        .get(&format!("subscriptions.getOne?roomId={rid}"))
        .await;
    assert_eq!(sub["subscription"]["name"], "robert, carol");
    let (_, room) = world.alice.get(&format!("rooms.info?roomId={rid}")).await;
    assert_eq!(
        room["room"]["usernames"],
        json!(["alice", "robert", "carol"])
    );
}

#[tokio::test]
async fn the_main_room_of_a_team_decides_who_is_in_it() {
    let world = World::start(options()).await;
    let (_, made) = world
        .alice
        .post("teams.create", &json!({ "name": "crew", "type": 0 }))
        .await;
    let (team, main) = (id(&made["team"]["_id"]), id(&made["team"]["roomId"]));
    let order = json!({ "roomId": main });
    assert_eq!(world.carol.post("channels.join", &order).await.0, 200);
    let path = format!("teams.members?teamId={team}");
    let (_, members) = world.alice.get(&path).await;
    assert_eq!(members["total"], 2);
    let order = json!({ "roomId": main, "userId": world.carol.uid });
    assert_eq!(world.alice.post("channels.kick", &order).await.0, 200);
    let (_, members) = world.alice.get(&path).await;
    assert_eq!(members["total"], 1);
    let order = json!({ "teamId": team, "userId": world.bob.uid, "members": [] });
    let (status, refused) = world.bob.post("teams.addMembers", &order).await;
    assert_eq!((status, &refused["error"]), (403, &json!("unauthorized")));
    let (_, refused) = world.alice.post("teams.leave", &order).await;
    assert_eq!(refused["error"], "last-owner-can-not-be-removed");
}

#[tokio::test]
async fn the_own_federation_is_marked_and_guarded() {
    let world = World::start(options()).await;
    let order = json!({ "names": ["zoe:remote.example"], "federated": true });
    let zoe = id(&world.control("users", &order).await["users"][0]);
    let (_, shown) = world.admin.get(&format!("users.info?userId={zoe}")).await;
    assert_eq!(shown["user"]["federated"], true);
    let order = json!({ "userId": zoe, "activeStatus": false });
    let (_, refused) = world.admin.post("users.setActiveStatus", &order).await;
    assert_eq!(refused["errorType"], "error-user-is-federated");
    let order = json!({ "room": world.rid, "federated": true });
    world.control("federated", &order).await;
    let (_, sub) = world
        .bob
        .get(&format!("subscriptions.getOne?roomId={}", world.rid))
        .await;
    assert_eq!(sub["subscription"]["federated"], true);
    let room = json!({ "roomId": world.rid, "readOnly": true, "userId": world.bob.uid });
    let (_, refused) = world.alice.post("channels.addModerator", &room).await;
    assert_eq!(
        refused["error"],
        "Federation configuration is invalid,unable to change room owners"
    );
    let (_, refused) = world.alice.post("channels.setReadOnly", &room).await;
    assert_eq!(refused["errorType"], "error-not-allowed");
    let (_, refused) = world.alice.post("rooms.delete", &room).await;
    assert_eq!(refused["errorType"], "error-cannot-delete-federated-room");
}

#[tokio::test]
async fn many_people_and_rooms_are_made_by_one_order_each_and_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        data: Some(directory.path().to_owned()),
        ..options()
    };
    let world = World::start(options.clone()).await;
    let order = json!({ "prefix": "member", "count": 300 });
    let made = world.control("users", &order).await;
    assert_eq!(made["users"].as_array().unwrap().len(), 300);
    let order = json!({
        "names": ["crowd"], "prefix": "many", "count": 50, "owner": "alice",
        "members": ["bob"], "members_like": "member", "topic": "of many",
    });
    let rooms = world.control("rooms", &order).await;
    assert_eq!(rooms["rooms"].as_array().unwrap().len(), 51);
    let team = json!({ "name": "crew", "type": 1 });
    assert_eq!(world.alice.post("teams.create", &team).await.0, 200);
    let code = json!({ "rid": world.rid, "joinCode": "sesame" });
    world.alice.post("rooms.saveRoomSettings", &code).await;
    let world = world.restarted(options).await;
    let (_, info) = world.bob.get("channels.info?roomName=crowd").await;
    assert_eq!(info["channel"]["usersCount"], 302);
    assert_eq!(info["channel"]["topic"], "of many");
    let (_, page) = world
        .bob
        .get("channels.members?roomName=crowd&count=100&offset=250")
        .await;
    assert_eq!(page["total"], 302);
    assert_eq!(page["members"].as_array().unwrap().len(), 52);
    let (_, teams) = world.admin.get("teams.listAll").await;
    assert_eq!(teams["total"], 1);
    let join = json!({ "roomId": world.rid });
    let (_, refused) = world.carol.post("channels.join", &join).await;
    assert_eq!(refused["errorType"], "error-code-required");
}
