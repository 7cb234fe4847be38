//! Multipart forms: one file, streamed to disk, and texts (facts 5.1, captures 40 to 42).

use std::cell::RefCell;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_multipart::Multipart;
use actix_web::{
    HttpMessage, HttpRequest,
    error::PayloadError,
    http::header::{DispositionParam, HeaderMap},
    web,
};
use futures_util::{Stream, StreamExt};
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

use crate::{error::Failure, json::Doc, media_types, pictures, state::State};

/// Text of a part beyond this is cut, as the server's parser does.
const MAX_TEXT: usize = 1024 * 1024;

/// Largest request body that is no file, in bytes (facts 0.1).
const MAX_BODY: usize = 50 * 1024 * 1024;

/// The body of a request on its way.
pub type Incoming = Pin<Box<dyn Stream<Item = Result<web::Bytes, PayloadError>>>>;

/// A file that was received.
#[derive(Debug)]
pub struct Received {
    /// Name without a path.
    pub name: String,
    /// The media type that the server believes.
    pub kind: String,
    /// Bytes.
    pub size: u64,
    /// Where they are.
    pub bytes: NamedTempFile,
    /// What the picture in it shows, for files that are one by type; or why it is none.
    pub look: Result<pictures::Look, String>,
}

/// What a form held.
#[derive(Debug, Default)]
pub struct Form {
    /// Its texts.
    pub fields: Doc,
    /// Its file.
    pub file: Option<Received>,
}

/// The rules of a form.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Name of the part with the file.
    pub field: &'static str,
    /// A file of so many bytes is refused already.
    pub limit: Option<u64>,
    /// Whether to remove what cameras note in pictures.
    pub strip_exif: bool,
    /// Whether to look into pictures for a thumbnail and a preview.
    pub look: bool,
}

impl Wanted {
    /// How the form of a route is to be read; `None` for routes that take none.
    pub fn of(state: &State, path: &str) -> Option<Self> {
        let limit = state.settings.number("FileUpload_MaxFileSize");
        let limit = u64::try_from(limit).ok().filter(|limit| *limit > 0);
        let path = path.strip_prefix("/api/v1/")?;
        let of_room = path.starts_with("rooms.media/") || path.starts_with("rooms.upload/");
        if of_room {
            Some(Self {
                field: "file",
                limit,
                strip_exif: state.settings.on("Message_Attachments_Strip_Exif"),
                look: true,
            })
        } else {
            (path == "users.setAvatar").then_some(Self {
                field: "image",
                limit,
                strip_exif: false,
                look: false,
            })
        }
    }
}

/// The body, shared with who drains it in the end.
struct Tap(Rc<RefCell<Incoming>>);

impl Stream for Tap {
    type Item = Result<web::Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.borrow_mut().as_mut().poll_next(context)
    }
}

/// Reads the rest of a body and forgets it, so that its sender hears the answer.
pub async fn drain(mut body: Incoming) {
    while let Some(Ok(_)) = body.next().await {}
}

/// A body that is no file; `None` when it is too large.
pub async fn whole(mut body: Incoming) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let Ok(chunk) = chunk else {
            return Some(bytes);
        };
        if bytes.len() + chunk.len() > MAX_BODY {
            drain(body).await;
            return None;
        }
        bytes.extend_from_slice(&chunk);
    }
    Some(bytes)
}

/// Reads a form. The whole body is read whatever is wrong with it.
pub async fn read(
    request: &HttpRequest,
    body: Incoming,
    wanted: &Wanted,
    directory: &Path,
) -> Result<Form, Failure> {
    let kind = request.content_type().to_owned();
    if kind != "multipart/form-data" {
        drain(body).await;
        return Err(Failure::plain(format!("Unsupported content type: {kind}")));
    }
    let body = Rc::new(RefCell::new(body));
    let outcome = parts(request.headers(), Tap(Rc::clone(&body)), wanted, directory).await;
    drain(Box::pin(Tap(body))).await;
    outcome
}

async fn parts(
    headers: &HeaderMap,
    body: Tap,
    wanted: &Wanted,
    directory: &Path,
) -> Result<Form, Failure> {
    let broken = |error: actix_multipart::MultipartError| {
        tracing::debug!(%error, "a form cannot be read");
        Failure::plain("Unexpected end of form")
    };
    let mut form = Form::default();
    let mut parts = Multipart::new(headers, body);
    while let Some(part) = parts.next().await {
        let mut part = part.map_err(broken)?;
        let field = part.name().unwrap_or_default().to_owned();
        let Some(name) = file_name(&part) else {
            let mut text = Vec::new();
            while let Some(chunk) = part.next().await {
                let chunk = chunk.map_err(broken)?;
                let room = MAX_TEXT - text.len();
                text.extend_from_slice(&chunk[..chunk.len().min(room)]);
            }
            let text = String::from_utf8_lossy(&text).into_owned();
            form.fields.insert(field, json!(text));
            continue;
        };
        if field != wanted.field {
            return Err(Failure::bare("invalid-field"));
        }
        if form.file.is_some() {
            return Err(Failure::plain("Just 1 file is allowed"));
        }
        if name.is_empty() {
            continue;
        }
        let declared = part
            .content_type()
            .map_or_else(|| "text/plain".to_owned(), ToString::to_string);
        let kept = NamedTempFile::new_in(directory).map_err(|error| cannot_keep(&error))?;
        let copy = kept.reopen().map_err(|error| cannot_keep(&error))?;
        let mut file = tokio::fs::File::from_std(copy);
        let mut size = 0_u64;
        while let Some(chunk) = part.next().await {
            let chunk = chunk.map_err(broken)?;
            size += chunk.len() as u64;
            if wanted.limit.is_some_and(|limit| size >= limit) {
                return Err(Failure::bare("error-file-too-large"));
            }
            file.write_all(&chunk)
                .await
                .map_err(|error| cannot_keep(&error))?;
        }
        file.flush().await.map_err(|error| cannot_keep(&error))?;
        let kind = media_types::believed(&declared, &name);
        let (strips, looks) = (wanted.strip_exif, wanted.look);
        let directory = directory.to_owned();
        let finished =
            web::block(move || finish(kept, name, kind, size, strips, looks, &directory));
        form.file = Some(finished.await.map_err(|_| Failure::silent())??);
    }
    if form.file.is_none() {
        return Err(Failure::bare("No file uploaded"));
    }
    Ok(form)
}

/// The name of a part that is a file, without its path; `None` for texts.
fn file_name(part: &actix_multipart::Field) -> Option<String> {
    let disposition = part.content_disposition()?;
    let extended = disposition.get_filename_ext();
    let name = match extended {
        Some(extended) => String::from_utf8_lossy(&extended.value).into_owned(),
        None => disposition
            .parameters
            .iter()
            .find_map(DispositionParam::as_filename)?
            .to_owned(),
    };
    let base = name.rsplit(['/', '\\']).next().unwrap_or("").to_owned();
    Some(base)
}

fn cannot_keep(error: &std::io::Error) -> Failure {
    tracing::error!(%error, "a file cannot be received");
    Failure::coded(
        "ufs: cannot upload file",
        "Error: the file cannot be stored",
    )
}

/// What takes a processor: stripping and looking.
fn finish(
    mut bytes: NamedTempFile,
    name: String,
    kind: String,
    mut size: u64,
    strip_exif: bool,
    look: bool,
    directory: &Path,
) -> Result<Received, Failure> {
    if strip_exif {
        let mut stripped = NamedTempFile::new_in(directory).map_err(|error| cannot_keep(&error))?;
        let changed = pictures::strip_exif(bytes.as_file_mut(), stripped.as_file_mut())
            .map_err(|error| cannot_keep(&error))?;
        if changed {
            let length = stripped.as_file().metadata();
            size = length.map_err(|error| cannot_keep(&error))?.len();
            bytes = stripped;
        }
    }
    let look = if look && kind.starts_with("image/") && size > 0 {
        pictures::look(bytes.path(), &kind)
    } else {
        Ok(pictures::Look::default())
    };
    Ok(Received {
        name,
        kind,
        size,
        bytes,
        look,
    })
}
