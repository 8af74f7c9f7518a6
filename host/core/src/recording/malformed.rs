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

/// What begins so is no text in UTF-8, whatever it is called.
const NO_TEXT: [(&[u8], &str); 9] = [
    (b"\0", "the file begins with bytes of zero, and has nothing that can be read"),
    (b"\xef\xbb\xbf", "the file begins with a byte order mark; save it as UTF-8 without one"),
    (b"\xff\xfe", UTF_16),
    (b"\xfe\xff", UTF_16),
    (b"\x1f\x8b", "the file is compressed by gzip; unpack it first (gunzip)"),
    (b"\x28\xb5\x2f\xfd", "the file is compressed by zstd; unpack it first (unzstd)"),
    (b"\xfd7zXZ", "the file is compressed by xz; unpack it first (unxz)"),
    (b"BZh", "the file is compressed by bzip2; unpack it first (bunzip2)"),
    (b"PK\x03\x04", "the file is a zip archive; unpack it first (unzip)"),
];
const UTF_16: &str = "the file is text in UTF-16, and a recording is in UTF-8; convert it (iconv -f UTF-16 -t UTF-8)";

/// What the file is in place of a recording, where its first bytes tell.
pub(super) fn no_text(start: &[u8]) -> Option<&'static str> {
    NO_TEXT.iter().find(|(begins, _)| start.starts_with(begins)).map(|(_, what)| *what)
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Run;

    #[test]
    fn what_is_no_json_is_said_with_what_stands_there() {
        let of = |line: &[u8]| {
            let error = serde_json::from_slice::<Value>(line).unwrap_err();
            (describe(Some(line), &error), describe(None, &error))
        };
        let long = format!("{{\"a\":\u{7}{}}}", "z".repeat(99));
        for (line, told, without) in [
            (r#"{"a": nul}"#, "expected ident at character 10, where 'nul' is", "expected ident at character 10"),
            (
                r#"{"a": tru, "b":2}"#,
                "expected ident at character 10, where 'tru' is",
                "expected ident at character 10",
            ),
            (r#"{"a" 1}"#, "expected `:` at character 6, where '1' is", "expected `:` at character 6"),
            ("walk", "expected value at character 1, where 'walk' is", "expected value at character 1"),
            (r#"{"a":1} x"#, "trailing characters at character 9, where 'x' is", "trailing characters at character 9"),
            // Between two words there is none.
            (r#"{"a":1,}"#, "trailing comma at character 8", "trailing comma at character 8"),
            (
                &long,
                "expected value at character 6, where '\\u{7}zzzzzzzzzzzzzzzzzzzzzzzzzzzzz' is",
                "expected value at character 6",
            ),
        ] {
            assert_eq!(of(line.as_bytes()), (told.to_owned(), without.to_owned()));
        }
        assert_eq!(of(b"[1,2"), (CUT.to_owned(), CUT.to_owned()));
        for (line, number, at) in
            [(r#"{"a": NaN}"#, "NaN", 7), (r#"{"a":[1,-Infinity,2]}"#, "-Infinity", 10), (r#"[1,inf]"#, "inf", 4)]
        {
            assert_eq!(of(line.as_bytes()).0, format!("'{number}' at character {at} is no number; {REMEDY}"));
        }
    }

    #[test]
    fn a_figure_that_is_no_number_is_named() {
        let of = |line: &str| {
            let error = serde_json::from_str::<Run>(line).unwrap_err();
            describe(Some(line.as_bytes()), &error)
        };
        let run = r#""label":"a","iterations":1,"warmup":0,"batch":1,"wall_time":1"#;
        for (rest, figure) in [
            (r#""values":{"latency":1,"power":"low"},"samples":{}"#, r#"values.power is "low""#),
            (r#""values":{},"samples":{"latency":{"values":[1,null]}}"#, "a sample of latency is null"),
            (r#""values":{"a":[11,22,33,44,55,66,77,88,99,11]}"#, "values.a is [11,22,33,44,55,66,77,88,99,11"),
        ] {
            assert_eq!(of(&format!("{{{run},{rest}}}")), format!("{figure} and no number; {REMEDY}"));
        }
        // What is wrong is something else.
        assert_eq!(of(r#"{"label":"a","iterations":-1}"#), "invalid value: integer `-1`, expected u32");
        let summary = r#"{"summary":[{"name":"latency","value":1},{"name":"power","value":null},{"value":[]}]}"#;
        assert_eq!(
            no_number(summary.as_bytes()).unwrap(),
            format!("power of the summary is null and no number; {REMEDY}")
        );
    }
}
