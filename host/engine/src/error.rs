//! Why a model could not be loaded.

use harness_core::BackendError;
use harness_core::text::visible_line;

/// Why a model could not be loaded: one paragraph that says what is wrong, where, and what to do. What others wrote in it is shown as what
/// it is, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The model, the device or an option can't be used as it was given.
    #[error("{}", visible_line(.0))]
    Unusable(String),
    /// The device has too little memory for the model.
    #[error("out of memory: {}", visible_line(.0))]
    OutOfMemory(String),
    /// The device failed while the model was loaded.
    #[error("the device failed: {}", visible_line(.0))]
    DeviceLost(String),
    /// The system gives this process too little of something.
    #[error("{}", visible_line(.0))]
    System(String),
}

impl LoadError {
    /// Whether another argument or another model would help; otherwise something failed on the way.
    pub fn is_unusable(&self) -> bool {
        matches!(self, Self::Unusable(_))
    }
}

impl From<BackendError> for LoadError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Invalid(message) => Self::Unusable(message),
            BackendError::OutOfMemory(message) => Self::OutOfMemory(message),
            BackendError::DeviceLost(message) => Self::DeviceLost(message),
        }
    }
}
