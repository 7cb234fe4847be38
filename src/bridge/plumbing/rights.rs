//! Who administers a room, asked of its server at that moment.
//!
//! On Matrix whoever may change the power levels of the room (level 100 unless the room
//! says otherwise) and is in it: joining it with another lets others read and write there,
//! which is no less than changing who may do what. On Rocket.Chat an owner of the room, or
//! who has the role `admin` on the server.

use ruma::{RoomId, UserId};
use serde_json::Value;

use crate::bridge::power::POWER_LEVELS;
use crate::bridge::{Bridge, Failure};
use crate::rocketchat::documents::RoomType;
use crate::rocketchat::{RocketRoomId, RocketUserId};
use crate::store::Person;

/// Whoever may do everything on the server.
const ADMIN: &str = "admin";

impl Bridge {
    /// Whether somebody administers a Matrix room that the bot is in.
    pub(in crate::bridge) async fn administers_matrix_room(
        &self,
        room: &RoomId,
        user: &UserId,
    ) -> Result<bool, Failure> {
        let bot = self.matrix.bot();
        let member = match bot.state(room, "m.room.member", user.as_str()).await {
            Err(error) if error.is_forbidden() => return Ok(false),
            member => member?,
        };
        // Who has left may still be named in the levels.
        let membership = member.as_ref().and_then(|member| member.get("membership"));
        if membership.and_then(Value::as_str) != Some("join") || self.config.is_ours(user) {
            return Ok(false);
        }
        let levels = self.power_levels_in(&bot, room).await?;
        Ok(levels.may_set_state(user, POWER_LEVELS))
    }

    /// Whether somebody administers a channel or group.
    pub(in crate::bridge) async fn administers_rocketchat_room(
        &self,
        rid: &RocketRoomId,
        user: &RocketUserId,
    ) -> Result<bool, Failure> {
        let rocket = self.rocket().await;
        let account = rocket.bot.user_by_id(user).await?;
        let Some(account) = account.filter(|account| account.active && !account.federated) else {
            return Ok(false);
        };
        if account.roles.iter().any(|role| role == ADMIN) {
            return Ok(true);
        }
        let Some(room) = rocket.bot.room_as_admin(rid).await? else {
            return Ok(false);
        };
        if !matches!(room.t, RoomType::Channel | RoomType::Group) {
            return Ok(false);
        }
        match rocket.bot.owners(rid, &room.t).await {
            Ok(owners) => Ok(owners.contains(user)),
            // The bridge's account does not see the room, so nobody there is known.
            Err(error)
                if error.is_denied()
                    || matches!(
                        error.code(),
                        Some("error-room-not-found" | "error-invalid-room")
                    ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether somebody administers the room of their own side.
    pub(super) async fn administers(
        &self,
        person: &Person,
        room: &RoomId,
        rid: &RocketRoomId,
    ) -> Result<bool, Failure> {
        match person {
            Person::Matrix(user) => self.administers_matrix_room(room, user).await,
            Person::RocketChat { id, .. } => self.administers_rocketchat_room(rid, id).await,
        }
    }
}
