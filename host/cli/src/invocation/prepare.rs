//! All that can be refused before the model is loaded, and before a test of an hour has run.

use std::path::{Path, PathBuf};

use harness_core::Recorder;
use harness_sandbox::{Description, Plugin, Sandbox};

use super::resume;
use crate::deliver::Ready as Report;
use crate::failure::Failure;
use crate::progress::Screen;
use crate::report_target::ReportTarget;
use crate::settings::{Recording as Place, RunSettings};
use crate::{files, plugins};

/// A workload plugin that is loaded and described.
pub(crate) struct Workload {
    pub(crate) plugin: Plugin,
    pub(crate) description: Description,
    sandbox: Sandbox,
}

/// What an invocation needs beside the model.
pub(super) struct Prepared {
    pub(super) workload: Workload,
    /// Of the workload's settings.
    pub(super) values: Vec<(String, String)>,
    pub(super) reports: Vec<Report>,
}

impl Workload {
    /// The one that the settings name.
    pub(crate) fn load(settings: &RunSettings, screen: &Screen) -> Result<Self, Failure> {
        let sandbox = plugins::sandbox(settings.load_limits, screen)?;
        let plugin = settings.plugins.load(&sandbox, &settings.plugin, settings.pin.as_ref())?;
        let description = plugin.describe_workload(&settings.limits)?;
        Ok(Self { plugin, description, sandbox })
    }

    /// A report on stdout: its own, or else the default one.
    pub(super) fn report(&self, settings: &RunSettings) -> Result<Report, Failure> {
        let target = own_report(settings, &self.plugin);
        Report::new(&self.sandbox, &settings.plugins, &target, &[], &settings.limits)
    }

    /// The value of each of its settings; an unknown one is refused.
    pub(crate) fn values(&self, settings: &RunSettings, quick: bool) -> Result<Vec<(String, String)>, Failure> {
        Ok(self.description.values(&settings.plugin, &settings.set, quick)?)
    }
}

pub(super) fn prepare(settings: &RunSettings, screen: &Screen) -> Result<Prepared, Failure> {
    let workload = Workload::load(settings, screen)?;
    let values = workload.values(settings, settings.quick)?;
    let targets = report_targets(settings, &workload.plugin);
    let mut reports = Vec::new();
    for (target, set) in targets.iter().zip(settings.report_sets.of(&targets)?) {
        let report = Report::new(&workload.sandbox, &settings.plugins, target, &set, &settings.limits)?;
        report.rehearse(&settings.limits)?;
        reports.push(report);
    }
    let named = named_recording(settings)?;
    apart(named.as_deref(), &reports)?;
    Ok(Prepared { workload, values, reports })
}

/// Where the recording goes, where the user named it; that there is a place for it, where not.
fn named_recording(settings: &RunSettings) -> Result<Option<PathBuf>, Failure> {
    let path = match &settings.recording {
        Place::At(place) => {
            let path = place.for_new()?;
            Recorder::check_vacant(&path)?;
            path
        }
        Place::Resumed(place) => {
            let path = place.for_new()?;
            resume::check(&path)?;
            path
        }
        Place::Among(folder) => return folder.for_new().map(|_| None),
    };
    Ok(Some(path))
}

/// An error if two of what the run writes would be one file.
fn apart(recording: Option<&Path>, reports: &[Report]) -> Result<(), Failure> {
    // Folders, pipes and devices take more than one.
    let is_file = |path: &&Path| std::fs::metadata(path).map_or(true, |there| there.is_file());
    let outs: Vec<&Path> = reports.iter().filter_map(Report::out).chain(recording).filter(is_file).collect();
    let twice = outs.iter().enumerate().find(|(at, out)| outs[..*at].iter().any(|other| files::same(other, out)));
    twice.map_or(Ok(()), |(_, out)| {
        Err(Failure::usage(format!("{} would be written twice; name a file for each", out.display())))
    })
}

/// The reports that the user named, or else the workload's own, or else the default one.
fn report_targets(settings: &RunSettings, plugin: &Plugin) -> Vec<ReportTarget> {
    if !settings.sweep.is_empty() {
        return Vec::new();
    }
    if !settings.reports.is_empty() {
        return settings.reports.clone();
    }
    vec![own_report(settings, plugin)]
}

fn own_report(settings: &RunSettings, plugin: &Plugin) -> ReportTarget {
    let own = if plugin.is_report() { settings.plugin.clone() } else { "default".into() };
    ReportTarget { plugin: own, out: None }
}

/// A stranger's word as a part of a file's name: nothing in it leads to another folder.
pub(crate) fn file_stem(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '_' }).collect()
}
