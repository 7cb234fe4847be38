//! Apps that were installed. They are kept in memory: no test restarts a server with one.

use serde_json::{Map, Value, json};

/// An App.
#[derive(Debug, Clone)]
pub struct App {
    /// Its `app.json`.
    pub manifest: Value,
    /// `manually_enabled` and so on.
    pub status: String,
    /// Its settings by id, each as a whole.
    pub settings: Map<String, Value>,
}

impl App {
    /// As lists show it.
    pub fn shown(&self) -> Value {
        let mut shown = self.manifest.clone();
        shown["status"] = json!(self.status);
        shown["private"] = json!(true);
        shown
    }

    /// Whether it runs.
    pub fn is_enabled(&self) -> bool {
        matches!(self.status.as_str(), "manually_enabled" | "auto_enabled")
    }
}
