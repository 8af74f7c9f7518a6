//! What a change comes to.

use super::row::{Row, Verdict};
use crate::metric::Direction;

/// The chance of calling any change where there is none.
pub(super) const FALSE_ALARMS: f64 = 0.05;

/// Of a row whose probability is corrected.
pub(super) fn verdict(row: &Row, threshold: f64) -> Verdict {
    let Some(corrected) = row.corrected else { return Verdict::Ambiguous };
    // The change of pairs is free of a drift that their means have. As a share of a negative mean it has the other sign.
    let difference = match row.change {
        Some(change) if row.base.mean.is_sign_negative() => -change,
        Some(change) => change,
        // Of nothing, or next to it.
        None => row.new.mean,
    };
    // No share of 0 is anything, so no threshold applies.
    let matters = row.change.is_none_or(|change| change.abs() > threshold) && difference != 0.0;
    if corrected <= FALSE_ALARMS && matters {
        let greater_is_better = row.metric.better == Direction::Higher;
        return if difference.is_sign_positive() == greater_is_better { Verdict::Better } else { Verdict::Worse };
    }
    // Schuirmann's two one-sided tests at 2.5% each come to this ('A comparison of the two one-sided tests procedure and
    // the power approach', Journal of Pharmacokinetics and Biopharmaceutics 15, 1987).
    let within = row.interval.is_some_and(|interval| -threshold <= interval.low && interval.high <= threshold);
    let both_nothing = row.base.mean == 0.0 && row.new.mean == 0.0 && corrected == 1.0;
    if within || both_nothing { Verdict::Same } else { Verdict::Ambiguous }
}
