//! Plugins written in core WebAssembly, for what no compiler makes: handles that were dropped, text that is none, lists that lie
//! outside the memory, functions that never return.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A workload of the newest contract. Unless it is told otherwise, it describes itself as `raw`, measures the plan `raw` of two
/// iterations and returns an empty summary.
pub struct Raw {
    /// The name that it gives itself, as it stands in a WAT string.
    name: &'static str,
    /// Beside the memory and the functions.
    more: &'static str,
    memory_pages: u32,
    describe: &'static str,
    /// After the first run; `$plan` and `$run` are its handles.
    then: &'static str,
    realloc: &'static str,
}

impl Default for Raw {
    fn default() -> Self {
        Self { name: "raw0", more: "", memory_pages: 1, describe: "", then: "", realloc: "" }
    }
}

/// A report of the newest contract that does something when it is asked to describe itself, and then traps.
pub fn report(describe: &str) -> Vec<u8> {
    component(
        "report-plugin",
        &format!(
            r#"(module
              (memory (export "memory") 1)
              (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
              (func (export "harness:plugin/report@0.2.0#describe") (result i32) {describe} unreachable)
              (func (export "harness:plugin/report@0.2.0#render") (param i32 i32 i32) (result i32) unreachable))"#
        ),
    )
}

fn component(world: &str, module: &str) -> Vec<u8> {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/plugin.wit");
    let mut resolve = Resolve::default();
    let package = resolve.push_file(wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wat::parse_str(module).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

/// Runs for ever.
pub const FOR_EVER: &str = "(loop $again br $again)";

impl Raw {
    /// Four bytes, as they stand in a WAT string.
    #[must_use]
    pub fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// Fields of the module.
    #[must_use]
    pub fn with(self, more: &'static str) -> Self {
        Self { more, ..self }
    }

    /// Of 64 KiB.
    #[must_use]
    pub fn memory_pages(self, memory_pages: u32) -> Self {
        Self { memory_pages, ..self }
    }

    /// What it does when it is asked to describe itself.
    #[must_use]
    pub fn describe(self, describe: &'static str) -> Self {
        Self { describe, ..self }
    }

    /// What it does after its first run.
    #[must_use]
    pub fn then(self, then: &'static str) -> Self {
        Self { then, ..self }
    }

    /// What it does when the host wants memory for a value, from its first run on.
    #[must_use]
    pub fn realloc(self, realloc: &'static str) -> Self {
        Self { realloc, ..self }
    }

    /// The component.
    pub fn component(self) -> Vec<u8> {
        component("workload-plugin", &self.module())
    }

    /// Where things lie: 16 the description, 64 its name, 128 an empty summary, 256 what the host answers, 512 a request for two
    /// tokens after four synthetic ones; from 4096 on what the host hands over.
    fn module(&self) -> String {
        let Self { name, more, memory_pages, describe, then, realloc } = self;
        format!(
            r#"(module
              (import "harness:plugin/bench@0.2.0" "[constructor]plan" (func $new (param i32 i32 i32 i32) (result i32)))
              (import "harness:plugin/bench@0.2.0" "[method]plan.set-iterations" (func $iterations (param i32 i32)))
              (import "harness:plugin/bench@0.2.0" "[resource-drop]plan" (func $drop_plan (param i32)))
              (import "harness:plugin/bench@0.2.0" "measure" (func $measure (param i32 i32)))
              (import "harness:plugin/recordings@0.2.0" "[resource-drop]run" (func $drop_run (param i32)))
              (import "harness:plugin/recordings@0.2.0" "[method]run.label" (func $label (param i32 i32)))
              (import "harness:plugin/model@0.2.0" "about" (func $about (param i32)))
              (import "harness:plugin/model@0.2.0" "encode" (func $encode (param i32 i32 i32)))
              (import "harness:plugin/model@0.2.0" "decode" (func $decode (param i32 i32 i32)))
              (import "harness:plugin/gpu@0.2.0" "devices" (func $devices (param i32)))
              (import "harness:plugin/log@0.2.0" "log" (func $log (param i32 i32 i32)))
              (memory (export "memory") {memory_pages})
              (global $free (mut i32) (i32.const 4096))
              (global $evil (mut i32) (i32.const 0))
              (data (i32.const 16) "\40\00\00\00\04\00\00\00\43\00\00\00\01\00\00\00\40\00\00\00\04\00\00\00")
              (data (i32.const 64) "{name}")
              (data (i32.const 512) "\02\00\00\00\04\00\00\00\00\00\00\00\02\00\00\00")
              {more}
              (func (export "cabi_realloc") (param $old i32) (param i32) (param $align i32) (param $size i32) (result i32)
                (local $at i32)
                (if (global.get $evil) (then {realloc}))
                (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                (global.set $free (i32.add (local.get $at) (local.get $size)))
                (local.get $at))
              (func (export "harness:plugin/workload@0.2.0#describe") (result i32)
                {describe}
                (i32.const 16))
              (func (export "harness:plugin/workload@0.2.0#run") (param i32 i32) (result i32)
                (local $plan i32) (local $run i32)
                (local.set $plan (call $new (i32.const 64) (i32.const 3) (i32.const 512) (i32.const 1)))
                (call $iterations (local.get $plan) (i32.const 2))
                (call $measure (local.get $plan) (i32.const 256))
                (local.set $run (i32.load (i32.const 260)))
                (global.set $evil (i32.const 1))
                {then}
                (i32.const 128)))"#
        )
    }
}
