//! How the listener says no: a status, an `M_` code and a sentence.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;

/// Every way in which a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("no token was presented")]
    MissingToken,
    #[error("a wrong token was presented")]
    WrongToken,
    #[error("there is no such path")]
    UnknownPath,
    #[error("this path does not know this method")]
    WrongMethod,
    #[error("not known here")]
    NotFound,
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    #[error("the body did not come in time")]
    TooSlow,
    #[error("the body broke off")]
    BrokenOff,
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    #[error("the body is not a transaction: {0}")]
    BadShape(&'static str),
    #[error("not possible now; repeat later")]
    Unavailable,
    #[error("an error of the bridge; repeat later")]
    Broken,
}

impl Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::MissingToken => "M_MISSING_TOKEN",
            Self::WrongToken => "M_FORBIDDEN",
            Self::UnknownPath | Self::WrongMethod => "M_UNRECOGNIZED",
            Self::NotFound => "M_NOT_FOUND",
            Self::TooLarge(_) => "M_TOO_LARGE",
            Self::NotJson(_) => "M_NOT_JSON",
            Self::BadShape(_) => "M_BAD_JSON",
            Self::TooSlow | Self::BrokenOff | Self::Unavailable | Self::Broken => "M_UNKNOWN",
        }
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::MissingToken => StatusCode::UNAUTHORIZED,
            Self::WrongToken => StatusCode::FORBIDDEN,
            Self::UnknownPath | Self::NotFound => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BrokenOff | Self::NotJson(_) | Self::BadShape(_) => StatusCode::BAD_REQUEST,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status_code())
            .json(json!({"errcode": self.code(), "error": self.to_string()}))
    }
}
