//! People of Matrix on Rocket.Chat: names and pictures of puppets.
//!
//! A Matrix user has one profile, and a copy of it in each room, which they may change
//! there. What counts is the profile: a change of it is told in every room, and carried
//! over once; a name for one room changes nothing.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use ruma::UserId;
use serde_json::Value;

use super::pictures::NotShown;
use super::{is_first, lacks_rights};
use crate::bridge::{Bridge, Failure};
use crate::convert::to_rocketchat::allowed_name;
use crate::rocketchat::documents::User;
use crate::rocketchat::rest::UserChanges;
use crate::store::{Puppet, PuppetProfile, StoreError};

/// A profile of Matrix, as far as it is carried over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Profile {
    display_name: Option<String>,
    avatar_url: Option<String>,
}

impl Profile {
    fn read<'a>(field: impl Fn(&str) -> Option<&'a Value>) -> Self {
        let text = |key| {
            let text = field(key).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Self {
            display_name: text("displayname"),
            avatar_url: text("avatar_url"),
        }
    }

    fn is_carried_over(&self, known: &PuppetProfile) -> bool {
        known.is_known
            && known.display_name == self.display_name
            && known.avatar_url == self.avatar_url
    }
}

/// What the puppet of somebody is called who calls themselves so, or not at all.
pub(in crate::bridge) fn puppet_name(
    display_name: Option<&str>,
    user: &UserId,
    username: &str,
) -> String {
    display_name
        .and_then(allowed_name)
        .or_else(|| allowed_name(user.localpart()))
        .unwrap_or_else(|| username.to_owned())
}

impl Bridge {
    /// Somebody does something for the first time in this run: their profile may have
    /// changed while nobody listened.
    pub(in crate::bridge) fn compare_when_first_active(&self, user: &UserId) {
        let mut active = self
            .faces
            .active
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !active.contains(user) {
            active.insert(user.to_owned());
            self.faces.of_matrix.add(user.to_owned());
        }
    }

    /// A room's copy of somebody's profile is there anew. Where it is another than
    /// what was carried over, the profile itself is looked at.
    pub(in crate::bridge) fn note_member(
        &self,
        user: &UserId,
        content: &Value,
    ) -> Result<(), StoreError> {
        if self.store.puppet(user)?.is_none() {
            return Ok(());
        }
        let copy = Profile::read(|key| content.get(key));
        if copy.is_carried_over(&self.store.puppet_profile(user)?) {
            return Ok(());
        }
        // Written down: the event is not worked again when the bridge is killed now.
        let change = |profile: &mut PuppetProfile| profile.changes += 1;
        self.store.amend_puppet_profile(user, change)?;
        self.faces.of_matrix.add(user.to_owned());
        Ok(())
    }

    /// Gives a puppet the name and picture that its user has now.
    pub(super) async fn show_puppet(&self, user: &UserId) -> Result<(), Failure> {
        // Of one that is not in use now, it is looked at when it is again; somebody's own
        // account has the face that they gave it.
        let Some(puppet) = self.store.puppet(user)?.filter(|puppet| !puppet.own) else {
            return Ok(());
        };
        let known = self.store.puppet_profile(user)?;
        let found = self.profile_of(user).await?;
        let profile = Profile::read(|key| found.get(key));
        if !profile.is_carried_over(&known) {
            let rocket = self.rocket().await;
            let id = &puppet.credentials.user_id;
            let Some(account) = rocket.bot.user_by_id(id).await? else {
                return Ok(());
            };
            // Whoever was put aside by an administrator stays as they are.
            if !account.active {
                return Ok(());
            }
            // The one does not wait for the other.
            let named = self
                .carry_name_over(&puppet, &account, &known, &profile)
                .await;
            let pictured = self
                .carry_picture_over(&puppet, &account, &known, &profile)
                .await;
            named.and(pictured)?;
            self.faces.told_of_rights.store(false, Ordering::Relaxed);
        }
        self.store.amend_puppet_profile(user, |stored| {
            stored.is_known = true;
            // Whatever was said since then is looked at next.
            stored.changes -= known.changes.min(stored.changes);
        })?;
        Ok(())
    }

    /// Somebody's profile on Matrix. A homeserver may show it only to those who share a
    /// room with them: in a direct message that is the ghost.
    async fn profile_of(&self, user: &UserId) -> Result<BTreeMap<String, Value>, Failure> {
        let refused = match self.matrix.bot().profile(user).await {
            Err(error) if error.is_forbidden() => error,
            outcome => return Ok(outcome?),
        };
        let mut portals = self.store.portals().into_iter();
        let shared = portals.find(|portal| portal.kind.direct_users().any(|of| of == user));
        match shared {
            Some(portal) => Ok(self.reader(&portal).await?.profile(user).await?),
            None => Err(refused.into()),
        }
    }

    async fn carry_name_over(
        &self,
        puppet: &Puppet,
        account: &User,
        known: &PuppetProfile,
        profile: &Profile,
    ) -> Result<(), Failure> {
        if known.is_known && known.display_name == profile.display_name {
            return Ok(());
        }
        let name = puppet_name(
            profile.display_name.as_deref(),
            &puppet.matrix_id,
            &puppet.username,
        );
        if account.name.as_ref() != Some(&name) {
            let changes = UserChanges {
                name: Some(&name),
                bio: account.bio.as_deref(),
                nickname: account.nickname.as_deref(),
                ..UserChanges::default()
            };
            let rocket = self.rocket().await;
            match rocket.bot.users_update(&account.id, &changes).await {
                Ok(_) => tracing::debug!(puppet = puppet.username, "it has another name"),
                Err(error) => {
                    let failure = Failure::from(error);
                    if !failure.is_permanent() || lacks_rights(&failure) {
                        return Err(failure);
                    }
                    // This name it will never take.
                    tracing::warn!(puppet = puppet.username, %failure, "keeps its name");
                }
            }
        }
        self.store
            .amend_puppet_profile(&puppet.matrix_id, |stored| {
                stored.display_name = profile.display_name.clone();
            })?;
        Ok(())
    }

    async fn carry_picture_over(
        &self,
        puppet: &Puppet,
        account: &User,
        known: &PuppetProfile,
        profile: &Profile,
    ) -> Result<(), Failure> {
        if known.is_known && known.avatar_url == profile.avatar_url {
            return Ok(());
        }
        let rocket = self.rocket().await;
        let picture = match &profile.avatar_url {
            None => None,
            Some(url) => match self.picture_of_matrix(url).await {
                Ok(picture) => Some(picture),
                Err(NotShown::Failed(failure)) => return Err(failure),
                Err(why) => {
                    tracing::warn!(
                        puppet = puppet.username,
                        %why,
                        "has no picture: its user's cannot be shown on Rocket.Chat"
                    );
                    None
                }
            },
        };
        let has_one = account.avatar_etag.is_some() || known.avatar_url.is_some();
        match picture {
            Some(picture) => {
                let set = rocket
                    .bot
                    .set_avatar(&account.id, picture.bytes, picture.media_type)
                    .await;
                set?;
                tracing::debug!(puppet = puppet.username, "it has another picture");
            }
            None if has_one => {
                rocket.bot.reset_avatar(&account.id).await?;
                tracing::debug!(puppet = puppet.username, "it has no picture any more");
            }
            None => {}
        }
        self.store
            .amend_puppet_profile(&puppet.matrix_id, |stored| {
                stored.avatar_url = profile.avatar_url.clone();
            })?;
        Ok(())
    }

    /// Says that a profile was not carried over; what an administrator has to mend is
    /// said once.
    pub(super) fn report_puppet(&self, user: &UserId, failure: &Failure) {
        if !lacks_rights(failure) {
            tracing::warn!(%user, %failure, "the name or picture on Rocket.Chat may be an old one");
        } else if is_first(&self.faces.told_of_rights) {
            tracing::error!(
                %failure,
                "Rocket.Chat does not let the bridge change names and pictures of its puppets: the bridge's account needs edit-other-user-info and edit-other-user-avatar (role admin has them), and a personal access token made with \"ignore two factor authentication\""
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_puppet_is_called_after_its_user_whatever_they_call_themselves() {
        let user = user_id!("@dora:example.org");
        let name = |display_name| puppet_name(display_name, user, "mx_dora_example.org");
        assert_eq!(name(Some("Dora")), "Dora");
        assert_eq!(name(Some("\u{202e}")), "dora");
        assert_eq!(name(None), "dora");
    }

    #[test]
    fn what_a_profile_lacks_is_nothing_and_so_is_what_is_odd_or_empty() {
        let content = json!({ "displayname": "", "avatar_url": 5 });
        let profile = Profile::read(|key| content.get(key));
        assert_eq!(profile, Profile::default());
        let nothing = PuppetProfile::default();
        assert!(!profile.is_carried_over(&nothing), "never looked at");
        let known = PuppetProfile {
            is_known: true,
            ..nothing
        };
        assert!(profile.is_carried_over(&known));
    }
}
