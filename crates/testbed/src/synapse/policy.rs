//! A homeserver that refuses messages, as one with a policy against abuse does.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::Synapse;

/// Synapse's module, which asks [`REFUSED`] at every message.
const MODULE: &str = include_str!("policy.py");

/// Words and error codes, in the homeserver's directory.
const REFUSED: &str = "refused.json";

/// Configuration of a homeserver with a policy, for
/// [`WorldOptions::synapse_config`]; it refuses nothing until
/// [`Synapse::refuse`].
///
/// [`WorldOptions::synapse_config`]: crate::WorldOptions::synapse_config
pub fn with_policy() -> Value {
    json!({ "modules": [{ "module": "policy.Policy", "config": { "refused": REFUSED } }] })
}

/// Puts the module where Python looks for it.
pub(super) fn install(directory: &Path) -> Result<()> {
    Ok(std::fs::write(directory.join("policy.py"), MODULE)?)
}

impl Synapse {
    /// From now on refuses messages of which the body contains one of these words,
    /// with this code (`M_TOO_LARGE`), and takes all others; needs [`with_policy`].
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn refuse(&self, words: &[(&str, &str)]) -> Result<()> {
        let words: BTreeMap<_, _> = words.iter().copied().collect();
        // Replaced in one step: it is read at any moment.
        let new = self.directory.join("refused.new");
        std::fs::write(&new, serde_json::to_string(&words)?)?;
        Ok(std::fs::rename(new, self.directory.join(REFUSED))?)
    }
}
