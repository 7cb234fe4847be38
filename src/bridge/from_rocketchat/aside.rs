//! What could not be mirrored to Matrix: kept, and its author told.

use std::sync::Arc;

use serde_json::json;

use super::files::Brought;
use super::{Document, Mirrored, revision};
use crate::bridge::direct::direct_id;
use crate::bridge::perseverance::Attempt;
use crate::bridge::{Bridge, Failure, derived};
use crate::convert::to_rocketchat::plain;
use crate::rocketchat::documents::Message as RocketMessage;
use crate::rocketchat::rest::OutgoingMessage;
use crate::rocketchat::{RocketMessageId, RocketUserId};
use crate::store::{DeadLetter, Origin, Portal, PortalId, PortalKind, StoreError};

impl Bridge {
    pub(super) async fn set_document_aside(
        &self,
        id: &PortalId,
        document: &Document,
        failure: &Failure,
    ) {
        tracing::error!(portal = %id, message = %document.id(), %failure, "could not be mirrored to Matrix; set aside");
        let portal = match self.store.portal(id) {
            Ok(Some(portal)) => portal,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "what was set aside could not be written down");
                return;
            }
        };
        let elsewhere = match document {
            Document::Message(message) => self.elsewhere(&portal, message).await,
            Document::Deleted { .. } => Ok(None),
        };
        let elsewhere = elsewhere.unwrap_or_else(|failure| {
            tracing::error!(%failure, "it is not known who wrote it");
            None
        });
        let said = match document {
            Document::Message(message) => json!({ "sender": message.u.id, "text": message.msg }),
            Document::Deleted { .. } => json!({ "deleted": true }),
        };
        let mut letter = DeadLetter {
            told: failure.person_text(),
            sender: elsewhere.as_ref().map(|them| them.user.clone()),
            ..DeadLetter::new(
                Origin::RocketChat,
                portal.room_id.clone(),
                document.id().as_str(),
                failure.to_string(),
                &said,
            )
        };
        let message = match document {
            Document::Message(message) => Some(message),
            Document::Deleted { .. } => None,
        };
        if let Some(message) = message {
            letter.revision = revision(message);
            letter.untold = self.is_to_be_told(&portal, message).unwrap_or(true);
        }
        // On disk before anybody is told: what they are told of can be seen and sent again. A
        // document that is not done is read back, and fails again if it must: who was not told
        // by then is told then.
        let written = self.store.change().dead_letter(&letter).commit();
        let written = match written {
            Ok(()) => self.store.flushed().await,
            failed => failed,
        };
        if let Err(error) = written {
            tracing::error!(%error, "what was set aside could not be written down");
        }
        let Some(message) = message.filter(|_| letter.untold) else {
            return;
        };
        let why = &letter.told;
        let told = self
            .persevere(async |_| match &elsewhere {
                Some(them) => self.tell_elsewhere(&portal, them, message, why).await,
                None => self.tell_author(&portal, message, why).await,
            })
            .await;
        let noted = match told {
            Ok(()) => self.store.change().letter_told(&letter).commit(),
            Err(failure) => {
                tracing::warn!(message = %message.id, %failure, "its author could not be told");
                Ok(())
            }
        };
        if let Err(error) = noted {
            tracing::error!(%error, "it could not be noted that its author was told");
        }
    }

    /// Whether the author of a message that was set aside has to be told: not of one that is
    /// on Matrix and only lacks something beside it, and once of each form of it.
    fn is_to_be_told(&self, portal: &Portal, message: &RocketMessage) -> Result<bool, StoreError> {
        let known = self.store.message(&portal.id, &message.id)?;
        if known.is_some_and(|known| known.revision >= revision(message)) {
            return Ok(false);
        }
        let letter = self.store.letter_of(&portal.room_id, message.id.as_str())?;
        Ok(letter.is_none_or(|letter| letter.untold || letter.revision != revision(message)))
    }

    /// Tells whoever wrote a message on Rocket.Chat that it did not arrive: beneath
    /// the message, or where the bridge is not let in, in a direct message.
    async fn tell_author(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        why: &str,
    ) -> Result<(), Failure> {
        if !self.is_for_matrix(message).await? {
            return Ok(());
        }
        let rocket = self.rocket().await;
        let place = match self.other_portals(portal)?.is_empty() {
            true => "Matrix".to_owned(),
            // Its other rooms may well have it.
            false => format!("the room {} on Matrix", plain(portal.room_id.as_str())),
        };
        let text =
            format!("This did not reach {place}. {why} It is kept for the bridge's administrator.");
        // For each room by itself, and for each form of it.
        let purpose = |way: &str| {
            let mut purpose = way.to_owned();
            if !portal.id.is_own() {
                purpose = format!("{purpose} {}", portal.id);
            }
            match revision(message) {
                0 => purpose,
                edited => format!("{purpose} {edited}"),
            }
        };
        let in_thread = OutgoingMessage {
            id: &derived::telling_id(&message.id, &purpose("thread")),
            rid: &portal.rid,
            msg: &text,
            tmid: Some(message.tmid.as_ref().unwrap_or(&message.id)),
            alias: None,
            avatar: None,
            emoji: None,
        };
        match rocket.bot.send_message(&in_thread).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_denied() => {}
            Err(error) => return Err(error.into()),
        }
        let text = format!("{text} It begins: {}", beginning_of(&message.msg));
        let id = derived::telling_id(&message.id, &purpose("direct"));
        self.tell_directly(&message.u.id, &id, &text).await
    }

    /// Says something to somebody on Rocket.Chat in the bridge's direct message with
    /// them, once for each id.
    pub(in crate::bridge) async fn tell_directly(
        &self,
        person: &RocketUserId,
        id: &RocketMessageId,
        text: &str,
    ) -> Result<(), Failure> {
        let rocket = self.rocket().await;
        let user = rocket.bot.user_by_id(person).await?;
        let Some(username) = user.and_then(|user| user.username) else {
            return Ok(());
        };
        let direct = rocket.bot.direct_room(&[&username]).await?;
        // The name may have changed hands meanwhile.
        if direct.rid != direct_id(rocket.bot.user_id(), person) {
            return Ok(());
        }
        let message = OutgoingMessage {
            id,
            rid: &direct.rid,
            msg: text,
            tmid: None,
            alias: None,
            avatar: None,
            emoji: None,
        };
        rocket.bot.send_message(&message).await?;
        Ok(())
    }

    /// Tries again what could not be mirrored to Matrix, as it is now.
    pub(in crate::bridge) async fn document_again(
        self: &Arc<Self>,
        portal: &Portal,
        id: &RocketMessageId,
        was_deletion: bool,
    ) -> Result<(), Failure> {
        let found = match &portal.kind {
            PortalKind::Direct { .. } => {
                self.as_one_of(
                    portal,
                    |session| async move { session.get_message(id).await },
                )
                .await?
            }
            _ => self.rocket().await.bot.get_message(id).await?,
        };
        let found = found.filter(|message| message.rid == portal.rid && !was_deletion);
        let document = match found {
            Some(message) => Document::Message(Box::new(message)),
            // What has been deleted since is deleted on Matrix, as far as it is there.
            None => Document::Deleted {
                id: id.clone(),
                at: None,
            },
        };
        let attempt = Attempt {
            maybe_done: true,
            ..Attempt::default()
        };
        let mut brought = Brought::default();
        loop {
            let done = self
                .mirror_document(&portal.id, &document, attempt, &brought)
                .await;
            match done {
                Err(Failure::Wants(files)) => {
                    self.bring_files(&portal.id, &document, files, &mut brought)
                        .await?;
                }
                Ok(Mirrored::Yes) => break,
                Ok(Mirrored::NoPortal) => {
                    return Err(Failure::Refused(
                        "Its room is not mirrored any more.".into(),
                    ));
                }
                Err(failure) => return Err(failure),
            }
        }
        let change = self.store.change();
        Ok(change
            .no_dead_letter(&portal.room_id, id.as_str())
            .commit()?)
    }
}

/// Enough of a text to know it again.
fn beginning_of(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut beginning: String = text.chars().take(SHOWN).collect();
    if text.chars().count() > SHOWN {
        beginning.push('…');
    }
    // Nobody is notified, and nothing is formatted.
    plain(&beginning)
}
