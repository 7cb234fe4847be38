//! The table.

use std::time::Duration;

use super::Options;
use super::ledger::Side;
use super::machine::Machine;
use super::meter::Cost;
use super::phases::{Kind, Outcome};
use super::statistics::{Flow, Spread};

/// Prints what was measured as Markdown.
pub(super) fn print(options: &Options, machine: &Machine, results: &[Outcome]) {
    let Options {
        senders,
        message_delay_ms,
        ..
    } = options;
    println!(
        "\n{senders} senders a side, each waiting for each answer; {} messages a phase and \
         direction; the simulated Rocket.Chat takes {message_delay_ms} ms for a message.\n\
         {} programs at {}, {}; Synapse {} on SQLite; {} cores, load {:.2} at the start{}.\n",
        options.lines() * *senders as usize,
        options.profile(),
        machine.commit,
        machine.rustc,
        machine.synapse,
        machine.cores,
        machine.load,
        if machine.is_busy() { " (busy)" } else { "" },
    );
    println!(
        "| phase | way | messages | a second | of Synapse alone | of Rocket.Chat alone \
         | answer, ms | arrival, ms | arrival after answer, ms |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|");
    for outcome in results {
        for row in rates(outcome, results) {
            println!("{row}");
        }
    }
    println!(
        "\nTimes are p50 / p99. Answer: from sending until the sender's own server has taken \
         it. Arrival: from sending until somebody on the other side sees it, or the invite to a \
         new direct message.\n"
    );
    println!(
        "| phase | bridge, ms of processor a message | Synapse | Rocket.Chat (simulated) \
         | bridge, cores | Synapse, cores | others, cores | memory, MiB | at most, MiB |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    for outcome in results {
        println!("{}", costs(outcome));
    }
    println!("\nEvery message arrived exactly once, each sender's in order.");
}

/// A row for each way, and one for both together.
fn rates(outcome: &Outcome, results: &[Outcome]) -> Vec<String> {
    let ratio = |rate: f64, side: Side| match (outcome.kind, alone(results, side)) {
        (Kind::Bridged, Some(alone)) => format!("{:.2}", rate / alone),
        _ => String::new(),
    };
    let row = |way: &str, messages: usize, rate: f64, times: [String; 3]| {
        let [answer, arrival, beyond] = times;
        format!(
            "| {} | {way} | {messages} | {rate:.1} | {} | {} | {answer} | {arrival} | {beyond} |",
            outcome.title,
            ratio(rate, Side::Matrix),
            ratio(rate, Side::Rocket),
        )
    };
    let mut rows: Vec<_> = outcome
        .flows
        .iter()
        .map(|flow| {
            let spreads = [flow.answer, flow.arrival, flow.beyond_answer];
            row(way(flow), flow.messages, flow.rate(), spreads.map(spread))
        })
        .collect();
    if let [one, other] = outcome.flows.as_slice() {
        let messages = one.messages + other.messages;
        let took = one.took.max(other.took).as_secs_f64();
        let rate = messages as f64 / took;
        rows.push(row("together", messages, rate, Default::default()));
    }
    rows
}

/// What a side takes without the bridge: the mean of its baselines.
fn alone(results: &[Outcome], side: Side) -> Option<f64> {
    let rates: Vec<f64> = results
        .iter()
        .filter(|outcome| outcome.kind == Kind::Baseline(side))
        .flat_map(|outcome| outcome.flows.iter().map(Flow::rate))
        .collect();
    (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
}

fn way(flow: &Flow) -> &'static str {
    match (flow.from, flow.to) {
        (Side::Matrix, Side::Rocket) => "Matrix → Rocket.Chat",
        (Side::Rocket, Side::Matrix) => "Rocket.Chat → Matrix",
        (Side::Matrix, Side::Matrix) => "Matrix",
        (Side::Rocket, Side::Rocket) => "Rocket.Chat",
    }
}

fn costs(outcome: &Outcome) -> String {
    let Cost {
        took,
        bridge,
        synapse,
        rocketchat,
        others,
        memory,
        most_memory,
    } = outcome.cost;
    let messages: usize = outcome.flows.iter().map(|flow| flow.messages).sum();
    let each = |seconds: f64| match messages {
        0 => String::new(),
        _ => format!("{:.2}", seconds * 1000.0 / messages as f64),
    };
    let cores = |seconds: f64| seconds / took.as_secs_f64();
    let way = match outcome.flows.as_slice() {
        [one] => format!(", {}", way(one)),
        _ => String::new(),
    };
    format!(
        "| {}{way} | {} | {} | {} | {:.3} | {:.2} | {others:.2} | {:.1} | {:.1} |",
        outcome.title,
        each(bridge),
        each(synapse),
        each(rocketchat),
        cores(bridge),
        cores(synapse),
        mebibytes(memory),
        mebibytes(most_memory),
    )
}

fn spread(spread: Spread) -> String {
    format!(
        "{} / {}",
        milliseconds(spread.p50),
        milliseconds(spread.p99)
    )
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.0}", duration.as_secs_f64() * 1000.0)
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
