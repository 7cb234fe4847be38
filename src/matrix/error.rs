//! What can go wrong with a call to the homeserver, and whether a repeat can help.

use std::fmt;
use std::time::Duration;

use crate::media::Broken;
use crate::retry::{Advice, Retryable};

/// A call to the homeserver that failed: which one, and how.
///
/// Shows the method and the path's template, never a token, a body or a query.
/// The homeserver's own words (`error`) are shown for [`Kind::Api`], shortened
/// and without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    call: Box<Call>,
    kind: Kind,
}

/// Which call it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The HTTP method.
    pub method: String,
    /// The path with its variables unfilled, e.g.
    /// `/_matrix/client/v3/rooms/{room_id}/join`.
    pub path: &'static str,
    /// The ghost the call was made as; none for the bot.
    pub acting_as: Option<ruma::OwnedUserId>,
}

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// No answer came, or not the whole of it.
    Transport {
        /// In plain words, without addresses or tokens.
        reason: String,
        /// The request may have reached the homeserver: a time-out or a
        /// connection lost after sending, not a refused connection.
        maybe_done: bool,
    },
    /// 429, or any status with `M_LIMIT_EXCEEDED`: slow down.
    RateLimited {
        /// The longer of `Retry-After` and `retry_after_ms`, if either came.
        after: Option<Duration>,
    },
    /// Status 500 and above, from the homeserver or from a proxy before it,
    /// whatever the body is. The request may have been carried out. Synapse also
    /// answers 502 when *another* homeserver is away (an alias or a room there):
    /// bound the repeats of what depends on others.
    Server {
        /// The HTTP status.
        status: u16,
        /// `errcode`, if the body was the homeserver's.
        code: Option<String>,
        /// The homeserver's own words, shortened, if it said any.
        message: Option<String>,
        /// `Retry-After`, if it came.
        after: Option<Duration>,
    },
    /// The homeserver refused, and said why.
    Api {
        /// The HTTP status, 400 to 499.
        status: u16,
        /// `errcode`, such as `M_FORBIDDEN`.
        code: String,
        /// The homeserver's own words, shortened.
        message: String,
    },
    /// Something answered that is not a homeserver: HTML, JSON of another
    /// shape, a redirect. A proxy's maintenance page, or a wrong address.
    NotMatrix {
        /// The HTTP status.
        status: u16,
        /// What was wrong with the answer; never its content.
        reason: String,
        /// The status was a success: the request may have been carried out.
        maybe_done: bool,
    },
    /// The request or the answer was too large.
    TooLarge {
        /// Which of the two, and the bound.
        reason: String,
        /// It was the answer that was too large: the request was carried out.
        maybe_done: bool,
    },
    /// The request could not be built from what was given.
    Request {
        /// What was wrong with it.
        reason: String,
    },
    /// The file that was being uploaded broke on its way to us. The homeserver has not
    /// got the whole of it, and keeps nothing.
    Source(Broken),
}

impl Error {
    /// Puts an error together; for this module's own use and for tests.
    pub fn new(call: Call, kind: Kind) -> Self {
        Self {
            call: Box::new(call),
            kind,
        }
    }

    /// Which call failed.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// How it failed.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The homeserver's `errcode`, if it gave one.
    pub fn code(&self) -> Option<&str> {
        match &self.kind {
            Kind::RateLimited { .. } => Some("M_LIMIT_EXCEEDED"),
            Kind::Api { code, .. } => Some(code),
            Kind::Server { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    /// The HTTP status, if an answer came.
    pub fn status(&self) -> Option<u16> {
        match &self.kind {
            Kind::RateLimited { .. } => Some(429),
            Kind::Server { status, .. }
            | Kind::Api { status, .. }
            | Kind::NotMatrix { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The homeserver said `M_FORBIDDEN`: a right is missing.
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some("M_FORBIDDEN")
    }

    /// The homeserver refused because, as it sees it, the user is not in the room.
    /// There is no code for that: Synapse says so in its words.
    pub fn says_not_in_room(&self) -> bool {
        self.is_forbidden()
            && matches!(&self.kind, Kind::Api { message, .. } if message.contains("not in room"))
    }

    /// The homeserver - not a proxy - said that there is no such thing. Synapse
    /// says `M_UNKNOWN` with status 404 where others say `M_NOT_FOUND`.
    pub fn is_not_found(&self) -> bool {
        match &self.kind {
            Kind::Api {
                status: 404, code, ..
            } => code != "M_UNRECOGNIZED",
            _ => self.code() == Some("M_NOT_FOUND"),
        }
    }

    /// The homeserver has no such endpoint. Synapse says so with status 404; others,
    /// and older ones, with 400 or 405.
    pub fn is_unrecognized(&self) -> bool {
        self.code() == Some("M_UNRECOGNIZED")
    }

    /// The homeserver, or a proxy before it, found what we sent too large: a file above
    /// `m.upload.size`.
    pub fn is_request_too_large(&self) -> bool {
        self.code() == Some("M_TOO_LARGE")
            || matches!(&self.kind, Kind::TooLarge { maybe_done, .. } if !maybe_done)
    }

    /// The homeserver does not know the appservice's token: no call will succeed
    /// until the registration is mended.
    pub fn is_unknown_token(&self) -> bool {
        self.code() == Some("M_UNKNOWN_TOKEN")
    }

    /// The same user has reacted to the same event in the same way.
    pub fn is_duplicate_annotation(&self) -> bool {
        self.code() == Some("M_DUPLICATE_ANNOTATION")
    }

    /// The user name is taken (or reserved).
    pub fn is_user_in_use(&self) -> bool {
        self.code() == Some("M_USER_IN_USE")
    }

    /// The alias is taken. Synapse says `M_UNKNOWN` with status 409 where others
    /// say `M_ROOM_IN_USE`.
    pub fn is_alias_in_use(&self) -> bool {
        self.code() == Some("M_ROOM_IN_USE") || self.status() == Some(409)
    }
}

impl Retryable for Error {
    fn advice(&self) -> Advice {
        match &self.kind {
            Kind::Transport { maybe_done, .. } | Kind::NotMatrix { maybe_done, .. } => {
                Advice::Retry {
                    after: None,
                    maybe_done: *maybe_done,
                }
            }
            Kind::RateLimited { after } => Advice::Retry {
                after: *after,
                maybe_done: false,
            },
            Kind::Server { after, .. } => Advice::Retry {
                after: *after,
                maybe_done: true,
            },
            // These refuse everything we ask, not this request, until someone
            // mends the homeserver: what waits must not be given up meanwhile.
            Kind::Api { code, .. }
                if matches!(
                    code.as_str(),
                    "M_UNKNOWN_TOKEN" | "M_RESOURCE_LIMIT_EXCEEDED"
                ) =>
            {
                Advice::Retry {
                    after: None,
                    maybe_done: false,
                }
            }
            Kind::Source(broken) => broken.advice(),
            Kind::Api { .. } | Kind::TooLarge { .. } | Kind::Request { .. } => Advice::GiveUp,
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.call.method, self.call.path)?;
        if let Some(user) = &self.call.acting_as {
            write!(f, " as {user}")?;
        }
        match &self.kind {
            Kind::Transport { reason, .. } => write!(f, ": no answer: {reason}"),
            Kind::RateLimited { after: Some(after) } => {
                write!(f, ": asked to slow down for {} ms", after.as_millis())
            }
            Kind::RateLimited { after: None } => f.write_str(": asked to slow down"),
            Kind::Server {
                status,
                code,
                message,
                ..
            } => {
                write!(f, ": the server failed with status {status}")?;
                if let Some(code) = code {
                    write!(f, " {code}")?;
                }
                if let Some(message) = message {
                    write!(f, " ({message})")?;
                }
                Ok(())
            }
            Kind::Api {
                status,
                code,
                message,
            } => write!(f, ": refused with status {status} {code} ({message})"),
            Kind::NotMatrix { status, reason, .. } => write!(
                f,
                ": status {status}, but this is no answer of a homeserver: {reason}"
            ),
            Kind::TooLarge { reason, .. } => write!(f, ": {reason}"),
            Kind::Request { reason } => write!(f, ": the request cannot be sent: {reason}"),
            Kind::Source(broken) => write!(f, ": the file to be sent: {broken}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> Error {
        let call = Call {
            method: "GET".to_owned(),
            path: "/x/{id}",
            acting_as: None,
        };
        Error::new(
            call,
            Kind::Api {
                status,
                code: code.to_owned(),
                message: "words".to_owned(),
            },
        )
    }

    #[test]
    fn not_found_and_in_use_are_known_by_code_or_status() {
        assert!(refused(404, "M_NOT_FOUND").is_not_found());
        assert!(refused(404, "M_UNKNOWN").is_not_found());
        assert!(!refused(404, "M_UNRECOGNIZED").is_not_found());
        assert!(!refused(403, "M_FORBIDDEN").is_not_found());
        assert!(refused(400, "M_ROOM_IN_USE").is_alias_in_use());
        assert!(refused(409, "M_UNKNOWN").is_alias_in_use());
    }

    #[test]
    fn only_what_concerns_the_request_itself_is_given_up() {
        assert_eq!(refused(403, "M_FORBIDDEN").advice(), Advice::GiveUp);
        for code in ["M_UNKNOWN_TOKEN", "M_RESOURCE_LIMIT_EXCEEDED"] {
            assert!(matches!(refused(401, code).advice(), Advice::Retry { .. }));
        }
    }

    #[test]
    fn an_error_says_what_was_tried_and_what_came() {
        assert_eq!(
            refused(403, "M_FORBIDDEN").to_string(),
            "GET /x/{id}: refused with status 403 M_FORBIDDEN (words)"
        );
    }
}
