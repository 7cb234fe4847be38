//! The fuzzer: libFuzzer around the target that `FUZZ_TARGET` names. It first writes
//! the target's seeds into the directory `FUZZ_SEEDS`, if that is set. Started by
//! `cargo xtask fuzz`.

#![no_main]

use std::path::Path;
use std::sync::OnceLock;
use std::{env, fs, io};

use fuzz::{Target, seeds};

static TARGET: OnceLock<Target> = OnceLock::new();

/// # Panics
/// When the environment names no target, or the seeds cannot be written: there is
/// nothing to do then, and libFuzzer offers no other way to say so.
fn prepare() {
    let name = env::var("FUZZ_TARGET").unwrap_or_default();
    let Some(target) = Target::named(&name) else {
        panic!("FUZZ_TARGET is no target: {name:?}");
    };
    TARGET.get_or_init(|| target);
    if let Some(directory) = env::var_os("FUZZ_SEEDS")
        && let Err(error) = write_seeds(target, Path::new(&directory))
    {
        panic!("cannot write the seeds: {error}");
    }
}

fn write_seeds(target: Target, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for (number, seed) in seeds::of(target)?.iter().enumerate() {
        fs::write(directory.join(format!("{number:04}")), seed)?;
    }
    Ok(())
}

libfuzzer_sys::fuzz_target!(
    init: prepare(),
    |input: &[u8]| {
        if let Some(target) = TARGET.get() {
            target.check(input);
        }
    }
);
