//! Teams: a main room, members, and the rooms that name the team by `teamId`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::State;
use crate::json::{self, Doc};

/// Somebody in a team.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TeamMember {
    /// Who.
    pub uid: String,
    /// `roles` when there are some, `createdBy`, `createdAt`.
    pub doc: Doc,
}

/// A team.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Team {
    /// The document as `teams.info` shows it.
    pub doc: Doc,
    /// Who is in it, in the order in which they came.
    pub members: Vec<TeamMember>,
}

impl Team {
    /// The `_id`.
    pub fn id(&self) -> &str {
        json::text(&self.doc, "_id")
    }

    /// The name, which the main room shares in the beginning.
    pub fn name(&self) -> &str {
        json::text(&self.doc, "name")
    }

    /// The main room.
    pub fn room(&self) -> &str {
        json::text(&self.doc, "roomId")
    }

    /// Whether somebody is in it.
    pub fn has(&self, uid: &str) -> bool {
        self.members.iter().any(|one| one.uid == uid)
    }
}

/// All teams.
#[derive(Debug, Default)]
pub struct Teams {
    all: BTreeMap<String, Team>,
}

impl Teams {
    /// A team by id.
    pub fn get(&self, id: &str) -> Option<&Team> {
        self.all.get(id)
    }

    /// A team by name.
    pub fn named(&self, name: &str) -> Option<&Team> {
        self.all.values().find(|team| team.name() == name)
    }

    /// All teams in the order in which they were made.
    pub fn in_order(&self) -> Vec<&Team> {
        self.all.values().collect()
    }

    /// Stores a team in place of an older version of it.
    pub fn store(&mut self, team: Team) {
        self.all.insert(team.id().to_owned(), team);
    }

    /// Removes a team.
    pub fn forget(&mut self, id: &str) -> Option<Team> {
        self.all.remove(id)
    }
}

impl State {
    /// Stores a team and notes it in the journal.
    pub fn save_team(&mut self, team: Team) {
        self.journal.put("teams", &team);
        self.teams.store(team);
    }

    /// Removes a team; its rooms are the caller's.
    pub fn drop_team(&mut self, id: &str) {
        self.journal.remove("teams", id);
        self.teams.forget(id);
    }

    /// The team whose main room this is.
    pub fn team_of_main(&self, rid: &str) -> Option<&Team> {
        let room = self.room(rid)?;
        (room.get("teamMain") == Some(&json!(true)))
            .then(|| self.teams.get(json::text(room, "teamId")))
            .flatten()
    }
}
