//! How a command fails: a message for the person, an exit code for the script.

use std::io::ErrorKind;

use harness_core::compare::Incomparable;
use harness_core::input::Fault;
use harness_core::recording::RecordingError;
use harness_core::text::visible_line;
use harness_engine::LoadError;
use harness_registry::RegistryError;
use harness_sandbox::PluginError;

use crate::advice::Advice;
use crate::log::tell_lines;

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
}

impl Failure {
    /// Of one line, whatever names there are in it. What has several is made as the variant.
    pub(crate) fn failed(message: impl ToString) -> Self {
        Self::Failed(visible_line(&message.to_string()).into_owned())
    }

    /// Of one line, too.
    pub(crate) fn usage(message: impl ToString) -> Self {
        Self::Usage(visible_line(&message.to_string()).into_owned())
    }

    /// Of a file that can't be written or read: a place that there isn't, or that one may not use, is the user's to change; a disk that is full or fails is not.
    pub(crate) fn of_place(kind: ErrorKind, message: impl ToString) -> Self {
        match kind {
            ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::AlreadyExists
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::ReadOnlyFilesystem => Self::usage(message),
            _ => Self::failed(message),
        }
    }

    /// Adds where the reader finds what was kept.
    pub(crate) fn and(self, more: &str) -> Self {
        self.said(|message| if more.is_empty() { message } else { format!("{message}\n{more}") })
    }

    /// Says first what failed.
    pub(crate) fn of(self, what: &str) -> Self {
        self.said(|message| format!("{}: {message}", visible_line(what)))
    }

    fn said(self, other: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Failed(message) => Self::Failed(other(message)),
            Self::Usage(message) => Self::Usage(other(message)),
            Self::Regression(message) => Self::Regression(other(message)),
            Self::Incomparable(message) => Self::Incomparable(other(message)),
            Self::Interrupted(message) => Self::Interrupted(other(message)),
        }
    }

    /// What it says.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Failed(message)
            | Self::Usage(message)
            | Self::Regression(message)
            | Self::Incomparable(message)
            | Self::Interrupted(message) => message,
        }
    }

    pub(crate) fn print(&self) {
        match self {
            Self::Failed(message) | Self::Usage(message) | Self::Incomparable(message) => {
                tell_lines(&format!("error: {message}"));
            }
            Self::Regression(message) => tell_lines(&format!("regression: {message}")),
            Self::Interrupted(message) => tell_lines(message),
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
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
        // A plugin's own message may have lines, which are indented.
        const LINE: &str = "\n  ";
        let message = error.to_string();
        let message = message.split(LINE).map(visible_line).collect::<Vec<_>>().join(LINE);
        if error.is_usage() { Self::Usage(message) } else { Self::Failed(message) }
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
            Incomparable::UnknownMetric { .. } | Incomparable::Twice { .. } => Self::usage(error.advised()),
            // With a line for each difference.
            Incomparable::OtherWork { .. } => Self::Incomparable(error.advised()),
            Incomparable::NoRuns { .. }
            | Incomparable::TooManyKinds { .. }
            | Incomparable::NotMeasured { .. }
            | Incomparable::Unequal { .. }
            | Incomparable::Unpaired { .. }
            | Incomparable::NothingInCommon { .. } => Self::Incomparable(visible_line(&error.advised()).into_owned()),
        }
    }
}

impl From<RecordingError> for Failure {
    fn from(error: RecordingError) -> Self {
        let told = error.advised();
        match error {
            RecordingError::Write { source, .. } | RecordingError::Read { source: Fault::System(source), .. } => {
                Self::of_place(source.kind(), told)
            }
            RecordingError::Full(_) => Self::failed(told),
            RecordingError::Exists { .. }
            | RecordingError::Complete { .. }
            | RecordingError::InUse { .. }
            | RecordingError::Read { .. }
            | RecordingError::Malformed { .. }
            | RecordingError::Schema { .. } => Self::usage(told),
        }
    }
}
