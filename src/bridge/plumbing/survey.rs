//! Asks both servers what two rooms are like that are to be joined.

use ruma::{RoomId, UserId};
use serde_json::Value;

use super::sides::{MatrixSide, RocketSide, Survey, federates, matrix_side, rocket_side};
use super::words::meaning;
use crate::bridge::room_state::BRIDGE_STATE;
use crate::bridge::{Bridge, Failure};
use crate::matrix::Kind;
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::documents::RoomType;
use crate::store::{Portal, PortalId};

/// What is asked of a Matrix room.
const STATES: [&str; 11] = [
    "m.room.create",
    "m.room.join_rules",
    "m.room.history_visibility",
    "m.room.encryption",
    "m.room.tombstone",
    "m.room.power_levels",
    "m.room.name",
    "m.room.canonical_alias",
    "m.room.member",
    BRIDGE_STATE[0],
    BRIDGE_STATE[1],
];

impl Bridge {
    /// What the two rooms are like now.
    ///
    /// # Errors
    /// [`Failure::Refused`] when one of them cannot be seen.
    pub(super) async fn survey(
        &self,
        room: &RoomId,
        rid: &RocketRoomId,
    ) -> Result<Survey, Failure> {
        let rocket = self.survey_rocketchat(rid, None).await?;
        let matrix = self.survey_matrix(room).await?;
        Ok(Survey { matrix, rocket })
    }

    /// Why the room that is to follow a portal's own, which existed before it was joined,
    /// cannot be joined with the same channel: as if it were proposed, and nobody may read
    /// along who could not so far, for nobody has agreed to that.
    pub(in crate::bridge) async fn unfit_to_follow(
        &self,
        portal: &Portal,
        next: &RoomId,
    ) -> Result<Option<String>, Failure> {
        let seen = async {
            let rocket = self
                .survey_rocketchat(&portal.rid, Some(&portal.id))
                .await?;
            let now = self.survey_matrix(&portal.room_id).await?;
            Ok((rocket, now, self.survey_matrix(next).await?))
        };
        let (rocket, now, next) = match seen.await {
            Err(Failure::Refused(why)) => return Ok(Some(why)),
            seen => seen?,
        };
        let obstacles = next.obstacles.iter().chain(&next.lacking);
        let obstacles: Vec<_> = obstacles.map(String::as_str).collect();
        if !obstacles.is_empty() {
            return Ok(Some(obstacles.join(" ")));
        }
        let of = |matrix: MatrixSide| Survey {
            matrix,
            rocket: rocket.clone(),
        };
        let (now, next) = (of(now), of(next));
        let agreed = now.consequences();
        let more = next.consequences().into_iter();
        let more: Vec<_> = more
            .filter(|one| !agreed.contains(one))
            .map(|one| meaning(one, &next))
            .collect();
        Ok((!more.is_empty()).then(|| {
            format!(
                "If this went on in the room that is to follow, it would mean more than both \
                 sides have agreed to: {} Whoever wants that ends it here with `unbridge` and \
                 proposes it there with `bridge`.",
                more.join(" ")
            )
        }))
    }

    async fn survey_matrix(&self, room: &RoomId) -> Result<MatrixSide, Failure> {
        let bot = self.matrix.bot();
        let events = match bot.state_of(room, &STATES).await {
            Ok(events) => events,
            Err(error) if error.is_forbidden() || error.is_not_found() => {
                return Err(Failure::Refused(format!(
                    "I am not in the room on Matrix. Invite {} into it first.",
                    bot.user_id()
                )));
            }
            Err(error) if matches!(error.kind(), Kind::TooLarge { .. }) => {
                return Err(Failure::Refused(
                    "The room on Matrix is so large that I cannot see whether another bridge \
                     serves it."
                        .into(),
                ));
            }
            Err(error) => return Err(error.into()),
        };
        let is_inside = events.iter().any(|event| {
            event.kind == "m.room.member"
                && event.state_key.as_deref() == Some(bot.user_id().as_str())
                && event.content.get("membership").and_then(Value::as_str) == Some("join")
        });
        if !is_inside {
            return Err(Failure::Refused(format!(
                "I am not in the room on Matrix. Invite {} into it first.",
                bot.user_id()
            )));
        }
        let levels = self.power_levels_in(&bot, room).await?;
        let is_ours = |user: &UserId| self.config.is_ours(user);
        let ours = &self.config.homeserver.server_name;
        let mut side = matrix_side(room, &events, &levels, bot.user_id(), ours, is_ours);
        let taken = if self.store.portal_of_room(room)?.is_some() {
            Some("The room on Matrix is mirrored by this bridge already.")
        } else if self.store.ending_of_room(room)?.is_some() {
            Some("The room on Matrix is just being taken apart from another one; try again soon.")
        } else if self.store.gathering(room)?.is_some()
            || self.store.portal_of_earlier_room(room)?.is_some()
        {
            Some("The room on Matrix belongs to another one that this bridge mirrors.")
        } else {
            None
        };
        side.obstacles.extend(taken.map(str::to_owned));
        side.is_for_commands = self.store.is_bot_room(room)? && side.people <= 1 && !side.is_named;
        Ok(side)
    }

    /// What it is like seen from a room that is not joined with it yet, or from this portal.
    async fn survey_rocketchat(
        &self,
        rid: &RocketRoomId,
        seen_from: Option<&PortalId>,
    ) -> Result<RocketSide, Failure> {
        const UNSEEN: &str = "I cannot see the room on Rocket.Chat. Into a private group somebody \
                              has to invite the bridge's account first.";
        let rocket = self.rocket().await;
        let room = match rocket.bot.room_info(rid).await {
            Ok(room) => room,
            Err(error) if error.code() == Some("error-room-archived") => {
                rocket.bot.room_as_admin(rid).await?
            }
            Err(error) if error.is_denied() => None,
            Err(error) => return Err(error.into()),
        };
        let Some(room) = room else {
            return Err(Failure::Refused(UNSEEN.into()));
        };
        // Whoever administers the server sees groups that it is not in, and nothing in them.
        if room.t == RoomType::Group
            && !rocket
                .bot
                .is_member(rid, rocket.bot.user_id())
                .await
                .or_else(|error| match error.is_denied() {
                    true => Ok(false),
                    false => Err(error),
                })?
        {
            return Err(Failure::Refused(UNSEEN.into()));
        }
        let mut side = rocket_side(&room, self.is_for_members_only(&room).await?);
        // It may be mirrored in other rooms on Matrix: they hear each other from then on.
        for portal in self.store.portals_of(rid)? {
            if Some(&portal.id) == seen_from {
                continue;
            }
            side.elsewhere.push(portal.id.clone());
            let is_open = self.is_read_openly(&portal)?;
            side.open_elsewhere |= side.is_private && is_open;
            side.closed_elsewhere |= side.is_private && portal.plumbed && !is_open;
            let federates = self.may_federate(&portal.room_id).await?;
            side.federated_elsewhere |= federates;
            side.unfederated_elsewhere |= !federates;
            side.unfederated_joined |= !federates && portal.plumbed;
        }
        Ok(side)
    }

    /// Whether other homeservers may take part in a room. Of one that the bot does not see
    /// it is taken for so.
    pub(super) async fn may_federate(&self, room: &RoomId) -> Result<bool, Failure> {
        match self.matrix.bot().state(room, "m.room.create", "").await {
            Ok(create) => Ok(federates(create.as_ref())),
            Err(error) if error.is_forbidden() || error.is_not_found() => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}
