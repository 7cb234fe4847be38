//! The one function that turns a typed request into HTTP and back.

use std::borrow::Cow;
use std::time::Duration;

use ruma::UserId;
use ruma::api::auth_scheme::{AuthScheme, SendAccessToken};
use ruma::api::path_builder::{PathBuilder, SinglePath};
use ruma::api::{Metadata, OutgoingRequest, SupportedVersions};
use url::Url;

use super::super::error::{Call, Error};
use crate::secret::Secret;

/// Bounds on time and size of each call.
#[derive(Debug, Clone)]
pub struct Limits {
    /// To open a connection.
    pub connect: Duration,
    /// For a whole call, from sending to the last byte of the answer.
    pub overall: Duration,
    /// The largest answer that is read, in bytes.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            overall: Duration::from_secs(60),
            answer_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Requests that take an access token: all but those of server admins' own APIs.
pub(crate) trait ForToken: for<'a> AuthScheme<Input<'a> = SendAccessToken<'a>> {}
impl<T> ForToken for T where T: for<'a> AuthScheme<Input<'a> = SendAccessToken<'a>> {}

/// Requests whose path depends on the version of the specification.
pub(crate) trait Versioned:
    for<'a> PathBuilder<Input<'a> = Cow<'a, SupportedVersions>>
{
}
impl<T> Versioned for T where T: for<'a> PathBuilder<Input<'a> = Cow<'a, SupportedVersions>> {}

/// Names a call for an error.
pub(crate) fn call_of<R: Metadata>(acting_as: Option<&UserId>) -> Call {
    Call {
        method: R::METHOD.to_string(),
        path: R::PATH_BUILDER.all_paths().last().unwrap_or_default(),
        acting_as: acting_as.map(ToOwned::to_owned),
    }
}

pub(crate) struct Transport {}

impl Transport {
    pub(super) fn new(_homeserver: Url, _token: Secret, _limits: Limits) -> Result<Self, Error> {
        todo!()
    }

    pub(crate) async fn call<R>(
        &self,
        _request: R,
        _acting_as: Option<&UserId>,
    ) -> Result<R::IncomingResponse, Error>
    where
        R: OutgoingRequest + Send,
        R::Authentication: ForToken,
        R::PathBuilder: Versioned,
    {
        todo!()
    }

    pub(super) async fn call_without_token<R>(
        &self,
        _request: R,
    ) -> Result<R::IncomingResponse, Error>
    where
        R: OutgoingRequest<PathBuilder = SinglePath> + Send,
        R::Authentication: ForToken,
    {
        todo!()
    }
}
