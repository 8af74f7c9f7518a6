use harness_plugin::Reading;
use harness_plugin::metrics::{
    GPU_UTILIZATION, LATENCY, MEMORY_ALLOCATED, MEMORY_LIMIT_SHARE, POWER, THROTTLED_TIME, THROTTLED_TIME_SW_POWER_CAP,
    THROUGHPUT,
};
use harness_plugin::testing::{FakeRecording, FakeRun, settings};

use super::*;

fn rendered(recording: &FakeRecording, given: &[(&str, &str)]) -> String {
    match Html::render(recording, &settings(&Html::describe(), given)).unwrap() {
        Output::Text(text) => text,
        Output::Files(_) => panic!("the page is one text"),
    }
}

fn run(label: &str, latency: f64) -> FakeRun {
    let samples: Vec<f64> = (0..100).map(|i| latency + f64::from(i % 10) * 1e-4 - 4.5e-4).collect();
    FakeRun::new(label)
        .value(&THROUGHPUT, 1.0 / latency)
        .value(&LATENCY, latency)
        .samples(&LATENCY, &samples)
        .value(&POWER, 250.0)
        .samples(&POWER, &[240.0, 260.0])
        .times(&POWER, &[0.5, 1.0])
        .absent("gpu_utilization", "no such sensor")
}

fn recording() -> FakeRecording {
    FakeRecording::new()
        .fact("model.name", "gpt2")
        .fact("model.dtype", "bf16")
        .fact("model.device", "cuda:0")
        .fact("gpu.name", "NVIDIA H100")
        .fact("status", "complete")
        .run(run("run 1", 0.1))
        .run(run("run 2", 0.3))
}

/// Every exact figure on the page.
fn figures(page: &str) -> Vec<f64> {
    page.split("<data value=\"").skip(1).map(|part| part.split('"').next().unwrap().parse().unwrap()).collect()
}

/// That elements are closed in order, but for those that are never closed.
fn assert_balanced(page: &str) {
    let body = page.split("</style>").last().unwrap();
    let mut open = Vec::new();
    for part in body.split('<').skip(1) {
        let (tag, _) = part.split_once('>').unwrap();
        assert!(tag.matches('"').count().is_multiple_of(2), "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            if !["head", "html"].contains(&name) {
                assert_eq!(open.pop(), Some(name), "{part}");
            }
        } else if !tag.ends_with('/') && tag != "wbr" {
            open.push(tag.split_whitespace().next().unwrap());
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_figures_are_the_recordings() {
    let page = rendered(&recording(), &[]);
    assert_balanced(&page);
    let figures = figures(&page);
    for wanted in [0.2, (10.0 + 1.0 / 0.3) / 2.0, 250.0, 0.1, 0.3] {
        assert!(figures.contains(&wanted), "{wanted}: {figures:?}");
    }
    assert!(page.contains("<h1>gpt2 on NVIDIA H100</h1>"), "{page}");
    assert!(
        page.contains("<span class=\"badge good\">Complete</span> 2 runs of gpt2 in bf16 on NVIDIA H100."),
        "{page}"
    );
    assert!(page.contains("200.0\u{a0}<span class=\"unit\">ms"), "{page}");
    assert!(!page.contains("Synthetic"), "{page}");
}

#[test]
fn every_chart_says_what_it_shows() {
    let page = rendered(&recording(), &[]);
    // The histogram, the spread, two runs and a sensor.
    assert_eq!(page.matches("<svg").count(), 5);
    assert_eq!(page.matches("role=\"img\" aria-label=\"").count(), 5);
    assert!(
        page.contains(
            "aria-label=\"Power over 2 runs: readings from 240.0 W to 260.0 W; the mean of each run is 250.0 W.\""
        ),
        "{page}"
    );
    assert!(page.contains("run 1: latency of 100 requests, from 99.55 ms to 100.4 ms, mean 100.0 ms"), "{page}");
}

#[test]
fn what_is_absent_is_said_with_its_reason() {
    let page = rendered(&recording(), &[]).replace("<wbr>", "");
    assert!(
        page.contains("<h2>GPU utilization</h2><p class=\"value\">absent</p><p class=\"detail\">no such sensor</p>")
    );
    let shared = "<th scope=\"row\"><code>memory_allocated</code>, <code>memory_peak</code>, <code>memory_utilization</code></th>";
    assert!(page.contains(shared), "{page}");
}

#[test]
fn samples_that_are_all_alike_make_charts() {
    for latency in [0.0, 0.25] {
        let run = FakeRun::new("run 1").value(&LATENCY, latency).samples(&LATENCY, &[latency; 5]);
        let page = rendered(&FakeRecording::new().run(run), &[]);
        assert!(!page.contains("NaN") && !page.contains("inf\""), "{page}");
        assert_eq!(page.matches("class=\"bar\"").count(), 1);
    }
}

#[test]
fn throttled_runs_are_marked() {
    let held = run("run 3", 0.2).value(&THROTTLED_TIME, 1.5).value(&THROTTLED_TIME_SW_POWER_CAP, 1.5);
    let page = rendered(&recording().run(held), &[]);
    assert!(page.contains("run 3 · ▼ throttled 1.500 s: sw power cap"), "{page}");
    assert_eq!(page.matches("class=\"throttled\"").count(), 1);
    assert!(page.contains("throttled in 1 of 3 runs"), "{page}");
    assert!(page.contains("<p class=\"note warn\">Clocks were held down in 1 of 3 runs (sw power cap)"), "{page}");
    assert_balanced(&page);
}

#[test]
fn what_was_measured_before_the_test_stands_above_the_averages() {
    let share = run("run 3", 0.2).value(&MEMORY_LIMIT_SHARE, 0.58);
    let measured = |recording: FakeRecording| {
        let recording = recording.fact("idle.power", "71.5").fact("roofline.bandwidth", "2937000000000");
        rendered(&recording, &[])
    };
    let page = measured(FakeRecording::new().run(share));
    assert!(page.contains("<p>Idle before the test: 71.50 W.</p>\n<p>Memory&#39;s limit, measured before the test: 2937.0 GB/s. Decoding reaches 58.0 % of it"), "{page}");
    assert_balanced(&page);
    let page = rendered(&recording(), &[]);
    assert!(!page.contains("Idle before") && !page.contains("limit, measured"), "{page}");
}

#[test]
fn a_partial_recording_says_so_and_shows_what_there_is() {
    let partial = FakeRecording::new()
        .fact("status", "interrupted")
        .fact("setting.runs", "10")
        .fact("model.name", "gpt2")
        .fact("model.weights", "synthetic:7")
        .run(FakeRun::new("run 1").value(&LATENCY, 0.1));
    let page = rendered(&partial, &[]);
    assert_balanced(&page);
    assert!(page.contains("<span class=\"badge bad\">Interrupted</span>"), "{page}");
    assert!(page.contains("1 of 10 runs of gpt2."), "{page}");
    assert!(page.contains("Synthetic weights: random numbers"), "{page}");
    assert!(page.contains("no spread: one run"), "{page}");

    let page = rendered(&FakeRecording::new(), &[]);
    assert_balanced(&page);
    assert!(page.contains("0 runs of a model.") && page.contains("no run was finished"), "{page}");
    assert!(!page.contains("<svg"), "{page}");
}

#[test]
fn nothing_in_a_recording_is_markup() {
    let odd = "<script>alert(\"1\")</script> & 'x' \"></svg>";
    let odd_run = run(odd, 0.1).absent(odd, odd).value(&THROTTLED_TIME, 1.0);
    let mut recording = FakeRecording::new();
    for name in ["model.name", "model.dtype", "model.device", "status", "message", "start", "setting.prompt", odd] {
        recording = recording.fact(name, odd);
    }
    let page = rendered(&recording.run(odd_run), &[]);
    assert!(!page.contains("<script") && !page.contains("\"></svg>\""), "{page}");
    assert!(
        page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;x&#39; &quot;&gt;&lt;/svg&gt;"),
        "{page}"
    );
    assert_balanced(&page);
    assert!(rendered(&FakeRecording::new(), &[("title", "<b>")]).contains("<h1>&lt;b&gt;</h1>"));
}

#[test]
fn the_page_asks_for_nothing() {
    let page = rendered(&recording(), &[]);
    assert!(page.starts_with("<!doctype html>\n"));
    assert!(page.contains("default-src 'none'; style-src 'unsafe-inline'; img-src data:"));
    for never in ["http:", "https:", "<script", " src=", "url(", "@import", " style="] {
        assert!(!page.contains(never), "{never}");
    }
}

#[test]
fn a_summary_that_is_not_the_mean_is_pointed_out() {
    let page = rendered(&recording().reading(LATENCY.reading(1.0)), &[]);
    let expected = "latency is given as 1.000 s, but the mean of the runs is 200.0 ms";
    assert!(page.contains(expected), "{page}");
}

#[test]
fn a_workload_of_its_own_figures_has_them_as_headlines() {
    let own = harness_plugin::Metric::new("cost", "J", "Energy.", harness_plugin::Direction::LowerIsBetter);
    let readings: Vec<Reading> = vec![own.reading(2.5)];
    let recording = readings.into_iter().fold(recording(), FakeRecording::reading);
    let page = rendered(&recording, &[]);
    assert!(page.contains("<h2>Cost</h2>") && !page.contains("<h2>Memory peak</h2>"), "{page}");
}

#[test]
fn many_samples_and_many_runs_make_a_page_of_bounded_size() {
    let samples: Vec<f64> = (0..1_000_000).map(|i| 0.1 + f64::from(i % 1000) * 1e-5).collect();
    let million = FakeRecording::new().run(FakeRun::new("run 1").value(&LATENCY, 0.105).samples(&LATENCY, &samples));
    assert!(rendered(&million, &[]).len() < 100_000);

    let sensors = |run: FakeRun| run.value(&GPU_UTILIZATION, 0.9).value(&MEMORY_ALLOCATED, 5e9);
    let many = (0..1000).fold(FakeRecording::new(), |all, i| all.run(sensors(run(&format!("run {i}"), 0.1))));
    let page = rendered(&many, &[]);
    assert!(page.contains("900 more are in the table of runs."));
    assert!(page.len() < 2_000_000, "{}", page.len());
    assert_balanced(&page);
}
