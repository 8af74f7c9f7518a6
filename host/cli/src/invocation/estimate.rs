//! How much work a plugin is going to ask for, and how long that takes.
//!
//! The plugin is run once on a model that takes no time. It does not know that, so its requests are those of the real
//! run, unless what it asks depends on the figures it gets.

use std::sync::Arc;
use std::time::Duration;

use harness_core::{Budget, Facts, Gpus, NoSensors, Prompt, Recorder, Request, Server, Session, VirtualClock, Work};
use harness_engine::Rehearsal;
use harness_sandbox::{Limits, NoLog, Plugin, PluginError};

use crate::settings::RunSettings;

/// What a rehearsal may cost: it is a convenience.
const MOST_TIME: Duration = Duration::from_millis(500);
const MOST_ITERATIONS: u64 = 200_000;

/// The work that the plugin asks for; `None` where that can't be told beforehand. An error where it can't be run as asked.
pub(super) fn work(
    settings: &RunSettings,
    plugin: &Plugin,
    values: &[(String, String)],
    server: &Server,
    gpus: &Arc<dyn Gpus>,
) -> Result<Option<Work>, PluginError> {
    let timeless = Box::new(Rehearsal::new(server.model().clone()));
    let clock = Arc::new(VirtualClock::default());
    let session = Session::new(
        Server::new(timeless, Arc::clone(server.tokenizer()), clock, server.seed()),
        Box::new(NoSensors { reason: "this is a rehearsal".into() }),
        Recorder::in_memory(Facts::new()),
        Budget { iterations: MOST_ITERATIONS, wall_time: MOST_TIME, ..Budget::default() },
    );
    let limits = Limits { call_time: MOST_TIME, guest_time: MOST_TIME, wall_time: MOST_TIME, ..settings.limits };
    let (session, result) = plugin.run(session, Arc::clone(gpus), values, &limits, Arc::new(NoLog));
    match result {
        Ok(_) => {}
        Err(error) if error.is_usage() => return Err(error),
        // A rehearsal may be too short, or its figures too strange, for what the run itself will do.
        Err(_) => return Ok(None),
    }
    // No time passes on this model, so none is up, and it is steady at once.
    Ok(Some(session.work()).filter(|work| work.iterations > 0 && !work.open))
}

/// What one iteration and each of its steps take, from a generation of a few tokens.
pub(super) struct Pace {
    first: Duration,
    step: Duration,
    batch: u32,
}

/// Tokens of the generation that sets the pace.
const PACE_TOKENS: u32 = 8;

impl Pace {
    /// Serves one short generation of the work's first prompt length and batch. Also warms the model up.
    pub(super) fn measure(server: &mut Server, work: &Work) -> Option<Self> {
        let prompt = work.first_prompt?;
        let batch = work.first_batch?;
        let request = Request {
            prompt: Prompt::Synthetic(u32::try_from(prompt).ok()?),
            max_new_tokens: PACE_TOKENS,
            stop_at_end_of_text: false,
            sampling: None,
        };
        // What fits the context with fewer tokens than the pace takes has its pace from fewer.
        let context = server.model().context as usize;
        let room = u32::try_from(context.checked_sub(prompt)?).ok()?.min(PACE_TOKENS);
        let request = Request { max_new_tokens: room, ..request };
        let request = server.resolve(&request, 0).ok()?;
        let times = server.time_tokens(&request, batch as usize).ok()?;
        let (first, last) = (*times.first()?, *times.last()?);
        let steps = u32::try_from(times.len().saturating_sub(1)).ok().filter(|&steps| steps > 0)?;
        Some(Self { first, step: (last - first) / steps, batch })
    }

    /// How long the work takes.
    pub(super) fn time(&self, work: &Work) -> Duration {
        let steps = work.new_tokens as f64 / work.iterations.max(1) as f64 / f64::from(self.batch.max(1));
        let seconds = self.first.as_secs_f64() + self.step.as_secs_f64() * (steps - 1.0).max(0.0);
        Duration::try_from_secs_f64(seconds * work.iterations as f64).unwrap_or(Duration::MAX)
    }
}
