//! What samples are like: order statistics and counts, which hold whatever their distribution is.

use super::{mean, standard_deviation};

/// A percentile that reports show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentile {
    /// `p99.9`.
    pub name: &'static str,
    /// Of the samples that are not greater, in (0, 1).
    pub share: f64,
}

/// Those that reports show, in order.
pub const PERCENTILES: [Percentile; 5] = [
    Percentile { name: "p50", share: 0.5 },
    Percentile { name: "p90", share: 0.9 },
    Percentile { name: "p95", share: 0.95 },
    Percentile { name: "p99", share: 0.99 },
    Percentile { name: "p99.9", share: 0.999 },
];

/// How many samples a percentile of at least 0.5 needs: so many that with 95% confidence the greatest of them is not
/// below the true percentile, the least n with 1 − shareⁿ ≥ 0.95. With fewer, the data can't even bound it from above, and
/// what is printed is the maximum by another name. That makes 5 for p50, 29, 59, 299 and 2,995 for p99.9.
///
/// S. S. Wilks, 'Determination of sample sizes for setting tolerance limits', Annals of Mathematical Statistics 12, 1941.
pub fn samples_needed(share: f64) -> usize {
    const DOUBT: f64 = 0.05;
    (DOUBT.ln() / share.ln()).ceil() as usize
}

/// The `share`-quantile of sorted values, between two of them by linear interpolation; none of nothing. Definition 7 of
/// Hyndman and Fan, 'Sample quantiles in statistical packages', The American Statistician 50, 1996; numpy's and R's default.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let below = place.floor() as usize;
    let (low, high) = (*sorted.get(below)?, *sorted.get(below + 1).unwrap_or(sorted.get(below)?));
    // Between equal values nothing is to be rounded.
    Some(if low == high { low } else { low + (high - low) * (place - below as f64) })
}

/// How many samples lie far out, by Tukey's fences: more than 1.5 or 3 interquartile ranges below the first or above the
/// third quartile. They are counted and never removed: a slow request was slow for someone.
///
/// J. W. Tukey, 'Exploratory Data Analysis', 1977.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outliers {
    /// Beyond the inner fences (1.5), those beyond the outer ones included.
    pub outside: usize,
    /// Beyond the outer fences (3).
    pub far: usize,
}

impl Outliers {
    fn of(sorted: &[f64]) -> Option<Self> {
        let (first, third) = (quantile(sorted, 0.25)?, quantile(sorted, 0.75)?);
        let beyond = |ranges: f64| {
            let reach = ranges * (third - first);
            sorted.iter().filter(|&&value| value < first - reach || value > third + reach).count()
        };
        Some(Self { outside: beyond(1.5), far: beyond(3.0) })
    }
}

/// How far `value` lies from the median of `others`, in units of their spread: 0.6745 · (value − median) / MAD; infinite where
/// they have no spread and the value is another. None of nothing, or where one is no finite number. Over 3.5 it is an outlier.
///
/// B. Iglewicz and D. C. Hoaglin, 'How to detect and handle outliers', 1993.
pub fn modified_z_score(value: f64, others: &[f64]) -> Option<f64> {
    let others = Distribution::of(others.to_vec()).filter(|_| value.is_finite())?;
    let distance = value - others.median;
    Some(if distance == 0.0 { 0.0 } else { 0.6745 * distance / others.median_absolute_deviation })
}

/// What samples are like, in their unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// How many there are; 1 or more.
    pub count: usize,
    /// The least.
    pub minimum: f64,
    /// The greatest.
    pub maximum: f64,
    /// The arithmetic mean.
    pub mean: f64,
    /// The sample standard deviation; none of one sample.
    pub standard_deviation: Option<f64>,
    /// The median, of however few samples.
    median: f64,
    /// The median of the distances from the median, not scaled to anything.
    pub median_absolute_deviation: f64,
    /// Those of [`PERCENTILES`] that so many samples support, by [`samples_needed`].
    pub percentiles: Vec<(Percentile, f64)>,
    /// How many lie far out.
    pub outliers: Outliers,
}

impl Distribution {
    /// Of samples in any order; none of nothing, or where one is no finite number.
    pub fn of(mut samples: Vec<f64>) -> Option<Self> {
        if samples.iter().any(|sample| !sample.is_finite()) {
            return None;
        }
        let (mean, standard_deviation) = (mean(&samples)?, standard_deviation(&samples));
        samples.sort_by(f64::total_cmp);
        let (minimum, maximum) = (*samples.first()?, *samples.last()?);
        let supported = PERCENTILES.iter().filter(|percentile| samples.len() >= samples_needed(percentile.share));
        let percentiles = supported.filter_map(|&p| Some((p, quantile(&samples, p.share)?))).collect();
        let outliers = Outliers::of(&samples)?;
        let count = samples.len();
        let median = quantile(&samples, 0.5)?;
        samples.iter_mut().for_each(|sample| *sample = (*sample - median).abs());
        samples.sort_by(f64::total_cmp);
        let median_absolute_deviation = quantile(&samples, 0.5)?;
        Some(Self {
            count,
            minimum,
            maximum,
            mean,
            standard_deviation,
            median,
            median_absolute_deviation,
            percentiles,
            outliers,
        })
    }

    /// A percentile by its name, such as `p99`; none where too few samples support it.
    pub fn percentile(&self, name: &str) -> Option<f64> {
        self.percentiles.iter().find(|(percentile, _)| percentile.name == name).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_percentile_needs_so_many_samples() {
        assert_eq!(PERCENTILES.map(|percentile| samples_needed(percentile.share)), [5, 29, 59, 299, 2995]);
        let names = |count| Distribution::of(vec![1.0; count]).unwrap().percentiles.len();
        assert_eq!([1, 4, 5, 28, 29, 298, 299, 2994, 2995].map(names), [0, 0, 1, 1, 2, 3, 4, 4, 5]);
    }

    #[test]
    fn outliers_are_counted_by_tukeys_fences() {
        // Quartiles 2 and 4, so the fences are at -1, 7 and -4, 10.
        let distribution = Distribution::of(vec![1.0, 2.0, 3.0, 4.0, 9.0]).unwrap();
        assert_eq!(distribution.outliers, Outliers { outside: 1, far: 0 });
        let distribution = Distribution::of(vec![1.0, 2.0, 3.0, 4.0, 11.0]).unwrap();
        assert_eq!(distribution.outliers, Outliers { outside: 1, far: 1 });
        for on_a_fence in [7.0, -1.0] {
            let distribution =
                Distribution::of(vec![on_a_fence, 2.0, 3.0, 4.0, if on_a_fence < 0.0 { 5.0 } else { 1.0 }]);
            assert_eq!(distribution.unwrap().outliers, Outliers::default(), "{on_a_fence}");
        }
    }

    #[test]
    fn the_modified_z_score_is_the_distance_in_spreads() {
        let others = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(modified_z_score(13.0, &others), Some(6.745));
        assert_eq!(modified_z_score(3.0, &others), Some(0.0));
        assert_eq!(modified_z_score(2.0, &[1.0; 4]), Some(f64::INFINITY));
        assert_eq!((modified_z_score(1.0, &[]), modified_z_score(f64::NAN, &others)), (None, None));
    }

    #[test]
    fn of_nothing_and_of_what_is_no_number_there_is_none() {
        assert_eq!(Distribution::of(Vec::new()), None);
        assert_eq!(Distribution::of(vec![1.0, f64::NAN]), None);
        assert_eq!(Distribution::of(vec![f64::INFINITY]), None);
        assert_eq!(quantile(&[], 0.5), None);
    }

    proptest! {
        #[test]
        fn figures_stay_within_the_samples_and_in_order(samples in prop::collection::vec(-1e9..1e9f64, 1..4000)) {
            let distribution = Distribution::of(samples.clone()).unwrap();
            prop_assert!(distribution.minimum <= distribution.maximum);
            let mut last = distribution.minimum;
            for (percentile, value) in &distribution.percentiles {
                prop_assert!(last <= *value && *value <= distribution.maximum, "{}", percentile.name);
                last = *value;
            }
            prop_assert!(distribution.median_absolute_deviation >= 0.0);
            prop_assert!(distribution.median_absolute_deviation <= distribution.maximum - distribution.minimum);
            prop_assert!(distribution.outliers.far <= distribution.outliers.outside);
            // A quarter of the samples at most can lie beyond a quartile on either side.
            prop_assert!(distribution.outliers.outside * 2 <= distribution.count);
        }

        #[test]
        fn order_does_not_matter(samples in prop::collection::vec(0.0..1e3f64, 1..200)) {
            let mut other = samples.clone();
            other.reverse();
            let (one, other) = (Distribution::of(samples).unwrap(), Distribution::of(other).unwrap());
            prop_assert_eq!(one.percentiles, other.percentiles);
            prop_assert_eq!(one.outliers, other.outliers);
            prop_assert_eq!(one.median_absolute_deviation, other.median_absolute_deviation);
        }

        #[test]
        fn any_floats_do_not_panic(samples in prop::collection::vec(any::<f64>(), 0..50)) {
            let _ = Distribution::of(samples);
        }
    }
}
