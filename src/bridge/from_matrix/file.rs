//! What file a message of Matrix brings, and the words in place of one that cannot be
//! carried over.

use std::fmt::Write as _;

use ruma::events::room::EncryptedFile;
use ruma::{MxcUri, OwnedMxcUri};
use serde_json::Value;

use crate::bridge::{Bridge, Failure};
use crate::convert::to_rocketchat::{self, InPlace};
use crate::media::encrypted;
use crate::store::{InboxEvent, Portal, Store, StoreError};

/// A file in the content of an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attached<'a> {
    /// The type of the event.
    pub kind: &'a str,
    /// Its content.
    pub content: &'a Value,
    /// Where it is on the homeserver. Nothing else in the event says where to look.
    pub mxc: &'a MxcUri,
}

impl<'a> Attached<'a> {
    /// The file of an event, if it is of a type that brings one and says which.
    pub(super) fn of(kind: &'a str, content: &'a Value) -> Option<Self> {
        let brings = match kind {
            "m.sticker" => true,
            "m.room.message" => matches!(
                content.get("msgtype").and_then(Value::as_str),
                Some("m.image" | "m.audio" | "m.video" | "m.file")
            ),
            _ => false,
        };
        let address = content
            .pointer("/file/url")
            .or_else(|| content.get("url"))
            .and_then(Value::as_str)?;
        let mxc = <&MxcUri>::from(address);
        (brings && mxc.is_valid()).then_some(Self { kind, content, mxc })
    }

    /// How it is encrypted, if it is.
    ///
    /// # Errors
    /// For its sender, when it cannot be decrypted.
    pub(super) fn encryption(&self) -> Result<Option<EncryptedFile>, Failure> {
        self.content
            .get("file")
            .filter(|file| file.is_object())
            .map(encrypted::read)
            .transpose()
            .map_err(|why| Failure::Refused(format!("It was not sent: {why}.")))
    }

    /// What its sender calls it; may be empty.
    pub(super) fn name(&self) -> &'a str {
        let text = |key| self.content.get(key).and_then(Value::as_str);
        text("filename")
            .filter(|name| !name.trim().is_empty())
            .or(text("body"))
            .unwrap_or_default()
    }

    /// What its sender says it is.
    pub(super) fn claimed_type(&self) -> Option<&'a str> {
        self.content.pointer("/info/mimetype")?.as_str()
    }

    /// How large its sender says it is, in bytes.
    pub(super) fn claimed_size(&self) -> Option<u64> {
        self.content.pointer("/info/size")?.as_u64()
    }
}

/// What is known of a file that is said in words.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Bytes.
    pub size: Option<u64>,
    /// What it is, by its first bytes.
    pub media_type: Option<String>,
}

/// Why a file is not on Rocket.Chat.
#[derive(Debug)]
pub(super) struct Instead {
    /// For everybody, in a full sentence.
    pub why: String,
    /// What had been found out by then.
    pub known: Known,
    /// It cannot be had now, neither here nor there: its sender is told.
    pub is_lost: bool,
    /// It follows from the settings of Rocket.Chat.
    pub by_setting: bool,
    /// There is something to be had behind a link.
    pub has_bytes: bool,
}

impl Instead {
    /// Rocket.Chat does not take it.
    pub(super) fn not_taken(why: impl Into<String>, known: Known) -> Self {
        Self {
            why: why.into(),
            known,
            is_lost: false,
            by_setting: false,
            has_bytes: true,
        }
    }

    /// As [`Instead::not_taken`], because of how Rocket.Chat is set up.
    pub(super) fn by_setting(why: impl Into<String>, known: Known) -> Self {
        Self {
            by_setting: true,
            ..Self::not_taken(why, known)
        }
    }

    /// There is nothing in it.
    pub(super) fn empty() -> Self {
        Self {
            why: "There is nothing in it.".into(),
            known: Known {
                size: Some(0),
                media_type: None,
            },
            is_lost: false,
            by_setting: false,
            has_bytes: false,
        }
    }

    /// It cannot be had from the homeserver.
    pub(super) fn lost(why: impl Into<String>, known: Known) -> Self {
        Self {
            why: why.into(),
            known,
            is_lost: true,
            by_setting: false,
            has_bytes: true,
        }
    }
}

impl Bridge {
    /// What a message says beside its file, in the dialect of Rocket.Chat; may be empty.
    pub(super) fn caption_of(&self, file: &Attached<'_>, may_call_all: bool) -> String {
        if file.kind == "m.sticker" {
            return String::new();
        }
        self.with_surroundings(may_call_all, |around| {
            to_rocketchat::caption(file.content, around).unwrap_or_default()
        })
    }

    /// The words in place of a file: what it is, why it is not there, where it is to be
    /// had, and what was said beside it.
    pub(super) async fn words_in_place(
        &self,
        portal: &Portal,
        event: &ruma::EventId,
        file: &Attached<'_>,
        instead: &Instead,
    ) -> Result<String, Failure> {
        let link = match instead.has_bytes {
            true => self.link_of(portal, event, file, &instead.known).await?,
            false => None,
        };
        let known = &instead.known;
        let said = InPlace {
            details: &details(
                known.size.or(file.claimed_size()),
                known.media_type.as_deref().or(file.claimed_type()),
            ),
            why: &instead.why,
            link: link.as_deref(),
        };
        let words = self.with_surroundings(false, |around| {
            to_rocketchat::in_place_of_file(file.kind, file.content, said, around)
        });
        Ok(words.unwrap_or_else(|| "[file]".to_owned()))
    }

    /// The text of a message with a file after an edit. Rocket.Chat changes what stands
    /// beside a file, never the file: another one is named, with a link to it.
    pub(super) async fn words_of_edited_file(
        &self,
        portal: &Portal,
        event: &ruma::EventId,
        file: &Attached<'_>,
        there: Option<&MxcUri>,
    ) -> Result<String, Failure> {
        if there == Some(file.mxc) {
            return Ok(self.caption_of(file, false));
        }
        let why = match there {
            Some(_) => "It takes the place of the file that was here.",
            None => "",
        };
        let instead = Instead::not_taken(why, Known::default());
        self.words_in_place(portal, event, file, &instead).await
    }

    async fn link_of(
        &self,
        _portal: &Portal,
        _event: &ruma::EventId,
        _file: &Attached<'_>,
        _known: &Known,
    ) -> Result<Option<String>, Failure> {
        Ok(None)
    }
}

/// Whether working an event means that a file is moved.
pub(super) fn moves_file(store: &Store, event: &InboxEvent) -> Result<bool, StoreError> {
    let json: Value = serde_json::from_str(event.json.get()).unwrap_or(Value::Null);
    let content = json.get("content").unwrap_or(&Value::Null);
    if let Some(original) = super::replaced_by(content) {
        // Only an edit of what never arrived takes its place.
        let new = content.get("m.new_content").unwrap_or(content);
        return Ok(Attached::of(&event.kind, new).is_some()
            && store.message_of_event(&event.room_id, &original)?.is_none());
    }
    Ok(Attached::of(&event.kind, content).is_some())
}

/// Size and type in words.
fn details(size: Option<u64>, media_type: Option<&str>) -> String {
    let mut said = size.map(shown_size).unwrap_or_default();
    if let Some(media_type) = media_type.and_then(crate::media::kind::essence) {
        if !said.is_empty() {
            said.push_str(", ");
        }
        said.push_str(&media_type);
    }
    if said.is_empty() {
        return said;
    }
    format!("({said})")
}

/// A size for people.
pub(super) fn shown_size(bytes: u64) -> String {
    let mut shown = String::new();
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)];
    match units.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => {
            let tenths = bytes / (unit / 10);
            // Writing to a text cannot fail.
            let _ = write!(shown, "{}.{} {name}", tenths / 10, tenths % 10);
        }
        None => {
            let _ = write!(shown, "{bytes} bytes");
        }
    }
    shown
}

/// The address of a file, for the records.
pub(super) fn owned(file: &Attached<'_>) -> OwnedMxcUri {
    file.mxc.to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn only_valid_addresses_in_events_that_bring_files_are_files() {
        let of = |kind: &str, content: Value| Attached::of(kind, &content).is_some();
        let message = "m.room.message";
        let image = json!({ "msgtype": "m.image", "url": "mxc://a.example/x" });
        assert!(of(message, image.clone()));
        let encrypted = json!({ "msgtype": "m.file", "file": { "url": "mxc://a.example/x" } });
        assert!(of(message, encrypted));
        assert!(of("m.sticker", json!({ "url": "mxc://a.example/x" })));
        assert!(!of("m.room.topic", image));
        for bad in [
            "https://a.example/x",
            "mxc://a.example",
            "mxc:///x",
            "mxc://a/../x/y",
        ] {
            let content = json!({ "msgtype": "m.image", "url": bad });
            assert!(!of(message, content), "{bad}");
        }
        assert!(!of(
            message,
            json!({ "msgtype": "m.text", "url": "mxc://a.example/x" })
        ));
    }

    #[test]
    fn sizes_are_shown_as_people_read_them() {
        let table = [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (1_234_567, "1.2 MB"),
            (300_000_000, "300.0 MB"),
            (5_000_000_000, "5.0 GB"),
        ];
        for (bytes, shown) in table {
            assert_eq!(shown_size(bytes), shown);
        }
        assert_eq!(
            details(Some(5), Some("image/PNG; x=y")),
            "(5 bytes, image/png)"
        );
        assert_eq!(details(None, Some("nonsense")), "");
        assert_eq!(details(None, None), "");
    }
}
