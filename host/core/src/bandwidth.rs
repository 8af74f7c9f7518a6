//! How fast a device's memory can be read.

/// How fast a device's memory was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Bandwidth {
    /// Bytes a second: the median of the reads.
    pub rate: f64,
    /// The range of the reads' rates as a share of their median.
    pub spread: f64,
    /// Bytes of a read.
    pub bytes: u64,
    /// How many reads.
    pub reads: usize,
    /// By what.
    pub method: String,
}

impl Bandwidth {
    /// Of reads of `bytes` bytes that took so many seconds each. `None` of no read, or of a clock that stood still.
    pub fn of(bytes: u64, seconds: &[f64], method: &str) -> Option<Self> {
        if seconds.iter().any(|time| !time.is_finite() || *time <= 0.0) {
            return None;
        }
        let mut rates: Vec<f64> = seconds.iter().map(|time| bytes as f64 / time).collect();
        rates.sort_by(f64::total_cmp);
        let rate = crate::statistics::quantile(&rates, 0.5)?;
        let spread = (rates.last()? - rates.first()?) / rate;
        Some(Self { rate, spread, bytes, reads: rates.len(), method: method.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidth_is_the_median_of_the_reads() {
        let bandwidth = Bandwidth::of(1000, &[0.5, 0.4, 1.0], "x").unwrap();
        assert_eq!((bandwidth.rate, bandwidth.reads, bandwidth.spread), (2000.0, 3, (2500.0 - 1000.0) / 2000.0));
        assert!(Bandwidth::of(1000, &[], "x").is_none() && Bandwidth::of(1000, &[0.5, 0.0], "x").is_none());
    }

    #[test]
    fn of_times_that_are_none_there_is_no_bandwidth() {
        for time in [0.0, -0.5, f64::NAN, f64::INFINITY] {
            assert_eq!(Bandwidth::of(1000, &[0.5, time], "x"), None, "{time}");
        }
    }
}
