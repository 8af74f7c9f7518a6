//! `harness compare`.

pub(super) mod cautions;
mod detectable;
mod forest;
mod gate;
mod interleave;
mod page;
mod show;
mod words;

use harness_core::compare::{Comparison, Named, Options, THRESHOLD, compare};
use harness_core::metric::Direction;
use harness_core::private;

use cautions::{repeated, warn};
use gate::Gate;
use show::Shown;
use words::percent;

use crate::args::{Compare, CompareFormat};
use crate::baselines::Baselines;
use crate::failure::Failure;
use crate::log::tell;
use crate::recordings::MAX_TOGETHER;
use crate::{Outcome, config, deliver, settings};

/// What is compared, and what was found.
struct Compared {
    base: Vec<Named>,
    news: Vec<Vec<Named>>,
    comparisons: Vec<Comparison>,
    threshold: f64,
    paired: bool,
    gate: Option<Gate>,
}

impl Compare {
    pub(crate) fn execute(self) -> Outcome {
        let Compared { base, news, comparisons, threshold, paired, gate } = match self.compared() {
            Ok(compared) => compared,
            Err(failure) => {
                // Other formats have no document to put it in.
                if self.fail_on_regression.is_some()
                    && matches!(self.format, CompareFormat::Table | CompareFormat::Markdown)
                {
                    deliver::line(&gate::not_compared(&failure))?;
                }
                return Err(failure);
            }
        };
        let decision = gate.map(|gate| gate.decide(&base, &news, &comparisons));
        news.iter().chain([&base]).filter_map(|side| repeated(side)).for_each(|said| tell(&format!("warning: {said}")));
        let shown = Shown {
            base: &base,
            news: &news,
            comparisons: &comparisons,
            threshold,
            paired,
            decision: decision.as_ref(),
        };
        deliver::line(&match self.format {
            CompareFormat::Table => shown.table(),
            CompareFormat::Markdown => shown.markdown(),
            CompareFormat::Json => shown.json(),
            CompareFormat::Html => shown.page(),
        })?;
        decision.map_or(Ok(()), |decision| decision.end(self.format))
    }

    fn compared(&self) -> Result<Compared, Failure> {
        let recordings = settings::recordings(&config::read(self.config.as_deref())?);
        let baselines = Baselines::new(&recordings);
        let limit = self.fail_on_regression;
        // A limit that no change reaches before it counts would never be one.
        if let (Some(limit), Some(threshold)) = (limit, self.threshold)
            && threshold > limit
        {
            return Err(Failure::usage(format!(
                "--threshold {0} % is over --fail-on-regression {1} %: a change that counts as none can't fail; leave --threshold out, or give at most {1}",
                percent(threshold),
                percent(limit)
            )));
        }
        if let Some(undirected) = self
            .metrics
            .iter()
            .find(|name| gate::direction(name) == Some(Direction::Neither))
            .filter(|_| limit.is_some())
        {
            return Err(Failure::usage(format!(
                "{undirected} can't fail a gate: neither more nor less of it is better; leave it out of --metric, or --fail-on-regression"
            )));
        }
        let gate = limit.map(|limit| Gate {
            limit,
            fail_on_inconclusive: self.fail_on_inconclusive,
            allow_incomplete: self.allow_incomplete,
        });
        let threshold = self.threshold.unwrap_or_else(|| limit.map_or(THRESHOLD, |limit| limit.min(THRESHOLD)));
        let paired = self.paired || !self.interleave.is_empty();
        let options = Options { metrics: self.metrics.clone(), threshold, force: self.force, paired };
        let (mut base, mut news) = match self.interleave.as_slice() {
            [a, b] => {
                let folder = recordings?.for_new()?;
                let (base, new) =
                    interleave::run(a, b, self.rounds, &folder, self.config.as_deref(), self.private, &options)?;
                (base, vec![new])
            }
            _ => self.read(&baselines)?,
        };
        if self.private {
            base.iter_mut().chain(news.iter_mut().flatten()).for_each(without_folders);
        }
        let weight: u64 = base.iter().chain(news.iter().flatten()).map(|named| named.recording.weight()).sum();
        if weight > MAX_TOGETHER {
            return Err(Failure::usage(format!(
                "these recordings take {weight} bytes of memory together, and {MAX_TOGETHER} are the most; compare fewer at once"
            )));
        }
        for named in base.iter().chain(news.iter().flatten()) {
            warn(named);
        }
        let own = |new: &&Named| base.iter().any(|base| base.recording.same(&new.recording));
        if let Some(new) = news.iter().flatten().find(own) {
            tell(&format!(
                "warning: {} is in the base, too: nothing is found between a recording and itself",
                new.path.display()
            ));
        }
        let comparisons = compare(&base, &news, &options)?;
        Ok(Compared { base, news, comparisons, threshold, paired, gate })
    }

    fn read(&self, baselines: &Baselines) -> Result<(Vec<Named>, Vec<Vec<Named>>), Failure> {
        let read = |sides: &[String]| sides.iter().map(|side| baselines.read(side)).collect::<Result<Vec<_>, _>>();
        match self.sides.split_first() {
            Some((base, news)) => {
                let base = vec![baselines.read(base)?];
                Ok((base, read(news)?.into_iter().map(|new| vec![new]).collect()))
            }
            None => Ok((read(&self.base)?, vec![read(&self.new)?])),
        }
    }
}

/// The recording without what is private, by its file's name.
fn without_folders(named: &mut Named) {
    let path = named.path.display().to_string();
    let name = private::last_component(&path);
    private::recording(&mut named.recording);
    named.recording.notes.iter_mut().for_each(|note| *note = note.replace(&path, &name));
    named.path = name.into();
}
