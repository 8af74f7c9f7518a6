//! Prints how fast the CPU generates: `cargo run --release -p harness-engine --example cpu_speed [MODEL [DTYPE …]]`.
//!
//! Batch 1, a prompt of 5 tokens, 50 new ones, greedy, as the design's comparison with other programs has it.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use harness_core::{Served, StopTokens, TokenRequest};
use harness_engine::{DTypeChoice, DeviceChoice, LoadOptions, load};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or_else(|| "gpt2".into());
    let mut dtypes: Vec<DTypeChoice> = arguments.map(|dtype| dtype.parse().unwrap()).collect();
    if dtypes.is_empty() {
        dtypes = vec![DTypeChoice::F32, DTypeChoice::F16, DTypeChoice::BF16];
    }
    for dtype in dtypes {
        let start = Instant::now();
        let options =
            LoadOptions { model: model.clone(), device: DeviceChoice::Cpu, dtype: Some(dtype), ..Default::default() };
        let mut loaded = load(&options).unwrap();
        let load_time = start.elapsed();
        let request = TokenRequest {
            prompt: vec![464, 2003, 286, 9552, 318],
            max_new_tokens: 50,
            stop_tokens: StopTokens::NONE,
            sampling: None,
        };
        let mut served = Served::default();
        let mut serve = || {
            loaded.backend.serve(&[&request], &*loaded.clock, &mut served).unwrap();
            (served.token_times[0], *served.token_times.last().unwrap())
        };
        serve();
        let mut times: Vec<(Duration, Duration)> = (0..7).map(|_| serve()).collect();
        times.sort_by_key(|(_, total)| *total);
        let (first, total) = times[times.len() / 2];
        let best = times[0].1;
        println!(
            "{model} {dtype}: {:.1} tokens/s (best {:.1}), first token {:.1} ms, then {:.2} ms a token; loaded in {:.0} ms",
            50.0 / total.as_secs_f64(),
            50.0 / best.as_secs_f64(),
            first.as_secs_f64() * 1e3,
            (total - first).as_secs_f64() * 1e3 / 49.0,
            load_time.as_secs_f64() * 1e3,
        );
    }
}
