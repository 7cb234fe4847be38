//! Posting as a puppet.

use ruma::EventId;

use crate::bridge::{Bridge, Failure, derived};
use crate::rocketchat::RocketMessageId;
use crate::rocketchat::rest::{OutgoingMessage, Sent};
use crate::store::{Portal, Puppet};

/// How many ids are tried for one message. A second is needed only when somebody
/// took the first on purpose.
const IDS_TO_TRY: u32 = 3;

impl Bridge {
    /// Posts the pieces of a text in their order, each under an id that follows
    /// from the event and its place, of which the first is `from`.
    pub(super) async fn post_pieces(
        &self,
        portal: &Portal,
        puppet: &Puppet,
        event: &EventId,
        from: usize,
        pieces: &[String],
        thread: Option<&RocketMessageId>,
    ) -> Result<Vec<RocketMessageId>, Failure> {
        self.bring_puppet_in(portal, puppet).await?;
        let mut ids = Vec::with_capacity(pieces.len());
        for (at, text) in pieces.iter().enumerate() {
            let id_of = |attempt| self.message_id(event, from + at, attempt);
            ids.push(self.post(portal, puppet, id_of, text, thread).await?);
        }
        Ok(ids)
    }

    /// The id under which a piece of an event's text is stored on Rocket.Chat.
    pub(in crate::bridge) fn message_id(
        &self,
        event: &EventId,
        piece: usize,
        attempt: u32,
    ) -> RocketMessageId {
        derived::message_id(&self.registration.as_token, event, piece, attempt)
    }

    /// Posts a text as a puppet. When the server has a message with the id already,
    /// it is this one from an earlier try, or somebody else's in its way.
    async fn post(
        &self,
        portal: &Portal,
        puppet: &Puppet,
        id_of: impl Fn(u32) -> RocketMessageId,
        text: &str,
        thread: Option<&RocketMessageId>,
    ) -> Result<RocketMessageId, Failure> {
        for attempt in 0..IDS_TO_TRY {
            let id = id_of(attempt);
            let outgoing = OutgoingMessage {
                id: &id,
                rid: &portal.rid,
                msg: text,
                tmid: thread,
                alias: None,
                avatar: None,
                emoji: None,
            };
            let sent = match self.send_in_room(portal, puppet, &outgoing).await? {
                Sent::Stored(_) => return Ok(id),
                Sent::IdTaken => {
                    let rocket = self.rocket().await;
                    match rocket.bot.get_message(&id).await {
                        // Not the bot's to see, as in a direct message: the puppet's.
                        Ok(None)
                        | Err(
                            crate::rocketchat::Error::Refused { .. }
                            | crate::rocketchat::Error::Forbidden { .. },
                        ) => {
                            self.as_puppet(puppet, |session| {
                                let id = id.clone();
                                async move { session.get_message(&id).await }
                            })
                            .await?
                        }
                        outcome => outcome?,
                    }
                }
            };
            match sent {
                Some(there)
                    if there.rid == portal.rid && there.u.id == puppet.credentials.user_id =>
                {
                    return Ok(id);
                }
                // Two requests with one id at the same moment: the other one is
                // not to be seen yet.
                None => return Err(Failure::NotYet("an earlier attempt to be stored")),
                Some(_) => {
                    tracing::warn!(%id, "somebody's message bears the id meant for another");
                }
            }
        }
        Err(Failure::Refused(
            "Messages of others bear every id that this one could have.".into(),
        ))
    }

    /// Sends as a puppet. Whoever was removed from the room stays out: neither are the
    /// bridge's rights the sender's, nor does a message bring anybody back.
    async fn send_in_room(
        &self,
        portal: &Portal,
        puppet: &Puppet,
        outgoing: &OutgoingMessage<'_>,
    ) -> Result<Sent, Failure> {
        let sent = self
            .as_puppet(puppet, |session| async move {
                session.send_message(outgoing).await
            })
            .await;
        match sent {
            Err(Failure::RocketChat(error))
                if error.is_denied() && error.code() != Some("error-action-not-allowed") =>
            {
                self.compare_members(&portal.id);
                Err(error.into())
            }
            Err(Failure::RocketChat(error))
                if error.code() == Some("error-message-size-exceeded") =>
            {
                // The limit is another than was read: it is read anew.
                self.forget_settings();
                Err(Failure::NotYet("the limit of the server to be read"))
            }
            outcome => outcome,
        }
    }
}
