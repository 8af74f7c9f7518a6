//! What a batch, the cache, sampling and the end of a text do to generated tokens.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{Checkpoint, generate, golden, greedy, load, load_checkpoint, serve};
use harness_core::{BackendError, Finish, Sampling, Served, StopTokens, TokenRequest};
use serde_json::json;

fn tiny() -> harness_engine::Loaded {
    load_checkpoint(&Checkpoint::tiny(json!({})))
}

#[test]
fn a_batch_of_unequal_requests_gives_what_each_gives_alone() {
    let mut model = tiny();
    let requests =
        [greedy(&[1], 5), greedy(&[2, 3, 4, 5, 6, 7, 8], 12), greedy(&[9, 10, 11], 1), greedy(&[9, 10, 11], 0)];
    let together = generate(&mut model, &requests);
    for (request, tokens) in requests.iter().zip(&together) {
        assert_eq!(tokens.len(), request.max_new_tokens as usize);
        assert_eq!(generate(&mut model, std::slice::from_ref(request)), std::slice::from_ref(tokens));
    }
}

#[test]
fn a_batch_may_be_longer_than_the_context_as_long_as_no_request_is() {
    let mut model = tiny();
    let long: Vec<u32> = (0..30).collect();
    let requests = [greedy(&long, 2), greedy(&[1, 2], 30)];
    let together = generate(&mut model, &requests);
    let alone: Vec<_> =
        requests.iter().flat_map(|request| generate(&mut model, std::slice::from_ref(request))).collect();
    assert_eq!(together, alone);
}

#[test]
fn the_cache_leaks_nothing_from_one_request_to_the_next() {
    let mut model = load(&golden().join("prefixed-f32"));
    let request = greedy(&[5, 6, 7], 20);
    let first = generate(&mut model, std::slice::from_ref(&request));
    let logits = model.backend.prompt_logits(&request.prompt).unwrap();
    generate(&mut model, &[greedy(&(10..90).collect::<Vec<_>>(), 30), greedy(&[3], 20)]);
    assert_eq!(generate(&mut model, std::slice::from_ref(&request)), first);
    assert_eq!(model.backend.prompt_logits(&request.prompt).unwrap(), logits);
    model.backend.reserve(4, 90, 128).unwrap();
    assert_eq!(generate(&mut model, &[request]), first);
}

#[test]
fn a_seed_fixes_what_is_drawn_also_in_a_batch() {
    let mut model = tiny();
    let request = |seed, top_k, top_p| TokenRequest {
        sampling: Some(Sampling { temperature: 1.5, top_k, top_p, seed }),
        ..greedy(&[1, 2, 3], 20)
    };
    for (top_k, top_p) in [(None, None), (Some(10), None), (None, Some(0.8)), (Some(20), Some(0.9))] {
        let one = generate(&mut model, &[request(1, top_k, top_p)]);
        assert_eq!(generate(&mut model, &[request(1, top_k, top_p)]), one);
        let two = generate(&mut model, &[request(2, top_k, top_p)]);
        assert_ne!(one, two);
        let mixed = generate(&mut model, &[request(2, top_k, top_p), greedy(&[1, 2, 3], 20), request(1, top_k, top_p)]);
        assert_eq!((&mixed[0], &mixed[2]), (&two[0], &one[0]));
        assert_eq!(mixed[1], generate(&mut model, &[greedy(&[1, 2, 3], 20)])[0]);
    }
    // Only the best token is left to draw from.
    let best = generate(&mut model, &[greedy(&[1, 2, 3], 20)]);
    assert_eq!(generate(&mut model, &[request(3, Some(1), None)]), best);
}

#[test]
fn the_end_of_text_ends_a_sequence_and_only_that_one() {
    let mut model = tiny();
    let prompts = [[1, 2, 3], [4, 5, 6]];
    let free = generate(&mut model, &prompts.map(|prompt| greedy(&prompt, 12)));
    // A token of the first continuation that the second has not.
    let at = free[0].iter().position(|token| !free[1].contains(token)).unwrap();
    let end = free[0][at];
    let requests =
        prompts.map(|prompt| TokenRequest { stop_tokens: StopTokens::new([end]).unwrap(), ..greedy(&prompt, 12) });
    let served = serve(&mut model, &requests);
    let first = free[0].iter().position(|&token| token == end).unwrap();
    assert_eq!(served.sequences[0].tokens, free[0][..=first]);
    assert_eq!(served.sequences[0].finish, Finish::EndOfText);
    assert_eq!(served.sequences[1].tokens, free[1]);
    assert_eq!(served.sequences[1].finish, Finish::Length);
    assert_eq!(served.token_times.len(), 12);
    // Alone, the whole call ends there.
    let served = serve(&mut model, &requests[..1]);
    assert_eq!(served.token_times.len(), first + 1);
}

#[test]
fn the_first_of_several_stop_tokens_ends_a_sequence() {
    let mut model = tiny();
    let prompt = [1, 2, 3];
    let free = generate(&mut model, &[greedy(&prompt, 12)]).remove(0);
    let (early, late) = (free[2], free[7]);
    let until = |end| &free[..=free.iter().position(|&token| token == end).unwrap()];
    for (stop, expected) in [
        (vec![late], until(late)),
        (vec![early, late], until(early)),
        (vec![late, early], until(early)),
        ((100..115).chain([early]).collect(), until(early)),
        (vec![100], &free[..]),
    ] {
        let request = TokenRequest { stop_tokens: StopTokens::new(stop.clone()).unwrap(), ..greedy(&prompt, 12) };
        assert_eq!(generate(&mut model, &[request])[0], expected, "{stop:?}");
    }
}

/// `generation_config.json` comes before `config.json`, where it says anything of it.
#[test]
fn a_folder_says_which_tokens_end_a_text() {
    let stop = |config: serde_json::Value, generation: Option<&str>| {
        let folder = tempfile::tempdir().unwrap();
        Checkpoint::tiny(json!({ "eos_token_id": config })).write(folder.path());
        if let Some(generation) = generation {
            std::fs::write(folder.path().join("generation_config.json"), generation).unwrap();
        }
        load(folder.path()).backend.info().stop_tokens.as_slice().to_vec()
    };
    assert_eq!(stop(json!([4, 5]), None), [4, 5]);
    assert_eq!(stop(json!([4, 5]), Some(r#"{"eos_token_id": [6, 7, 60]}"#)), [6, 7]);
    assert_eq!(stop(json!([4, 5]), Some(r#"{"eos_token_id": 6}"#)), [6]);
    assert_eq!(stop(json!([4, 5]), Some(r#"{"eos_token_id": null}"#)), [0_u32; 0]);
    assert_eq!(stop(json!(4), Some(r#"{"max_length": 50}"#)), [4]);
}

#[test]
fn every_token_has_a_time_and_they_ascend() {
    let mut model = tiny();
    let served = serve(&mut model, &[greedy(&[1, 2], 10)]);
    assert_eq!(served.token_times.len(), 10);
    assert!(served.token_times[0] > Duration::ZERO);
    assert!(served.token_times.windows(2).all(|pair| pair[0] <= pair[1]));
    assert_eq!(served.device_time, None);
    assert!(model.backend.no_device_time().is_some());
    assert!(serve(&mut model, &[greedy(&[1, 2], 0)]).token_times.is_empty());
}

#[test]
fn what_a_model_cant_serve_is_an_error_and_harms_nothing() {
    let mut model = tiny();
    let mut served = Served::default();
    for (request, message) in [
        (greedy(&[], 1), "the prompt has no tokens; give at least one"),
        (greedy(&[60], 1), "the prompt has token 60, and the model only 60"),
        (greedy(&[1; 30], 3), "33 tokens do not fit the model's context of 32"),
    ] {
        let error = model.backend.serve(&[&request], &*model.clock, &mut served).unwrap_err();
        assert_eq!(error, BackendError::Invalid(message.into()));
    }
    assert_eq!(generate(&mut model, &[greedy(&[1], 3)])[0].len(), 3);
}

#[test]
fn weights_that_overflow_are_an_error_and_not_token_0() {
    let mut checkpoint = Checkpoint::tiny(json!({}));
    let norm = checkpoint.tensors.get_mut("transformer.ln_f.bias").unwrap();
    norm.bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut model = load_checkpoint(&checkpoint);
    let mut served = Served::default();
    let sampled = |top_k, top_p| TokenRequest {
        sampling: Some(Sampling { temperature: 1.0, top_k, top_p, seed: 1 }),
        ..greedy(&[1], 3)
    };
    for request in [greedy(&[1], 3), sampled(None, None), sampled(Some(5), None), sampled(Some(5), Some(0.5))] {
        let error = model.backend.serve(&[&request], &*model.clock, &mut served).unwrap_err();
        let message = "the model's logits are not numbers; its weights are damaged or overflow in this dtype";
        assert_eq!(error, BackendError::Invalid(message.into()), "{:?}", request.sampling);
    }
}
