//! Names of files that a stranger chooses: what the sandbox refuses of any, and what this program reads by its name.

use harness_bundle::builtin;
use harness_sandbox::file_name;

/// The configuration that is read in the present folder.
pub(crate) const CONFIGURATION: &str = "harness.toml";

/// What is wrong with a name, as the rest of a sentence that starts with it.
pub(crate) fn fault(name: &str) -> Option<String> {
    file_name::fault(name).or_else(|| reserved(name))
}

/// Why no stranger's file may have a name that is fine otherwise.
pub(crate) fn reserved(name: &str) -> Option<String> {
    let folded = file_name::folded(name);
    if folded == CONFIGURATION {
        return Some("the next harness in that folder would take it for its configuration".into());
    }
    if folded == "sweep.json" {
        return Some("a sweep in that folder would take it for its own".into());
    }
    builtin(&folded).map(|builtin| format!("it is called like the built-in plugin {}", builtin.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_harness_reads_by_its_name_is_no_strangers() {
        for name in [
            "sweep.json",
            "harness.toml",
            "Harness.TOML",
            "ｈarness.toml",
            "default",
            "csv",
            "CSV",
            "csv.wasm",
            "Junit.wasm",
        ] {
            assert!(fault(name).is_some(), "{name}");
        }
        for name in ["harness.csv", "harness.toml.txt", "csv.csv", "default.txt", "mine.wasm"] {
            assert_eq!(fault(name), None, "{name}");
        }
    }
}
