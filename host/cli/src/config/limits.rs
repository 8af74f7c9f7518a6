//! `[limits]`, as a table that is told once: every limit can be compared with another.

use std::cmp::Ordering;
use std::fmt;

use bytesize::ByteSize;
use serde::Deserialize;

use super::{Layer, RecordingSize, Size, Time};
use crate::units;

/// How much a limit allows.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) enum Amount {
    Size(Size),
    Time(Time),
    Count(u64),
}

impl From<Size> for Amount {
    fn from(size: Size) -> Self {
        Self::Size(size)
    }
}

impl From<RecordingSize> for Amount {
    fn from(size: RecordingSize) -> Self {
        Self::Size(Size(size.0))
    }
}

impl From<Time> for Amount {
    fn from(time: Time) -> Self {
        Self::Time(time)
    }
}

impl From<u64> for Amount {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => f.write_str(&ByteSize::b(size.0).display().iec().to_string().replace(".0 ", " ")),
            Self::Time(time) => f.write_str(&units::exact(time.0)),
            Self::Count(count) => f.write_str(&units::count(*count)),
        }
    }
}

macro_rules! limits {
    ($(pub(crate) $key:ident: Option<$kind:ty>,)*) => {
        /// How much of this machine a plugin may use.
        #[derive(Clone, Copy, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
        pub(crate) struct Limits { $(pub(crate) $key: Option<$kind>,)* }

        impl Layer for Limits {
            fn over(self, under: Self) -> Self {
                Self { $($key: self.$key.or(under.$key),)* }
            }
        }

        impl Limits {
            /// Each by its key.
            fn each(&self) -> Vec<(String, Option<Amount>)> {
                vec![$((stringify!($key).replace('_', "-"), self.$key.map(Amount::from)),)*]
            }
        }
    };
}

limits! {
    pub(crate) max_memory: Option<Size>,
    pub(crate) max_load_memory: Option<Size>,
    pub(crate) max_load_time: Option<Time>,
    pub(crate) max_describe_time: Option<Time>,
    pub(crate) max_render_time: Option<Time>,
    pub(crate) max_call_time: Option<Time>,
    pub(crate) max_guest_time: Option<Time>,
    pub(crate) max_output: Option<Size>,
    pub(crate) max_log_lines: Option<u64>,
    pub(crate) max_iterations: Option<u64>,
    pub(crate) max_runs: Option<u64>,
    pub(crate) max_recording: Option<RecordingSize>,
    pub(crate) max_time: Option<Time>,
    pub(crate) max_driver_time: Option<Time>,
}

impl Limits {
    /// What holds where nothing is said.
    fn defaults() -> Self {
        let plugins = harness_sandbox::Limits::default();
        let load = harness_sandbox::LoadLimits::default();
        let budget = harness_core::Budget::default();
        Self {
            max_memory: Some(Size(plugins.memory as u64)),
            max_load_memory: Some(Size(load.memory)),
            max_load_time: Some(Time(load.time)),
            max_describe_time: Some(Time(plugins.describe_time)),
            max_render_time: Some(Time(plugins.render_time)),
            max_call_time: Some(Time(plugins.call_time)),
            max_guest_time: Some(Time(plugins.guest_time)),
            max_output: Some(Size(plugins.output as u64)),
            max_log_lines: Some(plugins.log_lines),
            max_iterations: Some(budget.iterations),
            max_runs: Some(budget.runs),
            max_recording: Some(RecordingSize(budget.recording)),
            max_time: Some(Time(plugins.wall_time)),
            max_driver_time: Some(Time(harness_telemetry::LIMIT)),
        }
    }

    /// Those that allow more than what holds with `under` alone: key, what this allows, what holds.
    pub(super) fn raised(&self, under: &Self) -> Vec<(String, Amount, Amount)> {
        let holding = under.over(Self::defaults()).each();
        let more = |((key, asked), (_, holds)): ((String, Option<Amount>), (String, Option<Amount>))| {
            let (asked, holds) = (asked?, holds?);
            matches!(asked.partial_cmp(&holds), Some(Ordering::Greater)).then_some((key, asked, holds))
        };
        self.each().into_iter().zip(holding).filter_map(more).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_a_default_that_one_more_raises() {
        let defaults = Limits::defaults();
        for (key, holds) in defaults.each() {
            let (less, more) = match holds.unwrap_or_else(|| panic!("{key} has no default")) {
                Amount::Size(Size(size)) => (format!("'{}'", size - 1), format!("'{}'", size + 1)),
                Amount::Time(Time(time)) => ("'1ms'".to_owned(), format!("'{}s'", time.as_secs() + 1)),
                Amount::Count(count) => ((count - 1).to_string(), (count + 1).to_string()),
            };
            let of = |value: &str| toml::from_str::<Limits>(&format!("{key} = {value}")).unwrap();
            assert!(of(&less).raised(&Limits::default()).is_empty(), "{key} = {less}");
            let raised = of(&more).raised(&Limits::default());
            assert_eq!(raised.iter().map(|(raised, ..)| raised.as_str()).collect::<Vec<_>>(), [key.as_str()], "{more}");
            // What the user's own configuration allows is allowed, and no more than it is.
            assert!(of(&more).raised(&of(&more)).is_empty(), "{key} = {more}");
            assert_eq!(of(&more).raised(&of(&less)).len(), 1, "{key} = {more} over {less}");
        }
        assert!(defaults.raised(&Limits::default()).is_empty());
    }
}
