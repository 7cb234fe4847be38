//! A file that is being given to a server: why it came to an end when it did.
//!
//! A client of HTTP says of a request that failed because its body broke only that it
//! failed. What to do next depends on whose fault it was, and on whether the server got
//! the whole of it: that is noted here, beside the bytes on their way.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Body, Broken, Chunks};

/// Given away in pieces of at most this many bytes, so that a slow line is not taken
/// for one that stands still.
const PIECE: usize = 64 * 1024;

/// How long a transfer may stand still. There is no bound on the whole of it: a large
/// file over a slow line takes as long as it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// While bytes should flow, in either direction.
    pub stall: Duration,
    /// From the last byte of an upload to the answer: the server makes thumbnails, or
    /// writes to a store of its own.
    pub answer: Duration,
    /// From the request for a file to the beginning of the answer.
    pub opening: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(30),
            answer: Duration::from_secs(120),
            opening: Duration::from_secs(60),
        }
    }
}

/// Why an upload has no good answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Halt<E> {
    /// The file broke on its way here. The server has not got the whole of it.
    Source(Broken),
    /// The server took no more bytes. It has not got the whole file.
    NotTaken,
    /// The server has got the whole file and did not answer.
    NoAnswer,
    /// What the exchange itself says.
    Failed {
        /// Why it failed.
        error: E,
        /// The whole file had been given away by then.
        complete: bool,
    },
}

/// Who is being waited for.
#[derive(Debug, Clone)]
enum Stage {
    /// The source, for the next piece.
    Source,
    /// The server: to take the piece that it was given then.
    Sink(Instant),
    /// The server: to answer, since then.
    Answer(Instant),
    Broken(Broken),
}

/// Looks on while a file is given away.
#[derive(Debug)]
pub struct Watch {
    stage: Arc<Mutex<Stage>>,
    patience: Patience,
    /// Dropped with this: nobody reads on from the source once the exchange is over.
    wanted: watch::Sender<()>,
}

/// The bytes to give away, held to the announced size and to a pace, and who looks on.
/// The bytes must be handed to the exchange that [`Watch::over`] then waits for.
///
/// Where a size is announced, the last bytes are given away only when the source has
/// ended with them: who sends by that size asks for nothing behind it, and would take
/// for whole what is not, or was found wrong at its end.
pub fn watched(body: Body, patience: Patience) -> (Chunks, Watch) {
    let now = Instant::now();
    // Nobody asks for the bytes of what is said to have none.
    let first = match body.length {
        Some(0) => Stage::Answer(now),
        _ => Stage::Sink(now),
    };
    let stage = Arc::new(Mutex::new(first));
    let (wanted, still_wanted) = watch::channel(());
    let state = Giving {
        missing: body.length,
        source: body.checked().stalling_after(patience.stall).chunks,
        ended: false,
        rest: Bytes::new(),
        stage: Arc::clone(&stage),
        still_wanted,
    };
    let chunks = stream::unfold(Some(state), |giving| async move { giving?.give().await });
    let watch = Watch {
        stage,
        patience,
        wanted,
    };
    (chunks.boxed(), watch)
}

struct Giving {
    source: Chunks,
    /// The source has nothing more.
    ended: bool,
    /// How many announced bytes have not come.
    missing: Option<u64>,
    /// What has come and is still to be given away.
    rest: Bytes,
    stage: Arc<Mutex<Stage>>,
    still_wanted: watch::Receiver<()>,
}

impl Giving {
    async fn give(mut self) -> Option<(Result<Bytes, Broken>, Option<Self>)> {
        while !self.ended && (self.rest.is_empty() || self.missing == Some(0)) {
            *lock(&self.stage) = Stage::Source;
            let next = tokio::select! {
                biased;
                // Its sender is gone: it never sends anything.
                _ = self.still_wanted.changed() => {
                    let broken = Broken::Lost("nobody waits for it any more".to_owned());
                    return Some((Err(broken), None));
                }
                next = self.source.next() => next,
            };
            match next {
                Some(Ok(chunk)) => {
                    let came = chunk.len() as u64;
                    self.missing = self.missing.map(|missing| missing.saturating_sub(came));
                    self.rest = chunk;
                }
                Some(Err(broken)) => {
                    *lock(&self.stage) = Stage::Broken(broken.clone());
                    return Some((Err(broken), None));
                }
                None => self.ended = true,
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        let now = Instant::now();
        *lock(&self.stage) = if self.ended && self.rest.is_empty() {
            Stage::Answer(now)
        } else {
            Stage::Sink(now)
        };
        (!piece.is_empty()).then_some((Ok(piece), Some(self)))
    }
}

impl Watch {
    /// Waits for `exchange`, which sends the bytes and reads the answer, for as long as
    /// something goes on. Once it is over nothing more is read from the source, also
    /// where the server answered before it had everything.
    ///
    /// # Errors
    /// Whose fault it was.
    pub async fn over<T, E>(
        self,
        exchange: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Halt<E>> {
        let mut exchange = pin!(exchange);
        let result = loop {
            let patience_ends = match &*lock(&self.stage) {
                Stage::Sink(since) => *since + self.patience.stall,
                Stage::Answer(since) => *since + self.patience.answer,
                // The source has a bound of its own, and what broke ends the exchange.
                Stage::Source | Stage::Broken(_) => Instant::now() + self.patience.stall,
            };
            tokio::select! {
                biased;
                result = &mut exchange => break result,
                () = tokio::time::sleep_until(patience_ends) => {}
            }
            match &*lock(&self.stage) {
                Stage::Sink(since) if since.elapsed() >= self.patience.stall => {
                    return Err(Halt::NotTaken);
                }
                Stage::Answer(since) if since.elapsed() >= self.patience.answer => {
                    return Err(Halt::NoAnswer);
                }
                Stage::Broken(broken) => return Err(Halt::Source(broken.clone())),
                _ => {}
            }
        };
        drop(self.wanted);
        result.map_err(|error| match &*lock(&self.stage) {
            Stage::Broken(broken) => Halt::Source(broken.clone()),
            stage => Halt::Failed {
                error,
                complete: matches!(stage, Stage::Answer(_)),
            },
        })
    }
}

fn lock(stage: &Mutex<Stage>) -> MutexGuard<'_, Stage> {
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    const SHORT: Patience = Patience {
        stall: Duration::from_millis(30),
        answer: Duration::from_millis(60),
        opening: Duration::from_millis(60),
    };

    async fn take_all(mut chunks: Chunks) -> Result<usize, &'static str> {
        let mut taken = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| "the request failed")?;
            assert!(chunk.len() <= PIECE);
            taken += chunk.len();
        }
        Ok(taken)
    }

    fn then(parts: Vec<Result<Bytes, Broken>>, length: Option<u64>) -> Body {
        Body {
            chunks: stream::iter(parts).boxed(),
            length,
        }
    }

    #[tokio::test]
    async fn what_is_taken_whole_is_answered() {
        let (chunks, watch) = watched(Body::of(vec![1; 3 * PIECE + 1]), Patience::default());
        assert_eq!(watch.over(take_all(chunks)).await, Ok(3 * PIECE + 1));
    }

    #[tokio::test]
    async fn a_source_that_breaks_is_the_cause() {
        let lost = Broken::Lost("reset".to_owned());
        let part = || Ok(Bytes::from_static(b"ab"));
        let short = Broken::Short {
            announced: 3,
            came: 2,
        };
        for (parts, length, cause) in [
            (vec![part(), Err(lost.clone())], None, lost),
            (vec![part()], Some(3), short),
        ] {
            let (chunks, watch) = watched(then(parts, length), Patience::default());
            let halt = watch.over(take_all(chunks)).await.unwrap_err();
            assert_eq!(halt, Halt::Source(cause));
        }
        let still = Body {
            chunks: stream::pending().boxed(),
            length: None,
        };
        let (chunks, watch) = watched(still, SHORT);
        let halt = watch.over(take_all(chunks)).await.unwrap_err();
        assert_eq!(halt, Halt::Source(Broken::Stalled));
    }

    /// As who sends a body of a known size: nothing behind it is asked for.
    async fn take_announced(mut chunks: Chunks, announced: usize) -> Result<(), &'static str> {
        let mut taken = 0;
        while taken < announced {
            let chunk = chunks.next().await.ok_or("too short")?;
            taken += chunk.map_err(|_| "the request failed")?.len();
        }
        std::future::pending().await
    }

    #[tokio::test]
    async fn the_last_byte_is_given_away_when_the_source_has_ended_well() {
        let part = || Ok(Bytes::from_static(b"abcd"));
        let too_long = Broken::Short {
            announced: 4,
            came: 8,
        };
        for (parts, halt) in [
            (vec![part()], Halt::NoAnswer),
            (vec![part(), part()], Halt::Source(too_long)),
            (
                vec![part(), Err(Broken::WrongHash)],
                Halt::Source(Broken::WrongHash),
            ),
        ] {
            let (chunks, watch) = watched(then(parts, Some(4)), SHORT);
            assert_eq!(watch.over(take_announced(chunks, 4)).await, Err(halt));
        }
        let (chunks, watch) = watched(Body::of(Vec::new()), SHORT);
        let halt = watch.over(take_announced(chunks, 0)).await;
        assert_eq!(halt, Err(Halt::NoAnswer));
    }

    #[tokio::test]
    async fn a_server_that_takes_nothing_is_not_waited_for() {
        let (mut chunks, watch) = watched(Body::of(vec![1; 2 * PIECE]), SHORT);
        let halt = watch
            .over(async {
                chunks.next().await;
                std::future::pending::<Result<(), ()>>().await
            })
            .await;
        assert_eq!(halt, Err(Halt::NotTaken));
        let (_chunks, watch) = watched(Body::of(vec![1; 2 * PIECE]), SHORT);
        let halt = watch.over(std::future::pending::<Result<(), ()>>()).await;
        assert_eq!(halt, Err(Halt::NotTaken), "it did not even begin");
    }

    #[tokio::test]
    async fn a_server_that_has_everything_must_answer() {
        let (chunks, watch) = watched(Body::of(vec![1; 10]), SHORT);
        let halt = watch
            .over(async {
                take_all(chunks).await.unwrap();
                std::future::pending::<Result<(), ()>>().await
            })
            .await;
        assert_eq!(halt, Err(Halt::NoAnswer));
    }

    #[tokio::test]
    async fn a_failure_says_whether_the_server_had_everything() {
        let (chunks, watch) = watched(Body::of(vec![1; 10]), Patience::default());
        let halt = watch
            .over(async {
                take_all(chunks).await.unwrap();
                Err::<(), _>("lost")
            })
            .await;
        let failed = |complete| {
            Err(Halt::Failed {
                error: "lost",
                complete,
            })
        };
        assert_eq!(halt, failed(true));
        let (mut chunks, watch) = watched(Body::of(vec![1; 2 * PIECE]), Patience::default());
        let halt = watch
            .over(async {
                chunks.next().await;
                Err::<(), _>("lost")
            })
            .await;
        assert_eq!(halt, failed(false));
    }

    #[tokio::test]
    async fn after_the_answer_nothing_more_is_read() {
        let endless = Body {
            chunks: stream::repeat_with(|| Ok(Bytes::from_static(b"x"))).boxed(),
            length: None,
        };
        let (mut chunks, watch) = watched(endless, Patience::default());
        let answered = watch
            .over(async {
                chunks.next().await;
                Ok::<_, ()>("too large")
            })
            .await;
        assert_eq!(answered, Ok("too large"));
        assert!(matches!(chunks.next().await, Some(Err(Broken::Lost(_)))));
        assert!(chunks.next().await.is_none());
    }
}
