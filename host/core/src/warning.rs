//! What the reader of a recording should know before they trust its figures, each with what to do.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexSet;

use crate::compare::Work;
use crate::metric::name;
use crate::recording::Recording;
use crate::run::Run;
use crate::statistics::{modified_z_score, quantile};
use crate::vigil::Standstill;

/// Something that spoils figures without making them wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Warning {
    /// Latency was outstanding in the first run.
    SlowFirstRun {
        /// By how much, as a share of the others' median.
        slower: f64,
        /// The workload's setting, where it has one of that name.
        warmup: Option<String>,
    },
    /// Warm-up met its limit before latency was steady.
    Unsteady {
        /// In so many runs.
        runs: usize,
        /// Of so many.
        of: usize,
        /// Iterations of the longest such warm-up.
        most: u32,
    },
    /// Nothing ran for a while.
    StoodStill {
        /// In so many runs.
        runs: usize,
        /// Of so many.
        of: usize,
        /// All of it together.
        time: Standstill,
    },
    /// Clocks were held down.
    Throttled(Throttled),
}

/// Runs in which clocks were held down.
#[derive(Clone, Debug, PartialEq)]
pub struct Throttled {
    /// So many runs.
    pub runs: usize,
    /// Of so many.
    pub of: usize,
    /// Such as `sw_power_cap`, where the driver said it.
    pub reasons: Vec<String>,
}

/// The first run is compared with no fewer others: their spread has to be known.
const FEWEST_OTHERS: usize = 4;
/// Of the modified z-score, as Iglewicz and Hoaglin recommend.
const OUTSTANDING: f64 = 3.5;
/// A first run that is slower by less than this share is not worth a word.
const WORTH_A_WORD: f64 = 0.01;

impl Warning {
    /// All that a recording gives reason for.
    pub fn of(recording: &Recording) -> Vec<Self> {
        [
            slow_first_run(recording),
            unsteady(&recording.runs),
            Self::stood_still(&recording.runs),
            Throttled::of(&recording.runs).map(Self::Throttled),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// That nothing ran for a while in some runs.
    pub fn stood_still(runs: &[Arc<Run>]) -> Option<Self> {
        let times: Vec<Standstill> = runs.iter().filter_map(|run| run.standstill).collect();
        let sum = |of: fn(&Standstill) -> f64| times.iter().map(of).sum();
        let time = Standstill {
            stopped: sum(|time| time.stopped),
            suspended: sum(|time| time.suspended),
            clock_jump: sum(|time| time.clock_jump),
        };
        (!times.is_empty()).then_some(Self::StoodStill { runs: times.len(), of: runs.len(), time })
    }
}

impl Throttled {
    /// Of these runs; none where no clock was held down.
    pub fn of<'a>(runs: impl IntoIterator<Item = &'a Arc<Run>>) -> Option<Self> {
        let mut of = 0;
        let mut held = 0;
        let mut reasons: IndexSet<&str> = IndexSet::new();
        for run in runs {
            of += 1;
            if run.values.get(name::throttled_time).is_none_or(|&time| time <= 0.0) {
                continue;
            }
            held += 1;
            let reason = |metric: &'a str| metric.strip_prefix(name::throttled_time)?.strip_prefix('_');
            reasons.extend(run.values.iter().filter(|(_, time)| **time > 0.0).filter_map(|(metric, _)| reason(metric)));
        }
        let reasons = reasons.into_iter().map(str::to_owned).collect();
        (held > 0).then_some(Self { runs: held, of, reasons })
    }

    /// The reasons, as they are put behind what they are reasons for: ` (sw_power_cap)`, or nothing where there are none.
    pub fn why(&self) -> String {
        if self.reasons.is_empty() { String::new() } else { format!(" ({})", self.reasons.join(", ")) }
    }
}

fn slow_first_run(recording: &Recording) -> Option<Warning> {
    let (first, others) = recording.runs.split_first()?;
    // Where runs do different work, the first has every right to be slower.
    if others.len() < FEWEST_OTHERS || others.iter().any(|run| Work::of(run) != Work::of(first)) {
        return None;
    }
    let latency = |run: &Arc<Run>| run.values.get(name::latency).copied();
    let mut values = others.iter().map(latency).collect::<Option<Vec<_>>>()?;
    let first = latency(first)?;
    let score = modified_z_score(first, &values)?;
    values.sort_by(f64::total_cmp);
    let slower = first / quantile(&values, 0.5)? - 1.0;
    let warmup = recording.facts.get("setting.warmup").cloned();
    (score > OUTSTANDING && slower > WORTH_A_WORD).then_some(Warning::SlowFirstRun { slower, warmup })
}

fn unsteady(runs: &[Arc<Run>]) -> Option<Warning> {
    let unsteady = runs.iter().filter(|run| run.warmup_steady == Some(false));
    let most = unsteady.clone().map(|run| run.warmup).max()?;
    Some(Warning::Unsteady { runs: unsteady.count(), of: runs.len(), most })
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SlowFirstRun { slower, warmup } => {
                let advice = match warmup {
                    Some(warmup) if warmup.parse::<u64>().is_ok() => format!("raise --set warmup (it is {warmup})"),
                    Some(warmup) => format!("set a number with --set warmup (it is {warmup})"),
                    None => "let the workload serve more before it measures".to_owned(),
                };
                write!(
                    f,
                    "the first run's latency is {:.1} % over the median of the others, far out of their spread: something was not warm \
                     yet; {advice}, or start the test twice",
                    slower * 100.0
                )
            }
            Self::Unsteady { runs, of, most } => write!(
                f,
                "in {runs} of {of} runs latency was not steady yet when warm-up met its limit of {most} iterations: the figures have \
                 some of the way to the level in them; allow more with a higher limit, or look for what goes on changing: `harness doctor`"
            ),
            Self::StoodStill { runs, of, time } => {
                let Standstill { stopped, suspended, clock_jump } = time;
                let what = [
                    (*stopped, "the process did not run for"),
                    (*suspended, "the machine was suspended for"),
                    (*clock_jump, "the time of day jumped, as when a paused virtual machine goes on, by"),
                ];
                let what: Vec<String> = what
                    .iter()
                    .filter(|(time, _)| *time > 0.0)
                    .map(|(time, what)| format!("{what} {time:.1} s"))
                    .collect();
                write!(
                    f,
                    "in {runs} of {of} runs {}: their figures are not those of the work alone; do the test again without it",
                    what.join(", ")
                )
            }
            Self::Throttled(throttled @ Throttled { runs, of, .. }) => {
                let why = throttled.why();
                write!(
                    f,
                    "clocks were held down in {runs} of {of} runs{why}: the figures are those of a throttled GPU; cool it, or set the \
                     same power limit and clocks wherever you compare"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Facts, Recorder, Status};

    fn recording(latencies: &[f64]) -> Recording {
        let facts = Facts::from([("setting.warmup".to_owned(), "3".to_owned())]);
        let mut recorder = Recorder::in_memory(facts);
        for &latency in latencies {
            let mut run = Run { batch: 1, iterations: 100, ..Run::default() };
            run.values.insert("latency".into(), latency);
            recorder.run(Arc::new(run)).unwrap();
        }
        recorder.end(Status::Complete, None, Vec::new(), String::new()).recording
    }

    #[test]
    fn a_first_run_that_is_far_out_is_told_with_advice() {
        let warnings = Warning::of(&recording(&[1.10, 1.0, 1.002, 0.998, 1.001]));
        let [Warning::SlowFirstRun { slower, warmup }] = warnings.as_slice() else { panic!("{warnings:?}") };
        assert!((slower - 0.0995).abs() < 1e-3 && warmup.as_deref() == Some("3"));
        assert!(warnings[0].to_string().contains("raise --set warmup (it is 3)"), "{}", warnings[0]);
    }

    #[test]
    fn a_first_run_like_the_others_or_with_too_few_of_them_is_not() {
        assert_eq!(Warning::of(&recording(&[1.003, 1.0, 1.002, 0.998, 1.001])), []);
        assert_eq!(Warning::of(&recording(&[0.5, 1.0, 1.002, 0.998, 1.001])), []);
        assert_eq!(Warning::of(&recording(&[1.5, 1.0, 1.002, 0.998])), []);
        // Out of the spread, but by less than anybody cares about.
        assert_eq!(Warning::of(&recording(&[1.005, 1.0, 1.0, 1.0, 1.0])), []);
        let mut other_work = recording(&[1.5, 1.0, 1.0, 1.0, 1.0]);
        Arc::make_mut(&mut other_work.runs[0]).batch = 8;
        assert_eq!(Warning::of(&other_work), []);
    }

    #[test]
    fn runs_that_were_measured_before_they_were_steady_are_counted() {
        let mut recording = recording(&[1.0, 1.0, 1.0]);
        let mut set = |run: usize, warmup: u32, steady: bool| {
            let run = Arc::make_mut(&mut recording.runs[run]);
            (run.warmup, run.warmup_steady) = (warmup, Some(steady));
            Warning::of(&recording)
        };
        assert_eq!(set(0, 12, true), []);
        let warnings = set(1, 50, false);
        assert_eq!(warnings, [Warning::Unsteady { runs: 1, of: 3, most: 50 }]);
        assert!(warnings[0].to_string().contains("its limit of 50 iterations"), "{}", warnings[0]);
    }

    #[test]
    fn throttled_runs_are_counted_with_their_reasons() {
        let mut recording = recording(&[1.0, 1.0, 1.0]);
        let mut set = |run: usize, metric: &str, value: f64| {
            Arc::make_mut(&mut recording.runs[run]).values.insert(metric.into(), value);
        };
        set(1, "throttled_time", 0.5);
        set(1, "throttled_time_sw_power_cap", 0.5);
        set(2, "throttled_time", 0.0);
        let held = Warning::Throttled(Throttled { runs: 1, of: 3, reasons: vec!["sw_power_cap".into()] });
        assert_eq!(Warning::of(&recording), [held]);
    }

    #[test]
    fn time_in_which_nothing_ran_is_added_up_over_the_runs() {
        let mut recording = recording(&[1.0, 1.0, 1.0]);
        let mut set = |run: usize, standstill: Standstill| {
            Arc::make_mut(&mut recording.runs[run]).standstill = Some(standstill);
            Warning::of(&recording)
        };
        let time = Standstill { stopped: 1.5, suspended: 60.0, clock_jump: 0.0 };
        assert_eq!(set(0, time), [Warning::StoodStill { runs: 1, of: 3, time }]);
        let sum = Standstill { stopped: 3.0, suspended: 120.0, clock_jump: 3600.0 };
        let warnings = set(2, Standstill { clock_jump: 3600.0, ..time });
        assert_eq!(warnings, [Warning::StoodStill { runs: 2, of: 3, time: sum }]);
    }

    #[test]
    fn a_clock_that_is_held_down_in_several_runs_has_each_reason_once() {
        let of = |values: &[(&str, f64)]| {
            let mut run = Run::default();
            run.values.extend(values.iter().map(|(name, value)| ((*name).to_owned(), *value)));
            Arc::new(run)
        };
        let power =
            [("throttled_time", 0.5), ("throttled_time_sw_power_cap", 0.5), ("throttled_time_hw_slowdown", 0.0)];
        let heat = [("throttled_time", 0.1), ("throttled_time_hw_thermal_slowdown", 0.1), ("latency", 1.0)];
        let runs = [of(&power), of(&[]), of(&heat), of(&power), of(&[("throttled_time", 0.0)])];
        let throttled = Throttled::of(&runs).unwrap();
        assert_eq!((throttled.runs, throttled.of), (3, 5));
        assert_eq!(throttled.why(), " (sw_power_cap, hw_thermal_slowdown)");
        // Of an older recording or another driver.
        let unsaid = Throttled::of(&[of(&[("throttled_time", 0.5)])]).unwrap();
        assert_eq!((unsaid.runs, unsaid.why().as_str()), (1, ""));
        assert_eq!((Throttled::of(&runs[1..2]), Throttled::of(&runs[4..])), (None, None));
    }

    #[test]
    fn each_warning_says_what_to_do() {
        let slow = |warmup: Option<&str>| Warning::SlowFirstRun { slower: 0.123, warmup: warmup.map(str::to_owned) };
        let stood = |stopped, suspended, clock_jump| Warning::StoodStill {
            runs: 1,
            of: 2,
            time: Standstill { stopped, suspended, clock_jump },
        };
        let held = |reasons: &[&str]| {
            Warning::Throttled(Throttled {
                runs: 2,
                of: 9,
                reasons: reasons.iter().map(|&reason| reason.into()).collect(),
            })
        };
        for (warning, parts) in [
            (slow(Some("3")), &["12.3 % over the median", "raise --set warmup (it is 3), or start"][..]),
            (slow(Some("auto")), &["set a number with --set warmup (it is auto), or start"]),
            (slow(None), &["let the workload serve more before it measures, or start"]),
            (stood(3.0, 0.0, 0.0), &["in 1 of 2 runs the process did not run for 3.0 s: their figures"]),
            (
                stood(0.0, 60.0, 7.0),
                &[
                    "runs the machine was suspended for 60.0 s, the time of day jumped, as when a paused virtual machine goes on, by 7.0 s: ",
                ],
            ),
            (held(&[]), &["in 2 of 9 runs: the figures"]),
            (held(&["a", "b"]), &["in 2 of 9 runs (a, b): the figures"]),
        ] {
            let text = warning.to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
    }
}
