//! What the kernels compute, beside candle on the CPU. They need an NVIDIA GPU, so `cargo test` ignores them and says why; with one,
//! `cargo test --release -p harness-engine --features cuda fused -- --include-ignored --test-threads=1` runs them.

use std::time::Duration;

use harness_core::random::Stream;
use harness_core::{
    Backend, BackendError, ModelInfo, Sampling, Served, StopTokens, TokenRequest, TokenTimes, WallClock,
};

use super::args::Choice;
use super::driver::Gpu;
use super::generate::Task;
use super::{ChoiceShape, Fused, choice};
use crate::checkpoint::{Activation, Config};
use crate::gpt2::generate::Gpt2;
use crate::gpt2::{Arithmetic, Model, NO_NUMBERS};
use crate::options::DTypeChoice;
use crate::synthetic;
use crate::weights::{Matrix, Weights};

/// Small models of shapes that don't fit anything: heads that divide no number of multiprocessors, heads of a size that
/// needs padding, vocabularies of no round number, every option of the architecture.
fn shapes() -> Vec<(&'static str, Config)> {
    let small =
        |layers, heads, width| Config { context: 96, vocabulary: 1000, ..Config::published(layers, heads, width) };
    vec![
        ("even", small(2, 4, 64)),
        ("heads of 16, five of them", small(3, 5, 80)),
        ("heads of 10", Config { vocabulary: 97, ..small(2, 3, 30) }),
        ("heads of 24", Config { vocabulary: 1009, ..small(2, 7, 168) }),
        ("one head of 128", Config { vocabulary: 333, ..small(1, 1, 128) }),
        ("heads of 64, seven", Config { vocabulary: 5003, ..small(2, 7, 448) }),
        ("a wide MLP", Config { hidden: 1000, ..small(2, 2, 64) }),
        ("a narrow MLP", Config { hidden: 24, ..small(2, 2, 64) }),
        ("many heads", Config { vocabulary: 511, ..small(2, 150, 2400) }),
        ("exact GELU, untied", Config { activation: Activation::GeluErf, tied: false, ..small(2, 4, 128) }),
        ("scores scaled by layer", Config { scale_scores_by_layer: true, ..small(4, 4, 64) }),
        ("scores not scaled", Config { scale_scores: false, ..small(2, 4, 64) }),
        ("a width of 1,100", Config { vocabulary: 2003, ..small(2, 11, 1100) }),
    ]
}

/// Weights in which nothing is zero or the identity, so that nothing can be left out unnoticed.
fn weights(config: &Config, dtype: DTypeChoice) -> Weights {
    let mut weights = synthetic::weights(*config, dtype, 11);
    let mut stream = 1000;
    let mut disturb = |numbers: &mut Vec<f32>, scale: f32| {
        let draw = Stream::new(5, stream);
        stream += 1;
        for (index, number) in numbers.iter_mut().enumerate() {
            *number += scale * draw.symmetric(index as u64);
        }
    };
    for block in &mut weights.blocks {
        for norm in [&mut block.ln_1, &mut block.ln_2] {
            disturb(&mut norm.weight, 0.3);
            disturb(&mut norm.bias, 0.3);
        }
        for affine in [&mut block.qkv, &mut block.proj, &mut block.up, &mut block.down] {
            disturb(&mut affine.bias, 0.1);
        }
    }
    disturb(&mut weights.ln_f.weight, 0.3);
    disturb(&mut weights.ln_f.bias, 0.3);
    if !config.tied {
        let draw = Stream::new(5, 999);
        weights.head =
            Some(Matrix::from_fn(config.vocabulary, config.width, dtype, |index| 0.05 * draw.symmetric(index as u64)));
    }
    weights
}

fn info(config: &Config, dtype: DTypeChoice) -> ModelInfo {
    ModelInfo {
        name: "test".into(),
        backend: "fused".into(),
        device: "cuda:0".into(),
        dtype: dtype.to_string(),
        weights: "synthetic:11".into(),
        parameters: 0,
        layers: config.layers as u32,
        heads: config.heads as u32,
        width: config.width as u32,
        vocabulary: config.vocabulary as u32,
        context: config.context as u32,
        stop_tokens: StopTokens::NONE,
        token_times: TokenTimes::Host,
    }
}

fn reference(config: &Config) -> Gpt2 {
    let weights = weights(config, DTypeChoice::F32);
    let model = Model::new(weights, &candle_core::Device::Cpu, Arithmetic::Cpu).unwrap();
    Gpt2::new(info(config, DTypeChoice::F32), model, None)
}

fn fused(config: &Config, dtype: DTypeChoice, tf32: bool) -> Fused {
    let gpu = Gpu::open(0).unwrap();
    Fused::load(info(config, dtype), &weights(config, dtype), gpu, tf32).unwrap()
}

fn prompt(config: &Config, length: usize, stream: u64) -> Vec<u32> {
    let draw = Stream::new(77, stream);
    (0..length).map(|index| draw.below(index as u64, config.vocabulary as u32)).collect()
}

fn request(prompt: Vec<u32>, max_new_tokens: u32) -> TokenRequest {
    TokenRequest { prompt, max_new_tokens, stop_tokens: StopTokens::NONE, sampling: None }
}

fn tokens(backend: &mut dyn Backend, requests: &[TokenRequest]) -> Vec<Vec<u32>> {
    served(backend, requests).sequences.into_iter().map(|sequence| sequence.tokens).collect()
}

/// How the tokens of a single sequence come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By one launch, if that is possible.
    Best,
    /// By a graph a token.
    Steps,
}

fn tokens_by(fused: &mut Fused, way: Way, requests: &[TokenRequest]) -> Vec<Vec<u32>> {
    // Memory is taken for the way that may be taken next as well.
    let length = requests.iter().map(|r| r.prompt.len() + r.max_new_tokens as usize).max().unwrap();
    fused.reserve(requests.len(), length, length).unwrap();
    let generator = fused.generator.take();
    let kept = match way {
        Way::Best => {
            fused.generator = generator;
            None
        }
        Way::Steps => generator,
    };
    let served = served(fused, requests);
    assert!(served.device_time.unwrap() > Duration::ZERO);
    if kept.is_some() {
        fused.generator = kept;
    }
    served.sequences.into_iter().map(|sequence| sequence.tokens).collect()
}

fn served(backend: &mut dyn Backend, requests: &[TokenRequest]) -> Served {
    let mut served = Served::default();
    backend.serve(&requests.iter().collect::<Vec<_>>(), &WallClock::new(), &mut served).unwrap();
    backend.note_device_time(&mut served).unwrap();
    let longest = served.sequences.iter().map(|sequence| sequence.tokens.len()).max().unwrap_or(0);
    assert_eq!(served.token_times.len(), longest);
    assert!(served.token_times.is_sorted());
    served
}

fn relative(a: &[f32], b: &[f32]) -> f64 {
    let norm = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>().sqrt();
    assert_eq!(a.len(), b.len());
    assert!(a.iter().all(|x| x.is_finite()));
    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / norm(&mut b.iter().map(|b| f64::from(*b)))
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn f32_tokens_are_candles_for_every_shape() {
    for (name, config) in shapes() {
        let mut fused = fused(&config, DTypeChoice::F32, false);
        eprintln!("{name}: {}", if fused.generator.is_some() { "one launch" } else { "steps" });
        let mut candle = reference(&config);
        for length in [1, 5, 16, 17, 64, 65] {
            let requests = [request(prompt(&config, length, length as u64), 30)];
            let expected = tokens(&mut candle, &requests);
            assert_eq!(tokens_by(&mut fused, Way::Best, &requests), expected, "{name}, prompt of {length}, at best");
            assert_eq!(tokens_by(&mut fused, Way::Steps, &requests), expected, "{name}, prompt of {length}, by steps");
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_batch_gives_what_its_sequences_give_alone() {
    for (name, config) in shapes() {
        let mut fused = fused(&config, DTypeChoice::F32, false);
        for batch in [2, 3, 16, 17, 40] {
            let requests: Vec<_> = (0..batch)
                .map(|index| request(prompt(&config, 1 + index * 7 % 60, index as u64), 1 + (index * 5 % 30) as u32))
                .collect();
            let together = tokens_by(&mut fused, Way::Best, &requests);
            for (index, request) in requests.iter().enumerate() {
                let alone = tokens_by(&mut fused, Way::Best, std::slice::from_ref(request));
                assert_eq!(together[index], alone[0], "{name}, sequence {index} of {batch}");
            }
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn sixteen_bits_are_near_f32() {
    for (dtype, tolerance) in [(DTypeChoice::F16, 2e-3), (DTypeChoice::BF16, 1e-2)] {
        for (name, config) in shapes() {
            let mut fused = fused(&config, dtype, false);
            let mut candle = reference(&config);
            let mut worst = (0.0f64, 0.0f64);
            for length in [1, 5, 16, 17, 64, 90] {
                let prompt = prompt(&config, length, length as u64);
                let expected = candle.prompt_logits(&prompt).unwrap();
                worst.0 = worst.0.max(relative(&fused.prompt_logits(&prompt).unwrap(), &expected));
                if let Some((tokens, logits)) = fused.generated_logits(&prompt) {
                    worst.1 = worst.1.max(relative(&logits, &candle.prompt_logits(&tokens).unwrap()));
                }
            }
            eprintln!("{dtype}, {name}: {:.1e} reading, {:.1e} generating", worst.0, worst.1);
            assert!(worst.0 < tolerance && worst.1 < tolerance, "{dtype}, {name}: {worst:?}");
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn steps_in_sixteen_bits_are_near_f32() {
    let small =
        |layers, heads, width| Config { context: 200, vocabulary: 1000, ..Config::published(layers, heads, width) };
    let mut models = shapes();
    // Which take all layers in one launch: with a head, with a last cluster of fewer columns, and the published widths.
    models.extend([
        ("two heads of 64", small(3, 2, 128)),
        ("ten heads of 64, scaled by layer", Config { scale_scores_by_layer: true, ..small(2, 10, 640) }),
        ("a narrow MLP and heads of 64", Config { hidden: 200, ..small(2, 4, 256) }),
        ("gpt2's width", small(3, 12, 768)),
        (
            "gpt2's width, exact GELU, scores scaled by layer",
            Config { activation: Activation::GeluErf, scale_scores_by_layer: true, ..small(2, 12, 768) },
        ),
        ("gpt2-medium's width", small(2, 16, 1024)),
    ]);
    for (dtype, tolerance) in [(DTypeChoice::F16, 2e-3), (DTypeChoice::BF16, 1.2e-2)] {
        for (name, config) in &models {
            let mut fused = fused(config, dtype, false);
            fused.keeps_logits = true;
            let mut candle = reference(config);
            let mut worst = 0.0f64;
            for batch in [1, 2, 5, 8, 16, 17, 32, 33, 64, 65] {
                let requests: Vec<_> = (0..batch)
                    .map(|index| request(prompt(config, 1 + index * 37 % (config.context - 4), index as u64), 3))
                    .collect();
                let tokens = tokens_by(&mut fused, Way::Steps, &requests);
                for index in (0..batch).step_by(batch.div_ceil(5)) {
                    let mut seen = requests[index].prompt.clone();
                    seen.extend(&tokens[index][..2]);
                    let logits = fused.memory.as_ref().unwrap().download_logits(index).unwrap();
                    worst = worst.max(relative(&logits, &candle.prompt_logits(&seen).unwrap()));
                }
            }
            let ways = fused.kernels.steps.rows();
            eprintln!("{dtype}, {name}: {worst:.1e}, in one launch up to {ways:?} rows");
            assert!(worst < tolerance, "{dtype}, {name}: {worst:?}");
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn tf32_is_near_f32() {
    for (name, config) in shapes() {
        let mut fused = fused(&config, DTypeChoice::F32, true);
        let mut candle = reference(&config);
        for length in [17, 64, 90] {
            let prompt = prompt(&config, length, length as u64);
            let error = relative(&fused.prompt_logits(&prompt).unwrap(), &candle.prompt_logits(&prompt).unwrap());
            assert!(error < 2e-3, "{name}: {error:.1e}");
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn every_length_up_to_the_context_is_right() {
    let config = Config { context: 200, vocabulary: 500, ..Config::published(2, 4, 64) };
    let mut fused = fused(&config, DTypeChoice::F32, false);
    let mut candle = reference(&config);
    let prompt = prompt(&config, 200, 3);
    for length in 1..=200 {
        let expected = candle.prompt_logits(&prompt[..length]).unwrap();
        let error = relative(&fused.prompt_logits(&prompt[..length]).unwrap(), &expected);
        assert!(error < 1e-4, "{length} tokens: {error:.1e}");
    }
    // Every position as a step, too.
    let requests = [request(prompt[..1].to_vec(), 199)];
    let expected = tokens(&mut candle, &requests);
    assert_eq!(tokens_by(&mut fused, Way::Best, &requests), expected);
    assert_eq!(tokens_by(&mut fused, Way::Steps, &requests), expected);
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn long_prompts_in_sixteen_bits_are_near_f32() {
    for (heads, width) in [(12, 768), (5, 320), (6, 192), (3, 288)] {
        let config = Config { context: 1024, vocabulary: 509, ..Config::published(2, heads, width) };
        let mut candle = reference(&config);
        let prompts = [129, 300, 513, 1000].map(|length| prompt(&config, length, length as u64));
        let expected = prompts.each_ref().map(|prompt| candle.prompt_logits(prompt).unwrap());
        for (dtype, tolerance) in [(DTypeChoice::F16, 2e-3), (DTypeChoice::BF16, 1e-2)] {
            let mut fused = fused(&config, dtype, false);
            for (prompt, expected) in prompts.iter().zip(&expected) {
                let error = relative(&fused.prompt_logits(prompt).unwrap(), expected);
                println!("{dtype}, heads of {}, a prompt of {}: {error:.2e}", width / heads, prompt.len());
                assert!(error < tolerance, "{dtype}, heads of {}, {}: {error}", width / heads, prompt.len());
            }
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_prompt_can_be_read_in_parts() {
    let config = Config { context: 1024, vocabulary: 300, ..Config::published(1, 4, 64) };
    let mut fused = fused(&config, DTypeChoice::F16, false);
    let requests: Vec<_> = (0..24).map(|index| request(prompt(&config, 500 + index, index as u64), 5)).collect();
    let together = tokens_by(&mut fused, Way::Best, &requests);
    for (index, request) in requests.iter().enumerate().step_by(5) {
        let alone = tokens_by(&mut fused, Way::Steps, std::slice::from_ref(request));
        assert_eq!(together[index], alone[0], "sequence {index}");
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn the_largest_batch_is_served() {
    let config = Config { context: 64, vocabulary: 700, ..Config::published(2, 4, 64) };
    for dtype in [DTypeChoice::F32, DTypeChoice::F16, DTypeChoice::BF16] {
        let mut fused = fused(&config, dtype, false);
        // Two of each, and each pair alike.
        let requests: Vec<_> =
            (0..256).map(|index| request(prompt(&config, 1 + index / 2 % 40, index as u64 / 2), 20)).collect();
        let together = tokens_by(&mut fused, Way::Best, &requests);
        for pair in together.chunks(2) {
            assert_eq!(pair[0], pair[1]);
        }
        let too_many: Vec<_> = (0..257).map(|_| request(vec![1], 1)).collect();
        let mut served = Served::default();
        let error = fused.serve(&too_many.iter().collect::<Vec<_>>(), &WallClock::new(), &mut served).unwrap_err();
        assert!(error.to_string().contains("256"), "{error}");
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn sampling_depends_on_the_seed_alone() {
    let config = Config { context: 96, vocabulary: 1009, ..Config::published(2, 4, 64) };
    let mut fused = fused(&config, DTypeChoice::F32, false);
    let sampled = |seed, top_k, top_p| TokenRequest {
        sampling: Some(Sampling { temperature: 1.0, top_k, top_p, seed }),
        ..request(prompt(&config, 9, 1), 40)
    };
    for (top_k, top_p) in [(None, None), (Some(20), None), (None, Some(0.5)), (Some(50), Some(0.7))] {
        let first = tokens_by(&mut fused, Way::Best, &[sampled(1, top_k, top_p)]);
        assert_eq!(tokens_by(&mut fused, Way::Best, &[sampled(1, top_k, top_p)]), first);
        assert_eq!(tokens_by(&mut fused, Way::Steps, &[sampled(1, top_k, top_p)]), first);
        assert_ne!(tokens_by(&mut fused, Way::Best, &[sampled(2, top_k, top_p)]), first);
        let batch = [sampled(3, top_k, top_p), sampled(1, top_k, top_p), request(prompt(&config, 9, 1), 40)];
        let together = tokens_by(&mut fused, Way::Best, &batch);
        assert_eq!(together[1], first[0]);
        assert_eq!(together[2], tokens_by(&mut fused, Way::Best, &[request(prompt(&config, 9, 1), 40)])[0]);
    }
    // The most likely token only is greedy.
    let greedy = tokens_by(&mut fused, Way::Best, &[request(prompt(&config, 9, 1), 40)]);
    assert_eq!(tokens_by(&mut fused, Way::Best, &[sampled(5, Some(1), None)]), greedy);
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_text_ends_with_its_last_token() {
    let config = Config { context: 96, vocabulary: 1009, ..Config::published(2, 4, 64) };
    let mut fused = fused(&config, DTypeChoice::F32, false);
    let whole = request(prompt(&config, 9, 1), 40);
    let all = tokens_by(&mut fused, Way::Best, std::slice::from_ref(&whole))[0].clone();
    let until = |end| &all[..=all.iter().position(|&token| token == end).unwrap()];
    let absent = (0..1009).find(|token| !all.contains(token)).unwrap();
    // Whichever of several comes first, in whichever place it is, and as many as there may be.
    let full = || (1009..1009 + StopTokens::MAX as u32 - 1).chain([all[20]]).collect();
    for stop in [vec![all[20]], vec![absent, all[12], all[20]], vec![all[20], all[12]], full()] {
        let expected =
            stop.iter().filter(|&&end| end != absent && end < 1009).map(|&end| until(end)).min_by_key(|t| t.len());
        let ended = TokenRequest { stop_tokens: StopTokens::new(stop.clone()).unwrap(), ..whole.clone() };
        for way in [Way::Best, Way::Steps] {
            for _ in 0..3 {
                let tokens = tokens_by(&mut fused, way, std::slice::from_ref(&ended));
                assert_eq!(tokens[0], expected.unwrap(), "{stop:?}, {way:?}");
            }
        }
    }
    let (expected, ended) =
        (until(all[20]), TokenRequest { stop_tokens: StopTokens::new([all[20]]).unwrap(), ..whole });
    let batch = [ended.clone(), request(prompt(&config, 9, 1), 40), ended];
    let together = tokens_by(&mut fused, Way::Best, &batch);
    assert_eq!((together[0].as_slice(), &together[1], together[2].as_slice()), (expected, &all, expected));
}

/// In the prompt's pass and in steps, of one and of several, whichever way a token is chosen.
#[test]
#[ignore = "needs an NVIDIA GPU"]
fn logits_that_are_no_numbers_are_an_error_and_no_token() {
    let config = Config { context: 96, vocabulary: 1009, ..Config::published(2, 4, 64) };
    let plain = request(prompt(&config, 9, 1), 20);
    let sampled = |top_k, top_p| TokenRequest {
        sampling: Some(Sampling { temperature: 1.0, top_k, top_p, seed: 1 }),
        ..plain.clone()
    };
    let requests = [
        plain.clone(),
        sampled(None, None),
        sampled(Some(5), None),
        sampled(Some(5), Some(0.5)),
        sampled(None, Some(0.5)),
    ];
    let overflowing = |spoil: &dyn Fn(&mut Weights)| {
        let mut weights = weights(&config, DTypeChoice::F32);
        spoil(&mut weights);
        Fused::load(info(&config, DTypeChoice::F32), &weights, Gpu::open(0).unwrap(), false).unwrap()
    };
    let serve = |fused: &mut Fused, requests: &[&TokenRequest]| {
        let mut served = Served::default();
        fused.serve(requests, &WallClock::new(), &mut served)
    };
    let error = Err(BackendError::Invalid(NO_NUMBERS.to_owned()));
    let mut everywhere = overflowing(&|weights| weights.ln_f.bias[3] = f32::NAN);
    for request in &requests {
        for batch in [1, 3, 20] {
            let batch = vec![request; batch];
            assert_eq!(serve(&mut everywhere, &batch), error, "{:?}, {}", request.sampling, batch.len());
        }
    }
    // From a position on that only a step comes to.
    let mut later = overflowing(&|weights| {
        let width = config.width;
        let positions = (0..config.context * width).map(|index| if index / width == 15 { f32::NAN } else { 0.01 });
        let positions: Vec<f32> = positions.collect();
        weights.wpe = Matrix::from_fn(config.context, width, DTypeChoice::F32, |index| positions[index]);
    });
    for request in &requests {
        for batch in [1, 3] {
            assert_eq!(serve(&mut later, &vec![request; batch]), error, "{:?}, {batch}", request.sampling);
        }
        // What ends before it is served, also after the error.
        let short = TokenRequest { max_new_tokens: 4, ..request.clone() };
        for _ in 0..2 {
            assert_eq!(serve(&mut later, &[&short]), Ok(()));
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_thousand_generations_give_the_same_tokens() {
    let config = Config::published(12, 12, 768);
    for dtype in [DTypeChoice::F16, DTypeChoice::F32] {
        let mut fused = fused(&config, dtype, false);
        let requests = [request(prompt(&config, 5, 1), 50)];
        let expected = tokens_by(&mut fused, Way::Best, &requests);
        for round in 0..if dtype == DTypeChoice::F16 { 1000 } else { 100 } {
            assert_eq!(tokens_by(&mut fused, Way::Best, &requests), expected, "{dtype}, round {round}");
        }
        for size in [8, 64] {
            let batch: Vec<_> = (0..size).map(|index| request(prompt(&config, 5, index), 50)).collect();
            let expected = tokens_by(&mut fused, Way::Best, &batch);
            for round in 0..100 {
                let again = tokens_by(&mut fused, Way::Best, &batch);
                assert_eq!(again, expected, "{dtype}, batch of {size}, round {round}");
            }
        }
    }
}

fn a_few_tokens_come(way: Way, batches: &[usize], shortest: usize) {
    let small = |heads, width| Config { context: 192, vocabulary: 300, ..Config::published(2, heads, width) };
    for (config, dtype) in [
        (small(2, 128), DTypeChoice::F32),
        (small(3, 96), DTypeChoice::F16),
        (small(3, 96), DTypeChoice::BF16),
        (small(12, 768), DTypeChoice::F16),
    ] {
        let mut fused = fused(&config, dtype, false);
        for &batch in batches {
            let requests: Vec<_> =
                (0..batch).map(|index| request(prompt(&config, shortest + index, index as u64), 3)).collect();
            let tokens = tokens_by(&mut fused, way, &requests);
            assert!(tokens.iter().all(|tokens| tokens.len() == 3), "{dtype}, a batch of {batch}");
        }
    }
}

/// Every kernel for steps once, on models so small that `compute-sanitizer` is done with them soon: CONTRIBUTING.md has
/// the command.
#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_few_tokens_come_by_steps() {
    a_few_tokens_come(Way::Steps, &[1, 2, 9, 20, 40], 3);
}

/// The same for what only prompts of several tiles need.
#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_few_tokens_come_after_a_long_prompt() {
    a_few_tokens_come(Way::Steps, &[1], 150);
}

/// The same for the kernel that generates a whole text, which `compute-sanitizer` slows down so much that it had better
/// come apart.
#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_few_tokens_come_at_once() {
    a_few_tokens_come(Way::Best, &[1], 3);
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn memory_is_taken_once_and_seen() {
    let config = Config { context: 96, vocabulary: 1009, ..Config::published(2, 4, 64) };
    let mut fused = fused(&config, DTypeChoice::F16, false);
    let before = fused.memory().unwrap();
    fused.reserve(4, 60, 60).unwrap();
    let reserved = fused.memory().unwrap();
    assert!(reserved.allocated > before.allocated);
    fused.reset_peak_memory();
    let requests: Vec<_> = (0..4).map(|index| request(prompt(&config, 20, index), 40)).collect();
    tokens_by(&mut fused, Way::Best, &requests);
    tokens_by(&mut fused, Way::Steps, &requests[..1]);
    let after = fused.memory().unwrap();
    assert_eq!((after.allocated, after.peak), (reserved.allocated, reserved.allocated));
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn the_memorys_bandwidth_is_measured_alike_again_and_leaves_nothing_behind() {
    let config = Config { context: 96, vocabulary: 1009, ..Config::published(2, 4, 64) };
    let mut fused = fused(&config, DTypeChoice::F16, false);
    let before = (fused.memory().unwrap().allocated, fused.gpu.free().unwrap());
    let found = [(); 3].map(|()| fused.memory_bandwidth().unwrap());
    println!("{found:#?}");
    let rates = found.each_ref().map(|found| found.rate);
    let (least, most) = (rates.iter().copied().fold(f64::MAX, f64::min), rates.iter().copied().fold(0.0, f64::max));
    assert!(least > 50e9 && most < 20e12 && most / least < 1.1, "{rates:?}");
    assert_eq!(fused.memory().unwrap().allocated, before.0);
    // All but what loading a kernel and pinned memory take.
    assert!(fused.gpu.free().unwrap() + (64 << 20) >= before.1);
}

impl Fused {
    /// The prompt with its first new token, and the logits that the generating kernel gives after it; `None` where
    /// another way is taken.
    fn generated_logits(&mut self, prompt: &[u32]) -> Option<(Vec<u32>, Vec<f32>)> {
        self.generator.as_ref()?;
        let request = request(prompt.to_vec(), 2);
        let shape = ChoiceShape { restricted: false, stride: 1, logits: false };
        self.make_room(1, prompt.len() + 2).unwrap();
        self.memory.as_mut()?.expect_tokens(2);
        self.read_prompts(&[&request], shape).unwrap();
        let greedy: Choice = choice(None);
        let task = Task { tokens: 1, stop_tokens: StopTokens::NONE, choice: greedy, ring: 1, logits: true };
        let memory = self.memory.as_ref()?;
        self.generator.as_mut()?.launch(&self.gpu, &self.model, memory, task).unwrap();
        self.gpu.synchronize().unwrap();
        assert!(!memory.has_failed());
        let mut tokens = prompt.to_vec();
        tokens.push(memory.take_token(0)?);
        Some((tokens, memory.download_logits(0).unwrap()))
    }
}
