//! What can go wrong on the Rocket.Chat side, sorted by what one does about it.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::media::Broken;
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
    /// The file that was being uploaded broke on its way to us. Rocket.Chat has not got
    /// the whole of it, and did nothing.
    #[error("the file to be uploaded: {0}")]
    Source(Broken),
    /// A file or a picture lies on another server (S3, Google Storage, a provider of
    /// avatars), to which this one redirects. That is not followed: only the configured
    /// address is asked for anything.
    #[error(
        "Rocket.Chat keeps its files elsewhere and redirects there, which is not followed: \
         turn on \"Proxy Uploads\" and \"Proxy Avatars\" of the storage in its settings \
         under File Upload, and no external provider of avatars"
    )]
    Redirected,
}

/// Ends the words about a file that could not be stored.
const NOT_STORED: &str = "[ufs: cannot upload file]";

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

    /// Whether the server knows no emoji of that name. It says so in words only, with
    /// the code of a right that is missing (6.14 to 8.x).
    pub fn is_unknown_emoji(&self) -> bool {
        matches!(self, Self::Refused { error, text, .. }
            if [error, text].iter().any(|said| said.as_str().contains("Invalid emoji provided")))
    }

    /// Whether the server could not read a picture, or one that the file was said to be.
    /// It says so in words only, with a code that stands for any failure to store a
    /// file (6.14). Under another name and type it takes the same bytes.
    pub fn is_unreadable_picture(&self) -> bool {
        matches!(self, Self::Refused { error, code: None, .. }
            if error.as_str().ends_with(NOT_STORED) && !is_of_the_database(error.as_str()))
    }

    /// Whether the server refuses a name or a picture in place of the account's: it lacks
    /// `message-impersonate` (6.14, recording 12).
    pub fn is_impersonation_refused(&self) -> bool {
        matches!(self, Self::Refused { error, code: None, .. }
            if error.as_str() == "Not enough permission")
    }

    /// Whether the server found a file too large: its own limit, or that of a proxy
    /// before it.
    pub fn is_file_too_large(&self) -> bool {
        matches!(self.code(), Some("error-file-too-large" | "http-413"))
    }

    /// What to tell the person whose action failed: one line of plain text.
    pub fn person_text(&self) -> String {
        match self {
            Self::Unauthorized { .. } => "Rocket.Chat does not accept the login.".to_owned(),
            Self::TwoFactor { .. } => "Rocket.Chat asks for a second factor.".to_owned(),
            Self::Forbidden { .. } => "Rocket.Chat does not allow this.".to_owned(),
            Self::Refused { .. } if self.is_unreadable_picture() => {
                "Rocket.Chat cannot read this picture.".to_owned()
            }
            Self::Refused { code, text, error } => code
                .as_deref()
                .and_then(known_code)
                .map_or_else(|| in_their_words(text, error), str::to_owned),
            Self::RateLimited { .. } => {
                "Rocket.Chat is asked too much at the moment. Try again later.".to_owned()
            }
            Self::EndpointMissing => "This version of Rocket.Chat cannot do that.".to_owned(),
            Self::Server { .. } | Self::NotRocketChat { .. } => {
                "Rocket.Chat is in trouble at the moment. Try again later.".to_owned()
            }
            Self::Transport { .. } => "Rocket.Chat cannot be reached at the moment.".to_owned(),
            Self::TooLarge { .. } => "The answer of Rocket.Chat is too large.".to_owned(),
            Self::Source(broken) => format!("The file did not come through: {broken}."),
            Self::Redirected => {
                "Rocket.Chat keeps its files on another server, which the bridge does not ask."
                    .to_owned()
            }
        }
    }
}

/// Plain words for the codes that people run into.
fn known_code(code: &str) -> Option<&'static str> {
    Some(match code {
        "error-not-allowed"
        | "error-action-not-allowed"
        | "error-not-authorized"
        | "error-unauthorized"
        | "error-forbidden"
        | "not-authorized"
        | "not-allowed" => "Rocket.Chat does not allow this.",
        "You_have_been_muted" => "You are muted in this room on Rocket.Chat.",
        "room_is_blocked" => "This direct message is blocked on Rocket.Chat.",
        "error-message-size-exceeded" => "The message is too long for Rocket.Chat.",
        "error-message-editing-blocked" => {
            "The message is too old to be edited on Rocket.Chat, or editing is switched off."
        }
        "error-message-deleting-blocked" => {
            "The message is too old to be deleted on Rocket.Chat, or deleting is switched off."
        }
        "error-message-not-found" => "Rocket.Chat does not have this message any more.",
        "error-invalid-room" | "error-room-not-found" | "invalid-channel" => {
            "There is no such room on Rocket.Chat, or it is private."
        }
        "error-invalid-room-name" => {
            "Rocket.Chat takes only letters, digits, dots, dashes and underscores in the name of a room."
        }
        "error-duplicate-channel-name" => "Another room on Rocket.Chat has that name.",
        "error-room-archived" => "The room is archived on Rocket.Chat.",
        "error-invalid-user" => "There is no such user on Rocket.Chat.",
        "error-direct-message-max-user-exceeded" => {
            "Rocket.Chat does not allow so many people in a direct message."
        }
        "error-you-are-last-owner" | "user-last-owner" => {
            "The last owner of a Rocket.Chat room cannot leave it."
        }
        "error-license-user-limit-reached" => {
            "The licence of this Rocket.Chat allows no more users."
        }
        "error-file-too-large" | "http-413" => "The file is too large for Rocket.Chat.",
        "error-invalid-file-type" => "Rocket.Chat does not take files of this type.",
        "error-file-upload-disabled" => "Files are switched off on Rocket.Chat.",
        "error-direct-message-file-upload-not-allowed" => {
            "Rocket.Chat does not allow files in direct messages."
        }
        "file-too-small" => "Rocket.Chat does not take empty files.",
        "invalid-file" => "Rocket.Chat does not have this file any more.",
        "restricted-workspace" => {
            "This Rocket.Chat is restricted until it reports to the Rocket.Chat cloud."
        }
        _ => return None,
    })
}

/// The server's words on one line, for want of better ones.
fn in_their_words(text: &ServerText, error: &ServerText) -> String {
    let words = if text.as_str().is_empty() {
        error
    } else {
        text
    };
    let line: String = words
        .as_str()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect();
    match line.trim() {
        "" => "Rocket.Chat refused this.".to_owned(),
        line => format!("Rocket.Chat refused this: {line}"),
    }
}

/// The parts of a refusal's text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub code: Option<String>,
    pub text: String,
}

impl Failure {
    /// Finds the code: Rocket.Chat has it in `errorType`, in brackets at the end of the
    /// text, or as the whole text; some endpoints swap `error` and `errorType`.
    pub fn read(error: &str, error_type: Option<&str>) -> Self {
        let (text, bracketed) = match error
            .strip_suffix(']')
            .and_then(|rest| rest.rsplit_once('['))
        {
            Some((text, code)) if looks_like_code(code) => (text.trim_end(), Some(code)),
            _ => (error, None),
        };
        let whole = looks_like_code(error).then_some(error);
        let kind = error_type.filter(|kind| looks_like_code(kind));
        let code = kind.or(bracketed).or(whole);
        let text = match (whole, error_type) {
            (Some(_), Some(swapped)) if kind.is_none() => swapped,
            (Some(_), _) => "",
            _ => text,
        };
        Self {
            code: code.map(str::to_owned),
            text: text.to_owned(),
        }
    }
}

fn looks_like_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// The error for the codes of a second factor; `json` has `details.method`.
pub(crate) fn two_factor(code: Option<&str>, json: &Value) -> Option<Error> {
    let kind = match code? {
        "totp-required" => TwoFactorKind::Required,
        "totp-invalid" => TwoFactorKind::Invalid,
        "totp-max-attempts" => TwoFactorKind::MaxAttempts,
        _ => return None,
    };
    let method = json["details"]["method"]
        .as_str()
        .filter(|method| looks_like_code(method));
    Some(Error::TwoFactor {
        kind,
        method: method.map(str::to_owned),
    })
}

/// The number in "You must wait N seconds".
pub(crate) fn seconds_in(text: &str) -> Option<i64> {
    let (_, rest) = text.split_once("must wait ")?;
    rest.split(' ').next()?.parse().ok()
}

/// A pause that a server asks for, in ms: not negative, at most an hour.
pub(crate) fn bounded(ms: i64) -> Duration {
    Duration::from_millis(ms.clamp(0, 3_600_000).unsigned_abs())
}

impl Error {
    /// The error of a realtime method or subscription:
    /// `{"error": code, "reason", "message", "details"}`.
    pub(crate) fn from_realtime(json: &Value) -> Self {
        let code = match &json["error"] {
            Value::String(code) => code.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let reason = json["reason"].as_str().unwrap_or_default();
        let message = json["message"].as_str().unwrap_or(reason);
        if let Some(error) = two_factor(Some(&code), json) {
            return error;
        }
        match code.as_str() {
            "too-many-requests" | "error-too-many-requests" => Self::RateLimited {
                after: json["details"]["timeToReset"]
                    .as_f64()
                    .map(|ms| {
                        #[allow(clippy::cast_possible_truncation)] // `as` saturates
                        bounded(ms.ceil() as i64)
                    })
                    .or_else(|| Some(bounded(seconds_in(reason)?.checked_mul(1000)?))),
            },
            "500" => Self::Server { status: 500 },
            "404" if reason.ends_with("not found") => Self::EndpointMissing,
            _ => Self::Refused {
                error: ServerText::new(message),
                code: looks_like_code(&code).then_some(code),
                text: ServerText::new(reason),
            },
        }
    }
}

/// Whether a refusal without a code is the database's or the file store's, while it
/// changes its primary, is full or cannot be reached: what was asked for is not at fault. What it is not is its
/// complaint about an id that is taken.
fn is_of_the_database(text: &str) -> bool {
    let text = text.to_lowercase();
    let words = [
        "mongo",
        "not primary",
        "no primary",
        "not master",
        "topology",
        "server selection",
        "connection pool",
        "econnrefused",
        "econnreset",
        "etimedout",
        "enospc",
        "eai_again",
        "socket hang up",
    ];
    !text.contains("e11000") && words.iter().any(|word| text.contains(word))
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
            // The words of the database's driver reach the caller as a refusal.
            Self::Refused {
                code: None, error, ..
            } if is_of_the_database(error.as_str()) => Advice::Retry {
                after: None,
                maybe_done: true,
            },
            Self::Unauthorized { .. }
            | Self::TwoFactor { .. }
            | Self::Forbidden { .. }
            | Self::Refused { .. }
            | Self::EndpointMissing
            | Self::TooLarge { .. }
            | Self::Redirected => Advice::GiveUp,
            Self::Source(broken) => broken.advice(),
        }
    }
}
