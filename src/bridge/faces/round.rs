//! Comparing everything: after each connection to Rocket.Chat, and again and again, since
//! it does not tell of every change: of a display name only with `UI_Use_Real_Name`, of a
//! deactivation never, of a deletion not where messages are kept (`Message_ErasureType`;
//! all three as recorded from 6.14). People are gone over page by page without end, so
//! that in a workspace of some hundreds such a change shows within seconds, and in one of
//! tens of thousands Rocket.Chat has no more to answer than in that.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::Face;
use crate::bridge::{Bridge, Failure};
use crate::store::PortalKind;

/// How long between two rounds through the rooms.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(15 * 60);

/// How long between two pages of people after a connection: Rocket.Chat has its own to
/// serve.
const BETWEEN_PAGES_AT_FIRST: Duration = Duration::from_millis(250);

/// The same afterwards.
const BETWEEN_PAGES: Duration = Duration::from_secs(2);

/// How long from the last page of people to the first.
const BEFORE_FIRST_PAGE: Duration = Duration::from_secs(4);

/// How many people a page has.
const PAGE: usize = 100;

/// How many pages are looked at, so that a round ends whatever a server answers.
const MOST_PAGES: usize = 10_000;

impl Bridge {
    /// Compares everything soon.
    pub(in crate::bridge) fn compare_faces(&self) {
        self.faces.round.notify_one();
        self.faces.people.notify_one();
    }

    /// Compares the pictures of rooms when it is time, for ever.
    pub(super) async fn go_round_pictures(self: Arc<Self>) {
        // Not before there is a connection.
        self.faces.round.notified().await;
        loop {
            for portal in self.store.portals() {
                if !matches!(portal.kind, PortalKind::Direct { .. }) {
                    self.faces.of_rocketchat.add_in_turn(Face::Room(portal.id));
                }
            }
            // Whoever wakes us has missed something; or it is time.
            let _ = tokio::time::timeout(BETWEEN_ROUNDS, self.faces.round.notified()).await;
        }
    }

    /// Goes over the people of Rocket.Chat, for ever.
    pub(super) async fn go_round_people(self: Arc<Self>) {
        self.faces.people.notified().await;
        let mut pause = BETWEEN_PAGES_AT_FIRST;
        loop {
            let is_through = match self.compare_people(pause).await {
                Ok(is_through) => is_through,
                Err(failure) => {
                    tracing::warn!(%failure, "names and pictures cannot be compared now");
                    true
                }
            };
            let is_new = !is_through || self.is_called_to_people_within(BEFORE_FIRST_PAGE).await;
            pause = match is_new {
                true => BETWEEN_PAGES_AT_FIRST,
                false => BETWEEN_PAGES,
            };
        }
    }

    /// Waits; whether there is a new connection meanwhile.
    async fn is_called_to_people_within(&self, pause: Duration) -> bool {
        let called = self.faces.people.notified();
        tokio::time::timeout(pause, called).await.is_ok()
    }

    /// One round. `false` when there is a new connection, so that it begins anew.
    async fn compare_people(self: &Arc<Self>, pause: Duration) -> Result<bool, Failure> {
        if !self.store.has_ghosts() {
            return Ok(true);
        }
        let mut offset = 0;
        let mut listed = HashSet::new();
        for _ in 0..MOST_PAGES {
            let page = self
                .persevere(async |_| {
                    let rocket = self.rocket().await;
                    Ok(rocket.bot.users_page(offset, PAGE).await?)
                })
                .await?;
            for user in &page.items {
                self.compare_ghost(user)?;
                self.note_account(user)?;
                listed.insert(user.id.clone());
            }
            offset += page.sent;
            if page.sent == 0 || offset >= page.total {
                self.look_for_missing(&listed)?;
                return Ok(true);
            }
            if self.is_called_to_people_within(pause).await {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
