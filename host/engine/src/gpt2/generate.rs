//! Generation with GPT-2: the backend `candle`.

use candle_core::{DType, Device, Result, Tensor};
use candle_transformers::generation::{LogitsProcessor, Sampling as Draw};
use harness_core::Bandwidth;
use harness_core::{Backend, BackendError, Clock, Memory, ModelInfo, Sampling, Served, StopTokens, TokenRequest};

use super::{Batch, Model, greedy, no_numbers};
use crate::candle_error::plain_message;
use crate::cpu::elementwise::argmax;
use crate::cpu::ops;
use crate::cuda::Gpu;
use crate::{bandwidth, memory, request};

/// GPT-2 on candle, on a CPU or a GPU.
pub(crate) struct Gpt2 {
    info: ModelInfo,
    model: Model,
    gpu: Option<Gpu>,
    /// Why the peak of memory can't be started anew, if it can't.
    no_peak: Option<String>,
}

impl Gpt2 {
    pub(crate) fn new(info: ModelInfo, model: Model, gpu: Option<Gpu>) -> Self {
        Self { info, model, gpu, no_peak: None }
    }

    /// What became of an error of candle's. `what` says what memory was for.
    fn failed(&self, error: &candle_core::Error, what: &str) -> BackendError {
        match &self.gpu {
            Some(gpu) => gpu.failed(error, what),
            None => BackendError::Invalid(plain_message(error)),
        }
    }
}

/// What to do where work does not fit the machine.
const SMALLER: &str = "use a smaller batch, shorter sequences or a smaller model";

impl Backend for Gpt2 {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn reserve(&mut self, batch: usize, prompt: usize, length: usize) -> std::result::Result<(), BackendError> {
        let bytes = self.model.growth_bytes(batch, length);
        let what = format!("{bytes} bytes for keys and values of {batch} sequences of {length} tokens");
        match &self.gpu {
            Some(gpu) if bytes > 0 => gpu.check_room(bytes, &what)?,
            Some(_) => {}
            None => {
                let working = self.model.working_bytes(batch, prompt);
                let what = format!("{what} and {working} for activations and logits of prompts of {prompt}");
                memory::check_room(bytes.saturating_add(working), &what, SMALLER)?;
            }
        }
        self.model.reserve(batch, length).map_err(|error| self.failed(&error, &what))
    }

    fn serve(
        &mut self,
        requests: &[&TokenRequest],
        clock: &dyn Clock,
        served: &mut Served,
    ) -> std::result::Result<(), BackendError> {
        requests.iter().try_for_each(|request| request::check(request, &self.info))?;
        let done = match &mut self.gpu {
            // Inside rayon's pool, a product costs a few hundred nanoseconds to share; from outside, a thread switch.
            None => {
                let model = &mut self.model;
                rayon::scope(|_| generate(model, requests, clock, served))
            }
            Some(gpu) => gpu
                .start()
                .and_then(|()| generate(&mut self.model, requests, clock, served))
                .and_then(|()| gpu.stop())
                .map(|time| served.device_time = Some(time)),
        };
        let batch = requests.len();
        done.map_err(|error| self.failed(&error, &format!("the activations of a batch of {batch}")))
    }

    fn prompt_logits(&mut self, prompt: &[u32]) -> std::result::Result<Vec<f32>, BackendError> {
        let request =
            TokenRequest { prompt: prompt.to_vec(), max_new_tokens: 0, stop_tokens: StopTokens::NONE, sampling: None };
        request::check(&request, &self.info)?;
        if self.gpu.is_none() {
            let bytes = self.model.growth_bytes(1, prompt.len()) + self.model.working_bytes(1, prompt.len());
            memory::check_room(bytes, &format!("{bytes} bytes for a prompt of {} tokens", prompt.len()), SMALLER)?;
        }
        let mut logits = || -> Result<Vec<f32>> {
            self.model
                .forward(&Batch { ids: prompt, starts: &[0], past: 0 })?
                .squeeze(0)?
                .to_dtype(DType::F32)?
                .to_vec1()
        };
        logits().map_err(|error| self.failed(&error, "the activations of a prompt"))
    }

    fn memory(&mut self) -> std::result::Result<Memory, String> {
        match (&mut self.gpu, &self.no_peak) {
            (Some(gpu), _) => gpu.memory(),
            (None, Some(why)) => Err(why.clone()),
            (None, None) => memory::resident(),
        }
    }

    fn reset_peak_memory(&mut self) {
        match &mut self.gpu {
            Some(gpu) => gpu.reset_peak(),
            None => self.no_peak = memory::reset_peak().err(),
        }
    }

    fn memory_bandwidth(&mut self) -> std::result::Result<Bandwidth, String> {
        match self.gpu {
            None => bandwidth::measure(),
            Some(_) => Err("the backend candle does not measure a GPU's memory; use --backend fused".into()),
        }
    }

    fn no_device_time(&self) -> Option<String> {
        match self.gpu {
            Some(_) => None,
            None => Some("the model runs on the host's own CPU, so there is no time apart from the latency".into()),
        }
    }
}

/// Serves the requests together, each sequence until it has its tokens or ends its text. A sequence that has finished
/// is carried along, but gives nothing more. The token that ends a text is its last.
fn generate(model: &mut Model, requests: &[&TokenRequest], clock: &dyn Clock, served: &mut Served) -> Result<()> {
    let start = clock.now();
    served.reset(requests.len());
    let steps = requests.iter().map(|request| request.max_new_tokens as usize).max().unwrap_or(0);
    if steps == 0 {
        return Ok(());
    }
    let longest = requests.iter().map(|request| request.prompt.len()).max().unwrap_or(0);
    // The last token is not computed any further, so it needs no place.
    model.reserve(requests.len(), longest + steps - 1)?;
    let starts: Vec<usize> = requests.iter().map(|request| longest - request.prompt.len()).collect();
    let mut ids = Vec::with_capacity(requests.len() * longest);
    for (request, &padding) in requests.iter().zip(&starts) {
        ids.resize(ids.len() + padding, 0);
        ids.extend_from_slice(&request.prompt);
    }
    let mut samplers: Vec<Option<LogitsProcessor>> =
        requests.iter().map(|request| request.sampling.as_ref().map(sampler)).collect();
    let mut finished: Vec<bool> = requests.iter().map(|request| request.max_new_tokens == 0).collect();
    let mut past = 0;
    loop {
        let logits = model.forward(&Batch { ids: &ids, starts: &starts, past })?;
        past += ids.len() / requests.len();
        ids = choose(&logits, &mut samplers, &finished)?;
        served.token_times.push(clock.now().saturating_sub(start));
        for (index, (request, sequence)) in requests.iter().zip(&mut served.sequences).enumerate() {
            if finished[index] {
                continue;
            }
            finished[index] = sequence.push(ids[index], request);
        }
        if finished.iter().all(|&finished| finished) {
            return Ok(());
        }
    }
}

fn sampler(sampling: &Sampling) -> LogitsProcessor {
    let temperature = f64::from(sampling.temperature);
    let draw = match (sampling.top_k, sampling.top_p) {
        (None, None) => Draw::All { temperature },
        (Some(k), None) => Draw::TopK { k: k as usize, temperature },
        (None, Some(p)) => Draw::TopP { p: f64::from(p), temperature },
        (Some(k), Some(p)) => Draw::TopKThenTopP { k: k as usize, p: f64::from(p), temperature },
    };
    LogitsProcessor::from_sampling(sampling.seed, draw)
}

/// The next token of each sequence, in host memory. Nothing is drawn for one that has finished.
fn choose(logits: &Tensor, samplers: &mut [Option<LogitsProcessor>], finished: &[bool]) -> Result<Vec<u32>> {
    let mut tokens = match samplers.iter().all(Option::is_some) {
        true => vec![0; samplers.len()],
        false => greedy(logits)?,
    };
    if samplers.iter().all(Option::is_none) {
        return Ok(tokens);
    }
    let logits = logits.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
    for (index, sampler) in samplers.iter_mut().enumerate() {
        if let Some(sampler) = sampler
            && !finished[index]
        {
            let logits = logits.get(index)?;
            // Drawing divides by their sum, which has to be a number: none may be NaN or plus infinity, and one must be finite.
            let numbers = |numbers: &[f32]| {
                let most = argmax(numbers).map_or(f32::NAN, |most| numbers[most]);
                if most.is_finite() { Ok(()) } else { no_numbers() }
            };
            ops::with_numbers(&logits, numbers)?;
            tokens[index] = sampler.sample(&logits)?;
        }
    }
    Ok(tokens)
}
