//! An append-only journal of documents, so that the state survives kill -9 as MongoDB's would. One
//! JSON object a line; lines gathered during a request are handed to the kernel by one write(2)
//! before the request is answered. At start the journal is replayed and rewritten without history.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

const NAME: &str = "journal.jsonl";

/// Where documents go; does nothing when there is no directory.
#[derive(Debug, Default)]
pub struct Journal {
    file: Option<File>,
    pending: Vec<u8>,
}

impl Journal {
    /// Reads the journal of a directory: every line in order. A last line cut short by a crash is
    /// left out, as it was never answered.
    pub fn read(directory: &Path) -> std::io::Result<Vec<Value>> {
        let path = directory.join(NAME);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let mut lines = Vec::new();
        for line in BufReader::new(File::open(path)?).split(b'\n') {
            match serde_json::from_slice(&line?) {
                Ok(value) => lines.push(value),
                Err(error) => tracing::warn!(%error, "a journal line is unreadable and skipped"),
            }
        }
        Ok(lines)
    }

    /// Replaces the journal of a directory by `snapshot` and keeps it open for appending.
    pub fn start(directory: &Path, snapshot: &[Value]) -> std::io::Result<Self> {
        fs::create_dir_all(directory)?;
        let fresh: PathBuf = directory.join("journal.new");
        let mut text = Vec::new();
        for line in snapshot {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        fs::write(&fresh, &text)?;
        fs::rename(&fresh, directory.join(NAME))?;
        let file = OpenOptions::new().append(true).open(directory.join(NAME))?;
        Ok(Self {
            file: Some(file),
            pending: Vec::new(),
        })
    }

    /// Notes the whole document of a collection.
    pub fn put<T: Serialize>(&mut self, collection: &str, document: &T) {
        if self.file.is_some() {
            #[derive(Serialize)]
            struct Line<'a, T> {
                c: &'a str,
                d: &'a T,
            }
            self.line(&Line {
                c: collection,
                d: document,
            });
        }
    }

    /// Notes that a document is gone.
    pub fn remove(&mut self, collection: &str, id: &str) {
        if self.file.is_some() {
            self.line(&json!({ "r": collection, "i": id }));
        }
    }

    fn line<T: Serialize>(&mut self, line: &T) {
        if let Err(error) = serde_json::to_writer(&mut self.pending, line) {
            tracing::error!(%error, "a document cannot be written to the journal");
        }
        self.pending.push(b'\n');
    }

    /// Hands everything noted to the kernel.
    pub fn flush(&mut self) {
        if let Some(file) = &mut self.file
            && !self.pending.is_empty()
        {
            if let Err(error) = file.write_all(&self.pending) {
                tracing::error!(%error, "the journal cannot be written");
            }
            self.pending.clear();
        }
    }
}
