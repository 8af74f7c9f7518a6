//! `harness plugin test`: tries a plugin as it will be used, on a model that computes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness_core::session::Broken;
use harness_core::{Budget, Facts, MeasureError, NoGpus, NoSensors, PluginCost, Recorder, Session};
use harness_engine::{SimulatedSettings, load_simulated};
use harness_sandbox::{Output, Plugin};

use crate::advice::Advice;
use crate::args::PluginTest;
use crate::failure::Failure;
use crate::invocation::Model;
use crate::plugin_log::PluginLog;
use crate::progress::Screen;
use crate::{Outcome, deliver, plugins, samples, settings, units};

impl PluginTest {
    pub(crate) fn execute(self) -> Outcome {
        let screen = Screen::new();
        let (config, plugins) = self.sources.read()?;
        let sandbox = plugins::sandbox(settings::load_limits(&self.limits, &config), &screen)?;
        let plugin = plugins.load(&sandbox, &self.plugin, None)?;
        let limits = settings::limits(&self.limits, &config);
        let log = Arc::new(PluginLog { screen });
        if !self.report_set.is_empty() && !plugin.is_report() {
            return Err(Failure::usage(format!("{} is no report; --report-set has no use for it", self.plugin)));
        }
        if plugin.is_workload() {
            let values = plugin.describe_workload(&limits)?.values(&self.plugin, &self.set, !self.whole)?;
            let budget = settings::budget(&self.limits, &config, &limits);
            run(&plugin, &values, &limits, budget, &log)?;
        }
        if plugin.is_report() {
            // A plugin that is both has settings of two kinds, and --set is the workload's.
            let mut set = if plugin.is_workload() { Vec::new() } else { self.set };
            set.extend(self.report_set);
            let values = plugin.describe_report(&limits)?.values(&self.plugin, &set, false)?;
            for sample in samples::all(&sandbox)? {
                let start = Instant::now();
                let recording = Arc::clone(&sample.recording);
                let (output, cost) =
                    plugin.render_measured(recording, &values, &limits, Arc::<PluginLog>::clone(&log))?;
                let time = start.elapsed();
                if let Output::Files(files) = &output {
                    deliver::named(plugin.name(), files)?;
                }
                deliver::line(&format!(
                    "report on a recording {}: {} in {}",
                    sample.what,
                    made(&output),
                    units::milliseconds(time)
                ))?;
                deliver::line(&format!("  {}", spent(&cost)))?;
                if let Some(empty) = empty(&output) {
                    deliver::line(&format!(
                        "  {empty}, which is allowed; if more was meant, look at what `render` returns"
                    ))?;
                }
            }
        }
        deliver::line(&format!("{} does what a plugin should", self.plugin))
    }
}

fn run(
    plugin: &Plugin,
    values: &[(String, String)],
    limits: &harness_sandbox::Limits,
    budget: Budget,
    log: &Arc<PluginLog>,
) -> Outcome {
    let model = Model::of(load_simulated(&SimulatedSettings::default(), 0), 0);
    let session = Session::new(
        model.server,
        Box::new(NoSensors { reason: "this is a test of the plugin".into() }),
        Recorder::in_memory(Facts::new()),
        budget,
    );
    let start = Instant::now();
    let (session, result) = plugin.run(session, Arc::new(NoGpus), values, limits, Arc::<PluginLog>::clone(log));
    let time = start.elapsed();
    if let Some(Broken::Measure(error @ MeasureError::Stopped(_))) = session.broken() {
        return Err(Failure::failed(error.advised()));
    }
    let work = session.work();
    let runs = session.runs().len();
    let summary = result?;
    let recording = session.into_recorder().end(harness_core::Status::Complete, None, summary, String::new()).recording;
    deliver::line(&format!(
        "workload: {runs} {} of {} iterations in all, {} new tokens asked for, in {}",
        if runs == 1 { "run" } else { "runs" },
        units::count(work.iterations),
        units::count(work.new_tokens),
        units::milliseconds(time)
    ))?;
    if let Some(cost) = &recording.plugin_cost {
        deliver::line(&format!("  {}", spent(cost)))?;
    }
    for reading in &recording.summary {
        let remark = match (reading.host_value, reading.unmeasured) {
            (Some(host), _) => format!("  but the mean of the runs is {host}"),
            (None, true) => format!("  {}", reading.why_unmeasured()),
            (None, false) => String::new(),
        };
        let unit = if reading.metric.unit == "1" { "" } else { &reading.metric.unit };
        deliver::line(&format!("  {} = {} {unit}{remark}", reading.metric.name, reading.value))?;
    }
    if runs > 0 && recording.summary.is_empty() {
        deliver::line("  it returned no figures, which is allowed; if some were meant, look at what `run` returns")?;
    }
    let wrong = recording.summary.iter().filter(|reading| reading.host_value.is_some() || reading.unmeasured).count();
    match (runs, wrong) {
        (0, _) => Err(Failure::failed("the workload recorded no run; measure a plan before returning")),
        (_, 0) => Ok(()),
        _ => Err(Failure::failed(format!(
            "{wrong} of the summary's figures {} not what the runs recorded; return the mean of the runs' values under a \
             metric's name, or give the figure a name of its own",
            if wrong == 1 { "is" } else { "are" }
        ))),
    }
}

/// What the plugin cost beside the model.
fn spent(cost: &PluginCost) -> String {
    format!(
        "cost: {} in the plugin, {} calls of the host, {} bytes to it and {} from it, {} bytes of memory",
        units::milliseconds(Duration::from_secs_f64(cost.guest_time)),
        units::count(cost.host_calls),
        units::count(cost.bytes_to_host),
        units::count(cost.bytes_to_guest),
        units::count(cost.memory_peak),
    )
}

/// What of a report has nothing in it.
fn empty(output: &Output) -> Option<String> {
    match output {
        Output::Text(text) => text.is_empty().then(|| "the text is empty".to_owned()),
        Output::Files(files) if files.is_empty() => Some("there is no file".to_owned()),
        Output::Files(files) => {
            files.iter().find(|file| file.contents.is_empty()).map(|file| format!("{} is empty", file.name))
        }
    }
}

fn made(output: &Output) -> String {
    match output {
        Output::Text(text) => format!("a text of {} bytes", units::count(text.len() as u64)),
        Output::Files(files) if files.is_empty() => "no files".to_owned(),
        Output::Files(files) => {
            let files: Vec<String> = files
                .iter()
                .map(|file| {
                    format!("{} ({}, {} bytes)", file.name, file.media_type, units::count(file.contents.len() as u64))
                })
                .collect();
            files.join(", ")
        }
    }
}
