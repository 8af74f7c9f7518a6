//! What is wrong with a line of a recording, for a person who has the file open.

use serde_json::{Error, Value};

/// What JSON has no number for, as the programs write it that write it all the same.
const NO_NUMBERS: [&str; 6] = ["NaN", "nan", "Infinity", "-Infinity", "inf", "-inf"];
/// What a recording has in place of a figure that is none.
const REMEDY: &str = "a figure that was not measured is left out of a recording, with its reason in `absent`";
/// Of what stands where the error is.
const MOST_SHOWN: usize = 30;

/// What is wrong with a line that ends too early.
pub(super) const CUT: &str = "the line ends in the middle; only the last line of a recording may, and not its first";

/// Says what `error` means for the line of which it was made; of a very long one there are no bytes.
pub(super) fn describe(line: Option<&[u8]>, error: &Error) -> String {
    let what = error.to_string();
    // The line of the file is said by whoever asks; to the parser each is the first.
    let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
    if error.is_eof() {
        return CUT.to_owned();
    }
    if error.is_data() {
        return line.and_then(no_number).unwrap_or_else(|| what.to_owned());
    }
    let found = line.map(|line| found(line, error.column())).unwrap_or_default();
    match found.as_str() {
        "" => format!("{what} at character {}", error.column()),
        found if NO_NUMBERS.contains(&found) => {
            format!("'{found}' at character {} is no number; {REMEDY}", error.column())
        }
        found => format!("{what} at character {}, where '{}' is", error.column(), found.escape_debug()),
    }
}

/// The word at a column, which counts bytes from 1.
fn found(line: &[u8], column: usize) -> String {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b",:[]{}\"".contains(byte);
    let (before, after) = line.split_at(column.saturating_sub(1).min(line.len()));
    let start = before.iter().rposition(ends).map_or(0, |at| at + 1);
    let rest = after.iter().position(ends).unwrap_or(after.len());
    let word = line.get(start..before.len() + rest).unwrap_or_default();
    String::from_utf8_lossy(word).chars().take(MOST_SHOWN).collect()
}

/// The first figure of the line that is no number, where one is.
fn no_number(line: &[u8]) -> Option<String> {
    let line: Value = serde_json::from_slice(line).ok()?;
    let wrong = |name: String, value: &Value| {
        let shown: String = value.to_string().chars().take(MOST_SHOWN).collect();
        (!value.is_number()).then(|| format!("{name} is {shown} and no number; {REMEDY}"))
    };
    let entries = |key: &str| line.get(key).and_then(Value::as_object).into_iter().flatten();
    let values = entries("values").map(|(name, value)| (format!("values.{name}"), value));
    let samples = entries("samples").flat_map(|(name, series)| {
        let samples = series.get("values").and_then(Value::as_array).into_iter().flatten();
        samples.map(move |value| (format!("a sample of {name}"), value))
    });
    let summary = line.get("summary").and_then(Value::as_array).into_iter().flatten();
    let summary = summary.filter_map(|reading| {
        let name = reading.get("name").and_then(Value::as_str).unwrap_or("a figure");
        Some((format!("{name} of the summary"), reading.get("value")?))
    });
    values.chain(samples).chain(summary).find_map(|(name, value)| wrong(name, value))
}
