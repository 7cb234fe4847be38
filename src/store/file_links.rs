//! Links to files that did not fit the other side.

use ruma::MxcUri;

use super::keys::{self, Key};
use super::records::{FileLink, FileSource};
use super::{PortalId, Store, StoreError, readable};
use crate::rocketchat::RocketMessageId;

impl Store {
    /// The link with that id.
    ///
    /// # Errors
    /// When the store fails.
    pub fn file_link(&self, id: &str) -> Result<Option<FileLink>, StoreError> {
        // What no id of ours can be would be another key.
        if id.contains('\0') {
            return Ok(None);
        }
        self.get(&keys::linked_file(id))
    }

    /// Ends all links to files of a message: it is deleted. A repeat does no harm.
    ///
    /// # Errors
    /// When the store fails; then nothing changed.
    pub fn end_file_links(
        &self,
        portal: &PortalId,
        message: &RocketMessageId,
    ) -> Result<(), StoreError> {
        self.change().no_file_links_of(portal, message).commit()
    }

    /// Ends the links to files of a message, but to this file of Matrix: an edit has
    /// taken the others away. A repeat does no harm.
    ///
    /// # Errors
    /// When the store fails; then nothing changed.
    pub fn end_file_links_but(
        &self,
        portal: &PortalId,
        message: &RocketMessageId,
        kept: Option<&MxcUri>,
    ) -> Result<(), StoreError> {
        let mut change = self.change();
        for key in self.file_links_of(portal, message) {
            let key = key?;
            let Some(id) = keys::last_part(&key) else {
                continue;
            };
            let Some(link) = self.file_link(id)? else {
                continue;
            };
            let is_kept = matches!(&link.file.source, FileSource::Matrix { mxc, .. }
                if kept.is_some_and(|kept| mxc == kept));
            if !is_kept {
                change = change.no_file_link(id, &link);
            }
        }
        change.commit()
    }

    /// Forgets links that have ended before that time (ms); returns how many.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forget_ended_file_links(&self, now: i64) -> Result<usize, StoreError> {
        let ended: Vec<(Key, FileLink)> = self
            .scan::<FileLink>(keys::LINKED_FILES)
            .filter_map(|item| readable(item, "linked file"))
            .filter(|(_, link)| link.until < now)
            .collect();
        for (key, link) in &ended {
            // Behind the letter for the kind.
            if let Some(id) = keys::last_part(key.get(1..).unwrap_or_default()) {
                self.change().no_file_link(id, link).commit()?;
            }
        }
        Ok(ended.len())
    }

    /// The marks of the links of a message.
    pub(super) fn file_links_of(
        &self,
        portal: &PortalId,
        message: &RocketMessageId,
    ) -> impl Iterator<Item = Result<Key, StoreError>> + use<> {
        let marks = self.db.scan_prefix(keys::links_of_message(portal, message));
        marks.keys().map(|key| Ok(key?.to_vec()))
    }
}
