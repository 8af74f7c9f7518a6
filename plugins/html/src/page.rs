//! The page: one file that asks nothing of a network and runs no script.

use harness_figures::page::{
    self, Escaped, Tone, badge, capitalised, code, document, drawing, figure, heading, note, section,
};
use harness_plugin::Facts;
use harness_plugin::format::{Scale, count, plural, quantity};
use harness_plugin::hardware::{self, Throttling};
use harness_plugin::overview::{self, FEWEST_SAMPLES, METHOD, Missing, Overview, Row};
use harness_plugin::statistics::{Distribution, PERCENTILES, samples_needed};

use crate::chart;
use crate::digest::{RunDigest, Samples, Sensor, common_range};
use crate::series::Histogram;
/// More charts than this help nobody, and would make a page that no browser opens gladly.
const MOST_CHARTS: usize = 100;

/// Columns of words, which start at the left as figures end at the right.
const TEXTS: &[&str] = &["What it is", "Clocks held down", "Reason", "Value"];

/// All that the page shows.
pub(crate) struct Page<'a> {
    /// As the user gave it, or empty.
    pub(crate) title: &'a str,
    pub(crate) facts: &'a Facts,
    pub(crate) overview: &'a Overview,
    pub(crate) runs: &'a [RunDigest],
    pub(crate) histogram: Option<Histogram>,
    pub(crate) sensors: &'a [Sensor],
    /// Names of metrics, and what their samples of all runs are like.
    pub(crate) distributions: Vec<(String, Distribution)>,
}

impl Page<'_> {
    pub(crate) fn html(&self) -> String {
        let title = self.title();
        let sections = [
            self.header(&title),
            self.headline(),
            self.latency(),
            self.each_run(),
            self.sensors(),
            self.averages(),
            self.distributions(),
            self.runs(),
            self.absent(),
            self.facts(),
        ];
        let body: String = sections.into_iter().flatten().collect();
        let footer = format!("Made by harness-html {} from the recording alone.", env!("CARGO_PKG_VERSION"));
        document(&title, &body, &footer)
    }

    fn title(&self) -> String {
        if !self.title.is_empty() {
            return self.title.to_owned();
        }
        let model = self.facts.get("model.name").unwrap_or("a model");
        self.device().map_or(model.to_owned(), |device| format!("{model} on {device}"))
    }

    fn device(&self) -> Option<&str> {
        let device = self.facts.get("model.device");
        let gpu = self.facts.get("gpu.name").filter(|_| device.is_some_and(|device| device.starts_with("cuda")));
        gpu.or(device)
    }

    fn header(&self, title: &str) -> Option<String> {
        let notes = [
            overview::ending_note(self.facts, self.overview.runs).map(|said| (Tone::Bad, said)),
            overview::synthetic_note(self.facts).map(|said| (Tone::Warn, said)),
            contradictions(self.overview).map(|said| (Tone::Bad, said)),
            hardware::throttled_note(self.runs.iter().map(|run| run.throttling.as_ref()))
                .map(|said| (Tone::Warn, said)),
        ];
        let others = self.overview.notes.iter().map(|said| (Tone::Warn, said.clone()));
        let notes: String = notes.into_iter().flatten().chain(others).map(|(tone, said)| note(tone, &said)).collect();
        let started = self
            .facts
            .get("start")
            .map(|start| format!("<p class=\"when\">Started {}</p>\n", Escaped(readable(start))));
        Some(format!(
            "<header>\n<h1>{}</h1>\n<p class=\"verdict\">{}</p>\n{}{notes}</header>\n",
            Escaped(title),
            self.verdict(),
            started.unwrap_or_default()
        ))
    }

    fn verdict(&self) -> String {
        let status = self.facts.get("status").unwrap_or("unknown ending");
        let tone = if status == "complete" { Tone::Good } else { Tone::Bad };
        let mut badges = vec![badge(tone, &capitalised(status))];
        if self.facts.get("model.backend") == Some("simulated") {
            badges.push(badge(Tone::Warn, "Simulated"));
        }
        if self.facts.synthetic_weights().is_some() {
            badges.push(badge(Tone::Warn, "Synthetic weights"));
        }
        let mut words = self.extent();
        words.push_str(&format!(" of {}", self.facts.get("model.name").unwrap_or("a model")));
        if let Some(dtype) = self.facts.get("model.dtype") {
            words.push_str(&format!(" in {dtype}"));
        }
        if let Some(device) = self.device() {
            words.push_str(&format!(" on {device}"));
        }
        format!("{} {}.", badges.join(" "), Escaped(words))
    }

    /// `3 of 10 runs`.
    fn extent(&self) -> String {
        let planned = self.facts.get("setting.runs").and_then(|runs| runs.parse::<usize>().ok());
        match planned {
            Some(planned) if planned != self.overview.runs => {
                format!("{} of {}", count(self.overview.runs as u64), plural(planned, "run"))
            }
            _ => plural(self.overview.runs, "run"),
        }
    }

    /// The documented metrics, or, where the workload has only its own, its first ones.
    fn headline(&self) -> Option<String> {
        let row = |name: &str| self.overview.rows.iter().find(|row| row.metric.name == name);
        let missing = |name: &str| self.overview.missing.iter().find(|missing| missing.metric == name);
        let cards: String = if self.overview.of_the_method {
            let card = |name: &str| row(name).map(card).or_else(|| missing(name).map(absent_card));
            METHOD.iter().filter_map(|metric| card(&metric.name)).collect()
        } else {
            self.overview.rows.iter().take(METHOD.len()).map(card).collect()
        };
        (!cards.is_empty())
            .then(|| format!("<section aria-label=\"Headline figures\" class=\"cards\">\n{cards}</section>\n"))
    }

    fn latency(&self) -> Option<String> {
        let mut figures = String::new();
        if let Some(histogram) = &self.histogram {
            figures.push_str(&drawing(&chart::histogram(histogram), &histogram_caption(histogram)));
        }
        if let Some(spread) = chart::spread(self.runs) {
            let caption =
                "Each run: its mean (dot), the fastest 99 of 100 requests (thick), and to the slowest (thin).";
            figures.push_str(&drawing(&spread, caption));
        }
        section("Latency", (!figures.is_empty()).then(|| format!("<div class=\"pair\">\n{figures}</div>\n")))
    }

    fn each_run(&self) -> Option<String> {
        let range = common_range(self.runs)?;
        let drawn = |run: &RunDigest| {
            let samples = run.samples.as_ref()?;
            let caption = match run.throttled() {
                Some(throttled) => format!("{} · ▼ {}", run.label, throttled_words(throttled)),
                None => run.label.clone(),
            };
            Some(drawing(&chart::latencies(run, samples, range), &caption))
        };
        let charts: Vec<String> = self.runs.iter().filter_map(drawn).take(MOST_CHARTS).collect();
        let more = match self.runs.len().saturating_sub(MOST_CHARTS) {
            0 => String::new(),
            more => format!("<p>{} more are in the table of runs.</p>\n", count(more as u64)),
        };
        let charts = charts.concat();
        let thinned = self.runs.iter().flat_map(|run| &run.samples).any(|samples| samples.points.len() < samples.count);
        let thinned =
            if thinned { " Of long runs, the fastest and the slowest request of each stretch are drawn." } else { "" };
        let intro = format!(
            "<p>Every request is a dot, the dashed line the run's mean. All charts share one scale, which need not start \
             at zero; ▲ at the top edge is a request beyond it.{thinned}</p>\n"
        );
        section("Latency in each run", Some(format!("{intro}<div class=\"grid-of-charts\">\n{charts}</div>\n{more}")))
    }

    fn sensors(&self) -> Option<String> {
        let drawn = |sensor: &Sensor| {
            let help = first_sentence(&sensor.metric.help);
            drawing(&chart::sensor(sensor, self.runs), help)
        };
        let charts: String = self.sensors.iter().map(drawn).collect();
        let throttled = self.runs.iter().filter(|run| run.throttled().is_some()).count();
        let marked = match throttled {
            0 if self.runs.iter().all(|run| run.throttling.is_some()) => "No run was throttled.",
            0 => "",
            _ => "▼ and a shaded band mark the runs in which clocks were held down.",
        };
        let intro =
            format!("<p>The runs follow one another from left to right, each as wide as any other. {marked}</p>\n");
        let content = format!("{intro}<div class=\"grid-of-charts\">\n{charts}</div>\n");
        section("Sensors over the runs", (!charts.is_empty()).then_some(content))
    }

    fn averages(&self) -> Option<String> {
        let rows: String = self.overview.rows.iter().map(average).collect();
        let caption = "The sum of the runs' values divided by their number; ± 95 % is Student's t interval over the runs, the \
                       standard deviation between them.";
        let head = ["Metric", "Average", "± 95 %", "Std. dev.", "Samples", "What it is"];
        let notes =
            [hardware::idle_note(self.facts, self.overview), hardware::roofline_note(self.facts, self.overview)];
        let notes: String = notes.into_iter().flatten().map(|note| format!("<p>{}</p>\n", Escaped(note))).collect();
        section("Averages", (!rows.is_empty()).then(|| format!("{notes}{}", table(caption, &head, &rows))))
    }

    fn distributions(&self) -> Option<String> {
        let rows: String =
            self.distributions.iter().map(|(name, described)| distribution_row(name, described)).collect();
        let names = PERCENTILES.map(|percentile| percentile.name);
        let head: Vec<&str> =
            ["Metric", "Min"].into_iter().chain(names).chain(["Max", "MAD", "Outliers", "Samples"]).collect();
        let needed =
            PERCENTILES.map(|p| format!("{} for {}", count(samples_needed(p.share) as u64), p.name)).join(", ");
        let caption = format!(
            "The samples of all runs together. A percentile needs enough of them ({needed}). MAD is the median absolute \
             deviation; outliers are beyond Tukey's fences of 1.5 interquartile ranges, counted and kept."
        );
        section("What requests took", (!rows.is_empty()).then(|| table(&caption, &head, &rows)))
    }

    fn runs(&self) -> Option<String> {
        let scale = Scale::of(common_range(self.runs).map_or(0.0, |(_, most)| most), "s");
        let held = self.runs.iter().any(|run| run.throttling.is_some());
        let rows: String = self.runs.iter().map(|run| run_row(run, &scale, held)).collect();
        let mut head = vec!["Run", "Mean", "Fastest", "Median", "99th percentile", "Slowest", "Requests"];
        head.extend(held.then_some("Clocks held down"));
        section("Runs", (!rows.is_empty()).then(|| table("Latency of the requests of each run.", &head, &rows)))
    }

    fn absent(&self) -> Option<String> {
        let rows: String = grouped(&self.overview.missing)
            .iter()
            .map(|(names, reason)| {
                let names: Vec<String> = names.iter().map(|name| code(name)).collect();
                format!(
                    "<tr><th scope=\"row\">{}</th><td class=\"text\">{}</td></tr>\n",
                    names.join(", "),
                    Escaped(reason)
                )
            })
            .collect();
        let caption = "What could not be measured has no value, never a zero.";
        section("Absent, and why", (!rows.is_empty()).then(|| table(caption, &["Metric", "Reason"], &rows)))
    }

    fn facts(&self) -> Option<String> {
        let row = |(name, value)| {
            let (name, value) = (code(name), Escaped(value));
            format!("<tr><th scope=\"row\">{name}</th><td class=\"text\">{value}</td></tr>\n")
        };
        let rows: String = self.facts.iter().map(row).collect();
        let caption = "What the recording says of the machine, the model, the settings and how it ended.";
        section("Facts", (!rows.is_empty()).then(|| table(caption, &["Fact", "Value"], &rows)))
    }
}

fn table(caption: &str, head: &[&str], rows: &str) -> String {
    page::table(caption, head, TEXTS, rows)
}

fn card(row: &Row) -> String {
    let scale = Scale::of(row.average, &row.metric.unit);
    let spread = match row.deviation() {
        Some(deviation) => format!("std. dev. {} {}", scale.number(deviation, 2), scale.symbol()),
        None => "no spread: one run".to_owned(),
    };
    let spread = if row.values.is_empty() { String::new() } else { spread };
    let few = if row.has_too_few_samples() { " · too few samples" } else { "" };
    format!(
        "<div class=\"card\"><h2>{}</h2><p class=\"value\">{}</p><p class=\"detail\">{}{few}</p></div>\n",
        Escaped(heading(&row.metric.name)),
        figure(row.average, &scale, 4),
        Escaped(spread)
    )
}

fn absent_card(missing: &Missing) -> String {
    let (name, reason) = (Escaped(heading(&missing.metric)), Escaped(&missing.reason));
    format!(
        "<div class=\"card none\"><h2>{name}</h2><p class=\"value\">absent</p><p class=\"detail\">{reason}</p></div>\n"
    )
}

fn average(row: &Row) -> String {
    let scale = Scale::of(row.average, &row.metric.unit);
    let deviation = row.deviation().map(|deviation| figure(deviation, &scale, 2)).unwrap_or_default();
    let half = row.interval().map(|interval| figure(interval.half_width(), &scale, 2)).unwrap_or_default();
    let mut samples = row.samples.map(|samples| count(samples.total as u64)).unwrap_or_default();
    if row.has_too_few_samples() {
        samples.push_str(&format!(" <span class=\"badge warn\">under {FEWEST_SAMPLES} in a run</span>"));
    }
    format!(
        "<tr><th scope=\"row\">{}</th><td>{}</td><td>{half}</td><td>{deviation}</td><td>{samples}</td><td class=\"text \
         help\">{}</td></tr>\n",
        code(&row.metric.name),
        figure(row.average, &scale, 4),
        Escaped(&row.metric.help)
    )
}

fn distribution_row(name: &str, described: &Distribution) -> String {
    let scale = Scale::of(described.minimum, "s");
    let cell = |value: Option<f64>| value.map_or("–".to_owned(), |value| figure(value, &scale, 4));
    let percentiles = PERCENTILES.map(|percentile| cell(described.percentile(percentile.name)));
    let ends = [cell(Some(described.maximum)), figure(described.median_absolute_deviation, &scale, 2)];
    let counts = [described.outliers.outside, described.count].map(|number| count(number as u64));
    let cells = [cell(Some(described.minimum))].into_iter().chain(percentiles).chain(ends).chain(counts);
    let cells: String = cells.map(|cell| format!("<td>{cell}</td>")).collect();
    format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", code(name))
}

/// `held`: with the cell that says whether clocks were held down.
fn run_row(run: &RunDigest, scale: &Scale, held: bool) -> String {
    let of = |part: fn(&Samples) -> Option<f64>| match run.samples.as_ref().map(part) {
        Some(Some(value)) => figure(value, scale, 4),
        Some(None) => "–".to_owned(),
        None => String::new(),
    };
    let cells = [
        run.latency.map(|latency| figure(latency, scale, 4)).unwrap_or_default(),
        of(|samples| Some(samples.least)),
        of(|samples| samples.median),
        of(|samples| samples.p99),
        of(|samples| Some(samples.most)),
        run.samples.as_ref().map(|samples| count(samples.count as u64)).unwrap_or_default(),
    ];
    let mut cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
    if held {
        let words = match (run.throttled(), &run.throttling) {
            (Some(throttled), _) => format!("▼ {}", throttled_words(throttled)),
            (None, Some(_)) => "no".to_owned(),
            (None, None) => "not recorded".to_owned(),
        };
        cells.push_str(&format!("<td class=\"text\">{}</td>", Escaped(words)));
    }
    let class = if run.throttled().is_some() { " class=\"held\"" } else { "" };
    format!("<tr{class}><th scope=\"row\">{}</th>{cells}</tr>\n", Escaped(&run.label))
}

fn throttled_words(Throttling { seconds, reasons }: &Throttling) -> String {
    let reasons = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) };
    format!("throttled {}{reasons}", quantity(*seconds, "s"))
}

fn histogram_caption(histogram: &Histogram) -> String {
    let total: u64 = histogram.counts.iter().sum();
    let beyond = match histogram.beyond {
        0 => String::new(),
        beyond => {
            let (slower, end) = (plural(beyond as usize, "request"), quantity(histogram.end(), "s"));
            format!(" The last bar includes {slower} slower than {end}.")
        }
    };
    format!("{} of all runs.{beyond}", capitalised(&plural(total as usize, "request")))
}

fn contradictions(overview: &Overview) -> Option<String> {
    let line = |row: &Row| {
        let (mean, unit) = (row.contradiction()?, &row.metric.unit);
        Some(format!(
            "{} is given as {}, but the mean of the runs is {}",
            row.metric.name,
            quantity(row.average, unit),
            quantity(mean, unit)
        ))
    };
    let lines: Vec<String> = overview.rows.iter().filter_map(line).collect();
    (!lines.is_empty()).then(|| format!("The workload's summary is not what was recorded: {}.", lines.join("; ")))
}

/// Metrics that share a reason, together.
fn grouped(missing: &[Missing]) -> Vec<(Vec<&str>, &str)> {
    let mut groups: Vec<(Vec<&str>, &str)> = Vec::new();
    for Missing { metric, reason } in missing {
        match groups.iter_mut().find(|(_, known)| known == reason) {
            Some((names, _)) => names.push(metric),
            None => groups.push((vec![metric], reason)),
        }
    }
    groups
}

fn first_sentence(help: &str) -> &str {
    help.split_inclusive(". ").next().unwrap_or(help).trim_end()
}

/// `2026-01-02T03:04:05.678Z` as a person reads it.
fn readable(time: &str) -> String {
    let seconds = time.split_once('.').map_or(time.trim_end_matches('Z'), |(seconds, _)| seconds);
    format!("{}{}", seconds.replacen('T', " ", 1), if time.ends_with('Z') { " UTC" } else { "" })
}
