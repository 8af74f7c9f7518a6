//! How people write sizes, durations and pairs, and how they read them.

use std::str::FromStr;
use std::time::Duration;

pub(crate) use harness_core::format::count;

/// `256MiB`, `64 kB`, `1000`: bytes.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    bytesize::ByteSize::from_str(text)
        .map(|size| size.as_u64())
        .map_err(|_| format!("'{text}' is no size; write a number with a unit, such as 256MiB"))
}

/// The size of a recording: one that can be read again.
pub(crate) fn recording_bytes(text: &str) -> Result<u64, String> {
    const MOST: u64 = harness_core::Recording::MAX_BYTES;
    match bytes(text)? {
        size if size <= MOST => Ok(size),
        _ => Err(format!(
            "'{text}' is more than {} bytes, which is the most that a recording can be read with",
            count(MOST)
        )),
    }
}

/// `10s`, `500ms`, `1h 30m`: a duration over zero or zero.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("'{text}' is no duration; write a number with a unit, such as 10s, 500ms or 2h"))
}

/// A duration as [`duration`] reads it.
pub(crate) fn exact(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// `5`, `0.5%`: a share, in percent; 0 or more.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    match number.parse::<f64>() {
        Ok(percent) if percent.is_finite() && percent >= 0.0 => Ok(percent / 100.0),
        _ => Err(format!("'{text}' is no number of percent, 0 or more; write one such as 3 or 0.5")),
    }
}

/// `KEY=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("'{text}' is no setting; write KEY=VALUE, such as runs=5")),
    }
}

/// The width that tables are set to: what fits a terminal and a README.
pub(crate) const TABLE_WIDTH: u16 = 100;

/// A duration as one reads it: `0.4 s`, `12 s`, `3 min`, `1 h 20 min`.
pub(crate) fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 9.95 {
        format!("{seconds:.1} s")
    } else if seconds < 99.5 {
        format!("{seconds:.0} s")
    } else if seconds < 99.0 * 60.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        let minutes = (seconds / 60.0).round() as u64;
        format!("{} h {} min", minutes / 60, minutes % 60)
    }
}

/// In milliseconds, to a tenth.
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_and_durations() {
        assert_eq!(bytes("256MiB"), Ok(256 << 20));
        assert_eq!(bytes("1000"), Ok(1000));
        assert!(bytes("many").is_err() && bytes("").is_err() && bytes("-1").is_err());
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("200us"), Ok(Duration::from_micros(200)));
        assert_eq!((percent("3"), percent("0.5%")), (Ok(0.03), Ok(0.005)));
        assert!(["", "five", "NaN", "inf", "-1", "%"].iter().all(|text| percent(text).is_err()));
        assert!(duration("10").is_err() && duration("soon").is_err());
    }

    #[test]
    fn readable_durations_and_counts() {
        let rough = |seconds| rough(Duration::from_secs_f64(seconds));
        assert_eq!(
            [rough(0.44), rough(9.96), rough(99.6), rough(1030.0), rough(36_000.0)],
            ["0.4 s", "10 s", "2 min", "17 min", "10 h 0 min"]
        );
        assert_eq!([count(7), count(1030), count(1_234_567)], ["7", "1,030", "1,234,567"]);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = (bytes(&text), duration(&text), percent(&text), pair(&text));
        }

        #[test]
        fn a_pair_keeps_its_value(name in "[a-z][a-z-]*", value in ".*") {
            prop_assert_eq!(pair(&format!("{name}={value}")), Ok((name, value)));
        }
    }
}
