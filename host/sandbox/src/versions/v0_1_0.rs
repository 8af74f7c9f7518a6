//! Contract 0.1.0, served by the newest one. What 0.1.0 has is in `wit/0.1.0/plugin.wit`, which never changes, and neither
//! does this but for the functions that it leads to.
//!
//! What differs in 0.2.0: `generation` has the time of each token in place of the first one's, plans have a time limit, and
//! runs say their extent.

#![allow(unsafe_code, reason = "what wasmtime derives reads and writes memory of guests")]

use harness_core::Plan;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType};

use crate::bindings::model::Host as _;
use crate::bindings::{bench, gpu, log, model, recordings};
use crate::state::{RecordingHandle, RunHandle, State};

/// `model.generation` as 0.1.0 has it.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Generation {
    tokens: Vec<u32>,
    text: String,
    finish: model::Finish,
    latency: f64,
    #[component(name = "time-to-first-token")]
    time_to_first_token: f64,
}

impl From<model::Generation> for Generation {
    fn from(new: model::Generation) -> Self {
        let model::Generation { tokens, text, finish, latency, token_times } = new;
        let time_to_first_token = token_times.first().copied().unwrap_or(latency);
        Self { tokens, text, finish, latency, time_to_first_token }
    }
}

/// Serves a function of 0.1.0 by the newest one, whose types are the same.
macro_rules! same {
    ($interface:ident, $name:literal, $function:path, ($($param:ident: $type:ty),*)) => {
        $interface.func_wrap($name, |mut store, ($($param,)*): ($($type,)*)| {
            Ok(($function(store.data_mut(), $($param),*)?,))
        })?
    };
}

/// The same for a function that returns nothing.
macro_rules! same_unit {
    ($interface:ident, $name:literal, $function:path, ($($param:ident: $type:ty),*)) => {
        $interface.func_wrap($name, |mut store, ($($param,)*): ($($type,)*)| $function(store.data_mut(), $($param),*))?
    };
}

type Run = Resource<RunHandle>;
type Recording = Resource<RecordingHandle>;

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut model = linker.instance("harness:plugin/model@0.1.0")?;
    same!(model, "about", model::Host::about, ());
    same!(model, "encode", model::Host::encode, (text: String));
    same!(model, "decode", model::Host::decode, (tokens: Vec<u32>));
    model.func_wrap("generate", |mut store, (request,): (model::Request,)| {
        Ok((store.data_mut().generate(request)?.map(Generation::from),))
    })?;

    let mut recordings = linker.instance("harness:plugin/recordings@0.1.0")?;
    recordings.resource("run", ResourceType::host::<RunHandle>(), |mut store, rep| {
        recordings::HostRun::drop(store.data_mut(), Resource::new_own(rep))
    })?;
    same!(recordings, "[method]run.label", recordings::HostRun::label, (run: Run));
    same!(recordings, "[method]run.metrics", recordings::HostRun::metrics, (run: Run));
    same!(recordings, "[method]run.value", recordings::HostRun::value, (run: Run, name: String));
    same!(recordings, "[method]run.samples", recordings::HostRun::samples, (run: Run, name: String));
    same!(recordings, "[method]run.times", recordings::HostRun::times, (run: Run, name: String));
    same!(recordings, "[method]run.absences", recordings::HostRun::absences, (run: Run));
    recordings.resource("recording", ResourceType::host::<RecordingHandle>(), |mut store, rep| {
        recordings::HostRecording::drop(store.data_mut(), Resource::new_own(rep))
    })?;
    same!(recordings, "[method]recording.facts", recordings::HostRecording::facts, (recording: Recording));
    same!(recordings, "[method]recording.runs", recordings::HostRecording::runs, (recording: Recording));
    same!(recordings, "[method]recording.summary", recordings::HostRecording::summary, (recording: Recording));

    let mut bench = linker.instance("harness:plugin/bench@0.1.0")?;
    bench.resource("plan", ResourceType::host::<Plan>(), |mut store, rep| {
        bench::HostPlan::drop(store.data_mut(), Resource::new_own(rep))
    })?;
    same!(bench, "[constructor]plan", bench::HostPlan::new, (label: String, requests: Vec<model::Request>));
    same_unit!(bench, "[method]plan.set-iterations", bench::HostPlan::set_iterations, (plan: Resource<Plan>, count: u32));
    same_unit!(bench, "[method]plan.set-warmup", bench::HostPlan::set_warmup, (plan: Resource<Plan>, count: u32));
    same_unit!(bench, "[method]plan.set-batch", bench::HostPlan::set_batch, (plan: Resource<Plan>, size: u32));
    same!(bench, "measure", bench::Host::measure, (plan: Resource<Plan>));

    let mut gpu = linker.instance("harness:plugin/gpu@0.1.0")?;
    same!(gpu, "devices", gpu::Host::devices, ());
    same!(gpu, "read", gpu::Host::read, (index: u32));

    let mut log = linker.instance("harness:plugin/log@0.1.0")?;
    same_unit!(log, "log", log::Host::log, (level: log::Level, message: String));

    // Types alone; nothing is called of it.
    linker.instance("harness:plugin/common@0.1.0")?;
    Ok(())
}
