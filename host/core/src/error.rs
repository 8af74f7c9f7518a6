//! Why the host did not serve or record: typed causes, without what a user of some program could do about them.

use std::time::Duration;

use crate::format::{count, plural};

/// Why a backend did not serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// This backend can't do what was asked.
    #[error("{0}")]
    Invalid(String),
    /// Says how much was needed.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// The device failed; nothing more can be served.
    #[error("the device failed: {0}")]
    DeviceLost(String),
}

/// Why the host did not serve or record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeasureError {
    /// The request or plan can't be served.
    #[error("{0}")]
    Invalid(String),
    /// Prompt and new tokens do not fit the context.
    #[error("{0}")]
    TooLong(String),
    /// The device has too little memory.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// The device failed; nothing more can be measured.
    #[error("the device failed: {0}")]
    DeviceLost(String),
    /// The user, a limit or the recording ended it.
    #[error(transparent)]
    Stopped(Stop),
}

/// What ended an invocation before its workload did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// The user.
    #[error("interrupted")]
    Interrupted,
    /// The limit on the invocation's wall time.
    #[error("the wall time of {} s for the whole recording is used up", .limit.as_secs_f64())]
    WallTime {
        /// How long it may take.
        limit: Duration,
    },
    /// The limit on iterations.
    #[error("it asked for more than {max} iterations in all ({served} were served and {asked} more were asked for)")]
    Iterations {
        /// Allowed in all.
        max: u64,
        /// So far.
        served: u64,
        /// In the request or plan that went over it.
        asked: u64,
    },
    /// The limit on runs.
    #[error("it asked for more than {}", plural(usize::try_from(*.max).unwrap_or(usize::MAX), "run"))]
    Runs {
        /// Allowed.
        max: u64,
    },
    /// The bound on samples, which the host holds in memory.
    #[error("a recording takes {max} samples in all, and this would have more")]
    Samples {
        /// Taken.
        max: u64,
    },
    /// The limit on the recording's bytes.
    #[error("with one more run the recording would have {} bytes, and it may have {}", count(*.bytes), count(*.max))]
    RecordingSize {
        /// With one more run.
        bytes: u64,
        /// Allowed.
        max: u64,
    },
    /// What a recording may have, so that it can be read again.
    #[error("with one more run the recording {over}")]
    RecordingExtent {
        /// Of what it would have too much, as the rest of a sentence.
        over: String,
    },
    /// A resumed workload asks for something else than what was recorded.
    #[error("run '{label}' is not what was recorded: the recording has '{recorded}' here, of another plan")]
    OtherPlan {
        /// Of the plan.
        label: String,
        /// Of the run.
        recorded: String,
    },
    /// A run could not be written.
    #[error("the recording can't be written, so nothing more is measured: {why}")]
    Unrecorded {
        /// Why.
        why: String,
    },
}

impl From<BackendError> for MeasureError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Invalid(message) => Self::Invalid(message),
            BackendError::OutOfMemory(message) => Self::OutOfMemory(message),
            BackendError::DeviceLost(message) => Self::DeviceLost(message),
        }
    }
}

impl From<Stop> for MeasureError {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

impl MeasureError {
    /// Names the run in which it happened, where the message would otherwise not say where.
    pub(crate) fn in_run(self, label: &str) -> Self {
        let named = |message: String| format!("run '{label}': {message}");
        match self {
            Self::Invalid(message) => Self::Invalid(named(message)),
            Self::TooLong(message) => Self::TooLong(named(message)),
            Self::OutOfMemory(message) => Self::OutOfMemory(named(message)),
            Self::DeviceLost(message) => Self::DeviceLost(named(message)),
            Self::Stopped(stop) => Self::Stopped(stop),
        }
    }
}
