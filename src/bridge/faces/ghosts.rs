//! People of Rocket.Chat on Matrix: names and pictures of ghosts.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::pictures::{MatrixPicture, hash_of, sniffed};
use super::{Face, is_first};
use crate::bridge::{Bridge, Failure};
use crate::convert::to_matrix::shown_name;
use crate::rocketchat::documents::{User, UserRef};
use crate::rocketchat::{RocketUserId, Username};
use crate::store::{Ghost, GhostProfile, MirroredPicture, StoreError};

/// For how long a name in a document that is not the ghost's is not looked into again.
const DOUBTED_FOR: Duration = Duration::from_secs(600);

/// How long it is waited when a new picture is told of and the old one served.
const UNTIL_SERVED: Duration = Duration::from_secs(2);

/// A name in a document that was looked into.
pub(super) struct Doubt {
    name: String,
    at: Instant,
}

/// How a person on Rocket.Chat was when they were looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    name: String,
    etag: Option<String>,
}

impl Look {
    fn at(user: &User) -> Self {
        Self {
            name: name_of(user.name.as_deref(), user.username.as_ref(), &user.id),
            etag: user.avatar_etag.clone(),
        }
    }

    fn is_shown_by(&self, profile: &GhostProfile) -> bool {
        profile.name.as_deref() == Some(&self.name) && profile.etag == self.etag
    }
}

/// What a ghost is called.
fn name_of(name: Option<&str>, username: Option<&Username>, id: &RocketUserId) -> String {
    let username = username.map_or(id.as_str(), Username::as_str);
    match shown_name(name, username) {
        nothing if nothing.is_empty() => id.as_str().to_owned(),
        shown => shown,
    }
}

impl Bridge {
    /// Gives a ghost its name, before it says anything. Its picture comes later.
    pub(in crate::bridge) async fn name_ghost(
        &self,
        ghost: &Ghost,
        user: &UserRef,
    ) -> Result<(), Failure> {
        // Whoever is only named in a document comes without a display name.
        let asked = match &user.name {
            Some(_) => None,
            None => self.rocket().await.bot.user_by_id(&user.id).await?,
        };
        let name = user
            .name
            .as_deref()
            .or(asked.as_ref().and_then(|asked| asked.name.as_deref()));
        let name = name_of(name, user.username.as_ref(), &user.id);
        let named = self.as_ghost(ghost).set_display_name(Some(&name)).await;
        match &named {
            Ok(()) => tracing::debug!(ghost = %ghost.user_id, "it has a name"),
            // Tried again, while messages go on.
            Err(error) => {
                tracing::warn!(ghost = %ghost.user_id, %error, "a ghost has no display name yet");
            }
        }
        self.store.amend_ghost_profile(&user.id, |profile| {
            profile.name = named.is_ok().then_some(name);
        })?;
        self.faces.of_rocketchat.add(Face::Person(user.id.clone()));
        Ok(())
    }

    /// Looks into it when a document calls somebody otherwise than their ghost. It may
    /// be an old document: names in them stay as they were.
    pub(in crate::bridge) fn doubt_name(&self, user: &UserRef, profile: &GhostProfile) {
        let Some(name) = &user.name else { return };
        let name = name_of(Some(name), user.username.as_ref(), &user.id);
        if profile.name.as_ref() == Some(&name) {
            return;
        }
        let mut doubted = self
            .faces
            .doubted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_news = doubted
            .get(&user.id)
            .is_none_or(|doubt| doubt.name != name || doubt.at.elapsed() > DOUBTED_FOR);
        if is_news {
            let at = Instant::now();
            doubted.insert(user.id.clone(), Doubt { name, at });
            self.faces.of_rocketchat.add(Face::Person(user.id.clone()));
        }
    }

    /// Somebody's name has changed.
    pub(in crate::bridge) fn name_changed(&self, id: &RocketUserId) {
        // When the store fails the look tells so.
        if !matches!(self.store.ghost(id), Ok(None)) {
            self.faces.of_rocketchat.add(Face::Person(id.clone()));
        }
    }

    /// Looks at a person by their user name. The bridge's puppets, whose pictures it
    /// sets itself, and people without a ghost concern nobody.
    pub(super) async fn find_named(&self, username: &str) -> Result<(), Failure> {
        let rocket = self.rocket().await;
        let username = Username::new(username);
        if let Some(user) = rocket.bot.user_by_username(&username).await?
            && self.store.ghost(&user.id)?.is_some()
        {
            self.faces.of_rocketchat.add(Face::Person(user.id));
        }
        Ok(())
    }

    /// Asks for a look at somebody who is not as their ghost shows them.
    pub(super) fn compare_ghost(&self, user: &User) -> Result<(), StoreError> {
        if !user.active || self.store.ghost(&user.id)?.is_none() {
            return Ok(());
        }
        let look = Look::at(user);
        let profile = self.store.ghost_profile(&user.id)?.unwrap_or_default();
        let given_up = self
            .faces
            .given_up
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !look.is_shown_by(&profile) && given_up.get(&user.id) != Some(&look) {
            self.faces.of_rocketchat.add(Face::Person(user.id.clone()));
        }
        Ok(())
    }

    /// Shows somebody as they are now. Whoever is deactivated or gone stays as they
    /// were.
    pub(super) async fn show_ghost(&self, id: &RocketUserId) -> Result<(), Failure> {
        let Some(ghost) = self.store.ghost(id)? else {
            return Ok(());
        };
        let Some(user) = self.rocket().await.bot.user_by_id(id).await? else {
            return Ok(());
        };
        if !user.active || user.federated {
            return Ok(());
        }
        let ghost = self.with_present_name(ghost, &UserRef::from(&user))?;
        let look = Look::at(&user);
        let profile = self.store.ghost_profile(id)?.unwrap_or_default();
        // The one does not wait for the other.
        let named = self.show_name(&ghost, &profile, &look).await;
        let pictured = self.show_picture(&ghost, &profile, &user).await;
        let shown = named.and(pictured);
        if let Err(failure) = &shown
            && failure.is_permanent()
        {
            self.faces
                .given_up
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(id.clone(), look);
        }
        shown
    }

    async fn show_name(
        &self,
        ghost: &Ghost,
        profile: &GhostProfile,
        look: &Look,
    ) -> Result<(), Failure> {
        if profile.name.as_ref() == Some(&look.name) {
            return Ok(());
        }
        let change = self.faces.changing.begin(&ghost.user_id);
        let intent = self.as_ghost(ghost);
        intent.set_display_name(Some(&look.name)).await?;
        drop(change);
        self.store
            .amend_ghost_profile(&ghost.rocket_id, |profile| {
                profile.name = Some(look.name.clone());
            })?;
        tracing::debug!(ghost = %ghost.user_id, "it has another name");
        self.compare_directs_with(&ghost.rocket_id);
        Ok(())
    }

    async fn show_picture(
        &self,
        ghost: &Ghost,
        profile: &GhostProfile,
        user: &User,
    ) -> Result<(), Failure> {
        if profile.etag == user.avatar_etag {
            return Ok(());
        }
        let mut picture = None;
        if let (Some(_), Some(username)) = (&user.avatar_etag, &user.username) {
            let rocket = self.rocket().await;
            let mut served = rocket.bot.avatar(username).await?;
            // The one before, or letters: perhaps it is on its way still.
            if served
                .as_ref()
                .is_none_or(|served| is_same(served, profile))
            {
                tokio::time::sleep(UNTIL_SERVED).await;
                served = rocket.bot.avatar(username).await?;
            }
            let Some(served) = served else {
                if is_first(&self.faces.told_of_letters) {
                    tracing::warn!(
                        "Rocket.Chat does not show a picture that somebody has: does something in between take cookies away?"
                    );
                }
                return Ok(());
            };
            picture = sniffed(served);
        }
        let intent = self.as_ghost(ghost);
        let change = self.faces.changing.begin(&ghost.user_id);
        let shown = match picture {
            Some(picture) if is_same(&picture.bytes, profile) => profile.picture.clone(),
            Some(picture) => {
                let shown = self.bring_picture(picture).await?;
                if let Some(shown) = &shown {
                    intent.set_avatar_url(Some(&shown.mxc)).await?;
                }
                shown
            }
            None => None,
        };
        if shown.is_none() && profile.picture.is_some() {
            intent.set_avatar_url(None).await?;
        }
        drop(change);
        self.store
            .amend_ghost_profile(&ghost.rocket_id, |profile| {
                profile.etag = user.avatar_etag.clone();
                profile.picture = shown;
            })?;
        tracing::debug!(ghost = %ghost.user_id, "its picture is as on Rocket.Chat");
        self.compare_directs_with(&ghost.rocket_id);
        Ok(())
    }

    /// Brings a picture to Matrix; none when the homeserver does not take it.
    pub(super) async fn bring_picture(
        &self,
        picture: MatrixPicture,
    ) -> Result<Option<MirroredPicture>, Failure> {
        let MatrixPicture {
            bytes,
            media_type,
            hash,
            ..
        } = picture;
        match self.matrix.bot().upload(bytes, media_type).await {
            Ok(mxc) => Ok(Some(MirroredPicture { mxc, hash })),
            Err(error) if error.is_request_too_large() => {
                tracing::warn!(%error, "a picture is not on Matrix");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn is_same(picture: &[u8], profile: &GhostProfile) -> bool {
    let shown = profile.picture.as_ref();
    shown.is_some_and(|shown| shown.hash == hash_of(picture))
}
