//! Direct messages, one at a time: the bridge has no socket that hears of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::ledger::{Entry, Side};
use super::load::Speaker;
use super::stage::{Cast, Stage};
use super::watch::{self, Watcher};

/// How many messages are measured.
const MESSAGES: u64 = 20;

/// A direct message between the first of each side.
#[derive(Debug)]
pub(super) struct DirectMessage {
    speaker: Speaker,
    _watcher: Watcher,
}

impl DirectMessage {
    /// Opens it from Rocket.Chat and waits until it works.
    pub(super) async fn open(stage: &Stage, cast: &Cast) -> Result<Self> {
        let writer = cast.on_rocket.first().context("nobody writes")?;
        let reader = cast.on_matrix.first().context("nobody reads")?;
        let dm = writer
            .open_dm(&stage.world.puppet(reader.localpart()))
            .await?;
        writer.send(&dm, "direct opened").await?;
        let ghost = stage.world.ghost(&writer.username);
        let invite = reader
            .wait_for_invite("a direct message", |invite| invite.sender == ghost)
            .await?;
        let room = reader.join(&invite.room_id).await?;
        reader.wait_for_text(&room, "direct opened").await?;
        Ok(Self {
            speaker: Speaker::Rocket(writer.clone(), dm),
            _watcher: watch::matrix(reader.clone(), Arc::clone(&stage.ledger)).await?,
        })
    }

    /// Single messages, at moments that have nothing to do with the bridge's
    /// looks.
    pub(super) async fn measure(&self, stage: &Stage) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for number in 0..MESSAGES {
            let text = format!("direct {number}");
            self.speaker
                .say(&stage.ledger, Side::Matrix, &text, Instant::now())
                .await?;
            entries.extend(stage.ledger.all_seen().await?.into_values());
            tokio::time::sleep(Duration::from_millis(400 + number * 137 % 500)).await;
        }
        Ok(entries)
    }
}
