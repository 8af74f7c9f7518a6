//! What is shown of a recording: the average of each metric over its runs.

use crate::Plugin;
use crate::exports::harness::plugin::report::{
    Description, Failure, Guest, Output, Recording, Values,
};
use crate::harness::plugin::common::Setting;
use crate::harness::plugin::recordings::Metric;

impl Guest for Plugin {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Prints the average of each metric.".into(),
            settings: vec![Setting {
                name: "decimals".into(),
                help: "Digits after the point, 0 to 9.".into(),
                default: "4".into(),
                quick: None,
            }],
        }
    }

    fn render(recording: &Recording, settings: Values) -> Result<Output, Failure> {
        let decimals = decimals(&settings)?;
        let runs = recording.runs();
        let mut metrics: Vec<Metric> = Vec::new();
        // A run lacks what could not be measured in it, so each is asked.
        for metric in runs.iter().flat_map(|run| run.metrics()) {
            if metrics.iter().all(|known| known.name != metric.name) {
                metrics.push(metric);
            }
        }
        let rows: Vec<Row> = metrics
            .into_iter()
            .filter_map(|metric| {
                let values: Vec<f64> = runs
                    .iter()
                    .filter_map(|run| run.value(&metric.name))
                    .collect();
                let average = average(&values)?;
                Some([metric.name, format!("{average:.decimals$}"), metric.unit])
            })
            .collect();
        Ok(Output::Text(table(&rows)))
    }
}

/// Name, average, unit.
type Row = [String; 3];

/// The host gives every described setting.
fn decimals(settings: &Values) -> Result<usize, Failure> {
    let value = settings
        .iter()
        .find(|(name, _)| name == "decimals")
        .map_or("", |(_, value)| value);
    let decimals = value.parse().ok().filter(|&decimals| decimals <= 9);
    decimals.ok_or_else(|| {
        Failure::Setting(format!(
            "setting 'decimals' is '{value}', and must be 0 to 9"
        ))
    })
}

fn average(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn table(rows: &[Row]) -> String {
    // A recording that was interrupted early has no run.
    if rows.is_empty() {
        return "nothing was measured\n".into();
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (names, averages) = (width(0), width(1));
    rows.iter()
        .map(|[name, average, unit]| format!("{name:names$}  {average:>averages$}  {unit}\n"))
        .collect()
}

// Functions that don't call the host can be tested without it, by a plain `cargo test`.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_line_up() {
        let row = |name: &str, average: &str| [name.to_owned(), average.to_owned(), "s".to_owned()];
        let table = table(&[row("latency", "0.5"), row("energy", "12.0")]);
        assert_eq!(table, "latency   0.5  s\nenergy   12.0  s\n");
    }

    #[test]
    fn nothing_has_no_average() {
        assert_eq!(average(&[1.0, 3.0]), Some(2.0));
        assert_eq!(average(&[]), None);
    }
}
