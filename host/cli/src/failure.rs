//! How a command fails: a message for the person, an exit code for the script.

use std::io::ErrorKind;

use harness_core::compare::Incomparable;
use harness_core::recording::RecordingError;
use harness_engine::LoadError;
use harness_registry::RegistryError;
use harness_sandbox::PluginError;

use crate::log::tell;

/// Why a command did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It ran and failed: exit code 1.
    Failed(String),
    /// Arguments, configuration, model or plugin can't be used: exit code 2.
    Usage(String),
    /// A comparison found a regression: exit code 3.
    Regression(String),
    /// Recordings can't be compared: exit code 4.
    Incomparable(String),
    /// The user ended it: exit code 130.
    Interrupted(String),
    /// Who reads our output has enough: exit code 0, no message.
    Closed,
}

impl Failure {
    pub(crate) fn failed(message: impl ToString) -> Self {
        Self::Failed(message.to_string())
    }

    pub(crate) fn usage(message: impl ToString) -> Self {
        Self::Usage(message.to_string())
    }

    /// Adds where the reader finds what was kept.
    pub(crate) fn and(self, more: &str) -> Self {
        let join = |message: String| if more.is_empty() { message } else { format!("{message}\n{more}") };
        match self {
            Self::Failed(message) => Self::Failed(join(message)),
            Self::Usage(message) => Self::Usage(join(message)),
            Self::Regression(message) => Self::Regression(join(message)),
            Self::Incomparable(message) => Self::Incomparable(join(message)),
            Self::Interrupted(message) => Self::Interrupted(join(message)),
            Self::Closed => Self::Closed,
        }
    }

    /// What it says, if anything.
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::Failed(message)
            | Self::Usage(message)
            | Self::Regression(message)
            | Self::Incomparable(message)
            | Self::Interrupted(message) => Some(message),
            Self::Closed => None,
        }
    }

    pub(crate) fn print(&self) {
        match self {
            Self::Failed(message) | Self::Usage(message) | Self::Incomparable(message) => {
                tell(&format!("error: {message}"));
            }
            Self::Regression(message) => tell(&format!("regression: {message}")),
            Self::Interrupted(message) => tell(message),
            Self::Closed => {}
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Regression(_) => 3,
            Self::Incomparable(_) => 4,
            Self::Interrupted(_) => 130,
        }
    }
}

impl From<PluginError> for Failure {
    fn from(error: PluginError) -> Self {
        if error.is_usage() { Self::usage(error) } else { Self::failed(error) }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        if error.is_usage() { Self::usage(error) } else { Self::failed(error) }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        if error.is_unusable() { Self::usage(error) } else { Self::failed(error) }
    }
}

impl From<Incomparable> for Failure {
    fn from(error: Incomparable) -> Self {
        match error {
            Incomparable::UnknownMetric { .. } | Incomparable::Twice { .. } => Self::usage(error),
            Incomparable::NoRuns { .. }
            | Incomparable::TooManyKinds { .. }
            | Incomparable::OtherWork { .. }
            | Incomparable::NotMeasured { .. }
            | Incomparable::Unequal { .. }
            | Incomparable::Unpaired { .. }
            | Incomparable::NothingInCommon { .. } => Self::Incomparable(error.to_string()),
        }
    }
}

impl From<RecordingError> for Failure {
    fn from(error: RecordingError) -> Self {
        match error {
            // A place that can't be written to is the user's to change; a disk that is full or fails is not.
            RecordingError::Write { ref source, .. } => match source.kind() {
                ErrorKind::NotFound
                | ErrorKind::PermissionDenied
                | ErrorKind::AlreadyExists
                | ErrorKind::NotADirectory
                | ErrorKind::IsADirectory
                | ErrorKind::ReadOnlyFilesystem => Self::usage(error),
                _ => Self::failed(error),
            },
            RecordingError::Full(_) => Self::failed(error),
            RecordingError::Exists { .. }
            | RecordingError::Read { .. }
            | RecordingError::Malformed { .. }
            | RecordingError::Schema { .. } => Self::usage(error),
        }
    }
}
