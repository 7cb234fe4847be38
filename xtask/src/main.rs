//! `cargo xtask demo`, `cargo xtask test`, `cargo xtask bench`, `cargo xtask
//! bench-files`, `cargo xtask bench-rooms`, `cargo xtask fuzz`, `cargo xtask
//! package-app`: everything a person does with this repository, in
//! one command each. A new task is a file of its own and a line in [`Task`].

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tasks talk to the person at the terminal"
)]

mod bench;
mod demo;
mod fuzz;
mod package_app;
mod progress;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Tasks of this repository")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measure how fast the bridge is, beside what limits it.
    Bench(bench::Options),
    /// Measure how files are carried, beside curl.
    BenchFiles(bench::files::Options),
    /// Measure what many rooms and people cost, and starting with them.
    BenchRooms(bench::rooms::Options),
    /// Start Synapse, a simulated Rocket.Chat and the bridge, and try them out.
    Demo(demo::Options),
    /// Look for texts, frames and transactions that break what reads them.
    Fuzz(fuzz::Options),
    /// Pack the Rocket.Chat App into the zip that a server takes.
    PackageApp(package_app::Options),
    /// Set up what the tests need and run them all.
    Test(test::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Bench(options) => bench::run(options).await,
        Task::BenchFiles(options) => bench::files::run(options).await,
        Task::BenchRooms(options) => bench::rooms::run(options).await,
        Task::Demo(options) => demo::run(options).await,
        Task::Fuzz(options) => fuzz::run(options).await,
        Task::PackageApp(options) => package_app::run(options).await,
        Task::Test(options) => test::run(options).await,
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
