//! What people see on the other side, in files that can be read: `tests/golden/`.
//! A change in the converters shows there as a difference; when it is meant,
//! `UPDATE_GOLDEN=1 cargo test --test golden` writes the files anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use matrix_appservice_rocketchat::convert::to_matrix::{Channel, Directory, Person, render};
use matrix_appservice_rocketchat::convert::to_rocketchat::{Surroundings, message};
use rocketchat_markdown::{Generation, Options, parse};
use ruma::{OwnedMxcUri, OwnedRoomOrAliasId, OwnedUserId};
use serde_json::{Value, json};

/// The people and rooms of the examples: bob and carol are mentioned, dora is of
/// Matrix, nobody else is anybody.
struct Town;

impl Directory for Town {
    fn user(&self, username: &str) -> Option<Person> {
        let (id, name) = match username {
            "alice" => ("@_rocketchat_alice:example.org", "Alice Liddell"),
            "bob" => ("@_rocketchat_bob:example.org", "Bob <b>Builder</b>"),
            "mx_dora_example.org" => ("@dora:example.org", "Dora"),
            _ => return None,
        };
        Some(Person {
            user_id: OwnedUserId::try_from(id).unwrap(),
            name: name.to_owned(),
        })
    }

    fn calls_everybody(&self, name: &str) -> bool {
        name == "all"
    }

    fn channel(&self, name: &str) -> Option<Channel> {
        (name == "general").then(|| Channel {
            alias_or_id: OwnedRoomOrAliasId::try_from("#_rocketchat_general:example.org").unwrap(),
            via: Vec::new(),
            name: name.to_owned(),
        })
    }

    fn custom_emoji(&self, short_code: &str) -> Option<OwnedMxcUri> {
        (short_code == "parrot").then(|| "mxc://example.org/parrot".into())
    }

    fn emoji(&self, short_code: &str) -> Option<String> {
        rocketchat_emoji::unicode(short_code).map(str::to_owned)
    }
}

const SURROUNDINGS: Surroundings<'static> = Surroundings {
    username: &|user| match user.as_str() {
        "@_rocketchat_bob:example.org" => Some("bob".to_owned()),
        "@dora:example.org" => Some("mx_dora_example.org".to_owned()),
        _ => None,
    },
    channel: &|room| {
        (room.as_str() == "#_rocketchat_general:example.org").then(|| "general".into())
    },
    may_call_all: true,
};

/// Characters that cannot be seen, as their numbers.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{a0}');
        if hidden {
            write!(shown, "{{U+{:04X}}}", u32::from(c)).unwrap();
        } else {
            shown.push(c);
        }
    }
    shown
}

fn section(into: &mut String, name: &str, text: &str) {
    writeln!(into, "---- {name}").unwrap();
    writeln!(into, "{}", visible(text)).unwrap();
}

fn to_matrix(inputs: &[Value], generation: Generation) -> String {
    let options = Options {
        generation,
        ..Options::default()
    };
    let mut file = String::new();
    for input in inputs {
        // Where the server changed a text before it read it, the changed one.
        let text = input.get("msg").unwrap_or(&input["input"]);
        let text = text.as_str().unwrap();
        let rendered = render(&parse(text, &options), &Town);
        file.push_str("==== Rocket.Chat\n");
        writeln!(file, "{}", visible(text)).unwrap();
        if rendered.body != text {
            section(&mut file, "body", &rendered.body);
        }
        if let Some(html) = &rendered.html {
            section(&mut file, "html", html);
        }
        if !rendered.mentions.is_empty() || rendered.mentions_room {
            let mut called: Vec<&str> = rendered.mentions.iter().map(|id| id.as_str()).collect();
            if rendered.mentions_room {
                called.push("the room");
            }
            section(&mut file, "mentions", &called.join(" "));
        }
    }
    file
}

fn to_rocketchat(inputs: &str) -> String {
    let mut file = String::new();
    for input in inputs.split("\n====\n") {
        let (kind, text) = input.trim_end().split_once('\n').unwrap();
        let content = match kind {
            "html" => json!({
                "msgtype": "m.text", "body": "(the plain body)",
                "format": "org.matrix.custom.html", "formatted_body": text,
                "m.mentions": { "room": text.contains("@room") },
            }),
            "emote" => json!({ "msgtype": "m.emote", "body": text, "m.mentions": {} }),
            _ => json!({ "msgtype": "m.text", "body": text, "m.mentions": {} }),
        };
        let said = message(&content, &SURROUNDINGS);
        writeln!(file, "==== Matrix, {kind}").unwrap();
        writeln!(file, "{}", visible(text)).unwrap();
        section(
            &mut file,
            "Rocket.Chat",
            said.as_deref().unwrap_or("(nothing)"),
        );
    }
    file
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn hold_to(name: &str, now: &str) {
    let path = directory().join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, now).unwrap();
        return;
    }
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    for (number, (now, before)) in now.lines().zip(before.lines()).enumerate() {
        assert_eq!(now, before, "{name}, line {}", number + 1);
    }
    assert_eq!(now.len(), before.len(), "{name} ends elsewhere");
}

fn recorded(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("crates/rocketchat-markdown/tests")
        .join(name);
    let lines = std::fs::read_to_string(path).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn what_a_real_server_was_told_is_shown_on_matrix_as_before() {
    let inputs = recorded("formatting.jsonl");
    hold_to("to_matrix.txt", &to_matrix(&inputs, Generation::V6));
}

#[test]
fn what_matrix_has_is_written_for_rocketchat_as_before() {
    let inputs = std::fs::read_to_string(directory().join("from_matrix.txt")).unwrap();
    hold_to("to_rocketchat.txt", &to_rocketchat(&inputs));
}
