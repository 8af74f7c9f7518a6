//! The same figures as scipy's on fixed data: `golden/make.py` made them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use harness_figures::statistics::{self, CONFIDENCE, Crossover, Distribution, Welch, samples_needed};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/scipy.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[track_caller]
fn near(ours: f64, theirs: &Value, what: &str) {
    let theirs = theirs.as_f64().unwrap();
    assert!((ours - theirs).abs() <= 1e-9 * theirs.abs(), "{what}: {ours} and scipy's {theirs}");
}

#[test]
fn distributions_are_scipys() {
    for (name, set) in golden()["sets"].as_object().unwrap() {
        let values = numbers(&set["values"]);
        let ours = Distribution::of(values.clone()).unwrap();
        near(ours.mean, &set["mean"], name);
        near(ours.standard_deviation.unwrap(), &set["standard_deviation"], name);
        near(statistics::coefficient_of_variation(&values).unwrap(), &set["coefficient_of_variation"], name);
        near(ours.median_absolute_deviation, &set["median_absolute_deviation"], name);
        near(ours.minimum, &set["minimum"], name);
        near(ours.maximum, &set["maximum"], name);
        assert_eq!(ours.outliers.outside as u64, set["outside"], "{name}");
        assert_eq!(ours.outliers.far as u64, set["far"], "{name}");
        for percentile in statistics::PERCENTILES {
            let supported = values.len() >= samples_needed(percentile.share);
            assert_eq!(ours.percentile(percentile.name).is_some(), supported, "{name} {}", percentile.name);
            if let Some(value) = ours.percentile(percentile.name) {
                near(value, &set["percentiles"][percentile.name], percentile.name);
            }
        }
    }
}

#[test]
fn intervals_are_scipys() {
    let golden = golden();
    for (name, set) in golden["sets"].as_object().unwrap() {
        let interval = statistics::mean_interval(&numbers(&set["values"]), CONFIDENCE).unwrap();
        near(interval.low, &set["interval"][0], name);
        near(interval.high, &set["interval"][1], name);
    }
    for t in golden["t"].as_array().unwrap() {
        let count = t["freedom"].as_f64().unwrap() + 1.0;
        let mut values = vec![-1.0, 1.0];
        values.resize(count as usize, 0.0);
        let deviation = statistics::standard_deviation(&values).unwrap();
        let half = statistics::mean_interval(&values, CONFIDENCE).unwrap().half_width();
        near(half * count.sqrt() / deviation, &t["quantile"], "t");
    }
}

#[test]
fn the_crossover_trials_test_is_scipys() {
    for pair in golden()["crossovers"].as_array().unwrap() {
        let name = pair["forth"].to_string();
        let test = Crossover::of(&numbers(&pair["forth"]), &numbers(&pair["back"])).unwrap();
        near(test.effect, &pair["effect"], &name);
        near(test.p, &pair["p"], &name);
        near(test.freedom, &pair["freedom"], &name);
        let interval = test.interval(CONFIDENCE).unwrap();
        near(interval.low, &pair["interval"][0], &name);
        near(interval.high, &pair["interval"][1], &name);
    }
}

#[test]
fn welchs_test_is_scipys() {
    let golden = golden();
    let set = |name: &Value| numbers(&golden["sets"][name.as_str().unwrap()]["values"]);
    for pair in golden["pairs"].as_array().unwrap() {
        let (first, second) = (set(&pair["first"]), set(&pair["second"]));
        let name = format!("{} {}", pair["first"], pair["second"]);
        let test = Welch::of(&first, &second).unwrap();
        near(test.p, &pair["p"], &name);
        near(test.freedom, &pair["freedom"], &name);
        near(test.difference, &pair["difference"], &name);
        match (statistics::ratio_interval(&first, &second, CONFIDENCE), &pair["ratio"]) {
            (Some(interval), ratio @ Value::Array(_)) => {
                near(interval.low, &ratio[0], &name);
                near(interval.high, &ratio[1], &name);
            }
            (None, Value::Null) => {}
            (ours, theirs) => panic!("{name}: {ours:?} and {theirs}"),
        }
    }
}

#[test]
fn the_detectable_effect_is_that_of_the_noncentral_t_distribution() {
    for case in golden()["detectable"].as_array().unwrap() {
        let of = |key: &str| case[key].as_f64().unwrap();
        let ours = statistics::detectable(of("error"), of("freedom"), of("level"), of("least")).unwrap();
        assert!((ours / of("detectable") - 1.0).abs() < 1e-5, "{ours} {case}");
    }
}

#[test]
fn holms_correction_is_the_published_one() {
    for case in golden()["holm"].as_array().unwrap() {
        for (ours, theirs) in statistics::holm(&numbers(&case["p"])).iter().zip(case["corrected"].as_array().unwrap()) {
            near(*ours, theirs, "holm");
        }
    }
}
