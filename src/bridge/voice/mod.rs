//! With which account something of a Matrix user is done on Rocket.Chat: with their own
//! there, the puppet, or with the bridge's, under a name that says for whom it speaks (the
//! relay). The one place that decides it.
//!
//! * [`seats`]: Rocket.Chat has no seat for another account.
//! * [`rights`]: what somebody may do for whom the bridge's account acts. It has more
//!   rights than they, and lends none.
//! * [`shown`]: under which name and picture it speaks.
//! * [`reactions`]: who is behind its reactions.
//! * [`setting`]: what somebody sets for a room.

mod reactions;
mod rights;
mod seats;
mod setting;
mod shown;

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ruma::{OwnedUserId, RoomId, UserId};

use super::{Bridge, Failure};
use crate::config::Relaying;
use crate::rocketchat::rest::{Credentials, Session};
use crate::rocketchat::{self, RocketUserId};
use crate::secret::Secret;
use crate::store::{InboxEvent, Message, Portal, PortalKind, Puppet, Rest, StoreError};
pub(super) use seats::is_no_seat;
pub use setting::RelayStatus;
pub(super) use shown::Shown;

/// What a person is told who would have to have an account for something.
const NO_ACCOUNT: &str = "You have no account of your own in this room on Rocket.Chat: what you write appears there through the bridge's account, which does nothing else for you.";

/// Who acts on Rocket.Chat for a Matrix user.
#[derive(Debug, Clone)]
pub(in crate::bridge) enum Voice {
    /// Their own account.
    Puppet(Puppet),
    /// The bridge's.
    Relay(Relay),
}

/// The bridge's account, acting for somebody.
#[derive(Debug, Clone)]
pub(in crate::bridge) struct Relay {
    /// For whom.
    user: OwnedUserId,
    /// The account.
    account: RocketUserId,
}

impl Voice {
    /// The account.
    pub(in crate::bridge) fn account(&self) -> &RocketUserId {
        match self {
            Self::Puppet(puppet) => &puppet.credentials.user_id,
            Self::Relay(relay) => &relay.account,
        }
    }

    /// Whether it is the person's own account, with which they may do something themselves.
    pub(in crate::bridge) fn is_own(&self) -> bool {
        matches!(self, Self::Puppet(puppet) if puppet.own)
    }

    /// Whether it is the bridge's account.
    pub(in crate::bridge) fn is_relay(&self) -> bool {
        matches!(self, Self::Relay(_))
    }
}

/// What holds for somebody in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// They have an account.
    Account,
    /// They have one, unless Rocket.Chat has no seat for it.
    AccountIfSeat,
    /// The bridge's account speaks for them.
    Relay,
}

/// What holds in a room by what somebody has set for it and by the configuration, for a
/// user of the own homeserver or of another.
fn rule(set: Option<bool>, configured: Relaying, is_own: bool) -> Rule {
    match (set, configured) {
        (Some(true), _) => Rule::Relay,
        (Some(false), _) | (None, Relaying::Never) => Rule::Account,
        (None, Relaying::OtherHomeservers) if !is_own => Rule::Relay,
        (None, Relaying::NoSeat | Relaying::OtherHomeservers) => Rule::AccountIfSeat,
        (None, Relaying::Everybody) => Rule::Relay,
    }
}

/// What is known of the relay in this run.
#[derive(Debug, Default)]
pub(super) struct Voices {
    seats: seats::Seats,
    names: shown::Names,
    /// Whose account was deleted and has no seat to be made again.
    without_account: Mutex<HashSet<OwnedUserId>>,
}

impl Voices {
    /// Lets it be asked anew whether there is a seat.
    pub(super) fn seat_may_be_free(&self) {
        self.seats.may_be_free();
    }

    /// Whether Rocket.Chat has said lately that it has no seat.
    pub(super) fn seats_are_taken(&self) -> bool {
        self.seats.are_taken()
    }

    /// Rocket.Chat says that it has no seat.
    pub(super) fn no_seat_for_now(&self) {
        self.seats.note_taken();
    }

    /// Rocket.Chat has no seat for an account that was deleted.
    pub(super) fn account_is_gone(&self, user: &UserId) {
        self.seats.note_taken();
        self.gone().insert(user.to_owned());
    }

    /// Somebody has an account.
    pub(super) fn account_is_there(&self, user: &UserId) {
        self.gone().remove(user);
    }

    fn gone(&self) -> MutexGuard<'_, HashSet<OwnedUserId>> {
        let gone = self.without_account.lock();
        gone.unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets it be asked anew whether the bridge's account may speak under other names.
    pub(super) fn forget_names(&self) {
        self.names.forget();
    }
}

impl Bridge {
    fn speaks_by(&self, portal: &Portal, user: &UserId) -> Result<Rule, StoreError> {
        // Who is in a direct message is fixed, and the bridge's account never is.
        if portal.kind.is_direct() {
            return Ok(Rule::Account);
        }
        // Who has an account of their own, and has proved it, speaks with that.
        if self.store.linked_user(user)?.is_some() && !self.speaks_as_before(portal, user)? {
            return Ok(Rule::Account);
        }
        self.rule_without_link(portal, user)
    }

    fn rule_without_link(&self, portal: &Portal, user: &UserId) -> Result<Rule, StoreError> {
        let set = self.store.room_relay(&portal.id)?.set;
        let is_own = user.server_name() == self.config.homeserver.server_name;
        Ok(rule(set, self.config.bridge.relay, is_own))
    }

    /// Whether somebody who has linked an account speaks in a room as if they had not: a
    /// private one in which they are by right, and in which that account is no member. Only
    /// somebody on Rocket.Chat can add it there.
    pub(in crate::bridge) fn speaks_as_before(
        &self,
        portal: &Portal,
        user: &UserId,
    ) -> Result<bool, StoreError> {
        let is_closed = portal.kind == PortalKind::Group || self.is_private(portal)?;
        if !is_closed
            || self.store.linked_user(user)?.is_none()
            || self.store.is_puppet_in_room(&portal.id, user)?
        {
            return Ok(false);
        }
        match portal.plumbed {
            // Whose right it is to be there is for the people of both rooms; an account that
            // the bridge makes comes in only for those who have none.
            true => Ok(self.rule_without_link(portal, user)? == Rule::Relay),
            false => self.store.is_admitted(&portal.id, user),
        }
    }

    /// Whether the bridge's account speaks for somebody in a room by configuration or
    /// because somebody has set it so.
    pub(in crate::bridge) fn is_relayed(
        &self,
        portal: &Portal,
        user: &UserId,
    ) -> Result<bool, StoreError> {
        Ok(self.speaks_by(portal, user)? == Rule::Relay)
    }

    /// Who speaks for a Matrix user in a room from now on. Their account is made at need.
    ///
    /// # Errors
    /// What [`Bridge::puppet_of`] gives.
    pub(in crate::bridge) async fn voice_in(
        &self,
        portal: &Portal,
        user: &UserId,
    ) -> Result<Voice, Failure> {
        let as_before =
            self.speaks_as_before(portal, user)? && !self.is_seen_there(portal, user).await?;
        let rule = self.speaks_by(portal, user)?;
        if rule == Rule::Relay {
            return self.relay_for(user).await;
        }
        if rule == Rule::Account {
            return Ok(Voice::Puppet(match as_before {
                true => self.made_puppet_of(user).await?,
                false => self.puppet_in(portal, user).await?,
            }));
        }
        let rests = self.store.rest(user)? == Some(Rest::Resting);
        let is_gone = self.voices.gone().contains(user);
        let known = match as_before {
            true => self.store.made_puppet(user)?,
            false => self.store.puppet(user)?,
        };
        let is_there = known.is_some() && !rests && !is_gone;
        if !is_there && (rests || self.voices.seats.are_taken()) {
            self.tell_of_seats(portal).await?;
            return self.relay_for(user).await;
        }
        let puppet = match as_before {
            true => self.made_puppet_of(user).await,
            false => self.puppet_of(user).await,
        };
        match puppet {
            Ok(puppet) => {
                if !is_there {
                    self.no_longer_told_of_seats(portal)?;
                }
                Ok(Voice::Puppet(puppet))
            }
            Err(failure) if seats::is_no_seat(&failure) => {
                self.voices.seats.note_taken();
                self.tell_of_seats(portal).await?;
                self.relay_for(user).await
            }
            Err(failure) => Err(failure),
        }
    }

    /// Whether the own account of somebody is in a room by now, which nobody has noted yet:
    /// after it was linked, or added.
    async fn is_seen_there(&self, portal: &Portal, user: &UserId) -> Result<bool, Failure> {
        let Some(own) = self.store.puppet(user)?.filter(|own| own.own) else {
            return Ok(false);
        };
        let is_there = self.is_member(portal, &own.credentials.user_id).await?;
        if is_there {
            self.note_puppet_in(portal, &own)?;
            // The puppet is to leave.
            self.compare_members(&portal.id);
        }
        Ok(is_there)
    }

    /// Who speaks for the sender of an event, which an earlier attempt may have settled:
    /// what is tried again is the same message.
    pub(in crate::bridge) async fn voice_for(
        &self,
        portal: &Portal,
        event: &InboxEvent,
    ) -> Result<Voice, Failure> {
        let (room, id) = (&portal.room_id, &event.event_id);
        let post = self.store.file_post(room, id)?;
        let moves_file = post.is_some();
        let begun = match post {
            Some(post) => Some(post.puppet),
            None => self
                .store
                .message_of_event(room, id)?
                .filter(|known| known.sender == event.sender)
                .and_then(|known| known.posted_by),
        };
        match begun {
            Some(account) if account == *self.rocket().await.bot.user_id() => {
                self.relay_for(&event.sender).await
            }
            // Who uploaded a file has to post it; words find what another account posted.
            Some(account) if !self.voices.gone().contains(&event.sender) => {
                let by_made = moves_file || self.speaks_as_before(portal, &event.sender)?;
                match self.store.made_puppet(&event.sender)? {
                    Some(made) if by_made && made.credentials.user_id == account => {
                        Ok(Voice::Puppet(made))
                    }
                    _ => Ok(Voice::Puppet(self.puppet_in(portal, &event.sender).await?)),
                }
            }
            _ => self.voice_in(portal, &event.sender).await,
        }
    }

    /// With which account a message of Matrix was posted, and so has to be edited and
    /// deleted.
    pub(in crate::bridge) async fn voice_of(&self, known: &Message) -> Result<Voice, Failure> {
        match &known.posted_by {
            Some(account) if account == self.rocket().await.bot.user_id() => {
                self.relay_for(&known.sender).await
            }
            _ => Ok(Voice::Puppet(self.poster_of(known).await?)),
        }
    }

    /// The account with which a Matrix user changes something about a room, for which the
    /// relay does not stand in.
    ///
    /// # Errors
    /// [`Failure::Refused`] for who has none there.
    pub(in crate::bridge) async fn account_in(
        &self,
        portal: &Portal,
        user: &UserId,
    ) -> Result<Puppet, Failure> {
        match self.voice_in(portal, user).await? {
            Voice::Puppet(puppet) => Ok(puppet),
            Voice::Relay(_) => {
                // Who came as a member stays one.
                let puppet = self.store.puppet(user)?;
                let is_in = self.store.is_puppet_in_room(&portal.id, user)?;
                puppet
                    .filter(|_| is_in)
                    .ok_or_else(|| Failure::Refused(NO_ACCOUNT.into()))
            }
        }
    }

    /// The same person's other account, if it is that one.
    pub(in crate::bridge) async fn other_voice(
        &self,
        voice: &Voice,
        account: &RocketUserId,
    ) -> Result<Option<Voice>, Failure> {
        let user = match voice {
            Voice::Puppet(puppet) => &puppet.matrix_id,
            Voice::Relay(relay) => &relay.user,
        };
        if account == self.rocket().await.bot.user_id() {
            return Ok(Some(self.relay_for(user).await?));
        }
        let now = self.store.puppet(user)?;
        let made = self.store.made_puppet(user)?;
        let known =
            (now.into_iter().chain(made)).find(|puppet| puppet.credentials.user_id == *account);
        if let Some(puppet) = known {
            return Ok(Some(Voice::Puppet(puppet)));
        }
        // One that was linked when an earlier attempt posted with it.
        let was_theirs = self.is_account_of(user, account)?;
        Ok(was_theirs.then(|| {
            Voice::Puppet(Puppet {
                matrix_id: user.clone(),
                username: String::new(),
                credentials: Credentials {
                    user_id: account.clone(),
                    token: Secret::none(),
                },
                own: true,
            })
        }))
    }

    /// Whether the bridge can act with that account now.
    pub(in crate::bridge) fn is_of_use(&self, voice: &Voice) -> bool {
        match voice {
            Voice::Puppet(puppet) => self.with_token(puppet).is_ok(),
            Voice::Relay(_) => true,
        }
    }

    /// Whether what somebody says in a Matrix room may go out without an account.
    pub(in crate::bridge) fn can_be_relayed(
        &self,
        room: &RoomId,
        user: &UserId,
    ) -> Result<bool, StoreError> {
        Ok(match self.store.portal_of_room(room)? {
            Some(portal) => self.speaks_by(&portal, user)? != Rule::Account,
            None => false,
        })
    }

    /// The bridge's account, to act for somebody.
    pub(in crate::bridge) async fn relay_for(&self, user: &UserId) -> Result<Voice, Failure> {
        Ok(Voice::Relay(Relay {
            user: user.to_owned(),
            account: self.rocket().await.bot.user_id().clone(),
        }))
    }

    /// Makes sure that somebody may speak in a room, before that is done: a puppet is
    /// brought in, whom the bridge's account speaks for is held to the rights that an
    /// ordinary member has.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell the person.
    pub(in crate::bridge) async fn come_in(
        &self,
        portal: &Portal,
        voice: &Voice,
    ) -> Result<(), Failure> {
        match voice {
            Voice::Puppet(puppet) => self.bring_puppet_in(portal, puppet).await,
            Voice::Relay(relay) => self.may_speak(portal, &relay.user, false).await,
        }
    }

    /// Acts with that account.
    pub(in crate::bridge) async fn as_voice<T, F, Fut>(
        &self,
        voice: &Voice,
        act: F,
    ) -> Result<T, Failure>
    where
        F: Fn(Session) -> Fut,
        Fut: Future<Output = Result<T, rocketchat::Error>>,
    {
        match voice {
            Voice::Puppet(puppet) => self.as_puppet(puppet, act).await,
            Voice::Relay(_) => Ok(act(self.rocket().await.bot.clone()).await?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_for_a_room_comes_before_the_configuration() {
        use Relaying::{Everybody, Never, NoSeat, OtherHomeservers};
        for configured in [Never, NoSeat, OtherHomeservers, Everybody] {
            for is_own in [true, false] {
                assert_eq!(rule(Some(true), configured, is_own), Rule::Relay);
                assert_eq!(rule(Some(false), configured, is_own), Rule::Account);
            }
        }
        let of = |configured| (rule(None, configured, true), rule(None, configured, false));
        assert_eq!(of(Never), (Rule::Account, Rule::Account));
        assert_eq!(of(NoSeat), (Rule::AccountIfSeat, Rule::AccountIfSeat));
        assert_eq!(of(OtherHomeservers), (Rule::AccountIfSeat, Rule::Relay));
        assert_eq!(of(Everybody), (Rule::Relay, Rule::Relay));
    }
}
