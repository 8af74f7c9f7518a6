//! `harness baseline`.

use harness_core::Recording;
use harness_core::compare::Named;

use super::compare::cautions::warn;
use crate::args::{Baseline, BaselineAction};
use crate::baselines::Baselines;
use crate::log::tell;
use crate::recordings::latest;
use crate::table::plain_table;
use crate::{Outcome, config, deliver, settings};

impl Baseline {
    pub(crate) fn execute(self) -> Outcome {
        let recordings = settings::recordings(&config::read(self.config.as_deref())?);
        let baselines = Baselines::new(&recordings);
        match self.action {
            BaselineAction::Save { name, recording, replace } => {
                let recording = recording.map_or_else(|| latest(&recordings?.for_new()?), Ok)?;
                let (path, read) = baselines.save(&name, &recording, replace)?;
                warn(&Named { path: recording.clone(), recording: read });
                tell(&format!("kept {} as baseline:{name} in {}", recording.display(), path.display()));
                Ok(())
            }
            BaselineAction::List => list(&baselines),
            BaselineAction::Remove { name } => baselines.remove(&name),
        }
    }
}

fn list(baselines: &Baselines) -> Outcome {
    let found = baselines.list()?;
    if found.is_empty() {
        tell("no baselines; `harness baseline save NAME` keeps the latest recording as one");
        return Ok(());
    }
    let mut table = plain_table();
    table.set_header(["baseline", "runs", "plugin", "model", "dtype", "device", "started"]);
    for (name, path) in found {
        match Recording::read(&path) {
            Ok(recording) => {
                let fact = |fact: &str| recording.facts.get(fact).cloned().unwrap_or_default();
                let device = if fact("gpu.name").is_empty() { fact("model.device") } else { fact("gpu.name") };
                let runs = recording.runs.len().to_string();
                let started = fact("start");
                let started = started.split_once('.').map_or(started.as_str(), |(seconds, _)| seconds).to_owned();
                table.add_row([
                    name,
                    runs,
                    fact("plugin.name"),
                    fact("model.name"),
                    fact("model.dtype"),
                    device,
                    started,
                ]);
            }
            // The others are still to be seen.
            Err(error) => tell(&format!("warning: {error}")),
        }
    }
    deliver::line(&table.trim_fmt())
}
