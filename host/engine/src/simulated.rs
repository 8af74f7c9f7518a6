//! A model that computes nothing: tokens come after set times on a virtual clock. Plugins, reports and the command
//! line can be tried with it on any machine, and the host's own overhead can be measured alone.

use std::sync::Arc;
use std::time::Duration;

use harness_core::random::Stream;
use harness_core::{
    Backend, BackendError, Clock, Finish, Memory, MemoryKind, ModelInfo, Served, TokenRequest, TokenTimes,
    VirtualClock, WallClock,
};

use crate::checkpoint::Config;

/// How the simulated model behaves. Its fields are also the names of its settings.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedSettings {
    /// From a request to its first token.
    pub time_to_first_token: Duration,
    /// From a token to the next.
    pub time_per_token: Duration,
    /// Each of these times is drawn evenly from `time * (1 - jitter)` to `time * (1 + jitter)`; 0 to 1.
    pub jitter: f64,
    /// The spread between runs: each time the model is made ready, which is once before each run, all of its times get one
    /// factor, drawn from a normal distribution around 1 with this standard deviation; 0 to 0.2.
    pub run_jitter: f64,
    /// How cold it starts: its iteration of number n, counted from 0 over all calls, takes 1 + cold · e^(−n/10) times as long; 0
    /// to 100. Nothing of it is left after some hundred iterations.
    pub cold: f64,
    /// Bytes that it says it holds on its device.
    pub memory: u64,
    /// The highest bytes it says it held, from its first request on.
    pub memory_peak: u64,
    /// The device is lost at the request of this number, counted from 1 over all calls, and from then on.
    pub fail_at: Option<u64>,
    /// For tests of what a fault of harness does: it panics at the request of this number.
    pub panic_at: Option<u64>,
    /// The same, in a thread of its own.
    pub panic_beside: Option<u64>,
    /// It asks for more memory than there can be at the request of this number, as code does that can't do without.
    pub starve_at: Option<u64>,
    /// Sleep on the machine's clock instead of moving a virtual one.
    pub real_time: bool,
}

impl Default for SimulatedSettings {
    /// About what GPT-2 124M takes on an H100 with a good implementation.
    fn default() -> Self {
        Self {
            time_to_first_token: Duration::from_micros(500),
            time_per_token: Duration::from_micros(200),
            jitter: 0.02,
            run_jitter: 0.0,
            cold: 0.0,
            memory: 512 << 20,
            memory_peak: 576 << 20,
            fail_at: None,
            panic_at: None,
            panic_beside: None,
            starve_at: None,
            real_time: false,
        }
    }
}

/// Iterations in which the cold falls to 1/e.
const WARMTH: f64 = 10.0;

/// The simulated model.
pub(crate) struct Simulated {
    info: ModelInfo,
    settings: SimulatedSettings,
    /// The clock to move; `None` sleeps.
    clock: Option<Arc<VirtualClock>>,
    /// Of token ids and of jitter; both advance with every token, so that no two requests are alike.
    tokens: Stream,
    jitter: Stream,
    run_jitter: Stream,
    /// How many batches it served.
    iterations: u64,
    /// How often it was made ready.
    readied: u64,
    /// Of all times of this run.
    pace: f64,
    drawn: u64,
    requests: u64,
    peak: u64,
}

impl Simulated {
    /// The model, and the clock that it moves.
    pub(crate) fn new(settings: &SimulatedSettings, seed: u64) -> (Self, Arc<dyn Clock>) {
        let (virtual_clock, clock): (_, Arc<dyn Clock>) = if settings.real_time {
            (None, Arc::new(WallClock::new()))
        } else {
            let clock = Arc::new(VirtualClock::default());
            (Some(clock.clone()), clock)
        };
        let model = Self {
            info: info(seed),
            settings: settings.clone(),
            clock: virtual_clock,
            tokens: Stream::new(seed, 0),
            jitter: Stream::new(seed, 1),
            run_jitter: Stream::new(seed, 3),
            iterations: 0,
            readied: 0,
            pace: 1.0,
            drawn: 0,
            requests: 0,
            peak: settings.memory,
        };
        (model, clock)
    }

    fn pass(&self, time: Duration) {
        match &self.clock {
            Some(clock) => clock.advance(time),
            None => std::thread::sleep(time),
        }
    }

    fn drawn_time(&self, time: Duration, draw: u64) -> Duration {
        let pace = self.pace * (1.0 + self.settings.cold * (self.iterations as f64 / -WARMTH).exp());
        if self.settings.jitter == 0.0 && pace == 1.0 {
            return time;
        }
        let factor = pace * (1.0 + self.settings.jitter * f64::from(self.jitter.symmetric(draw)));
        // A u64 of nanoseconds is 584 years; the cast saturates.
        Duration::from_nanos((time.as_nanos() as f64 * factor).max(0.0) as u64)
    }
}

#[allow(clippy::panic, reason = "it is what was asked for")]
fn panic_as_asked() {
    panic!("simulated panic");
}

/// GPT-2 124M, as far as a plugin can tell.
fn info(seed: u64) -> ModelInfo {
    let config = Config::published(12, 12, 768);
    ModelInfo {
        name: "gpt2".into(),
        backend: "simulated".into(),
        device: "virtual".into(),
        dtype: "f32".into(),
        weights: format!("synthetic:{seed}"),
        parameters: 124_439_808,
        layers: config.layers as u32,
        heads: config.heads as u32,
        width: config.width as u32,
        vocabulary: config.vocabulary as u32,
        context: config.context as u32,
        stop_tokens: config.stop_tokens,
        token_times: TokenTimes::Host,
    }
}

impl Backend for Simulated {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn reserve(&mut self, _batch: usize, _prompt: usize, _length: usize) -> Result<(), BackendError> {
        if self.settings.run_jitter > 0.0 {
            self.pace = (1.0 + self.settings.run_jitter * self.run_jitter.normal(self.readied)).max(0.0);
            self.readied += 1;
        }
        Ok(())
    }

    fn serve(
        &mut self,
        requests: &[&TokenRequest],
        clock: &dyn Clock,
        served: &mut Served,
    ) -> Result<(), BackendError> {
        served.reset(requests.len());
        self.requests += requests.len() as u64;
        if let Some(number) = self.settings.fail_at
            && self.requests >= number
        {
            return Err(BackendError::DeviceLost(format!("simulated failure at request {number} (fail_at)")));
        }
        let reached = |number: Option<u64>| number.is_some_and(|number| self.requests >= number);
        if reached(self.settings.panic_beside) {
            let _ = std::thread::Builder::new()
                .name("beside".into())
                .spawn(panic_as_asked)
                .map(std::thread::JoinHandle::join);
        }
        if reached(self.settings.starve_at) {
            drop(std::hint::black_box(Vec::<u8>::with_capacity(isize::MAX as usize)));
        }
        if reached(self.settings.panic_at) {
            panic_as_asked();
        }
        let longest = requests.iter().map(|request| request.max_new_tokens).max().unwrap_or(0);
        let start = clock.now();
        let mut elapsed = Duration::ZERO;
        for step in 0..longest {
            let time = if step == 0 { self.settings.time_to_first_token } else { self.settings.time_per_token };
            elapsed += self.drawn_time(time, self.drawn + u64::from(step));
            served.token_times.push(elapsed);
        }
        for (index, (request, sequence)) in requests.iter().zip(&mut served.sequences).enumerate() {
            let first = self.drawn + ((index as u64) << 32);
            // Never the end of text, which is the last token.
            let ordinary = self.info.vocabulary - 1;
            sequence
                .tokens
                .extend((0..u64::from(request.max_new_tokens)).map(|i| self.tokens.below(first + i, ordinary)));
            sequence.finish = Finish::Length;
        }
        self.drawn += u64::from(longest);
        self.iterations += 1;
        self.pass(elapsed);
        if self.settings.real_time {
            // Sleeping takes longer than asked for; the last token can't come before the call's end.
            let slept = clock.now().saturating_sub(start);
            if let Some(last) = served.token_times.last_mut() {
                *last = slept;
            }
        }
        served.device_time = Some(elapsed);
        self.peak = self.settings.memory_peak;
        Ok(())
    }

    fn prompt_logits(&mut self, prompt: &[u32]) -> Result<Vec<f32>, BackendError> {
        let number = prompt.iter().fold(prompt.len() as u64, |state, &token| {
            harness_core::random::mix(state.wrapping_mul(31).wrapping_add(u64::from(token)))
        });
        let numbers = Stream::new(number, 2);
        Ok((0..u64::from(self.info.vocabulary)).map(|index| 10.0 * numbers.symmetric(index)).collect())
    }

    fn memory(&mut self) -> Result<Memory, String> {
        Ok(Memory { kind: MemoryKind::Device, allocated: self.settings.memory, peak: self.peak })
    }

    fn reset_peak_memory(&mut self) {
        self.peak = self.settings.memory;
    }

    fn no_device_time(&self) -> Option<String> {
        None
    }
}

/// Serves any model's requests in no time, so that the work that a plugin is going to ask for can be counted first.
pub struct Rehearsal {
    info: ModelInfo,
}

impl Rehearsal {
    /// A stand-in for the model of that description.
    pub fn new(info: ModelInfo) -> Self {
        Self { info }
    }
}

impl Backend for Rehearsal {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn reserve(&mut self, _batch: usize, _prompt: usize, _length: usize) -> Result<(), BackendError> {
        Ok(())
    }

    fn serve(
        &mut self,
        requests: &[&TokenRequest],
        _clock: &dyn Clock,
        served: &mut Served,
    ) -> Result<(), BackendError> {
        served.reset(requests.len());
        for (request, sequence) in requests.iter().zip(&mut served.sequences) {
            sequence.tokens.resize(request.max_new_tokens as usize, 0);
        }
        let longest = requests.iter().map(|request| request.max_new_tokens).max().unwrap_or(0);
        served.token_times.resize(longest as usize, Duration::ZERO);
        served.device_time = Some(Duration::ZERO);
        Ok(())
    }

    fn prompt_logits(&mut self, _prompt: &[u32]) -> Result<Vec<f32>, BackendError> {
        Ok(vec![0.0; self.info.vocabulary as usize])
    }

    fn memory(&mut self) -> Result<Memory, String> {
        Ok(Memory { kind: MemoryKind::Device, allocated: 0, peak: 0 })
    }

    fn reset_peak_memory(&mut self) {}

    fn no_device_time(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use harness_core::StopTokens;

    use super::*;

    fn request(new: u32) -> TokenRequest {
        TokenRequest { prompt: vec![1, 2, 3], max_new_tokens: new, stop_tokens: StopTokens::NONE, sampling: None }
    }

    fn serve(model: &mut Simulated, clock: &dyn Clock, requests: &[TokenRequest]) -> Result<Served, BackendError> {
        let mut served = Served::default();
        model.serve(&requests.iter().collect::<Vec<_>>(), clock, &mut served).map(|()| served)
    }

    #[test]
    fn times_are_as_set_and_only_the_virtual_clock_moves() {
        let settings = SimulatedSettings {
            time_to_first_token: Duration::from_secs(3),
            time_per_token: Duration::from_secs(2),
            jitter: 0.0,
            ..Default::default()
        };
        let (mut model, clock) = Simulated::new(&settings, 1);
        let served = serve(&mut model, &*clock, &[request(3), request(1)]).unwrap();
        assert_eq!(served.token_times, [3, 5, 7].map(Duration::from_secs));
        assert_eq!(served.device_time, Some(Duration::from_secs(7)));
        assert_eq!(clock.now(), Duration::from_secs(7));
        assert_eq!(served.sequences.iter().map(|s| s.tokens.len()).collect::<Vec<_>>(), [3, 1]);
        assert_ne!(served.sequences[0].tokens[0], served.sequences[1].tokens[0]);
    }

    #[test]
    fn runs_differ_by_the_set_spread_and_requests_of_a_run_do_not() {
        let settings = SimulatedSettings {
            time_to_first_token: Duration::from_secs(1),
            jitter: 0.0,
            run_jitter: 0.01,
            ..Default::default()
        };
        let (mut model, clock) = Simulated::new(&settings, 1);
        let times: Vec<f64> = (0..2000)
            .map(|_| {
                model.reserve(1, 3, 4).unwrap();
                let first = |model: &mut Simulated| serve(model, &*clock, &[request(1)]).unwrap().token_times[0];
                let time = first(&mut model);
                assert_eq!(first(&mut model), time);
                time.as_secs_f64()
            })
            .collect();
        let mean = harness_core::statistics::mean(&times).unwrap();
        let spread = harness_core::statistics::standard_deviation(&times).unwrap();
        assert!((mean - 1.0).abs() < 1e-3 && (spread - 0.01).abs() < 5e-4, "{mean} {spread}");
    }

    #[test]
    fn a_cold_start_wears_off() {
        let settings = SimulatedSettings {
            time_to_first_token: Duration::from_secs(1),
            jitter: 0.0,
            cold: 2.0,
            ..Default::default()
        };
        let (mut model, clock) = Simulated::new(&settings, 1);
        let mut time = || serve(&mut model, &*clock, &[request(1)]).unwrap().token_times[0].as_secs_f64();
        let times: Vec<f64> = (0..500).map(|_| time()).collect();
        assert_eq!((times[0], times[499]), (3.0, 1.0));
        assert!((times[10] - (1.0 + 2.0 / std::f64::consts::E)).abs() < 1e-6, "{}", times[10]);
        assert!(times.windows(2).all(|pair| pair[1] <= pair[0]));
    }

    #[test]
    fn a_seed_fixes_tokens_times_and_logits() {
        let run = |seed| {
            let (mut model, clock) = Simulated::new(&SimulatedSettings::default(), seed);
            let first = serve(&mut model, &*clock, &[request(20)]).unwrap();
            let second = serve(&mut model, &*clock, &[request(20)]).unwrap();
            (first.sequences, second.sequences, second.token_times, model.prompt_logits(&[4, 5]).unwrap())
        };
        assert_eq!(run(5), run(5));
        assert_ne!(run(5).0, run(6).0);
        let (first, second, times, _) = run(5);
        assert_ne!(first, second);
        let gaps = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64() / 200e-6);
        gaps.for_each(|gap| assert!((0.98..=1.02).contains(&gap), "{gap}"));
    }

    #[test]
    fn the_device_fails_at_the_set_request_and_stays_lost() {
        let settings = SimulatedSettings { fail_at: Some(3), ..Default::default() };
        let (mut model, clock) = Simulated::new(&settings, 1);
        assert!(serve(&mut model, &*clock, &[request(1), request(1)]).is_ok());
        for _ in 0..2 {
            assert_eq!(
                serve(&mut model, &*clock, &[request(1)]).unwrap_err(),
                BackendError::DeviceLost("simulated failure at request 3 (fail_at)".into())
            );
        }
    }

    #[test]
    fn the_peak_is_reached_by_a_request_and_can_be_reset() {
        let (mut model, clock) = Simulated::new(&SimulatedSettings::default(), 1);
        assert_eq!(model.memory().unwrap().peak, 512 << 20);
        serve(&mut model, &*clock, &[request(1)]).unwrap();
        assert_eq!(model.memory().unwrap().peak, 576 << 20);
        model.reset_peak_memory();
        assert_eq!(model.memory().unwrap().peak, 512 << 20);
    }

    #[test]
    fn in_real_time_it_sleeps() {
        let settings = SimulatedSettings {
            time_to_first_token: Duration::from_millis(5),
            real_time: true,
            jitter: 0.0,
            ..Default::default()
        };
        let (mut model, clock) = Simulated::new(&settings, 1);
        let served = serve(&mut model, &*clock, &[request(1)]).unwrap();
        assert!(served.token_times[0] >= Duration::from_millis(5));
    }

    #[test]
    fn a_rehearsal_gives_as_many_tokens_as_were_asked_for() {
        let mut model = Rehearsal::new(info(0));
        let mut served = Served::default();
        let (one, two) = (request(4), request(2));
        model.serve(&[&one, &two], &WallClock::new(), &mut served).unwrap();
        assert_eq!(served.sequences.iter().map(|s| s.tokens.len()).collect::<Vec<_>>(), [4, 2]);
        assert_eq!(served.token_times.len(), 4);
    }
}
