//! Emoji that somebody uploaded to Rocket.Chat: their images on Matrix.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::{Bridge, Failure};
use crate::retry::{Advice, Retryable as _};
use crate::rocketchat::documents::CustomEmoji as Listed;
use crate::store::CustomEmoji;

/// How long the list of them is believed.
const BELIEVED_FOR: Duration = Duration::from_secs(60);

/// The list as it was last seen.
#[derive(Debug, Default)]
pub(super) struct LastSeen(std::sync::Mutex<Option<(Instant, Arc<Vec<Listed>>)>>);

impl Bridge {
    /// An emoji of this Rocket.Chat by one of its names, its image brought to Matrix
    /// once. None when there is none of that name, and when its image cannot be
    /// brought: a message does not wait for a picture.
    pub(super) async fn custom_emoji(&self, name: &str) -> Result<Option<CustomEmoji>, Failure> {
        let list = self.custom_emoji_list().await?;
        let Some(listed) = list.iter().find(|listed| listed.is_called(name)) else {
            return Ok(None);
        };
        let version = listed.updated_at.map_or(0, |at| at.0);
        let known = self.store.custom_emoji(&listed.name)?;
        if let Some(known) = known
            && known.version == version
        {
            return Ok(Some(known));
        }
        let _one_at_a_time = self.bringing_emoji.lock(&listed.name).await;
        if let Some(known) = self.store.custom_emoji(&listed.name)?
            && known.version == version
        {
            return Ok(Some(known));
        }
        match self.bring_emoji(listed).await {
            Ok(image) => {
                let emoji = CustomEmoji {
                    name: listed.name.clone(),
                    version,
                    image,
                };
                self.store.change().custom_emoji(&emoji).commit()?;
                Ok(Some(emoji))
            }
            Err(failure) => {
                tracing::warn!(emoji = listed.name, %failure, "its image is not on Matrix");
                Ok(None)
            }
        }
    }

    async fn bring_emoji(&self, listed: &Listed) -> Result<ruma::OwnedMxcUri, Failure> {
        let rocket = self.rocket().await;
        let image = rocket
            .bot
            .custom_emoji_image(&listed.name, &listed.extension)
            .await?;
        // What the server calls it is not to be believed: it serves GIFs as JPEG.
        let Some(media_type) = image_type(&image) else {
            return Err(Failure::Refused("It is no picture.".into()));
        };
        Ok(self.matrix.bot().upload(image, media_type).await?)
    }

    /// The name under which Rocket.Chat takes a custom emoji, by one of its names.
    pub(super) async fn custom_emoji_name(&self, name: &str) -> Result<Option<String>, Failure> {
        let list = self.custom_emoji_list().await?;
        let listed = list.iter().find(|listed| listed.is_called(name));
        Ok(listed.map(|listed| listed.name.clone()))
    }

    /// Lets the list of them be asked for anew: it is another since.
    pub(super) fn forget_emoji(&self) {
        *self
            .emoji_seen
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn custom_emoji_list(&self) -> Result<Arc<Vec<Listed>>, Failure> {
        let seen = {
            let last = &self.emoji_seen.0;
            last.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        if let Some((at, list)) = seen
            && at.elapsed() < BELIEVED_FOR
        {
            return Ok(list);
        }
        let list = match self.rocket().await.bot.custom_emoji().await {
            Ok(list) => Arc::new(list),
            // A message does not wait for a picture.
            Err(error) if matches!(error.advice(), Advice::GiveUp) => {
                tracing::warn!(%error, "the custom emoji of the server are not known");
                Arc::default()
            }
            Err(error) => return Err(error.into()),
        };
        *self
            .emoji_seen
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), Arc::clone(&list)));
        Ok(list)
    }
}

/// The type of a picture by its first bytes: those that every client shows.
pub(super) fn image_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::image_type;

    #[test]
    fn only_pictures_are_taken_for_pictures() {
        assert_eq!(image_type(b"GIF89a..."), Some("image/gif"));
        assert_eq!(image_type(b"\x89PNG\r\n\x1a\n...."), Some("image/png"));
        assert_eq!(image_type(b"RIFF\x10\0\0\0WEBPVP8 "), Some("image/webp"));
        assert_eq!(image_type(b"<svg onload=alert(1)>"), None);
        assert_eq!(image_type(b""), None);
    }
}
