//! What file a message of Matrix brings, and the words in place of one that cannot be
//! carried over.

use ruma::MxcUri;
use ruma::events::room::EncryptedFile;
use serde_json::Value;

use crate::bridge::{Bridge, Failure};
use crate::convert::absent::{Absent, Why};
use crate::convert::to_rocketchat;
use crate::media::{encrypted, kind, name};
use crate::rocketchat::RocketMessageId;
use crate::store::{FileSource, InboxEvent, LinkedFile, Message, Portal, Store, StoreError};

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
        let mxc = file_address(content)?;
        brings.then_some(Self { kind, content, mxc })
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
    /// For everybody.
    pub why: Why<'static>,
    /// The same in a full sentence, where nothing else says it.
    pub said: Option<String>,
    /// What had been found out by then.
    pub known: Known,
    /// It follows from the settings of Rocket.Chat.
    pub by_setting: bool,
    /// It cannot be had now, neither here nor there: its sender is told.
    pub is_lost: bool,
}

impl Instead {
    /// Rocket.Chat does not take it.
    pub(super) fn not_taken(why: Why<'static>, known: Known) -> Self {
        Self {
            why,
            said: None,
            known,
            by_setting: false,
            is_lost: false,
        }
    }

    /// As [`Instead::not_taken`], because of how Rocket.Chat is set up.
    pub(super) fn by_setting(why: Why<'static>, known: Known) -> Self {
        Self {
            by_setting: true,
            ..Self::not_taken(why, known)
        }
    }

    /// It cannot be had, or not be given away.
    pub(super) fn lost(why: String, known: Known) -> Self {
        Self {
            said: Some(why),
            is_lost: true,
            ..Self::not_taken(Why::Other(""), known)
        }
    }

    fn why(&self) -> Why<'_> {
        match &self.said {
            Some(said) => Why::Other(said),
            None => self.why,
        }
    }
}

/// What is said in place of a file.
#[derive(Debug)]
pub(super) struct Said {
    /// For everybody on Rocket.Chat, in its dialect.
    pub words: String,
    /// Why it is not there, for its sender.
    pub why: String,
    /// There is a link to it among the words.
    pub has_link: bool,
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
    /// had, and what was said beside it. They stand in `message`, with which the link
    /// ends.
    pub(super) async fn words_in_place(
        &self,
        portal: &Portal,
        message: &RocketMessageId,
        file: &Attached<'_>,
        instead: &Instead,
    ) -> Result<Said, Failure> {
        let claimed = || file.claimed_type().and_then(kind::essence);
        let media_type = match &instead.known.media_type {
            Some(media_type) => media_type.clone(),
            None => claimed().unwrap_or_else(|| kind::UNKNOWN.to_owned()),
        };
        let name = name::clean_of_type(file.name(), &media_type);
        let size = instead.known.size;
        let link = match instead.why {
            Why::Empty => None,
            _ => {
                let encrypted = file.encryption()?.map(Box::new);
                let linked = LinkedFile {
                    source: FileSource::Matrix {
                        mxc: file.mxc.to_owned(),
                        encrypted,
                    },
                    name: name.clone(),
                    media_type: media_type.clone(),
                    size,
                    portal: portal.id.clone(),
                    message: message.clone(),
                };
                self.link_to(linked).await?
            }
        };
        let absent = Absent {
            name: &name,
            media_type: &media_type,
            size: size.or(file.claimed_size()),
            why: instead.why(),
            link: link.as_ref().map(|(link, until)| (link, *until)),
        };
        let mut words = to_rocketchat::absent(&absent);
        let caption = self.caption_of(file, false);
        if !caption.is_empty() {
            words.push('\n');
            words.push_str(&caption);
        }
        Ok(Said {
            words,
            why: absent.reason("Rocket.Chat"),
            has_link: link.is_some(),
        })
    }

    /// The text of a message with a file after an edit. Rocket.Chat changes what stands
    /// beside a file, never the file: another one is named, with a link to it.
    pub(super) async fn words_of_edited_file(
        &self,
        portal: &Portal,
        known: &Message,
        file: &Attached<'_>,
    ) -> Result<String, Failure> {
        let brought = known.files.iter();
        let there: Vec<_> = brought
            .filter_map(|brought| file_address(&brought.content))
            .chain(known.media.as_deref())
            .collect();
        if there.contains(&file.mxc) {
            return Ok(self.caption_of(file, false));
        }
        let why = match there.is_empty() {
            false => "It takes the place of the file that was sent here.",
            true => "It is not on Rocket.Chat.",
        };
        let instead = Instead::not_taken(Why::Other(why), Known::default());
        let said = self
            .words_in_place(portal, &known.id, file, &instead)
            .await?;
        Ok(said.words)
    }
}

/// Where the file in the content of an event is on the homeserver.
pub(super) fn file_address(content: &Value) -> Option<&MxcUri> {
    let address = content
        .pointer("/file/url")
        .or_else(|| content.get("url"))
        .and_then(Value::as_str)?;
    let mxc = <&MxcUri>::from(address);
    mxc.is_valid().then_some(mxc)
}

/// Whether an event, or the newer form in it, brings a file.
pub(super) fn brings_file(kind: &str, content: &Value) -> bool {
    let new = content.get("m.new_content").unwrap_or(content);
    Attached::of(kind, new).is_some()
}

/// Whether working an event means that a file is moved.
pub(super) fn moves_file(store: &Store, event: &InboxEvent) -> Result<bool, StoreError> {
    let json: Value = serde_json::from_str(event.json.get()).unwrap_or(Value::Null);
    let content = json.get("content").unwrap_or(&Value::Null);
    if let Some(original) = super::replaced_by(content) {
        // Only an edit of what never arrived takes its place.
        let new = content.get("m.new_content").unwrap_or(content);
        return Ok(Attached::of(&event.kind, new).is_some()
            && store
                .message_of_event(&event.room_id, &original)?
                .is_none_or(|known| known.pending));
    }
    Ok(Attached::of(&event.kind, content).is_some())
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
}
