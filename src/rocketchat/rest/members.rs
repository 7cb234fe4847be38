//! Who is in a room, and what they may do there.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::answer;
use super::client::{Request, Session};
use crate::rocketchat::documents::{RoomType, UserRef, read_each};
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::{RocketRoomId, RocketUserId};

/// A role that somebody has in one room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomRole {
    /// Everything, also who else has which role.
    Owner,
    /// Other people's messages, who is removed and muted, what the room is called.
    Moderator,
    /// Shown at the top of the room. No rights by itself.
    Leader,
}

impl RoomRole {
    /// As the server writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Moderator => "moderator",
            Self::Leader => "leader",
        }
    }
}

/// Somebody who has roles in a room.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RoleHolder {
    /// Who.
    pub u: UserRef,
    /// `owner`, `moderator`, `leader`.
    #[serde(default)]
    pub roles: Vec<String>,
}

#[derive(Deserialize)]
struct MemberAnswer {
    #[serde(rename = "isMember")]
    is_member: bool,
}

#[derive(Deserialize)]
struct RolesAnswer<'a> {
    #[serde(borrow)]
    roles: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct PermissionsAnswer<'a> {
    #[serde(borrow)]
    update: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Permission {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    roles: Vec<String>,
}

impl Session {
    /// Whether somebody is a member of a room, also when they are deactivated. Nobody is
    /// who has no account any more.
    ///
    /// # Errors
    /// [`Error::EndpointMissing`] from old servers; a denial when the account may not
    /// see the room.
    pub async fn is_member(&self, rid: &RocketRoomId, user: &RocketUserId) -> Result<bool, Error> {
        let request = Request::get(&["api", "v1", "rooms.isMember"])
            .query("roomId", rid.as_str())
            .query("userId", user.as_str());
        match self.json::<MemberAnswer>(request).await {
            Ok(answer) => Ok(answer.is_member),
            Err(error)
                if matches!(
                    error.code(),
                    Some("error-user-not-found" | "error-invalid-user")
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Everybody who has a role in a channel or group.
    ///
    /// # Errors
    /// `error-room-not-found` when the account may not see the room.
    pub async fn room_roles(
        &self,
        rid: &RocketRoomId,
        kind: &RoomType,
    ) -> Result<Vec<RoleHolder>, Error> {
        let endpoint = of_kind(kind, "roles");
        let path = ["api", "v1", endpoint.as_str()];
        let request = Request::get(&path).query("roomId", rid.as_str());
        let body = self.bytes(request).await?;
        let answer: RolesAnswer = answer::parse(&body)?;
        Ok(read_each(&answer.roles).0)
    }

    /// Gives or takes a role in a channel or group.
    ///
    /// # Errors
    /// `error-not-allowed` without the right; `error-user-already-<role>`,
    /// `error-user-not-<role>` when it is so already; `error-remove-last-owner`;
    /// `error-user-not-in-room`.
    pub async fn set_room_role(
        &self,
        rid: &RocketRoomId,
        kind: &RoomType,
        user: &RocketUserId,
        role: RoomRole,
        give: bool,
    ) -> Result<(), Error> {
        let verb = match (give, role) {
            (true, RoomRole::Owner) => "addOwner",
            (true, RoomRole::Moderator) => "addModerator",
            (true, RoomRole::Leader) => "addLeader",
            (false, RoomRole::Owner) => "removeOwner",
            (false, RoomRole::Moderator) => "removeModerator",
            (false, RoomRole::Leader) => "removeLeader",
        };
        let endpoint = of_kind(kind, verb);
        let path = ["api", "v1", endpoint.as_str()];
        let body = json!({ "roomId": rid, "userId": user });
        self.bytes(Request::post(&path, body)).await.map(drop)
    }

    /// Takes the word from a member, or gives it back.
    ///
    /// # Errors
    /// `error-not-allowed` without the right, `error-user-not-in-room`.
    pub async fn set_muted(
        &self,
        rid: &RocketRoomId,
        user: &RocketUserId,
        muted: bool,
    ) -> Result<(), Error> {
        let endpoint = if muted {
            "rooms.muteUser"
        } else {
            "rooms.unmuteUser"
        };
        let path = ["api", "v1", endpoint];
        let body = json!({ "roomId": rid, "userId": user });
        self.bytes(Request::post(&path, body)).await.map(drop)
    }

    /// Which roles have which permission, on the whole server.
    ///
    /// # Errors
    /// What any request may give.
    pub async fn permissions(&self) -> Result<BTreeMap<String, Vec<String>>, Error> {
        let path = ["api", "v1", "permissions.listAll"];
        let body = self.bytes(Request::get(&path)).await?;
        let answer: PermissionsAnswer = answer::parse(&body)?;
        let (permissions, _) = read_each::<Permission>(&answer.update);
        Ok(permissions
            .into_iter()
            .map(|permission| (permission.id, permission.roles))
            .collect())
    }
}

fn of_kind(kind: &RoomType, verb: &str) -> String {
    let family = match kind {
        RoomType::Channel => "channels",
        _ => "groups",
    };
    format!("{family}.{verb}")
}
