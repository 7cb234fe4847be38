//! Files of messages.

use serde::Deserialize;
use serde_json::json;

use super::answer;
use super::client::{Request, Session, auth_headers};
use super::transfer;
use crate::media::{Body, Download};
use crate::rocketchat::documents::Message;
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::{FileId, RocketMessageId, RocketRoomId};

/// A file to be uploaded.
#[derive(Debug)]
pub struct Upload<'a> {
    /// Its name. What no name of a file can have is replaced.
    pub name: &'a str,
    /// What it is. The server believes this rather than the name, reads what is said to
    /// be a picture, and refuses it when it cannot.
    pub media_type: &'a str,
    /// Its bytes. Their number need not be known.
    pub body: Body,
}

/// What is posted with a file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside<'a> {
    /// The text; may be empty.
    pub msg: &'a str,
    /// The first message of the thread to reply in.
    pub tmid: Option<&'a RocketMessageId>,
    /// Display name in place of the account's. Needs `message-impersonate`.
    pub alias: Option<&'a str>,
    /// Avatar in place of the account's. As `alias`.
    pub avatar: Option<&'a str>,
}

impl<'a> Beside<'a> {
    /// The fields that are not empty.
    fn fields(&self) -> Vec<(&'static str, &'a str)> {
        let fields = [
            ("msg", Some(self.msg).filter(|msg| !msg.is_empty())),
            ("tmid", self.tmid.map(RocketMessageId::as_str)),
            ("alias", self.alias),
            ("avatar", self.avatar),
        ];
        fields
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }
}

#[derive(Deserialize)]
struct FileAnswer {
    file: FileRecord,
}

#[derive(Deserialize)]
struct FileRecord {
    #[serde(rename = "_id")]
    id: FileId,
}

#[derive(Deserialize)]
struct MessageAnswer {
    message: Message,
}

#[derive(Deserialize)]
struct ConfirmAnswer {
    #[serde(default)]
    message: Option<Message>,
}

impl Session {
    /// Uploads a file that no message shows yet (`rooms.media`, 6.10 and later). The
    /// server forgets it after a day, so a repeat after a lost answer harms nobody.
    ///
    /// # Errors
    /// [`Error::Source`] when the file itself broke; `error-file-too-large` (also for a
    /// file of exactly the server's limit), `error-invalid-file-type`,
    /// `error-file-upload-disabled`, `error-direct-message-file-upload-not-allowed`,
    /// `file-too-small` (no bytes); [`Error::is_unreadable_picture`];
    /// [`Error::Forbidden`] without access to the room, or when there is none;
    /// [`Error::EndpointMissing`].
    pub async fn upload(&self, rid: &RocketRoomId, file: Upload<'_>) -> Result<FileId, Error> {
        let path = ["api", "v1", "rooms.media", rid.as_str()];
        let body = self
            .give(&path, &[], file.name, file.media_type, file.body)
            .await?;
        Ok(answer::parse::<FileAnswer>(&body)?.file.id)
    }

    /// Posts the message that shows an uploaded file. None when the server does not say
    /// which message it made. **A repeat posts a second message**, and its answer shows
    /// the first one: when an answer is lost look into the room.
    ///
    /// The server checks only that the account has access to the room, not that the file
    /// was uploaded there.
    ///
    /// # Errors
    /// `invalid-file` when the server has no such file (any more),
    /// `error-message-size-exceeded`, and what posting may give.
    pub async fn confirm_upload(
        &self,
        rid: &RocketRoomId,
        file: &FileId,
        beside: Beside<'_>,
    ) -> Result<Option<Message>, Error> {
        let mut body = json!({});
        for (key, value) in beside.fields() {
            body[key] = json!(value);
        }
        let path = [
            "api",
            "v1",
            "rooms.mediaConfirm",
            rid.as_str(),
            file.as_str(),
        ];
        let request = Request::post(&path, body);
        Ok(self.json::<ConfirmAnswer>(request).await?.message)
    }

    /// Uploads a file and posts the message that shows it, in one step (`rooms.upload`,
    /// before 8.0). **A repeat posts a second message**: when an answer is lost look into
    /// the room.
    ///
    /// # Errors
    /// As [`Self::upload`], and what posting may give.
    pub async fn upload_and_post(
        &self,
        rid: &RocketRoomId,
        file: Upload<'_>,
        beside: Beside<'_>,
    ) -> Result<Message, Error> {
        let texts = beside.fields();
        let path = ["api", "v1", "rooms.upload", rid.as_str()];
        let body = self
            .give(&path, &texts, file.name, file.media_type, file.body)
            .await?;
        Ok(answer::parse::<MessageAnswer>(&body)?.message)
    }

    /// A file, or a thumbnail of one: they have ids alike. The account must be a member
    /// of the file's room, in public channels too, whatever its roles.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for an account that may not see it, and for a token that is
    /// not accepted (the server does not say which); `invalid-file` when there is no such
    /// file (any more); [`Error::Redirected`].
    pub async fn download(&self, file: &FileId) -> Result<Download, Error> {
        let (user_id, token) = self.credentials();
        // Any name does, and none is a file that is not found.
        let path = ["file-upload", file.as_str(), "x"];
        let response = self
            .client()
            .open(&path, auth_headers(user_id, token)?)
            .await?;
        Ok(Download {
            media_type: transfer::media_type(&response),
            body: self.client().body_of(response),
        })
    }
}
