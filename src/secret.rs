//! Values that must never be seen: tokens and passwords.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// A token or password. `Debug` and `Display` show a placeholder, so that it
/// cannot reach a log or an error by accident; [`Secret::expose`] is the one
/// way to the value.
#[derive(Clone, Deserialize, Serialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself: only for the place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Nothing: an option that was left out.
    pub fn none() -> Self {
        Self(String::new())
    }

    /// Whether nothing is inside.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares in a time that does not depend on where the two differ.
    pub fn matches(&self, presented: &str) -> bool {
        self.0.as_bytes().ct_eq(presented.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret = Secret::new("hunter2");
        assert!(!format!("{secret:?} {secret}").contains("hunter2"));
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn only_the_same_value_matches() {
        let secret = Secret::new("token");
        assert!(secret.matches("token"));
        assert!(!secret.matches("tokeN"));
        assert!(!secret.matches("token "));
        assert!(!secret.matches(""));
    }
}
