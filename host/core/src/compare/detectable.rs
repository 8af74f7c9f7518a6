//! How small a change the runs could have found.

use crate::statistics::{Crossover, Welch, detectable};

/// How exactly a change is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Precision {
    /// The standard error: of the change as a share of the base's mean, or of the ratio's logarithm.
    error: f64,
    freedom: f64,
    logarithm: bool,
}

impl Precision {
    /// Of a test of the means' difference; none where the base's mean is 0, of which there is no share.
    pub(super) fn of_difference(test: &Welch, base: f64) -> Option<Self> {
        let error = test.error / base.abs();
        error.is_finite().then_some(Self { error, freedom: test.freedom, logarithm: false })
    }

    /// Of a test of the ratio's logarithm.
    pub(super) fn of_logarithm(test: &Crossover) -> Self {
        Self { error: test.error, freedom: test.freedom, logarithm: true }
    }

    /// The smallest change that a test at `level` finds 4 times in 5, and that is over `threshold` then.
    pub(super) fn detectable(self, level: f64, threshold: f64) -> Option<f64> {
        let least = if self.logarithm { threshold.ln_1p() } else { threshold };
        let effect = detectable(self.error, self.freedom, level, least)?;
        Some(if self.logarithm { effect.exp_m1() } else { effect }).filter(|effect| effect.is_finite())
    }
}
