//! `check-config`: whether the files can be used.

use super::{ConfigFile, Problem, say_on_stdout};
use crate::commands::unknown_in_rules;
use crate::config::Registration;

pub(super) fn run(file: &ConfigFile) -> Result<(), Problem> {
    let config = file.load()?;
    if let Some(problem) = unknown_in_rules(&config) {
        return Err(problem.into());
    }
    Registration::load(&config)?;
    say_on_stdout(&format!(
        "{} and {} are fine.",
        file.config.display(),
        config.appservice.registration.display()
    ));
    Ok(())
}
