//! Uploaded files (facts 5, captures 40 to 43): their documents, and their bytes in a directory,
//! one file each by its id.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::State;
use crate::{
    error::Failure,
    ids,
    json::{self, Doc},
    media_types, time,
};

/// How long a file waits for its message.
const UNCONFIRMED_MS: i64 = 24 * 3_600_000;

/// An uploaded file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upload {
    /// The document, as lists of files show it.
    pub doc: Doc,
    /// Order of uploading.
    pub seq: u64,
    /// A blurred JPEG, base64.
    #[serde(default)]
    pub preview: Option<String>,
    /// A smaller picture that waits beside the file: type, width, height.
    #[serde(default)]
    pub thumbnail: Option<(String, u32, u32)>,
}

impl Upload {
    /// The `_id`.
    pub fn id(&self) -> &str {
        json::text(&self.doc, "_id")
    }

    /// The name.
    pub fn name(&self) -> &str {
        json::text(&self.doc, "name")
    }

    /// The media type.
    pub fn kind(&self) -> &str {
        json::text(&self.doc, "type")
    }

    /// The room that it was uploaded into.
    pub fn rid(&self) -> &str {
        json::text(&self.doc, "rid")
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.doc.get("size").and_then(Value::as_u64).unwrap_or(0)
    }

    /// When it was uploaded, milliseconds.
    pub fn at(&self) -> i64 {
        json::date_ms(self.doc.get("uploadedAt")).unwrap_or(0)
    }

    /// The format that it was identified as, empty when it was not.
    fn format(&self) -> Value {
        let format = self.doc.get("identify").and_then(|one| one.get("format"));
        format.cloned().unwrap_or_else(|| json!(""))
    }

    /// As messages show it.
    fn short(&self) -> Value {
        json!({
            "_id": self.id(), "name": self.name(), "type": self.kind(), "size": self.size(),
            "format": self.format(),
        })
    }

    /// Made by the server, not by somebody.
    pub fn is_thumbnail(&self) -> bool {
        self.doc.contains_key("originalFileId")
    }

    fn expired(&self, now: i64) -> bool {
        json::date_ms(self.doc.get("expiresAt")).is_some_and(|at| at <= now)
    }
}

/// Where bytes are kept.
#[derive(Debug)]
enum Place {
    Given(PathBuf),
    /// Goes with the simulator.
    Temporary(TempDir),
}

/// All uploaded files.
#[derive(Debug)]
pub struct Files {
    all: HashMap<String, Upload>,
    next: u64,
    place: Place,
}

impl Files {
    /// No files; their bytes will be in `given` or in a temporary directory.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(given: Option<PathBuf>) -> std::io::Result<Self> {
        let place = match given {
            Some(path) => {
                std::fs::create_dir_all(&path)?;
                Place::Given(path)
            }
            None => Place::Temporary(TempDir::with_prefix("rocketchat-sim-")?),
        };
        Ok(Self {
            all: HashMap::new(),
            next: 0,
            place,
        })
    }

    /// The directory of the bytes.
    pub fn directory(&self) -> &Path {
        match &self.place {
            Place::Given(path) => path,
            Place::Temporary(directory) => directory.path(),
        }
    }

    /// Where the bytes of a file are. The id has to be one of a document.
    pub fn path(&self, id: &str) -> PathBuf {
        self.directory().join(id)
    }

    fn thumbnail_path(&self, id: &str) -> PathBuf {
        self.directory().join(format!("{id}.thumbnail"))
    }

    /// A file by id.
    pub fn get(&self, id: &str) -> Option<&Upload> {
        self.all
            .get(id)
            .filter(|upload| !upload.expired(time::now_ms()))
    }

    /// Files in order of uploading.
    pub fn in_order(&self) -> Vec<&Upload> {
        let mut list: Vec<&Upload> = self.all.values().collect();
        list.sort_by_key(|upload| upload.seq);
        list
    }

    /// Puts a document in the place of an older one.
    pub fn store(&mut self, upload: Upload) {
        self.next = self.next.max(upload.seq);
        self.all.insert(upload.id().to_owned(), upload);
    }

    /// Forgets a document, and removes the bytes.
    pub fn forget(&mut self, id: &str) -> Option<Upload> {
        let gone = self.all.remove(id)?;
        for path in [self.path(id), self.thumbnail_path(id)] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(%error, path = %path.display(), "a file cannot be removed");
                }
                _ => {}
            }
        }
        Some(gone)
    }
}

/// What a new file is, before it has an id.
#[derive(Debug)]
pub struct NewFile<'a> {
    /// Who uploads.
    pub uid: &'a str,
    /// Into which room.
    pub rid: &'a str,
    /// Name without a path.
    pub name: &'a str,
    /// The believed media type.
    pub kind: &'a str,
    /// Bytes.
    pub size: u64,
    /// What was seen in it.
    pub look: crate::pictures::Look,
}

fn cannot_write(error: &std::io::Error) -> Failure {
    tracing::error!(%error, "a file cannot be stored");
    Failure::coded(
        "ufs: cannot upload file",
        "Error: the file cannot be stored",
    )
}

impl State {
    /// Refuses a file by the settings, in the order of the server (facts 5.1).
    pub fn check_file(&self, rid: &str, kind: &str, size: u64) -> Result<(), Failure> {
        if size == 0 {
            return Err(Failure::coded(
                "file-too-small",
                "File size (size = 0) is too small (min = 1)",
            ));
        }
        if !self.settings.on("FileUpload_Enabled") {
            return Err(Failure::coded(
                "error-file-upload-disabled",
                "File uploads are disabled.",
            ));
        }
        let direct = self
            .room(rid)
            .is_some_and(|room| json::text(room, "t") == "d");
        if direct && !self.settings.on("FileUpload_Enabled_Direct") {
            return Err(Failure::coded(
                "error-direct-message-file-upload-not-allowed",
                "File sharing not allowed in direct messages.",
            ));
        }
        let limit = self.settings.number("FileUpload_MaxFileSize");
        if limit >= 0 && size > limit as u64 {
            let reason = format!("File exceeds allowed size of {limit} bytes.");
            return Err(Failure::coded("error-file-too-large", &reason));
        }
        if !self.accepts_type(kind) {
            return Err(Failure::coded(
                "error-invalid-file-type",
                "File type is not accepted.",
            ));
        }
        Ok(())
    }

    /// Whether the white list, if there is one, names a type, and the black list does not.
    fn accepts_type(&self, kind: &str) -> bool {
        let lists = |id: &str| {
            self.settings
                .text(id)
                .split(',')
                .map(str::trim)
                .filter(|one| !one.is_empty())
                .any(|one| match one.strip_suffix("/*") {
                    Some(family) => kind.split('/').next() == Some(family),
                    None => one == kind,
                })
        };
        let white = "FileUpload_MediaTypeWhiteList";
        (self.settings.text(white).is_empty() || lists(white))
            && !lists("FileUpload_MediaTypeBlackList")
    }

    /// Stores a file whose bytes are in `bytes`; it waits for its message. Returns its id.
    pub fn store_file(
        &mut self,
        new: NewFile<'_>,
        bytes: tempfile::NamedTempFile,
    ) -> Result<String, Failure> {
        self.expire_files(time::now_ms());
        let now = time::now_ms();
        let id = ids::object(now);
        bytes
            .persist(self.files.path(&id))
            .map_err(|error| cannot_write(&error.error))?;
        let mut thumbnail = None;
        if let Some(one) = new.look.thumbnail {
            std::fs::write(self.files.thumbnail_path(&id), &one.bytes)
                .map_err(|error| cannot_write(&error))?;
            thumbnail = Some((one.kind.to_owned(), one.width, one.height));
        }
        let mut doc = self.file_document(&id, new.name, new.kind, new.size, new.uid, new.rid, now);
        if let Some((format, width, height)) = new.look.identified {
            doc.insert(
                "identify".to_owned(),
                json!({ "format": format, "size": { "width": width, "height": height } }),
            );
        }
        doc.insert("expiresAt".to_owned(), json::date(now + UNCONFIRMED_MS));
        self.files.next += 1;
        let upload = Upload {
            doc,
            seq: self.files.next,
            preview: new.look.preview,
            thumbnail,
        };
        self.journal.put("files", &upload);
        self.files.store(upload);
        Ok(id)
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "the columns of a document, used twice"
    )]
    fn file_document(
        &self,
        id: &str,
        name: &str,
        kind: &str,
        size: u64,
        uid: &str,
        rid: &str,
        now: i64,
    ) -> Doc {
        let encoded = media_types::encode_uri(name);
        let site = self.settings.text("Site_Url").trim_end_matches('/');
        let token = ids::object(now)[14..].to_owned();
        json::doc(json!({
            "_id": id, "name": name, "size": size, "type": kind, "rid": rid, "userId": uid,
            "store": "GridFS:Uploads", "_updatedAt": json::date(now), "complete": true,
            "etag": ids::meteor(), "path": format!("/file-upload/{id}/{encoded}"), "progress": 1,
            "token": token, "uploading": false, "uploadedAt": json::date(now),
            "url": format!("{site}/ufs/GridFS:Uploads/{id}/{encoded}"),
            "typeGroup": kind.split('/').next().unwrap_or(""),
        }))
    }

    /// `file`, `files` and the attachment of a message with this file. A thumbnail is made each
    /// time, as the server does.
    pub fn attach_file(
        &mut self,
        uid: &str,
        id: &str,
        description: Option<&str>,
    ) -> Result<Doc, Failure> {
        let Some(upload) = self.files.get(id).cloned() else {
            return Err(Failure::bare("invalid-file"));
        };
        let encoded = media_types::encode_uri(upload.name());
        let link = format!("/file-upload/{id}/{encoded}");
        let mut files = vec![upload.short()];
        let mut attachment = json!({
            "title": upload.name(), "type": "file", "title_link": link, "title_link_download": true,
        });
        if let Some(text) = description {
            attachment["description"] = json!(text);
        }
        let (kind, size) = (upload.kind(), upload.size());
        match kind.split('/').next().unwrap_or("") {
            "image" => {
                attachment["image_url"] = json!(link);
                attachment["image_type"] = json!(kind);
                attachment["image_size"] = json!(size);
                if let Some(measured) = upload.doc.get("identify").and_then(|one| one.get("size")) {
                    attachment["image_dimensions"] = measured.clone();
                }
                if let Some(preview) = &upload.preview {
                    attachment["image_preview"] = json!(preview);
                }
                if let Some((kind, width, height)) = &upload.thumbnail {
                    let small = self.store_thumbnail(uid, &upload, kind)?;
                    attachment["image_url"] =
                        json!(format!("/file-upload/{}/{encoded}", small.id()));
                    attachment["image_type"] = json!(kind);
                    attachment["image_dimensions"] = json!({ "width": width, "height": height });
                    files.push(small.short());
                }
            }
            family @ ("audio" | "video") => {
                attachment[format!("{family}_url")] = json!(link);
                attachment[format!("{family}_type")] = json!(kind);
                attachment[format!("{family}_size")] = json!(size);
            }
            _ => {
                let ending = match upload.name().rsplit_once('.') {
                    Some((_, ending)) => ending.to_uppercase(),
                    None => "file".to_owned(),
                };
                attachment["format"] = json!(ending);
                attachment["size"] = json!(size);
            }
        }
        Ok(json::doc(
            json!({ "file": files[0].clone(), "files": files, "attachments": [attachment] }),
        ))
    }

    fn store_thumbnail(&mut self, uid: &str, of: &Upload, kind: &str) -> Result<Upload, Failure> {
        let now = time::now_ms();
        let id = ids::object(now);
        let size = std::fs::copy(self.files.thumbnail_path(of.id()), self.files.path(&id))
            .map_err(|error| cannot_write(&error))?;
        let name = format!("thumb-{}", of.name());
        let mut doc = self.file_document(&id, &name, kind, size, uid, of.rid(), now);
        doc.insert("typeGroup".to_owned(), json!("thumb"));
        doc.insert("originalFileId".to_owned(), json!(of.id()));
        let format = kind.strip_prefix("image/").unwrap_or("");
        doc.insert("identify".to_owned(), json!({ "format": format }));
        self.files.next += 1;
        let upload = Upload {
            doc,
            seq: self.files.next,
            preview: None,
            thumbnail: None,
        };
        self.journal.put("files", &upload);
        self.files.store(upload.clone());
        Ok(upload)
    }

    /// A file has its message and stays.
    pub fn confirm_file(&mut self, id: &str) {
        if let Some(mut upload) = self.files.get(id).cloned() {
            upload.doc.remove("expiresAt");
            upload
                .doc
                .insert("_updatedAt".to_owned(), json::date(time::now_ms()));
            self.journal.put("files", &upload);
            self.files.store(upload);
        }
    }

    /// The first message of a user with this file, as `rooms.mediaConfirm` answers it.
    pub fn first_with_file(&self, uid: &str, file: &str) -> Option<Doc> {
        let mut found: Vec<_> = self
            .files
            .get(file)
            .into_iter()
            .flat_map(|_| self.messages.all())
            .filter(|one| {
                one.author() == uid && one.doc.get("file").is_some_and(|f| f["_id"] == file)
            })
            .collect();
        found.sort_by_key(|one| one.seq);
        let hidden = ["unread", "mentions", "channels", "groupable"];
        found.first().map(|one| json::without(&one.doc, &hidden))
    }

    /// Removes a file.
    pub fn remove_file(&mut self, id: &str) {
        if self.files.forget(id).is_some() {
            self.journal.remove("files", id);
        }
    }

    /// Removes the files of a message that goes.
    pub fn remove_files_of(&mut self, message: &Doc) {
        let mut ids: Vec<String> = message
            .get("files")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .chain(message.get("file"))
            .filter_map(|file| file["_id"].as_str().map(str::to_owned))
            .collect();
        ids.dedup();
        for id in ids {
            self.remove_file(&id);
        }
    }

    /// Removes the files of a room that goes.
    pub fn remove_files_in(&mut self, rid: &str) {
        let ids: Vec<String> = self
            .files
            .all
            .values()
            .filter(|upload| upload.rid() == rid)
            .map(|upload| upload.id().to_owned())
            .collect();
        for id in ids {
            self.remove_file(&id);
        }
    }

    /// Removes bytes that no document names: uploads that a crash cut off.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) fn sweep_files(&mut self) -> std::io::Result<()> {
        for entry in std::fs::read_dir(self.files.directory())? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let id = name.strip_suffix(".thumbnail").unwrap_or(&name);
            if !self.files.all.contains_key(id) && !name.starts_with("avatar-") {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes files that waited for their message until `now` in vain; returns how many.
    pub fn expire_files(&mut self, now: i64) -> usize {
        let ids: Vec<String> = self
            .files
            .all
            .values()
            .filter(|upload| upload.expired(now))
            .map(|upload| upload.id().to_owned())
            .collect();
        for id in &ids {
            self.remove_file(id);
        }
        ids.len()
    }
}
