//! Waiting for conditions.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// How long to wait for something that should take well under a second: long
/// enough for a busy machine, so that only a broken promise reaches it.
pub const DEADLINE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Asks `condition` again and again until it answers `Ok(Some(value))`.
///
/// `Ok(None)` and `Err` both mean "not yet"; the last error is shown when the
/// deadline passes, so a condition may use it to tell what it saw instead.
///
/// # Errors
/// When the deadline (times `TESTBED_PATIENCE`) has passed: says `what` was
/// waited for and what was seen last.
pub async fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let mut wait = Wait::new(what, deadline);
    loop {
        if let Some(value) = wait.look(condition()).await? {
            return Ok(value);
        }
    }
}

/// One wait, look by look: for methods whose futures must be `Send`, which the
/// compiler cannot see through the async closure of [`eventually`].
pub(crate) struct Wait<'a> {
    what: &'a str,
    deadline: Duration,
    began: Instant,
    last_seen: Option<String>,
}

impl<'a> Wait<'a> {
    /// Begins to wait.
    pub(crate) fn new(what: &'a str, deadline: Duration) -> Self {
        Self {
            what,
            deadline: deadline.mul_f64(patience()),
            began: Instant::now(),
            last_seen: None,
        }
    }

    /// Looks once, and pauses when it is not yet time: `None` means look again.
    pub(crate) async fn look<T>(
        &mut self,
        look: impl Future<Output = Result<Option<T>>>,
    ) -> Result<Option<T>> {
        // A look that hangs (a server that accepts and never answers) must not
        // outlive the deadline either.
        let left = self.deadline.saturating_sub(self.began.elapsed());
        let began = Instant::now();
        match tokio::time::timeout(left.max(PAUSE), look).await {
            Ok(Ok(Some(value))) => return Ok(Some(value)),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => self.last_seen = Some(format!("{error:#}")),
            // Cut off by the deadline: what an earlier look saw says more.
            Err(_) => {
                self.last_seen
                    .get_or_insert_with(|| "no look came back".to_owned());
            }
        }
        if self.began.elapsed() >= self.deadline {
            return Err(anyhow!(
                "waited {:.1} s in vain for: {}\nlast seen: {}",
                self.began.elapsed().as_secs_f64(),
                self.what,
                self.last_seen.as_deref().unwrap_or("nothing yet"),
            ));
        }
        // Reading a long room must not take the processor from those who fill it.
        let pause = (began.elapsed() * 2).clamp(PAUSE, LONGEST_PAUSE);
        tokio::time::sleep(pause).await;
        Ok(None)
    }
}

/// The factor by which this machine is slower than a usual one.
pub(crate) fn patience() -> f64 {
    std::env::var("TESTBED_PATIENCE")
        .ok()
        .and_then(|factor| factor.parse::<f64>().ok())
        .filter(|factor| factor.is_finite() && *factor > 0.0)
        .unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[tokio::test]
    async fn a_condition_that_comes_true_ends_the_wait() -> Result<()> {
        let mut looks = 0;
        let value = eventually("the third look", DEADLINE, async || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        })
        .await?;
        assert_eq!(value, 3);
        Ok(())
    }

    #[tokio::test]
    async fn the_error_names_what_was_waited_for_and_what_was_seen() -> Result<()> {
        let waited = eventually::<()>("a swan", Duration::from_millis(50), async || {
            bail!("a duck")
        })
        .await;
        let Err(error) = waited else {
            bail!("waiting for what never comes must fail")
        };
        let text = error.to_string();
        assert!(text.contains("a swan") && text.contains("a duck"), "{text}");
        Ok(())
    }
}
