//! The documented test: runs of `generate()` calls, each metric averaged over the runs, and the averages in a table.

mod workload;

use harness_plugin::{Description, Error, Output, Recording, Report, Settings};

/// The plugin.
struct Default;

harness_plugin::export!(workload: Default, report: Default);

impl Report for Default {
    fn describe() -> Description {
        Description::new(
            "default",
            env!("CARGO_PKG_VERSION"),
            "A table of the averages, their spread between runs and the number of samples behind them.",
        )
    }

    fn render(recording: &dyn Recording, _: &Settings) -> Result<Output, Error> {
        Ok(Output::Text(harness_averages::text(recording)))
    }
}
