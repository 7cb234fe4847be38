//! The promises, held for the seeds and for what once broke them.
#![allow(clippy::expect_used)]

use std::panic::catch_unwind;
use std::time::Instant;

use fuzz::{Target, seeds};

fn holds(target: Target, at_least: usize) {
    let began = Instant::now();
    let seeds = seeds::of(target).expect("the recordings can be read");
    assert!(seeds.len() >= at_least, "only {} seeds", seeds.len());
    let seeds = seeds.into_iter().map(|seed| ("a seed".to_owned(), seed));
    let known = seeds::regressions(target).expect("the regressions can be read");
    let known = known
        .into_iter()
        .map(|(path, input)| (path.display().to_string(), input));
    let broken: Vec<String> = seeds
        .chain(known)
        .filter(|(_, input)| catch_unwind(|| target.check(input)).is_err())
        .map(|(name, input)| format!("{name}: {:?}", String::from_utf8_lossy(&input)))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(began.elapsed().as_secs() < 120, "{:?}", began.elapsed());
}

#[test]
fn markdown() {
    holds(Target::Markdown, 500);
}

#[test]
fn to_matrix() {
    holds(Target::ToMatrix, 600);
}

#[test]
fn to_rocketchat() {
    holds(Target::ToRocketchat, 400);
}

#[test]
fn frames() {
    holds(Target::Frames, 100);
}

#[test]
fn transactions() {
    holds(Target::Transactions, 20);
}
