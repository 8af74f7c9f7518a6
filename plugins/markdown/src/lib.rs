//! The averages as GitHub-flavoured Markdown, short enough for a pull request.

use harness_plugin::format::{Scale, count, plural};
use harness_plugin::hardware::{self, Throttling};
use harness_plugin::overview::{self, Overview, Row};
use harness_plugin::{Description, Error, Facts, Output, Recording, Report, Setting, Settings, markdown};

struct Markdown;

harness_plugin::export!(report: Markdown);

impl Report for Markdown {
    fn describe() -> Description {
        Description::new("markdown", env!("CARGO_PKG_VERSION"), "The averages as a Markdown table, for a pull request.")
            .setting(Setting::new("title", "The heading; empty names the model and the device.", ""))
    }

    fn render(recording: &dyn Recording, settings: &Settings) -> Result<Output, Error> {
        let facts = recording.facts();
        let overview = Overview::of(recording);
        let throttling: Vec<_> = recording.runs().iter().map(|run| Throttling::of(&**run)).collect();
        let title = match settings.text("title")? {
            "" => title(&facts),
            given => markdown::text(given),
        };
        let paragraphs = [
            Some(format!("### {title}")),
            Some(setup(&facts, overview.runs)),
            overview::ending_note(&facts, overview.runs).map(|note| format!("> {}", markdown::text(&note))),
            (!overview.notes.is_empty()).then(|| {
                let notes: Vec<String> =
                    overview.notes.iter().map(|note| format!("> {}", markdown::text(note))).collect();
                notes.join("\n>\n")
            }),
            overview::synthetic_note(&facts).map(|note| format!("> {}", markdown::text(&note))),
            hardware::throttled_note(throttling.iter().map(Option::as_ref))
                .map(|note| format!("> {}", markdown::text(&note))),
            (!overview.rows.is_empty()).then(|| table(&overview)),
            hardware::idle_note(&facts, &overview).map(|note| markdown::text(&note)),
            hardware::roofline_note(&facts, &overview).map(|note| markdown::text(&note)),
            absent(&overview),
        ];
        let shown: Vec<String> = paragraphs.into_iter().flatten().collect();
        Ok(Output::Text(shown.join("\n\n") + "\n"))
    }
}

fn title(facts: &Facts) -> String {
    let model = facts.get("model.name").unwrap_or("a model");
    let device =
        facts.get("gpu.name").filter(|_| facts.get("model.device").is_some_and(|device| device.starts_with("cuda")));
    let device = device.or(facts.get("model.device"));
    markdown::text(&device.map(|device| format!("{model} on {device}")).unwrap_or_else(|| model.to_owned()))
}

fn setup(facts: &Facts, runs: usize) -> String {
    let mut parts = vec![plural(runs, "run")];
    parts.extend(
        overview::setup(facts).into_iter().map(|(label, value)| format!("{label}: {}", markdown::text(&value))),
    );
    parts.join(" · ")
}

fn table(overview: &Overview) -> String {
    let mut lines = vec![
        "| metric | average | ± 95 % | std. dev. | samples |".to_owned(),
        "| --- | ---: | ---: | ---: | ---: |".to_owned(),
    ];
    lines.extend(overview.rows.iter().map(line));
    lines.join("\n")
}

fn line(row: &Row) -> String {
    let scale = Scale::of(row.average, &row.metric.unit);
    let shown = |value: f64, digits: u32| format!("{} {}", scale.number(value, digits), scale.symbol());
    let mut average = shown(row.average, 4);
    if let Some(mean) = row.contradiction() {
        average.push_str(&format!(" (mean of the runs: {})", shown(mean, 4)));
    }
    let deviation = row.deviation().map(|deviation| shown(deviation, 2)).unwrap_or_default();
    let interval = row.interval().map(|interval| shown(interval.half_width(), 2)).unwrap_or_default();
    let mut samples = row.samples.map(|samples| count(samples.total as u64)).unwrap_or_default();
    if row.has_too_few_samples() {
        samples.push_str(", too few samples");
    }
    let [average, interval, deviation] = [average, interval, deviation].map(|text| markdown::text(&text));
    format!("| {} | {average} | {interval} | {deviation} | {samples} |", markdown::code_cell(&row.metric.name))
}

fn absent(overview: &Overview) -> Option<String> {
    let groups = overview.missing_of_the_method();
    let line = |(metrics, reason): &(Vec<&str>, &str)| {
        let metrics: Vec<String> = metrics.iter().map(|metric| markdown::code(metric)).collect();
        format!("- {}: {}", metrics.join(", "), markdown::text(reason))
    };
    let lines: Vec<String> = groups.iter().map(line).collect();
    (!lines.is_empty()).then(|| format!("Absent:\n\n{}", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use harness_plugin::metrics::{
        GPU_UTILIZATION, LATENCY, MEMORY_LIMIT_SHARE, THROTTLED_TIME, THROTTLED_TIME_SW_POWER_CAP,
    };
    use harness_plugin::testing::{FakeRecording, FakeRun, settings};

    use super::*;

    fn rendered(recording: &FakeRecording, given: &[(&str, &str)]) -> String {
        match Markdown::render(recording, &settings(&Markdown::describe(), given)).unwrap() {
            Output::Text(text) => text,
            Output::Files(_) => panic!("Markdown is one text"),
        }
    }

    #[test]
    fn it_has_heading_facts_table_and_what_is_absent() {
        let run = |label, latency| {
            let run = FakeRun::new(label).value(&LATENCY, latency).samples(&LATENCY, &[latency; 1000]);
            let run = run.value(&GPU_UTILIZATION, 0.5).samples(&GPU_UTILIZATION, &[0.5]);
            run.absent("memory_peak", "no pool_x").absent("memory_allocated", "no pool_x")
        };
        let recording = FakeRecording::new()
            .fact("model.name", "gpt2")
            .fact("model.device", "cuda:0")
            .fact("model.weights", "synthetic:7")
            .fact("gpu.name", "NVIDIA H100")
            .run(run("run 1", 0.1))
            .run(run("run 2", 0.3));
        let text = "\
### gpt2 on NVIDIA H100

2 runs · model: gpt2, synthetic weights (seed 7) · device: cuda:0, NVIDIA H100

> Synthetic weights: random numbers in the shape of gpt2, not a trained model. It takes the same time and memory; its text means nothing.

| metric | average | ± 95 % | std. dev. | samples |
| --- | ---: | ---: | ---: | ---: |
| `latency` | 200.0 ms | 1,271 ms | 141 ms | 2,000 |
| `gpu_utilization` | 50.00 % | 0 % | 0 % | 2, too few samples |

Absent:

- `throughput`, `memory_utilization`: the host did not record it
- `memory_allocated`, `memory_peak`: no pool_x
";
        assert_eq!(rendered(&recording, &[]), text);
    }

    #[test]
    fn what_the_hardware_did_is_said() {
        let run = FakeRun::new("run 1").value(&LATENCY, 0.1).value(&MEMORY_LIMIT_SHARE, 0.58);
        let held = run.clone().value(&THROTTLED_TIME, 0.5).value(&THROTTLED_TIME_SW_POWER_CAP, 0.5);
        let recording = FakeRecording::new()
            .fact("idle.power", "71.5")
            .fact("roofline.bandwidth", "2937000000000")
            .run(run)
            .run(held);
        let text = rendered(&recording, &[]);
        assert!(text.contains("\n\n> Clocks were held down in 1 of 2 runs (sw power cap): "), "{text}");
        assert!(
            text.contains(
                "\n\nIdle before the test: 71.50 W.\n\nMemory's limit, measured before the test: 2937.0 GB/s."
            ),
            "{text}"
        );
    }

    #[test]
    fn what_is_not_a_figure_can_not_break_the_layout() {
        let recording = FakeRecording::new().fact("status", "failed").fact("message", "a | b\n# c <d>");
        let text = rendered(&recording, &[("title", "x|y")]);
        assert!(
            text.starts_with("### x\\|y\n\n0 runs\n\n> Failed: a \\| b \\# c \\<d\\>. No run was finished.\n"),
            "{text}"
        );
    }
}
