//! The command line: one command a file.

mod check_config;
mod health;
mod install_app;
mod registration;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigProblem, Environment};

/// Joins one Matrix homeserver and one Rocket.Chat server.
#[derive(Debug, Parser)]
#[command(name = "matrix-appservice-rocketchat", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the bridge until it is told to stop (Ctrl-C or SIGTERM).
    Run(ConfigFile),
    /// Writes the registration file, with new tokens, for the homeserver.
    Registration(registration::Arguments),
    /// Says whether the configuration and the registration can be used.
    CheckConfig(ConfigFile),
    /// Brings the App with the command `/matrix` to Rocket.Chat.
    InstallApp(install_app::Arguments),
    /// Says whether the running bridge is connected to both sides (exit code 0).
    Health(ConfigFile),
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, short, default_value = "config.yaml", value_name = "FILE")]
    config: PathBuf,
}

impl ConfigFile {
    fn load(&self) -> Result<Config, ConfigProblem> {
        Config::load(&self.config, &Environment::of_process())
    }
}

/// Does what the command line says. Exit code 0: done; 1: it could not be done,
/// and standard error says why and what to do; 2: the command line is wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Run(file) => run::run(file),
        Command::Registration(arguments) => registration::run(arguments),
        Command::CheckConfig(file) => check_config::run(file),
        Command::InstallApp(arguments) => install_app::run(arguments),
        Command::Health(file) => health::run(file),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            say_on_stderr(&format!("error: {problem}"));
            ExitCode::FAILURE
        }
    }
}

/// Why a command could not be done: already in words.
type Problem = Box<dyn std::error::Error>;

// What a command answers belongs on the terminal, not into the log.
#[allow(clippy::print_stderr)]
fn say_on_stderr(text: &str) {
    eprintln!("{text}");
}

#[allow(clippy::print_stdout)]
fn say_on_stdout(text: &str) {
    println!("{text}");
}

/// What a thread of the runtime has for its stack, in bytes: the way of an event is many
/// calls deep, and without optimisation each takes much. Only what is used takes memory.
const STACK: usize = 16 << 20;

/// A runtime for commands that talk to a server.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .build()
}
