//! Pictures on their way from one side to the other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ruma::MxcUri;
use sha2::{Digest as _, Sha256};

use crate::bridge::custom_emoji::image_type;
use crate::bridge::{Bridge, Failure};
use crate::media::picture::{LARGEST, NotAPicture, Picture, Wanted, dimensions, resembles, scaled};
use crate::media::{Broken, Download};
use crate::retry::{Advice, Retryable as _};

/// What Rocket.Chat is given: it shows 200 pixels, unless its administrators have set
/// `Accounts_AvatarSize`, and takes some 10 MB of a picture.
const WANTED: Wanted = Wanted {
    edge: 512,
    bytes: 512 * 1024,
};

/// A picture of Rocket.Chat, looked at.
pub(super) struct MatrixPicture {
    pub bytes: Vec<u8>,
    pub media_type: &'static str,
    /// SHA-256 in base64.
    pub hash: String,
    /// Width and height in pixels, if they can be read.
    pub size: Option<(u32, u32)>,
}

/// By which a picture is known again.
pub(super) fn hash_of(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(Sha256::digest(bytes))
}

/// What Rocket.Chat serves, if it is a picture that every client shows; whatever the
/// server calls it. Never SVG, which is a program.
pub(super) fn sniffed(bytes: Vec<u8>) -> Option<MatrixPicture> {
    let Some(media_type) = image_type(&bytes) else {
        tracing::info!(
            bytes = bytes.len(),
            "a picture is in no format that may be shown"
        );
        return None;
    };
    Some(MatrixPicture {
        hash: hash_of(&bytes),
        size: dimensions(&bytes),
        media_type,
        bytes,
    })
}

/// Why a picture of Matrix is not shown on Rocket.Chat.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotShown {
    /// It is none, or none that can be read: as good as no picture.
    #[error("{0}")]
    Unreadable(String),
    /// It is too large to be read.
    #[error("it is too large")]
    TooLarge,
    /// It could not be had.
    #[error("{0}")]
    Failed(Failure),
}

impl From<Failure> for NotShown {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Bridge {
    /// A picture of Matrix in a form and size that Rocket.Chat takes.
    pub(super) async fn picture_of_matrix(&self, url: &str) -> Result<Picture, NotShown> {
        let mxc = <&MxcUri>::from(url);
        if mxc.parts().is_err() {
            return Err(NotShown::Unreadable("its address is none".into()));
        }
        let bot = self.matrix.bot();
        let whole = bot.download(mxc).await.map_err(Failure::from)?;
        match self.small_one_of(whole).await {
            // The homeserver may be able to make it smaller, and has the memory for it.
            Err(NotShown::TooLarge) => {}
            outcome => return outcome,
        }
        let small = bot.thumbnail(mxc, WANTED.edge).await;
        match small.map_err(Failure::from) {
            Ok(small) => self.small_one_of(small).await,
            Err(failure) if failure.is_permanent() => Err(NotShown::TooLarge),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Whether what Rocket.Chat serves is what it made of a picture.
    pub(super) async fn is_made_of(&self, served: &MatrixPicture, picture: &Picture) -> bool {
        let (served, picture) = (served.bytes.clone(), picture.bytes.clone());
        // Never closed.
        let _one_at_a_time = self.faces.scaling.acquire().await;
        tokio::task::spawn_blocking(move || resembles(&served, &picture))
            .await
            .unwrap_or(false)
    }

    async fn small_one_of(&self, download: Download) -> Result<Picture, NotShown> {
        let bytes = match download.body.collect(LARGEST).await {
            Ok(bytes) => bytes,
            Err(Broken::TooLarge { .. }) => return Err(NotShown::TooLarge),
            Err(broken) if matches!(broken.advice(), Advice::GiveUp) => {
                return Err(NotShown::Unreadable(broken.to_string()));
            }
            Err(_) => return Err(Failure::NotYet("a picture that broke off").into()),
        };
        // Never closed.
        let _one_at_a_time = self.faces.scaling.acquire().await;
        let read = tokio::task::spawn_blocking(move || scaled(&bytes, &WANTED)).await;
        match read {
            Ok(Ok(picture)) => Ok(picture),
            Ok(Err(NotAPicture::TooLarge)) => Err(NotShown::TooLarge),
            Ok(Err(error)) => Err(NotShown::Unreadable(error.to_string())),
            // The reader of pictures met something that it did not expect.
            Err(_) => Err(NotShown::Unreadable("it cannot be read".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::sniffed;

    #[test]
    fn what_is_no_picture_is_not_shown() {
        let gif = sniffed(b"GIF89a\x01\0\x01\0\0\0\0;".to_vec()).unwrap();
        assert_eq!(gif.media_type, "image/gif");
        for other in [&b"<svg onload=alert(1)>"[..], b"<html>", b""] {
            assert!(sniffed(other.to_vec()).is_none());
        }
    }

    #[test]
    fn the_same_picture_has_the_same_hash() {
        let hash = |bytes: &[u8]| sniffed(bytes.to_vec()).unwrap().hash;
        assert_eq!(hash(b"GIF89a one"), hash(b"GIF89a one"));
        assert_ne!(hash(b"GIF89a one"), hash(b"GIF89a two"));
    }
}
