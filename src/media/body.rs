//! A file in small pieces, and what is demanded of it while it flows.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};

use crate::retry::{Advice, Retryable};

/// The bytes of a file, as they come. Nothing comes after the first error.
pub type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, Broken>> + Send>>;

/// Why a transfer ended before its end. `Display` says it in words that can be
/// shown to the person whose file it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The connection broke; the reason is without addresses and tokens.
    #[error("the transfer broke off ({0})")]
    Lost(String),
    /// No byte came for too long.
    #[error("the transfer came to a standstill")]
    Stalled,
    /// More bytes than are taken.
    #[error("the file is larger than {limit} bytes")]
    TooLarge {
        /// How many are taken, in bytes.
        limit: u64,
    },
    /// What came is not what its sender signed: the hash is another.
    #[error("the file is not the one that was sent: its hash is another")]
    WrongHash,
    /// Fewer or more bytes came than were announced.
    #[error("the file does not have the size that was announced ({came} instead of {announced})")]
    Short {
        /// What was announced, in bytes.
        announced: u64,
        /// What had come when that could be told, in bytes.
        came: u64,
    },
}

impl Retryable for Broken {
    /// What breaks on its way may come through the next time. A file is taken whole
    /// or not at all, so nothing was done with a broken one.
    fn advice(&self) -> Advice {
        match self {
            Self::Lost(_) | Self::Stalled | Self::Short { .. } => Advice::Retry {
                after: None,
                maybe_done: false,
            },
            Self::TooLarge { .. } | Self::WrongHash => Advice::GiveUp,
        }
    }
}

/// A file on its way: its bytes, and how many they are if the sender said.
pub struct Body {
    /// The bytes.
    pub chunks: Chunks,
    /// How many there will be, as announced: see [`Body::checked`].
    pub length: Option<u64>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body({:?} bytes)", self.length)
    }
}

impl Body {
    /// A file that is in memory.
    pub fn of(bytes: Vec<u8>) -> Self {
        let length = Some(bytes.len() as u64);
        let bytes = Bytes::from(bytes);
        let chunks = (!bytes.is_empty()).then_some(Ok(bytes));
        Self {
            chunks: stream::iter(chunks).boxed(),
            length,
        }
    }

    /// The first `at_most` bytes (fewer only when the file has no more), and the whole
    /// file again. Besides them, memory holds what came in one piece with the last.
    ///
    /// # Errors
    /// Why the file broke off before so many had come.
    pub async fn peek(mut self, at_most: usize) -> Result<(Vec<u8>, Self), Broken> {
        let mut head = Vec::new();
        let mut read = Vec::new();
        while head.len() < at_most {
            match self.chunks.next().await {
                Some(chunk) => {
                    let chunk = chunk?;
                    let wanted = chunk.len().min(at_most - head.len());
                    head.extend_from_slice(&chunk[..wanted]);
                    // A source of empty pieces must not fill the memory.
                    if !chunk.is_empty() {
                        read.push(Ok(chunk));
                    }
                }
                None => break,
            }
        }
        let body = Self {
            chunks: stream::iter(read).chain(self.chunks).boxed(),
            length: self.length,
        };
        Ok((head, body))
    }

    /// Breaks with [`Broken::TooLarge`] as soon as there are more than `limit` bytes:
    /// at once, when that was announced.
    pub fn bounded(self, limit: u64) -> Self {
        let announced = self.length.unwrap_or(0);
        self.watched(move |came, _| {
            if came.max(announced) > limit {
                Err(Broken::TooLarge { limit })
            } else {
                Ok(())
            }
        })
    }

    /// Breaks with [`Broken::Stalled`] when no byte comes for as long as `pause`,
    /// counted while somebody waits for one. There is no bound on the whole.
    pub fn stalling_after(self, pause: Duration) -> Self {
        let chunks = stream::try_unfold(self.chunks, move |mut chunks| async move {
            let next = async {
                loop {
                    match chunks.next().await {
                        Some(Ok(chunk)) if chunk.is_empty() => {
                            // Endless empty pieces would never let go of the thread.
                            tokio::task::yield_now().await;
                        }
                        other => return other.transpose(),
                    }
                }
            };
            let next = tokio::time::timeout(pause, next)
                .await
                .map_err(|_| Broken::Stalled)??;
            Ok(next.map(|chunk| (chunk, chunks)))
        });
        Self {
            chunks: chunks.boxed(),
            length: self.length,
        }
    }

    /// Breaks with [`Broken::Short`] when there come fewer or more bytes than were
    /// announced. Changes nothing when nothing was announced.
    pub fn checked(self) -> Self {
        let Some(announced) = self.length else {
            return self;
        };
        self.watched(move |came, ended| {
            if came > announced || ended && came < announced {
                Err(Broken::Short { announced, came })
            } else {
                Ok(())
            }
        })
    }

    /// The whole file, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Broken::TooLarge`] when there are more, and why the file broke off.
    pub async fn collect(self, limit: usize) -> Result<Vec<u8>, Broken> {
        let mut whole = Vec::new();
        let mut chunks = self.bounded(limit as u64).chunks;
        while let Some(chunk) = chunks.next().await {
            whole.extend_from_slice(&chunk?);
        }
        Ok(whole)
    }

    /// Holds `demand` to how many bytes have come, and whether that was all: before the
    /// first piece is waited for, and before each piece is passed on.
    fn watched(self, demand: impl Fn(u64, bool) -> Result<(), Broken> + Send + 'static) -> Self {
        let state = (self.chunks, 0, demand);
        let chunks = stream::try_unfold(state, |(mut chunks, came, demand)| async move {
            demand(came, false)?;
            match chunks.next().await {
                Some(chunk) => {
                    let chunk = chunk?;
                    let came = came + chunk.len() as u64;
                    demand(came, false)?;
                    Ok(Some((chunk, (chunks, came, demand))))
                }
                None => demand(came, true).map(|()| None),
            }
        });
        Self {
            chunks: chunks.boxed(),
            length: self.length,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;

    fn body(parts: &[&'static str], length: Option<u64>) -> Body {
        let parts: Vec<_> = parts
            .iter()
            .map(|part| Ok(Bytes::from_static(part.as_bytes())))
            .collect();
        Body {
            chunks: stream::iter(parts).boxed(),
            length,
        }
    }

    fn breaking(parts: &[&'static str], broken: Broken) -> Body {
        let body = body(parts, None);
        Body {
            chunks: body.chunks.chain(stream::iter([Err(broken)])).boxed(),
            length: None,
        }
    }

    fn lost() -> Broken {
        Broken::Lost("reset".to_owned())
    }

    /// All that comes, the errors among it.
    async fn drained(body: Body) -> (Vec<u8>, Vec<Broken>) {
        let (mut bytes, mut errors) = (Vec::new(), Vec::new());
        let mut chunks = body.chunks;
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok(chunk) => bytes.extend_from_slice(&chunk),
                Err(broken) => errors.push(broken),
            }
        }
        (bytes, errors)
    }

    proptest! {
        #[test]
        fn a_look_at_the_beginning_takes_nothing_away(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..9),
            at_most in 0_usize..40,
        ) {
            let whole = parts.concat();
            let length = Some(whole.len() as u64);
            let chunks = stream::iter(parts.into_iter().map(|part| Ok(Bytes::from(part)))).boxed();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (head, again) = runtime.block_on(async move {
                let (head, body) = Body { chunks, length }.peek(at_most).await.unwrap();
                assert_eq!(body.length, length);
                (head, drained(body.checked()).await)
            });
            prop_assert_eq!(&head[..], &whole[..at_most.min(whole.len())]);
            prop_assert_eq!(again, (whole, vec![]));
        }
    }

    #[tokio::test]
    async fn a_break_is_told_whenever_it_comes() {
        let error = breaking(&["ab"], lost()).peek(3).await.unwrap_err();
        assert_eq!(error, lost());
        let (head, rest) = breaking(&["ab"], lost()).peek(2).await.unwrap();
        assert_eq!(head, b"ab");
        assert_eq!(drained(rest).await, (b"ab".to_vec(), vec![lost()]));
        assert_eq!(breaking(&["ab"], lost()).collect(9).await, Err(lost()));
    }

    #[tokio::test]
    async fn a_bound_holds_to_the_byte() {
        let limit = Broken::TooLarge { limit: 4 };
        let (bytes, errors) = drained(body(&["ab", "cd"], None).bounded(4)).await;
        assert_eq!((bytes.len(), errors), (4, vec![]));
        let (bytes, errors) = drained(body(&["ab", "cde", "f"], None).bounded(4)).await;
        assert_eq!((bytes.len(), errors), (2, vec![limit.clone()]));
        let collected = body(&["ab", "cde"], None).collect(4).await;
        assert_eq!(collected, Err(limit.clone()));
        assert_eq!(body(&["ab"], None).collect(2).await.unwrap(), b"ab");
        // What says that it is too large is not even begun.
        let never = Body {
            chunks: stream::pending().boxed(),
            length: Some(5),
        };
        assert_eq!(drained(never.bounded(4)).await, (vec![], vec![limit]));
    }

    #[tokio::test]
    async fn announced_and_come_must_be_the_same() {
        let short = |announced, came| vec![Broken::Short { announced, came }];
        let table = [
            (&["ab", "c"][..], Some(3), vec![]),
            (&["ab", "c"], None, vec![]),
            (&["ab", "c"], Some(4), short(4, 3)),
            (&["ab", "cd"], Some(3), short(3, 4)),
            (&[], Some(1), short(1, 0)),
            (&[], Some(0), vec![]),
            (&["a"], Some(0), short(0, 1)),
        ];
        for (parts, length, expected) in table {
            let (bytes, errors) = drained(body(parts, length).checked()).await;
            assert_eq!(errors, expected, "{parts:?} as {length:?}");
            assert!(bytes.len() as u64 <= length.unwrap_or(u64::MAX));
        }
    }

    #[tokio::test]
    async fn a_standstill_ends_a_transfer_and_slowness_does_not() {
        let still = Body {
            chunks: body(&["ab"], None).chunks.chain(stream::pending()).boxed(),
            length: None,
        };
        let found = drained(still.stalling_after(Duration::from_millis(20))).await;
        assert_eq!(found, (b"ab".to_vec(), vec![Broken::Stalled]));

        let empty = Body {
            chunks: stream::repeat_with(|| Ok(Bytes::new())).boxed(),
            length: None,
        };
        let found = drained(empty.stalling_after(Duration::from_millis(20))).await;
        assert_eq!(found, (vec![], vec![Broken::Stalled]), "empty pieces count");

        // Longer than the pause all together, but never for as long at once.
        let slow = Body {
            chunks: stream::iter(0..12)
                .then(|_| async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Ok(Bytes::from_static(b"x"))
                })
                .boxed(),
            length: Some(12),
        };
        let (bytes, errors) = drained(slow.stalling_after(Duration::from_millis(300))).await;
        assert_eq!((bytes.len(), errors), (12, vec![]));
    }

    #[tokio::test]
    async fn a_large_file_is_never_held() {
        const PIECE: u64 = 64 * 1024;
        const PIECES: u64 = 4096;
        let made = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&made);
        let large = Body {
            chunks: stream::iter(0..PIECES)
                .map(move |_| {
                    counter.fetch_add(PIECE, Ordering::Relaxed);
                    Ok(Bytes::from(vec![7; PIECE as usize]))
                })
                .boxed(),
            length: Some(PIECE * PIECES),
        };
        let (_, large) = large.peek(100).await.unwrap();
        let mut chunks = large
            .bounded(PIECE * PIECES)
            .checked()
            .stalling_after(Duration::from_secs(30))
            .chunks;
        let mut taken = 0;
        while let Some(chunk) = chunks.next().await {
            taken += chunk.unwrap().len() as u64;
            let ahead = made.load(Ordering::Relaxed) - taken;
            assert!(ahead <= PIECE, "{ahead} bytes were read ahead");
        }
        assert_eq!(taken, PIECE * PIECES);
    }

    #[tokio::test]
    async fn nothing_comes_after_an_error() {
        let mixed = || Body {
            chunks: stream::iter([Err(lost()), Ok(Bytes::from_static(b"late"))]).boxed(),
            length: Some(4),
        };
        for body in [
            mixed().checked(),
            mixed().bounded(100),
            mixed().stalling_after(Duration::from_secs(9)),
        ] {
            assert_eq!(drained(body).await, (vec![], vec![lost()]));
        }
    }

    #[test]
    fn only_what_broke_on_its_way_is_tried_again() {
        let short = Broken::Short {
            announced: 2,
            came: 1,
        };
        for broken in [lost(), Broken::Stalled, short] {
            let Advice::Retry { maybe_done, .. } = broken.advice() else {
                panic!("{broken} would have been given up");
            };
            assert!(!maybe_done);
        }
        for broken in [Broken::TooLarge { limit: 1 }, Broken::WrongHash] {
            assert_eq!(broken.advice(), Advice::GiveUp);
        }
    }
}
