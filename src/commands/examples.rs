//! What `help` shows as an example can be given as it stands, on either side.

#![allow(clippy::unwrap_used)]

use super::table::{Audit, COMMANDS, Usage, named};
use super::{dm, join, people, plumbing, relay, resend};

/// Whether the words behind a command are understood by it.
fn is_understood(name: &str, on_matrix: bool, words: &str) -> bool {
    match name {
        "help" => named(words).is_some(),
        "dm" if on_matrix => !dm::people_in(words).is_empty(),
        "dm" => dm::users_in(words).is_ok(),
        "search" => !words.is_empty(),
        "invite" | "kick" | "ban" | "unban" => {
            let whom = words.split_whitespace().next();
            let is_of_matrix = |named| matches!(named, crate::bridge::Named::OnMatrix(_));
            whom.and_then(people::named)
                .is_some_and(|named| is_of_matrix(named) != on_matrix)
        }
        "bridge" => plumbing::Words::of(words).is_ok_and(|found| match on_matrix {
            true => found.words.len() == 1,
            false => join::target_in(&found.words.join(" ")).is_ok(),
        }),
        "approve" | "reject" => {
            let found = plumbing::Words::of(words);
            found.is_ok_and(|found| found.words.len() == 1 && found.words[0].len() == 10)
        }
        "join" | "leave" => join::target_in(words).is_ok(),
        "resend" => resend::number_in(words).is_some(),
        "relay" => matches!(relay::asked_in(words), Some(relay::Asked::Set(_))),
        // They take nothing, or what they take can be left out.
        "whoami" | "status" | "unbridge" | "login" | "logout" | "list" | "failed" => {
            words.is_empty()
        }
        other => panic!("{other} has no example that anybody has tried"),
    }
}

#[test]
fn every_example_is_understood_by_its_own_command() {
    for command in COMMANDS {
        let sides: [(bool, &Option<Usage>); 2] =
            [(true, &command.on_matrix), (false, &command.on_rocketchat)];
        for (on_matrix, usage) in sides {
            let Some(usage) = usage else { continue };
            let words = usage.example.strip_prefix(command.name).unwrap().trim();
            let example = usage.example;
            assert!(is_understood(command.name, on_matrix, words), "{example}");
            // What has to stand behind a command stands in its example.
            let must_follow = usage.arguments.starts_with('<');
            assert!(!must_follow || !words.is_empty(), "{example}");
            let may_follow = !usage.arguments.is_empty();
            assert!(may_follow || words.is_empty(), "{example}");
        }
    }
}

#[test]
fn what_is_not_understood_is_no_example() {
    for (name, on_matrix, words) in [
        ("dm", false, "alice"),
        ("kick", true, "@alice:example.org"),
        ("kick", false, "carol"),
        ("bridge", false, "general"),
        ("join", true, "general"),
        ("resend", true, "seven"),
        ("relay", true, "sideways"),
        ("help", true, "dn"),
    ] {
        assert!(!is_understood(name, on_matrix, words), "{name} {words}");
    }
}

/// What the App offers while somebody types `/matrix`.
#[test]
fn the_app_offers_the_commands_that_there_are() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/rocketchat-app/src/commands.json"
    );
    let offered: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let known: Vec<_> = COMMANDS
        .iter()
        .filter_map(|command| {
            let arguments = command.on_rocketchat.as_ref()?.arguments;
            let shows = command.audit == Audit::Nothing && !arguments.starts_with('<');
            Some(serde_json::json!({
                "name": command.name, "arguments": arguments, "shows": shows,
            }))
        })
        .collect();
    assert_eq!(offered, serde_json::Value::from(known));
}
