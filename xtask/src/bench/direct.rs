//! Direct messages, one at a time: in a room in use, which a socket of the
//! puppet hears, and new ones, which the bridge notices by looking.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use testbed::{MatrixUser, RocketUser};

use super::ledger::{Entry, Side};
use super::load::Speaker;
use super::stage::{Cast, Stage};
use super::watch::{self, Watcher};

/// How many messages are measured.
const MESSAGES: usize = 20;

/// Everybody of Matrix, seeing what comes to them alone.
#[derive(Debug)]
pub(super) struct DirectMessages<'a> {
    stage: &'a Stage,
    cast: &'a Cast,
    _watchers: Vec<Watcher>,
}

impl<'a> DirectMessages<'a> {
    /// Begins to watch.
    pub(super) async fn watch(stage: &'a Stage, cast: &'a Cast) -> Result<Self> {
        let mut watchers = Vec::new();
        for reader in &cast.on_matrix {
            watchers.push(watch::matrix(reader.clone(), Arc::clone(&stage.ledger)).await?);
        }
        Ok(Self {
            stage,
            cast,
            _watchers: watchers,
        })
    }

    /// From the first message that somebody writes to somebody new to the invite
    /// that comes of it.
    pub(super) async fn to_somebody_new(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        // The first pair is for the room in use.
        for (number, (writer, reader)) in self.pairs().enumerate().skip(1).take(MESSAGES) {
            let dm = writer.open_dm(&self.puppet(reader)).await?;
            let ghost = self.stage.world.ghost(&writer.username);
            let text = watch::invitation(&ghost, &reader.user_id);
            entries.extend(
                self.single(&Speaker::Rocket(writer.clone(), dm), &text)
                    .await?,
            );
            apart(number).await;
        }
        Ok(entries)
    }

    /// Opens a room, and waits until it works.
    pub(super) async fn open(&self) -> Result<Speaker> {
        let (writer, reader) = self.pairs().next().context("nobody is there")?;
        let dm = writer.open_dm(&self.puppet(reader)).await?;
        writer.send(&dm, "direct opened").await?;
        let ghost = self.stage.world.ghost(&writer.username);
        let invite = reader
            .wait_for_invite("a direct message", |invite| invite.sender == ghost)
            .await?;
        let room = reader.join(&invite.room_id).await?;
        reader.wait_for_text(&room, "direct opened").await?;
        Ok(Speaker::Rocket(writer.clone(), dm))
    }

    /// Messages in that room.
    pub(super) async fn in_use(&self, speaker: &Speaker) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for number in 0..MESSAGES {
            entries.extend(self.single(speaker, &format!("direct {number}")).await?);
            apart(number).await;
        }
        Ok(entries)
    }

    async fn single(&self, speaker: &Speaker, text: &str) -> Result<Vec<Entry>> {
        let ledger = &self.stage.ledger;
        speaker
            .say(ledger, Side::Matrix, text, Instant::now())
            .await?;
        Ok(ledger.all_seen().await?.into_values().collect())
    }

    /// Everybody of one side with everybody of the other, each pair once.
    fn pairs(&self) -> impl Iterator<Item = (&RocketUser, &MatrixUser)> {
        let (writers, readers) = (&self.cast.on_rocket, &self.cast.on_matrix);
        (0..readers.len()).flat_map(move |shift| {
            let shifted = readers.iter().cycle().skip(shift);
            writers.iter().zip(shifted)
        })
    }

    fn puppet(&self, reader: &MatrixUser) -> String {
        self.stage.world.puppet(reader.localpart())
    }
}

/// At moments that have nothing to do with the bridge's looks.
async fn apart(number: usize) {
    let milliseconds = 400 + number as u64 * 137 % 500;
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
