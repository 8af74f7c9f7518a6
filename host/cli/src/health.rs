//! Reads what `doctor` judges. Nothing here fails or hangs: what can't be read is said.

use std::sync::mpsc;
use std::time::Duration;

use harness_core::doctor::{self, Check, MachineHealth, Reading};
use harness_telemetry::Nvml;

/// How long the driver may take to answer everything.
const DRIVER_TIME: Duration = Duration::from_secs(10);
/// How long the CPU's load is watched.
const WATCH: Duration = Duration::from_millis(300);

/// What was found of one GPU.
pub(crate) struct GpuChecks {
    /// Name and UUID, as they are printed.
    pub(crate) gpu: String,
    pub(crate) checks: Vec<Check>,
}

/// What can be told in moments: of the GPU given as `--sensors` takes it, and of the machine but for its load.
pub(crate) fn quick(nvml: &Nvml, gpu: &str) -> Vec<Check> {
    let (nvml, gpu) = (nvml.clone(), gpu.to_owned());
    let health = in_time(move || nvml.health(&gpu));
    let mut checks =
        health.map_or_else(|reason| vec![Check::not_known("gpu", reason)], |health| doctor::of_gpu(&health));
    checks.extend(doctor::of_machine(&machine(false)));
    checks
}

/// All that is looked at: of the machine and the driver, and of each GPU.
pub(crate) fn thorough() -> (Vec<Check>, Vec<GpuChecks>) {
    let mut checks = doctor::of_machine(&machine(true));
    let read = || {
        let nvml = Nvml::open()?;
        let gpus: Vec<_> = nvml
            .details()
            .gpus
            .into_iter()
            .map(|gpu| (format!("{} ({})", gpu.name, gpu.uuid), nvml.health(&gpu.uuid)))
            .collect();
        Ok((nvml.versions(), gpus))
    };
    match in_time(read) {
        Err(reason) => {
            checks.push(Check::not_known("gpu", reason));
            (checks, Vec::new())
        }
        Ok(((driver, cuda), gpus)) => {
            checks.extend(doctor::of_driver(&driver, &cuda));
            let of = |(gpu, health): (String, Result<_, _>)| GpuChecks {
                gpu,
                checks: health
                    .map_or_else(|reason| vec![Check::not_known("gpu", reason)], |health| doctor::of_gpu(&health)),
            };
            (checks, gpus.into_iter().map(of).collect())
        }
    }
}

/// What a function gives, unless it takes too long; its thread is left behind then.
fn in_time<T: Send + 'static>(read: impl FnOnce() -> Reading<T> + Send + 'static) -> Reading<T> {
    let (give, take) = mpsc::channel();
    let started = std::thread::Builder::new().name("doctor".into()).spawn(move || {
        let _ = give.send(read());
    });
    started.map_err(|error| format!("no thread could be started: {error}"))?;
    take.recv_timeout(DRIVER_TIME)
        .unwrap_or_else(|_| Err(format!("the driver did not answer in {} s", DRIVER_TIME.as_secs())))
}

fn machine(watch: bool) -> MachineHealth {
    MachineHealth {
        cpu_busy: watch.then(cpu_busy),
        on_battery: on_battery(),
        virtual_machine: virtual_machine(),
        debug_build: cfg!(debug_assertions),
    }
}

fn read(path: &str) -> Reading<String> {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(|error| format!("{path}: {error}"))
}

/// Busy cores, and all of them. This process sleeps meanwhile.
fn cpu_busy() -> Reading<(f64, f64)> {
    let before = times(&read("/proc/stat")?)?;
    std::thread::sleep(WATCH);
    let after = times(&read("/proc/stat")?)?;
    let all = after.all.saturating_sub(before.all);
    if all == 0 {
        return Err("/proc/stat did not move".into());
    }
    let idle = after.idle.saturating_sub(before.idle).min(all);
    let cores = after.cores as f64;
    Ok(((all - idle) as f64 / all as f64 * cores, cores))
}

struct Times {
    /// Ticks of all cores.
    all: u64,
    idle: u64,
    cores: usize,
}

/// As proc(5) has it: user, nice, system, idle, iowait, irq, softirq, steal.
fn times(stat: &str) -> Reading<Times> {
    let unreadable = || "/proc/stat is not as proc(5) has it".to_owned();
    let first = stat.lines().find_map(|line| line.strip_prefix("cpu ")).ok_or_else(unreadable)?;
    let ticks: Vec<u64> = first.split_whitespace().take(8).filter_map(|tick| tick.parse().ok()).collect();
    let [_, _, _, idle, waits, ..] = ticks.as_slice() else { return Err(unreadable()) };
    let is_core =
        |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let cores = stat.lines().filter(is_core).count();
    Ok(Times { all: ticks.iter().sum(), idle: idle + waits, cores })
}

fn on_battery() -> Reading<bool> {
    const SUPPLIES: &str = "/sys/class/power_supply";
    let entries = match std::fs::read_dir(SUPPLIES) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(format!("{SUPPLIES}: {error}")),
    };
    let discharges = |path: &std::path::Path| {
        let says =
            |file: &str, wanted: &str| std::fs::read_to_string(path.join(file)).is_ok_and(|text| text.trim() == wanted);
        // A mouse has a battery, too: of the scope 'Device'.
        says("type", "Battery") && says("status", "Discharging") && !says("scope", "Device")
    };
    Ok(entries.flatten().any(|entry| discharges(&entry.path())))
}

fn virtual_machine() -> Reading<Option<String>> {
    let info = read("/proc/cpuinfo")?;
    let flags = info.lines().find(|line| line.starts_with("flags")).ok_or("this CPU does not say")?;
    if !flags.split_whitespace().any(|flag| flag == "hypervisor") {
        return Ok(None);
    }
    let vendor = read("/sys/class/dmi/id/sys_vendor").ok().filter(|vendor| !vendor.is_empty());
    Ok(Some(vendor.unwrap_or_else(|| "of a kind that is not said".into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_and_nonsense_is_said() {
        let times_of =
            times("cpu  10 0 5 80 5 0 0 0 0 0\ncpu0 5 0 2 40 2 0 0 0\ncpu1 5 0 3 40 3 0 0 0\nintr 1").unwrap();
        assert_eq!((times_of.all, times_of.idle, times_of.cores), (100, 85, 2));
        assert!(times("cpu  1 2").is_err() && times("").is_err());
    }
}
