//! `harness plugin list` and `harness plugin inspect`; the others are beside.

use harness_bundle::BUILTINS;
use harness_sandbox::{Description, Limits, LoadLimits, Plugin};

use super::plugin_check::check;
use crate::args::{PluginAction, PluginCommand, PluginNamed};
use crate::failure::Failure;
use crate::progress::Screen;
use crate::table::plain_table;
use crate::{Outcome, deliver, plugins, settings};

impl PluginCommand {
    pub(crate) fn execute(self) -> Outcome {
        match self.action {
            PluginAction::List => list(),
            PluginAction::Inspect(named) => inspect(&named),
            PluginAction::New(new) => new.execute(),
            PluginAction::Check(named) => check(&named),
            PluginAction::Test(test) => test.execute(),
            PluginAction::Pull(pull) => pull.execute(),
            PluginAction::Push(push) => push.execute(),
        }
    }
}

fn list() -> Outcome {
    let sandbox = plugins::sandbox(LoadLimits::default(), &Screen::new())?;
    let mut table = plain_table();
    table.set_header(["plugin", "kind", "version", "summary"]);
    for builtin in BUILTINS {
        let plugin = sandbox.load(builtin.name, builtin.wasm)?;
        let description = describe(&plugin, &Limits::default())?;
        table.add_row([builtin.name, plugins::kind(&plugin), &description.version, &description.summary]);
    }
    deliver::line(&table.trim_fmt())
}

fn inspect(named: &PluginNamed) -> Outcome {
    let (config, plugins) = named.sources.read()?;
    let limits = settings::limits(&named.limits, &config);
    let plugin = plugins.load(
        &plugins::sandbox(settings::load_limits(&named.limits, &config), &Screen::new())?,
        &named.plugin,
        None,
    )?;
    let description = describe(&plugin, &limits)?;
    deliver::line(&format!("{} {}: {}\n", description.name, description.version, description.summary))?;
    let mut facts = plain_table();
    facts.add_row(["kind", plugins::kind(&plugin)]);
    facts.add_row(["contract", &format!("harness:plugin@{}", plugin.contract())]);
    facts.add_row(["sha256", plugin.sha256()]);
    facts.add_row(["exports", &plugin.exports().join("\n")]);
    facts.add_row(["imports", &plugin.imports().join("\n")]);
    deliver::line(&facts.trim_fmt())?;
    if plugin.is_workload() {
        settable("settings of the workload (--set in `harness run`)", &description)?;
    }
    if plugin.is_report() {
        let report = plugin.describe_report(&limits)?;
        settable("settings of the report (--report-set in `harness run`, --set in `harness report`)", &report)?;
    }
    Ok(())
}

fn settable(title: &str, description: &Description) -> Outcome {
    if description.settings.is_empty() {
        return deliver::line(&format!("\n{title}: none"));
    }
    let mut table = plain_table();
    table.set_header(["setting", "default", "--quick", "meaning"]);
    for setting in &description.settings {
        let quick = setting.quick.as_deref().unwrap_or("");
        table.add_row([setting.name.as_str(), &setting.default, quick, &setting.help]);
    }
    deliver::line(&format!("\n{title}\n\n{}", table.trim_fmt()))
}

/// What the plugin says of itself, as a workload if it is one.
pub(super) fn describe(plugin: &Plugin, limits: &Limits) -> Result<Description, Failure> {
    Ok(if plugin.is_workload() { plugin.describe_workload(limits)? } else { plugin.describe_report(limits)? })
}
