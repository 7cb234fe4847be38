//! Files of Matrix on their way to Rocket.Chat.

use std::collections::HashSet;
use std::sync::PoisonError;

use ruma::{EventId, MxcUri, RoomId};

use super::records::{EventRef, FilePost, Origin, Upload};
use super::{Store, StoreError, keys, readable};
use crate::rocketchat::{FileId, RocketMessageId, RocketRoomId, RocketUserId};

impl Store {
    /// How far the file of an event has come.
    ///
    /// # Errors
    /// When the store fails.
    pub fn file_post(
        &self,
        room: &RoomId,
        event: &EventId,
    ) -> Result<Option<FilePost>, StoreError> {
        self.get(&keys::file_post(room, event))
    }

    /// The file on its way whose upload that is.
    ///
    /// # Errors
    /// When the store fails.
    pub fn file_post_of_upload(&self, file: &FileId) -> Result<Option<FilePost>, StoreError> {
        match self.get::<EventRef>(&keys::upload(file.as_str()))? {
            Some(found) => self.file_post(&found.room, &found.event),
            None => Ok(None),
        }
    }

    /// The files of a puppet that went into a room in one step.
    ///
    /// # Errors
    /// When the store fails.
    pub fn file_posts_in_one_step(
        &self,
        rid: &RocketRoomId,
        puppet: &RocketUserId,
    ) -> Result<Vec<FilePost>, StoreError> {
        let mut posts = Vec::new();
        for item in self.scan::<EventRef>(&keys::one_steps(rid, puppet)) {
            let (_, found) = item?;
            posts.extend(self.file_post(&found.room, &found.event)?);
        }
        Ok(posts)
    }

    /// Notes another upload for a file on its way, which is the one to be posted from
    /// now on. `new` is what is written when there is none yet; what is known of
    /// earlier uploads, and of the message, stays.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_upload(&self, new: FilePost, upload: Upload) -> Result<FilePost, StoreError> {
        self.amend_file_post(new, |post| {
            // What surely was not posted never will be.
            post.uploads.retain(|earlier| earlier.maybe_posted);
            post.uploads.push(upload);
        })
    }

    /// Notes that the server does not have the newest upload.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forget_upload(&self, post: FilePost) -> Result<FilePost, StoreError> {
        self.amend_file_post(post, |post| {
            post.uploads.pop();
        })
    }

    /// Notes whether the newest upload may have been posted.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_posting(&self, post: FilePost, maybe_posted: bool) -> Result<FilePost, StoreError> {
        self.amend_file_post(post, |post| {
            if let Some(last) = post.uploads.last_mut() {
                last.maybe_posted = maybe_posted;
            }
        })
    }

    /// Decides which message a file has become, unless that is decided: the first that
    /// is found is it, and every other one with this file is one too many. The message
    /// is written down as well, so that what happens to it is understood. `file` is the
    /// upload that it shows, if known. Also says whether the message was deleted before
    /// it was known whose it is: then that has still to be mirrored.
    ///
    /// # Errors
    /// When the store fails.
    pub fn adopt_file(
        &self,
        post: FilePost,
        id: &RocketMessageId,
        file: Option<&FileId>,
    ) -> Result<(FilePost, bool), StoreError> {
        let _alone = self.amending.lock().unwrap_or_else(PoisonError::into_inner);
        self.adopt_alone(post, id, file)
    }

    /// [`Store::adopt_file`], for whoever holds the lock.
    fn adopt_alone(
        &self,
        post: FilePost,
        id: &RocketMessageId,
        file: Option<&FileId>,
    ) -> Result<(FilePost, bool), StoreError> {
        let mut post = self.stored(post)?;
        if post.posted.is_some() {
            return Ok((post, false));
        }
        post.posted = Some(id.clone());
        post.posted_file = file.cloned();
        let known = self.message(&post.draft.portal_id(), id)?;
        let was_gone = known
            .as_ref()
            .is_some_and(|known| known.deleted && known.events.is_empty());
        let mut change = self.change().file_post(&post);
        if known.is_none() || was_gone {
            change = change.message(&post.message(id.clone()));
        }
        change.commit()?;
        Ok((post, was_gone))
    }

    /// As [`Store::adopt_file`], of a message that only looks like it; none when it is that
    /// of another event already, in whichever room of the channel.
    ///
    /// # Errors
    /// When the store fails.
    pub fn find_file(
        &self,
        post: FilePost,
        id: &RocketMessageId,
    ) -> Result<Option<(FilePost, bool)>, StoreError> {
        let _alone = self.amending.lock().unwrap_or_else(PoisonError::into_inner);
        for portal in self.portals_of(&post.draft.portal_id().rid())? {
            let known = self.message(&portal.id, id)?;
            let is_of_another = known.is_some_and(|known| {
                known.origin == Origin::Matrix && known.events != post.draft.events
            });
            if is_of_another {
                return Ok(None);
            }
        }
        self.adopt_alone(post, id, None).map(Some)
    }

    /// Decides that words are posted in place of a file, unless a message with it is
    /// known, and what its sender is told of that.
    ///
    /// # Errors
    /// When the store fails.
    pub fn say_instead(
        &self,
        post: FilePost,
        id: &RocketMessageId,
        words: &str,
        tell: Option<&str>,
    ) -> Result<FilePost, StoreError> {
        self.amend_file_post(post, |post| {
            if post.posted.is_none() {
                post.posted = Some(id.clone());
                post.instead = Some(words.to_owned());
                post.tell = tell.map(str::to_owned);
            }
        })
    }

    /// Notes that an event now brings another file than the one that was uploaded for
    /// it. What surely was not posted is not posted any more.
    ///
    /// # Errors
    /// When the store fails.
    pub fn other_file(&self, post: FilePost, file: &MxcUri) -> Result<FilePost, StoreError> {
        self.amend_file_post(post, |post| {
            post.uploads.retain(|earlier| earlier.maybe_posted);
            post.draft.media = Some(file.to_owned());
        })
    }

    /// Notes that another account posts a file: the one that was to do it is no more.
    ///
    /// # Errors
    /// When the store fails.
    pub fn file_post_by(
        &self,
        post: FilePost,
        account: &RocketUserId,
    ) -> Result<FilePost, StoreError> {
        self.amend_file_post(post, |post| {
            post.puppet = account.clone();
            post.draft.posted_by = Some(account.clone());
        })
    }

    fn amend_file_post(
        &self,
        post: FilePost,
        amend: impl FnOnce(&mut FilePost),
    ) -> Result<FilePost, StoreError> {
        let _alone = self.amending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut post = self.stored(post)?;
        let before = post.clone();
        amend(&mut post);
        // An upload that is dropped is found by nothing any more.
        let change = self.change().no_file_post(&before).file_post(&post);
        change.commit()?;
        Ok(post)
    }

    /// As it is in the store, or as given when it is not there yet.
    fn stored(&self, post: FilePost) -> Result<FilePost, StoreError> {
        let draft = &post.draft;
        let stored = match draft.events.first() {
            Some(event) => self.file_post(&draft.room_id, event)?,
            None => None,
        };
        Ok(stored.unwrap_or(post))
    }

    /// Forgets files that were last uploaded before that time (ms). Not those whose
    /// event may yet be worked, now or when somebody asks for it: without this it
    /// would be posted again.
    pub(super) fn forget_old_files(&self, before: i64) -> Result<(), StoreError> {
        let waiting: HashSet<_> = self.inbox().map(|waits| waits.event.event_id).collect();
        for item in self.scan::<FilePost>(keys::FILE_POSTS) {
            let Some((_, post)) = readable(item, "file on its way") else {
                continue;
            };
            let room = &post.draft.room_id;
            if let Some(event) = post.draft.events.first()
                && (waiting.contains(event) || self.dead_letter_of(room, event.as_str())?.is_some())
            {
                continue;
            }
            let last = post
                .uploads
                .last()
                .map_or(post.draft.begun_at, |last| last.at);
            if last < before {
                self.change().no_file_post(&post).commit()?;
            }
        }
        Ok(())
    }
}
