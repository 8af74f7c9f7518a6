//! The model and the sensors made ready, and the work rehearsed: what can't be run as asked is neither measured nor recorded.

use harness_core::Work;
use harness_core::doctor::Verdict;
use harness_core::roofline::Roofline;

use super::estimate::{self, Pace};
use super::idle;
use super::model::{self, Model};
use super::prepare::Prepared;
use crate::failure::Failure;
use crate::progress::Screen;
use crate::sensors::{self, Telemetry};
use crate::settings::{ModelSettings, RunSettings};
use crate::{health, units};

/// What an invocation measures with.
pub(super) struct Ready {
    pub(super) model: Model,
    pub(super) telemetry: Telemetry,
    pub(super) roofline: Option<Roofline>,
    /// What the workload is going to ask for, where that can be told.
    pub(super) work: Option<Work>,
}

pub(super) fn ready(settings: &RunSettings, prepared: &Prepared, screen: &Screen) -> Result<Ready, Failure> {
    let mut model = model::load(&settings.model, settings.seed, screen)?;
    // A CPU that was not asked for is said in one line with the time that it will take.
    let held_back = usize::from(model.auto_cpu);
    for note in model.notes.iter().skip(held_back) {
        screen.say(note);
    }
    let mut telemetry = sensors::open(&settings.sensors, model.gpu_uuid.as_deref(), settings.driver_time)?;
    if let Some(note) = &telemetry.note {
        screen.say_lines(note);
    }
    // A simulated model's time does not pass on this machine.
    if telemetry.checks.is_empty() && matches!(settings.model, ModelSettings::Gpt2(_)) {
        telemetry.checks = health::machine();
    }
    telemetry.facts.extend(health::facts(&telemetry.checks));
    for check in telemetry.checks.iter().filter(|check| check.verdict == Verdict::Warning) {
        screen.warn(&check.line());
    }
    let work = estimate::work(settings, &prepared.workload.plugin, &prepared.values, &model.server, &telemetry.gpus)?;
    if telemetry.read && !settings.idle_time.is_zero() {
        match idle::watch(&mut *telemetry.sensors, settings.idle_time) {
            Ok(facts) => telemetry.facts.extend(facts),
            Err(reason) => screen.say(&format!("the power of the idle GPU is not known: {reason}")),
        }
    }
    let roofline = if settings.roofline { Some(roofline(&mut model)?) } else { None };
    if held_back > 0 {
        let time = work.and_then(|work| estimated(settings, prepared, &mut model, &telemetry, &work));
        let note = model.notes.first().map(String::as_str).unwrap_or_default();
        screen.say(&format!("{note}{}", time.unwrap_or_default()));
    }
    telemetry.facts.extend(model.threads.map(|threads| ("cpu.threads".to_owned(), threads.to_string())));
    telemetry.facts.extend(roofline.iter().flat_map(Roofline::facts));
    Ok(Ready { model, telemetry, roofline, work })
}

/// What the model's memory gives and its decoding takes.
fn roofline(model: &mut Model) -> Result<Roofline, Failure> {
    let cant =
        |why: &str| Failure::usage(format!("--roofline can't measure the memory: {why}; or leave --roofline out"));
    let traffic = model.traffic.ok_or_else(|| cant("the simulated model has none; use another --backend"))?;
    let bandwidth = model.server.memory_bandwidth().map_err(|why| cant(&why))?;
    Ok(Roofline { bandwidth, traffic })
}

/// How long the work takes on a CPU that was not asked for, and what `--quick` would take.
fn estimated(
    settings: &RunSettings,
    prepared: &Prepared,
    model: &mut Model,
    telemetry: &Telemetry,
    work: &Work,
) -> Option<String> {
    let pace = Pace::measure(&mut model.server, work)?;
    let time = |work: &Work| {
        format!("about {} for {} iterations", units::rough(pace.time(work)), units::count(work.iterations))
    };
    let workload = &prepared.workload;
    let quick = workload
        .values(settings, true)
        .ok()
        .filter(|_| !settings.quick)
        .and_then(|quick| estimate::work(settings, &workload.plugin, &quick, &model.server, &telemetry.gpus).ok()?)
        .map(|quick| format!("; --quick: about {}", units::rough(pace.time(&quick))))
        .unwrap_or_default();
    Some(format!(": {}{quick}", time(work)))
}
