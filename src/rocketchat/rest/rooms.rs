//! Rooms and who is in them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;

use super::answer;
use super::client::{Request, Session};
use crate::rocketchat::documents::{
    Changes, Member, Page, Removed, Room, RoomType, Subscription, Timestamp, UserRef, read_each,
};
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::{RocketRoomId, RocketUserId, Username};

/// As many rows as a server gives at once.
const PAGE: usize = 100;
/// More pages than any room has members for.
const MAX_PAGES: usize = 10_000;
/// Lists of all rooms of an account are not paged.
const LIST_LIMIT: usize = 256 * 1024 * 1024;

/// A direct message that was found or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectRoom {
    /// Its room.
    pub rid: RocketRoomId,
    /// Everybody in it.
    pub usernames: Vec<Username>,
}

/// By what a list of rooms is sorted, latest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomOrder {
    /// Last message. Rooms without any come last.
    LastMessage,
    /// Creation.
    Created,
    /// The last change of any kind.
    Changed,
}

#[derive(Deserialize)]
struct RoomAnswer {
    #[serde(alias = "channel", alias = "group")]
    room: Room,
}

#[derive(Deserialize)]
struct DirectAnswer {
    room: DirectRecord,
}

#[derive(Deserialize)]
struct DirectRecord {
    rid: RocketRoomId,
    usernames: Vec<Username>,
}

#[derive(Deserialize)]
struct ChangesAnswer<'a> {
    #[serde(borrow, default)]
    update: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    remove: Vec<&'a RawValue>,
}

/// Which roles somebody has in a room.
#[derive(Deserialize)]
struct RolesOf {
    u: UserRef,
    #[serde(default)]
    roles: Vec<String>,
}

#[derive(Deserialize)]
struct ListAnswer<'a> {
    #[serde(borrow, alias = "rooms")]
    members: Vec<&'a RawValue>,
    #[serde(default)]
    total: usize,
}

impl Session {
    /// The direct message with exactly these others, found or made. Some versions drop
    /// unknown names silently, so the members of the answer are compared.
    ///
    /// # Errors
    /// `error-invalid-user` for an unknown name, from the server or because the answer
    /// lacks one; `error-direct-message-max-user-exceeded`.
    pub async fn direct_room(&self, usernames: &[&Username]) -> Result<DirectRoom, Error> {
        let names: Vec<&str> = usernames.iter().map(|name| name.as_str()).collect();
        // A comma would smuggle in another person.
        let unusable = names.is_empty() || names.iter().any(|name| name.contains(','));
        if unusable {
            return Err(Error::refused("error-invalid-user"));
        }
        let body = match names.as_slice() {
            [one] => json!({ "username": one }),
            several => json!({ "usernames": several.join(",") }),
        };
        let request = Request::post(&["api", "v1", "im.create"], body);
        let room = self.json::<DirectAnswer>(request).await?.room;
        let all_there = names.iter().all(|wanted| {
            let same = |name: &Username| name.as_str().to_lowercase() == wanted.to_lowercase();
            room.usernames.iter().any(same)
        });
        let nobody_else = room.usernames.len() <= names.len() + 1;
        if !all_there || !nobody_else {
            return Err(Error::refused("error-invalid-user"));
        }
        Ok(DirectRoom {
            rid: room.rid,
            usernames: room.usernames,
        })
    }

    /// Makes a private group with these members and the account as its owner. Names that
    /// nobody has are left out without a word.
    ///
    /// # Errors
    /// `error-duplicate-channel-name`, `error-invalid-room-name`; `error-not-allowed`
    /// without the right `create-p`.
    pub async fn create_group(&self, name: &str, members: &[&Username]) -> Result<Room, Error> {
        let body = json!({ "name": name, "members": members });
        let request = Request::post(&["api", "v1", "groups.create"], body);
        Ok(self.json::<RoomAnswer>(request).await?.room)
    }

    /// A public channel by its name; none when there is no such. Membership is not
    /// needed.
    ///
    /// # Errors
    /// What any request may give.
    pub async fn channel_by_name(&self, name: &str) -> Result<Option<Room>, Error> {
        self.room("channels.info", "roomName", name).await
    }

    /// As [`Session::channel_by_name`], and where there is none of just that name the one
    /// channel whose name differs in capitals only: Matrix aliases have none.
    ///
    /// # Errors
    /// What any request may give.
    pub async fn channel_named(&self, name: &str) -> Result<Option<Room>, Error> {
        if let Some(room) = self.channel_by_name(name).await? {
            return Ok(Some(room));
        }
        let wanted = name.to_lowercase();
        let like = self.channels_like(name).await?;
        let mut alike = like
            .into_iter()
            .filter(|other| other.to_lowercase() == wanted);
        match (alike.next(), alike.next()) {
            (Some(name), None) => self.channel_by_name(&name).await,
            _ => Ok(None),
        }
    }

    /// A private group by its name; none when there is no such or the account is not in
    /// it: the server does not tell these apart.
    ///
    /// # Errors
    /// What any request may give.
    pub async fn group_by_name(&self, name: &str) -> Result<Option<Room>, Error> {
        self.room("groups.info", "roomName", name).await
    }

    /// A room of any type; none when there is no such.
    ///
    /// # Errors
    /// `not-allowed` when the account may not see it; `error-room-archived`.
    pub async fn room_info(&self, rid: &RocketRoomId) -> Result<Option<Room>, Error> {
        self.room("rooms.info", "roomId", rid.as_str()).await
    }

    /// As [`Session::room_info`], also of rooms that the account is not in and of
    /// archived ones, for an administrator: without `lm`, and of what is empty mostly
    /// nothing.
    ///
    /// # Errors
    /// `error-not-authorized` without `view-room-administration`.
    pub async fn room_as_admin(&self, rid: &RocketRoomId) -> Result<Option<Room>, Error> {
        let path = ["api", "v1", "rooms.adminRooms.getRoom"];
        let request = Request::get(&path).query("rid", rid.as_str());
        match self.json::<Room>(request).await {
            Ok(room) => Ok(Some(room)),
            // How 6.14 says that there is none.
            Err(error) if matches!(error.code(), Some("not-allowed" | "error-room-not-found")) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Changes settings of a room, by the names that the server has for them
    /// (`roomName`, `roomTopic`, `readOnly`, …). What is so already is no error.
    ///
    /// # Errors
    /// `error-action-not-allowed` without the right to; `error-invalid-room-name`,
    /// `error-duplicate-channel-name`, `error-room-archived`.
    pub async fn save_room_settings(
        &self,
        rid: &RocketRoomId,
        mut settings: serde_json::Value,
    ) -> Result<(), Error> {
        settings["rid"] = json!(rid);
        self.act(["api", "v1", "rooms.saveRoomSettings"], settings)
            .await
    }

    /// Makes a public channel a private group, or the other way round. `kind` is what it
    /// is now.
    ///
    /// # Errors
    /// `error-action-not-allowed` without the right to; `error-room-not-found` when it
    /// is not of that kind.
    pub async fn set_room_type(
        &self,
        rid: &RocketRoomId,
        kind: &RoomType,
        wanted: &RoomType,
    ) -> Result<(), Error> {
        let endpoint = by_type(
            kind,
            ["channels.setType", "groups.setType", "groups.setType"],
        );
        let body = json!({ "roomId": rid, "type": wanted });
        self.act(["api", "v1", endpoint], body).await
    }

    async fn room(&self, endpoint: &str, key: &str, value: &str) -> Result<Option<Room>, Error> {
        let path = ["api", "v1", endpoint];
        let request = Request::get(&path).query(key, value);
        match self.json::<RoomAnswer>(request).await {
            Ok(answer) => Ok(Some(answer.room)),
            Err(error)
                if matches!(
                    error.code(),
                    Some("error-room-not-found" | "error-invalid-room")
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// All active members of a room, in the order of their ids. The server sorts by
    /// presence, so that somebody may slip from one page to another meanwhile: a missing
    /// one is no proof that they left.
    ///
    /// # Errors
    /// `error-room-not-found` when the account may not see the room.
    pub async fn room_members(
        &self,
        rid: &RocketRoomId,
        kind: &RoomType,
    ) -> Result<Vec<Member>, Error> {
        let path = [
            "api",
            "v1",
            by_type(kind, ["channels.members", "groups.members", "im.members"]),
        ];
        let mut members = BTreeMap::new();
        let mut offset = 0;
        for _ in 0..MAX_PAGES {
            let request = Request::get(&path).query("roomId", rid.as_str());
            let page: Page<Member> = self.page(request, offset, PAGE).await?;
            for member in page.items {
                members.insert(member.id.clone(), member);
            }
            offset += page.sent;
            if page.sent == 0 || offset >= page.total {
                break;
            }
        }
        Ok(members.into_values().collect())
    }

    /// The account's subscriptions, all or those changed since.
    ///
    /// # Errors
    /// What any request may give.
    pub async fn subscriptions(
        &self,
        updated_since: Option<Timestamp>,
    ) -> Result<Changes<Subscription>, Error> {
        self.changes("subscriptions.get", updated_since).await
    }

    /// The rooms the account is in, all or those changed since.
    ///
    /// # Errors
    /// What any request may give.
    pub async fn rooms_get(
        &self,
        updated_since: Option<Timestamp>,
    ) -> Result<Changes<Room>, Error> {
        self.changes("rooms.get", updated_since).await
    }

    async fn changes<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        since: Option<Timestamp>,
    ) -> Result<Changes<T>, Error> {
        let path = ["api", "v1", endpoint];
        let mut request = Request::get(&path).limit(LIST_LIMIT);
        if let Some(since) = since {
            request = request.query("updatedSince", since.to_iso());
        }
        let body = self.bytes(request).await?;
        let answer: ChangesAnswer = answer::parse(&body)?;
        let (updated, odd_updated) = read_each(&answer.update);
        let (removed, odd_removed) = read_each::<Removed>(&answer.remove);
        Ok(Changes {
            updated,
            removed,
            unreadable: odd_updated + odd_removed,
        })
    }

    /// Joins a public channel; no harm if joined already.
    ///
    /// # Errors
    /// `error-room-not-found`, `error-not-allowed`.
    pub async fn join_channel(&self, rid: &RocketRoomId) -> Result<(), Error> {
        self.act(["api", "v1", "channels.join"], json!({ "roomId": rid }))
            .await
    }

    /// Puts somebody into a channel or group; no harm if they are there.
    ///
    /// # Errors
    /// `error-not-allowed` without the right or for a deactivated user.
    pub async fn invite(
        &self,
        rid: &RocketRoomId,
        kind: &RoomType,
        user_id: &RocketUserId,
    ) -> Result<(), Error> {
        let endpoint = by_type(kind, ["channels.invite", "groups.invite", "groups.invite"]);
        let body = json!({ "roomId": rid, "userId": user_id });
        self.act(["api", "v1", endpoint], body).await
    }

    /// Puts somebody out of a channel or group.
    ///
    /// # Errors
    /// `error-not-allowed`, `error-user-not-in-room`, `error-you-are-last-owner`.
    pub async fn kick(
        &self,
        rid: &RocketRoomId,
        kind: &RoomType,
        user_id: &RocketUserId,
    ) -> Result<(), Error> {
        let endpoint = by_type(kind, ["channels.kick", "groups.kick", "groups.kick"]);
        let body = json!({ "roomId": rid, "userId": user_id });
        self.act(["api", "v1", endpoint], body).await
    }

    /// Leaves a channel or group. Direct messages cannot be left.
    ///
    /// # Errors
    /// `error-user-not-in-room`, `error-you-are-last-owner`.
    pub async fn leave(&self, rid: &RocketRoomId, kind: &RoomType) -> Result<(), Error> {
        let endpoint = by_type(kind, ["channels.leave", "groups.leave", "groups.leave"]);
        self.act(["api", "v1", endpoint], json!({ "roomId": rid }))
            .await
    }

    async fn act(&self, path: [&str; 3], body: serde_json::Value) -> Result<(), Error> {
        self.bytes(Request::post(&path, body)).await.map(drop)
    }

    /// Rooms of the whole server, private ones and direct messages of others included,
    /// without any text. `filter` is a part of a name or of a member's user name; empty
    /// for all. `count` is at most 100.
    ///
    /// # Errors
    /// `error-not-authorized` without `view-room-administration`.
    pub async fn admin_rooms(
        &self,
        types: &[RoomType],
        filter: &str,
        order: RoomOrder,
        offset: usize,
        count: usize,
    ) -> Result<Page<Room>, Error> {
        let sort = match order {
            RoomOrder::LastMessage => r#"{"lm":-1}"#,
            RoomOrder::Created => r#"{"ts":-1}"#,
            RoomOrder::Changed => r#"{"_updatedAt":-1}"#,
        };
        let mut request = Request::get(&["api", "v1", "rooms.adminRooms"])
            .query("filter", filter)
            .query("sort", sort);
        for kind in types {
            request = request.query("types[]", kind.as_str());
        }
        self.page(request, offset, count.clamp(1, PAGE)).await
    }

    /// Who owns a channel or group.
    ///
    /// # Errors
    /// `error-room-not-found` when the account may not see the room.
    pub async fn owners(
        &self,
        rid: &RocketRoomId,
        kind: &RoomType,
    ) -> Result<Vec<RocketUserId>, Error> {
        #[derive(Deserialize)]
        struct Answer<'a> {
            #[serde(borrow, default)]
            roles: Vec<&'a RawValue>,
        }
        let endpoint = by_type(kind, ["channels.roles", "groups.roles", "groups.roles"]);
        let path = ["api", "v1", endpoint];
        let body = self
            .bytes(Request::get(&path).query("roomId", rid.as_str()))
            .await?;
        let answer: Answer<'_> = answer::parse(&body)?;
        let (members, _) = read_each::<RolesOf>(&answer.roles);
        Ok(members
            .into_iter()
            .filter(|member| member.roles.iter().any(|role| role == "owner"))
            .map(|member| member.u.id)
            .collect())
    }

    async fn page<T: DeserializeOwned>(
        &self,
        request: Request<'_>,
        offset: usize,
        count: usize,
    ) -> Result<Page<T>, Error> {
        let request = request
            .query("offset", offset.to_string())
            .query("count", count.to_string());
        let body = self.bytes(request).await?;
        let answer: ListAnswer = answer::parse(&body)?;
        let (items, unreadable) = read_each(&answer.members);
        Ok(Page {
            items,
            offset,
            sent: answer.members.len(),
            total: answer.total,
            unreadable,
        })
    }
}

/// The endpoint for channels, groups or direct messages.
fn by_type<'a>(kind: &RoomType, [channel, group, direct]: [&'a str; 3]) -> &'a str {
    match kind {
        RoomType::Channel => channel,
        RoomType::Direct => direct,
        RoomType::Group | RoomType::Livechat | RoomType::Other(_) => group,
    }
}
