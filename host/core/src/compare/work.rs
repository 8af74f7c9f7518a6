//! What recordings did, and where: only the same work can be compared, and what else differs is listed.

use std::collections::BTreeSet;
use std::fmt;

use indexmap::IndexSet;
use std::path::PathBuf;

use super::error::{Difference, Incomparable, MAX_KINDS};
use super::side::Named;
use crate::fact::{self, Class};
use crate::metric::name;
use crate::recording::{Facts, Recording, Status};
use crate::run::Run;

/// A fact that recordings do not share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlike {
    /// Its name, such as `driver.version`.
    pub fact: String,
    /// Its values in the order in which they come, none where there is none, each with the places of the recordings that have it.
    pub values: Vec<(Option<String>, Vec<usize>)>,
}

/// What differs between recordings of machine, driver, model and harness, but for settings, and for what was found or read at
/// the time.
pub fn unlike<'a>(recordings: impl Iterator<Item = &'a Recording> + Clone) -> Vec<Unlike> {
    let names: BTreeSet<&str> =
        recordings.clone().flat_map(|recording| recording.facts.keys()).map(String::as_str).collect();
    let wanted = |name: &&str| fact::class(name) == Class::Condition;
    let of = |name: &str| {
        let mut values: Vec<(Option<String>, Vec<usize>)> = Vec::new();
        for (place, recording) in recordings.clone().enumerate() {
            let value = recording.facts.get(name).cloned();
            match values.iter_mut().find(|(other, _)| *other == value) {
                Some((_, places)) => places.push(place),
                None => values.push((value, vec![place])),
            }
        }
        Unlike { fact: name.to_owned(), values }
    };
    names.into_iter().filter(wanted).map(of).filter(|unlike| unlike.values.len() > 1).collect()
}

/// What a run was to serve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Requests served together.
    pub batch: u32,
    /// How often, also where a time limit ended the run before.
    pub iterations: u32,
    /// Prompt tokens of a request that was served, on average.
    pub prompt: f64,
}

impl Work {
    /// Of a run. A time limit ends it after as many iterations as the machine is fast: that is no other work.
    pub(crate) fn of(run: &Run) -> Self {
        let requests = f64::from(run.batch) * f64::from(run.iterations);
        let prompt = run.values.get(name::prompt_tokens).copied().unwrap_or_default() / requests.max(1.0);
        Self { batch: run.batch, iterations: run.asked.unwrap_or(run.iterations), prompt }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "prompt {}, batch {}, {} iterations", self.prompt, self.batch, self.iterations)
    }
}

fn is_work(fact: &str) -> bool {
    fact::class(fact) == Class::Work
}

/// Whether it says under which conditions something was measured.
fn is_condition(fact: &str) -> bool {
    matches!(fact::class(fact), Class::Condition | Class::Momentary)
}

/// What changed between two invocations of one test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// What is run: where any of it differs, the runs of one are none of the other.
    pub work: Vec<Difference>,
    /// Under which conditions.
    pub conditions: Vec<Difference>,
}

/// Facts that must be the same where runs of two invocations are put into one recording, beside settings and the work.
const SAME: &[&str] =
    &["seed", "plugin.sha256", "model.backend", "model.device", "model.dtype", "model.weights", "model.token_times"];

/// What changed since a recording was begun.
pub fn changed(before: &Facts, now: &Facts) -> Changed {
    let mut changed = Changed::default();
    let names: IndexSet<&String> = before.keys().chain(now.keys()).collect();
    for name in names.into_iter().filter(|name| before.get(*name) != now.get(*name)) {
        let difference =
            Difference { fact: name.clone(), base: before.get(name).cloned(), new: now.get(name).cloned() };
        let class = fact::class(name);
        if class == Class::Work || name.starts_with(fact::SETTING) || SAME.contains(&name.as_str()) {
            changed.work.push(difference);
        } else if class == Class::Condition {
            changed.conditions.push(difference);
        }
    }
    changed
}

/// What differs of the work between the base's first recording and any other, or an error unless that is forced.
pub(super) fn check(base: &[Named], new: &[Named], force: bool) -> Result<Vec<Difference>, Incomparable> {
    let Some((first, rest)) = base.split_first() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for other in rest.iter().chain(new) {
        let pair = (std::slice::from_ref(first), std::slice::from_ref(other));
        let mut differences = differing(pair.0, pair.1, is_work);
        let (base_kinds, new_kinds) = (works(pair.0), works(pair.1));
        // Where a setting says it, the runs need not say it again. One that was ended early may not have come to all kinds: a gate
        // must not pass for that, and neither for runs that have no others to be compared with.
        let whole = |kinds: &[Work], of: &[Work]| of.iter().all(|work| kinds.contains(work));
        let base_is_whole = first.recording.status == Status::Complete;
        if differences.is_empty()
            && !(whole(&new_kinds, &base_kinds) && (!base_is_whole || whole(&base_kinds, &new_kinds)))
        {
            let list = |works: &[Work], named: &Named| {
                let works = works.iter().map(Work::to_string).collect::<Vec<_>>().join("; ");
                match named.recording.status {
                    Status::Complete => works,
                    early => format!("{works} ({})", early.as_str()),
                }
            };
            let (base, new) = (Some(list(&base_kinds, first)), Some(list(&new_kinds, other)));
            differences.push(Difference { fact: "runs".into(), base, new });
        }
        if !differences.is_empty() && !force {
            return Err(Incomparable::OtherWork { base: first.path.clone(), path: other.path.clone(), differences });
        }
        for difference in differences {
            if !found.contains(&difference) {
                found.push(difference);
            }
        }
    }
    Ok(found)
}

/// What else differs.
pub(super) fn facts(base: &[Named], new: &[Named]) -> Vec<Difference> {
    differing(base, new, is_condition)
}

fn differing(base: &[Named], new: &[Named], wanted: impl Fn(&str) -> bool) -> Vec<Difference> {
    let mut names: Vec<&str> = Vec::new();
    for name in base.iter().chain(new).flat_map(|named| named.recording.facts.keys()) {
        if wanted(name) && !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let of = |name: &str| Difference { fact: name.to_owned(), base: values(base, name), new: values(new, name) };
    names.into_iter().map(of).filter(|difference| difference.base != difference.new).collect()
}

fn values(side: &[Named], fact: &str) -> Option<String> {
    let mut values: Vec<&str> = Vec::new();
    for value in side.iter().filter_map(|named| named.recording.facts.get(fact)) {
        if !values.contains(&value.as_str()) {
            values.push(value);
        }
    }
    (!values.is_empty()).then(|| values.join("; "))
}

/// Kinds of runs, in the order in which they come.
fn works(side: &[Named]) -> Vec<Work> {
    let mut works: Vec<Work> = Vec::new();
    for work in side.iter().flat_map(|named| &named.recording.runs).map(|run| Work::of(run)) {
        if !works.contains(&work) {
            works.push(work);
        }
    }
    works
}

/// Whether a recording has runs of more kinds than are compared.
pub(super) fn has_too_many_kinds(named: &Named) -> bool {
    let mut works: Vec<Work> = Vec::new();
    named.recording.runs.iter().any(|run| {
        let work = Work::of(run);
        if !works.contains(&work) {
            works.push(work);
        }
        works.len() > MAX_KINDS
    })
}

/// Runs to be compared with each other.
pub(super) struct Kind {
    /// None takes all of them.
    pub(super) work: Option<Work>,
}

impl Kind {
    /// A metric of each run of the kind.
    pub(super) fn values(&self, side: &[Named], metric: &str) -> Vec<f64> {
        self.runs(side).filter_map(|run| run.values.get(metric).copied()).collect()
    }

    /// The first recording of a side in which a time limit ended a run of the kind.
    pub(super) fn cut(&self, side: &[Named]) -> Option<PathBuf> {
        let cut = |named: &&Named| self.runs(std::slice::from_ref(*named)).any(|run| run.asked.is_some());
        side.iter().find(cut).map(|named| named.path.clone())
    }

    /// Runs of the kind.
    pub(super) fn count(&self, side: &[Named]) -> usize {
        self.runs(side).count()
    }

    fn runs<'a>(&self, side: &'a [Named]) -> impl Iterator<Item = &'a Run> {
        let wanted = self.work;
        side.iter()
            .flat_map(|named| named.recording.runs.iter().map(AsRef::as_ref))
            .filter(move |run| wanted.is_none_or(|work| Work::of(run) == work))
    }
}

/// Each kind of run that both sides have; all runs together where there is one kind a side.
pub(super) fn kinds(base: &[Named], new: &[Named]) -> Vec<Kind> {
    let (base, new) = (works(base), works(new));
    if base.len() <= 1 && new.len() <= 1 {
        return vec![Kind { work: None }];
    }
    base.into_iter().filter(|work| new.contains(work)).map(|work| Kind { work: Some(work) }).collect()
}
