//! `harness recordings`.

use crate::args::Recordings;
use crate::log::tell;
use crate::{Outcome, config, deliver, places, settings};

impl Recordings {
    pub(crate) fn execute(self) -> Outcome {
        let folder = settings::recordings(&config::read(self.config.as_deref())?)?.for_new()?;
        let found = places::list(&folder)?;
        if found.is_empty() {
            tell(&format!("no recordings in {}; `harness run --quick` makes one", folder.display()));
        }
        found.iter().try_for_each(|path| deliver::line(&path.display().to_string()))
    }
}
