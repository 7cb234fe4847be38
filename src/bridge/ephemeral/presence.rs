//! Who is there, where the administrator wants it shown.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ruma::{OwnedUserId, UserId};

use super::in_time;
use super::latest::Due;
use crate::bridge::{Bridge, Failure};
use crate::matrix::listener::Presence;
use crate::rocketchat::RocketUserId;
use crate::rocketchat::rest::{Present, Status};
use crate::store::StoreError;

/// Between two changes of the same puppet.
pub(super) const BETWEEN: Duration = Duration::from_secs(10);

/// Between two looks at who of Rocket.Chat is there.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// So many people are asked for, and set, at a look.
const AT_A_LOOK: usize = 10;

/// So many wait to be asked for.
const MOST_WAITING: usize = 1_000;

/// Synapse takes a ghost, which never syncs, to be gone after 30 s: it is set again.
const SET_AGAIN: Duration = Duration::from_secs(25);

/// So many are set again at a look.
const AGAIN_AT_A_LOOK: usize = 5;

/// So many ghosts are shown as there at once: as many as can be set again in time.
const MOST_THERE: usize = 125;

/// People of Rocket.Chat on their way to Matrix.
#[derive(Debug, Default)]
pub(super) struct ToMatrix {
    /// Those of whom there are news.
    news: Mutex<HashSet<RocketUserId>>,
    /// Everybody is to be asked for: news may have been missed.
    everybody: AtomicBool,
}

impl ToMatrix {
    fn lock(&self) -> MutexGuard<'_, HashSet<RocketUserId>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, id: RocketUserId) {
        let mut news = self.lock();
        if news.len() < MOST_WAITING {
            news.insert(id);
        }
    }

    fn take(&self, most: usize) -> Vec<RocketUserId> {
        let mut news = self.lock();
        let some: Vec<_> = news.iter().take(most).cloned().collect();
        for id in &some {
            news.remove(id);
        }
        some
    }
}

/// A ghost that is shown as there.
struct There {
    ghost: OwnedUserId,
    presence: Presence,
    status: Option<String>,
    set: Instant,
}

impl Bridge {
    /// The homeserver says whether somebody is there.
    pub(super) fn presence_on_matrix(
        &self,
        user: OwnedUserId,
        presence: Presence,
        status: Option<String>,
    ) -> Result<(), StoreError> {
        if !self.config.bridge.presence.to_rocketchat()
            || self.config.is_ours(&user)
            || self.store.puppet(&user)?.is_none()
        {
            return Ok(());
        }
        let now = Instant::now();
        self.ephemerals
            .presence_to_rocket
            .change(|latest| latest.put(user, (presence, status), now));
        Ok(())
    }

    /// Rocket.Chat says that somebody came or went.
    pub(in crate::bridge) fn presence_on_rocketchat(&self, id: &RocketUserId) {
        if self.config.bridge.presence.to_matrix() {
            self.ephemerals.presence_to_matrix.add(id.clone());
        }
    }

    /// News of who came and went may have been missed.
    pub(in crate::bridge) fn compare_presence(&self) {
        let compare = &self.ephemerals.presence_to_matrix.everybody;
        compare.store(true, Ordering::Relaxed);
    }

    pub(super) async fn show_presence_on_rocketchat(self: Arc<Self>) {
        let desk = &self.ephemerals.presence_to_rocket;
        loop {
            let next = desk.lock().next(Instant::now());
            match next {
                Due::Tell(user, (presence, status)) => {
                    self.tell_rocketchat_presence(&user, presence, status.as_deref())
                        .await;
                }
                Due::Wait(until) => desk.wait(Some(until)).await,
                Due::Idle => desk.wait(None).await,
            }
        }
    }

    async fn tell_rocketchat_presence(
        &self,
        user: &UserId,
        presence: Presence,
        text: Option<&str>,
    ) {
        if !self.rocket_gate.is_open() || self.rocket_if_there().is_none() {
            return;
        }
        let status = match presence {
            Presence::Online => Status::Online,
            Presence::Unavailable => Status::Away,
            Presence::Offline => Status::Offline,
        };
        let text = text.unwrap_or_default();
        let telling = async {
            // Somebody's own account says itself whether they are there.
            match self.store.puppet(user)?.filter(|puppet| !puppet.own) {
                Some(puppet) => {
                    self.as_puppet(&puppet, |session| async move {
                        session.set_status(status, text).await
                    })
                    .await
                }
                None => Ok(()),
            }
        };
        in_time::<_, Failure>("presence", telling).await;
    }

    pub(super) async fn show_presence_on_matrix(self: Arc<Self>) {
        let mut there: HashMap<RocketUserId, There> = HashMap::new();
        loop {
            tokio::time::sleep(BETWEEN_LOOKS).await;
            if !self.matrix_gate.is_open()
                || !self.rocket_gate.is_open()
                || self.rocket_if_there().is_none()
            {
                continue;
            }
            self.find_everybody(&there).await;
            if let Err(error) = self.look_who_is_there(&mut there).await {
                tracing::error!(%error, "the store fails; who is there is not shown");
            }
            let mut old: Vec<_> = there
                .values_mut()
                .filter(|one| one.set.elapsed() >= SET_AGAIN)
                .collect();
            old.sort_by_key(|one| one.set);
            for one in old.into_iter().take(AGAIN_AT_A_LOOK) {
                self.set_ghost_presence(&one.ghost, one.presence, one.status.as_deref())
                    .await;
                one.set = Instant::now();
            }
        }
    }

    /// Where news may have been missed: all who are there now, or were when somebody
    /// looked last.
    async fn find_everybody(&self, there: &HashMap<RocketUserId, There>) {
        let news = &self.ephemerals.presence_to_matrix;
        if !news.everybody.swap(false, Ordering::Relaxed) {
            return;
        }
        let rocket = self.rocket().await;
        let Some(present) = in_time("presence", rocket.bot.present(&[])).await else {
            news.everybody.store(true, Ordering::Relaxed);
            return;
        };
        let people = present.into_keys().chain(there.keys().cloned());
        people
            .filter(|id| matches!(self.store.ghost(id), Ok(Some(_))))
            .for_each(|id| news.add(id));
    }

    async fn look_who_is_there(
        &self,
        there: &mut HashMap<RocketUserId, There>,
    ) -> Result<(), StoreError> {
        let mut ghosts = Vec::new();
        for id in self.ephemerals.presence_to_matrix.take(AT_A_LOOK) {
            // Those without a ghost, and puppets, are nobody's concern.
            if let Some(ghost) = self.store.ghost(&id)? {
                ghosts.push((id, ghost.user_id));
            }
        }
        if ghosts.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = ghosts.iter().map(|(id, _)| id.clone()).collect();
        let rocket = self.rocket().await;
        let Some(mut present) = in_time("presence", rocket.bot.present(&ids)).await else {
            return Ok(());
        };
        for (id, ghost) in ghosts {
            let (presence, status) = on_matrix(present.remove(&id));
            let was = there.get(&id);
            let is_same = match was {
                Some(was) => was.presence == presence && was.status == status,
                None => false,
            };
            let is_full = was.is_none() && there.len() >= MOST_THERE;
            if is_same || (is_full && presence != Presence::Offline) {
                continue;
            }
            self.set_ghost_presence(&ghost, presence, status.as_deref())
                .await;
            if presence == Presence::Offline {
                there.remove(&id);
            } else {
                let set = Instant::now();
                let one = There {
                    ghost,
                    presence,
                    status,
                    set,
                };
                there.insert(id, one);
            }
        }
        Ok(())
    }

    async fn set_ghost_presence(&self, ghost: &UserId, presence: Presence, status: Option<&str>) {
        let ghost = self.matrix.as_user(ghost.to_owned());
        in_time("presence", ghost.set_presence(presence, status)).await;
    }
}

/// What Matrix has for it. Whoever is busy is best left alone.
fn on_matrix(present: Option<Present>) -> (Presence, Option<String>) {
    match present {
        Some((Status::Online, text)) => (Presence::Online, text),
        Some((Status::Away | Status::Busy, text)) => (Presence::Unavailable, text),
        Some((Status::Offline, _)) | None => (Presence::Offline, None),
    }
}
