//! Names and pictures of people and rooms, the same on both sides.
//!
//! Nobody waits for any of it: what may have changed is put into a queue, and a few
//! workers look, each time at how it is *now*, compare that with what was set last
//! (see [`crate::store::GhostProfile`] and its neighbours) and set what differs. So it
//! does not matter in which order news come, how often, or whether some got lost: after
//! every connection and now and then everything is compared.
//!
//! * [`ghosts`]: people of Rocket.Chat on Matrix.
//! * [`joins`]: ghosts that enter a room at that moment.
//! * [`puppets`]: people of Matrix on Rocket.Chat.
//! * [`rooms`]: pictures of channels and groups, both ways.
//! * [`round`]: comparing everything.

mod ghosts;
mod joins;
mod pictures;
mod puppets;
mod rooms;
mod round;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ruma::OwnedUserId;
use tokio::sync::{Notify, Semaphore};

use super::look_queue::Queue;
use super::{Bridge, Failure};
use crate::rocketchat::RocketUserId;
use crate::rocketchat::realtime::Pictured;
use crate::store::PortalId;
pub(in crate::bridge) use puppets::puppet_name;

/// How many of each side are looked at at once.
const WORKERS: usize = 3;

/// How long between two rooms of a round, each a request to Rocket.Chat, which has its
/// own people to serve.
const BETWEEN_ROOMS: Duration = Duration::from_millis(100);

/// Whose face on Rocket.Chat may have changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Face {
    /// A person's.
    Person(RocketUserId),
    /// That of the person who has this user name: pictures are told of by it.
    Named(String),
    /// A room's.
    Room(PortalId),
}

/// What is to be looked at, and what need not be.
pub(super) struct Faces {
    of_rocketchat: Queue<Face>,
    of_matrix: Queue<OwnedUserId>,
    /// Which ghosts' profiles are being changed.
    changing: joins::Changing,
    /// Wakes the task that compares the pictures of rooms.
    round: Notify,
    /// Wakes the task that compares people.
    people: Notify,
    /// Pictures are scaled one at a time: each needs tens of megabytes meanwhile.
    scaling: Semaphore,
    /// Matrix users who did something in this run.
    active: Mutex<HashSet<OwnedUserId>>,
    /// Names in documents that were not those that a ghost has, and when they were
    /// looked into: an old document has an old name, however often it comes.
    doubted: Mutex<HashMap<RocketUserId, ghosts::Doubt>>,
    /// What Matrix does not take, by name and `avatarETag`: not tried again in this run.
    given_up: Mutex<HashMap<RocketUserId, ghosts::Look>>,
    told_of_rights: AtomicBool,
    told_of_letters: AtomicBool,
}

impl Faces {
    pub(super) fn new() -> Self {
        Self {
            of_rocketchat: Queue::new(BETWEEN_ROOMS),
            of_matrix: Queue::new(Duration::ZERO),
            changing: joins::Changing::default(),
            round: Notify::new(),
            people: Notify::new(),
            scaling: Semaphore::new(1),
            active: Mutex::default(),
            doubted: Mutex::default(),
            given_up: Mutex::default(),
            told_of_rights: AtomicBool::new(false),
            told_of_letters: AtomicBool::new(false),
        }
    }
}

/// Whether something is to be said that is said once, until it was otherwise.
fn is_first(told: &AtomicBool) -> bool {
    !told.swap(true, Ordering::Relaxed)
}

impl Bridge {
    /// Begins to look after faces, for as long as the bridge runs.
    pub(super) fn look_after_faces(self: &Arc<Self>) {
        for _ in 0..WORKERS {
            let bridge = Arc::clone(self);
            tokio::spawn(async move {
                loop {
                    let face = bridge.faces.of_rocketchat.next().await;
                    // In a task of its own: a panic must not end the worker.
                    let look = tokio::spawn(Arc::clone(&bridge).look_at(face.clone()));
                    if look.await.is_err() {
                        tracing::error!(?face, "a look at a face ended unexpectedly");
                    }
                    bridge.faces.of_rocketchat.done(&face);
                }
            });
            let bridge = Arc::clone(self);
            tokio::spawn(async move {
                loop {
                    let user = bridge.faces.of_matrix.next().await;
                    let look = tokio::spawn(Arc::clone(&bridge).look_at_user(user.clone()));
                    if look.await.is_err() {
                        tracing::error!(%user, "a look at a profile ended unexpectedly");
                    }
                    bridge.faces.of_matrix.done(&user);
                }
            });
        }
        for puppet in self.store.puppets() {
            if matches!(self.store.puppet_profile(&puppet.matrix_id), Ok(profile) if profile.changes > 0)
            {
                self.faces.of_matrix.add(puppet.matrix_id);
            }
        }
        tokio::spawn(Arc::clone(self).go_round_pictures());
        tokio::spawn(Arc::clone(self).go_round_people());
    }

    /// Rocket.Chat tells of another picture of somebody, or of a room.
    pub(super) fn picture_changed(&self, of: &Pictured) {
        match of {
            Pictured::User(username) => {
                let face = Face::Named(username.as_str().to_owned());
                self.faces.of_rocketchat.add(face);
            }
            Pictured::Room(rid) => {
                for portal in self.portals_heard(rid) {
                    self.compare_room_picture(&portal.id);
                }
            }
        }
    }

    async fn look_at(self: Arc<Self>, face: Face) {
        let done = match &face {
            Face::Person(id) => {
                let again = self.faces.changing.take_again(id);
                self.persevere(async |_| {
                    if again {
                        self.show_ghost_again(id).await?;
                    }
                    self.show_ghost(id).await
                })
                .await
            }
            Face::Named(username) => self.persevere(|_| self.find_named(username)).await,
            Face::Room(portal) => self.look_at_room(portal).await,
        };
        if let Err(failure) = done {
            tracing::warn!(?face, %failure, "its name or picture on Matrix may be an old one");
        }
    }

    async fn look_at_user(self: Arc<Self>, user: OwnedUserId) {
        if let Err(failure) = self.persevere(|_| self.show_puppet(&user)).await {
            self.report_puppet(&user, &failure);
        }
    }
}

/// Whether Rocket.Chat refuses because the bridge's account may not do it.
fn lacks_rights(failure: &Failure) -> bool {
    match failure {
        Failure::RocketChat(error) => {
            error.is_denied() || matches!(error, crate::rocketchat::Error::TwoFactor { .. })
        }
        _ => false,
    }
}
