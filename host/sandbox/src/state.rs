//! What the host keeps for one call into a plugin.

use std::sync::Arc;
use std::time::Duration;

use harness_core::text::visible;
use harness_core::{Gpus, MeasureError, Plan, PluginCost, Prompt, Recording, Run, Session};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bindings::model;
use crate::guest_clock::{GuestClock, Task};
use crate::limits::{LimitError, Limits, MemoryLimiter};
use crate::payload::Payload;
use crate::text::cut;
use crate::wasi::{self, Captured};
use crate::{convert, resident};

/// A guest's hold of a finished run.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct RunHandle(pub(crate) Arc<Run>);

/// A guest's hold of a recording; its runs are shared with those that it hands out.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct RecordingHandle {
    pub(crate) recording: Arc<Recording>,
    pub(crate) runs: Vec<Arc<Run>>,
}

impl RecordingHandle {
    pub(crate) fn new(recording: Arc<Recording>) -> Self {
        let runs = recording.runs.clone();
        Self { recording, runs }
    }
}

/// How much a line of a plugin's log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For its author.
    Trace,
    /// For its author.
    Debug,
    /// For its user.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something is wrong.
    Error,
}

/// Takes the lines that plugins log; nothing in them deceives ([`harness_core::text`]), and their length is bounded.
pub trait LogSink: Send + Sync {
    /// One line.
    fn log(&self, plugin: &str, level: LogLevel, line: &str);
}

/// Drops every line.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLog;

impl LogSink for NoLog {
    fn log(&self, _: &str, _: LogLevel, _: &str) {}
}

/// The state of one store.
pub(crate) struct State {
    pub(crate) plugin: String,
    pub(crate) table: ResourceTable,
    pub(crate) memory: MemoryLimiter,
    pub(crate) clock: GuestClock,
    pub(crate) written: Captured,
    /// Present while a workload runs; absent in `describe` and in reports, where the host answers nothing.
    pub(crate) session: Option<Session>,
    pub(crate) gpus: Arc<dyn Gpus>,
    wasi: WasiCtx,
    log: Arc<dyn LogSink>,
    log_lines: u64,
    most_log_lines: u64,
    /// Bytes of the plans that the guest holds, which lie in the host.
    plans: usize,
    most_plans: usize,
    /// Requests that were refused because the session is over.
    refused: u32,
    /// Bytes of the values that the guest gave and got.
    taken: u64,
    given: u64,
    /// Guest time that lay in work of the session.
    in_runs: Duration,
}

/// What is said where a guest calls the model while it describes itself.
pub(crate) const NO_SESSION: &str = "the host answers nothing while a plugin describes itself or renders a report";

/// How often a guest may ask in vain once the session is over.
const MOST_REFUSED: u32 = 100;

/// The most bytes of a log line that are shown.
const LOG_LINE: usize = 2_000;

impl State {
    pub(crate) fn new(
        plugin: &str,
        limits: &Limits,
        task: Task,
        session: Option<Session>,
        gpus: Arc<dyn Gpus>,
        log: Arc<dyn LogSink>,
    ) -> Self {
        let written = Captured::default();
        let seed = session.as_ref().map_or(0, Session::seed);
        let stop = session.as_ref().map(Session::stop_flag).unwrap_or_default();
        let mut table = ResourceTable::new();
        // Handles of the contract and of WASI; wasmtime's own limit on handles is set to the same.
        table.set_max_capacity(MOST_HANDLES);
        Self {
            plugin: plugin.to_owned(),
            table,
            memory: MemoryLimiter::new(limits.memory),
            clock: GuestClock::new(*limits, task, stop),
            wasi: wasi::context(seed, &written),
            written,
            session,
            gpus,
            log,
            log_lines: 0,
            plans: 0,
            most_plans: limits.memory,
            refused: 0,
            taken: 0,
            given: 0,
            in_runs: Duration::ZERO,
            most_log_lines: limits.log_lines,
        }
    }

    /// Counts a value that the guest handed over.
    pub(crate) fn take(&mut self, value: &impl Payload) {
        self.taken += value.bytes();
    }

    /// Counts a value that the guest gets.
    pub(crate) fn give<T: Payload>(&mut self, value: T) -> T {
        self.given += value.bytes();
        value
    }

    /// Does work of the session, in which the guest must not run, and notes whether it did. The model's time and memory in it are
    /// not the guest's; the rest, such as encoding prompts, is.
    pub(crate) fn in_session<T>(
        &mut self,
        work: impl FnOnce(&mut Session) -> Result<T, MeasureError>,
    ) -> Result<T, model::Error> {
        let Some(session) = &mut self.session else { return Err(model::Error::Invalid(NO_SESSION.into())) };
        let (guest, held, busy) = (self.clock.spent(), resident::resident(), session.busy());
        let done = work(session);
        self.clock.excuse(session.busy().saturating_sub(busy), held);
        self.in_runs += self.clock.spent().saturating_sub(guest);
        done.map_err(convert::measure_error)
    }

    /// What the guest cost so far.
    pub(crate) fn cost(&self, load_time: Duration) -> PluginCost {
        PluginCost {
            load_time: load_time.as_secs_f64(),
            guest_time: self.clock.spent().as_secs_f64(),
            guest_time_in_runs: self.in_runs.as_secs_f64(),
            host_calls: self.clock.calls(),
            bytes_to_host: self.taken,
            bytes_to_guest: self.given,
            memory_peak: self.memory.used() as u64,
        }
    }

    /// Counts a plan against the guest's memory.
    pub(crate) fn hold(&mut self, plan: &Plan) -> Result<(), LimitError> {
        self.plans += bytes(plan);
        if self.plans > self.most_plans {
            return Err(LimitError(format!(
                "its plans take more than {} bytes of the host's memory; allow more with --max-memory",
                self.most_plans
            )));
        }
        Ok(())
    }

    /// Takes a dropped plan off the count.
    pub(crate) fn let_go(&mut self, plan: &Plan) {
        self.plans = self.plans.saturating_sub(bytes(plan));
    }

    /// Ends a guest that goes on asking after it was told that nothing more is served.
    pub(crate) fn refuse_for_ever(&mut self) -> Result<(), LimitError> {
        if self.session.as_ref().is_some_and(|session| session.broken().is_some()) {
            self.refused += 1;
        }
        if self.refused > MOST_REFUSED {
            return Err(LimitError("it went on asking for runs after it was told that nothing more is served".into()));
        }
        Ok(())
    }

    pub(crate) fn log(&mut self, level: LogLevel, message: &str) -> Result<(), LimitError> {
        let message = cut(message, LOG_LINE);
        let message = visible(&message);
        // Each with the plugin's name, so that none looks like the host's own, and each counts.
        for line in message.lines().chain(message.is_empty().then_some("")) {
            self.log_lines += 1;
            if self.log_lines > self.most_log_lines {
                return Err(LimitError(format!(
                    "it logged more than {} lines; allow more with --max-log-lines",
                    self.most_log_lines
                )));
            }
            self.log.log(&self.plugin, level, line);
        }
        Ok(())
    }
}

/// About what a plan takes.
fn bytes(plan: &Plan) -> usize {
    let prompt = |request: &harness_core::Request| match &request.prompt {
        Prompt::Text(text) => text.len(),
        Prompt::Tokens(tokens) => size_of_val(tokens.as_slice()),
        Prompt::Synthetic(_) => 0,
    };
    let requests: usize = plan.requests.iter().map(|request| size_of_val(request) + prompt(request)).sum();
    size_of::<Plan>() + requests
}

/// Handles that a guest can hold at once: a recording of ten thousand runs fits several times.
pub(crate) const MOST_HANDLES: usize = 100_000;

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
