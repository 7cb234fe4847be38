//! Who types, both ways.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ruma::{OwnedUserId, RoomId};
use tokio::sync::Semaphore;

use super::board::{Board, Next};
use super::{AT_ONCE, Desk, in_time};
use crate::bridge::{Bridge, Failure};
use crate::rocketchat::{RocketRoomId, Username};
use crate::store::{Ghost, Portal, PortalId, Puppet, StoreError};

/// How long Matrix shows somebody of Rocket.Chat, whose client says every 5 s that they
/// go on.
pub(super) const LASTS_ON_MATRIX: Duration = Duration::from_secs(20);

/// Rocket.Chat's clients forget somebody after this.
const LASTS_ON_ROCKETCHAT: Duration = Duration::from_secs(15);

/// How long somebody on Matrix is taken to type when the homeserver says nothing more: it
/// tells changes of the list only, and gives everybody up after two minutes at the most
/// who does not go on.
const LONGEST_ON_MATRIX: Duration = Duration::from_secs(300);

/// So many of those who type in a room of Matrix are looked at.
const MOST_LOOKED_AT: usize = 64;

/// How long it is believed whom a name means.
const BELIEVED_FOR: Duration = Duration::from_secs(300);

/// So many names are remembered.
const MOST_NAMES: usize = 1_000;

/// So many ghosts of a room are looked through for a display name.
const MOST_GHOSTS: usize = 2_000;

/// Longer names are no names.
const LONGEST_NAME: usize = 255;

/// A name, and where display names are shown the room in which it means somebody.
type Meant = (Option<PortalId>, String);

/// Whom names mean in what Rocket.Chat says of typing.
#[derive(Default)]
pub(in crate::bridge) struct Names {
    /// Whose ghost, and since when that is believed.
    people: Mutex<HashMap<Meant, (Instant, Option<Ghost>)>>,
    /// Under which name a puppet was shown where, and when last: what comes back of that.
    own: Mutex<HashMap<(RocketRoomId, String), Instant>>,
    /// The display names of puppets, where those are shown.
    of_puppets: Mutex<HashMap<OwnedUserId, (Instant, String)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a map of what is known since when within its bounds.
fn forget_old<K, V>(known: &mut HashMap<K, V>, since: impl Fn(&V) -> Instant, after: Duration) {
    if known.len() >= MOST_NAMES {
        known.retain(|_, value| since(value).elapsed() < after);
    }
    if known.len() >= MOST_NAMES {
        known.clear();
    }
}

impl Names {
    fn note_own(&self, rid: &RocketRoomId, name: &str) {
        let mut own = lock(&self.own);
        forget_old(&mut own, |at| *at, LASTS_ON_MATRIX);
        own.insert((rid.clone(), name.to_owned()), Instant::now());
    }

    fn is_own(&self, rid: &RocketRoomId, name: &str) -> bool {
        let key = (rid.clone(), name.to_owned());
        let shown = lock(&self.own).get(&key).copied();
        shown.is_some_and(|shown| shown.elapsed() < LASTS_ON_MATRIX)
    }
}

impl Bridge {
    /// The homeserver says who types in a room now.
    pub(super) fn typing_on_matrix(
        &self,
        room: &RoomId,
        users: Vec<OwnedUserId>,
    ) -> Result<(), StoreError> {
        if !self.config.bridge.typing.to_rocketchat() {
            return Ok(());
        }
        let Some(portal) = self.store.portal_of_room(room)? else {
            return Ok(());
        };
        let mut typing = Vec::new();
        let people = users.into_iter().filter(|user| !self.config.is_ours(user));
        for user in people.take(MOST_LOOKED_AT) {
            if self.has_puppet_in(&portal, &user)? && !self.is_relayed(&portal, &user)? {
                typing.push(user);
            }
        }
        let until = Instant::now() + LONGEST_ON_MATRIX;
        self.ephemerals.typing_to_rocket.change(|board| {
            board.only(&portal.id, &typing);
            for user in typing {
                board.types(portal.id.clone(), user, until);
            }
        });
        Ok(())
    }

    /// Rocket.Chat says that somebody does something in a room, or stopped.
    pub(in crate::bridge) fn activity_on_rocketchat(
        &self,
        rid: RocketRoomId,
        name: String,
        activities: &[String],
    ) {
        if !self.config.bridge.typing.to_matrix()
            || name.len() > LONGEST_NAME
            || self.ephemerals.names.is_own(&rid, &name)
        {
            return;
        }
        // Whoever records a voice message is about to say something too.
        let types = (activities.iter())
            .any(|activity| matches!(activity.as_str(), "user-typing" | "user-recording"));
        self.ephemerals.typing_to_matrix.change(|board| {
            if types {
                board.types(rid, name, Instant::now() + LASTS_ON_ROCKETCHAT);
            } else {
                board.stopped(rid, name);
            }
        });
    }

    pub(super) async fn show_typing_on_rocketchat(self: Arc<Self>) {
        work(
            &self,
            |bridge| &bridge.ephemerals.typing_to_rocket,
            |bridge, portal, user, typing| async move {
                bridge
                    .typing_to_rocketchat(&portal.rid(), user, typing)
                    .await
            },
        )
        .await;
    }

    pub(super) async fn show_typing_on_matrix(self: Arc<Self>) {
        work(
            &self,
            |bridge| &bridge.ephemerals.typing_to_matrix,
            |bridge, rid, name, typing| async move {
                bridge.typing_to_matrix(&rid, &name, typing).await
            },
        )
        .await;
    }

    /// Whether Rocket.Chat was told that a puppet types, or no longer does.
    async fn typing_to_rocketchat(
        &self,
        rid: &RocketRoomId,
        user: OwnedUserId,
        typing: bool,
    ) -> bool {
        if !self.rocket_gate.is_open() || self.rocket_if_there().is_none() {
            return false;
        }
        let telling = async {
            let Some(puppet) = self.store.puppet(&user)? else {
                return Ok(());
            };
            let name = self.shown_name_of(&puppet).await?;
            self.ephemerals.names.note_own(rid, &name);
            self.as_puppet(&puppet, |session| {
                let name = name.clone();
                async move { session.show_typing(rid, &name, typing).await }
            })
            .await
        };
        in_time::<_, Failure>("typing", telling).await.is_some()
    }

    /// The name under which Rocket.Chat lets a puppet type.
    async fn shown_name_of(&self, puppet: &Puppet) -> Result<String, Failure> {
        if !self.server_settings().await?.real_names {
            return Ok(puppet.username.clone());
        }
        let known = &self.ephemerals.names.of_puppets;
        if let Some((since, name)) = lock(known).get(&puppet.matrix_id)
            && since.elapsed() < Duration::from_secs(60)
        {
            return Ok(name.clone());
        }
        let me = self
            .as_puppet(puppet, |session| async move { session.me().await })
            .await?;
        let name = me.name.unwrap_or_else(|| puppet.username.clone());
        let mut known = lock(known);
        forget_old(&mut known, |(since, _)| *since, BELIEVED_FOR);
        known.insert(puppet.matrix_id.clone(), (Instant::now(), name.clone()));
        Ok(name)
    }

    /// Whether Matrix was told that somebody types, or no longer does: if they have a
    /// ghost, and it is in the room.
    async fn typing_to_matrix(&self, rid: &RocketRoomId, name: &str, typing: bool) -> bool {
        if !self.matrix_gate.is_open() || self.rocket_if_there().is_none() {
            return false;
        }
        let telling = async {
            for portal in self.store.portals_of(rid)? {
                let Some(ghost) = self.who_types(&portal, name).await? else {
                    continue;
                };
                let room = &portal.room_id;
                if self.store.is_ghost_in_room(room, &ghost.user_id)? {
                    let lasts = typing.then_some(LASTS_ON_MATRIX);
                    self.as_ghost(&ghost).typing(room, lasts).await?;
                }
            }
            Ok(())
        };
        in_time::<_, Failure>("typing", telling).await.is_some()
    }

    /// Whose ghost a name means. None for puppets, for people without a ghost, and where
    /// several in the room have that display name.
    async fn who_types(&self, portal: &Portal, name: &str) -> Result<Option<Ghost>, Failure> {
        let real_names = self.server_settings().await?.real_names;
        let key = (real_names.then(|| portal.id.clone()), name.to_owned());
        let known = &self.ephemerals.names.people;
        if let Some((since, ghost)) = lock(known).get(&key)
            && since.elapsed() < BELIEVED_FOR
        {
            return Ok(ghost.clone());
        }
        let ghost = if real_names {
            self.ghost_named(portal, name)?
        } else {
            match Username::parse(name) {
                Ok(username) => {
                    let rocket = self.rocket().await;
                    match rocket.bot.user_by_username(&username).await? {
                        Some(user) => self.store.ghost(&user.id)?,
                        None => None,
                    }
                }
                Err(_) => None,
            }
        };
        let mut known = lock(known);
        forget_old(&mut known, |(since, _)| *since, BELIEVED_FOR);
        known.insert(key, (Instant::now(), ghost.clone()));
        Ok(ghost)
    }

    /// The one ghost of a room that has this display name.
    fn ghost_named(&self, portal: &Portal, name: &str) -> Result<Option<Ghost>, StoreError> {
        let mut found = None;
        for user in self
            .store
            .ghosts_in_room(&portal.room_id)?
            .into_iter()
            .take(MOST_GHOSTS)
        {
            let Some(ghost) = self.store.ghost_by_localpart(user.localpart())? else {
                continue;
            };
            let profile = self.store.ghost_profile(&ghost.rocket_id)?;
            if profile.and_then(|profile| profile.name).as_deref() != Some(name) {
                continue;
            }
            if found.is_some() {
                return Ok(None);
            }
            found = Some(ghost);
        }
        Ok(found)
    }
}

/// Works a board for ever: a few requests at once, each in a task of its own.
async fn work<K, P, F, Fut>(bridge: &Arc<Bridge>, desk: fn(&Bridge) -> &Desk<Board<K, P>>, tell: F)
where
    K: Clone + Eq + std::hash::Hash + Send + 'static,
    P: Clone + Eq + std::hash::Hash + Send + 'static,
    F: Fn(Arc<Bridge>, K, P, bool) -> Fut,
    Fut: Future<Output = bool> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        // Never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let next = desk(bridge).lock().next(Instant::now());
        match next {
            Next::Tell(rid, person, typing) => {
                let telling = tell(Arc::clone(bridge), rid.clone(), person.clone(), typing);
                let bridge = Arc::clone(bridge);
                tokio::spawn(async move {
                    // In a task of its own: a panic must not leave the person for ever
                    // as being told of.
                    let done = tokio::spawn(telling).await.unwrap_or(false);
                    drop(place);
                    desk(&bridge).change(|board| {
                        board.told(rid, person, typing, done, Instant::now());
                    });
                });
            }
            Next::Wait(until) => {
                drop(place);
                desk(bridge).wait(Some(until)).await;
            }
            Next::Idle => {
                drop(place);
                desk(bridge).wait(None).await;
            }
        }
    }
}
