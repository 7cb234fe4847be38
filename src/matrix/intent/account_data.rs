//! What a user's clients keep on the homeserver.

use ruma::api::client::config::{get_global_account_data, set_global_account_data};
use ruma::serde::Raw;
use serde_json::Value;

use super::Intent;
use crate::matrix::error::Error;

impl Intent {
    /// The user's account data of that type, if there is any.
    ///
    /// # Errors
    /// `M_FORBIDDEN` for a user who is not ours to act as; see [`Error`].
    pub async fn account_data(&self, kind: &str) -> Result<Option<Value>, Error> {
        let request =
            get_global_account_data::v3::Request::new(self.user_id().to_owned(), kind.into());
        match self.call(request).await {
            Ok(response) => Ok(serde_json::from_str(response.account_data.json().get()).ok()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the user's account data of that type. Two who do so at once: the last one
    /// counts.
    ///
    /// # Errors
    /// As [`Intent::account_data`].
    pub async fn set_account_data(&self, kind: &str, content: &Value) -> Result<(), Error> {
        let content = Raw::from_json_string(content.to_string()).map_err(|_| {
            self.unbuildable::<set_global_account_data::v3::Request>("account data")
        })?;
        self.call(set_global_account_data::v3::Request::new_raw(
            self.user_id().to_owned(),
            kind.into(),
            content,
        ))
        .await?;
        Ok(())
    }
}
