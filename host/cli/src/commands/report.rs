//! `harness report`.

use std::sync::Arc;

use harness_core::{Recording, Warning, private};

use crate::args::Report;
use crate::deliver::Ready;
use crate::plugin_log::PluginLog;
use crate::progress::Screen;
use crate::recordings::latest;
use crate::report_set::ReportSets;
use crate::{Outcome, plugins, settings};

impl Report {
    pub(crate) fn execute(self) -> Outcome {
        let (config, plugins) = self.sources.read()?;
        let path = match self.recording {
            Some(path) => path,
            None => latest(&settings::recordings(&config)?.for_new()?)?,
        };
        let mut recording = Recording::read(&path)?;
        if self.private {
            private::recording(&mut recording);
            let (shown, name) = (path.display().to_string(), private::last_component(&path.display().to_string()));
            recording.notes.iter_mut().for_each(|note| *note = note.replace(&shown, &name));
        }
        let screen = Screen::new();
        for note in &recording.notes {
            screen.warn(note);
        }
        for warning in Warning::of(&recording) {
            screen.warn(&warning.to_string());
        }
        let limits = settings::limits(&self.limits, &config);
        let target = settings::report_target(self.with.as_deref().unwrap_or("default"))?;
        let sets = ReportSets::new(&config.report_set, Vec::new(), &plugins)?;
        let mut set = sets.of(std::slice::from_ref(&target))?.remove(0);
        set.extend(self.set);
        let sandbox = plugins::sandbox(settings::load_limits(&self.limits, &config), &screen)?;
        let ready = Ready::new(&sandbox, &plugins, &target, &set, &limits)?;
        ready.deliver(&Arc::new(recording), true, &limits, Arc::new(PluginLog { screen }))
    }
}
