//! The tree of a text that the server stores beside it as `md` (facts 9).

use rocketchat_markdown::{Generation, Options, parse, tree_to_json};
use serde_json::Value;

use crate::state::State;

impl State {
    /// The tree of a text by the settings of now; none for an empty text, nor when the server's
    /// parser is switched off.
    pub fn tree(&self, text: &str) -> Option<Value> {
        if self.options.no_md || text.is_empty() {
            return None;
        }
        let settings = &self.settings;
        let katex = settings.on("Katex_Enabled");
        let options = Options {
            emoticons: true,
            colors: settings.on("HexColorPreview_Enabled"),
            katex_parenthesis: katex && settings.on("Katex_Parenthesis_Syntax"),
            katex_dollar: katex && settings.on("Katex_Dollar_Syntax"),
            custom_domains: settings
                .text("Message_CustomDomain_AutoLink")
                .split(',')
                .map(|domain| domain.trim().to_owned())
                .filter(|domain| !domain.is_empty())
                .collect(),
            generation: if self.options.new_markdown && self.options.profile.may_be_8_7() {
                Generation::V8_7
            } else {
                Generation::V6
            },
        };
        Some(tree_to_json(&parse(text, &options)))
    }
}
