//! What the hardware did beside a recording's averages, in sentences that reports share.

use crate::format::{Scale, count, plural};
use crate::overview::Overview;
use crate::{Facts, Metric, Run, metrics};

/// Reads of memory that nothing else uses differ by less than this share of their median.
const QUIET: f64 = 0.1;

/// How clocks were held down in a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Throttling {
    /// 0 when they were not.
    pub seconds: f64,
    /// Such as `sw power cap`, where the driver said it.
    pub reasons: Vec<String>,
}

impl Throttling {
    /// Of a run; none when the host did not record it.
    pub fn of(run: &dyn Run) -> Option<Self> {
        let total = metrics::THROTTLED_TIME.name();
        let seconds = run.value(total)?;
        let reason = |metric: Metric| {
            let reason = metric.name.strip_prefix(total)?.strip_prefix('_')?.replace('_', " ");
            run.value(&metric.name).filter(|seconds| *seconds > 0.0).map(|_| reason)
        };
        Some(Self { seconds, reasons: run.metrics().into_iter().filter_map(reason).collect() })
    }
}

/// That clocks were held down in some of the runs, and why; none when they were not, as far as is known.
pub fn throttled_note<'a>(runs: impl IntoIterator<Item = Option<&'a Throttling>>) -> Option<String> {
    let runs: Vec<Option<&Throttling>> = runs.into_iter().collect();
    let held: Vec<&Throttling> = runs.iter().copied().flatten().filter(|run| run.seconds > 0.0).collect();
    if held.is_empty() {
        return None;
    }
    let mut reasons: Vec<&str> = Vec::new();
    for reason in held.iter().flat_map(|run| &run.reasons) {
        if !reasons.contains(&reason.as_str()) {
            reasons.push(reason);
        }
    }
    let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    Some(format!(
        "Clocks were held down in {} of {}{why}: these are the figures of a throttled GPU.",
        count(held.len() as u64),
        plural(runs.len(), "run")
    ))
}

/// What the idle GPU drew, and what of a token's energy is above it; none where that was not measured.
pub fn idle_note(facts: &Facts, overview: &Overview) -> Option<String> {
    let idle = facts.get("idle.power")?.parse::<f64>().ok().filter(|watts| watts.is_finite())?;
    let watts = Scale::of(idle, "W");
    let mut note = format!("Idle before the test: {} {}.", watts.number(idle, 4), watts.symbol());
    if let (Some(token), Some(rate)) =
        (average(overview, &metrics::ENERGY_PER_TOKEN), average(overview, &metrics::TOKENS_PER_SECOND))
        && rate > 0.0
        && token > idle / rate
    {
        let joules = Scale::of(token, "J");
        let number = |value: f64| joules.number(value, 4);
        note += &format!(
            " Of a token's {} {}, {} are above what the idle GPU takes in that time.",
            number(token),
            joules.symbol(),
            number(token - idle / rate)
        );
    }
    Some(note)
}

/// How fast the memory was read before the test, what share of that decoding reaches, and what the GPU's own counter says; none
/// where that was not measured.
pub fn roofline_note(facts: &Facts, overview: &Overview) -> Option<String> {
    let rate = facts.get("roofline.bandwidth")?.parse::<f64>().ok().filter(|rate| rate.is_finite())?;
    let share = |metric: &Metric| average(overview, metric).map(|share| format!("{:.1} %", share * 100.0));
    let spread = facts.get("roofline.spread").and_then(|text| text.parse::<f64>().ok());
    let unsure = match spread.filter(|spread| *spread > QUIET) {
        Some(spread) => format!(" (reads differed by {:.0} %: something else used it)", spread * 100.0),
        None => String::new(),
    };
    let mut note = format!("Memory's limit, measured before the test: {:.1} GB/s{unsure}.", rate / 1e9);
    if let Some(reached) = share(&metrics::MEMORY_LIMIT_SHARE) {
        note += &format!(" Decoding reaches {reached} of it by the bytes that a token must move");
        // The sensors may be those of a GPU that the model does not run on.
        let on_gpu = facts.get("model.device").is_some_and(|device| device.starts_with("cuda"));
        note += &match share(&metrics::DRAM_BANDWIDTH_UTILIZATION).filter(|_| on_gpu) {
            Some(counted) => format!("; the GPU's counter says {counted} of its nominal bandwidth, over whole runs."),
            None => ".".to_owned(),
        };
    }
    Some(note)
}

fn average(overview: &Overview, metric: &Metric) -> Option<f64> {
    overview.rows.iter().find(|row| row.metric.name == metric.name).map(|row| row.average)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Recording;
    use crate::metrics::{THROTTLED_TIME, THROTTLED_TIME_SW_POWER_CAP};
    use crate::testing::{FakeRecording, FakeRun};

    #[test]
    fn a_limit_that_was_measured_beside_other_work_says_so() {
        let note = |spread: &str| {
            let recording =
                FakeRecording::new().fact("roofline.bandwidth", "28600000000").fact("roofline.spread", spread);
            roofline_note(&recording.facts(), &Overview::of(&recording)).unwrap()
        };
        assert_eq!(note("0.02"), "Memory's limit, measured before the test: 28.6 GB/s.");
        assert_eq!(
            note("0.4524"),
            "Memory's limit, measured before the test: 28.6 GB/s (reads differed by 45 %: something else used it)."
        );
    }

    #[test]
    fn throttling_has_its_reasons() {
        let run = FakeRun::new("a").value(&THROTTLED_TIME, 1.5).value(&THROTTLED_TIME_SW_POWER_CAP, 1.5);
        let held = Throttling { seconds: 1.5, reasons: vec!["sw power cap".into()] };
        assert_eq!(Throttling::of(&run), Some(held.clone()));
        assert_eq!(Throttling::of(&FakeRun::new("a")), None);
        let calm = Throttling { seconds: 0.0, reasons: Vec::new() };
        assert_eq!(throttled_note([Some(&calm), None]), None);
        assert_eq!(
            throttled_note([Some(&held), None, Some(&held)]).as_deref(),
            Some("Clocks were held down in 2 of 3 runs (sw power cap): these are the figures of a throttled GPU.")
        );
    }
}
