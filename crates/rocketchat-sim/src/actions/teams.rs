//! Teams (facts 3.5, 3.6, capture 50): making and deleting them, who is in them, their rooms.

use serde_json::{Value, json};

use crate::{
    actions::create::NewRoom,
    error::Failure,
    ids,
    json::{self, Doc},
    state::{
        State,
        teams::{Team, TeamMember},
    },
    time,
};

/// What `teams.create` takes.
#[derive(Debug, Default)]
pub struct NewTeam {
    /// Name of the team and of its main room.
    pub name: String,
    /// Closed to who is not invited.
    pub private: bool,
    /// Usernames or ids; unknown ones are skipped.
    pub members: Vec<String>,
    /// The main room is read-only.
    pub read_only: bool,
    /// Topic, description and the like of the main room.
    pub extra: Doc,
}

impl State {
    /// Makes a team with its main room.
    ///
    /// # Errors
    ///
    /// When the name is a team's or a room's already.
    pub fn create_team(&mut self, uid: &str, new: NewTeam) -> Result<Doc, Failure> {
        if self.teams.named(&new.name).is_some() {
            return Err(Failure::plain("team-name-already-exists"));
        }
        if self.room_named(&new.name).is_some() {
            return Err(Failure::plain("room-name-already-exists"));
        }
        let members: Vec<(String, String)> = new
            .members
            .iter()
            .filter_map(|one| self.users.exactly_named(one).or(self.users.get(one)))
            .filter(|user| user.id() != uid)
            .map(|user| (user.id().to_owned(), user.name().to_owned()))
            .collect();
        let name = self.valid_room_name(&new.name, None)?;
        let room = self.create_named_room(
            uid,
            &name,
            NewRoom {
                kind: if new.private { "p" } else { "c" },
                name: new.name.clone(),
                members: members.iter().map(|(_, name)| name.clone()).collect(),
                read_only: new.read_only,
                extra: new.extra,
                ..NewRoom::default()
            },
        )?;
        let rid = json::text(&room, "_id").to_owned();
        let now = time::now_ms();
        let id = ids::object(now);
        let by = self.short_of(uid);
        let doc = json::doc(json!({
            "_id": id, "name": new.name, "type": u8::from(new.private), "createdAt": json::date(now),
            "createdBy": by, "_updatedAt": json::date(now), "roomId": rid,
        }));
        let member = |uid: &str, roles: Option<Value>| {
            let mut doc = json::doc(json!({ "createdBy": by, "createdAt": json::date(now) }));
            if let Some(roles) = roles {
                doc.insert("roles".to_owned(), roles);
            }
            TeamMember {
                uid: uid.to_owned(),
                doc,
            }
        };
        let mut list: Vec<TeamMember> = members.iter().map(|(uid, _)| member(uid, None)).collect();
        list.push(member(uid, Some(json!(["owner"]))));
        self.save_team(Team {
            doc: doc.clone(),
            members: list,
        });
        self.change_room(&rid, |room| {
            room.insert("teamId".to_owned(), json!(id));
            room.insert("teamMain".to_owned(), json!(true));
        });
        Ok(doc)
    }

    /// Notes somebody as a member of a team, with these roles.
    pub(super) fn enrol(&mut self, by: &str, uid: &str, team: &str, roles: Option<Value>) {
        let Some(mut team) = self.teams.get(team).filter(|one| !one.has(uid)).cloned() else {
            return;
        };
        let mut doc = json::doc(
            json!({ "createdBy": self.short_of(by), "createdAt": json::date(time::now_ms()) }),
        );
        if let Some(roles) = roles {
            doc.insert("roles".to_owned(), roles);
        }
        team.members.push(TeamMember {
            uid: uid.to_owned(),
            doc,
        });
        self.save_team(team);
    }

    /// Notes that somebody is no longer a member of a team.
    pub(super) fn expel(&mut self, uid: &str, team: &str) {
        let Some(mut team) = self.teams.get(team).filter(|one| one.has(uid)).cloned() else {
            return;
        };
        team.members.retain(|one| one.uid != uid);
        self.save_team(team);
    }

    /// Brings people into a team and its main room.
    pub fn add_to_team(&mut self, by: &str, team: &str, people: &[(String, Option<Value>)]) {
        let Some(rid) = self.teams.get(team).map(|team| team.room().to_owned()) else {
            return;
        };
        for (uid, roles) in people {
            self.enrol(by, uid, team, roles.clone());
            let itself = uid == by;
            self.bring_in(&rid, uid, (!itself).then_some(by));
            if roles.as_ref().is_some_and(|roles| {
                roles
                    .as_array()
                    .is_some_and(|list| list.contains(&json!("owner")))
            }) {
                self.change_sub(&rid, uid, |sub| {
                    sub.insert("roles".to_owned(), json!(["owner"]));
                });
            }
        }
    }

    /// Takes somebody out of a team, its main room and `rooms` of it; `by` is somebody else, or
    /// nobody when they go themselves.
    ///
    /// # Errors
    ///
    /// When there is no such member, or nobody else owns the team.
    pub fn remove_from_team(
        &mut self,
        by: Option<&str>,
        team: &str,
        uid: &str,
        rooms: &[String],
    ) -> Result<(), Failure> {
        let Some(team) = self.teams.get(team).cloned() else {
            return Err(Failure::plain("team-does-not-exist"));
        };
        if !team.has(uid) {
            return Err(Failure::plain("member-does-not-exist"));
        }
        let owns = |one: &&TeamMember| {
            json::texts(&one.doc, "roles")
                .iter()
                .any(|role| role == "owner")
        };
        let owners: Vec<&TeamMember> = team.members.iter().filter(owns).collect();
        if owners.len() == 1 && owners[0].uid == uid {
            return Err(Failure::plain("last-owner-can-not-be-removed"));
        }
        self.expel(uid, team.id());
        let mut places: Vec<String> = rooms
            .iter()
            .filter(|rid| {
                self.room(rid)
                    .is_some_and(|room| json::text(room, "teamId") == team.id())
            })
            .cloned()
            .collect();
        places.insert(0, team.room().to_owned());
        for rid in places {
            self.take_out(&rid, uid, by);
        }
        Ok(())
    }

    /// Puts a room into a team, or takes it out, and says so in the main room.
    pub fn move_room(&mut self, uid: &str, team: &str, rid: &str, into: bool) {
        let Some(main) = self.teams.get(team).map(|team| team.room().to_owned()) else {
            return;
        };
        let name = self
            .room(rid)
            .map_or(String::new(), |room| json::text(room, "name").to_owned());
        self.set_room(rid, "teamId", into.then(|| json!(team)));
        if !into {
            self.set_room(rid, "teamDefault", None);
        }
        let kind = if into {
            "user-added-room-to-team"
        } else {
            "user-removed-room-from-team"
        };
        let by = self.author_of(uid);
        self.system_message(kind, &main, &name, by, Value::Null);
    }

    /// Rooms of a team besides its main room, by name.
    pub fn rooms_of_team(&self, team: &str) -> Vec<Doc> {
        let mut rooms: Vec<Doc> = self
            .rooms_in_order()
            .into_iter()
            .filter(|room| json::text(room, "teamId") == team && !json::flag(room, "teamMain"))
            .cloned()
            .collect();
        rooms.sort_by(|one, other| json::text(one, "name").cmp(json::text(other, "name")));
        rooms
    }

    /// Deletes a team, its main room and `rooms` of it; its other rooms go on by themselves.
    pub fn delete_team(&mut self, uid: &str, team: &str, rooms: &[String]) {
        let Some(team) = self.teams.get(team).cloned() else {
            return;
        };
        for rid in rooms {
            if self
                .room(rid)
                .is_some_and(|room| json::text(room, "teamId") == team.id())
            {
                self.remove_room(rid);
            }
        }
        let by = self.author_of(uid);
        let main = team.room().to_owned();
        self.system_message(
            "user-converted-to-channel",
            &main,
            team.name(),
            by,
            Value::Null,
        );
        let rest: Vec<String> = self
            .rooms_of_team(team.id())
            .iter()
            .map(|room| json::text(room, "_id").to_owned())
            .collect();
        for rid in rest.iter().chain([&main]) {
            self.change_room(rid, |room| {
                room.remove("teamId");
                room.remove("teamDefault");
                room.remove("teamMain");
            });
        }
        self.remove_room(&main);
        self.drop_team(team.id());
    }
}
