//! The files of a room.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer;
use super::client::{Request, Session};
use crate::rocketchat::documents::{Page, RoomType, UploadedFile, read_each};
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::RocketRoomId;

/// As many as a server gives at once.
const PAGE: usize = 100;

#[derive(Deserialize)]
struct FilesAnswer<'a> {
    #[serde(borrow)]
    files: Vec<&'a RawValue>,
    #[serde(default)]
    total: usize,
}

impl Session {
    /// Files that were uploaded to a room, the newest first, from that one on, a hundred
    /// at most: confirmed or not, without thumbnails.
    ///
    /// # Errors
    /// 403 when the account may not see a channel; `error-room-not-found` for a group
    /// that it is not in.
    pub async fn room_files(
        &self,
        rid: &RocketRoomId,
        kind: &RoomType,
        offset: usize,
    ) -> Result<Page<UploadedFile>, Error> {
        let endpoint = match kind {
            RoomType::Channel => "channels.files",
            RoomType::Direct => "im.files",
            RoomType::Group | RoomType::Livechat | RoomType::Other(_) => "groups.files",
        };
        let path = ["api", "v1", endpoint];
        let request = Request::get(&path)
            .query("roomId", rid.as_str())
            .query("sort", r#"{"uploadedAt":-1}"#)
            .query("offset", offset.to_string())
            .query("count", PAGE.to_string());
        let body = self.bytes(request).await?;
        let answer: FilesAnswer<'_> = answer::parse(&body)?;
        let (items, unreadable) = read_each::<UploadedFile>(&answer.files);
        Ok(Page {
            // Some versions let a query name another room. There is none here.
            items: items.into_iter().filter(|file| file.rid == *rid).collect(),
            offset,
            sent: answer.files.len(),
            total: answer.total,
            unreadable,
        })
    }
}
