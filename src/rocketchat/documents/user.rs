//! People.

use serde::Deserialize;

use super::{Timestamp, lenient};
use crate::rocketchat::ids::{RocketUserId, Username};

/// A user as other documents name them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UserRef {
    /// The user.
    #[serde(rename = "_id")]
    pub id: RocketUserId,
    /// Their name at the time of writing.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub username: Option<Username>,
    /// Their display name at the time of writing; often absent.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub name: Option<String>,
}

impl From<&User> for UserRef {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.clone(),
            username: user.username.clone(),
            name: user.name.clone(),
        }
    }
}

/// An e-mail address of a user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Email {
    /// The address.
    pub address: String,
    /// Whether it was confirmed. Rocket.Chat asks for a second factor at password
    /// login once it is.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub verified: bool,
}

/// An account, from `users.*`, `me`. Which fields are there depends on the caller's
/// rights.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct User {
    /// The user.
    #[serde(rename = "_id")]
    pub id: RocketUserId,
    /// Absent only for accounts whose registration was never finished.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub username: Option<Username>,
    /// Display name.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub name: Option<String>,
    /// Empty when the caller may not see them.
    #[serde(default, deserialize_with = "lenient::list")]
    pub emails: Vec<Email>,
    /// Global roles; empty when the caller may not see them.
    #[serde(default, deserialize_with = "lenient::list")]
    pub roles: Vec<String>,
    /// Whether the account may log in; true when the server does not say.
    #[serde(default = "yes", deserialize_with = "active")]
    pub active: bool,
    /// `type`: `user`, `bot`, `app`, …
    #[serde(default, rename = "type", deserialize_with = "lenient::opt")]
    pub kind: Option<String>,
    /// Belongs to Rocket.Chat's own federation: not to be bridged or edited.
    #[serde(default, deserialize_with = "lenient::present")]
    pub federated: bool,
    /// About themselves. `users.update` erases what is not sent again.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub bio: Option<String>,
    /// As [`Self::bio`].
    #[serde(default, deserialize_with = "lenient::opt")]
    pub nickname: Option<String>,
    /// `online`, `away`, `busy`, `offline`.
    #[serde(default, deserialize_with = "lenient::opt")]
    pub status: Option<String>,
    /// The status line.
    #[serde(default, rename = "statusText", deserialize_with = "lenient::opt")]
    pub status_text: Option<String>,
    /// Changes with every uploaded avatar; absent when there is none.
    #[serde(default, rename = "avatarETag", deserialize_with = "lenient::opt")]
    pub avatar_etag: Option<String>,
    /// When the account was made.
    #[serde(default, rename = "createdAt", deserialize_with = "lenient::opt")]
    pub created_at: Option<Timestamp>,
}

impl User {
    /// Whether the account has a global role (`admin`, `bot`, …).
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }
}

fn yes() -> bool {
    true
}

fn active<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(lenient::opt(deserializer)?.unwrap_or(true))
}
