//! What is configured: the names of the flags, in sections. Unknown keys are refused with their line.
//!
//! There are up to two layers, of which the upper wins: over the user's own configuration (`own`) lies the file that the user gives,
//! or else the `harness.toml` that is found in the present folder. The first two are trusted. A found one may be a stranger's, so
//! `found` looks at every key and refuses what is more than a stranger may ask. Whoever reads a [`Config`] need not know where a value
//! is from: a place to write to, or a plugin, bears in its type how far it is followed.

mod found;
mod limits;
mod own;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use harness_core::input::{self, InputError};
use harness_core::keyed;
use harness_core::text::visible_line;
use serde::Deserialize;

pub(crate) use self::limits::Limits;
use crate::destination::Destination;
use crate::failure::Failure;
use crate::file_names::CONFIGURATION;
use crate::report_target::ReportTarget;
use crate::sweep::axes::Axis;

/// The most bytes that a configuration has.
const MAX_BYTES: u64 = 1 << 20;

/// What can lie over another of its kind.
pub(crate) trait Layer {
    /// This, and where it says nothing, what is under it.
    fn over(self, under: Self) -> Self;
}

impl<T> Layer for Option<T> {
    fn over(self, under: Self) -> Self {
        self.or(under)
    }
}

impl<T> Layer for Vec<T> {
    fn over(self, under: Self) -> Self {
        if self.is_empty() { under } else { self }
    }
}

impl Layer for toml::Table {
    fn over(self, mut under: Self) -> Self {
        under.extend(self);
        under
    }
}

impl<K: Ord, V: Layer> Layer for BTreeMap<K, V> {
    fn over(self, mut under: Self) -> Self {
        for (name, value) in self {
            let value = match under.remove(&name) {
                Some(other) => value.over(other),
                None => value,
            };
            under.insert(name, value);
        }
        under
    }
}

/// Declares a part of the configuration, which lies over another key by key.
macro_rules! section {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* pub(crate) $key:ident: $kind:ty,)* }) => {
        $(#[$about])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
        pub(crate) struct $name { $($(#[$doc])* pub(crate) $key: $kind,)* }

        impl Layer for $name {
            fn over(self, under: Self) -> Self {
                Self { $($key: self.$key.over(under.$key),)* }
            }
        }
    };
}

section! {
    /// Everything a configuration can say.
    Config {
        #[serde(deserialize_with = "keyed::table")]
        pub(crate) run: Run,
        #[serde(deserialize_with = "keyed::table")]
        pub(crate) model: Model,
        /// Settings of the workload plugin.
        pub(crate) set: toml::Table,
        /// Settings of the workload plugin that take several values.
        pub(crate) sweep: toml::Table,
        /// Settings of reports, by the report's name.
        pub(crate) report_set: BTreeMap<String, toml::Table>,
        /// Settings of the simulated model.
        pub(crate) simulate: toml::Table,
        #[serde(deserialize_with = "keyed::table")]
        pub(crate) limits: Limits,
        /// Plugins by a name of the user's.
        pub(crate) plugins: crate::plugins::Known,
        #[serde(deserialize_with = "keyed::table")]
        pub(crate) registries: Registries,
    }
}

section! {
    Registries {
        pub(crate) offline: Option<bool>,
        pub(crate) plain_http: Vec<String>,
        pub(crate) cache: Option<PathBuf>,
    }
}

section! {
    Run {
        pub(crate) plugin: Option<String>,
        pub(crate) report: Vec<Parsed<ReportTarget>>,
        pub(crate) recording: Option<Destination>,
        pub(crate) recordings: Option<Destination>,
        pub(crate) quick: Option<bool>,
        pub(crate) quiet: Option<bool>,
        pub(crate) private: Option<bool>,
        pub(crate) seed: Option<u64>,
        pub(crate) sensors: Option<String>,
        pub(crate) idle_time: Option<Time>,
        pub(crate) roofline: Option<bool>,
    }
}

section! {
    Model {
        pub(crate) model: Option<String>,
        pub(crate) device: Option<Parsed<harness_engine::DeviceChoice>>,
        pub(crate) dtype: Option<Parsed<harness_engine::DTypeChoice>>,
        pub(crate) backend: Option<Parsed<crate::settings::BackendChoice>>,
        pub(crate) tf32: Option<bool>,
        pub(crate) download: Option<bool>,
    }
}

/// A string that is read as a flag's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parsed<T>(pub(crate) T);

impl<'de, T: std::str::FromStr<Err = String>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

macro_rules! unit {
    ($name:ident, $value:ty, $parse:path) => {
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
        pub(crate) struct $name(pub(crate) $value);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $parse(&String::deserialize(deserializer)?).map(Self).map_err(serde::de::Error::custom)
            }
        }
    };
}

unit!(Size, u64, crate::units::bytes);
unit!(RecordingSize, u64, crate::units::recording_bytes);
unit!(Time, std::time::Duration, crate::units::duration);

/// What is configured here: by the file that the user gives or, without one, by `harness.toml` in the present folder, over the
/// user's own configuration.
pub(crate) fn read(given: Option<&Path>) -> Result<Config, Failure> {
    let own = own::read()?;
    let over = match given {
        Some(path) => parse(path, &contents(path).map_err(|error| unreadable(path, &error.fault))?)?,
        None => found::read(Path::new(CONFIGURATION), &own)?,
    };
    Ok(over.over(own))
}

/// The text of a configuration.
fn contents(path: &Path) -> Result<String, InputError> {
    input::read_text(path, MAX_BYTES)
}

fn unreadable(path: &Path, why: &impl Display) -> Failure {
    Failure::usage(format!(
        "can't read the configuration {}: {why}; name another with --config, or none",
        path.display()
    ))
}

fn parse(path: &Path, text: &str) -> Result<Config, Failure> {
    toml::from_str(text).map_err(|error| {
        let path = path.display().to_string();
        Failure::Usage(format!(
            "the configuration {} can't be used: {}",
            visible_line(&path),
            error.to_string().trim_end()
        ))
    })
}

/// The values of a table as flags would give them.
pub(crate) fn pairs(section: &str, table: &toml::Table) -> Result<Vec<(String, String)>, Failure> {
    table.iter().map(|(name, value)| Ok((name.clone(), text(section, name, value)?))).collect()
}

/// The axes of a sweep: arrays of values, or what the flag takes.
pub(crate) fn axes(section: &str, table: &toml::Table) -> Result<Vec<Axis>, Failure> {
    table
        .iter()
        .map(|(name, value)| match value {
            toml::Value::Array(values) => {
                let values = values.iter().map(|value| text(section, name, value)).collect::<Result<_, _>>()?;
                Axis::new(name, values)
            }
            value => Axis::parse(name, &text(section, name, value)?),
        })
        .collect()
}

fn text(section: &str, name: &str, value: &toml::Value) -> Result<String, Failure> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => Ok(value.to_string()),
        other => Err(Failure::usage(format!(
            "the configuration has {} under '{name}' in [{section}]; write a string, a number, true or false",
            other.type_str()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let Err(Failure::Usage(message)) = parse(Path::new("x.toml"), "[run]\nplugin = 'a'\nplugins = 'b'\n") else {
            panic!("it was taken");
        };
        assert!(message.contains("line 3") && message.contains("plugins"), "{message}");
    }

    #[test]
    fn a_table_is_a_table_and_no_list() {
        for (text, found) in [
            ("run = []", "sequence"),
            ("run = ['averages']", "sequence"),
            ("run = 5", "integer `5`"),
            ("model = []", "sequence"),
            ("limits = 5", "integer `5`"),
            ("limits = ['1GiB']", "sequence"),
            ("registries = [true]", "sequence"),
            ("plugins.a = 5", "integer `5`"),
            ("plugins.a = ['a.wasm']", "sequence"),
        ] {
            let Err(Failure::Usage(message)) = parse(Path::new("x.toml"), text) else { panic!("{text} was taken") };
            assert!(message.contains("line 1"), "{text}: {message}");
            assert!(message.ends_with(&format!("invalid type: {found}, expected a table")), "{text}: {message}");
        }
    }

    #[test]
    fn every_section_is_read() {
        let text = "[run]\nplugin='x'\nreport=['csv=a']\nseed=3\nquick=true\nprivate=true\n[model]\ndevice='cuda:1'\ndtype='f16'\nbackend='fused'\ntf32=true\n\
                    [set]\nruns=3\nprompt='a'\n[sweep]\nbatch=[1, 8]\nprompt=['a, b', 'c']\nwarmup='1..4*2'\n[simulate]\njitter=0.5\n[limits]\nmax-memory='1GiB'\nmax-time='1h'\nmax-runs=7\nmax-recording='1MiB'\n\
                    [report-set.csv]\nsamples=true\n[registries]\noffline=true\nplain-http=['a:1']\ncache='c'\n\
                    [plugins]\na.path='a.wasm'\nb.reference='oci://ghcr.io/team/b:1'\n";
        let config = parse(Path::new("x.toml"), text).unwrap();
        assert_eq!(config.model.device.unwrap().0, harness_engine::DeviceChoice::Cuda(1));
        assert_eq!(config.model.backend.unwrap().0, crate::settings::BackendChoice::Fused);
        assert_eq!((config.model.tf32, config.run.private), (Some(true), Some(true)));
        assert_eq!(config.limits.max_memory.unwrap().0, 1 << 30);
        assert_eq!((config.limits.max_runs, config.limits.max_recording.map(|size| size.0)), (Some(7), Some(1 << 20)));
        assert_eq!(pairs("x", &config.report_set["csv"]).unwrap(), [("samples".into(), "true".into())]);
        assert_eq!((config.registries.offline, config.registries.plain_http), (Some(true), vec!["a:1".to_owned()]));
        assert_eq!(config.plugins.len(), 2);
        let swept: Vec<(String, Vec<String>)> =
            axes("sweep", &config.sweep).unwrap().into_iter().map(|axis| (axis.setting, axis.values)).collect();
        let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        assert_eq!(swept[0], ("batch".into(), texts(&["1", "8"])));
        assert_eq!(swept[1], ("prompt".into(), texts(&["a, b", "c"])));
        assert_eq!(swept[2], ("warmup".into(), texts(&["1", "2", "4"])));
        let set = pairs("set", &config.set).unwrap();
        assert_eq!(set, [("prompt".into(), "a".into()), ("runs".into(), "3".into())]);
    }

    #[test]
    fn a_named_plugin_is_in_one_place() {
        let digest = "0".repeat(64);
        for (entry, what) in [
            ("{}", "either a path, or a reference"),
            (
                &format!("{{ path = 'a', reference = 'oci://ghcr.io/a@sha256:{digest}' }}"),
                "either a path, or a reference",
            ),
            ("{ reference = 'a.wasm' }", "names no registry"),
            ("{ path = 'a', hash = 'b' }", "unknown field `hash`"),
            ("{ path = 'a', sha256 = 'b' }", "64 hexadecimal digits"),
        ] {
            let Err(Failure::Usage(message)) = parse(Path::new("x.toml"), &format!("[plugins]\nmine = {entry}\n"))
            else {
                panic!("{entry} was taken");
            };
            assert!(message.contains(what) && message.contains("line 2"), "{entry}: {message}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = parse(Path::new("x"), &text);
        }
    }
}
