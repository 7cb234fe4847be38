//! All that a message says: its tree, what is attached, an app's blocks.

use rocketchat_markdown::{Block, Inline};
use ruma::OwnedMxcUri;

use super::files::{AttachedFile, is_among};
use super::{Channel, Directory, Person, Rendered, card, markup, safe, uikit};
use crate::rocketchat::documents::{Attachment, Message};
use crate::rocketchat::ids::RocketMessageId;

/// What a message with nothing to see says.
const NOTHING: &str = "(a message without text)";

/// Makes the tree of a text in Rocket.Chat's dialect.
pub type Parse<'a> = &'a dyn Fn(&str) -> Vec<Block>;

/// A message in whole: its text, of which `blocks` is the tree, and under it what is
/// attached, in words, so that nothing of it is dropped silently. What belongs to one of
/// `files`, which the caller shows themselves, is left out; blank only when nothing is
/// said beside those.
///
/// Quotes are left out. Of the permalinks that a text begins with, those to
/// `quotes_shown` are left out too: the caller shows these quotes, as a reply or in words. The name of a webhook (`alias`) is left out too; see
/// [`Rendered::under_name`].
pub fn say(
    message: &Message,
    blocks: &[Block],
    people: &dyn Directory,
    parse: Parse<'_>,
    quotes_shown: &[RocketMessageId],
    files: &[AttachedFile],
) -> Rendered {
    let parsed;
    let blocks = if blocks.is_empty() {
        parsed = card::parsed(&message.msg, parse);
        &parsed
    } else {
        blocks
    };
    let (_, blocks) = split_permalinks(blocks, quotes_shown);
    let text = markup::render(&blocks, people);
    let attached: Vec<Block> = message
        .attachments
        .iter()
        .enumerate()
        .filter(|(at, attachment)| !is_quote(attachment) && !is_among(files, *at))
        .flat_map(|(_, attachment)| card::blocks(attachment, parse))
        .chain(uikit::blocks(&message.blocks, parse))
        .chain(uikit::custom_fields(&message.custom_fields))
        .collect();
    let whole = Rendered::join([text, aside(&attached, people)]);
    if whole.is_blank() && files.is_empty() {
        return Rendered::of_text(NOTHING);
    }
    whole
}

/// Whether an attachment is a quote. One whose link leads to no message is a card like
/// any other.
pub(super) fn is_quote(attachment: &Attachment) -> bool {
    let link = attachment.message_link.as_deref();
    link.is_some_and(|link| safe::message_of_permalink(link).is_some())
}

/// What Rocket.Chat notifies nobody of.
pub(super) fn aside(blocks: &[Block], people: &dyn Directory) -> Rendered {
    markup::render(blocks, &Quiet(people)).silent()
}

/// A directory in which nobody is everybody.
struct Quiet<'a>(&'a dyn Directory);

impl Directory for Quiet<'_> {
    fn user(&self, username: &str) -> Option<Person> {
        self.0.user(username)
    }

    fn calls_everybody(&self, _: &str) -> bool {
        false
    }

    fn channel(&self, name: &str) -> Option<Channel> {
        self.0.channel(name)
    }

    fn custom_emoji(&self, short_code: &str) -> Option<OwnedMxcUri> {
        self.0.custom_emoji(short_code)
    }

    fn emoji(&self, short_code: &str) -> Option<String> {
        self.0.emoji(short_code)
    }
}

/// The addresses of the quotes that [`say`] leaves out of a text because they are shown
/// otherwise, in order: whoever writes the text again has to write these before it.
pub fn leading_permalinks(blocks: &[Block], quotes_shown: &[RocketMessageId]) -> Vec<String> {
    split_permalinks(blocks, quotes_shown).0
}

/// The permalinks of quotes (`[ ](https://host/…?msg=id)`) that a tree begins with, as far as
/// they are shown otherwise, and the tree without them and the white space behind them.
fn split_permalinks(
    blocks: &[Block],
    quotes_shown: &[RocketMessageId],
) -> (Vec<String>, Vec<Block>) {
    let is_shown = |id: &str| quotes_shown.iter().any(|shown| shown.as_str() == id);
    let shown_quote = |inline: &Inline| match inline {
        Inline::Link { src, label } => {
            let blank = label
                .iter()
                .all(|part| matches!(part, Inline::Text(text) if safe::is_blank(text)));
            let is_quote = blank && safe::message_of_permalink(src).is_some_and(|id| is_shown(&id));
            is_quote.then(|| src.clone())
        }
        _ => None,
    };
    let mut links = Vec::new();
    let mut rest = blocks;
    while let Some((first, others)) = rest.split_first() {
        match first {
            Block::LineBreak if !links.is_empty() => rest = others,
            Block::Paragraph(line) => {
                let mut line = line.as_slice();
                let before = links.len();
                loop {
                    match line {
                        [Inline::Text(text), behind @ ..] if safe::is_blank(text) => line = behind,
                        [inline, behind @ ..] => match shown_quote(inline) {
                            Some(link) => {
                                links.push(link);
                                line = behind;
                            }
                            None => break,
                        },
                        [] => break,
                    }
                }
                if links.len() == before {
                    break;
                }
                rest = others;
                if !line.is_empty() {
                    let mut line = line.to_vec();
                    if let Some(Inline::Text(text)) = line.first_mut() {
                        *text = text.trim_start().to_owned();
                    }
                    let first = Block::Paragraph(line);
                    let left = std::iter::once(first).chain(rest.iter().cloned());
                    return (links, left.collect());
                }
            }
            _ => break,
        }
    }
    (links, rest.to_vec())
}

#[cfg(test)]
mod tests;
