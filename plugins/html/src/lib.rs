//! The recording as one HTML page: figures, charts, facts, and what is absent. It asks nothing of a network and runs no
//! script, so it can be sent, kept and opened anywhere.

mod chart;
mod digest;
mod page;
mod series;

use harness_plugin::overview::{DESCRIBED, Overview, distribution};
use harness_plugin::{Description, Error, Metric, Output, Recording, Report, Setting, Settings};

use digest::RunDigest;
use page::Page;

struct Html;

harness_plugin::export!(report: Html);

impl Report for Html {
    fn describe() -> Description {
        Description::new("html", env!("CARGO_PKG_VERSION"), "One page with figures, charts and facts, for a browser.")
            .setting(Setting::new("title", "The heading; empty names the model and the device.", ""))
    }

    fn render(recording: &dyn Recording, settings: &Settings) -> Result<Output, Error> {
        let title = settings.text("title")?;
        let facts = recording.facts();
        let overview = Overview::of(recording);
        let runs = recording.runs();
        let digests: Vec<RunDigest> = runs.iter().map(|run| RunDigest::of(&**run)).collect();
        let (histogram, sensors) = (digest::histogram(&runs, &digests), digest::sensors(&runs));
        let described = |metric: &&Metric| Some((metric.name.to_string(), distribution(&runs, &metric.name)?));
        let distributions = DESCRIBED.iter().copied().filter_map(|metric| described(&metric)).collect();
        let page = Page {
            title,
            facts: &facts,
            overview: &overview,
            runs: &digests,
            histogram,
            sensors: &sensors,
            distributions,
        };
        Ok(Output::Text(page.html()))
    }
}

#[cfg(test)]
mod tests;
