//! What could not be mirrored to Matrix: kept, and its author told.

use std::sync::Arc;

use serde_json::json;

use super::files::Brought;
use super::{Document, Elsewhere, Mirrored, revision};
use crate::bridge::direct::direct_id;
use crate::bridge::perseverance::Attempt;
use crate::bridge::{Bridge, Failure, derived};
use crate::convert::to_rocketchat::plain;
use crate::rocketchat::documents::Message as RocketMessage;
use crate::rocketchat::rest::OutgoingMessage;
use crate::rocketchat::{RocketMessageId, RocketUserId};
use crate::store::{DeadLetter, Origin, Portal, PortalId, PortalKind};

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
        // Before it is written down: whoever is told again is told by the same transaction.
        if let Document::Message(message) = document {
            self.tell_of_document(&portal, message, elsewhere.as_ref(), failure)
                .await;
        }
        let said = match document {
            Document::Message(message) => json!({ "sender": message.u.id, "text": message.msg }),
            Document::Deleted { .. } => json!({ "deleted": true }),
        };
        let letter = DeadLetter {
            told: failure.person_text(),
            sender: elsewhere.map(|them| them.user),
            ..DeadLetter::new(
                Origin::RocketChat,
                portal.room_id.clone(),
                document.id().as_str(),
                failure.to_string(),
                &said,
            )
        };
        if let Err(error) = self.store.change().dead_letter(&letter).commit() {
            tracing::error!(%error, "what was set aside could not be written down");
        }
    }

    /// Tells the author of a message that it could not be mirrored, wherever they wrote it.
    async fn tell_of_document(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        elsewhere: Option<&Elsewhere>,
        failure: &Failure,
    ) {
        // What is on Matrix and only lacks something beside it has arrived.
        let arrived = self
            .store
            .message(&portal.id, &message.id)
            .is_ok_and(|known| known.is_some_and(|known| known.revision >= revision(message)));
        if arrived {
            return;
        }
        let why = failure.person_text();
        let told = match elsewhere {
            Some(them) => {
                // Once, whatever else becomes of it later.
                let known = self
                    .store
                    .dead_letter_of(&portal.room_id, message.id.as_str());
                if matches!(known, Ok(Some(_))) {
                    return;
                }
                self.persevere(async |_| self.tell_elsewhere(portal, them, message, &why).await)
                    .await
            }
            None => {
                self.persevere(async |_| self.tell_author(portal, message, &why).await)
                    .await
            }
        };
        if let Err(failure) = told {
            tracing::warn!(message = %message.id, %failure, "its author could not be told");
        }
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
        // For each room by itself.
        let purpose = |way: &str| match portal.id.is_own() {
            true => way.to_owned(),
            false => format!("{way} {}", portal.id),
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
