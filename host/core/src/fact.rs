//! What recordings say of the machine, the model and the settings: the one list of facts, from which `docs/recordings.md` is made.

/// What a fact means for who compares recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Says what was run: only recordings that share it can be compared.
    Work,
    /// Says under which conditions it was measured: a difference is told.
    Condition,
    /// A condition that changes by itself on the same machine: told of two recordings, and no reason to doubt the points of a sweep.
    Momentary,
    /// Found anew by each invocation, and shown in other ways: a difference says nothing.
    Passing,
    /// For the reader alone: of each invocation another.
    Display,
}

impl Class {
    /// As the documents have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Condition => "condition",
            Self::Momentary => "momentary",
            Self::Passing => "passing",
            Self::Display => "display",
        }
    }
}

/// What `--private` makes of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {
    /// It stays.
    Open,
    /// It is left out.
    LeftOut,
    /// It may be a path, of which the last component stays.
    Path,
}

/// A fact, or all whose names begin alike.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// Its name; one that ends in `.*` stands for all that begin so.
    pub name: &'static str,
    /// What it means for who compares.
    pub class: Class,
    /// What `--private` makes of it.
    pub privacy: Privacy,
    /// Half a sentence.
    pub meaning: &'static str,
}

/// The plugin's settings, by their names.
pub const SETTING: &str = "setting.";
/// Facts of the GPU whose sensors are read, where the model is on another: the same as `gpu.*`.
const SENSORS: &str = "sensors.";

const fn fact(name: &'static str, class: Class, meaning: &'static str) -> Fact {
    Fact { name, class, privacy: Privacy::Open, meaning }
}

const fn private(fact: Fact, privacy: Privacy) -> Fact {
    Fact { privacy, ..fact }
}

use Class::{Condition, Display, Momentary, Passing, Work};

/// Every fact that a harness records.
pub const FACTS: &[Fact] = &[
    fact("start", Display, "when the invocation began, in RFC 3339 and UTC"),
    private(fact("host.name", Condition, "what the machine is called"), Privacy::LeftOut),
    fact("os.kernel", Condition, "the system and its kernel's release"),
    fact("cpu.model", Condition, "the processor, as it calls itself"),
    fact("cpu.cores", Condition, "processors that this process may run on"),
    fact("memory.total", Momentary, "the machine's memory in bytes"),
    fact("cpu.affinity", Condition, "the processors' numbers that this process may run on"),
    fact("cpu.quota", Condition, "processors that its cgroup may use, where that is limited"),
    fact("cpu.threads", Condition, "threads that the model computes with on the CPU"),
    fact("driver.version", Condition, "of the NVIDIA driver"),
    fact("cuda.version", Condition, "of CUDA that the driver supports"),
    fact("nvml.version", Condition, "of NVML"),
    fact("gpu.name", Condition, "the product's name"),
    fact("gpu.uuid", Condition, "its UUID, as NVML has it"),
    fact("gpu.index", Condition, "its number in NVML's order"),
    fact("gpu.pci_bus_id", Condition, "where it is on the PCI bus"),
    fact("gpu.vbios", Condition, "the version of its firmware"),
    fact("gpu.memory", Condition, "its memory in bytes"),
    fact("gpu.power_limit", Condition, "the power limit that holds, in watts"),
    fact("gpu.power_limit_default", Condition, "the power limit that it starts with, in watts"),
    fact("gpu.ecc", Condition, "whether memory is protected by ECC: on or off"),
    fact("gpu.mig", Condition, "whether it is partitioned (MIG): on or off"),
    fact("gpu.sm_clock_max", Condition, "the highest clock of its multiprocessors, in hertz"),
    fact("gpu.memory_clock_max", Condition, "the highest clock of its memory, in hertz"),
    fact("gpu.memory_bus_width", Condition, "bits of its memory's bus"),
    fact("gpu.persistence_mode", Condition, "whether the driver keeps it ready: on or off"),
    fact("gpu.pcie_generation", Momentary, "of its link at the time; an idle link slows down"),
    fact("gpu.pcie_generation_max", Condition, "of its link at its best"),
    fact("gpu.pcie_width", Momentary, "lanes of its link at the time"),
    fact("gpu.pcie_width_max", Condition, "lanes of its link at its best"),
    fact("check.*", Momentary, "a check that did not pass, as `harness doctor` says it"),
    fact("idle.power", Passing, "watts that the GPU drew before the test, with nothing to do"),
    fact("idle.time", Passing, "seconds for which that was watched"),
    fact("idle.source", Condition, "what told it: the energy counter or the power sensor"),
    fact("roofline.bandwidth", Passing, "bytes a second that the memory was read at"),
    fact("roofline.spread", Passing, "the range of the reads' rates, as a share of their median"),
    fact("roofline.method", Momentary, "how it was read"),
    fact("roofline.step_bytes", Momentary, "bytes of weights that a step of decoding must read"),
    fact("roofline.sequence_bytes", Momentary, "bytes of embeddings, for each sequence of a step"),
    fact("roofline.position_bytes", Momentary, "bytes of keys and values, for each earlier position"),
    fact("harness.version", Condition, "of the program"),
    fact("harness.commit", Condition, "that the program was built from"),
    fact("harness.profile", Condition, "how it was built"),
    fact("plugin.name", Work, "what the workload calls itself"),
    fact("plugin.version", Condition, "the workload's version"),
    fact("plugin.sha256", Condition, "of the workload's file"),
    fact("plugin.contract", Condition, "the contract that the workload was built for"),
    private(fact("model.name", Condition, "the model as the user named it"), Privacy::Path),
    fact("model.backend", Condition, "what computes it"),
    fact("model.device", Condition, "where it is computed"),
    fact("model.dtype", Condition, "of the weights"),
    fact("model.weights", Condition, "`sha256:…` of the checkpoint, or `synthetic:SEED`"),
    fact("model.parameters", Work, "number of weights"),
    fact("model.layers", Work, "transformer blocks"),
    fact("model.heads", Work, "attention heads a block"),
    fact("model.width", Work, "size of the residual stream"),
    fact("model.vocabulary", Work, "number of tokens"),
    fact("model.context", Work, "most tokens of a sequence"),
    fact("model.token_times", Condition, "where tokens' times are taken: host or device"),
    fact("setting.*", Work, "a setting of the workload; those that only say how often are passing"),
    fact("seed", Condition, "of synthetic prompts and simulated times"),
    private(fact("command", Display, "the command line"), Privacy::LeftOut),
];

/// Settings that say how often the same work is done again, by the convention of workloads whose contract can't say so itself.
const REPETITIONS: &[&str] = &["runs", "stop"];

/// What is known of a fact; nothing of one that no harness of this version records.
pub fn definition(name: &str) -> Option<&'static Fact> {
    let name = name.strip_prefix(SENSORS).unwrap_or(name);
    let is = |fact: &&Fact| match fact.name.strip_suffix('*') {
        Some(begins) => name.starts_with(begins),
        None => fact.name == name,
    };
    FACTS.iter().find(is)
}

/// What a fact means for who compares. One that this version does not know may be a condition.
pub fn class(name: &str) -> Class {
    if name.strip_prefix(SETTING).is_some_and(|setting| REPETITIONS.contains(&setting)) {
        return Passing;
    }
    definition(name).map_or(Condition, |fact| fact.class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fact_is_there_once() {
        for (at, fact) in FACTS.iter().enumerate() {
            let name = fact.name.replace('*', "x");
            let first = definition(&name).map(|found| found.name);
            assert_eq!(first, Some(fact.name), "{at}");
            assert!(!fact.meaning.is_empty() && !fact.meaning.ends_with('.'), "{}", fact.name);
        }
    }

    #[test]
    fn facts_have_their_class() {
        for (name, expected) in [
            ("setting.batch", Work),
            ("setting.runs", Passing),
            ("setting.stop", Passing),
            ("setting.runs2", Work),
            ("plugin.name", Work),
            ("driver.version", Condition),
            ("sensors.gpu.name", Condition),
            ("sensors.gpu.pcie_width", Momentary),
            ("check.power-limit", Momentary),
            ("start", Display),
            ("idle.power", Passing),
            ("of.tomorrow", Condition),
        ] {
            assert_eq!(class(name), expected, "{name}");
        }
        assert!(definition("of.tomorrow").is_none() && definition("check").is_none());
    }
}
