//! One invocation: the model, the sensors and the recording, and the only way in which anything of them is used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::backend::{Backend, BackendError, ModelInfo, Served};
use crate::clock::Clock;
use crate::cost::PluginCost;
use crate::format::plural;
use crate::plan::Plan;
use crate::recording::{Recorder, RecordingError};
use crate::request::{Finish, Request, TokenRequest};
use crate::roofline::Roofline;
use crate::run::Run;
use crate::runner::{self, Window};
use crate::sensors::Sensors;
use crate::tokenizer::Tokenizer;
use crate::vigil::{Standstill, Vigil};

/// Why the host did not serve or record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeasureError {
    /// The request or plan can't be served.
    #[error("{0}")]
    Invalid(String),
    /// Prompt and new tokens do not fit the context.
    #[error("{0}")]
    TooLong(String),
    /// The device has too little memory.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// The device failed; nothing more can be measured.
    #[error("the device failed: {0}")]
    DeviceLost(String),
    /// The user, a time limit or a work budget ended it.
    #[error("{0}")]
    Stopped(String),
}

impl From<BackendError> for MeasureError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Invalid(message) => Self::Invalid(message),
            BackendError::OutOfMemory(message) => Self::OutOfMemory(message),
            BackendError::DeviceLost(message) => Self::DeviceLost(message),
        }
    }
}

/// Set from outside to end the invocation after the present iteration.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Asks for the end.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the end was asked for.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How much an invocation may do.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Iterations of all runs, warm-up included, and generations outside runs.
    pub iterations: u64,
    /// Wall time of the whole invocation.
    pub wall_time: Duration,
    /// Runs.
    pub runs: u64,
    /// Bytes of the recording, at most [`Recording::MAX_BYTES`](crate::Recording::MAX_BYTES).
    pub recording: u64,
}

impl Default for Budget {
    /// More than an honest test of a day needs.
    fn default() -> Self {
        Self { iterations: 10_000_000, wall_time: Duration::from_secs(24 * 3600), runs: 10_000, recording: 1 << 30 }
    }
}

/// What an invocation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Finished runs.
    pub runs: u64,
    /// Iterations, warm-up included, and generations outside runs.
    pub iterations: u64,
    /// New tokens of all sequences.
    pub new_tokens: u64,
    /// Prompt tokens of the first request.
    pub first_prompt: Option<usize>,
    /// Whether how much a plan serves depends on what the model does: see [`Plan::is_open`].
    pub open: bool,
    /// Requests that the first iteration serves together.
    pub first_batch: Option<u32>,
}

/// The state of the running run, for a display that lives in another thread: the measured window only stores two numbers.
#[derive(Debug)]
pub struct Progress {
    /// Iterations served in this run, warm-up included.
    pub iterations: AtomicU32,
    /// New tokens of this run.
    pub tokens: AtomicU64,
    /// Iterations of warm-up, once it has ended; [`WARMING_UP`](Self::WARMING_UP) before.
    pub warmup: AtomicU32,
}

impl Progress {
    /// That warm-up goes on.
    pub const WARMING_UP: u32 = u32::MAX;
}

impl Default for Progress {
    fn default() -> Self {
        Self { iterations: AtomicU32::new(0), tokens: AtomicU64::new(0), warmup: AtomicU32::new(Self::WARMING_UP) }
    }
}

/// Told of what happens outside measured windows.
pub trait Observer: Send + Sync {
    /// A run starts.
    fn run_started(&self, index: usize, plan: &Plan, progress: &Arc<Progress>);
    /// A run is on disk.
    fn run_finished(&self, index: usize, run: &Run);
}

/// What a generation outside a run gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// The tokens it started from.
    pub prompt: Vec<u32>,
    /// The new tokens.
    pub tokens: Vec<u32>,
    /// The new tokens decoded.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// From the request to its last token in host memory.
    pub latency: Duration,
    /// From the request to the k-th token.
    pub token_times: Vec<Duration>,
}

/// The model, the sensors and the recording of one invocation.
pub struct Session {
    backend: Box<dyn Backend>,
    tokenizer: Arc<dyn Tokenizer>,
    clock: Arc<dyn Clock>,
    sensors: Box<dyn Sensors>,
    roofline: Option<Roofline>,
    vigil: Option<Vigil>,
    recorder: Recorder,
    observer: Option<Arc<dyn Observer>>,
    stop: StopFlag,
    budget: Budget,
    /// Wall time is real also where the model's clock is virtual.
    started: std::time::Instant,
    seed: u64,
    work: Work,
    /// Time in which the model worked and what it did was recorded.
    busy: Duration,
    /// Samples of all runs.
    samples: u64,
    served: Served,
    /// The first failure after which nothing more can be measured or recorded.
    broken: Option<Broken>,
}

/// Tokens of all prompts of a plan: the host holds them while it measures.
const MOST_PROMPT_TOKENS: usize = 1 << 24;
/// Samples of all runs of a recording, which the host holds, too: a test of a day, and no more memory than a process has.
const MOST_SAMPLES: u64 = 20_000_000;

/// Why a session can't go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Broken {
    /// The device or a limit.
    #[error(transparent)]
    Measure(MeasureError),
    /// The recording could not be written.
    #[error(transparent)]
    Recording(Arc<RecordingError>),
}

impl Session {
    /// A session that has recorded nothing yet.
    pub fn new(
        backend: Box<dyn Backend>,
        tokenizer: Arc<dyn Tokenizer>,
        clock: Arc<dyn Clock>,
        sensors: Box<dyn Sensors>,
        mut recorder: Recorder,
        seed: u64,
        budget: Budget,
    ) -> Self {
        recorder.limit(budget.recording);
        Self {
            backend,
            tokenizer,
            clock,
            sensors,
            roofline: None,
            vigil: None,
            recorder,
            observer: None,
            stop: StopFlag::default(),
            budget,
            started: std::time::Instant::now(),
            seed,
            work: Work::default(),
            busy: Duration::ZERO,
            samples: 0,
            served: Served::default(),
            broken: None,
        }
    }

    /// Measures every run's decoding against it.
    pub fn measure_against(&mut self, roofline: Roofline) {
        self.roofline = Some(roofline);
    }

    /// Notes in every run whether the process stood still in it.
    pub fn watch_by(&mut self, vigil: Vigil) {
        self.vigil = Some(vigil);
    }

    /// Tells `observer` of every run.
    pub fn observe(&mut self, observer: Arc<dyn Observer>) {
        self.observer = Some(observer);
    }

    /// Ends after the iteration in which `stop` is set.
    pub fn stop_on(&mut self, stop: StopFlag) {
        self.stop = stop;
    }

    /// What ends the session from outside.
    pub fn stop_flag(&self) -> StopFlag {
        self.stop.clone()
    }

    /// The model.
    pub fn model(&self) -> &ModelInfo {
        self.backend.info()
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Arc<dyn Tokenizer> {
        &self.tokenizer
    }

    /// The seed of synthetic prompts.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What was done so far.
    pub fn work(&self) -> Work {
        self.work
    }

    /// Real time in which the model worked, in runs and outside, and what it did was recorded. Making requests ready, such as
    /// encoding their prompts, is not in it.
    pub fn busy(&self) -> Duration {
        self.busy
    }

    /// The finished runs.
    pub fn runs(&self) -> &[Arc<Run>] {
        &self.recorder.recording().runs
    }

    /// Why the session can't go on, if it can't.
    pub fn broken(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }

    /// Records what the workload cost beside the model.
    pub fn plugin_cost(&mut self, cost: PluginCost) {
        self.recorder.plugin_cost(cost);
    }

    /// Ends the session.
    pub fn into_recorder(self) -> Recorder {
        self.recorder
    }

    /// Logits after the last prompt token.
    pub fn prompt_logits(&mut self, prompt: &[u32]) -> Result<Vec<f32>, MeasureError> {
        Ok(self.backend.prompt_logits(prompt)?)
    }

    /// Serves one request outside any run; nothing is recorded.
    pub fn generate(&mut self, request: &Request) -> Result<Generation, MeasureError> {
        self.admit(1)?;
        let request = request.resolve(self.backend.info(), &*self.tokenizer, self.seed, 0)?;
        let start = std::time::Instant::now();
        let result = self.serve_once(&request);
        self.busy += start.elapsed();
        self.note_failure(&result);
        result
    }

    fn serve_once(&mut self, request: &TokenRequest) -> Result<Generation, MeasureError> {
        let length = request.prompt.len() + request.max_new_tokens as usize;
        if request.max_new_tokens > 0 {
            self.backend.reserve(1, request.prompt.len(), length)?;
        }
        let start = self.clock.now();
        if request.max_new_tokens > 0 {
            self.backend.serve(&[request], &*self.clock, &mut self.served)?;
        } else {
            self.served.reset(1);
        }
        let latency = self.clock.now().saturating_sub(start);
        self.work.iterations += 1;
        self.work.first_prompt.get_or_insert(request.prompt.len());
        self.work.first_batch.get_or_insert(1);
        let sequence = self.served.sequences.first().cloned().unwrap_or_default();
        self.work.new_tokens += sequence.tokens.len() as u64;
        Ok(Generation {
            prompt: request.prompt.clone(),
            text: self.tokenizer.decode(&sequence.tokens).map_err(MeasureError::Invalid)?,
            tokens: sequence.tokens,
            finish: sequence.finish,
            latency,
            token_times: self.served.token_times.clone(),
        })
    }

    /// Serves a plan and records the run; when this returns, the run is on disk.
    pub fn measure(&mut self, plan: &Plan) -> Result<Arc<Run>, MeasureError> {
        plan.check()?;
        self.admit(u64::from(plan.iterations) + u64::from(plan.most_warmup()))?;
        let result = self.admit_run().and_then(|()| self.measure_admitted(plan));
        self.note_failure(&result);
        result
    }

    fn measure_admitted(&mut self, plan: &Plan) -> Result<Arc<Run>, MeasureError> {
        let requests = self.ready(plan)?;
        let start = std::time::Instant::now();
        let result = self.measure_ready(plan, &requests);
        self.busy += start.elapsed();
        result
    }

    /// The requests of a plan with the tokens of their prompts.
    fn ready(&self, plan: &Plan) -> Result<Vec<TokenRequest>, MeasureError> {
        let in_run = |error: MeasureError| error.in_run(&plan.label);
        let mut requests = Vec::new();
        let mut tokens = 0;
        for (request, index) in plan.requests.iter().zip(0..) {
            let request = request.resolve(self.backend.info(), &*self.tokenizer, self.seed, index).map_err(in_run)?;
            tokens += request.prompt.len();
            if tokens > MOST_PROMPT_TOKENS {
                return Err(in_run(MeasureError::Invalid(format!(
                    "its prompts have more than {MOST_PROMPT_TOKENS} tokens together; use fewer or shorter ones"
                ))));
            }
            requests.push(request);
        }
        Ok(requests)
    }

    fn measure_ready(&mut self, plan: &Plan, requests: &[TokenRequest]) -> Result<Arc<Run>, MeasureError> {
        let in_run = |error: MeasureError| error.in_run(&plan.label);
        // A batch is as long as its longest prompt and its longest generation together.
        let prompt = requests.iter().map(|r| r.prompt.len()).max().unwrap_or(0);
        let new = requests.iter().map(|r| r.max_new_tokens as usize).max().unwrap_or(0);
        let length = prompt + new;
        self.backend.reserve(plan.batch as usize, prompt, length).map_err(MeasureError::from).map_err(in_run)?;

        let index = self.runs().len();
        let progress = Arc::new(Progress::default());
        if let Some(observer) = &self.observer {
            observer.run_started(index, plan, &progress);
        }
        let window = Window {
            backend: &mut *self.backend,
            clock: &*self.clock,
            sensors: &mut *self.sensors,
            roofline: self.roofline.as_ref(),
            served: &mut self.served,
            progress: &progress,
            stop: &self.stop,
            deadline: self.started.checked_add(self.budget.wall_time),
            wall_time: self.budget.wall_time,
            samples: MOST_SAMPLES.saturating_sub(self.samples),
        };
        let before = self.vigil.as_ref().map(Vigil::so_far);
        let result = runner::run(plan, requests, window);
        let standstill = self.vigil.as_ref().zip(before).map(|(vigil, before)| vigil.since(before));
        self.work.first_prompt = self.work.first_prompt.or(requests.first().map(|r| r.prompt.len()));
        self.work.first_batch.get_or_insert(plan.batch);
        self.work.iterations += u64::from(progress.iterations.load(Ordering::Relaxed));
        self.work.open |= plan.is_open();
        self.work.new_tokens += progress.tokens.load(Ordering::Relaxed);
        let mut run = result.map_err(in_run)?;
        run.standstill = standstill.filter(Standstill::any);
        let run = Arc::new(run);
        self.samples += run.samples.values().map(|series| series.values.len() as u64).sum::<u64>();
        if let Err(error) = self.recorder.run(Arc::clone(&run)) {
            if let RecordingError::Full(message) = error {
                return Err(MeasureError::Stopped(message));
            }
            let error = Arc::new(error);
            let message = format!("the recording can't be written, so nothing more is measured: {error}");
            self.broken = Some(Broken::Recording(error));
            return Err(MeasureError::Stopped(message));
        }
        self.work.runs += 1;
        if let Some(observer) = &self.observer {
            observer.run_finished(index, &run);
        }
        Ok(run)
    }

    /// Whether so many more iterations may be served.
    fn admit(&mut self, iterations: u64) -> Result<(), MeasureError> {
        if let Some(broken) = &self.broken {
            return Err(match broken {
                Broken::Measure(error) => error.clone(),
                Broken::Recording(error) => MeasureError::Stopped(error.to_string()),
            });
        }
        let result = if self.stop.is_set() {
            Err(interrupted())
        } else if self.started.elapsed() > self.budget.wall_time {
            Err(out_of_time(self.budget.wall_time))
        } else if self.work.iterations.saturating_add(iterations) > self.budget.iterations {
            Err(MeasureError::Stopped(format!(
                "it asked for more than {} iterations in all ({} were served and {iterations} more were asked \
                 for); allow more with --max-iterations",
                self.budget.iterations, self.work.iterations
            )))
        } else {
            Ok(())
        };
        self.note_failure(&result);
        result
    }

    /// Whether one more run may be measured.
    fn admit_run(&self) -> Result<(), MeasureError> {
        if self.work.runs < self.budget.runs {
            return Ok(());
        }
        Err(MeasureError::Stopped(format!(
            "it asked for more than {}; allow more with --max-runs",
            plural(usize::try_from(self.budget.runs).unwrap_or(usize::MAX), "run")
        )))
    }

    fn note_failure<T>(&mut self, result: &Result<T, MeasureError>) {
        if let Err(error @ (MeasureError::DeviceLost(_) | MeasureError::Stopped(_))) = result
            && self.broken.is_none()
        {
            self.broken = Some(Broken::Measure(error.clone()));
        }
    }
}

impl MeasureError {
    /// Names the run in which it happened, where the message would otherwise not say where.
    fn in_run(self, label: &str) -> Self {
        let named = |message: String| format!("run '{label}': {message}");
        match self {
            Self::Invalid(message) => Self::Invalid(named(message)),
            Self::TooLong(message) => Self::TooLong(named(message)),
            Self::OutOfMemory(message) => Self::OutOfMemory(named(message)),
            Self::DeviceLost(message) => Self::DeviceLost(named(message)),
            Self::Stopped(message) => Self::Stopped(message),
        }
    }
}

pub(crate) fn too_many_samples() -> MeasureError {
    MeasureError::Stopped(format!(
        "a recording takes {MOST_SAMPLES} samples in all, and this would have more; ask for fewer iterations or new tokens"
    ))
}

pub(crate) fn interrupted() -> MeasureError {
    MeasureError::Stopped("interrupted".into())
}

pub(crate) fn out_of_time(limit: Duration) -> MeasureError {
    MeasureError::Stopped(format!(
        "the wall time of {} s for the whole recording is used up; allow more with --max-time",
        limit.as_secs_f64()
    ))
}
