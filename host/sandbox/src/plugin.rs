//! A loaded plugin and the calls that can be made of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness_core::text::visible;
use harness_core::{Gpus, NoGpus, PluginCost, Reading, Recording, Session};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Instance, InstancePre, Linker, Resource};
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::compile;
use crate::compile::Footprint;
use crate::convert;
use crate::description::Description;
use crate::error::PluginError;
use crate::guest_clock::Task;
use crate::kinds::Kinds;
use crate::limits::{LimitError, Limits, MOST_INSTANCES, MOST_MEMORIES, MOST_TABLES};
use crate::output::Output;
use crate::state::{LogSink, MOST_HANDLES, NoLog, RecordingHandle, State};
use crate::text::cut;
use crate::versions::{self, Describe, Export, Render, Run};
use crate::wasi;

/// A component that is linked and ready to be called.
pub struct Plugin {
    name: String,
    sha256: String,
    kinds: Kinds,
    footprint: Footprint,
    load_time: Duration,
    engine: Engine,
    pre: InstancePre<State>,
    workload: Option<Workload>,
    report: Option<Report>,
}

/// What [`Plugin::link`] makes a plugin of.
pub(crate) struct Loaded {
    pub(crate) sha256: String,
    pub(crate) component: Component,
    pub(crate) kinds: Kinds,
    pub(crate) footprint: Footprint,
    /// When loading began.
    pub(crate) started: Instant,
}

/// What a workload exports.
struct Workload {
    describe: Describe,
    run: Run,
}

/// What a report exports.
struct Report {
    describe: Describe,
    render: Render,
}

/// The most bytes of a message that a plugin sends along with its failure.
const MOST_MESSAGE: usize = 4_000;
/// Most imports that an error names.
const MOST_NAMED: usize = 8;

/// What the component imports that no plugin gets; `None` if that is nothing.
fn foreign(component: &Component, engine: &Engine) -> Option<String> {
    let ty = component.component_type();
    // Types alone need nothing of the host.
    let does_something = |item: &ComponentItem| match item {
        ComponentItem::ComponentInstance(instance) => instance
            .exports(engine)
            .any(|(_, export)| matches!(export.ty, ComponentItem::ComponentFunc(_) | ComponentItem::Resource(_))),
        item => !matches!(item, ComponentItem::Type(_)),
    };
    let foreign: Vec<&str> = ty
        .imports(engine)
        .filter(|(name, import)| versions::item(name).is_none() && !wasi::has(name) && does_something(&import.ty))
        .map(|(name, _)| name)
        .collect();
    let more = match foreign.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named = foreign.get(..MOST_NAMED).unwrap_or(&foreign).join(", ");
    (!foreign.is_empty()).then(|| format!("it imports {named}{more}, which no plugin gets"))
}

impl Plugin {
    pub(crate) fn link(
        name: &str,
        loaded: Loaded,
        engine: &Engine,
        linker: &Linker<State>,
    ) -> Result<Self, PluginError> {
        let Loaded { sha256, component, kinds, footprint, started } = loaded;
        let failed = |error: wasmtime::Error| PluginError::Link {
            plugin: name.to_owned(),
            // Wasmtime tells one of what is missing.
            reason: foreign(&component, engine)
                .unwrap_or_else(|| format!("{error:#}").lines().collect::<Vec<_>>().join(" ")),
        };
        let pre = linker.instantiate_pre(&component).map_err(failed)?;
        let workload = |interface: &String| -> wasmtime::Result<_> {
            let describe = Export::of(&component, interface, "describe")?;
            Ok(Workload { describe, run: Export::of(&component, interface, "run")? })
        };
        let report = |interface: &String| -> wasmtime::Result<_> {
            let describe = Export::of(&component, interface, "describe")?;
            Ok(Report { describe, render: Export::of(&component, interface, "render")? })
        };
        let workload = kinds.workload.as_ref().map(workload).transpose().map_err(failed)?;
        let report = kinds.report.as_ref().map(report).transpose().map_err(failed)?;
        let load_time = started.elapsed();
        Ok(Self {
            name: name.to_owned(),
            sha256,
            kinds,
            footprint,
            load_time,
            engine: engine.clone(),
            pre,
            workload,
            report,
        })
    }

    /// As the user named it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Of the component's bytes, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The version of the contract that it was built for.
    pub fn contract(&self) -> &str {
        &self.kinds.contract
    }

    /// Everything that the component exports.
    pub fn exports(&self) -> &[String] {
        &self.kinds.exports
    }

    /// Everything that the component imports.
    pub fn imports(&self) -> &[String] {
        &self.kinds.imports
    }

    /// Whether it can run something.
    pub fn is_workload(&self) -> bool {
        self.workload.is_some()
    }

    /// Whether it can show something.
    pub fn is_report(&self) -> bool {
        self.report.is_some()
    }

    /// What it says of itself as a workload.
    pub fn describe_workload(&self, limits: &Limits) -> Result<Description, PluginError> {
        self.describe(&self.as_workload()?.describe, limits)
    }

    /// What it says of itself as a report.
    pub fn describe_report(&self, limits: &Limits) -> Result<Description, PluginError> {
        self.describe(&self.as_report()?.describe, limits)
    }

    fn describe(&self, describe: &Describe, limits: &Limits) -> Result<Description, PluginError> {
        let mut call = self.call(limits, Task::Describe, None, Arc::new(NoGpus), Arc::new(NoLog));
        let plugin = call.instantiate();
        let described = plugin.and_then(|plugin| describe.call(&mut call.store, &plugin, ()));
        let described = described.map_err(|error| call.failure("describe", &error))?;
        self.checked("describe", convert::description(described))
    }

    /// Runs the workload. The session comes back whatever happened: what was recorded is in it.
    pub fn run(
        &self,
        session: Session,
        gpus: Arc<dyn Gpus>,
        settings: &[(String, String)],
        limits: &Limits,
        log: Arc<dyn LogSink>,
    ) -> (Session, Result<Vec<Reading>, PluginError>) {
        let workload = match self.as_workload() {
            Ok(workload) => workload,
            Err(error) => return (session, Err(error)),
        };
        let mut call = self.call(limits, Task::Run, Some(session), gpus, log);
        let settings = call.store.data_mut().give(settings.to_vec());
        let plugin = call.instantiate();
        let result = plugin.and_then(|plugin| workload.run.call(&mut call.store, &plugin, (settings,)));
        if let Ok(returned) = &result {
            call.store.data_mut().take(returned);
        }
        let cost = call.store.data().cost(self.load_time);
        let result = match result.map_err(|error| call.failure("run", &error)) {
            Ok(Ok(readings)) => self.checked("run", convert::readings(readings)),
            Ok(Err(failure)) => Err(self.gave_up(failure)),
            Err(error) => Err(error),
        };
        match call.store.into_data().session {
            Some(mut session) => {
                session.plugin_cost(cost);
                (session, result)
            }
            // The host's functions only borrow the session that was put in above.
            None => unreachable!("a call took the session away"),
        }
    }

    /// Renders a recording. The same recording and settings give the same output.
    pub fn render(
        &self,
        recording: Arc<Recording>,
        settings: &[(String, String)],
        limits: &Limits,
        log: Arc<dyn LogSink>,
    ) -> Result<Output, PluginError> {
        self.render_measured(recording, settings, limits, log).map(|(output, _)| output)
    }

    /// As [`render`](Self::render), with what it cost.
    pub fn render_measured(
        &self,
        recording: Arc<Recording>,
        settings: &[(String, String)],
        limits: &Limits,
        log: Arc<dyn LogSink>,
    ) -> Result<(Output, PluginCost), PluginError> {
        let report = self.as_report()?;
        let mut call = self.call(limits, Task::Render, None, Arc::new(NoGpus), log);
        let settings = call.store.data_mut().give(settings.to_vec());
        let rendered = call.instantiate().and_then(|plugin| {
            let handle = call.store.data_mut().table.push(RecordingHandle::new(recording))?;
            let borrowed = Resource::new_borrow(handle.rep());
            report.render.call(&mut call.store, &plugin, (borrowed, settings))
        });
        let rendered = rendered.map_err(|error| call.failure("render", &error))?;
        call.store.data_mut().take(&rendered);
        let cost = call.store.data().cost(self.load_time);
        match rendered {
            Ok(output) => Ok((self.checked("render", convert::output(output))?, cost)),
            Err(failure) => Err(self.gave_up(failure)),
        }
    }

    fn as_workload(&self) -> Result<&Workload, PluginError> {
        self.workload.as_ref().ok_or_else(|| PluginError::WrongKind {
            plugin: self.name.clone(),
            wanted: "workload",
            has: "report",
            remedy: "Give it to --report, or to `harness report --with`",
        })
    }

    fn as_report(&self) -> Result<&Report, PluginError> {
        self.report.as_ref().ok_or_else(|| PluginError::WrongKind {
            plugin: self.name.clone(),
            wanted: "report",
            has: "workload",
            remedy: "Give it to `harness run --plugin`",
        })
    }

    fn checked<T>(&self, function: &'static str, value: Result<T, String>) -> Result<T, PluginError> {
        value.map_err(|what| PluginError::BadValue { plugin: self.name.clone(), function, what })
    }

    fn gave_up(&self, failure: crate::bindings::common::Failure) -> PluginError {
        use crate::bindings::common::Failure;
        let plugin = self.name.clone();
        // Indented, no line of it looks like one of the host's.
        let clean = |message: String| visible(&cut(&message, MOST_MESSAGE)).trim_end().replace('\n', "\n  ");
        match failure {
            Failure::Setting(message) => PluginError::BadSetting { plugin, message: clean(message) },
            Failure::Other(message) => PluginError::Returned { plugin, message: clean(message) },
        }
    }

    fn call(
        &self,
        limits: &Limits,
        task: Task,
        session: Option<Session>,
        gpus: Arc<dyn Gpus>,
        log: Arc<dyn LogSink>,
    ) -> Call<'_> {
        let mut store = Store::new(&self.engine, State::new(&self.name, limits, task, session, gpus, log));
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(limits.output);
        store.set_max_component_handles(MOST_HANDLES);
        store.call_hook(|mut store, hook| Ok(store.data_mut().clock.hook(hook)?));
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| {
            store.data_mut().clock.tick()?;
            Ok(UpdateDeadline::Continue(1))
        });
        Call { plugin: self, store, limits: *limits }
    }
}

/// One instance of a plugin.
struct Call<'a> {
    plugin: &'a Plugin,
    store: Store<State>,
    limits: Limits,
}

/// How often an instance is tried again, and after how long.
const MOST_BUSY: usize = 20;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

impl Call<'_> {
    /// Makes an instance, which runs guest code, if it has one.
    fn instantiate(&mut self) -> wasmtime::Result<Instance> {
        self.store.data_mut().memory.instantiate(&self.plugin.footprint)?;
        // Linux does not seal the image of a memory while it happens to move one of its pages.
        for _ in 0..MOST_BUSY {
            match self.plugin.pre.instantiate(&mut self.store) {
                Err(error) if error.chain().any(|cause| cause.to_string().contains("Device or resource busy")) => {
                    std::thread::sleep(PAUSE);
                }
                made => return made,
            }
        }
        self.plugin.pre.instantiate(&mut self.store)
    }

    /// What went wrong inside the guest.
    fn failure(&self, function: &'static str, error: &wasmtime::Error) -> PluginError {
        let plugin = self.plugin.name.clone();
        if let Some(LimitError(limit)) = error.downcast_ref::<LimitError>() {
            return PluginError::Limit { plugin, limit: limit.clone() };
        }
        // wasmtime keeps the types of these errors to itself.
        let says = |text: &str| error.chain().any(|cause| cause.to_string().contains(text));
        if says("fuel allocated for hostcalls") {
            let limit =
                format!("it handed over more than {} bytes at once; allow more with --max-output", self.limits.output);
            return PluginError::Limit { plugin, limit };
        }
        // The first is wasmtime's own count, the second that of what lies behind the handles.
        if says("handle limit exceeded") || says("resource table has no free keys") {
            let limit = format!(
                "it held more than {MOST_HANDLES} handles at once. For its author: drop runs, plans and recordings when done"
            );
            return PluginError::Limit { plugin, limit };
        }
        for (words, what, most) in [
            ("memory count too high", "linear memories", MOST_MEMORIES),
            ("table count too high", "tables", MOST_TABLES),
            ("instance count too high", "core instances", MOST_INSTANCES),
        ] {
            if says(words) {
                return PluginError::Limit { plugin, limit: format!("it has more than {most} {what}") };
            }
        }
        if compile::out_of_memory(error) {
            return refused(&plugin);
        }
        let state = self.store.data();
        let trap =
            error.downcast_ref::<wasmtime::Trap>().map_or_else(|| error.root_cause().to_string(), ToString::to_string);
        // What the guest's std says of a backtrace is no advice to the person who runs it.
        let written: Vec<String> = visible(&state.written.text())
            .lines()
            .filter(|line| !line.starts_with("note: run with `RUST_BACKTRACE"))
            .map(ToOwned::to_owned)
            .collect();
        let written = written.join("\n");
        let message = match written.trim() {
            "" => format!(
                "{trap} (after {:.3} s, with {} bytes of memory)",
                state.clock.spent().as_secs_f64(),
                state.memory.used()
            ),
            // Indented, as what it returns.
            written => format!("{}\n  ({trap})", cut(written, MOST_MESSAGE).replace('\n', "\n  ")),
        };
        PluginError::Trap { plugin, function, message }
    }
}

/// What is said where the system refuses memory for a plugin, which is no fault of the plugin's.
pub(crate) fn refused(plugin: &str) -> PluginError {
    PluginError::System { plugin: plugin.to_owned(), what: no_addresses(compile::address_space()) }
}

/// Why a sandbox can't be made where the system refuses addresses; `limit` is that of this process.
fn no_addresses(limit: Option<u64>) -> String {
    let wanted = "the sandbox reserves some 4 GiB of addresses for each memory of a plugin, of which it uses little";
    match limit {
        Some(limit) => format!(
            "{wanted}, and this process may have {limit} bytes of them in all; raise or lift that limit (ulimit -v, RLIMIT_AS)"
        ),
        None => format!(
            "{wanted}, and the system refuses them; see to it that it may overcommit (vm.overcommit_memory, vm.max_map_count), or has more memory"
        ),
    }
}
