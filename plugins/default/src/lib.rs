//! The documented test: runs of `generate()` calls, each metric averaged over the runs, and the averages in a table.

mod report;
mod workload;

/// The plugin.
struct Default;

harness_plugin::export!(workload: Default, report: Default);
