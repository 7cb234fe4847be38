//! What is asked for, and taken back.

use ruma::{EventId, OwnedRoomId, OwnedServerName, RoomAliasId, RoomId, RoomOrAliasId, UserId};

use super::{candidates, places};
use crate::bridge::{Bridge, Failure};
use crate::matrix;
use crate::store::{InboxEvent, JoinAsked, RemoteJoin};

impl Bridge {
    /// The bot or a ghost follows a tombstone into a room that our homeserver does not
    /// know yet.
    pub(in crate::bridge) fn enter_by_tombstone(
        &self,
        user: &UserId,
        tombstone: &InboxEvent,
        room: &OwnedRoomId,
        via: Vec<OwnedServerName>,
    ) -> Result<(), Failure> {
        let join = RemoteJoin {
            user: user.to_owned(),
            target: room.clone().into(),
            via,
            alias: None,
            asked: JoinAsked::Tombstone(tombstone.clone()),
            tries: 0,
            next_at: 0,
            answers: Vec::new(),
        };
        self.store.change().remote_join(&join).commit()?;
        self.remote_joins.news.notify_one();
        Ok(())
    }

    /// The bot is to enter a room, because an administrator said so.
    ///
    /// # Errors
    /// When the store fails, or too many joins are waiting.
    pub async fn ask_to_join(&self, mut join: RemoteJoin) -> Result<(), Failure> {
        if let Some(known) = self.store.remote_join(&join.user, &join.target)? {
            if known.asked_by() == join.asked_by() {
                return Ok(());
            }
            candidates::add(&mut join.via, known.via);
        } else if places::are_commands_full(&self.store.remote_joins()) {
            return Err(Failure::Refused(
                "Too many rooms are waiting to be entered.".into(),
            ));
        }
        self.store.change().remote_join(&join).commit()?;
        // It was promised in the answer.
        self.store.flushed().await?;
        self.remote_joins.news.notify_one();
        Ok(())
    }

    /// An invitation was revoked: nobody tries to follow it any more.
    pub(in crate::bridge) async fn invitation_ended(
        &self,
        user: &UserId,
        room: &RoomId,
    ) -> Result<(), Failure> {
        let target = room.into();
        if let Some(join) = self.store.remote_join(user, target)?
            && matches!(join.asked, JoinAsked::Invitation(_))
        {
            self.withdraw_join(user, target).await?;
        }
        Ok(())
    }

    /// Takes a join back that was asked for; whether there was one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn withdraw_join(
        &self,
        user: &UserId,
        target: &RoomOrAliasId,
    ) -> Result<bool, Failure> {
        let known = self.store.remote_join(user, target)?.is_some();
        if known {
            self.store.change().no_remote_join(user, target).commit()?;
            // Whoever took it back is told so, and hears no more of it.
            self.store.flushed().await?;
            tracing::info!(%user, %target, "a room elsewhere is not to be entered any more");
        }
        Ok(known)
    }

    /// Takes the bot out of a room that is not mirrored; whether it was in it.
    ///
    /// # Errors
    /// [`Failure::Refused`] for a mirrored room, others when the homeserver fails.
    pub async fn leave_room(
        &self,
        target: &RoomOrAliasId,
        asked_by: &EventId,
    ) -> Result<bool, Failure> {
        let bot = self.matrix.bot();
        let room = match RoomAliasId::parse(target.as_str()) {
            Ok(alias) => match bot.look_up_alias(&alias).await {
                Ok((room, _)) => room,
                // It leads nowhere, or nobody knows where.
                Err(error) if !matches!(error.kind(), matrix::Kind::Transport { .. }) => {
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            },
            Err(_) => RoomId::parse(target.as_str())
                .map_err(|_| Failure::Refused("That is no room.".into()))?,
        };
        if self.store.portal_of_room(&room)?.is_some() {
            return Err(Failure::Refused(
                "That room is mirrored; as long as it is I stay there. `unbridge`, given in it, ends that."
                    .into(),
            ));
        }
        if !bot.joined_rooms().await?.contains(&room) {
            return Ok(false);
        }
        let _ = self
            .bot_says(&room, asked_by, "farewell", "I was told to leave.")
            .await;
        bot.leave(&room, None).await?;
        self.store.change().bot_room(&room, false).commit()?;
        Ok(true)
    }

    /// An event was redacted: if it was a command to join, that is taken back by whoever
    /// gave it.
    pub(in crate::bridge) async fn join_unsaid(
        &self,
        by: &UserId,
        redacted: &EventId,
    ) -> Result<(), Failure> {
        // Others gave none, and redact as often as they like.
        let may_be = self.config.bridge.admins.iter().any(|admin| admin == by)
            || !self.config.commands.rules.is_empty();
        if !may_be {
            return Ok(());
        }
        for join in self.store.remote_joins() {
            if let JoinAsked::Command { caller, event, .. } = &join.asked
                && event == redacted
                && caller == by
            {
                self.withdraw_join(&join.user, &join.target).await?;
            }
        }
        Ok(())
    }
    /// Whether whoever gave the command to join has redacted it; that may have happened while
    /// the bridge was away, and it is told of it later.
    pub(super) async fn is_unsaid(&self, asked: &JoinAsked) -> Result<bool, Failure> {
        let JoinAsked::Command {
            caller,
            room,
            event,
        } = asked
        else {
            return Ok(false);
        };
        let found = match self.matrix.bot().event(room, event).await {
            // The bot is not there any more.
            Err(error) if error.is_forbidden() => return Ok(false),
            found => found?,
        };
        let by = found
            .as_ref()
            .and_then(|found| found.json.pointer("/unsigned/redacted_because/sender"));
        Ok(by.and_then(serde_json::Value::as_str) == Some(caller.as_str()))
    }
}
