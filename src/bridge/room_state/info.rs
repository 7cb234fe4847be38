//! The state that tells clients and other bridges that a room is bridged (MSC2346).

use ruma::UserId;
use ruma::events::AnyInitialStateEvent;
use ruma::serde::Raw;
use serde_json::{Value, json};

use crate::bridge::{Bridge, Failure};
use crate::rocketchat::documents::Room;
use crate::rocketchat::{RocketRoomId, RocketUserId};
use crate::store::{Portal, PortalKind};

/// Its type while the proposal is open, and the one it may get.
pub(in crate::bridge) const BRIDGE_STATE: [&str; 2] = ["uk.half-shot.bridge", "m.bridge"];

impl Bridge {
    /// The key of that state: one room may have several bridges.
    pub(in crate::bridge) fn bridge_state_key(&self, rid: &RocketRoomId) -> String {
        format!("{}/{rid}", self.config.appservice.id)
    }

    /// The state that a room has from the beginning.
    pub(in crate::bridge) fn bridge_state(
        &self,
        room: &Room,
        maker: &UserId,
    ) -> Vec<Raw<AnyInitialStateEvent>> {
        let name = room.display_name().unwrap_or(room.id.as_str());
        let content = self.bridge_info(maker, &room.id, name);
        BRIDGE_STATE
            .iter()
            .filter_map(|kind| {
                let event = json!({
                    "type": kind,
                    "state_key": self.bridge_state_key(&room.id),
                    "content": content,
                });
                Raw::from_json_string(event.to_string()).ok()
            })
            .collect()
    }

    fn bridge_info(&self, maker: &UserId, rid: &RocketRoomId, name: &str) -> Value {
        json!({
            "bridgebot": maker,
            "creator": maker,
            "protocol": {
                "id": "rocketchat",
                "displayname": "Rocket.Chat",
                "external_url": "https://www.rocket.chat",
            },
            "channel": { "id": rid, "displayname": name },
        })
    }

    /// Looks at the direct messages with somebody who has another name or picture.
    pub(in crate::bridge) fn compare_directs_with(&self, person: &RocketUserId) {
        for portal in self.store.portals() {
            if matches!(&portal.kind, PortalKind::Direct { peer, .. } if peer == person) {
                self.compare_room(&portal.id);
            }
        }
    }

    /// Keeps that state current.
    pub(super) async fn show_bridge_info(
        &self,
        portal: &Portal,
        room: Option<&Room>,
    ) -> Result<(), Failure> {
        let reader = self.reader(portal).await?;
        let (name, picture) = match &portal.kind {
            PortalKind::Direct { peer, .. } => {
                let profile = self.store.ghost_profile(peer)?.unwrap_or_default();
                let picture = profile.picture.map(|picture| picture.mxc.to_string());
                (profile.name.unwrap_or_else(|| portal.name.clone()), picture)
            }
            _ => {
                let picture = self.store.room_picture(&portal.id)?.url;
                (portal.name.clone(), picture)
            }
        };
        let mut content = self.bridge_info(reader.user_id(), &portal.rid, &name);
        if let Some(picture) = picture {
            content["channel"]["avatar_url"] = picture.into();
        }
        let settings = self.server_settings().await?;
        let site = settings.site_or(&self.config.rocketchat.url);
        let slug = room.and_then(|room| room.name.as_deref());
        let link = settings.room_link(portal, slug, &self.config.rocketchat.url);
        content["channel"]["external_url"] = link.as_str().into();
        content["network"] = json!({
            "id": site.host_str(),
            "displayname": site.host_str(),
            "external_url": site.as_str(),
        });
        // With the room: a look that began before the portal moved said it to the old one.
        let said = format!("{} {content}", portal.room_id);
        if self.store.room_state(&portal.id)?.bridge_info == said {
            return Ok(());
        }
        let key = self.bridge_state_key(&portal.rid);
        for kind in BRIDGE_STATE {
            let sent = reader.send_state(&portal.room_id, kind, &key, &content, None);
            match sent.await {
                // Whoever took the bridge's power does not want to know.
                Err(error) if !error.is_forbidden() => return Err(error.into()),
                _ => {}
            }
        }
        self.store
            .amend_room_state(&portal.id, |state| state.bridge_info = said)?;
        Ok(())
    }
}
