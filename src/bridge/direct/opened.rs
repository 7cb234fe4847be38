//! Direct messages that people of Rocket.Chat begin.

use std::sync::Arc;

use ruma::api::client::room::create_room;
use ruma::api::client::room::create_room::v3::RoomPreset;
use ruma::serde::Raw;
use serde_json::json;

use crate::bridge::{Bridge, Failure};
use crate::rocketchat::documents::{Room, UserRef};
use crate::store::{Ghost, Portal};

impl Bridge {
    /// A Rocket.Chat user writes to puppets: the Matrix room is made, and everybody of
    /// Rocket.Chat has their ghost there. The Matrix users are invited before the first
    /// message. None when it is no conversation between the two sides.
    pub(in crate::bridge) async fn open_direct(
        self: &Arc<Self>,
        room: &Room,
    ) -> Result<Option<Portal>, Failure> {
        if let Some(portal) = self.store.own_portal(&room.id)? {
            return Ok(Some(portal));
        }
        self.settle_gathering_of(&room.id).await?;
        let _one_at_a_time = self.making_portal.lock(&room.id).await;
        if let Some(portal) = self.store.own_portal(&room.id)? {
            return Ok(Some(portal));
        }
        self.must_not_be_gathering(&room.id)?;
        self.must_not_be_ending(&room.id)?;
        let Some(kind) = self.direct_people(room).await? else {
            return Ok(None);
        };
        let Some(ghosts) = self.ghosts_of(&kind).await? else {
            return Ok(None);
        };
        let Some((maker, others)) = ghosts.split_first() else {
            return Ok(None);
        };
        let intent = self.as_ghost(maker);
        let room_id = match self.find_made_for(&intent, room).await? {
            Some(made_before) => made_before,
            None => {
                let mut request = create_room::v3::Request::new();
                request.is_direct = true;
                request.preset = Some(RoomPreset::TrustedPrivateChat);
                request.invite = others.iter().map(|ghost| ghost.user_id.clone()).collect();
                request.initial_state = self.bridge_state(room, &maker.user_id);
                // Nobody who is invited later reads what was said before.
                let visibility = json!({
                    "type": "m.room.history_visibility", "state_key": "",
                    "content": { "history_visibility": "invited" },
                });
                if self.are_local(kind.direct_users()) {
                    request
                        .initial_state
                        .extend(Raw::from_json_string(visibility.to_string()));
                }
                // They must exist to be invited.
                for other in others {
                    self.as_ghost(other).register().await?;
                }
                let joining = self.joining(maker);
                let made = intent.create_room(request).await?;
                self.joined(maker, &joining);
                made
            }
        };
        for other in others {
            let joining = self.joining(other);
            let other_intent = self.as_ghost(other);
            match other_intent.join(&room_id, None).await {
                Err(error) if error.is_forbidden() => {
                    intent.invite(&room_id, &other.user_id, None).await?;
                    other_intent.join(&room_id, None).await?;
                }
                outcome => outcome?,
            }
            self.joined(other, &joining);
        }
        let mut names: Vec<_> = ghosts.iter().map(|ghost| ghost.username.as_str()).collect();
        names.sort_unstable();
        let since = self.linked_since(room)?.unwrap_or(0);
        let portal = Portal::own(room.id.clone(), room_id, kind, names.join(", "), since);
        let mut change = self.store.change().portal(&portal);
        for ghost in &ghosts {
            change = change.ghost_in_room(&portal.room_id, &ghost.user_id);
        }
        change.commit()?;
        self.store.flushed().await?;
        self.direct_rooms_changed();
        tracing::info!(rid = %portal.rid, room = %portal.room_id, "a direct message is mirrored");
        Ok(Some(portal))
    }

    /// The ghosts of the Rocket.Chat users of a direct message. None when one of them is
    /// of Rocket.Chat's own federation, or there is nobody whose account is in use.
    async fn ghosts_of(
        &self,
        kind: &crate::store::PortalKind,
    ) -> Result<Option<Vec<Ghost>>, Failure> {
        let rocket = self.rocket().await;
        let mut ghosts = Vec::new();
        for peer in kind.direct_peers() {
            let Some(person) = rocket.bot.user_by_id(peer).await? else {
                // Deleted: the others may go on.
                continue;
            };
            if person.federated {
                return Ok(None);
            }
            if !person.active {
                // Who comes back is here again when they write.
                continue;
            }
            ghosts.push(self.ghost_of(&UserRef::from(&person)).await?);
        }
        Ok((!ghosts.is_empty()).then_some(ghosts))
    }
}
