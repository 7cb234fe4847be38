//! What the homeserver asks of the bridge.

use std::sync::Arc;

use ruma::{OwnedRoomAliasId, OwnedUserId, RoomAliasId, UserId};
use serde_json::{Value, json};

use super::{Bridge, Failure, third_party};
use crate::matrix::listener::{
    ApiAnswer, ApiCall, AppAnswer, AppCall, FileRefusal, FileRequest, ServedFile,
};
use crate::matrix::{Handler, Health, ThirdPartyQuery, Transaction, Unavailable};
use crate::rocketchat::documents::{RoomType, UserRef};
use crate::store::NewEvent;

/// The bridge as the listener's handler.
pub struct BridgeHandler(pub Arc<Bridge>);

impl Handler for BridgeHandler {
    async fn transaction(&self, transaction: Transaction) -> Result<(), Unavailable> {
        let bridge = &self.0;
        let events: Vec<_> = transaction
            .events
            .into_iter()
            .map(|event| NewEvent {
                event_id: event.event_id,
                room_id: event.room_id,
                sender: event.sender,
                kind: event.kind,
                json: event.json,
            })
            .inspect(|event| bridge.note_state_event(event))
            // What the bridge did itself needs no work and no place on disk, except what
            // may have been done in its name.
            .filter(|event| !bridge.config.is_ours(&event.sender) || bridge.is_parting(event))
            .collect();
        bridge.note_transaction(&transaction.id);
        bridge.take_ephemeral(transaction.ephemeral);
        if events.is_empty() {
            return Ok(());
        }
        let unavailable = |error| {
            tracing::error!(%error, "a transaction could not be stored; the homeserver will repeat it");
            Unavailable
        };
        let accepted = bridge.store.accept(events).map_err(unavailable)?;
        // Also when nothing was new: the first time the homeserver may have gone
        // without an answer because the disk had not confirmed yet.
        let flushed = bridge.store.flushed().await.map_err(unavailable);
        // They are in the inbox whatever the disk said: worked now or at the next
        // start, and recognised when they are repeated.
        bridge.take_in(&accepted);
        for new in &accepted {
            bridge.close_at_once(&new.event);
        }
        flushed
    }

    async fn user_exists(&self, user: OwnedUserId) -> Result<bool, Unavailable> {
        let bridge = &self.0;
        if user == bridge.config.appservice.bot {
            return Ok(true);
        }
        if !bridge.config.is_ghost(&user) {
            return Ok(false);
        }
        bridge.user_of_namespace(&user).await.map_err(not_now)
    }

    async fn alias_exists(&self, alias: OwnedRoomAliasId) -> Result<bool, Unavailable> {
        self.0.alias_of_namespace(&alias).await.map_err(not_now)
    }

    fn protocol(&self, protocol: &str) -> Option<Value> {
        third_party::protocol(protocol)
    }

    async fn third_party_users(&self, query: ThirdPartyQuery) -> Result<Vec<Value>, Unavailable> {
        self.0.find_people(&query).await.map_err(not_now)
    }

    async fn third_party_locations(
        &self,
        query: ThirdPartyQuery,
    ) -> Result<Vec<Value>, Unavailable> {
        self.0.find_channels(&query).await.map_err(not_now)
    }

    async fn file(&self, request: FileRequest) -> Result<ServedFile, FileRefusal> {
        self.0.linked_file(request).await
    }

    async fn app_command(&self, call: AppCall) -> AppAnswer {
        self.0.app_command(&call).await
    }

    fn refuse_stranger(&self, token: Option<&str>, path: &str) -> Option<ApiAnswer> {
        self.0.refuse_api(token, path)
    }

    async fn provision(&self, call: ApiCall) -> ApiAnswer {
        self.0.api_call(call).await
    }

    fn health(&self) -> Health {
        let bridge = &self.0;
        let matrix = bridge.matrix_gate.is_open();
        let rocketchat = bridge.rocket_gate.is_open() && bridge.rooms.is_listening();
        // For who wants to know: messages flow before, and those for rooms that are not
        // there yet wait for them.
        let channels = bridge.unmirrored.all_opened();
        Health {
            live: true,
            ready: matrix && rocketchat,
            detail: json!({
                "matrix": matrix, "rocketchat": rocketchat, "all_channels_mirrored": channels,
            }),
        }
    }
}

fn not_now(failure: Failure) -> Unavailable {
    tracing::warn!(%failure, "a question of the homeserver cannot be answered now");
    Unavailable
}

impl Bridge {
    async fn user_of_namespace(&self, user: &UserId) -> Result<bool, Failure> {
        if self.store.ghost_by_localpart(user.localpart())?.is_some() {
            return Ok(true);
        }
        if self.rocket_if_there().is_none() {
            return Err(Failure::NotYet("Rocket.Chat"));
        }
        let Some(person) = self.person_behind(user).await? else {
            return Ok(false);
        };
        let ghost = self.ghost_of(&UserRef::from(&person)).await?;
        Ok(ghost.user_id == user)
    }

    async fn alias_of_namespace(self: &Arc<Self>, alias: &RoomAliasId) -> Result<bool, Failure> {
        let Some(name) = self.channel_of_alias(alias) else {
            return Ok(false);
        };
        if !self.config.bridge.open_by_alias {
            return Ok(false);
        }
        let Some(rocket) = self.rocket_if_there() else {
            return Err(Failure::NotYet("Rocket.Chat"));
        };
        // Only what everybody may see: not the private groups that the bridge's
        // account happens to be in.
        let Some(room) = rocket.bot.channel_named(&name).await? else {
            return Ok(false);
        };
        // A channel of a team may be the team's alone.
        let is_public = room.t == RoomType::Channel
            && !room.archived
            && room.team_id.is_none()
            && room.prid.is_none();
        if !is_public {
            return Ok(false);
        }
        if self.store.unbridged(&room.id)?.is_some() {
            tracing::info!(%alias, "no portal for this alias: somebody has ended it, and `bridge` begins again");
            return Ok(false);
        }
        match self.open_channel(&name, None).await {
            Ok(portal) => {
                // The portal may be older than the question: somebody removed its alias.
                match self.matrix.bot().create_alias(alias, &portal.room_id).await {
                    Err(error) if !error.is_alias_in_use() => Err(error.into()),
                    _ => Ok(true),
                }
            }
            Err(Failure::Refused(why)) => {
                tracing::info!(%alias, why, "no portal for this alias");
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }
}
