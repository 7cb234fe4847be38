//! Rooms of other homeservers that the bot or a ghost is to enter: because somebody there
//! invited them, or because an administrator of the bridge said so.
//!
//! Entering such a room needs another homeserver that is in it (specification 1.17,
//! Server-Server API, "Joining Rooms"), and which one answers is not in our hand. So
//! nobody waits for it: what was asked for is noted in the store first, then tried beside
//! all queues, again and again with growing pauses, also after a restart, until it
//! succeeds, is withdrawn, or those who could help say no.
//!
//! * [`asked`]: what is asked for, and taken back.
//! * [`candidates`]: which homeservers may help.
//! * [`places`]: who may try now, and how many may wait.
//! * [`attempt`]: one try, and what each of them said.
//! * [`told`]: what those who asked are told.

mod asked;
mod attempt;
mod candidates;
mod places;
mod told;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ruma::{OwnedRoomId, OwnedRoomOrAliasId, UserId};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::context::{Context, Door, Who};
use super::{Bridge, Failure};
use crate::clock::now_ms;
use crate::rocketchat::documents::UserRef;
use crate::store::{Accepted, InboxEvent, JoinAsked, RemoteJoin};
use attempt::Outcome;
pub(super) use candidates::{add, server_in};
use places::Places;
use told::entered;
pub use told::in_words;

/// The pause after the first try (ms); each is twice as long as the one before.
const FIRST_PAUSE_MS: i64 = 1_000;

/// The longest pause (ms).
const LONGEST_PAUSE_MS: i64 = 3_600_000;

/// Joins under way.
pub(super) struct RemoteJoins {
    /// Something was asked for, or is done.
    news: Notify,
    places: Mutex<Places>,
}

impl RemoteJoins {
    pub(super) fn new() -> Self {
        Self {
            news: Notify::new(),
            places: Mutex::default(),
        }
    }

    fn begin(&self, due: Vec<RemoteJoin>) -> Vec<RemoteJoin> {
        self.places().give(due)
    }

    fn ended(&self, join: &RemoteJoin) {
        self.places().take_back(join);
        self.news.notify_one();
    }

    fn places(&self) -> std::sync::MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept of an invitation: its sender decides how long the rest is.
fn in_short(event: &InboxEvent, json: &Value) -> Result<InboxEvent, Failure> {
    let mut short = json!({ "content": { "membership": "invite" } });
    for key in [
        "event_id",
        "room_id",
        "sender",
        "type",
        "state_key",
        "origin_server_ts",
    ] {
        if let Some(value) = json.get(key) {
            short[key] = value.clone();
        }
    }
    if let Some(is_direct) = json.pointer("/content/is_direct").and_then(Value::as_bool) {
        short["content"]["is_direct"] = is_direct.into();
    }
    let json = serde_json::value::to_raw_value(&short)
        .map_err(|_| Failure::Refused("The event cannot be read.".into()))?;
    Ok(InboxEvent {
        json,
        ..event.clone()
    })
}

/// For which of the notes of one user and one room a try counts: for the one that it was
/// made for. Whoever is inside meanwhile stays also when it was asked for anew: somebody
/// named more homeservers, or invited again.
fn counts_for(
    tried: &RemoteJoin,
    present: Option<RemoteJoin>,
    has_entered: bool,
) -> Option<RemoteJoin> {
    present.filter(|present| has_entered || present.asked_by() == tried.asked_by())
}

/// How long to wait after so many tries (ms): growing, and never the same for many.
fn pause_after(tries: u32) -> i64 {
    let doubled = 1_i64 << tries.saturating_sub(1).min(20);
    let full = FIRST_PAUSE_MS.saturating_mul(doubled).min(LONGEST_PAUSE_MS);
    full / 2 + i64::from(rand::random::<u16>()) * (full / 2) / i64::from(u16::MAX)
}

impl Bridge {
    /// Somebody of another homeserver invites the bot or a ghost: entering is noted and
    /// goes on beside the queues, and the invitation is worked again when it has
    /// succeeded. Whether that is so; otherwise whoever was invited can enter at once,
    /// or has.
    pub(super) async fn enters_from_afar(
        self: &Arc<Self>,
        event: &InboxEvent,
        json: &Value,
        invited: &UserId,
    ) -> Result<bool, Failure> {
        let room = &event.room_id;
        let ours = &self.config.homeserver.server_name;
        let is_inside = match *invited == *self.config.appservice.bot {
            true => self.store.is_bot_room(room)?,
            false => self.store.is_ghost_in_room(room, invited)?,
        };
        if is_inside
            || event.sender.server_name() == ours
            || self.store.portal_of_room(room)?.is_some()
        {
            return Ok(false);
        }
        let target = OwnedRoomOrAliasId::from(room.clone());
        let known = self.store.remote_join(invited, &target)?;
        if let Some(known) = &known
            && *known.asked_by() == event.event_id
        {
            return Ok(true);
        }
        let why_full = match known {
            // It takes the place of that.
            Some(_) => None,
            None => places::why_full(&self.store.remote_joins(), event.sender.server_name()),
        };
        if let Some(why) = why_full {
            tracing::warn!(%room, %invited, inviter = %event.sender, "too many invitations are waiting; declined");
            let intent = self.matrix.as_user(invited.to_owned());
            if self.config.is_ghost(invited) {
                intent.register().await?;
            }
            return match intent.leave(room, Some(why)).await {
                Err(error) if error.is_forbidden() || error.is_not_found() => Ok(true),
                outcome => Ok(outcome.map(|()| true)?),
            };
        }
        if self.config.is_ghost(invited) {
            let Some(person) = self.person_behind(invited).await? else {
                return Ok(false);
            };
            if *self.ghost_of(&UserRef::from(&person)).await?.user_id != *invited {
                return Ok(false);
            }
        }
        let mut via = candidates::of_invitation(ours, event, json);
        add(&mut via, known.into_iter().flat_map(|known| known.via));
        let join = RemoteJoin {
            user: invited.to_owned(),
            target,
            via,
            alias: candidates::alias_in(json),
            asked: JoinAsked::Invitation(in_short(event, json)?),
            tries: 0,
            next_at: 0,
            answers: Vec::new(),
        };
        self.store.change().remote_join(&join).commit()?;
        self.remote_joins.news.notify_one();
        Ok(true)
    }

    /// Looks after joins that were asked for, for as long as the bridge runs.
    pub(super) async fn watch_remote_joins(self: Arc<Self>) {
        loop {
            self.matrix_gate.opened().await;
            let now = now_ms();
            let joins = self.store.remote_joins().into_iter();
            let (due, later): (Vec<_>, Vec<_>) = joins.partition(|join| join.next_at <= now);
            let next = later.iter().map(|join| join.next_at).min();
            // The others hear of it when one of these is done.
            for join in self.remote_joins.begin(due) {
                tokio::spawn(Arc::clone(&self).work_join(join));
            }
            let wait = next.map(|next| Duration::from_millis((next - now).unsigned_abs()));
            let _ = tokio::time::timeout(
                wait.unwrap_or(Duration::from_secs(3600)),
                self.remote_joins.news.notified(),
            )
            .await;
        }
    }

    async fn work_join(self: Arc<Self>, join: RemoteJoin) {
        // In a task of its own: a panic must not leave it under way for ever.
        let work = tokio::spawn({
            let bridge = Arc::clone(&self);
            let join = join.clone();
            async move {
                if let Err(failure) = bridge.try_join(join).await {
                    tracing::error!(%failure, "a join could not be noted");
                    // It is tried again at once otherwise, and the store fails again.
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
            }
        });
        if work.await.is_err() {
            tracing::error!(user = %join.user, target = %join.target, "a join ended unexpectedly");
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        self.remote_joins.ended(&join);
    }

    /// Whether somebody who gave the command to join may do so now; yes for what was no
    /// command.
    async fn may_still_ask(&self, asked: &JoinAsked) -> Result<bool, Failure> {
        let (who, door, room) = match asked {
            JoinAsked::Invitation(_) | JoinAsked::Tombstone(_) => return Ok(true),
            JoinAsked::Command { caller, room, .. } => {
                (Who::Matrix(caller.clone()), Door::Matrix, Some(room))
            }
            JoinAsked::There { caller, .. } => {
                let rocket = self.rocket().await;
                let Some(account) = rocket.bot.user_by_id(caller).await? else {
                    return Ok(false);
                };
                if !account.active {
                    return Ok(false);
                }
                (Who::of_account(&account), Door::Text, None)
            }
        };
        let context = Context {
            who,
            door,
            room: room.cloned(),
            rid: None,
            id: String::new(),
            event: None,
            prefix: "",
            unplaced: Vec::new(),
        };
        Ok(self
            .rule_for(&context, "join")
            .unwrap_or_else(|| self.is_admin(&context)))
    }

    async fn try_join(self: &Arc<Self>, join: RemoteJoin) -> Result<(), Failure> {
        let Some(join) = self.still_asked(&join)? else {
            return Ok(());
        };
        if self.is_unsaid(&join.asked).await? {
            return self.withdraw_join(&join.user, &join.target).await.map(drop);
        }
        // Whoever gave the command could do so then.
        let outcome = match self.may_still_ask(&join.asked).await? {
            true => self.enter_elsewhere(&join).await,
            false => Outcome::Refused(Vec::new()),
        };
        let present = self.store.remote_join(&join.user, &join.target)?;
        let has_entered = matches!(outcome, Outcome::Entered(_));
        let Some(join) = counts_for(&join, present, has_entered) else {
            if let Outcome::Entered(room) = outcome {
                let intent = self.matrix.as_user(join.user.clone());
                let left = self.persevere(async |_| Ok(intent.leave(&room, None).await?));
                if let Err(failure) = left.await {
                    tracing::warn!(%room, %failure, "a room that was not to be entered any more could not be left");
                }
            }
            return Ok(());
        };
        match outcome {
            Outcome::Entered(room) => self.entered_elsewhere(&join, room).await,
            Outcome::Refused(answers) => {
                tracing::info!(user = %join.user, target = %join.target, answers = %in_words(&answers), "a room elsewhere cannot be entered");
                // First of all: whoever asked must hear of it.
                let why = format!("I could not enter; I asked {}.", in_words(&answers));
                self.told_refused(&join, &answers, &why).await?;
                let change = self.store.change();
                Ok(change.no_remote_join(&join.user, &join.target).commit()?)
            }
            Outcome::GivenUp(answers) => {
                tracing::warn!(user = %join.user, target = %join.target, tries = join.tries + 1, answers = %in_words(&answers), "nobody helps into a room elsewhere; an invitation is given up");
                let why = format!(
                    "I could not enter for days, and do not try any more; I asked {}. Invite me again when it can be reached.",
                    in_words(&answers)
                );
                self.told_refused(&join, &answers, &why).await?;
                let change = self.store.change();
                Ok(change.no_remote_join(&join.user, &join.target).commit()?)
            }
            Outcome::Later(answers) => {
                tracing::info!(user = %join.user, target = %join.target, tries = join.tries + 1, answers = %in_words(&answers), "a room elsewhere cannot be entered yet");
                let is_first = join.tries == 0;
                let mut join = join;
                join.tries = join.tries.saturating_add(1);
                join.next_at = now_ms() + pause_after(join.tries);
                join.answers = answers;
                self.store.change().remote_join(&join).commit()?;
                if is_first {
                    let mut text = format!(
                        "I cannot enter {} yet; I asked {}. I go on trying, less and less often",
                        join.target,
                        in_words(&join.answers),
                    );
                    match &join.asked {
                        JoinAsked::Command { .. } => text.push_str(&format!(
                            ", until it works or you say `!rc leave {}`.",
                            join.target
                        )),
                        JoinAsked::There { .. } => text.push_str(&format!(
                            ", until it works or you say `leave {}`.",
                            join.target
                        )),
                        _ => text.push('.'),
                    }
                    self.tell_caller(&join, "later", &text).await?;
                }
                Ok(())
            }
            // The gate wakes us.
            Outcome::HomeserverAway => Ok(()),
        }
    }

    /// The join as it is in the store, if it still is what was asked for.
    fn still_asked(&self, join: &RemoteJoin) -> Result<Option<RemoteJoin>, Failure> {
        let stored = self.store.remote_join(&join.user, &join.target)?;
        Ok(stored.filter(|stored| stored.asked_by() == join.asked_by()))
    }

    async fn entered_elsewhere(
        self: &Arc<Self>,
        join: &RemoteJoin,
        room: OwnedRoomId,
    ) -> Result<(), Failure> {
        tracing::info!(user = %join.user, %room, tries = join.tries + 1, "entered a room of another homeserver");
        match &join.asked {
            JoinAsked::Invitation(event) => {
                // Goes on in the room's queue, where an invitation is worked.
                let number = self.store.number();
                let change = self
                    .store
                    .change()
                    .no_remote_join(&join.user, &join.target)
                    .again(number, event);
                match *join.user == *self.config.appservice.bot {
                    true => change.bot_room(&room, true),
                    false => change.ghost_in_room(&room, &join.user),
                }
                .commit()?;
                let event = event.clone();
                self.take_in(&[Accepted { number, event }]);
            }
            JoinAsked::Tombstone(event) => {
                let number = self.store.number();
                self.store
                    .change()
                    .no_remote_join(&join.user, &join.target)
                    .no_awaited_upgrade(&room)
                    .again(number, event)
                    .commit()?;
                let event = event.clone();
                self.take_in(&[Accepted { number, event }]);
            }
            JoinAsked::Command { event, .. } | JoinAsked::There { event, .. } => {
                // It stays, also if it had come in order to ask something there.
                self.store.change().no_entered_room(&room).commit()?;
                let caller = match &join.asked {
                    JoinAsked::Command { caller, .. } => caller.to_string(),
                    // Nobody there is named to strangers.
                    _ => "somebody on Rocket.Chat".to_owned(),
                };
                let text = format!(
                    "I am the bridge to Rocket.Chat; {caller} asked me in. `!rc help` says what I do."
                );
                let greeted =
                    self.persevere(async |_| self.bot_says(&room, event, "greeting", &text).await);
                // Where not everybody may speak, nobody is greeted.
                if let Err(failure) = greeted.await {
                    tracing::info!(%room, %failure, "could not greet");
                }
                let text = entered(join);
                self.tell_caller(join, "entered", &text).await?;
                self.store
                    .change()
                    .no_remote_join(&join.user, &join.target)
                    .commit()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use ruma::{EventId, room_id, user_id};

    use super::*;

    fn invited(event: &'static str) -> RemoteJoin {
        let json = json!({});
        let event = InboxEvent {
            event_id: EventId::parse(event).unwrap(),
            room_id: room_id!("!r:a.org").to_owned(),
            sender: user_id!("@bob:a.org").to_owned(),
            kind: "m.room.member".into(),
            json: serde_json::value::to_raw_value(&json).unwrap(),
        };
        RemoteJoin {
            user: user_id!("@ghost:example.org").to_owned(),
            target: event.room_id.clone().into(),
            via: Vec::new(),
            alias: None,
            asked: JoinAsked::Invitation(event),
            tries: 0,
            next_at: 0,
            answers: Vec::new(),
        }
    }

    #[test]
    fn who_is_inside_stays_for_whoever_asked_meanwhile() {
        let (tried, again) = (invited("$one"), invited("$two"));
        let by = |join: Option<RemoteJoin>| join.map(|join| join.asked_by().to_string());
        let same = counts_for(&tried, Some(tried.clone()), false);
        assert_eq!(by(same).as_deref(), Some("$one"));
        let inside = counts_for(&tried, Some(again.clone()), true);
        assert_eq!(by(inside).as_deref(), Some("$two"));
        // What another was asked for is tried for itself.
        assert_eq!(by(counts_for(&tried, Some(again), false)), None);
        assert_eq!(by(counts_for(&tried, None, true)), None, "taken back");
    }

    #[test]
    fn little_is_kept_of_an_invitation_however_long_it_is() {
        let long = "x".repeat(60_000);
        let json = json!({
            "event_id": "$one", "room_id": "!r:a.org", "sender": "@bob:a.org",
            "type": "m.room.member", "state_key": "@ghost:example.org",
            "content": { "membership": "invite", "is_direct": true, "reason": long, "x": long },
            "unsigned": { "invite_room_state": [{ "type": "m.room.name", "content": { "name": long } }] },
        });
        let JoinAsked::Invitation(mut event) = invited("$one").asked else {
            panic!("an invitation");
        };
        event.json = serde_json::value::to_raw_value(&json).unwrap();
        let short = in_short(&event, &json).unwrap();
        let kept: Value = serde_json::from_str(short.json.get()).unwrap();
        let expected = json!({
            "event_id": "$one", "room_id": "!r:a.org", "sender": "@bob:a.org",
            "type": "m.room.member", "state_key": "@ghost:example.org",
            "content": { "membership": "invite", "is_direct": true },
        });
        assert_eq!(kept, expected);
    }

    #[test]
    fn pauses_grow_and_end_at_an_hour() {
        for tries in [1_u32, 2, 5, 12, 40, u32::MAX] {
            let full = 1_000_i64
                .saturating_mul(1 << (tries - 1).min(20))
                .min(LONGEST_PAUSE_MS);
            let pause = pause_after(tries);
            assert!((full / 2..=full).contains(&pause), "{tries}: {pause}");
        }
    }
}
