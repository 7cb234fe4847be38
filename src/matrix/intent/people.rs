//! Profiles.

use std::collections::BTreeMap;

use ruma::api::client::device::get_devices;
use ruma::api::client::profile::{delete_profile_field, get_profile, set_profile_field};
use ruma::api::client::session::{login, logout};
use ruma::api::client::uiaa::{MatrixUserIdentifier, UserIdentifier};
use ruma::profile::{ProfileFieldName, ProfileFieldValue};
use ruma::{MxcUri, UserId};
use serde_json::Value;

use super::Intent;
use crate::matrix::error::Error;
use crate::matrix::listener::Presence;
use crate::secret::Secret;

impl Intent {
    /// Sets or, with `None`, removes the display name. Synapse writes it into
    /// every room the user is in.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set_display_name(&self, name: Option<&str>) -> Result<(), Error> {
        // An empty name is how the old endpoint removes it, on every version.
        self.set_profile_field("displayname", Value::from(name.unwrap_or_default()))
            .await
    }

    /// Sets or, with `None`, removes the picture.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set_avatar_url(&self, url: Option<&MxcUri>) -> Result<(), Error> {
        self.set_profile_field(
            "avatar_url",
            Value::from(url.map(MxcUri::as_str).unwrap_or_default()),
        )
        .await
    }

    /// The user's own display name, if it has one.
    ///
    /// # Errors
    /// See [`Error`]; an unknown user is `Ok(None)`.
    pub async fn display_name(&self) -> Result<Option<String>, Error> {
        let profile = self.profile(self.user_id()).await?;
        Ok(profile
            .get("displayname")
            .and_then(Value::as_str)
            .map(str::to_owned))
    }

    /// Anyone's profile: `displayname`, `avatar_url` and whatever else was set.
    /// Empty if there is no such user.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn profile(&self, user: &UserId) -> Result<BTreeMap<String, Value>, Error> {
        match self
            .call(get_profile::v3::Request::new(user.to_owned()))
            .await
        {
            Ok(response) => Ok(response
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()),
            Err(error) if error.is_not_found() => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        }
    }

    /// Whether there is a profile of a user: of its own users a homeserver has one for
    /// every account (Synapse deletes it when the account is deactivated).
    ///
    /// # Errors
    /// See [`Error`]; `M_FORBIDDEN` where the homeserver does not tell.
    pub async fn has_profile(&self, user: &UserId) -> Result<bool, Error> {
        match self
            .call(get_profile::v3::Request::new(user.to_owned()))
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the user is logged in anywhere, or was and has not logged out. An account
    /// that is deactivated is nowhere (Synapse 1.163 deletes its devices).
    ///
    /// # Errors
    /// See [`Error`]; `M_FORBIDDEN` where the client may not act as this user.
    pub async fn has_devices(&self) -> Result<bool, Error> {
        let answer = self.call(get_devices::v3::Request::new()).await?;
        Ok(!answer.devices.is_empty())
    }

    /// Whether the homeserver says that the account is deactivated, which it does when
    /// somebody logs in (specification 1.17, Client-Server API, "Login",
    /// `M_USER_DEACTIVATED`). Where it is not, the login that was made for this ends at
    /// once.
    ///
    /// # Errors
    /// See [`Error`]; `M_FORBIDDEN` where the client may not act as this user, and what a
    /// homeserver says that lets appservices log nobody in.
    pub async fn is_deactivated(&self) -> Result<bool, Error> {
        let user = UserIdentifier::Matrix(MatrixUserIdentifier::new(self.user.to_string()));
        let how =
            login::v3::LoginInfo::ApplicationService(login::v3::ApplicationService::new(user));
        match self
            .transport
            .call(login::v3::Request::new(how), None)
            .await
        {
            Ok(session) => {
                let token = Secret::new(session.access_token);
                self.transport
                    .call_with(logout::v3::Request::new(), &token)
                    .await?;
                Ok(false)
            }
            Err(error) if error.code() == Some("M_USER_DEACTIVATED") => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Sets any field of the user's own profile (from v1.16 of the specification
    /// also fields of one's own naming, 64 KiB all together).
    ///
    /// # Errors
    /// `Kind::Request` if the value is not what the field holds.
    pub async fn set_profile_field(&self, field: &str, value: Value) -> Result<(), Error> {
        let value = ProfileFieldValue::new(field, value)
            .map_err(|_| self.unbuildable::<set_profile_field::v3::Request>("profile field"))?;
        self.call(set_profile_field::v3::Request::new(
            self.user_id().to_owned(),
            value,
        ))
        .await?;
        Ok(())
    }

    /// Says whether the user is there, and their status line. Synapse takes a user who
    /// does not sync to be offline after 30 s.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set_presence(
        &self,
        presence: Presence,
        status: Option<&str>,
    ) -> Result<(), Error> {
        use ruma::api::client::presence::set_presence::v3::Request;
        let mut request = Request::new(self.user_id().to_owned(), presence.as_str().into());
        request.status_msg = status.map(str::to_owned);
        self.call(request).await?;
        Ok(())
    }

    /// Removes a field of the user's own profile.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_profile_field(&self, field: &str) -> Result<(), Error> {
        self.call(delete_profile_field::v3::Request::new(
            self.user_id().to_owned(),
            ProfileFieldName::from(field),
        ))
        .await?;
        Ok(())
    }
}
