//! One invocation: the model, the sensors and the recording, and the only way in which anything of them is used.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::control::{Budget, Progress, StopFlag};
use crate::cost::PluginCost;
use crate::error::{MeasureError, Stop};
use crate::model::ModelInfo;
use crate::plan::Plan;
use crate::recording::{Recorder, RecordingError};
use crate::request::{Request, TokenRequest};
use crate::roofline::Roofline;
use crate::run::Run;
use crate::runner::{self, Window};
use crate::sensors::Sensors;
use crate::server::{Generation, Server};
use crate::tokenizer::Tokenizer;
use crate::vigil::{Standstill, Vigil};

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

/// Told of what happens outside measured windows.
pub trait Observer: Send + Sync {
    /// A run starts.
    fn run_started(&self, index: usize, plan: &Plan, progress: &Arc<Progress>);
    /// A run is on disk.
    fn run_finished(&self, index: usize, run: &Run);
}

/// The model, the sensors and the recording of one invocation.
pub struct Session {
    server: Server,
    sensors: Box<dyn Sensors>,
    /// Or why there is none.
    roofline: Result<Roofline, String>,
    vigil: Option<Vigil>,
    recorder: Recorder,
    observer: Option<Arc<dyn Observer>>,
    stop: StopFlag,
    budget: Budget,
    /// Wall time is real also where the model's clock is virtual.
    started: std::time::Instant,
    work: Work,
    /// Time in which the model worked and what it did was recorded.
    busy: Duration,
    /// Samples of all runs.
    samples: u64,
    /// Runs that an earlier invocation recorded, with which the next plans are answered.
    recorded: VecDeque<Arc<Run>>,
    /// The first failure after which nothing more can be measured or recorded.
    broken: Option<Broken>,
}

/// Samples of all runs of a recording, which the host holds, too: a test of a day, and no more memory than a process has.
const MAX_SAMPLES: u64 = 20_000_000;

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
    pub fn new(server: Server, sensors: Box<dyn Sensors>, mut recorder: Recorder, budget: Budget) -> Self {
        recorder.limit(budget.recording);
        Self {
            server,
            sensors,
            roofline: Err("the memory's bandwidth was not measured".into()),
            vigil: None,
            recorder,
            observer: None,
            stop: StopFlag::default(),
            budget,
            started: std::time::Instant::now(),
            work: Work::default(),
            busy: Duration::ZERO,
            samples: 0,
            recorded: VecDeque::new(),
            broken: None,
        }
    }

    /// Answers the first plans with the runs that the recording has already, if they are those plans'.
    pub fn resume(&mut self) {
        self.recorded = self.runs().iter().cloned().collect();
    }

    /// Runs of an earlier invocation that no plan has asked for yet.
    pub fn unasked(&self) -> usize {
        self.recorded.len()
    }

    /// Measures every run's decoding against it; or says in every run why that is not done.
    pub fn measure_against(&mut self, roofline: Result<Roofline, String>) {
        self.roofline = roofline;
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
        self.server.model()
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Arc<dyn Tokenizer> {
        self.server.tokenizer()
    }

    /// The seed of synthetic prompts.
    pub fn seed(&self) -> u64 {
        self.server.seed()
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

    /// Serves one request outside any run; nothing is recorded.
    pub fn generate(&mut self, request: &Request) -> Result<Generation, MeasureError> {
        self.admit(1)?;
        let request = self.server.resolve(request, 0)?;
        let start = std::time::Instant::now();
        let result = self.server.generate(&request);
        self.busy += start.elapsed();
        if let Ok(generation) = &result {
            self.work.iterations += 1;
            self.work.first_prompt.get_or_insert(request.prompt.len());
            self.work.first_batch.get_or_insert(1);
            self.work.new_tokens += generation.tokens.len() as u64;
        }
        self.note_failure(&result);
        result
    }

    /// Serves a plan and records the run; when this returns, the run is on disk.
    pub fn measure(&mut self, plan: &Plan) -> Result<Arc<Run>, MeasureError> {
        plan.check()?;
        if let Some(recorded) = self.recorded.front() {
            return self.recorded(plan, &Arc::clone(recorded));
        }
        self.admit(u64::from(plan.iterations) + u64::from(plan.most_warmup()))?;
        let result = self.admit_run().and_then(|()| self.measure_admitted(plan));
        self.note_failure(&result);
        result
    }

    /// Answers a plan with a run that was recorded before.
    fn recorded(&mut self, plan: &Plan, run: &Arc<Run>) -> Result<Arc<Run>, MeasureError> {
        if run.plan.as_ref() != Some(&plan.digest()) {
            let result = Err(Stop::OtherPlan { label: plan.label.clone(), recorded: run.label.clone() }.into());
            self.note_failure(&result);
            return result;
        }
        self.admit(u64::from(run.iterations) + u64::from(run.warmup))?;
        self.admit_run()?;
        self.recorded.pop_front();
        self.work.runs += 1;
        self.work.iterations += u64::from(run.iterations) + u64::from(run.warmup);
        self.work.open |= plan.is_open();
        self.samples += samples_of(run);
        Ok(Arc::clone(run))
    }

    fn measure_admitted(&mut self, plan: &Plan) -> Result<Arc<Run>, MeasureError> {
        let requests = self.server.resolve_all(&plan.requests).map_err(|error| error.in_run(&plan.label))?;
        let start = std::time::Instant::now();
        let result = self.measure_ready(plan, &requests);
        self.busy += start.elapsed();
        result
    }

    fn measure_ready(&mut self, plan: &Plan, requests: &[TokenRequest]) -> Result<Arc<Run>, MeasureError> {
        let in_run = |error: MeasureError| error.in_run(&plan.label);
        self.server.reserve(plan.batch as usize, requests).map_err(in_run)?;

        let index = self.runs().len();
        let progress = Arc::new(Progress::default());
        if let Some(observer) = &self.observer {
            observer.run_started(index, plan, &progress);
        }
        let window = Window {
            backend: &mut *self.server.backend,
            clock: &*self.server.clock,
            sensors: &mut *self.sensors,
            roofline: self.roofline.as_ref(),
            served: &mut self.server.served,
            progress: &progress,
            stop: &self.stop,
            deadline: self.started.checked_add(self.budget.wall_time),
            wall_time: self.budget.wall_time,
            samples: MAX_SAMPLES.saturating_sub(self.samples),
            max_samples: MAX_SAMPLES,
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
        run.plan = Some(plan.digest());
        run.standstill = standstill.filter(Standstill::any);
        let run = Arc::new(run);
        self.samples += samples_of(&run);
        if let Err(error) = self.recorder.run(Arc::clone(&run)) {
            if let RecordingError::Full(stop) = error {
                return Err(stop.into());
            }
            let why = error.to_string();
            self.broken = Some(Broken::Recording(Arc::new(error)));
            return Err(Stop::Unrecorded { why }.into());
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
                Broken::Recording(error) => Stop::Unrecorded { why: error.to_string() }.into(),
            });
        }
        let Budget { iterations: max, wall_time: limit, .. } = self.budget;
        let served = self.work.iterations;
        let result: Result<(), MeasureError> = if self.stop.is_set() {
            Err(Stop::Interrupted.into())
        } else if self.started.elapsed() > limit {
            Err(Stop::WallTime { limit }.into())
        } else if served.saturating_add(iterations) > max {
            Err(Stop::Iterations { max, served, asked: iterations }.into())
        } else {
            Ok(())
        };
        self.note_failure(&result);
        result
    }

    /// Whether one more run may be measured.
    fn admit_run(&self) -> Result<(), MeasureError> {
        match self.work.runs < self.budget.runs {
            true => Ok(()),
            false => Err(Stop::Runs { max: self.budget.runs }.into()),
        }
    }

    fn note_failure<T>(&mut self, result: &Result<T, MeasureError>) {
        if let Err(error @ (MeasureError::DeviceLost(_) | MeasureError::Stopped(_))) = result
            && self.broken.is_none()
        {
            self.broken = Some(Broken::Measure(error.clone()));
        }
    }
}

fn samples_of(run: &Run) -> u64 {
    run.samples.values().map(|series| series.values.len() as u64).sum()
}
