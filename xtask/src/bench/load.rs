//! Speaking: as fast as the servers take it, or at a steady rate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use testbed::{MatrixUser, RocketUser};
use tokio::task::JoinSet;

use super::ledger::{Ledger, Side};

/// Somebody in a room.
#[derive(Debug, Clone)]
pub(super) enum Speaker {
    Matrix(MatrixUser, String),
    Rocket(RocketUser, String),
}

impl Speaker {
    fn side(&self) -> Side {
        match self {
            Self::Matrix(..) => Side::Matrix,
            Self::Rocket(..) => Side::Rocket,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Matrix(user, _) => user.localpart(),
            Self::Rocket(user, _) => &user.username,
        }
    }

    async fn send(&self, text: &str) -> Result<()> {
        match self {
            Self::Matrix(user, room) => user.send_text(room, text).await.map(drop),
            Self::Rocket(user, channel) => user.send(channel, text).await.map(drop),
        }
    }

    /// Sends and notes it; counted from `due`, when it should have been sent.
    pub(super) async fn say(
        &self,
        ledger: &Ledger,
        to: Side,
        text: &str,
        due: Instant,
    ) -> Result<()> {
        ledger.sending(text, self.side(), to, due);
        self.send(text).await?;
        ledger.answered(text);
        Ok(())
    }
}

/// How the speakers of a phase speak.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// So many lines each, each as soon as the one before was answered.
    FlatOut { lines: usize },
    /// All together so many a second on each side, whether answered or not.
    Steady { per_second: u32, seconds: u32 },
}

/// Lets speakers speak, all at once; what they say begins with `phase`.
/// Returns when every message was answered by its own server.
pub(super) async fn speak(
    ledger: &Arc<Ledger>,
    phase: &str,
    groups: &[(Vec<Speaker>, Side)],
    pace: Pace,
) -> Result<()> {
    let mut speaking = JoinSet::new();
    for (speakers, to) in groups {
        match pace {
            Pace::FlatOut { lines } => {
                for speaker in speakers.clone() {
                    let (ledger, phase, to) = (Arc::clone(ledger), phase.to_owned(), *to);
                    speaking.spawn(async move {
                        for line in 0..lines {
                            let text = text_of(&phase, &speaker, line);
                            speaker.say(&ledger, to, &text, Instant::now()).await?;
                        }
                        Ok(())
                    });
                }
            }
            Pace::Steady {
                per_second,
                seconds,
            } => {
                let (ledger, phase, to) = (Arc::clone(ledger), phase.to_owned(), *to);
                let speakers = speakers.clone();
                speaking.spawn(async move {
                    let ticks = (per_second * seconds) as usize;
                    let between = Duration::from_secs(1) / per_second;
                    steadily(&ledger, &phase, &speakers, to, ticks, between).await
                });
            }
        }
    }
    all(speaking).await
}

async fn steadily(
    ledger: &Arc<Ledger>,
    phase: &str,
    speakers: &[Speaker],
    to: Side,
    ticks: usize,
    between: Duration,
) -> Result<()> {
    let mut saying = JoinSet::new();
    let mut due = Instant::now();
    for (tick, speaker) in (0..ticks).zip(speakers.iter().cycle()) {
        tokio::time::sleep_until(due.into()).await;
        let (ledger, speaker) = (Arc::clone(ledger), speaker.clone());
        let text = text_of(phase, &speaker, tick);
        saying.spawn(async move { speaker.say(&ledger, to, &text, due).await });
        due += between;
    }
    all(saying).await
}

fn text_of(phase: &str, speaker: &Speaker, line: usize) -> String {
    format!("{phase} {} {line}", speaker.name())
}

async fn all(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}
