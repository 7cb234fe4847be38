//! What could not be mirrored to Matrix: kept, and its author told.

use serde_json::json;

use super::Document;
use crate::bridge::{Bridge, Failure, derived};
use crate::rocketchat::documents::Message as RocketMessage;
use crate::rocketchat::rest::OutgoingMessage;
use crate::rocketchat::{RocketMessageId, RocketRoomId, Username};
use crate::store::{DeadLetter, Origin, Portal};

impl Bridge {
    pub(super) async fn set_document_aside(
        &self,
        rid: &RocketRoomId,
        document: &Document,
        failure: &Failure,
    ) {
        tracing::error!(%rid, message = %document.id(), %failure, "could not be mirrored to Matrix; set aside");
        let portal = match self.store.portal(rid) {
            Ok(Some(portal)) => portal,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "what was set aside could not be written down");
                return;
            }
        };
        let said = match document {
            Document::Message(message) => json!({ "sender": message.u.id, "text": message.msg }),
            Document::Deleted { .. } => json!({ "deleted": true }),
        };
        let letter = DeadLetter::new(
            Origin::RocketChat,
            portal.room_id.clone(),
            document.id().as_str(),
            failure.to_string(),
            &said,
        );
        if let Err(error) = self.store.change().dead_letter(&letter).commit() {
            tracing::error!(%error, "what was set aside could not be written down");
        }
        let Document::Message(message) = document else {
            return;
        };
        let why = failure.person_text();
        if let Err(failure) = self
            .persevere(async |_| self.tell_author(&portal, message, &why).await)
            .await
        {
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
        let text =
            format!("This did not reach Matrix. {why} It is kept for the bridge's administrator.");
        let in_thread = OutgoingMessage {
            id: &derived::telling_id(&message.id, "thread"),
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
        let Some(username) = &message.u.username else {
            return Ok(());
        };
        let text = format!("{text} It begins: {}", beginning_of(&message.msg));
        let id = derived::telling_id(&message.id, "direct");
        self.tell_directly(username, &id, &text).await
    }

    /// Says something to somebody on Rocket.Chat in the bridge's direct message with
    /// them, once for each id.
    pub(in crate::bridge) async fn tell_directly(
        &self,
        username: &Username,
        id: &RocketMessageId,
        text: &str,
    ) -> Result<(), Failure> {
        let rocket = self.rocket().await;
        let direct = rocket.bot.direct_room(&[username]).await?;
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

    /// Tries again what could not be mirrored to Matrix, as it is now. Whether it is
    /// still there to be tried.
    pub(in crate::bridge) async fn document_again(
        self: &std::sync::Arc<Self>,
        portal: &Portal,
        id: &RocketMessageId,
    ) -> Result<bool, Failure> {
        let found = match portal.kind {
            crate::store::PortalKind::Direct {
                ref matrix_user, ..
            } => {
                let puppet = self.puppet_of(matrix_user).await?;
                self.as_puppet(
                    &puppet,
                    |session| async move { session.get_message(id).await },
                )
                .await?
            }
            _ => self.rocket().await.bot.get_message(id).await?,
        };
        let Some(message) = found.filter(|message| message.rid == portal.rid) else {
            return Ok(false);
        };
        self.on_document(&portal.rid, Document::Message(Box::new(message)));
        Ok(true)
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
    crate::convert::to_rocketchat::plain(&beginning)
}
