//! What to do about an error of core's, which knows no command lines.

use std::io::ErrorKind;

use harness_core::compare::Incomparable;
use harness_core::format::count;
use harness_core::recording::RecordingError;
use harness_core::{MeasureError, Recording, Stop};

/// What helps where a disk is full or a file may not be as large, and nowhere else.
pub(crate) fn freeing(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free space there, or ",
        ErrorKind::FileTooLarge => "raise or lift the limit on the size of files (ulimit -f), or ",
        _ if error.raw_os_error() == Some(libc::EMFILE) => "raise the limit on open files (ulimit -n), or ",
        _ => "",
    }
}

/// What can be done about an error, as what follows its text.
pub(crate) trait Advice {
    /// Nothing, where there is none.
    fn advice(&self) -> Option<String>;

    /// The error with it.
    fn advised(&self) -> String
    where
        Self: std::error::Error,
    {
        match self.advice() {
            Some(advice) => format!("{self}; {advice}"),
            None => self.to_string(),
        }
    }
}

impl Advice for Stop {
    fn advice(&self) -> Option<String> {
        let more = |flag: &str| Some(format!("allow more with {flag}"));
        match self {
            Self::WallTime { .. } => more("--max-time"),
            Self::Iterations { .. } => more("--max-iterations"),
            Self::Runs { .. } => more("--max-runs"),
            Self::Samples { .. } => Some("ask for fewer iterations or new tokens".into()),
            Self::RecordingSize { .. } => Some(format!(
                "allow more with --max-recording, up to {} bytes, or ask for fewer runs, iterations or new tokens",
                count(Recording::MAX_BYTES)
            )),
            Self::RecordingExtent { .. } => Some("ask for fewer runs, iterations or new tokens".into()),
            Self::OtherPlan { .. } => Some("give the settings that it was recorded with, or record anew".into()),
            Self::Interrupted | Self::Unrecorded { .. } => None,
        }
    }
}

impl Advice for MeasureError {
    fn advice(&self) -> Option<String> {
        match self {
            Self::Stopped(stop) => stop.advice(),
            Self::Invalid(_) | Self::TooLong(_) | Self::OutOfMemory(_) | Self::DeviceLost(_) => None,
        }
    }
}

impl Advice for RecordingError {
    fn advice(&self) -> Option<String> {
        match self {
            Self::Write { source, .. } => Some(format!("{}give another place with --recording", freeing(source))),
            Self::Exists { .. } => Some("give another name with --recording, or move it away".into()),
            Self::Read { .. } | Self::Malformed { .. } => Some("`harness recordings` lists those there are".into()),
            Self::Schema { .. } => Some("use the harness version that wrote it, or a newer one".into()),
            Self::Complete { .. } => Some("record anew with --recording".into()),
            Self::InUse { .. } => Some("wait for it, or record anew with --recording".into()),
            Self::Full(stop) => stop.advice(),
        }
    }
}

impl Advice for Incomparable {
    fn advice(&self) -> Option<String> {
        matches!(self, Self::OtherWork { .. }).then(|| "--force does it all the same".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_frees_room_is_said_where_there_is_none() {
        let end = "give another place with --recording";
        for (kind, advice) in [
            (ErrorKind::StorageFull, "; free space there, or "),
            (ErrorKind::QuotaExceeded, "; free space there, or "),
            (ErrorKind::FileTooLarge, "; raise or lift the limit on the size of files (ulimit -f), or "),
            (ErrorKind::PermissionDenied, "; "),
        ] {
            let text = RecordingError::Write { path: "a".into(), source: kind.into() }.advised();
            assert_eq!(text, format!("can't write the recording a: {}{advice}{end}", std::io::Error::from(kind)));
        }
    }

    #[test]
    fn a_limit_is_told_with_its_flag() {
        for (stop, flag) in [
            (Stop::WallTime { limit: std::time::Duration::from_secs(1) }, "--max-time"),
            (Stop::Iterations { max: 1, served: 1, asked: 1 }, "--max-iterations"),
            (Stop::Runs { max: 1 }, "--max-runs"),
            (Stop::RecordingSize { bytes: 2, max: 1 }, "--max-recording, up to 2,147,483,648 bytes"),
        ] {
            let told = MeasureError::from(stop).advised();
            assert!(told.contains(&format!("; allow more with {flag}")), "{told}");
        }
        assert_eq!(MeasureError::from(Stop::Interrupted).advised(), "interrupted");
    }
}
