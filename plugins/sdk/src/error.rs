//! Why a plugin or the host could not go on.

use std::fmt::{self, Display};

use crate::bindings::harness::plugin::common::Failure;
use crate::bindings::harness::plugin::model::Error as HostError;

/// Why a plugin could not go on; the user reads its message.
///
/// `?` makes one from anything that can be displayed: a string, a [`ModelError`], an error of a library. Say what is wrong, where, and
/// what to do.
pub struct Error(Failure);

impl Error {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Failure::Other(message.into()))
    }

    /// A setting's value can't be used; the message names the setting and says what is expected. [`Settings`](crate::Settings) makes
    /// these by itself.
    pub fn setting(message: impl Into<String>) -> Self {
        Self(Failure::Setting(message.into()))
    }

    /// Why a request was not served, for a plugin whose requests are the user's settings as they are: one that no model can
    /// serve, or that does not fit the context, is then the fault of a setting.
    pub fn of_request(error: ModelError) -> Self {
        match error {
            ModelError::Invalid(_) | ModelError::TooLong(_) => Self::setting(error.to_string()),
            _ => Self::new(error.to_string()),
        }
    }

    /// What the user reads.
    pub fn message(&self) -> &str {
        match &self.0 {
            Failure::Setting(message) | Failure::Other(message) => message,
        }
    }

    /// Whether a setting's value is what is wrong.
    pub fn is_of_a_setting(&self) -> bool {
        matches!(self.0, Failure::Setting(_))
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn into_failure(self) -> Failure {
        self.0
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

// `Error` is not `Display` itself: this would then collide with `From<Error> for Error`.
impl<E: Display> From<E> for Error {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

/// Why the host did not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelError {
    /// No model can serve the request or plan; says which part and why.
    Invalid(String),
    /// Prompt and new tokens do not fit the context.
    TooLong(String),
    /// The device has too little memory; says how much was needed and free.
    OutOfMemory(String),
    /// The device failed; nothing more can be measured in this invocation.
    DeviceLost(String),
    /// The user, a time limit or a work budget ended it; return from `run` soon.
    Stopped(String),
}

impl Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(what) | Self::TooLong(what) | Self::Stopped(what) => f.write_str(what),
            Self::OutOfMemory(what) => write!(f, "out of memory: {what}"),
            Self::DeviceLost(what) => write!(f, "the device failed: {what}"),
        }
    }
}

impl std::error::Error for ModelError {}

impl From<HostError> for ModelError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Invalid(what) => Self::Invalid(what),
            HostError::TooLong(what) => Self::TooLong(what),
            HostError::OutOfMemory(what) => Self::OutOfMemory(what),
            HostError::DeviceLost(what) => Self::DeviceLost(what),
            HostError::Stopped(what) => Self::Stopped(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_mark_makes_an_error_of_anything_displayed() {
        fn text() -> Result<(), Error> {
            Err("a text")?
        }
        fn library() -> Result<u32, Error> {
            Ok("x".parse::<u32>()?)
        }
        fn host() -> Result<(), Error> {
            Err(ModelError::OutOfMemory("needs 3 GiB".into()))?
        }
        assert_eq!(text().unwrap_err().message(), "a text");
        assert_eq!(library().unwrap_err().message(), "invalid digit found in string");
        assert_eq!(host().unwrap_err().message(), "out of memory: needs 3 GiB");
    }
}
