//! When a workload has made enough runs.

use crate::format::{plural, quantity};
use crate::statistics::{self, FEWEST_TO_STOP};
use crate::{Error, Facts, Run, Settings, metrics};

/// A rule that ends a workload between two runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StopRule {
    /// After a set number of runs.
    Fixed,
    /// Once the 95% interval of the mean latency over the runs reaches no further than this share of the mean to either side.
    Within(f64),
    /// Once warm-up and measuring have taken so many seconds.
    Time(f64),
}

impl StopRule {
    /// The rule ends nothing before so many runs.
    ///
    /// An interval needs [`FEWEST_TO_STOP`], so that it holds the truth about as often as it says. A time needs 3: of two runs, the
    /// spread is hardly known.
    pub fn fewest_runs(self) -> u32 {
        match self {
            Self::Fixed => 1,
            Self::Within(_) => FEWEST_TO_STOP as u32,
            Self::Time(_) => 3,
        }
    }

    /// A setting's value: `fixed`, a share such as `1%`, or a time such as `60s`, `5min` or `1h`.
    ///
    /// # Errors
    ///
    /// When it is none of these, or not over 0, naming the setting and what is expected.
    pub fn of(settings: &Settings, name: &str) -> Result<Self, Error> {
        let text = settings.text(name)?;
        Self::parse(text).ok_or_else(|| {
            Error::setting(format!(
                "setting '{name}' is '{text}', and must be 'fixed', a share over 0 such as '1%', or a time over 0 such as '60s', '5min' or '1h'"
            ))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.trim().parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
        if text == "fixed" {
            return Some(Self::Fixed);
        }
        if let Some(percent) = text.strip_suffix('%') {
            return Some(Self::Within(number(percent)? / 100.0));
        }
        // Longer ones first: `min` ends with no other, and `ms` is no time that anybody waits for.
        let units = [("min", 60.0), ("h", 3600.0), ("s", 1.0)];
        let (number_of, seconds) =
            units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))?;
        Some(Self::Time(number(number_of)? * seconds))
    }

    /// Whether no further run is to be made; never before [`fewest_runs`](Self::fewest_runs).
    pub fn is_met(self, runs: &[Box<dyn Run>]) -> bool {
        if runs.len() < self.fewest_runs() as usize {
            return false;
        }
        match self {
            Self::Fixed => false,
            Self::Within(share) => latencies(runs).is_some_and(|values| statistics::is_known_to(&values, share)),
            Self::Time(seconds) => spent(runs) >= seconds,
        }
    }
}

/// One a run; none where a run has none.
fn latencies(runs: &[Box<dyn Run>]) -> Option<Vec<f64>> {
    runs.iter().map(|run| run.value(metrics::LATENCY.name())).collect()
}

/// Seconds of warm-up and of measuring.
fn spent(runs: &[Box<dyn Run>]) -> f64 {
    let extents = runs.iter().map(|run| run.extent());
    extents.map(|extent| extent.wall_time + extent.warmup_time.unwrap_or_default()).sum()
}

/// A line on the rule by which a workload with a setting `stop` ended; none where that is a fixed number of runs, or
/// something else ended it.
pub(crate) fn note(facts: &Facts, runs: &[Box<dyn Run>]) -> Option<String> {
    let text = facts.get("setting.stop")?;
    if facts.get("status") != Some("complete") {
        return None;
    }
    let made = plural(runs.len(), "run");
    let rule = StopRule::parse(text)?;
    let met = rule.is_met(runs);
    Some(match rule {
        StopRule::Fixed => return None,
        StopRule::Within(_) => {
            let known = latencies(runs)
                .and_then(|values| statistics::known_to(&values))
                .map_or_else(|| "is not known".to_owned(), |known| format!("is ± {}", quantity(known, "1")));
            if met {
                format!("Stop rule (stop={text}): met after {made}; the 95 % interval of the mean latency {known}.")
            } else {
                format!(
                    "Stop rule (stop={text}): not met. The limit of {made} came first, and the 95 % interval of the mean latency {known}; \
                     allow more with --set runs=…"
                )
            }
        }
        StopRule::Time(_) if met => {
            format!("Stop rule (stop={text}): met after {made}, which took {}.", quantity(spent(runs), "s"))
        }
        StopRule::Time(_) => {
            format!("Stop rule (stop={text}): all {made} were made before, in {}.", quantity(spent(runs), "s"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeRun;

    fn runs(latencies: &[f64]) -> Vec<Box<dyn Run>> {
        let run = |&latency: &f64| Box::new(FakeRun::new("run").value(&metrics::LATENCY, latency)) as Box<dyn Run>;
        latencies.iter().map(run).collect()
    }

    #[test]
    fn a_rule_is_fixed_a_share_or_a_time() {
        let rules = ["fixed", "1%", "0.5 %", "60s", "5min", "1.5h"].map(StopRule::parse);
        let (within, time) = (|share| Some(StopRule::Within(share)), |seconds| Some(StopRule::Time(seconds)));
        assert_eq!(rules, [Some(StopRule::Fixed), within(0.01), within(0.005), time(60.0), time(300.0), time(5400.0)]);
        for wrong in ["", "1", "0%", "-1%", "0s", "nan%", "infs", "%", "s", "5m", "5ms", "1 %%"] {
            assert_eq!(StopRule::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_interval_is_narrow_enough_when_its_half_is() {
        let wide = runs(&[1.0, 3.0, 1.0, 3.0, 1.0, 3.0, 1.0, 3.0]);
        assert!(StopRule::Within(0.45).is_met(&wide) && !StopRule::Within(0.44).is_met(&wide));
        // Few runs that happen to be alike are no reason to stop.
        assert!(!StopRule::Within(0.01).is_met(&runs(&[1.0; 7])) && StopRule::Within(0.01).is_met(&runs(&[1.0; 8])));
        assert!(!StopRule::Within(0.01).is_met(&runs(&[0.0; 8])));
        assert!(!StopRule::Fixed.is_met(&runs(&[1.0; 100])));
    }

    #[test]
    fn the_note_says_by_which_rule_it_ended() {
        let facts = |stop: &str, status: &str| -> Facts {
            [("setting.stop", stop), ("status", status)]
                .map(|(name, value)| (name.into(), value.into()))
                .into_iter()
                .collect()
        };
        let said = |stop: &str, latencies: &[f64]| note(&facts(stop, "complete"), &runs(latencies));
        assert_eq!(said("fixed", &[1.0; 3]), None);
        assert_eq!(note(&facts("1%", "interrupted"), &runs(&[1.0; 3])), None);
        assert_eq!(
            said("1%", &[1.0; 8]).unwrap(),
            "Stop rule (stop=1%): met after 8 runs; the 95 % interval of the mean latency is ± 0 %."
        );
        assert_eq!(
            said("1%", &[1.0, 2.0, 3.0]).unwrap(),
            "Stop rule (stop=1%): not met. The limit of 3 runs came first, and the 95 % interval of the mean latency is ± 124.2 %; allow \
             more with --set runs=…"
        );
        assert_eq!(said("60s", &[1.0; 3]).unwrap(), "Stop rule (stop=60s): all 3 runs were made before, in 0 s.");
    }
}
