//! What somebody of Matrix says to the bridge itself, as the words of a command.
//!
//! Clients write whom somebody picked from a list into the `body` by the name that is shown,
//! which people choose for themselves: only the link in the `formatted_body` says who it is
//! (client-server specification, "User and room mentions").

use std::collections::BTreeSet;

use ruma::OwnedUserId;
use ruma::matrix_uri::MatrixId;
use serde_json::Value;

use super::html::{self, Node};
use super::people::{MAX_PEOPLE, matrix_link};
use super::{clean, in_reply_to, without_fallback};

/// Links beyond which a message is no command with people in it.
const MOST_LINKS: usize = 50;

/// Ways to read one text beyond which it is not read at all.
const MOST_READINGS: usize = 64;

/// Stands for a link. Cleaned text has no such character.
const MARK: char = '\0';

/// What somebody says to the bridge.
#[derive(Debug, PartialEq, Eq)]
pub struct ToBridge {
    /// The words, without the quote that older clients put before a reply. Where the sender
    /// has picked somebody or a room, their id or the link stands in place of the name.
    pub words: String,
    /// Who is mentioned, where in the words is not known.
    pub unplaced: Vec<OwnedUserId>,
}

/// The words of a content, for the bridge.
pub fn to_bridge(content: &Value) -> ToBridge {
    let body = content.get("body").and_then(Value::as_str);
    let body = clean(body.unwrap_or_default());
    let body = match in_reply_to(content) {
        true => without_fallback(&body),
        false => &body,
    };
    let links = Links::of(content);
    let placed = links.as_ref().and_then(|links| links.placed_in(body));
    let mut named = mentioned(content);
    if let Some(links) = &links {
        let users = links.links.iter().filter_map(|link| link.user.as_ref());
        match &placed {
            Some(_) => {
                for user in users {
                    named.remove(user);
                }
            }
            None => named.extend(users.cloned()),
        }
    }
    ToBridge {
        words: placed.unwrap_or_else(|| body.trim().to_owned()),
        unplaced: named.into_iter().collect(),
    }
}

/// Who is mentioned by `m.mentions`.
fn mentioned(content: &Value) -> BTreeSet<OwnedUserId> {
    let ids = content.pointer("/m.mentions/user_ids");
    ids.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .take(MAX_PEOPLE)
        .filter_map(|id| id.as_str()?.try_into().ok())
        .collect()
}

/// A link to somebody or to a room.
struct Link {
    /// What is shown of it.
    text: String,
    href: String,
    /// Whom it leads to, if that is a person.
    user: Option<OwnedUserId>,
}

impl Link {
    /// What stands for it in a command.
    fn word(&self) -> &str {
        self.user.as_ref().map_or(&self.href, |user| user.as_str())
    }

    /// How clients write it into a `body`.
    fn as_text(&self) -> [String; 6] {
        let Self { text, href, .. } = self;
        [
            text.clone(),
            self.word().to_owned(),
            format!("[{text}]({href})"),
            format!("[{text}](<{href}>)"),
            format!("<{href}>"),
            href.clone(),
        ]
    }
}

/// A formatted text, with a [`MARK`] in place of each link to somebody or to a room.
struct Links {
    text: String,
    links: Vec<Link>,
}

impl Links {
    /// Of a content that has such links.
    fn of(content: &Value) -> Option<Self> {
        let format = content.get("format").and_then(Value::as_str);
        let html = content.get("formatted_body").and_then(Value::as_str)?;
        if format != Some("org.matrix.custom.html") {
            return None;
        }
        let mut links = Self {
            text: String::new(),
            links: Vec::new(),
        };
        links.read(&html::parse(html)?);
        (!links.links.is_empty()).then_some(links)
    }

    fn read(&mut self, nodes: &[Node]) {
        for node in nodes {
            let element = match node {
                Node::Text(text) => {
                    self.text.push_str(&clean(text));
                    continue;
                }
                Node::Element(element) if element.is_dropped() => continue,
                Node::Element(element) => element,
            };
            match element.name.as_str() {
                "br" => self.text.push('\n'),
                "img" => {
                    let shown = element.attribute("alt").unwrap_or_default();
                    self.text.push_str(&clean(shown));
                }
                "a" => {
                    let before = self.text.len();
                    self.read(&element.children);
                    let Some(link) = element.attribute("href").and_then(leading_to) else {
                        continue;
                    };
                    let text = self.text.split_off(before);
                    if text.contains(MARK) {
                        // A link in a link, of which nobody could say what it stands for.
                        self.text.push_str(&text);
                    }
                    self.text.push(MARK);
                    self.links.push(Link {
                        text: on_one_line(&text),
                        ..link
                    });
                }
                _ if element.is_block() => {
                    self.text.push('\n');
                    self.read(&element.children);
                    self.text.push('\n');
                }
                _ => self.read(&element.children),
            }
        }
    }

    /// The text with what each link leads to in its place, if `body` says the same.
    fn placed_in(&self, body: &str) -> Option<String> {
        if self.links.len() > MOST_LINKS {
            return None;
        }
        let body = on_one_line(body);
        let text = on_one_line(&self.text);
        let mut parts = text.split(MARK);
        let first = parts.next()?;
        let mut words = first.to_owned();
        let mut ends: BTreeSet<usize> = body
            .starts_with(first)
            .then_some(first.len())
            .into_iter()
            .collect();
        for (link, part) in self.links.iter().zip(parts) {
            let ways = link.as_text();
            let mut next = BTreeSet::new();
            for end in &ends {
                for way in &ways {
                    let rest = body
                        .get(*end..)
                        .and_then(|rest| rest.strip_prefix(way.as_str()));
                    if rest.is_some_and(|rest| rest.starts_with(part)) {
                        next.insert(end + way.len() + part.len());
                    }
                }
            }
            if next.len() > MOST_READINGS {
                return None;
            }
            ends = next;
            // As clients write it behind a name at the beginning.
            let part = part.strip_prefix(':').unwrap_or(part);
            words.push_str(&format!(" {} {part}", link.word()));
        }
        ends.contains(&body.len()).then(|| on_one_line(&words))
    }
}

/// Where a link leads, if that is a person or a room.
fn leading_to(href: &str) -> Option<Link> {
    let href = href.trim();
    let (id, _) = matrix_link(href)?;
    if href.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return None;
    }
    Some(Link {
        text: String::new(),
        href: href.to_owned(),
        user: match id {
            MatrixId::User(user) => Some(user),
            _ => None,
        },
    })
}

fn on_one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::to_bridge;

    const TROLL: &str = "https://matrix.to/#/@troll:evil.org";

    fn html(body: &str, formatted: &str) -> Value {
        json!({
            "msgtype": "m.text", "body": body,
            "format": "org.matrix.custom.html", "formatted_body": formatted,
        })
    }

    fn read(content: &Value) -> (String, Vec<String>) {
        let said = to_bridge(content);
        let unplaced = said.unplaced.iter().map(ToString::to_string);
        (said.words, unplaced.collect())
    }

    #[test]
    fn who_is_picked_is_meant_whatever_they_call_themselves() {
        let pill = |name: &str| format!("<a href=\"{TROLL}\">{name}</a>");
        let sure = "!rc ban @troll:evil.org spam";
        for (body, formatted, words) in [
            (
                "!rc ban bob spam",
                format!("!rc ban {} spam", pill("bob")),
                sure,
            ),
            (
                "!rc ban Carol Kaye spam",
                format!("!rc ban {} spam", pill("Carol  Kaye")),
                sure,
            ),
            // As other clients write the same.
            (
                "!rc ban [bob](https://matrix.to/#/@troll:evil.org) spam",
                format!("<p>!rc ban {} spam</p>", pill("bob")),
                sure,
            ),
            (
                "!rc ban @troll:evil.org spam",
                format!("!rc ban {} spam", pill("bob")),
                sure,
            ),
            (
                "!rc ban bob: spam",
                format!("!rc ban {}: spam", pill("bob")),
                sure,
            ),
            (
                "!rc ban bob spam",
                "!rc ban <a href=\"matrix:u/troll:evil.org\">bob</a> spam".to_owned(),
                sure,
            ),
            // Whose name looks like a command gives none.
            (
                "!rc ban bob hello",
                format!("{} hello", pill("!rc ban bob")),
                "@troll:evil.org hello",
            ),
            // Two, and a name within the word before it.
            (
                "!rc dm rc, b",
                format!(
                    "!rc dm {}, <a href=\"https://matrix.to/#/@b:b.org\">b</a>",
                    pill("rc")
                ),
                "!rc dm @troll:evil.org , @b:b.org",
            ),
            (
                "!rc join #hall:b.org",
                "!rc join <a href=\"https://matrix.to/#/%23hall:b.org?via=c.org\">#hall:b.org</a>"
                    .to_owned(),
                "!rc join https://matrix.to/#/%23hall:b.org?via=c.org",
            ),
        ] {
            assert_eq!(
                read(&html(body, &formatted)),
                (words.to_owned(), vec![]),
                "{body}"
            );
        }
    }

    #[test]
    fn where_it_is_not_sure_who_is_meant_that_is_known() {
        let troll = vec!["@troll:evil.org".to_owned()];
        let body = "!rc ban bob spam";
        for content in [
            // The two forms do not say the same.
            html(body, &format!("!rc ban <a href=\"{TROLL}\">bert</a> spam")),
            html(body, &format!("<b>!rc</b> ban <a href=\"{TROLL}\">bob</a>")),
            html(
                body,
                &format!("!rc ban <a href=\"{TROLL}\"><a href=\"{TROLL}\">bob</a></a> spam"),
            ),
            // There is no other form.
            json!({ "body": body, "m.mentions": { "user_ids": ["@troll:evil.org", 7, "x"] } }),
            json!({
                "body": body, "formatted_body": format!("!rc ban <a href=\"{TROLL}\">bob</a> spam"),
                "m.mentions": { "user_ids": ["@troll:evil.org"] },
            }),
        ] {
            assert_eq!(
                read(&content),
                (body.to_owned(), troll.clone()),
                "{content}"
            );
        }
        let mut content = html(
            "!rc ban Bob spam",
            "!rc ban <a href=\"https://matrix.to/#/@bob:b.org\">Bob</a> spam",
        );
        content["m.mentions"] = json!({ "user_ids": ["@bob:b.org", "@troll:evil.org"] });
        assert_eq!(
            read(&content),
            ("!rc ban @bob:b.org spam".to_owned(), troll)
        );
        // What nobody is named in is as it was written.
        let content = html(
            "!rc kick _carol_ *now*",
            "!rc kick <em>carol</em> <em>now</em>",
        );
        assert_eq!(
            read(&content),
            ("!rc kick _carol_ *now*".to_owned(), vec![])
        );
    }

    #[test]
    fn a_command_in_a_reply_is_one_without_the_quote() {
        let quoted = "> <@x:y.org> !rc ban bob\n> and more\n\n!rc kick carol";
        let mut content = json!({ "body": quoted });
        assert_eq!(read(&content).0, quoted, "typed so");
        content["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": "$e" } });
        assert_eq!(read(&content).0, "!rc kick carol");
        content["format"] = json!("org.matrix.custom.html");
        content["formatted_body"] = json!(format!(
            "<mx-reply><a href=\"{TROLL}\">x</a></mx-reply>!rc kick <a href=\"{TROLL}\">carol</a>"
        ));
        assert_eq!(
            read(&content),
            ("!rc kick @troll:evil.org".to_owned(), vec![])
        );
        content["body"] = json!("!rc kick carol");
        assert_eq!(
            read(&content),
            ("!rc kick @troll:evil.org".to_owned(), vec![])
        );
    }

    #[test]
    fn links_without_an_id_are_text() {
        for href in [
            "https://matrix.to/#/",
            "https://matrix.to/#//",
            "https://matrix.to/#//x",
        ] {
            let content = html(
                "!rc kick carol",
                &format!("!rc kick <a href=\"{href}\">carol</a>"),
            );
            assert_eq!(
                read(&content),
                ("!rc kick carol".to_owned(), vec![]),
                "{href}"
            );
        }
    }

    proptest! {
        #[test]
        fn nobodys_name_becomes_words(name in "\\PC{0,40}", rest in "[a-z ]{0,20}") {
            let escaped = name.replace('&', "&amp;").replace('<', "&lt;");
            let formatted = format!("!rc ban <a href=\"{TROLL}\">{escaped}</a> {rest}");
            let (words, unplaced) = read(&html(&format!("!rc ban {name} {rest}"), &formatted));
            prop_assert!(
                words.starts_with("!rc ban @troll:evil.org") && unplaced.is_empty()
                    || unplaced == ["@troll:evil.org"],
                "{words:?} {unplaced:?}"
            );
        }

        #[test]
        fn any_content_is_read(body in "\\PC{0,80}", formatted in "(<a href=\"https://matrix.to/#/@a:b.c\">|</a>|<p>|<br>|[a @:])*") {
            let _ = to_bridge(&html(&body, &formatted));
        }
    }
}
