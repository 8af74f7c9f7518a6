//! Bindings made from the newest contract in `wit/`: the only module with generated types, and visible in this crate alone.
//! How plugins of it and of older ones are linked and called is in [`versions`](crate::versions).

#![allow(unsafe_code, reason = "what wasmtime generates reads and writes memory of guests")]

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

pub(crate) use report::exports::harness::plugin::report as wit_report;
pub(crate) use workload::harness::plugin::{bench, common, gpu, log, model, recordings};
