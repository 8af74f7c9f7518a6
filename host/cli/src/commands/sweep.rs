//! `harness run --sweep`: one recording a point, in one folder; points that are finished are kept.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use comfy_table::{Cell, CellAlignment};
use harness_core::compare::{self, Unlike};
use harness_core::format::{Scale, plural};
use harness_core::input::{self, InputError};
use harness_core::recording::{Status, freeing};
use harness_core::statistics::{CONFIDENCE, mean, mean_interval};
use harness_core::text::visible_line;
use harness_core::{Recording, metric, private};
use harness_engine::DTypeChoice;
use harness_sandbox::Description;
use serde_json::{Value, json};

use super::compare::MAX_TOGETHER;
use super::plugin::plain_table;
use super::run::{plain, record, rehearse};
use crate::chart::{Chart, Dot, Line};
use crate::destination::Destination;
use crate::estimate::Pace;
use crate::failure::Failure;
use crate::progress::Screen;
use crate::settings::{ModelSettings, Recording as Place, RunSettings};
use crate::sweep::{Axis, Point, file_names, points};
use crate::{Outcome, deliver, files, interrupt, model, now, plugins, sensors, units};

/// What the table shows of each point.
const SHOWN: [&str; 4] = ["tokens_per_second", "latency", "time_to_first_token", "inter_token_latency"];
/// What the chart shows.
const CHARTED: &str = "tokens_per_second";
/// Beside the points.
const CHART: &str = "sweep.svg";
/// Beside the points: what was swept, so that a folder is not gone on with by another sweep.
const MANIFEST: &str = "sweep.json";
/// The most bytes of it.
const MAX_MANIFEST: u64 = 4 << 20;

/// A point and what is known of it.
struct Known {
    point: Point,
    /// All settings of the workload at this point.
    values: Vec<(String, String)>,
    path: PathBuf,
    /// Settings for this point alone.
    settings: RunSettings,
    recording: Option<Arc<Recording>>,
    failure: Option<Failure>,
}

impl Known {
    /// Whether the recording is of this point, whatever its file is called.
    fn is_in(&self, recording: &Recording) -> bool {
        let swept = |name: &str| self.point.0.iter().any(|(swept, _)| swept == name);
        let has = |(name, value): &(String, String)| recording.facts.get(&format!("setting.{name}")) == Some(value);
        // What is private of a setting is not in the recording.
        self.settings.private || self.values.iter().filter(|(name, _)| swept(name)).all(has)
    }

    /// Whether it was recorded, and its file does not have that any more.
    fn is_gone(&self) -> bool {
        let there = |recording: &Arc<Recording>| {
            finished(&self.path)
                .is_some_and(|there| there.facts == recording.facts && there.runs.len() == recording.runs.len())
        };
        self.recording.as_ref().is_some_and(|recording| !there(recording))
    }
}

pub(super) fn run(settings: &RunSettings, screen: &Screen) -> Outcome {
    let all = points(&settings.sweep)?;
    let plugin = settings.plugins.load(
        &plugins::sandbox(settings.load_limits, screen)?,
        &settings.plugin,
        settings.pin.as_ref(),
    )?;
    let description = plugin.describe_workload(&settings.limits)?;
    let place = match &settings.recording {
        Place::At(place) => place.clone(),
        Place::Among(folder) => folder.join(new_folder(&description)),
    };
    let folder = place.for_new()?;
    let mut known = Vec::new();
    for (point, name) in all.iter().zip(file_names(&all)) {
        let mut of_point = settings.clone();
        of_point.set.extend(point.0.iter().cloned());
        // An unknown setting is refused before anything is run.
        let values = description.values(&settings.plugin, &of_point.set, settings.quick)?;
        let path = folder.join(&name);
        of_point.recording = Place::At(place.join(name));
        known.push(Known { point: point.clone(), values, path, settings: of_point, recording: None, failure: None });
    }
    if settings.dry_run {
        return foretell(settings, &plugin, &description, known);
    }
    let manifest = manifest(settings, plugin.sha256());
    let new = folder.symlink_metadata().is_err();
    let _lock = open(&folder, &manifest)?;
    let total = known.len();
    let mut weight = 0;
    for point in &mut known {
        point.recording = finished(&point.path).filter(|recording| point.is_in(recording)).map(Arc::new);
        weight += point.recording.as_deref().map_or(0, Recording::weight);
        if weight > MAX_TOGETHER {
            return Err(Failure::usage(format!(
                "the finished points in {} take more than {MAX_TOGETHER} bytes of memory together; name another folder with --recording",
                folder.display()
            )));
        }
    }
    let mut told = Vec::new();
    tell_unlike(&known, &mut told, screen);
    for number in 0..total {
        let Some(point) = known.get_mut(number) else { break };
        let heading = format!("point {}/{total}: {}", number + 1, point.point);
        if point.recording.is_some() {
            screen.say(&format!("{heading}: kept, as {} is finished", point.path.display()));
            continue;
        }
        set_aside(&point.path, screen)?;
        screen.say(&heading);
        match record(&point.settings, screen) {
            Ok(recording) => {
                point.recording = Some(recording);
                // As soon as it is known: on another machine, all that is measured from here on may be of no use.
                tell_unlike(&known, &mut told, screen);
            }
            Err(failure @ Failure::Interrupted(_)) => {
                return Err(failure.and(&format!(
                    "{} of {} {} finished; the same command with --recording {} goes on",
                    number,
                    plural(total, "point"),
                    if number == 1 { "is" } else { "are" },
                    folder.display()
                )));
            }
            // One point may ask for more than there is, and the next not.
            Err(failure) => {
                // The heading is a note, and may not be shown.
                let failure = failure.of(&point.point.to_string());
                failure.print();
                point.failure = Some(failure);
            }
        }
    }
    let failed = known.iter().filter(|point| point.failure.is_some()).count();
    if failed == total {
        // Nothing to show; each said why.
        if new {
            tidy(&folder);
        }
        let none = format!("none of {} could be run, as it says above", plural(total, "point"));
        let unusable = known.iter().all(|point| matches!(point.failure, Some(Failure::Usage(_))));
        return Err(if unusable { Failure::Usage(none) } else { Failure::Failed(none) });
    }
    deliver::line(&table(&known, settings))?;
    let gone: Vec<String> =
        known.iter().filter(|point| point.is_gone()).map(|point| point.path.display().to_string()).collect();
    draw(&known, settings, &place, screen);
    screen.say(&format!("recorded in {}", folder.display()));
    if !gone.is_empty() {
        return Err(Failure::failed(format!(
            "what was recorded is not there any more, as something else removed or changed it: {}; the same command with --recording {} \
             records it again",
            gone.join(", "),
            folder.display()
        )));
    }
    match failed {
        0 => Ok(()),
        failed => Err(Failure::failed(format!("{failed} of {} failed, as it says above", plural(total, "point")))),
    }
}

/// Takes a folder away in which nothing was recorded.
fn tidy(folder: &Path) {
    let only_manifest = std::fs::read_dir(folder)
        .is_ok_and(|entries| entries.into_iter().all(|entry| entry.is_ok_and(|entry| entry.file_name() == MANIFEST)));
    if only_manifest {
        // Where it can't be removed, it is as good as any other empty folder.
        let _ = std::fs::remove_file(folder.join(MANIFEST)).and_then(|()| std::fs::remove_dir(folder));
    }
}

fn new_folder(description: &Description) -> String {
    let time = now::in_names(now::now());
    format!("{time}-{}-sweep", plain(&description.name))
}

/// What all points share. A folder with another is another sweep's.
fn manifest(settings: &RunSettings, sha256: &str) -> Value {
    let swept = |name: &String| settings.sweep.iter().any(|axis| axis.setting == *name);
    let set: Vec<String> =
        settings.set.iter().filter(|(name, _)| !swept(name)).map(|(name, value)| format!("{name}={value}")).collect();
    let mut manifest = json!({
        "schema": "harness-sweep/1",
        "swept": settings.sweep.iter().map(|axis| axis.setting.as_str()).collect::<Vec<_>>(),
        "plugin": sha256, "set": set, "quick": settings.quick, "seed": settings.seed,
    });
    let model_name = |model: &str| if settings.private { private::last_component(model) } else { model.to_owned() };
    let model = match &settings.model {
        // Not whether it may be fetched: that is no other model.
        ModelSettings::Gpt2(options) => json!({
            "backend": options.backend.to_string(), "model": model_name(&options.model), "device": options.device.to_string(),
            "dtype": options.dtype.map(DTypeChoice::as_str), "tf32": options.tf32,
        }),
        ModelSettings::Simulated(simulated) => json!({
            "backend": "simulated",
            "time-to-first-token": units::exact(simulated.time_to_first_token),
            "time-per-token": units::exact(simulated.time_per_token),
            "jitter": simulated.jitter, "run-jitter": simulated.run_jitter, "cold": simulated.cold,
            "memory": simulated.memory, "memory-peak": simulated.memory_peak,
            "fail-at": simulated.fail_at, "real-time": simulated.real_time,
        }),
    };
    if let (Value::Object(manifest), Value::Object(model)) = (&mut manifest, model) {
        manifest.extend(model);
    }
    manifest
}

/// Makes the folder, or finds that it is this sweep's. While what it returns is held, no other sweep works in the folder.
fn open(folder: &Path, manifest: &Value) -> Result<File, Failure> {
    let failed = |error: std::io::Error| {
        let told = format!(
            "can't make a sweep in {}: {error}; {}name another folder with --recording",
            folder.display(),
            freeing(&error)
        );
        Failure::of_place(error.kind(), told)
    };
    let path = folder.join(MANIFEST);
    let unread = |error: InputError| {
        Failure::usage(format!(
            "can't read the sweep's {}: {}; name another folder with --recording",
            path.display(),
            error.fault
        ))
    };
    if path.is_symlink() {
        return Err(Failure::usage(format!(
            "{} is a link, and no sweep's; name another folder with --recording",
            path.display()
        )));
    }
    let written = match input::read_text(&path, MAX_MANIFEST) {
        Ok(text) => text,
        Err(error) if error.is_missing() => {
            std::fs::create_dir_all(folder).map_err(failed)?;
            match files::create(&path, format!("{manifest:#}\n").as_bytes()) {
                // Another was a moment faster; what it wrote is looked at like any other.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                written => written.map_err(failed)?,
            }
            input::read_text(&path, MAX_MANIFEST).map_err(unread)?
        }
        Err(error) => return Err(unread(error)),
    };
    // Nothing is shown of a file that may be another's.
    let other: Value = serde_json::from_str(&written).unwrap_or_default();
    if other.get("schema") != manifest.get("schema") {
        return Err(Failure::usage(format!(
            "{} is not what a sweep wrote; name another folder with --recording",
            path.display()
        )));
    }
    if other == *manifest {
        return alone(folder, &path);
    }
    let of = |manifest: &Value, key: &str| manifest.get(key).map_or("none".to_owned(), Value::to_string);
    let keys: BTreeSet<&String> =
        [manifest, &other].into_iter().filter_map(Value::as_object).flat_map(|all| all.keys()).collect();
    let differs = keys.into_iter().filter(|key| manifest.get(*key) != other.get(*key));
    let list: Vec<String> =
        differs.map(|key| format!("  {key}: {} now, {} there", of(manifest, key), of(&other, key))).collect();
    Err(Failure::Usage(format!(
        "{} is another sweep's folder:\n{}\nname another with --recording",
        visible_line(&folder.display().to_string()),
        list.join("\n")
    )))
}

/// The sweep's file, locked: two that measure at once would spoil each other's figures, and set aside each other's
/// recordings.
fn alone(folder: &Path, manifest: &Path) -> Result<File, Failure> {
    let file = input::open(manifest, MAX_MANIFEST).map_err(Failure::usage)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Failure::usage(format!(
            "another harness is at work on the sweep in {}; wait for it, or name another folder with --recording",
            folder.display()
        ))),
        // Not every file system can lock.
        Err(TryLockError::Error(_)) | Ok(()) => Ok(file),
    }
}

/// The recording of a point that is done. What can't be read is no finished point; it is set aside.
fn finished(path: &Path) -> Option<Recording> {
    // A link there leads to what is not this point's.
    let is_file = path.symlink_metadata().is_ok_and(|there| there.is_file());
    let recording = is_file.then(|| Recording::read(path).ok()).flatten()?;
    (recording.status == Status::Complete).then(|| recording.without_samples())
}

/// Says what the points were not measured alike in, if there is more of it than was told: a sweep may go on on another machine,
/// or after an update.
fn tell_unlike(known: &[Known], told: &mut Vec<(String, Option<String>)>, screen: &Screen) {
    let done: Vec<_> = known.iter().filter_map(|point| Some((&point.point, point.recording.as_deref()?))).collect();
    let unlike = compare::unlike(done.iter().map(|(_, recording)| *recording));
    let values =
        unlike.iter().flat_map(|unlike| unlike.values.iter().map(|(value, _)| (unlike.fact.clone(), value.clone())));
    let new: Vec<_> = values.filter(|value| !told.contains(value)).collect();
    if new.is_empty() {
        return;
    }
    told.extend(new);
    let group = |(value, places): &(Option<String>, Vec<usize>)| {
        let value = value.as_deref().map_or("none".to_owned(), |value| format!("'{}'", visible_line(value)));
        let first = places.first().and_then(|&place| done.get(place)).map(|(point, _)| point.to_string());
        let more = match places.len().saturating_sub(1) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{value} at {}{more}", visible_line(&first.unwrap_or_default()))
    };
    let line = |unlike: &Unlike| {
        format!("  {}: {}", visible_line(&unlike.fact), unlike.values.iter().map(group).collect::<Vec<_>>().join("; "))
    };
    screen.insist_lines(&format!(
        "warning: these points were not all measured under the same conditions, so what differs between them may not be the settings' doing:\n{}\n\
         another folder, named with --recording, has all of them measured anew; without the files of some points, this one has those",
        unlike.iter().map(line).collect::<Vec<_>>().join("\n")
    ));
}

/// Keeps what there is of a point that is run again.
fn set_aside(path: &Path, screen: &Screen) -> Result<(), Failure> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    if path.is_symlink() || !files::is_recording(path) {
        return Err(Failure::usage(format!(
            "{} is in the place of a point's recording, and is none; move it away, or name another folder with --recording",
            path.display()
        )));
    }
    let free = (1..u32::MAX).map(|number| path.with_extension(format!("jsonl.{number}"))).find(|path| !path.exists());
    let Some(free) = free else { return Ok(()) };
    std::fs::rename(path, &free)
        .map_err(|error| Failure::failed(format!("can't set {} aside: {error}; move it yourself", path.display())))?;
    screen.say(&format!("{} is not finished: kept as {}, and run again", path.display(), free.display()));
    Ok(())
}

/// A row a point, a column a setting that is swept, then figures with their 95% intervals.
fn table(known: &[Known], settings: &RunSettings) -> String {
    let scales: Vec<Option<Scale>> = SHOWN.iter().map(|name| scale(known, name)).collect();
    let columns: Vec<(&str, &Scale)> =
        SHOWN.into_iter().zip(&scales).filter_map(|(name, scale)| Some((name, scale.as_ref()?))).collect();
    let mut table = plain_table();
    let swept = settings.sweep.iter().map(|axis| cell(&axis.setting));
    let head = columns.iter().map(|(name, scale)| cell(&heading(name, scale)));
    table.set_header(swept.chain(head).collect::<Vec<_>>());
    for point in known {
        let swept = point.point.0.iter().map(|(_, value)| cell(value));
        let figures = columns.iter().map(|(name, scale)| match &point.recording {
            Some(recording) => cell(&figure(recording, name, scale)),
            None => cell("failed"),
        });
        table.add_row(swept.chain(figures).collect::<Vec<_>>());
    }
    format!("{}\n\n±: 95 % over the runs of a point, by Student's t.", table.trim_fmt())
}

fn heading(name: &str, scale: &Scale) -> String {
    // A unit that the name has already is not said twice.
    if name == "tokens_per_second" { "tokens/s".to_owned() } else { format!("{name}, {}", scale.symbol()) }
}

fn cell(text: &str) -> Cell {
    Cell::new(visible_line(text)).set_alignment(CellAlignment::Right)
}

fn values(recording: &Recording, metric: &str) -> Vec<f64> {
    recording.runs.iter().filter_map(|run| run.values.get(metric).copied()).collect()
}

/// One for the column, on which its least reads well.
fn scale(known: &[Known], name: &str) -> Option<Scale> {
    let means = known.iter().filter_map(|point| mean(&values(point.recording.as_deref()?, name)));
    Some(Scale::of(means.reduce(f64::min)?, metric::definition(name)?.unit))
}

fn figure(recording: &Recording, name: &str, scale: &Scale) -> String {
    let values = values(recording, name);
    let Some(mean) = mean(&values) else { return "–".to_owned() };
    match mean_interval(&values, CONFIDENCE) {
        Some(interval) => format!("{} ± {}", scale.number(mean, 4), scale.number(interval.half_width(), 2)),
        None => scale.number(mean, 4),
    }
}

/// Draws tokens/s over the last axis that has only numbers, a line for each combination of the others.
fn draw(known: &[Known], settings: &RunSettings, folder: &Destination, screen: &Screen) {
    let number = |value: &String| value.parse::<f64>().ok().filter(|number| number.is_finite());
    let numeric = |axis: &Axis| axis.values.len() > 1 && axis.values.iter().all(|value| number(value).is_some());
    let Some(along) = settings.sweep.iter().rposition(numeric) else { return };
    let mut lines: Vec<Line> = Vec::new();
    for point in known {
        let Some((_, value)) = point.point.0.get(along) else { continue };
        let values = point.recording.as_deref().map(|recording| values(recording, CHARTED)).unwrap_or_default();
        let (Some(x), Some(y)) = (number(value), mean(&values)) else { continue };
        let interval = mean_interval(&values, CONFIDENCE);
        let (low, high) = interval.map_or((y, y), |interval| (interval.low, interval.high));
        let others = point.point.0.iter().enumerate().filter(|(at, _)| *at != along);
        let name = Point(others.map(|(_, setting)| setting.clone()).collect()).to_string();
        let name = visible_line(&name).into_owned();
        let dot = Dot { x, y, low, high };
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(dot),
            None => lines.push(Line { name, points: vec![dot] }),
        }
    }
    lines.iter_mut().for_each(|line| line.points.sort_by(|a, b| a.x.total_cmp(&b.x)));
    let x = settings.sweep.get(along).map(|axis| axis.setting.as_str()).unwrap_or_default();
    let title = format!("tokens/s over {x}, with 95 % intervals over runs");
    let chart = folder.join(CHART);
    let path = chart.path();
    let written = match (Chart { title: &title, x, y: "tokens/s", lines }).svg() {
        Ok(None) => return,
        Ok(Some(svg)) => chart.put(svg.as_bytes()).map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    match written {
        Ok(()) => screen.say(&format!("drawn in {}", path.display())),
        // The recordings and the table are there all the same.
        Err(error) => screen.warn(&format!("no chart could be drawn in {}: {error}", path.display())),
    }
}

/// What would be run, and about how long it takes.
fn foretell(
    settings: &RunSettings,
    plugin: &harness_sandbox::Plugin,
    description: &Description,
    known: Vec<Known>,
) -> Outcome {
    let mut loaded = model::ready(&settings.model, settings.seed, &Screen::new())?;
    let telemetry = sensors::open(&settings.sensors, loaded.gpu_uuid.as_deref(), settings.driver_time)?;
    let stop = interrupt::watch()?;
    let mut table = plain_table();
    let swept = settings.sweep.iter().map(|axis| cell(&axis.setting));
    table.set_header(swept.chain(["runs", "iterations", "about"].map(cell)).collect::<Vec<_>>());
    let mut sum = Duration::ZERO;
    let mut untold = 0;
    let mut impossible = Vec::new();
    for point in &known {
        if stop.is_set() {
            return Err(Failure::Interrupted("interrupted".into()));
        }
        let values = description.values(&settings.plugin, &point.settings.set, settings.quick)?;
        let rehearsed = rehearse(settings, plugin, &values, &loaded, &telemetry);
        let can = rehearsed.is_ok();
        let work = rehearsed.unwrap_or_else(|error| {
            let of = if point.point.0.is_empty() { String::new() } else { format!("{}: ", point.point) };
            impossible.push(format!("{of}{error}"));
            None
        });
        let time = work.and_then(|work| Some(Pace::measure(&mut loaded, &work, settings.seed)?.time(&work)));
        match time {
            Some(time) => sum = sum.saturating_add(time),
            None => untold += usize::from(can),
        }
        let unknown = if can { "?" } else { "can't" };
        let counts = work.map_or([unknown.to_owned(), unknown.to_owned()], |work| {
            [units::count(work.runs), units::count(work.iterations)]
        });
        let time = time.map_or(unknown.to_owned(), units::rough);
        let cells = point.point.0.iter().map(|(_, value)| value.clone()).chain(counts).chain([time]);
        table.add_row(cells.map(|text| cell(&text)).collect::<Vec<_>>());
    }
    if impossible.len() < known.len() {
        deliver::line(&table.trim_fmt())?;
        let untold = match untold {
            0 => String::new(),
            untold => {
                format!(", and {untold} of which that can't be told: too long to rehearse, or a time limit may end it")
            }
        };
        let clock = match &settings.model {
            ModelSettings::Simulated(simulated) if !simulated.real_time => " of the simulated model's own time",
            _ => "",
        };
        deliver::line(&format!(
            "\n{}: about {}{clock}{untold}; nothing was run",
            plural(known.len() - impossible.len(), "recording"),
            units::rough(sum)
        ))?;
    }
    match impossible.as_slice() {
        [] => Ok(()),
        [one] if known.len() == 1 => Err(Failure::Usage(one.clone())),
        some => Err(Failure::Usage(format!(
            "{} of {} can't be run as asked:\n{}",
            some.len(),
            plural(known.len(), "recording"),
            some.join("\n")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugins_name_leads_its_folder_nowhere() {
        let named = |name: &str| Description {
            name: name.into(),
            version: String::new(),
            summary: String::new(),
            settings: Vec::new(),
        };
        for name in ["x/../../../y", "..\\y", "/etc", "a:b"] {
            let folder = new_folder(&named(name));
            assert!(!folder.contains(['/', '\\', ':']) && folder.ends_with("-sweep"), "{folder}");
        }
    }
}
