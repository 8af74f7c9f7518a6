//! A metric and its figure.

use std::borrow::Cow;

use crate::Direction;

/// What a figure is. The host's own are constants in [`metrics`](crate::metrics).
///
/// ```
/// use harness_plugin::{Direction, Metric};
///
/// const REQUEST_COST: Metric = Metric::new("request_cost", "J", "Energy of a request.", Direction::LowerIsBetter);
/// let reading = REQUEST_COST.reading(1.5);
/// assert_eq!(reading.value, 1.5);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Lower case, digits and `_`, starting with a letter; at most 64 characters.
    pub name: Cow<'static, str>,
    /// `s`, `B`, `J`, `W`, `Hz`, `Cel`, `1` (a ratio in 0..1), `1/s`, `tokens`, `tokens/s` …
    pub unit: Cow<'static, str>,
    /// One sentence.
    pub help: Cow<'static, str>,
    /// Which way is better.
    pub better: Direction,
    /// Whether a run's value averages sensor samples, so that it is worth what their number is worth.
    pub sampled: bool,
}

impl Metric {
    /// A metric of the plugin's own that does not come from a sensor.
    pub const fn new(name: &'static str, unit: &'static str, help: &'static str, better: Direction) -> Self {
        Self { name: Cow::Borrowed(name), unit: Cow::Borrowed(unit), help: Cow::Borrowed(help), better, sampled: false }
    }

    /// The same, its name made at run time.
    pub fn named(name: impl Into<String>, unit: &'static str, help: impl Into<String>, better: Direction) -> Self {
        let (name, help) = (Cow::Owned(name.into()), Cow::Owned(help.into()));
        Self { name, unit: Cow::Borrowed(unit), help, better, sampled: false }
    }

    /// The same, of sensor samples.
    #[must_use]
    pub const fn sampled(mut self) -> Self {
        self.sampled = true;
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The metric with its figure, in its unit.
    pub fn reading(&self, value: f64) -> Reading {
        Reading { metric: self.clone(), value }
    }
}

/// A metric with its figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What it is.
    pub metric: Metric,
    /// In the metric's unit.
    pub value: f64,
}
