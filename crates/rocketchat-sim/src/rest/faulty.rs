//! Transfers that break on request: a body that stops coming or is not taken.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::{
    HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    error::PayloadError,
    web,
};
use futures_util::{StreamExt, stream};
use tokio::time::Sleep;

use super::form::Incoming;
use crate::server::Wire;

/// Time for what was written to leave before a connection is cut.
const FLUSH: Duration = Duration::from_millis(100);

/// How the body of an answer breaks.
pub enum Fault {
    /// The connection is cut after so many bytes.
    Cut {
        /// Bytes.
        after: u64,
        /// What is cut.
        wire: Option<Wire>,
    },
    /// Nothing comes for a while after so many bytes.
    Stall {
        /// Bytes.
        after: u64,
        /// How long.
        pause: Duration,
    },
    /// The body is only so long, and says so.
    Short {
        /// Bytes.
        to: u64,
    },
}

/// The body of a request that ends with an error after so many bytes, or stands still for a while.
pub fn upload(body: Incoming, after: u64, pause: Option<Duration>) -> Incoming {
    let state = (body, after, pause, None::<web::Bytes>, false);
    Box::pin(stream::try_unfold(
        state,
        |(mut body, left, pause, rest, passed)| async move {
            if left == 0 && !passed {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(PayloadError::Incomplete(None)),
                }
            }
            let passed = passed || left == 0;
            let chunk = match rest {
                Some(rest) => rest,
                None => match body.next().await {
                    Some(chunk) => chunk?,
                    None => return Ok(None),
                },
            };
            if passed {
                return Ok(Some((chunk, (body, 0, pause, None, true))));
            }
            let (chunk, rest) = split(chunk, left);
            let left = left - chunk.len() as u64;
            Ok(Some((chunk, (body, left, pause, rest, false))))
        },
    ))
}

/// The first `at` bytes, and what is behind them.
fn split(mut chunk: web::Bytes, at: u64) -> (web::Bytes, Option<web::Bytes>) {
    match usize::try_from(at) {
        Ok(at) if at < chunk.len() => {
            let rest = chunk.split_off(at);
            (chunk, Some(rest))
        }
        _ => (chunk, None),
    }
}

/// Makes the body of an answer break.
pub fn download(response: HttpResponse, fault: Fault) -> HttpResponse {
    response.map_body(|_, body| {
        let left = match &fault {
            Fault::Cut { after, .. } | Fault::Stall { after, .. } => *after,
            Fault::Short { to } => *to,
        };
        Faulty {
            body: Box::pin(body),
            left,
            rest: None,
            waits: None,
            passed: false,
            fault,
        }
        .boxed()
    })
}

struct Faulty {
    body: Pin<Box<BoxBody>>,
    /// Bytes until the fault.
    left: u64,
    /// What of a piece comes after the fault.
    rest: Option<web::Bytes>,
    waits: Option<Pin<Box<Sleep>>>,
    /// A pause is over.
    passed: bool,
    fault: Fault,
}

impl MessageBody for Faulty {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        match (self.body.size(), &self.fault) {
            (BodySize::Sized(size), Fault::Short { to }) => BodySize::Sized(size.min(*to)),
            (size, _) => size,
        }
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<web::Bytes, Self::Error>>> {
        let this = self.get_mut();
        if this.left == 0 && !this.passed {
            let pause = match &this.fault {
                Fault::Short { .. } => return Poll::Ready(None),
                Fault::Cut { .. } => FLUSH,
                Fault::Stall { pause, .. } => *pause,
            };
            let waits = this
                .waits
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            if waits.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            this.passed = true;
            if let Fault::Cut { wire, .. } = &this.fault {
                if let Some(wire) = wire {
                    wire.cut();
                }
                return Poll::Ready(Some(Err("the connection is cut on request".into())));
            }
        }
        if let Some(rest) = this.rest.take() {
            return Poll::Ready(Some(Ok(rest)));
        }
        let next = this.body.as_mut().poll_next(context);
        let Poll::Ready(Some(Ok(chunk))) = next else {
            return match next {
                Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
                Poll::Ready(_) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            };
        };
        if this.passed {
            return Poll::Ready(Some(Ok(chunk)));
        }
        let (chunk, rest) = split(chunk, this.left);
        this.left -= chunk.len() as u64;
        this.rest = rest;
        Poll::Ready(Some(Ok(chunk)))
    }
}
