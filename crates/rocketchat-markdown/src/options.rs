//! What a server's settings and version change about the dialect.

/// How to read a text. The defaults are those of a Rocket.Chat 6.14 whose settings
/// nobody changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whether `:)` and its like are emoji.
    pub emoticons: bool,
    /// Whether `color:#ff0000` is a colour (`HexColorPreview_Enabled`).
    pub colors: bool,
    /// Whether `\(…\)` and `\[…\]` are formulas (`Katex_Parenthesis_Syntax`).
    pub katex_parenthesis: bool,
    /// Whether `$…$` and `$$…$$` are formulas (`Katex_Dollar_Syntax`).
    pub katex_dollar: bool,
    /// Hosts that are linked though no public suffix knows them
    /// (`Message_CustomDomain_AutoLink`).
    pub custom_domains: Vec<String>,
    /// Which version of the dialect.
    pub generation: Generation,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            emoticons: true,
            colors: true,
            katex_parenthesis: true,
            katex_dollar: false,
            custom_domains: Vec::new(),
            generation: Generation::V6,
        }
    }
}

/// A version of the dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Generation {
    /// `@rocket.chat/message-parser` 0.31, in Rocket.Chat 6.14.
    #[default]
    V6,
    /// `@rocket.chat/message-parser` 0.32, from Rocket.Chat 8.7 on: spoilers, tables,
    /// rules, markup in headings, parentheses in addresses, better links.
    V8_7,
}
