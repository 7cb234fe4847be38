//! Accounts.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer;
use super::client::{Request, Session};
use crate::rocketchat::documents::{Page, User, read_each};
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::{RocketUserId, Username};
use crate::secret::Secret;

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewUser<'a> {
    /// Must match the server's `UTF8_User_Names_Validation`.
    pub username: &'a Username,
    /// Display name: not blank, none of `<>\/`, no stray `%`.
    pub name: &'a str,
    /// Must be unique on the server. There is no account without one.
    pub email: &'a str,
    /// Needed by every version, also where tokens are made without it.
    pub password: &'a Secret,
    /// Global roles, for a puppet `user` and `bot`.
    pub roles: &'a [&'a str],
}

/// What is to be changed of an account; none leaves it as it is, except that the
/// server erases `bio` and `nickname` when they are not sent (6.14, 7.7): give
/// what [`User`] has.
#[derive(Debug, Clone, Default)]
pub struct UserChanges<'a> {
    /// Display name.
    pub name: Option<&'a str>,
    /// User name. The server rewrites history and sends every message of the user
    /// again.
    pub username: Option<&'a Username>,
    /// Password; revokes all tokens of the account.
    pub password: Option<&'a Secret>,
    /// Global roles.
    pub roles: Option<&'a [&'a str]>,
    /// See above.
    pub bio: Option<&'a str>,
    /// See above.
    pub nickname: Option<&'a str>,
}

#[derive(Deserialize)]
struct UserAnswer {
    user: User,
}

#[derive(Deserialize)]
struct ListAnswer<'a> {
    #[serde(borrow)]
    users: Vec<&'a RawValue>,
    #[serde(default)]
    total: usize,
}

impl Session {
    /// The own account, roles included.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] when the token is not accepted.
    pub async fn me(&self) -> Result<User, Error> {
        self.json(Request::get(&["api", "v1", "me"])).await
    }

    /// Makes an account that joins no room by itself and has an unconfirmed address
    /// (a confirmed one would bring a second factor at password login).
    ///
    /// # Errors
    /// [`Error::Refused`]: `error-field-unavailable` (name or address taken),
    /// `error-input-is-not-a-valid-field`, `error-license-user-limit-reached`,
    /// `error-action-not-allowed` (no right). **After any failure look the name up:**
    /// the server can refuse and yet have made the account.
    pub async fn users_create(&self, user: &NewUser<'_>) -> Result<User, Error> {
        let body = json!({
            "username": user.username,
            "name": user.name,
            "email": user.email,
            "password": user.password.expose(),
            "roles": user.roles,
            "joinDefaultChannels": false,
            "verified": false,
        });
        let request = Request::post(&["api", "v1", "users.create"], body);
        Ok(self.json::<UserAnswer>(request).await?.user)
    }

    /// An account by its id; none when the server has no such.
    ///
    /// # Errors
    /// What any request may give.
    pub async fn user_by_id(&self, id: &RocketUserId) -> Result<Option<User>, Error> {
        self.user("userId", id.as_str()).await
    }

    /// An account by its name; none when the server has no such.
    ///
    /// # Errors
    /// What any request may give.
    pub async fn user_by_username(&self, username: &Username) -> Result<Option<User>, Error> {
        self.user("username", username.as_str()).await
    }

    /// As [`Session::user_by_username`], and where the server has nobody of just that name
    /// the one active account whose name differs in capitals only. (`users.info` takes
    /// names as they are written.)
    ///
    /// # Errors
    /// What any request may give.
    pub async fn user_named(&self, username: &Username) -> Result<Option<User>, Error> {
        if let Some(user) = self.user_by_username(username).await? {
            return Ok(Some(user));
        }
        let wanted = username.as_str().to_lowercase();
        let like = self.people_like(username.as_str()).await?;
        let mut alike = like.into_iter().filter(|user| {
            let name = user.username.as_ref();
            name.is_some_and(|name| name.as_str().to_lowercase() == wanted)
        });
        match (alike.next(), alike.next()) {
            (Some(user), None) => self.user_by_id(&user.id).await,
            _ => Ok(None),
        }
    }

    async fn user(&self, key: &str, value: &str) -> Result<Option<User>, Error> {
        let request = Request::get(&["api", "v1", "users.info"]).query(key, value);
        match self.json::<UserAnswer>(request).await {
            Ok(answer) => Ok(Some(answer.user)),
            // A text without a code, in 6.14 and 7.x.
            Err(Error::Refused { error, .. }) if error.as_str().starts_with("User not found") => {
                Ok(None)
            }
            Err(error) if error.code() == Some("error-invalid-user") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One page of all accounts, by name: deactivated ones, bots and apps among them. At
    /// most 100 rows. Of an account it has id, names, picture and whether it is active,
    /// and what else the caller may see. Somebody who is renamed between two pages can be
    /// on both of them or on neither.
    ///
    /// # Errors
    /// What any request may give.
    pub async fn users_page(&self, offset: usize, count: usize) -> Result<Page<User>, Error> {
        let request = Request::get(&["api", "v1", "users.list"])
            .query("offset", offset.to_string())
            // None would be all of them.
            .query("count", count.clamp(1, 100).to_string());
        let body = self.bytes(request).await?;
        let answer: ListAnswer<'_> = answer::parse(&body)?;
        let (items, unreadable) = read_each(&answer.users);
        Ok(Page {
            items,
            offset,
            sent: answer.users.len(),
            total: answer.total,
            unreadable,
        })
    }

    /// Changes an account.
    ///
    /// # Errors
    /// [`Error::TwoFactor`] unless the own token was made with `bypassTwoFactor`;
    /// `error-could-not-save-identity` (name taken); `Edit_Federated_User_Not_Allowed`.
    pub async fn users_update(
        &self,
        id: &RocketUserId,
        changes: &UserChanges<'_>,
    ) -> Result<User, Error> {
        let mut data = serde_json::Map::new();
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                data.insert(key.to_owned(), value);
            }
        };
        set("name", changes.name.map(Value::from));
        set("username", changes.username.map(|name| json!(name)));
        set(
            "password",
            changes.password.map(|word| json!(word.expose())),
        );
        set("roles", changes.roles.map(|roles| json!(roles)));
        set("bio", changes.bio.map(Value::from));
        set("nickname", changes.nickname.map(Value::from));
        let body = json!({ "userId": id, "data": data });
        let request = Request::post(&["api", "v1", "users.update"], body);
        Ok(self.json::<UserAnswer>(request).await?.user)
    }

    /// Activates or deactivates an account. Deactivating revokes its tokens, closes its
    /// sockets and frees its seat.
    ///
    /// # Errors
    /// `user-last-owner` when it alone owns rooms and `confirm_relinquish` is not set.
    pub async fn set_active_status(
        &self,
        id: &RocketUserId,
        active: bool,
        confirm_relinquish: bool,
    ) -> Result<(), Error> {
        let body = json!({
            "userId": id,
            "activeStatus": active,
            "confirmRelinquish": confirm_relinquish,
        });
        let request = Request::post(&["api", "v1", "users.setActiveStatus"], body);
        self.bytes(request).await.map(drop)
    }
}
