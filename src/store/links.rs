//! People with an account on either side that they have proved to be theirs, and the codes
//! by which they prove it.

use ruma::{OwnedRoomId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::records::{Puppet, Record, Text};
use super::{Change, PortalId, Store, StoreError, keys, readable};
use crate::rocketchat::RocketUserId;
use crate::rocketchat::rest::Credentials;
use crate::secret::Secret;

/// How the bridge came to a token of somebody's own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenFrom {
    /// The server gave it: it can be asked for another one.
    Server,
    /// The person sent it.
    Person,
}

/// A token that only who has the key can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedToken {
    /// Nonce and sealed text, as base64.
    pub sealed: String,
    /// Whose doing it is.
    pub from: TokenFrom,
}

/// One person with two accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Their account on Matrix.
    pub matrix_id: OwnedUserId,
    /// Their account on Rocket.Chat.
    pub rocket_id: RocketUserId,
    /// Its name when last seen.
    pub username: String,
    /// How the bridge acts as it. Without one the link waits, and nothing follows from it.
    pub token: Option<SealedToken>,
    /// The room on Matrix in which they talk with the bridge alone.
    pub room: OwnedRoomId,
    /// The digest of the code that proved it, by which a repeat is known.
    pub proof: String,
    /// Since when (ms, the bridge's clock).
    pub since: i64,
}

impl Record for Link {
    const NAME: &'static str = "link of two accounts";
}

impl Link {
    /// The account on Rocket.Chat, as what acts for the Matrix user. Its token is sealed:
    /// none is in it.
    fn as_puppet(&self) -> Puppet {
        Puppet {
            matrix_id: self.matrix_id.clone(),
            username: self.username.clone(),
            credentials: Credentials {
                user_id: self.rocket_id.clone(),
                token: Secret::none(),
            },
            own: true,
        }
    }
}

/// Who was given a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Asker {
    /// Somebody on Matrix.
    Matrix {
        /// Who.
        user: OwnedUserId,
        /// Where they talk with the bridge alone.
        room: OwnedRoomId,
    },
    /// Somebody on Rocket.Chat.
    RocketChat {
        /// Who.
        id: RocketUserId,
        /// Their name then.
        username: String,
    },
}

/// A code by which somebody proves an account on the other side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginCode {
    /// Its digest: the code itself is nowhere kept.
    pub digest: String,
    /// Who was given it.
    pub asker: Asker,
    /// How long it is good (ms, the bridge's clock).
    pub until: i64,
    /// Who has entered it first, and by which command: from then on it is good for nobody
    /// else.
    pub entered: Option<(String, String)>,
}

impl Record for LoginCode {
    const NAME: &'static str = "code of a login";
}

/// A link that has ended, and why, in words for the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedLink {
    /// The link as it was.
    pub link: Link,
    /// Why.
    pub why: String,
}

impl Record for EndedLink {
    const NAME: &'static str = "end of a link";
}

impl Change<'_> {
    /// Two accounts are no longer one person's, of which they are to be told.
    pub fn end_link(self, ended: &EndedLink) -> Self {
        self.no_link(&ended.link)
            .set(keys::ended_link(&ended.link.proof), ended)
    }

    /// They have been told.
    pub fn told_of_end(self, ended: &EndedLink) -> Self {
        self.unset(keys::ended_link(&ended.link.proof))
    }

    /// Adds or replaces a link, found by either account.
    pub fn link(self, link: &Link) -> Self {
        self.set(keys::link(&link.matrix_id), link)
            .set(
                keys::link_of_account(&link.rocket_id),
                &Text(link.matrix_id.to_string()),
            )
            .set(
                keys::own_account(&link.rocket_id),
                &Text(link.matrix_id.to_string()),
            )
    }

    /// Two accounts are no longer one person's.
    pub fn no_link(self, link: &Link) -> Self {
        self.unset(keys::link(&link.matrix_id))
            .unset(keys::link_of_account(&link.rocket_id))
    }

    /// Adds or replaces a code.
    pub fn login_code(self, code: &LoginCode) -> Self {
        self.set(keys::login_code(&code.digest), code)
    }

    /// A code is good for nothing any more.
    pub fn no_login_code(self, digest: &str) -> Self {
        self.unset(keys::login_code(digest))
    }
}

impl Store {
    /// The link of a Matrix user, also one that waits for a token.
    ///
    /// # Errors
    /// When the store fails.
    pub fn link(&self, user: &UserId) -> Result<Option<Link>, StoreError> {
        self.get(&keys::link(user))
    }

    /// The link of an account on Rocket.Chat, also one that waits for a token.
    ///
    /// # Errors
    /// When the store fails.
    pub fn link_of_account(&self, id: &RocketUserId) -> Result<Option<Link>, StoreError> {
        let Some(user) = self.get::<Text>(&keys::link_of_account(id))? else {
            return Ok(None);
        };
        match UserId::parse(user.0) {
            Ok(user) => Ok(self.link(&user)?.filter(|link| link.rocket_id == *id)),
            Err(_) => Ok(None),
        }
    }

    /// Every link that can be read.
    pub fn links(&self) -> Vec<Link> {
        self.scan(keys::LINKS)
            .filter_map(|item| readable(item, "link of two accounts"))
            .map(|(_, link)| link)
            .collect()
    }

    /// The link of an account on Rocket.Chat whose owner is one with a Matrix user.
    ///
    /// # Errors
    /// When the store fails.
    pub fn linked(&self, id: &RocketUserId) -> Result<Option<Link>, StoreError> {
        let link = self.link_of_account(id)?;
        Ok(link.filter(|link| link.token.is_some()))
    }

    /// The link of a Matrix user who is one with an account on Rocket.Chat.
    ///
    /// # Errors
    /// When the store fails.
    pub fn linked_user(&self, user: &UserId) -> Result<Option<Link>, StoreError> {
        Ok(self.link(user)?.filter(|link| link.token.is_some()))
    }

    /// The account on Rocket.Chat that acts for a Matrix user now: their own where they
    /// have linked it (without a token in it), else their puppet.
    ///
    /// # Errors
    /// When the store fails.
    pub fn puppet(&self, user: &UserId) -> Result<Option<Puppet>, StoreError> {
        match self.linked_user(user)? {
            Some(link) => Ok(Some(link.as_puppet())),
            None => self.made_puppet(user),
        }
    }

    /// The Matrix user for whom an account on Rocket.Chat acts: a puppet's, also one that
    /// is not in use now, or whoever has linked it.
    ///
    /// # Errors
    /// When the store fails.
    pub fn behind_puppet(&self, user: &RocketUserId) -> Result<Option<OwnedUserId>, StoreError> {
        match self.behind_made_puppet(user)? {
            Some(found) => Ok(Some(found)),
            None => Ok(self.linked(user)?.map(|link| link.matrix_id)),
        }
    }

    /// Who on Matrix has linked an account on Rocket.Chat last, also when that has ended:
    /// what was posted with it was posted for them.
    ///
    /// # Errors
    /// When the store fails.
    pub fn was_account_of(&self, id: &RocketUserId) -> Result<Option<OwnedUserId>, StoreError> {
        let found = self.get::<Text>(&keys::own_account(id))?;
        Ok(found.and_then(|user| UserId::parse(user.0).ok()))
    }

    /// Whether the account that the bridge made for a Matrix user is noted to be in a
    /// portal's room, whoever acts for them now.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_made_puppet_in_room(
        &self,
        portal: &PortalId,
        user: &UserId,
    ) -> Result<bool, StoreError> {
        let noted = self.db.get(keys::puppet_in_room(portal, user))?;
        Ok(noted.is_some_and(|noted| noted.is_empty()))
    }

    /// Whether a Matrix user has linked an account on Rocket.Chat, also when that has ended.
    ///
    /// # Errors
    /// When the store fails.
    pub fn has_been_linked(&self, user: &UserId) -> Result<bool, StoreError> {
        for item in self.scan::<Text>(keys::OWN_ACCOUNTS) {
            if item?.1.0 == user.as_str() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Links that have ended, of which their people are still to be told.
    pub fn ended_links(&self) -> Vec<EndedLink> {
        self.scan(keys::ENDED_LINKS)
            .filter_map(|item| readable(item, "end of a link"))
            .map(|(_, ended)| ended)
            .collect()
    }

    /// Whether anything is noted of who acts for a Matrix user in a room.
    ///
    /// # Errors
    /// When the store fails.
    pub fn has_puppet_note(&self, portal: &PortalId, user: &UserId) -> Result<bool, StoreError> {
        Ok(self.db.contains_key(keys::puppet_in_room(portal, user))?)
    }

    /// A code, by its digest.
    ///
    /// # Errors
    /// When the store fails.
    pub fn login_code(&self, digest: &str) -> Result<Option<LoginCode>, StoreError> {
        self.get(&keys::login_code(digest))
    }

    /// Every code that can be read.
    pub fn login_codes(&self) -> Vec<LoginCode> {
        self.scan(keys::LOGIN_CODES)
            .filter_map(|item| readable(item, "code of a login"))
            .map(|(_, code)| code)
            .collect()
    }
}
