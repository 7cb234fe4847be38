//! Where a room is found: its alias, and the homeserver's directory.

use ruma::{OwnedRoomAliasId, RoomAliasId};
use serde_json::{Value, json};

use super::agree::RoomNow;
use crate::bridge::{Bridge, Failure};
use crate::rocketchat::documents::RoomType;
use crate::store::{Portal, RoomState};

/// The state that has the addresses of a room.
pub(in crate::bridge) const CANONICAL: &str = "m.room.canonical_alias";

impl Bridge {
    /// Keeps alias and directory as the room is: a private room has neither.
    pub(super) async fn keep_places(&self, portal: &Portal, now: &RoomNow) -> Result<(), Failure> {
        let room = &now.room;
        let known = self.store.room_state(&portal.id)?;
        let wanted = self.alias_of(room).filter(|_| !now.is_closed);
        if wanted != known.alias {
            self.move_alias(portal, &known, wanted).await?;
        }
        let publish = self.config.bridge.publish
            && room.t == RoomType::Channel
            && room.prid.is_none()
            && !now.is_closed
            && !room.archived;
        if publish == known.published {
            return Ok(());
        }
        match self
            .matrix
            .bot()
            .list_in_directory(&portal.room_id, publish)
            .await
        {
            Ok(()) => {}
            Err(error) if error.is_forbidden() => {
                tracing::warn!(room = %portal.room_id, %error, "the homeserver's directory cannot be changed");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        self.store
            .amend_room_state(&portal.id, |state| state.published = publish)?;
        Ok(())
    }

    async fn move_alias(
        &self,
        portal: &Portal,
        known: &RoomState,
        wanted: Option<OwnedRoomAliasId>,
    ) -> Result<(), Failure> {
        let bot = self.matrix.bot();
        let room = &portal.room_id;
        if let Some(wanted) = &wanted {
            match bot.create_alias(wanted, room).await {
                Ok(()) => {}
                Err(error) if error.is_alias_in_use() => match bot.resolve_alias(wanted).await? {
                    Some(found) if found == *room => {}
                    Some(found) => {
                        // A channel that had this name before has not let go of it yet.
                        let Some(other) = self.store.portal_of_room(&found)? else {
                            tracing::warn!(alias = %wanted, "an alias belongs to another room");
                            return Ok(());
                        };
                        // Two names may differ in what aliases do not tell apart.
                        let now = self.room_now(&other.rid).await?;
                        if now.is_some_and(|now| self.alias_of(&now.room).as_ref() == Some(wanted))
                        {
                            tracing::info!(alias = %wanted, "an alias belongs to another channel that is called almost the same");
                            return Ok(());
                        }
                        self.compare_room(&other.id);
                        return Err(Failure::NotYet("another room to give up its alias"));
                    }
                    None => return Err(Failure::NotYet("an alias to be free")),
                },
                Err(error) => return Err(error.into()),
            }
        }
        self.show_alias(portal, known.alias.as_deref(), wanted.as_deref())
            .await?;
        if let Some(old) = &known.alias {
            match bot.delete_alias(old).await {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        self.store
            .amend_room_state(&portal.id, |state| state.alias = wanted)?;
        Ok(())
    }

    /// Shows an alias in the room, unless somebody chose another.
    async fn show_alias(
        &self,
        portal: &Portal,
        old: Option<&RoomAliasId>,
        wanted: Option<&RoomAliasId>,
    ) -> Result<(), Failure> {
        let bot = self.matrix.bot();
        let room = &portal.room_id;
        let mut content = bot.state(room, CANONICAL, "").await?.unwrap_or_default();
        let before = content.clone();
        if !content.is_object() {
            content = json!({});
        }
        let shown = content.get("alias").and_then(Value::as_str);
        if shown.is_none() || shown == old.map(RoomAliasId::as_str) {
            content["alias"] = wanted.map_or(Value::Null, |alias| alias.as_str().into());
        }
        if let Some(others) = content.get_mut("alt_aliases").and_then(Value::as_array_mut) {
            others.retain(|other| other.as_str() != old.map(RoomAliasId::as_str));
        }
        if let Some(fields) = content.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        if content == before || (before.is_null() && content == json!({})) {
            return Ok(());
        }
        match bot.send_state(room, CANONICAL, "", &content, None).await {
            Err(error) if !error.is_forbidden() => Err(error.into()),
            _ => Ok(()),
        }
    }
}
