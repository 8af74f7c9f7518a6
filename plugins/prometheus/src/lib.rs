//! Figures in Prometheus' text format (0.0.4), for the textfile collector of node_exporter: a gauge a figure, and one with the
//! ends of its interval, by the label `bound`, where the runs give one.
//!
//! Its samples have no time of their own: the collector refuses a file that has them.

use harness_plugin::overview::Overview;
use harness_plugin::text::visible;
use harness_plugin::{Description, Error, Facts, Metric, Output, Recording, Report, Settings};

struct Prometheus;

harness_plugin::export!(report: Prometheus);

impl Report for Prometheus {
    fn describe() -> Description {
        Description::new(
            "prometheus",
            env!("CARGO_PKG_VERSION"),
            "The averages as gauges, for node_exporter's textfile collector.",
        )
    }

    fn render(recording: &dyn Recording, _: &Settings) -> Result<Output, Error> {
        let facts = recording.facts();
        let labels = labels(&facts);
        Ok(Output::Text(gauges(recording, &facts).iter().map(|gauge| gauge.text(&labels)).collect()))
    }
}

struct Gauge {
    name: String,
    help: String,
    /// With the end of an interval that each is.
    samples: Vec<(Option<&'static str>, f64)>,
}

impl Gauge {
    fn text(&self, labels: &[String]) -> String {
        let Self { name, help, samples } = self;
        // A metric of a newer harness than this has no help.
        let help = if help.is_empty() { String::new() } else { format!("# HELP {name} {}\n", escaped(help, false)) };
        let sample = |(bound, value): &(Option<&str>, f64)| {
            let bound = bound.map(|bound| format!("bound=\"{bound}\""));
            let labels: Vec<&str> = labels.iter().chain(&bound).map(String::as_str).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            format!("{name}{labels} {}\n", number(*value))
        };
        format!("{help}# TYPE {name} gauge\n{}", samples.iter().map(sample).collect::<String>())
    }
}

fn gauges(recording: &dyn Recording, facts: &Facts) -> Vec<Gauge> {
    let complete = facts.get("status").map(|status| if status == "complete" { 1.0 } else { 0.0 });
    let of_the_recording = [
        ("harness_recording_complete", "Whether the workload ended as it should.", complete),
        ("harness_recording_timestamp_seconds", "When the recording started.", facts.get("start").and_then(unix_time)),
    ];
    let gauge = |(name, help, value): (&str, &str, Option<f64>)| {
        Some(Gauge { name: name.to_owned(), help: help.to_owned(), samples: vec![(None, value?)] })
    };
    let mut gauges: Vec<Gauge> = of_the_recording.into_iter().filter_map(gauge).collect();
    for row in Overview::of(recording).rows {
        let name = name(&row.metric);
        let interval = row.interval();
        add(&mut gauges, &name, row.metric.help.into_owned(), vec![(None, row.average)]);
        if let Some(interval) = interval {
            let help =
                format!("Ends of the 95 % interval of the mean over runs of {}, by Student's t.", row.metric.name);
            let ends = vec![(Some("low"), interval.low), (Some("high"), interval.high)];
            add(&mut gauges, &format!("{name}_interval"), help, ends);
        }
    }
    gauges
}

/// Twice the same name would cost the collector the whole file.
fn add(gauges: &mut Vec<Gauge>, name: &str, help: String, samples: Vec<(Option<&'static str>, f64)>) {
    let names = std::iter::once(name.to_owned()).chain((2..).map(|number| format!("{name}_{number}")));
    let mut free = names.filter(|name| gauges.iter().all(|gauge| gauge.name != *name));
    let name = free.next().unwrap_or_default();
    gauges.push(Gauge { name, help, samples });
}

/// What is not known is left out.
fn labels(facts: &Facts) -> Vec<String> {
    let on_a_gpu = facts.get("model.device").is_some_and(|device| device.starts_with("cuda"));
    let weights = facts.get("model.weights");
    let labels = [
        ("model", facts.get("model.name")),
        ("dtype", facts.get("model.dtype")),
        ("device", facts.get("model.device")),
        ("backend", facts.get("model.backend")),
        ("gpu", facts.get("gpu.name").filter(|_| on_a_gpu)),
        ("weights", facts.synthetic_weights().map(|_| "synthetic").or(weights.map(|_| "checkpoint"))),
        ("plugin", facts.get("plugin.name")),
    ];
    let label = |(name, value): (&str, Option<&str>)| Some(format!("{name}=\"{}\"", escaped(value?, true)));
    labels.into_iter().filter_map(label).collect()
}

/// Only a label's value is quoted. What the format has no escape for is shown as what it is.
fn escaped(text: &str, quoted: bool) -> String {
    let lines: Vec<_> = text.split('\n').map(visible).collect();
    let text = lines.join("\n").replace('\\', r"\\").replace('\n', r"\n");
    if quoted { text.replace('"', "\\\"") } else { text }
}

fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        _ => value.to_string(),
    }
}

/// `harness_<metric>_<unit>`, but for a unit that the metric's name ends with.
fn name(metric: &Metric) -> String {
    let (name, unit) = (word(&metric.name), unit(&metric.unit));
    if unit.is_empty() || name == unit || name.ends_with(&format!("_{unit}")) {
        return format!("harness_{name}");
    }
    format!("harness_{name}_{unit}")
}

/// Symbol, of several, of one.
const UNITS: &[(&str, &str, &str)] = &[
    ("s", "seconds", "second"),
    ("B", "bytes", "byte"),
    ("J", "joules", "joule"),
    ("W", "watts", "watt"),
    ("Hz", "hertz", "hertz"),
    ("Cel", "celsius", "celsius"),
    ("1", "ratio", "ratio"),
    ("tokens", "tokens", "token"),
];

fn unit(unit: &str) -> String {
    let known = |symbol: &str| UNITS.iter().find(|(known, ..)| *known == symbol);
    let several = |symbol| known(symbol).map_or_else(|| word(symbol), |(_, several, _)| (*several).to_owned());
    let one = |symbol| known(symbol).map_or_else(|| word(symbol), |(.., one)| (*one).to_owned());
    match unit.split_once('/') {
        Some(("1", under)) => format!("per_{}", one(under)),
        Some((over, under)) => format!("{}_per_{}", several(over), one(under)),
        None => several(unit),
    }
}

/// What a metric's name can have of a text.
fn word(text: &str) -> String {
    let lower = |character: char| {
        if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '_' }
    };
    text.chars().map(lower).collect::<String>().trim_matches('_').to_owned()
}

/// Seconds since 1970 of `2026-01-02T03:04:05.678Z`.
fn unix_time(time: &str) -> Option<f64> {
    let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u16>().ok().map(i64::from));
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut clock = clock.splitn(3, ':');
    let hours: u8 = clock.next()?.parse().ok()?;
    let minutes: u8 = clock.next()?.parse().ok()?;
    let seconds: f64 = clock.next()?.parse().ok()?;
    // In years that begin in March, a leap day is the last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some((days * 86_400 + i64::from(hours) * 3600 + i64::from(minutes) * 60) as f64 + seconds)
}

#[cfg(test)]
mod tests {
    use harness_plugin::testing::{FakeRecording, FakeRun, settings};
    use harness_plugin::{Direction, metrics};

    use super::*;

    fn rendered(recording: &FakeRecording) -> String {
        match Prometheus::render(recording, &settings(&Prometheus::describe(), &[])).unwrap() {
            Output::Text(text) => text,
            Output::Files(_) => panic!("it is one text"),
        }
    }

    #[test]
    fn a_figure_is_a_gauge_with_help_type_and_labels() {
        let run = FakeRun::new("run 1").value(&metrics::LATENCY, 0.25).absent("power", "no GPU");
        let recording = FakeRecording::new()
            .fact("start", "2026-01-02T03:04:05.5Z")
            .fact("model.name", "gpt2")
            .fact("model.dtype", "f16")
            .fact("model.device", "cuda:0")
            .fact("model.backend", "fused")
            .fact("model.weights", "synthetic:7")
            .fact("gpu.name", "NVIDIA H100")
            .fact("plugin.name", "default")
            .fact("status", "complete")
            .run(run)
            .reading(metrics::LATENCY.reading(0.25));
        let labels = "{model=\"gpt2\",dtype=\"f16\",device=\"cuda:0\",backend=\"fused\",gpu=\"NVIDIA H100\",\
                      weights=\"synthetic\",plugin=\"default\"}";
        let text = format!(
            "\
# HELP harness_recording_complete Whether the workload ended as it should.
# TYPE harness_recording_complete gauge
harness_recording_complete{labels} 1
# HELP harness_recording_timestamp_seconds When the recording started.
# TYPE harness_recording_timestamp_seconds gauge
harness_recording_timestamp_seconds{labels} 1767323045.5
# HELP harness_latency_seconds Time from a request to its last token in host memory, by the host's clock, the device synchronised.
# TYPE harness_latency_seconds gauge
harness_latency_seconds{labels} 0.25
"
        );
        assert_eq!(rendered(&recording), text);
    }

    #[test]
    fn names_end_with_the_unit_once() {
        let own = |name, unit| Metric::new(name, unit, "", Direction::Neither);
        for (metric, expected) in [
            (metrics::THROUGHPUT.clone(), "harness_throughput_per_second"),
            (metrics::MEMORY_PEAK.clone(), "harness_memory_peak_bytes"),
            (metrics::GPU_UTILIZATION.clone(), "harness_gpu_utilization_ratio"),
            (metrics::TOKENS_PER_SECOND.clone(), "harness_tokens_per_second"),
            (metrics::PROMPT_TOKENS.clone(), "harness_prompt_tokens"),
            (metrics::ENERGY_PER_TOKEN.clone(), "harness_energy_per_token_joules"),
            (metrics::POWER.clone(), "harness_power_watts"),
            (metrics::TEMPERATURE.clone(), "harness_temperature_celsius"),
            (metrics::SM_CLOCK.clone(), "harness_sm_clock_hertz"),
            (own("wait_seconds", "s"), "harness_wait_seconds"),
            (own("cost", "J/token"), "harness_cost_joules_per_token"),
            (own("traffic", "B/s"), "harness_traffic_bytes_per_second"),
            (own("odd", "µ°/Ω \n{"), "harness_odd__per_"),
            (own("unknown", ""), "harness_unknown"),
        ] {
            assert_eq!(name(&metric), expected);
        }
    }

    #[test]
    fn names_are_never_there_twice() {
        let own = |name, unit| Metric::new(name, unit, "", Direction::Neither).reading(1.0);
        let recording = FakeRecording::new()
            .fact("status", "complete")
            .reading(own("wait", "s"))
            .reading(own("wait_seconds", "s"))
            .reading(own("recording_complete", ""));
        let text = rendered(&recording);
        let names: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            names,
            [
                "harness_recording_complete 1",
                "harness_wait_seconds 1",
                "harness_wait_seconds_2 1",
                "harness_recording_complete_2 1"
            ]
        );
        assert!(!text.contains("HELP harness_wait"), "{text}");
    }

    #[test]
    fn labels_and_help_are_escaped() {
        let odd = Metric::named("odd", "", "a \\ \"b\"\nc\r", Direction::Neither);
        let recording =
            FakeRecording::new().fact("model.name", "C:\\a \"b\"\nc\u{202e}").reading(odd.reading(f64::NAN));
        let text = "\
# HELP harness_odd a \\\\ \"b\"\\nc\\\\u{d}
# TYPE harness_odd gauge
harness_odd{model=\"C:\\\\a \\\"b\\\"\\nc\\\\u{202e}\"} NaN
";
        assert_eq!(rendered(&recording), text);
        assert_eq!(number(f64::INFINITY), "+Inf");
        assert_eq!(number(f64::NEG_INFINITY), "-Inf");
        assert_eq!(number(0.0), "0");
    }

    #[test]
    fn a_partial_recording_gives_what_there_is() {
        let run = |label, latency| FakeRun::new(label).value(&metrics::LATENCY, latency);
        let recording = FakeRecording::new()
            .fact("status", "failed")
            .run(run("run 1", 0.1))
            .run(run("run 2", 0.3).value(&metrics::POWER, 300.0));
        let text = rendered(&recording);
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let first = samples.iter().take(2);
        assert!(first.eq(&["harness_recording_complete 0", "harness_latency_seconds 0.2"]), "{samples:?}");
        assert_eq!(rendered(&FakeRecording::new()), "");
    }

    #[test]
    fn several_runs_have_an_interval() {
        let run = |label, latency| FakeRun::new(label).value(&metrics::LATENCY, latency);
        let facts = FakeRecording::new().fact("model.name", "gpt2");
        // 3 ± 12.706 · √2 / √2.
        let text = rendered(&facts.run(run("run 1", 2.0)).run(run("run 2", 4.0)));
        let after = text.split_once("harness_latency_seconds_interval ").unwrap().1;
        let lines: Vec<&str> = after.lines().collect();
        assert_eq!(lines[0], "Ends of the 95 % interval of the mean over runs of latency, by Student's t.");
        assert_eq!(lines[1], "# TYPE harness_latency_seconds_interval gauge");
        let value = |line: &str, bound: &str| -> f64 {
            let start = format!("harness_latency_seconds_interval{{model=\"gpt2\",bound=\"{bound}\"}} ");
            line.strip_prefix(&start).unwrap_or_else(|| panic!("{line}")).parse().unwrap()
        };
        let (low, high) = (value(lines[2], "low"), value(lines[3], "high"));
        assert!((low + 9.706).abs() < 1e-3 && (high - 15.706).abs() < 1e-3, "{low} {high}");
    }

    #[test]
    fn times_are_seconds_since_1970() {
        for (time, expected) in [
            ("1970-01-01T00:00:00Z", Some(0.0)),
            ("2024-02-29T23:59:59Z", Some(1_709_251_199.0)),
            ("2000-03-01T00:00:00.25Z", Some(951_868_800.25)),
            ("2026-11-25T00:27:04+01:00", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(unix_time(time), expected, "{time}");
        }
    }
}
