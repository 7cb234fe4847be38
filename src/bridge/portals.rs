//! Rooms that mirror each other: found, made, kept.

use std::sync::Arc;

use ruma::api::client::room::create_room;
use ruma::api::client::room::{Visibility, create_room::v3::RoomPreset};
use ruma::serde::Raw;
use ruma::{OwnedRoomAliasId, OwnedRoomId, RoomAliasId, UserId};
use serde_json::json;

use super::ghosts::localpart_of;
use super::room_state::{BRIDGE_STATE, CANONICAL};
use super::{Bridge, Failure};
use crate::clock::now_ms;
use crate::matrix::Intent;
use crate::rocketchat::documents::{Room, RoomType};
use crate::store::{Portal, PortalId, PortalKind};

impl Bridge {
    /// Makes the portal of a channel that the configuration names, unless somebody has
    /// ended it since.
    pub(super) async fn open_configured(self: &Arc<Self>, name: &str) -> Result<(), Failure> {
        let room = self.room_named(name).await?;
        if self.store.own_portal(&room.id)?.is_none()
            && let Some(unbridged) = self.store.unbridged(&room.id)?
        {
            let at = crate::clock::shown(unbridged.at);
            tracing::info!(channel = name, by = %unbridged.by, at, "a channel of bridge.channels stays as it is: somebody ended that it is mirrored; `bridge` begins again");
            return Ok(());
        }
        self.open_room(&room).await.map(drop)
    }

    /// The portal of a channel or group by its name, made when there is none yet, also
    /// when somebody had ended it. `guest` is invited to the Matrix room.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell the person when there is no such
    /// channel, or it must not be mirrored.
    pub async fn open_channel(
        self: &Arc<Self>,
        name: &str,
        guest: Option<&UserId>,
    ) -> Result<Portal, Failure> {
        let room = self.room_named(name).await?;
        let portal = self.open_room(&room).await?;
        if self.store.unbridged(&room.id)?.is_some() {
            self.store.change().not_unbridged(&room.id).commit()?;
        }
        if let Some(guest) = guest {
            self.invite_guest(&portal, guest).await?;
        }
        Ok(portal)
    }

    /// The channel or group with that name.
    pub(super) async fn room_named(&self, name: &str) -> Result<Room, Failure> {
        let rocket = self.rocket().await;
        let room = match rocket.bot.channel_named(name).await? {
            Some(room) => Some(room),
            None => rocket.bot.group_by_name(name).await?,
        };
        room.ok_or_else(|| {
            Failure::Refused(format!(
                "There is no channel named {name} on Rocket.Chat that the bridge can see. To mirror a private group, invite the bridge's account into it first."
            ))
        })
    }

    pub(super) async fn invite_guest(
        &self,
        portal: &Portal,
        guest: &UserId,
    ) -> Result<(), Failure> {
        let bot = self.matrix.bot();
        let joined = bot.joined_members(&portal.room_id).await?;
        if joined.contains_key(guest) {
            return Ok(());
        }
        Ok(bot.invite(&portal.room_id, guest, None).await?)
    }

    /// The portal of a channel or group, made when there is none yet.
    async fn open_room(self: &Arc<Self>, room: &Room) -> Result<Portal, Failure> {
        self.open_room_since(room, None).await
    }

    /// As [`Bridge::open_room`], with what was written after `since` (ms).
    pub(super) async fn open_room_since(
        self: &Arc<Self>,
        room: &Room,
        since: Option<i64>,
    ) -> Result<Portal, Failure> {
        if let Some(portal) = self.store.own_portal(&room.id)? {
            return Ok(portal);
        }
        let _one_at_a_time = self.making_portal.lock(&room.id).await;
        if let Some(portal) = self.store.own_portal(&room.id)? {
            return Ok(portal);
        }
        self.must_not_be_ending(&room.id)?;
        // The bridge is making it for a Matrix room that is there already.
        if self
            .store
            .gatherings()
            .iter()
            .any(|gathering| room.name.as_ref() == Some(&gathering.name))
        {
            return Err(Failure::NotYet("the room of this group"));
        }
        let kind = match room.t {
            RoomType::Channel => PortalKind::Channel,
            RoomType::Group => PortalKind::Group,
            _ => {
                return Err(Failure::Refused(
                    "Only channels and private groups can be mirrored by name.".into(),
                ));
            }
        };
        if room.federated {
            return Err(Failure::Refused(
                "This room belongs to Rocket.Chat's own federation; mirroring it would double every message.".into(),
            ));
        }
        if room.encrypted {
            return Err(Failure::Refused(
                "This room is encrypted on Rocket.Chat; the bridge cannot read it.".into(),
            ));
        }
        let is_closed = self.is_for_members_only(room).await?;
        let is_public = kind == PortalKind::Channel && !is_closed;
        let since = since.unwrap_or_else(|| room.last_message_at.map_or(0, |at| at.0));
        let wanted = self.wanted_since(room)?;
        let portal = Portal::own(
            room.id.clone(),
            self.make_room(room, is_public).await?,
            kind,
            shown_name(room).to_owned(),
            since.min(wanted.unwrap_or(since)),
        );
        self.begin_room_state(&portal, room, is_closed)?;
        let mut change = self.store.change().portal(&portal);
        if self.store.is_mirrored(&room.id)? {
            // In rooms that existed before and whose people do not know of this one.
            change = change.newcomer(&portal.id, now_ms());
        }
        change.commit()?;
        // After that: until then the room would not be found again.
        self.store
            .amend_room_state(&portal.id, |state| state.making = false)?;
        self.store.flushed().await?;
        self.unmirrored.forget(&portal.rid);
        tracing::info!(rid = %portal.rid, room = %portal.room_id, name = portal.name, "a channel is mirrored");
        self.rocket().await.follow_deletions(&portal.rid).await;
        self.follow_typing(&portal);
        self.read_back(portal.id.clone());
        self.compare_room_picture(&portal.id);
        self.compare_members(&portal.id);
        self.compare_room(&portal.id);
        self.introduce(portal.id.clone());
        Ok(portal)
    }

    /// Makes the Matrix room of a channel, or finds the one again that an
    /// interrupted attempt made.
    async fn make_room(&self, room: &Room, is_public: bool) -> Result<OwnedRoomId, Failure> {
        let bot = self.matrix.bot();
        let interrupted = match self.store.room_state(&PortalId::own(&room.id))?.making {
            true => self.find_made_for(&bot, room).await?,
            false => None,
        };
        let made = match interrupted {
            Some(made) => made,
            None => {
                self.store
                    .amend_room_state(&PortalId::own(&room.id), |state| state.making = true)?;
                self.store.flushed().await?;
                bot.create_room(self.room_to_make(room, is_public).await?)
                    .await?
            }
        };
        match self.alias_of(room).filter(|_| is_public) {
            Some(alias) => self.give_first_alias(&alias, made, room).await,
            None => Ok(made),
        }
    }

    /// What is asked of the homeserver so that it makes the Matrix room of a channel. It
    /// gets its alias afterwards: Synapse gives an alias before it sets who may enter, and
    /// whoever comes by it in that moment is refused.
    async fn room_to_make(
        &self,
        room: &Room,
        is_public: bool,
    ) -> Result<create_room::v3::Request, Failure> {
        let mut request = create_room::v3::Request::new();
        request.name = Some(shown_name(room).to_owned());
        let topic = [&room.topic, &room.description].into_iter().flatten();
        request.topic = topic.into_iter().find(|topic| !topic.is_empty()).cloned();
        request.preset = Some(if is_public {
            RoomPreset::PublicChat
        } else {
            RoomPreset::PrivateChat
        });
        request.visibility = Visibility::Private;
        // Everybody may call everybody on Rocket.Chat, unless the administrators say
        // otherwise: then it refuses.
        let users = self.first_users(&self.matrix.bot()).await?;
        let mut rights = json!({ "notifications": { "room": 0 }, "users": users });
        if !is_public {
            // Who reads a private group is not for every member to decide.
            rights["invite"] = 50.into();
        }
        request.power_level_content_override = Raw::from_json_string(rights.to_string()).ok();
        if !self.config.bridge.federate {
            request.creation_content =
                Raw::from_json_string(json!({ "m.federate": false }).to_string()).ok();
        }
        request.initial_state = self.bridge_state(room, &self.config.appservice.bot);
        Ok(request)
    }

    /// Gives the room that was made for a channel its alias. Returns the room that has it:
    /// another one, when the store was lost since the bridge made that.
    async fn give_first_alias(
        &self,
        alias: &RoomAliasId,
        made: OwnedRoomId,
        room: &Room,
    ) -> Result<OwnedRoomId, Failure> {
        let bot = self.matrix.bot();
        // Tried before looked up: looking up an alias of ours that does not exist
        // makes the homeserver ask the bridge for it.
        match bot.create_alias(alias, &made).await {
            Err(error) if error.is_alias_in_use() => match bot.resolve_alias(alias).await? {
                Some(existing) if existing == made => {}
                Some(existing) if self.is_made_for(&existing, room).await? => {
                    bot.leave(&made, None).await?;
                    return Ok(existing);
                }
                Some(existing) => {
                    // A channel that had this name before has not let go of it yet.
                    if let Some(other) = self.store.portal_of_room(&existing)? {
                        self.compare_room(&other.id);
                        return Err(Failure::NotYet("another room to give up its alias"));
                    }
                    return Err(Failure::Refused(format!(
                        "The alias {alias} belongs to another room; an administrator of the homeserver can remove it."
                    )));
                }
                None => return Err(Failure::NotYet("an alias to be free")),
            },
            outcome => outcome?,
        }
        let content = json!({ "alias": alias });
        bot.send_state(&made, CANONICAL, "", &content, None).await?;
        Ok(made)
    }

    /// The alias of a public channel's portal.
    pub(super) fn alias_of(&self, room: &Room) -> Option<OwnedRoomAliasId> {
        // The name of a discussion is a random one.
        if room.t != RoomType::Channel || room.prid.is_some() {
            return None;
        }
        self.alias_of_name(room.name.as_deref()?)
    }

    /// The alias that the portal of a public channel with this name has.
    pub(super) fn alias_of_name(&self, name: &str) -> Option<OwnedRoomAliasId> {
        let name = localpart_of(name);
        let prefix = &self.config.appservice.ghost_prefix;
        let server = &self.config.homeserver.server_name;
        RoomAliasId::parse(format!("#{prefix}{name}:{server}")).ok()
    }

    /// The channel's name that an alias of ours stands for.
    pub(super) fn channel_of_alias(&self, alias: &RoomAliasId) -> Option<String> {
        super::ghosts::username_of(alias.alias(), &self.config.appservice.ghost_prefix)
            .map(crate::rocketchat::Username::into_string)
    }

    /// Whether the bridge made a Matrix room for this room of Rocket.Chat: only
    /// then may it be taken for its portal.
    async fn is_made_for(&self, candidate: &OwnedRoomId, room: &Room) -> Result<bool, Failure> {
        let bot = self.matrix.bot();
        Ok(bot.joined_rooms().await?.contains(candidate)
            && self.says_made_for(&bot, candidate, room).await?)
    }

    /// Whether this user of ours made the room for this room of Rocket.Chat. Anybody who
    /// makes a room can have it say so: only who made it cannot be made up.
    async fn says_made_for(
        &self,
        maker: &Intent,
        candidate: &OwnedRoomId,
        room: &Room,
    ) -> Result<bool, Failure> {
        let create = maker.state_event(candidate, "m.room.create", "").await?;
        if create.is_none_or(|create| create.sender != maker.user_id()) {
            return Ok(false);
        }
        let key = self.bridge_state_key(&room.id);
        let state = maker
            .state_event(candidate, BRIDGE_STATE[0], &key)
            .await?
            .filter(|state| state.sender == maker.user_id());
        let text = |pointer: &str| state.as_ref()?.content.pointer(pointer)?.as_str();
        Ok(text("/channel/id") == Some(room.id.as_str())
            && text("/bridgebot") == Some(maker.user_id().as_str()))
    }

    /// The room that an interrupted attempt made for a direct message, if any: a
    /// ghost is in few rooms.
    pub(super) async fn find_made_for(
        &self,
        ghost: &Intent,
        room: &Room,
    ) -> Result<Option<OwnedRoomId>, Failure> {
        for candidate in ghost.joined_rooms().await? {
            // Or about to become one, of a group.
            let is_other_portal = self.store.portal_of_room(&candidate)?.is_some()
                || self.store.gathering(&candidate)?.is_some();
            if !is_other_portal && self.says_made_for(ghost, &candidate, room).await? {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }
}

fn shown_name(room: &Room) -> &str {
    room.display_name().unwrap_or(room.id.as_str())
}
