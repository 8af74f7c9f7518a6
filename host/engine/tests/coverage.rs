//! Intervals hold the truth as often as they say, and `compare` errs no more than it says: on recordings of the simulated model,
//! whose distributions are known. Seeds are fixed, so the figures are the same each time, and are in docs/measurements.md.

#[path = "../examples/coverage.rs"]
mod coverage;

/// Of recordings and of pairs.
const NUMBER: u64 = 1000;

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    for metric in ["latency", "time_to_first_token", "inter_token_latency"] {
        let share = coverage::coverage(metric, NUMBER, 0.005);
        assert!((0.93..=0.97).contains(&share), "{metric}: {share}");
    }
}

#[test]
fn without_a_change_hardly_any_is_called() {
    // Without a threshold, so that it is the test on runs that holds.
    for spread in [0.003, 0.01] {
        let shares = coverage::pairs(NUMBER, spread, 1.0, 0.0);
        assert!(shares.any_change <= 0.05, "{spread}: {shares:?}");
        // A test that never calls anything would pass, too.
        assert!(shares.any_change > 0.0, "{spread}: {shares:?}");
    }
}

#[test]
fn a_change_of_three_percent_is_found_by_ten_runs() {
    for spread in [0.003, 0.01] {
        let shares = coverage::pairs(NUMBER, spread, 1.03, harness_core::compare::THRESHOLD);
        assert!(shares.latency_worse >= 0.9, "{spread}: {shares:?}");
    }
}

#[test]
fn pairs_made_in_turn_hold_whatever_drifts() {
    for drift in [0.0, 0.1] {
        let unchanged = coverage::interleaved(NUMBER, 0.003, 1.0, drift, true, 0.0);
        assert!(unchanged.any_change > 0.0 && unchanged.any_change <= 0.05, "{drift}: {unchanged:?}");
        let slower = coverage::interleaved(NUMBER, 0.003, 1.03, drift, true, harness_core::compare::THRESHOLD);
        assert!(slower.latency_worse >= 0.9, "{drift}: {slower:?}");
    }
    // Taken for independent, sides that drift by more than they differ tell nothing.
    let independent = coverage::interleaved(NUMBER, 0.003, 1.03, 0.1, false, harness_core::compare::THRESHOLD);
    assert!(independent.latency_worse < 0.5, "{independent:?}");
}

#[test]
fn an_interval_that_was_stopped_at_holds_nearly_as_often_as_it_says() {
    let shares = [0.003, 0.01, 0.02].map(|spread| coverage::stopped(NUMBER, spread, 0.01).coverage);
    assert!(shares.iter().all(|share| (0.93..=0.97).contains(share)), "{shares:?}");
}
