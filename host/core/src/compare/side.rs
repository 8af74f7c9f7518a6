//! What is compared, and how.

use std::path::PathBuf;

use crate::recording::{Recording, Status};

/// The share of a metric below which a change counts for nothing, unless the user says otherwise.
pub const THRESHOLD: f64 = 0.01;

/// What is compared, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names of the metrics; empty takes every one that both sides have.
    pub metrics: Vec<String>,
    /// The share of the base's mean below which a change counts for nothing; 0 or more.
    pub threshold: f64,
    /// Compare also what did other work.
    pub force: bool,
    /// The recordings of both sides were made in pairs, one after the other: the first of each, the second of each, and so on.
    pub paired: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { metrics: Vec::new(), threshold: THRESHOLD, force: false, paired: false }
    }
}

/// A recording and what to call it.
#[derive(Clone, Debug)]
pub struct Named {
    /// Where it was read.
    pub path: PathBuf,
    /// What was read.
    pub recording: Recording,
}

impl Named {
    /// Whether it has all that was to be recorded.
    pub fn is_complete(&self) -> bool {
        self.recording.status == Status::Complete
    }
}
