//! Files on their way in and out: streamed, without a bound on the whole, and with one
//! on standing still.

use futures_util::TryStreamExt as _;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue,
};
use reqwest::multipart::{Form, Part};
use reqwest::{Response, StatusCode};

use super::answer;
use super::client::{ANSWER_LIMIT, Client, Session, auth_headers};
use crate::media::outgoing::{Halt, watched};
use crate::media::{Body, Broken};
use crate::rocketchat::error::Error;

/// Longest name of a file that is given to the server, in bytes: the headers of a part
/// may have 16 KiB.
const NAME_LIMIT: usize = 1024;
/// What is not known to be anything else.
const UNKNOWN_TYPE: &str = "application/octet-stream";
/// Longest media type that is believed to be one, in bytes.
const TYPE_LIMIT: usize = 127;

impl Session {
    /// Uploads `body` as the part `file` beside `texts`, and returns the body of the good
    /// answer.
    pub(super) async fn give(
        &self,
        path: &[&str],
        texts: &[(&'static str, &str)],
        name: &str,
        media_type: &str,
        body: Body,
    ) -> Result<Vec<u8>, Error> {
        let client = self.client();
        let (user_id, token) = self.credentials();
        let length = body.length;
        let (chunks, watch) = watched(body, client.patience);
        let stream = reqwest::Body::wrap_stream(chunks);
        let file = match length {
            Some(length) => Part::stream_with_length(stream, length),
            None => Part::stream(stream),
        };
        let mut form = Form::new();
        for (key, value) in texts {
            form = form.text(*key, (*value).to_owned());
        }
        let request = client
            .transfers
            .post(client.address(path)?)
            .headers(auth_headers(user_id, token)?)
            .multipart(form.part("file", described(file, name, media_type)?));
        let exchange = async {
            let response = request.send().await.map_err(|e| answer::transport(&e))?;
            answer::body(response, ANSWER_LIMIT).await
        };
        watch.over(exchange).await.map_err(cause)
    }
}

/// Whose fault it was that an upload has no good answer.
fn cause(halt: Halt<Error>) -> Error {
    match halt {
        Halt::Source(broken) => Error::Source(broken),
        Halt::NotTaken => Error::Transport {
            maybe_done: false,
            what: "the server took no more of the file",
        },
        Halt::NoAnswer => Error::Transport {
            maybe_done: true,
            what: "timeout",
        },
        Halt::Failed {
            error: Error::Transport { what, .. },
            complete: false,
        } => Error::Transport {
            maybe_done: false,
            what,
        },
        Halt::Failed { error, .. } => error,
    }
}

impl Client {
    /// Asks for a file and returns the beginning of its answer: 200, and nothing
    /// compressed. `headers` prove who asks.
    pub(super) async fn open(&self, path: &[&str], headers: HeaderMap) -> Result<Response, Error> {
        let request = self
            .transfers
            .get(self.address(path)?)
            .headers(headers)
            .header(ACCEPT_ENCODING, "identity");
        let timeout = self.patience.opening;
        let response = tokio::time::timeout(timeout, request.send())
            .await
            .map_err(|_| Error::Transport {
                maybe_done: false,
                what: "timeout",
            })?
            .map_err(|e| answer::transport(&e))?;
        if response.status().is_redirection() {
            return Err(Error::Redirected);
        }
        if response.status() != StatusCode::OK {
            let refused = tokio::time::timeout(timeout, answer::no_file(response)).await;
            return Err(refused.unwrap_or(Error::Transport {
                maybe_done: false,
                what: "timeout",
            }));
        }
        let headers = response.headers();
        let text = |name| headers.get(name).map(HeaderValue::as_bytes);
        if text(CONTENT_ENCODING).is_some_and(|found| !found.eq_ignore_ascii_case(b"identity")) {
            return Err(Error::NotRocketChat {
                what: "a file in an encoding that was not asked for",
            });
        }
        // The server says of every file that it is an attachment or to be shown inline;
        // something in between that is in trouble says nothing like it of its page.
        let page = text(CONTENT_TYPE).is_some_and(|found| found.starts_with(b"text/html"));
        if page && text(CONTENT_DISPOSITION).is_none() {
            return Err(Error::NotRocketChat {
                what: "a page in place of a file",
            });
        }
        Ok(response)
    }

    /// The rest of an answer, held to its announced length and to a pace.
    pub(super) fn body_of(&self, response: Response) -> Body {
        let length = response.content_length();
        let lost = |error| match answer::transport(&error) {
            Error::Transport { what, .. } => Broken::Lost(what.to_owned()),
            other => Broken::Lost(other.to_string()),
        };
        let body = Body {
            chunks: Box::pin(response.bytes_stream().map_err(lost)),
            length,
        };
        body.checked().stalling_after(self.patience.stall)
    }
}

/// What the server says that a file is.
pub(super) fn media_type(response: &Response) -> Option<String> {
    let value = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    (!value.is_empty() && value.len() <= TYPE_LIMIT).then(|| value.to_owned())
}

/// Gives a part its name and type. A type that is none is not passed on.
pub(super) fn described(part: Part, name: &str, media_type: &str) -> Result<Part, Error> {
    // A part that does not take a type is lost with it, so that it is tried out first.
    let is_type = media_type.len() <= TYPE_LIMIT && Part::text("").mime_str(media_type).is_ok();
    let media_type = if is_type { media_type } else { UNKNOWN_TYPE };
    let part = part.file_name(part_name(name)).mime_str(media_type);
    part.map_err(|_| Error::Transport {
        maybe_done: false,
        what: "the request cannot be built",
    })
}

/// A name as the header of a part can carry it. The server takes what stands behind the
/// last slash of either kind for the name, and throws the whole part away for a control
/// character or without a name (6.14, 7.x: busboy); quotes are escaped by who writes the
/// header.
fn part_name(name: &str) -> String {
    let mut clean = String::new();
    for c in name.chars() {
        let c = if c.is_control() || matches!(c, '/' | '\\') {
            '_'
        } else {
            c
        };
        if clean.len() + c.len_utf8() > NAME_LIMIT {
            break;
        }
        clean.push(c);
    }
    match clean.as_str() {
        "" | "." | ".." => "file".to_owned(),
        _ => clean,
    }
}
