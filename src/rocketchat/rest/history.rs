//! What was written in a room before.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer;
use super::client::{Request, Session};
use crate::rocketchat::documents::{RoomType, Timestamp, read_each};
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::RocketRoomId;

/// As many as a server gives at once.
const PAGE: usize = 100;

#[derive(Deserialize)]
struct HistoryAnswer<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Written {
    ts: Timestamp,
}

impl Session {
    /// When the oldest of the newest `count` messages of a channel or group was written,
    /// replies in threads among them; none when there are no messages.
    ///
    /// # Errors
    /// 403 when the account may not see a channel; `error-room-not-found` for a group
    /// that it is not in.
    pub async fn oldest_of_newest(
        &self,
        rid: &RocketRoomId,
        kind: &RoomType,
        count: usize,
    ) -> Result<Option<Timestamp>, Error> {
        let endpoint = match kind {
            RoomType::Channel => "channels.history",
            _ => "groups.history",
        };
        let path = ["api", "v1", endpoint];
        let (mut seen, mut oldest) = (0, None::<Timestamp>);
        while seen < count {
            let request = Request::get(&path)
                .query("roomId", rid.as_str())
                .query("showThreadMessages", "true")
                .query("offset", seen.to_string())
                .query("count", PAGE.min(count - seen).to_string());
            let body = self.bytes(request).await?;
            let answer: HistoryAnswer<'_> = answer::parse(&body)?;
            let (messages, _) = read_each::<Written>(&answer.messages);
            for message in messages {
                oldest = Some(oldest.map_or(message.ts, |known| known.min(message.ts)));
            }
            if answer.messages.is_empty() {
                break;
            }
            seen += answer.messages.len();
        }
        Ok(oldest)
    }
}
