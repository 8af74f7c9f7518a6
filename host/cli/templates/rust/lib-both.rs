//! A plugin for harness. `wit_bindgen` makes Rust of the contract in `wit/`; the plugin is what implements `Guest`.

mod report;
mod workload;

wit_bindgen::generate!({ path: "wit", world: "plugin" });

struct Plugin;

export!(Plugin);
