//! Commands that people gave on Rocket.Chat while nobody listened, in rooms that are not
//! mirrored: mirrored ones are read back anyway.
//!
//! Rocket.Chat repeats nothing to who comes back. The rooms that the bridge's account is in
//! are told by what has changed in them; of public channels, which it may read without being
//! in them, it knows an order only: those first in which somebody has written last.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::rocket_commands::{OVERLAP_MS, is_to_bot, may_be_command};
use super::{Bridge, Failure};
use crate::clock::now_ms;
use crate::retry::{Advice, Retryable as _};
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::documents::{Room, RoomType, Timestamp};
use crate::rocketchat::rest::RoomOrder;

/// How often it is noted, while the socket is there, up to when every command was heard.
const BETWEEN_NOTES: Duration = Duration::from_secs(5 * 60);

/// So many public channels are looked at; the command that tells of the bridge in more of
/// them at once has yet to be given.
const MOST_CHANNELS: usize = 200;

/// After so many of them in which nothing was written, those behind them are not looked at:
/// a message that was deleted since is still told as the last one.
const QUIET: usize = 10;

const PAGE: usize = 100;

/// So that it ends whatever a server answers.
const MOST_PAGES: usize = 100;

impl Bridge {
    /// Finds the commands of the time in which nobody listened, and notes from then on that
    /// somebody does.
    pub(super) async fn look_for_commands(self: &Arc<Self>) {
        let connection = self.rooms.connection();
        let now = now_ms();
        let looked = match self.store.commands_seen() {
            Ok(Some(since)) => {
                self.persevere(|_| self.commands_since(since - OVERLAP_MS))
                    .await
            }
            // Nobody has been promised anything yet.
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(failure) = looked {
            tracing::error!(%failure, "commands cannot be looked for");
            return;
        }
        self.note_heard_up_to(now);
        // Else the time since would be read as well when the connection ends after weeks.
        while connection.is_some() {
            tokio::time::sleep(BETWEEN_NOTES).await;
            if self.rooms.connection() != connection {
                return;
            }
            self.note_heard_up_to(now_ms());
        }
    }

    fn note_heard_up_to(&self, moment: i64) {
        if let Err(error) = self.store.note_commands_seen(moment) {
            tracing::warn!(%error, "it is not noted up to when commands were looked for");
        }
    }

    async fn commands_since(self: &Arc<Self>, since: i64) -> Result<(), Failure> {
        let rocket = self.rocket().await;
        let mut known = HashSet::new();
        for room in rocket.bot.rooms_get(Some(Timestamp(since))).await?.updated {
            let is_of_people = matches!(
                room.t,
                RoomType::Direct | RoomType::Channel | RoomType::Group
            );
            if is_of_people && known.insert(room.id.clone()) && self.is_to_be_looked_at(&room)? {
                self.look_in(&room.id, since).await;
            }
        }
        let (mut looked_at, mut quiet) = (0, 0);
        for page in 0..MOST_PAGES {
            let types = [RoomType::Channel];
            let rooms =
                rocket
                    .bot
                    .admin_rooms(&types, "", RoomOrder::LastMessage, page * PAGE, PAGE);
            let rooms = match rooms.await {
                Ok(rooms) if rooms.items.is_empty() => return Ok(()),
                Ok(rooms) => rooms.items,
                Err(error) if matches!(error.advice(), Advice::GiveUp) => {
                    tracing::warn!(%error, "channels cannot be looked at for commands");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            for room in rooms {
                if !known.insert(room.id.clone()) || !self.is_to_be_looked_at(&room)? {
                    continue;
                }
                if looked_at == MOST_CHANNELS {
                    tracing::warn!(looked_at, "not all channels were looked at for commands");
                    return Ok(());
                }
                looked_at += 1;
                quiet = match self.look_in(&room.id, since).await {
                    true => 0,
                    false => quiet + 1,
                };
                if quiet == QUIET {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn is_to_be_looked_at(&self, room: &Room) -> Result<bool, Failure> {
        Ok(!room.federated && !self.store.is_mirrored(&room.id)?)
    }

    /// As [`Bridge::commands_in`]. A room that cannot be read keeps no other from being looked
    /// at: one of a private team, or one that the server itself fails with.
    async fn look_in(self: &Arc<Self>, rid: &RocketRoomId, since: i64) -> bool {
        match self.persevere(|_| self.commands_in(rid, since)).await {
            Ok(is_anything_new) => is_anything_new,
            Err(failure) if failure.is_permanent() => {
                tracing::debug!(%rid, %failure, "a room is not looked at for commands");
                false
            }
            Err(failure) => {
                tracing::error!(%rid, %failure, "a room cannot be looked at for commands");
                false
            }
        }
    }

    /// Takes the commands that were given in a room since; whether anything was written in it.
    async fn commands_in(
        self: &Arc<Self>,
        rid: &RocketRoomId,
        since: i64,
    ) -> Result<bool, Failure> {
        let rocket = self.rocket().await;
        let said = rocket.bot.sync_messages(rid, Timestamp(since)).await?;
        let mut said = said.updated;
        said.sort_by_key(|message| message.ts);
        let mut is_anything_new = false;
        for message in said {
            let to_bot = is_to_bot(&message, rocket.bot.user_id());
            is_anything_new |= message.ts.0 >= since;
            // What was only touched since, by a reaction or a star, was heard then.
            let is_theirs = to_bot || message.ts.0 >= since;
            if is_theirs && may_be_command(&message, to_bot) && self.is_for_matrix(&message).await?
            {
                self.take_command(&message, to_bot)?;
            }
        }
        Ok(is_anything_new)
    }
}
