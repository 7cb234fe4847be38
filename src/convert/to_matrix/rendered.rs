//! What a rendered text consists of, and whom it asks about names.

use ruma::{OwnedMxcUri, OwnedRoomOrAliasId, OwnedServerName, OwnedUserId};

use super::safe;

/// A text for a message event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rendered {
    /// `body`: CommonMark, as a person on Matrix would have typed it; exactly the
    /// text when there is no formatting.
    pub body: String,
    /// `formatted_body` in the format `org.matrix.custom.html`; none when it would
    /// say no more than the body.
    pub html: Option<String>,
    /// `m.mentions.user_ids`, each once, in the order of the text; at most 200.
    pub mentions: Vec<OwnedUserId>,
    /// `m.mentions.room`.
    pub mentions_room: bool,
}

/// Elements that stand on lines of their own.
const BLOCKS: [&str; 11] = [
    "h1",
    "h2",
    "h3",
    "h4",
    "blockquote",
    "ul",
    "ol",
    "pre",
    "table",
    "hr",
    "div",
];

impl Rendered {
    /// Words of ours, or others that are no markup.
    pub fn of_text(text: &str) -> Self {
        Self {
            body: safe::printable(text).collect(),
            ..Self::default()
        }
    }

    /// Adds somebody who is mentioned.
    pub(super) fn mention(&mut self, user_id: OwnedUserId) {
        // So many are a flood, and an event holds no more than 65 536 bytes. Who
        // comes later is still linked in the text.
        if self.mentions.len() < MAX_MENTIONS && !self.mentions.contains(&user_id) {
            self.mentions.push(user_id);
        }
    }

    /// The same text, mentioning nobody: for what somebody else has said, or what
    /// Rocket.Chat notifies nobody of.
    #[must_use]
    pub fn silent(self) -> Self {
        Self {
            mentions: Vec::new(),
            mentions_room: false,
            ..self
        }
    }

    /// Whether there is nothing to see in it.
    pub fn is_blank(&self) -> bool {
        safe::is_blank(&self.body) && self.html.is_none()
    }

    /// Several texts under each other; blank ones are left out.
    pub fn join(parts: impl IntoIterator<Item = Self>) -> Self {
        let parts: Vec<Self> = parts.into_iter().filter(|part| !part.is_blank()).collect();
        let formatted = parts.iter().any(|part| part.html.is_some());
        let mut whole = Self::default();
        let mut html = String::new();
        for (at, part) in parts.into_iter().enumerate() {
            if at > 0 {
                whole.body.push('\n');
            }
            if formatted {
                let more = part.html.unwrap_or_else(|| html_of_text(&part.body));
                if at > 0 && !ends_with_block(&html) && !starts_with_block(&more) {
                    html.push_str("<br>");
                }
                html.push_str(&more);
            }
            whole.body.push_str(&part.body);
            part.mentions.into_iter().for_each(|id| whole.mention(id));
            whole.mentions_room |= part.mentions_room;
        }
        whole.html = formatted.then_some(html);
        whole
    }

    /// The text with the name before it under which it was posted: for clients that
    /// show only the account's own.
    #[must_use]
    pub fn under_name(self, name: &str) -> Self {
        let name = safe::name(name);
        if name.is_empty() {
            return self;
        }
        let html = self.html.map(|html| {
            let gap = if starts_with_block(&html) { "" } else { " " };
            let name = html_of_text(&name);
            format!("<strong>{name}:</strong>{gap}{html}")
        });
        Self {
            body: format!("{name}: {}", self.body),
            html,
            ..self
        }
    }
}

/// The most people that one message mentions.
const MAX_MENTIONS: usize = 200;

/// Text that is no markup, as HTML.
pub(super) fn html_of_text(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    let mut after_space = true;
    for c in safe::printable(text) {
        safe::text(c, &mut after_space, &mut html);
    }
    html
}

fn starts_with_block(html: &str) -> bool {
    let name = html.strip_prefix('<').map(|rest| {
        rest.split(|c: char| !c.is_ascii_alphanumeric())
            .next()
            .unwrap_or("")
    });
    name.is_some_and(|name| BLOCKS.contains(&name))
}

fn ends_with_block(html: &str) -> bool {
    let last = html.rfind('<').map(|at| &html[at + 1..]);
    let name = last.map(|tag| tag.trim_start_matches('/').trim_end_matches('>'));
    html.ends_with('>') && name.is_some_and(|name| BLOCKS.contains(&name))
}

/// A person of either side, as Matrix knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Themselves on Matrix, or their ghost.
    pub user_id: OwnedUserId,
    /// Their display name, as it was chosen: not to be trusted.
    pub name: String,
}

/// A room, as Matrix knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// An alias, which people can join by, else the room.
    pub alias_or_id: OwnedRoomOrAliasId,
    /// Servers to join it through; needed for a room without an alias.
    pub via: Vec<OwnedServerName>,
    /// Its name without the sign, as it was chosen: not to be trusted.
    pub name: String,
}

/// What names in a message mean. Names come as they were typed, from anybody.
pub trait Directory {
    /// Who is meant by `@username`, if the message mentions them.
    fn user(&self, username: &str) -> Option<Person>;

    /// Whether `@all` or `@here` really calls everybody: it is in the message's
    /// mentions.
    fn calls_everybody(&self, name: &str) -> bool;

    /// Which room is meant by `#name`, if the message mentions it and readers may
    /// know of it.
    fn channel(&self, name: &str) -> Option<Channel>;

    /// The image of an emoji of that server, by its name without colons.
    fn custom_emoji(&self, short_code: &str) -> Option<OwnedMxcUri>;

    /// A common emoji, by its name without colons.
    fn emoji(&self, short_code: &str) -> Option<String>;
}
