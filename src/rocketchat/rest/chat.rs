//! Messages.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer;
use super::client::{Request, Session};
use crate::rocketchat::documents::{Deleted, Message, SyncResult, Timestamp, read_each};
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::{RocketMessageId, RocketRoomId};

/// `chat.syncMessages` is not paged: a long absence from a lively room is one answer.
const SYNC_LIMIT: usize = 256 * 1024 * 1024;

/// A message to be sent.
#[derive(Debug, Clone)]
pub struct OutgoingMessage<'a> {
    /// Chosen by the sender, so that a repeat is recognised.
    pub id: &'a RocketMessageId,
    /// Where to. The room of the thread wins over it.
    pub rid: &'a RocketRoomId,
    /// The text, at most `Message_MaxAllowedSize` (5000) UTF-16 units.
    pub msg: &'a str,
    /// The first message of the thread to reply in.
    pub tmid: Option<&'a RocketMessageId>,
    /// Display name in place of the account's. Needs `message-impersonate`, which
    /// roles `bot` and `app` have and `admin` has not.
    pub alias: Option<&'a str>,
    /// Avatar (http, https or data URL) in place of the account's. As `alias`.
    pub avatar: Option<&'a str>,
    /// Emoji (`:ghost:`) in place of the avatar.
    pub emoji: Option<&'a str>,
}

/// What became of a message that was sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Sent {
    /// Stored, in this form: the text may differ from the one sent (6.14 closes an odd
    /// code fence).
    Stored(Box<Message>),
    /// The server has a message with this id, or has just refused a second one. Look
    /// with [`Session::get_message`] whose it is.
    IdTaken,
}

#[derive(Deserialize)]
struct MessageAnswer {
    message: Message,
}

#[derive(Deserialize)]
struct SyncAnswer<'a> {
    #[serde(borrow)]
    result: SyncLists<'a>,
}

#[derive(Deserialize)]
struct SyncLists<'a> {
    #[serde(borrow, default)]
    updated: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    deleted: Vec<&'a RawValue>,
}

impl Session {
    /// Sends a message. Repeating it with the same id is safe: nothing is stored twice.
    ///
    /// `ts` is never sent (the server refuses or replaces it), and previews of links
    /// are left to the server: without them the bridged text would look different from
    /// what a native user writes, and the quotes that `[ ](permalink)` asks for are made
    /// from the same list of addresses. Up to 8.0 the answer therefore waits for the
    /// preview.
    ///
    /// # Errors
    /// `error-not-allowed`, `error-invalid-room`, `error-message-size-exceeded`,
    /// `You_have_been_muted`, `restricted-workspace` and what any request may give.
    pub async fn send_message(&self, message: &OutgoingMessage<'_>) -> Result<Sent, Error> {
        let mut document = json!({
            "_id": message.id,
            "rid": message.rid,
            "msg": message.msg,
        });
        let optional = [
            ("tmid", message.tmid.map(RocketMessageId::as_str)),
            ("alias", message.alias),
            ("avatar", message.avatar),
            ("emoji", message.emoji),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                document[key] = json!(value);
            }
        }
        let body = json!({ "message": document });
        let request = Request::post(&["api", "v1", "chat.sendMessage"], body);
        match self.json::<MessageAnswer>(request).await {
            Ok(answer) => Ok(Sent::Stored(Box::new(answer.message))),
            Err(error) if says_id_taken(&error) => Ok(Sent::IdTaken),
            Err(Error::RateLimited { after }) => {
                self.send_by_method(document, message.id, after).await
            }
            Err(error) => Err(error),
        }
    }

    /// Sends as clients do. Of accounts without the right `api-bypass-rate-limit`, which
    /// people's own are, REST takes ten messages a minute from one address whoever they
    /// are of; the method takes five a second of each. It tells of no refusal but
    /// `error-not-allowed`, and of no id that is taken (as recorded from 6.14): where it
    /// tells nothing and the message is not there, REST is to say why, `after` the time
    /// that it asked for.
    async fn send_by_method(
        &self,
        document: Value,
        id: &RocketMessageId,
        after: Option<Duration>,
    ) -> Result<Sent, Error> {
        match self.method_call("sendMessage", vec![document]).await? {
            Value::Null if self.get_message(id).await?.is_some() => Ok(Sent::IdTaken),
            Value::Null => Err(Error::RateLimited { after }),
            stored => serde_json::from_value(stored)
                .map(|message| Sent::Stored(Box::new(message)))
                .map_err(|_| Error::NotRocketChat {
                    what: "a stored message that is none",
                }),
        }
    }

    /// A message by its id, hidden ones too; none when there is no such.
    ///
    /// # Errors
    /// `error-not-allowed` when the account may not see its room.
    pub async fn get_message(&self, id: &RocketMessageId) -> Result<Option<Message>, Error> {
        let request = Request::get(&["api", "v1", "chat.getMessage"]).query("msgId", id.as_str());
        match self.json::<MessageAnswer>(request).await {
            Ok(answer) => Ok(Some(answer.message)),
            // `{"success":false}` and nothing else.
            Err(Error::Refused {
                error, code: None, ..
            }) if error.as_str().is_empty() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes the text. Of a message whose first attachment has a caption, it is the
    /// caption that changes. The same text again changes nothing and raises no event.
    ///
    /// # Errors
    /// `error-action-not-allowed`, `error-message-editing-blocked`.
    pub async fn update_message(
        &self,
        rid: &RocketRoomId,
        id: &RocketMessageId,
        text: &str,
    ) -> Result<Message, Error> {
        let body = json!({ "roomId": rid, "msgId": id, "text": text });
        let request = Request::post(&["api", "v1", "chat.update"], body);
        Ok(self.json::<MessageAnswer>(request).await?.message)
    }

    /// Deletes a message. With `as_user` the server acts as its author.
    ///
    /// # Errors
    /// `error-action-not-allowed`, `error-message-deleting-blocked`. A message that is
    /// gone already counts as deleted.
    pub async fn delete_message(
        &self,
        rid: &RocketRoomId,
        id: &RocketMessageId,
        as_user: bool,
    ) -> Result<(), Error> {
        let body = json!({ "roomId": rid, "msgId": id, "asUser": as_user });
        let request = Request::post(&["api", "v1", "chat.delete"], body);
        match self.bytes(request).await {
            Err(Error::Refused { error, .. })
                if error
                    .as_str()
                    .starts_with("No message found with the id of") =>
            {
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Adds or takes back a reaction (`:smile:` or `smile`).
    ///
    /// **Taking back from a message without any reaction adds it** (6.14, 7.x): only
    /// take back what is known to be there. Reactions on one message must not run side
    /// by side: the server loses some.
    ///
    /// # Errors
    /// `error-not-allowed` for an unknown shortcode or a muted user;
    /// `error-message-not-found`.
    pub async fn react(
        &self,
        id: &RocketMessageId,
        shortcode: &str,
        on: bool,
    ) -> Result<(), Error> {
        let body = json!({ "messageId": id, "emoji": shortcode, "shouldReact": on });
        let request = Request::post(&["api", "v1", "chat.react"], body);
        self.bytes(request).await.map(drop)
    }

    /// Everything in a room that was written after `since` by the server's clock
    /// (strictly: give a few seconds of overlap), and what was deleted. Not paged;
    /// answers of up to 256 MiB are accepted.
    ///
    /// # Errors
    /// `error-not-allowed` when the account may not read the room.
    pub async fn sync_messages(
        &self,
        rid: &RocketRoomId,
        since: Timestamp,
    ) -> Result<SyncResult, Error> {
        let request = Request::get(&["api", "v1", "chat.syncMessages"])
            .query("roomId", rid.as_str())
            .query("lastUpdate", since.to_iso())
            .limit(SYNC_LIMIT);
        let body = self.bytes(request).await?;
        let answer: SyncAnswer = answer::parse(&body)?;
        let (updated, odd_updated) = read_each(&answer.result.updated);
        let (deleted, odd_deleted) = read_each::<Deleted>(&answer.result.deleted);
        Ok(SyncResult {
            updated,
            deleted,
            unreadable: odd_updated + odd_deleted,
        })
    }
}

/// A repeated `_id` shows as the engine's own text about a failure inside the server
/// (Node 14 and later spell it differently), or as the database's, when two were under
/// way at once.
fn says_id_taken(error: &Error) -> bool {
    let Error::Refused { error, code, .. } = error else {
        return false;
    };
    let text = error.as_str();
    code.is_none()
        && (text.starts_with("E11000 ")
            || text == "Cannot read property 'starred' of undefined"
            || text == "Cannot read properties of undefined (reading 'starred')")
}
