//! The C functions that this library exports, and what goes wrong in them.

#![allow(unsafe_code, reason = "it is a C library")]
#![allow(non_snake_case, reason = "the names are NVML's")]

use std::ffi::{c_char, c_int, c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings as nvml;
use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlGpmMetricsGet_t, nvmlGpmSample_t, nvmlGpmSupport_t, nvmlMemory_v2_t, nvmlPciInfo_t,
    nvmlProcessInfo_t, nvmlReturn_t, nvmlSample_t, nvmlUtilization_t,
};

use crate::answers::SUCCESS;
use crate::faults::{self, Kind, Lie};
use crate::{answers, gpm};

macro_rules! exports {
    ($($module:ident :: $name:ident($($argument:ident: $type:ty),*);)*) => {
        /// The functions that the library exports, under their names in C.
        pub const FUNCTIONS: &[&str] = &[$(stringify!($name)),*];

        $(#[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $type),*) -> nvmlReturn_t {
            match faults::begin(stringify!($name)) {
                None => $module::$name($($argument),*),
                Some(Kind::Fail(code)) => code,
                Some(Kind::Hang) => faults::hang(),
                // It does what it should, and says something else.
                Some(Kind::Lie) => {
                    $module::$name($($argument),*);
                    $(Lie::tell($argument, false);)*
                    SUCCESS
                }
                Some(Kind::Zero) => {
                    $module::$name($($argument),*);
                    $(Lie::tell($argument, true);)*
                    SUCCESS
                }
            }
        })*
    };
}

exports! {
    answers::nvmlInit_v2();
    answers::nvmlInitWithFlags(flags: c_uint);
    answers::nvmlShutdown();
    answers::nvmlSystemGetDriverVersion(place: *mut c_char, length: c_uint);
    answers::nvmlSystemGetNVMLVersion(place: *mut c_char, length: c_uint);
    answers::nvmlSystemGetCudaDriverVersion_v2(place: *mut c_int);
    answers::nvmlDeviceGetCount_v2(place: *mut c_uint);
    answers::nvmlDeviceGetHandleByIndex_v2(index: c_uint, place: *mut nvmlDevice_t);
    answers::nvmlDeviceGetHandleByUUID(uuid: *const c_char, place: *mut nvmlDevice_t);
    answers::nvmlDeviceGetUUID(device: nvmlDevice_t, place: *mut c_char, length: c_uint);
    answers::nvmlDeviceGetName(device: nvmlDevice_t, place: *mut c_char, length: c_uint);
    answers::nvmlDeviceGetVbiosVersion(device: nvmlDevice_t, place: *mut c_char, length: c_uint);
    answers::nvmlDeviceGetIndex(device: nvmlDevice_t, place: *mut c_uint);
    answers::nvmlDeviceGetPciInfo_v3(device: nvmlDevice_t, place: *mut nvmlPciInfo_t);
    answers::nvmlDeviceGetCudaComputeCapability(device: nvmlDevice_t, major: *mut c_int, minor: *mut c_int);
    answers::nvmlDeviceGetMemoryInfo_v2(device: nvmlDevice_t, place: *mut nvmlMemory_v2_t);
    answers::nvmlDeviceGetUtilizationRates(device: nvmlDevice_t, place: *mut nvmlUtilization_t);
    answers::nvmlDeviceGetTemperature(device: nvmlDevice_t, sensor: c_uint, place: *mut c_uint);
    answers::nvmlDeviceGetClockInfo(device: nvmlDevice_t, clock: c_uint, place: *mut c_uint);
    answers::nvmlDeviceGetMaxClockInfo(device: nvmlDevice_t, clock: c_uint, place: *mut c_uint);
    answers::nvmlDeviceGetApplicationsClock(device: nvmlDevice_t, clock: c_uint, place: *mut c_uint);
    answers::nvmlDeviceGetCurrentClocksThrottleReasons(device: nvmlDevice_t, place: *mut c_ulonglong);
    answers::nvmlDeviceGetPowerUsage(device: nvmlDevice_t, place: *mut c_uint);
    answers::nvmlDeviceGetTotalEnergyConsumption(device: nvmlDevice_t, place: *mut c_ulonglong);
    answers::nvmlDeviceGetPowerManagementLimit(device: nvmlDevice_t, place: *mut c_uint);
    answers::nvmlDeviceGetPowerManagementDefaultLimit(device: nvmlDevice_t, place: *mut c_uint);
    answers::nvmlDeviceGetTemperatureThreshold(device: nvmlDevice_t, threshold: c_uint, place: *mut c_uint);
    answers::nvmlDeviceGetPersistenceMode(device: nvmlDevice_t, place: *mut c_uint);
    answers::nvmlDeviceGetEccMode(device: nvmlDevice_t, current: *mut c_uint, pending: *mut c_uint);
    answers::nvmlDeviceGetMigMode(device: nvmlDevice_t, current: *mut c_uint, pending: *mut c_uint);
    answers::nvmlDeviceGetMemoryBusWidth(device: nvmlDevice_t, place: *mut c_uint);
    answers::nvmlDeviceGetCurrPcieLinkGeneration(device: nvmlDevice_t, place: *mut c_uint);
    answers::nvmlDeviceGetMaxPcieLinkGeneration(device: nvmlDevice_t, place: *mut c_uint);
    answers::nvmlDeviceGetCurrPcieLinkWidth(device: nvmlDevice_t, place: *mut c_uint);
    answers::nvmlDeviceGetMaxPcieLinkWidth(device: nvmlDevice_t, place: *mut c_uint);
    answers::nvmlDeviceGetComputeRunningProcesses_v3(
        device: nvmlDevice_t,
        count: *mut c_uint,
        place: *mut nvmlProcessInfo_t
    );
    answers::nvmlDeviceGetGraphicsRunningProcesses_v3(
        device: nvmlDevice_t,
        count: *mut c_uint,
        place: *mut nvmlProcessInfo_t
    );
    answers::nvmlDeviceGetSamples(
        device: nvmlDevice_t,
        kind: c_uint,
        last_seen: c_ulonglong,
        value_type: *mut c_uint,
        count: *mut c_uint,
        place: *mut nvmlSample_t
    );
    gpm::nvmlGpmQueryDeviceSupport(device: nvmlDevice_t, place: *mut nvmlGpmSupport_t);
    gpm::nvmlGpmSampleAlloc(place: *mut nvmlGpmSample_t);
    gpm::nvmlGpmSampleFree(sample: nvmlGpmSample_t);
    gpm::nvmlGpmSampleGet(device: nvmlDevice_t, sample: nvmlGpmSample_t);
    gpm::nvmlGpmMetricsGet(request: *mut nvmlGpmMetricsGet_t);
}

/// `nvmlErrorString` is not among [`FUNCTIONS`]: it returns no code, and nobody here asks for it.
#[unsafe(no_mangle)]
extern "C" fn nvmlErrorString(_result: nvmlReturn_t) -> *const c_char {
    c"as the fake NVML was told".as_ptr()
}

/// Written through a caller's pointer, which is valid as nvml.h wants it.
macro_rules! lies {
    ($($type:ty: $largest:expr, $zero:expr;)*) => {$(
        impl Lie for *mut $type {
            fn tell(self, zero: bool) {
                if !self.is_null() {
                    // SAFETY: the caller's pointer.
                    unsafe { self.write(if zero { $zero } else { $largest }) };
                }
            }
        }
    )*};
}

lies! {
    c_uint: c_uint::MAX, 0;
    c_int: c_int::MAX, 0;
    c_ulonglong: c_ulonglong::MAX, 0;
    // No GPU has these handles.
    nvmlDevice_t: std::ptr::without_provenance_mut(0x7777), std::ptr::null_mut();
    // What is no sample's address would end this process in the library itself.
    nvmlGpmSample_t: std::ptr::null_mut(), std::ptr::null_mut();
    nvmlUtilization_t: nvmlUtilization_t { gpu: c_uint::MAX, memory: c_uint::MAX }, nvmlUtilization_t { gpu: 0, memory: 0 };
    nvmlMemory_v2_t: memory(u64::MAX), memory(0);
    nvmlPciInfo_t: pci(-1), pci(0);
    nvmlProcessInfo_t: process(c_uint::MAX), process(0);
    nvmlSample_t: sample(u64::MAX), sample(0);
    nvmlGpmSupport_t: nvmlGpmSupport_t { version: c_uint::MAX, isSupportedDevice: c_uint::MAX },
        nvmlGpmSupport_t { version: 0, isSupportedDevice: 0 };
}

fn memory(bytes: u64) -> nvmlMemory_v2_t {
    nvmlMemory_v2_t { version: 0, total: bytes, reserved: bytes, free: bytes, used: bytes }
}

fn pci(byte: c_char) -> nvmlPciInfo_t {
    nvmlPciInfo_t {
        busIdLegacy: [byte; 16],
        domain: 0,
        bus: 0,
        device: 0,
        pciDeviceId: 0,
        pciSubSystemId: 0,
        busId: [byte; 32],
    }
}

fn process(number: c_uint) -> nvmlProcessInfo_t {
    nvmlProcessInfo_t { pid: number, usedGpuMemory: 0, gpuInstanceId: number, computeInstanceId: number }
}

fn sample(number: u64) -> nvmlSample_t {
    nvmlSample_t { timeStamp: number, sampleValue: nvml::nvmlValue_t { ullVal: number } }
}

/// Text without an end, or none.
impl Lie for *mut c_char {
    fn tell(self, zero: bool) {
        if self.is_null() {
            return;
        }
        // The shortest of NVML's texts has this room.
        for at in 0..32 {
            // SAFETY: the caller's pointer.
            unsafe { self.wrapping_add(at).write(if zero { 0 } else { -1 }) };
        }
    }
}

impl Lie for *mut nvmlGpmMetricsGet_t {
    fn tell(self, zero: bool) {
        if self.is_null() {
            return;
        }
        // SAFETY: the caller's pointer.
        let request = unsafe { &mut *self };
        for metric in &mut request.metrics {
            metric.nvmlReturn = SUCCESS;
            metric.value = if zero { 0.0 } else { f64::NAN };
        }
    }
}

macro_rules! given {
    ($($type:ty),*) => {$(
        /// Handed in, not out.
        impl Lie for $type {
            fn tell(self, _zero: bool) {}
        }
    )*};
}

given!(c_uint, c_ulonglong, nvmlDevice_t, nvmlGpmSample_t, *const c_char);
