//! The Matrix users that stand for Rocket.Chat users.

use ruma::{OwnedUserId, RoomId, UserId};

use super::{Bridge, Failure};
use crate::matrix::Intent;
use crate::rocketchat::Username;
use crate::rocketchat::documents::{User, UserRef};
use crate::store::{Ghost, Portal, StoreError};

impl Bridge {
    /// Acts as a ghost.
    pub(super) fn as_ghost(&self, ghost: &Ghost) -> Intent {
        self.matrix.as_user(ghost.user_id.clone())
    }

    /// The ghost of a Rocket.Chat user, made when there is none yet. Known by
    /// the user's immutable id: a username that changes hands never gives anyone
    /// another's ghost.
    pub(super) async fn ghost_of(&self, user: &UserRef) -> Result<Ghost, Failure> {
        let known = self.store.ghost(&user.id)?;
        if let (Some(ghost), Some(profile)) = (known, self.store.ghost_profile(&user.id)?) {
            self.doubt_name(user, &profile);
            return Ok(self.with_present_name(ghost, user)?);
        }
        let _one_at_a_time = self.making_ghost.lock(&user.id).await;
        let ghost = match self.store.ghost(&user.id)? {
            Some(ghost) => ghost,
            None => self.make_ghost(user).await?,
        };
        // Perhaps an earlier attempt was interrupted before it came to this.
        if self.store.ghost_profile(&user.id)?.is_none() {
            self.name_ghost(&ghost, user).await?;
        }
        Ok(ghost)
    }

    async fn make_ghost(&self, user: &UserRef) -> Result<Ghost, Failure> {
        let username = user
            .username
            .as_ref()
            .map_or(user.id.as_str(), |name| name.as_str());
        // Held until the choice is written down: two people with one name at the same
        // moment must not get the same.
        let choosing = self.choosing_localpart.lock().await;
        let ghost = Ghost {
            rocket_id: user.id.clone(),
            user_id: self.choose_user_id(user, username)?,
            username: username.to_owned(),
        };
        self.as_ghost(&ghost).register().await?;
        self.store.change().ghost(&ghost).commit()?;
        drop(choosing);
        tracing::info!(ghost = %ghost.user_id, "a ghost is there");
        Ok(ghost)
    }

    /// Notes under which name a ghost's person is seen now: it is how they are
    /// mentioned on Rocket.Chat.
    pub(super) fn with_present_name(
        &self,
        mut ghost: Ghost,
        user: &UserRef,
    ) -> Result<Ghost, StoreError> {
        if let Some(name) = &user.username
            && name.as_str() != ghost.username
        {
            ghost.username = name.as_str().to_owned();
            self.store.change().ghost(&ghost).commit()?;
        }
        Ok(ghost)
    }

    /// The username at first sight; where another person's ghost has it, with
    /// the user's id behind it.
    pub(super) fn choose_user_id(
        &self,
        user: &UserRef,
        username: &str,
    ) -> Result<OwnedUserId, Failure> {
        let prefix = &self.config.appservice.ghost_prefix;
        let plain = first_choice(prefix, username, user.id.as_str());
        let mut localpart = plain.clone();
        // A name may be chosen to look like another's with the id behind it.
        for attempt in 0_u32.. {
            match self.store.ghost_by_localpart(&localpart)? {
                Some(taken) if taken.rocket_id != user.id => {}
                _ => break,
            }
            let id = localpart_of(user.id.as_str());
            localpart = match attempt {
                0 => format!("{plain}_{id}"),
                _ => format!("{plain}_{id}_{attempt}"),
            };
        }
        UserId::parse(format!(
            "@{localpart}:{}",
            self.config.homeserver.server_name
        ))
        .map_err(|_| {
            Failure::Refused(format!(
                "The name of the Rocket.Chat user {} does not fit into a Matrix id.",
                user.id
            ))
        })
    }

    /// The Rocket.Chat user that a ghost's Matrix id stands for, also when the
    /// ghost has not been made: then the user with that name who has no other
    /// ghost yet. None for puppets, for those of Rocket.Chat's own federation, and
    /// when there is no such person.
    pub(super) async fn person_behind(&self, ghost: &UserId) -> Result<Option<User>, Failure> {
        let rocket = self.rocket().await;
        let localpart = ghost.localpart();
        let user = match self.store.ghost_by_localpart(localpart)? {
            Some(known) => rocket.bot.user_by_id(&known.rocket_id).await?,
            None => {
                let Some(username) = username_of(localpart, &self.config.appservice.ghost_prefix)
                else {
                    return Ok(None);
                };
                let found = rocket.bot.user_named(&username).await?;
                match found {
                    Some(user) if self.store.ghost(&user.id)?.is_none() => Some(user),
                    _ => None,
                }
            }
        };
        let Some(user) = user else { return Ok(None) };
        let is_person = user.active
            && !user.federated
            && user.id != *rocket.bot.user_id()
            && self.store.behind_puppet(&user.id)?.is_none();
        Ok(is_person.then_some(user))
    }

    /// Makes sure that a ghost is in a portal's Matrix room.
    pub(super) async fn bring_ghost_in(
        &self,
        portal: &Portal,
        ghost: &Ghost,
    ) -> Result<(), Failure> {
        if self
            .store
            .is_ghost_in_room(&portal.room_id, &ghost.user_id)?
        {
            return Ok(());
        }
        self.join_ghost(portal, &portal.room_id, ghost).await
    }

    /// Brings a ghost in, whatever is noted about it.
    pub(super) async fn join_ghost(
        &self,
        portal: &Portal,
        room: &RoomId,
        ghost: &Ghost,
    ) -> Result<(), Failure> {
        self.enter_room(portal, room, ghost, None).await
    }

    /// Brings a ghost in of which the homeserver says that it is not there,
    /// although it may have joined.
    pub(super) async fn join_ghost_anew(
        &self,
        portal: &Portal,
        ghost: &Ghost,
    ) -> Result<(), Failure> {
        let reason = format!("to speak at {}", crate::clock::now_ms());
        self.enter_room(portal, &portal.room_id, ghost, Some(&reason))
            .await
    }

    async fn enter_room(
        &self,
        portal: &Portal,
        room: &RoomId,
        ghost: &Ghost,
        reason: Option<&str>,
    ) -> Result<(), Failure> {
        let intent = self.as_ghost(ghost);
        let joining = self.joining(ghost);
        match intent.join(room, reason).await {
            Ok(()) => {}
            Err(error) if error.is_forbidden() => {
                // The bot, or of several in a direct message another ghost.
                let inviter = self.reader(portal).await?;
                if inviter.user_id() == ghost.user_id {
                    return Err(error.into());
                }
                inviter.invite(room, &ghost.user_id, None).await?;
                intent.join(room, reason).await?;
            }
            Err(error) => return Err(error.into()),
        }
        self.joined(ghost, &joining);
        self.store
            .change()
            .ghost_in_room(room, &ghost.user_id)
            // Of somebody who was gone: whether they are is found out anew, since these
            // may have been old words.
            .no_departure(&ghost.rocket_id)
            .commit()?;
        Ok(())
    }
}

/// A username as part of a Matrix localpart: lower-cased, since Rocket.Chat's
/// names are unique regardless of case, and with what a localpart may not hold
/// as `=` and hexadecimal digits (Matrix specification 1.17, Appendices,
/// "Mapping from other character sets").
pub(super) fn localpart_of(username: &str) -> String {
    use std::fmt::Write as _;
    let mut localpart = String::with_capacity(username.len());
    for byte in username.to_lowercase().bytes() {
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
        {
            localpart.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(localpart, "={byte:02x}");
        }
    }
    localpart
}

/// The localpart of a ghost, if nobody has it. A Matrix id has at most 255 bytes
/// (specification 1.17, Appendices, "User identifiers"); a name that does not fit
/// well into that gives way to the user's id.
fn first_choice(prefix: &str, username: &str, id: &str) -> String {
    const LONGEST: usize = 120;
    let name = localpart_of(username);
    if name.len() <= LONGEST {
        format!("{prefix}{name}")
    } else {
        format!("{prefix}{}", localpart_of(id))
    }
}

/// The username that [`localpart_of`] made a localpart from.
pub(super) fn username_of(localpart: &str, prefix: &str) -> Option<Username> {
    let escaped = localpart.strip_prefix(prefix)?;
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'=' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    Username::parse(String::from_utf8(bytes).ok()?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_username_becomes_a_localpart_and_back() {
        assert_eq!(localpart_of("alice"), "alice");
        assert_eq!(localpart_of("Alice.B-c_d"), "alice.b-c_d");
        assert_eq!(localpart_of("zoë"), "zo=c3=ab");
        let back = username_of("_rocketchat_zo=c3=ab", "_rocketchat_").unwrap();
        assert_eq!(back.as_str(), "zoë");
    }

    #[test]
    fn what_no_username_gives_is_no_username() {
        for wrong in [
            "_rocketchat_",
            "_rocketchat_=",
            "_rocketchat_=zz",
            "_rocketchat_=ff",
            "other",
        ] {
            assert!(username_of(wrong, "_rocketchat_").is_none(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_username_makes_a_valid_user_id(name in "\\PC{1,60}") {
            let localpart = first_choice("_rocketchat_", &name, "s7t6Ru9KzWhPPtxu6");
            let id = format!("@{localpart}:example.org");
            prop_assert!(UserId::parse(&id).is_ok(), "{}", id);
        }
    }
}
