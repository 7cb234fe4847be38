//! Secrets from the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::ConfigProblem;
use crate::secret::Secret;

const PREFIX: &str = "ROCKETCHAT_BRIDGE_";

/// The names, after `ROCKETCHAT_BRIDGE_`, that are looked for; each also with
/// `_FILE` behind it, which names a file that holds the value.
pub const SECRET_VARIABLES: [&str; 7] = [
    "AS_TOKEN",
    "HS_TOKEN",
    "ROCKETCHAT_TOKEN",
    "ROCKETCHAT_PASSWORD",
    "CREATE_TOKEN_SECRET",
    "DOUBLE_PUPPET_TOKEN",
    "API_TOKEN",
];

/// The environment variables that the configuration may read, as a value, so
/// that tests need not change those of the process.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, Secret>);

impl Environment {
    /// The variables of this process that start with `ROCKETCHAT_BRIDGE_`.
    pub fn of_process() -> Self {
        Self::from_pairs(std::env::vars())
    }

    /// The same from given names and values.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(
            pairs
                .into_iter()
                .filter_map(|(name, value)| {
                    let short = name.strip_prefix(PREFIX)?;
                    Some((short.to_owned(), Secret::new(value)))
                })
                .collect(),
        )
    }

    /// The secret of that name, or the content of the file that `<name>_FILE` names.
    ///
    /// # Errors
    /// When both are set, or the file cannot be read or is empty.
    pub(super) fn secret(&self, name: &str) -> Result<Option<Secret>, ConfigProblem> {
        let direct = self.0.get(name);
        let Some(path) = self.0.get(&format!("{name}_FILE")) else {
            return Ok(direct.cloned());
        };
        let variable = format!("{PREFIX}{name}_FILE");
        if direct.is_some() {
            return Err(ConfigProblem::environment(
                &variable,
                format!("set it or {PREFIX}{name}, not both"),
            ));
        }
        let path = PathBuf::from(path.expose());
        let content = std::fs::read_to_string(&path).map_err(|error| {
            ConfigProblem::environment(
                &variable,
                format!("cannot read {}: {error}", path.display()),
            )
        })?;
        let value = content.trim();
        if value.is_empty() {
            return Err(ConfigProblem::environment(
                &variable,
                format!("{} is empty", path.display()),
            ));
        }
        Ok(Some(Secret::new(value)))
    }
}
