//! Holding both rooms against the promise: every message exactly once, each
//! sender's in one order on both sides.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::stage::Cast;

/// Reads the mirrored room on both sides.
pub(super) async fn exactly_once(cast: &Cast, sent: &[String]) -> Result<()> {
    let on_matrix = cast.on_matrix.first().context("nobody on Matrix")?;
    let on_rocket = cast.on_rocket.first().context("nobody on Rocket.Chat")?;
    let on_matrix = on_matrix.room_texts(&cast.mirrored.on_matrix).await?;
    let on_rocket = on_rocket.room_texts(&cast.mirrored.on_rocket).await?;
    compare(sent, &on_matrix, &on_rocket)
}

fn compare(sent: &[String], on_matrix: &[String], on_rocket: &[String]) -> Result<()> {
    let mut wanted: Vec<&String> = sent.iter().collect();
    wanted.sort_unstable();
    for (side, texts) in [("Matrix", on_matrix), ("Rocket.Chat", on_rocket)] {
        let mut found: Vec<&String> = texts.iter().collect();
        found.sort_unstable();
        if found != wanted {
            let (found, wanted) = (found.len(), wanted.len());
            bail!("{side} has {found} messages where {wanted} were sent, or others");
        }
    }
    let (on_matrix, on_rocket) = (by_sender(on_matrix), by_sender(on_rocket));
    for (sender, lines) in &on_matrix {
        if on_rocket.get(sender) != Some(lines) {
            bail!("the messages of {sender} have another order on the other side");
        }
    }
    Ok(())
}

fn by_sender(texts: &[String]) -> BTreeMap<&str, Vec<&str>> {
    let mut lines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for text in texts {
        let sender = text.split(' ').nth(1).unwrap_or_default();
        lines.entry(sender).or_default().push(text);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn lost_doubled_and_swapped_messages_are_noticed() {
        let sent = texts(&["p a 0", "p a 1", "p b 0"]);
        let interleaved = texts(&["p b 0", "p a 0", "p a 1"]);
        assert!(compare(&sent, &sent, &interleaved).is_ok());
        let lost = texts(&["p a 0", "p b 0"]);
        assert!(compare(&sent, &sent, &lost).is_err());
        let doubled = texts(&["p a 0", "p a 1", "p b 0", "p b 0"]);
        assert!(compare(&sent, &doubled, &sent).is_err());
        let swapped = texts(&["p a 1", "p a 0", "p b 0"]);
        assert!(compare(&sent, &sent, &swapped).is_err());
    }
}
