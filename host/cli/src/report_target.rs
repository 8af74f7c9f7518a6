//! `NAME|FILE|REF[=OUT]`: a report plugin, and where its output goes.

use std::path::Path;
use std::str::FromStr;

use harness_registry::Reference;

use crate::destination::Destination;
use crate::meant::Meant;

/// A report plugin and where its output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReportTarget {
    pub(crate) plugin: String,
    /// A file for a text, a folder for files; `None` is the terminal, and no place for files.
    pub(crate) out: Option<Destination>,
}

impl FromStr for ReportTarget {
    type Err = String;

    /// By the text's form alone: what lies in the present folder changes nothing.
    fn from_str(text: &str) -> Result<Self, String> {
        let (plugin, out) = split(text);
        if plugin.is_empty() || out.is_some_and(str::is_empty) {
            return Err(format!("'{text}' is no report; write NAME, FILE.wasm, NAME=OUT or FILE.wasm=OUT"));
        }
        Ok(Self { plugin: plugin.to_owned(), out: out.map(Destination::named) })
    }
}

/// A name ends at the first '=', a reference, too. A file's name may have one in it: what ends with `.wasm` is the file.
fn split(text: &str) -> (&str, Option<&str>) {
    let halves = |at: usize| (&text[..at], Some(&text[at + 1..]));
    let Some(first) = text.find('=') else { return (text, None) };
    if Reference::is_meant(text) || matches!(Meant::by(&text[..first]), Meant::Name) {
        return halves(first);
    }
    const WASM: &str = ".wasm";
    match text.find(".wasm=") {
        Some(at) => halves(at + WASM.len()),
        None if Path::new(text).extension().is_some_and(|extension| extension == "wasm") => (text, None),
        None => halves(text.rfind('=').unwrap_or(first)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_files_and_references_with_and_without_a_place() {
        let reference = format!("oci://ghcr.io/team/mine@sha256:{}", "0".repeat(64));
        let placed = format!("{reference}=a=b.csv");
        for (text, plugin, out) in [
            ("csv", "csv", None),
            ("csv=a/b.csv", "csv", Some("a/b.csv")),
            ("csv=a=b.csv", "csv", Some("a=b.csv")),
            ("csv.wasm=b.csv", "csv.wasm", Some("b.csv")),
            ("team=out", "team", Some("out")),
            ("mine.wasm", "mine.wasm", None),
            ("mine.wasm=out", "mine.wasm", Some("out")),
            ("./a=b.wasm", "./a=b.wasm", None),
            ("./a=b.wasm=c", "./a=b.wasm", Some("c")),
            ("./mine=c", "./mine", Some("c")),
            ("./mine=a.b=c", "./mine=a.b", Some("c")),
            (&reference, &reference, None),
            (&placed, &reference, Some("a=b.csv")),
        ] {
            let target = ReportTarget { plugin: plugin.into(), out: out.map(Destination::named) };
            assert_eq!(text.parse(), Ok(target), "{text}");
        }
        for text in ["", "=x", "csv=", "mine.wasm=", "./mine="] {
            assert!(text.parse::<ReportTarget>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = text.parse::<ReportTarget>();
        }
    }
}
