//! What wit-bindgen makes of the contract. Not for plugin authors.
//!
//! The worlds are generated apart, and [`export!`](crate::export) uses one or both: a component exports only what it is. Componentizing
//! unites the two worlds to `plugin`.
#![allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::undocumented_unsafe_blocks,
    unreachable_pub,
    rustdoc::all
)]

use std::marker::PhantomData;

wit_bindgen::generate!({
    path: "wit",
    world: "workload-plugin",
    pub_export_macro: true,
    additional_derives: [PartialEq],
});

pub mod report {
    wit_bindgen::generate!({
        path: "wit",
        world: "report-plugin",
        pub_export_macro: true,
        additional_derives: [PartialEq],
        with: {
            "harness:plugin/common@0.2.0": crate::bindings::harness::plugin::common,
            "harness:plugin/recordings@0.2.0": crate::bindings::harness::plugin::recordings,
            "harness:plugin/log@0.2.0": crate::bindings::harness::plugin::log,
        },
    });
}

/// A [`Workload`](crate::Workload) or [`Report`](crate::Report) as the generated code wants it.
pub struct Exported<T>(PhantomData<T>);
