//! The door through which the App on Rocket.Chat brings commands (`/matrix …`).
//!
//! Who asks, and where, is the App's word: it is believed because each call is signed with a
//! secret that only the App and the bridge have, over its time and its body. A call that
//! comes again is answered as the first time and not carried out a second time.
//!
//! A command that changes something is written down before it is begun, and any other one
//! before its giver is told that the answer comes later: a kill delays it then, and loses
//! nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::oneshot;

use super::context::{Context, Door, Who};
use super::pace::Pace;
use super::{Bridge, Failure, derived};
use crate::clock::now_ms;
use crate::convert::to_rocketchat;
use crate::matrix::listener::{AppAnswer, AppCall};
use crate::retry::{Advice, Retryable as _};
use crate::rocketchat::documents::User;
use crate::rocketchat::{RocketRoomId, RocketUserId};
use crate::secret::Secret;
use crate::store::Asked as AskedCommand;

/// What people write before a command that the App brings.
const PREFIX: &str = "/matrix";

/// How far the clocks of the two servers may be apart.
const CLOCKS_APART: Duration = Duration::from_secs(300);

/// How many calls are remembered. Older ones are too old to be repeated, unless there are
/// more of them within [`CLOCKS_APART`] than some hundred people may give.
const REMEMBERED: usize = 20_000;

/// Longer commands are none.
const LONGEST: usize = 16 * 1024;

/// Longer ids are none.
const LONGEST_ID: usize = 100;

const UNDER_WAY: &str = "This takes a while: the answer comes in our direct message.";

/// After so long the person is told that the answer will come by itself. The App waits
/// longer, and the apps engine (10 seconds up to 1.46, in Rocket.Chat 6.13) longer still.
const PATIENCE: Duration = Duration::from_secs(6);

/// What the App sends.
#[derive(Debug, Deserialize)]
struct Asked {
    /// Another for every command that somebody gives.
    id: String,
    user_id: RocketUserId,
    /// The room that they have before them.
    #[serde(default)]
    room_id: Option<RocketRoomId>,
    #[serde(default)]
    words: String,
}

/// What was answered to the calls of the last minutes; of one that is still being worked,
/// nothing yet.
#[derive(Debug, Default)]
pub(super) struct Answered(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    answers: HashMap<String, Option<AppAnswer>>,
    order: VecDeque<(i64, String)>,
}

/// What is to be done with a call.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// Carry it out.
    Now,
    /// It was, and this was said.
    Answered(AppAnswer),
    /// It is being carried out.
    UnderWay,
}

fn in_ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl Answered {
    /// Notes that a call is being worked, unless it was before.
    fn begin(&self, asked: &Asked, now: i64) -> Turn {
        let mut remembered = self.lock();
        // A repeat is refused by its time before it is forgotten here.
        let oldest = now - 3 * in_ms(CLOCKS_APART);
        while let Some((at, id)) = remembered.order.front() {
            if *at >= oldest && remembered.order.len() < REMEMBERED {
                break;
            }
            let id = id.clone();
            remembered.order.pop_front();
            remembered.answers.remove(&id);
        }
        match remembered.answers.get(&asked.id) {
            Some(Some(answer)) => return Turn::Answered(answer.clone()),
            Some(None) => return Turn::UnderWay,
            None => {}
        }
        remembered.answers.insert(asked.id.clone(), None);
        remembered.order.push_back((now, asked.id.clone()));
        Turn::Now
    }

    fn end(&self, id: &str, answer: &AppAnswer) {
        if let Some(noted) = self.lock().answers.get_mut(id) {
            *noted = Some(answer.clone());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Remembered> {
        // Whoever panicked left complete entries.
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The secret that this bridge and its App share.
pub fn secret(as_token: &Secret) -> Secret {
    derived::app_secret(as_token)
}

/// The call, if the App made it, and lately.
fn believed(secret: &Secret, call: &AppCall, now: i64) -> bool {
    let Ok(time) = call.time.parse::<i64>() else {
        return false;
    };
    let apart = now.abs_diff(time);
    u128::from(apart) <= CLOCKS_APART.as_millis()
        && derived::app_signature(secret, &call.time, &call.body).matches(&call.signature)
}

impl Bridge {
    /// Does what somebody asks for through the App.
    pub(super) async fn app_command(self: &Arc<Self>, call: &AppCall) -> AppAnswer {
        let now = now_ms();
        if !believed(&secret(&self.registration.as_token), call, now) {
            tracing::warn!("refused a command: it is not signed by the App, or its clock is wrong");
            return AppAnswer::NotBelieved;
        }
        let asked = match serde_json::from_slice::<Asked>(&call.body) {
            Ok(asked) if asked.id.len() <= LONGEST_ID && asked.words.len() <= LONGEST => asked,
            _ => return AppAnswer::NotUnderstood,
        };
        match self.answered.begin(&asked, now) {
            Turn::Now => {}
            Turn::Answered(answer) => return answer,
            Turn::UnderWay => return AppAnswer::Said(UNDER_WAY.to_owned()),
        }
        let noted = self.noted(&asked, now);
        match self.store.is_asked(&noted.message) {
            Ok(false) => {}
            // An earlier run was given it.
            Ok(true) => return AppAnswer::Said(UNDER_WAY.to_owned()),
            Err(error) => {
                tracing::error!(%error, "whether a command was given before is not known")
            }
        }
        let (tell, told) = oneshot::channel();
        let (bridge, by_worker) = (Arc::clone(self), noted.clone());
        tokio::spawn(async move {
            let noted = by_worker;
            let (answer, is_noted) = bridge.work_call(&noted).await;
            let said = match &answer {
                Ok(answer) => AppAnswer::Said(to_rocketchat::plain_with_code(answer)),
                Err(too_many) => AppAnswer::TooMany(too_many.clone()),
            };
            bridge.answered.end(&asked.id, &said);
            let is_late = tell.send(said).is_err();
            if let (true, Ok(answer)) = (is_late, &answer) {
                bridge.tell_late(&noted, answer).await;
            }
            if (is_late || is_noted)
                && let Err(error) = bridge.store.note_answered(&noted, now_ms())
            {
                tracing::error!(%error, "it is not noted that a command was answered");
            }
        });
        match tokio::time::timeout(PATIENCE, told).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => AppAnswer::NotNow,
            Err(_) => {
                // What is promised here is kept across a kill.
                self.note_call(&noted).await;
                AppAnswer::Said(UNDER_WAY.to_owned())
            }
        }
    }

    /// A call as a command that is remembered until it is answered.
    fn noted(&self, asked: &Asked, now: i64) -> AskedCommand {
        AskedCommand {
            message: derived::late_answer_id(&self.registration.as_token, &asked.id),
            rid: (asked.room_id.clone()).unwrap_or_else(|| RocketRoomId::new("")),
            by: asked.user_id.clone(),
            words: asked.words.trim().to_owned(),
            at: now,
            to_bot: asked.room_id.is_none(),
            prefixed: true,
            call: Some(asked.id.clone()),
        }
    }

    /// Writes a call down, so that it is taken up again after a kill.
    async fn note_call(&self, noted: &AskedCommand) {
        let written = match self.store.take_asked(noted) {
            Ok(_) => self.store.flushed().await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::error!(%error, "a command that is under way is not written down");
        }
    }

    /// What came of a command, in words, or that it was one too many; and whether it is
    /// written down.
    async fn work_call(self: &Arc<Self>, noted: &AskedCommand) -> (Result<String, String>, bool) {
        let caller = Who::account_id(&noted.by);
        let call = noted.call.as_deref().unwrap_or_default();
        if self.pace(&caller, call) != Pace::Go {
            // Each call is answered: the App waits for it.
            return (Err(self.too_many_commands(Pace::TooMany)), false);
        }
        // What changes something is not left half done by a kill.
        let is_noted = (self.commands.given_by(&noted.words)).is_some_and(|given| given.changes);
        if is_noted {
            self.note_call(noted).await;
        }
        let done = self
            .persevere(async |_| {
                let rocket = self.rocket().await;
                let Some(account) = rocket.bot.user_by_id(&noted.by).await? else {
                    return Err(Failure::Refused(
                        "You have no account here any more.".into(),
                    ));
                };
                let context = self.context_of_call(noted, &account).await?;
                self.refuse_inactive(&context, &account, &noted.words)?;
                self.commands.run(self, &context, &noted.words).await
            })
            .await;
        let answer = match done {
            Ok(answer) => answer,
            Err(Failure::Refused(why)) => why,
            Err(failure) => {
                tracing::error!(%failure, "a command failed");
                failure.person_text()
            }
        };
        (Ok(answer), is_noted)
    }

    /// Who asks by a call, and where.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what to tell them when they may not.
    pub(super) async fn context_of_call(
        &self,
        noted: &AskedCommand,
        account: &User,
    ) -> Result<Context, Failure> {
        // A puppet's user has the door on Matrix.
        if self.store.behind_made_puppet(&noted.by)?.is_some() {
            return Err(Failure::Refused(
                "This account belongs to somebody on Matrix.".into(),
            ));
        }
        let rocket = self.rocket().await;
        // Not that with the bridge's account, which is nobody else's. A client may name
        // any room.
        let to_bot = super::direct::direct_id(rocket.bot.user_id(), &noted.by);
        let named = (!noted.to_bot && noted.rid != to_bot).then(|| noted.rid.clone());
        let rid = match named {
            Some(rid) => match rocket.bot.is_member(&rid, &noted.by).await {
                Ok(is_member) => is_member.then_some(rid),
                Err(error) if matches!(error.advice(), Advice::GiveUp) => {
                    self.unseen_room(noted, rid).await?
                }
                Err(error) => return Err(error.into()),
            },
            None => None,
        };
        Ok(Context {
            who: Who::of_account(account),
            door: Door::App,
            room: None,
            rid,
            id: noted.call.clone().unwrap_or_default(),
            event: None,
            prefix: PREFIX,
            unplaced: Vec::new(),
        })
    }

    /// The room of a call, one that the bridge's account does not see: a mirrored direct
    /// message of who asks.
    ///
    /// # Errors
    /// [`Failure::Refused`] for a command about another one.
    async fn unseen_room(
        &self,
        noted: &AskedCommand,
        rid: RocketRoomId,
    ) -> Result<Option<RocketRoomId>, Failure> {
        if let Some(portal) = self.store.own_portal(&rid)?
            && portal.kind.direct_peers().any(|peer| *peer == noted.by)
        {
            return Ok(Some(rid));
        }
        let given = self.commands.given_by(&noted.words);
        if given.is_none_or(|given| !given.is_about_room) {
            return Ok(None);
        }
        let account = self.rocket().await.bot.me().await?.username;
        let account = account.as_ref().map_or("", |name| name.as_str());
        Err(Failure::Refused(format!(
            "I am not in this room, and cannot tell what you may do in it. Into a private group invite me first, `@{account}`, and give the command again.",
        )))
    }

    /// Brings an answer that the App did not wait for.
    async fn tell_late(&self, noted: &AskedCommand, answer: &str) {
        let told = self
            .persevere(async |_| self.tell_answer(noted, answer, true).await)
            .await;
        if let Err(failure) = told {
            tracing::error!(%failure, "nobody could be told what came of a command");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(id: &str, user: &str) -> Asked {
        Asked {
            id: id.into(),
            user_id: RocketUserId::new(user),
            room_id: None,
            words: String::new(),
        }
    }

    #[test]
    fn a_call_is_carried_out_once() {
        let answered = Answered::default();
        let call = asked("one", "u");
        assert_eq!(answered.begin(&call, 1_000), Turn::Now);
        assert_eq!(answered.begin(&call, 1_001), Turn::UnderWay);
        let answer = AppAnswer::Said("Done.".into());
        answered.end("one", &answer);
        assert_eq!(answered.begin(&call, 2_000), Turn::Answered(answer));
        assert_eq!(answered.begin(&asked("two", "u"), 2_000), Turn::Now);
    }

    #[test]
    fn only_what_the_app_has_signed_lately_is_believed() {
        let secret = Secret::new("hush");
        let call = |time: &str, body: &[u8], signed: &[u8]| AppCall {
            time: time.into(),
            signature: derived::app_signature(&secret, time, signed)
                .expose()
                .to_owned(),
            body: body.to_vec(),
        };
        let now = 1_700_000_000_000;
        assert!(believed(&secret, &call("1700000000000", b"{}", b"{}"), now));
        assert!(!believed(
            &secret,
            &call("1700000000000", b"{ }", b"{}"),
            now
        ));
        assert!(!believed(
            &Secret::new("other"),
            &call("1700000000000", b"{}", b"{}"),
            now
        ));
        let late = now + in_ms(CLOCKS_APART);
        assert!(believed(
            &secret,
            &call("1700000000000", b"{}", b"{}"),
            late
        ));
        assert!(!believed(
            &secret,
            &call("1700000000000", b"{}", b"{}"),
            late + 1
        ));
        assert!(!believed(&secret, &call("", b"{}", b"{}"), now));
        let mut moved = call("1700000000000", b"{}", b"{}");
        moved.time = "1700000000001".into();
        assert!(!believed(&secret, &moved, now), "its time is signed, too");
    }
}
