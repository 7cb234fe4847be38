//! A document of Rocket.Chat on its way to Matrix.

mod aside;
mod content;
mod deletion;
mod delivered;
mod discussion;
mod elsewhere;
mod files;
mod message;
mod people;
mod pins;
mod profile;
mod reactions;
mod reactors;
mod relations;

use std::sync::Arc;

use super::lane::Place;
use super::loops::said_by;
use super::perseverance::Attempt;
use super::{Bridge, Failure};
use crate::matrix::Intent;
use crate::rocketchat::RocketMessageId;
use crate::rocketchat::documents::{Message as RocketMessage, UserRef};
use crate::store::{Origin, Portal, PortalId, PortalKind};
pub(super) use deletion::gone;
use delivered::Delivered;
pub(super) use elsewhere::Elsewhere;
use files::Brought;
pub(super) use profile::Named;

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
                // For how many the account posts: they wait for nobody's file but their own.
                people: vec![said_by(message, None)],
                id: message.id.as_str().to_owned(),
                refers_to: relations::quoted_in(message)
                    .into_iter()
                    .chain(message.tmid.clone())
                    .chain(std::iter::once(message.id.clone()))
                    .map(RocketMessageId::into_string)
                    .collect(),
                // The first that a thread gets here may become its root.
                changes: message.tmid.iter().map(ToString::to_string).collect(),
                alone: super::membership::is_about_another(message),
                slow: message.file.is_some() || !message.files.is_empty(),
            },
            Self::Deleted { id, .. } => Place {
                // No user id: ids have no blanks.
                people: vec![format!("deletion of {id}")],
                id: id.as_str().to_owned(),
                refers_to: vec![id.as_str().to_owned()],
                changes: vec![id.as_str().to_owned()],
                alone: false,
                slow: false,
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

/// What became of a document for which nothing failed.
enum Mirrored {
    /// It is dealt with.
    Yes,
    /// Its room is mirrored no more, or not yet again.
    NoPortal,
}

impl Bridge {
    /// Does what a document asks for. Ends when it is done or set aside.
    pub(super) async fn work_document(self: Arc<Self>, id: PortalId, job: Job) {
        let Job { document, ticket } = job;
        let mut brought = Brought::default();
        let done = loop {
            let done = self
                .persevere(|attempt| self.mirror_document(&id, &document, attempt, &brought))
                .await;
            match done {
                // Not among the attempts: it may take long, and has places of its own.
                Err(Failure::Wants(files)) => {
                    let outcome = self.bring_files(&id, &document, files, &mut brought).await;
                    if let Err(failure) = outcome {
                        break Err(failure);
                    }
                }
                done => break done,
            }
        };
        match done {
            Ok(Mirrored::Yes) => {}
            // The portal went while this waited. Should its room be mirrored again, it is
            // read back from here.
            Ok(Mirrored::NoPortal) => {
                self.rooms.rewind(&id, ticket - 1);
                self.direct_watch.forget(&id.rid());
            }
            Err(failure) => self.set_document_aside(&id, &document, &failure).await,
        }
        self.document_done(&id, ticket);
    }

    async fn mirror_document(
        self: &Arc<Self>,
        id: &PortalId,
        document: &Document,
        attempt: Attempt,
        brought: &Brought,
    ) -> Result<Mirrored, Failure> {
        let Some(portal) = self.store.portal(id)? else {
            return Ok(Mirrored::NoPortal);
        };
        let done = match document {
            Document::Message(message) => {
                self.mirror_message(&portal, message, attempt, brought)
                    .await
            }
            Document::Deleted { id, .. } => self.mirror_deletion(&portal, id).await,
        };
        if let Err(failure) = &done
            && self.has_lost_direct_room(&portal, failure).await?
        {
            // Read back from there, and so brought into the room of the next portal.
            return Err(Failure::NotYet("the room that the conversation goes on in"));
        }
        done?;
        // It may have been set aside before.
        let (room, id) = (&portal.room_id, document.id().as_str());
        if self.store.dead_letter_of(room, id)?.is_some() {
            self.store.change().no_dead_letter(room, id).commit()?;
        }
        Ok(Mirrored::Yes)
    }

    async fn mirror_message(
        self: &Arc<Self>,
        portal: &Portal,
        message: &RocketMessage,
        attempt: Attempt,
        brought: &Brought,
    ) -> Result<(), Failure> {
        if message.federated {
            // The room may have come to belong to Rocket.Chat's own federation.
            self.look_for_room(&portal.rid);
            return Ok(());
        }
        if message.hidden {
            return Ok(());
        }
        // Whoever wrote it: a moderator may have taken it away.
        if message.t.as_deref() == Some("rm") {
            return self.mirror_deletion(portal, &message.id).await;
        }
        self.note_system_message(portal, message);
        if self.mirror_membership(portal, message).await? {
            return Ok(());
        }
        if message.t.as_deref() == Some("discussion-created")
            && let Some(rid) = &message.drid
        {
            return self.mirror_discussion(portal, message, rid, attempt).await;
        }
        if self.take_unreadable(portal, message).await? {
            return Ok(());
        }
        if is_of_the_system(message) {
            tracing::debug!(kind = message.t, "a system message is not mirrored");
            return Ok(());
        }
        let is_hook = self.is_by_own_hook(message).await;
        let is_ours = !is_hook && !self.is_for_matrix(message).await?;
        if is_ours && self.note_files_elsewhere(portal, message, attempt).await? {
            return Ok(());
        }
        let elsewhere = self.elsewhere(portal, message).await?;
        let mut is_kept_out = match &elsewhere {
            Some(them) => self.is_banned_here(portal, them).await?,
            None => false,
        };
        // What somebody's own account said for them on Matrix, only the records know.
        let is_own_account = !is_ours && self.store.was_account_of(&message.u.id)?.is_some();
        let mut is_news = !is_ours;
        if is_own_account {
            self.note_puppet_name(&message.u)?;
            let is_of_matrix = || {
                let known = self.store.message(&portal.id, &message.id)?;
                Ok::<_, Failure>(known.is_some_and(|known| known.origin == Origin::Matrix))
            };
            if !is_of_matrix()? && self.note_own_file(portal, message, attempt).await? {
                return Ok(());
            }
            if self.note_files_elsewhere(portal, message, attempt).await? {
                return Ok(());
            }
            is_news = !is_of_matrix()?;
        }
        let is_for_matrix = is_news || elsewhere.is_some();
        if is_news && !is_hook && self.take_command_of(portal, message).await? {
            return Ok(());
        }
        if is_for_matrix && self.is_read_along(portal)? {
            // Both rooms were told.
            tracing::info!(rid = %portal.rid, id = %message.id, "kept from who was removed and cannot be");
            return Ok(());
        }
        if is_news {
            is_kept_out = self.is_kept_out(portal, message).await?
                || self.keeps_linked_out(portal, message).await?;
        }
        if is_ours {
            self.note_puppet_name(&message.u)?;
        }
        if !is_for_matrix && !is_own_account && self.note_own_file(portal, message, attempt).await?
        {
            return Ok(());
        }
        let delivered = if attempt.maybe_done && is_for_matrix {
            self.adopt_delivered(portal).await?
        } else {
            Delivered::default()
        };
        let known = match self.store.message(&portal.id, &message.id)? {
            Some(known) if known.deleted => return Ok(()),
            Some(known) => {
                // An earlier attempt may have got no further.
                let known = self.redact_leaving(portal, known).await?;
                let known = self.complete_adopted(portal, message, known).await?;
                let known = self.mirror_pruned_files(portal, message, known).await?;
                // What others do to it comes all the same.
                let is_left_out = is_kept_out && !is_edited_by_another(message);
                if is_for_matrix && !is_left_out {
                    self.mirror_edit(portal, message, known.clone(), &delivered, brought)
                        .await?;
                } else if !is_for_matrix {
                    self.mirror_foreign_edit(portal, message, &known).await?;
                }
                known
            }
            None if !is_for_matrix || message.ts.0 <= portal.since => return Ok(()),
            None if is_kept_out => return Ok(()),
            None if self.goes_round_from_rocketchat(portal, message, elsewhere.as_ref()) => {
                return Ok(());
            }
            None => {
                self.mirror_new(portal, message, &delivered, brought)
                    .await?
            }
        };
        self.mirror_reactions(portal, message, &known).await?;
        self.mirror_pin(portal, message, &known).await
    }

    /// Whether somebody on Rocket.Chat wrote it, for everybody in the room. Of what was
    /// written with somebody's own account only the record tells whether the bridge did it
    /// for them.
    pub(super) async fn is_for_matrix(&self, message: &RocketMessage) -> Result<bool, Failure> {
        if message.hidden || message.federated {
            return Ok(false);
        }
        let author = &message.u.id;
        if author == self.rocket().await.bot.user_id() {
            return Ok(false);
        }
        Ok(self.store.behind_made_puppet(author)?.is_none())
    }

    /// Whether an integration wrote it with the bridge's account. The bridge itself never
    /// says so of what it writes, and nobody else writes with that account.
    pub(super) async fn is_by_own_hook(&self, message: &RocketMessage) -> bool {
        message.bot && message.u.id == *self.rocket().await.bot.user_id()
    }

    /// Who reads and tidies a portal's Matrix room for the bridge: the bot, or in
    /// a direct message, where there is no bot, the other person's ghost.
    pub(super) async fn reader(&self, portal: &Portal) -> Result<Intent, Failure> {
        match &portal.kind {
            PortalKind::Direct { peer, .. } => {
                // Of several any that is there.
                for peer in portal.kind.direct_peers() {
                    if let Some(ghost) = self.store.ghost(peer)?
                        && self
                            .store
                            .is_ghost_in_room(&portal.room_id, &ghost.user_id)?
                    {
                        return Ok(self.as_ghost(&ghost));
                    }
                }
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
}

/// Whether Rocket.Chat wrote it about the room, by its types up to 8.8. A type
/// that is not among them may be anything that somebody's client put there, and
/// must not hide what they wrote.
pub(super) fn is_of_the_system(message: &RocketMessage) -> bool {
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

/// Whether what it says now is not its author's.
fn is_edited_by_another(message: &RocketMessage) -> bool {
    (message.edited_by.as_ref()).is_some_and(|by| by.id != message.u.id)
}

/// When it was edited last (ms); 0 if never. Never after the server wrote it last:
/// 6.14 stores whatever `editedAt` somebody's client sends along, and one in the
/// future would hide every later edit.
pub(super) fn revision(message: &RocketMessage) -> i64 {
    let written = message.updated_at.map_or(i64::MAX, |at| at.0);
    message.edited_at.map_or(0, |at| at.0.min(written))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::bridge::lane::Lane;

    #[test]
    fn nobody_waits_for_the_file_of_another_for_whom_the_same_account_posts() {
        let document = |id: &str, alias: &str, file: bool| {
            let mut json = json!({
                "_id": id, "rid": "r", "msg": id, "ts": "2026-01-01T00:00:00.000Z",
                "u": { "_id": "bridge" }, "alias": alias,
            });
            if file {
                json["file"] = json!({ "_id": "f", "name": "film.mp4" });
            }
            Document::Message(Box::new(serde_json::from_value(json).unwrap()))
        };
        let mut lane = Lane::new(8);
        for (id, alias, file) in [
            ("1", "Alice (@alice:x.org)", true),
            ("2", "Alice (@alice:x.org)", false),
            ("3", "Bob (@bob:x.org)", false),
            ("4", "", false),
        ] {
            lane.push(document(id, alias, file).place(), id);
        }
        let started: Vec<_> = lane.start().into_iter().map(|(_, id)| id).collect();
        assert_eq!(started, ["1", "3", "4"]);
    }
}
