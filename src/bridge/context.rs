//! Who asks the bridge for something, where, and through which door: the same for every
//! door, so that a command is written once.

use std::fmt;

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, UserId};

use super::{Bridge, Failure};
use crate::rocketchat::documents::User;
use crate::rocketchat::{RocketRoomId, RocketUserId};
use crate::store::{Portal, StoreError};

/// Who asks. Each server vouches for its own people, and the App for who gave it a
/// command; nobody is one by what they write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Somebody on Matrix.
    Matrix(OwnedUserId),
    /// Somebody on Rocket.Chat, who is no puppet.
    RocketChat {
        /// Their account.
        id: RocketUserId,
        /// Its name now.
        username: String,
        /// Its roles on the server now.
        roles: Vec<String>,
    },
    /// A program, by the name of its token in the configuration.
    Api(String),
}

impl Who {
    /// An account on Rocket.Chat, as programs know it.
    pub(super) fn account_id(id: &RocketUserId) -> String {
        format!("rocketchat:{id}")
    }

    /// Whoever has this account on Rocket.Chat.
    pub(super) fn of_account(account: &User) -> Self {
        let username = account.username.as_ref();
        Self::RocketChat {
            id: account.id.clone(),
            username: username.map_or_else(|| account.id.to_string(), ToString::to_string),
            roles: account.roles.clone(),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matrix(user) => user.fmt(f),
            Self::RocketChat { id, username, .. } => {
                write!(f, "{username} ({id}) on Rocket.Chat")
            }
            Self::Api(name) => write!(f, "the token {name}"),
        }
    }
}

/// Through which door a command came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// A message in a Matrix room.
    Matrix,
    /// A message on Rocket.Chat.
    Text,
    /// The App on Rocket.Chat.
    App,
    /// The provisioning API.
    Api,
}

impl Door {
    /// Its name, for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Matrix => "matrix",
            Self::Text => "text",
            Self::App => "app",
            Self::Api => "api",
        }
    }
}

/// Who asks for something, where, and how.
#[derive(Debug, Clone)]
pub struct Context {
    /// Who.
    pub who: Who,
    /// Through which door.
    pub door: Door,
    /// The Matrix room that it was said in.
    pub room: Option<OwnedRoomId>,
    /// The room on Rocket.Chat that it was said in, by a member.
    pub rid: Option<RocketRoomId>,
    /// What a repeat of the same command is known by: the event, the message, the call.
    pub id: String,
    /// The event of Matrix that it is.
    pub event: Option<OwnedEventId>,
    /// What stands before a command where it was given: nothing in a room with the bridge
    /// alone.
    pub prefix: &'static str,
    /// Who is mentioned with the command, where in its words is not known.
    pub unplaced: Vec<OwnedUserId>,
}

impl Context {
    /// A command as whoever asks would write it here.
    pub fn written(&self, command: &str) -> String {
        match self.prefix {
            "" => command.to_owned(),
            prefix => format!("{prefix} {command}"),
        }
    }

    /// Makes sure that a name in a command is not what somebody else calls themselves whom
    /// the message mentions.
    ///
    /// # Errors
    /// [`Failure::Refused`] where that could be.
    pub fn must_be_sure_of(&self, name: &str) -> Result<(), Failure> {
        match self.unplaced.first() {
            None => Ok(()),
            Some(user) => Err(Failure::Refused(format!(
                "Your message mentions `{user}`, and I cannot tell whether {name} is what they are called or a user name on Rocket.Chat. Write the full Matrix id of whom you mean; that of somebody on Rocket.Chat stands in their profile here."
            ))),
        }
    }

    /// Who asks, if they are on Matrix.
    pub fn matrix_user(&self) -> Option<&UserId> {
        match &self.who {
            Who::Matrix(user) => Some(user),
            _ => None,
        }
    }

    /// Who asks, if they are on Rocket.Chat.
    pub fn rocket_user(&self) -> Option<&RocketUserId> {
        match &self.who {
            Who::RocketChat { id, .. } => Some(id),
            _ => None,
        }
    }
}

impl Bridge {
    /// The portals of the room in which something is asked: on Matrix at most one.
    ///
    /// # Errors
    /// When the store fails.
    pub fn portals_here(&self, context: &Context) -> Result<Vec<Portal>, StoreError> {
        let found = match (&context.room, &context.rid) {
            (Some(room), _) => self.store.portal_of_room(room)?,
            (None, Some(rid)) => return self.store.portals_of(rid),
            (None, None) => None,
        };
        Ok(found.into_iter().collect())
    }

    /// Whether what is answered is read by whoever asks and by nobody else. On Matrix it is
    /// when nobody else is in the room now; on Rocket.Chat answers come in the direct
    /// message, or are shown to one person by the App.
    ///
    /// # Errors
    /// When the homeserver does not say who is in the room.
    pub async fn is_between_us(&self, context: &Context) -> Result<bool, Failure> {
        let (Some(user), Some(room)) = (context.matrix_user(), &context.room) else {
            return Ok(true);
        };
        if self.store.portal_of_room(room)?.is_some() {
            return Ok(false);
        }
        let there = self.matrix.bot().joined_members(room).await?;
        let bot = &self.config.appservice.bot;
        Ok(there.keys().all(|member| member == user || member == bot))
    }
}
