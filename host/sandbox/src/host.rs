//! The host's side of the contract: what a guest can call.

use std::sync::Arc;

use harness_core::{Metric, Plan, Run, Session, Warning, metric};
use wasmtime::component::Resource;

use crate::bindings::{bench, common, gpu, log, model, recordings};
use crate::convert;
use crate::limits::LimitError;
use crate::state::{LogLevel, NO_SESSION, RecordingHandle, RunHandle, State};

type Answer<T> = wasmtime::Result<Result<T, model::Error>>;

/// The most bytes of one text that is encoded: the tokenizer takes up to some four hundred times as much memory.
const MOST_TEXT: usize = 256 << 10;

/// The most tokens that are decoded at once, and requests of a plan.
const MOST_TOKENS: usize = 1 << 20;

impl State {
    fn session(&mut self) -> Result<&mut Session, model::Error> {
        self.session.as_mut().ok_or_else(|| model::Error::Invalid(NO_SESSION.into()))
    }
}

impl model::Host for State {
    fn about(&mut self) -> wasmtime::Result<model::Info> {
        match &self.session {
            Some(session) => {
                let info = convert::info(session.model());
                Ok(self.give(info))
            }
            None => Err(wasmtime::Error::from(LimitError(format!("it asked for the model, but {NO_SESSION}")))),
        }
    }

    fn encode(&mut self, text: String) -> Answer<Vec<u32>> {
        self.take(&text);
        let answer = self.session().and_then(|session| {
            if text.len() > MOST_TEXT {
                return Err(model::Error::TooLong(format!(
                    "a text of {} bytes; at most {MOST_TEXT} are encoded",
                    text.len()
                )));
            }
            session.tokenizer().encode(&text).map_err(model::Error::Invalid)
        });
        Ok(self.give(answer))
    }

    fn decode(&mut self, tokens: Vec<u32>) -> Answer<String> {
        self.take(&tokens);
        let answer = self.session().and_then(|session| {
            if tokens.len() > MOST_TOKENS {
                return Err(model::Error::TooLong(format!(
                    "{} tokens; at most {MOST_TOKENS} are decoded",
                    tokens.len()
                )));
            }
            // Those of the model that have no text are left out, and others are a plugin's mistake.
            let about = session.model();
            if let Some(token) = tokens.iter().find(|&&token| token >= about.vocabulary) {
                return Err(model::Error::Invalid(format!(
                    "{} has no token {token}, but only the tokens 0 to {}",
                    about.name,
                    about.vocabulary.saturating_sub(1)
                )));
            }
            session.tokenizer().decode(&tokens).map_err(model::Error::Invalid)
        });
        Ok(self.give(answer))
    }

    fn generate(&mut self, request: model::Request) -> Answer<model::Generation> {
        self.refuse_for_ever()?;
        self.take(&request);
        let answer = convert::request(request, MOST_TEXT)
            .and_then(|request| self.in_session(|session| session.generate(&request)))
            .map(convert::generation);
        Ok(self.give(answer))
    }
}

impl bench::Host for State {
    fn measure(&mut self, plan: Resource<Plan>) -> Answer<Resource<RunHandle>> {
        self.refuse_for_ever()?;
        let plan = self.table.get(&plan)?.clone();
        let answer = match self.in_session(|session| session.measure(&plan)) {
            Ok(run) => Ok(self.table.push(RunHandle(run))?),
            Err(error) => Err(error),
        };
        Ok(self.give(answer))
    }
}

impl bench::HostPlan for State {
    fn new(&mut self, label: String, requests: Vec<model::Request>) -> wasmtime::Result<Resource<Plan>> {
        self.take(&label);
        self.take(&requests);
        if requests.len() > MOST_TOKENS {
            return Err(LimitError(format!("a plan of {} requests; at most {MOST_TOKENS} fit", requests.len())).into());
        }
        let requests = requests
            .into_iter()
            .map(|request| convert::request(request, MOST_TEXT))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wasmtime::Error::from(LimitError(convert::message(&error).to_owned())))?;
        let plan = Plan::new(convert::label(&label), requests);
        self.hold(&plan)?;
        Ok(self.table.push(plan)?)
    }

    fn set_iterations(&mut self, plan: Resource<Plan>, count: u32) -> wasmtime::Result<()> {
        self.table.get_mut(&plan)?.iterations = count;
        Ok(())
    }

    fn set_warmup(&mut self, plan: Resource<Plan>, count: u32) -> wasmtime::Result<()> {
        self.table.get_mut(&plan)?.warmup = count;
        Ok(())
    }

    fn set_warmup_until_steady(&mut self, plan: Resource<Plan>, most: u32) -> wasmtime::Result<()> {
        self.table.get_mut(&plan)?.warmup_until_steady = Some(most);
        Ok(())
    }

    fn set_batch(&mut self, plan: Resource<Plan>, size: u32) -> wasmtime::Result<()> {
        self.table.get_mut(&plan)?.batch = size;
        Ok(())
    }

    fn set_time_limit(&mut self, plan: Resource<Plan>, seconds: f64) -> wasmtime::Result<()> {
        self.table.get_mut(&plan)?.time_limit = Some(seconds);
        Ok(())
    }

    fn drop(&mut self, plan: Resource<Plan>) -> wasmtime::Result<()> {
        let plan = self.table.delete(plan)?;
        self.let_go(&plan);
        Ok(())
    }
}

impl recordings::Host for State {}

impl recordings::HostRun for State {
    fn label(&mut self, run: Resource<RunHandle>) -> wasmtime::Result<String> {
        let label = self.run(&run)?.label.clone();
        Ok(self.give(label))
    }

    fn extent(&mut self, run: Resource<RunHandle>) -> wasmtime::Result<recordings::Extent> {
        let extent = convert::extent(self.run(&run)?);
        Ok(self.give(extent))
    }

    fn metrics(&mut self, run: Resource<RunHandle>) -> wasmtime::Result<Vec<recordings::Metric>> {
        let metrics = self.run(&run)?.values.keys().map(|name| convert::metric(&described(name))).collect();
        Ok(self.give(metrics))
    }

    fn value(&mut self, run: Resource<RunHandle>, name: String) -> wasmtime::Result<Option<f64>> {
        self.take(&name);
        let value = self.run(&run)?.values.get(&name).copied();
        Ok(self.give(value))
    }

    fn samples(&mut self, run: Resource<RunHandle>, name: String) -> wasmtime::Result<Option<Vec<f64>>> {
        self.take(&name);
        let samples = self.run(&run)?.samples.get(&name);
        self.afford(samples.iter().map(|series| size_of_val(series.values.as_slice())))?;
        let samples = samples.map(|series| series.values.clone());
        Ok(self.give(samples))
    }

    fn times(&mut self, run: Resource<RunHandle>, name: String) -> wasmtime::Result<Option<Vec<f64>>> {
        self.take(&name);
        let series = self.run(&run)?.samples.get(&name);
        self.afford(series.iter().map(|series| size_of_val(series.times.as_slice())))?;
        let times = series.map(|series| series.times.clone()).filter(|times| !times.is_empty());
        Ok(self.give(times))
    }

    fn absences(&mut self, run: Resource<RunHandle>) -> wasmtime::Result<Vec<recordings::Absence>> {
        let absence = |(metric, reason): (&String, &String)| recordings::Absence {
            metric: metric.clone(),
            reason: reason.clone(),
        };
        let absent = &self.run(&run)?.absent;
        self.afford(absent.iter().map(|(metric, reason)| metric.len() + reason.len()))?;
        let absences = absent.iter().map(absence).collect();
        Ok(self.give(absences))
    }

    fn drop(&mut self, run: Resource<RunHandle>) -> wasmtime::Result<()> {
        self.table.delete(run)?;
        Ok(())
    }
}

/// What an answer takes beside its texts and numbers, for each of its parts: two texts and their allocations.
const PART: usize = 80;

impl State {
    /// Whether a guest may have an answer of parts of so many bytes: asked before it is made, since the host makes it first and the
    /// guest holds it then.
    fn afford(&self, parts: impl Iterator<Item = usize>) -> Result<(), LimitError> {
        let bytes = parts.fold(0, |bytes: usize, part| bytes.saturating_add(part).saturating_add(PART));
        let most = self.memory.most() / 2;
        if bytes > most {
            return Err(LimitError(format!(
                "it asked for {bytes} bytes of a recording at once, and may have {most}, half of its memory; allow more with --max-memory"
            )));
        }
        Ok(())
    }

    fn run(&self, run: &Resource<RunHandle>) -> wasmtime::Result<&Arc<Run>> {
        Ok(&self.table.get(run)?.0)
    }
}

/// A metric of a recording; one of a newer harness than this has only its name.
fn described(name: &str) -> Metric {
    metric::definition(name).map_or_else(
        || Metric {
            name: name.to_owned(),
            unit: String::new(),
            help: String::new(),
            better: metric::Direction::Neither,
            sampled: false,
        },
        metric::Definition::metric,
    )
}

impl recordings::HostRecording for State {
    fn facts(&mut self, recording: Resource<RecordingHandle>) -> wasmtime::Result<Vec<recordings::Fact>> {
        let fact = |(name, value): (&String, &String)| recordings::Fact { name: name.clone(), value: value.clone() };
        let recording = &self.table.get(&recording)?.recording;
        self.afford(recording.facts.iter().map(|(name, value)| name.len() + value.len()))?;
        let stood_still = Warning::stood_still(&recording.runs).map(|warning| warning.to_string());
        let ended = [
            ("status", Some(recording.status.as_str().to_owned())),
            ("message", recording.message.clone()),
            ("standstill", stood_still),
        ];
        let ended = ended
            .into_iter()
            .filter_map(|(name, value)| Some(recordings::Fact { name: name.to_owned(), value: value? }));
        // How it ended is the host's to say: a fact that bears such a name says nothing of it.
        let recorded =
            recording.facts.iter().filter(|(name, _)| !["status", "message", "standstill"].contains(&name.as_str()));
        let facts = recorded.map(fact).chain(ended).collect();
        Ok(self.give(facts))
    }

    fn runs(&mut self, recording: Resource<RecordingHandle>) -> wasmtime::Result<Vec<Resource<RunHandle>>> {
        let runs = self.table.get(&recording)?.runs.clone();
        let handles = runs.into_iter().map(|run| Ok(self.table.push(RunHandle(run))?));
        let handles = handles.collect::<wasmtime::Result<Vec<_>>>()?;
        Ok(self.give(handles))
    }

    fn summary(&mut self, recording: Resource<RecordingHandle>) -> wasmtime::Result<Vec<recordings::Reading>> {
        let summary = &self.table.get(&recording)?.recording.summary;
        self.afford(
            summary
                .iter()
                .map(|reading| reading.metric.name.len() + reading.metric.unit.len() + reading.metric.help.len()),
        )?;
        let summary = summary.iter().map(convert::reading).collect();
        Ok(self.give(summary))
    }

    fn drop(&mut self, recording: Resource<RecordingHandle>) -> wasmtime::Result<()> {
        self.table.delete(recording)?;
        Ok(())
    }
}

impl gpu::Host for State {
    fn devices(&mut self) -> wasmtime::Result<Vec<gpu::Device>> {
        let devices = self.gpus.devices().into_iter().map(convert::device).collect();
        Ok(self.give(devices))
    }

    fn read(&mut self, index: u32) -> wasmtime::Result<Result<gpu::State, String>> {
        let state = self.gpus.read(index).map(convert::gpu_state);
        Ok(self.give(state))
    }
}

impl log::Host for State {
    fn log(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.take(&message);
        let level = match level {
            log::Level::Trace => LogLevel::Trace,
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        Ok(State::log(self, level, &message)?)
    }
}

impl common::Host for State {}
