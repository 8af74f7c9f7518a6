//! `harness.toml`: found in the present folder where the first byte is even, else given by `--config`.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use harness_fuzz::bounds::within;
use harness_fuzz::scratch::Scratch;
use libfuzzer_sys::fuzz_target;

/// The present folder, with nothing of the user's around it but a place for recordings.
static SCRATCH: LazyLock<Scratch> = LazyLock::new(|| {
    let scratch = Scratch::new();
    std::env::set_current_dir(scratch.folder()).unwrap();
    scratch
});

fuzz_target!(init: {
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"] {
        // SAFETY: no other thread has been started.
        unsafe { std::env::remove_var(name) };
    }
    // SAFETY: as above.
    unsafe { std::env::set_var("HARNESS_RECORDINGS", "/nonexistent/recordings") };
}, |data: &[u8]| {
    let Some((&kind, text)) = data.split_first() else { return };
    let given = kind % 2 == 1;
    let (name, other) = if given { ("given.toml", "harness.toml") } else { ("harness.toml", "given.toml") };
    SCRATCH.write(name, text);
    SCRATCH.remove(other);
    let arguments: &[&str] = if given { &["--config", "given.toml"] } else { &[] };
    within((4 << 20) + 1024 * text.len(), Duration::from_secs(2), || match harness::fuzzing::run(arguments) {
        Ok(points) => assert!(points <= 10_000),
        Err(error) => assert!(!error.is_empty()),
    });
});
