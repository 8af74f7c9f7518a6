//! What to play.

use std::time::Duration;

use crate::faults::{self, Fault};

/// A sensor or a group of them that a GPU may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Energy,
    Buffer,
    Utilization,
    Memory,
    Power,
    Temperature,
    Clocks,
    Throttle,
    Limits,
    Gpm,
    /// What every GPU has.
    Always,
}

const FIELDS: [(&str, Field); 10] = [
    ("energy", Field::Energy),
    ("buffer", Field::Buffer),
    ("utilization", Field::Utilization),
    ("memory", Field::Memory),
    ("power", Field::Power),
    ("temperature", Field::Temperature),
    ("clocks", Field::Clocks),
    ("throttle", Field::Throttle),
    ("limits", Field::Limits),
    ("gpm", Field::Gpm),
];

/// How `nvmlInit` fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoInit {
    NoDriver,
    Mismatch,
}

/// What the energy counter does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Counter {
    #[default]
    Counts,
    Stalls,
    /// From that time after its first reading on.
    StallsAfter(Duration),
    /// Past the most that 64 bits hold.
    Wraps,
    /// From 0, as after a reset of the driver.
    Restarts,
    /// By a megajoule at once.
    Jumps,
}

/// Why the GPU holds its clocks down from some time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldDown {
    PowerCap,
    Heat,
    Brake,
}

/// All of the words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) two_gpus: bool,
    /// How many, where that is said.
    pub(crate) gpus: Option<usize>,
    /// Its GPUs are lost from the beginning.
    pub(crate) lost: bool,
    /// Every GPU says the first one's UUID.
    pub(crate) twins: bool,
    /// Functions that the library lacks.
    pub(crate) without: Vec<String>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) mark: bool,
    pub(crate) hang_load: bool,
    pub(crate) hang_exit: bool,
    pub(crate) sick: bool,
    pub(crate) mig: bool,
    pub(crate) old_driver: bool,
    pub(crate) lacks: Vec<Field>,
    pub(crate) lost_after: Option<Duration>,
    pub(crate) hang: Option<Duration>,
    pub(crate) hang_start: Option<Duration>,
    pub(crate) hang_stop: Option<Duration>,
    pub(crate) held_down: Option<(HeldDown, Duration)>,
    pub(crate) uneven: bool,
    pub(crate) gpm_forbidden: bool,
    pub(crate) counter: Counter,
    pub(crate) no_init: Option<NoInit>,
}

/// Reads a scenario; the error names the word that is none.
pub(crate) fn parse(text: &str) -> Result<Scenario, String> {
    let mut scenario = Scenario::default();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let unknown = || format!("'{word}' is nothing that the fake NVML can play");
        let time = |time: &str| time.parse().map(Duration::from_millis).map(Some).map_err(|_| unknown());
        if word.contains('=') {
            scenario.faults.push(faults::parse(word).ok_or_else(unknown)?);
            continue;
        }
        match word.split_once(':') {
            Some(("gpus", count)) => scenario.gpus = Some(count.parse().map_err(|_| unknown())?),
            Some(("without", function)) => scenario.without.push(function.to_owned()),
            Some(("lost-after", after)) => scenario.lost_after = time(after)?,
            Some(("hang", long)) => scenario.hang = time(long)?,
            Some(("hang-start", long)) => scenario.hang_start = time(long)?,
            Some(("hang-stop", long)) => scenario.hang_stop = time(long)?,
            Some(("throttled", after)) => scenario.held_down = time(after)?.map(|after| (HeldDown::PowerCap, after)),
            Some(("hot", after)) => scenario.held_down = time(after)?.map(|after| (HeldDown::Heat, after)),
            Some(("brake", after)) => scenario.held_down = time(after)?.map(|after| (HeldDown::Brake, after)),
            Some(("stall", after)) => scenario.counter = time(after)?.map_or(Counter::Stalls, Counter::StallsAfter),
            Some(_) => return Err(unknown()),
            None => match word {
                "normal" => {}
                "two-gpus" => scenario.two_gpus = true,
                "throttled" => scenario.held_down = Some((HeldDown::PowerCap, Duration::ZERO)),
                "lost" => scenario.lost = true,
                "twins" => scenario.twins = true,
                "mark" => scenario.mark = true,
                "hang-load" => scenario.hang_load = true,
                "hang-exit" => scenario.hang_exit = true,
                "sick" => (scenario.sick, scenario.mig) = (true, true),
                "mig" => scenario.mig = true,
                "old-driver" => scenario.old_driver = true,
                "stall" => scenario.counter = Counter::Stalls,
                "wrap" => scenario.counter = Counter::Wraps,
                "restart" => scenario.counter = Counter::Restarts,
                "jump" => scenario.counter = Counter::Jumps,
                "uneven" => scenario.uneven = true,
                "gpm-forbidden" => scenario.gpm_forbidden = true,
                "no-driver" => scenario.no_init = Some(NoInit::NoDriver),
                "mismatch" => scenario.no_init = Some(NoInit::Mismatch),
                _ => {
                    let name = word.strip_prefix("no-").ok_or_else(unknown)?;
                    let field = FIELDS.iter().find(|(field, _)| *field == name).ok_or_else(unknown)?;
                    scenario.lacks.push(field.1);
                }
            },
        }
    }
    Ok(scenario)
}
