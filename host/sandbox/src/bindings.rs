//! Bindings made from `wit/`: the only module with generated types, and visible in this crate alone.
//!
//! A component that has both kinds of plugin in it (world `plugin`) is called through the same two worlds as one that
//! has one of them: an export more is no hindrance.

pub(crate) mod workload {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "workload-plugin",
        imports: { default: trappable },
        with: {
            "harness:plugin/recordings.run": crate::state::RunHandle,
            "harness:plugin/recordings.recording": crate::state::RecordingHandle,
            "harness:plugin/bench.plan": harness_core::Plan,
        },
    });
}

pub(crate) mod report {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "report-plugin",
        imports: { default: trappable },
        with: {
            "harness:plugin/recordings": crate::bindings::workload::harness::plugin::recordings,
            "harness:plugin/common": crate::bindings::workload::harness::plugin::common,
            "harness:plugin/log": crate::bindings::workload::harness::plugin::log,
        },
    });
}

pub(crate) use workload::harness::plugin::{bench, common, gpu, log, model, recordings};
