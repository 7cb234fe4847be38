//! Which message on Rocket.Chat a file of Matrix has become, where no answer said so.

use super::file::Attached;
use super::file_post::{Carried, Got};
use crate::bridge::perseverance::Attempt;
use crate::bridge::{Bridge, Failure};
use crate::clock::now_ms;
use crate::convert::to_rocketchat;
use crate::rocketchat::FileId;
use crate::rocketchat::documents::{Message as RocketMessage, Timestamp};
use crate::store::{FilePost, Origin, Portal};

/// The clocks of the two servers need not agree (ms).
const BEFORE_MS: i64 = 300_000;

/// Rocket.Chat forgets an upload that was not posted after 24 hours; until then one that
/// is gone has been posted and deleted (ms).
const KEPT_MS: i64 = 20 * 3600 * 1000;

impl Bridge {
    /// Looks on Rocket.Chat for what may have come of earlier attempts.
    pub(super) async fn look_for(
        &self,
        carried: &Carried<'_>,
        post: &FilePost,
    ) -> Result<Option<Got>, Failure> {
        let portal = carried.portal;
        let begun_at = post.begun_at().unwrap_or(post.draft.begun_at);
        let since = Timestamp((begun_at - BEFORE_MS).max(0));
        let changes = {
            // Never closed.
            let _slot = self.looks.acquire().await;
            match self.sync(portal, since).await {
                Ok(changes) => changes,
                // Only a look: what is posted twice is found when it shows itself.
                Err(failure) if failure.is_permanent() => {
                    tracing::warn!(rid = %portal.rid, %failure, "cannot see what was posted");
                    return Ok(None);
                }
                Err(failure) => return Err(failure),
            }
        };
        let mut found: Vec<&RocketMessage> = Vec::new();
        for message in &changes.updated {
            if self.shows(portal, post, message)? {
                found.push(message);
            }
        }
        if let Some(best) = found
            .iter()
            .min_by_key(|message| (!is_as_large(post, message), message.ts))
        {
            if !carried.attempt.is_last() && self.is_perhaps_given_now(post, &found)? {
                return Err(Failure::NotYet("another file of that name"));
            }
            return Ok(Some(Got::Posted(best.id.clone())));
        }
        if !changes.deleted.is_empty() && self.was_deleted(post).await? {
            // Nobody can say which message it was: its record is known by another name.
            let id = post.draft.id.clone();
            let (_, _) = self.store.adopt_file(post.clone(), &id, None)?;
            self.mirror_deletion(portal, &id).await?;
            return Ok(Some(Got::Deleted));
        }
        Ok(None)
    }

    /// Whether one of these messages may be of another file, like this one, whose answer is
    /// still to come.
    pub(super) fn is_perhaps_given_now(
        &self,
        post: &FilePost,
        found: &[&RocketMessage],
    ) -> Result<bool, Failure> {
        for message in found {
            let others = self.posts_like(message)?;
            let is_given = |other: &FilePost| {
                other.draft.events != post.draft.events && self.uploads.has(other)
            };
            if others.iter().any(is_given) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The files that went in one step and of which a message may be, in whichever room of
    /// its channel they were sent.
    pub(super) fn posts_like(&self, message: &RocketMessage) -> Result<Vec<FilePost>, Failure> {
        let posts = self
            .store
            .file_posts_in_one_step(&message.rid, &message.u.id)?;
        let mut alike = Vec::new();
        for post in posts {
            // Once it is there, another is one too many only if it was tried again.
            let may_be = post.posted.is_none() || post.uploads.len() > 1;
            if may_be
                && let Some(portal) = self.store.portal(&post.draft.portal_id())?
                && self.shows(&portal, &post, message)?
            {
                alike.push(post);
            }
        }
        Ok(alike)
    }

    /// Whether an upload is gone from the server although it could not have expired:
    /// only the deletion of its message takes it away.
    pub(super) async fn was_deleted(&self, post: &FilePost) -> Result<bool, Failure> {
        let voice = self.voice_of(&post.draft).await?;
        for upload in &post.uploads {
            let (Some(file), true) = (&upload.file, upload.maybe_posted) else {
                continue;
            };
            if now_ms() - upload.at > KEPT_MS {
                continue;
            }
            let found = self
                .as_voice(&voice, |session| async move {
                    session.download(file).await.map(drop)
                })
                .await;
            match found {
                Err(Failure::RocketChat(error)) if error.code() == Some("invalid-file") => {
                    return Ok(true);
                }
                Err(failure) if !failure.is_permanent() => return Err(failure),
                _ => {}
            }
        }
        Ok(false)
    }

    /// Whether a message on Rocket.Chat shows the file.
    pub(super) fn shows(
        &self,
        portal: &Portal,
        post: &FilePost,
        message: &RocketMessage,
    ) -> Result<bool, Failure> {
        if message.rid != portal.rid || message.u.id != post.puppet {
            return Ok(false);
        }
        let Some(shown) = &message.file else {
            return Ok(false);
        };
        let by_id = post.uploads.iter().any(|upload| {
            let file = upload.file.as_ref().map(FileId::as_str);
            file == Some(shown.id.as_str())
        });
        if by_id {
            return Ok(true);
        }
        // What somebody uploads themselves with their own account is not taken for it.
        let is_own_account = self.store.was_account_of(&message.u.id)?.is_some();
        let alike = post.uploads.iter().any(|upload| {
            // Pictures are turned and stripped by the server: their size may differ.
            let is_picture = !is_own_account
                && shown
                    .media_type
                    .as_deref()
                    .is_some_and(|kind| kind.starts_with("image/"));
            upload.file.is_none()
                && shown.name.as_deref() == Some(upload.name.as_str())
                && (is_picture || upload.size.is_none() || shown.size == upload.size)
                && message.ts.0 >= upload.at - BEFORE_MS
        });
        if !alike {
            return Ok(false);
        }
        // The bridge's account posts the files of many: for whom says the name.
        let rocket = self.rocket_if_there();
        let is_relayed = rocket.is_some_and(|rocket| *rocket.bot.user_id() == post.puppet);
        if is_relayed
            && !to_rocketchat::is_named(message.alias.as_deref(), &message.msg, &post.draft.sender)
        {
            return Ok(false);
        }
        // Another one of that name, sent earlier, perhaps in another room of the channel.
        for other in self.store.portals_of(&portal.rid)? {
            let Some(known) = self.store.message(&other.id, &message.id)? else {
                continue;
            };
            // Shown there as what somebody said elsewhere, it may well be this one.
            let may_be_this = other.id != portal.id
                && known.origin == Origin::RocketChat
                && known.sender == self.config.appservice.bot;
            if known.events != post.draft.events && !may_be_this {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes notice of a message that the bridge has posted: perhaps its answer never came.
    /// Whether there is nothing more to it, because it is one too many.
    ///
    /// # Errors
    /// [`Failure::NotYet`] while an answer is to come that may say whose it is.
    pub(in crate::bridge) async fn note_own_file(
        &self,
        portal: &Portal,
        message: &RocketMessage,
        attempt: Attempt,
    ) -> Result<bool, Failure> {
        let Some(shown) = &message.file else {
            return Ok(false);
        };
        let file = FileId::parse(shown.id.as_str()).ok();
        let of_upload = match &file {
            Some(file) => self.store.file_post_of_upload(file)?,
            None => None,
        };
        let by_upload = of_upload.is_some();
        let post = match of_upload {
            // That of another room of the channel is its own.
            Some(post) if post.draft.portal_id() != portal.id => None,
            Some(post) => self.shows(portal, &post, message)?.then_some(post),
            None if self.store.message(&portal.id, &message.id)?.is_some() => None,
            None => {
                let mut alike = self.posts_like(message)?;
                let is_given = |post: &FilePost| post.posted.is_none() && self.uploads.has(post);
                if !attempt.is_last() && alike.iter().any(is_given) {
                    return Err(Failure::NotYet("the answer to an upload"));
                }
                // Rather what is expected than what would be one too many.
                alike.sort_by_key(|post| {
                    let is_there = post.posted.is_some();
                    (is_there, !is_as_large(post, message), post.begun_at())
                });
                let first = alike.into_iter().next();
                // That of another room of the channel is its own.
                first.filter(|post| post.draft.portal_id() == portal.id)
            }
        };
        let Some(post) = post else {
            return Ok(false);
        };
        if post.posted.as_ref() == Some(&message.id) {
            return Ok(false);
        }
        // A file alike that somebody uploads with their own account is theirs.
        if post.posted.is_some()
            && !by_upload
            && self.store.was_account_of(&message.u.id)?.is_some()
        {
            return Ok(false);
        }
        let (post, got) = self
            .take_for_it(portal, post, &message.id, file.as_ref())
            .await?;
        Ok(matches!(got, Got::Deleted) || post.posted.as_ref() != Some(&message.id))
    }
}

/// Whether a file on its way is this one.
pub(super) fn is_of(post: &FilePost, file: &Attached<'_>) -> bool {
    post.draft.media.as_deref() == Some(file.mxc)
}

/// Whether a message shows a file of the very size of one that went in one step.
pub(super) fn is_as_large(post: &FilePost, message: &RocketMessage) -> bool {
    let size = message.file.as_ref().and_then(|shown| shown.size);
    let mut uploads = post.uploads.iter();
    size.is_some() && uploads.any(|upload| upload.file.is_none() && upload.size == size)
}
