//! Downloading files (facts 5.2, capture 43): by id, streamed from disk, for who may.

use std::io::{SeekFrom, Write};
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use actix_web::{
    HttpRequest, HttpResponse,
    body::SizedStream,
    http::{StatusCode, header},
    web,
};
use flate2::{Compression, write::GzEncoder};
use futures_util::{Stream, StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::serve;
use crate::{json, media_types, server::Shared, state::State};

/// What is read from disk at once.
const CHUNK: usize = 64 * 1024;

/// What there is to send.
struct Found {
    path: PathBuf,
    name: String,
    kind: String,
    size: u64,
    at: i64,
    etag: String,
}

/// `rc_uid` and `rc_token` of the query, or else of the cookies.
pub fn query_or_cookie(request: &HttpRequest) -> Option<(String, String)> {
    let query: Vec<(String, String)> = serve::pairs(request.query_string());
    let in_query = |key: &str| {
        let found = query.iter().find(|(one, _)| one == key);
        found.map(|(_, value)| value.clone())
    };
    if let Some(uid) = in_query("rc_uid") {
        return Some((uid, in_query("rc_token")?));
    }
    let cookies = request.headers().get(header::COOKIE)?.to_str().ok()?;
    let cookie = |key: &str| {
        let mut all = cookies
            .split(';')
            .filter_map(|one| one.trim().split_once('='));
        all.find(|(one, _)| *one == key)
            .map(|(_, value)| value.to_owned())
    };
    Some((cookie("rc_uid")?, cookie("rc_token")?))
}

/// Who asks, by query, cookie or headers.
fn asking(state: &State, request: &HttpRequest) -> Option<String> {
    query_or_cookie(request)
        .filter(|(uid, token)| serve::is_valid(state, uid, token))
        .map(|(uid, _)| uid)
        .or_else(|| serve::caller(state, request).map(|(uid, ..)| uid))
}

fn find(
    state: &State,
    request: &HttpRequest,
    id: &str,
    checks_room: bool,
) -> Result<Found, StatusCode> {
    let Some(upload) = state.files.get(id) else {
        return Err(StatusCode::NOT_FOUND);
    };
    if state.settings.on("FileUpload_ProtectFiles") {
        let uid = asking(state, request).ok_or(StatusCode::FORBIDDEN)?;
        let rid = upload.rid();
        let allowed = if !checks_room {
            true
        } else if state.settings.on("FileUpload_Restrict_to_room_members") {
            state.sub(rid, &uid).is_some()
        } else if state
            .settings
            .on("FileUpload_Restrict_to_users_who_can_access_room")
        {
            state.may_access(&uid, rid)
        } else {
            true
        };
        if !allowed {
            return Err(StatusCode::FORBIDDEN);
        }
    }
    Ok(Found {
        path: state.files.path(id),
        name: upload.name().to_owned(),
        kind: upload.kind().to_owned(),
        size: upload.size(),
        at: upload.at(),
        etag: json::text(&upload.doc, "etag").to_owned(),
    })
}

fn refused(status: StatusCode) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header(("access-control-allow-origin", "*"))
        .finish()
}

/// A date as HTTP headers have it.
pub fn http_date(ms: i64) -> String {
    let seconds = u64::try_from(ms / 1000).unwrap_or(0);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// The bounds of `Range: bytes=a-b`; every other form is ignored.
fn range(request: &HttpRequest) -> Option<(u64, u64)> {
    let text = request.headers().get(header::RANGE)?.to_str().ok()?;
    let first = text.strip_prefix("bytes=")?.split(',').next()?;
    let (from, to) = first.split_once('-')?;
    Some((from.trim().parse().ok()?, to.trim().parse().ok()?))
}

/// Answers `GET` and `HEAD` of `/file-upload/<id>/<anything>`; `None` for other paths.
pub async fn answer(request: &HttpRequest, shared: &Shared) -> Option<HttpResponse> {
    if !matches!(request.method().as_str(), "GET" | "HEAD") {
        return None;
    }
    if let Some(rest) = request.path().strip_prefix("/file-upload/") {
        return Some(match rest.split_once('/') {
            Some((id, _)) => send(request, shared, id, false).await,
            None => refused(StatusCode::NOT_FOUND),
        });
    }
    let rest = request.path().strip_prefix("/ufs/GridFS:Uploads/")?;
    let (id, _) = rest.split_once('/')?;
    Some(send(request, shared, id, true).await)
}

async fn send(request: &HttpRequest, shared: &Shared, id: &str, old_path: bool) -> HttpResponse {
    let found = find(&shared.lock(), request, id, !old_path);
    let found = match found {
        Ok(found) => found,
        Err(status) => return refused(status),
    };
    let Ok(mut file) = tokio::fs::File::open(&found.path).await else {
        return refused(StatusCode::NOT_FOUND);
    };
    let mut response = HttpResponse::build(StatusCode::OK);
    response.insert_header(("access-control-allow-origin", "*"));
    if old_path {
        let name = media_types::encode_component(&found.name);
        response
            .insert_header((
                "content-disposition",
                format!("attachment; filename=\"{name}\""),
            ))
            .insert_header(("etag", found.etag));
    } else {
        response
            .insert_header(("content-security-policy", "default-src 'none'"))
            .insert_header(("cache-control", "max-age=31536000"));
    }
    let range = range(request).filter(|_| !old_path);
    if let Some((from, to)) = range
        && (from > found.size || to <= from || to > found.size)
    {
        return response
            .status(StatusCode::RANGE_NOT_SATISFIABLE)
            .insert_header(("content-range", format!("bytes */{}", found.size)))
            .finish();
    }
    if !old_path {
        let name = media_types::offered_name(&found.name, &found.kind);
        let name = media_types::encode_component(&name);
        response.insert_header((
            "content-disposition",
            format!("attachment; filename*=UTF-8''{name}"),
        ));
    }
    response
        .insert_header(("last-modified", http_date(found.at)))
        .insert_header(("content-type", found.kind.as_str()));
    let compressible = media_types::compressible(&found.kind);
    if compressible {
        response.insert_header(("vary", "Accept-Encoding"));
    }
    if let Some((from, to)) = range {
        let to = to.min(found.size.saturating_sub(1));
        if let Err(error) = file.seek(SeekFrom::Start(from)).await {
            tracing::warn!(%error, "a file cannot be read");
            return refused(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let length = to - from + 1;
        return response
            .status(StatusCode::PARTIAL_CONTENT)
            .insert_header(("content-range", format!("bytes {from}-{to}/{}", found.size)))
            .body(SizedStream::new(length, Box::pin(chunks(file, length))));
    }
    let zips = compressible
        && request
            .headers()
            .get(header::ACCEPT_ENCODING)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|accepted| accepted.contains("gzip"));
    if zips {
        return response
            .insert_header(("content-encoding", "gzip"))
            .streaming(Box::pin(zipped(chunks(file, found.size))));
    }
    let stream = Box::pin(chunks(file, found.size));
    response.body(SizedStream::new(found.size, stream))
}

/// The next `length` bytes of a file.
fn chunks(file: tokio::fs::File, length: u64) -> impl Stream<Item = std::io::Result<web::Bytes>> {
    stream::try_unfold((file, length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let wanted = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        let mut buffer = vec![0; wanted];
        let read = file.read(&mut buffer).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        buffer.truncate(read);
        Ok(Some((web::Bytes::from(buffer), (file, left - read as u64))))
    })
}

/// The same bytes compressed, piece by piece.
fn zipped(
    plain: impl Stream<Item = std::io::Result<web::Bytes>> + 'static,
) -> impl Stream<Item = std::io::Result<web::Bytes>> {
    let encoder = GzEncoder::new(Vec::new(), Compression::default());
    let state = (Box::pin(plain), Some(encoder));
    stream::try_unfold(state, |(mut plain, encoder)| async move {
        let Some(mut encoder) = encoder else {
            return Ok(None);
        };
        while let Some(chunk) = plain.next().await {
            encoder.write_all(&chunk?)?;
            let ready = std::mem::take(encoder.get_mut());
            // An empty piece would end a chunked answer.
            if !ready.is_empty() {
                return Ok(Some((web::Bytes::from(ready), (plain, Some(encoder)))));
            }
        }
        Ok(Some((web::Bytes::from(encoder.finish()?), (plain, None))))
    })
}
