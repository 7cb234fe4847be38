//! Signs of life: typing, having read, being there.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::answer;
use super::client::{Request, Session};
use super::rooms::RoomOrder;
use crate::rocketchat::documents::{RoomType, User, read_each};
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::{RocketRoomId, RocketUserId};

/// The longest status line that Rocket.Chat takes, in characters.
const LONGEST_STATUS: usize = 120;

/// How many channels are looked up by a part of their names.
const CHANNELS_LIKE: usize = 50;

/// The largest list of who is there that is read, in bytes.
const LIST_LIMIT: usize = 16 * 1024 * 1024;

/// Whether somebody is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// There.
    Online,
    /// Away from the keyboard.
    Away,
    /// There, and not to be disturbed.
    Busy,
    /// Not there.
    Offline,
}

impl Status {
    /// The server's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Away => "away",
            Self::Busy => "busy",
            Self::Offline => "offline",
        }
    }

    fn of_word(word: &str) -> Self {
        match word {
            "online" => Self::Online,
            "away" => Self::Away,
            "busy" => Self::Busy,
            _ => Self::Offline,
        }
    }
}

/// Somebody's status and status line.
pub type Present = (Status, Option<String>);

#[derive(Deserialize)]
struct PresenceAnswer<'a> {
    #[serde(borrow)]
    users: Vec<&'a RawValue>,
}

impl Session {
    /// Shows the account as typing in a room, or no longer. Clients forget it after 15 s.
    /// Under a name that is not the account's own, which is the display name where
    /// `UI_Use_Real_Name` is on, the server ignores it without a word (6.14).
    ///
    /// # Errors
    /// `too-many-requests`: 40 in 40 s for one token.
    pub async fn show_typing(
        &self,
        rid: &RocketRoomId,
        name: &str,
        typing: bool,
    ) -> Result<(), Error> {
        let activities: &[&str] = if typing { &["user-typing"] } else { &[] };
        let params = vec![
            json!(format!("{rid}/user-activity")),
            json!(name),
            json!(activities),
            json!({}),
        ];
        self.method_call("stream-notify-room", params)
            .await
            .map(drop)
    }

    /// The account has read all of a room.
    ///
    /// # Errors
    /// `error-not-allowed` when it may not see the room.
    pub async fn mark_read(&self, rid: &RocketRoomId) -> Result<(), Error> {
        let request = Request::post(&["api", "v1", "subscriptions.read"], json!({ "rid": rid }));
        self.bytes(request).await.map(drop)
    }

    /// Sets the account's own status and status line, which is cut to what the server
    /// takes.
    ///
    /// # Errors
    /// `error-status-not-allowed` for being offline, where the server forbids that.
    pub async fn set_status(&self, status: Status, text: &str) -> Result<(), Error> {
        let text: String = text.chars().take(LONGEST_STATUS).collect();
        let body = json!({ "status": status.as_str(), "message": text });
        let request = Request::post(&["api", "v1", "users.setStatus"], body);
        self.bytes(request).await.map(drop)
    }

    /// Of these people, or with none given of all, those who are there. Whoever is missing
    /// is offline; where the server has switched presence off
    /// (`Presence_broadcast_disabled`) that is everybody.
    ///
    /// # Errors
    /// What any request may give.
    pub async fn present(
        &self,
        ids: &[RocketUserId],
    ) -> Result<HashMap<RocketUserId, Present>, Error> {
        let mut request = Request::get(&["api", "v1", "users.presence"]).limit(LIST_LIMIT);
        if !ids.is_empty() {
            let ids: Vec<&str> = ids.iter().map(RocketUserId::as_str).collect();
            request = request.query("ids", ids.join(","));
        }
        let body = self.bytes(request).await?;
        let answer: PresenceAnswer<'_> = answer::parse(&body)?;
        let (users, _) = read_each::<User>(&answer.users);
        Ok(users
            .into_iter()
            .map(|user| {
                let status = Status::of_word(user.status.as_deref().unwrap_or_default());
                let text = user.status_text.filter(|text| !text.is_empty());
                (user.id, (status, text))
            })
            .collect())
    }
}

#[derive(Deserialize)]
struct AutocompleteAnswer<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

impl Session {
    /// Some active people in whose name or user name this text is: about ten, each with id
    /// and names only.
    ///
    /// # Errors
    /// What any request may give.
    pub async fn people_like(&self, text: &str) -> Result<Vec<User>, Error> {
        let selector = json!({ "term": text }).to_string();
        let request =
            Request::get(&["api", "v1", "users.autocomplete"]).query("selector", selector);
        let body = self.bytes(request).await?;
        let answer: AutocompleteAnswer<'_> = answer::parse(&body)?;
        let (users, _) = read_each::<User>(&answer.items);
        Ok(users)
    }

    /// The names of some channels in whose name this text is, whether or not the account
    /// is in them: `spotlight` leaves out those that it is in.
    ///
    /// # Errors
    /// What any request may give.
    pub async fn channels_like(&self, text: &str) -> Result<Vec<String>, Error> {
        let order = RoomOrder::LastMessage;
        let page = self
            .admin_rooms(&[RoomType::Channel], text, order, 0, CHANNELS_LIKE)
            .await?;
        Ok(page
            .items
            .into_iter()
            .filter_map(|room| room.name)
            .collect())
    }
}
