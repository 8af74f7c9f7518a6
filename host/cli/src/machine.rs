//! What `doctor` asks of the machine: the files of Linux's `/proc` and `/sys`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use harness_core::doctor::{MachineHealth, Reading};

/// How long the CPU's load is watched.
const WATCH: Duration = Duration::from_millis(300);

/// A machine, by the folder that `proc` and `sys` are in.
pub(crate) struct Machine {
    root: PathBuf,
}

impl Machine {
    /// The one that this runs on.
    pub(crate) fn this() -> Self {
        Self { root: "/".into() }
    }

    /// Its state; of the CPU's load, which takes a moment, only if asked.
    pub(crate) fn health(&self, load: bool) -> MachineHealth {
        MachineHealth {
            cpu_busy: load.then(|| self.cpu_busy(|| std::thread::sleep(WATCH))),
            on_battery: self.on_battery(),
            virtual_machine: self.virtual_machine(),
            debug_build: cfg!(debug_assertions),
        }
    }

    /// Which processors this process may run on, and how many of them its control groups leave it, where they leave it fewer than all.
    pub(crate) fn processors(&self) -> Vec<(&'static str, String)> {
        let status = self.read("proc/self/status").unwrap_or_default();
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let affinity = allowed.map(|list| ("cpu.affinity", list.trim().to_owned()));
        affinity.into_iter().chain(self.quota().map(|cores| ("cpu.quota", cores.to_string()))).collect()
    }

    /// Processors by the least quota of this process's control groups, of either version, and of those around them.
    fn quota(&self) -> Option<f64> {
        let groups = self.read("proc/self/cgroup").ok()?;
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| *number > 0.0);
        let of = |line: &str| {
            let (_, line) = line.split_once(':')?;
            let (controls, own) = line.split_once(":/")?;
            // Of version 1 a line has the names of what it controls, of version 2 none.
            let v2 = controls.is_empty();
            if !v2 && !controls.split(',').any(|control| control == "cpu") {
                return None;
            }
            let top = if v2 { Path::new("sys/fs/cgroup") } else { Path::new("sys/fs/cgroup/cpu") };
            let quota = |group: &Path| {
                let file = |name: &str| self.read(group.join(name).to_str()?).ok();
                let (quota, period) = if v2 {
                    let both = file("cpu.max")?;
                    let (quota, period) = both.split_once(' ')?;
                    (number(quota)?, number(period)?)
                } else {
                    (number(&file("cpu.cfs_quota_us")?)?, number(&file("cpu.cfs_period_us")?)?)
                };
                Some(quota / period)
            };
            let own = top.join(own);
            own.ancestors().take_while(|group| group.starts_with(top)).filter_map(quota).reduce(f64::min)
        };
        groups.lines().filter_map(of).reduce(f64::min)
    }

    fn read(&self, path: &str) -> Reading<String> {
        std::fs::read_to_string(self.root.join(path))
            .map(|text| text.trim().to_owned())
            .map_err(|error| format!("/{path}: {error}"))
    }

    /// Busy cores while something waits, and all of them. This process must sleep meanwhile.
    fn cpu_busy(&self, wait: impl FnOnce()) -> Reading<(f64, f64)> {
        let before = times(&self.read("proc/stat")?)?;
        wait();
        let after = times(&self.read("proc/stat")?)?;
        let all = after.all.saturating_sub(before.all);
        if all == 0 {
            return Err("/proc/stat did not move".into());
        }
        let idle = after.idle.saturating_sub(before.idle).min(all);
        let cores = after.cores as f64;
        Ok(((all - idle) as f64 / all as f64 * cores, cores))
    }

    fn on_battery(&self) -> Reading<bool> {
        const SUPPLIES: &str = "sys/class/power_supply";
        let entries = match std::fs::read_dir(self.root.join(SUPPLIES)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(format!("/{SUPPLIES}: {error}")),
        };
        let discharges = |path: &std::path::Path| {
            let says = |file: &str, wanted: &str| {
                std::fs::read_to_string(path.join(file)).is_ok_and(|text| text.trim() == wanted)
            };
            // A mouse has a battery, too: of the scope 'Device'.
            says("type", "Battery") && says("status", "Discharging") && !says("scope", "Device")
        };
        Ok(entries.flatten().any(|entry| discharges(&entry.path())))
    }

    fn virtual_machine(&self) -> Reading<Option<String>> {
        let info = self.read("proc/cpuinfo")?;
        let flags = info.lines().find(|line| line.starts_with("flags")).ok_or("this CPU does not say")?;
        if !flags.split_whitespace().any(|flag| flag == "hypervisor") {
            return Ok(None);
        }
        let vendor = self.read("sys/class/dmi/id/sys_vendor").ok().filter(|vendor| !vendor.is_empty());
        Ok(Some(vendor.unwrap_or_else(|| "of a kind that is not said".into())))
    }
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

#[cfg(test)]
mod tests {
    use harness_tests::Place;

    use super::*;

    /// A machine of these files, in a folder that is there as long as the first.
    fn machine(files: &[(&str, &str)]) -> (Place, Machine) {
        let place = Place::new();
        for (path, text) in files {
            place.write(path, text);
        }
        let root = place.folder().to_owned();
        (place, Machine { root })
    }

    #[test]
    fn ticks_are_read_and_nonsense_is_said() {
        let times_of =
            times("cpu  10 0 5 80 5 0 0 0 0 0\ncpu0 5 0 2 40 2 0 0 0\ncpu1 5 0 3 40 3 0 0 0\nintr 1").unwrap();
        assert_eq!((times_of.all, times_of.idle, times_of.cores), (100, 85, 2));
        assert!(times("cpu  1 2").is_err() && times("").is_err());
    }

    #[test]
    fn load_is_what_was_not_idle_meanwhile() {
        let (place, machine) = machine(&[("proc/stat", "cpu  100 0 0 900 0 0 0 0\ncpu0 1\ncpu1 1\ncpu2 1\ncpu3 1\n")]);
        let later = || {
            place.write("proc/stat", "cpu  175 0 0 915 10 0 0 0\ncpu0 1\ncpu1 1\ncpu2 1\ncpu3 1\n");
        };
        // 75 of 100 ticks, on four cores.
        assert_eq!(machine.cpu_busy(later), Ok((3.0, 4.0)));
        assert_eq!(machine.cpu_busy(|| {}), Err("/proc/stat did not move".into()));
    }

    #[test]
    fn a_battery_counts_where_it_feeds_the_machine() {
        let supply = |kind: &str, status: &str, scope: &str| {
            let files = [("type", kind), ("status", status), ("scope", scope)]
                .map(|(file, text)| (format!("sys/class/power_supply/a/{file}"), format!("{text}\n")));
            let files: Vec<(&str, &str)> = files
                .iter()
                .map(|(path, text)| (path.as_str(), text.as_str()))
                .filter(|(_, text)| *text != "\n")
                .collect();
            let (_folder, machine) = machine(&files);
            machine.on_battery()
        };
        assert_eq!(supply("Battery", "Discharging", ""), Ok(true));
        assert_eq!(supply("Battery", "Charging", ""), Ok(false));
        assert_eq!(supply("Battery", "Discharging", "Device"), Ok(false));
        assert_eq!(supply("Mains", "", ""), Ok(false));
        let (_folder, none) = machine(&[]);
        assert_eq!(none.on_battery(), Ok(false));
    }

    #[test]
    fn processors_are_those_that_the_process_may_use() {
        let status = ("proc/self/status", "Name:\tharness\nCpus_allowed:\tf\nCpus_allowed_list:\t0-1,4\n");
        let of = |files: &[(&str, &str)]| {
            let files: Vec<_> = files.iter().copied().chain([status]).collect();
            let (_folder, machine) = machine(&files);
            machine
                .processors()
                .into_iter()
                .map(|(name, value)| format!("{name} {value}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        assert_eq!(of(&[]), "cpu.affinity 0-1,4");
        let v2 = ("proc/self/cgroup", "0::/a/b\n");
        let max = |text| ("sys/fs/cgroup/a/b/cpu.max", text);
        assert_eq!(of(&[v2, max("150000 100000\n")]), "cpu.affinity 0-1,4, cpu.quota 1.5");
        assert_eq!(of(&[v2, max("max 100000\n")]), "cpu.affinity 0-1,4");
        let around = ("sys/fs/cgroup/a/cpu.max", "50000 100000");
        assert_eq!(of(&[v2, max("150000 100000\n"), around]), "cpu.affinity 0-1,4, cpu.quota 0.5");
        let v1 = ("proc/self/cgroup", "3:cpuset:/\n2:cpu,cpuacct:/a\n0::/\n");
        let quota = |text| ("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", text);
        let period = ("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
        assert_eq!(of(&[v1, quota("200000\n"), period]), "cpu.affinity 0-1,4, cpu.quota 2");
        assert_eq!(of(&[v1, quota("-1\n"), period]), "cpu.affinity 0-1,4");
    }

    #[test]
    fn a_hypervisor_is_named_by_the_machines_vendor() {
        let flags = |flags: &str| ("proc/cpuinfo", format!("processor\t: 0\nflags\t\t: fpu {flags} sse\n"));
        let kind = |files: &[(&str, &str)]| {
            let (_folder, machine) = machine(files);
            machine.virtual_machine()
        };
        let (path, text) = flags("vme");
        assert_eq!(kind(&[(path, &text)]), Ok(None));
        let (path, text) = flags("hypervisor");
        assert_eq!(kind(&[(path, &text), ("sys/class/dmi/id/sys_vendor", "QEMU\n")]), Ok(Some("QEMU".into())));
        assert_eq!(kind(&[(path, &text)]), Ok(Some("of a kind that is not said".into())));
        assert_eq!(kind(&[(path, "processor : 0\n")]), Err("this CPU does not say".into()));
        assert!(kind(&[]).unwrap_err().starts_with("/proc/cpuinfo: "));
    }
}
