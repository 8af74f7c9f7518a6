//! When the iterations that are not recorded have been enough.

use std::time::Duration;

use crate::plan::Plan;
use crate::statistics::Steadiness;

/// The warm-up of one run.
pub(crate) struct Warmup {
    /// Iterations served so far.
    pub(crate) served: u32,
    least: u32,
    most: u32,
    /// Latencies in seconds, where it goes on until they are steady.
    watched: Option<Steadiness>,
}

impl Warmup {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            served: 0,
            least: plan.warmup,
            most: plan.most_warmup(),
            watched: plan.warmup_until_steady.map(|_| Steadiness::default()),
        }
    }

    /// Whether another iteration is served before measuring.
    pub(crate) fn goes_on(&self) -> bool {
        self.served < self.most && (self.served < self.least || self.steady() == Some(false))
    }

    /// One more was served, and took so long.
    pub(crate) fn note(&mut self, latency: Duration) {
        self.served += 1;
        if let Some(watched) = &mut self.watched {
            watched.note(latency.as_secs_f64());
        }
    }

    /// Whether latency was found steady; `None` where that wasn't asked.
    pub(crate) fn steady(&self) -> Option<bool> {
        self.watched.as_ref().map(Steadiness::is_steady)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Iterations served, and whether they got steady.
    fn warm_up(least: u32, most: Option<u32>, latency: impl Fn(u32) -> u64) -> (u32, Option<bool>) {
        let mut plan = Plan::new("run 1".into(), Vec::new());
        (plan.warmup, plan.warmup_until_steady) = (least, most);
        let mut warmup = Warmup::new(&plan);
        while warmup.goes_on() {
            warmup.note(Duration::from_micros(latency(warmup.served)));
        }
        (warmup.served, warmup.steady())
    }

    #[test]
    fn a_fixed_number_is_a_fixed_number() {
        assert_eq!(warm_up(3, None, |i| u64::from(i) * 100), (3, None));
        assert_eq!(warm_up(0, None, |_| 100), (0, None));
    }

    #[test]
    fn it_ends_when_the_level_is_steady_but_not_before_the_least() {
        assert_eq!(warm_up(3, Some(500), |_| 100), (14, Some(true)));
        assert_eq!(warm_up(40, Some(500), |_| 100), (40, Some(true)));
        // A level that is reached after 20 iterations is known when more than 20 are seen of it.
        let (served, steady) = warm_up(3, Some(500), |i| if i <= 20 { 1100 - 50 * u64::from(i) } else { 100 });
        assert!(steady == Some(true) && (36..=50).contains(&served), "{served}");
    }

    #[test]
    fn it_ends_at_its_limit() {
        assert_eq!(warm_up(3, Some(200), |i| 1000 - u64::from(i)), (200, Some(false)));
        // Too few to tell.
        assert_eq!(warm_up(3, Some(5), |_| 100), (5, Some(false)));
        assert_eq!(warm_up(3, Some(0), |_| 100), (3, Some(false)));
    }
}
