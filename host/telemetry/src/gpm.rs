//! GPM, the performance counters of Hopper and newer: what the GPU did between two samples, one just before the run and
//! one just after it. So a figure is the mean over the run, whatever happened in it, and nothing is polled for it.

use std::time::{Duration, Instant};

use crate::driver::{Device, METRICS, Sample};
use crate::error::explain;

/// The least time between samples: NVIDIA's own tools take them 0.1 s apart at the closest.
const SHORTEST: Duration = Duration::from_millis(100);

/// For each of [`METRICS`] a ratio, or why there is none.
pub(crate) type Figures = [Result<f64, String>; METRICS.len()];

/// The sample before a run.
pub(crate) struct Begun(Result<(Instant, Sample), String>);

/// Takes the sample before a run.
pub(crate) fn begin(device: &Device) -> Begun {
    Begun(can(device).and_then(|()| {
        let sample = device.gpm_sample().map_err(|error| explain(&error))?;
        Ok((Instant::now(), sample))
    }))
}

/// Why this GPU gives no samples.
fn can(device: &Device) -> Result<(), String> {
    if device.mig() == Ok(true) {
        return Err("the GPU is partitioned (MIG), and GPM is read of whole GPUs only".into());
    }
    match device.has_gpm() {
        Ok(true) => Ok(()),
        Ok(false) => Err("the GPU has no GPM; Hopper and newer have".into()),
        Err(error) => Err(explain(&error)),
    }
}

impl Begun {
    /// Takes the sample after the run; what lies between.
    pub(crate) fn end(self, device: &Device) -> Figures {
        let figures = self.0.and_then(|(begun, first)| {
            let between = begun.elapsed();
            if between < SHORTEST {
                let seconds = between.as_secs_f64();
                return Err(format!("the run of {seconds:.3} s was too short for GPM, which wants 0.1 s at least"));
            }
            let last = device.gpm_sample().map_err(|error| explain(&error))?;
            let answers = first.until(&last).map_err(|error| explain(&error))?;
            Ok(answers.map(|answer| answer.map_err(|error| explain(&error)).and_then(ratio)))
        });
        figures.unwrap_or_else(|reason| METRICS.map(|_| Err(reason.clone())))
    }
}

/// Per cent to a ratio. A counter's share can come out a little over the whole, since its ends are not read all at once.
fn ratio(percent: f64) -> Result<f64, String> {
    if (0.0..=105.0).contains(&percent) {
        Ok((percent / 100.0).min(1.0))
    } else {
        Err(format!("GPM gave {percent} per cent"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_share_is_no_figure() {
        assert_eq!(ratio(62.5), Ok(0.625));
        assert_eq!(ratio(100.4), Ok(1.0));
        assert!(ratio(f64::NAN).is_err() && ratio(-1.0).is_err() && ratio(250.0).is_err());
    }
}
