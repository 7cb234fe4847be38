//! A document of Rocket.Chat on its way to Matrix.

use std::sync::Arc;

use ruma::{OwnedEventId, OwnedUserId};
use serde_json::{Value, json};

use super::lane::Place;
use super::marker::Marker;
use super::perseverance::Attempt;
use super::{Bridge, Failure, derived};
use crate::convert::to_matrix;
use crate::matrix::Intent;
use crate::rocketchat::documents::{Message as RocketMessage, UserRef};
use crate::rocketchat::{RocketMessageId, RocketRoomId};
use crate::store::{DeadLetter, Ghost, Message, Origin, Portal, PortalKind};

/// How many pages of a room's history are looked through for events whose
/// answers were lost: they are among the newest.
const PAGES_TO_LOOK_THROUGH: usize = 20;

/// Something that happened to a message on Rocket.Chat.
#[derive(Debug, Clone)]
pub(super) enum Document {
    /// It is there, in this form. Rocket.Chat sends a message again for every
    /// star, preview and thread counter.
    Message(Box<RocketMessage>),
    /// It is gone.
    Deleted {
        /// Its id.
        id: RocketMessageId,
        /// When it went (ms), if known.
        at: Option<i64>,
    },
}

/// A document in its room's queue.
#[derive(Debug)]
pub(super) struct Job {
    pub document: Document,
    /// What the room's cursor wants back when it is done.
    pub ticket: i64,
}

impl Document {
    /// When it was changed last (ms), for the room's cursor.
    pub(super) fn updated_at(&self) -> Option<i64> {
        match self {
            Self::Message(message) => Some(message.updated_at.unwrap_or(message.ts).0),
            Self::Deleted { at, .. } => *at,
        }
    }

    /// Its place in the room's order.
    pub(super) fn place(&self) -> Place {
        match self {
            Self::Message(message) => Place {
                sender: message.u.id.as_str().to_owned(),
                id: message.id.as_str().to_owned(),
                refers_to: message
                    .tmid
                    .iter()
                    .chain(std::iter::once(&message.id))
                    .map(|id| id.as_str().to_owned())
                    .collect(),
                alone: false,
            },
            Self::Deleted { id, .. } => Place {
                // No user id: ids have no blanks.
                sender: format!("deletion of {id}"),
                id: id.as_str().to_owned(),
                refers_to: vec![id.as_str().to_owned()],
                alone: false,
            },
        }
    }

    fn id(&self) -> &RocketMessageId {
        match self {
            Self::Message(message) => &message.id,
            Self::Deleted { id, .. } => id,
        }
    }
}

impl Bridge {
    /// Does what a document asks for. Ends when it is done or set aside.
    pub(super) async fn work_document(self: Arc<Self>, rid: RocketRoomId, job: Job) {
        let Job { document, ticket } = job;
        let done = self
            .persevere(|attempt| self.mirror_document(&rid, &document, attempt))
            .await;
        if let Err(failure) = done {
            self.set_document_aside(&rid, &document, &failure);
        }
        self.document_done(&rid, ticket);
    }

    async fn mirror_document(
        &self,
        rid: &RocketRoomId,
        document: &Document,
        attempt: Attempt,
    ) -> Result<(), Failure> {
        let Some(portal) = self.store.portal(rid)? else {
            return Ok(());
        };
        match document {
            // Whoever wrote it: a moderator may have taken it away.
            Document::Message(message) if message.t.as_deref() == Some("rm") => {
                self.mirror_deletion(&portal, &message.id).await
            }
            Document::Message(message) if self.is_for_matrix(message).await? => {
                self.mirror_message(&portal, message, attempt).await
            }
            Document::Message(_) => Ok(()),
            Document::Deleted { id, .. } => self.mirror_deletion(&portal, id).await,
        }
    }

    /// Whether somebody on Rocket.Chat wrote it, for everybody in the room.
    pub(super) async fn is_for_matrix(&self, message: &RocketMessage) -> Result<bool, Failure> {
        if message.hidden || message.federated {
            return Ok(false);
        }
        let author = &message.u.id;
        if author == self.rocket().await.bot.user_id() {
            return Ok(false);
        }
        Ok(self.store.behind_puppet(author)?.is_none())
    }

    async fn mirror_message(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        attempt: Attempt,
    ) -> Result<(), Failure> {
        if attempt.maybe_done {
            self.adopt_delivered(portal).await?;
        }
        let known = self.store.message(&portal.rid, &message.id)?;
        match known {
            _ if is_of_the_system(message) => {
                tracing::debug!(kind = message.t, "a system message is not mirrored");
                Ok(())
            }
            None if message.ts.0 <= portal.since => Ok(()),
            None => self.mirror_new(portal, message).await,
            Some(known) => self.mirror_edit(portal, message, known).await,
        }
    }

    async fn mirror_new(&self, portal: &Portal, message: &RocketMessage) -> Result<(), Failure> {
        let ghost = self.ghost_of(&message.u).await?;
        let content = json!({ "msgtype": "m.text", "body": to_matrix::text(message) });
        let event = self
            .send_as_ghost(portal, &ghost, message, content, "new")
            .await?;
        self.store
            .change()
            .message(&Message {
                id: message.id.clone(),
                rid: portal.rid.clone(),
                room_id: portal.room_id.clone(),
                events: vec![event],
                sender: ghost.user_id,
                origin: Origin::RocketChat,
                revision: revision(message),
                deleted: false,
            })
            .commit()?;
        Ok(())
    }

    /// A message that is on Matrix already. Only `editedAt` tells an edit from
    /// the many other reasons for sending a message again.
    async fn mirror_edit(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        known: Message,
    ) -> Result<(), Failure> {
        let revision = revision(message);
        let (false, true, Some(original)) = (
            known.deleted,
            revision > known.revision,
            known.events.first(),
        ) else {
            return Ok(());
        };
        let ghost = self.ghost_of(&message.u).await?;
        // Of somebody else's words, or in a room that a direct message has left.
        if ghost.user_id != known.sender || known.room_id != portal.room_id {
            return Ok(());
        }
        let text = to_matrix::text(message);
        let content = json!({
            "msgtype": "m.text",
            "body": format!("* {text}"),
            "m.new_content": { "msgtype": "m.text", "body": text },
            "m.relates_to": { "rel_type": "m.replace", "event_id": original },
        });
        self.send_as_ghost(portal, &ghost, message, content, "edit")
            .await?;
        self.store
            .change()
            .message(&Message { revision, ..known })
            .commit()?;
        Ok(())
    }

    async fn mirror_deletion(&self, portal: &Portal, id: &RocketMessageId) -> Result<(), Failure> {
        let Some(known) = self.store.message(&portal.rid, id)? else {
            return Ok(());
        };
        if known.deleted {
            return Ok(());
        }
        let author = match known.origin {
            Origin::RocketChat => self.matrix.as_user(known.sender.clone()),
            Origin::Matrix => self.reader(portal).await?,
        };
        for (part, event) in known.events.iter().enumerate() {
            let txn = derived::transaction_id(
                &portal.rid,
                author.user_id(),
                id,
                known.revision,
                &format!("deletion {part}"),
            );
            author.redact(&known.room_id, event, &txn, None).await?;
        }
        self.store
            .change()
            .message(&Message {
                deleted: true,
                ..known
            })
            .commit()?;
        Ok(())
    }

    /// Sends an event as a ghost, bringing it into the room first; once more when
    /// it turns out that somebody removed it.
    async fn send_as_ghost(
        &self,
        portal: &Portal,
        ghost: &Ghost,
        message: &RocketMessage,
        mut content: Value,
        part: &str,
    ) -> Result<OwnedEventId, Failure> {
        let revision = revision(message);
        Marker {
            room_id: portal.rid.clone(),
            message_id: message.id.clone(),
            revision,
        }
        .stamp(&mut content);
        let txn = derived::transaction_id(&portal.rid, &ghost.user_id, &message.id, revision, part);
        let at = u64::try_from(if revision > 0 && part == "edit" {
            revision
        } else {
            message.ts.0
        })
        .ok();
        self.bring_ghost_in(portal, ghost).await?;
        self.bring_person_in(portal, ghost).await?;
        let intent = self.as_ghost(ghost);
        let room = &portal.room_id;
        match intent
            .send(room, "m.room.message", &content, &txn, at)
            .await
        {
            Err(error) if error.is_forbidden() => {
                self.store
                    .change()
                    .ghost_not_in_room(room, &ghost.user_id)
                    .commit()?;
                self.join_ghost_anew(portal, ghost).await?;
                Err(Failure::NotYet("the homeserver to take notice of a join"))
            }
            outcome => Ok(outcome?),
        }
    }

    /// Who reads and tidies a portal's Matrix room for the bridge: the bot, or in
    /// a direct message, where there is no bot, the other person's ghost.
    pub(super) async fn reader(&self, portal: &Portal) -> Result<Intent, Failure> {
        match &portal.kind {
            PortalKind::Direct { peer, .. } => {
                let peer = UserRef {
                    id: peer.clone(),
                    username: None,
                    name: None,
                };
                Ok(self.as_ghost(&self.ghost_of(&peer).await?))
            }
            _ => Ok(self.matrix.bot()),
        }
    }

    /// Takes events into the store that a ghost has sent and whose answer, or
    /// whose record, was lost. Synapse would not recognise the repeat after a
    /// restart of its own: its memory of transactions is not on disk.
    pub(super) async fn adopt_delivered(&self, portal: &Portal) -> Result<(), Failure> {
        let reader = self.reader(portal).await?;
        let mut from = None;
        for _ in 0..PAGES_TO_LOOK_THROUGH {
            let page = reader
                .messages_backwards(&portal.room_id, from.as_deref(), 100)
                .await?;
            let (mut news, mut known) = (0, 0);
            for event in page.events {
                let Some(marker) = Marker::of(&event.content) else {
                    continue;
                };
                if !self.config.is_ghost(&event.sender) || marker.room_id != portal.rid {
                    continue;
                }
                if self.adopt(portal, event.event_id, event.sender, &event.content, marker)? {
                    news += 1;
                } else {
                    known += 1;
                }
            }
            from = page.end;
            if from.is_none() || (news == 0 && known > 0) {
                break;
            }
        }
        Ok(())
    }

    /// Whether the event brought something new.
    fn adopt(
        &self,
        portal: &Portal,
        event: OwnedEventId,
        sender: OwnedUserId,
        content: &Value,
        marker: Marker,
    ) -> Result<bool, Failure> {
        let is_edit = content
            .pointer("/m.relates_to/rel_type")
            .and_then(Value::as_str)
            == Some("m.replace");
        let record = match (
            self.store.message(&portal.rid, &marker.message_id)?,
            is_edit,
        ) {
            (Some(known), true) if known.revision < marker.revision => Message {
                revision: marker.revision,
                ..known
            },
            (None, false) => Message {
                id: marker.message_id,
                rid: portal.rid.clone(),
                room_id: portal.room_id.clone(),
                events: vec![event],
                sender,
                origin: Origin::RocketChat,
                revision: marker.revision,
                deleted: false,
            },
            _ => return Ok(false),
        };
        tracing::info!(message = %record.id, "had been delivered already");
        self.store.change().message(&record).commit()?;
        Ok(true)
    }

    fn set_document_aside(&self, rid: &RocketRoomId, document: &Document, failure: &Failure) {
        tracing::error!(%rid, message = %document.id(), %failure, "could not be mirrored to Matrix; set aside");
        let written = self.store.portal(rid).and_then(|portal| {
            let Some(portal) = portal else { return Ok(()) };
            let said = match document {
                Document::Message(message) => {
                    json!({ "sender": message.u.id, "text": message.msg })
                }
                Document::Deleted { .. } => json!({ "deleted": true }),
            };
            let letter = DeadLetter::new(
                Origin::RocketChat,
                portal.room_id,
                document.id().as_str(),
                failure.to_string(),
                &said,
            );
            self.store.change().dead_letter(&letter).commit()
        });
        if let Err(error) = written {
            tracing::error!(%error, "what was set aside could not be written down");
        }
    }
}

/// Whether Rocket.Chat wrote it about the room, by its types up to 8.8. A type
/// that is not among them may be anything that somebody's client put there, and
/// must not hide what they wrote.
fn is_of_the_system(message: &RocketMessage) -> bool {
    let Some(kind) = message.t.as_deref() else {
        return false;
    };
    matches!(
        kind,
        "uj" | "ut"
            | "ujt"
            | "ul"
            | "ult"
            | "au"
            | "added-user-to-team"
            | "ru"
            | "r"
            | "ui"
            | "uir"
            | "removed-user-from-team"
            | "command"
            | "wm"
            | "e2e"
            | "otr"
            | "otr-ack"
            | "videoconf"
            | "discussion-created"
            | "room_changed_topic"
            | "room_changed_description"
            | "room_changed_announcement"
            | "room_changed_avatar"
            | "room_changed_privacy"
    ) || [
        "room-",
        "room_e2e",
        "subscription-role-",
        "user-",
        "message_pinned",
        "livechat",
        "omnichannel",
        "voip-",
        "abac-",
    ]
    .iter()
    .any(|start| kind.starts_with(start))
}

fn revision(message: &RocketMessage) -> i64 {
    message.edited_at.map_or(0, |at| at.0)
}
