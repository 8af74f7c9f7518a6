//! GPM: what lies between two samples. A sample holds the time of its taking and nothing else.

#![allow(unsafe_code, reason = "it writes where C callers point")]
#![allow(non_snake_case, reason = "the names are NVML's")]

use std::ffi::c_uint;

use nvml_wrapper_sys::bindings as nvml;
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlGpmMetricsGet_t, nvmlGpmSample_t, nvmlGpmSupport_t, nvmlReturn_t};

use crate::answers::{Answer, INVALID_ARGUMENT, SUCCESS, code, gpu, initialised, put};
use crate::scenario::Field;

const NO_PERMISSION: nvmlReturn_t = nvml::nvmlReturn_enum_NVML_ERROR_NO_PERMISSION;
const NOT_SUPPORTED: nvmlReturn_t = nvml::nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED;

pub(crate) fn nvmlGpmQueryDeviceSupport(device: nvmlDevice_t, place: *mut nvmlGpmSupport_t) -> nvmlReturn_t {
    code(gpu(device, Field::Always).and_then(|(state, _)| {
        let supported = c_uint::from(!state.scenario.lacks.contains(&Field::Gpm));
        put(place, nvmlGpmSupport_t { version: nvml::NVML_GPM_SUPPORT_VERSION, isSupportedDevice: supported })
    }))
}

pub(crate) fn nvmlGpmSampleAlloc(place: *mut nvmlGpmSample_t) -> nvmlReturn_t {
    code(initialised().and_then(|_| put(place, Box::into_raw(Box::new(-1_i64)).cast())))
}

pub(crate) fn nvmlGpmSampleFree(sample: nvmlGpmSample_t) -> nvmlReturn_t {
    if sample.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: nvmlGpmSampleAlloc made it, and the caller frees it once.
    drop(unsafe { Box::from_raw(sample.cast::<i64>()) });
    SUCCESS
}

pub(crate) fn nvmlGpmSampleGet(device: nvmlDevice_t, sample: nvmlGpmSample_t) -> nvmlReturn_t {
    code(gpu(device, Field::Gpm).and_then(|(state, _)| {
        if state.scenario.gpm_forbidden {
            return Err(NO_PERMISSION);
        }
        put(sample.cast::<i64>(), state.time())
    }))
}

/// Microseconds since `nvmlInit` at which a sample was taken.
fn taken(sample: nvmlGpmSample_t) -> Answer<i64> {
    if sample.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: nvmlGpmSampleAlloc made it.
    let time = unsafe { sample.cast::<i64>().read() };
    if time < 0 { Err(INVALID_ARGUMENT) } else { Ok(time) }
}

/// Per cent. The share of the memory's bandwidth tells the time between the samples: 50, and 10 more for each second.
pub(crate) fn nvmlGpmMetricsGet(request: *mut nvmlGpmMetricsGet_t) -> nvmlReturn_t {
    if request.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: the caller's pointer, valid as nvml.h wants it.
    let request = unsafe { &mut *request };
    code(initialised().and_then(|_| {
        let seconds = (taken(request.sample2)? - taken(request.sample1)?) as f64 / 1e6;
        if seconds <= 0.0 || request.version != nvml::NVML_GPM_METRICS_GET_VERSION {
            return Err(INVALID_ARGUMENT);
        }
        for metric in request.metrics.iter_mut().take(request.numMetrics as usize) {
            let value = match metric.metricId {
                nvml::nvmlGpmMetricId_t_NVML_GPM_METRIC_SM_OCCUPANCY => Some(12.5),
                nvml::nvmlGpmMetricId_t_NVML_GPM_METRIC_ANY_TENSOR_UTIL => Some(3.0),
                nvml::nvmlGpmMetricId_t_NVML_GPM_METRIC_DRAM_BW_UTIL => Some(50.0 + 10.0 * seconds),
                _ => None,
            };
            metric.nvmlReturn = if value.is_some() { SUCCESS } else { NOT_SUPPORTED };
            metric.value = value.unwrap_or(f64::NAN);
        }
        Ok(())
    }))
}
