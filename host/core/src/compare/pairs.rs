//! Recordings of two sides that were made one after the other, in either order.
//!
//! What drifts slowly (heat, clocks, other load) is nearly the same in both recordings of a pair, so it falls out of their
//! ratio; what a pair's second recording has more of it falls out of pairs in both orders.

use super::detectable::Precision;
use super::error::Incomparable;
use super::row::{Figure, Row};
use super::side::Named;
use super::work::Kind;

use crate::metric::Metric;
use crate::statistics::{CONFIDENCE, Crossover, Interval, mean};

struct Pair<'a> {
    base: &'a Named,
    new: &'a Named,
    base_first: bool,
}

/// Each recording of the base with that of the other side that it was made beside.
pub(super) struct Pairs<'a>(Vec<Pair<'a>>);

impl<'a> Pairs<'a> {
    /// Pairs them in the order in which they were given.
    pub(super) fn of(base: &'a [Named], new: &'a [Named]) -> Result<Self, Incomparable> {
        let unpaired = |reason: String| Incomparable::Unpaired { reason };
        if base.len() != new.len() {
            return Err(unpaired(format!("the base has {}, the other side {}", base.len(), new.len())));
        }
        let start = |named: &'a Named| {
            let missing = || unpaired(format!("{} does not say when it was started", named.path.display()));
            named.recording.facts.get("start").map(|start| instant(start)).ok_or_else(missing)
        };
        let pair =
            |(base, new): (&'a Named, &'a Named)| Ok(Pair { base, new, base_first: start(base)? <= start(new)? });
        let pairs = base.iter().zip(new).map(pair).collect::<Result<Vec<_>, _>>()?;
        if pairs.windows(2).all(|two| matches!(two, [one, other] if one.base_first == other.base_first)) {
            let first = if pairs.first().is_some_and(|pair| pair.base_first) { "base" } else { "other side" };
            return Err(unpaired(format!(
                "of each pair the {first} was recorded first, so drift would count as a change"
            )));
        }
        Ok(Self(pairs))
    }

    /// A metric by one value a recording, the mean of its runs; none where no pair has it on both sides.
    pub(super) fn row(&self, metric: Metric, kind: &Kind) -> Option<Row> {
        let value = |named: &Named| mean(&kind.values(std::slice::from_ref(named), &metric.name));
        let both: Vec<(f64, f64, bool)> =
            self.0.iter().filter_map(|pair| Some((value(pair.base)?, value(pair.new)?, pair.base_first))).collect();
        let base: Vec<f64> = both.iter().map(|pair| pair.0).collect();
        let new: Vec<f64> = both.iter().map(|pair| pair.1).collect();
        let ratios = both.iter().all(|&(base, new, _)| base > 0.0 && new > 0.0);
        // Of nothing there is no ratio: then it is differences that are tested, and no share is known.
        let difference = |base: f64, new: f64| if ratios { (new / base).ln() } else { new - base };
        let of = |base_first: bool| -> Vec<f64> {
            let those = both.iter().filter(|pair| pair.2 == base_first);
            those.map(|&(base, new, _)| difference(base, new)).collect()
        };
        let test = Crossover::of(&of(true), &of(false));
        let (base, new) = (Figure::of(&base)?, Figure::of(&new)?);
        let plain = new.mean / base.mean - 1.0;
        let change = test.filter(|_| ratios).map_or(plain, |test| test.effect.exp_m1());
        let interval = test.filter(|_| ratios).and_then(|test| test.interval(CONFIDENCE));
        Some(Row {
            metric,
            work: kind.work,
            change: change.is_finite().then_some(change),
            interval: interval.map(|log| Interval { low: log.low.exp_m1(), high: log.high.exp_m1() }),
            p: test.map(|test| test.p),
            corrected: None,
            precision: test.filter(|_| ratios).as_ref().map(Precision::of_logarithm),
            detectable: None,
            verdict: None,
            base,
            new,
        })
    }
}

/// A time in RFC 3339, in UTC as recordings have it, so that texts compare as times do: `.5` is later than nothing and than `.25`.
fn instant(time: &str) -> (&str, &str) {
    let time = time.trim_end_matches('Z');
    time.split_once('.').unwrap_or((time, ""))
}

#[cfg(test)]
mod tests {
    use super::instant;

    #[test]
    fn times_compare_whatever_digits_their_seconds_have() {
        let times =
            ["2026-11-25T12:00:00Z", "2026-11-25T12:00:00.25Z", "2026-11-25T12:00:00.5Z", "2026-11-25T12:00:01Z"];
        assert!(times.map(instant).is_sorted());
    }
}
