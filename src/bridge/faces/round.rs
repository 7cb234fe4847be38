//! Comparing everything: after each connection to Rocket.Chat, and now and then, since
//! it does not tell of every change (of a display name only with `UI_Use_Real_Name`).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::Face;
use crate::bridge::{Bridge, Failure};
use crate::store::PortalKind;

/// How long between two rounds.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(15 * 60);

/// How long between two pages of people: Rocket.Chat has its own to serve.
const BETWEEN_PAGES: Duration = Duration::from_millis(250);

/// How many people a page has.
const PAGE: usize = 100;

/// How many pages are looked at, so that a round ends whatever a server answers.
const MOST_PAGES: usize = 10_000;

impl Bridge {
    /// Compares everything soon.
    pub(in crate::bridge) fn compare_faces(&self) {
        self.faces.round.notify_one();
    }

    /// Compares everything when it is time, for ever.
    pub(super) async fn go_round_faces(self: Arc<Self>) {
        // Not before there is a connection.
        self.faces.round.notified().await;
        loop {
            for portal in self.store.portals() {
                if !matches!(portal.kind, PortalKind::Direct { .. }) {
                    self.faces.of_rocketchat.add_in_turn(Face::Room(portal.id));
                }
            }
            if let Err(failure) = self.compare_people().await {
                tracing::warn!(%failure, "names and pictures cannot be compared now");
            }
            // Whoever wakes us has missed something; or it is time.
            let _ = tokio::time::timeout(BETWEEN_ROUNDS, self.faces.round.notified()).await;
        }
    }

    async fn compare_people(self: &Arc<Self>) -> Result<(), Failure> {
        if !self.store.has_ghosts() {
            return Ok(());
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
                return self.look_for_missing(&listed);
            }
            tokio::time::sleep(BETWEEN_PAGES).await;
        }
        Ok(())
    }
}
