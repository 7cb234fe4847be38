//! Incoming webhooks by id.

use super::State;
use crate::json::{self, Doc};

impl State {
    /// Stores a webhook.
    pub fn save_webhook(&mut self, hook: Doc) {
        self.journal.put("webhooks", &hook);
        self.webhooks
            .insert(json::text(&hook, "_id").to_owned(), hook);
    }

    /// Removes a webhook and returns it.
    pub fn remove_webhook(&mut self, id: &str) -> Option<Doc> {
        let gone = self.webhooks.remove(id)?;
        self.journal.remove("webhooks", id);
        Some(gone)
    }
}
