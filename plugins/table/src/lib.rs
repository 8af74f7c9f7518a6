//! The averages of any workload's recording as a table for a terminal: the report of `default`, without its test.

use harness_plugin::{Description, Error, Output, Recording, Report, Settings};

/// The plugin.
struct Table;

harness_plugin::export!(report: Table);

impl Report for Table {
    fn describe() -> Description {
        Description::new(
            "table",
            env!("CARGO_PKG_VERSION"),
            "A table of the averages, their spread between runs and the number of samples behind them.",
        )
    }

    fn render(recording: &dyn Recording, _: &Settings) -> Result<Output, Error> {
        Ok(Output::Text(harness_averages::text(recording)))
    }
}
