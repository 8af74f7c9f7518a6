//! The time of day, whatever the machine's clock says.

use std::time::SystemTime;

use jiff::Timestamp;

/// The present, as a recording has it. A clock that is past what a date can say gives the last one, and one before it the first.
pub(crate) fn now() -> Timestamp {
    of(SystemTime::now())
}

/// As it stands in the names of files: `2026-11-25T13-47-48.400Z`.
pub(crate) fn in_names(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H-%M-%S%.3fZ").to_string()
}

fn of(time: SystemTime) -> Timestamp {
    let nearest = || if time > SystemTime::UNIX_EPOCH { Timestamp::MAX } else { Timestamp::MIN };
    Timestamp::try_from(time).unwrap_or_else(|_| nearest())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_past_every_date_is_no_panic() {
        let after = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        // The last seconds of the year 9999, the year 10,000, and the most that the clock can say.
        for seconds in [253_402_207_100, 253_402_300_799, 253_402_300_800, 1 << 60] {
            let time = of(after(seconds));
            assert!(time.to_string().starts_with("9999-12-30T2"), "{time}");
            assert!(in_names(time).starts_with("9999-12-30T2"), "{}", in_names(time));
        }
        let before = of(SystemTime::UNIX_EPOCH - Duration::from_secs(1 << 50));
        assert_eq!(before, Timestamp::MIN);
        assert!(in_names(before).ends_with('Z') && !before.to_string().is_empty());
    }
}
