//! What the functions of NVML that harness uses answer when nothing is wrong with them. `exports` has their C side.
//!
//! Every pointer is the caller's and, as nvml.h wants it, valid for what the function writes there.

#![allow(unsafe_code, reason = "it writes where C callers point")]
#![allow(non_snake_case, reason = "the names are NVML's")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong};
use std::time::Duration;

use nvml_wrapper_sys::bindings as nvml;
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlReturn_t, nvmlSample_t, nvmlValue_t};

use crate::gpu::{Gpu, POWER_PERIOD, UNEVEN, UTILIZATION_WINDOW};
use crate::scenario::{Counter, Field, HeldDown, NoInit};
use crate::state::{self, State};

pub(crate) const SUCCESS: nvmlReturn_t = nvml::nvmlReturn_enum_NVML_SUCCESS;
pub(crate) const UNINITIALIZED: nvmlReturn_t = nvml::nvmlReturn_enum_NVML_ERROR_UNINITIALIZED;
pub(crate) const INVALID_ARGUMENT: nvmlReturn_t = nvml::nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT;
const NOT_SUPPORTED: nvmlReturn_t = nvml::nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED;
const NOT_FOUND: nvmlReturn_t = nvml::nvmlReturn_enum_NVML_ERROR_NOT_FOUND;
const INSUFFICIENT_SIZE: nvmlReturn_t = nvml::nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE;
const GPU_IS_LOST: nvmlReturn_t = nvml::nvmlReturn_enum_NVML_ERROR_GPU_IS_LOST;

/// `Err` is the code to return.
pub(crate) type Answer<T> = Result<T, nvmlReturn_t>;

pub(crate) fn code(answer: Answer<()>) -> nvmlReturn_t {
    answer.err().unwrap_or(SUCCESS)
}

pub(crate) fn initialised() -> Answer<State> {
    state::get().ok_or(UNINITIALIZED)
}

pub(crate) fn put<T>(place: *mut T, value: T) -> Answer<()> {
    if place.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: the caller's pointer, see the module.
    unsafe { place.write(value) };
    Ok(())
}

fn put_text(place: *mut c_char, length: c_uint, text: &str) -> Answer<()> {
    if text.len() >= length as usize {
        return Err(INSUFFICIENT_SIZE);
    }
    for (i, byte) in text.bytes().chain([0]).enumerate() {
        put(place.wrapping_add(i), byte.cast_signed())?;
    }
    Ok(())
}

/// A handle is the GPU's number, counted from 1.
fn handle(index: usize) -> nvmlDevice_t {
    std::ptr::without_provenance_mut(index + 1)
}

/// The GPU, where it has the field and is not lost.
pub(crate) fn gpu(device: nvmlDevice_t, field: Field) -> Answer<(State, Gpu)> {
    let state = initialised()?;
    let gpu = device.addr().checked_sub(1).and_then(|index| state.gpus().get(index)).ok_or(INVALID_ARGUMENT)?;
    if state.scenario.lost || state.is_after(state.scenario.lost_after) {
        return Err(GPU_IS_LOST);
    }
    if state.scenario.lacks.contains(&field) {
        return Err(NOT_SUPPORTED);
    }
    Ok((state, *gpu))
}

/// Functions that write one figure about a GPU.
macro_rules! figures {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $type:ty, $field:ident, |$state:pat_param, $gpu:pat_param| $value:expr;)*) => {$(
        pub(crate) fn $name(device: nvmlDevice_t, $($argument: $kind,)* place: *mut $type) -> nvmlReturn_t {
            code(gpu(device, Field::$field).and_then(|($state, $gpu)| put(place, $value)))
        }
    )*};
}

figures! {
    nvmlDeviceGetUtilizationRates() -> nvml::nvmlUtilization_t, Utilization, |state, gpu| {
        let window = state.time() / UTILIZATION_WINDOW;
        nvml::nvmlUtilization_t {
            gpu: gpu.utilization_at(window),
            memory: gpu.memory_controller_utilization_at(window),
        }
    };
    nvmlDeviceGetTemperature(_sensor: c_uint) -> c_uint, Temperature, |state, gpu| gpu.temperature_at(state.time());
    nvmlDeviceGetClockInfo(clock: c_uint) -> c_uint, Clocks, |state, gpu| match clock {
        nvml::nvmlClockType_enum_NVML_CLOCK_MEM => gpu.memory_clock,
        // The hardware's slowdown is by half or more.
        _ if held_down(&state).is_some_and(|why| why != HeldDown::PowerCap) => gpu.sm_clock / 2,
        _ => gpu.sm_clock_at(state.time()),
    };
    nvmlDeviceGetMaxClockInfo(clock: c_uint) -> c_uint, Limits, |_, gpu| match clock {
        nvml::nvmlClockType_enum_NVML_CLOCK_MEM => gpu.memory_clock,
        _ => gpu.sm_clock,
    };
    nvmlDeviceGetCurrentClocksThrottleReasons() -> c_ulonglong, Throttle, |state, _| {
        held_down(&state).map_or(0, |why| match why {
            HeldDown::PowerCap => nvml::nvmlClocksThrottleReasonSwPowerCap.into(),
            HeldDown::Heat => {
                (nvml::nvmlClocksThrottleReasonHwSlowdown | nvml::nvmlClocksThrottleReasonHwThermalSlowdown).into()
            }
            HeldDown::Brake => {
                (nvml::nvmlClocksThrottleReasonHwSlowdown | nvml::nvmlClocksThrottleReasonHwPowerBrakeSlowdown).into()
            }
        })
    };
    nvmlDeviceGetPowerManagementLimit() -> c_uint, Limits, |state, gpu| match state.scenario.sick {
        true => gpu.power_limit - 200_000,
        false => gpu.power_limit,
    };
    nvmlDeviceGetPowerManagementDefaultLimit() -> c_uint, Limits, |_, gpu| gpu.power_limit;
    nvmlDeviceGetApplicationsClock(_clock: c_uint) -> c_uint, Limits, |state, gpu| match state.scenario.sick {
        true => 1200,
        false => gpu.sm_clock,
    };
    nvmlDeviceGetTemperatureThreshold(_threshold: c_uint) -> c_uint, Limits, |state, gpu| match state.scenario.sick {
        true => gpu.temperature + 1,
        false => gpu.temperature + 42,
    };
    nvmlDeviceGetPersistenceMode() -> c_uint, Limits, |state, _| (!state.scenario.sick).into();
    nvmlDeviceGetCurrPcieLinkGeneration() -> c_uint, Limits, |state, _| if state.scenario.sick { 3 } else { 5 };
    nvmlDeviceGetMaxPcieLinkGeneration() -> c_uint, Limits, |_, _| 5;
    nvmlDeviceGetCurrPcieLinkWidth() -> c_uint, Limits, |state, _| if state.scenario.sick { 8 } else { 16 };
    nvmlDeviceGetMaxPcieLinkWidth() -> c_uint, Limits, |_, _| 16;
    nvmlDeviceGetMemoryBusWidth() -> c_uint, Limits, |_, _| 5120;
    nvmlDeviceGetIndex() -> c_uint, Always, |state, gpu| {
        state.gpus().iter().position(|other| *other == gpu).unwrap_or_default() as c_uint
    };
    nvmlDeviceGetPciInfo_v3() -> nvml::nvmlPciInfo_t, Always, |_, gpu| pci(&gpu);
}

/// Why clocks are held down now.
fn held_down(state: &State) -> Option<HeldDown> {
    state.scenario.held_down.filter(|(_, after)| state.is_after(Some(*after))).map(|(why, _)| why)
}

fn pci(gpu: &Gpu) -> nvml::nvmlPciInfo_t {
    let mut bus_id = [0; 32];
    for (place, byte) in bus_id.iter_mut().zip(format!("00000000:{:02X}:00.0", gpu.bus).bytes()) {
        *place = byte.cast_signed();
    }
    nvml::nvmlPciInfo_t {
        busIdLegacy: [0; 16],
        domain: 0,
        bus: gpu.bus,
        device: 0,
        pciDeviceId: 0x2330_10de,
        pciSubSystemId: 0x16c1_10de,
        busId: bus_id,
    }
}

pub(crate) fn nvmlInit_v2() -> nvmlReturn_t {
    let Ok(scenario) = state::scenario() else { return INVALID_ARGUMENT };
    match scenario.no_init {
        Some(NoInit::NoDriver) => nvml::nvmlReturn_enum_NVML_ERROR_DRIVER_NOT_LOADED,
        Some(NoInit::Mismatch) => nvml::nvmlReturn_enum_NVML_ERROR_LIB_RM_VERSION_MISMATCH,
        None => {
            state::set(Some(State::new(scenario)));
            SUCCESS
        }
    }
}

pub(crate) fn nvmlInitWithFlags(_flags: c_uint) -> nvmlReturn_t {
    nvmlInit_v2()
}

pub(crate) fn nvmlShutdown() -> nvmlReturn_t {
    state::set(None);
    SUCCESS
}

pub(crate) fn nvmlSystemGetDriverVersion(place: *mut c_char, length: c_uint) -> nvmlReturn_t {
    let version = |old| if old { "470.256.02" } else { "580.159.04" };
    code(initialised().and_then(|state| put_text(place, length, version(state.scenario.old_driver))))
}

pub(crate) fn nvmlSystemGetNVMLVersion(place: *mut c_char, length: c_uint) -> nvmlReturn_t {
    let version = |old| if old { "11.470.256.02" } else { "13.580.159.04" };
    code(initialised().and_then(|state| put_text(place, length, version(state.scenario.old_driver))))
}

pub(crate) fn nvmlSystemGetCudaDriverVersion_v2(place: *mut c_int) -> nvmlReturn_t {
    code(initialised().and_then(|state| put(place, if state.scenario.old_driver { 11_040 } else { 13_000 })))
}

pub(crate) fn nvmlDeviceGetCount_v2(place: *mut c_uint) -> nvmlReturn_t {
    code(initialised().and_then(|state| put(place, state.gpus().len() as c_uint)))
}

pub(crate) fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, place: *mut nvmlDevice_t) -> nvmlReturn_t {
    code(initialised().and_then(|state| match state.gpus().get(index as usize) {
        Some(_) => put(place, handle(index as usize)),
        None => Err(INVALID_ARGUMENT),
    }))
}

pub(crate) fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, place: *mut nvmlDevice_t) -> nvmlReturn_t {
    if uuid.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: the caller's C string, see the module.
    let uuid = unsafe { CStr::from_ptr(uuid) };
    code(initialised().and_then(
        |state| match state.gpus().iter().position(|gpu| gpu.uuid.as_bytes() == uuid.to_bytes()) {
            Some(index) => put(place, handle(index)),
            None => Err(NOT_FOUND),
        },
    ))
}

pub(crate) fn nvmlDeviceGetUUID(device: nvmlDevice_t, place: *mut c_char, length: c_uint) -> nvmlReturn_t {
    code(gpu(device, Field::Always).and_then(|(state, gpu)| {
        let uuid = if state.scenario.twins { state.gpus()[0].uuid } else { gpu.uuid };
        put_text(place, length, uuid)
    }))
}

pub(crate) fn nvmlDeviceGetName(device: nvmlDevice_t, place: *mut c_char, length: c_uint) -> nvmlReturn_t {
    code(gpu(device, Field::Always).and_then(|(_, gpu)| put_text(place, length, gpu.name)))
}

pub(crate) fn nvmlDeviceGetVbiosVersion(device: nvmlDevice_t, place: *mut c_char, length: c_uint) -> nvmlReturn_t {
    code(gpu(device, Field::Limits).and_then(|_| put_text(place, length, "96.00.89.00.01")))
}

pub(crate) fn nvmlDeviceGetCudaComputeCapability(
    device: nvmlDevice_t,
    major: *mut c_int,
    minor: *mut c_int,
) -> nvmlReturn_t {
    code(gpu(device, Field::Always).and_then(|_| put(major, 9)).and_then(|()| put(minor, 0)))
}

pub(crate) fn nvmlDeviceGetEccMode(device: nvmlDevice_t, current: *mut c_uint, pending: *mut c_uint) -> nvmlReturn_t {
    code(gpu(device, Field::Limits).and_then(|(state, _)| {
        let on = c_uint::from(!state.scenario.sick);
        put(current, on).and_then(|()| put(pending, on))
    }))
}

/// Process 1, which every machine has, is on a GPU that is sick.
fn processes(
    device: nvmlDevice_t,
    kind_is_there: bool,
    count: *mut c_uint,
    place: *mut nvml::nvmlProcessInfo_t,
) -> nvmlReturn_t {
    code(gpu(device, Field::Limits).and_then(|(state, _)| {
        if !(state.scenario.sick && kind_is_there) {
            return put(count, 0);
        }
        if count.is_null() {
            return Err(INVALID_ARGUMENT);
        }
        // SAFETY: the caller's pointer, see the module.
        let room = unsafe { *count };
        put(count, 1)?;
        if room == 0 {
            return Err(INSUFFICIENT_SIZE);
        }
        let whole = c_uint::MAX;
        put(
            place,
            nvml::nvmlProcessInfo_t { pid: 1, usedGpuMemory: 1 << 30, gpuInstanceId: whole, computeInstanceId: whole },
        )
    }))
}

pub(crate) fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: nvmlDevice_t,
    count: *mut c_uint,
    place: *mut nvml::nvmlProcessInfo_t,
) -> nvmlReturn_t {
    processes(device, true, count, place)
}

pub(crate) fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    device: nvmlDevice_t,
    count: *mut c_uint,
    place: *mut nvml::nvmlProcessInfo_t,
) -> nvmlReturn_t {
    processes(device, false, count, place)
}

pub(crate) fn nvmlDeviceGetMigMode(device: nvmlDevice_t, current: *mut c_uint, pending: *mut c_uint) -> nvmlReturn_t {
    code(gpu(device, Field::Limits).and_then(|(state, _)| {
        let on = c_uint::from(state.scenario.mig);
        put(current, on).and_then(|()| put(pending, on))
    }))
}

pub(crate) fn nvmlDeviceGetMemoryInfo_v2(device: nvmlDevice_t, place: *mut nvml::nvmlMemory_v2_t) -> nvmlReturn_t {
    code(gpu(device, Field::Memory).and_then(|(state, gpu)| {
        if place.is_null() {
            return Err(INVALID_ARGUMENT);
        }
        // SAFETY: the caller's pointer, see the module.
        let version = unsafe { (*place).version };
        if version as usize != size_of::<nvml::nvmlMemory_v2_t>() | (2 << 24) {
            return Err(nvml::nvmlReturn_enum_NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
        }
        let (used, reserved) = (gpu.memory_used_at(state.time()), 480 << 20);
        put(
            place,
            nvml::nvmlMemory_v2_t { version, total: gpu.memory, reserved, free: gpu.memory - used - reserved, used },
        )
    }))
}

pub(crate) fn nvmlDeviceGetPowerUsage(device: nvmlDevice_t, place: *mut c_uint) -> nvmlReturn_t {
    if let Some(long) = state::begin_power() {
        std::thread::sleep(long);
    }
    code(gpu(device, Field::Power).and_then(|(state, gpu)| put(place, gpu.power_at(state.time() / (5 * POWER_PERIOD)))))
}

pub(crate) fn nvmlDeviceGetTotalEnergyConsumption(device: nvmlDevice_t, place: *mut c_ulonglong) -> nvmlReturn_t {
    if let Some(long) = state::begin_energy() {
        std::thread::sleep(long);
    }
    code(gpu(device, Field::Energy).and_then(|(state, gpu)| {
        let energy = match state.scenario.counter {
            Counter::Counts => gpu.energy_at(state.time()),
            Counter::Stalls => gpu.energy_at(0),
            Counter::StallsAfter(after) => gpu.energy_at(state.time_until(after)),
            // The first reading is just under the most that 64 bits hold.
            Counter::Wraps => {
                let since_first = gpu.energy_at(state.time()) - gpu.energy_at(state.time_until(Duration::ZERO));
                (u64::MAX - 1000).wrapping_add(since_first)
            }
            Counter::Restarts if state.energy_readings() > 1 => 1,
            Counter::Jumps if state.energy_readings() > 1 => gpu.energy_at(state.time()) + 1_000_000_000,
            Counter::Restarts | Counter::Jumps => gpu.energy_at(state.time()),
        };
        put(place, energy)
    }))
}

/// Slots of the buffers.
const UTILIZATION_SLOTS: i64 = 71;
const POWER_SLOTS: i64 = 119;

pub(crate) fn nvmlDeviceGetSamples(
    device: nvmlDevice_t,
    kind: c_uint,
    last_seen: c_ulonglong,
    value_type: *mut c_uint,
    count: *mut c_uint,
    place: *mut nvmlSample_t,
) -> nvmlReturn_t {
    code(gpu(device, Field::Buffer).and_then(|(state, gpu)| {
        put(value_type, nvml::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT)?;
        let (samples, slots) = samples(&state, &gpu, kind, last_seen)?;
        // Asked only for the number, the driver names the size of its buffer when there is nothing new.
        if place.is_null() {
            return put(count, if samples.is_empty() { slots } else { samples.len() } as c_uint);
        }
        if count.is_null() {
            return Err(INVALID_ARGUMENT);
        }
        // SAFETY: the caller's pointer, see the module.
        let room = unsafe { *count } as usize;
        if samples.is_empty() {
            return Err(NOT_FOUND);
        }
        if samples.len() > room {
            return Err(INSUFFICIENT_SIZE);
        }
        put(count, samples.len() as c_uint)?;
        for (i, (at, value)) in samples.into_iter().enumerate() {
            put(place.wrapping_add(i), nvmlSample_t { timeStamp: at, sampleValue: nvmlValue_t { uiVal: value } })?;
        }
        Ok(())
    }))
}

/// Samples that are in the buffer and newer than `last_seen`, and the number of its slots.
fn samples(state: &State, gpu: &Gpu, kind: c_uint, last_seen: u64) -> Answer<(Vec<(u64, u32)>, usize)> {
    if state.scenario.uneven && kind == nvml::nvmlSamplingType_enum_NVML_GPU_UTILIZATION_SAMPLES {
        return Ok((uneven(state, last_seen), UTILIZATION_SLOTS as usize));
    }
    type Value = fn(&Gpu, i64) -> u32;
    let (period, slots, value): (i64, i64, Value) = match kind {
        nvml::nvmlSamplingType_enum_NVML_TOTAL_POWER_SAMPLES => (POWER_PERIOD, POWER_SLOTS, Gpu::power_at),
        nvml::nvmlSamplingType_enum_NVML_GPU_UTILIZATION_SAMPLES => {
            (UTILIZATION_WINDOW, UTILIZATION_SLOTS, Gpu::utilization_at)
        }
        nvml::nvmlSamplingType_enum_NVML_MEMORY_UTILIZATION_SAMPLES => {
            (UTILIZATION_WINDOW, UTILIZATION_SLOTS, Gpu::memory_controller_utilization_at)
        }
        nvml::nvmlSamplingType_enum_NVML_PROCESSOR_CLK_SAMPLES
        | nvml::nvmlSamplingType_enum_NVML_MEMORY_CLK_SAMPLES => {
            return Ok((Vec::new(), 100));
        }
        _ => return Err(INVALID_ARGUMENT),
    };
    let newest = state.time() / period;
    let stamp = |number: i64| (state.initialised_microseconds + number * period).cast_unsigned();
    let samples = (newest - slots + 1..=newest)
        .map(|number| (stamp(number), value(gpu, number)))
        .filter(|(at, _)| *at > last_seen)
        .collect();
    Ok((samples, slots as usize))
}

/// Windows of two lengths in turn, each stamped with its end.
fn uneven(state: &State, last_seen: u64) -> Vec<(u64, u32)> {
    let [(short, busy), (long, idle)] = UNEVEN;
    let period = short + long;
    let newest = state.time();
    let ends = |number: i64| [(number * period + short, busy), ((number + 1) * period, idle)];
    (newest / period - UTILIZATION_SLOTS / 2..=newest / period)
        .flat_map(ends)
        .filter(|(end, _)| *end <= newest)
        .map(|(end, value)| ((state.initialised_microseconds + end).cast_unsigned(), value))
        .filter(|(at, _)| *at > last_seen)
        .collect()
}
