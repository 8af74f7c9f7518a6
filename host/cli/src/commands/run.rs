//! `harness run`.

use std::path::Path;
use std::sync::Arc;

use harness_core::doctor::Verdict;
use harness_core::format::plural;
use harness_core::roofline::Roofline;
use harness_core::session::Broken;
use harness_core::{
    Ended, Kept, MeasureError, Recorder, Recording, Session, Status, StopFlag, Vigil, Warning, Work, private,
};
use harness_engine::Loaded;
use harness_sandbox::{Description, Plugin, PluginError};

use super::sweep;
use crate::args::Run;
use crate::deliver::Ready;
use crate::estimate::{self, Pace};
use crate::failure::Failure;
use crate::log::PluginLog;
use crate::progress::{Display, Screen, Total};
use crate::report_target::ReportTarget;
use crate::sensors::Telemetry;
use crate::settings::{ModelSettings, Recording as Place, RunSettings};
use crate::{Outcome, facts, files, health, idle, interrupt, log, model, now, panics, plugins, sensors, units};

impl Run {
    pub(crate) fn execute(self) -> Outcome {
        let settings = RunSettings::resolve(self)?;
        if settings.quiet {
            log::hush();
        }
        if settings.private {
            panics::keep_private();
        }
        let screen = Screen::new();
        if settings.dry_run || !settings.sweep.is_empty() {
            return sweep::run(&settings, &screen);
        }
        record(&settings, &screen).map(drop)
    }
}

/// Makes one recording, reports it, and says where it is.
pub(super) fn record(settings: &RunSettings, screen: &Screen) -> Result<Arc<Recording>, Failure> {
    // All that can be refused is refused before the model is loaded, and before a test of an hour has run.
    let sandbox = plugins::sandbox(settings.load_limits, screen)?;
    let plugin = settings.plugins.load(&sandbox, &settings.plugin, settings.pin.as_ref())?;
    let description = plugin.describe_workload(&settings.limits)?;
    let values = description.values(&settings.plugin, &settings.set, settings.quick)?;
    let targets = reports(settings, &plugin);
    let mut reports = Vec::new();
    for (target, set) in targets.iter().zip(settings.report_sets.of(&targets)?) {
        let ready = Ready::new(&sandbox, &settings.plugins, target, &set, &settings.limits)?;
        ready.rehearse(&settings.limits)?;
        reports.push(ready);
    }

    let named = match &settings.recording {
        Place::At(place) => Some(place.for_new()?),
        Place::Among(folder) => folder.for_new().map(|_| None)?,
    };
    if let Some(path) = &named {
        Recorder::check_vacant(path)?;
    }
    apart(named.as_deref(), &reports)?;
    let mut loaded = model::ready(&settings.model, settings.seed, screen)?;
    // A CPU that was not asked for is said in one line with the time that it will take.
    let held_back = usize::from(loaded.auto_cpu);
    for note in loaded.notes.iter().skip(held_back) {
        screen.say(note);
    }
    let mut telemetry = sensors::open(&settings.sensors, loaded.gpu_uuid.as_deref(), settings.driver_time)?;
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
    // What can't be run as asked is neither measured nor recorded.
    let work = rehearse(settings, &plugin, &values, &loaded, &telemetry)?;
    if telemetry.read && !settings.idle_time.is_zero() {
        match idle::watch(&mut *telemetry.sensors, settings.idle_time) {
            Ok(facts) => telemetry.facts.extend(facts),
            Err(reason) => screen.say(&format!("the power of the idle GPU is not known: {reason}")),
        }
    }
    let roofline = if settings.roofline { Some(roofline(&mut loaded)?) } else { None };
    if held_back > 0 {
        let time = work.and_then(|work| foretell(settings, &plugin, &description, &mut loaded, &telemetry, &work));
        let note = loaded.notes.first().map(String::as_str).unwrap_or_default();
        screen.say(&format!("{note}{}", time.unwrap_or_default()));
    }

    telemetry.facts.extend(loaded.threads.map(|threads| ("cpu.threads".to_owned(), threads.to_string())));
    telemetry.facts.extend(roofline.iter().flat_map(Roofline::facts));

    let start = now::now();
    let mut facts = facts::gather(
        &start.to_string(),
        settings.seed,
        loaded.backend.info(),
        &plugin,
        &description,
        &values,
        telemetry.facts,
    );
    if settings.private {
        private::facts(&mut facts);
    }
    // Looked at again, now that it is written to.
    // Before there is a recording that an interrupt could leave without its end.
    let stop = interrupt::watch()?;
    let recorder = match &settings.recording {
        Place::At(place) => Recorder::create(&place.for_new()?, facts)?,
        // Another that started at the same moment has the same name.
        Place::Among(folder) => {
            let path = folder.join(new_name(settings, &start, &description)).for_new()?;
            Recorder::create_among(&path, &facts)?
        }
    };
    let path = recorder.path().map(Path::to_owned).unwrap_or_default();
    let _kept = panics::recording_to(&path);

    let display =
        Arc::new(Display::new(screen.clone(), work.map(|work| Total { runs: work.runs, iterations: work.iterations })));
    let mut session = Session::new(
        loaded.backend,
        loaded.tokenizer,
        loaded.clock,
        telemetry.sensors,
        recorder,
        settings.seed,
        settings.budget,
    );
    if let Some(roofline) = roofline {
        session.measure_against(roofline);
    }
    if watches(&settings.model) {
        match Vigil::start() {
            Ok(vigil) => session.watch_by(vigil),
            Err(why) => screen.say(&format!("whether the process stands still in a run is not seen: {why}")),
        }
    }
    session.observe(Arc::<Display>::clone(&display));
    session.stop_on(stop.clone());

    let log = Arc::new(PluginLog { screen: screen.clone() });
    let (session, result) =
        plugin.run(session, telemetry.gpus, &values, &settings.limits, Arc::<PluginLog>::clone(&log));
    display.stop();

    let (Ended { recording, kept }, failure) = end(session, result, &stop, &path, settings);
    let recording = Arc::new(recording);
    if let Kept::Anew { from, fault, path } = &kept {
        let (from, path) = (from.display(), path.display());
        screen.warn(&format!("the recording {from} {fault} meanwhile; all of it is written again, to {path}"));
    }
    for reading in &recording.summary {
        if reading.unmeasured {
            screen.warn(&format!("the plugin gives {}, {}", reading.metric.name, reading.why_unmeasured()));
        }
        if let Some(host) = reading.host_value {
            screen.warn(&format!(
                "the plugin gives {} as {}, but the mean of the recorded runs is {host}; the recording has both",
                reading.metric.name, reading.value
            ));
        }
    }
    for warning in Warning::of(&recording) {
        screen.warn(&warning.to_string());
    }
    // What was recorded is shown also where the rest failed, and one report's failure is not another's.
    let mut failure = failure.or_else(|| match &kept {
        Kept::Part { error: Some(error), .. } => Some(Failure::failed(error)),
        _ => None,
    });
    if failure.is_none() || !recording.runs.is_empty() {
        for report in &reports {
            match report.deliver(&recording, &settings.limits, Arc::<PluginLog>::clone(&log)) {
                Ok(()) => {}
                Err(error) if failure.is_none() => failure = Some(error),
                Err(error) => error.print(),
            }
        }
    }
    match failure {
        None => {
            if let Kept::All(path) | Kept::Anew { path, .. } = &kept
                && path.is_file()
            {
                screen.say(&format!("recorded in {}", path.display()));
            }
            Ok(recording)
        }
        Some(failure) => Err(failure.and(&what_is_kept(&kept, recording.runs.len()))),
    }
}

/// Whether the model's time is this machine's.
fn watches(model: &ModelSettings) -> bool {
    match model {
        ModelSettings::Gpt2(_) => true,
        ModelSettings::Simulated(simulated) => simulated.real_time,
    }
}

/// An error if two of what the run writes would be one file.
fn apart(recording: Option<&Path>, reports: &[Ready]) -> Result<(), Failure> {
    // Folders, pipes and devices take more than one.
    let is_file = |path: &&Path| std::fs::metadata(path).map_or(true, |there| there.is_file());
    let outs: Vec<&Path> = reports.iter().filter_map(Ready::out).chain(recording).filter(is_file).collect();
    let twice = outs.iter().enumerate().find(|(at, out)| outs[..*at].iter().any(|other| files::same(other, out)));
    twice.map_or(Ok(()), |(_, out)| {
        Err(Failure::usage(format!("{} would be written twice; name a file for each", out.display())))
    })
}

/// What the model's memory gives and its decoding takes.
fn roofline(loaded: &mut Loaded) -> Result<Roofline, Failure> {
    let cant =
        |why: &str| Failure::usage(format!("--roofline can't measure the memory: {why}; or leave --roofline out"));
    let traffic = loaded.traffic.ok_or_else(|| cant("the simulated model has none; use another --backend"))?;
    let bandwidth = loaded.backend.memory_bandwidth().map_err(|why| cant(&why))?;
    Ok(Roofline { bandwidth, traffic })
}

/// The reports that the user named, or else the workload's own, or else the default one.
fn reports(settings: &RunSettings, plugin: &Plugin) -> Vec<ReportTarget> {
    if !settings.sweep.is_empty() {
        return Vec::new();
    }
    if !settings.reports.is_empty() {
        return settings.reports.clone();
    }
    let own = if plugin.is_report() { settings.plugin.clone() } else { "default".into() };
    vec![ReportTarget { plugin: own, out: None }]
}

pub(super) fn rehearse(
    settings: &RunSettings,
    plugin: &Plugin,
    values: &[(String, String)],
    loaded: &Loaded,
    telemetry: &Telemetry,
) -> Result<Option<Work>, PluginError> {
    let info = loaded.backend.info();
    estimate::work(plugin, values, info, &loaded.tokenizer, &telemetry.gpus, settings.seed, &settings.limits)
}

/// Says how long the work takes on a CPU that was not asked for, and what `--quick` would take.
fn foretell(
    settings: &RunSettings,
    plugin: &Plugin,
    description: &Description,
    loaded: &mut Loaded,
    telemetry: &Telemetry,
    work: &Work,
) -> Option<String> {
    let pace = Pace::measure(loaded, work, settings.seed)?;
    let time = |work: &Work| {
        format!("about {} for {} iterations", units::rough(pace.time(work)), units::count(work.iterations))
    };
    let quick = description
        .values(&settings.plugin, &settings.set, true)
        .ok()
        .filter(|_| !settings.quick)
        .and_then(|quick| rehearse(settings, plugin, &quick, loaded, telemetry).ok().flatten())
        .map(|quick| format!("; --quick: about {}", units::rough(pace.time(&quick))))
        .unwrap_or_default();
    Some(format!(": {}{quick}", time(work)))
}

fn new_name(settings: &RunSettings, start: &jiff::Timestamp, description: &Description) -> String {
    let model = match &settings.model {
        ModelSettings::Gpt2(options) => options.model.as_str(),
        ModelSettings::Simulated(_) => "simulated",
    };
    let model = Path::new(model).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let time = now::in_names(*start);
    format!("{time}-{}-{}.jsonl", plain(&description.name), plain(&model))
}

/// A stranger's word as a part of a file's name: nothing in it leads to another folder.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '_' }).collect()
}

/// Writes the last line of the recording and says how the invocation ended.
fn end(
    session: Session,
    result: Result<Vec<harness_core::Reading>, PluginError>,
    stop: &StopFlag,
    path: &Path,
    settings: &RunSettings,
) -> (Ended, Option<Failure>) {
    let broken = session.broken().cloned();
    let recorder = session.into_recorder();
    let (status, summary, failure) = match (broken, result) {
        // What the plugin makes of it matters less than what happened to the host.
        (Some(Broken::Recording(error)), _) => (Status::Failed, Vec::new(), Some(Failure::failed(error))),
        (Some(Broken::Measure(MeasureError::Stopped(_))), _) if stop.is_set() => {
            (Status::Interrupted, Vec::new(), Some(Failure::Interrupted("interrupted".into())))
        }
        (Some(Broken::Measure(error @ MeasureError::Stopped(_))), _) => {
            (Status::Stopped, Vec::new(), Some(Failure::failed(format!("{} was ended: {error}", settings.plugin))))
        }
        (Some(Broken::Measure(error)), _) => (Status::Failed, Vec::new(), Some(Failure::failed(error))),
        (None, Err(_)) if stop.is_set() => {
            (Status::Interrupted, Vec::new(), Some(Failure::Interrupted("interrupted".into())))
        }
        (None, Ok(summary)) => (Status::Complete, summary, None),
        (None, Err(error)) => (Status::Failed, Vec::new(), Some(Failure::from(error))),
    };
    let message = failure.as_ref().and_then(Failure::message);
    let message = message
        .map(|text| if settings.private { private::message(text, &named(settings, path)) } else { text.to_owned() });
    (recorder.end(status, message, summary, now::now().to_string()), failure)
}

/// Paths and names of this invocation that a message may have in it.
fn named(settings: &RunSettings, recording: &Path) -> Vec<String> {
    let model = match &settings.model {
        ModelSettings::Gpt2(options) => options.model.clone(),
        ModelSettings::Simulated(_) => String::new(),
    };
    let folders = [std::env::current_dir().ok(), std::env::home_dir(), Some(recording.to_owned())];
    let folders = folders.into_iter().flatten().map(|folder| folder.display().to_string());
    // Of a bare name, nothing is private.
    let given = [settings.plugin.clone(), model].into_iter().filter(|given| given.contains(['/', '\\']));
    folders.chain(given).chain(facts::host_name()).collect()
}

/// Of so many runs that were measured.
fn what_is_kept(kept: &Kept, runs: usize) -> String {
    let (there, path) = match kept {
        Kept::All(path) | Kept::Anew { path, .. } => (runs, path),
        Kept::Part { path, runs, .. } => (*runs, path),
        Kept::InMemory => return String::new(),
    };
    // Nobody knows what became of what went into a pipe or a device.
    if !path.is_file() {
        return String::new();
    }
    let path = path.display();
    let lost = match runs - there.min(runs) {
        0 => String::new(),
        lost => format!(
            "; {} more could not be written, and {} only in what is shown here",
            plural(lost, "run"),
            if lost == 1 { "is" } else { "are" }
        ),
    };
    match there {
        0 if lost.is_empty() => String::new(),
        1 => format!("1 finished run is kept in {path}{lost}"),
        there => format!(
            "{} kept in {path}{lost}",
            if there == 0 { "no finished run is".into() } else { format!("{there} finished runs are") }
        ),
    }
}
