//! `harness generate`.

use std::time::Duration;

use harness_core::{Finish, Generation, MeasureError, ModelInfo, Prompt, Request, Sampling, text};
use serde_json::json;

use crate::advice::Advice;
use crate::args::Generate;
use crate::failure::Failure;
use crate::log::tell;
use crate::progress::Screen;
use crate::{Outcome, config, deliver, invocation, settings};

impl Generate {
    pub(crate) fn execute(self) -> Outcome {
        let config = config::read(self.model.config.as_deref())?;
        let seed = self.seed.or(config.run.seed).unwrap_or(0);
        let invocation::Model { mut server, notes, .. } =
            invocation::load(&settings::model(self.model, &config, seed)?, seed, &Screen::new())?;
        for note in &notes {
            tell(note);
        }
        let request = Request {
            prompt: match self.prompt {
                Some(text) => Prompt::Text(text),
                None => Prompt::Tokens(self.tokens),
            },
            max_new_tokens: self.max_new_tokens,
            stop_at_end_of_text: !self.ignore_end_of_text,
            sampling: self.temperature.map(|temperature| Sampling {
                temperature,
                top_k: self.top_k,
                top_p: self.top_p,
                seed,
            }),
        };
        let request = server.resolve(&request, 0).map_err(failure)?;
        let generation = server.generate(&request).map_err(failure)?;
        if !self.json {
            return deliver::line(&generation.text);
        }
        let logits = if self.logits { Some(server.prompt_logits(&generation.prompt).map_err(failure)?) } else { None };
        deliver::line(&text::json(&document(&generation, server.model(), logits).to_string()))
    }
}

fn document(generation: &Generation, model: &ModelInfo, logits: Option<Vec<f32>>) -> serde_json::Value {
    let seconds = |times: &[Duration]| times.iter().map(Duration::as_secs_f64).collect::<Vec<_>>();
    let mut document = json!({
        "prompt_tokens": generation.prompt,
        "tokens": generation.tokens,
        "text": generation.text,
        "finish": match generation.finish {
            Finish::Length => "length",
            Finish::EndOfText => "end-of-text",
        },
        "latency": generation.latency.as_secs_f64(),
        "time_to_first_token": generation.token_times.first().map(Duration::as_secs_f64),
        "token_times": seconds(&generation.token_times),
        "model": {
            "name": model.name, "backend": model.backend, "device": model.device, "dtype": model.dtype,
            "weights": model.weights,
        },
    });
    if let (Some(logits), Some(fields)) = (logits, document.as_object_mut()) {
        fields.insert("logits".into(), json!(logits));
    }
    document
}

fn failure(error: MeasureError) -> Failure {
    match error {
        MeasureError::Invalid(_) | MeasureError::TooLong(_) => Failure::usage(error),
        MeasureError::OutOfMemory(_) | MeasureError::DeviceLost(_) | MeasureError::Stopped(_) => {
            Failure::failed(error.advised())
        }
    }
}
