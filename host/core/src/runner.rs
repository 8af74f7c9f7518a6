//! Serves one plan and measures it.
//!
//! Between the start of the first measured iteration and the end of the last only the backend, the clock and the
//! sensors work: everything else here happens before or after.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::aggregation::Aggregation;
use crate::backend::{Backend, MemoryKind, Served};
use crate::clock::Clock;
use crate::control::{Progress, StopFlag};
use crate::error::{MeasureError, Stop};
use crate::metric::{self, Source, name};
use crate::plan::Plan;
use crate::request::TokenRequest;
use crate::roofline::{Roofline, Steps};
use crate::run::{Run, Series};
use crate::sensors::{SensorLog, Sensors};
use crate::warmup::Warmup;

/// What works during a run.
pub(crate) struct Window<'a> {
    pub(crate) backend: &'a mut dyn Backend,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) sensors: &'a mut dyn Sensors,
    /// Or why there is none.
    pub(crate) roofline: Result<&'a Roofline, &'a String>,
    pub(crate) served: &'a mut Served,
    pub(crate) progress: &'a Progress,
    pub(crate) stop: &'a StopFlag,
    /// `None` is no limit.
    pub(crate) deadline: Option<Instant>,
    /// What the deadline comes of, for its message.
    pub(crate) wall_time: Duration,
    /// How many more samples the recording takes.
    pub(crate) samples: u64,
    /// How many it takes in all, for the message.
    pub(crate) max_samples: u64,
}

/// What the measured loop notes, all of it allocated before the loop starts.
struct Log {
    latency: Vec<f64>,
    first_token: Vec<f64>,
    inter_token: Vec<f64>,
    device_time: Vec<f64>,
    prompt_tokens: Vec<f64>,
    new_tokens: Vec<f64>,
    starts: Vec<f64>,
    steps: Steps,
}

/// Why nothing is known of decoding.
const NO_STEP: &str = "no request gave more than one token";
/// Past this many inter-token samples the log grows as it goes instead of all at once.
const MOST_PREALLOCATED: usize = 1 << 22;

impl Log {
    fn new(iterations: usize, most_new_tokens: usize) -> Self {
        let per_iteration = || Vec::with_capacity(iterations.min(MOST_PREALLOCATED));
        let tokens = iterations.saturating_mul(most_new_tokens.saturating_sub(1));
        Self {
            latency: per_iteration(),
            first_token: per_iteration(),
            inter_token: Vec::with_capacity(tokens.min(MOST_PREALLOCATED)),
            device_time: per_iteration(),
            prompt_tokens: per_iteration(),
            new_tokens: per_iteration(),
            starts: per_iteration(),
            steps: Steps::default(),
        }
    }

    fn note(&mut self, start: Duration, latency: Duration, requests: &[&TokenRequest], served: &Served) {
        self.starts.push(start.as_secs_f64());
        self.latency.push(latency.as_secs_f64());
        if let Some(first) = served.token_times.first() {
            self.first_token.push(first.as_secs_f64());
        }
        for pair in served.token_times.windows(2) {
            if let [before, after] = pair {
                self.inter_token.push(after.saturating_sub(*before).as_secs_f64());
            }
        }
        if let Some(time) = served.device_time {
            self.device_time.push(time.as_secs_f64());
        }
        self.prompt_tokens.push(requests.iter().map(|r| r.prompt.len()).sum::<usize>() as f64);
        self.new_tokens.push(new_tokens(served) as f64);
        self.steps.note(requests, served.sequences.iter().map(|sequence| sequence.tokens.len()));
    }

    /// About how many samples it has.
    fn samples(&self) -> u64 {
        (5 * self.latency.len() + self.inter_token.len()) as u64
    }
}

fn new_tokens(served: &Served) -> u64 {
    served.sequences.iter().map(|s| s.tokens.len() as u64).sum()
}

/// Serves the plan's warm-up and its measured iterations.
pub(crate) fn run(plan: &Plan, requests: &[TokenRequest], window: Window<'_>) -> Result<Run, MeasureError> {
    let Window { backend, clock, sensors, roofline, served, progress, stop, deadline, wall_time, samples, max_samples } =
        window;
    let most_new_tokens = requests.iter().map(|r| r.max_new_tokens as usize).max().unwrap_or(0);
    let batch = plan.batch as usize;
    let mut log = Log::new(plan.iterations as usize, most_new_tokens);
    let mut together = Vec::with_capacity(batch);
    // More seconds than a `Duration` holds are no limit.
    let time_limit = plan.time_limit.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let go_on = || {
        if stop.is_set() {
            return Err(Stop::Interrupted.into());
        }
        match deadline {
            Some(deadline) if Instant::now() > deadline => Err(Stop::WallTime { limit: wall_time }.into()),
            _ => Ok(()),
        }
    };

    let mut warmup = Warmup::new(plan);
    let warmup_start = clock.now();
    while warmup.goes_on() {
        go_on()?;
        choose(requests, warmup.served as usize, batch, &mut together);
        let start = clock.now();
        backend.serve(&together, clock, served)?;
        warmup.note(clock.now().saturating_sub(start));
        advance(progress, served);
    }
    let warmup_time = clock.now().saturating_sub(warmup_start);
    progress.warmup.store(warmup.served, Ordering::Relaxed);

    backend.reset_peak_memory();
    sensors.start();
    let first_start = clock.now();
    let mut last_end = first_start;
    let mut iteration = 0;
    let outcome: Result<(), MeasureError> = loop {
        // Of the end of the iteration before, so that a limit costs no reading of the clock.
        let time_is_up = time_limit.is_some_and(|limit| last_end.saturating_sub(first_start) >= limit);
        if iteration == plan.iterations || (iteration > 0 && time_is_up) {
            break Ok(());
        }
        if let Err(error) = go_on() {
            break Err(error);
        }
        choose(requests, iteration as usize, batch, &mut together);
        let start = clock.now();
        if let Err(error) = backend.serve(&together, clock, served) {
            break Err(error.into());
        }
        last_end = clock.now();
        if let Err(error) = backend.note_device_time(served) {
            break Err(error.into());
        }
        log.note(start.saturating_sub(first_start), last_end.saturating_sub(start), &together, served);
        advance(progress, served);
        if log.samples() > samples {
            break Err(Stop::Samples { max: max_samples }.into());
        }
        iteration += 1;
    };
    // Sampling ends also where the run failed, or the thread would go on for ever.
    let sensed = sensors.stop();
    outcome?;

    let mut run = sum_up(plan, iteration, log, last_end.saturating_sub(first_start), backend, roofline, sensed);
    run.warmup = warmup.served;
    run.warmup_time = Some(warmup_time.as_secs_f64());
    run.warmup_steady = warmup.steady();
    Ok(run)
}

fn advance(progress: &Progress, served: &Served) {
    progress.iterations.fetch_add(1, Ordering::Relaxed);
    progress.tokens.fetch_add(new_tokens(served), Ordering::Relaxed);
}

fn choose<'a>(requests: &'a [TokenRequest], iteration: usize, batch: usize, together: &mut Vec<&'a TokenRequest>) {
    together.clear();
    let first = iteration.wrapping_mul(batch);
    together.extend((0..batch).filter_map(|i| requests.get((first.wrapping_add(i)) % requests.len())));
}

fn sum_up(
    plan: &Plan,
    iterations: u32,
    log: Log,
    wall: Duration,
    backend: &mut dyn Backend,
    roofline: Result<&Roofline, &String>,
    sensed: SensorLog,
) -> Run {
    let mut run = Run {
        label: plan.label.clone(),
        iterations,
        asked: (iterations < plan.iterations).then_some(plan.iterations),
        time_limit: plan.time_limit,
        batch: plan.batch,
        wall_time: wall.as_secs_f64(),
        ..Run::default()
    };
    let wall = wall.as_secs_f64();
    let new_tokens: f64 = log.new_tokens.iter().sum();
    let requests = f64::from(iterations) * f64::from(plan.batch);
    // A virtual clock may stand still; a rate over no time is no figure.
    if wall > 0.0 {
        run.values.insert(name::throughput.into(), requests / wall);
        run.values.insert(name::tokens_per_second.into(), new_tokens / wall);
    } else {
        for rate in [name::throughput, name::tokens_per_second] {
            run.absent.insert(rate.into(), "the clock did not move during the run".into());
        }
    }
    let no_gaps = log.inter_token.is_empty();
    share_of_limit(&mut run, &log, roofline);
    phases(&mut run, &log);
    let series = [
        (name::latency, log.latency, log.starts),
        (name::time_to_first_token, log.first_token, Vec::new()),
        (name::inter_token_latency, log.inter_token, Vec::new()),
        (name::device_time, log.device_time, Vec::new()),
        (name::prompt_tokens, log.prompt_tokens, Vec::new()),
        (name::new_tokens, log.new_tokens, Vec::new()),
    ];
    for (metric, values, times) in series {
        aggregate(&mut run, metric.to_owned(), Series { values, times });
    }
    if no_gaps {
        run.absent.insert(name::inter_token_latency.into(), NO_STEP.into());
    }
    if let Some(reason) = backend.no_device_time() {
        run.absent.insert(name::device_time.into(), reason.clone());
        run.absent.insert(name::host_overhead.into(), reason);
    }
    if let (Some(latency), Some(device)) = (run.values.get(name::latency), run.values.get(name::device_time)) {
        run.values.insert(name::host_overhead.into(), latency - device);
    }
    memory(&mut run, backend);
    sensors(&mut run, sensed, new_tokens);
    order(&mut run);
    run
}

/// Prefill and decode apart.
fn phases(run: &mut Run, log: &Log) {
    let prefill = rate(log.prompt_tokens.iter().sum(), &log.first_token, "no request gave a token");
    note(run, name::prefill_throughput, prefill.map_err(str::to_owned));
    let decode = rate(log.steps.tokens() as f64, &log.inter_token, NO_STEP);
    note(run, name::decode_throughput, decode.map_err(str::to_owned));
}

/// How near decoding came to what the memory allows.
fn share_of_limit(run: &mut Run, log: &Log, roofline: Result<&Roofline, &String>) {
    let share = match roofline {
        Err(why) => Err(why.as_str()),
        Ok(Roofline { bandwidth, traffic }) => {
            rate(log.steps.bytes(traffic), &log.inter_token, NO_STEP).map(|reached| reached / bandwidth.rate)
        }
    };
    note(run, name::memory_limit_share, share.map_err(str::to_owned));
}

/// An amount over the sum of times; `none` where there are none.
fn rate(amount: f64, times: &[f64], none: &'static str) -> Result<f64, &'static str> {
    let time: f64 = times.iter().sum();
    match times.is_empty() {
        true => Err(none),
        false if time <= 0.0 => Err("the clock did not move"),
        false => Ok(amount / time),
    }
}

/// A metric whose value is made of its samples, by its own rule.
fn aggregate(run: &mut Run, metric: String, series: Series) {
    let rule = metric::definition(&metric).map_or(Aggregation::Mean, |definition| definition.aggregation);
    if let Some(value) = rule.of_samples(&series.values, None) {
        run.values.insert(metric.clone(), value);
        run.samples.insert(metric, series);
    }
}

fn memory(run: &mut Run, backend: &mut dyn Backend) {
    let device = [name::memory_allocated, name::memory_peak];
    let resident = [name::resident_memory, name::resident_memory_peak];
    match backend.memory() {
        Ok(memory) => {
            let (present, absent, why) = match memory.kind {
                MemoryKind::Device => (device, resident, "the model does not run on the CPU"),
                MemoryKind::Resident => (resident, device, "the model runs on the CPU"),
            };
            for (metric, bytes) in present.into_iter().zip([memory.allocated, memory.peak]) {
                run.values.insert(metric.into(), bytes as f64);
            }
            run.absent.extend(absent.map(|metric| (metric.to_owned(), why.to_owned())));
        }
        Err(reason) => {
            run.absent.extend(device.into_iter().chain(resident).map(|metric| (metric.to_owned(), reason.clone())));
        }
    }
}

fn sensors(run: &mut Run, sensed: SensorLog, new_tokens: f64) {
    for (metric, series) in sensed.series {
        aggregate(run, metric, series);
    }
    run.values.extend(sensed.values);
    run.absent.extend(sensed.absent);
    let requests = f64::from(run.iterations) * f64::from(run.batch);
    for (metric, count) in [(name::energy_per_request, requests), (name::energy_per_token, new_tokens)] {
        let share = match run.values.get(name::energy) {
            Some(energy) if count > 0.0 => Ok(energy / count),
            Some(_) => Err("no token was generated".to_owned()),
            None => Err(run.absent.get(name::energy).cloned().unwrap_or_else(|| "no energy was measured".into())),
        };
        note(run, metric, share);
    }
}

/// A figure, or why there is none.
fn note(run: &mut Run, metric: &str, figure: Result<f64, String>) {
    match figure {
        Ok(value) => {
            run.values.insert(metric.to_owned(), value);
            run.absent.shift_remove(metric);
        }
        Err(reason) => drop(run.absent.insert(metric.to_owned(), reason)),
    }
}

/// Puts metrics into the order of [`metric::METRICS`], drops what is no finite number, and says of every metric of the
/// list that has no value why.
fn order(run: &mut Run) {
    let place = |name: &str| metric::METRICS.iter().position(|m| m.name == name).unwrap_or(usize::MAX);
    run.values.retain(|_, value| value.is_finite());
    run.values.sort_by(|a, _, b, _| place(a).cmp(&place(b)));
    run.samples.sort_by(|a, _, b, _| place(a).cmp(&place(b)));
    for metric in metric::METRICS {
        if run.values.contains_key(metric.name) {
            run.absent.shift_remove(metric.name);
        } else if !run.absent.contains_key(metric.name) {
            let reason = match metric.source {
                Source::Sensor => "the GPU's driver gave no reading during the run",
                _ => "the backend does not measure it",
            };
            run.absent.insert(metric.name.into(), reason.into());
        }
    }
    run.absent.sort_by(|a, _, b, _| place(a).cmp(&place(b)));
}

#[cfg(test)]
mod tests;
