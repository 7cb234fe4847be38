//! Rooms: making, entering and leaving them, who is in them, their aliases.

use std::collections::BTreeMap;

use ruma::api::client::alias::{create_alias, delete_alias, get_alias};
use ruma::api::client::directory::set_room_visibility;
use ruma::api::client::discovery::get_capabilities;
use ruma::api::client::membership::{
    ban_user, get_member_events, invite_user, join_room_by_id, join_room_by_id_or_alias,
    joined_members, joined_rooms, kick_user, leave_room, unban_user,
};
use ruma::api::client::room::{Visibility, aliases, create_room};
use ruma::events::room::member::MembershipState;
use ruma::{
    OwnedRoomAliasId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomAliasId, RoomId,
    RoomOrAliasId, UserId,
};

use super::Intent;
use crate::matrix::error::Error;

impl Intent {
    /// Makes a room. Not safe to repeat: note that it is made, and give it state to find it
    /// by. An alias in the request leads there before the room is complete (Synapse 1.163).
    ///
    /// # Errors
    /// [`Error::is_alias_in_use`] if the alias is taken.
    pub async fn create_room(
        &self,
        request: create_room::v3::Request,
    ) -> Result<OwnedRoomId, Error> {
        Ok(self.call(request).await?.room_id)
    }

    /// Which version a room gets that is made without naming one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn default_room_version(&self) -> Result<String, Error> {
        let response = self.call(get_capabilities::v3::Request::new()).await?;
        Ok(response.capabilities.room_versions.default.to_string())
    }

    /// Enters a room this homeserver takes part in. With a reason that was not
    /// given before it makes a new event also of one who has joined: Synapse
    /// decides on the ten deepest ends of a room's history, and where many write
    /// at once a join can stay off them for as long as they do.
    ///
    /// # Errors
    /// `M_FORBIDDEN` without an invitation where one is needed, or when banned;
    /// [`Error::is_not_found`] for a room the homeserver does not know.
    pub async fn join(&self, room: &RoomId, reason: Option<&str>) -> Result<(), Error> {
        let mut request = join_room_by_id::v3::Request::new(room.to_owned());
        request.reason = reason.map(str::to_owned);
        self.call(request).await?;
        Ok(())
    }

    /// Enters a room by alias, or by id with servers that may help: named by both
    /// parameters, `via` and the `server_name` of before version 1.12.
    ///
    /// # Errors
    /// [`Error::is_not_found`] for an alias that leads nowhere, `Kind::Server`
    /// when its homeserver is away; as [`Intent::join`].
    pub async fn join_by_alias_or_id(
        &self,
        room: &RoomOrAliasId,
        via: &[OwnedServerName],
    ) -> Result<OwnedRoomId, Error> {
        let mut request = join_room_by_id_or_alias::v3::Request::new(room.to_owned());
        request.via = via.to_vec();
        let acting_as = self.masquerade.as_deref();
        Ok(self
            .transport
            .call_as_before_1_12(request, acting_as)
            .await?
            .room_id)
    }

    /// Invites a user.
    ///
    /// # Errors
    /// `M_FORBIDDEN` without the right to, and for someone who is in the room.
    pub async fn invite(
        &self,
        room: &RoomId,
        user: &UserId,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let mut invited = invite_user::v3::InviteUserId::new(user.to_owned());
        invited.reason = reason.map(str::to_owned);
        self.call(invite_user::v3::Request::new(
            room.to_owned(),
            invited.into(),
        ))
        .await?;
        Ok(())
    }

    /// Invites a user into a room that is a direct message: clients show it among
    /// people. The invite endpoint cannot say so; the state event can.
    ///
    /// # Errors
    /// As [`Intent::invite`].
    pub async fn invite_direct(&self, room: &RoomId, user: &UserId) -> Result<(), Error> {
        let content = serde_json::json!({ "membership": "invite", "is_direct": true });
        self.send_state(room, "m.room.member", user.as_str(), &content, None)
            .await?;
        Ok(())
    }

    /// Leaves a room or declines an invitation.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn leave(&self, room: &RoomId, reason: Option<&str>) -> Result<(), Error> {
        let mut request = leave_room::v3::Request::new(room.to_owned());
        request.reason = reason.map(str::to_owned);
        self.call(request).await?;
        Ok(())
    }

    /// Removes someone, or takes an invitation back.
    ///
    /// # Errors
    /// `M_FORBIDDEN` without the right to, and for someone who is not there.
    pub async fn kick(
        &self,
        room: &RoomId,
        user: &UserId,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let mut request = kick_user::v3::Request::new(room.to_owned(), user.to_owned());
        request.reason = reason.map(str::to_owned);
        self.call(request).await?;
        Ok(())
    }

    /// Removes someone and keeps them out.
    ///
    /// # Errors
    /// `M_FORBIDDEN` without the right to.
    pub async fn ban(
        &self,
        room: &RoomId,
        user: &UserId,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let mut request = ban_user::v3::Request::new(room.to_owned(), user.to_owned());
        request.reason = reason.map(str::to_owned);
        self.call(request).await?;
        Ok(())
    }

    /// Ends a ban.
    ///
    /// # Errors
    /// `M_FORBIDDEN` without the right to; `M_BAD_STATE` (Synapse) or
    /// `M_FORBIDDEN` for someone who is not banned.
    pub async fn unban(
        &self,
        room: &RoomId,
        user: &UserId,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let mut request = unban_user::v3::Request::new(room.to_owned(), user.to_owned());
        request.reason = reason.map(str::to_owned);
        self.call(request).await?;
        Ok(())
    }

    /// Who is in the room, with the display name each has there.
    ///
    /// # Errors
    /// `M_FORBIDDEN` for one who is not in the room; Synapse also answers a ghost
    /// when another user of the appservice is.
    pub async fn joined_members(
        &self,
        room: &RoomId,
    ) -> Result<BTreeMap<OwnedUserId, Option<String>>, Error> {
        let response = self
            .call(joined_members::v3::Request::new(room.to_owned()))
            .await?;
        Ok(response
            .joined
            .into_iter()
            .map(|(user, member)| (user, member.display_name))
            .collect())
    }

    /// Everyone who has a membership in the room, the left and banned too.
    /// A membership that cannot be read is left out and logged.
    ///
    /// # Errors
    /// `M_FORBIDDEN` for one who is not in the room.
    pub async fn members(
        &self,
        room: &RoomId,
    ) -> Result<Vec<(OwnedUserId, MembershipState)>, Error> {
        let response = self
            .call(get_member_events::v3::Request::new(room.to_owned()))
            .await?;
        Ok(response
            .chunk
            .iter()
            .filter_map(|event| {
                let read = event.deserialize();
                match read {
                    Ok(event) => Some((event.state_key().clone(), event.membership().clone())),
                    Err(_) => {
                        tracing::warn!(%room, "left out a membership that cannot be read");
                        None
                    }
                }
            })
            .collect())
    }

    /// The rooms this user is in.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn joined_rooms(&self) -> Result<Vec<OwnedRoomId>, Error> {
        Ok(self
            .call(joined_rooms::v3::Request::new())
            .await?
            .joined_rooms)
    }

    /// Where an alias leads; none if it does not exist. For one of our own
    /// namespace that does not exist the homeserver first asks our listener: a
    /// [`Handler::alias_exists`](crate::matrix::Handler::alias_exists) that comes
    /// here with the alias it was asked for would never end.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn resolve_alias(&self, alias: &RoomAliasId) -> Result<Option<OwnedRoomId>, Error> {
        match self
            .call(get_alias::v3::Request::new(alias.to_owned()))
            .await
        {
            Ok(response) => Ok(Some(response.room_id)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where an alias leads, of any homeserver, and which homeservers are in that room
    /// as far as its own knows.
    ///
    /// # Errors
    /// [`Error::is_not_found`] for one that does not exist, `Kind::Server` when its
    /// homeserver is away. See [`Intent::resolve_alias`] for those of our namespace.
    pub async fn look_up_alias(
        &self,
        alias: &RoomAliasId,
    ) -> Result<(OwnedRoomId, Vec<OwnedServerName>), Error> {
        let response = self
            .call(get_alias::v3::Request::new(alias.to_owned()))
            .await?;
        Ok((response.room_id, response.servers))
    }

    /// Gives a room an alias.
    ///
    /// # Errors
    /// [`Error::is_alias_in_use`] if it is taken, `M_EXCLUSIVE` if it is another
    /// appservice's.
    pub async fn create_alias(&self, alias: &RoomAliasId, room: &RoomId) -> Result<(), Error> {
        self.call(create_alias::v3::Request::new(
            alias.to_owned(),
            room.to_owned(),
        ))
        .await?;
        Ok(())
    }

    /// Removes an alias.
    ///
    /// # Errors
    /// [`Error::is_not_found`] if there is none; Synapse calls that a success.
    pub async fn delete_alias(&self, alias: &RoomAliasId) -> Result<(), Error> {
        self.call(delete_alias::v3::Request::new(alias.to_owned()))
            .await?;
        Ok(())
    }

    /// The aliases on this homeserver that lead to a room.
    ///
    /// # Errors
    /// `M_FORBIDDEN` for one who is not in the room.
    pub async fn aliases_of(&self, room: &RoomId) -> Result<Vec<OwnedRoomAliasId>, Error> {
        let response = self
            .call(aliases::v3::Request::new(room.to_owned()))
            .await?;
        Ok(response.aliases)
    }

    /// Shows a room in the homeserver's directory, or no longer.
    ///
    /// # Errors
    /// `M_FORBIDDEN` without the right to; [`Error::is_not_found`] for a room that the
    /// homeserver does not know.
    pub async fn list_in_directory(&self, room: &RoomId, listed: bool) -> Result<(), Error> {
        let visibility = match listed {
            true => Visibility::Public,
            false => Visibility::Private,
        };
        self.call(set_room_visibility::v3::Request::new(
            room.to_owned(),
            visibility,
        ))
        .await?;
        Ok(())
    }
}
