//! Posting for a Matrix user.

use ruma::EventId;

use super::message::Posted;
use crate::bridge::voice::{Shown, Voice, is_no_seat};
use crate::bridge::{Bridge, Failure, derived};
use crate::rocketchat::RocketMessageId;
use crate::rocketchat::rest::{OutgoingMessage, Sent};
use crate::store::Portal;

/// How many ids are tried for one message. A second is needed only when somebody
/// took the first on purpose.
const IDS_TO_TRY: u32 = 3;

/// Who says something, and where.
#[derive(Clone, Copy)]
pub(super) struct Speaker<'a> {
    pub portal: &'a Portal,
    pub voice: &'a Voice,
    pub shown: &'a Shown,
}

impl Bridge {
    /// Posts the pieces of a text in their order, each under an id that follows
    /// from the event and its place, of which the first is `from`.
    pub(super) async fn post_pieces(
        &self,
        speaker: &Speaker<'_>,
        event: &EventId,
        from: usize,
        pieces: &[String],
        thread: Option<&RocketMessageId>,
    ) -> Result<Posted, Failure> {
        self.come_in(speaker.portal, speaker.voice).await?;
        let mut voice = speaker.voice.clone();
        let mut ids = Vec::with_capacity(pieces.len());
        let mut by = None;
        for (at, text) in pieces.iter().enumerate() {
            let id_of = |attempt| self.message_id(event, from + at, attempt);
            let speaker = Speaker {
                voice: &voice,
                ..*speaker
            };
            let (id, other) = self.post(&speaker, id_of, text, thread).await?;
            ids.push(id);
            by.get_or_insert_with(|| other.as_ref().unwrap_or(&voice).account().clone());
            if let Some(other) = other.filter(|other| self.is_of_use(other)) {
                // The rest has one author with it.
                voice = other;
            }
        }
        Ok(Posted {
            ids,
            by: by.unwrap_or_else(|| voice.account().clone()),
        })
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

    /// Posts a text. When the server has a message with the id already, it is this one
    /// from an earlier try, or somebody else's in its way. An earlier try may have been
    /// made with the other account of the same person: that one is returned.
    async fn post(
        &self,
        speaker: &Speaker<'_>,
        id_of: impl Fn(u32) -> RocketMessageId,
        text: &str,
        thread: Option<&RocketMessageId>,
    ) -> Result<(RocketMessageId, Option<Voice>), Failure> {
        let Speaker {
            portal,
            voice,
            shown,
        } = *speaker;
        for attempt in 0..IDS_TO_TRY {
            let id = id_of(attempt);
            let outgoing = OutgoingMessage {
                id: &id,
                rid: &portal.rid,
                msg: text,
                tmid: thread,
                alias: shown.alias.as_deref().filter(|_| voice.is_relay()),
                avatar: shown.avatar.as_deref().filter(|_| voice.is_relay()),
                emoji: None,
            };
            let sent = match self.send_in_room(portal, voice, &outgoing).await? {
                Sent::Stored(_) => return Ok((id, None)),
                Sent::IdTaken => {
                    let rocket = self.rocket().await;
                    match rocket.bot.get_message(&id).await {
                        // Not the bot's to see, as in a direct message: the puppet's.
                        Ok(None)
                        | Err(
                            crate::rocketchat::Error::Refused { .. }
                            | crate::rocketchat::Error::Forbidden { .. },
                        ) => {
                            self.as_voice(voice, |session| {
                                let id = id.clone();
                                async move { session.get_message(&id).await }
                            })
                            .await?
                        }
                        outcome => outcome?,
                    }
                }
            };
            let Some(there) = sent else {
                // Two requests with one id at the same moment: the other one is
                // not to be seen yet.
                return Err(Failure::NotYet("an earlier attempt to be stored"));
            };
            if there.rid == portal.rid {
                if there.u.id == *voice.account() {
                    return Ok((id, None));
                }
                let other = self.other_voice(voice, &there.u.id).await?;
                if other.is_some() {
                    return Ok((id, other));
                }
            }
            tracing::warn!(%id, "somebody's message bears the id meant for another");
        }
        Err(Failure::Refused(
            "Messages of others bear every id that this one could have.".into(),
        ))
    }

    /// Sends with an account. Whoever was removed from the room stays out: neither are the
    /// bridge's rights the sender's, nor does a message bring anybody back.
    async fn send_in_room(
        &self,
        portal: &Portal,
        voice: &Voice,
        outgoing: &OutgoingMessage<'_>,
    ) -> Result<Sent, Failure> {
        let sent = self
            .as_voice(voice, |session| async move {
                session.send_message(outgoing).await
            })
            .await;
        match sent {
            Err(failure) => Err(self.in_room_failed(portal, failure).await?),
            sent => sent,
        }
    }

    /// What is to be made of a failure to do something in a room.
    pub(super) async fn in_room_failed(
        &self,
        portal: &Portal,
        failure: Failure,
    ) -> Result<Failure, Failure> {
        let bot = &self.config.appservice.bot;
        if is_no_seat(&failure) && self.can_be_relayed(&portal.room_id, bot)? {
            // Their account was deleted: the bridge's speaks for them, where it may.
            return Ok(Failure::NotYet("an account to speak with"));
        }
        let Failure::RocketChat(error) = &failure else {
            return Ok(failure);
        };
        if error.is_denied() && error.code() != Some("error-action-not-allowed") {
            self.compare_members(&portal.id);
        }
        if error.code() == Some("error-message-size-exceeded") {
            // The limit is another than was read: it is read anew.
            self.forget_settings();
            return Ok(Failure::NotYet("the limit of the server to be read"));
        }
        if error.is_impersonation_refused() {
            self.names_are_refused().await?;
            return Ok(Failure::NotYet("a name to stand in the text"));
        }
        Ok(failure)
    }
}
