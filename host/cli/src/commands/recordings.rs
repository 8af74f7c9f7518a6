//! `harness recordings`.

use harness_core::text::visible_line;

use crate::args::Recordings;
use crate::log::tell;
use crate::{Outcome, config, deliver, recordings, settings};

impl Recordings {
    pub(crate) fn execute(self) -> Outcome {
        let folder = settings::recordings(&config::read(self.config.as_deref())?)?.for_new()?;
        let found = recordings::of(&folder)?;
        if found.is_empty() {
            tell(&format!("no recordings in {}; `harness run --quick` makes one", folder.display()));
        }
        // A name that has line feeds in it is one line all the same.
        found.iter().try_for_each(|path| deliver::line(&visible_line(&path.display().to_string())))
    }
}
