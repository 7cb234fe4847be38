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
    let kept = std::fs::read_dir(world.sim.state().files.directory()).unwrap();
    assert_eq!(kept.count(), 0, "the bytes are gone, too");
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
    let world = world.restarted(options()).await;
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
    let kept = std::fs::read_dir(world.sim.state().files.directory()).unwrap();
    assert_eq!(kept.count(), 0);
}
