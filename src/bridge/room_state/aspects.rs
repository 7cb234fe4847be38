//! What is compared of a room, and what it is called on either side. Pure.

use ruma::UserId;
use serde_json::{Value, json};

use crate::bridge::power::PowerLevels;
use crate::rocketchat::documents::{Room, RoomType};

/// Everybody may write.
pub(super) const OPEN: &str = "open";
/// Only some may write; nobody else reacts.
pub(super) const READ_ONLY: &str = "read-only";
/// Only some may write; everybody may react.
pub(super) const REACTING: &str = "read-only, reactions";
/// Nobody may write.
pub(super) const ARCHIVED: &str = "archived";
/// Whoever wants to may enter.
pub(super) const PUBLIC: &str = "public";
/// Whoever is invited may enter.
pub(super) const PRIVATE: &str = "private";

/// From which level on somebody may write in a read-only room: one above everybody's,
/// which gives no other right.
const MAY_WRITE: i64 = 1;

/// Above every owner: the level that writing in an archived room takes.
const ABOVE_OWNERS: i64 = 101;

/// The level of owners.
const OWNERS: i64 = 100;

/// Something of a room that is the same on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::bridge) enum Aspect {
    /// Who may enter.
    Access,
    /// Its name.
    Name,
    /// Its topic; on Rocket.Chat the description where there is none.
    Topic,
    /// Who may write.
    Writing,
    /// Its announcement, which is only said on Matrix.
    Announcement,
    /// Its description, which is only said on Matrix.
    Description,
}

impl Aspect {
    /// Those that are the same on both sides. Who may enter comes first: what has become
    /// private must not stay open while something else is being done.
    pub(super) const AGREED: [Self; 4] = [Self::Access, Self::Name, Self::Topic, Self::Writing];

    /// Under which name it is stored.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Name => "name",
            Self::Topic => "topic",
            Self::Writing => "writing",
            Self::Announcement => "announcement",
            Self::Description => "description",
        }
    }

    /// The state on Matrix that has it.
    pub(super) fn state(self) -> &'static str {
        match self {
            Self::Access => "m.room.join_rules",
            Self::Name => "m.room.name",
            Self::Topic | Self::Announcement | Self::Description => "m.room.topic",
            Self::Writing => "m.room.power_levels",
        }
    }

    /// What a person calls it.
    pub(super) fn for_people(self) -> &'static str {
        match self {
            Self::Access => "Who may join the room",
            Self::Name => "The room's new name",
            Self::Topic => "The room's new topic",
            Self::Writing => "Who may write in the room",
            Self::Announcement => "The announcement",
            Self::Description => "The description",
        }
    }

    /// What a system message says has changed (facts 4.2, recordings 50 and 52).
    pub(super) fn told_by(kind: &str) -> &'static [Self] {
        match kind {
            "r" => &[Self::Name],
            "room_changed_topic" => &[Self::Topic],
            "room_changed_description" => &[Self::Description, Self::Topic],
            "room_changed_announcement" => &[Self::Announcement],
            "room_changed_privacy" => &[Self::Access],
            "room-archived"
            | "room-unarchived"
            | "room-set-read-only"
            | "room-removed-read-only"
            | "room-allowed-reacting"
            | "room-disallowed-reacting"
            | "user-muted"
            | "user-unmuted" => &[Self::Writing],
            _ => &[],
        }
    }

    /// What it is on Rocket.Chat.
    pub(super) fn on_rocketchat(self, room: &Room) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        match self {
            Self::Access => match room.t {
                RoomType::Channel => PUBLIC.to_owned(),
                _ => PRIVATE.to_owned(),
            },
            Self::Name => room.display_name().unwrap_or(room.id.as_str()).to_owned(),
            Self::Topic => match text(&room.topic) {
                nothing if nothing.is_empty() => text(&room.description),
                topic => topic,
            },
            Self::Writing => match room {
                room if room.archived => ARCHIVED.to_owned(),
                room if room.read_only && room.react_when_read_only => REACTING.to_owned(),
                room if room.read_only => READ_ONLY.to_owned(),
                _ => OPEN.to_owned(),
            },
            Self::Announcement => text(&room.announcement),
            Self::Description => text(&room.description),
        }
    }

    /// What a state of Matrix says of it. Rights are in [`writing_of`].
    pub(super) fn in_state(self, content: &Value) -> String {
        let text = |key: &str| content.get(key).and_then(Value::as_str);
        match self {
            Self::Access => match text("join_rule") {
                Some("public") => PUBLIC.to_owned(),
                // Whoever knocks is let in by somebody.
                Some("invite" | "knock" | "private") | None => PRIVATE.to_owned(),
                Some(other) => other.to_owned(),
            },
            Self::Name => text("name").unwrap_or_default().to_owned(),
            Self::Topic => text("topic").unwrap_or_default().to_owned(),
            Self::Writing | Self::Announcement | Self::Description => String::new(),
        }
    }

    /// The state of Matrix that says it.
    pub(super) fn as_state(self, value: &str) -> Value {
        match self {
            Self::Access if value == PUBLIC => json!({ "join_rule": "public" }),
            Self::Access => json!({ "join_rule": "invite" }),
            Self::Name => json!({ "name": value }),
            _ => json!({ "topic": value }),
        }
    }
}

/// What is the same on both sides: the name under which it is stored, and the state on
/// Matrix that has it.
pub(in crate::bridge) fn agreed_states() -> impl Iterator<Item = (&'static str, &'static str)> {
    Aspect::AGREED
        .map(|aspect| (aspect.key(), aspect.state()))
        .into_iter()
}

/// Who may write, by the rights in a Matrix room. `agreed` tells an archived room from
/// one in which somebody lets only owners write.
pub(super) fn writing_of(levels: &PowerLevels, agreed: Option<&str>) -> String {
    let everybody = levels.level("users_default");
    let needed = levels.level("events_default");
    let reacting = levels.event_level("m.reaction").unwrap_or(needed);
    let value = if needed > OWNERS || (needed == OWNERS && agreed == Some(ARCHIVED)) {
        ARCHIVED
    } else if needed <= everybody {
        OPEN
    } else if reacting <= everybody {
        REACTING
    } else {
        READ_ONLY
    };
    value.to_owned()
}

/// Lets those write who may.
pub(super) fn set_writing(levels: &mut PowerLevels, wanted: &str, bot: &UserId) {
    let everybody = levels.level("users_default").max(0);
    let (needed, reacting) = match wanted {
        ARCHIVED if levels.level_of(bot) >= ABOVE_OWNERS => (ABOVE_OWNERS, None),
        ARCHIVED => (OWNERS, None),
        READ_ONLY => (everybody + MAY_WRITE, None),
        REACTING => (everybody + MAY_WRITE, Some(everybody)),
        _ => (everybody, None),
    };
    levels.set_level("events_default", needed);
    levels.set_event_level("m.reaction", reacting);
}

/// What somebody needs who may write in a room where few may.
pub(super) fn level_to_write(levels: &PowerLevels, kind: &str) -> i64 {
    levels
        .event_level(kind)
        .unwrap_or_else(|| levels.level("events_default"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::user_id;

    use super::*;

    fn room(extra: Value) -> Room {
        let mut document = json!({ "_id": "r", "t": "c", "name": "tea", "fname": "Tea" });
        for (key, value) in extra.as_object().unwrap() {
            document[key] = value.clone();
        }
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn a_room_without_topic_shows_its_description() {
        let of = |extra| Aspect::Topic.on_rocketchat(&room(extra));
        assert_eq!(of(json!({ "topic": "T", "description": "D" })), "T");
        assert_eq!(of(json!({ "topic": "", "description": "D" })), "D");
        assert_eq!(of(json!({})), "");
    }

    #[test]
    fn only_what_both_sides_have_is_access() {
        let of = |rule| Aspect::Access.in_state(&json!({ "join_rule": rule }));
        assert_eq!(of("public"), PUBLIC);
        assert_eq!(of("invite"), PRIVATE);
        assert_eq!(of("knock"), PRIVATE);
        assert_eq!(of("restricted"), "restricted");
    }

    #[test]
    fn who_may_write_is_the_same_read_back() {
        let bot = user_id!("@bot:example.org");
        for wanted in [
            READ_ONLY, REACTING, ARCHIVED, OPEN, ARCHIVED, REACTING, OPEN,
        ] {
            let levels = json!({ "users": { "@bot:example.org": 150 } });
            let mut levels = PowerLevels::of(levels);
            set_writing(&mut levels, wanted, bot);
            assert_eq!(writing_of(&levels, None), wanted);
            let archived = wanted == ARCHIVED;
            let owner = levels.level("events_default") > 100;
            assert_eq!(owner, archived, "owners may write unless it is archived");
        }
        let mut levels = PowerLevels::of(json!({ "users": { "@bot:example.org": 100 } }));
        set_writing(&mut levels, ARCHIVED, bot);
        assert_eq!(writing_of(&levels, Some(ARCHIVED)), ARCHIVED);
        assert_eq!(
            writing_of(&levels, Some(OPEN)),
            READ_ONLY,
            "somebody's own doing"
        );
    }
}
