//! The binary's tokens and logits against those of Hugging Face transformers and tokenizers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use harness_tests::{Place, golden, golden_json, stdout, told};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_harness");

fn generate(arguments: &[&str]) -> Value {
    let place = Place::new();
    let mut command = place.command(BINARY);
    command.args(["generate", "--json"]);
    if !arguments.contains(&"--backend") {
        command.args(["--device", "cpu"]);
    }
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect()
}

#[test]
fn tokens_and_logits_are_those_of_transformers() {
    for (name, dtype) in [("prefixed-f32", "f32"), ("bare-f16", "f32"), ("bare-f16", "f16")] {
        let model = golden().join(name);
        for case in golden_json(&format!("{name}/golden.json"))["cases"].as_array().unwrap() {
            let prompt: Vec<String> = numbers(&case["prompt"]).iter().map(f64::to_string).collect();
            let greedy = numbers(&case["greedy"]);
            let given = generate(&[
                "--model",
                model.to_str().unwrap(),
                "--dtype",
                dtype,
                "--tokens",
                &prompt.join(","),
                "--logits",
                "--ignore-end-of-text",
                "--max-new-tokens",
                &greedy.len().to_string(),
            ]);
            assert_eq!(numbers(&given["tokens"]), greedy, "{name} in {dtype}, prompt of {}", prompt.len());
            let (logits, reference) = (numbers(&given["logits"]), numbers(&case["logits"]));
            let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
            let error =
                norm(&mut logits.iter().zip(&reference).map(|(a, b)| a - b)) / norm(&mut reference.iter().copied());
            assert!(logits.len() == reference.len() && error < 1e-4, "{name} in {dtype}: relative error {error:e}");
        }
    }
}

#[test]
fn texts_are_encoded_as_tokenizers_does() {
    for case in golden_json("tokenizer/golden.json").as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        if text.is_empty() {
            continue; // A model has nothing to continue; bad_input.rs has the message.
        }
        let mut arguments = vec!["--backend", "simulated", "--max-new-tokens", "0"];
        arguments.extend(["--", text]);
        let given = generate(&arguments);
        assert_eq!(given["prompt_tokens"], case["ids"], "{text:?}");
        assert_eq!(given["tokens"], serde_json::json!([]));
    }
}

#[test]
fn the_same_seed_samples_the_same_tokens() {
    let model = golden().join("prefixed-f32");
    let sample = |seed: &str| {
        let given = generate(&[
            "--model",
            model.to_str().unwrap(),
            "--tokens",
            "1,2,3",
            "--temperature",
            "1.5",
            "--top-k",
            "40",
            "--top-p",
            "0.95",
            "--seed",
            seed,
        ]);
        numbers(&given["tokens"])
    };
    assert_eq!(sample("4"), sample("4"));
    assert_ne!(sample("4"), sample("5"));
}
