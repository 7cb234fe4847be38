//! Messages and what is attached to them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Timestamp, UserRef, lenient};
use crate::rocketchat::ids::{RocketMessageId, RocketRoomId, RocketUserId, Username};

/// Who reacted, by shortcode with its colons (`:smile:`).
pub type Reactions = BTreeMap<String, Vec<Username>>;

/// A message as Rocket.Chat stores it. Any star, preview, reply or rename sends
/// it again in whole: only `edited_at` tells of an edit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Message {
    /// The message.
    #[serde(rename = "_id")]
    pub id: RocketMessageId,
    /// Its room.
    pub rid: RocketRoomId,
    /// The text; `""` for most system messages and files.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub msg: String,
    /// When it was sent; the order of the room. Never changes. 1970 if the server
    /// sent none that can be read.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub ts: Timestamp,
    /// Who sent it, or acted (system messages).
    pub u: UserRef,
    /// Last write of any kind. The answer to a send may lack it.
    #[serde(default, rename = "_updatedAt", deserialize_with = "lenient::opt")]
    pub updated_at: Option<Timestamp>,
    /// Last edit, or soft deletion.
    #[serde(default, rename = "editedAt", deserialize_with = "lenient::opt")]
    pub edited_at: Option<Timestamp>,
    /// Who edited last.
    #[serde(default, rename = "editedBy", deserialize_with = "lenient::opt")]
    pub edited_by: Option<UserRef>,
    /// Kind of a system message (`uj`, `rm`, `e2e`, …); none for what people write.
    /// Clients can forge some kinds in 6.14: no security may rest on it.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub t: Option<String>,
    /// Display name in place of the sender's. `chat.postMessage` of 6.14 stores `""`
    /// when none was given: absent here.
    #[serde(default, deserialize_with = "non_empty")]
    pub alias: Option<String>,
    /// Avatar in place of the sender's: URL or relative path.
    #[serde(default, deserialize_with = "non_empty")]
    pub avatar: Option<String>,
    /// Emoji in place of the sender's avatar (`:ghost:`).
    #[serde(default, deserialize_with = "non_empty")]
    pub emoji: Option<String>,
    /// The first message of the thread this one replies in.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub tmid: Option<RocketMessageId>,
    /// A reply in a thread that is shown in the room too.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub tshow: bool,
    /// Number of replies, on the first message of a thread.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub tcount: Option<u64>,
    /// Who is mentioned.
    #[serde(default, deserialize_with = "lenient::list")]
    pub mentions: Vec<Mention>,
    /// Which rooms are mentioned.
    #[serde(default, deserialize_with = "lenient::list")]
    pub channels: Vec<ChannelRef>,
    /// Files, quotes, cards.
    #[serde(default, deserialize_with = "lenient::list")]
    pub attachments: Vec<Attachment>,
    /// The (first) uploaded file.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub file: Option<FileRef>,
    /// All files, thumbnails (`thumb-…`) among them.
    #[serde(default, deserialize_with = "lenient::list")]
    pub files: Vec<FileRef>,
    /// Who reacted with what.
    #[serde(default, deserialize_with = "reactions")]
    pub reactions: Reactions,
    /// Pinned to the room.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub pinned: bool,
    /// Who pinned it last, also after it was unpinned.
    #[serde(default, rename = "pinnedBy", deserialize_with = "lenient::opt")]
    pub pinned_by: Option<UserRef>,
    /// The parsed text; absent after a rename rewrote the text.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub md: Option<Value>,
    /// The addresses in the text.
    #[serde(default, deserialize_with = "lenient::list")]
    pub urls: Vec<MessageUrl>,
    /// Shown to one user, never stored.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub private: bool,
    /// `_hidden`: a copy kept of an edited or deleted message.
    #[serde(default, rename = "_hidden", deserialize_with = "lenient::or_default")]
    pub hidden: bool,
    /// Of a hidden copy: the message it is a copy of.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub parent: Option<RocketMessageId>,
    /// Came through Rocket.Chat's own federation: not to be bridged.
    #[serde(default, rename = "federation", deserialize_with = "lenient::present")]
    pub federated: bool,
    /// Written by an integration.
    #[serde(default, deserialize_with = "lenient::present")]
    pub bot: bool,
    /// The room of the discussion this message stands for.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub drid: Option<RocketRoomId>,
    /// The role that was given or taken (`subscription-role-…`).
    #[serde(default, deserialize_with = "lenient::opt")]
    pub role: Option<String>,
    /// `false`: clients never join it with the message before.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub groupable: Option<bool>,
    /// Brought in by an importer: such messages are not sent to sockets.
    #[serde(default, deserialize_with = "lenient::present")]
    pub imported: bool,
    /// What an app shows (UIKit), as it sent it: kinds and fields differ by app.
    #[serde(default, deserialize_with = "lenient::list")]
    pub blocks: Vec<Value>,
    /// What an integration added; only where the server allows it.
    #[serde(
        default,
        rename = "customFields",
        deserialize_with = "lenient::or_default"
    )]
    pub custom_fields: serde_json::Map<String, Value>,
}

/// Somebody mentioned. `@all` and `@here` have the words as id and name, and no kind.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Mention {
    /// The user, the team, `all` or `here`.
    #[serde(rename = "_id")]
    pub id: RocketUserId,
    /// As written after the `@`.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub username: Option<Username>,
    /// Display name.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub name: Option<String>,
    /// `user` or `team`.
    #[serde(default, rename = "type", deserialize_with = "lenient::opt")]
    pub kind: Option<String>,
}

impl Mention {
    /// Whether everybody in the room is meant.
    pub fn is_everybody(&self) -> bool {
        self.kind.is_none() && matches!(self.id.as_str(), "all" | "here")
    }
}

/// A room mentioned with `#`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ChannelRef {
    /// The room.
    #[serde(rename = "_id")]
    pub id: RocketRoomId,
    /// As written after the `#`.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub name: Option<String>,
    /// The name shown.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub fname: Option<String>,
}

/// An address in the text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MessageUrl {
    /// The address.
    pub url: String,
    /// The server was told not to look at it.
    #[serde(
        default,
        rename = "ignoreParse",
        deserialize_with = "lenient::or_default"
    )]
    pub ignore_parse: bool,
}

/// An uploaded file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FileRef {
    /// The file.
    #[serde(rename = "_id")]
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub name: Option<String>,
    /// Its media type.
    #[serde(default, rename = "type", deserialize_with = "lenient::opt")]
    pub media_type: Option<String>,
    /// Bytes.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub size: Option<u64>,
}

/// Width and height in pixels; of an image's thumbnail where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Dimensions {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// A file, a quote or a card. What it is shows in which address is there:
/// `message_link` a quote, `image_url`, `audio_url`, `video_url` media,
/// `title_link` alone another file.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// `file` for uploads.
    #[serde(rename = "type", deserialize_with = "lenient::opt")]
    pub kind: Option<String>,
    /// Heading, or name of the file.
    #[serde(deserialize_with = "lenient::opt")]
    pub title: Option<String>,
    /// Where the title leads; of a file its download, the original of an image.
    #[serde(deserialize_with = "lenient::opt")]
    pub title_link: Option<String>,
    /// Text; of a quote the quoted text.
    #[serde(deserialize_with = "lenient::opt")]
    pub text: Option<String>,
    /// Caption of a file.
    #[serde(deserialize_with = "lenient::opt")]
    pub description: Option<String>,
    /// Text before the card.
    #[serde(deserialize_with = "lenient::opt")]
    pub pretext: Option<String>,
    /// The image, or its thumbnail where the server made one.
    #[serde(deserialize_with = "lenient::opt")]
    pub image_url: Option<String>,
    /// Media type of the image.
    #[serde(deserialize_with = "lenient::opt")]
    pub image_type: Option<String>,
    /// Bytes of the original image.
    #[serde(deserialize_with = "lenient::opt")]
    pub image_size: Option<u64>,
    /// Of the thumbnail where there is one.
    #[serde(deserialize_with = "lenient::opt")]
    pub image_dimensions: Option<Dimensions>,
    /// The image as a blurred JPEG of at most 32 pixels, in base64.
    #[serde(deserialize_with = "lenient::opt")]
    pub image_preview: Option<String>,
    /// Sound.
    #[serde(deserialize_with = "lenient::opt")]
    pub audio_url: Option<String>,
    /// Media type of the sound.
    #[serde(deserialize_with = "lenient::opt")]
    pub audio_type: Option<String>,
    /// Bytes of the sound.
    #[serde(deserialize_with = "lenient::opt")]
    pub audio_size: Option<u64>,
    /// Film.
    #[serde(deserialize_with = "lenient::opt")]
    pub video_url: Option<String>,
    /// Media type of the film.
    #[serde(deserialize_with = "lenient::opt")]
    pub video_type: Option<String>,
    /// Bytes of the film.
    #[serde(deserialize_with = "lenient::opt")]
    pub video_size: Option<u64>,
    /// Bytes of another file.
    #[serde(deserialize_with = "lenient::opt")]
    pub size: Option<u64>,
    /// Small image beside a card.
    #[serde(deserialize_with = "lenient::opt")]
    pub thumb_url: Option<String>,
    /// Of a quote: the permalink; its `msg` parameter is the message quoted.
    #[serde(deserialize_with = "lenient::opt")]
    pub message_link: Option<String>,
    /// Author of a quote or card, as shown.
    #[serde(deserialize_with = "lenient::opt")]
    pub author_name: Option<String>,
    /// Where the author's name leads.
    #[serde(deserialize_with = "lenient::opt")]
    pub author_link: Option<String>,
    /// Picture of the author.
    #[serde(deserialize_with = "lenient::opt")]
    pub author_icon: Option<String>,
    /// Time of the quoted message; 1970 where none was given (6.14).
    #[serde(deserialize_with = "lenient::opt")]
    pub ts: Option<Timestamp>,
    /// Colour of the bar beside a card.
    #[serde(deserialize_with = "lenient::opt")]
    pub color: Option<String>,
    /// Table of a card.
    #[serde(deserialize_with = "lenient::list")]
    pub fields: Vec<AttachmentField>,
    /// Buttons of a card.
    #[serde(deserialize_with = "lenient::list")]
    pub actions: Vec<AttachmentAction>,
    /// Small print of a card; Rocket.Chat itself does not show it.
    #[serde(deserialize_with = "lenient::opt")]
    pub footer: Option<String>,
    /// The parsed text.
    #[serde(deserialize_with = "lenient::opt")]
    pub md: Option<Value>,
    /// Of a quote: what was attached to the quoted message.
    #[serde(deserialize_with = "lenient::list")]
    pub attachments: Vec<Attachment>,
}

/// One cell of a card.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct AttachmentField {
    /// Heading.
    #[serde(deserialize_with = "lenient::words")]
    pub title: String,
    /// Content. Servers before 8.0 take numbers, too.
    #[serde(deserialize_with = "lenient::words")]
    pub value: String,
    /// Narrow: fits beside another.
    #[serde(deserialize_with = "lenient::or_default")]
    pub short: bool,
}

/// A button of a card.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct AttachmentAction {
    /// `button` is the only kind that is known.
    #[serde(rename = "type", deserialize_with = "lenient::opt")]
    pub kind: Option<String>,
    /// What stands on it.
    #[serde(deserialize_with = "lenient::opt")]
    pub text: Option<String>,
    /// Where it leads.
    #[serde(deserialize_with = "lenient::opt")]
    pub url: Option<String>,
    /// An image in place of a text.
    #[serde(deserialize_with = "lenient::opt")]
    pub image_url: Option<String>,
    /// What whoever presses it says in the room.
    #[serde(deserialize_with = "lenient::opt")]
    pub msg: Option<String>,
}

fn non_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(lenient::opt::<String, D>(deserializer)?.filter(|text| !text.is_empty()))
}

fn reactions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Reactions, D::Error> {
    let Value::Object(map) = Value::deserialize(deserializer)? else {
        return Ok(Reactions::new());
    };
    Ok(map
        .into_iter()
        .map(|(shortcode, reaction)| {
            let names = reaction.get("usernames").and_then(Value::as_array);
            let names = names
                .into_iter()
                .flatten()
                .filter_map(|name| Username::parse(name.as_str()?).ok())
                .collect();
            (shortcode, names)
        })
        .collect())
}
