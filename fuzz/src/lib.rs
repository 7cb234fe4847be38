//! What must hold for every input of the converters and readers, whoever wrote it.
//!
//! A [`Target`] is a part of the bridge that reads what others wrote. Its check takes
//! any bytes and panics when a promise is broken. Three things run the checks:
//!
//! * `tests/regressions.rs`, in the ordinary tests: over the [`seeds`] and over what
//!   once broke a promise (`regressions/`).
//! * `cargo xtask fuzz`, with the program `fuzzer` (feature `engine`): over inputs that
//!   libFuzzer makes up, led by which code they reach.
//! * `cargo xtask fuzz TARGET --input FILE`: over one file.

pub mod seeds;
mod targets;

/// A part of the bridge that reads what others wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The parser of Rocket.Chat's dialect, and the reader of stored trees.
    Markdown,
    /// Messages of Rocket.Chat in the form of Matrix.
    ToMatrix,
    /// Content of Matrix in the form of Rocket.Chat.
    ToRocketchat,
    /// Frames of Rocket.Chat's socket.
    Frames,
    /// Transactions of the homeserver.
    Transactions,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Markdown,
        Self::ToMatrix,
        Self::ToRocketchat,
        Self::Frames,
        Self::Transactions,
    ];

    /// The target of this [`name`](Self::name).
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Its name: on the command line, and of its directories.
    pub fn name(self) -> &'static str {
        match self {
            Self::Markdown => "markdown",
            Self::ToMatrix => "to_matrix",
            Self::ToRocketchat => "to_rocketchat",
            Self::Frames => "frames",
            Self::Transactions => "transactions",
        }
    }

    /// Holds the target to its promises for one input.
    ///
    /// # Panics
    /// When one is broken.
    pub fn check(self, input: &[u8]) {
        match self {
            Self::Markdown => targets::markdown::check(input),
            Self::ToMatrix => targets::to_matrix::check(input),
            Self::ToRocketchat => targets::to_rocketchat::check(input),
            Self::Frames => targets::frames::check(input),
            Self::Transactions => targets::transactions::check(input),
        }
    }
}
