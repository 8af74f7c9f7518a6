//! NVML's functions for GPM.

use harness_core::metric::name;
use nvml_wrapper_sys::bindings as nvml;

use super::{Device, ask, check};
use crate::error::Error;

/// Metrics with NVML's numbers for them; NVML gives per cent.
pub(crate) const METRICS: [(&str, u32); 3] = [
    (name::sm_occupancy, nvml::nvmlGpmMetricId_t_NVML_GPM_METRIC_SM_OCCUPANCY),
    (name::tensor_active, nvml::nvmlGpmMetricId_t_NVML_GPM_METRIC_ANY_TENSOR_UTIL),
    (name::dram_bandwidth_utilization, nvml::nvmlGpmMetricId_t_NVML_GPM_METRIC_DRAM_BW_UTIL),
];

/// A sample, as the library refers to it. It is never followed here.
#[derive(Clone, Copy)]
struct Raw(usize);

impl Raw {
    fn raw(self) -> nvml::nvmlGpmSample_t {
        std::ptr::with_exposed_provenance_mut(self.0)
    }
}

/// The counters' state at some time.
pub(crate) struct Sample {
    device: Device,
    raw: Raw,
}

impl Drop for Sample {
    fn drop(&mut self) {
        let raw = self.raw;
        // SAFETY: the library made it, and it is freed once. Where that fails, it is lost, and small.
        let _ = ask!(self.device.driver, nvmlGpmSampleFree, |free| check(unsafe { free(raw.raw()) }));
    }
}

impl Device {
    /// Whether the GPU has GPM.
    pub(crate) fn has_gpm(&self) -> Result<bool, Error> {
        let handle = self.handle;
        ask!(self.driver, nvmlGpmQueryDeviceSupport, |f| {
            let mut support = nvml::nvmlGpmSupport_t { version: nvml::NVML_GPM_SUPPORT_VERSION, isSupportedDevice: 0 };
            // SAFETY: as nvml.h has it: the handle is the library's own, and the struct says its version.
            check(unsafe { f(handle.raw(), &raw mut support) })?;
            Ok(support.isSupportedDevice != 0)
        })
    }

    /// Takes a sample.
    pub(crate) fn gpm_sample(&self) -> Result<Sample, Error> {
        let raw = ask!(self.driver, nvmlGpmSampleAlloc, |f| {
            let mut raw: nvml::nvmlGpmSample_t = std::ptr::null_mut();
            // SAFETY: as nvml.h has it: there is a place for the answer.
            check(unsafe { f(&raw mut raw) })?;
            if raw.is_null() {
                return crate::error::nonsense("nvmlGpmSampleAlloc", "no sample");
            }
            Ok(Raw(raw.expose_provenance()))
        })?;
        let sample = Sample { device: self.clone(), raw };
        let handle = self.handle;
        // SAFETY: as nvml.h has it: handle and sample are the library's own.
        ask!(self.driver, nvmlGpmSampleGet, |f| check(unsafe { f(handle.raw(), raw.raw()) }))?;
        Ok(sample)
    }
}

impl Sample {
    /// What the GPU did from this sample to another: of each of [`METRICS`] the per cent.
    pub(crate) fn until(&self, last: &Self) -> Result<[Result<f64, Error>; METRICS.len()], Error> {
        let (sample1, sample2) = (self.raw, last.raw);
        ask!(self.device.driver, nvmlGpmMetricsGet, |f| {
            let none = nvml::nvmlGpmMetric_t__bindgen_ty_1 {
                shortName: std::ptr::null_mut(),
                longName: std::ptr::null_mut(),
                unit: std::ptr::null_mut(),
            };
            let metric = nvml::nvmlGpmMetric_t { metricId: 0, nvmlReturn: 0, value: f64::NAN, metricInfo: none };
            let mut request = Box::new(nvml::nvmlGpmMetricsGet_t {
                version: nvml::NVML_GPM_METRICS_GET_VERSION,
                numMetrics: METRICS.len() as u32,
                sample1: sample1.raw(),
                sample2: sample2.raw(),
                metrics: [metric; 210],
            });
            for (metric, (_, id)) in request.metrics.iter_mut().zip(METRICS) {
                metric.metricId = id;
            }
            // SAFETY: as nvml.h has it: the samples are the library's own, and the struct says its version.
            check(unsafe { f(&raw mut *request) })?;
            let answers = METRICS.map(|(_, id)| {
                let answer = request.metrics.iter().take(METRICS.len()).find(|metric| metric.metricId == id);
                let answer = answer.ok_or(Error::Code(nvml::nvmlReturn_enum_NVML_ERROR_NO_DATA))?;
                check(answer.nvmlReturn).map(|()| answer.value)
            });
            Ok(answers)
        })
    }
}
