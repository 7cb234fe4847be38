//! A message of Rocket.Chat in the form of Matrix.
//!
//! * [`render`]: a message's tree as text and HTML.
//! * [`say`]: all of a message: its tree, what is attached, an app's blocks.
//! * [`files_of`]: the files that came with it, and the event of each.
//! * [`absent`]: what stands in place of a file.
//! * [`fit`], [`split_text`]: what is too long for one event.
//!
//! Who and what a name means only the [`Directory`] says, which the caller has made
//! for this message: a tree has names as they were typed.

mod absent;
mod attachments;
mod card;
mod files;
mod markup;
mod moment;
mod person;
mod plain;
mod rendered;
pub(super) mod safe;
mod size;
mod uikit;

/// A text as it stands in HTML, in attributes too.
pub fn in_html(text: &str) -> String {
    safe::attribute(text)
}

pub use absent::absent;
pub use attachments::{Parse, leading_permalinks, say};
pub use files::{
    AttachedFile, OnMatrix, SmallImage, Thumbnail, captioned, event_of, files_of, text_of,
    upload_type, without_caption,
};
pub use markup::render;
pub use person::shown_name;
pub use rendered::{Channel, Directory, Person, Rendered};
pub use safe::name as safe_name;
pub use size::{LEAST_PIECE, bytes_in_json, fit, split_text};

#[cfg(test)]
mod testing;
