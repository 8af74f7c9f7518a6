//! The settings of reports: `--report-set NAME.KEY=VALUE`, and `[report-set.NAME]` in the configuration.

use std::collections::BTreeMap;

use crate::config;
use crate::failure::Failure;
use crate::plugins::Plugins;
use crate::report_target::ReportTarget;

type Pairs = Vec<(String, String)>;

/// The settings of reports, by the name under which the user names the report.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReportSets {
    configured: BTreeMap<String, Pairs>,
    flags: Vec<String>,
}

impl ReportSets {
    /// Of the configuration, which may have settings of reports that are not asked for now, and of flags.
    pub(crate) fn new(
        tables: &BTreeMap<String, toml::Table>,
        flags: Vec<String>,
        plugins: &Plugins,
    ) -> Result<Self, Failure> {
        let mut configured = BTreeMap::new();
        for (name, table) in tables {
            let section = format!("report-set.{name}");
            if !plugins.knows(name) {
                return Err(Failure::usage(format!(
                    "the configuration has [{section}], and there is no report '{name}': no file, no built-in one, and none in \
                     [plugins]"
                )));
            }
            configured.insert(name.clone(), config::pairs(&section, table)?);
        }
        Ok(Self { configured, flags })
    }

    /// What is set of each report, flags last, so that they win. A flag that is of none of them is an error.
    pub(crate) fn of(&self, reports: &[ReportTarget]) -> Result<Vec<Pairs>, Failure> {
        let mut sets: Vec<Pairs> =
            reports.iter().map(|report| self.configured.get(&report.plugin).cloned().unwrap_or_default()).collect();
        for flag in &self.flags {
            let (name, pair) = setting(flag, reports)?;
            for (report, set) in reports.iter().zip(&mut sets) {
                if report.plugin == name {
                    set.push(pair.clone());
                }
            }
        }
        Ok(sets)
    }
}

/// Whose setting it is. A report's name may have dots in it, so it is found among those that there are.
fn setting<'a>(flag: &str, reports: &'a [ReportTarget]) -> Result<(&'a str, (String, String)), Failure> {
    let names = reports.iter().map(|report| report.plugin.as_str());
    let found = names
        .clone()
        .filter_map(|name| Some((name, flag.strip_prefix(name)?.strip_prefix('.')?)))
        .max_by_key(|(name, _)| name.len());
    let Some((name, rest)) = found else {
        return Err(Failure::usage(format!(
            "--report-set '{flag}' is of no report that is asked for; write NAME.KEY=VALUE with one of: {}",
            names.collect::<Vec<_>>().join(", ")
        )));
    };
    match rest.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((name, (key.to_owned(), value.to_owned()))),
        _ => Err(Failure::usage(format!(
            "--report-set '{flag}' is no setting; write {name}.KEY=VALUE; `harness plugin inspect {name}` lists them"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(flags: &[&str], reports: &[&str]) -> Result<Vec<Pairs>, Failure> {
        let reports: Vec<ReportTarget> =
            reports.iter().map(|plugin| ReportTarget { plugin: (*plugin).into(), out: None }).collect();
        let configured = BTreeMap::from([
            ("csv".to_owned(), vec![("samples".to_owned(), "true".to_owned())]),
            ("html".to_owned(), vec![("title".to_owned(), "x".to_owned())]),
        ]);
        ReportSets { configured, flags: flags.iter().map(|flag| (*flag).to_owned()).collect() }.of(&reports)
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.into(), value.into())
    }

    #[test]
    fn each_report_gets_its_own_and_flags_win() {
        let got = sets(
            &["junit.latency-max=0.5", "csv.samples=false", "a/b.c.wasm.x=1=2", "a/b.c.wasm.y="],
            &["junit", "csv", "a/b.c.wasm", "csv"],
        );
        let csv = vec![pair("samples", "true"), pair("samples", "false")];
        let file = vec![pair("x", "1=2"), pair("y", "")];
        assert_eq!(got.unwrap(), [vec![pair("latency-max", "0.5")], csv.clone(), file, csv]);
    }

    #[test]
    fn the_longest_name_that_fits_is_meant() {
        let got = sets(&["a.b.c=1"], &["a", "a.b"]).unwrap();
        assert_eq!(got, [vec![], vec![pair("c", "1")]]);
    }

    #[test]
    fn what_is_of_no_report_or_no_setting_is_refused() {
        for (flag, what) in [
            ("jnuit.latency-max=1", "one of: junit, csv"),
            ("latency-max=1", "of no report"),
            ("html.title=x", "of no report"),
            ("", "of no report"),
            ("junit.latency-max", "write junit.KEY=VALUE"),
            ("junit.=1", "write junit.KEY=VALUE"),
        ] {
            let Err(Failure::Usage(message)) = sets(&[flag], &["junit", "csv"]) else { panic!("{flag} was taken") };
            assert!(message.contains(what), "{flag}: {message}");
        }
    }
}
