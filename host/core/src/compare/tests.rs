use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::recording::{Facts, Status};
use crate::run::Run;

fn run(values: &[(&str, f64)]) -> Run {
    let mut run = Run { label: "run".into(), iterations: 10, batch: 1, ..Run::default() };
    run.values.extend(values.iter().map(|(name, value)| ((*name).to_owned(), *value)));
    run.values.insert("prompt_tokens".into(), 190.0);
    run
}

fn named(path: &str, facts: &[(&str, &str)], runs: Vec<Run>) -> Named {
    let facts: Facts = facts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut recording =
        crate::Recorder::in_memory(facts).end(Status::Complete, None, Vec::new(), String::new()).recording;
    recording.runs = runs.into_iter().map(Arc::new).collect();
    Named { path: Path::new(path).to_owned(), recording }
}

fn latencies(path: &str, values: &[f64]) -> Vec<Named> {
    let runs = values.iter().map(|&latency| run(&[("latency", latency), ("throughput", 1.0 / latency)])).collect();
    vec![named(path, &[], runs)]
}

fn verdicts(base: &[f64], new: &[f64]) -> Vec<Option<Verdict>> {
    let compared = compare(&latencies("a", base), &[latencies("b", new)], &Options::default()).unwrap();
    compared[0].rows.iter().filter(|row| row.metric.better != Direction::Neither).map(|row| row.verdict).collect()
}

const QUIET: [f64; 6] = [1.0, 1.002, 0.999, 1.001, 0.998, 1.0];

fn scaled(factor: f64) -> [f64; 6] {
    QUIET.map(|value| value * factor)
}

#[test]
fn a_change_is_called_by_its_direction() {
    // Throughput comes first.
    assert_eq!(verdicts(&QUIET, &scaled(1.05)), [Some(Verdict::Worse); 2]);
    assert_eq!(verdicts(&QUIET, &scaled(0.95)), [Some(Verdict::Better); 2]);
    assert_eq!(verdicts(&QUIET, &QUIET), [Some(Verdict::Same); 2]);
}

/// How often a change of the size that is called detectable is found, of sides of ten runs.
fn found(runs: usize, spread: f64, threshold: f64, metrics: &[&str]) -> f64 {
    const TRIALS: u64 = 1500;
    let noise = crate::random::Stream::new(5, 9);
    let detectable = {
        // Of sides that have just this spread.
        let values: Vec<f64> = (0..runs).map(|at| if at % 2 == 0 { 1.0 - spread } else { 1.0 + spread }).collect();
        let scale = ((runs - 1) as f64 / runs as f64).sqrt();
        let values: Vec<f64> = values.iter().map(|value| 1.0 + (value - 1.0) * scale).collect();
        let options = Options {
            metrics: metrics.iter().map(|name| (*name).to_owned()).collect(),
            threshold,
            ..Options::default()
        };
        let compared = compare(&latencies("a", &values), &[latencies("b", &values)], &options).unwrap();
        let row = compared[0].rows.iter().find(|row| row.metric.name == "latency").unwrap().clone();
        row.detectable.unwrap()
    };
    let found = (0..TRIALS).filter(|trial| {
        let side = |side: u64, change: f64| -> Vec<f64> {
            (0..runs as u64).map(|run| (1.0 + spread * noise.normal((trial * 2 + side) * 64 + run)) * change).collect()
        };
        // By itself, so that a metric beside it can't help it.
        let latency = metric::definition("latency").unwrap().metric();
        let row = row(latency, None, &side(0, 1.0), &side(1, 1.0 + detectable)).unwrap();
        let level = 0.05 / metrics.len() as f64;
        row.p.unwrap() <= level && row.change.unwrap() > threshold
    });
    found.count() as f64 / TRIALS as f64
}

#[test]
fn what_is_detectable_is_found_four_times_in_five() {
    for (runs, threshold, metrics) in [
        (10, 0.0, &["latency"][..]),
        (10, 0.01, &["latency"]),
        (10, 0.03, &["latency"]),
        (6, 0.0, &["latency", "throughput"]),
    ] {
        let share = found(runs, 0.01, threshold, metrics);
        // Welch's degrees of freedom are of the spreads that each trial happens to have: of small sides that costs a little.
        assert!((0.73..0.84).contains(&share), "{share} of {runs} runs at {threshold}");
    }
}

#[test]
fn of_pairs_a_detectable_change_is_known_too_and_of_nothing_none() {
    let row = paired(&interleaved(5, 1.0, 0.0), true);
    let half = row.interval.unwrap().half_width();
    // Beyond the interval's reach, but for the threshold.
    assert!(row.detectable.unwrap() > half.max(0.01) && row.detectable.unwrap() < 2.0 * half.max(0.01), "{row:?}");
    let zero = compare(
        &[named("a", &[], vec![run(&[("host_overhead", 0.0)]), run(&[("host_overhead", 0.0)])])],
        &[vec![named("b", &[], vec![run(&[("host_overhead", 0.0)]), run(&[("host_overhead", 0.1)])])]],
        &Options::default(),
    );
    assert!(
        zero.unwrap()[0]
            .rows
            .iter()
            .filter(|row| row.metric.name == "host_overhead")
            .all(|row| row.detectable.is_none())
    );
}

#[test]
fn a_sure_change_under_the_threshold_is_none() {
    assert_eq!(verdicts(&QUIET, &scaled(1.005)), [Some(Verdict::Same); 2]);
}

#[test]
fn a_recording_of_too_many_kinds_of_work_is_refused() {
    let kinds = |count: u32| {
        let of = |batch| Run { batch, ..run(&[("latency", 1.0)]) };
        vec![named("a", &[], (0..count).map(of).collect())]
    };
    let options = Options { metrics: vec!["latency".into()], ..Options::default() };
    let compared = |count| compare(&kinds(count), &[kinds(count)], &options).map(|compared| compared.len());
    assert_eq!(compared(500), Ok(1));
    assert_eq!(compared(501), Err(Incomparable::TooManyKinds { path: "a".into() }));
}

/// Recordings in the order A B B A, each with its start, of a machine that gets slower by `drift` from one to the next; B takes
/// `slower` times as long.
fn interleaved(rounds: usize, slower: f64, drift: f64) -> [Vec<Named>; 2] {
    let mut sides: [Vec<Named>; 2] = Default::default();
    for step in 0..4 * rounds {
        let which = [0, 1, 1, 0][step % 4];
        let latency = QUIET[(step * 5) % 6] * [1.0, slower][which] * (1.0 + drift * step as f64);
        let start = format!("2026-11-25T12:00:{step:02}Z");
        sides[which].push(named(&format!("{step}"), &[("start", &start)], vec![run(&[("latency", latency)]); 2]));
    }
    sides
}

fn paired(sides: &[Vec<Named>; 2], paired: bool) -> Row {
    let [base, new] = sides;
    let compared = compare(base, std::slice::from_ref(new), &Options { paired, ..Options::default() }).unwrap();
    compared[0].rows[0].clone()
}

#[test]
fn drift_falls_out_of_pairs() {
    // 19 % slower at the end than at the start: more than the change that is looked for.
    let changed = interleaved(5, 1.02, 0.01);
    assert_eq!(paired(&changed, false).verdict, Some(Verdict::Ambiguous));
    let row = paired(&changed, true);
    assert_eq!((row.verdict, row.base.runs), (Some(Verdict::Worse), 10), "{row:?}");
    assert!(row.interval.unwrap().contains(0.02) && row.interval.unwrap().half_width() < 0.005, "{row:?}");
    let unchanged = interleaved(5, 1.0, 0.01);
    assert_eq!(paired(&unchanged, false).verdict, Some(Verdict::Ambiguous));
    assert_eq!(paired(&unchanged, true).verdict, Some(Verdict::Same));
}

#[test]
fn pairs_of_one_order_or_without_a_partner_are_refused() {
    let [mut base, new] = interleaved(2, 1.0, 0.0);
    let options = Options { paired: true, ..Options::default() };
    let refused = |base: &[Named], new: &[Named]| compare(base, &[new.to_vec()], &options).unwrap_err().to_string();
    assert!(refused(&base, &new[1..]).contains("the base has 4, the other side 3"));
    let one = |side: &[Named]| [side[0].clone(), side[2].clone()];
    assert!(refused(&one(&base), &one(&new)).contains("of each pair the base was recorded first"));
    // A single round has a pair of each order, and tells nothing.
    let round = [base[..2].to_vec(), new[..2].to_vec()];
    assert_eq!(paired(&round, true).verdict, Some(Verdict::Ambiguous));
    base[3].recording.facts.shift_remove("start");
    assert!(refused(&base, &new).contains("7 does not say when it was started"));
}

#[test]
fn of_nothing_pairs_are_tested_by_their_differences() {
    let [mut base, mut new] = interleaved(3, 1.0, 0.0);
    for (at, (base, new)) in base.iter_mut().zip(&mut new).enumerate() {
        let time = |named: &mut Named, time: f64| {
            named.recording.runs.iter_mut().map(Arc::make_mut).for_each(|run| {
                run.values.shift_remove("latency");
                run.values.insert("throttled_time".into(), time);
            });
        };
        time(base, 0.0);
        time(new, 1.0 + 0.1 * at as f64);
    }
    let options = Options { paired: true, ..Options::default() };
    let compared = compare(&base, &[new], &options).unwrap();
    let row = compared[0].rows.iter().find(|row| row.metric.name == "throttled_time").unwrap();
    assert_eq!((row.change, row.interval, row.verdict), (None, None, Some(Verdict::Worse)));
}

#[test]
fn few_or_noisy_runs_are_ambiguous() {
    assert_eq!(verdicts(&[1.0], &[1.05]), [Some(Verdict::Ambiguous); 2]);
    assert_eq!(verdicts(&[1.0, 1.2, 0.8], &[1.05, 1.3, 0.9]), [Some(Verdict::Ambiguous); 2]);
}

#[test]
fn from_nothing_to_something_is_called_without_a_share() {
    let throttled = |path: &str, values: &[f64]| {
        vec![named(path, &[], values.iter().map(|&time| run(&[("throttled_time", time)])).collect())]
    };
    let base = throttled("a", &[0.0; 5]);
    let compared = compare(&base, &[throttled("b", &[1.0, 1.1, 0.9, 1.0, 1.0])], &Options::default()).unwrap();
    let row = &compared[0].rows[1];
    assert_eq!((row.metric.name.as_str(), row.change, row.verdict), ("throttled_time", None, Some(Verdict::Worse)));
    assert!(row.regressed_beyond(0.5));
    let compared = compare(&base, std::slice::from_ref(&base), &Options::default()).unwrap();
    assert_eq!(compared[0].rows[1].verdict, Some(Verdict::Same));
}

#[test]
fn what_neither_way_is_better_has_no_verdict() {
    let compared = compare(&latencies("a", &QUIET), &[latencies("b", &QUIET)], &Options::default()).unwrap();
    let row = compared[0].rows.iter().find(|row| row.metric.name == "prompt_tokens").unwrap();
    assert_eq!((row.verdict, row.corrected), (None, None));
}

#[test]
fn correction_counts_every_side_that_was_asked_about() {
    let base = latencies("a", &QUIET);
    let new = || latencies("b", &scaled(1.002));
    let corrected =
        |sides: &[Vec<Named>]| compare(&base, sides, &Options::default()).unwrap()[0].rows[0].corrected.unwrap();
    assert!(corrected(&[new(), new(), new()]) > corrected(&[new()]));
}

#[test]
fn other_work_is_refused_unless_forced() {
    let side = |path: &str, batch: &str, driver: &str| {
        let facts =
            [("plugin.name", "default"), ("setting.batch", batch), ("setting.runs", path), ("driver.version", driver)];
        vec![named(path, &facts, QUIET.iter().map(|&latency| run(&[("latency", latency)])).collect())]
    };
    let (base, new) = (side("a", "1", "580"), side("b", "8", "580"));
    let error = compare(&base, std::slice::from_ref(&new), &Options::default()).unwrap_err();
    let Incomparable::OtherWork { differences, .. } = &error else { panic!("{error}") };
    let batch = Difference { fact: "setting.batch".into(), base: Some("1".into()), new: Some("8".into()) };
    assert_eq!(differences, std::slice::from_ref(&batch));
    assert!(error.to_string().contains("  setting.batch: '8' here, '1' in the base\n"), "{error}");
    let forced = compare(&base, &[new], &Options { force: true, ..Options::default() }).unwrap();
    assert_eq!(forced[0].other_work, [batch]);
    let driver = compare(&base, &[side("b", "1", "590")], &Options::default()).unwrap();
    let facts: Vec<&str> = driver[0].facts.iter().map(|difference| difference.fact.as_str()).collect();
    assert_eq!(facts, ["driver.version"]);
}

#[test]
fn recordings_of_a_side_are_pooled_by_run_and_must_have_done_the_same() {
    let mut base = latencies("a", &QUIET[..3]);
    base.extend(latencies("b", &QUIET[3..]));
    let compared = compare(&base, &[latencies("c", &scaled(1.1))], &Options::default()).unwrap();
    assert_eq!(compared[0].rows[0].base.runs, 6);
    base.push(named("d", &[("setting.batch", "2")], vec![run(&[("latency", 1.0)])]));
    assert!(matches!(
        compare(&base, &[latencies("c", &QUIET)], &Options::default()),
        Err(Incomparable::OtherWork { path, .. }) if path == Path::new("d")
    ));
}

#[test]
fn a_recording_is_not_counted_twice() {
    let twice = [latencies("a", &QUIET), latencies("copy", &QUIET)].concat();
    let error = compare(&latencies("c", &scaled(1.1)), &[twice], &Options::default()).unwrap_err();
    assert_eq!(error, Incomparable::Twice { path: "a".into(), again: "copy".into() });
}

#[test]
fn runs_of_different_work_are_not_pooled() {
    let of = |tokens: f64, latency: f64| {
        let mut run = run(&[("latency", latency)]);
        run.values.insert("prompt_tokens".into(), tokens);
        run
    };
    let side = |path: &str, factor: f64| {
        let runs = [1.0, 1.001, 0.999].map(|latency| [of(10.0, latency * factor), of(1000.0, 9.0 * latency)]);
        vec![named(path, &[], runs.into_iter().flatten().collect())]
    };
    let compared = compare(&side("a", 1.0), &[side("b", 1.2)], &Options::default()).unwrap();
    let rows: Vec<_> = compared[0].rows.iter().filter(|row| row.metric.name == "latency").collect();
    let seen: Vec<_> = rows.iter().map(|row| (row.work.unwrap().prompt, row.verdict.unwrap())).collect();
    assert_eq!(seen, [(1.0, Verdict::Worse), (100.0, Verdict::Same)]);
    // The base has a kind that the other side has not.
    assert!(matches!(
        compare(&side("a", 1.0), &[latencies("b", &QUIET)], &Options::default()),
        Err(Incomparable::OtherWork { .. })
    ));
    // One that was ended before it came to a kind is no pass, and says why.
    let mut early = side("b", 1.2);
    early[0].recording.runs.truncate(1);
    early[0].recording.status = Status::Interrupted;
    let error = compare(&side("a", 1.0), std::slice::from_ref(&early), &Options::default()).unwrap_err();
    let kinds =
        "  runs: 'prompt 1, batch 1, 10 iterations (interrupted)' here, 'prompt 1, batch 1, 10 iterations; prompt 100";
    assert!(error.to_string().contains(kinds), "{error}");
    let forced = compare(&side("a", 1.0), &[early], &Options { force: true, ..Options::default() }).unwrap();
    assert!(forced[0].rows.iter().all(|row| row.work.unwrap().prompt == 1.0), "{:?}", forced[0].rows);
}

#[test]
fn unlike_conditions_are_told_with_who_has_them() {
    let of = |driver: Option<&str>, batch: &str, check: &str| {
        let mut facts = vec![("setting.batch", batch), ("check.load", check), ("gpu.name", "H100"), ("start", batch)];
        facts.extend([("setting.stop", batch), ("roofline.method", batch), ("memory.total", batch)]);
        facts.extend(driver.map(|driver| ("driver.version", driver)));
        named("x", &facts, Vec::new()).recording
    };
    let all = [of(Some("580"), "1", "low"), of(None, "2", "high"), of(Some("580"), "4", "low")];
    let values = vec![(Some("580".into()), vec![0, 2]), (None, vec![1])];
    assert_eq!(unlike(all.iter()), [Unlike { fact: "driver.version".into(), values }]);
    assert!(unlike(all[..1].iter()).is_empty() && unlike([].iter()).is_empty());
}

#[test]
fn a_time_limit_makes_no_other_work_but_sums_are_not_compared() {
    let side = |path: &str, factor: f64, served: u32| {
        let runs = QUIET.map(|latency| {
            let mut run = run(&[("latency", latency * factor), ("energy", 30.0), ("energy_per_token", factor)]);
            run.iterations = served;
            run.asked = (served < 10).then_some(10);
            run.time_limit = Some(1.0);
            run.values.insert("prompt_tokens".into(), 19.0 * f64::from(served));
            run
        });
        vec![named(path, &[("setting.seconds", "1")], runs.into())]
    };
    let (whole, cut, shorter) = (side("a", 1.0, 10), side("b", 1.2, 7), side("c", 1.4, 5));
    for (base, new) in [(&whole, &cut), (&cut, &shorter)] {
        let compared = compare(base, std::slice::from_ref(new), &Options::default()).unwrap();
        let rows: Vec<_> = compared[0].rows.iter().map(|row| (row.metric.name.as_str(), row.verdict)).collect();
        assert_eq!(rows, [("latency", Some(Verdict::Worse)), ("energy_per_token", Some(Verdict::Worse))]);
        let not: Vec<&str> = compared[0].uncompared.iter().map(|metric| metric.metric.as_str()).collect();
        assert_eq!(not, ["prompt_tokens", "energy"]);
    }
    let energy = Options { metrics: vec!["energy".into()], ..Options::default() };
    let error = compare(&whole, std::slice::from_ref(&cut), &energy).unwrap_err();
    assert!(error.to_string().ends_with("in b a time limit ended runs before all iterations"), "{error}");
    let compared = compare(&whole, std::slice::from_ref(&whole), &energy).unwrap();
    assert_eq!(compared[0].rows[0].verdict, Some(Verdict::Same));
}

#[test]
fn what_is_asked_for_must_be_there() {
    let asked = |name: &str| Options { metrics: vec![name.into()], ..Options::default() };
    let base = latencies("a", &QUIET);
    assert!(matches!(
        compare(&base, std::slice::from_ref(&base), &asked("speed")),
        Err(Incomparable::UnknownMetric { .. })
    ));
    let mut new = latencies("b", &QUIET);
    new[0].recording.runs.iter_mut().map(Arc::make_mut).for_each(|run| {
        run.values.shift_remove("throughput");
        run.absent.insert("throughput".into(), "the clock stood still".into());
    });
    let error = compare(&base, std::slice::from_ref(&new), &asked("throughput")).unwrap_err();
    assert_eq!(error.to_string(), "throughput can't be compared: b does not have it: the clock stood still");
    let compared = compare(&base, &[new], &Options::default()).unwrap();
    assert_eq!(compared[0].uncompared[0].metric, "throughput");
}

#[test]
fn a_recording_without_runs_is_no_side() {
    let empty = vec![named("b", &[], Vec::new())];
    assert!(matches!(
        compare(&latencies("a", &QUIET), &[empty], &Options::default()),
        Err(Incomparable::NoRuns { .. })
    ));
}

#[test]
fn a_verdict_is_of_the_change_its_certainty_and_its_reach() {
    let figure = |mean: f64| Figure { mean, interval: None, spread: None, runs: 5 };
    let of =
        |metric: &str, base: f64, new: f64, change: Option<f64>, corrected: Option<f64>, reach: Option<(f64, f64)>| {
            let row = Row {
                metric: metric::definition(metric).unwrap().metric(),
                work: None,
                base: figure(base),
                new: figure(new),
                change,
                interval: reach.map(|(low, high)| Interval { low, high }),
                p: corrected,
                corrected,
                precision: None,
                detectable: None,
                verdict: None,
            };
            verdict::verdict(&row, 0.01)
        };
    let latency = |change: f64, corrected: f64, low: f64, high: f64| {
        of("latency", 2.0, 2.0 * (1.0 + change), Some(change), Some(corrected), Some((low, high)))
    };
    // Called is what is certain enough and over the threshold.
    assert_eq!(latency(0.02, 0.05, 0.001, 0.04), Verdict::Worse);
    assert_eq!(latency(-0.02, 0.05, -0.04, -0.001), Verdict::Better);
    assert_eq!(latency(0.02, 0.051, 0.001, 0.04), Verdict::Ambiguous);
    assert_eq!(latency(0.01, 0.0, 0.009, 0.011), Verdict::Ambiguous);
    // The same is what is within the threshold from end to end, its borders included.
    for (low, high, verdict) in [
        (-0.01, 0.01, Verdict::Same),
        (0.002, 0.008, Verdict::Same),
        (-0.011, 0.005, Verdict::Ambiguous),
        (-0.005, 0.011, Verdict::Ambiguous),
    ] {
        assert_eq!(latency(0.0, 0.9, low, high), verdict, "{low}..{high}");
        assert_eq!(latency(0.005, 0.001, low, high), verdict, "{low}..{high}");
    }
    // More is better of a rate.
    assert_eq!(of("throughput", 2.0, 2.2, Some(0.1), Some(0.01), None), Verdict::Better);
    assert_eq!(of("throughput", 2.0, 1.8, Some(-0.1), Some(0.01), None), Verdict::Worse);
    // A mean under 0 that goes further down gives a share over 0.
    assert_eq!(of("latency", -2.0, -2.2, Some(0.1), Some(0.01), None), Verdict::Better);
    assert_eq!(of("latency", -2.0, -1.8, Some(-0.1), Some(0.01), None), Verdict::Worse);
    // Of nothing there is no share.
    assert_eq!(of("latency", 0.0, 0.001, None, Some(0.01), None), Verdict::Worse);
    assert_eq!(of("throughput", 0.0, 0.001, None, Some(0.01), None), Verdict::Better);
    assert_eq!(of("latency", 0.0, 0.001, None, Some(0.1), None), Verdict::Ambiguous);
    for (base, new, corrected, verdict) in [
        (0.0, 0.0, 1.0, Verdict::Same),
        (0.0, 0.0, 0.9, Verdict::Ambiguous),
        (0.0, 0.0, 0.01, Verdict::Ambiguous),
        (0.0, 1.0, 1.0, Verdict::Ambiguous),
        (1.0, 0.0, 1.0, Verdict::Ambiguous),
    ] {
        assert_eq!(of("latency", base, new, None, Some(corrected), None), verdict, "{base} to {new} at {corrected}");
    }
    assert_eq!(of("latency", 2.0, 3.0, Some(0.5), None, Some((0.4, 0.6))), Verdict::Ambiguous);
    let all = [Verdict::Better, Verdict::Worse, Verdict::Same, Verdict::Ambiguous];
    assert_eq!(all.map(Verdict::as_str), ["better", "worse", "same", "ambiguous"]);
}

#[test]
fn a_regression_is_worse_by_more_than_the_limit() {
    let compared = compare(&latencies("a", &QUIET), &[latencies("b", &scaled(1.05))], &Options::default()).unwrap();
    let of = |verdict: Verdict, change: Option<f64>| {
        let row = Row { verdict: Some(verdict), change, ..compared[0].rows[0].clone() };
        [0.04, 0.05, 0.06].map(|limit| row.regressed_beyond(limit))
    };
    assert_eq!(of(Verdict::Worse, Some(0.05)), [true, false, false]);
    assert_eq!(of(Verdict::Worse, Some(-0.05)), [true, false, false]);
    assert_eq!(of(Verdict::Worse, None), [true; 3]);
    for verdict in [Verdict::Better, Verdict::Same, Verdict::Ambiguous] {
        assert_eq!((of(verdict, Some(0.5)), of(verdict, None)), ([false; 3], [false; 3]));
    }
}

#[test]
fn complete_is_what_returned_its_summary() {
    let [mut named] = latencies("a", &QUIET).try_into().unwrap();
    assert!(named.is_complete());
    for status in [Status::Unfinished, Status::Interrupted, Status::Stopped, Status::Failed] {
        named.recording.status = status;
        assert!(!named.is_complete());
    }
}

#[test]
fn a_change_lies_in_its_interval_whatever_the_unit() {
    let rows = |unit: f64| {
        let of = |factor: f64| QUIET.map(|value| value * factor * unit);
        compare(&latencies("a", &of(1.0)), &[latencies("b", &of(1.1))], &Options::default()).unwrap().remove(0).rows
    };
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    for (row, other) in rows(1.0).iter().zip(&rows(1024.0)).filter(|(row, _)| row.metric.name != "prompt_tokens") {
        let (change, interval) = (row.change.unwrap(), row.interval.unwrap());
        let expected = if row.metric.name == "latency" { 0.1 } else { 1.0 / 1.1 - 1.0 };
        assert!((change - expected).abs() < 1e-3 && interval.contains(change), "{row:?}");
        assert!(expected - 0.005 < interval.low && interval.high < expected + 0.005, "{row:?}");
        assert!(near(change, other.change.unwrap()) && near(row.detectable.unwrap(), other.detectable.unwrap()));
        assert!(near(interval.low, other.interval.unwrap().low) && near(interval.high, other.interval.unwrap().high));
        assert_eq!((row.work, row.verdict), (None, Some(Verdict::Worse)));
    }
}

#[test]
fn what_is_on_one_side_alone_is_missing_and_not_cut() {
    let side = |path: &str, energy: Option<f64>, served: u32| {
        let runs = QUIET.map(|latency| {
            let mut run = run(&[("latency", latency)]);
            run.values.extend(energy.map(|energy| ("energy".to_owned(), energy)));
            (run.iterations, run.asked) = (served, (served < 10).then_some(10));
            run.values.insert("prompt_tokens".into(), 19.0 * f64::from(served));
            run
        });
        vec![named(path, &[], runs.into())]
    };
    for (base, new, path) in
        [(side("a", Some(30.0), 7), side("b", None, 10), "b"), (side("a", None, 7), side("b", Some(30.0), 10), "a")]
    {
        let compared = compare(&base, &[new], &Options::default()).unwrap();
        let told: Vec<_> = compared[0].uncompared.iter().map(|no| (no.metric.as_str(), no.reason.as_str())).collect();
        let cut = "it is a sum over a run, and in a a time limit ended runs before all iterations";
        let missing = format!("{path} does not have it: it was not recorded");
        assert_eq!(told, [("prompt_tokens", cut), ("energy", &missing)]);
    }
}

/// Pairs of a metric that may be 0 or less.
fn paired_values(metric: &str, base: &[f64; 4], new: &[f64; 4]) -> Row {
    let mut sides = interleaved(2, 1.0, 0.0);
    for (side, values) in sides.iter_mut().zip([base, new]) {
        for (named, value) in side.iter_mut().zip(values) {
            named.recording.runs.iter_mut().map(Arc::make_mut).for_each(|run| {
                run.values.shift_remove("latency");
                run.values.insert(metric.into(), *value);
            });
        }
    }
    let options = Options { paired: true, metrics: vec![metric.into()], ..Options::default() };
    compare(&sides[0], &[sides[1].clone()], &options).unwrap()[0].rows[0].clone()
}

#[test]
fn pairs_with_nothing_in_them_have_a_plain_change() {
    // To nothing: the share of the means is known, and no ratio.
    let row = paired_values("throttled_time", &[1.0, 1.1, 1.2, 1.1], &[0.0; 4]);
    assert_eq!(
        (row.change, row.interval, row.detectable, row.verdict),
        (Some(-1.0), None, None, Some(Verdict::Better))
    );
    // Of some of them less than nothing.
    let row = paired_values("host_overhead", &[-1.0, 3.0, 1.0, 1.0], &[0.0, 4.0, 2.0, 2.0]);
    assert_eq!((row.base.mean, row.new.mean, row.change, row.interval), (1.0, 2.0, Some(1.0), None));
    assert!(row.p.unwrap() < 1e-6, "each is more by 1: {row:?}");
    // Of all of them something: the geometric mean of the ratios.
    let row = paired_values("throttled_time", &[1.0, 1.0, 2.0, 2.0], &[2.0, 2.0, 16.0, 16.0]);
    assert!((row.change.unwrap() - 3.0).abs() < 1e-9, "{row:?}");
}

proptest! {
    #[test]
    fn any_figures_are_compared_without_panic(
        base in prop::collection::vec(any::<f64>(), 1..6), new in prop::collection::vec(any::<f64>(), 1..6)
    ) {
        let side = |path: &str, values: &[f64]| vec![named(path, &[], values.iter().map(|&v| run(&[("latency", v)])).collect())];
        let _ = compare(&side("a", &base), &[side("b", &new)], &Options::default());
    }

    #[test]
    fn verdicts_do_not_depend_on_the_unit_and_turn_with_the_sides(
        base in prop::collection::vec(0.9..1.1f64, 2..10), new in prop::collection::vec(0.9..1.1f64, 2..10)
    ) {
        let scaled = |values: &[f64]| values.iter().map(|value| value * 1024.0).collect::<Vec<_>>();
        let latency = |base: &[f64], new: &[f64]| verdicts(base, new)[1].unwrap();
        let verdict = latency(&base, &new);
        prop_assert_eq!(verdict, latency(&scaled(&base), &scaled(&new)));
        if verdict == Verdict::Worse {
            prop_assert!(latency(&new, &base) != Verdict::Worse && latency(&new, &base) != Verdict::Same);
        }
    }
}
