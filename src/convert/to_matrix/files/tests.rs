#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use ruma::mxc_uri;
use serde_json::json;

use super::super::say;
use super::super::testing::{Town, parse};
use super::*;

fn message(more: Value) -> Message {
    let mut document = json!({
        "_id": "m", "rid": "r", "msg": "", "ts": "2026-01-01T00:00:00.000Z",
        "u": { "_id": "u", "username": "alice" },
    });
    for (key, value) in more.as_object().unwrap() {
        document[key] = value.clone();
    }
    serde_json::from_value(document).unwrap()
}

/// As Rocket.Chat 6.14 was recorded to store it.
fn picture() -> Value {
    json!({
        "msg": "look *here*",
        "file": { "_id": "big", "name": "big.png", "type": "image/png", "size": 362_661 },
        "files": [
            { "_id": "big", "name": "big.png", "type": "image/png", "size": 362_661 },
            { "_id": "small", "name": "thumb-big.png", "type": "image/png", "size": 484_503 },
        ],
        "attachments": [{
            "ts": "1970-01-01T00:00:00.000Z", "title": "big.png",
            "title_link": "/file-upload/big/big.png", "title_link_download": true,
            "image_dimensions": { "width": 480, "height": 360 }, "image_preview": "/9j/2wBD",
            "image_url": "/file-upload/small/big.png", "image_type": "image/heif",
            "image_size": 362_661, "type": "file", "description": "of *mine*",
        }],
    })
}

fn ids(more: Value) -> Vec<String> {
    let files = files_of(&message(more));
    files.into_iter().map(|file| file.id).collect()
}

#[test]
fn the_original_is_the_file_and_not_its_thumbnail() {
    let message = message(picture());
    let files = files_of(&message);
    assert_eq!(
        files,
        [AttachedFile {
            id: "big".into(),
            name: "big.png".into(),
            claimed_type: Some("image/png".into()),
            claimed_size: Some(362_661),
            thumbnail: Some(Thumbnail {
                id: "small".into(),
                dimensions: Some(Dimensions {
                    width: 480,
                    height: 360
                }),
            }),
            preview: Some("/9j/2wBD".into()),
            attachment: Some(0),
            is_main: true,
        }]
    );
    let said = say(&message, &[], &Town, &parse, &[], &files);
    assert_eq!(said.body, "look **here**", "the file is not named again");
    let caption = files[0].caption(&message, &Town, &parse);
    assert_eq!(caption.body, "of **mine**");
}

#[test]
fn several_files_keep_their_order_and_come_once_each() {
    let file = |id: &str| {
        json!({
            "type": "file", "title": id, "title_link": format!("/file-upload/{id}/x"),
        })
    };
    let card = json!({ "title": "Card", "text": "words" });
    let quote = json!({
        "message_link": "https://c.org/?msg=q", "text": "said", "attachments": [file("quoted")],
        "title_link": "/file-upload/quoted/x",
    });
    let both = json!({ "attachments": [file("b"), card, quote, file("a"), file("b")] });
    assert_eq!(ids(both.clone()), ["b", "a"]);
    let message = message(both);
    let files = files_of(&message);
    let said = say(&message, &[], &Town, &parse, &[], &files);
    // What has no event of its own is named in words: the second mention too.
    assert_eq!(said.body, "**Card**\nwords\n[file: b]");
}

#[test]
fn what_only_looks_like_a_quote_is_not_dropped() {
    for link in ["https://c.org/channel/x", "/channel/x?msg=q", ""] {
        let message = message(json!({ "attachments": [{
            "message_link": link, "text": "words", "type": "file",
            "title": "x", "title_link": "/file-upload/abc/x",
        }, { "message_link": link, "text": "more" }] }));
        let files = files_of(&message);
        assert_eq!(files.len(), 1, "{link}");
        let said = say(&message, &[], &Town, &parse, &[], &files);
        assert_eq!(said.body, "more", "{link}");
        let caption = files[0].caption(&message, &Town, &parse);
        assert_eq!(caption.body, "words", "{link}");
    }
}

#[test]
fn only_uploads_of_the_server_itself_are_files() {
    let with = |key: &str, address: &str| {
        let mut attachment = json!({ "type": "file", "title": "x.png" });
        attachment[key] = address.into();
        ids(json!({ "attachments": [attachment] }))
    };
    for key in ["title_link", "image_url", "audio_url", "video_url"] {
        assert_eq!(with(key, "/file-upload/Ab3-_/x.png"), ["Ab3-_"], "{key}");
    }
    for address in [
        "https://evil.example.org/file-upload/abc/x.png",
        "//evil.example.org/file-upload/abc/x",
        "http://127.0.0.1/file-upload/abc/x",
        "file-upload/abc/x",
        "/file-upload/abc",
        "/file-upload//x",
        "/file-upload/../x",
        "/file-upload/a%2fb/x",
        "/file-upload/a b/x",
        "/file-upload/a?b/x",
        "/avatar/abc/x",
        "data:image/png;base64,AAAA",
        "",
    ] {
        assert!(with("title_link", address).is_empty(), "{address}");
        assert!(with("image_url", address).is_empty(), "{address}");
    }
    let long = format!("/file-upload/{}/x", "a".repeat(65));
    assert!(with("title_link", &long).is_empty());
}

#[test]
fn what_is_only_listed_counts_until_an_edit() {
    let listed = json!([
        { "_id": "one", "name": "../a.pdf", "type": "application/pdf", "size": 3 },
        { "_id": "t", "name": "thumb-a.pdf" },
        { "_id": "not/an id", "name": "b" },
    ]);
    assert_eq!(ids(json!({ "files": listed })), ["one"]);
    let edited = json!({ "files": listed, "editedAt": "2026-01-01T00:00:00.000Z" });
    assert!(ids(edited).is_empty(), "taken out");
    assert!(ids(json!({ "files": listed, "attachments": [{ "text": "x" }] })).is_empty());
    let file = files_of(&message(json!({ "files": listed }))).remove(0);
    assert_eq!(file.name, "a.pdf");
}

#[test]
fn there_is_a_bound_and_those_beyond_are_named() {
    let many: Vec<Value> = (0..200)
        .map(|n| json!({ "type": "file", "title": format!("f{n}"), "title_link": format!("/file-upload/id{n}/x") }))
        .collect();
    let message = message(json!({ "attachments": many }));
    let files = files_of(&message);
    assert_eq!(files.len(), MOST_FILES);
    let said = say(&message, &[], &Town, &parse, &[], &files);
    assert!(said.body.starts_with("[file: f50]\n"), "{}", said.body);
    assert!(said.body.ends_with("\n[file: f199]"));
}

fn one(name: &str) -> AttachedFile {
    let file = json!({ "_id": "f", "name": name, "type": "text/html", "size": 5 });
    files_of(&message(json!({ "files": [file] }))).remove(0)
}

fn on_matrix(media_type: &str) -> OnMatrix<'_> {
    OnMatrix {
        url: mxc_uri!("mxc://example.org/abc"),
        media_type,
        size: 7,
        dimensions: None,
        duration: None,
        blurhash: None,
        thumbnail: None,
    }
}

#[test]
fn the_kind_of_event_follows_from_what_the_file_is() {
    let table = [
        ("image/png", "m.image"),
        ("audio/ogg", "m.audio"),
        ("video/mp4", "m.video"),
        ("application/pdf", "m.file"),
        ("image/svg+xml", "m.file"),
        ("text/html", "m.file"),
        ("application/octet-stream", "m.file"),
    ];
    for (media_type, msgtype) in table {
        let content = event_of(&one("a.bin"), &on_matrix(media_type));
        assert_eq!(content["msgtype"], msgtype, "{media_type}");
        assert_eq!(content["info"]["mimetype"], media_type);
        assert_eq!(content["info"]["size"], 7);
        assert_eq!(content["body"], content["filename"]);
    }
    for markup in [
        "text/html",
        "image/svg+xml",
        "application/xhtml+xml",
        "text/javascript",
    ] {
        assert_eq!(upload_type(markup), "application/octet-stream");
    }
    assert_eq!(upload_type("image/png"), "image/png");
}

#[test]
fn what_is_known_of_a_picture_is_told() {
    let thumbnail = SmallImage {
        url: mxc_uri!("mxc://example.org/small").to_owned(),
        media_type: "image/jpeg".into(),
        size: 3,
        dimensions: Some((480, 360)),
    };
    let content = event_of(
        &one("a.png"),
        &OnMatrix {
            dimensions: Some((800, 600)),
            duration: Some(5),
            blurhash: Some("hash".into()),
            thumbnail: Some(thumbnail),
            ..on_matrix("image/png")
        },
    );
    assert_eq!(
        content["info"],
        json!({
            "mimetype": "image/png", "size": 7, "w": 800, "h": 600, "duration": 5,
            "xyz.amorgan.blurhash": "hash", "thumbnail_url": "mxc://example.org/small",
            "thumbnail_info": { "mimetype": "image/jpeg", "size": 3, "w": 480, "h": 360 },
        })
    );
}

#[test]
fn recordings_of_rocket_chats_clients_are_voice_messages() {
    let table = [
        ("Audio record.mp3", true),
        ("1763663465123.m4a", true),
        ("1763663465123.aac", true),
        ("1763663465123.mp3", false),
        ("song.m4a", false),
        ("record.mp3", false),
    ];
    for (name, is_voice) in table {
        assert_eq!(one(name).is_voice(), is_voice, "{name}");
    }
    let known = OnMatrix {
        duration: Some(1500),
        ..on_matrix("audio/mpeg")
    };
    let voice = event_of(&one("Audio record.mp3"), &known);
    assert_eq!(voice["org.matrix.msc3245.voice"], json!({}));
    assert_eq!(voice["org.matrix.msc1767.audio"]["duration"], 1500);
    let not_sound = event_of(&one("Audio record.mp3"), &on_matrix("text/html"));
    assert_eq!(not_sound.get("org.matrix.msc3245.voice"), None);
}

#[test]
fn a_caption_takes_the_body_and_goes_again() {
    let content = event_of(&one("a.png"), &on_matrix("image/png"));
    assert_eq!(captioned(&content, &Rendered::default()), content);
    let caption = Rendered {
        body: "see **this**".into(),
        html: Some("see <strong>this</strong>".into()),
        ..Rendered::default()
    };
    let with = captioned(&content, &caption);
    assert_eq!(with["body"], "see **this**");
    assert_eq!(with["filename"], "a.png");
    assert_eq!(with["format"], "org.matrix.custom.html");
    assert_eq!(with["formatted_body"], "see <strong>this</strong>");
    let mut sent = with;
    sent["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": "$x" } });
    assert_eq!(without_caption(&sent), Some(content));
    assert_eq!(
        without_caption(&json!({ "msgtype": "m.text", "body": "x" })),
        None
    );
}

#[test]
fn what_stands_in_place_of_a_file_gets_its_caption_beneath() {
    let words = text_of(&Rendered {
        body: "[file: a]\nNo.".into(),
        html: Some("[file: a]<br>No.".into()),
        ..Rendered::default()
    });
    let both = captioned(&words, &Rendered::of_text("the <caption>"));
    assert_eq!(both["msgtype"], "m.text");
    assert_eq!(both["body"], "[file: a]\nNo.\nthe <caption>");
    assert_eq!(
        both["formatted_body"],
        "[file: a]<br>No.<br>the &lt;caption&gt;"
    );
}

proptest! {
    /// Whatever somebody writes into a document: each id is one, each file comes once,
    /// and every name is nothing but a name.
    #[test]
    fn hostile_documents_name_only_files(
        addresses in proptest::collection::vec("(/file-upload/)?[a-zA-Z0-9./%?#\\\\:\u{202e} ]{0,12}(/x)?", 0..80),
        name in "\\PC{0,40}",
    ) {
        let attachments: Vec<Value> = addresses
            .iter()
            .map(|address| json!({ "type": "file", "title": name, "title_link": address, "image_url": address }))
            .collect();
        let files = files_of(&message(json!({ "attachments": attachments })));
        let mut seen = HashSet::new();
        for file in &files {
            prop_assert!(is_id(&file.id));
            prop_assert!(seen.insert(file.id.clone()));
            let is_name = !file.name.contains(['/', '\\', '\n', '\u{202e}']) && !file.name.is_empty();
            prop_assert!(is_name, "{:?}", file.name);
        }
        prop_assert!(files.len() <= MOST_FILES);
    }
}
