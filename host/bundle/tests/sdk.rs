//! What the plugin SDK carries of the host is what the host has.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use harness_core::metric::{Direction, METRICS};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Asserts that a file is what it is made from, or writes it anew.
fn pin(path: &str, expected: &str) {
    let file = repository().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, expected).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(written == expected, "{path} is stale: UPDATE_DOCS=1 cargo test -p harness-bundle writes it anew");
}

/// `plugins/sdk/src/metrics.rs`.
fn metrics() -> String {
    let mut text = String::from(
        "//! The host's metrics.\n\
         //!\n\
         //! Made from host/core/src/metric.rs; `UPDATE_DOCS=1 cargo test -p harness-bundle` writes it anew.\n\n\
         use crate::{Direction, Metric};\n",
    );
    let mut all = String::new();
    for definition in METRICS {
        let metric = definition.metric();
        let constant = metric.name.to_uppercase();
        let better = match metric.better {
            Direction::Higher => "HigherIsBetter",
            Direction::Lower => "LowerIsBetter",
            Direction::Neither => "Neither",
        };
        let sampled = if metric.sampled { ".sampled()" } else { "" };
        write!(
            text,
            "\n/// `{name}`, in `{unit}`: {help}\n#[rustfmt::skip]\npub static {constant}: Metric =\n    \
             Metric::new({name:?}, {unit:?}, {help:?}, Direction::{better}){sampled};\n",
            name = metric.name,
            unit = metric.unit,
            help = metric.help,
        )
        .unwrap();
        writeln!(all, "    &{constant},").unwrap();
    }
    write!(
        text,
        "\n/// Every host metric, in the order in which reports show them.\npub static ALL: &[&Metric] = &[\n{all}];\n"
    )
    .unwrap();
    text
}

#[test]
fn the_sdk_has_the_hosts_metrics() {
    pin("plugins/sdk/src/metrics.rs", &metrics());
}

/// The crate carries the contract, so that it can be built from a registry.
#[test]
fn the_sdk_has_the_contract() {
    pin("plugins/sdk/wit/plugin.wit", &fs::read_to_string(repository().join("wit/plugin.wit")).unwrap());
}
