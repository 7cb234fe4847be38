//! Some of a file's bytes.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;

use super::{Body, Broken};

impl Body {
    /// `count` bytes from the `first` on, counted from 0. Those before are read and let
    /// go; those behind are not read at all. Breaks with [`Broken::Short`] when there are
    /// not so many.
    pub fn part(self, first: u64, count: u64) -> Self {
        let state = (self.chunks, first, count);
        let chunks = stream::try_unfold(state, move |(mut chunks, mut skip, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            while let Some(chunk) = chunks.next().await {
                let mut chunk: Bytes = chunk?;
                let skipped = skip.min(chunk.len() as u64);
                skip -= skipped;
                // Both fit: they are not more than the length of a chunk.
                let _ = chunk.split_to(skipped as usize);
                chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                if !chunk.is_empty() {
                    let left = left - chunk.len() as u64;
                    return Ok(Some((chunk, (chunks, skip, left))));
                }
            }
            Err(Broken::Short {
                announced: first.saturating_add(count),
                came: first.saturating_add(count) - skip - left,
            })
        });
        Self {
            chunks: chunks.boxed(),
            length: Some(count),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn in_pieces(bytes: &[u8], size: usize) -> Body {
        let pieces: Vec<_> = bytes
            .chunks(size)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        Body {
            chunks: stream::iter(pieces).boxed(),
            length: Some(bytes.len() as u64),
        }
    }

    proptest! {
        #[test]
        fn a_part_is_that_part(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            size in 1_usize..9,
            first in 0_usize..70,
            count in 0_usize..70,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let part = in_pieces(&bytes, size).part(first as u64, count as u64);
            prop_assert_eq!(part.length, Some(count as u64));
            let found = runtime.block_on(part.collect(1000));
            match bytes.get(first..first + count) {
                Some(expected) => prop_assert_eq!(found.unwrap(), expected),
                None if count == 0 => prop_assert_eq!(found.unwrap(), b""),
                None => {
                    let short = matches!(found, Err(Broken::Short { .. }));
                    prop_assert!(short, "{:?}", found);
                }
            }
        }
    }

    #[tokio::test]
    async fn what_is_behind_is_not_waited_for() {
        let endless = Body {
            chunks: in_pieces(b"abcdef", 4)
                .chunks
                .chain(stream::pending())
                .boxed(),
            length: None,
        };
        assert_eq!(endless.part(1, 4).collect(10).await.unwrap(), b"bcde");
    }
}
