//! What the GPU says of itself while it works.

use indexmap::IndexMap;

use crate::run::Series;

/// Sensors that are read all through a run, by a thread of their own.
pub trait Sensors: Send {
    /// Starts to sample. Returns once the counters that need a first reading have one.
    fn start(&mut self);
    /// Ends sampling and hands over what was read since [`Sensors::start`].
    fn stop(&mut self) -> SensorLog;
}

/// What sensors read through one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SensorLog {
    /// Distinct samples of a metric, with their times in seconds since the start.
    pub series: IndexMap<String, Series>,
    /// Figures that are no plain mean of samples: the difference of a counter, or a mean of samples that weigh differently.
    pub values: IndexMap<String, f64>,
    /// Metrics that could not be read, and why.
    pub absent: IndexMap<String, String>,
}

/// For runs without a GPU: every sensor metric is absent for the same reason.
#[derive(Clone, Debug)]
pub struct NoSensors {
    /// Why there are none, as a clause: 'the model runs on the CPU'.
    pub reason: String,
}

impl Sensors for NoSensors {
    fn start(&mut self) {}

    fn stop(&mut self) -> SensorLog {
        let absent = crate::metric::METRICS
            .iter()
            .filter(|metric| metric.source == crate::metric::Source::Sensor)
            .map(|metric| (metric.name.to_owned(), self.reason.clone()))
            .collect();
        SensorLog { absent, ..SensorLog::default() }
    }
}

/// A GPU as its driver lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuDevice {
    /// The driver's number.
    pub index: u32,
    /// `GPU-…`
    pub uuid: String,
    /// Product name.
    pub name: String,
    /// Bytes.
    pub memory: u64,
}

/// What a GPU's sensors say now; base units, `None` where the GPU does not have the sensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GpuState {
    /// Share of the driver's window in which any kernel ran.
    pub utilization: Option<f64>,
    /// Share of that window in which device memory was read or written.
    pub memory_controller_utilization: Option<f64>,
    /// Bytes.
    pub memory_used: Option<u64>,
    /// Watts.
    pub power: Option<f64>,
    /// Degrees Celsius.
    pub temperature: Option<f64>,
    /// Hertz.
    pub sm_clock: Option<f64>,
    /// Hertz.
    pub memory_clock: Option<f64>,
    /// Why clocks are held down.
    pub throttle_reasons: Vec<String>,
}

/// The machine's GPUs.
pub trait Gpus: Send + Sync {
    /// All of them; empty without a driver.
    fn devices(&self) -> Vec<GpuDevice>;
    /// The sensors of one, by its index in [`Gpus::devices`].
    fn read(&self, index: u32) -> Result<GpuState, String>;
}

/// A machine without GPUs.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoGpus;

impl Gpus for NoGpus {
    fn devices(&self) -> Vec<GpuDevice> {
        Vec::new()
    }

    fn read(&self, index: u32) -> Result<GpuState, String> {
        Err(format!("there is no GPU {index}: this machine's driver lists none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{METRICS, Source};

    #[test]
    fn without_a_gpu_each_sensor_says_why() {
        let mut none = NoSensors { reason: "the model runs on the CPU".into() };
        none.start();
        let log = none.stop();
        for metric in METRICS {
            let said = log.absent.get(metric.name).map(String::as_str);
            assert_eq!(
                said,
                (metric.source == Source::Sensor).then_some("the model runs on the CPU"),
                "{}",
                metric.name
            );
        }
        assert!(log.values.is_empty() && log.series.is_empty());
        assert!(NoGpus.devices().is_empty());
        assert_eq!(NoGpus.read(3).unwrap_err(), "there is no GPU 3: this machine's driver lists none");
    }
}
