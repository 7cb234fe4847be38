//! Files for people's browsers. The one path that needs no `hs_token`: the link itself
//! is the permission, and whether it is one only the handler knows.
//!
//! Nothing here is ever shown by a browser as a page of this address: a file is to be
//! saved, its type is one that nothing runs in, and it may not be sniffed. The address
//! is in no log, for who has it has the file.

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BodyStream, BoxBody, MessageBody as _, SizedStream};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::{mpsc, watch};

use super::Handler;
use super::routes::Shared;
use crate::media::{Body, Broken, kind};

/// Pieces of a file that wait for its reader.
const PIECES_AHEAD: usize = 2;

/// A link as it was presented.
#[derive(Clone, PartialEq, Eq)]
pub struct FileRequest {
    /// Which file.
    pub id: String,
    /// Until when the link works, in seconds since 1970.
    pub until: String,
    /// That both are ours.
    pub signature: String,
}

/// Without the signature.
impl std::fmt::Debug for FileRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileRequest({})", self.id)
    }
}

/// A file that is handed out.
#[derive(Debug)]
pub struct ServedFile {
    /// Stands for its content: another file has another. Letters, digits, `-` and `_`.
    pub tag: String,
    /// Its name, cleaned.
    pub name: String,
    /// Its type; passed on only if it is a harmless one.
    pub media_type: String,
    /// Whether parts of it may be asked for. Not of one whose hash is only right at its
    /// end.
    pub in_ranges: bool,
    /// Whether pages of other addresses may show it: a small picture of a person.
    pub shown_elsewhere: bool,
    /// Its bytes.
    pub body: Body,
}

/// Why a file is not handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileRefusal {
    /// There is no such link. Said of every link that is not the bridge's own, so that
    /// nothing is learnt by trying.
    Unknown,
    /// The link was one, and has ended.
    Ended,
    /// Too many files are being handed out.
    Busy,
    /// A server is away.
    NotNow,
}

impl FileRefusal {
    fn answer(self) -> HttpResponse {
        let (status, sentence, after) = match self {
            Self::Unknown => (StatusCode::NOT_FOUND, "There is no file here.", None),
            Self::Ended => (
                StatusCode::GONE,
                "This link has ended, or the message with the file was deleted.",
                None,
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many files are being downloaded. Try again in a moment.",
                Some("10"),
            ),
            Self::NotNow => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The server that has the file cannot be reached now. Try again later.",
                Some("60"),
            ),
        };
        let mut answer = HttpResponse::build(status);
        guard(&mut answer);
        if let Some(seconds) = after {
            answer.insert_header((header::RETRY_AFTER, seconds));
        }
        answer
            .content_type("text/plain; charset=utf-8")
            .body(format!("{sentence}\n"))
    }
}

/// The answer to `GET` and `HEAD`.
pub(super) async fn serve<H: Handler>(
    shared: Data<Shared<H>>,
    request: HttpRequest,
    path: Path<(String, String, String, String)>,
) -> HttpResponse {
    let (id, until, signature, _) = path.into_inner();
    let asked = FileRequest {
        id,
        until,
        signature,
    };
    let handler = Arc::clone(&shared.handler);
    let found = shared
        .runtime
        .spawn(async move { handler.file(asked).await });
    match found.await {
        Ok(Ok(file)) => {
            let only_head = request.method() == actix_web::http::Method::HEAD;
            answer(file, request.headers(), only_head, |body| {
                reading(
                    body,
                    shared.limits.reader_pause,
                    shared.stopping.clone(),
                    &shared.runtime,
                )
            })
        }
        Ok(Err(refusal)) => refusal.answer(),
        Err(ended) => {
            if ended.is_panic() {
                tracing::error!("the handler of a file panicked");
            }
            FileRefusal::NotNow.answer()
        }
    }
}

fn answer(
    file: ServedFile,
    headers: &HeaderMap,
    only_head: bool,
    flowing: impl FnOnce(Body) -> BoxBody,
) -> HttpResponse {
    let length = file.body.length;
    let tag = format!("\"{}\"", file.tag);
    let part = match length {
        Some(length) if file.in_ranges && !only_head => wanted(headers, &tag, length),
        _ => Wanted::Whole,
    };
    let (status, length, content_range, body) = match (part, length) {
        (Wanted::Nothing, Some(length)) => {
            let mut answer = HttpResponse::build(StatusCode::RANGE_NOT_SATISFIABLE);
            guard(&mut answer);
            return answer
                .insert_header((header::CONTENT_RANGE, format!("bytes */{length}")))
                .finish();
        }
        (Wanted::Part { first, last }, Some(length)) => {
            let count = last - first + 1;
            (
                StatusCode::PARTIAL_CONTENT,
                Some(count),
                Some(format!("bytes {first}-{last}/{length}")),
                file.body.part(first, count),
            )
        }
        _ => (StatusCode::OK, length, None, file.body),
    };
    let mut answer = HttpResponse::build(status);
    guard(&mut answer);
    answer
        .insert_header((header::CONTENT_TYPE, kind::served_as(&file.media_type)))
        .insert_header((header::CONTENT_DISPOSITION, to_be_saved_as(&file.name)))
        .insert_header((
            header::ACCEPT_RANGES,
            if file.in_ranges && length.is_some() {
                "bytes"
            } else {
                "none"
            },
        ));
    if file.shown_elsewhere {
        answer
            .insert_header(("Cross-Origin-Resource-Policy", "cross-origin"))
            .insert_header((header::CACHE_CONTROL, "private, max-age=86400, immutable"));
    }
    if let Ok(tag) = HeaderValue::try_from(tag) {
        answer.insert_header((header::ETAG, tag));
    }
    if let Some(range) = content_range {
        answer.insert_header((header::CONTENT_RANGE, range));
    }
    if only_head {
        // The file is not read, but its length is told.
        drop(body);
        let nothing = stream::empty::<Result<Bytes, Broken>>();
        return match length {
            Some(length) => answer.body(SizedStream::new(length, nothing)),
            None => answer.finish(),
        };
    }
    answer.body(flowing(Body { length, ..body }))
}

/// What stands in every answer: that it is no page, nobody's to keep, and says nothing
/// of itself elsewhere.
fn guard(answer: &mut HttpResponseBuilder) {
    answer
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .insert_header(("Content-Security-Policy", "sandbox; default-src 'none'"))
        .insert_header(("Cross-Origin-Resource-Policy", "same-origin"))
        .insert_header(("Referrer-Policy", "no-referrer"))
        .insert_header((header::CACHE_CONTROL, "private, no-store"))
        .insert_header(("X-Robots-Tag", "noindex"));
}

/// `Content-Disposition` (RFC 6266): a name in ASCII for old programs, and the name.
fn to_be_saved_as(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| match c {
            // A per cent sign is decoded by some, and must not be.
            '"' | '\\' | '%' => '_',
            ' '..='~' => c,
            _ => '_',
        })
        .collect();
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        // `attr-char` of RFC 8187.
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

/// Which bytes are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Whole,
    /// Counted from 0, both among them.
    Part {
        first: u64,
        last: u64,
    },
    /// Some that there are not.
    Nothing,
}

/// A single range (RFC 9110, section 14). What is not understood, or asks for several,
/// is not obeyed: the answer is the whole file.
fn wanted(headers: &HeaderMap, tag: &str, length: u64) -> Wanted {
    let mut ranges = headers.get_all(header::RANGE);
    let (Some(range), None) = (ranges.next(), ranges.next()) else {
        return Wanted::Whole;
    };
    // A part of another file than the one whose beginning is there already.
    if headers
        .get(header::IF_RANGE)
        .is_some_and(|known| known != tag)
    {
        return Wanted::Whole;
    }
    parsed(range.to_str().unwrap_or_default(), length).unwrap_or(Wanted::Whole)
}

fn parsed(range: &str, length: u64) -> Option<Wanted> {
    let (unit, set) = range.split_once('=')?;
    let (first, last) = set.trim().split_once('-')?;
    let number = |text: &str| -> Option<Option<u64>> {
        match text {
            "" => Some(None),
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
                // More digits than fit are a large number all the same.
                Some(Some(digits.parse().unwrap_or(u64::MAX)))
            }
            _ => None,
        }
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let end = length.checked_sub(1);
    let (first, last) = match (number(first)?, number(last)?, end) {
        (None, None, _) => return None,
        (Some(first), Some(last), _) if last < first => return None,
        (_, _, None) => return Some(Wanted::Nothing),
        (Some(first), last, Some(end)) => (first, last.unwrap_or(end).min(end)),
        (None, Some(0), _) => return Some(Wanted::Nothing),
        (None, Some(count), Some(end)) => (length.saturating_sub(count), end),
    };
    Some(if first <= last {
        Wanted::Part { first, last }
    } else {
        Wanted::Nothing
    })
}

/// The file as its reader takes it. It is read from its server by a task that gives up
/// when nobody takes a piece for as long as `pause`, or when the listener stops: whatever
/// the connection does, the place that the file takes becomes free.
fn reading(
    body: Body,
    pause: Duration,
    mut stopping: watch::Receiver<bool>,
    runtime: &tokio::runtime::Handle,
) -> BoxBody {
    let length = body.length;
    let (give, take) = mpsc::channel::<Result<Bytes, Broken>>(PIECES_AHEAD);
    runtime.spawn(async move {
        let mut chunks = body.checked().chunks;
        loop {
            let next = tokio::select! {
                next = chunks.next() => next,
                () = give.closed() => return,
                _ = stopping.wait_for(|stop| *stop) => {
                    Some(Err(Broken::Lost("the bridge stops".to_owned())))
                }
            };
            let Some(piece) = next else { return };
            let is_end = piece.is_err();
            if let Err(broken) = &piece {
                tracing::info!(%broken, "a file could not be handed out to its end");
            }
            let given = give.send(piece);
            if tokio::time::timeout(pause, given).await.is_err() || is_end {
                return;
            }
        }
    });
    // A channel that is closed early must not look like the end of the file.
    let state = (take, 0_u64, length);
    let chunks = stream::unfold(Some(state), |state| async move {
        let (mut take, came, length) = state?;
        match take.recv().await {
            Some(Ok(piece)) => {
                let came = came + piece.len() as u64;
                Some((Ok(piece), Some((take, came, length))))
            }
            Some(Err(broken)) => Some((Err(broken), None)),
            None if length.is_none_or(|length| came == length) => None,
            None => Some((Err(Broken::Stalled), None)),
        }
    });
    match length {
        Some(length) => SizedStream::new(length, chunks.boxed()).boxed(),
        None => BodyStream::new(chunks.boxed()).boxed(),
    }
}

#[cfg(test)]
pub(super) mod tests;
