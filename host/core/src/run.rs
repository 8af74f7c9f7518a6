//! What one measured run recorded.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::keyed;
use crate::vigil::Standstill;

/// Samples of one metric, in the order in which they were taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The samples, in the metric's unit.
    pub values: Vec<f64>,
    /// When each was taken, in seconds from the start of the run; empty when that was not noted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<f64>,
}

/// One measured run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// As the plan named it.
    pub label: String,
    /// [`Plan::digest`](crate::Plan::digest) of what was asked for; runs recorded by older versions don't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Measured iterations that were served.
    pub iterations: u32,
    /// Iterations that the plan asked for, where its time limit ended the run before them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<u32>,
    /// The plan's time limit in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<f64>,
    /// Iterations served first and not recorded.
    pub warmup: u32,
    /// Seconds that these took; runs recorded by older versions don't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_time: Option<f64>,
    /// Whether latency was found steady before warm-up met its limit, where it had no fixed number of iterations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_steady: Option<bool>,
    /// Requests an iteration served together.
    pub batch: u32,
    /// Time in which nothing ran, from before warm-up to after the last iteration; none where that was not seen, or was not watched for.
    #[serde(default, deserialize_with = "keyed::optional", skip_serializing_if = "Option::is_none")]
    pub standstill: Option<Standstill>,
    /// Seconds from the first measured iteration's start to the last one's end.
    pub wall_time: f64,
    /// The run's single figure for each metric.
    pub values: IndexMap<String, f64>,
    /// Samples of the metrics that have them.
    #[serde(deserialize_with = "keyed::map")]
    pub samples: IndexMap<String, Series>,
    /// Metrics that could not be measured, and why.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub absent: IndexMap<String, String>,
}
