//! Comparing all rooms: after each connection to Rocket.Chat, and now and then.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::aspects::Aspect;
use crate::bridge::{Bridge, Failure};
use crate::rocketchat::documents::{Room, RoomType};
use crate::rocketchat::rest::RoomOrder;
use crate::store::{PortalId, PortalKind, StoreError};

/// How long between two rounds.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(15 * 60);

/// How long between two pages of rooms: Rocket.Chat has its own people to serve.
const BETWEEN_PAGES: Duration = Duration::from_millis(250);

/// How many rooms a page has.
const PAGE: usize = 100;

/// How many pages are looked at, so that a round ends whatever a server answers.
const MOST_PAGES: usize = 10_000;

impl Bridge {
    /// Compares all rooms when it is time, for ever.
    pub(super) async fn go_round_rooms(self: Arc<Self>) {
        // Not before there is a connection.
        self.room_states.round.notified().await;
        loop {
            for portal in self.store.portals() {
                let is_direct = matches!(portal.kind, PortalKind::Direct { .. });
                let state = self.store.room_state(&portal.id).unwrap_or_default();
                if state.changes > 0 || is_direct {
                    self.room_states.queue.add_in_turn(portal.id);
                }
            }
            if let Err(failure) = self.tidy_spaces().await {
                tracing::warn!(%failure, "spaces may show rooms that are not mirrored");
            }
            if let Err(failure) = self.compare_teams().await {
                tracing::warn!(%failure, "teams cannot be compared now");
            }
            if let Err(failure) = self.compare_all_rooms().await {
                tracing::warn!(%failure, "rooms cannot be compared now");
            }
            // Whoever wakes us has missed something; or it is time.
            let round = self.room_states.round.notified();
            let _ = tokio::time::timeout(BETWEEN_ROUNDS, round).await;
        }
    }

    /// Compares the rooms that were changed last.
    pub(in crate::bridge) async fn compare_changed_rooms(&self) -> Result<(), Failure> {
        let page = self
            .persevere(async |_| {
                let rocket = self.rocket().await;
                let types = [RoomType::Channel, RoomType::Group];
                let rooms = rocket
                    .bot
                    .admin_rooms(&types, "", RoomOrder::Changed, 0, PAGE);
                Ok(rooms.await?)
            })
            .await?;
        for room in &page.items {
            let amiss = self.not_as_agreed(room)?;
            if amiss.is_empty() {
                let rows = &self.room_states.rows;
                let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
                rows.remove(&room.id);
            } else if self.is_another_row(room) {
                amiss.iter().for_each(|portal| self.compare_room(portal));
            }
        }
        Ok(())
    }

    /// Whether a row says something else than the one before of the same room: what a
    /// look cannot make the same must not be looked at for ever.
    fn is_another_row(&self, room: &Room) -> bool {
        let mut hasher = DefaultHasher::new();
        for text in [
            &room.name,
            &room.fname,
            &room.topic,
            &room.description,
            &room.announcement,
            &room.team_id,
        ] {
            text.hash(&mut hasher);
        }
        (&room.t, room.read_only, room.archived).hash(&mut hasher);
        let row = hasher.finish();
        let rows = &self.room_states.rows;
        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.insert(room.id.clone(), row) != Some(row)
    }

    async fn compare_all_rooms(&self) -> Result<(), Failure> {
        let mut offset = 0;
        for _ in 0..MOST_PAGES {
            let page = self
                .persevere(async |_| {
                    let rocket = self.rocket().await;
                    let types = [RoomType::Channel, RoomType::Group];
                    let rooms = &rocket.bot;
                    Ok(rooms
                        .admin_rooms(&types, "", RoomOrder::Created, offset, PAGE)
                        .await?)
                })
                .await?;
            for room in &page.items {
                for portal in self.not_as_agreed(room)? {
                    self.room_states.queue.add_in_turn(portal);
                }
            }
            offset += page.sent;
            if page.sent == 0 || offset >= page.total {
                break;
            }
            tokio::time::sleep(BETWEEN_PAGES).await;
        }
        Ok(())
    }

    /// The portals for which a room is not as it was agreed, as far as a row of a list
    /// tells.
    fn not_as_agreed(&self, row: &Room) -> Result<Vec<PortalId>, StoreError> {
        let mut amiss = Vec::new();
        for portal in self.store.portals_of(&row.id)? {
            let is_as_agreed = match portal.plumbed {
                true => self.is_as_joined(&portal, row)?,
                false => self.is_as_agreed(&portal.id, row)?,
            };
            if !is_as_agreed {
                amiss.push(portal.id);
            }
        }
        Ok(amiss)
    }

    fn is_as_agreed(&self, portal: &PortalId, row: &Room) -> Result<bool, StoreError> {
        let known = self.store.room_state(portal)?;
        let mut room = row.clone();
        // Rows leave out what is empty, and perhaps more.
        room.description = room.description.or_else(|| known.description.clone());
        room.react_when_read_only |= known.agreed.get(Aspect::Writing.key()).map(String::as_str)
            == Some("read-only, reactions");
        let is_same = Aspect::AGREED
            .iter()
            .all(|aspect| known.agreed.get(aspect.key()) == Some(&aspect.on_rocketchat(&room)));
        let is_said =
            |present: &Option<String>, said: &Option<String>| present.is_none() || present == said;
        Ok(is_same
            && !known.bridge_info.is_empty()
            && known.team == row.team_id
            && is_said(&row.announcement, &known.announcement)
            && is_said(&row.description, &known.description))
    }
}
