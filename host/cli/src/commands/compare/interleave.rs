//! Runs two configurations in turn, A B B A, so that what drifts (heat, clocks, other load) hits both alike.
//!
//! Each recording is made by a process of its own, so that neither configuration finds the other's memory.

use std::path::Path;

use harness_core::Recording;
use harness_core::compare::{Incomparable, Named, Options, compare};

use crate::failure::Failure;
use crate::interrupt;
use crate::invocation::process::{record, words};
use crate::log::tell;
use crate::now;

const ORDER: [usize; 4] = [0, 1, 1, 0];
const NAMES: [&str; 2] = ["a", "b"];
/// Of `harness run`.
const PRIVATE: &str = "--private";

/// Records both, and returns the recordings of A and of B.
pub(super) fn run(
    a: &str,
    b: &str,
    rounds: u32,
    recordings: &Path,
    config: Option<&Path>,
    private: bool,
    options: &Options,
) -> Result<(Vec<Named>, Vec<Named>), Failure> {
    let mut words = [words(a)?, words(b)?];
    for words in words.iter_mut().filter(|words| private && !words.iter().any(|word| word == PRIVATE)) {
        words.push(PRIVATE.to_owned());
    }
    let time = now::in_names(now::now());
    let folder = recordings.join(format!("{time}-interleave"));
    // The child hears of Ctrl-C, too, and ends its recording before it ends; whoever signals this process alone ends what follows.
    let stop = interrupt::watch()?;
    let mut sides: [Vec<Named>; 2] = Default::default();
    let total = rounds as usize * ORDER.len();
    for step in 0..total {
        if stop.is_set() {
            return Err(Failure::Interrupted(format!(
                "interrupted; what was recorded is kept in {}",
                folder.display()
            )));
        }
        let which = ORDER[step % ORDER.len()];
        let path = folder.join(format!("{:04}-{}.jsonl", step + 1, NAMES[which]));
        tell(&format!("{}/{total}: {}", step + 1, NAMES[which].to_uppercase()));
        let ended = record(&words[which], &path, config);
        let kept = format!("what was recorded is kept in {}", folder.display());
        ended.map_err(|failure| failure.and(if step > 0 { &kept } else { "" }))?;
        sides[which].push(Named { recording: Recording::read(&path)?.without_samples(), path });
        // That they can't be compared is better known now than at the end.
        if step == 1 {
            let [a, b] = &sides;
            let options = &Options { paired: false, ..options.clone() };
            if let Err(error @ (Incomparable::OtherWork { .. } | Incomparable::UnknownMetric { .. })) =
                compare(a, std::slice::from_ref(b), options)
            {
                return Err(error.into());
            }
        }
    }
    tell(&format!("recorded in {}", folder.display()));
    let [a, b] = sides;
    Ok((a, b))
}
