//! Finding people and rooms.

use ruma::api::client::directory::get_public_rooms_filtered;
use ruma::api::client::user_directory::search_users;
use ruma::directory::Filter;
use ruma::{OwnedRoomAliasId, OwnedUserId, UInt};

use super::Intent;
use crate::matrix::error::Error;

/// Somebody who was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundUser {
    /// Who.
    pub user_id: OwnedUserId,
    /// As they call themselves.
    pub display_name: Option<String>,
}

/// A room that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRoom {
    /// How it is joined.
    pub alias: OwnedRoomAliasId,
    /// Its name.
    pub name: Option<String>,
    /// How many people are in it, as the homeserver says.
    pub members: UInt,
}

impl Intent {
    /// People in the homeserver's directory, of whom it shows those whom this user may see.
    ///
    /// # Errors
    /// `M_FORBIDDEN` where the directory is switched off.
    pub async fn find_users(&self, text: &str, most: u32) -> Result<Vec<FoundUser>, Error> {
        let mut request = search_users::v3::Request::new(text.to_owned());
        request.limit = most.into();
        let response = self.call(request).await?;
        Ok(response
            .results
            .into_iter()
            .map(|user| FoundUser {
                user_id: user.user_id,
                display_name: user.display_name,
            })
            .collect())
    }

    /// Rooms in the homeserver's public directory that have an alias.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn find_public_rooms(&self, text: &str, most: u32) -> Result<Vec<FoundRoom>, Error> {
        let mut filter = Filter::new();
        filter.generic_search_term = Some(text.to_owned());
        let mut request = get_public_rooms_filtered::v3::Request::new();
        request.limit = Some(most.into());
        request.filter = filter;
        let response = self.call(request).await?;
        Ok(response
            .chunk
            .into_iter()
            .filter_map(|room| {
                Some(FoundRoom {
                    alias: room.canonical_alias?,
                    name: room.name,
                    members: room.num_joined_members,
                })
            })
            .collect())
    }
}
