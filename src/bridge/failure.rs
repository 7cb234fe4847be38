//! Why something could not be done: whether to try again, and what to tell the
//! person.

use std::fmt;

use crate::convert::to_matrix::AttachedFile;
use crate::matrix;
use crate::media::Broken;
use crate::retry::{Advice, Retryable};
use crate::rocketchat;
use crate::store::StoreError;

/// One of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The homeserver.
    Matrix,
    /// The Rocket.Chat server.
    RocketChat,
}

/// Why something could not be done.
#[derive(Debug)]
pub enum Failure {
    /// The homeserver said no, or nothing.
    Matrix(matrix::Error),
    /// Rocket.Chat said no, or nothing.
    RocketChat(rocketchat::Error),
    /// A file broke off on its way from that side.
    Transfer {
        /// Where it came from.
        from: Side,
        /// What happened to it.
        why: Broken,
    },
    /// The store failed.
    Store(StoreError),
    /// The bridge itself will not do it; for the person, in full sentences.
    Refused(String),
    /// Something is under way that must end first.
    NotYet(&'static str),
    /// These files must be brought first.
    Wants(Vec<AttachedFile>),
}

impl Failure {
    /// Which server failed.
    pub fn side(&self) -> Option<Side> {
        match self {
            Self::Matrix(_) => Some(Side::Matrix),
            Self::RocketChat(_) => Some(Side::RocketChat),
            Self::Transfer { from, .. } => Some(*from),
            _ => None,
        }
    }

    /// Whether the server only asks to slow down.
    pub fn is_rate_limit(&self) -> bool {
        match self {
            Self::Matrix(error) => matches!(error.kind(), matrix::Kind::RateLimited { .. }),
            Self::RocketChat(error) => matches!(error, rocketchat::Error::RateLimited { .. }),
            _ => false,
        }
    }

    /// Whether trying again cannot help.
    pub fn is_permanent(&self) -> bool {
        matches!(self.advice(), Advice::GiveUp)
    }

    /// What to tell the person whose message it was.
    pub fn person_text(&self) -> String {
        match self {
            Self::Matrix(error) if error.is_forbidden() => {
                "The homeserver did not allow it.".into()
            }
            Self::Matrix(_) => "The homeserver did not accept it.".into(),
            Self::RocketChat(error) => error.person_text(),
            Self::Transfer { why, .. } => format!("The file could not be carried over: {why}."),
            Self::Store(_) => "The bridge could not write to its store.".into(),
            Self::Refused(text) => text.clone(),
            Self::NotYet(what) => format!("It has to wait for {what}."),
            Self::Wants(_) => "Its files could not be brought.".into(),
        }
    }
}

impl Retryable for Failure {
    fn advice(&self) -> Advice {
        match self {
            Self::Matrix(error) => error.advice(),
            Self::RocketChat(error) if is_refused_token(error) => Advice::Retry {
                after: None,
                maybe_done: false,
            },
            Self::RocketChat(error) => error.advice(),
            Self::Transfer { why, .. } => why.advice(),
            // The disk may be full now and not in a minute; giving up would lose
            // what the store was to remember.
            Self::Store(StoreError::Record { .. } | StoreError::Newer { .. }) => Advice::GiveUp,
            Self::Store(_) => Advice::Retry {
                after: None,
                maybe_done: true,
            },
            Self::NotYet(_) => Advice::Retry {
                after: None,
                maybe_done: false,
            },
            Self::Refused(_) | Self::Wants(_) => Advice::GiveUp,
        }
    }
}

/// A token that is not accepted although it was renewed: it is the bridge's own.
/// (A login that is refused has a code.)
fn is_refused_token(error: &rocketchat::Error) -> bool {
    matches!(error, rocketchat::Error::Unauthorized { code: None, .. })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matrix(error) => error.fmt(f),
            Self::RocketChat(error) => error.fmt(f),
            Self::Transfer { why, .. } => why.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Refused(text) => f.write_str(text),
            Self::NotYet(what) => write!(f, "waiting for {what}"),
            Self::Wants(files) => write!(f, "{} files must be brought first", files.len()),
        }
    }
}

impl std::error::Error for Failure {}

impl From<matrix::Error> for Failure {
    fn from(error: matrix::Error) -> Self {
        Self::Matrix(error)
    }
}

impl From<rocketchat::Error> for Failure {
    fn from(error: rocketchat::Error) -> Self {
        Self::RocketChat(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
