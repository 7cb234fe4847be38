//! Replays recordings of a real 6.14 server and compares, so that the simulator cannot drift into
//! what would be convenient. Compared are status, keys, types, texts, counters and the headers that
//! matter of every answer; and of the sockets, which kinds of frames of which shape each one got.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use support::player;

/// A reason, and whether it holds for a line.
type Reason = (&'static str, fn(&Value) -> bool);

/// Why requests are not played, and which. A reason that is never used fails the test.
const LEFT_OUT: &[Reason] = &[
    ("AVIF is not decoded", |line| {
        line["request"]["body"]["multipart"][0]["filename"] == "pic.avif"
    }),
    ("asks by a date of the recording: see files.rs", |line| {
        line["request"]["headers"]["if-modified-since"].is_string()
            && path(line).starts_with("/avatar/")
    }),
    ("lists a picture that is left out", |line| {
        line["file"] == "40-upload-two-step" && line["n"] == 479
    }),
    (
        "search, statistics and lists for people are not there",
        |line| {
            [
                "/chat.search",
                "/statistics",
                "/users.listByStatus",
                "/users.getPreferences",
                "/chat.getMentionedMessages",
            ]
            .iter()
            .any(|one| path(line).contains(one))
        },
    ),
    ("changing one's own password is not there", |line| {
        line["request"]["body"]["data"]["newPassword"].is_string()
            && path(line).contains("/users.updateOwnBasicInfo")
    }),
    (
        "of two sends at once the loser was logged first: see faults.rs",
        |line| text(&line["label"]).starts_with("concurrent") && line["response"]["status"] == 400,
    ),
    ("lists what earlier recordings made", |line| {
        line["file"] == "31-catch-up" && (line["n"] == 44 || line["n"] == 45)
    }),
    (
        "lists everybody in an order that the database chose",
        |line| line["file"] == "51-rooms-membership" && line["n"] == 405,
    ),
    ("comes a minute later", |line| {
        (line["file"] == "05-rest-rate-limit" && line["n"] == 59)
            || (line["file"] == "90-addenda" && line["n"] == 332)
    }),
    (
        "of five reactions at once four were lost: see messages.rs",
        |line| {
            line["file"] == "17-reactions" && [208, 209, 210, 211].iter().any(|n| line["n"] == *n)
        },
    ),
    (
        "uploading an emoji is an order of the control API, its refusals are not there",
        |line| {
            path(line).contains("/emoji-custom.")
                && line["response"]["status"] == 400
                && line["request"]["body"]["multipart"].is_array()
        },
    ),
    ("links are not looked at", |line| {
        path(line).contains("/chat.getURLPreview")
    }),
    ("counts what earlier recordings made", |line| {
        (line["file"] == "90-addenda" && [188, 189, 190, 191].iter().any(|n| line["n"] == *n))
            || (line["file"] == "91-addenda-2" && [11, 12].iter().any(|n| line["n"] == *n))
    }),
    ("goes on with an account of an earlier recording", |line| {
        line["file"] == "91-addenda-2" && line["n"] == 4
    }),
];

/// Differences that are known, by two parts of their text, and why. One that no longer occurs
/// fails the test.
const KNOWN: &[(&str, &str, &str)] = &[
    (
        "05-rest-rate-limit",
        "/me .status",
        "earlier recordings had set a status text",
    ),
    (
        "05-rest-rate-limit",
        "/login .error",
        "the recording was seven seconds into the window",
    ),
    (
        "05-rest-rate-limit",
        "settings.public .total",
        "an app of an earlier recording had added two settings",
    ),
    (
        "21-ddp-login",
        ".data.me.statusConnection",
        "how presence is kept is not shown",
    ),
    (
        "11-messages-same-id frames alice never sent",
        "*/message",
        "the loser of two sends at once is left out",
    ),
    (
        "13-mentions frames alice never sent",
        "blocks:",
        "the note about mentioned strangers has blocks, not there",
    ),
    (
        "13-mentions 494",
        "/login",
        "that account is made by the replay without its password",
    ),
    (
        "40-upload-two-step 478",
        ".total",
        "counts a picture that is left out",
    ),
    (
        "43-downloads 23",
        "bytes",
        "a thumbnail is not the recorded one byte for byte",
    ),
    (
        "44-avatars 46",
        "font-size",
        "the letters of an id, which is another here",
    ),
    (
        "44-avatars",
        ".lastLogin",
        "that account logs in by a token made for it",
    ),
    (
        "44-avatars",
        "bytes",
        "a smaller picture is not the recorded one byte for byte",
    ),
    (
        "19-pins-stars-previews",
        "urls[].headers",
        "links are not looked at",
    ),
    (
        "19-pins-stars-previews",
        "urls[].meta",
        "links are not looked at",
    ),
    (
        "19-pins-stars-previews frames",
        "headers:{contentLength",
        "links are not looked at",
    ),
    (
        "19-pins-stars-previews frames",
        "editedAt:",
        "the edit whose link is not looked at is the last message",
    ),
    (
        "91-addenda-2 74",
        ".lastLogin",
        "that account had logged in during an earlier recording",
    ),
    (
        "71-webhooks-incoming frames",
        "-changed",
        "what had happened in the rooms is in the part that is not played",
    ),
    (
        "18-deletes 373",
        ".total",
        "counts one row more than anything else shows",
    ),
    (
        "60-users",
        ".user.services",
        "which further secrets an account has is not simulated",
    ),
    (
        "60-users",
        ".user.settings.profile",
        "what a profile holds besides names is not simulated",
    ),
    (
        "23-typing-presence 195",
        ".users[]",
        "in an order that the database chose",
    ),
    (
        "23-typing-presence 196",
        ".users[]",
        "in an order that the database chose",
    ),
    (
        "50-rooms-create-and-direct 176",
        ".members[].status",
        "an earlier recording had set a status",
    ),
    (
        "50-rooms-create-and-direct frames",
        "removed-user-from-team",
        "which further secrets an account has is not simulated",
    ),
    (
        "61-users-gone 93",
        ".user.lastLogin",
        "that account logs in by a token made for it",
    ),
    (
        "60-users 167",
        ".items[]",
        "of several that are found the database gave one more keys",
    ),
    ("60-users 163", ".total", "how many accounts there are"),
    ("60-users 164", ".total", "how many accounts there are"),
];

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn path(line: &Value) -> &str {
    text(&line["request"]["path"])
}

fn left_out(line: &Value) -> Option<&'static str> {
    LEFT_OUT
        .iter()
        .find(|(_, applies)| applies(line))
        .map(|(reason, _)| *reason)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simulator_answers_as_the_recorded_server_did() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|one| one.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "gz"))
        .collect();
    files.sort();
    let only = std::env::var("REPLAY_ONLY").unwrap_or_default();
    let (mut differences, mut skipped) = (Vec::new(), BTreeMap::<&str, usize>::new());
    let (mut answers, mut frames, mut kinds) = (0, 0, 0);
    for file in files.iter().filter(|file| {
        file.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(&only)
    }) {
        let outcome = player::play(file, left_out).await;
        println!(
            "{}: {} answers, {} frames of {} kinds, {} differences",
            file.file_name().unwrap().display(),
            outcome.compared,
            outcome.frames,
            outcome.frame_kinds,
            outcome.differences.len()
        );
        answers += outcome.compared;
        frames += outcome.frames;
        kinds += outcome.frame_kinds;
        differences.extend(outcome.differences);
        for (reason, count) in outcome.skipped {
            *skipped.entry(reason).or_default() += count;
        }
    }
    println!("compared {answers} answers, {frames} frames of {kinds} kinds; left out {skipped:?}");
    let mut used = BTreeSet::new();
    differences.retain(|one| {
        let known = KNOWN
            .iter()
            .position(|(place, part, _)| one.contains(place) && one.contains(part));
        known.map(|at| used.insert(at)).is_none()
    });
    for one in &differences {
        println!("{}", one.chars().take(400).collect::<String>());
    }
    assert!(differences.is_empty(), "{} differences", differences.len());
    if only.is_empty() {
        for (at, (place, part, reason)) in KNOWN.iter().enumerate() {
            assert!(
                used.contains(&at),
                "no longer different: {place} {part} ({reason})"
            );
        }
        for (reason, _) in LEFT_OUT {
            assert!(
                skipped.contains_key(reason),
                "nothing is left out any more because {reason}"
            );
        }
    }
}
