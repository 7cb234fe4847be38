//! Replays recordings of a real 6.14 server and compares, so that the simulator cannot drift into
//! what would be convenient. Compared are status, keys, types, texts, counters and the headers that
//! matter of every answer; and of the sockets, which kinds of frames of which shape each one got.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use support::player;

/// Requests that are not played, and why. A reason that is never used fails the test.
const LEFT_OUT: &[(&str, fn(&Value) -> bool)] = &[
    ("files are not there yet", |line| {
        path(line).contains("/rooms.media") || path(line).starts_with("/file-upload/")
    }),
    ("search is not there", |line| {
        path(line).contains("/chat.search")
    }),
    ("statistics are not there", |line| {
        path(line).contains("/statistics")
    }),
    ("changing one's own profile is not there", |line| {
        path(line).contains("/users.updateOwnBasicInfo")
    }),
    ("lists for people are not there", |line| {
        [
            "/users.listByStatus",
            "/users.autocomplete",
            "/users.getPreferences",
        ]
        .iter()
        .any(|one| path(line).contains(one))
    }),
    (
        "of two sends at once the loser was logged first: see faults.rs",
        |line| text(&line["label"]).starts_with("concurrent") && line["response"]["status"] == 400,
    ),
    ("comes a minute later", |line| {
        text(&line["label"]).contains("after the window")
    }),
    ("the mail for a second factor, not there", |line| {
        text(&line["label"]).contains("without the current one")
    }),
];

/// Differences that are known, by a part of their text, and why. One that no longer occurs fails
/// the test.
const KNOWN: &[(&str, &str)] = &[];

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
        let known = KNOWN.iter().find(|(part, _)| one.contains(part));
        known.map(|(part, _)| used.insert(*part)).is_none()
    });
    for one in &differences {
        println!("{}", one.chars().take(400).collect::<String>());
    }
    assert!(differences.is_empty(), "{} differences", differences.len());
    if only.is_empty() {
        for (part, reason) in KNOWN {
            assert!(
                used.contains(part),
                "no longer different: {part} ({reason})"
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
