//! `harness plugin check`: whether a plugin can be used here, for the person who wrote it and the one who runs it.

use std::time::{Duration, Instant};

use harness_sandbox::{CONTRACT_VERSIONS, Description, Plugin};

use crate::args::PluginNamed;
use crate::progress::Screen;
use crate::table::plain_table;
use crate::{Outcome, deliver, plugins, settings, units};

/// Loads it twice, asks it what it is, and says so; what is wrong with it is an error like any other.
pub(crate) fn check(named: &PluginNamed) -> Outcome {
    let (config, plugins) = named.sources.read()?;
    let component = plugins.find(&named.plugin, None)?;
    let sandbox = plugins::sandbox(settings::load_limits(&named.limits, &config), &Screen::new())?;
    let (plugin, first) = timed(|| component.load(&sandbox))?;
    let (_, again) = timed(|| component.load(&sandbox))?;
    let limits = settings::limits(&named.limits, &config);
    let workload = plugin.is_workload().then(|| plugin.describe_workload(&limits)).transpose()?;
    let report = plugin.is_report().then(|| plugin.describe_report(&limits)).transpose()?;

    deliver::line(&format!("{} can be used: {}\n", named.plugin, plugins::kind(&plugin)))?;
    let mut facts = plain_table();
    facts.add_row(["size", &format!("{} bytes", units::count(component.bytes.len() as u64))]);
    facts.add_row(["sha256", plugin.sha256()]);
    facts.add_row(["contract", &contract(&plugin)]);
    facts.add_row([
        "loading",
        &format!("{}; again, from the cache, {}", units::milliseconds(first), units::milliseconds(again)),
    ]);
    facts.add_row(["exports", &plugin.exports().join("\n")]);
    facts.add_row(["imports", &imports(&plugin)]);
    for (kind, description) in [("workload", &workload), ("report", &report)] {
        if let Some(description) = description {
            facts.add_row([kind, &described(description)]);
        }
    }
    deliver::line(&facts.trim_fmt())
}

fn timed<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<(T, Duration), E> {
    let start = Instant::now();
    Ok((work()?, start.elapsed()))
}

fn contract(plugin: &Plugin) -> String {
    format!("harness:plugin@{}; this harness supports {}", plugin.contract(), CONTRACT_VERSIONS.join(", "))
}

/// A plugin whose imports are not all there can't be loaded.
fn imports(plugin: &Plugin) -> String {
    match plugin.imports() {
        [] => "none".into(),
        imports => format!("all there:\n{}", imports.join("\n")),
    }
}

fn described(description: &Description) -> String {
    let settings: Vec<&str> = description.settings.iter().map(|setting| setting.name.as_str()).collect();
    let settings = if settings.is_empty() { "no settings".into() } else { format!("settings {}", settings.join(", ")) };
    format!("{} {}: {} ({settings})", description.name, description.version, description.summary)
}
