//! What the events of a message say.

use std::fmt::Write as _;

use rocketchat_markdown::{Block, Inline};
use ruma::{OwnedUserId, RoomId};
use serde_json::{Value, json};

use super::elsewhere::Shown;
use super::relations::quoted_in;
use crate::bridge::{Bridge, Failure};
use crate::convert::to_matrix::{
    AttachedFile, Rendered, bytes_in_json, captioned, files_of, fit, leading_permalinks, say,
    split_text, text_of,
};
use crate::rocketchat::RocketMessageId;
use crate::rocketchat::documents::{Message as RocketMessage, UserRef};
use crate::store::Portal;

/// How much text an event carries, in bytes as JSON, HTML included: an event has at
/// most 65 536 (Matrix specification 1.17, "Size limits"), and an edit holds its
/// text twice.
const MOST_TEXT: usize = 22_000;

/// How long the name of a webhook or bot may be, in characters; Rocket.Chat sets no
/// bound.
const LONGEST_NAME: usize = 200;

/// How much of an event its mentions may take, in bytes; twice in an edit.
const MOST_MENTIONS: usize = 6_000;

/// What a message says on Matrix.
pub(super) struct Content {
    /// What each event says; at least one. Files come first, so that they keep their
    /// places when the words beside them become more.
    pub parts: Vec<Says>,
    pub mentions: Mentions,
    /// Which messages it quotes, in order.
    pub quoted: Vec<RocketMessageId>,
    /// The addresses of quotes that its text begins with and that are not in what is said.
    pub quoted_links: Vec<String>,
    /// Under which name it was posted; the first part begins with it.
    alias: Option<Shown>,
}

/// What an event of a message says.
pub(super) enum Says {
    /// These words.
    Words(Rendered),
    /// A file, with a caption that may be blank.
    File(AttachedFile, Rendered),
}

impl Says {
    /// The file, if it is one.
    pub(super) fn file(&self) -> Option<&AttachedFile> {
        match self {
            Self::Words(_) => None,
            Self::File(file, _) => Some(file),
        }
    }
}

impl Content {
    /// The content of an event, without relations and mentions, where `file` is the
    /// content of its file, if it has one.
    pub(super) fn of(&self, number: usize, file: Option<&Value>) -> Value {
        let mut content = match (self.parts.get(number), file) {
            (Some(Says::File(_, caption)), Some(file)) => captioned(file, caption),
            // Never without a file: it is named, then.
            (Some(Says::File(file, caption)), None) => {
                let named = Rendered::of_text(&format!("[file: {}]", file.name));
                captioned(&text_of(&named), caption)
            }
            (Some(Says::Words(words)), _) => text_of(words),
            (None, _) => text_of(&Rendered::of_text(NOTHING)),
        };
        if let Some(alias) = self.alias.as_ref().filter(|_| number == 0) {
            put_on_profile(&mut content, alias);
        }
        content
    }

    /// Its words alone.
    pub(super) fn words(&self) -> Value {
        match self.parts.first() {
            Some(Says::Words(words)) => text_of(words),
            Some(Says::File(_, caption)) if !caption.is_blank() => text_of(caption),
            _ => text_of(&Rendered::of_text("(a file without text)")),
        }
    }
}

/// What a message with nothing to see says.
const NOTHING: &str = "(a message without text)";

/// Whom a message calls.
pub(super) struct Mentions {
    pub users: Vec<OwnedUserId>,
    pub everybody: bool,
}

impl Mentions {
    fn of(rendered: &mut Rendered) -> Self {
        let mut room = MOST_MENTIONS;
        let users = std::mem::take(&mut rendered.mentions)
            .into_iter()
            .take_while(|user| {
                let taken = user.as_str().len() + 3;
                let fits = taken <= room;
                room = room.saturating_sub(taken);
                fits
            })
            .collect();
        Self {
            users,
            everybody: rendered.mentions_room,
        }
    }

    /// Writes them into a content: always, so that nobody is notified because of
    /// words (Matrix specification 1.7, "Mentioning users").
    pub(super) fn stamp(&self, content: &mut Value, is_first: bool) {
        let mut mentions = json!({});
        if is_first && !self.users.is_empty() {
            mentions["user_ids"] = json!(self.users);
        }
        if is_first && self.everybody {
            mentions["room"] = true.into();
        }
        content["m.mentions"] = mentions;
    }

    /// Those who have not been mentioned before.
    pub(super) fn without(&self, before: &[OwnedUserId]) -> Vec<OwnedUserId> {
        let added = self.users.iter().filter(|user| !before.contains(user));
        added.cloned().collect()
    }
}

impl Bridge {
    pub(super) async fn content_of(
        &self,
        portal: &Portal,
        message: &RocketMessage,
    ) -> Result<Content, Failure> {
        self.content_by(portal, message, true).await
    }

    /// As [`Bridge::content_of`]; where `names_author` is not set, without the name of who
    /// wrote it in another Matrix room: for what somebody else says of it.
    pub(super) async fn content_by(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        names_author: bool,
    ) -> Result<Content, Failure> {
        let settings = self.server_settings().await?;
        let parse = |text: &str| rocketchat_markdown::parse(text, &settings.dialect);
        let tree = message.md.as_ref();
        let blocks = tree
            .and_then(rocketchat_markdown::tree_from_json)
            .unwrap_or_else(|| {
                // An empty text has no tree.
                if message.msg.is_empty() {
                    Vec::new()
                } else {
                    parse(&message.msg)
                }
            });
        let people = self.people_of(message, &blocks).await?;
        let mut quoted = quoted_in(message);
        // Of what is gone, or not the author's to see, the server makes no quote: the
        // link alone stays.
        for id in leading_links(&blocks).filter_map(|link| settings.linked_message(link)) {
            if !quoted.contains(&id) {
                quoted.push(id);
            }
        }
        let files = files_of(message);
        let said = say(message, &blocks, &people, &parse, &quoted, &files);
        let quoted_links = leading_permalinks(&blocks, &quoted)
            .into_iter()
            .filter(|link| !link.contains(|c: char| c.is_whitespace() || c.is_control()))
            // Parentheses would end the link that it stands in.
            .map(|link| link.replace('(', "%28").replace(')', "%29"))
            .collect();
        let hint = self.hint_of(portal, message, &quoted)?;
        let said = match hint {
            Some(hint) => Rendered::join([hint, said]),
            None => said,
        };
        let (alias, said) = match self.elsewhere(portal, message).await? {
            Some(_) if !names_author => (None, said),
            // Nobody's words are put into another's mouth.
            Some(them) => {
                let said = match self.foreign_editor(message).await? {
                    Some(editor) => Rendered::join([edited_by(editor), said]),
                    None => said,
                };
                (Some(self.shown_here(&them).await?), said)
            }
            None => (self.given_profile(message).await?, said),
        };
        let mut said = match &alias {
            Some(alias) => said.under_name(&alias.name),
            None => said,
        };
        let mentions = Mentions::of(&mut said);
        let mut parts = Vec::with_capacity(files.len() + 1);
        let mut beyond = Vec::new();
        for file in files {
            let own = file.caption(message, &people, &parse);
            let caption = Rendered::join([std::mem::take(&mut said), own]);
            let mut pieces = in_pieces(caption).into_iter();
            parts.push(Says::File(file, pieces.next().unwrap_or_default()));
            beyond.extend(pieces);
        }
        if parts.is_empty() {
            beyond = in_pieces(said);
        }
        parts.extend(beyond.into_iter().map(Says::Words));
        if parts.is_empty() {
            parts.push(Says::Words(Rendered::of_text(NOTHING)));
        }
        Ok(Content {
            parts,
            mentions,
            quoted,
            quoted_links,
            alias,
        })
    }

    /// What has to be said of quotes and threads whose targets are not on Matrix,
    /// or that a reply has no room for.
    fn hint_of(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        quoted: &[RocketMessageId],
    ) -> Result<Option<Rendered>, Failure> {
        let mut hints = Vec::new();
        if self
            .placement_of(portal, message, quoted)?
            .begins_old_thread()
        {
            hints.push(Rendered::of_text(
                "(in a thread from before this room was mirrored)",
            ));
        }
        let mut replied = false;
        let mut unknown = 0_usize;
        for id in quoted {
            match self.quotable_event(portal, id)? {
                None => unknown += 1,
                Some(_) if !replied => replied = true,
                Some(event) => hints.push(link_to(&portal.room_id, &event)),
            }
        }
        if unknown > 0 {
            let mut hint = String::from("(quotes ");
            // Writing to a String cannot fail.
            let _ = match unknown {
                1 => write!(hint, "a message that is not in this room)"),
                many => write!(hint, "{many} messages that are not in this room)"),
            };
            hints.push(Rendered::of_text(&hint));
        }
        Ok((!hints.is_empty()).then(|| Rendered::join(hints)))
    }
}

/// The addresses behind the invisible links that a text begins with: how clients of
/// Rocket.Chat write quotes.
fn leading_links(blocks: &[Block]) -> impl Iterator<Item = &str> {
    let first = match blocks.first() {
        Some(Block::Paragraph(inlines)) => inlines.as_slice(),
        _ => &[],
    };
    first.iter().map_while(|inline| match inline {
        Inline::Link { src, label } => match label.as_slice() {
            [Inline::Text(text)] if text.trim().is_empty() => Some(src.as_str()),
            _ => None,
        },
        _ => None,
    })
}

/// That somebody else has made of it what it says.
fn edited_by(editor: &UserRef) -> Rendered {
    let name = editor.username.as_ref().map(|name| name.as_str());
    let name = name.unwrap_or_else(|| editor.id.as_str());
    Rendered::of_text(&format!("(as {name} on Rocket.Chat has edited it)"))
}

/// A second quote: a reply has one target only.
fn link_to(room: &RoomId, event: &ruma::EventId) -> Rendered {
    let address = room.matrix_to_event_uri(event).to_string();
    Rendered {
        body: format!("(also quotes {address} )"),
        html: Some(format!("(also quotes <a href=\"{address}\">a message</a>)")),
        ..Rendered::default()
    }
}

/// A text in pieces that an event can carry; the HTML goes where it does not fit.
fn in_pieces(said: Rendered) -> Vec<Rendered> {
    if bytes_in_json(&said.body) <= MOST_TEXT {
        return vec![fit(said, MOST_TEXT)];
    }
    let pieces = split_text(&said.body, MOST_TEXT).into_iter();
    pieces
        .map(|body| Rendered {
            body,
            ..Rendered::default()
        })
        .collect()
}

/// A name in a length that leaves room for words.
pub(super) fn shortened(name: &str) -> String {
    match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// The name that a webhook or bot gave itself, or that of somebody in another room, as a
/// per-message profile (MSC4144). The text begins with the name for clients that do not
/// know these; the mark lets the others leave it out.
fn put_on_profile(content: &mut Value, shown: &Shown) {
    content["com.beeper.per_message_profile"] = json!({
        "id": shown.id,
        "displayname": shown.name,
        "has_fallback": true,
    });
    if let Some(picture) = &shown.picture {
        content["com.beeper.per_message_profile"]["avatar_url"] = json!(picture);
    }
    if let Some(html) = content.get("formatted_body").and_then(Value::as_str) {
        let marked = html.replacen("<strong>", "<strong data-mx-profile-fallback>", 1);
        content["formatted_body"] = marked.into();
    }
}
