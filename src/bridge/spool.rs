//! Files of unknown length, kept on disk until it is known.

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use crate::media::{Body, Broken};

/// How much is read from disk at once, in bytes.
const PIECE: usize = 64 * 1024;

/// Writes a file to disk, without a name, and returns its length and the file again. It
/// is gone from the disk when that is let go of, or the process ends.
///
/// # Errors
/// Why the file broke off; [`Broken::Lost`] when the disk refuses.
pub(super) async fn to_disk(mut body: Body) -> Result<(u64, Body), Broken> {
    let file = tokio::task::spawn_blocking(tempfile::tempfile)
        .await
        .map_err(|_| Broken::Lost("the disk is not to be reached".to_owned()))?
        .map_err(|error| of_disk(&error))?;
    let mut file = File::from_std(file);
    let mut length = 0;
    while let Some(chunk) = body.chunks.next().await {
        let chunk = chunk?;
        file.write_all(&chunk)
            .await
            .map_err(|error| of_disk(&error))?;
        length += chunk.len() as u64;
    }
    file.flush().await.map_err(|error| of_disk(&error))?;
    file.rewind().await.map_err(|error| of_disk(&error))?;
    let chunks = stream::try_unfold(file, |mut file| async move {
        let mut piece = bytes::BytesMut::with_capacity(PIECE);
        let read = file.read_buf(&mut piece).await;
        match read.map_err(|error| of_disk(&error))? {
            0 => Ok(None),
            _ => Ok(Some((piece.freeze(), file))),
        }
    });
    let body = Body {
        chunks: chunks.boxed(),
        length: Some(length),
    };
    Ok((length, body))
}

fn of_disk(error: &std::io::Error) -> Broken {
    Broken::Lost(format!("the disk refuses: {}", error.kind()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;

    use super::*;

    #[tokio::test]
    async fn what_was_kept_on_disk_comes_back_with_its_length() {
        let pieces: Vec<Vec<u8>> = (0..40_u8).map(|n| vec![n; 10_000]).collect();
        let whole = pieces.concat();
        let chunks = stream::iter(pieces.into_iter().map(|piece| Ok(Bytes::from(piece))));
        let body = Body {
            chunks: chunks.boxed(),
            length: None,
        };
        let (length, again) = to_disk(body).await.unwrap();
        assert_eq!(length, whole.len() as u64);
        assert_eq!(again.length, Some(length));
        assert_eq!(again.checked().collect(whole.len()).await.unwrap(), whole);
    }

    #[tokio::test]
    async fn what_breaks_off_is_told() {
        let chunks = stream::iter([Ok(Bytes::from_static(b"x")), Err(Broken::Stalled)]);
        let body = Body {
            chunks: chunks.boxed(),
            length: None,
        };
        assert_eq!(to_disk(body).await.unwrap_err(), Broken::Stalled);
    }
}
