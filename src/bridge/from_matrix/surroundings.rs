//! What the converter has to know of a room and its people.

use ruma::{RoomOrAliasId, UserId};
use serde_json::Value;

use crate::bridge::{Bridge, Failure, ghosts};
use crate::convert::to_rocketchat::{self, Surroundings};
use crate::store::{InboxEvent, Portal, PortalKind};

impl Bridge {
    /// What an event says, in the dialect of Rocket.Chat; none when it says nothing.
    pub(super) fn words_of(
        &self,
        kind: &str,
        content: &Value,
        may_call_all: bool,
    ) -> Result<Option<String>, Failure> {
        Ok(self.with_surroundings(may_call_all, |around| {
            to_rocketchat::event(kind, content, around)
        }))
    }

    /// What becomes of something when the converter knows the people around it.
    pub(super) fn with_surroundings<T>(
        &self,
        may_call_all: bool,
        convert: impl FnOnce(&Surroundings<'_>) -> T,
    ) -> T {
        convert(&Surroundings {
            username: &|user| self.username_on_rocketchat(user),
            channel: &|room| self.channel_on_rocketchat(room),
            may_call_all,
        })
    }

    /// How Rocket.Chat calls somebody of Matrix. What the store cannot say now is
    /// left as text.
    fn username_on_rocketchat(&self, user: &UserId) -> Option<String> {
        if self.config.is_ghost(user) {
            return match self.store.ghost_by_localpart(user.localpart()).ok()? {
                Some(ghost) => Some(ghost.username),
                None => {
                    let prefix = &self.config.appservice.ghost_prefix;
                    ghosts::username_of(user.localpart(), prefix)
                        .map(crate::rocketchat::Username::into_string)
                }
            };
        }
        Some(self.store.puppet(user).ok()??.username)
    }

    fn channel_on_rocketchat(&self, room: &RoomOrAliasId) -> Option<String> {
        if let Ok(alias) = <&ruma::RoomAliasId>::try_from(room) {
            let is_ours = alias.server_name() == self.config.homeserver.server_name;
            return is_ours.then(|| self.channel_of_alias(alias)).flatten();
        }
        let room = <&ruma::RoomId>::try_from(room).ok()?;
        let portal = self.store.portal_of_room(room).ok()??;
        // The name of a private group is not everybody's to read.
        (portal.kind == PortalKind::Channel).then_some(portal.name)
    }

    /// Whether a message that calls everybody does so by right: only who may notify
    /// the room on Matrix. What Rocket.Chat allows it says itself.
    pub(super) async fn calls_everybody_by_right(
        &self,
        portal: &Portal,
        event: &InboxEvent,
        content: &Value,
    ) -> Result<bool, Failure> {
        let calls = match content.get("m.mentions") {
            Some(mentions) => mentions.get("room").and_then(Value::as_bool) == Some(true),
            // Before 1.7 of the specification the words themselves did.
            None => content
                .get("body")
                .and_then(Value::as_str)
                .is_some_and(|body| body.contains("@room")),
        };
        if !calls || matches!(portal.kind, PortalKind::Direct { .. }) {
            return Ok(false);
        }
        let levels = self.power_levels(portal).await?;
        Ok(levels.may_notify_room(&event.sender))
    }
}
