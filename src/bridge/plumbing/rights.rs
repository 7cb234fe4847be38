//! Who administers a room, asked of its server at that moment.
//!
//! On Matrix whoever may change the power levels of the room (level 100 unless the room
//! says otherwise) and is in it: joining it with another lets others read and write there,
//! which is no less than changing who may do what. On Rocket.Chat whoever may do what
//! owners of the room may: they, and administrators of the server.

use ruma::{RoomId, UserId};

use crate::bridge::{Bridge, Context, Failure, Who};
use crate::rocketchat::{RocketRoomId, RocketUserId};
use crate::store::{Person, Portal};

impl Bridge {
    /// Whether somebody administers a Matrix room; nobody one that the bot is not in.
    pub(in crate::bridge) async fn administers_matrix_room(
        &self,
        room: &RoomId,
        user: &UserId,
    ) -> Result<bool, Failure> {
        if self.config.is_ours(user) {
            return Ok(false);
        }
        match self.may_change_matrix_room(room, user).await {
            Err(Failure::Matrix(error)) if error.is_forbidden() => Ok(false),
            outcome => outcome,
        }
    }

    /// Whether somebody administers a channel or group.
    pub(in crate::bridge) async fn administers_rocketchat_room(
        &self,
        rid: &RocketRoomId,
        user: &RocketUserId,
    ) -> Result<bool, Failure> {
        self.may_change_rocket_room(rid, user).await
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

    /// Whether whoever asks may end that two rooms are joined: who administers either.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell them when they may not.
    pub(in crate::bridge) async fn must_administer_either(
        &self,
        context: &Context,
        portal: &Portal,
    ) -> Result<(), Failure> {
        let may = match &context.who {
            _ if self.is_admin(context) => true,
            Who::Matrix(user) => self.administers_matrix_room(&portal.room_id, user).await?,
            Who::RocketChat { id, .. } => self.administers_rocketchat_room(&portal.rid, id).await?,
            Who::Api(_) => false,
        };
        if may {
            return Ok(());
        }
        Err(Failure::Refused(
            "That is for whoever administers one of the two rooms: on Matrix who may change its \
             power levels, on Rocket.Chat its owners and the administrators of the server."
                .into(),
        ))
    }
}
