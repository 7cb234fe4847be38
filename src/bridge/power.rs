//! Who may do what in a Matrix room.

use ruma::{EventId, OwnedUserId, UserId};
use serde_json::Value;

use super::{Bridge, Failure};
use crate::store::Portal;

/// The rights of a room's people.
#[derive(Debug, Clone, Default)]
pub(super) struct PowerLevels {
    content: Value,
    /// Those above all others (room version 12).
    creators: Vec<OwnedUserId>,
}

impl PowerLevels {
    fn number(value: Option<&Value>) -> Option<i64> {
        // Rooms up to version 9 may hold numbers as text.
        let value = value?;
        value
            .as_i64()
            .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
    }

    fn level_of(&self, user: &UserId) -> i64 {
        if self.creators.iter().any(|creator| creator == user) {
            return i64::MAX;
        }
        let users = self.content.get("users");
        Self::number(users.and_then(|users| users.get(user.as_str())))
            .or_else(|| Self::number(self.content.get("users_default")))
            .unwrap_or(0)
    }

    /// Whether somebody may send events of that type, which are no state.
    pub(super) fn may_send(&self, user: &UserId, kind: &str) -> bool {
        let events = self.content.get("events");
        let needed = Self::number(events.and_then(|events| events.get(kind)))
            .or_else(|| Self::number(self.content.get("events_default")));
        self.level_of(user) >= needed.unwrap_or(0)
    }

    /// Whether somebody may set state of that type.
    pub(super) fn may_set(&self, user: &UserId, kind: &str) -> bool {
        let events = self.content.get("events");
        let needed = Self::number(events.and_then(|events| events.get(kind)))
            .or_else(|| Self::number(self.content.get("state_default")));
        // Without any `m.room.power_levels` only who made the room has power.
        self.level_of(user) >= needed.unwrap_or(50)
    }

    /// Whether somebody may call everybody in the room.
    pub(super) fn may_notify_room(&self, user: &UserId) -> bool {
        let needed = self.content.pointer("/notifications/room");
        self.level_of(user) >= Self::number(needed).unwrap_or(50)
    }
}

impl Bridge {
    /// The rights in a portal's room, as they are now.
    pub(super) async fn power_levels(&self, portal: &Portal) -> Result<PowerLevels, Failure> {
        let reader = self.reader(portal).await?;
        let room = &portal.room_id;
        let content = reader.state(room, "m.room.power_levels", "").await?;
        // From version 12 on a room is named after the event that made it.
        let creators = match room.as_str().strip_prefix('!') {
            Some(hash) if !hash.contains(':') => match EventId::parse(format!("${hash}")) {
                Ok(id) => reader
                    .event(room, &id)
                    .await?
                    .map_or_else(Vec::new, |event| {
                        let more = event.content.get("additional_creators");
                        let more = more.and_then(Value::as_array).into_iter().flatten();
                        more.filter_map(|user| UserId::parse(user.as_str()?).ok())
                            .chain(std::iter::once(event.sender.clone()))
                            .collect()
                    }),
                Err(_) => Vec::new(),
            },
            _ => Vec::new(),
        };
        Ok(PowerLevels {
            content: content.unwrap_or_default(),
            creators,
        })
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;
    use serde_json::json;

    use super::PowerLevels;

    fn levels(content: serde_json::Value) -> PowerLevels {
        PowerLevels {
            content,
            creators: vec![user_id!("@creator:example.org").to_owned()],
        }
    }

    #[test]
    fn without_numbers_the_specifications_hold() {
        let levels = levels(json!({ "users": { "@mod:example.org": 50 } }));
        assert!(levels.may_notify_room(user_id!("@mod:example.org")));
        assert!(!levels.may_notify_room(user_id!("@other:example.org")));
    }

    #[test]
    fn a_room_may_be_quiet() {
        let user = user_id!("@other:example.org");
        assert!(levels(json!({})).may_send(user, "m.room.message"));
        assert!(!levels(json!({ "events_default": 50 })).may_send(user, "m.room.message"));
        let levels = levels(json!({ "events": { "m.reaction": 50 } }));
        assert!(levels.may_send(user, "m.room.message"));
        assert!(!levels.may_send(user, "m.reaction"));
    }

    #[test]
    fn creators_are_above_all() {
        let levels = levels(json!({ "notifications": { "room": 1000 } }));
        assert!(levels.may_notify_room(user_id!("@creator:example.org")));
        assert!(!levels.may_notify_room(user_id!("@other:example.org")));
    }

    #[test]
    fn what_the_room_says_counts() {
        let levels = levels(json!({
            "users_default": "10", "users": { "@mod:example.org": 11 },
            "notifications": { "room": 11 },
        }));
        assert!(levels.may_notify_room(user_id!("@mod:example.org")));
        assert!(!levels.may_notify_room(user_id!("@other:example.org")));
    }
}
