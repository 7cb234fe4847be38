//! The files of a message: which there are, and what the event of each says.

use std::collections::HashSet;

use ruma::{MxcUri, OwnedMxcUri};
use serde_json::{Value, json};

use super::attachments::{Parse, aside, is_quote};
use super::{Directory, Rendered, card};
use crate::media::{kind, name};
use crate::rocketchat::documents::{Attachment, Dimensions, FileRef, Message};

/// How many files of one message get an event each. Rocket.Chat's own clients send ten;
/// whoever writes documents by hand could list thousands. Those beyond are named in
/// words.
const MOST_FILES: usize = 50;

/// Longest id of a file; Rocket.Chat's have 17 or 24 characters.
const LONGEST_ID: usize = 64;

/// What the web client of Rocket.Chat calls a voice message, in English; in other
/// languages it is not told from other sound
/// (6.14, `client/views/composer/AudioMessageRecorder`).
const VOICE_OF_WEB: &str = "Audio record.mp3";

/// A file of a message. All but the id, which may lead to nothing, is what its sender
/// says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedFile {
    /// Its id on Rocket.Chat: letters, digits, `-` and `_`. Of an image the original.
    pub id: String,
    /// Its name, cleaned.
    pub name: String,
    /// Its media type, as claimed, without parameters.
    pub claimed_type: Option<String>,
    /// Its size in bytes, as claimed.
    pub claimed_size: Option<u64>,
    /// A smaller image that Rocket.Chat made of it.
    pub thumbnail: Option<Thumbnail>,
    /// A tiny blurred JPEG of it, in base64.
    pub preview: Option<String>,
    /// Which attachment of the message it is.
    attachment: Option<usize>,
    /// It is what the attachment is mainly about: its caption is this file's.
    is_main: bool,
}

/// A smaller image of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// Its id on Rocket.Chat, as [`AttachedFile::id`].
    pub id: String,
    /// Its size in pixels, as claimed.
    pub dimensions: Option<Dimensions>,
}

/// The id in the address of an upload (`/file-upload/<id>/<name>`) of the server
/// itself. Any other address is none: it is never followed.
fn id_in(address: Option<&str>) -> Option<&str> {
    let (id, _) = address?.strip_prefix("/file-upload/")?.split_once('/')?;
    is_id(id).then_some(id)
}

fn is_id(id: &str) -> bool {
    (1..=LONGEST_ID).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// The files of a message, in order, each once. Those of quotes are not among them:
/// they are the quoted message's.
pub fn files_of(message: &Message) -> Vec<AttachedFile> {
    let mut files = Vec::new();
    let mut seen = HashSet::new();
    for (at, attachment) in message.attachments.iter().enumerate() {
        if is_quote(attachment) {
            continue;
        }
        let original = id_in(attachment.title_link.as_deref());
        let shown = id_in(attachment.image_url.as_deref());
        let ids = original
            .or(shown)
            .into_iter()
            .chain(id_in(attachment.audio_url.as_deref()))
            .chain(id_in(attachment.video_url.as_deref()));
        let mut is_main = true;
        for id in ids {
            if files.len() >= MOST_FILES || !seen.insert(id.to_owned()) {
                continue;
            }
            let record = message.files.iter().find(|file| file.id == id);
            files.push(attached(attachment, record, id, (at, is_main)));
            is_main = false;
        }
    }
    // Without attachments the list of files is all that tells of them. What an edit has
    // taken out of a message stays in that list.
    if message.attachments.is_empty() && message.edited_at.is_none() {
        let listed = message.files.iter().chain(&message.file);
        for file in listed.filter(|file| is_id(&file.id) && !is_thumbnail(file)) {
            if files.len() < MOST_FILES && seen.insert(file.id.clone()) {
                files.push(unattached(file));
            }
        }
    }
    files
}

fn attached(
    attachment: &Attachment,
    record: Option<&FileRef>,
    id: &str,
    (at, is_main): (usize, bool),
) -> AttachedFile {
    let title = attachment.title.as_deref();
    let recorded = record.and_then(|file| file.name.as_deref());
    // The type that an image has of itself is that of its thumbnail.
    let types = [
        record.and_then(|file| file.media_type.as_ref()),
        attachment.audio_type.as_ref(),
        attachment.video_type.as_ref(),
        attachment.image_type.as_ref(),
    ];
    let sizes = [
        record.and_then(|file| file.size),
        attachment.size,
        attachment.image_size,
        attachment.audio_size,
        attachment.video_size,
    ];
    let shown = id_in(attachment.image_url.as_deref());
    let thumbnail = shown.filter(|shown| is_main && *shown != id);
    AttachedFile {
        id: id.to_owned(),
        name: name::clean(title.or(recorded).unwrap_or_default()),
        claimed_type: types
            .into_iter()
            .flatten()
            .find_map(|claim| kind::essence(claim)),
        claimed_size: sizes.into_iter().flatten().next(),
        thumbnail: thumbnail.map(|id| Thumbnail {
            id: id.to_owned(),
            dimensions: attachment.image_dimensions,
        }),
        preview: attachment.image_preview.clone().filter(|_| is_main),
        attachment: Some(at),
        is_main,
    }
}

fn unattached(file: &FileRef) -> AttachedFile {
    AttachedFile {
        id: file.id.clone(),
        name: name::clean(file.name.as_deref().unwrap_or_default()),
        claimed_type: file.media_type.as_deref().and_then(kind::essence),
        claimed_size: file.size,
        thumbnail: None,
        preview: None,
        attachment: None,
        is_main: true,
    }
}

/// Whether Rocket.Chat made it of another file.
fn is_thumbnail(file: &FileRef) -> bool {
    let name = file.name.as_deref().unwrap_or_default();
    name.starts_with("thumb-")
}

/// Whether one of the files is that attachment.
pub(super) fn is_among(files: &[AttachedFile], attachment: usize) -> bool {
    files.iter().any(|file| file.attachment == Some(attachment))
}

impl AttachedFile {
    /// What is said beside the file by its own attachment: `description`, and whatever
    /// else somebody put there. May be blank. It mentions nobody, as on Rocket.Chat.
    pub fn caption(&self, message: &Message, people: &dyn Directory, parse: Parse<'_>) -> Rendered {
        let attachment = self.attachment.and_then(|at| message.attachments.get(at));
        match attachment {
            Some(attachment) if self.is_main => {
                aside(&card::beside_file(attachment, parse), people)
            }
            _ => Rendered::default(),
        }
    }

    /// Whether it is named as a recording by Rocket.Chat's own clients: the web client's
    /// word, or the moment (ms) in the mobile one
    /// (`Rocket.Chat.ReactNative`, `RecordAudio`).
    pub fn is_voice(&self) -> bool {
        let is_moment = |stem: &str| stem.len() == 13 && stem.bytes().all(|b| b.is_ascii_digit());
        self.name == VOICE_OF_WEB
            || match self.name.rsplit_once('.') {
                Some((stem, "aac" | "m4a")) => is_moment(stem),
                _ => false,
            }
    }
}

/// A smaller image that is on Matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmallImage {
    /// Where.
    pub url: OwnedMxcUri,
    /// Its type, by its bytes.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Width and height in pixels, by its bytes.
    pub dimensions: Option<(u32, u32)>,
}

/// What is known of a file that is on Matrix.
#[derive(Debug)]
pub struct OnMatrix<'a> {
    /// Where.
    pub url: &'a MxcUri,
    /// Its type, by its bytes.
    pub media_type: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// Width and height in pixels, by its bytes.
    pub dimensions: Option<(u32, u32)>,
    /// How long it lasts, in ms.
    pub duration: Option<u64>,
    /// Its colours, blurred (`xyz.amorgan.blurhash`, MSC2448).
    pub blurhash: Option<String>,
    /// A smaller image of it.
    pub thumbnail: Option<SmallImage>,
}

/// The content of a file's event, without a caption.
pub fn event_of(file: &AttachedFile, on_matrix: &OnMatrix<'_>) -> Value {
    let shown = kind::shown(on_matrix.media_type);
    let msgtype = match shown {
        kind::Shown::Image => "m.image",
        kind::Shown::Audio => "m.audio",
        kind::Shown::Video => "m.video",
        kind::Shown::File => "m.file",
    };
    let mut info = json!({ "mimetype": on_matrix.media_type, "size": on_matrix.size });
    if let Some((width, height)) = on_matrix.dimensions {
        info["w"] = width.into();
        info["h"] = height.into();
    }
    if let Some(duration) = on_matrix.duration {
        info["duration"] = duration.into();
    }
    if let Some(blurhash) = &on_matrix.blurhash {
        info["xyz.amorgan.blurhash"] = blurhash.as_str().into();
    }
    if let Some(small) = &on_matrix.thumbnail {
        info["thumbnail_url"] = small.url.as_str().into();
        let mut of = json!({ "mimetype": small.media_type, "size": small.size });
        if let Some((width, height)) = small.dimensions {
            of["w"] = width.into();
            of["h"] = height.into();
        }
        info["thumbnail_info"] = of;
    }
    let name = &file.name;
    let mut content = json!({
        "msgtype": msgtype,
        "body": name,
        "filename": name,
        "url": on_matrix.url.as_str(),
        "info": info,
    });
    if shown == kind::Shown::Audio && file.is_voice() {
        content["org.matrix.msc3245.voice"] = json!({});
        content["org.matrix.msc1767.audio"] = match on_matrix.duration {
            Some(duration) => json!({ "duration": duration }),
            None => json!({}),
        };
    }
    content
}

/// As what a file is uploaded: markup, which a browser would run, as bytes, so that no
/// homeserver shows it.
pub fn upload_type(media_type: &str) -> &str {
    let is_markup = ["html", "xml", "svg", "script"]
        .iter()
        .any(|word| media_type.contains(word));
    if is_markup { kind::UNKNOWN } else { media_type }
}

/// The same file with a caption (MSC2530, Matrix specification 1.10, "Media captions");
/// a file in words gets it beneath.
pub fn captioned(content: &Value, caption: &Rendered) -> Value {
    if caption.is_blank() {
        return content.clone();
    }
    let mut captioned = content.clone();
    let said = if is_file(content) {
        text_of(caption)
    } else {
        let text = |key: &str| content.get(key).and_then(Value::as_str).map(str::to_owned);
        let words = Rendered {
            body: text("body").unwrap_or_default(),
            html: text("formatted_body"),
            ..Rendered::default()
        };
        text_of(&Rendered::join([words, caption.clone()]))
    };
    for key in ["body", "format", "formatted_body"] {
        if let Some(said) = said.get(key) {
            captioned[key] = said.clone();
        }
    }
    captioned
}

/// The content of a file's event as [`event_of`] made it, from one that has been sent
/// with caption and relations. None for other events, words among them.
pub fn without_caption(sent: &Value) -> Option<Value> {
    if !is_file(sent) {
        return None;
    }
    let mut content = json!({ "body": sent.get("filename")? });
    for key in [
        "msgtype",
        "filename",
        "url",
        "info",
        "org.matrix.msc3245.voice",
        "org.matrix.msc1767.audio",
    ] {
        if let Some(value) = sent.get(key) {
            content[key] = value.clone();
        }
    }
    Some(content)
}

fn is_file(content: &Value) -> bool {
    content.get("url").is_some_and(Value::is_string)
}

/// A text as the content of an event.
pub fn text_of(said: &Rendered) -> Value {
    let mut content = json!({ "msgtype": "m.text", "body": said.body });
    if let Some(html) = &said.html {
        content["format"] = "org.matrix.custom.html".into();
        content["formatted_body"] = html.as_str().into();
    }
    content
}

#[cfg(test)]
mod tests;
