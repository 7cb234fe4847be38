//! What two rooms are like that are to be joined, and what follows from that: what stands
//! in the way, what has to be confirmed, what people should know. Without asking anybody.

use std::collections::BTreeSet;

use ruma::{OwnedRoomId, OwnedServerName, RoomId, ServerName, UserId};
use serde_json::Value;

use super::words::bounded;
use crate::bridge::power::PowerLevels;
use crate::bridge::room_state::BRIDGE_STATE;
use crate::matrix::TimelineEvent;
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::documents::{Room, RoomType};
use crate::store::{Consequence, PortalId, PortalKind};

/// Who can read a Matrix room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bridge) enum Access {
    /// Everybody.
    Open,
    /// Those who are in another room, of which the bridge does not know who that is.
    Restricted,
    /// Those whom somebody lets in.
    Closed,
}

/// A Matrix room as it is now.
#[derive(Debug, Clone)]
pub(super) struct MatrixSide {
    pub room_id: OwnedRoomId,
    /// What it is called, or its address.
    pub name: String,
    /// It has a name or an address.
    pub is_named: bool,
    pub access: Access,
    /// It can be kept by other homeservers.
    pub may_federate: bool,
    /// Homeservers of people in it, besides the bridge's own.
    pub others: BTreeSet<OwnedServerName>,
    /// How many people are in it, without the bridge's own.
    pub people: usize,
    /// Somebody is in it with the bot alone, in order to give commands.
    pub is_for_commands: bool,
    /// What stands in the way, in full sentences.
    pub obstacles: Vec<String>,
    /// What the bot has not the power for and needs, as a sentence.
    pub lacking: Option<String>,
}

impl MatrixSide {
    /// Whether other homeservers keep it, or may.
    pub(super) fn is_kept_by_others(&self) -> bool {
        self.may_federate || !self.others.is_empty()
    }
}

/// A room of Rocket.Chat as it is now.
#[derive(Debug, Clone)]
pub(super) struct RocketSide {
    pub rid: RocketRoomId,
    pub name: String,
    pub kind: PortalKind,
    /// Only those who were let in can read it.
    pub is_private: bool,
    /// How many members it has.
    pub people: u64,
    pub read_only: bool,
    /// The portals of the other Matrix rooms in which it is mirrored: their people read
    /// along.
    pub elsewhere: Vec<PortalId>,
    /// Not only those who are invited can read one of these, although it is private.
    pub open_elsewhere: bool,
    /// Only those who are invited can read one that existed before, as in the room itself.
    pub closed_elsewhere: bool,
    /// One of these may be kept by other homeservers.
    pub federated_elsewhere: bool,
    /// One of these is on the bridge's own homeserver only.
    pub unfederated_elsewhere: bool,
    /// The same of one that existed before.
    pub unfederated_joined: bool,
    /// When something was written in it last (ms).
    pub last_message_at: i64,
    /// What stands in the way, in full sentences.
    pub obstacles: Vec<String>,
}

impl RocketSide {
    pub(super) fn room_type(&self) -> RoomType {
        match self.kind {
            PortalKind::Channel => RoomType::Channel,
            _ => RoomType::Group,
        }
    }
}

/// Both.
#[derive(Debug, Clone)]
pub(super) struct Survey {
    pub matrix: MatrixSide,
    pub rocket: RocketSide,
}

impl Survey {
    /// Why the rooms cannot be joined.
    pub(super) fn obstacles(&self) -> Vec<String> {
        let lacking = self.matrix.lacking.iter().cloned();
        self.obstacles_to_ask().into_iter().chain(lacking).collect()
    }

    /// As [`Survey::obstacles`], without what can be mended when it is approved.
    pub(super) fn obstacles_to_ask(&self) -> Vec<String> {
        let (here, there) = (&self.matrix.obstacles, &self.rocket.obstacles);
        let mut all: Vec<_> = here.iter().chain(there).cloned().collect();
        if self.matrix.is_for_commands {
            all.push("The room on Matrix is one in which I take commands.".to_owned());
        }
        if self.rocket.closed_elsewhere && self.matrix.access != Access::Closed {
            all.push(
                "The room on Rocket.Chat is joined with another one on Matrix, which only those \
                 who are invited can read; its people did not agree to be read by more."
                    .to_owned(),
            );
        }
        // As soon as there is one such room its people are heard by other homeservers.
        if self.rocket.unfederated_joined
            && !self.rocket.federated_elsewhere
            && self.matrix.is_kept_by_others()
        {
            all.push(
                "The room on Rocket.Chat is joined with another one on Matrix, which is only on \
                 this homeserver; its people did not agree that others keep what they write."
                    .to_owned(),
            );
        }
        all
    }

    /// What has to be confirmed by its name.
    pub(super) fn consequences(&self) -> BTreeSet<Consequence> {
        let (is_private, access) = (self.rocket.is_private, self.matrix.access);
        let mut all: BTreeSet<_> = meaning_of_access(is_private, access).into_iter().collect();
        if access == Access::Closed && self.rocket.open_elsewhere {
            all.insert(Consequence::PrivateIntoRocketChat);
        }
        // What is on Rocket.Chat is kept by that server alone, and what is in a room that
        // does not federate by this homeserver alone.
        if self.matrix.is_kept_by_others() || self.rocket.federated_elsewhere {
            all.insert(Consequence::Federated);
        }
        all
    }
}

/// A state of a room, by its type and key.
fn state<'a>(events: &'a [TimelineEvent], kind: &str) -> Option<&'a Value> {
    events
        .iter()
        .find(|event| event.kind == kind && event.state_key.as_deref() == Some(""))
        .map(|event| &event.content)
}

fn text<'a>(content: Option<&'a Value>, key: &str) -> Option<&'a str> {
    content?.get(key)?.as_str()
}

/// Whether other homeservers may take part in a room that began like this.
pub(super) fn federates(create: Option<&Value>) -> bool {
    create.and_then(|create| create.get("m.federate")) != Some(&Value::Bool(false))
}

/// Which other bridge says that it serves a room. Anybody who may set states can say so: a
/// room is rather left alone than served twice.
fn other_bridge(events: &[TimelineEvent], is_ours: impl Fn(&UserId) -> bool) -> Option<String> {
    let found = events.iter().find(|event| {
        let is_set = event.content.as_object().is_some_and(|all| !all.is_empty());
        BRIDGE_STATE.contains(&event.kind.as_str()) && is_set && !is_ours(&event.sender)
    })?;
    let named = found.content.pointer("/protocol/displayname");
    let named = named.or_else(|| found.content.pointer("/protocol/id"));
    let named = named.and_then(Value::as_str).unwrap_or("another network");
    Some(bounded(named))
}

/// What the bot lacks in order to serve a room, each with the level that it needs.
fn lacking(levels: &PowerLevels, bot: &UserId, access: Access) -> Vec<String> {
    let mut lacking = Vec::new();
    if !levels.may_send(bot, "m.room.message") {
        lacking.push("write messages".to_owned());
    }
    // Ghosts come by invitation where they cannot come by themselves.
    if access != Access::Open && levels.level_of(bot) < levels.level("invite") {
        let needed = levels.level("invite");
        lacking.push(format!(
            "invite the users who stand for people of Rocket.Chat (level {needed})"
        ));
    }
    if !BRIDGE_STATE
        .iter()
        .all(|kind| levels.may_set_state(bot, kind))
    {
        let needed = BRIDGE_STATE
            .iter()
            .filter_map(|kind| levels.event_level(kind))
            .max()
            .unwrap_or_else(|| levels.level("state_default"));
        lacking.push(format!(
            "show in the room's state that it is bridged (level {needed})"
        ));
    }
    lacking
}

/// Who can read a Matrix room with these rules.
pub(in crate::bridge) fn access_of(rule: Option<&str>, history: Option<&str>) -> Access {
    match rule {
        _ if history == Some("world_readable") => Access::Open,
        Some("public") => Access::Open,
        None | Some("invite" | "knock" | "private") => Access::Closed,
        // `restricted`, and what is not known yet.
        Some(_) => Access::Restricted,
    }
}

/// Who reads along who could not, when two such rooms are joined.
pub(in crate::bridge) fn meaning_of_access(
    is_private: bool,
    access: Access,
) -> Option<Consequence> {
    match (is_private, access) {
        (true, Access::Open | Access::Restricted) => Some(Consequence::PrivateIntoMatrix),
        (false, Access::Closed | Access::Restricted) => Some(Consequence::PrivateIntoRocketChat),
        (true, Access::Closed) | (false, Access::Open) => None,
    }
}

/// What a Matrix room's state says of it.
pub(super) fn matrix_side(
    room: &RoomId,
    events: &[TimelineEvent],
    levels: &PowerLevels,
    bot: &UserId,
    ours: &ServerName,
    is_ours: impl Fn(&UserId) -> bool,
) -> MatrixSide {
    let rule = text(state(events, "m.room.join_rules"), "join_rule");
    let history = state(events, "m.room.history_visibility");
    let history = text(history, "history_visibility");
    let access = access_of(rule, history);
    let create = state(events, "m.room.create");
    let may_federate = federates(create);
    let members: Vec<_> = events
        .iter()
        .filter(|event| {
            event.kind == "m.room.member"
                && event.content.get("membership").and_then(Value::as_str) == Some("join")
        })
        .filter_map(|event| UserId::parse(event.state_key.as_deref()?).ok())
        .collect();
    let others = members
        .iter()
        .map(|member| member.server_name().to_owned())
        .filter(|server| server != ours)
        .collect();
    let people = members.iter().filter(|member| !is_ours(member)).count();
    let name = text(state(events, "m.room.name"), "name")
        .filter(|name| !name.trim().is_empty())
        .or_else(|| text(state(events, "m.room.canonical_alias"), "alias"));
    let is_named = name.is_some();
    let name = name.unwrap_or(room.as_str());

    let mut obstacles = Vec::new();
    if text(create, "type").is_some_and(|kind| kind == "m.space") {
        obstacles.push("It is a space on Matrix, in which nobody writes.".to_owned());
    }
    if let Some(content) = state(events, "m.room.tombstone")
        && content.as_object().is_some_and(|all| !all.is_empty())
    {
        let goes_on = text(Some(content), "replacement_room").filter(|to| !to.is_empty());
        obstacles.push(match goes_on {
            Some(to) => format!(
                "The room on Matrix was closed and goes on in {}.",
                bounded(to)
            ),
            None => "The room on Matrix was closed.".to_owned(),
        });
    }
    if state(events, "m.room.encryption").is_some() {
        obstacles.push(
            "The room on Matrix is encrypted, and the bridge cannot read encrypted messages."
                .to_owned(),
        );
    }
    if let Some(other) = other_bridge(events, &is_ours) {
        obstacles.push(format!(
            "Another bridge ({other}) serves the room on Matrix already. Both together could \
             bring every message again and again."
        ));
    }
    let lacking = lacking(levels, bot, access);
    let lacking = (!lacking.is_empty()).then(|| {
        format!(
            "The bridge's user {bot} lacks the power in the room on Matrix to {}. Whoever may \
             change that there can give it level 50.",
            lacking.join(", and to ")
        )
    });
    if levels.level("users_default") < levels.needed_to_send("m.room.message") {
        obstacles.push(
            "Not everybody may write in the room on Matrix, so nobody of Rocket.Chat could: the \
             bridge gives its users no power there."
                .to_owned(),
        );
    }
    MatrixSide {
        room_id: room.to_owned(),
        name: bounded(name),
        is_named,
        access,
        may_federate,
        others,
        people,
        is_for_commands: false,
        obstacles,
        lacking,
    }
}

/// What a room of Rocket.Chat says of itself.
pub(super) fn rocket_side(room: &Room, is_of_private_team: bool) -> RocketSide {
    let kind = match room.t {
        RoomType::Channel => PortalKind::Channel,
        _ => PortalKind::Group,
    };
    let mut obstacles = Vec::new();
    if !matches!(room.t, RoomType::Channel | RoomType::Group) {
        obstacles.push("Only channels and private groups can be joined with a room.".to_owned());
    }
    if room.federated {
        obstacles.push(
            "The room belongs to Rocket.Chat's own federation; joining it would double every \
             message."
                .to_owned(),
        );
    }
    if room.encrypted {
        obstacles.push(
            "The room is encrypted on Rocket.Chat, and the bridge cannot read it.".to_owned(),
        );
    }
    if room.archived {
        obstacles.push("The room is archived on Rocket.Chat.".to_owned());
    }
    RocketSide {
        rid: room.id.clone(),
        name: bounded(room.display_name().unwrap_or(room.id.as_str())),
        is_private: kind == PortalKind::Group || is_of_private_team,
        kind,
        people: room.users_count,
        read_only: room.read_only || room.broadcast,
        elsewhere: Vec::new(),
        open_elsewhere: false,
        closed_elsewhere: false,
        federated_elsewhere: false,
        unfederated_elsewhere: false,
        unfederated_joined: false,
        last_message_at: room.last_message_at.map_or(0, |at| at.0),
        obstacles,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ruma::{room_id, server_name, user_id};
    use serde_json::json;

    use super::super::words::meaning;
    use super::*;

    fn event(kind: &str, key: &str, content: Value) -> TimelineEvent {
        TimelineEvent {
            event_id: "$one".try_into().unwrap(),
            sender: user_id!("@alice:a.org").to_owned(),
            kind: kind.to_owned(),
            state_key: Some(key.to_owned()),
            content,
            origin_server_ts: 0,
            json: Value::Null,
        }
    }

    fn member(user: &str) -> TimelineEvent {
        event("m.room.member", user, json!({ "membership": "join" }))
    }

    fn side(events: &[TimelineEvent]) -> MatrixSide {
        let levels = json!({ "users": { "@bot:a.org": 50 } });
        matrix_side(
            room_id!("!r:a.org"),
            events,
            &PowerLevels::of(levels),
            user_id!("@bot:a.org"),
            server_name!("a.org"),
            |user| user == "@bot:a.org",
        )
    }

    fn channel(json: Value) -> RocketSide {
        let mut room = json!({ "_id": "R1", "t": "c", "name": "general" });
        for (key, value) in json.as_object().unwrap() {
            room[key] = value.clone();
        }
        rocket_side(&serde_json::from_value(room).unwrap(), false)
    }

    #[test]
    fn an_ordinary_room_has_no_obstacles() {
        let open = [
            event("m.room.join_rules", "", json!({ "join_rule": "public" })),
            event("m.room.name", "", json!({ "name": "Hall" })),
            member("@alice:a.org"),
            member("@bob:b.org"),
            member("@bot:a.org"),
        ];
        let matrix = side(&open);
        assert_eq!(matrix.obstacles, Vec::<String>::new());
        assert_eq!(matrix.lacking, None);
        assert_eq!((matrix.people, matrix.access), (2, Access::Open));
        assert_eq!(matrix.name, "Hall");
        assert_eq!(matrix.others.len(), 1);
        assert_eq!(channel(json!({})).obstacles, Vec::<String>::new());
    }

    #[test]
    fn each_obstacle_is_named() {
        let table = [
            (
                "m.room.encryption",
                json!({ "algorithm": "x" }),
                "encrypted",
            ),
            (
                "m.room.tombstone",
                json!({ "replacement_room": "!n:a.org" }),
                "!n:a.org",
            ),
            (
                "uk.half-shot.bridge",
                json!({ "protocol": { "displayname": "IRC" } }),
                "IRC",
            ),
            ("m.room.create", json!({ "type": "m.space" }), "space"),
        ];
        for (kind, content, expected) in table {
            let found = side(&[event(kind, "", content)]).obstacles;
            assert_eq!(found.len(), 1, "{kind}: {found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        }
        for (json, expected) in [
            (json!({ "encrypted": true }), "encrypted"),
            (json!({ "archived": true }), "archived"),
            (json!({ "federated": true }), "federation"),
            (json!({ "t": "d" }), "Only channels"),
        ] {
            let found = channel(json).obstacles;
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        }
    }

    #[test]
    fn an_emptied_state_of_another_bridge_is_none() {
        let found = side(&[event("m.bridge", "x", json!({}))]).obstacles;
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn what_the_bot_lacks_is_said_with_its_level() {
        let bot = user_id!("@bot:a.org");
        let levels = PowerLevels::of(json!({ "invite": 30, "events_default": 10 }));
        let found = lacking(&levels, bot, Access::Closed).join("; ");
        for part in ["write messages", "level 30", "level 50"] {
            assert!(found.contains(part), "{found}");
        }
        // Where everybody may come nobody has to be invited.
        let found = lacking(&levels, bot, Access::Open).join("; ");
        assert!(!found.contains("level 30"), "{found}");
    }

    #[test]
    fn consequences_are_of_what_one_side_shows_the_other() {
        let rule = |rule: &str| event("m.room.join_rules", "", json!({ "join_rule": rule }));
        let alone = event("m.room.create", "", json!({ "m.federate": false }));
        let of = |events: &[TimelineEvent], rocket: Value| {
            let survey = Survey {
                matrix: side(events),
                rocket: channel(rocket),
            };
            survey.consequences().into_iter().collect::<Vec<_>>()
        };
        let group = json!({ "t": "p" });
        let (into_matrix, into_rocket) = (
            Consequence::PrivateIntoMatrix,
            Consequence::PrivateIntoRocketChat,
        );
        assert_eq!(of(&[rule("public"), alone.clone()], json!({})), []);
        assert_eq!(of(&[rule("invite"), alone.clone()], group.clone()), []);
        assert_eq!(
            of(&[rule("public"), alone.clone()], group.clone()),
            [into_matrix]
        );
        assert_eq!(
            of(&[rule("invite"), alone.clone()], json!({})),
            [into_rocket]
        );
        // Nobody knows who is in the other room.
        assert_eq!(
            of(&[rule("restricted"), alone.clone()], group.clone()),
            [into_matrix]
        );
        assert_eq!(
            of(&[rule("restricted"), alone.clone()], json!({})),
            [into_rocket]
        );
        let shown = event(
            "m.room.history_visibility",
            "",
            json!({ "history_visibility": "world_readable" }),
        );
        assert_eq!(
            of(&[rule("invite"), shown, alone.clone()], group),
            [into_matrix]
        );
        let federated = [Consequence::Federated];
        assert_eq!(of(&[rule("public")], json!({})), federated);
        let guest = member("@bob:b.org");
        assert_eq!(of(&[rule("public"), alone, guest], json!({})), federated);
    }

    #[test]
    fn who_keeps_what_is_written_counts_in_every_room_of_the_channel() {
        let rules = event("m.room.join_rules", "", json!({ "join_rule": "public" }));
        let alone = event("m.room.create", "", json!({ "m.federate": false }));
        let survey = |is_alone: bool, change: fn(&mut RocketSide)| {
            let mut events = vec![rules.clone()];
            events.extend(is_alone.then(|| alone.clone()));
            let mut rocket = channel(json!({}));
            change(&mut rocket);
            Survey {
                matrix: side(&events),
                rocket,
            }
        };
        let federated = BTreeSet::from([Consequence::Federated]);
        // Its people would be heard in a room that other homeservers keep.
        let into_federated = survey(true, |rocket| rocket.federated_elsewhere = true);
        assert_eq!(into_federated.consequences(), federated);
        let said = meaning(Consequence::Federated, &into_federated);
        assert!(said.contains("only on this homeserver"), "{said}");
        // The bridge's own room does not federate: who joins a room that does is told.
        let beside_own = survey(false, |rocket| rocket.unfederated_elsewhere = true);
        assert_eq!(beside_own.consequences(), federated);
        assert!(beside_own.obstacles_to_ask().is_empty());
        let said = meaning(Consequence::Federated, &beside_own);
        assert!(said.contains("only on this homeserver"), "{said}");
        // People of a room that was there before did not agree to that.
        let beside_joined = survey(false, |rocket| {
            rocket.unfederated_elsewhere = true;
            rocket.unfederated_joined = true;
        });
        let why = beside_joined.obstacles_to_ask();
        assert_eq!(why.len(), 1, "{why:?}");
        assert!(why[0].contains("did not agree"), "{why:?}");
        // They have when there is such a room already; and one more like theirs is none.
        let beside_both = survey(false, |rocket| {
            rocket.unfederated_joined = true;
            rocket.federated_elsewhere = true;
        });
        assert!(beside_both.obstacles_to_ask().is_empty());
        let alike = survey(true, |rocket| {
            rocket.unfederated_elsewhere = true;
            rocket.unfederated_joined = true;
        });
        assert!(alike.obstacles_to_ask().is_empty() && alike.consequences().is_empty());
    }
}
