//! Teams: a main room, its people, and rooms that belong to it.

use serde::Deserialize;

use super::client::{Request, Session};
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::RocketRoomId;

/// A team.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Team {
    /// Its name.
    pub name: String,
    /// 0 is public, 1 private.
    #[serde(rename = "type", default = "private")]
    pub kind: u8,
    /// Its main room.
    #[serde(rename = "roomId")]
    pub room: RocketRoomId,
}

fn private() -> u8 {
    1
}

impl Team {
    /// Whether everybody may see it and enter.
    pub fn is_public(&self) -> bool {
        self.kind == 0
    }
}

#[derive(Deserialize)]
struct TeamAnswer {
    #[serde(rename = "teamInfo")]
    team: Team,
}

impl Session {
    /// A team by its id; none when there is no such (`teams.info`, recording 50).
    ///
    /// # Errors
    /// What any request may give.
    pub async fn team(&self, id: &str) -> Result<Option<Team>, Error> {
        let request = Request::get(&["api", "v1", "teams.info"]).query("teamId", id);
        match self.json::<TeamAnswer>(request).await {
            Ok(answer) => Ok(Some(answer.team)),
            Err(error)
                if matches!(
                    error.code(),
                    Some("team-does-not-exist" | "error-team-not-found")
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
