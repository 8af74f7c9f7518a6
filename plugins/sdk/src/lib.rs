//! What a plugin of `harness` is written with.
//!
//! A plugin is a WebAssembly component. A [`Workload`] decides what is measured, a [`Report`] turns a recording into text or
//! files; a component can be either or both. It runs in a sandbox: the only things it can reach are the [`Host`] or the
//! [`Recording`] that it is handed. All figures are in base units: seconds, bytes, joules, watts, hertz, ratios in 0..1.
//!
//! ```
//! use harness_plugin::{Description, Error, Host, Plan, Prompt, Reading, Request, Setting, Settings, Workload, metrics, statistics};
//!
//! struct Short;
//!
//! impl Workload for Short {
//!     fn describe() -> Description {
//!         Description::new("short", "0.1.0", "Measures the latency of a short prompt.")
//!             .setting(Setting::new("runs", "Number of measured runs.", "5").quick("1"))
//!     }
//!
//!     fn run(host: &dyn Host, settings: &Settings) -> Result<Vec<Reading>, Error> {
//!         let runs = settings.within("runs", 1u32..)?;
//!         let request = Request::new(Prompt::Text("Hello".into()), 20);
//!         let mut latencies = Vec::new();
//!         for run in 1..=runs {
//!             let plan = Plan::new(format!("run {run}"), vec![request.clone()]).iterations(10);
//!             latencies.extend(host.measure(&plan)?.value(metrics::LATENCY.name()));
//!         }
//!         let mean = statistics::mean(&latencies).ok_or("no run had a latency")?;
//!         Ok(vec![metrics::LATENCY.reading(mean)])
//!     }
//! }
//!
//! harness_plugin::export!(workload: Short);
//!
//! // In a unit test, natively and without a host:
//! use harness_plugin::testing::{FakeHost, settings};
//! let readings = Short::run(&FakeHost::new(), &settings(&Short::describe(), &[("runs", "2")])).unwrap();
//! assert_eq!(readings, [metrics::LATENCY.reading(0.1)]);
//! ```
//!
//! The crate of a plugin is a `cdylib`, built with `cargo build --release --target wasm32-wasip2`.

#[doc(hidden)]
pub mod bindings;
mod description;
mod error;
pub mod hardware;
mod host;
pub mod log;
mod metric;
pub mod metrics;
mod options;
mod output;
pub mod overview;
mod recording;
mod settings;
mod stop;
pub mod testing;
#[cfg(target_family = "wasm")]
mod wasm;

pub use bindings::harness::plugin::common::{Description, Setting};
pub use bindings::harness::plugin::gpu::{Device as Gpu, State as GpuState};
pub use bindings::harness::plugin::model::{Finish, Generation, Info as ModelInfo, Prompt, Request, Sampling};
pub use bindings::harness::plugin::recordings::{Absence, Direction, Ending, Extent};
pub use error::{Error, ModelError};
pub use harness_figures::{format, markdown, statistics, text};
pub use host::{Host, Plan};
pub use metric::{Metric, Reading};
pub use options::SettingField;
pub use output::{Artifact, Output};
pub use recording::{Facts, Recording, Run};
pub use settings::{SettingValue, Settings};
pub use stop::StopRule;

/// The README's plugin, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The recipes of the plugin authors' guide, as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/plugins.md")]
struct Guide;

/// A plugin that decides what to run.
pub trait Workload {
    /// Who the plugin is and what can be set.
    fn describe() -> Description;

    /// Asks the host for measured runs and returns the figures that sum them up.
    ///
    /// A reading that bears the name of a host metric is the mean of that metric over the runs: the host checks it, and marks one
    /// that differs.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from going on. The user reads the message; the runs that were measured stay recorded.
    fn run(host: &dyn Host, settings: &Settings) -> Result<Vec<Reading>, Error>;
}

/// A plugin that turns a recording into text or files.
pub trait Report {
    /// Who the plugin is and what can be set.
    fn describe() -> Description;

    /// Shows a recording, which may be years old, of any workload, unfinished or without a single run.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from showing anything. The user reads the message.
    fn render(recording: &dyn Recording, settings: &Settings) -> Result<Output, Error>;
}

/// Exports a plugin from its component: `export!(workload: T)`, `export!(report: T)` or `export!(workload: T, report: U)`, once in a
/// crate. `T` is a [`Workload`], `U` a [`Report`]; both may be one type.
///
/// Natively, where unit tests run, it only checks that the types fit.
#[macro_export]
macro_rules! export {
    (workload: $workload:ty $(,)?) => {
        const _: () = {
            $crate::__export_interface!(Workload $workload);
        };
    };
    (report: $report:ty $(,)?) => {
        const _: () = {
            $crate::__export_interface!(Report $report);
        };
    };
    (workload: $workload:ty, report: $report:ty $(,)?) => {
        $crate::export!(workload: $workload);
        $crate::export!(report: $report);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_interface {
    (Workload $plugin:ty) => {
        #[cfg(not(target_family = "wasm"))]
        const _: fn(&dyn $crate::Host, &$crate::Settings) -> Result<Vec<$crate::Reading>, $crate::Error> =
            <$plugin as $crate::Workload>::run;
        #[cfg(target_family = "wasm")]
        type Exported = $crate::bindings::Exported<$plugin>;
        #[cfg(target_family = "wasm")]
        $crate::bindings::export!(Exported with_types_in $crate::bindings);
    };
    (Report $plugin:ty) => {
        #[cfg(not(target_family = "wasm"))]
        const _: fn(&dyn $crate::Recording, &$crate::Settings) -> Result<$crate::Output, $crate::Error> =
            <$plugin as $crate::Report>::render;
        #[cfg(target_family = "wasm")]
        type Exported = $crate::bindings::Exported<$plugin>;
        #[cfg(target_family = "wasm")]
        $crate::bindings::report::export!(Exported with_types_in $crate::bindings::report);
    };
}
