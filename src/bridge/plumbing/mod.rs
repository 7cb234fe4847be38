//! Rooms that existed on both sides and are joined: proposed by whoever administers one of
//! them, approved by whoever administers the other.
//!
//! Nothing is done by one side alone. A proposal is written down
//! ([`crate::store::Proposal`]), told in the other room with a code, and lapses when nobody
//! answers. Whoever approves it must administer that room at that moment, and whoever
//! proposed it still theirs; both rooms are looked at anew, and what joining them means
//! must be what both have confirmed. Then it is noted that it takes effect, which is
//! resumed after an interruption, and both rooms are told.
//!
//! A code stands in a room where many read it: it tells proposals from each other and shows
//! that whoever answers has read the notice, and gives nobody a right. Guesses are limited
//! all the same.
//!
//! A room that was joined keeps what it is on both sides ([`crate::store::Portal::plumbed`]):
//! nobody gains anything in one by what they are in the other.
//!
//! * [`survey`], [`sides`]: what both rooms are like, and what follows.
//! * [`rights`]: who administers a room.
//! * [`propose`], [`decide`]: the two halves of an agreement.
//! * [`effect`]: it takes effect.
//! * [`over`]: what is left of a proposal when it is over.
//! * [`newcomers`]: the other rooms of a channel are told who reads along.
//! * [`words`]: what people are told.

mod decide;
mod effect;
mod newcomers;
mod over;
mod propose;
mod rights;
mod sides;
mod survey;
mod words;

pub(super) use sides::{Access, access_of, meaning_of_access};

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ruma::RoomId;
use serde_json::json;
use tokio::sync::{Notify, OwnedMutexGuard};

use super::keyed_lock::KeyedLock;
use super::{Bridge, Failure, derived, marker};
use crate::clock::now_ms;
use crate::convert::to_rocketchat;
use crate::rocketchat::RocketRoomId;
use crate::rocketchat::rest::OutgoingMessage;
use crate::store::{HowOver, Person, PortalId, Proposal, ProposalStage, Tried};

/// How many messages come to Matrix at most that were on Rocket.Chat before: about what
/// both servers carry over in a minute.
const HISTORY_MOST: usize = 1000;

/// How many proposals of one person may be open at once.
const OPEN_OF_A_PERSON: usize = 3;

/// How many proposals may be open at once to one room, those among them that were declined
/// in the last day: each is a notice there.
const OPEN_TO_A_ROOM: usize = 3;

/// How often one person may propose something in [`A_DAY_MS`], or have the bot enter a room
/// for that.
const A_DAY_OF_A_PERSON: usize = 12;

/// See [`A_DAY_OF_A_PERSON`].
const A_DAY_MS: i64 = 24 * 3600 * 1000;

/// For how long (ms) the same is not proposed again after those who decide said no.
const NOT_AGAIN_MS: i64 = 30 * A_DAY_MS;

/// How many wrong codes somebody may give in [`A_WHILE_MS`]. A code has 50 bits.
const WRONG_CODES: usize = 5;

/// See [`WRONG_CODES`].
const A_WHILE_MS: i64 = 3600 * 1000;

/// After how long it is looked at the latest whether a proposal has lapsed.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);

/// What somebody wishes besides the two rooms.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Only to be told what would happen.
    pub dry_run: bool,
    /// What is on Rocket.Chat already comes to Matrix too.
    pub history: bool,
    /// The words by which they confirm what it brings with it.
    pub confirmed: BTreeSet<String>,
    /// The command as they would write it, without what confirms something.
    pub command: String,
}

/// What is kept of proposals only while the bridge runs.
pub(super) struct Plumbing {
    /// Held while a proposal is made, answered or takes effect, by its two rooms.
    deciding: KeyedLock<(String, String)>,
    /// Held while something is counted.
    counting: Mutex<()>,
    /// Wakes the task that looks for what has lapsed.
    news: Notify,
}

impl Plumbing {
    pub(super) fn new() -> Self {
        Self {
            deciding: KeyedLock::new(),
            counting: Mutex::default(),
            news: Notify::new(),
        }
    }
}

/// The key under which what somebody did lately is kept.
fn key_of(person: &Person) -> String {
    match person {
        Person::Matrix(user) => user.to_string(),
        // No Matrix id starts like this.
        Person::RocketChat { id, .. } => format!("rocketchat {id}"),
    }
}

fn pair(proposal: &Proposal) -> (String, String) {
    (proposal.room_id.to_string(), proposal.rid.to_string())
}

impl Bridge {
    /// Held, after `making_portal`, while it is decided of which portal a Matrix room that
    /// the bridge has not made is to be.
    pub(super) async fn take_room(&self, room: &RoomId) -> OwnedMutexGuard<()> {
        // No room on Rocket.Chat is called like that.
        let of_room = (room.to_string(), String::new());
        self.plumbing.deciding.lock(&of_room).await
    }

    /// How often somebody has tried something after that moment (ms).
    fn tried(&self, by: &Person, what: Tried, since: i64) -> Result<usize, Failure> {
        Ok(self.store.tries(&key_of(by))?.count(what, since))
    }

    /// Counts that somebody tries something. It is on disk before it is answered: a restart
    /// gives nobody new tries.
    async fn count_try(&self, by: &Person, what: Tried) -> Result<(), Failure> {
        let who = key_of(by);
        let now = now_ms();
        {
            let counting = self.plumbing.counting.lock();
            let _alone = counting.unwrap_or_else(PoisonError::into_inner);
            let tries = self.store.tries(&who)?.with(what, now, now - A_DAY_MS);
            self.store.change().tries(&who, &tries).commit()?;
        }
        Ok(self.store.flushed().await?)
    }
}

/// A code: ten characters that are not mistaken for one another.
fn new_code() -> String {
    const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    let bytes: [u8; 10] = rand::random();
    bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect()
}

/// A code as it was given out, whatever somebody has made of it on the way.
fn code_in(words: &str) -> String {
    words
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_uppercase())
        .collect()
}

impl Bridge {
    /// Takes up what an earlier run has not brought to its end, and looks for what lapses
    /// for as long as the bridge runs.
    pub(super) fn look_after_proposals(self: &Arc<Self>) {
        tokio::spawn(Arc::clone(self).watch_proposals());
    }

    async fn watch_proposals(self: Arc<Self>) {
        for proposal in self.store.proposals() {
            if matches!(proposal.stage, ProposalStage::Accepted { .. }) {
                self.go_on_joining(&proposal);
            }
        }
        for portal in self.store.newcomers() {
            self.introduce(portal);
        }
        loop {
            // What is to be said needs both servers.
            self.rocket().await;
            for proposal in self.store.proposals() {
                let done = self.persevere(|_| self.look_at_proposal(&proposal)).await;
                if let Err(failure) = done {
                    tracing::warn!(room = %proposal.room_id, rid = %proposal.rid, %failure, "a proposal could not be looked after");
                }
            }
            for entered in self.store.entered_rooms() {
                let done = self.persevere(|_| self.look_at_entered(&entered.room_id));
                if let Err(failure) = done.await {
                    tracing::warn!(room = %entered.room_id, %failure, "a room that was entered in order to ask could not be left");
                }
            }
            self.forget_what_is_old();
            let now = now_ms();
            let next = self.store.proposals().iter().map(|one| one.until).min();
            let wait = next.map_or(BETWEEN_LOOKS, |next| {
                let wait = u64::try_from(next - now).unwrap_or_default();
                Duration::from_millis(wait.max(1000)).min(BETWEEN_LOOKS)
            });
            let _ = tokio::time::timeout(wait, self.plumbing.news.notified()).await;
        }
    }

    /// Brings a proposal to its end that was interrupted, or has lapsed.
    async fn look_at_proposal(self: &Arc<Self>, proposal: &Proposal) -> Result<(), Failure> {
        let _alone = self.plumbing.deciding.lock(&pair(proposal)).await;
        let known = self.store.proposal(&proposal.room_id, &proposal.rid)?;
        let Some(proposal) = known.filter(|known| known.code == proposal.code) else {
            return Ok(());
        };
        let proposal = &proposal;
        match proposal.stage {
            ProposalStage::Accepted { .. } => Ok(()),
            // Whoever gives a command holds the lock until that is through: it was killed.
            ProposalStage::Entering => self.drop_proposal(proposal).await,
            ProposalStage::Open if proposal.until <= now_ms() => {
                let text = format!(
                    "Nobody has answered the proposal to join this room with {}: it has lapsed.",
                    self.other_of(proposal).await
                );
                self.tell_proposer(proposal, "lapsed", &text).await?;
                self.end_proposal(proposal, HowOver::Lapsed).await
            }
            ProposalStage::Open if !proposal.told => self.ask_other_room(proposal).await,
            ProposalStage::Open => Ok(()),
        }
    }

    fn forget_what_is_old(&self) {
        if let Err(error) = self.store.forget_tries(now_ms() - A_DAY_MS) {
            tracing::warn!(%error, "old tries could not be forgotten");
        }
        self.forget_how_proposals_ended();
        let old = now_ms() - NOT_AGAIN_MS;
        for declined in self.store.declined() {
            if declined.at < old
                && let Err(error) = self.store.change().no_declined(&declined).commit()
            {
                tracing::warn!(%error, "an old refusal could not be forgotten");
            }
        }
    }

    /// What the room of the other side is called, seen from who proposed it.
    async fn other_of(&self, proposal: &Proposal) -> String {
        if proposal.is_for_matrix() {
            return format!("the room {} on Matrix", proposal.room_id);
        }
        let rocket = self.rocket().await;
        let room = rocket.bot.room_as_admin(&proposal.rid).await;
        let name = room.ok().flatten();
        let name = name.as_ref().and_then(|room| room.display_name());
        format!(
            "{} on Rocket.Chat",
            words::bounded(name.unwrap_or(proposal.rid.as_str()))
        )
    }

    /// Tells the room of whoever made a proposal what came of it. Where that cannot be
    /// told it is not.
    async fn tell_proposer(
        &self,
        proposal: &Proposal,
        purpose: &str,
        text: &str,
    ) -> Result<(), Failure> {
        let told = match proposal.is_for_matrix() {
            true => self.tell_plumbed_channel(proposal, purpose, text).await,
            false => self.tell_plumbed_room(proposal, purpose, text).await,
        };
        match told {
            Err(failure) if failure.is_permanent() => {
                tracing::info!(room = %proposal.room_id, rid = %proposal.rid, %failure, "what came of a proposal could not be told");
                Ok(())
            }
            told => told,
        }
    }

    /// Says something of a proposal in its Matrix room, once for each purpose.
    async fn tell_plumbed_room(
        &self,
        proposal: &Proposal,
        purpose: &str,
        text: &str,
    ) -> Result<(), Failure> {
        let mut content = json!({ "msgtype": "m.notice", "body": text, "m.mentions": {} });
        marker::stamp_as_own(&mut content);
        let room: &RoomId = &proposal.room_id;
        let made = proposal.made.to_string();
        let parts = ["plumbing", made.as_str(), purpose];
        let portal = PortalId::further(&proposal.rid, room);
        let txn = derived::state_notice_id(&portal, &parts);
        let bot = self.matrix.bot();
        bot.send(room, "m.room.message", &content, &txn, None)
            .await?;
        Ok(())
    }

    /// Says something of a proposal in its room on Rocket.Chat, once for each purpose.
    async fn tell_plumbed_channel(
        &self,
        proposal: &Proposal,
        purpose: &str,
        text: &str,
    ) -> Result<(), Failure> {
        let key = &self.registration.as_token;
        let rid: &RocketRoomId = &proposal.rid;
        let of = format!("{} {rid} {} {purpose}", proposal.room_id, proposal.made);
        let id = derived::plumbing_id(key, &of);
        let text = to_rocketchat::plain_with_code(text);
        let message = OutgoingMessage {
            id: &id,
            rid,
            msg: &text,
            tmid: None,
            alias: None,
            avatar: None,
            emoji: None,
        };
        self.rocket().await.bot.send_message(&message).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_long_and_read_in_any_shape() {
        let code = new_code();
        assert_eq!(code.len(), 10);
        assert_ne!(code, new_code());
        assert_eq!(code_in(&format!(" `{}` ", code.to_lowercase())), code);
    }
}
