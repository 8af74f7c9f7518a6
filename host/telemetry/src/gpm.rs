//! GPM, the performance counters of Hopper and newer: what the GPU did between two samples, one just before the run and
//! one just after it. So a figure is the mean over the run, whatever happened in it, and nothing is polled for it.

use std::time::{Duration, Instant};

use harness_core::metric::name;
use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::gpm::gpm_metrics_get;
use nvml_wrapper::{Device, GpmSample};

use crate::error::explain;
use crate::readings::Notes;

/// Metrics with NVML's names for them; NVML gives per cent.
pub(crate) const METRICS: [(&str, GpmMetricId); 3] = [
    (name::sm_occupancy, GpmMetricId::SmOccupancy),
    (name::tensor_active, GpmMetricId::AnyTensorUtil),
    (name::dram_bandwidth_utilization, GpmMetricId::DramBwUtil),
];

/// The least time between samples: NVIDIA's own tools take them 0.1 s apart at the closest.
const SHORTEST: Duration = Duration::from_millis(100);

/// For each of [`METRICS`] a ratio, or why there is none.
pub(crate) type Figures = [Result<f64, String>; METRICS.len()];

/// The sample before a run.
pub(crate) struct Begun<'nvml>(Result<(Instant, GpmSample<'nvml>), String>);

/// Takes the sample before a run.
pub(crate) fn begin<'nvml>(device: &Device<'nvml>) -> Begun<'nvml> {
    Begun(can(device).and_then(|()| {
        let sample = device.gpm_sample().map_err(|error| explain(&error))?;
        Ok((Instant::now(), sample))
    }))
}

/// Why this GPU gives no samples.
fn can(device: &Device<'_>) -> Result<(), String> {
    if device.mig_mode().is_ok_and(|mode| mode.current != 0) {
        return Err("the GPU is partitioned (MIG), and GPM is read of whole GPUs only".into());
    }
    match device.gpm_support() {
        Ok(true) => Ok(()),
        Ok(false) => Err("the GPU has no GPM; Hopper and newer have".into()),
        Err(error) => Err(explain(&error)),
    }
}

impl<'nvml> Begun<'nvml> {
    /// Takes the sample after the run, and notes what lies between.
    pub(crate) fn end(self, device: &Device<'nvml>, notes: &impl Notes) {
        let figures = self.0.and_then(|(begun, first)| {
            let between = begun.elapsed();
            if between < SHORTEST {
                let seconds = between.as_secs_f64();
                return Err(format!("the run of {seconds:.3} s was too short for GPM, which wants 0.1 s at least"));
            }
            let last = device.gpm_sample().map_err(|error| explain(&error))?;
            let answers = gpm_metrics_get(first.nvml(), &first, &last, &METRICS.map(|(_, id)| id))
                .map_err(|error| explain(&error))?;
            let mut answers = answers.into_iter();
            Ok(METRICS.map(|_| match answers.next() {
                Some(Ok(answer)) => ratio(answer.value),
                Some(Err(error)) => Err(explain(&error)),
                None => Err(explain(&NvmlError::NoData)),
            }))
        });
        notes.note(|log| log.gpm = Some(figures.unwrap_or_else(|reason| METRICS.map(|_| Err(reason.clone())))));
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
