//! Third-party look-ups: how clients find people and channels of Rocket.Chat (Application
//! Service API v1.19, "Third-party networks"). A look-up shows only what everybody on
//! Rocket.Chat may see, and makes nothing: what it names comes into being when somebody
//! invites or joins it.

use ruma::{OwnedUserId, RoomAliasId, UserId};
use serde_json::{Value, json};

use super::ghosts::username_of;
use super::{Bridge, Failure};
use crate::config::PROTOCOL;
use crate::matrix::ThirdPartyQuery;
use crate::rocketchat::documents::{Room, RoomType, User, UserRef};
use crate::rocketchat::{self, Username};
use crate::store::StoreError;

/// As many are found at the most.
const MOST_FOUND: usize = 10;

/// Shorter texts are looked for as whole names only, in characters.
const SHORTEST_PART: usize = 2;

/// How many look-ups are worked at once: each is a dozen requests to Rocket.Chat, which
/// anybody on Matrix may cause.
pub(super) const LOOK_UPS_AT_ONCE: usize = 4;

/// Longer texts are no names, in bytes.
const LONGEST_NAME: usize = 255;

/// What clients are told of the network.
pub(super) fn protocol(name: &str) -> Option<Value> {
    (name == PROTOCOL).then(|| {
        let field =
            |placeholder: &str| json!({ "regexp": "[^\\s@#:]+", "placeholder": placeholder });
        json!({
            "user_fields": ["username"],
            "location_fields": ["channel"],
            "icon": "",
            "field_types": { "username": field("alice"), "channel": field("general") },
            "instances": [{ "desc": "Rocket.Chat", "fields": {}, "network_id": PROTOCOL }],
        })
    })
}

/// The question for a person (`username`) or a channel (`channel`) by name.
pub(super) fn query(field: &str, text: &str) -> ThirdPartyQuery {
    ThirdPartyQuery {
        protocol: Some(PROTOCOL.to_owned()),
        fields: [(field.to_owned(), text.to_owned())].into(),
    }
}

/// What somebody looks for, without the sign that people put before it.
fn wanted<'a>(query: &'a ThirdPartyQuery, field: &str, sign: char) -> Option<&'a str> {
    let text = query.fields.get(field)?.trim();
    let name = text.strip_prefix(sign).unwrap_or(text);
    let is_name =
        !name.is_empty() && name.len() <= LONGEST_NAME && !name.chars().any(char::is_control);
    is_name.then_some(name)
}

fn is_long_enough(part: &str) -> bool {
    part.chars().nth(SHORTEST_PART - 1).is_some()
}

impl Bridge {
    /// People by `username`, whole or in part, or whoever a ghost's `userid` stands for.
    pub(super) async fn find_people(&self, query: &ThirdPartyQuery) -> Result<Vec<Value>, Failure> {
        let Some(rocket) = self.rocket_if_there() else {
            return Err(Failure::NotYet("Rocket.Chat"));
        };
        // Never closed.
        let _place = self.look_ups.acquire().await;
        let mut people: Vec<User> = Vec::new();
        match query.protocol.as_deref() {
            Some(PROTOCOL) => {
                let Some(name) = wanted(query, "username", '@') else {
                    return Ok(Vec::new());
                };
                if let Ok(username) = Username::parse(name) {
                    people.extend(rocket.bot.user_named(&username).await?);
                }
                if is_long_enough(name) {
                    let like = rocket.bot.people_like(name).await;
                    let like = or_none(like);
                    for like in like.iter().take(MOST_FOUND) {
                        if people.iter().all(|known| known.id != like.id) {
                            people.extend(rocket.bot.user_by_id(&like.id).await?);
                        }
                    }
                }
            }
            Some(_) => {}
            None => {
                let ghost = query.fields.get("userid").map(UserId::parse);
                if let Some(Ok(ghost)) = ghost
                    && self.config.is_ghost(&ghost)
                {
                    people.extend(self.person_behind(&ghost).await?);
                }
            }
        }
        let mut found = Vec::new();
        for person in people {
            if let Some(user_id) = self.findable(&person)? {
                found.push(json!({
                    "userid": user_id,
                    "protocol": PROTOCOL,
                    "fields": { "username": person.username },
                }));
            }
        }
        found.truncate(MOST_FOUND);
        Ok(found)
    }

    /// The ghost of somebody who may be found: the one there is, or the one that there
    /// will be when they are invited. None for who is not, or no longer, a person that is
    /// mirrored.
    fn findable(&self, person: &User) -> Result<Option<OwnedUserId>, StoreError> {
        let is_bot = self
            .rocket_if_there()
            .is_some_and(|rocket| rocket.bot.user_id() == &person.id);
        let is_person = !matches!(person.kind.as_deref(), Some("app" | "visitor" | "unknown"));
        if !person.active
            || !is_person
            || person.federated
            || is_bot
            || self.store.behind_puppet(&person.id)?.is_some()
        {
            return Ok(None);
        }
        if let Some(ghost) = self.store.ghost(&person.id)? {
            return Ok(Some(ghost.user_id));
        }
        let Some(username) = &person.username else {
            return Ok(None);
        };
        let Ok(future) = self.choose_user_id(&UserRef::from(person), username.as_str()) else {
            return Ok(None);
        };
        // The name may be in another's ghost: then an invitation would not lead here.
        let leads_here = username_of(future.localpart(), &self.config.appservice.ghost_prefix)
            .is_some_and(|name| name.as_str().to_lowercase() == username.as_str().to_lowercase());
        Ok(leads_here.then_some(future))
    }

    /// Public channels by name, whole or in part, or the one that an `alias` stands for.
    pub(super) async fn find_channels(
        &self,
        query: &ThirdPartyQuery,
    ) -> Result<Vec<Value>, Failure> {
        let Some(rocket) = self.rocket_if_there() else {
            return Err(Failure::NotYet("Rocket.Chat"));
        };
        // Never closed.
        let _place = self.look_ups.acquire().await;
        let mut rooms: Vec<Room> = Vec::new();
        match query.protocol.as_deref() {
            Some(PROTOCOL) => {
                let Some(name) = wanted(query, "channel", '#') else {
                    return Ok(Vec::new());
                };
                rooms.extend(rocket.bot.channel_named(name).await?);
                if is_long_enough(name) {
                    let like = rocket.bot.channels_like(name).await;
                    let like = or_none(like);
                    for name in like.iter().take(MOST_FOUND) {
                        if rooms.iter().all(|room| room.name.as_ref() != Some(name)) {
                            rooms.extend(rocket.bot.channel_by_name(name).await?);
                        }
                    }
                }
            }
            Some(_) => {}
            None => {
                let alias = query.fields.get("alias").map(RoomAliasId::parse);
                if let Some(Ok(alias)) = alias
                    && let Some(name) = self.channel_of_alias(&alias)
                    && alias.server_name() == self.config.homeserver.server_name
                {
                    rooms.extend(rocket.bot.channel_named(&name).await?);
                }
            }
        }
        let mut found = Vec::new();
        for room in rooms {
            let Some(alias) = self.alias_of(&room) else {
                continue;
            };
            // What nobody could join by its alias is not shown.
            let is_open =
                self.config.bridge.open_by_alias || self.store.own_portal(&room.id)?.is_some();
            if is_open && is_for_everybody(&room) {
                found.push(json!({
                    "alias": alias,
                    "protocol": PROTOCOL,
                    "fields": { "channel": room.name },
                }));
            }
        }
        found.truncate(MOST_FOUND);
        Ok(found)
    }
}

/// Without a search for parts there are still whole names: not every version need have it.
fn or_none<T>(found: Result<Vec<T>, rocketchat::Error>) -> Vec<T> {
    found.unwrap_or_else(|error| {
        tracing::warn!(%error, "Rocket.Chat cannot be searched; only whole names are found");
        Vec::new()
    })
}

/// Whether everybody on Rocket.Chat may see it. A channel of a team may be the team's
/// alone.
fn is_for_everybody(room: &Room) -> bool {
    room.t == RoomType::Channel && !room.archived && !room.federated && room.team_id.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_looked_for() {
        let query = |text: &str| ThirdPartyQuery {
            protocol: Some(PROTOCOL.to_owned()),
            fields: [("username".to_owned(), text.to_owned())].into(),
        };
        let looked_for = |text: &str| wanted(&query(text), "username", '@').map(str::to_owned);
        assert_eq!(looked_for(" @alice "), Some("alice".to_owned()));
        assert_eq!(looked_for("Zoë"), Some("Zoë".to_owned()));
        for nothing in ["", "@", " ", "a\nb", "a\0", &"x".repeat(256)] {
            assert_eq!(looked_for(nothing), None, "{nothing:?}");
        }
        assert_eq!(wanted(&query("alice"), "channel", '#'), None);
        assert!(is_long_enough("ab") && !is_long_enough("ë"));
    }

    #[test]
    fn only_our_network_is_described() {
        assert!(protocol("irc").is_none());
        let told = protocol(PROTOCOL).unwrap_or_default();
        for field in ["username", "channel"] {
            assert!(told["field_types"][field]["regexp"].is_string());
            assert!(told["field_types"][field]["placeholder"].is_string());
        }
        assert_eq!(told["instances"][0]["network_id"], PROTOCOL);
    }
}
