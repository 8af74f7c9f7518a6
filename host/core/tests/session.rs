//! What a session makes of a model whose every figure is known: each metric of a run, the limits, and what is counted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness_core::recording::RecordingError;
use harness_core::roofline::{Roofline, Traffic};
use harness_core::session::Broken;
use harness_core::{
    Backend, BackendError, Bandwidth, Budget, Clock, Facts, Finish, MeasureError, Memory, MemoryKind, ModelInfo,
    NoSensors, Observer, Plan, PluginCost, Progress, Prompt, Recorder, Request, Run, SensorLog, Sensors, Series,
    Served, Server, Session, Status, StopFlag, StopTokens, TokenRequest, TokenTimes, Tokenizer, VirtualClock,
};

/// Milliseconds to the first token, from each token to the next, and in which the device works.
const FIRST: u64 = 30;
const NEXT: u64 = 10;
const DEVICE: u64 = 25;

/// What the model does other than to serve a batch in the times above.
#[derive(Clone, Default)]
struct Script {
    /// The clock stands still.
    timeless: bool,
    /// No sequence gets a token.
    silent: bool,
    no_device_time: bool,
    no_memory: bool,
    resident: bool,
    /// The device is lost from this call on, counted from 1.
    lost_at: Option<usize>,
    /// Set in this call, counted from 1.
    stop_in: Option<(usize, StopFlag)>,
    /// Seen in each call: the first tokens of the prompts.
    prompts: Arc<Mutex<Vec<Vec<u32>>>>,
    /// Seen in each call of `reserve`.
    reserved: Arc<Mutex<Vec<(usize, usize, usize)>>>,
}

struct Played {
    info: ModelInfo,
    clock: Arc<VirtualClock>,
    script: Script,
    calls: usize,
    peak: u64,
}

impl Backend for Played {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn reserve(&mut self, batch: usize, prompt: usize, length: usize) -> Result<(), BackendError> {
        self.script.reserved.lock().unwrap().push((batch, prompt, length));
        match batch > 8 {
            true => Err(BackendError::OutOfMemory("8 sequences at most".into())),
            false => Ok(()),
        }
    }

    fn serve(
        &mut self,
        requests: &[&TokenRequest],
        _clock: &dyn Clock,
        served: &mut Served,
    ) -> Result<(), BackendError> {
        self.calls += 1;
        if self.script.lost_at.is_some_and(|at| self.calls >= at) {
            return Err(BackendError::DeviceLost("gone".into()));
        }
        if let Some((at, stop)) = &self.script.stop_in
            && self.calls == *at
        {
            stop.set();
        }
        self.script.prompts.lock().unwrap().push(requests.iter().map(|request| request.prompt[0]).collect());
        served.reset(requests.len());
        self.peak = 900;
        let longest = requests.iter().map(|request| request.max_new_tokens).max().unwrap();
        let end = FIRST + NEXT * u64::from(longest - 1);
        if !self.script.silent {
            for (request, sequence) in requests.iter().zip(&mut served.sequences) {
                sequence.tokens.resize(request.max_new_tokens as usize, 65);
            }
            let times = (0..u64::from(longest)).map(|step| Duration::from_millis(FIRST + NEXT * step));
            served.token_times.extend(times);
        }
        if !self.script.timeless {
            self.clock.advance(Duration::from_millis(end));
        }
        served.device_time = (!self.script.no_device_time).then_some(Duration::from_millis(DEVICE));
        Ok(())
    }

    fn prompt_logits(&mut self, prompt: &[u32]) -> Result<Vec<f32>, BackendError> {
        Ok(prompt.iter().map(|&token| token as f32).collect())
    }

    fn memory(&mut self) -> Result<Memory, String> {
        if self.script.no_memory {
            return Err("no allocator tells".into());
        }
        let kind = if self.script.resident { MemoryKind::Resident } else { MemoryKind::Device };
        Ok(Memory { kind, allocated: 700, peak: self.peak })
    }

    fn reset_peak_memory(&mut self) {
        self.peak = 700;
    }

    fn no_device_time(&self) -> Option<String> {
        self.script.no_device_time.then(|| "it has no timer".into())
    }
}

/// A token a byte.
struct Bytes;

impl Tokenizer for Bytes {
    fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        Ok(text.bytes().map(u32::from).collect())
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, String> {
        Ok(tokens.iter().map(|&token| char::from_u32(token).unwrap()).collect())
    }
}

struct Metered(SensorLog);

impl Sensors for Metered {
    fn start(&mut self) {}

    fn stop(&mut self) -> SensorLog {
        self.0.clone()
    }
}

fn info() -> ModelInfo {
    ModelInfo {
        name: "played".into(),
        backend: "played".into(),
        device: "virtual".into(),
        dtype: "f32".into(),
        weights: "synthetic:1".into(),
        parameters: 1,
        layers: 1,
        heads: 1,
        width: 1,
        vocabulary: 256,
        context: 100,
        stop_tokens: StopTokens::NONE,
        token_times: TokenTimes::Host,
    }
}

fn session_with(script: Script, sensors: Box<dyn Sensors>, budget: Budget) -> Session {
    let clock = Arc::new(VirtualClock::default());
    let backend = Played { info: info(), clock: clock.clone(), script, calls: 0, peak: 0 };
    let server = Server::new(Box::new(backend), Arc::new(Bytes), clock, 7);
    Session::new(server, sensors, Recorder::in_memory(Facts::new()), budget)
}

fn no_sensors() -> Box<dyn Sensors> {
    Box::new(NoSensors { reason: "none are played".into() })
}

fn session(script: Script) -> Session {
    session_with(script, no_sensors(), Budget::default())
}

fn request(prompt: &str, max_new_tokens: u32) -> Request {
    Request { prompt: Prompt::Text(prompt.into()), max_new_tokens, stop_at_end_of_text: false, sampling: None }
}

/// Four iterations of one request with 5 tokens before and 3 after.
fn plan() -> Plan {
    Plan { iterations: 4, warmup: 2, ..Plan::new("run 1".into(), vec![request("hello", 3)]) }
}

#[track_caller]
fn values(run: &Run, expected: &[(&str, f64)]) {
    for (metric, value) in expected {
        let found = run.values.get(*metric).unwrap_or_else(|| panic!("{metric}: {:?}", run.absent.get(*metric)));
        assert!((found - value).abs() <= 1e-12 * value.abs(), "{metric}: {found} and not {value}");
        assert!(!run.absent.contains_key(*metric), "{metric}");
    }
}

#[track_caller]
fn absent(run: &Run, expected: &[(&str, &str)]) {
    for (metric, why) in expected {
        assert_eq!(run.absent.get(*metric).map(String::as_str), Some(*why), "{metric}");
        assert!(!run.values.contains_key(*metric), "{metric}");
    }
}

fn energy(joules: f64) -> Box<dyn Sensors> {
    let mut log = SensorLog::default();
    log.values.insert("energy".into(), joules);
    log.series.insert("power".into(), Series { values: vec![100.0, 300.0], times: vec![0.0, 0.1] });
    Box::new(Metered(log))
}

#[test]
fn each_figure_of_a_run_is_what_was_played() {
    let mut session = session(Script::default());
    let run = session.measure(&plan()).unwrap();
    assert_eq!((run.label.as_str(), run.iterations, run.asked, run.warmup, run.batch), ("run 1", 4, None, 2, 1));
    assert_eq!((run.warmup_time, run.warmup_steady, run.time_limit), (Some(0.1), None, None));
    assert!((run.wall_time - 0.2).abs() < 1e-12);
    values(
        &run,
        &[
            ("throughput", 4.0 / 0.2),
            ("tokens_per_second", 12.0 / 0.2),
            ("latency", 0.05),
            ("time_to_first_token", 0.03),
            ("inter_token_latency", 0.01),
            ("prefill_throughput", 5.0 / 0.03),
            ("decode_throughput", 1.0 / 0.01),
            ("device_time", 0.025),
            ("host_overhead", 0.025),
            ("prompt_tokens", 20.0),
            ("new_tokens", 12.0),
            ("memory_allocated", 700.0),
            ("memory_peak", 900.0),
        ],
    );
    absent(
        &run,
        &[
            ("resident_memory", "the model does not run on the CPU"),
            ("resident_memory_peak", "the model does not run on the CPU"),
            ("memory_limit_share", "the memory's bandwidth was not measured"),
            ("energy", "none are played"),
            ("energy_per_token", "none are played"),
            ("power", "none are played"),
        ],
    );
    let series = |metric: &str| &run.samples[metric];
    assert_eq!(series("latency").values, [0.05; 4]);
    for (time, expected) in series("latency").times.iter().zip([0.0, 0.05, 0.1, 0.15]) {
        assert!((time - expected).abs() < 1e-12);
    }
    assert_eq!(series("inter_token_latency").values.len(), 8);
    assert_eq!((&series("prompt_tokens").values[..], &series("new_tokens").values[..]), (&[5.0; 4][..], &[3.0; 4][..]));
    let of_list: Vec<&str> = harness_core::metric::METRICS.iter().map(|metric| metric.name).collect();
    let told: Vec<&str> = run.values.keys().chain(run.absent.keys()).map(String::as_str).collect();
    assert_eq!(told.len(), of_list.len(), "each metric has a value or a reason");
    for names in [run.values.keys().collect::<Vec<_>>(), run.samples.keys().collect(), run.absent.keys().collect()] {
        let places: Vec<_> = names.iter().map(|name| of_list.iter().position(|other| other == name).unwrap()).collect();
        assert!(places.is_sorted(), "{names:?}");
    }
}

#[test]
fn energy_is_shared_among_requests_and_tokens() {
    let mut session = session_with(Script::default(), energy(6.0), Budget::default());
    let run = session.measure(&Plan { batch: 2, ..plan() }).unwrap();
    // 4 iterations of 2 requests with 3 tokens each.
    values(
        &run,
        &[("energy", 6.0), ("energy_per_request", 6.0 / 8.0), ("energy_per_token", 6.0 / 24.0), ("power", 200.0)],
    );
}

#[test]
fn energy_for_no_token_is_no_figure() {
    let mut session = session_with(Script { silent: true, ..Script::default() }, energy(6.0), Budget::default());
    let run = session.measure(&plan()).unwrap();
    values(&run, &[("energy", 6.0), ("energy_per_request", 1.5), ("new_tokens", 0.0)]);
    absent(
        &run,
        &[
            ("energy_per_token", "no token was generated"),
            ("prefill_throughput", "no request gave a token"),
            ("inter_token_latency", "no request gave more than one token"),
            ("decode_throughput", "no request gave more than one token"),
        ],
    );
}

#[test]
fn what_a_driver_does_not_read_is_said_by_it_or_for_it() {
    let mut log = SensorLog::default();
    log.absent.insert("power".into(), "it has no such sensor".into());
    log.values.insert("temperature".into(), f64::NAN);
    let mut session = session_with(Script::default(), Box::new(Metered(log)), Budget::default());
    let run = session.measure(&plan()).unwrap();
    absent(
        &run,
        &[
            ("power", "it has no such sensor"),
            ("temperature", "the GPU's driver gave no reading during the run"),
            ("energy_per_request", "no energy was measured"),
        ],
    );
}

#[test]
fn single_tokens_have_no_gap_between_them() {
    let mut session = session(Script::default());
    session.measure_against(Ok(roofline()));
    let run = session.measure(&Plan { requests: vec![request("hello", 1)], ..plan() }).unwrap();
    let why = "no request gave more than one token";
    absent(&run, &[("inter_token_latency", why), ("decode_throughput", why), ("memory_limit_share", why)]);
}

#[test]
fn a_clock_that_stands_still_gives_no_rate() {
    let mut session = session(Script { timeless: true, ..Script::default() });
    let run = session.measure(&plan()).unwrap();
    let why = "the clock did not move during the run";
    absent(&run, &[("throughput", why), ("tokens_per_second", why)]);
    values(&run, &[("latency", 0.0)]);
}

#[test]
fn memory_is_the_devices_or_the_processs_or_unknown() {
    let run = session(Script { resident: true, ..Script::default() }).measure(&plan()).unwrap();
    values(&run, &[("resident_memory", 700.0), ("resident_memory_peak", 900.0)]);
    absent(&run, &[("memory_allocated", "the model runs on the CPU"), ("memory_peak", "the model runs on the CPU")]);
    let run = session(Script { no_memory: true, ..Script::default() }).measure(&plan()).unwrap();
    absent(&run, &[("memory_allocated", "no allocator tells"), ("resident_memory_peak", "no allocator tells")]);
}

#[test]
fn without_the_devices_time_the_hosts_part_is_not_known_either() {
    let run = session(Script { no_device_time: true, ..Script::default() }).measure(&plan()).unwrap();
    absent(&run, &[("device_time", "it has no timer"), ("host_overhead", "it has no timer")]);
}

fn roofline() -> Roofline {
    let bandwidth = Bandwidth { rate: 100_000.0, spread: 0.0, bytes: 1, reads: 1, method: "played".into() };
    Roofline { bandwidth, traffic: Traffic { step: 400, sequence: 10, position: 4 } }
}

#[test]
fn decoding_is_measured_against_the_memorys_limit() {
    let mut session = session(Script::default());
    session.measure_against(Ok(roofline()));
    let run = session.measure(&plan()).unwrap();
    // In each iteration 2 steps, with 5 and 6 positions before them, which took 0.02 s.
    let bytes = 2.0 * 400.0 + 2.0 * 10.0 + 11.0 * 4.0;
    values(&run, &[("memory_limit_share", bytes / 0.02 / 100_000.0)]);
}

#[test]
fn a_batch_takes_requests_in_turn_and_room_for_the_longest() {
    let script = Script::default();
    let (prompts, reserved) = (Arc::clone(&script.prompts), Arc::clone(&script.reserved));
    let mut session = session(script);
    let requests = vec![request("a", 3), request("bbbb", 1), request("cc", 2)];
    let run = session.measure(&Plan { iterations: 2, warmup: 1, batch: 2, requests, ..plan() }).unwrap();
    assert_eq!(*reserved.lock().unwrap(), [(2, 4, 7)]);
    // Both warm-up and measured iterations start with the first request.
    let seen: Vec<String> = prompts.lock().unwrap().iter().map(|ids| Bytes.decode(ids).unwrap()).collect();
    assert_eq!(seen, ["ab", "ab", "ca"]);
    assert_eq!(run.samples["new_tokens"].values, [4.0, 5.0]);
    assert_eq!(run.samples["prompt_tokens"].values, [5.0, 3.0]);
    // Two iterations of two requests, 0.05 s each.
    values(&run, &[("throughput", 40.0), ("tokens_per_second", 90.0)]);
}

#[test]
fn a_time_limit_ends_a_run_after_the_iteration_in_which_it_is_reached() {
    let mut session = session(Script::default());
    let run = session.measure(&Plan { time_limit: Some(0.1), ..plan() }).unwrap();
    assert_eq!((run.iterations, run.asked, run.time_limit), (2, Some(4), Some(0.1)));
    values(&run, &[("throughput", 20.0)]);
    for limit in [0.001, 1e-12] {
        let run = session.measure(&Plan { time_limit: Some(limit), ..plan() }).unwrap();
        assert_eq!((run.iterations, run.asked), (1, Some(4)), "one is always served");
    }
    assert!(session.work().open);
}

#[test]
fn warm_up_that_waits_for_a_steady_level_says_whether_it_came() {
    let mut session = session(Script::default());
    let run = session.measure(&Plan { warmup_until_steady: Some(50), ..plan() }).unwrap();
    assert_eq!((run.warmup, run.warmup_steady), (14, Some(true)));
    let run = session.measure(&Plan { warmup_until_steady: Some(5), ..plan() }).unwrap();
    assert_eq!((run.warmup, run.warmup_steady), (5, Some(false)));
}

#[test]
fn work_is_counted() {
    let mut session = session(Script::default());
    session.generate(&request("hey", 2)).unwrap();
    session.measure(&Plan { batch: 2, ..plan() }).unwrap();
    let work = session.work();
    assert_eq!((work.runs, work.iterations, work.new_tokens), (1, 7, 2 + 6 * 6));
    assert_eq!((work.first_prompt, work.first_batch, work.open), (Some(3), Some(1), false));
    assert!(session.busy() > Duration::ZERO);
    assert_eq!((session.model().name.as_str(), session.seed(), session.runs().len()), ("played", 7, 1));
    let mut session = self::session(Script::default());
    session.measure(&Plan { batch: 2, ..plan() }).unwrap();
    assert_eq!((session.work().first_prompt, session.work().first_batch), (Some(5), Some(2)));
}

#[test]
fn a_generation_is_told_with_its_times() {
    let script = Script::default();
    let (prompts, reserved) = (Arc::clone(&script.prompts), Arc::clone(&script.reserved));
    let mut session = session(script);
    let generation = session.generate(&request("hey", 3)).unwrap();
    assert_eq!((generation.text.as_str(), &generation.tokens[..]), ("AAA", &[65; 3][..]));
    assert_eq!((generation.prompt, generation.finish), (Bytes.encode("hey").unwrap(), Finish::Length));
    assert_eq!(generation.latency, Duration::from_millis(50));
    assert_eq!(generation.token_times, [30, 40, 50].map(Duration::from_millis));
    assert_eq!(*reserved.lock().unwrap(), [(1, 3, 6)]);
    // Of no new token the model is asked for nothing.
    let encoded = session.generate(&request("hey", 0)).unwrap();
    assert_eq!((encoded.prompt.len(), encoded.tokens.len(), encoded.latency), (3, 0, Duration::ZERO));
    assert_eq!((prompts.lock().unwrap().len(), reserved.lock().unwrap().len()), (1, 1));
    assert!(session.broken().is_none());
}

#[track_caller]
fn stopped<T: std::fmt::Debug>(result: Result<T, MeasureError>, message: &str) {
    let error = result.unwrap_err();
    assert!(matches!(&error, MeasureError::Stopped(stop) if stop.to_string() == message), "{error:?}");
}

#[test]
fn no_more_is_served_than_the_budget_has() {
    let of = |budget: Budget| session_with(Script::default(), no_sensors(), budget);
    let mut session = of(Budget { iterations: 12, ..Budget::default() });
    session.measure(&plan()).unwrap();
    session.measure(&plan()).unwrap();
    let message = "it asked for more than 12 iterations in all (12 were served and 1 more were asked for)";
    stopped(session.generate(&request("a", 1)), message);
    stopped(session.measure(&plan()), message);
    assert!(
        matches!(session.broken(), Some(Broken::Measure(MeasureError::Stopped(first))) if first.to_string() == message)
    );

    let mut session = of(Budget { runs: 1, ..Budget::default() });
    session.measure(&plan()).unwrap();
    stopped(session.measure(&plan()), "it asked for more than 1 run");

    let mut session = of(Budget { wall_time: Duration::from_nanos(1), ..Budget::default() });
    std::thread::sleep(Duration::from_millis(2));
    let message = "the wall time of 0.000000001 s for the whole recording is used up";
    stopped(session.measure(&plan()), message);
    let mut session = of(Budget { wall_time: Duration::from_nanos(1), ..Budget::default() });
    std::thread::sleep(Duration::from_millis(2));
    stopped(session.generate(&request("a", 1)), message);

    let mut session = of(Budget { recording: 100, ..Budget::default() });
    let error = session.measure(&plan()).unwrap_err();
    assert!(error.to_string().contains("and it may have 100"), "{error}");
    assert_eq!((session.runs().len(), session.work().runs), (0, 0));
}

#[test]
fn a_wish_to_stop_ends_the_run_after_the_iteration() {
    for (call, served) in [(1, 1), (2, 2), (4, 4)] {
        let stop = StopFlag::default();
        let mut session = session(Script { stop_in: Some((call, stop.clone())), ..Script::default() });
        session.stop_on(stop);
        stopped(session.measure(&plan()), "interrupted");
        assert_eq!((session.work().iterations, session.runs().len()), (served, 0));
        stopped(session.generate(&request("a", 1)), "interrupted");
    }
    let mut session = session(Script::default());
    session.stop_flag().set();
    stopped(session.measure(&plan()), "interrupted");
}

#[test]
fn a_lost_device_ends_everything_and_other_faults_do_not() {
    for at in [1, 4] {
        let mut session = session(Script { lost_at: Some(at), ..Script::default() });
        let lost = MeasureError::DeviceLost("run 'run 1': gone".into());
        assert_eq!(session.measure(&plan()).unwrap_err(), lost);
        assert_eq!(session.generate(&request("a", 1)).unwrap_err(), lost);
    }
    let mut session = session(Script { lost_at: Some(1), ..Script::default() });
    assert_eq!(session.generate(&request("a", 1)).unwrap_err(), MeasureError::DeviceLost("gone".into()));
    assert!(session.broken().is_some());

    let mut session = self::session(Script::default());
    let error = session.measure(&Plan { batch: 9, ..plan() }).unwrap_err();
    assert_eq!(error.to_string(), "out of memory: run 'run 1': 8 sequences at most");
    let error = session.measure(&Plan { requests: vec![request("a", 100)], ..plan() }).unwrap_err();
    assert!(
        matches!(&error, MeasureError::TooLong(message) if message.starts_with("run 'run 1': the prompt has 1 tokens"))
    );
    let error = session.measure(&Plan { requests: vec![request("", 1)], ..plan() }).unwrap_err();
    assert_eq!(error, MeasureError::Invalid("run 'run 1': the prompt has no tokens; give at least one".into()));
    session.measure(&plan()).unwrap();
}

#[test]
fn a_plan_of_too_many_prompt_tokens_is_refused_before_it_is_served() {
    let script = Script::default();
    let prompts = Arc::clone(&script.prompts);
    let mut session = session(script);
    // 2^24 tokens, and a request more.
    let mut many = vec![request(&"x".repeat(64), 1); (1 << 24) / 64];
    session.measure(&Plan { requests: many.clone(), ..plan() }).unwrap();
    prompts.lock().unwrap().clear();
    many.push(request("y", 1));
    let error = session.measure(&Plan { requests: many, ..plan() }).unwrap_err();
    let told = "run 'run 1': its prompts have more than 16777216 tokens together; use fewer or shorter ones";
    assert_eq!(error, MeasureError::Invalid(told.into()));
    assert!(prompts.lock().unwrap().is_empty());
}

#[derive(Default)]
struct Told(Mutex<Vec<String>>, Mutex<Option<Arc<Progress>>>);

impl Observer for Told {
    fn run_started(&self, index: usize, plan: &Plan, progress: &Arc<Progress>) {
        assert_eq!(progress.warmup.load(Ordering::Relaxed), Progress::WARMING_UP);
        self.0.lock().unwrap().push(format!("started {index} {}", plan.label));
        *self.1.lock().unwrap() = Some(Arc::clone(progress));
    }

    fn run_finished(&self, index: usize, run: &Run) {
        self.0.lock().unwrap().push(format!("finished {index} {}", run.label));
    }
}

#[test]
fn whoever_watches_is_told_of_each_run() {
    let told = Arc::new(Told::default());
    let mut session = session(Script::default());
    session.observe(Arc::<Told>::clone(&told));
    session.measure(&plan()).unwrap();
    session.measure(&Plan { label: "run 2".into(), batch: 2, ..plan() }).unwrap();
    let heard = ["started 0 run 1", "finished 0 run 1", "started 1 run 2", "finished 1 run 2"];
    assert_eq!(*told.0.lock().unwrap(), heard);
    let progress = told.1.lock().unwrap().clone().unwrap();
    let of = |number: &std::sync::atomic::AtomicU32| number.load(Ordering::Relaxed);
    assert_eq!((of(&progress.iterations), of(&progress.warmup)), (6, 2));
    assert_eq!(progress.tokens.load(Ordering::Relaxed), 6 * 2 * 3);
}

#[test]
fn what_was_measured_is_recorded() {
    let mut session = session(Script::default());
    let run = session.measure(&plan()).unwrap();
    session.plugin_cost(PluginCost { host_calls: 3, ..PluginCost::default() });
    let recording = session.into_recorder().end(Status::Complete, None, Vec::new(), String::new()).recording;
    assert_eq!((&recording.runs[..], recording.status), (&[run][..], Status::Complete));
    assert_eq!(recording.plugin_cost.unwrap().host_calls, 3);
}

/// A device that takes nothing more.
#[cfg(target_os = "linux")]
#[test]
fn a_recording_that_can_not_be_written_ends_the_test_and_keeps_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.jsonl");
    // The header goes into the pipe; then its reader is gone.
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
        .unwrap();
    let reader = {
        let path = path.clone();
        std::thread::spawn(move || {
            use std::io::BufRead;
            let mut line = String::new();
            std::io::BufReader::new(std::fs::File::open(path).unwrap()).read_line(&mut line).unwrap();
        })
    };
    let recorder = Recorder::create(&path, Facts::new()).unwrap();
    reader.join().unwrap();
    let clock = Arc::new(VirtualClock::default());
    let backend = Played { info: info(), clock: clock.clone(), script: Script::default(), calls: 0, peak: 0 };
    let mut session = Session::new(
        Server::new(Box::new(backend), Arc::new(Bytes), clock, 7),
        no_sensors(),
        recorder,
        Budget::default(),
    );
    let error = session.measure(&plan()).unwrap_err().to_string();
    assert!(error.starts_with("the recording can't be written, so nothing more is measured: "), "{error}");
    assert!(
        matches!(session.broken(), Some(Broken::Recording(error)) if matches!(**error, RecordingError::Write { .. }))
    );
    assert_eq!(session.runs().len(), 1);
    assert!(matches!(session.generate(&request("a", 1)), Err(MeasureError::Stopped(_))));
}
