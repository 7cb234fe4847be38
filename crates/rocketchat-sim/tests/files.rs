//! Files: uploading, downloading, what the messages say, and what goes when.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/people.rs"]
mod people;
#[path = "support/samples.rs"]
mod samples;

use people::{Person, World};
use rocketchat_sim::{Options, VersionProfile};
use serde_json::{Value, json};

async fn uploaded(who: &Person, rid: &str, name: &str, kind: &str, bytes: Vec<u8>) -> String {
    let (status, answer) = who
        .form(&format!("rooms.media/{rid}"), name, kind, bytes, &[])
        .await;
    assert_eq!(status, 200, "{answer}");
    answer["file"]["_id"].as_str().unwrap().to_owned()
}

/// How many files lie in the simulator's directory, pictures of people aside.
fn stored(world: &World) -> usize {
    let directory = world.sim.state().files.directory().to_owned();
    std::fs::read_dir(directory)
        .unwrap()
        .map(|one| one.unwrap().file_name())
        .filter(|name| !name.to_str().unwrap().starts_with("avatar-"))
        .count()
}

async fn confirmed(who: &Person, rid: &str, file: &str, body: Value) -> Value {
    let path = format!("rooms.mediaConfirm/{rid}/{file}");
    let (status, answer) = who.post(&path, &body).await;
    assert_eq!(status, 200, "{answer}");
    answer["message"].clone()
}

#[tokio::test]
async fn a_file_arrives_as_it_left() {
    let world = World::start(Options::default()).await;
    let (alice, rid) = (&world.alice, world.rid.as_str());
    let bytes = samples::noise(7, 300_000);
    let file = uploaded(
        alice,
        rid,
        "data.bin",
        "application/octet-stream",
        bytes.clone(),
    )
    .await;
    let message = confirmed(alice, rid, &file, json!({ "msg": "see" })).await;
    assert_eq!(message["file"]["size"], 300_000);
    let link = message["attachments"][0]["title_link"].as_str().unwrap();
    let (status, headers, got) = world.bob.fetch(link).await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-length"], "300000");
    assert!(got == bytes);
    assert_eq!(world.carol.fetch(link).await.0, 403, "no member");

    let body = json!({ "roomId": rid, "msgId": message["_id"] });
    assert_eq!(alice.post("chat.delete", &body).await.0, 200);
    let (status, _, got) = world.bob.fetch(link).await;
    assert_eq!((status, got.len()), (404, 0));
    assert_eq!(stored(&world), 0, "the bytes are gone, too");
}

#[tokio::test]
async fn a_large_picture_has_a_thumbnail_of_its_own() {
    let world = World::start(Options::default()).await;
    let (alice, rid) = (&world.alice, world.rid.as_str());
    let bytes = samples::png(800, 600);
    let file = uploaded(alice, rid, "big.png", "image/png", bytes.clone()).await;
    let message = confirmed(alice, rid, &file, json!({})).await;
    let attachment = &message["attachments"][0];
    assert_eq!(
        attachment["image_dimensions"],
        json!({ "width": 480, "height": 360 })
    );
    assert_eq!(attachment["image_size"], bytes.len());
    let small = attachment["image_url"].as_str().unwrap();
    assert_ne!(small, attachment["title_link"].as_str().unwrap());
    let (status, headers, thumbnail) = alice.fetch(small).await;
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (200, "image/png")
    );
    assert_eq!(message["files"][1]["size"], thumbnail.len());
    assert_eq!(message["files"][1]["name"], "thumb-big.png");
    let (_, _, whole) = alice
        .fetch(attachment["title_link"].as_str().unwrap())
        .await;
    assert!(whole == bytes);
}

#[tokio::test]
async fn a_second_confirmation_posts_again_and_shows_the_first_message() {
    let world = World::start(Options::default()).await;
    let (alice, rid) = (&world.alice, world.rid.as_str());
    let file = uploaded(alice, rid, "a.txt", "text/plain", b"text".to_vec()).await;
    let first = confirmed(alice, rid, &file, json!({ "msg": "one" })).await;
    let second = confirmed(alice, rid, &file, json!({ "msg": "two" })).await;
    assert_eq!(first["_id"], second["_id"]);
    assert_eq!(world.sim.state().messages.inserted(rid).len(), 2);
}

#[tokio::test]
async fn files_survive_a_crash_and_unconfirmed_ones_expire() {
    let directory = tempfile::tempdir().unwrap();
    let options = || Options {
        data: Some(directory.path().to_owned()),
        ..Options::default()
    };
    let world = World::start(options()).await;
    let (alice, rid) = (&world.alice, world.rid.as_str());
    let kept = uploaded(alice, rid, "kept.txt", "text/plain", b"kept".to_vec()).await;
    confirmed(alice, rid, &kept, json!({})).await;
    let waiting = uploaded(alice, rid, "waits.txt", "text/plain", b"waits".to_vec()).await;
    std::fs::write(directory.path().join("files/.tmpHalf"), b"half").unwrap();
    let world = world.restarted(options()).await;
    assert_eq!(stored(&world), 2, "half an upload is swept away");
    for (file, text) in [(&kept, "kept"), (&waiting, "waits")] {
        let (status, _, got) = world.alice.fetch(&format!("/file-upload/{file}/x")).await;
        assert_eq!((status, got.as_slice()), (200, text.as_bytes()));
    }
    let day = 24 * 3_600_000;
    let now = rocketchat_sim::time::now_ms();
    assert_eq!(world.sim.state().expire_files(now + day), 1);
    let status = |file: &str| {
        let path = format!("/file-upload/{file}/x");
        let alice = world.alice.clone();
        async move { alice.fetch(&path).await.0 }
    };
    assert_eq!(status(&kept).await, 200);
    assert_eq!(status(&waiting).await, 404);
}

#[tokio::test]
async fn versions_differ_in_how_files_come() {
    for (profile, one_step, two_steps) in [
        (VersionProfile::V6_9, 200, 405),
        (VersionProfile::V6_14, 200, 200),
        (VersionProfile::V7_7, 200, 200),
        (VersionProfile::V8_0, 405, 200),
    ] {
        let world = World::start(Options {
            profile,
            create_tokens_secret: Some("secret".to_owned()),
            ..Options::default()
        })
        .await;
        for (path, expected) in [("rooms.upload", one_step), ("rooms.media", two_steps)] {
            let path = format!("{path}/{}", world.rid);
            let bytes = b"text".to_vec();
            let form = world.alice.form(&path, "a.txt", "text/plain", bytes, &[]);
            assert_eq!(form.await.0, expected, "{profile:?} {path}");
        }
    }
}

#[tokio::test]
async fn what_is_no_picture_is_refused_and_leaves_nothing() {
    let world = World::start(Options::default()).await;
    let path = format!("rooms.media/{}", world.rid);
    for (name, kind, bytes, error) in [
        (
            "x.png",
            "image/png",
            b"no picture here".to_vec(),
            "Error: Input file contains unsupported image format [ufs: cannot upload file]",
        ),
        (
            "x.svg",
            "image/svg+xml",
            b"<svg/>".to_vec(),
            "File type is not accepted. [error-invalid-file-type]",
        ),
        (
            "x.txt",
            "text/plain",
            Vec::new(),
            "File size (size = 0) is too small (min = 1) [file-too-small]",
        ),
        ("", "text/plain", b"x".to_vec(), "[No file uploaded]"),
    ] {
        let (status, answer) = world.alice.form(&path, name, kind, bytes, &[]).await;
        assert_eq!((status, answer["error"].as_str()), (400, Some(error)));
    }
    assert_eq!(stored(&world), 0);
}

/// Fetches a picture with cookies, as nothing else counts for them.
async fn avatar(who: &Person, path: &str) -> (String, String, Vec<u8>) {
    let cookie = format!("rc_uid={}; rc_token={}", who.uid, who.token);
    let request = who.request("GET", path).header("cookie", cookie);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let header = |name: &str| {
        let value = response.headers().get(name).cloned();
        value.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
    };
    let (kind, changed) = (header("content-type"), header("last-modified"));
    (kind, changed, response.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn pictures_of_people_come_and_go() {
    let world = World::start(Options::default()).await;
    let (alice, bob) = (&world.alice, &world.bob);
    let (kind, changed, _) = avatar(bob, "/avatar/alice").await;
    assert_eq!(kind, "image/svg+xml");
    assert_eq!(changed, "Thu, 01 Jan 2015 00:00:00 GMT");
    let png = samples::png(300, 120);
    let (status, answer) = alice
        .form("users.setAvatar", "a.png", "image/png", png, &[])
        .await;
    assert_eq!(status, 200, "{answer}");
    let (kind, changed, bytes) = avatar(bob, "/avatar/alice").await;
    assert_eq!(kind, "image/png");
    assert_ne!(changed, "Thu, 01 Jan 2015 00:00:00 GMT");
    let picture = image::load_from_memory(&bytes).unwrap();
    assert_eq!((picture.width(), picture.height()), (200, 200));
    let since = format!("/avatar/alice?rc_uid={}&rc_token={}", bob.uid, bob.token);
    let request = bob.request("GET", &since);
    let request = request.header("if-modified-since", changed.as_str());
    assert_eq!(request.send().await.unwrap().status(), 304);
    let (_, headers, _) = bob.fetch("/avatar/alice").await;
    assert_eq!(
        headers["content-type"], "image/svg+xml",
        "headers are not looked at"
    );
    let info = bob.get("users.info?username=alice").await.1;
    assert!(info["user"]["avatarETag"].is_string());
    // A new name takes the picture along.
    let rename = json!({ "data": { "username": "alicia" } });
    assert_eq!(alice.post("users.updateOwnBasicInfo", &rename).await.0, 200);
    assert_eq!(avatar(bob, "/avatar/alicia").await.0, "image/png");
    assert_eq!(avatar(bob, "/avatar/alice").await.0, "image/svg+xml");

    let bytes = samples::jpeg(10, 10);
    let others = [("userId", alice.uid.as_str())];
    let refused = bob.form("users.setAvatar", "b.jpg", "image/jpeg", bytes, &others);
    assert_eq!(refused.await.0, 400, "not somebody else's");
    let body = json!({ "userId": alice.uid });
    assert_eq!(bob.post("users.resetAvatar", &body).await.0, 400);
    assert_eq!(alice.post("users.resetAvatar", &body).await.0, 200);
    assert_eq!(avatar(bob, "/avatar/alicia").await.0, "image/svg+xml");
    let info = bob.get("users.info?username=alicia").await.1;
    assert!(info["user"].get("avatarETag").is_none());
}

#[tokio::test]
async fn pictures_of_rooms_survive_a_crash() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let directory = tempfile::tempdir().unwrap();
    let options = || Options {
        data: Some(directory.path().to_owned()),
        ..Options::default()
    };
    let world = World::start(options()).await;
    let path = format!("/avatar/room/{}", world.rid);
    let uri = format!(
        "data:image/png;base64,{}",
        STANDARD.encode(samples::png(60, 40))
    );
    let set = json!({ "rid": world.rid, "roomAvatar": uri });
    assert_eq!(world.bob.post("rooms.saveRoomSettings", &set).await.0, 400);
    assert_eq!(
        world.alice.post("rooms.saveRoomSettings", &set).await.0,
        200
    );
    let world = world.restarted(options()).await;
    assert_eq!(avatar(&world.bob, &path).await.0, "image/png");
    let reset = json!({ "rid": world.rid, "roomAvatar": "" });
    assert_eq!(
        world.alice.post("rooms.saveRoomSettings", &reset).await.0,
        200
    );
    assert_eq!(avatar(&world.bob, &path).await.0, "image/svg+xml");
    let state = world.sim.state();
    let told: Vec<&str> = state
        .messages
        .inserted(&world.rid)
        .iter()
        .map(|one| one.kind())
        .filter(|kind| *kind == "room_changed_avatar")
        .collect();
    assert_eq!(told.len(), 2);
}

async fn rule(world: &World, path: &str, action: Value) {
    let when = json!({ "path": path, "times": 1 });
    let order = json!({ "match": when, "action": action });
    let answer = world.control("rules", &order).await;
    assert_eq!(answer["rules"], 1, "{answer}");
}

async fn no_more_rules(world: &World) {
    let request = world.alice.request("DELETE", "/_sim/rules");
    let answer = request.header(rocketchat_sim::control::HEADER, "control");
    assert_eq!(answer.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn transfers_break_on_request() {
    let world = World::start(Options::default()).await;
    let (alice, rid) = (&world.alice, world.rid.as_str());
    let bytes = samples::noise(1, 500_000);

    rule(
        &world,
        "/api/v1/rooms.media",
        json!({ "cut_upload": { "after": 200_000 } }),
    )
    .await;
    let (kind, body) = people::multipart("file", "a.bin", "application/x", &bytes, &[]);
    let send = || {
        let request = alice.request("POST", &format!("/api/v1/rooms.media/{rid}"));
        request
            .header("content-type", &kind)
            .body(body.clone())
            .send()
    };
    assert!(send().await.is_err(), "the connection is cut");
    assert_eq!(stored(&world), 0, "half a file is none");
    no_more_rules(&world).await;

    let stall = json!({ "stall_upload": { "after": 100_000, "ms": 300 } });
    rule(&world, "/api/v1/rooms.media", stall).await;
    let began = std::time::Instant::now();
    let answer = send().await.unwrap();
    assert!(began.elapsed().as_millis() >= 300);
    let answer: Value = answer.json().await.unwrap();
    let link = answer["file"]["url"].as_str().unwrap().to_owned();
    no_more_rules(&world).await;

    rule(
        &world,
        "/file-upload/",
        json!({ "cut_download": { "after": 1000 } }),
    )
    .await;
    let response = alice.request("GET", &link).send().await.unwrap();
    assert_eq!(response.headers()["content-length"], "500000");
    assert!(response.bytes().await.is_err(), "it ends too early");
    no_more_rules(&world).await;

    let stall = json!({ "stall_download": { "after": 1000, "ms": 300 } });
    rule(&world, "/file-upload/", stall).await;
    let began = std::time::Instant::now();
    assert!(
        alice.fetch(&link).await.2 == bytes,
        "nothing is lost by waiting"
    );
    assert!(began.elapsed().as_millis() >= 300);
    no_more_rules(&world).await;

    rule(
        &world,
        "/file-upload/",
        json!({ "shorten_download": { "to": 1000 } }),
    )
    .await;
    assert!(alice.fetch(&link).await.2 == bytes[..1000]);
    no_more_rules(&world).await;

    let too_many = json!({ "status": { "status": 429 } });
    rule(&world, "/api/v1/rooms.media", too_many).await;
    assert_eq!(send().await.unwrap().status(), 429);
    assert_eq!(send().await.unwrap().status(), 200);
}
