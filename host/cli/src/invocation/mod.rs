//! One invocation: from its settings to a recording that is reported.
//!
//! It goes in four steps, each of which has a file: what can be refused before a model is loaded is looked at ([`prepare`]), the model
//! and the sensors are made ready and the work is rehearsed ([`ready`]), the workload runs and is recorded ([`execute`]), and what was
//! recorded is shown and found again ([`finish`]). What is shown meanwhile decides none of this.

mod dry_run;
mod estimate;
mod execute;
mod finish;
mod idle;
mod model;
mod prepare;
pub(crate) mod process;
mod ready;
mod resume;

use std::sync::Arc;

use harness_core::Recording;

use crate::failure::Failure;
use crate::progress::Screen;
use crate::settings::RunSettings;

pub(crate) use dry_run::{Planned, dry_run};
pub(crate) use model::{Model, load};
pub(crate) use prepare::{Workload, file_stem};

/// Makes one recording, reports it, and says where it is.
pub(crate) fn record(settings: &RunSettings, screen: &Screen) -> Result<Arc<Recording>, Failure> {
    let prepared = prepare::prepare(settings, screen)?;
    let ready = ready::ready(settings, &prepared, screen)?;
    let executed = execute::execute(settings, &prepared, ready, screen)?;
    finish::finish(settings, &prepared, executed, screen)
}
