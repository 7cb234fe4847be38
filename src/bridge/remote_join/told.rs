//! What those who asked for a join are told.

use std::sync::Arc;

use ruma::{EventId, RoomId};
use serde_json::json;

use crate::bridge::{Bridge, Failure, derived, marker};
use crate::store::{JoinAsked, RemoteJoin, ServerAnswer};

impl Bridge {
    /// The bot says something in a room, once for each event that asked for it.
    pub(super) async fn bot_says(
        &self,
        room: &RoomId,
        asked_by: &EventId,
        purpose: &str,
        text: &str,
    ) -> Result<(), Failure> {
        let mut content = json!({ "msgtype": "m.notice", "body": text, "m.mentions": {} });
        marker::stamp_as_own(&mut content);
        let txn = derived::notice_id(asked_by, purpose);
        self.matrix
            .bot()
            .send(room, "m.room.message", &content, &txn, None)
            .await?;
        Ok(())
    }

    pub(super) async fn told_refused(
        self: &Arc<Self>,
        join: &RemoteJoin,
        answers: &[ServerAnswer],
        to_inviter: &str,
    ) -> Result<(), Failure> {
        match &join.asked {
            JoinAsked::Command { .. } | JoinAsked::There { .. } | JoinAsked::Tombstone(_) => {
                let text = match answers {
                    [] => format!("I cannot enter {}.", join.target),
                    _ => format!(
                        "I cannot enter {}; I asked {}.",
                        join.target,
                        in_words(answers)
                    ),
                };
                self.tell_caller(join, "refused", &text).await
            }
            JoinAsked::Invitation(event) => {
                let intent = self.matrix.as_user(join.user.clone());
                let declined = self.persevere(async |_| {
                    match intent.leave(&event.room_id, Some(to_inviter)).await {
                        Err(error) if error.is_forbidden() || error.is_not_found() => Ok(()),
                        outcome => Ok(outcome?),
                    }
                });
                if let Err(failure) = declined.await {
                    tracing::info!(room = %event.room_id, %failure, "an invitation could not be declined");
                }
                Ok(())
            }
        }
    }

    /// Says something about a join where it was asked for.
    pub(super) async fn tell_caller(
        &self,
        join: &RemoteJoin,
        purpose: &str,
        text: &str,
    ) -> Result<(), Failure> {
        let (speaker, room, event) = match &join.asked {
            JoinAsked::Command { room, event, .. } => (self.matrix.bot(), room, event),
            JoinAsked::Tombstone(event) => {
                let speaker = self.matrix.as_user(join.user.clone());
                (speaker, &event.room_id, &event.event_id)
            }
            JoinAsked::There { caller, event } => {
                let call = format!("{event} {purpose}");
                let id = derived::late_answer_id(&self.registration.as_token, &call);
                let text = crate::convert::to_rocketchat::plain_with_code(text);
                let told = self.persevere(async |_| self.tell_directly(caller, &id, &text).await);
                if let Err(failure) = told.await {
                    tracing::info!(%failure, "an answer about a join could not be given");
                }
                return Ok(());
            }
            // Its room is the one that cannot be entered.
            JoinAsked::Invitation(_) => return Ok(()),
        };
        let told = self.persevere(async |_| self.say(&speaker, room, event, purpose, text).await);
        // They have left, or thrown the bot out.
        if let Err(failure) = told.await {
            tracing::info!(%room, %failure, "an answer about a join could not be given");
        }
        Ok(())
    }
}

/// What whoever asked for it is told when the bot is inside: also what comes next.
pub(super) fn entered(join: &RemoteJoin) -> String {
    let target = &join.target;
    let next = match &join.asked {
        JoinAsked::There { .. } => format!(
            "To join it with a channel or group, an owner of that writes there: `!matrix bridge {target}`"
        ),
        _ => "To join it with a channel of Rocket.Chat, whoever may change the power levels there writes in it: `!rc bridge <channel>`".to_owned(),
    };
    format!("I am in {target} now. {next}")
}

/// Who was asked and what they said, for people.
pub fn in_words(answers: &[ServerAnswer]) -> String {
    if answers.is_empty() {
        return "no homeserver, because none is known that could help".to_owned();
    }
    let each: Vec<_> = answers
        .iter()
        .map(|answer| format!("{} ({})", answer.server, answer.said))
        .collect();
    each.join(", ")
}
