//! Files on their way in and out: streamed, without a bound on the whole, and with one
//! on standing still.

use std::sync::atomic::Ordering;

use futures_util::TryStreamExt as _;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use ruma::UserId;
use ruma::api::OutgoingRequest;
use ruma::api::auth_scheme::SendAccessToken;
use serde_json::Value;

use super::transport::{
    Built, ForToken, Transport, Versioned, call_of, chain, prepared, read_as, unsent,
};
use crate::matrix::error::{Error, Kind};
use crate::media::outgoing::{Halt, watched};
use crate::media::{Body, Broken, Download};

/// Longest media type that is believed to be one, in bytes.
const TYPE_LIMIT: usize = 127;

impl Transport {
    /// Sends a request with `body` in place of its own.
    pub(crate) async fn give<R>(
        &self,
        request: R,
        acting_as: Option<&UserId>,
        body: Body,
    ) -> Result<R::IncomingResponse, Error>
    where
        R: OutgoingRequest,
        R::Authentication: ForToken,
        R::PathBuilder: Versioned,
    {
        let token = SendAccessToken::Always(self.token.expose());
        let built = self.built(request, token, acting_as);
        let exchange = async {
            let answer = self.given(built, body).await?;
            read_as::<R>(&answer)
        };
        self.noted(call_of::<R>(acting_as), exchange).await
    }

    async fn given(&self, built: Built, body: Body) -> Result<super::answer::Answer, Kind> {
        let mut request = prepared(built)?;
        let length = body.length.ok_or_else(|| Kind::Request {
            reason: "nobody knows how many bytes the file has".to_owned(),
        })?;
        let body = if length == 0 {
            // Nobody would ask for its bytes, and notice that there are some.
            let none = body.checked().collect(0).await.map_err(Kind::Source)?;
            Body::of(none)
        } else {
            body
        };
        let (chunks, watch) = watched(body, self.limits.patience);
        // Homeservers want to know it beforehand, and take nothing in chunks.
        request
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
        *request.body_mut() = Some(reqwest::Body::wrap_stream(chunks));
        let exchange = async {
            let response = self.transfers.execute(request).await;
            self.judged(response.map_err(|e| unsent(&e))?).await
        };
        watch.over(exchange).await.map_err(cause)
    }

    /// Asks for a file, with the appservice's token.
    pub(crate) async fn open<R>(
        &self,
        request: R,
        acting_as: Option<&UserId>,
    ) -> Result<Download, Error>
    where
        R: OutgoingRequest,
        R::Authentication: ForToken,
        R::PathBuilder: Versioned,
    {
        let token = SendAccessToken::Always(self.token.expose());
        let built = self.built(request, token, acting_as);
        self.noted(call_of::<R>(acting_as), self.opened(built))
            .await
    }

    /// Asks for a file that everybody may have, without telling who asks.
    pub(crate) async fn open_without_token<R>(&self, request: R) -> Result<Download, Error>
    where
        R: OutgoingRequest,
        R::Authentication: ForToken,
        R::PathBuilder: Versioned,
    {
        let built = self.built(request, SendAccessToken::None, None);
        self.noted(call_of::<R>(None), self.opened(built)).await
    }

    async fn opened(&self, built: Built) -> Result<Download, Kind> {
        let mut request = prepared(built)?;
        request
            .headers_mut()
            .insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let opening = async {
            let response = self.transfers.execute(request).await;
            let response = response.map_err(|e| unsent(&e))?;
            let status = response.status();
            if status == StatusCode::OK {
                return Ok(response);
            }
            if status.is_redirection() {
                return Err(Kind::NotMatrix {
                    status: status.as_u16(),
                    reason: "it redirects to where it keeps its files, which is not followed: \
                             let it hand them out itself"
                        .to_owned(),
                    maybe_done: false,
                });
            }
            self.judged(response).await?;
            Err(Kind::NotMatrix {
                status: status.as_u16(),
                reason: "not the whole of a file".to_owned(),
                maybe_done: false,
            })
        };
        let response = tokio::time::timeout(self.limits.patience.opening, opening)
            .await
            .map_err(|_| Kind::Transport {
                reason: "timed out".to_owned(),
                maybe_done: false,
            })??;
        if is_packed(response.headers()) {
            return Err(Kind::NotMatrix {
                status: 200,
                reason: "a file in an encoding that was not asked for".to_owned(),
                maybe_done: false,
            });
        }
        let media_type = media_type(response.headers());
        let body = Body {
            length: response.content_length(),
            chunks: Box::pin(
                response
                    .bytes_stream()
                    .map_err(|error| Broken::Lost(chain(&error))),
            ),
        };
        Ok(Download {
            media_type,
            body: body.checked().stalling_after(self.limits.patience.stall),
        })
    }

    /// Sends a request and takes a number out of its answer; none when it is not there.
    pub(crate) async fn number_of<R>(
        &self,
        request: R,
        acting_as: Option<&UserId>,
        key: &str,
    ) -> Result<Option<u64>, Error>
    where
        R: OutgoingRequest,
        R::Authentication: ForToken,
        R::PathBuilder: Versioned,
    {
        let token = SendAccessToken::Always(self.token.expose());
        let built = self.built(request, token, acting_as);
        let exchange = async {
            let answer = self.exchange(prepared(built)?).await?;
            match serde_json::from_slice(&answer.body) {
                Ok(Value::Object(object)) => Ok(object.get(key).and_then(Value::as_u64)),
                _ => Err(Kind::NotMatrix {
                    status: answer.status.as_u16(),
                    reason: super::answer::what_is_odd(&answer.headers, &answer.body),
                    maybe_done: false,
                }),
            }
        };
        self.noted(call_of::<R>(acting_as), exchange).await
    }

    /// Whether the homeserver is known to hand files out by the old endpoint only.
    pub(crate) fn has_old_media(&self) -> bool {
        self.old_media.load(Ordering::Relaxed)
    }

    /// Remembers which endpoint hands files out.
    pub(crate) fn note_old_media(&self, old: bool) {
        self.old_media.store(old, Ordering::Relaxed);
    }
}

/// Whose fault it was that an upload has no good answer.
fn cause(halt: Halt<Kind>) -> Kind {
    match halt {
        Halt::Source(broken) => Kind::Source(broken),
        Halt::NotTaken => Kind::Transport {
            reason: "it took no more of the file".to_owned(),
            maybe_done: false,
        },
        Halt::NoAnswer => Kind::Transport {
            reason: "it has the file and did not answer".to_owned(),
            maybe_done: true,
        },
        Halt::Failed {
            error: Kind::Transport { reason, .. },
            complete: false,
        } => Kind::Transport {
            reason,
            maybe_done: false,
        },
        Halt::Failed { error, .. } => error,
    }
}

fn is_packed(headers: &HeaderMap) -> bool {
    let encoding = headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
    encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity"))
}

/// What the homeserver says that a file is.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    (!value.is_empty() && value.len() <= TYPE_LIMIT).then(|| value.to_owned())
}
