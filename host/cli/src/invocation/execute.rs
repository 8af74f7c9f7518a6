//! The workload runs, and what it has measured is recorded.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness_core::{Reading, Recorder, Session, StopFlag, Vigil, private};
use harness_sandbox::{Description, PluginError};

use super::prepare::{Prepared, file_stem};
use super::ready::Ready;
use super::resume;
use crate::failure::Failure;
use crate::plugin_log::PluginLog;
use crate::progress::{Display, Screen, Total};
use crate::settings::{ModelSettings, Recording as Place, RunSettings};
use crate::{facts, interrupt, now, panics};

/// A session after its workload, and what that returned.
pub(super) struct Executed {
    pub(super) session: Session,
    pub(super) result: Result<Vec<Reading>, PluginError>,
    pub(super) stop: StopFlag,
    /// Where the recording is written.
    pub(super) path: PathBuf,
    pub(super) log: Arc<PluginLog>,
    /// While it lives, a panic says where the recording is.
    _known: panics::Known,
}

pub(super) fn execute(
    settings: &RunSettings,
    prepared: &Prepared,
    ready: Ready,
    screen: &Screen,
) -> Result<Executed, Failure> {
    let Ready { model, telemetry, roofline, work } = ready;
    let Prepared { workload, values, .. } = prepared;
    let start = now::now();
    let mut facts = facts::gather(
        &start.to_string(),
        settings.seed,
        model.server.model(),
        &workload.plugin,
        &workload.description,
        values,
        telemetry.facts,
    );
    if settings.private {
        private::facts(&mut facts);
    }
    // Before there is a recording that an interrupt could leave without its end.
    let stop = interrupt::watch()?;
    // Each place is looked at again, now that it is written to.
    let recorder = match &settings.recording {
        Place::At(place) => Recorder::create(&place.for_new()?, facts)?,
        // Another that started at the same moment has the same name.
        Place::Among(folder) => {
            let path = folder.join(new_name(settings, &start, &workload.description)).for_new()?;
            Recorder::create_among(&path, &facts)?
        }
        Place::Resumed(place) => resume::reopen(&place.for_new()?, &facts, screen)?,
    };
    let recorded = recorder.recording().runs.iter();
    let kept: u64 = recorded.map(|run| u64::from(run.iterations) + u64::from(run.warmup)).sum();
    let path = recorder.path().map(Path::to_owned).unwrap_or_default();
    let known = panics::recording_to(&path);

    let display = Arc::new(Display::new(
        screen.clone(),
        work.map(|work| Total { runs: work.runs, iterations: work.iterations.saturating_sub(kept) }),
    ));
    let mut session = Session::new(model.server, telemetry.sensors, recorder, settings.budget);
    session.measure_against(
        roofline.ok_or_else(|| "it was not asked for; --roofline measures the memory's bandwidth".to_owned()),
    );
    if watches(&settings.model) {
        match Vigil::start() {
            Ok(vigil) => session.watch_by(vigil),
            Err(why) => screen.say(&format!("whether the process stands still in a run is not seen: {why}")),
        }
    }
    session.observe(Arc::<Display>::clone(&display));
    session.stop_on(stop.clone());
    if matches!(settings.recording, Place::Resumed(_)) {
        session.resume();
    }

    let log = Arc::new(PluginLog { screen: screen.clone() });
    let (session, result) =
        workload.plugin.run(session, telemetry.gpus, values, &settings.limits, Arc::<PluginLog>::clone(&log));
    display.stop();

    Ok(Executed { session, result, stop, path, log, _known: known })
}

/// Whether the model's time is this machine's.
fn watches(model: &ModelSettings) -> bool {
    match model {
        ModelSettings::Gpt2(_) => true,
        ModelSettings::Simulated(simulated) => simulated.real_time,
    }
}

fn new_name(settings: &RunSettings, start: &jiff::Timestamp, description: &Description) -> String {
    let model = match &settings.model {
        ModelSettings::Gpt2(options) => options.model.as_str(),
        ModelSettings::Simulated(_) => "simulated",
    };
    let model = Path::new(model).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let time = now::in_names(*start);
    format!("{time}-{}-{}.jsonl", file_stem(&description.name), file_stem(&model))
}
