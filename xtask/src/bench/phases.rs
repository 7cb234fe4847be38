//! What is measured, in which order. One run, so that every number stands
//! beside its baseline on the same machine in the same minutes.

use std::time::Duration;

use anyhow::Result;

use super::check;
use super::direct::DirectMessages;
use super::ledger::{Entry, Side};
use super::load::{Pace, Speaker, speak};
use super::meter::{Cost, metered};
use super::stage::{Cast, Rooms, Stage};
use super::statistics::Flow;
use super::{Options, load};

/// How long idling is watched.
const IDLE: Duration = Duration::from_secs(5);
/// The rate at which others have been seen to stand still.
const STEADY: Pace = Pace::Steady {
    per_second: 10,
    seconds: 20,
};

/// A phase with what came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) title: &'static str,
    pub(super) kind: Kind,
    pub(super) flows: Vec<Flow>,
    pub(super) cost: Cost,
}

/// What a phase's rate is to be held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Without the bridge: what the server of this side takes.
    Baseline(Side),
    /// Through the bridge, as fast as it goes.
    Bridged,
    /// Through the bridge, at a rate that was given: nothing to compare.
    Paced,
    /// Nothing was said.
    Idle,
}

/// Measures everything.
pub(super) async fn run(stage: &Stage, options: &Options) -> Result<Vec<Outcome>> {
    let flat_out = Pace::FlatOut {
        lines: options.lines(),
    };
    let mut results = vec![idle(stage, "idle, after the start").await?];
    let cast = stage.people(options.senders as usize).await?;
    let mut sent = Vec::new();
    let apart = &cast.apart;
    let mirrored = &cast.mirrored;

    let mut phase = Phases {
        stage,
        cast: &cast,
        sent: &mut sent,
        results: &mut results,
    };
    let matrix_alone = Kind::Baseline(Side::Matrix);
    let rocket_alone = Kind::Baseline(Side::Rocket);
    phase
        .measure(
            "Synapse alone",
            matrix_alone,
            apart,
            &[Side::Matrix],
            flat_out,
        )
        .await?;
    phase
        .measure(
            "Rocket.Chat alone",
            rocket_alone,
            apart,
            &[Side::Rocket],
            flat_out,
        )
        .await?;
    // Accounts are made and join: a cost of its own, paid once a person.
    let once = Pace::FlatOut { lines: 1 };
    phase
        .measure(
            "everybody's first",
            Kind::Paced,
            mirrored,
            &[Side::Matrix],
            once,
        )
        .await?;
    phase
        .measure(
            "everybody's first",
            Kind::Paced,
            mirrored,
            &[Side::Rocket],
            once,
        )
        .await?;
    phase
        .measure(
            "one way",
            Kind::Bridged,
            mirrored,
            &[Side::Matrix],
            flat_out,
        )
        .await?;
    phase
        .measure(
            "one way",
            Kind::Bridged,
            mirrored,
            &[Side::Rocket],
            flat_out,
        )
        .await?;
    let both = [Side::Matrix, Side::Rocket];
    phase
        .measure("both at once", Kind::Bridged, mirrored, &both, flat_out)
        .await?;
    phase
        .measure("10 a second each way", Kind::Paced, mirrored, &both, STEADY)
        .await?;
    // Again, because a machine that others use is not the same for minutes.
    phase
        .measure(
            "Synapse alone, again",
            matrix_alone,
            apart,
            &[Side::Matrix],
            flat_out,
        )
        .await?;

    let direct = DirectMessages::watch(stage, &cast).await?;
    let speaker = direct.open().await?;
    let done = singly(stage, "direct message", direct.in_use(&speaker)).await?;
    results.push(done);
    let done = singly(stage, "new direct message", direct.to_somebody_new()).await?;
    results.push(done);
    results.push(idle(stage, "idle, at the end").await?);
    eprintln!("==> comparing both sides: every message once, in order");
    check::exactly_once(&cast, &sent).await?;
    Ok(results)
}

struct Phases<'a> {
    stage: &'a Stage,
    cast: &'a Cast,
    /// What was said in the mirrored room.
    sent: &'a mut Vec<String>,
    results: &'a mut Vec<Outcome>,
}

impl Phases<'_> {
    /// Lets everybody of these sides speak in a room, and waits until everything
    /// was seen where it belongs.
    async fn measure(
        &mut self,
        title: &'static str,
        kind: Kind,
        rooms: &Rooms,
        from: &[Side],
        pace: Pace,
    ) -> Result<()> {
        let name = self.results.len().to_string();
        eprintln!("==> {title}, from {from:?}");
        let groups: Vec<_> = from
            .iter()
            .map(|&side| (speakers(self.cast, rooms, side), seen_on(kind, side)))
            .collect();
        let ledger = &self.stage.ledger;
        let (entries, cost) = metered(&self.stage.world, async {
            speak(ledger, &name, &groups, pace).await?;
            ledger.all_seen().await
        })
        .await?;
        if !matches!(kind, Kind::Baseline(_)) {
            self.sent.extend(entries.keys().cloned());
        }
        let entries: Vec<Entry> = entries.into_values().collect();
        self.results.push(Outcome {
            title,
            kind,
            flows: flows(&entries),
            cost,
        });
        Ok(())
    }
}

/// Where a message from this side is waited for.
fn seen_on(kind: Kind, from: Side) -> Side {
    match (kind, from) {
        (Kind::Baseline(side), _) => side,
        (_, Side::Matrix) => Side::Rocket,
        (_, Side::Rocket) => Side::Matrix,
    }
}

fn speakers(cast: &Cast, rooms: &Rooms, side: Side) -> Vec<Speaker> {
    match side {
        Side::Matrix => cast
            .on_matrix
            .iter()
            .map(|user| load::Speaker::Matrix(user.clone(), rooms.on_matrix.clone()))
            .collect(),
        Side::Rocket => cast
            .on_rocket
            .iter()
            .map(|user| load::Speaker::Rocket(user.clone(), rooms.on_rocket.clone()))
            .collect(),
    }
}

fn flows(entries: &[Entry]) -> Vec<Flow> {
    [Side::Matrix, Side::Rocket]
        .into_iter()
        .filter_map(|side| Flow::of(entries, side))
        .collect()
}

async fn idle(stage: &Stage, title: &'static str) -> Result<Outcome> {
    eprintln!("==> {title}");
    let quiet = async {
        tokio::time::sleep(IDLE).await;
        Ok(())
    };
    let ((), cost) = metered(&stage.world, quiet).await?;
    Ok(Outcome {
        title,
        kind: Kind::Idle,
        flows: Vec::new(),
        cost,
    })
}

async fn singly(
    stage: &Stage,
    title: &'static str,
    measured: impl Future<Output = Result<Vec<Entry>>>,
) -> Result<Outcome> {
    eprintln!("==> {title}, one at a time");
    let (entries, cost) = metered(&stage.world, measured).await?;
    Ok(Outcome {
        title,
        kind: Kind::Paced,
        flows: flows(&entries),
        cost,
    })
}
