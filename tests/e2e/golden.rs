//! The binary's tokens and logits against those of Hugging Face transformers and tokenizers.

use crate::BINARY;
use harness_tests::{Place, golden, golden_json, stderr, stdout, told};
use serde_json::Value;

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

/// What a folder's files name as stop tokens, alone and together, ends a text where transformers ends it.
#[test]
fn every_token_that_a_folder_names_ends_a_text() {
    for name in ["stop-list", "generation-config"] {
        let model = golden().join("variants").join(name);
        let golden = golden_json(&format!("variants/{name}/golden.json"));
        let most = golden["new"].as_u64().unwrap();
        let mut ended = 0;
        for case in golden["cases"].as_array().unwrap() {
            let prompt: Vec<String> = numbers(&case["prompt"]).iter().map(f64::to_string).collect();
            let most = most.to_string();
            let model = model.to_str().unwrap();
            let given = generate(&["--model", model, "--tokens", &prompt.join(","), "--max-new-tokens", &most]);
            assert_eq!(given["tokens"], case["greedy"], "{name}");
            ended += usize::from(given["finish"] == "end-of-text");
        }
        assert_eq!(ended, 1, "{name}");
    }
}

/// What a checkpoint has beside the model is said, and is no matter.
#[test]
fn tensors_that_are_not_used_are_said_unless_quiet() {
    let place = Place::new();
    let whole = std::fs::read(golden().join("prefixed-f32/model.safetensors")).unwrap();
    let data = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Map<String, Value> = serde_json::from_slice(&whole[8..data]).unwrap();
    let end = whole.len() - data;
    for (number, name) in ["transformer.h.0.attn.bias", "score.weight"].into_iter().enumerate() {
        let offsets = [end + 4 * number, end + 4 * number + 4];
        header.insert(name.into(), serde_json::json!({"dtype": "F32", "shape": [1], "data_offsets": offsets}));
    }
    let mut json = serde_json::to_vec(&header).unwrap();
    json.resize(json.len().next_multiple_of(8), b' ');
    let bytes = [&(json.len() as u64).to_le_bytes()[..], &json, &whole[data..], &[0; 8]].concat();
    place.write("model/model.safetensors", bytes);
    std::fs::copy(golden().join("prefixed-f32/config.json"), place.path("model/config.json")).unwrap();
    let run = [
        "run",
        "--device",
        "cpu",
        "--quick",
        "--model",
        "./model",
        "--set",
        "max-new-tokens=2",
        "--set",
        "prompt-tokens=5",
    ];
    let note = "the weights ./model/model.safetensors have 1 tensor that a GPT-2 does not use: 'score.weight'\n";
    for quiet in [false, true] {
        let mut command = place.command(BINARY);
        let output =
            command.args(run).args(["--report", "csv=/dev/null"]).args(quiet.then_some("--quiet")).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        assert_eq!(stderr(&output).contains(note), !quiet, "{}", told(&output));
    }
}

/// A model's vocabulary may be larger than its tokenizer's: what has no text is left out of the text, and of nothing else.
#[test]
fn tokens_without_text_leave_the_rest_of_the_text() {
    let place = Place::new();
    for file in ["config.json", "model.safetensors"] {
        std::fs::create_dir_all(place.path("model")).unwrap();
        std::fs::copy(golden().join("prefixed-f32").join(file), place.path("model").join(file)).unwrap();
    }
    let whole = |place: &Place, vocabulary: u32| -> Value {
        let tokens: Vec<_> = (0..vocabulary).map(|token| format!("\"<{token}>\": {token}")).collect();
        // Merges make something of a vocabulary, if nothing that the model has.
        let merged = r#""a": 600, "b": 601, "ab": 602"#;
        place.write("model/vocab.json", format!("{{{}, {merged}}}", tokens.join(", ")));
        place.write("model/merges.txt", "a b\n");
        let model = ["generate", "--json", "--device", "cpu", "--model", "./model"];
        let output = place
            .command(BINARY)
            .args(model)
            .args(["--ignore-end-of-text", "--max-new-tokens", "24", "--tokens", "1,2,3"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", told(&output));
        serde_json::from_str(&stdout(&output)).unwrap()
    };
    let all = whole(&place, 512);
    let tokens = all["tokens"].as_array().unwrap();
    let text = |most: u64| -> String {
        let with_text = tokens.iter().map(|token| token.as_u64().unwrap()).filter(|&token| token < most);
        with_text.map(|token| format!("<{token}>")).collect()
    };
    assert_eq!(all["text"], text(512));
    let padded = whole(&place, 256);
    assert_eq!(padded["tokens"], all["tokens"]);
    assert_eq!(padded["text"], text(256));
    assert!(text(256) != text(512) && !text(256).is_empty(), "{tokens:?}");
}
