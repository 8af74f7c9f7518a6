//! `harness completions` and `harness man`.

use std::io::Write;

use clap::CommandFactory;

use crate::args::{Arguments, Completions, Man};
use crate::failure::Failure;
use crate::{Outcome, deliver};

impl Completions {
    pub(crate) fn execute(self) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "harness", &mut script);
        deliver::written(std::io::stdout().write_all(&script))
    }
}

impl Man {
    pub(crate) fn execute(self) -> Outcome {
        match self.folder {
            Some(folder) => std::fs::create_dir_all(&folder)
                .and_then(|()| clap_mangen::generate_to(Arguments::command(), &folder))
                .map_err(|error| Failure::failed(format!("can't write manual pages to {}: {error}", folder.display()))),
            None => {
                let mut page = Vec::new();
                let rendered = clap_mangen::Man::new(Arguments::command()).render(&mut page);
                deliver::written(rendered.and_then(|()| std::io::stdout().write_all(&page)))
            }
        }
    }
}
