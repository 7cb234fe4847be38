//! The one function that turns a typed request into HTTP and the answer back.

use std::borrow::Cow;
use std::error::Error as _;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use http::header::AUTHORIZATION;
use ruma::UserId;
use ruma::api::auth_scheme::{AuthScheme, SendAccessToken};
use ruma::api::path_builder::{PathBuilder, SinglePath};
use ruma::api::{
    AppserviceUserIdentity, IncomingResponseExt as _, MatrixVersion, Metadata, OutgoingRequest,
    OutgoingRequestExt as _, SupportedVersions,
};
use url::Url;

use super::answer::{self, Answer};
use crate::matrix::error::{Call, Error, Kind};
use crate::media::Patience;
use crate::secret::Secret;

/// Paths are those of this version; later ones kept them.
const SPOKEN: MatrixVersion = MatrixVersion::V1_16;

/// Before this version some parameters had other names.
const EARLIER: MatrixVersion = MatrixVersion::V1_11;

/// Bounds on time and size of each call.
#[derive(Debug, Clone)]
pub struct Limits {
    /// To open a connection.
    pub connect: Duration,
    /// For a whole call, from sending to the last byte of the answer.
    pub overall: Duration,
    /// The largest answer that is read, in bytes; files are not among these.
    pub answer_bytes: usize,
    /// For files, which have no bound on the whole.
    pub patience: Patience,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            overall: Duration::from_secs(60),
            answer_bytes: 16 * 1024 * 1024,
            patience: Patience {
                // It fetches the whole of a file of another homeserver first.
                opening: Duration::from_secs(180),
                ..Patience::default()
            },
        }
    }
}

/// Requests that take an access token, whether they need one or not.
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
        // The newest path stands last.
        path: R::PATH_BUILDER.all_paths().last().unwrap_or_default(),
        acting_as: acting_as.map(ToOwned::to_owned),
    }
}

/// Connections, address, token and bounds: what every call needs.
pub(crate) struct Transport {
    http: reqwest::Client,
    /// For files, which may take as long as they need.
    pub(super) transfers: reqwest::Client,
    base: String,
    pub(super) token: Secret,
    versions: SupportedVersions,
    pub(super) limits: Limits,
    /// The homeserver hands files out by the endpoint of before 1.11 only.
    pub(super) old_media: AtomicBool,
}

impl Transport {
    pub(super) fn new(homeserver: Url, token: Secret, limits: Limits) -> Result<Self, Error> {
        let refused = |reason: String| {
            Error::new(
                Call {
                    method: "connect to".to_owned(),
                    path: "homeserver.url",
                    acting_as: None,
                },
                Kind::Request { reason },
            )
        };
        if !matches!(homeserver.scheme(), "http" | "https") || homeserver.host().is_none() {
            return Err(refused("the address is not http or https".to_owned()));
        }
        if !homeserver.username().is_empty()
            || homeserver.password().is_some()
            || homeserver.query().is_some()
            || homeserver.fragment().is_some()
        {
            return Err(refused(
                "the address must have no user, query or fragment".to_owned(),
            ));
        }
        if token.is_empty() || !token.expose().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(refused(
                "as_token is empty or has characters that cannot stand in a header".to_owned(),
            ));
        }
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!(
                    env!("CARGO_PKG_NAME"),
                    "/",
                    env!("CARGO_PKG_VERSION")
                ))
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .connect_timeout(limits.connect)
                // Shorter than what servers keep: less often is a request sent into
                // a connection that is just being closed.
                .pool_idle_timeout(Duration::from_secs(20))
        };
        let no_client = |error| refused(chain(&error));
        Ok(Self {
            http: builder()
                .timeout(limits.overall)
                .build()
                .map_err(no_client)?,
            transfers: builder().build().map_err(no_client)?,
            old_media: AtomicBool::new(false),
            base: homeserver.as_str().trim_end_matches('/').to_owned(),
            token,
            versions: SupportedVersions {
                versions: [SPOKEN].into(),
                features: Default::default(),
            },
            limits,
        })
    }

    /// One attempt with the appservice's token, as the bot or as `acting_as`.
    pub(crate) async fn call<R>(
        &self,
        request: R,
        acting_as: Option<&UserId>,
    ) -> Result<R::IncomingResponse, Error>
    where
        R: OutgoingRequest + Send,
        R::Authentication: ForToken,
        R::PathBuilder: Versioned,
    {
        let token = SendAccessToken::Always(self.token.expose());
        let built = self.built(request, token, acting_as);
        self.finish::<R>(built, call_of::<R>(acting_as)).await
    }

    /// One attempt with another token than the appservice's.
    pub(crate) async fn call_with<R>(
        &self,
        request: R,
        token: &Secret,
    ) -> Result<R::IncomingResponse, Error>
    where
        R: OutgoingRequest + Send,
        R::Authentication: ForToken,
        R::PathBuilder: Versioned,
    {
        let built = self.built(request, SendAccessToken::Always(token.expose()), None);
        self.finish::<R>(built, call_of::<R>(None)).await
    }

    /// As [`Transport::call`], of what homeservers of before version 1.12 must understand
    /// too.
    pub(crate) async fn call_as_before_1_12<R>(
        &self,
        request: R,
        acting_as: Option<&UserId>,
    ) -> Result<R::IncomingResponse, Error>
    where
        R: OutgoingRequest + Send,
        R::Authentication: ForToken,
        R::PathBuilder: Versioned,
    {
        let token = SendAccessToken::Always(self.token.expose());
        let versions = SupportedVersions {
            versions: [EARLIER].into(),
            features: Default::default(),
        };
        let built = self.built_for(&versions, request, token, acting_as);
        self.finish::<R>(built, call_of::<R>(acting_as)).await
    }

    /// A request as it is sent.
    pub(super) fn built<R>(
        &self,
        request: R,
        token: SendAccessToken<'_>,
        acting_as: Option<&UserId>,
    ) -> Built
    where
        R: OutgoingRequest,
        R::Authentication: ForToken,
        R::PathBuilder: Versioned,
    {
        self.built_for(&self.versions, request, token, acting_as)
    }

    fn built_for<R>(
        &self,
        versions: &SupportedVersions,
        request: R,
        token: SendAccessToken<'_>,
        acting_as: Option<&UserId>,
    ) -> Built
    where
        R: OutgoingRequest,
        R::Authentication: ForToken,
        R::PathBuilder: Versioned,
    {
        let versions = Cow::Borrowed(versions);
        let mut built = request.try_into_http_request::<Vec<u8>>(&self.base, token, versions)?;
        if let Some(user) = acting_as {
            AppserviceUserIdentity::new(user).maybe_add_to_uri(built.uri_mut())?;
        }
        Ok(built)
    }

    /// One attempt that tells nothing of who we are.
    pub(super) async fn call_without_token<R>(
        &self,
        request: R,
    ) -> Result<R::IncomingResponse, Error>
    where
        R: OutgoingRequest<PathBuilder = SinglePath> + Send,
        R::Authentication: ForToken,
    {
        let call = call_of::<R>(None);
        let built = request.try_into_http_request::<Vec<u8>>(&self.base, SendAccessToken::None, ());
        self.finish::<R>(built, call).await
    }

    async fn finish<R: OutgoingRequest>(
        &self,
        built: Built,
        call: Call,
    ) -> Result<R::IncomingResponse, Error> {
        let exchange = async {
            let answer = self.exchange(prepared(built)?).await?;
            read_as::<R>(&answer)
        };
        self.noted(call, exchange).await
    }

    /// Waits for what comes of a call, and logs how it went.
    pub(super) async fn noted<T>(
        &self,
        call: Call,
        exchange: impl Future<Output = Result<T, Kind>>,
    ) -> Result<T, Error> {
        let started = Instant::now();
        let outcome = exchange.await;
        tracing::debug!(
            method = %call.method,
            path = call.path,
            acting_as = call.acting_as.as_ref().map(tracing::field::display),
            ms = started.elapsed().as_millis() as u64,
            ok = outcome.is_ok(),
            "called the homeserver"
        );
        outcome.map_err(|kind| Error::new(call, kind))
    }

    /// Sends, and returns an answer of success with its whole body.
    pub(super) async fn exchange(&self, request: reqwest::Request) -> Result<Answer, Kind> {
        let response = self.http.execute(request).await.map_err(|e| unsent(&e))?;
        self.judged(response).await
    }

    /// An answer of success with its whole body.
    pub(super) async fn judged(&self, response: reqwest::Response) -> Result<Answer, Kind> {
        let (answer, cut) = self.read(response).await;
        answer::judge(answer, cut, &self.token)
    }

    /// Reads the body up to the bound, and says why it is not whole.
    async fn read(&self, mut response: reqwest::Response) -> (Answer, Option<answer::Cut>) {
        let mut answer = Answer {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: Vec::new(),
        };
        let cut = loop {
            match response.chunk().await {
                Ok(Some(part)) if answer.body.len() + part.len() > self.limits.answer_bytes => {
                    break Some(answer::Cut::TooLarge(self.limits.answer_bytes));
                }
                Ok(Some(part)) => answer.body.extend_from_slice(&part),
                Ok(None) => break None,
                Err(error) => break Some(answer::Cut::Lost(chain(&error))),
            }
        };
        (answer, cut)
    }
}

/// A request, or why it cannot be written.
pub(super) type Built = Result<http::Request<Vec<u8>>, ruma::api::error::IntoHttpError>;

/// A request as the connection takes it.
pub(super) fn prepared(built: Built) -> Result<reqwest::Request, Kind> {
    let request = built.map_err(|error| Kind::Request {
        reason: error.to_string(),
    })?;
    let written = request.uri().path().to_owned();
    let mut request = reqwest::Request::try_from(request).map_err(|_| Kind::Request {
        reason: "the address cannot be written".to_owned(),
    })?;
    // URLs resolve `.` and `..`, also percent-encoded: such an id or state
    // key would make it another request than the one meant.
    if request.url().path() != written {
        return Err(Kind::Request {
            reason: "an id or a key does not survive in a path".to_owned(),
        });
    }
    if let Some(token) = request.headers_mut().get_mut(AUTHORIZATION) {
        token.set_sensitive(true);
    }
    Ok(request)
}

/// Reads an answer of success for what was asked for.
pub(super) fn read_as<R: OutgoingRequest>(answer: &Answer) -> Result<R::IncomingResponse, Kind> {
    let body = answer.body.as_slice();
    let mut response = http::Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers.clone();
    R::IncomingResponse::try_from_http_response(response).map_err(|_| Kind::NotMatrix {
        status: answer.status.as_u16(),
        reason: answer::what_is_odd(&answer.headers, body),
        maybe_done: true,
    })
}

/// What became of a request without an answer.
pub(super) fn unsent(error: &reqwest::Error) -> Kind {
    Kind::Transport {
        maybe_done: !(error.is_connect() || error.is_builder()),
        reason: chain(error),
    }
}

/// All causes of a failure in a row, without the address: it holds ids.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() {
        "timed out".to_owned()
    } else if error.is_connect() {
        "cannot connect".to_owned()
    } else {
        "connection failed".to_owned()
    };
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
