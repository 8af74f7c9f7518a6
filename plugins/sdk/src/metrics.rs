//! The host's metrics.
//!
//! Made from host/core/src/metric.rs; `UPDATE_DOCS=1 cargo test -p harness-bundle` writes it anew.

use crate::{Direction, Metric};

/// `throughput`, in `1/s`: Requests completed in a second.
#[rustfmt::skip]
pub static THROUGHPUT: Metric =
    Metric::new("throughput", "1/s", "Requests completed in a second.", Direction::HigherIsBetter);

/// `latency`, in `s`: Time from a request to its last token in host memory, by the host's clock, the device synchronised.
#[rustfmt::skip]
pub static LATENCY: Metric =
    Metric::new("latency", "s", "Time from a request to its last token in host memory, by the host's clock, the device synchronised.", Direction::LowerIsBetter);

/// `memory_allocated`, in `B`: Bytes that this process holds on the GPU, from the allocator's own count.
#[rustfmt::skip]
pub static MEMORY_ALLOCATED: Metric =
    Metric::new("memory_allocated", "B", "Bytes that this process holds on the GPU, from the allocator's own count.", Direction::LowerIsBetter);

/// `memory_peak`, in `B`: Most bytes that this process held on the GPU at any moment of the run.
#[rustfmt::skip]
pub static MEMORY_PEAK: Metric =
    Metric::new("memory_peak", "B", "Most bytes that this process held on the GPU at any moment of the run.", Direction::LowerIsBetter);

/// `gpu_utilization`, in `1`: Share of time in which any kernel ran on the GPU (NVML's utilization.gpu).
#[rustfmt::skip]
pub static GPU_UTILIZATION: Metric =
    Metric::new("gpu_utilization", "1", "Share of time in which any kernel ran on the GPU (NVML's utilization.gpu).", Direction::HigherIsBetter).sampled();

/// `memory_utilization`, in `1`: Share of the GPU's memory in use, by every process and the driver (NVML's used / total).
#[rustfmt::skip]
pub static MEMORY_UTILIZATION: Metric =
    Metric::new("memory_utilization", "1", "Share of the GPU's memory in use, by every process and the driver (NVML's used / total).", Direction::Neither).sampled();

/// `gpu_memory_used`, in `B`: Bytes of the GPU's memory in use, by every process and the driver (NVML).
#[rustfmt::skip]
pub static GPU_MEMORY_USED: Metric =
    Metric::new("gpu_memory_used", "B", "Bytes of the GPU's memory in use, by every process and the driver (NVML).", Direction::Neither).sampled();

/// `memory_controller_utilization`, in `1`: Share of time in which device memory was read or written (NVML's utilization.memory); not the memory in use.
#[rustfmt::skip]
pub static MEMORY_CONTROLLER_UTILIZATION: Metric =
    Metric::new("memory_controller_utilization", "1", "Share of time in which device memory was read or written (NVML's utilization.memory); not the memory in use.", Direction::Neither).sampled();

/// `sm_occupancy`, in `1`: Warps resident on the streaming multiprocessors, as a share of the most that fit (NVML's GPM, Hopper and newer).
#[rustfmt::skip]
pub static SM_OCCUPANCY: Metric =
    Metric::new("sm_occupancy", "1", "Warps resident on the streaming multiprocessors, as a share of the most that fit (NVML's GPM, Hopper and newer).", Direction::Neither);

/// `tensor_active`, in `1`: Share of time in which the tensor cores were active, over all multiprocessors (NVML's GPM, Hopper and newer).
#[rustfmt::skip]
pub static TENSOR_ACTIVE: Metric =
    Metric::new("tensor_active", "1", "Share of time in which the tensor cores were active, over all multiprocessors (NVML's GPM, Hopper and newer).", Direction::Neither);

/// `dram_bandwidth_utilization`, in `1`: Bytes that device memory moved, as a share of the most that it can by its clock (NVML's GPM, Hopper and newer).
#[rustfmt::skip]
pub static DRAM_BANDWIDTH_UTILIZATION: Metric =
    Metric::new("dram_bandwidth_utilization", "1", "Bytes that device memory moved, as a share of the most that it can by its clock (NVML's GPM, Hopper and newer).", Direction::Neither);

/// `tokens_per_second`, in `tokens/s`: New tokens in a second, over all requests of the run.
#[rustfmt::skip]
pub static TOKENS_PER_SECOND: Metric =
    Metric::new("tokens_per_second", "tokens/s", "New tokens in a second, over all requests of the run.", Direction::HigherIsBetter);

/// `prefill_throughput`, in `tokens/s`: Prompt tokens read in a second, until the first token is there; over all requests of the run.
#[rustfmt::skip]
pub static PREFILL_THROUGHPUT: Metric =
    Metric::new("prefill_throughput", "tokens/s", "Prompt tokens read in a second, until the first token is there; over all requests of the run.", Direction::HigherIsBetter);

/// `decode_throughput`, in `tokens/s`: New tokens after each request's first in a second of the time between tokens, over all requests of the run.
#[rustfmt::skip]
pub static DECODE_THROUGHPUT: Metric =
    Metric::new("decode_throughput", "tokens/s", "New tokens after each request's first in a second of the time between tokens, over all requests of the run.", Direction::HigherIsBetter);

/// `time_to_first_token`, in `s`: Time from a request to its first token (TTFT).
#[rustfmt::skip]
pub static TIME_TO_FIRST_TOKEN: Metric =
    Metric::new("time_to_first_token", "s", "Time from a request to its first token (TTFT).", Direction::LowerIsBetter);

/// `inter_token_latency`, in `s`: Time between following tokens of a request (ITL).
#[rustfmt::skip]
pub static INTER_TOKEN_LATENCY: Metric =
    Metric::new("inter_token_latency", "s", "Time between following tokens of a request (ITL).", Direction::LowerIsBetter);

/// `memory_limit_share`, in `1`: Share of the memory's limit that decoding reaches, where --roofline measured it: weights once a step, earlier keys and values of each sequence.
#[rustfmt::skip]
pub static MEMORY_LIMIT_SHARE: Metric =
    Metric::new("memory_limit_share", "1", "Share of the memory's limit that decoding reaches, where --roofline measured it: weights once a step, earlier keys and values of each sequence.", Direction::HigherIsBetter);

/// `device_time`, in `s`: Time between the first and the last work of a request on the GPU, by CUDA events.
#[rustfmt::skip]
pub static DEVICE_TIME: Metric =
    Metric::new("device_time", "s", "Time between the first and the last work of a request on the GPU, by CUDA events.", Direction::LowerIsBetter);

/// `host_overhead`, in `s`: Part of the latency in which the GPU had no work of the request: launching it, and handing its tokens over.
#[rustfmt::skip]
pub static HOST_OVERHEAD: Metric =
    Metric::new("host_overhead", "s", "Part of the latency in which the GPU had no work of the request: launching it, and handing its tokens over.", Direction::Neither);

/// `prompt_tokens`, in `tokens`: Prompt tokens read in the run, over all requests.
#[rustfmt::skip]
pub static PROMPT_TOKENS: Metric =
    Metric::new("prompt_tokens", "tokens", "Prompt tokens read in the run, over all requests.", Direction::Neither);

/// `new_tokens`, in `tokens`: Tokens generated in the run, over all requests, counted from what came out.
#[rustfmt::skip]
pub static NEW_TOKENS: Metric =
    Metric::new("new_tokens", "tokens", "Tokens generated in the run, over all requests, counted from what came out.", Direction::Neither);

/// `energy`, in `J`: Energy that the GPU took during the run.
#[rustfmt::skip]
pub static ENERGY: Metric =
    Metric::new("energy", "J", "Energy that the GPU took during the run.", Direction::LowerIsBetter);

/// `energy_per_request`, in `J`: Energy that the GPU took for each request.
#[rustfmt::skip]
pub static ENERGY_PER_REQUEST: Metric =
    Metric::new("energy_per_request", "J", "Energy that the GPU took for each request.", Direction::LowerIsBetter);

/// `energy_per_token`, in `J`: Energy that the GPU took for each new token.
#[rustfmt::skip]
pub static ENERGY_PER_TOKEN: Metric =
    Metric::new("energy_per_token", "J", "Energy that the GPU took for each new token.", Direction::LowerIsBetter);

/// `power`, in `W`: Power that the GPU drew (NVML).
#[rustfmt::skip]
pub static POWER: Metric =
    Metric::new("power", "W", "Power that the GPU drew (NVML).", Direction::LowerIsBetter).sampled();

/// `temperature`, in `Cel`: Temperature of the GPU (NVML).
#[rustfmt::skip]
pub static TEMPERATURE: Metric =
    Metric::new("temperature", "Cel", "Temperature of the GPU (NVML).", Direction::Neither).sampled();

/// `sm_clock`, in `Hz`: Clock of the streaming multiprocessors (NVML).
#[rustfmt::skip]
pub static SM_CLOCK: Metric =
    Metric::new("sm_clock", "Hz", "Clock of the streaming multiprocessors (NVML).", Direction::Neither).sampled();

/// `memory_clock`, in `Hz`: Clock of the GPU's memory (NVML).
#[rustfmt::skip]
pub static MEMORY_CLOCK: Metric =
    Metric::new("memory_clock", "Hz", "Clock of the GPU's memory (NVML).", Direction::Neither).sampled();

/// `throttled_time`, in `s`: Time in which the GPU's clocks were held down by power, heat or a power brake, whatever the reason.
#[rustfmt::skip]
pub static THROTTLED_TIME: Metric =
    Metric::new("throttled_time", "s", "Time in which the GPU's clocks were held down by power, heat or a power brake, whatever the reason.", Direction::LowerIsBetter);

/// `throttled_time_sw_power_cap`, in `s`: Time in which clocks were held down to keep to the power limit.
#[rustfmt::skip]
pub static THROTTLED_TIME_SW_POWER_CAP: Metric =
    Metric::new("throttled_time_sw_power_cap", "s", "Time in which clocks were held down to keep to the power limit.", Direction::LowerIsBetter);

/// `throttled_time_hw_slowdown`, in `s`: Time in which the hardware held clocks down by half or more.
#[rustfmt::skip]
pub static THROTTLED_TIME_HW_SLOWDOWN: Metric =
    Metric::new("throttled_time_hw_slowdown", "s", "Time in which the hardware held clocks down by half or more.", Direction::LowerIsBetter);

/// `throttled_time_sw_thermal_slowdown`, in `s`: Time in which the driver held clocks down because of heat.
#[rustfmt::skip]
pub static THROTTLED_TIME_SW_THERMAL_SLOWDOWN: Metric =
    Metric::new("throttled_time_sw_thermal_slowdown", "s", "Time in which the driver held clocks down because of heat.", Direction::LowerIsBetter);

/// `throttled_time_hw_thermal_slowdown`, in `s`: Time in which the hardware held clocks down because of heat.
#[rustfmt::skip]
pub static THROTTLED_TIME_HW_THERMAL_SLOWDOWN: Metric =
    Metric::new("throttled_time_hw_thermal_slowdown", "s", "Time in which the hardware held clocks down because of heat.", Direction::LowerIsBetter);

/// `throttled_time_hw_power_brake_slowdown`, in `s`: Time in which clocks were held down by the system's power-brake signal.
#[rustfmt::skip]
pub static THROTTLED_TIME_HW_POWER_BRAKE_SLOWDOWN: Metric =
    Metric::new("throttled_time_hw_power_brake_slowdown", "s", "Time in which clocks were held down by the system's power-brake signal.", Direction::LowerIsBetter);

/// `resident_memory`, in `B`: Bytes of this process in the machine's memory (VmRSS), where the model runs on the CPU.
#[rustfmt::skip]
pub static RESIDENT_MEMORY: Metric =
    Metric::new("resident_memory", "B", "Bytes of this process in the machine's memory (VmRSS), where the model runs on the CPU.", Direction::LowerIsBetter);

/// `resident_memory_peak`, in `B`: Most bytes of this process in the machine's memory during the run (VmHWM), where the model runs on the CPU.
#[rustfmt::skip]
pub static RESIDENT_MEMORY_PEAK: Metric =
    Metric::new("resident_memory_peak", "B", "Most bytes of this process in the machine's memory during the run (VmHWM), where the model runs on the CPU.", Direction::LowerIsBetter);

/// Every host metric, in the order in which reports show them.
pub static ALL: &[&Metric] = &[
    &THROUGHPUT,
    &LATENCY,
    &MEMORY_ALLOCATED,
    &MEMORY_PEAK,
    &GPU_UTILIZATION,
    &MEMORY_UTILIZATION,
    &GPU_MEMORY_USED,
    &MEMORY_CONTROLLER_UTILIZATION,
    &SM_OCCUPANCY,
    &TENSOR_ACTIVE,
    &DRAM_BANDWIDTH_UTILIZATION,
    &TOKENS_PER_SECOND,
    &PREFILL_THROUGHPUT,
    &DECODE_THROUGHPUT,
    &TIME_TO_FIRST_TOKEN,
    &INTER_TOKEN_LATENCY,
    &MEMORY_LIMIT_SHARE,
    &DEVICE_TIME,
    &HOST_OVERHEAD,
    &PROMPT_TOKENS,
    &NEW_TOKENS,
    &ENERGY,
    &ENERGY_PER_REQUEST,
    &ENERGY_PER_TOKEN,
    &POWER,
    &TEMPERATURE,
    &SM_CLOCK,
    &MEMORY_CLOCK,
    &THROTTLED_TIME,
    &THROTTLED_TIME_SW_POWER_CAP,
    &THROTTLED_TIME_HW_SLOWDOWN,
    &THROTTLED_TIME_SW_THERMAL_SLOWDOWN,
    &THROTTLED_TIME_HW_THERMAL_SLOWDOWN,
    &THROTTLED_TIME_HW_POWER_BRAKE_SLOWDOWN,
    &RESIDENT_MEMORY,
    &RESIDENT_MEMORY_PEAK,
];
