//! What the GPU draws before the test: loaded, and with nothing to do.

use std::time::{Duration, Instant};

use harness_core::metric::name;
use harness_core::statistics::mean;
use harness_core::{SensorLog, Sensors};

/// Waited before: the counter's first reading may be a step of 0.1 s old, which must not hold what loading the model took.
const SETTLE: Duration = Duration::from_millis(200);

/// Watches the GPU for so long. The facts `idle.power` in watts, `idle.time` in seconds and `idle.source`; or why its power
/// can't be told.
pub(super) fn watch(sensors: &mut dyn Sensors, time: Duration) -> Result<Vec<(String, String)>, String> {
    std::thread::sleep(SETTLE);
    sensors.start();
    let start = Instant::now();
    std::thread::sleep(time);
    let watched = start.elapsed().as_secs_f64();
    facts(&sensors.stop(), watched)
}

fn facts(log: &SensorLog, watched: f64) -> Result<Vec<(String, String)>, String> {
    let counted = log.values.get(name::energy).map(|joules| (joules / watched, "energy counter"));
    let sampled =
        log.series.get(name::power).and_then(|series| mean(&series.values)).map(|mean| (mean, "power sensor"));
    let Some((watts, source)) = counted.or(sampled) else {
        let why = log.absent.get(name::power).or(log.absent.get(name::energy));
        return Err(why.cloned().unwrap_or_else(|| "the GPU told neither energy nor power".into()));
    };
    let facts = [("power", format!("{watts:.1}")), ("time", format!("{watched:.2}")), ("source", source.into())];
    Ok(facts.map(|(name, value)| (format!("idle.{name}"), value)).to_vec())
}

#[cfg(test)]
mod tests {
    use harness_core::Series;

    use super::*;

    #[test]
    fn the_counter_is_taken_where_it_counts_and_power_where_it_does_not() {
        let mut log = SensorLog::default();
        assert_eq!(facts(&log, 1.0), Err("the GPU told neither energy nor power".into()));
        log.absent.insert("power".into(), "the GPU does not have it".into());
        assert_eq!(facts(&log, 1.0), Err("the GPU does not have it".into()));
        log.series.insert("power".into(), Series { values: vec![70.0, 72.0], times: vec![0.1, 0.2] });
        let fact = |log: &SensorLog, index: usize| facts(log, 1.25).unwrap()[index].clone();
        assert_eq!(fact(&log, 0), ("idle.power".to_owned(), "71.0".to_owned()));
        assert_eq!(fact(&log, 2).1, "power sensor");
        log.values.insert("energy".into(), 100.0);
        assert_eq!((fact(&log, 0).1.as_str(), fact(&log, 2).1.as_str()), ("80.0", "energy counter"));
    }
}
