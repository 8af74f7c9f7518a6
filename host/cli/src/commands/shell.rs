//! `harness completions` and `harness man`.

use clap::CommandFactory;

use crate::args::{Arguments, Completions, Man};
use crate::destination::{Destination, Unwritable};
use crate::{Outcome, deliver};

impl Completions {
    pub(crate) fn execute(self) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "harness", &mut script);
        deliver::bytes(&script)
    }
}

impl Man {
    pub(crate) fn execute(self) -> Outcome {
        match self.folder {
            Some(folder) => pages(&Destination::named(folder)),
            None => {
                let mut page = Vec::new();
                let rendered = clap_mangen::Man::new(Arguments::command()).render(&mut page);
                deliver::written(rendered).and_then(|()| deliver::bytes(&page))
            }
        }
    }
}

/// Writes one page a command.
fn pages(folder: &Destination) -> Outcome {
    let cant =
        |error: Unwritable| error.failure(format!("can't write manual pages to {}: {error}", folder.path().display()));
    let failed = |error| cant(Unwritable::Failed(error));
    // clap_mangen opens what it writes to, wherever that leads; in a new folder it leads nowhere else.
    let made = tempfile::tempdir().map_err(failed)?;
    clap_mangen::generate_to(Arguments::command(), made.path()).map_err(failed)?;
    std::fs::create_dir_all(folder.resolved().map_err(cant)?).map_err(failed)?;
    for page in std::fs::read_dir(made.path()).map_err(failed)? {
        let page = page.map_err(failed)?;
        folder.join(page.file_name()).put(&std::fs::read(page.path()).map_err(failed)?).map_err(cant)?;
    }
    Ok(())
}
