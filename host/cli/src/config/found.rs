//! A configuration that was found in the present folder: in a clone, a stranger's. It writes only below its folder and replaces
//! nothing that was not written for it, reads plugins and models only from there, lowers limits, and has nothing fetched or sent.

use std::path::Path;

use harness_core::text::visible_line;
use toml::de::{DeTable, DeValue};

use super::{Config, Model, Parsed, Registries, Run, contents, parse, unreadable};
use crate::destination::Bounds;
use crate::failure::Failure;
use crate::meant::Meant;
use crate::places;

/// What it says, where there is one and it asks for no more than it may; `own` is what holds without it.
pub(super) fn read(path: &Path, own: &Config) -> Result<Config, Failure> {
    let text = match contents(path) {
        Ok(text) => text,
        // A link to nothing was meant to be something.
        Err(error) if error.is_missing() && !path.is_symlink() => return Ok(Config::default()),
        Err(error) => return Err(unreadable(path, &error.fault)),
    };
    let mut config = parse(path, &text)?;
    let bounds = Bounds::here().map_err(|error| unreadable(path, &error))?;
    let refused = confine(&mut config, own, &bounds);
    if refused.is_empty() { Ok(config) } else { Err(refusal(path, &text, &refused)) }
}

/// A key, and why what it asks is refused.
type Refused = (Vec<String>, String);

/// Leaves the configuration what a found one may ask, and returns what it asks beyond that.
fn confine(config: &mut Config, own: &Config, bounds: &Bounds) -> Vec<Refused> {
    // Every key is here, so that a new one is thought about.
    let Config { run, model, set: _, sweep: _, report_set: _, simulate: _, limits, plugins, registries } = config;
    let Run {
        plugin,
        report,
        recording,
        recordings,
        quick: _,
        quiet: _,
        private,
        seed: _,
        sensors: _,
        idle_time: _,
        roofline: _,
    } = run;
    let Model { model, device: _, dtype: _, backend: _, tf32: _, download } = model;
    let Registries { offline, plain_http, cache } = registries;

    let mut refused: Vec<Refused> = Vec::new();
    let mut refuse = |section: &str, key: &str, why: String| refused.push((vec![section.into(), key.into()], why));
    let below = "it may name a file below its folder, or a name";

    if let Some(Err(why)) = plugin.as_deref().map(|plugin| named(plugin, bounds)) {
        refuse("run", "plugin", format!("{why}; {below}"));
    }
    for Parsed(report) in report {
        if let Err(why) = named(&report.plugin, bounds) {
            refuse("run", "report", format!("{why}; {below}"));
        }
        if let Some(out) = &mut report.out {
            let place = out.path().display().to_string();
            if let Err(why) = out.confine(bounds) {
                refuse(
                    "run",
                    "report",
                    format!("'{place}': {why}; it may write only below its folder, and nothing hidden"),
                );
            }
        }
    }
    for (key, place) in [("recording", recording), ("recordings", recordings)] {
        let Some(destination) = place else { continue };
        let place = destination.path().display().to_string();
        if let Err(why) = destination.confine(bounds) {
            refuse("run", key, format!("'{place}': {why}; it may write only below its folder, and nothing hidden"));
        }
    }
    if let Some(Err(why)) = model.as_deref().map(|model| bounds.below(Path::new(model))) {
        refuse("model", "model", format!("{why}; it may name a folder below its own, a size, or an id"));
    }
    if *download == Some(true) && own.model.download != Some(true) {
        refuse("model", "download", "it may not have a model fetched".into());
    }
    for (key, asked, holds) in limits.raised(&own.limits) {
        refuse(
            "limits",
            &key,
            format!("{asked} is more than the {holds} that hold without it; it may only lower limits"),
        );
    }
    for (name, plugin) in plugins {
        if own.plugins.contains_key(name) {
            refuse("plugins", name.as_str(), "your own configuration has a plugin of this name".into());
        } else if let Err(why) = plugin.confine(bounds) {
            refuse("plugins", name.as_str(), format!("{why}; it may name a file below its folder"));
        }
    }
    if *offline == Some(false) && own.registries.offline == Some(true) {
        refuse("registries", "offline", "your own configuration says that nothing is fetched".into());
    }
    if *private == Some(false) && own.run.private == Some(true) {
        refuse("run", "private", "your own configuration leaves the command line and folders out".into());
    }
    if !plain_http.is_empty() {
        refuse("registries", "plain-http", "it may not have anything fetched without TLS".into());
    }
    if cache.is_some() {
        refuse("registries", "cache", "it may not say where what is fetched is kept".into());
    }
    refused
}

/// Whether a plugin that is named directly is a name, or a file below.
fn named(plugin: &str, bounds: &Bounds) -> Result<(), String> {
    match Meant::by(plugin) {
        Meant::Name => Ok(()),
        Meant::File => bounds.below(Path::new(plugin)).map(drop).map_err(|why| format!("'{plugin}': {why}")),
        Meant::Reference => Err(format!("'{plugin}' is in a registry: give it a name in [plugins]")),
    }
}

fn refusal(path: &Path, text: &str, refused: &[Refused]) -> Failure {
    let mut lines: Vec<_> = refused.iter().map(|(keys, why)| (line(text, keys), keys.join("."), why)).collect();
    lines.sort_by_key(|(line, ..)| *line);
    let lines: Vec<String> = lines
        .into_iter()
        .map(|(line, key, why)| {
            let line = line.map_or(String::new(), |line| format!("line {line}, "));
            format!("  {line}{}: {}", visible_line(&key), visible_line(&why.to_string()))
        })
        .collect();
    let own = places::configuration().map_or(String::new(), |own| {
        format!(", or put what you want of it into your own configuration, {}", own.display())
    });
    Failure::Usage(format!(
        "the configuration {} was found in this folder, not given, and asks for more than a stranger's may:\n{}\nIf you trust it, give it by \
         --config {}{own}",
        path.display(),
        lines.join("\n"),
        path.display()
    ))
}

/// The line that a key is on.
fn line(text: &str, keys: &[String]) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut at = 0;
    for key in keys {
        let (name, value) = table.iter().find(|(name, _)| name.get_ref() == key)?;
        at = name.span().start;
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    Some(text.get(..at)?.matches('\n').count() + 1)
}
