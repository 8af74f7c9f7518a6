//! What is measured: `runs` runs of one request, served `iterations` times each.

use std::ops::Bound;

use harness_plugin::statistics::Steadiness;
use harness_plugin::{
    Description, Error, Host, Plan, Prompt, Reading, Request, Sampling, Setting, Settings, StopRule, Workload, overview,
};

use crate::Default;

const PROMPT: &str = "The history of computing is the story of people who were tired of doing arithmetic by hand, and";

impl Workload for Default {
    fn describe() -> Description {
        Description::new(
            "default",
            env!("CARGO_PKG_VERSION"),
            "The documented test: each metric of several runs of generate() calls, summed and divided by the number of runs.",
        )
        .setting(
            Setting::new("runs", "Measured runs that the averages are taken over; the most of them where 'stop' is a rule.", "10")
                .quick("2"),
        )
        .setting(Setting::new(
            "stop",
            "When to make no further run: fixed (never before 'runs'), a share such as 1% (when, after at least 8, the 95% interval of the \
             mean latency reaches no further than that to either side), or a time such as 60s (of warm-up and measuring, after at least 3).",
            "fixed",
        ))
        .setting(Setting::new("iterations", "Recorded generate() calls of a run.", "100").quick("5"))
        .setting(
            Setting::new(
                "warmup",
                "Calls before each run that are not recorded: a number; or auto, until the level of latency is steady by White's MSER, for \
                 at most 500 calls; or auto:N, for at most N.",
                "3",
            )
            .quick("1"),
        )
        .setting(Setting::new("prompt", "Text that each request starts from.", PROMPT))
        .setting(Setting::new(
            "prompt-tokens",
            "Length of a synthetic prompt in place of the text: that many tokens, drawn from the recording's seed.",
            "",
        ))
        .setting(Setting::new("max-new-tokens", "Tokens that a request generates.", "50"))
        .setting(Setting::new("batch", "Requests served together in one call.", "1"))
        .setting(Setting::new(
            "temperature",
            "Divides the logits before a token is drawn; empty takes the most likely token, and draws nothing.",
            "",
        ))
        .setting(Setting::new("top-k", "Draw from this many most likely tokens only; empty is all.", ""))
        .setting(Setting::new(
            "top-p",
            "Draw from the most likely tokens that together reach this probability; empty is all.",
            "",
        ))
        .setting(Setting::new("sampling-seed", "The same seed draws the same tokens.", "0"))
        .setting(Setting::new(
            "stop-at-end-of-text",
            "Let a request end early where the model says so: true or false.",
            "false",
        ))
    }

    fn run(host: &dyn Host, settings: &Settings) -> Result<Vec<Reading>, Error> {
        let runs = settings.within("runs", 1u32..)?;
        let iterations = settings.within("iterations", 1u32..)?;
        let warmup = Warmup::of(settings)?;
        let stop = StopRule::of(settings, "stop")?;
        if runs < stop.fewest_runs() {
            return Err(Error::setting(format!(
                "setting 'runs' is '{runs}', and must be {} or more where 'stop' is '{}'; set runs to the most that you have time for",
                stop.fewest_runs(),
                settings.text("stop")?
            )));
        }
        let batch = settings.within("batch", 1u32..)?;
        let requests = requests(settings, batch)?;

        let mut measured = Vec::new();
        for number in 1..=runs {
            let plan = Plan::new(format!("run {number}"), requests.clone()).iterations(iterations).batch(batch);
            let plan = match warmup {
                Warmup::Fixed(count) => plan.warmup(count),
                Warmup::Auto(most) => plan.warmup(0).warmup_until_steady(most),
            };
            measured.push(host.measure(&plan).map_err(Error::of_request)?);
            if stop.is_met(&measured) {
                break;
            }
        }
        Ok(overview::averages(&measured))
    }
}

/// Calls before each run that are not recorded.
#[derive(Clone, Copy)]
enum Warmup {
    Fixed(u32),
    /// Until latency is steady, and at most so many.
    Auto(u32),
}

impl Warmup {
    const MOST: u32 = 500;

    fn of(settings: &Settings) -> Result<Self, Error> {
        let text = settings.text("warmup")?;
        let warmup = match text.strip_prefix("auto") {
            None => text.parse().ok().map(Self::Fixed),
            Some("") => Some(Self::Auto(Self::MOST)),
            Some(rest) => rest
                .strip_prefix(':')
                .and_then(|most| most.parse().ok())
                .filter(|&most: &u32| most as usize >= Steadiness::FEWEST)
                .map(Self::Auto),
        };
        warmup.ok_or_else(|| {
            Error::setting(format!(
                "setting 'warmup' is '{text}', and must be a whole number from 0 to {}, 'auto', or 'auto:N' with an N of {} or more",
                u32::MAX,
                Steadiness::FEWEST
            ))
        })
    }
}

/// One request, or, where prompts are synthetic, one for each place of the batch, so that no two sequences of it are the same.
fn requests(settings: &Settings, batch: u32) -> Result<Vec<Request>, Error> {
    let max_new_tokens = settings.within("max-new-tokens", 1u32..)?;
    let stop = settings.get("stop-at-end-of-text")?;
    let sampling = sampling(settings)?;
    let (prompt, count) = match settings.optional("prompt-tokens", 1u32..)? {
        Some(length) => (Prompt::Synthetic(length), batch),
        None => (Prompt::Text(settings.text("prompt")?.to_owned()), 1),
    };
    let request = Request::new(prompt, max_new_tokens).stop_at_end_of_text(stop).sampling(sampling);
    Ok(vec![request; count as usize])
}

fn sampling(settings: &Settings) -> Result<Option<Sampling>, Error> {
    let over_zero = Bound::Excluded(0.0_f32);
    let temperature = settings.optional("temperature", (over_zero, Bound::Unbounded))?;
    let top_k = settings.optional("top-k", 1u32..)?;
    let top_p = settings.optional("top-p", (over_zero, Bound::Included(1.0)))?;
    let seed = settings.get("sampling-seed")?;
    let Some(temperature) = temperature else {
        if let Some(name) = top_k.map(|_| "top-k").or(top_p.map(|_| "top-p")) {
            return Err(Error::setting(format!(
                "setting '{name}' needs 'temperature', without which the most likely token is always taken; set temperature=1"
            )));
        }
        return Ok(None);
    };
    Ok(Some(Sampling { temperature, top_k, top_p, seed }))
}

#[cfg(test)]
mod tests {
    use harness_plugin::testing::{FakeHost, FakeRun, settings};
    use harness_plugin::{ModelError, metrics};

    use super::*;

    fn run(host: &FakeHost, given: &[(&str, &str)]) -> Result<Vec<Reading>, Error> {
        <Default as Workload>::run(host, &settings(&<Default as Workload>::describe(), given))
    }

    #[test]
    fn the_documented_test_is_the_default() {
        let host = FakeHost::new();
        run(&host, &[]).unwrap();
        let plans = host.plans();
        assert_eq!(plans.len(), 10);
        assert_eq!(plans[9].label, "run 10");
        assert!(plans.iter().all(|plan| (plan.iterations, plan.warmup, plan.batch) == (100, 3, 1)));
        assert_eq!(plans[0].requests, [Request::new(Prompt::Text(PROMPT.into()), 50)]);
    }

    #[test]
    fn each_metric_is_summed_and_divided_by_the_number_of_runs() {
        let host = FakeHost::new().answering(|plan| {
            let number: f64 = plan.label.trim_start_matches("run ").parse().unwrap();
            let run = FakeRun::new(&plan.label).value(&metrics::LATENCY, number);
            Ok(if number == 2.0 { run } else { run.value(&metrics::POWER, 300.0) })
        });
        // Power is missing in one run, so there is no average of all of them.
        assert_eq!(run(&host, &[("runs", "4")]).unwrap(), [metrics::LATENCY.reading(2.5)]);
    }

    #[test]
    fn settings_reach_the_plan() {
        let host = FakeHost::new();
        let given = [("runs", "1"), ("prompt-tokens", "64"), ("batch", "3"), ("temperature", "0.8"), ("top-k", "40")];
        run(&host, &given).unwrap();
        let requests = &host.plans()[0].requests;
        assert_eq!(requests.len(), 3);
        assert_eq!(requests[0].prompt, Prompt::Synthetic(64));
        let sampling = Sampling { temperature: 0.8, top_k: Some(40), top_p: None, seed: 0 };
        assert_eq!(requests[0].sampling, Some(sampling));
    }

    #[test]
    fn warm_up_goes_on_until_steady_where_that_is_asked_for() {
        let warmup = |value: &str| {
            let host = FakeHost::new();
            run(&host, &[("runs", "1"), ("warmup", value)]).unwrap();
            (host.plans()[0].warmup, host.plans()[0].warmup_until_steady)
        };
        assert_eq!([warmup("7"), warmup("auto"), warmup("auto:50")], [(7, None), (0, Some(500)), (0, Some(50))]);
    }

    #[test]
    fn a_rule_stops_it_between_runs() {
        let made = |answer: fn(f64) -> f64, given: &[(&str, &str)]| {
            let host = FakeHost::new().answering(move |plan| {
                let number: f64 = plan.label.trim_start_matches("run ").parse().unwrap();
                Ok(FakeRun::new(&plan.label).value(&metrics::LATENCY, answer(number)))
            });
            run(&host, given).unwrap();
            host.plans().len()
        };
        let alternating = |number: f64| 1.0 + 0.02 * (number % 2.0);
        assert_eq!(made(alternating, &[]), 10);
        assert_eq!(made(|_| 1.0, &[("stop", "1%")]), 8);
        // ± 0.9 % of eight.
        let needed = made(alternating, &[("stop", "1%"), ("runs", "100")]);
        assert!((8..=10).contains(&needed), "{needed}");
        assert_eq!(made(alternating, &[("stop", "0.01%"), ("runs", "20")]), 20);
        // A run of the fake host takes 10 s, and its warm-up 0.3 s.
        let timed = FakeHost::new();
        run(&timed, &[("stop", "35s")]).unwrap();
        assert_eq!(timed.plans().len(), 4);
    }

    #[test]
    fn what_can_not_be_served_is_said() {
        let message = |given: &[(&str, &str)]| run(&FakeHost::new(), given).unwrap_err().message().to_owned();
        assert_eq!(message(&[("runs", "0")]), "setting 'runs' is '0', and must be a whole number from 1 to 4294967295");
        assert!(message(&[("warmup", "auto:9")]).ends_with("'auto', or 'auto:N' with an N of 14 or more"));
        assert!(message(&[("warmup", "-1")]).starts_with("setting 'warmup' is '-1', and must be a whole number"));
        assert!(message(&[("stop", "soon")]).starts_with("setting 'stop' is 'soon', and must be 'fixed', a share"));
        assert!(message(&[("stop", "1%"), ("runs", "7")]).starts_with("setting 'runs' is '7', and must be 8 or more"));
        assert!(message(&[("stop", "60s"), ("runs", "2")]).starts_with("setting 'runs' is '2', and must be 3 or more"));
        assert!(message(&[("top-p", "0.9")]).starts_with("setting 'top-p' needs 'temperature'"));
        assert!(message(&[("temperature", "0")]).ends_with("must be a number, over 0"));
        let stopped =
            FakeHost::new().answering(|_| Err(ModelError::Stopped("the time limit of 1 s was reached".into())));
        assert_eq!(run(&stopped, &[]).unwrap_err().message(), "the time limit of 1 s was reached");
    }
}
