//! A recording, read as `report` and `compare` read it, and all that is figured out of it.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use harness_core::compare::{self, Named, Options};
use harness_core::{Recording, Warning, fuzzing, private};
use harness_fuzz::bounds::within;
use harness_fuzz::scratch::Scratch;
use libfuzzer_sys::fuzz_target;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);

fuzz_target!(|data: &[u8]| {
    let path = SCRATCH.write("recording.jsonl", data);
    within((1 << 20) + 256 * data.len(), Duration::from_secs(2), || {
        let recording = match Recording::read(&path) {
            Ok(recording) => recording,
            Err(error) => return assert!(error.to_string().len() < 4000 + 8 * data.len()),
        };
        for warning in Warning::of(&recording) {
            let _ = warning.to_string();
        }
        assert_eq!(fuzzing::audited(&recording).len(), recording.summary.len());
        // The same one again is refused: so is a side that has it twice.
        let mut other = recording.clone();
        other.facts.insert("start".into(), "another".into());
        let of = |recording| vec![Named { path: path.clone(), recording }];
        for (force, paired) in [(false, false), (true, true)] {
            let options = Options { force, paired, ..Options::default() };
            let _ = compare::compare(&of(recording.clone()), &[of(other.clone())], &options);
        }
        let _ = compare::unlike([&recording, &other].into_iter());
        private::recording(&mut other);
        assert!(!other.facts.contains_key("command"));
    });
});
