//! What a phase costs: processor time of each process, memory of the bridge.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use testbed::World;

/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(200);
/// The unit of processor times in `/proc`, the same on every Linux of ours.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a phase cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) took: Duration,
    /// Seconds of processor time.
    pub(super) bridge: f64,
    pub(super) synapse: f64,
    pub(super) rocketchat: f64,
    /// How many processors everybody else on this machine kept busy, on average.
    pub(super) others: f64,
    /// The bridge's resident memory in bytes.
    pub(super) memory: u64,
    pub(super) most_memory: u64,
}

/// Does something and tells what it cost.
pub(super) async fn metered<T>(
    world: &World,
    work: impl Future<Output = Result<T>>,
) -> Result<(T, Cost)> {
    let before = Reading::take(world)?;
    // None while it is being started anew.
    let mut most_memory = world.bridge.rss_bytes().unwrap_or(0);
    let mut work = std::pin::pin!(work);
    let mut ticks = tokio::time::interval(SAMPLE);
    let done = loop {
        tokio::select! {
            done = &mut work => break done?,
            _ = ticks.tick() => most_memory = most_memory.max(world.bridge.rss_bytes().unwrap_or(0)),
        }
    };
    let after = Reading::take(world)?;
    let memory = world.bridge.rss_bytes()?;
    let took = after.at.duration_since(before.at);
    let ours = |reading: &Reading| {
        reading.bridge + reading.synapse + reading.rocketchat + reading.ourselves
    };
    let machine = after.machine - before.machine;
    let others = (machine - (ours(&after) - ours(&before))) / took.as_secs_f64();
    let cost = Cost {
        took,
        // One that was started anew meanwhile has begun to count anew.
        bridge: if after.bridge < before.bridge {
            after.bridge
        } else {
            after.bridge - before.bridge
        },
        synapse: after.synapse - before.synapse,
        rocketchat: after.rocketchat - before.rocketchat,
        others: others.max(0.0),
        memory,
        most_memory: most_memory.max(memory),
    };
    Ok((done, cost))
}

/// Processor seconds used so far.
struct Reading {
    at: Instant,
    bridge: f64,
    synapse: f64,
    rocketchat: f64,
    ourselves: f64,
    machine: f64,
}

impl Reading {
    fn take(world: &World) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            bridge: world.bridge.cpu_seconds()?,
            synapse: world.synapse.cpu_seconds()?,
            rocketchat: world.rocketchat.cpu_seconds()?,
            ourselves: ourselves(&std::fs::read_to_string("/proc/self/stat")?)?,
            machine: machine(&std::fs::read_to_string("/proc/stat")?)?,
        })
    }
}

fn ourselves(stat: &str) -> Result<f64> {
    let (_, fields) = stat
        .rsplit_once(')')
        .context("no name in /proc/self/stat")?;
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.map(str::parse::<u64>).sum::<Result<_, _>>()?;
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// All but idling and waiting for the disk.
fn machine(stat: &str) -> Result<f64> {
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let times = line.split_whitespace().skip(1).take(8).enumerate();
    let ticks: u64 = times
        .filter(|(column, _)| !matches!(column, 3 | 4))
        .map(|(_, ticks)| ticks.parse::<u64>())
        .sum::<Result<_, _>>()?;
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_is_one_that_neither_idles_nor_waits() -> Result<()> {
        let stat = "cpu  100 20 30 9999 8888 0 40 10 0 0\ncpu0 1 2 3";
        assert!((machine(stat)? - 2.0).abs() < 1e-9);
        Ok(())
    }

    #[test]
    fn a_programs_name_may_hold_anything() -> Result<()> {
        let stat = "1 (a) b) S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0";
        assert!((ourselves(stat)? - 2.0).abs() < 1e-9);
        Ok(())
    }
}
