//! What spoils a measurement before it begins: the state of GPU and machine, judged by fixed rules.
//!
//! Judging is done by pure functions over what others have read; nothing here reads anything.

use serde::{Deserialize, Serialize};

/// What was read, or why it could not be, as a clause.
pub type Reading<T> = Result<T, String>;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing to say.
    Pass,
    /// Good to know when figures are compared.
    Note,
    /// Figures are likely to suffer.
    Warning,
    /// It could not be read.
    NotKnown,
}

impl Verdict {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::NotKnown => "not known",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Such as `power-limit`.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found, or why it is not known.
    pub found: String,
    /// What that means for figures; empty where it passes or is not known.
    pub means: String,
    /// What to do; empty where there is nothing.
    pub advice: String,
}

impl Check {
    fn new(name: &str, verdict: Verdict, found: impl Into<String>, means: &str, advice: &str) -> Self {
        Self { name: name.into(), verdict, found: found.into(), means: means.into(), advice: advice.into() }
    }

    fn pass(name: &str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Pass, found, "", "")
    }

    /// A check of what could not be read.
    pub fn not_known(name: &str, reason: impl Into<String>) -> Self {
        Self::new(name, Verdict::NotKnown, reason, "", "")
    }

    /// That there is no GPU to look at, or the driver does not answer for it.
    pub fn no_gpu(reason: impl Into<String>) -> Self {
        Self::new(
            "gpu",
            Verdict::NotKnown,
            reason,
            "no GPU's sensors can be read, nor its state looked at",
            "where there is an NVIDIA GPU: install its driver; into a container, hand the GPU with its utilities (--gpus all)",
        )
    }

    /// In one line: what was found, what it means, what to do.
    pub fn line(&self) -> String {
        let mut line = format!("{}: {}", self.name, self.found);
        for (separator, text) in [(": ", &self.means), ("; ", &self.advice)] {
            if !text.is_empty() {
                line.push_str(separator);
                line.push_str(text);
            }
        }
        line
    }
}

/// A process that holds memory of a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuProcess {
    /// As the driver numbers it.
    pub pid: u32,
    /// Its name; `None` where this machine's process table has no such process, as in a container.
    pub name: Option<String>,
}

/// The state of a GPU; every value with the reason where it is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuHealth {
    /// `GPU-…`
    pub uuid: String,
    /// Product name.
    pub name: String,
    /// Processes other than this one.
    pub processes: Reading<Vec<GpuProcess>>,
    /// Whether the driver stays loaded without a client.
    pub persistence_mode: Reading<bool>,
    /// Whether memory is error-corrected.
    pub ecc: Reading<bool>,
    /// Whether it is partitioned.
    pub mig: Reading<bool>,
    /// Watts.
    pub power_limit: Reading<f64>,
    /// Watts.
    pub power_limit_default: Reading<f64>,
    /// What applications are given, in hertz.
    pub sm_clock_application: Reading<f64>,
    /// The most that is possible, in hertz.
    pub sm_clock_max: Reading<f64>,
    /// Degrees Celsius.
    pub temperature: Reading<f64>,
    /// From where on clocks are held down, in degrees Celsius.
    pub temperature_slowdown: Reading<f64>,
    /// Generation of the PCIe link now.
    pub pcie_generation: Reading<u32>,
    /// The most that GPU and slot can.
    pub pcie_generation_max: Reading<u32>,
    /// Lanes now.
    pub pcie_width: Reading<u32>,
    /// The most that GPU and slot can.
    pub pcie_width_max: Reading<u32>,
}

/// What the system takes from the process that compiles plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// Opening files and ports, by Landlock.
    pub files: bool,
    /// System calls that compiling does not need, by seccomp.
    pub system_calls: bool,
}

/// Judges how far a hostile plugin gets that takes over the process that compiles it.
pub fn of_confinement(confinement: &Reading<Confinement>) -> Check {
    const NAME: &str = "plugin-compiler";
    let lacks = match confinement {
        Err(reason) => return Check::not_known(NAME, reason),
        Ok(Confinement { files: true, system_calls: true }) => {
            return Check::pass(NAME, "it can open no file or port, and make no needless system call");
        }
        Ok(Confinement { files: false, system_calls: true }) => "this system has no Landlock",
        Ok(Confinement { files: true, system_calls: false }) => "this system has no seccomp",
        Ok(Confinement { files: false, system_calls: false }) => "this system has neither Landlock nor seccomp",
    };
    Check::new(
        NAME,
        Verdict::Note,
        lacks,
        "a plugin is compiled in a process with little memory and time, but a flaw of the compiler could reach more there",
        "use a Linux kernel of 5.13 or newer with Landlock and seccomp to run files of strangers",
    )
}

/// A GPU this close to where it slows down, in degrees, is hot.
const HEADROOM: f64 = 15.0;

/// Judges a GPU.
pub fn of_gpu(gpu: &GpuHealth) -> Vec<Check> {
    vec![
        known("gpu-processes", &gpu.processes, |found| processes(found)),
        switch(
            "persistence-mode",
            &gpu.persistence_mode,
            true,
            Verdict::Note,
            "the driver is loaded anew for the first client, and settings are lost with the last",
            "sudo nvidia-smi -pm 1, or start nvidia-persistenced",
        ),
        switch(
            "ecc",
            &gpu.ecc,
            true,
            Verdict::Note,
            "memory errors go unseen; where memory is GDDR, ECC costs bandwidth, so figures with and without don't compare",
            "compare with GPUs set alike",
        ),
        switch(
            "mig",
            &gpu.mig,
            false,
            Verdict::Warning,
            "a test sees one slice of the GPU, and its neighbours share power and clocks",
            "sudo nvidia-smi -mig 0, or say in each comparison which slice it was",
        ),
        both("power-limit", &gpu.power_limit, &gpu.power_limit_default, |limit, default| {
            if limit + 0.5 < default {
                Check::new(
                    "power-limit",
                    Verdict::Warning,
                    format!("{limit:.0} W, by default {default:.0} W"),
                    "clocks go down sooner under load",
                    &format!("sudo nvidia-smi -pl {default:.0}, or set the same limit wherever you compare"),
                )
            } else {
                Check::pass("power-limit", format!("{limit:.0} W"))
            }
        }),
        both("clocks", &gpu.sm_clock_application, &gpu.sm_clock_max, |set, max| {
            let found = format!("applications get up to {:.0} MHz of {:.0} MHz", set / 1e6, max / 1e6);
            if set + 0.5e6 < max {
                Check::new(
                    "clocks",
                    Verdict::Note,
                    found,
                    "the GPU is set below what it can do, as a factory default or by hand",
                    "compare with GPUs set alike; sudo nvidia-smi -rac takes back what was set by hand",
                )
            } else {
                Check::pass("clocks", found)
            }
        }),
        both("temperature", &gpu.temperature, &gpu.temperature_slowdown, |now, slow| {
            let found = format!("{now:.0} °C, slows down at {slow:.0} °C");
            if now + HEADROOM > slow {
                Check::new(
                    "temperature",
                    Verdict::Warning,
                    found,
                    "it is hot before it has worked: clocks will be held down",
                    "let it cool, look after its fans and the air, and what else runs on it",
                )
            } else {
                Check::pass("temperature", found)
            }
        }),
        both("pcie-width", &gpu.pcie_width, &gpu.pcie_width_max, |now, max| {
            if now < max {
                Check::new(
                    "pcie-width",
                    Verdict::Warning,
                    format!("x{now} of x{max}"),
                    "loading weights and everything between host and GPU is slower",
                    "seat the card anew; look for a riser or a slot with fewer lanes",
                )
            } else {
                Check::pass("pcie-width", format!("x{now}"))
            }
        }),
        both("pcie-generation", &gpu.pcie_generation, &gpu.pcie_generation_max, |now, max| {
            if now < max {
                Check::new(
                    "pcie-generation",
                    Verdict::Note,
                    format!("{now} of {max}"),
                    "an idle GPU saves power so; one at work should be at the most",
                    "look again while a test runs; if it stays, look in the firmware's setup",
                )
            } else {
                Check::pass("pcie-generation", now.to_string())
            }
        }),
    ]
}

fn known<T>(name: &str, reading: &Reading<T>, judge: impl FnOnce(&T) -> Check) -> Check {
    match reading {
        Ok(found) => judge(found),
        Err(reason) => Check::not_known(name, reason),
    }
}

fn both<T: Copy>(name: &str, now: &Reading<T>, most: &Reading<T>, judge: impl FnOnce(T, T) -> Check) -> Check {
    match (now, most) {
        (Ok(now), Ok(most)) => judge(*now, *most),
        (Err(reason), _) | (_, Err(reason)) => Check::not_known(name, reason),
    }
}

fn switch(name: &str, on: &Reading<bool>, good: bool, otherwise: Verdict, means: &str, advice: &str) -> Check {
    known(name, on, |&on| {
        let found = if on { "on" } else { "off" };
        if on == good { Check::pass(name, found) } else { Check::new(name, otherwise, found, means, advice) }
    })
}

fn processes(processes: &[GpuProcess]) -> Check {
    const NAME: &str = "gpu-processes";
    if processes.is_empty() {
        return Check::pass(NAME, "no other");
    }
    let told: Vec<String> = processes
        .iter()
        .map(|process| match &process.name {
            Some(name) => format!("{name} ({})", process.pid),
            None => process.pid.to_string(),
        })
        .collect();
    if processes.iter().any(|process| process.name.is_some()) {
        return Check::new(
            NAME,
            Verdict::Warning,
            told.join(", "),
            "they take time, memory, power and clocks from the test",
            "end them, or take another GPU",
        );
    }
    Check::new(
        NAME,
        Verdict::Note,
        told.join(", "),
        "not in this process table, as from within a container: one may be this harness itself",
        "look with nvidia-smi on the host",
    )
}

/// The state of the machine.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineHealth {
    /// CPU cores that were busy on average, without this process, and how many there are; `None` where nobody looked.
    pub cpu_busy: Option<Reading<(f64, f64)>>,
    /// Whether it runs on a battery now.
    pub on_battery: Reading<bool>,
    /// The kind of virtual machine; `None` on bare metal.
    pub virtual_machine: Reading<Option<String>>,
    /// Whether harness was built without optimisation.
    pub debug_build: bool,
}

/// Judges the machine.
pub fn of_machine(machine: &MachineHealth) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(busy) = &machine.cpu_busy {
        checks.push(known("cpu-load", busy, |&(busy, cores)| {
            let found = format!("{busy:.1} of {cores:.0} cores busy");
            if busy > (cores / 4.0).max(0.5) {
                Check::new(
                    "cpu-load",
                    Verdict::Warning,
                    found,
                    "launching work and counting time wait for a core",
                    "end what runs, or wait for it",
                )
            } else {
                Check::pass("cpu-load", found)
            }
        }));
    }
    checks.push(known("power-supply", &machine.on_battery, |&on| match on {
        true => {
            Check::new("power-supply", Verdict::Warning, "on battery", "clocks are held down to save it", "plug it in")
        }
        false => Check::pass("power-supply", "not on battery"),
    }));
    checks.push(known("virtual-machine", &machine.virtual_machine, |kind| match kind {
        Some(kind) => Check::new(
            "virtual-machine",
            Verdict::Note,
            kind,
            "neighbours share the host; times of host and launches spread more",
            "compare with runs on the same kind of machine",
        ),
        None => Check::pass("virtual-machine", "none"),
    }));
    checks.push(match machine.debug_build {
        true => Check::new(
            "harness-build",
            Verdict::Warning,
            "debug",
            "the host's part of every figure is slower",
            "build with cargo build --release",
        ),
        false => Check::pass("harness-build", "release"),
    });
    checks
}

/// The CUDA that our own kernels are built for.
const CUDA: u32 = 13;

/// Judges the driver: its version, and that of the newest CUDA it serves, as `13.0`.
pub fn of_driver(driver: &Reading<String>, cuda: &Reading<String>) -> Vec<Check> {
    let cuda =
        known("cuda", cuda, |version| match version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
            None => Check::not_known("cuda", format!("'{version}' is no version")),
            Some(major) if major < CUDA => Check::new(
                "cuda",
                Verdict::Warning,
                version,
                "the backend fused does not run on it",
                "install the driver 580 or newer",
            ),
            Some(_) => Check::pass("cuda", version),
        });
    vec![known("driver", driver, |version| Check::pass("driver", version)), cuda]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> GpuHealth {
        GpuHealth {
            uuid: "GPU-1".into(),
            name: "a GPU".into(),
            processes: Ok(Vec::new()),
            persistence_mode: Ok(true),
            ecc: Ok(true),
            mig: Ok(false),
            power_limit: Ok(700.0),
            power_limit_default: Ok(700.0),
            sm_clock_application: Ok(1.98e9),
            sm_clock_max: Ok(1.98e9),
            temperature: Ok(40.0),
            temperature_slowdown: Ok(87.0),
            pcie_generation: Ok(5),
            pcie_generation_max: Ok(5),
            pcie_width: Ok(16),
            pcie_width_max: Ok(16),
        }
    }

    /// Everything that is not a pass.
    fn found(gpu: &GpuHealth) -> Vec<(String, Verdict)> {
        of_gpu(gpu).into_iter().filter(|c| c.verdict != Verdict::Pass).map(|c| (c.name, c.verdict)).collect()
    }

    #[test]
    fn a_healthy_gpu_passes() {
        assert_eq!(found(&healthy()), []);
    }

    #[test]
    fn each_fault_is_found_alone() {
        let process = |name: Option<&str>| Ok(vec![GpuProcess { pid: 7, name: name.map(str::to_owned) }]);
        let cases = [
            ("gpu-processes", Verdict::Warning, GpuHealth { processes: process(Some("miner")), ..healthy() }),
            ("gpu-processes", Verdict::Note, GpuHealth { processes: process(None), ..healthy() }),
            ("persistence-mode", Verdict::Note, GpuHealth { persistence_mode: Ok(false), ..healthy() }),
            ("ecc", Verdict::Note, GpuHealth { ecc: Ok(false), ..healthy() }),
            ("mig", Verdict::Warning, GpuHealth { mig: Ok(true), ..healthy() }),
            ("power-limit", Verdict::Warning, GpuHealth { power_limit: Ok(500.0), ..healthy() }),
            ("clocks", Verdict::Note, GpuHealth { sm_clock_application: Ok(1.2e9), ..healthy() }),
            ("temperature", Verdict::Warning, GpuHealth { temperature: Ok(80.0), ..healthy() }),
            ("pcie-width", Verdict::Warning, GpuHealth { pcie_width: Ok(8), ..healthy() }),
            ("pcie-generation", Verdict::Note, GpuHealth { pcie_generation: Ok(1), ..healthy() }),
            ("ecc", Verdict::NotKnown, GpuHealth { ecc: Err("it has none".into()), ..healthy() }),
            ("power-limit", Verdict::NotKnown, GpuHealth { power_limit_default: Err("no".into()), ..healthy() }),
        ];
        for (name, verdict, gpu) in cases {
            assert_eq!(found(&gpu), [(name.to_owned(), verdict)]);
        }
    }

    #[test]
    fn a_compiler_that_is_not_cut_off_is_told() {
        let verdict = |files, system_calls| of_confinement(&Ok(Confinement { files, system_calls })).verdict;
        assert_eq!(verdict(true, true), Verdict::Pass);
        assert_eq!([verdict(false, true), verdict(true, false), verdict(false, false)], [Verdict::Note; 3]);
        assert_eq!(of_confinement(&Err("no".into())).verdict, Verdict::NotKnown);
    }

    #[test]
    fn a_driver_that_is_too_old_for_our_kernels_is_told() {
        let verdicts = |cuda: Reading<String>| {
            of_driver(&Ok("580.159".into()), &cuda).into_iter().map(|check| check.verdict).collect::<Vec<_>>()
        };
        assert_eq!(verdicts(Ok("13.0".into())), [Verdict::Pass, Verdict::Pass]);
        assert_eq!(verdicts(Ok("12.8".into())), [Verdict::Pass, Verdict::Warning]);
        assert_eq!(verdicts(Ok("new".into())), [Verdict::Pass, Verdict::NotKnown]);
        assert_eq!(verdicts(Err("no".into())), [Verdict::Pass, Verdict::NotKnown]);
    }

    #[test]
    fn the_machine_is_judged() {
        let machine = MachineHealth {
            cpu_busy: Some(Ok((1.5, 2.0))),
            on_battery: Ok(true),
            virtual_machine: Err("no /proc".into()),
            debug_build: true,
        };
        let verdicts: Vec<Verdict> = of_machine(&machine).iter().map(|check| check.verdict).collect();
        assert_eq!(verdicts, [Verdict::Warning, Verdict::Warning, Verdict::NotKnown, Verdict::Warning]);
        let quiet = MachineHealth {
            cpu_busy: Some(Ok((0.4, 2.0))),
            on_battery: Ok(false),
            virtual_machine: Ok(None),
            debug_build: false,
        };
        assert!(of_machine(&quiet).iter().all(|check| check.verdict == Verdict::Pass));
        assert_eq!(of_machine(&MachineHealth { cpu_busy: None, ..quiet }).len(), 3);
    }

    #[test]
    fn the_machine_is_busy_from_a_quarter_of_its_cores_on_and_half_a_core() {
        for (busy, cores, verdict) in [
            (0.5, 1.0, Verdict::Pass),
            (0.6, 1.0, Verdict::Warning),
            (2.0, 8.0, Verdict::Pass),
            (2.1, 8.0, Verdict::Warning),
            (20.0, 128.0, Verdict::Pass),
        ] {
            let machine = MachineHealth {
                cpu_busy: Some(Ok((busy, cores))),
                on_battery: Ok(false),
                virtual_machine: Ok(None),
                debug_build: false,
            };
            assert_eq!(of_machine(&machine)[0].verdict, verdict, "{busy} of {cores}");
        }
    }

    #[test]
    fn a_check_is_a_line_of_what_it_has_to_say() {
        let machine = MachineHealth {
            cpu_busy: Some(Err("no /proc".into())),
            on_battery: Ok(true),
            virtual_machine: Ok(None),
            debug_build: false,
        };
        let lines: Vec<String> = of_machine(&machine).iter().map(Check::line).collect();
        assert_eq!(
            lines,
            [
                "cpu-load: no /proc",
                "power-supply: on battery: clocks are held down to save it; plug it in",
                "virtual-machine: none",
                "harness-build: release"
            ]
        );
    }

    #[test]
    fn a_verdict_is_recorded_as_it_is_printed() {
        for verdict in [Verdict::Pass, Verdict::Note, Verdict::Warning, Verdict::NotKnown] {
            let recorded = serde_json::to_value(verdict).unwrap();
            assert_eq!(recorded.as_str().unwrap().replace('-', " "), verdict.as_str());
        }
    }
}
