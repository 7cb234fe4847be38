//! What can go wrong on the Rocket.Chat side, sorted by what one does about it.

use std::fmt;
use std::time::Duration;

use crate::retry::{Advice, Retryable};

/// A text that a server sent. It may repeat what a person wrote, so `Debug` does
/// not show it; [`ServerText::as_str`] does, for telling that very person.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ServerText(String);

impl ServerText {
    /// Longest text that is kept, in characters.
    const MAX: usize = 500;

    /// Keeps the beginning of a text.
    pub fn new(text: &str) -> Self {
        Self(text.chars().take(Self::MAX).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

/// What the server says of a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TwoFactorKind {
    /// `totp-required`: none was given.
    Required,
    /// `totp-invalid`: a wrong one was given.
    Invalid,
    /// `totp-max-attempts`: too many wrong ones.
    MaxAttempts,
}

/// A failure of a request or of a realtime method. Neither `Display` nor `Debug`
/// shows tokens, addresses or bodies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// 401: the token is not (or no longer) accepted, or a login failed.
    #[error("Rocket.Chat does not accept the login{}", in_brackets(.code.as_deref()))]
    Unauthorized {
        /// Code of a failed login (`error-user-is-not-activated`, `403`, …); none
        /// when a token was refused.
        code: Option<String>,
        /// The server's words.
        text: ServerText,
    },
    /// A second factor is wanted: a personal access token made with
    /// `bypassTwoFactor` is not asked for one.
    #[error("Rocket.Chat asks for a second factor ({kind:?})")]
    TwoFactor {
        /// What is the matter with the factor.
        kind: TwoFactorKind,
        /// `password`, `email` or `totp`.
        method: Option<String>,
    },
    /// 403: the account lacks a permission.
    #[error("Rocket.Chat: the account lacks a permission")]
    Forbidden {
        /// The server's words.
        text: ServerText,
    },
    /// 400: the server will not do this. Missing permissions are often among these
    /// (`error-not-allowed`, `error-action-not-allowed`).
    #[error("Rocket.Chat refused the request{}", in_brackets(.code.as_deref()))]
    Refused {
        /// The whole text, brackets included.
        error: ServerText,
        /// The code: `errorType`, the brackets at the end, or the text itself when
        /// it is nothing but a code.
        code: Option<String>,
        /// The text without the code.
        text: ServerText,
    },
    /// 429, or `too-many-requests` on the socket.
    #[error("Rocket.Chat asks to slow down")]
    RateLimited {
        /// For how long, if it said so; at most an hour.
        after: Option<Duration>,
    },
    /// The server does not know this endpoint or method: another version.
    #[error("this Rocket.Chat has no such endpoint")]
    EndpointMissing,
    /// 5xx: the server or something before it is in trouble.
    #[error("Rocket.Chat failed with status {status}")]
    Server {
        /// HTTP status.
        status: u16,
    },
    /// No (whole) answer came.
    #[error("no answer from Rocket.Chat: {what}")]
    Transport {
        /// The request may have been carried out nevertheless.
        maybe_done: bool,
        /// What happened, in a few fixed words.
        what: &'static str,
    },
    /// An answer came that Rocket.Chat would not give: HTML of something in
    /// between, half a JSON document, a redirect.
    #[error("the answer is not one of Rocket.Chat: {what}")]
    NotRocketChat {
        /// What it was, in a few fixed words.
        what: &'static str,
    },
    /// The answer is larger than is accepted here.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

fn in_brackets(code: Option<&str>) -> String {
    code.map(|code| format!(" [{code}]")).unwrap_or_default()
}

impl Error {
    /// A refusal that was found on this side, by the server's code for it.
    pub(crate) fn refused(code: &str) -> Self {
        Self::Refused {
            error: ServerText::new(code),
            code: Some(code.to_owned()),
            text: ServerText::default(),
        }
    }

    /// The server's code for this failure, if it has one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Unauthorized { code, .. } | Self::Refused { code, .. } => code.as_deref(),
            Self::TwoFactor { kind, .. } => Some(match kind {
                TwoFactorKind::Required => "totp-required",
                TwoFactorKind::Invalid => "totp-invalid",
                TwoFactorKind::MaxAttempts => "totp-max-attempts",
            }),
            Self::RateLimited { .. } => Some("error-too-many-requests"),
            _ => None,
        }
    }

    /// Whether the token should be renewed.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Unauthorized { .. })
    }

    /// Whether the server says that the account may not do this, in any of the ways
    /// in which it says so.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Forbidden { .. })
            || matches!(
                self.code(),
                Some(
                    "error-not-allowed"
                        | "error-action-not-allowed"
                        | "error-not-authorized"
                        | "error-unauthorized"
                        | "error-forbidden"
                        | "not-authorized"
                        | "not-allowed"
                )
            )
    }

    /// What to tell the person whose action failed: one line of plain text.
    pub fn person_text(&self) -> String {
        todo!()
    }
}

impl Retryable for Error {
    fn advice(&self) -> Advice {
        match self {
            Self::RateLimited { after } => Advice::Retry {
                after: *after,
                maybe_done: false,
            },
            // A page of a proxy in maintenance passes; nothing may be lost to it.
            Self::Server { .. } | Self::NotRocketChat { .. } => Advice::Retry {
                after: None,
                maybe_done: true,
            },
            Self::Transport { maybe_done, .. } => Advice::Retry {
                after: None,
                maybe_done: *maybe_done,
            },
            Self::Unauthorized { .. }
            | Self::TwoFactor { .. }
            | Self::Forbidden { .. }
            | Self::Refused { .. }
            | Self::EndpointMissing
            | Self::TooLarge { .. } => Advice::GiveUp,
        }
    }
}
