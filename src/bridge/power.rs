//! Who may do what in a Matrix room.

use ruma::{EventId, OwnedEventId, OwnedUserId, RoomId, UserId};
use serde_json::{Value, json};

use super::{Bridge, Failure};
use crate::matrix::Intent;
use crate::store::Portal;

/// The bot's level in rooms that it makes, up to version 11: above every owner's, so
/// that their rights can be taken back. From version 12 on whoever made a room is above
/// all.
pub(super) const BOT_LEVEL: i64 = 150;

pub(super) const POWER_LEVELS: &str = "m.room.power_levels";

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

    /// The rights that an event says, in a room without anybody above all.
    pub(super) fn of(content: Value) -> Self {
        Self {
            content,
            creators: Vec::new(),
        }
    }

    /// How much power somebody has; [`i64::MAX`] who made a room of version 12.
    pub(super) fn level_of(&self, user: &UserId) -> i64 {
        if self.creators.iter().any(|creator| creator == user) {
            return i64::MAX;
        }
        let users = self.content.get("users");
        Self::number(users.and_then(|users| users.get(user.as_str())))
            .or_else(|| Self::number(self.content.get("users_default")))
            .unwrap_or(0)
    }

    /// The level that a key stands for which holds a single number, such as
    /// `events_default` or `invite`; as the specification says where the room does not.
    pub(super) fn level(&self, key: &str) -> i64 {
        let default = match key {
            "events_default" | "users_default" | "invite" => 0,
            _ => 50,
        };
        Self::number(self.content.get(key)).unwrap_or(default)
    }

    /// Sets a key that holds a single number.
    pub(super) fn set_level(&mut self, key: &str, level: i64) {
        if self.level(key) != level {
            self.object()[key] = level.into();
        }
    }

    /// The level that events of that type need, where the room names it.
    pub(super) fn event_level(&self, kind: &str) -> Option<i64> {
        Self::number(self.content.get("events").and_then(|all| all.get(kind)))
    }

    /// Sets the level that events of that type need, or leaves it to the defaults.
    pub(super) fn set_event_level(&mut self, kind: &str, level: Option<i64>) {
        if self.event_level(kind) != level {
            self.set_in("events", kind, level);
        }
    }

    /// Those above all others, whom nobody can take anything from.
    pub(super) fn creators(&self) -> &[OwnedUserId] {
        &self.creators
    }

    /// Everybody whose level the room names.
    pub(super) fn named_users(&self) -> impl Iterator<Item = (OwnedUserId, i64)> {
        let users = self.content.get("users").and_then(Value::as_object);
        users.into_iter().flatten().filter_map(|(user, level)| {
            Some((UserId::parse(user).ok()?, Self::number(Some(level))?))
        })
    }

    /// Gives somebody a level, or the default of the room. Those above all stay so: the
    /// homeserver refuses to name them.
    pub(super) fn set_user_level(&mut self, user: &UserId, level: Option<i64>) {
        if self.creators.iter().any(|creator| creator == user) {
            return;
        }
        let users = self.content.get("users");
        let named = Self::number(users.and_then(|users| users.get(user.as_str())));
        if named != level {
            self.set_in("users", user.as_str(), level);
        }
    }

    fn object(&mut self) -> &mut Value {
        if !self.content.is_object() {
            self.content = json!({});
        }
        &mut self.content
    }

    fn set_in(&mut self, key: &str, name: &str, level: Option<i64>) {
        let content = self.object();
        if !content[key].is_object() {
            content[key] = json!({});
        }
        match (level, content[key].as_object_mut()) {
            (Some(level), Some(all)) => {
                all.insert(name.to_owned(), level.into());
            }
            (None, Some(all)) => {
                all.remove(name);
            }
            (_, None) => {}
        }
    }

    /// Whether somebody may set a state of that type.
    pub(super) fn may_set_state(&self, user: &UserId, kind: &str) -> bool {
        let needed = self.event_level(kind);
        self.level_of(user) >= needed.unwrap_or_else(|| self.level("state_default"))
    }

    /// The level that sending events of that type needs, which are no state.
    pub(super) fn needed_to_send(&self, kind: &str) -> i64 {
        let named = self.event_level(kind);
        named.unwrap_or_else(|| self.level("events_default"))
    }

    /// Whether somebody may send events of that type, which are no state.
    pub(super) fn may_send(&self, user: &UserId, kind: &str) -> bool {
        self.level_of(user) >= self.needed_to_send(kind)
    }

    /// Whether somebody may call everybody in the room.
    pub(super) fn may_notify_room(&self, user: &UserId) -> bool {
        let needed = self.content.pointer("/notifications/room");
        self.level_of(user) >= Self::number(needed).unwrap_or(50)
    }
}

impl Bridge {
    /// Changes the rights in a portal's room: the one way to do it. Two changes at once
    /// would take each other back, since the event holds all of them; so each begins
    /// with how it is now, and the next when it is done.
    ///
    /// `actor` does it where it may, otherwise the bot (in a direct message the other
    /// person's ghost). Gives the event; none when nothing is to be changed.
    ///
    /// # Errors
    /// `M_FORBIDDEN` when neither may do it; [`Failure::Refused`] when the room has no
    /// rights to change.
    pub(super) async fn change_power_levels(
        &self,
        portal: &Portal,
        actor: Option<&Intent>,
        change: impl FnOnce(&mut PowerLevels),
    ) -> Result<Option<OwnedEventId>, Failure> {
        let _one_at_a_time = self.changing_power.lock(&portal.room_id).await;
        let before = self.power_levels(portal).await?;
        if !before.content.is_object() {
            return Err(Failure::Refused(
                "The room on Matrix has no power levels that could be changed.".into(),
            ));
        }
        let mut after = before.clone();
        change(&mut after);
        if after.content == before.content {
            return Ok(None);
        }
        let room = &portal.room_id;
        if let Some(actor) = actor
            && before.may_set_state(actor.user_id(), POWER_LEVELS)
        {
            // It may still not be enough: nobody gives or takes what is above them.
            let sent = actor.send_state(room, POWER_LEVELS, "", &after.content, None);
            match sent.await {
                Ok(event) => return Ok(Some(event)),
                Err(error) if error.is_forbidden() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let reader = self.reader(portal).await?;
        let sent = reader.send_state(room, POWER_LEVELS, "", &after.content, None);
        Ok(Some(sent.await?))
    }

    /// Who has which level from the beginning in a room that `maker` makes: none is
    /// named where whoever makes it is above all.
    pub(super) async fn first_users(&self, maker: &Intent) -> Result<Value, Failure> {
        let version = maker.default_room_version().await?;
        Ok(match raises_creators(&version) {
            true => json!({}),
            false => json!({ maker.user_id().as_str(): BOT_LEVEL }),
        })
    }

    /// The rights in a portal's room, as they are now.
    pub(super) async fn power_levels(&self, portal: &Portal) -> Result<PowerLevels, Failure> {
        let reader = self.reader(portal).await?;
        self.power_levels_in(&reader, &portal.room_id).await
    }

    /// The rights in a room that `reader` is in, as they are now.
    pub(super) async fn power_levels_in(
        &self,
        reader: &Intent,
        room: &RoomId,
    ) -> Result<PowerLevels, Failure> {
        let content = reader.state(room, POWER_LEVELS, "").await?;
        // From version 12 on a room is named after the event that made it. That is read as
        // a state: of a room elsewhere homeservers do not show it as an event.
        let is_above_all = (room.as_str().strip_prefix('!'))
            .is_some_and(|hash| !hash.contains(':') && EventId::parse(format!("${hash}")).is_ok());
        let create = match is_above_all {
            true => reader.state_event(room, "m.room.create", "").await?,
            false => None,
        };
        let creators = create.map_or_else(Vec::new, |event| {
            let more = event.content.get("additional_creators");
            let more = more.and_then(Value::as_array).into_iter().flatten();
            more.filter_map(|user| UserId::parse(user.as_str()?).ok())
                .chain(std::iter::once(event.sender.clone()))
                .collect()
        });
        Ok(PowerLevels {
            content: content.unwrap_or_default(),
            creators,
        })
    }
}

/// Whether whoever makes a room of that version is above all (MSC4289).
fn raises_creators(version: &str) -> bool {
    match version.parse::<u32>() {
        Ok(number) => number >= 12,
        Err(_) => version.starts_with("org.matrix.hydra."),
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
    fn a_change_leaves_what_it_does_not_name_alone() {
        let mut levels = levels(json!({ "users": { "@mod:example.org": 50 }, "x": 1 }));
        levels.set_level("events_default", 0);
        levels.set_user_level(user_id!("@mod:example.org"), Some(50));
        levels.set_event_level("m.reaction", None);
        let same = json!({ "users": { "@mod:example.org": 50 }, "x": 1 });
        assert_eq!(levels.content, same, "what holds already is not written");
        levels.set_level("events_default", 50);
        levels.set_user_level(user_id!("@new:example.org"), Some(100));
        levels.set_user_level(user_id!("@mod:example.org"), None);
        levels.set_user_level(user_id!("@creator:example.org"), Some(100));
        levels.set_event_level("m.reaction", Some(0));
        assert_eq!(
            levels.content,
            json!({
                "users": { "@new:example.org": 100 }, "x": 1, "events_default": 50,
                "events": { "m.reaction": 0 },
            })
        );
        assert_eq!(levels.level("events_default"), 50);
        assert_eq!(levels.event_level("m.reaction"), Some(0));
        assert_eq!(
            levels.named_users().collect::<Vec<_>>(),
            [(user_id!("@new:example.org").to_owned(), 100)]
        );
    }

    #[test]
    fn state_needs_more_than_words() {
        let levels = levels(json!({
            "users": { "@mod:example.org": 50 }, "events": { "m.room.power_levels": 100 },
        }));
        let moderator = user_id!("@mod:example.org");
        assert!(levels.may_set_state(moderator, "m.room.name"));
        assert!(!levels.may_set_state(moderator, "m.room.power_levels"));
        assert!(!levels.may_set_state(user_id!("@other:example.org"), "m.room.name"));
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
