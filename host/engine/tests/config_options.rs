//! Options of config.json, against a second implementation that is as plain as can be and computes in f64.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Checkpoint, distance, load_checkpoint};
use serde_json::json;

struct Reference<'a>(&'a Checkpoint);

impl Reference<'_> {
    fn tensor(&self, name: &str) -> Vec<f64> {
        self.0.tensors[name].numbers()
    }

    fn size(&self, option: &str) -> usize {
        self.0.config[option].as_u64().unwrap() as usize
    }

    fn on(&self, option: &str, default: bool) -> bool {
        self.0.config[option].as_bool().unwrap_or(default)
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let epsilon = self.0.config["layer_norm_epsilon"].as_f64().unwrap_or(1e-5);
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let (weight, bias) = (self.tensor(&format!("{name}.weight")), self.tensor(&format!("{name}.bias")));
        (0..x.len()).map(|i| (x[i] - mean) / (variance + epsilon).sqrt() * weight[i] + bias[i]).collect()
    }

    /// Conv1D: the weight is [in, out].
    fn conv(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (weight, bias) = (self.tensor(&format!("{name}.weight")), self.tensor(&format!("{name}.bias")));
        let outputs = bias.len();
        (0..outputs).map(|o| bias[o] + (0..x.len()).map(|i| x[i] * weight[i * outputs + o]).sum::<f64>()).collect()
    }

    fn activation(&self, x: f64) -> f64 {
        match self.0.config["activation_function"].as_str() {
            Some("gelu") => 0.5 * x * (1.0 + erf(x / 2f64.sqrt())),
            _ => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                0.5 * x * (1.0 + inner.tanh())
            }
        }
    }

    fn logits(&self, prompt: &[u32]) -> Vec<f64> {
        let (width, heads) = (self.size("n_embd"), self.size("n_head"));
        let size = width / heads;
        let (wte, wpe) = (self.tensor("transformer.wte.weight"), self.tensor("transformer.wpe.weight"));
        let mut hidden: Vec<Vec<f64>> = prompt
            .iter()
            .enumerate()
            .map(|(at, &token)| (0..width).map(|i| wte[token as usize * width + i] + wpe[at * width + i]).collect())
            .collect();
        for layer in 0..self.size("n_layer") {
            let name = |part: &str| format!("transformer.h.{layer}.{part}");
            let qkv: Vec<Vec<f64>> =
                hidden.iter().map(|x| self.conv(&name("attn.c_attn"), &self.norm(&name("ln_1"), x))).collect();
            for (at, hidden) in hidden.iter_mut().enumerate() {
                let mut attended = vec![0.0; width];
                for head in 0..heads {
                    let part = |row: usize, part: usize| &qkv[row][part * width + head * size..][..size];
                    let scores: Vec<f64> = (0..=at)
                        .map(|key| {
                            let mut score: f64 = part(at, 0).iter().zip(part(key, 1)).map(|(q, k)| q * k).sum();
                            if self.on("scale_attn_weights", true) {
                                score /= (size as f64).sqrt();
                            }
                            if self.on("scale_attn_by_inverse_layer_idx", false) {
                                score /= (layer + 1) as f64;
                            }
                            score.exp()
                        })
                        .collect();
                    let total: f64 = scores.iter().sum();
                    for (key, score) in scores.iter().enumerate() {
                        for i in 0..size {
                            attended[head * size + i] += score / total * part(key, 2)[i];
                        }
                    }
                }
                let added = self.conv(&name("attn.c_proj"), &attended);
                hidden.iter_mut().zip(added).for_each(|(x, added)| *x += added);
            }
            for x in &mut hidden {
                let units = self.conv(&name("mlp.c_fc"), &self.norm(&name("ln_2"), x));
                let units: Vec<f64> = units.into_iter().map(|x| self.activation(x)).collect();
                let added = self.conv(&name("mlp.c_proj"), &units);
                x.iter_mut().zip(added).for_each(|(x, added)| *x += added);
            }
        }
        let last = self.norm("transformer.ln_f", hidden.last().unwrap());
        let head = if self.0.tensors.contains_key("lm_head.weight") { self.tensor("lm_head.weight") } else { wte };
        head.chunks(width).map(|row| row.iter().zip(&last).map(|(w, x)| w * x).sum()).collect()
    }
}

/// The error function by its Maclaurin series, which is exact enough for |x| < 6.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.5 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

#[test]
fn every_option_computes_what_it_says() {
    let mut all = Vec::new();
    for options in [
        json!({}),
        json!({"activation_function": "gelu"}),
        json!({"activation_function": "gelu_pytorch_tanh"}),
        json!({"n_inner": 20}),
        json!({"scale_attn_by_inverse_layer_idx": true}),
        json!({"scale_attn_weights": false}),
        json!({"layer_norm_epsilon": 0.1}),
        json!({"tie_word_embeddings": false}),
        json!({"reorder_and_upcast_attn": true}),
        json!({"n_head": 1, "n_embd": 10, "n_inner": 33, "activation_function": "gelu", "tie_word_embeddings": false}),
    ] {
        let checkpoint = Checkpoint::tiny(options.clone());
        let mut model = load_checkpoint(&checkpoint);
        for prompt in [&[7][..], &[1, 2, 3, 4, 5], &[9; 20]] {
            let logits = model.backend.prompt_logits(prompt).unwrap();
            let expected = Reference(&checkpoint).logits(prompt);
            let distance = distance(&logits, &expected);
            assert!(distance < 1e-5, "{options}, prompt of {}: {distance}", prompt.len());
            all.push(expected);
        }
    }
    // The options matter, so that a model that ignores one would have failed.
    let different = |case: usize| (1..3).all(|prompt| all[prompt] != all[3 * case + prompt]);
    assert!([1, 3, 4, 5, 6, 7, 9].into_iter().all(different));
}

#[test]
fn a_head_that_differs_from_the_embeddings_is_used_whatever_the_configuration_says() {
    let separate = Checkpoint::tiny(json!({"tie_word_embeddings": false}));
    let mut unsaid = separate.clone();
    unsaid.config.as_object_mut().unwrap().remove("tie_word_embeddings");
    let mut model = load_checkpoint(&unsaid);
    assert_eq!(
        model.backend.prompt_logits(&[1, 2]).unwrap(),
        load_checkpoint(&separate).backend.prompt_logits(&[1, 2]).unwrap()
    );
    // One that repeats them costs nothing.
    let mut repeated = separate;
    let embeddings = repeated.tensors["transformer.wte.weight"].clone();
    repeated.tensors.insert("lm_head.weight".into(), embeddings);
    let tied = load_checkpoint(&Checkpoint::tiny(json!({})));
    assert_eq!(load_checkpoint(&repeated).backend.info().parameters, tied.backend.info().parameters);
    assert!(model.backend.info().parameters > tied.backend.info().parameters);
}
