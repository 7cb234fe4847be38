//! Teams: a space for each team of which a room is mirrored.

use std::collections::BTreeSet;

use ruma::api::client::room::create_room;
use ruma::api::client::room::create_room::v3::RoomPreset;
use ruma::serde::Raw;
use ruma::{OwnedRoomAliasId, OwnedRoomId, RoomAliasId};
use serde_json::{Value, json};

use super::aspects::{Aspect, PRIVATE, PUBLIC};
use crate::bridge::{Bridge, Failure};
use crate::rocketchat::documents::Room;
use crate::rocketchat::rest::Team;
use crate::store::{Portal, PortalKind, TeamSpace};

const CHILD: &str = "m.space.child";
const PARENT: &str = "m.space.parent";

impl Bridge {
    /// Keeps a room in the space of its team, and in no other.
    pub(super) async fn keep_in_team(&self, portal: &Portal, room: &Room) -> Result<(), Failure> {
        let known = self.store.room_state(&portal.id)?.team;
        if let Some(old) = &known
            && room.team_id.as_ref() != Some(old)
        {
            self.leave_space(old, &portal.room_id).await?;
            let space = self.store.team_space(old)?.space;
            if let Some(space) = space {
                self.show_parent(portal, &space, json!({})).await?;
            }
            self.store
                .amend_room_state(&portal.id, |state| state.team = None)?;
        }
        let Some(id) = &room.team_id else {
            return Ok(());
        };
        let Some(team) = self.rocket().await.bot.team(id).await? else {
            return Ok(());
        };
        let _one_at_a_time = self.making_space.lock(id).await;
        let Some(space) = self.space_of(id, &team).await? else {
            return Ok(());
        };
        let bot = self.matrix.bot();
        let here = json!({ "via": [self.config.homeserver.server_name] });
        if !self.store.team_space(id)?.rooms.contains(&portal.room_id) {
            bot.send_state(&space, CHILD, portal.room_id.as_str(), &here, None)
                .await?;
            self.store.amend_team_space(id, |noted| {
                noted.rooms.insert(portal.room_id.clone());
            })?;
        }
        if known.as_ref() != Some(id) {
            let mut parent = here;
            parent["canonical"] = true.into();
            self.show_parent(portal, &space, parent).await?;
            self.store
                .amend_room_state(&portal.id, |state| state.team = Some(id.clone()))?;
        }
        self.keep_space(id, &space, &team).await
    }

    /// Says in a room which space it is in. Where the bridge lacks the power for that,
    /// the space shows it all the same.
    async fn show_parent(
        &self,
        portal: &Portal,
        space: &OwnedRoomId,
        content: Value,
    ) -> Result<(), Failure> {
        let bot = self.matrix.bot();
        let sent = bot.send_state(&portal.room_id, PARENT, space.as_str(), &content, None);
        match sent.await {
            Err(error) if !error.is_forbidden() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Takes a room out of the space of a team.
    async fn leave_space(&self, team: &str, room: &OwnedRoomId) -> Result<(), Failure> {
        let known = self.store.team_space(team)?;
        if let Some(space) = &known.space
            && known.rooms.contains(room)
        {
            let bot = self.matrix.bot();
            bot.send_state(space, CHILD, room.as_str(), &json!({}), None)
                .await?;
        }
        self.store.amend_team_space(team, |noted| {
            noted.rooms.remove(room);
        })?;
        // Who is in that room only may not enter any more.
        if let Some(space) = &known.space {
            let public = entry_of(true, &known.rooms).to_string();
            let is_public = known.entry == public;
            self.keep_entry(team, space, is_public).await?;
        }
        Ok(())
    }

    /// Looks at the teams that have spaces: that one has become private, or public, shows
    /// in no list of rooms.
    pub(super) async fn compare_teams(&self) -> Result<(), Failure> {
        for known in self.store.team_spaces() {
            let id = &known.team;
            let team = self
                .persevere(async |_| Ok(self.rocket().await.bot.team(id).await?))
                .await?;
            if let (Some(team), Some(space)) = (&team, &known.space) {
                let _one_at_a_time = self.making_space.lock(id).await;
                self.persevere(|_| self.keep_space(id, space, team)).await?;
            }
            // Of a team that is not known nobody is a member.
            let wanted = match team.is_some_and(|team| team.is_public()) {
                true => PUBLIC,
                false => PRIVATE,
            };
            for room in &known.rooms {
                let Some(portal) = self.store.portal_of_room(room)? else {
                    continue;
                };
                let state = self.store.room_state(&portal.id)?;
                let agreed = state.agreed.get(Aspect::Access.key()).map(String::as_str);
                if portal.kind == PortalKind::Channel && agreed != Some(wanted) {
                    self.compare_room(&portal.id);
                }
            }
        }
        Ok(())
    }

    /// Takes rooms out of spaces that are mirrored no longer.
    pub(super) async fn tidy_spaces(&self) -> Result<(), Failure> {
        for known in self.store.team_spaces() {
            let _one_at_a_time = self.making_space.lock(&known.team).await;
            for room in &known.rooms {
                if self.store.portal_of_room(room)?.is_none() {
                    self.persevere(|_| self.leave_space(&known.team, room))
                        .await?;
                }
            }
        }
        Ok(())
    }

    /// The space of a team, made at need; none when its alias is somebody else's.
    async fn space_of(&self, id: &str, team: &Team) -> Result<Option<OwnedRoomId>, Failure> {
        if let Some(space) = self.store.team_space(id)?.space {
            return Ok(Some(space));
        }
        let bot = self.matrix.bot();
        let mut request = create_room::v3::Request::new();
        request.name = Some(team.name.clone());
        request.preset = Some(RoomPreset::PrivateChat);
        let mut creation = json!({ "type": "m.space" });
        if !self.config.bridge.federate {
            creation["m.federate"] = false.into();
        }
        request.creation_content = Raw::from_json_string(creation.to_string()).ok();
        let users = self.first_users(&bot).await?;
        // Nobody writes in a space.
        let rights = json!({ "users": users, "events_default": 100, "invite": 50 });
        request.power_level_content_override = Raw::from_json_string(rights.to_string()).ok();
        let alias = self.alias_of_team(id);
        request.room_alias_name = alias.as_ref().map(|alias| alias.alias().to_owned());
        let space = match (bot.create_room(request).await, alias) {
            // An attempt before was interrupted.
            (Err(error), Some(alias)) if error.is_alias_in_use() => {
                let found = bot.resolve_alias(&alias).await?;
                let rooms = bot.joined_rooms().await?;
                match found.filter(|found| rooms.contains(found)) {
                    Some(found) => found,
                    None => {
                        tracing::warn!(%alias, "a team gets no space: the alias belongs to another room");
                        return Ok(None);
                    }
                }
            }
            (outcome, _) => outcome?,
        };
        self.store.amend_team_space(id, |noted| {
            noted.space = Some(space.clone());
            noted.name.clone_from(&team.name);
        })?;
        self.store.flushed().await?;
        tracing::info!(team = team.name, %space, "a team has a space");
        Ok(Some(space))
    }

    /// Which cannot be a channel's: a name of a channel has no `=`, but where two digits
    /// follow.
    fn alias_of_team(&self, id: &str) -> Option<OwnedRoomAliasId> {
        if !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let prefix = &self.config.appservice.ghost_prefix;
        let server = &self.config.homeserver.server_name;
        RoomAliasId::parse(format!("#{prefix}=team={id}:{server}")).ok()
    }

    /// Keeps the name of a space, and who may enter it: everybody that of a public team,
    /// otherwise those who are in one of its rooms.
    async fn keep_space(&self, id: &str, space: &OwnedRoomId, team: &Team) -> Result<(), Failure> {
        let known: TeamSpace = self.store.team_space(id)?;
        let bot = self.matrix.bot();
        if known.name != team.name {
            let content = json!({ "name": team.name });
            bot.send_state(space, "m.room.name", "", &content, None)
                .await?;
            self.store
                .amend_team_space(id, |noted| noted.name.clone_from(&team.name))?;
        }
        self.keep_entry(id, space, team.is_public()).await
    }

    async fn keep_entry(
        &self,
        id: &str,
        space: &OwnedRoomId,
        is_public: bool,
    ) -> Result<(), Failure> {
        let known: TeamSpace = self.store.team_space(id)?;
        let entry = entry_of(is_public, &known.rooms);
        let said = entry.to_string();
        if known.entry != said {
            let bot = self.matrix.bot();
            bot.send_state(space, "m.room.join_rules", "", &entry, None)
                .await?;
            self.store
                .amend_team_space(id, |noted| noted.entry = said)?;
        }
        Ok(())
    }
}

/// Who may enter the space of a team with these rooms.
fn entry_of(is_public: bool, rooms: &BTreeSet<OwnedRoomId>) -> Value {
    if is_public {
        return json!({ "join_rule": "public" });
    }
    let allow: Vec<Value> = rooms
        .iter()
        .map(|room| json!({ "type": "m.room_membership", "room_id": room }))
        .collect();
    json!({ "join_rule": "restricted", "allow": allow })
}
