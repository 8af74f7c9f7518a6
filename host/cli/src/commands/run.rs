//! `harness run`.

use crate::args::Run;
use crate::invocation::{self, Planned};
use crate::progress::Screen;
use crate::settings::RunSettings;
use crate::{Outcome, log, panics, sweep};

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
        match settings.sweep.is_empty() {
            false => sweep::run(&settings, &screen),
            true if settings.dry_run => {
                let workload = invocation::Workload::load(&settings, &screen)?;
                invocation::dry_run(
                    &settings,
                    &workload,
                    &[],
                    &[Planned { point: Vec::new(), settings: settings.clone() }],
                )
            }
            true => invocation::record(&settings, &screen).map(drop),
        }
    }
}
