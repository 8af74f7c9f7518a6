//! Stand-ins for the host, so that plugins have unit tests that run natively, with no host, model or wasm.

use std::cell::RefCell;

use crate::statistics::Steadiness;
use crate::{
    Absence, Description, Ending, Extent, Facts, Finish, Generation, Gpu, GpuState, Host, Metric, ModelError,
    ModelInfo, Plan, Reading, Recording, Request, Run, Settings, metrics,
};

/// The described settings at their defaults, but for those given.
///
/// # Panics
///
/// When a given one is not described.
#[allow(clippy::panic)]
pub fn settings(description: &Description, given: &[(&str, &str)]) -> Settings {
    if let Some((name, _)) =
        given.iter().find(|(name, _)| !description.settings.iter().any(|known| known.name == *name))
    {
        panic!("{} describes no setting '{name}'", description.name);
    }
    let value = |name: &str, default: &str| {
        given.iter().find(|(given, _)| *given == name).map_or(default, |(_, value)| value).to_owned()
    };
    let values = description.settings.iter();
    Settings::new(values.map(|known| (known.name.clone(), value(&known.name, &known.default))).collect())
}

/// A host that records what it is asked for and answers what it is told to.
pub struct FakeHost {
    model: ModelInfo,
    answer: Answer,
    plans: RefCell<Vec<Plan>>,
}

type Answer = Box<dyn Fn(&Plan) -> Result<FakeRun, ModelError>>;

impl FakeHost {
    /// A host whose runs have a latency of 100 ms and a throughput that fits, on a model of GPT-2's size. A plan's time limit ends
    /// them when it would end real ones that are as fast.
    pub fn new() -> Self {
        Self { model: gpt2(), answer: Box::new(|plan| Ok(steady_run(plan))), plans: RefCell::default() }
    }

    /// Makes every measured run what `answer` returns for its plan.
    #[must_use]
    pub fn answering(mut self, answer: impl Fn(&Plan) -> Result<FakeRun, ModelError> + 'static) -> Self {
        self.answer = Box::new(answer);
        self
    }

    /// Sets the model.
    #[must_use]
    pub fn with_model(mut self, model: ModelInfo) -> Self {
        self.model = model;
        self
    }

    /// The plans that were measured so far.
    pub fn plans(&self) -> Vec<Plan> {
        self.plans.borrow().clone()
    }
}

impl Default for FakeHost {
    fn default() -> Self {
        Self::new()
    }
}

impl Host for FakeHost {
    fn model(&self) -> ModelInfo {
        self.model.clone()
    }

    /// A token a byte.
    fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        Ok(text.bytes().map(u32::from).collect())
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, ModelError> {
        let bytes: Option<Vec<u8>> = tokens.iter().map(|&token| u8::try_from(token).ok()).collect();
        let bytes = bytes.ok_or_else(|| ModelError::Invalid("the fake model has only the tokens 0 to 255".into()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// As many times the letter `a` as were asked for.
    fn generate(&self, request: &Request) -> Result<Generation, ModelError> {
        let count = request.max_new_tokens as usize;
        Ok(Generation {
            tokens: vec![u32::from(b'a'); count],
            text: "a".repeat(count),
            finish: Finish::Length,
            latency: LATENCY,
            token_times: (1..=count).map(|token| LATENCY * token as f64 / count as f64).collect(),
        })
    }

    fn measure(&self, plan: &Plan) -> Result<Box<dyn Run>, ModelError> {
        self.plans.borrow_mut().push(plan.clone());
        (self.answer)(plan).map(|run| Box::new(run) as Box<dyn Run>)
    }

    /// None.
    fn gpus(&self) -> Vec<Gpu> {
        Vec::new()
    }

    fn gpu_state(&self, index: u32) -> Result<GpuState, String> {
        Err(format!("there is no GPU {index}"))
    }
}

/// Seconds.
const LATENCY: f64 = 0.1;
/// Iterations after which a host that is always as fast is found steady.
const STEADY: u32 = Steadiness::FEWEST as u32;

fn steady_run(plan: &Plan) -> FakeRun {
    let within = |seconds: f64| ((seconds / LATENCY).ceil() as u32).max(1);
    let warmup = plan.warmup_until_steady.map_or(plan.warmup, |most| plan.warmup.max(most.min(STEADY)));
    let iterations = plan.time_limit.map_or(plan.iterations, |limit| plan.iterations.min(within(limit)));
    let samples = vec![LATENCY; iterations as usize];
    FakeRun::new(&plan.label)
        .extent(Extent {
            iterations,
            asked: plan.iterations,
            warmup,
            warmup_time: Some(f64::from(warmup) * LATENCY),
            warmup_steady: plan.warmup_until_steady.map(|most| most.max(plan.warmup) >= STEADY),
            batch: plan.batch,
            wall_time: f64::from(iterations) * LATENCY,
            time_limit: plan.time_limit,
            ending: if iterations < plan.iterations { Ending::TimeLimit } else { Ending::AllServed },
        })
        .value(&metrics::THROUGHPUT, f64::from(plan.batch) / LATENCY)
        .value(&metrics::LATENCY, LATENCY)
        .samples(&metrics::LATENCY, &samples)
        .value(&metrics::TIME_TO_FIRST_TOKEN, LATENCY / 10.0)
}

fn gpt2() -> ModelInfo {
    ModelInfo {
        name: "gpt2".into(),
        backend: "simulated".into(),
        device: "virtual".into(),
        dtype: "f32".into(),
        weights: "synthetic:0".into(),
        parameters: 124_439_808,
        layers: 12,
        heads: 12,
        width: 768,
        vocabulary: 50_257,
        context: 1024,
    }
}

/// A run with set figures.
#[derive(Clone, Debug, Default)]
pub struct FakeRun {
    label: String,
    extent: Option<Extent>,
    values: Vec<(Metric, f64)>,
    samples: Vec<(String, Vec<f64>)>,
    times: Vec<(String, Vec<f64>)>,
    absences: Vec<Absence>,
}

impl FakeRun {
    /// A run without figures.
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), ..Self::default() }
    }

    /// Sets how much it served; unless set it is what the contract's defaults ask for, in no time.
    #[must_use]
    pub fn extent(mut self, extent: Extent) -> Self {
        self.extent = Some(extent);
        self
    }

    /// Adds a metric's figure, in its unit.
    #[must_use]
    pub fn value(mut self, metric: &Metric, value: f64) -> Self {
        self.values.push((metric.clone(), value));
        self
    }

    /// Adds a metric's samples, in its unit.
    #[must_use]
    pub fn samples(mut self, metric: &Metric, samples: &[f64]) -> Self {
        self.samples.push((metric.name.to_string(), samples.to_vec()));
        self
    }

    /// Adds when the samples were taken, in seconds from the start of the run.
    #[must_use]
    pub fn times(mut self, metric: &Metric, times: &[f64]) -> Self {
        self.times.push((metric.name.to_string(), times.to_vec()));
        self
    }

    /// Adds a metric that could not be measured.
    #[must_use]
    pub fn absent(mut self, metric: &str, reason: &str) -> Self {
        self.absences.push(Absence { metric: metric.into(), reason: reason.into() });
        self
    }
}

fn series(of: &[(String, Vec<f64>)], metric: &str) -> Option<Vec<f64>> {
    of.iter().find(|(name, _)| name == metric).map(|(_, values)| values.clone())
}

impl Run for FakeRun {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn extent(&self) -> Extent {
        self.extent.unwrap_or(Extent {
            iterations: 100,
            asked: 100,
            warmup: 3,
            warmup_time: None,
            warmup_steady: None,
            batch: 1,
            wall_time: 0.0,
            time_limit: None,
            ending: Ending::AllServed,
        })
    }

    fn metrics(&self) -> Vec<Metric> {
        self.values.iter().map(|(metric, _)| metric.clone()).collect()
    }

    fn value(&self, metric: &str) -> Option<f64> {
        self.values.iter().find(|(known, _)| known.name == metric).map(|(_, value)| *value)
    }

    fn samples(&self, metric: &str) -> Option<Vec<f64>> {
        series(&self.samples, metric)
    }

    fn times(&self, metric: &str) -> Option<Vec<f64>> {
        series(&self.times, metric)
    }

    fn absences(&self) -> Vec<Absence> {
        self.absences.clone()
    }
}

/// A recording with set facts, runs and readings.
#[derive(Clone, Debug, Default)]
pub struct FakeRecording {
    facts: Vec<(String, String)>,
    runs: Vec<FakeRun>,
    summary: Vec<Reading>,
}

impl FakeRecording {
    /// An empty recording.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fact.
    #[must_use]
    pub fn fact(mut self, name: &str, value: &str) -> Self {
        self.facts.push((name.into(), value.into()));
        self
    }

    /// Adds a run.
    #[must_use]
    pub fn run(mut self, run: FakeRun) -> Self {
        self.runs.push(run);
        self
    }

    /// Adds a reading to the summary.
    #[must_use]
    pub fn reading(mut self, reading: Reading) -> Self {
        self.summary.push(reading);
        self
    }
}

impl Recording for FakeRecording {
    fn facts(&self) -> Facts {
        self.facts.iter().cloned().collect()
    }

    fn runs(&self) -> Vec<Box<dyn Run>> {
        self.runs.iter().map(|run| Box::new(run.clone()) as Box<dyn Run>).collect()
    }

    fn summary(&self) -> Vec<Reading> {
        self.summary.clone()
    }
}
