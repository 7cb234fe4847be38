//! `registration`: writes the file that the homeserver and the bridge share.

use std::path::PathBuf;

use clap::Args;

use super::{ConfigFile, Problem, say_on_stdout};
use crate::config::Registration;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Where to write it, instead of `appservice.registration`; `-` for standard
    /// output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the second registration instead, by which the bridge may mark direct
    /// messages for users of its homeserver; with --output.
    #[arg(long, requires = "output")]
    double_puppeting: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Problem> {
    let config = arguments.file.load()?;
    let registration = match arguments.double_puppeting {
        false => Registration::generate(&config),
        true => Registration::generate_double_puppeting(&config),
    };
    let path = arguments
        .output
        .as_deref()
        .unwrap_or(&config.appservice.registration);
    if path.as_os_str() == "-" {
        say_on_stdout(registration.to_yaml().trim_end());
        return Ok(());
    }
    registration.write(path)?;
    say_on_stdout(&format!(
        "Wrote {}. Name it in app_service_config_files of the homeserver's configuration and restart the homeserver.{}",
        path.display(),
        match arguments.double_puppeting {
            false => "",
            true =>
                " Put its as_token into appservice.double_puppet_token of the bridge's configuration.",
        }
    ));
    Ok(())
}
