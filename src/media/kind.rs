//! What a file is, by its first bytes rather than by what is said of it.
//!
//! A name and a claimed type are the sender's words: a page of HTML may be called
//! `photo.png`. They count only where the bytes leave room (which of the formats that
//! are ZIP archives; which kind of text), and never for anything that a browser would
//! run.

mod markup;
mod table;

use std::borrow::Cow;

/// What a type is called that says nothing.
pub const UNKNOWN: &str = "application/octet-stream";

/// So many bytes are enough for [`of`]; of more, the rest is not looked at.
pub const ENOUGH: usize = 4096;

/// Longest claimed type that is considered, in bytes.
const LONGEST_CLAIM: usize = 127;

/// How clients show a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// As a picture. Never SVG, which is a document with scripts.
    Image,
    /// As something to hear.
    Audio,
    /// As something to watch.
    Video,
    /// As a file to save.
    File,
}

/// The media type of a file that begins with `head` (see [`ENOUGH`]; all of it, if it
/// is shorter), in lower case and without parameters.
///
/// `claimed` is what the sender says and `name` what the file is called; they decide
/// only between harmless types that the bytes do not tell apart. HTML, SVG and XML are
/// recognised whatever they are called.
pub fn of(head: &[u8], claimed: Option<&str>, name: &str) -> String {
    let head = head.get(..ENOUGH).unwrap_or(head);
    let claimed = claimed.and_then(essence);
    let by_name = extension(name).and_then(|extension| table::type_of(&extension));
    let hints = || claimed.as_deref().into_iter().chain(by_name);
    if let Some(text) = markup::as_text(head) {
        if let Some(found) = markup::of(&text) {
            return found.to_owned();
        }
        if text.is_empty() {
            // Nothing in it to be anything.
            return hint(hints(), table::is_harmless).unwrap_or_else(|| UNKNOWN.to_owned());
        }
        if let Some(found) = magic(head).filter(|found| table::is_magic_in_text(found)) {
            return found.to_owned();
        }
        return hint(hints(), table::is_text).unwrap_or_else(|| "text/plain".to_owned());
    }
    match magic(head) {
        Some(found) => {
            let found = table::usual(found);
            hint(hints(), |hint| table::is_refinement(found, hint))
                .unwrap_or_else(|| found.to_owned())
        }
        None => hint(hints(), |hint| {
            table::is_harmless(hint) && !table::has_magic(hint) && !table::is_text(hint)
        })
        .unwrap_or_else(|| UNKNOWN.to_owned()),
    }
}

/// Whether a browser may be given a file of that type to show by itself: pictures,
/// sound and film in formats that hold nothing to run. Never SVG, HTML, XML or text.
pub fn is_safe_inline(media_type: &str) -> bool {
    essence(media_type).is_some_and(|media_type| table::SAFE.contains(&media_type.as_str()))
}

/// The type to serve a file with, as something to save: its own if it is safe, or plain
/// text, else one that says nothing.
pub fn served_as(media_type: &str) -> &'static str {
    let Some(media_type) = essence(media_type) else {
        return UNKNOWN;
    };
    let known = table::SAFE.into_iter().chain(["text/plain"]);
    known
        .into_iter()
        .find(|known| *known == media_type)
        .unwrap_or(UNKNOWN)
}

/// How clients show a file of that type.
pub fn shown(media_type: &str) -> Shown {
    let Some(media_type) = essence(media_type) else {
        return Shown::File;
    };
    match media_type.split_once('/') {
        // Any kind of XML may have scripts.
        Some(("image", kind)) if !kind.contains("svg") && !kind.ends_with("xml") => Shown::Image,
        Some(("audio", _)) => Shown::Audio,
        Some(("video", _)) => Shown::Video,
        _ => Shown::File,
    }
}

/// The usual end of names of files of that type, without the dot.
pub fn extension_of(media_type: &str) -> Option<&'static str> {
    table::extension_of(&essence(media_type)?)
}

/// A type without its parameters, in lower case; none when it is not one
/// (RFC 6838, section 4.2).
pub fn essence(media_type: &str) -> Option<String> {
    let plain = media_type.split(';').next()?.trim();
    let (kind, sub) = plain.split_once('/')?;
    let is_name = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c))
    };
    (plain.len() <= LONGEST_CLAIM && is_name(kind) && is_name(sub))
        .then(|| plain.to_ascii_lowercase())
}

fn hint<'a>(
    mut hints: impl Iterator<Item = &'a str>,
    fits: impl Fn(&str) -> bool,
) -> Option<String> {
    hints.find(|hint| fits(hint)).map(str::to_owned)
}

/// The end of a name behind its last dot, in lower case.
fn extension(name: &str) -> Option<Cow<'_, str>> {
    let (_, extension) = name.trim_end_matches(['.', ' ']).rsplit_once('.')?;
    (1..=10)
        .contains(&extension.len())
        .then(|| extension.to_ascii_lowercase().into())
}

/// What the magic bytes say.
fn magic(head: &[u8]) -> Option<&'static str> {
    if let Some(found) = base_media(head) {
        return Some(found);
    }
    let found = infer::get(head)?.mime_type();
    // Its rules for markup are looser and tighter than ours, which have been applied.
    (!found.starts_with("text/") && found != UNKNOWN).then_some(found)
}

/// Films, sound and pictures in the ISO base media format (ISO 14496-12), by their major
/// brand. `infer` knows some of the brands only.
fn base_media(head: &[u8]) -> Option<&'static str> {
    if head.get(4..8)? != b"ftyp" {
        return None;
    }
    Some(match head.get(8..12)? {
        b"qt  " => "video/quicktime",
        b"M4A " | b"M4B " | b"M4P " => "audio/mp4",
        b"avif" | b"avis" => "image/avif",
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => "image/heic",
        b"mif1" | b"msf1" => match head.get(16..20) {
            Some(b"avif") => "image/avif",
            _ => "image/heif",
        },
        brand if brand.starts_with(b"3g2") => "video/3gpp2",
        brand if brand.starts_with(b"3g") => "video/3gpp",
        b"crx " => "image/x-canon-cr3",
        _ => "video/mp4",
    })
}

#[cfg(test)]
mod tests;
