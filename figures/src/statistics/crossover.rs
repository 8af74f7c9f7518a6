//! Whether two things differ that were measured in pairs, one after the other.

use super::interval::{Interval, t_quantile, two_sided};
use super::{mean, standard_deviation};

/// What a pair's second thing adds to its first, of pairs that were measured in either order, so that what comes of being
/// measured later (drift) is told from what comes of the thing: the analysis of the two-period crossover trial. The effect is the
/// mean of both orders' mean differences; a drift of one size from one measurement to the next falls out of it and of its error.
///
/// M. Hills and P. Armitage, 'The two-period cross-over clinical trial', British Journal of Clinical Pharmacology 8, 1979: the
/// pooled t test of the differences by order, with n − 2 degrees of freedom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crossover {
    /// The mean difference, free of drift, in the values' unit.
    pub effect: f64,
    /// Its standard error.
    pub error: f64,
    /// Degrees of freedom: pairs minus 2.
    pub freedom: f64,
    /// The probability of an effect at least as large where there is none.
    pub p: f64,
}

impl Crossover {
    /// Of the pairs' differences, always the second thing minus the first: of pairs in which the first came first, and of those
    /// in which it came second. None without a pair of each order, of fewer than three pairs, or where one is no finite number.
    pub fn of(forth: &[f64], back: &[f64]) -> Option<Self> {
        let effect = f64::midpoint(mean(forth)?, mean(back)?);
        let freedom = (forth.len() + back.len()).checked_sub(2).filter(|&freedom| freedom > 0)? as f64;
        // A single value adds nothing to the squares.
        let squares =
            |values: &[f64]| standard_deviation(values).unwrap_or_default().powi(2) * (values.len() as f64 - 1.0);
        let variance = (squares(forth) + squares(back)) / freedom;
        let error = (variance * (1.0 / forth.len() as f64 + 1.0 / back.len() as f64)).sqrt() / 2.0;
        if !effect.is_finite() || !error.is_finite() {
            return None;
        }
        let p = match error {
            // Always the same difference: what differs, differs.
            0.0 => f64::from(effect == 0.0),
            error => two_sided(effect / error, freedom)?,
        };
        Some(Self { effect, error, freedom, p })
    }

    /// Where the effect lies: every one that the test does not reject.
    pub fn interval(&self, confidence: f64) -> Option<Interval> {
        let half = t_quantile(self.freedom, confidence)? * self.error;
        Some(Interval { low: self.effect - half, high: self.effect + half })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_steady_drift_is_no_effect_and_no_error() {
        // Each measurement is 3 more than the one before it, and the second thing 1 more than the first.
        let drifting = Crossover::of(&[4.0, 4.0, 4.0], &[-2.0, -2.0, -2.0]).unwrap();
        assert_eq!((drifting.effect, drifting.error, drifting.p), (1.0, 0.0, 0.0));
        let nothing = Crossover::of(&[3.0, 3.0], &[-3.0, -3.0]).unwrap();
        assert_eq!((nothing.effect, nothing.p), (0.0, 1.0));
    }

    #[test]
    fn too_few_pairs_or_one_order_tell_nothing() {
        assert_eq!(Crossover::of(&[1.0], &[1.0]), None);
        assert_eq!(Crossover::of(&[1.0, 1.1, 0.9], &[]), None);
        assert_eq!(Crossover::of(&[1.0, f64::NAN], &[1.0]), None);
        assert!(Crossover::of(&[1.0, 1.1], &[1.0]).is_some());
        // One without a spread, and one whose spread is no number.
        assert_eq!(Crossover::of(&[f64::INFINITY; 2], &[f64::INFINITY]), None);
        assert_eq!(Crossover::of(&[1e200, -1e200], &[1.0]), None);
    }

    proptest! {
        #[test]
        fn any_drift_falls_out(
            forth in prop::collection::vec(-1.0..1.0f64, 2..10), back in prop::collection::vec(-1.0..1.0f64, 2..10), drift in -100.0..100.0f64
        ) {
            let still = Crossover::of(&forth, &back).unwrap();
            let later = |values: &[f64], drift: f64| values.iter().map(|value| value + drift).collect::<Vec<_>>();
            let drifted = Crossover::of(&later(&forth, drift), &later(&back, -drift)).unwrap();
            prop_assert!((still.effect - drifted.effect).abs() < 1e-9 && (still.error - drifted.error).abs() < 1e-9);
        }

        #[test]
        fn interval_and_test_agree(
            forth in prop::collection::vec(-1.0..1.5f64, 2..10), back in prop::collection::vec(-1.0..1.5f64, 2..10)
        ) {
            let test = Crossover::of(&forth, &back).unwrap();
            if (test.p - 0.05).abs() > 1e-6 {
                prop_assert_eq!(test.interval(0.95).unwrap().contains(0.0), test.p > 0.05);
            }
        }
    }
}
