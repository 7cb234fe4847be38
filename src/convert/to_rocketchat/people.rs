//! Who is mentioned in a message, as far as its sender says so.

use std::collections::BTreeSet;

use ruma::matrix_uri::MatrixId;
use ruma::{MatrixToUri, MatrixUri, OwnedServerName, OwnedUserId, RoomOrAliasId};
use serde_json::Value;

use super::{Surroundings, ZERO_WIDTH_SPACE};

/// People of one message that are looked up; a message that names more is a list of
/// people rather than a call.
pub(super) const MAX_PEOPLE: usize = 100;

/// What typed words of a message are mentions.
#[derive(Default)]
pub(super) struct Mentioned {
    /// What is typed, and what Rocket.Chat is to read; longest first.
    words: Vec<(String, String)>,
}

/// Where a link to a person or a room leads.
pub(super) enum Pill {
    /// To somebody or something that Rocket.Chat knows: `@name` or `#name`.
    Known(String),
    /// To one that it does not know.
    Unknown,
}

impl Mentioned {
    /// From the `m.mentions` of a content. `@room` is a mention only with the right
    /// to call everybody.
    pub fn of(content: &Value, with: &Surroundings<'_>) -> Self {
        let Some(mentions) = content.get("m.mentions") else {
            return Self::default();
        };
        let mut words = Vec::new();
        let ids: BTreeSet<OwnedUserId> = mentions
            .get("user_ids")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .take(MAX_PEOPLE)
            .filter_map(|id| id.as_str()?.try_into().ok())
            .collect();
        for id in ids {
            if let Some(name) = known((with.username)(&id)) {
                words.push((format!("@{name}"), format!("@{name}")));
                words.push((id.to_string(), format!("@{name}")));
            }
        }
        if mentions.get("room").and_then(Value::as_bool) == Some(true) && with.may_call_all {
            words.push(("@room".to_owned(), "@all".to_owned()));
        }
        words.sort_by_key(|(typed, _)| std::cmp::Reverse(typed.len()));
        Self { words }
    }

    /// Cuts a text after each mention: words, and the mention that follows them.
    pub fn split<'a>(&'a self, text: &'a str) -> Vec<(&'a str, Option<&'a str>)> {
        let mut parts = Vec::new();
        let (mut begin, mut from) = (0, 0);
        while !self.words.is_empty()
            && let Some(at) = text[from..].find('@').map(|at| from + at)
        {
            from = at + 1;
            if text[..at].chars().next_back().is_some_and(is_of_a_name) {
                continue;
            }
            let found = self.words.iter().find(|(typed, _)| {
                text[at..]
                    .strip_prefix(typed.as_str())
                    .is_some_and(ends_a_name)
            });
            if let Some((typed, mention)) = found {
                parts.push((&text[begin..at], Some(mention.as_str())));
                begin = at + typed.len();
                from = begin;
            }
        }
        parts.push((&text[begin..], None));
        parts
    }
}

/// What a link leads to, if that is a person or a room of Matrix.
pub(super) fn pill(href: &str, with: &Surroundings<'_>) -> Option<Pill> {
    let (id, _) = matrix_link(href)?;
    let found = match &id {
        MatrixId::User(id) => known((with.username)(id)).map(|name| format!("@{name}")),
        MatrixId::Room(id) => channel(id.as_str(), with),
        MatrixId::RoomAlias(alias) => channel(alias.as_str(), with),
        _ => return None,
    };
    Some(found.map_or(Pill::Unknown, Pill::Known))
}

/// What a link of `https://matrix.to` or `matrix:` names, and the servers that help to find
/// it.
pub fn matrix_link(href: &str) -> Option<(MatrixId, Vec<OwnedServerName>)> {
    if has_an_empty_part(href) {
        return None;
    }
    Some(match MatrixToUri::parse(href) {
        Ok(link) => (link.id().clone(), link.via().to_vec()),
        Err(_) => {
            let link = MatrixUri::parse(href).ok()?;
            (link.id().clone(), link.via().to_vec())
        }
    })
}

/// Whether an id is missing in a link of matrix.to: ruma-common 0.20.2 panics then,
/// instead of refusing it.
fn has_an_empty_part(href: &str) -> bool {
    href.strip_prefix("https://matrix.to/#/")
        .is_some_and(|ids| ids.starts_with('/') || ids.contains("//"))
}

fn channel(room: &str, with: &Surroundings<'_>) -> Option<String> {
    let room: &RoomOrAliasId = room.try_into().ok()?;
    known((with.channel)(room)).map(|name| format!("#{name}"))
}

/// A name that can be written after `@` or `#`, and is not one that calls everybody.
fn known(name: Option<String>) -> Option<String> {
    name.filter(|name| {
        !name.is_empty()
            && name.chars().all(is_of_a_name)
            && !["all", "here"]
                .iter()
                .any(|all| name.eq_ignore_ascii_case(all))
    })
}

/// Whether the server may take a character for part of a name.
pub(super) fn is_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// Whether what follows a typed name does not belong to it: not `@alice2`, but the
/// dot of a sentence.
fn ends_a_name(rest: &str) -> bool {
    let mut rest = rest.chars();
    match rest.next() {
        Some(c) if c.is_alphanumeric() || c == '_' => false,
        Some('.' | '-' | ':' | '@') => !rest.next().is_some_and(char::is_alphanumeric),
        _ => true,
    }
}

/// Code in which nobody is called: the server looks for `@all` and `@here` in code,
/// too. Other names are left as they are, because `@media` and `@Override` are parts
/// of programs that people copy.
pub(super) fn calling_nobody(code: &str) -> String {
    let mut quiet = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find('@') {
        let (before, from) = rest.split_at(at + 1);
        quiet.push_str(before);
        rest = from;
        let calls = ["all", "here"].iter().any(|name| {
            rest.get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name))
        });
        if calls {
            quiet.push(ZERO_WIDTH_SPACE);
        }
    }
    quiet.push_str(rest);
    quiet
}
