//! Inputs to begin with: what real servers sent, and the bridge's own examples.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use matrix_appservice_rocketchat::convert::to_matrix::{Channel, Directory, Person, render};
use rocketchat_markdown::{Options, parse};
use ruma::OwnedMxcUri;
use serde_json::{Value, json};

use crate::Target;

/// Longer ones teach little and cost much, in bytes.
const LONGEST: usize = 4_000;

/// The inputs that a target begins with, each once, of at most 4,000 bytes.
///
/// # Errors
/// When the recordings, which lie in the repository, cannot be read.
pub fn of(target: Target) -> io::Result<Vec<Vec<u8>>> {
    let mut seeds: BTreeSet<String> = BTreeSet::new();
    match target {
        Target::Markdown | Target::ToMatrix => {
            for record in recorded_texts()? {
                seeds.extend(source(&record));
                seeds.insert(record["md"].to_string());
            }
            if target == Target::ToMatrix {
                seeds.extend(lines("tests/data/rocketchat/messages.jsonl")?);
                seeds.extend(own("to_matrix.jsonl")?);
            }
        }
        Target::ToRocketchat => {
            for record in recorded_texts()? {
                if let Some(text) = source(&record) {
                    let html = render(&parse(&text, &Options::default()), &Everybody).html;
                    seeds.extend(html);
                    seeds.insert(text);
                }
            }
            seeds.extend(own("to_rocketchat.jsonl")?);
        }
        Target::Frames => {
            seeds.extend(lines("tests/data/rocketchat/frames.jsonl")?);
            seeds.extend(recorded_frames()?);
        }
        Target::Transactions => {
            let contents = own("to_rocketchat.jsonl")?;
            seeds.extend(contents.iter().map(|event| transaction(event)));
            seeds.extend(own("transactions.jsonl")?);
        }
    }
    let fitting = seeds.into_iter().filter(|seed| seed.len() <= LONGEST);
    Ok(fitting.map(String::into_bytes).collect())
}

/// What once broke a promise of the target, with the names of the files.
///
/// # Errors
/// When the directory `fuzz/regressions` cannot be read.
pub fn regressions(target: Target) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let directory = root().join("fuzz/regressions").join(target.name());
    if !directory.exists() {
        return Ok(Vec::new());
    }
    fs::read_dir(directory)?
        .map(|entry| {
            let path = entry?.path();
            let input = fs::read(&path)?;
            Ok((path, input))
        })
        .collect()
}

fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

fn lines(path: &str) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(root().join(path))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Written for this purpose.
fn own(name: &str) -> io::Result<Vec<String>> {
    lines(&format!("fuzz/seeds/{name}"))
}

fn recorded_texts() -> io::Result<Vec<Value>> {
    let lines = lines("crates/rocketchat-markdown/tests/formatting.jsonl")?;
    let read = lines.iter().map(|line| serde_json::from_str(line));
    Ok(read.collect::<Result<_, _>>()?)
}

/// The text of a recording that the server parsed.
fn source(record: &Value) -> Option<String> {
    let text = record.get("msg").unwrap_or(&record["input"]);
    text.as_str().map(str::to_owned)
}

/// The frames that servers sent, one of each form.
fn recorded_frames() -> io::Result<Vec<String>> {
    let mut forms = BTreeSet::new();
    let mut frames = Vec::new();
    for entry in fs::read_dir(root().join("crates/rocketchat-sim/captures"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "gz") {
            continue;
        }
        let mut text = String::new();
        GzDecoder::new(fs::File::open(path)?).read_to_string(&mut text)?;
        for line in text.lines() {
            let record: Value = serde_json::from_str(line)?;
            if record["kind"] == "ddp" && record["dir"] == "in" && record["frame"].is_object() {
                let frame = &record["frame"];
                if forms.insert(form(frame)) {
                    frames.push(frame.to_string());
                }
            }
        }
    }
    Ok(frames)
}

/// The keys of a value, and what tells kinds of frames and messages apart.
fn form(value: &Value) -> String {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| match (key.as_str(), value) {
                ("msg" | "collection" | "t" | "type", Value::String(kind)) if kind.len() < 30 => {
                    format!("{key}={kind};")
                }
                ("md", _) => "md;".to_owned(),
                ("eventName", Value::String(name)) => {
                    format!("{};", name.rsplit('/').next().unwrap_or_default())
                }
                _ => format!("{key}:{};", form(value)),
            })
            .collect(),
        Value::Array(values) => values.first().map(form).unwrap_or_default(),
        _ => String::new(),
    }
}

/// A transaction with this event between two others.
fn transaction(event: &str) -> String {
    let mut event: Value = serde_json::from_str(event).unwrap_or_default();
    for (key, value) in [
        ("event_id", json!("$b:example.org")),
        ("room_id", json!("!r:example.org")),
        ("sender", json!("@alice:example.org")),
        ("origin_server_ts", json!(1_700_000_000_000_u64)),
        ("unsigned", json!({ "age": 12 })),
    ] {
        event[key] = value;
    }
    let join = json!({
        "event_id": "$a", "room_id": "!r", "sender": "@a:b.c", "type": "m.room.member",
        "state_key": "@a:b.c", "origin_server_ts": 1, "content": { "membership": "join" },
    });
    let typing = json!({
        "type": "m.typing", "room_id": "!r:example.org", "content": { "user_ids": ["@a:b.c"] },
    });
    json!({ "events": [join, event, {}], "ephemeral": [typing] }).to_string()
}

/// Knows everybody.
struct Everybody;

impl Directory for Everybody {
    fn user(&self, username: &str) -> Option<Person> {
        let user_id = format!("@rc_{username}:example.org").try_into().ok()?;
        let name = username.to_owned();
        Some(Person { user_id, name })
    }

    fn calls_everybody(&self, _: &str) -> bool {
        true
    }

    fn channel(&self, name: &str) -> Option<Channel> {
        let alias_or_id = format!("#{name}:example.org").try_into().ok()?;
        let (via, name) = (Vec::new(), name.to_owned());
        Some(Channel {
            alias_or_id,
            via,
            name,
        })
    }

    fn custom_emoji(&self, short_code: &str) -> Option<OwnedMxcUri> {
        (short_code == "parrot").then(|| "mxc://example.org/parrot".into())
    }

    fn emoji(&self, short_code: &str) -> Option<String> {
        (short_code == "smile").then(|| "😄".to_owned())
    }
}
