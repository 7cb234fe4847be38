//! Failures in the families of facts 0.2, told apart where they arise; `rest/reply.rs` and
//! `realtime/ddp.rs` write each family down in its own envelope.

use serde_json::{Value, json};

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// A coded error: `error` is "reason [code]", `errorType` the code. Code `error-unauthorized`
    /// becomes a 403 without `errorType`.
    Coded {
        /// The code, e.g. `error-invalid-user`.
        code: String,
        /// The sentence before the bracket, if any.
        reason: Option<String>,
        /// `details` as shown.
        details: Option<Value>,
    },
    /// A plain thrown error: only a text.
    Plain(String),
    /// A failure written by hand: text and type, either may be missing.
    Written {
        /// `error`.
        error: Option<String>,
        /// `errorType`.
        kind: Option<String>,
    },
    /// A parameter schema was violated.
    Schema(String),
    /// 403 `unauthorized`.
    Forbidden,
    /// 401.
    NotLoggedIn,
    /// A refused login: 401 with status, error, message and details.
    Login {
        /// Number or code.
        error: Option<Value>,
        /// The sentence.
        message: String,
        /// `details` as shown.
        details: Option<Value>,
    },
}

impl Failure {
    /// A coded error with a sentence.
    pub fn coded(code: &str, reason: &str) -> Self {
        Self::Coded {
            code: code.to_owned(),
            reason: Some(reason.to_owned()),
            details: None,
        }
    }

    /// A coded error that is shown as its code in brackets only.
    pub fn bare(code: &str) -> Self {
        Self::Coded {
            code: code.to_owned(),
            reason: None,
            details: None,
        }
    }

    /// The same error with `details`.
    #[must_use]
    pub fn with(self, shown: Value) -> Self {
        match self {
            Self::Coded { code, reason, .. } => Self::Coded {
                code,
                reason,
                details: Some(shown),
            },
            Self::Login { error, message, .. } => Self::Login {
                error,
                message,
                details: Some(shown),
            },
            other => other,
        }
    }

    /// `error-not-allowed` "Not allowed" thrown by a method, which is named in the details.
    pub fn not_allowed(method: &str) -> Self {
        Self::coded("error-not-allowed", "Not allowed").with(json!({ "method": method }))
    }

    /// A plain thrown error.
    pub fn plain(text: impl Into<String>) -> Self {
        Self::Plain(text.into())
    }

    /// A hand-written failure with a text only.
    pub fn written(text: &str) -> Self {
        Self::Written {
            error: Some(text.to_owned()),
            kind: None,
        }
    }

    /// A hand-written failure without any text: `{"success":false}`.
    pub fn silent() -> Self {
        Self::Written {
            error: None,
            kind: None,
        }
    }

    /// What the real server would tell the author privately about a failed send.
    pub fn told_to_author(&self) -> String {
        match self {
            Self::Coded { code, reason, .. } => {
                reason.clone().unwrap_or_else(|| format!("[{code}]"))
            }
            Self::Plain(text) => match text.as_str() {
                "error-not-allowed" => "Not allowed".to_owned(),
                "error-invalid-room" => "Invalid room".to_owned(),
                "You_have_been_muted" => {
                    "You have been muted and cannot speak in this room".to_owned()
                }
                "room_is_blocked" => "This room is blocked".to_owned(),
                other => other.to_owned(),
            },
            Self::Written { error, .. } => error.clone().unwrap_or_default(),
            Self::Schema(text) => text.clone(),
            Self::Forbidden => "unauthorized".to_owned(),
            Self::NotLoggedIn => "You must be logged in to do this.".to_owned(),
            Self::Login { message, .. } => message.clone(),
        }
    }

    /// The error object of a DDP result or nosub (facts 7.1). Uncoded errors are masked as 500.
    pub fn ddp(&self) -> Value {
        match self {
            Self::Coded {
                code,
                reason,
                details,
            } => ddp_error(json!(code), reason.as_deref(), details.as_ref()),
            Self::Login {
                error,
                message,
                details,
            } => ddp_error(
                error.clone().unwrap_or_else(|| json!(403)),
                Some(message),
                details.as_ref(),
            ),
            Self::Plain(text) if text == "error-not-allowed" => {
                ddp_error(json!(text), Some("Not allowed"), None)
            }
            _ => ddp_error(json!(500), Some("Internal server error"), None),
        }
    }
}

/// A DDP error object: `message` is "reason [code]" or "[code]".
pub fn ddp_error(code: Value, reason: Option<&str>, details: Option<&Value>) -> Value {
    let shown = code
        .as_str()
        .map_or_else(|| code.to_string(), str::to_owned);
    let mut error = json!({ "isClientSafe": true, "error": code, "errorType": "Meteor.Error" });
    match reason {
        Some(reason) => {
            error["reason"] = json!(reason);
            error["message"] = json!(format!("{reason} [{shown}]"));
        }
        None => error["message"] = json!(format!("[{shown}]")),
    }
    if let Some(details) = details {
        error["details"] = details.clone();
    }
    error
}
