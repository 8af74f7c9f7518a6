//! What the host recorded.

use crate::{Absence, Ending, Extent, Metric, Reading};

/// One measured run: requests served back to back.
pub trait Run {
    /// As the plan named it.
    fn label(&self) -> String;
    /// How much it served, which is less than the plan asked for where its time limit ended it.
    fn extent(&self) -> Extent;
    /// Every metric that this run recorded, in the order in which the host lists them.
    fn metrics(&self) -> Vec<Metric>;
    /// The run's single figure for a metric, in the metric's unit; none when it was not recorded.
    fn value(&self, metric: &str) -> Option<f64>;
    /// A metric's samples, one an iteration, a token or a sensor reading; none when it has none.
    fn samples(&self, metric: &str) -> Option<Vec<f64>>;
    /// When each of these samples was taken, in seconds from the start of the run; none when they have no times.
    fn times(&self, metric: &str) -> Option<Vec<f64>>;
    /// Metrics that this run could not measure, and why.
    fn absences(&self) -> Vec<Absence>;
}

impl Extent {
    /// Whether the plan's time limit ended the run before all its iterations.
    pub fn was_cut(&self) -> bool {
        self.ending == Ending::TimeLimit
    }
}

/// A whole invocation: what ran where, each run, and the summary that the workload returned.
pub trait Recording {
    /// What is true of the machine, the model and the settings.
    fn facts(&self) -> Facts;
    /// In the order in which they were measured.
    fn runs(&self) -> Vec<Box<dyn Run>>;
    /// Empty when the workload did not end.
    fn summary(&self) -> Vec<Reading>;
}

/// What is true of the machine, the model and the settings, by names such as `gpu.name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(Vec<(String, String)>);

impl Facts {
    /// A fact's value; none when it is not known.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Names and values in the order in which they were recorded.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Names and values of the workload's settings.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter_map(|(name, value)| Some((name.strip_prefix("setting.")?, value)))
    }

    /// The seed of the model's weights, when they were drawn from one and not read from a checkpoint.
    pub fn synthetic_weights(&self) -> Option<&str> {
        self.get("model.weights")?.strip_prefix("synthetic:")
    }
}

impl FromIterator<(String, String)> for Facts {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(facts: I) -> Self {
        Self(facts.into_iter().collect())
    }
}
