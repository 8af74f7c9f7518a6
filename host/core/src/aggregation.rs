//! How a run's value of a metric comes about, and how those of several devices become one: as data, which measuring, comparing and
//! the documents read.

use std::borrow::Cow;

use crate::statistics::mean;

/// How a run's value comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// The mean of the samples.
    Mean,
    /// The mean of the samples, each weighted by the length of its window.
    TimeWeightedMean,
    /// The sum of the samples.
    Sum,
    /// An amount over a time.
    Rate {
        /// Of what there is so much.
        amount: &'static str,
        /// In which time.
        time: &'static str,
    },
    /// The difference of a counter between two readings.
    Counter,
    /// The device's own mean between two samples of its counters.
    CounterMean,
    /// The sum of the intervals in which something held.
    TimeHeld,
    /// As [`Aggregation::TimeHeld`], by the rule of another metric.
    As(&'static str),
    /// The last reading.
    Last,
    /// The highest since the run began.
    Highest,
    /// Another metric over a number.
    Share {
        /// The metric that is shared out.
        of: &'static str,
        /// Among how many of what.
        among: &'static str,
    },
    /// The mean of one metric less that of another.
    Difference {
        /// The one.
        of: &'static str,
        /// The other.
        less: &'static str,
    },
}

/// How the values of several devices, or of several ranks, become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Across {
    /// They add up.
    Sum,
    /// Their mean.
    Mean,
    /// The highest of them.
    Highest,
    /// Computed again from what it is made of.
    Again,
    /// Not at all: each device has its own.
    Apart,
}

impl Aggregation {
    /// Half a sentence.
    pub fn sentence(self) -> Cow<'static, str> {
        match self {
            Self::Mean => "mean of the samples".into(),
            Self::TimeWeightedMean => "mean of the samples, each weighted by its window's length".into(),
            Self::Sum => "sum of the samples".into(),
            Self::Rate { amount, time } => format!("{amount} / {time}").into(),
            Self::Counter => "difference of NVML's total-energy counter over the run".into(),
            Self::CounterMean => "between a sample just before the run and one just after it".into(),
            Self::TimeHeld => "sum of the sampling intervals in which a reason was reported".into(),
            Self::As(metric) => format!("as {metric}").into(),
            Self::Last => "read at the end of the run".into(),
            Self::Highest => "read at the end of the run, reset before it".into(),
            Self::Share { of, among } => format!("{of} / {among}").into(),
            Self::Difference { of, less } => format!("mean {of} - mean {less}").into(),
        }
    }

    /// Whether a run's value grows with how much the run served, as a sum does and a mean or a rate does not.
    pub fn is_total(self) -> bool {
        matches!(self, Self::Sum | Self::Counter | Self::TimeHeld | Self::As(_))
    }

    /// The value of samples; none where there are none, or where it is not made of samples. `lengths` are those of their windows,
    /// where samples are of windows.
    pub fn of_samples(self, samples: &[f64], lengths: Option<&[f64]>) -> Option<f64> {
        match (self, lengths) {
            (Self::TimeWeightedMean, Some(lengths)) => {
                let time: f64 = lengths.iter().sum();
                let area: f64 = samples.iter().zip(lengths).map(|(value, length)| value * length).sum();
                (time > 0.0).then_some(area / time)
            }
            (Self::Mean | Self::TimeWeightedMean, _) => mean(samples),
            (Self::Sum, _) => (!samples.is_empty()).then(|| samples.iter().sum()),
            _ => None,
        }
    }
}

impl Across {
    /// One value of those of several devices; none of none, or where they do not become one by themselves.
    pub fn of(self, values: &[f64]) -> Option<f64> {
        match self {
            Self::Sum => (!values.is_empty()).then(|| values.iter().sum()),
            Self::Mean => mean(values),
            Self::Highest => values.iter().copied().reduce(f64::max),
            Self::Again | Self::Apart => None,
        }
    }

    /// As the documents have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Highest => "highest",
            Self::Again => "anew",
            Self::Apart => "–",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_a_value_by_the_metrics_rule() {
        let samples = [1.0, 2.0, 6.0];
        assert_eq!(Aggregation::Mean.of_samples(&samples, None), Some(3.0));
        assert_eq!(Aggregation::Sum.of_samples(&samples, None), Some(9.0));
        assert_eq!(Aggregation::TimeWeightedMean.of_samples(&samples, Some(&[1.0, 1.0, 2.0])), Some(15.0 / 4.0));
        // Polled, each sample is as good as another.
        assert_eq!(Aggregation::TimeWeightedMean.of_samples(&samples, None), Some(3.0));
        assert_eq!(Aggregation::TimeWeightedMean.of_samples(&samples, Some(&[0.0; 3])), None);
        for rule in [Aggregation::Mean, Aggregation::Sum, Aggregation::TimeWeightedMean] {
            assert_eq!(rule.of_samples(&[], None), None);
        }
        assert_eq!(Aggregation::Counter.of_samples(&samples, None), None);
    }

    #[test]
    fn devices_become_one_by_the_metrics_rule() {
        let values = [1.0, 5.0];
        let of = |across: Across| across.of(&values);
        assert_eq!([of(Across::Sum), of(Across::Mean), of(Across::Highest)], [Some(6.0), Some(3.0), Some(5.0)]);
        assert_eq!([of(Across::Again), of(Across::Apart)], [None; 2]);
        for across in [Across::Sum, Across::Mean, Across::Highest] {
            assert_eq!(across.of(&[]), None);
        }
    }
}
