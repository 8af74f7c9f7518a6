//! What only shows here: the room that is made before the window, and limits that a session sets from its clock and its other runs.

use super::*;
use crate::backend::Memory;
use crate::clock::VirtualClock;
use crate::error::BackendError;
use crate::model::ModelInfo;
use crate::model::tests::info;
use crate::request::Request;
use crate::sensors::NoSensors;
use crate::stop_tokens::StopTokens;

/// Each request gets all its tokens, one in a second.
struct Steps(ModelInfo);

impl Backend for Steps {
    fn info(&self) -> &ModelInfo {
        &self.0
    }

    fn reserve(&mut self, _batch: usize, _prompt: usize, _length: usize) -> Result<(), BackendError> {
        Ok(())
    }

    fn serve(&mut self, requests: &[&TokenRequest], _: &dyn Clock, served: &mut Served) -> Result<(), BackendError> {
        served.reset(requests.len());
        for (request, sequence) in requests.iter().zip(&mut served.sequences) {
            sequence.tokens.resize(request.max_new_tokens as usize, 1);
        }
        let longest = requests.iter().map(|request| request.max_new_tokens).max().unwrap();
        served.token_times.extend((1..=longest).map(|second| Duration::from_secs(second.into())));
        served.device_time = Some(Duration::from_secs(1));
        Ok(())
    }

    fn prompt_logits(&mut self, _prompt: &[u32]) -> Result<Vec<f32>, BackendError> {
        Ok(Vec::new())
    }

    fn memory(&mut self) -> Result<Memory, String> {
        Err("it has none".into())
    }

    fn reset_peak_memory(&mut self) {}

    fn no_device_time(&self) -> Option<String> {
        None
    }
}

fn request(new: u32) -> TokenRequest {
    TokenRequest { prompt: vec![1; 5], max_new_tokens: new, stop_tokens: StopTokens::NONE, sampling: None }
}

/// Four iterations of one request for 3 tokens, with so much room for samples, and the iterations that were begun.
fn limited(warmup: u32, samples: u64, deadline: Option<Instant>) -> (Result<Run, MeasureError>, u32) {
    let plan = Plan { iterations: 4, warmup, ..Plan::new("run 1".into(), Vec::<Request>::new()) };
    let progress = Progress::default();
    let window = Window {
        backend: &mut Steps(info()),
        clock: &VirtualClock::default(),
        sensors: &mut NoSensors { reason: "there are none".into() },
        roofline: Err(&String::new()),
        served: &mut Served::default(),
        progress: &progress,
        stop: &StopFlag::default(),
        deadline,
        wall_time: Duration::from_secs(9),
        samples,
        max_samples: samples,
    };
    let run = run(&plan, &[request(3)], window);
    (run, progress.iterations.load(Ordering::Relaxed))
}

#[test]
fn samples_are_counted_as_they_are_recorded() {
    let (run, served) = limited(1, u64::MAX, None);
    let recorded: usize = run.unwrap().samples.values().map(|series| series.values.len()).sum();
    assert_eq!((recorded, served), (4 * (5 + 2), 5));
    assert!(limited(0, recorded as u64, None).0.is_ok());
    for (room, served) in [(recorded as u64 - 1, 4), (7, 2), (6, 1), (0, 1)] {
        assert_eq!(limited(0, room, None), (Err(Stop::Samples { max: room }.into()), served), "room for {room}");
    }
}

#[test]
fn a_run_ends_where_the_time_for_all_is_over() {
    let over = Instant::now();
    let hour = Duration::from_secs(3600);
    std::thread::sleep(Duration::from_millis(1));
    for (warmup, deadline) in [(0, over), (2, over), (2, over.checked_sub(hour).unwrap_or(over))] {
        let out_of_time = Stop::WallTime { limit: Duration::from_secs(9) };
        assert_eq!(limited(warmup, u64::MAX, Some(deadline)), (Err(out_of_time.into()), 0));
    }
    assert_eq!(limited(2, u64::MAX, Some(over + hour)).1, 6);
}

/// What the loop notes, it has room for: it allocates nothing.
#[test]
fn a_log_has_room_for_all_that_is_noted() {
    for (iterations, new) in [(1, 1), (7, 50), (1000, 2)] {
        let log = Log::new(iterations, new);
        for each in [&log.latency, &log.first_token, &log.device_time, &log.prompt_tokens, &log.new_tokens, &log.starts]
        {
            assert!(each.capacity() >= iterations);
        }
        assert!(log.inter_token.capacity() >= iterations * (new - 1));
    }
    // And no more than is there, of a plan without end.
    let most = Log::new(usize::MAX, usize::MAX);
    assert!(most.latency.capacity() < 1 << 24 && most.inter_token.capacity() < 1 << 24);
}

#[test]
fn a_rate_is_of_some_time() {
    for (times, expected) in [
        (&[0.5, 1.5][..], Ok(3.0)),
        (&[0.0, 2.0], Ok(3.0)),
        (&[], Err("there is none")),
        (&[0.0, 0.0], Err("the clock did not move")),
    ] {
        assert_eq!(rate(6.0, times, "there is none"), expected);
    }
}
