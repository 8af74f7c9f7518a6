//! The threads that compute on the CPU: rayon's one pool, built before anything computes.
//!
//! Rayon itself would take any number of `RAYON_NUM_THREADS`, pass over what is none, and panic where the system gives it no thread.

use std::error::Error;
use std::sync::OnceLock;

use harness_core::format::{count, plural};
use harness_core::text::visible_line;

use crate::error::LoadError;

/// How many threads they are.
const VARIABLE: &str = "RAYON_NUM_THREADS";
/// The most of them for each processor. More than one each only take turns.
const MAX_PER_PROCESSOR: usize = 8;
/// Of a value, in characters.
const MAX_SHOWN: usize = 40;

/// How many threads there are to be, and what the user should know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Choice {
    threads: usize,
    note: Option<String>,
}

/// Builds the pool, if that was not done yet, and returns what the user should know about it.
pub(crate) fn ready() -> Result<Option<String>, LoadError> {
    static BUILT: OnceLock<Result<Option<String>, LoadError>> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            let value = std::env::var_os(VARIABLE).map(|value| value.to_string_lossy().into_owned());
            let choice = choose(value.as_deref(), processors);
            match rayon::ThreadPoolBuilder::new().num_threads(choice.threads).build_global() {
                // Whoever uses this crate may have built it.
                Err(error) if error.source().is_none() => Ok(None),
                Err(error) => Err(none(choice.threads, &error)),
                Ok(()) => Ok(choice.note),
            }
        })
        .clone()
}

fn choose(value: Option<&str>, processors: usize) -> Choice {
    let most = processors.saturating_mul(MAX_PER_PROCESSOR);
    let of_processors = format!("{} here", plural(processors, "processor"));
    // Of digits alone, but more than a number holds.
    let number = value.map(|value| match value.parse::<usize>() {
        Err(_) if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => Some(usize::MAX),
        number => number.ok(),
    });
    let shown = || visible_line(&value.unwrap_or_default().chars().take(MAX_SHOWN).collect::<String>()).into_owned();
    match number {
        // As rayon has it.
        None | Some(Some(0)) => Choice { threads: processors, note: None },
        Some(None) if value.is_some_and(str::is_empty) => Choice { threads: processors, note: None },
        Some(None) => Choice {
            threads: processors,
            note: Some(format!(
                "{VARIABLE} is '{}', which is no number of threads: harness computes with {}, one for each processor",
                shown(),
                count(processors as u64)
            )),
        },
        Some(Some(wanted)) if wanted > most => Choice {
            threads: most,
            note: Some(format!(
                "{VARIABLE} is {}, and at most {MAX_PER_PROCESSOR} threads for each of the {of_processors} compute: there are {}",
                shown(),
                count(most as u64)
            )),
        },
        Some(Some(wanted)) => Choice { threads: wanted, note: None },
    }
}

/// The error where the system gives too few threads.
fn none(threads: usize, error: &dyn Error) -> LoadError {
    let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    LoadError::System(format!(
        "the system gives this process no {} threads to compute with ({why}); raise or lift the limit on them (ulimit -u, the pids limit of \
         the control group), or set {VARIABLE} to fewer",
        count(threads as u64)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_threads_is_taken_capped_or_passed_over_with_a_word() {
        let plain = |threads| Choice { threads, note: None };
        assert_eq!(choose(None, 2), plain(2));
        assert_eq!(choose(Some(""), 2), plain(2));
        assert_eq!(choose(Some("0"), 2), plain(2));
        assert_eq!(choose(Some("1"), 2), plain(1));
        assert_eq!(choose(Some("16"), 2), plain(16));
        for value in ["17", "1000000", "99999999999999999999999999"] {
            let note = format!(
                "RAYON_NUM_THREADS is {value}, and at most 8 threads for each of the 2 processors here compute: there are 16"
            );
            assert_eq!(choose(Some(value), 2), Choice { threads: 16, note: Some(note) });
        }
        for (value, shown) in [("abc", "abc"), ("-1", "-1"), ("1.5", "1.5"), ("4\n", "4\\u{a}"), (" ", " ")] {
            let note = format!(
                "RAYON_NUM_THREADS is '{shown}', which is no number of threads: harness computes with 2, one for each processor"
            );
            assert_eq!(choose(Some(value), 2), Choice { threads: 2, note: Some(note) });
        }
    }
}
