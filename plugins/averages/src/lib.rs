//! The averages of a recording as text for a terminal. The plugins `default` and `table` show it.

use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};
use harness_plugin::format::{Scale, count, plural, wrap};
use harness_plugin::hardware::{self, Throttling};
use harness_plugin::overview::{self, DESCRIBED, METHOD, Overview, Row};
use harness_plugin::statistics::{PERCENTILES, samples_needed};
use harness_plugin::text::{visible, visible_line};
use harness_plugin::{Facts, Metric, Recording, Run};

/// The most columns that a line takes.
pub const WIDTH: usize = 96;
/// Of the labels before what ran where.
const LABEL_WIDTH: usize = 10;

/// What ran where, each metric's average over the runs, its spread between them and the number of samples behind it, and
/// what is absent with the reasons.
pub fn text(recording: &dyn Recording) -> String {
    let facts = recording.facts();
    let overview = Overview::of(recording);
    let runs = recording.runs();
    let throttling: Vec<_> = runs.iter().map(|run| Throttling::of(&**run)).collect();
    let paragraphs = [
        Some(title(&facts, &overview)),
        Some(setup(&facts)),
        overview::ending_note(&facts, overview.runs).map(|note| paragraph(&note)),
        overview::synthetic_note(&facts).map(|note| paragraph(&note)),
        (!overview.notes.is_empty())
            .then(|| overview.notes.iter().map(|note| paragraph(note)).collect::<Vec<_>>().join("\n")),
        Some(table(&overview)),
        hardware::throttled_note(throttling.iter().map(Option::as_ref)).map(|note| paragraph(&note)),
        hardware::idle_note(&facts, &overview).map(|note| paragraph(&note)),
        hardware::roofline_note(&facts, &overview).map(|note| paragraph(&note)),
        distributions(&runs),
        missing(&overview),
        Some(footnotes(&overview)),
    ];
    let shown: Vec<String> = paragraphs.into_iter().flatten().filter(|text| !text.is_empty()).collect();
    visible(&shown.join("\n\n")).into_owned() + "\n"
}

/// `3 of 10 runs of 100 generate() calls`, before it the workload's name where it is not the documented test.
fn title(facts: &Facts, overview: &Overview) -> String {
    let runs = overview.runs;
    let setting = |wanted: &str| facts.settings().find(|(name, _)| *name == wanted)?.1.parse::<u64>().ok();
    let mut title = match facts.get("plugin.name") {
        Some(name) if name != "default" => format!("{}: ", visible_line(name)),
        _ => String::new(),
    };
    title += &match setting("runs") {
        Some(planned) if planned != runs as u64 => format!("{} of {} runs", count(runs as u64), count(planned)),
        _ => plural(runs, "run"),
    };
    if let Some(iterations) = setting("iterations").filter(|_| !overview.was_cut) {
        title += &format!(" of {}", plural(iterations as usize, "generate() call"));
    }
    title
}

fn setup(facts: &Facts) -> String {
    let mut lines = Vec::new();
    for (label, value) in overview::setup(facts) {
        let mut label = label;
        for line in wrap(&value, WIDTH - LABEL_WIDTH) {
            lines.push(format!("{label:LABEL_WIDTH$}{line}"));
            label = "";
        }
    }
    lines.join("\n")
}

fn paragraph(text: &str) -> String {
    wrap(text, WIDTH).join("\n")
}

const STYLE: TableStyle = {
    let line = LineStyle::none().fill('─').junction('─');
    TableStyle::new().top_border(line).header_separator(line).bottom_border(line)
};

fn table(overview: &Overview) -> String {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_header(
        [
            ("metric", false),
            ("average", true),
            ("unit", false),
            ("± 95 %", true),
            ("std. dev.", true),
            ("samples", true),
            ("", false),
        ]
        .map(|(text, right)| cell(text, right)),
    );
    let (method, others): (Vec<&Row>, Vec<&Row>) =
        overview.rows.iter().partition(|row| overview::is_of_the_method(&row.metric.name));
    if overview.of_the_method {
        for metric in METHOD {
            match method.iter().find(|row| row.metric.name == metric.name) {
                Some(row) => table.add_row(cells(row)),
                None => table.add_row([cell(&metric.name, false), cell("–", true), cell("absent", false)]),
            };
        }
        if !others.is_empty() {
            table.add_row([""]);
        }
    }
    for row in others {
        table.add_row(cells(row));
    }
    // A unit belongs to its number.
    for (column, padding) in [(1, (2, 0)), (2, (1, 1))] {
        if let Some(column) = table.column_mut(column) {
            column.set_padding(padding);
        }
    }
    lines(&table)
}

/// What requests took, of all runs together: a row a metric, a column a figure that any of them supports.
fn distributions(runs: &[Box<dyn Run>]) -> Option<String> {
    let described = |metric: &&Metric| Some((metric.name.clone(), overview::distribution(runs, &metric.name)?));
    let rows: Vec<_> = DESCRIBED.iter().copied().filter_map(|metric| described(&metric)).collect();
    if rows.is_empty() {
        return None;
    }
    let shown = |name: &str| rows.iter().any(|(_, distribution)| distribution.percentile(name).is_some());
    let percentiles: Vec<&str> =
        PERCENTILES.iter().map(|percentile| percentile.name).filter(|&name| shown(name)).collect();
    let mut table = Table::new();
    table.load_style(STYLE);
    let head = ["all samples", "unit", "min"].into_iter().chain(percentiles.iter().copied()).chain(["max", "outliers"]);
    table.set_header(head.enumerate().map(|(index, text)| cell(text, index > 1)));
    for (name, distribution) in &rows {
        // One scale for the row, on which its least reads well.
        let scale = Scale::of(distribution.minimum, "s");
        let number = |value: f64| cell(&scale.number(value, 4), true);
        let mut cells = vec![cell(name, false), cell(scale.symbol(), false), number(distribution.minimum)];
        for name in &percentiles {
            cells.push(distribution.percentile(name).map_or(cell("–", true), number));
        }
        cells.push(number(distribution.maximum));
        cells.push(cell(&count(distribution.outliers.outside as u64), true));
        table.add_row(cells);
    }
    Some(lines(&table))
}

/// Cells are padded to their column's width, the last one to no purpose.
fn lines(table: &Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

fn cell(text: &str, right: bool) -> Cell {
    Cell::new(visible_line(text)).set_alignment(if right { CellAlignment::Right } else { CellAlignment::Left })
}

fn cells(row: &Row) -> [Cell; 7] {
    let scale = Scale::of(row.average, &row.metric.unit);
    let interval = row.interval().map(|interval| interval.half_width());
    let relative = row.coefficient_of_variation();
    let samples = row.samples.map(|samples| count(samples.total as u64));
    [
        cell(&row.metric.name, false),
        cell(&scale.number(row.average, 4), true),
        cell(scale.symbol(), false),
        cell(&interval.map(|half| scale.number(half, 2)).unwrap_or_default(), true),
        cell(&relative.map(percent).unwrap_or_default(), true),
        cell(&samples.unwrap_or_default(), true),
        cell(&remarks(row, &scale), false),
    ]
}

fn percent(ratio: f64) -> String {
    match ratio {
        0.0 => "0 %".to_owned(),
        ratio if ratio < 0.0005 => "< 0.1 %".to_owned(),
        ratio => format!("{:.1} %", ratio * 100.0),
    }
}

fn remarks(row: &Row, scale: &Scale) -> String {
    if let Some(mean) = row.contradiction() {
        return format!("runs: {}", scale.number(mean, 4));
    }
    if row.has_too_few_samples() { "too few samples".to_owned() } else { String::new() }
}

fn missing(overview: &Overview) -> Option<String> {
    let groups = overview.missing_of_the_method();
    if groups.is_empty() {
        return None;
    }
    let mut lines = vec!["Absent, and why:".to_owned()];
    for (metrics, reason) in groups {
        let text = format!("{}: {reason}", metrics.join(", "));
        for (index, line) in wrap(&text, WIDTH - 4).into_iter().enumerate() {
            lines.push(format!("{}{line}", if index == 0 { "  " } else { "    " }));
        }
    }
    Some(lines.join("\n"))
}

fn footnotes(overview: &Overview) -> String {
    let has = |name: &str| overview.rows.iter().any(|row| row.metric.name == name);
    let mut notes = Vec::new();
    if overview.rows.iter().any(|row| row.values.len() > 1) {
        notes.push(
            "Average: sum of the runs' values / number of runs; ± 95 %: Student's t interval over the runs; std. dev.: \
             between runs, as a share of the average."
                .to_owned(),
        );
    }
    if DESCRIBED
        .iter()
        .any(|metric| overview.rows.iter().any(|row| row.metric.name == metric.name && row.samples.is_some()))
    {
        notes.push(format!(
            "A percentile is shown where at least {} samples support it; outliers: samples \
             beyond Tukey's fences of 1.5 interquartile ranges, counted and kept.",
            PERCENTILES
                .map(|percentile| format!("{} ({})", count(samples_needed(percentile.share) as u64), percentile.name))
                .join(", ")
        ));
    }
    if overview.rows.iter().any(|row| row.contradiction().is_some()) {
        notes.push("'runs: …' is the mean of the runs, where the workload's summary says something else.".to_owned());
    }
    if overview.rows.iter().any(Row::has_too_few_samples) {
        notes.push(format!(
            "Too few samples: a run had under {} distinct sensor readings, so the average is only a hint.",
            overview::FEWEST_SAMPLES
        ));
    }
    if ["memory_allocated", "memory_peak", "gpu_memory_used"].into_iter().any(has) {
        notes.push(
            "memory_allocated and memory_peak are this process's bytes; gpu_memory_used is every process's.".to_owned(),
        );
    }
    if ["gpu_utilization", "memory_utilization", "memory_controller_utilization"].into_iter().any(has) {
        notes.push(
            "gpu_utilization: share of time a kernel ran. memory_utilization: share of memory in use, by all \
             processes. memory_controller_utilization: share of time memory was read or written."
                .to_owned(),
        );
    }
    notes.iter().map(|note| paragraph(note)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use harness_plugin::metrics;
    use harness_plugin::testing::{FakeRecording, FakeRun};

    use super::*;

    fn recording() -> FakeRecording {
        FakeRecording::new()
            .fact("start", "2026-01-02T03:04:05Z")
            .fact("host.name", "bench-1")
            .fact("cpu.model", "AMD EPYC 9654")
            .fact("cpu.cores", "2")
            .fact("driver.version", "580.159")
            .fact("cuda.version", "13.0")
            .fact("gpu.name", "NVIDIA H100 80GB HBM3")
            .fact("harness.version", "0.1.0")
            .fact("harness.commit", "35d07cf7cdcf-dirty")
            .fact("plugin.name", "default")
            .fact("plugin.version", "0.1.0")
            .fact("model.name", "gpt2")
            .fact("model.backend", "candle")
            .fact("model.device", "cuda:0")
            .fact("model.dtype", "f16")
            .fact("model.weights", "synthetic:0")
            .fact("model.parameters", "124439808")
            .fact("setting.runs", "2")
            .fact("setting.iterations", "100")
            .fact("setting.warmup", "3")
            .fact(
                "setting.prompt",
                "The history of computing is the story of people who were tired of doing arithmetic by hand, and",
            )
            .fact("setting.prompt-tokens", "")
            .fact("setting.max-new-tokens", "50")
            .fact("setting.batch", "1")
            .fact("status", "complete")
    }

    fn gpu_run(label: &str, factor: f64, readings: usize) -> FakeRun {
        FakeRun::new(label)
            .value(&metrics::THROUGHPUT, 12.345 * factor)
            .value(&metrics::LATENCY, 0.081 / factor)
            .samples(&metrics::LATENCY, &[0.081; 100])
            .value(&metrics::MEMORY_ALLOCATED, 497_759_232.0)
            .value(&metrics::MEMORY_PEAK, 512_000_000.0)
            .value(&metrics::GPU_UTILIZATION, 0.873)
            .samples(&metrics::GPU_UTILIZATION, &vec![0.873; readings])
            .value(&metrics::MEMORY_UTILIZATION, 0.0213)
            .samples(&metrics::MEMORY_UTILIZATION, &[0.0213; 40])
            .value(&metrics::TOKENS_PER_SECOND, 617.2 * factor)
            .value(&metrics::POWER, 213.7)
            .samples(&metrics::POWER, &[213.7; 40])
            .value(&metrics::SM_CLOCK, 1.98e9)
            .samples(&metrics::SM_CLOCK, &[1.98e9; 40])
            .value(&metrics::NEW_TOKENS, 5000.0)
            .samples(&metrics::NEW_TOKENS, &[50.0; 100])
    }

    #[test]
    fn a_gpu_recording_has_the_method_first_and_marks_few_samples() {
        let text = super::text(&recording().run(gpu_run("run 1", 1.0, 2)).run(gpu_run("run 2", 1.01, 7)));
        println!("{text}");
        assert!(text.starts_with("2 runs of 100 generate() calls\n\n"), "{text}");
        assert!(text.contains("Synthetic weights: random numbers"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let row = |name: &str| {
            text.lines().find(|line| line.trim_start().starts_with(&format!("{name} "))).unwrap().to_owned()
        };
        assert!(row("gpu_utilization").ends_with("9   too few samples"), "{text}");
        assert!(row("memory_allocated").contains("474.7  MiB"), "{text}");
        assert!(row("sm_clock").contains("1.980  GHz"), "{text}");
        let order = [
            "throughput ",
            "latency ",
            "memory_peak ",
            "gpu_utilization ",
            "memory_utilization ",
            "tokens_per_second ",
        ];
        let places: Vec<usize> = order.iter().map(|name| text.find(&format!("\n {name}")).unwrap()).collect();
        assert!(places.is_sorted(), "{text}");
        assert!(!text.contains("Absent"), "{text}");
    }

    #[test]
    fn runs_with_clocks_held_down_are_told() {
        let held = gpu_run("run 2", 1.0, 7)
            .value(&metrics::THROTTLED_TIME, 0.25)
            .value(&metrics::THROTTLED_TIME_HW_THERMAL_SLOWDOWN, 0.25);
        let text = super::text(&recording().run(gpu_run("run 1", 1.0, 7)).run(held));
        let told =
            "Clocks were held down in 1 of 2 runs (hw thermal slowdown): these are the figures of a throttled GPU.";
        assert!(text.replace('\n', " ").contains(told), "{text}");
        let calm = gpu_run("run 1", 1.0, 7).value(&metrics::THROTTLED_TIME, 0.0);
        assert!(!super::text(&recording().run(calm)).contains("held down"));
    }

    #[test]
    fn energy_is_shown_beside_that_of_the_idle_gpu() {
        let run = gpu_run("run 1", 1.0, 7).value(&metrics::ENERGY_PER_TOKEN, 0.35);
        let text = super::text(&recording().fact("idle.power", "123.44").run(run));
        // 617.2 tokens/s leave 0.2 J a token to the idle GPU.
        let told = "Idle before the test: 123.4 W. Of a token's 350.0 mJ, 150.0 are above what the idle GPU takes in that time.";
        assert!(text.replace('\n', " ").contains(told), "{text}");
        let text = super::text(&recording().fact("idle.power", "123.44").run(gpu_run("run 1", 1.0, 7)));
        assert!(text.contains("Idle before the test: 123.4 W.\n"), "{text}");
        assert!(!super::text(&recording().fact("idle.power", "NaN")).contains("Idle"));
    }

    #[test]
    fn the_share_of_the_memorys_limit_is_shown_beside_the_counter() {
        let run = gpu_run("run 1", 1.0, 7).value(&metrics::MEMORY_LIMIT_SHARE, 0.5834);
        let recorded = || recording().fact("roofline.bandwidth", "2937000000000");
        let text = super::text(&recorded().run(run));
        let told = "Memory's limit, measured before the test: 2937.0 GB/s. Decoding reaches 58.3 % of it by the bytes that a token must \
                    move.";
        assert!(text.replace('\n', " ").contains(told), "{text}");
        let run = gpu_run("run 1", 1.0, 7)
            .value(&metrics::MEMORY_LIMIT_SHARE, 0.5834)
            .value(&metrics::DRAM_BANDWIDTH_UTILIZATION, 0.5);
        let text = super::text(&recorded().run(run));
        assert!(
            text.replace('\n', " ").contains("move; the GPU's counter says 50.0 % of its nominal bandwidth"),
            "{text}"
        );
    }

    #[test]
    fn what_a_cpu_can_not_measure_is_absent_with_its_reason() {
        let mut run = FakeRun::new("run 1").value(&metrics::THROUGHPUT, 2.0).value(&metrics::LATENCY, 0.5);
        for metric in ["memory_allocated", "memory_peak"] {
            run = run.absent(metric, "the model runs on the CPU; see resident_memory");
        }
        for metric in ["gpu_utilization", "memory_utilization", "power"] {
            run = run.absent(metric, "this machine has no NVIDIA driver");
        }
        let text = super::text(&FakeRecording::new().fact("model.device", "cpu").run(run));
        println!("{text}");
        let absent = "Absent, and why:\n  memory_allocated, memory_peak: the model runs on the CPU; see resident_memory\n  \
                      gpu_utilization, memory_utilization: this machine has no NVIDIA driver\n";
        assert!(text.contains(absent), "{text}");
        assert!(!text.contains("power"), "{text}");
    }

    #[test]
    fn an_unfinished_recording_is_averaged_over_the_finished_runs() {
        let run = |label, latency| FakeRun::new(label).value(&metrics::LATENCY, latency);
        let recording = FakeRecording::new()
            .fact("status", "interrupted")
            .fact("setting.runs", "10")
            .run(run("run 1", 0.1))
            .run(run("run 2", 0.3));
        let text = super::text(&recording);
        assert!(text.starts_with("2 of 10 runs\n"), "{text}");
        assert!(
            text.contains("Interrupted: the user ended it. The figures are averages of the 2 runs that were finished."),
            "{text}"
        );
        assert!(text.contains("200.0  ms"), "{text}");
    }

    #[test]
    fn a_recording_without_a_single_run_is_shown() {
        let text = super::text(&FakeRecording::new().fact("status", "failed").fact("message", "the device was lost."));
        assert!(text.contains("Failed: the device was lost. No run was finished."), "{text}");
        assert!(text.contains("throughput, latency, memory_allocated,"), "{text}");
    }

    #[test]
    fn names_stay_in_their_line_and_deceive_nobody() {
        let own = |name: &str| Metric::named(name, "s\n\u{202e}", "x", harness_plugin::Direction::Neither);
        let text = super::text(
            &FakeRecording::new()
                .fact("plugin.name", "a\nb\u{1b}")
                .fact("model.name", "c\n\u{200b}")
                .run(FakeRun::new("run 1").value(&own("d\ne"), 0.1)),
        );
        assert!(text.starts_with("a\\u{a}b\\u{1b}: 1 run\n\nmodel     c \\u{200b}\n"), "{text}");
        assert!(text.contains("\n d\\u{a}e ") && text.contains(" s\\u{a}\\u{202e}"), "{text}");
    }

    #[test]
    fn a_summary_that_the_runs_contradict_is_marked() {
        let run = FakeRun::new("run 1").value(&metrics::LATENCY, 0.1);
        let text = super::text(&FakeRecording::new().run(run).reading(metrics::LATENCY.reading(0.2)));
        assert!(text.contains("runs: 100.0"), "{text}");
    }
}
