//! The user's own configuration: trusted, if nobody else can have written it.

use std::io::ErrorKind;
use std::path::Path;

use super::{Config, Destination, Model, Parsed, Registries, Run, contents, parse, unreadable};
use crate::failure::Failure;
use crate::meant::Meant;
use crate::places;

/// What it says, where there is one. What it names is relative to its folder.
pub(super) fn read() -> Result<Config, Failure> {
    let Some(path) = places::configuration() else { return Ok(Config::default()) };
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Config::default()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(Config::default()),
        _ => {}
    }
    // The file's own place: what it is linked to is what is read.
    let real = path.canonicalize().map_err(|error| unreadable(&path, &error))?;
    for place in [Some(real.as_path()), real.parent()].into_iter().flatten() {
        if let Some(why) = others(place).map_err(|error| unreadable(&path, &error))? {
            return Err(Failure::usage(format!("your own configuration {} is not used: {why}", path.display())));
        }
    }
    let mut config = parse(&path, &contents(&path).map_err(|error| unreadable(&path, &error.fault))?)?;
    anchor(&mut config, path.parent().unwrap_or(&path));
    Ok(config)
}

/// Why others may have written what is there.
#[cfg(unix)]
fn others(place: &Path) -> std::io::Result<Option<String>> {
    use std::os::unix::fs::MetadataExt;

    let there = place.metadata()?;
    let me = rustix::process::geteuid().as_raw();
    Ok(match there.mode() & 0o022 {
        _ if there.uid() != me && there.uid() != 0 => Some(format!(
            "{} is another user's (number {}, and you are {me}); `chown {me}` makes it yours, if you trust what it says",
            place.display(),
            there.uid()
        )),
        0 => None,
        _ => Some(format!("others can write to {}; `chmod go-w {}` ends that", place.display(), place.display())),
    })
}

#[cfg(not(unix))]
fn others(_: &Path) -> std::io::Result<Option<String>> {
    Ok(None)
}

/// Makes what it names relative to its folder.
fn anchor(config: &mut Config, folder: &Path) {
    let Config { run, model, set: _, sweep: _, report_set, simulate: _, limits: _, plugins, registries } = config;
    let Run {
        plugin,
        report,
        recording,
        recordings,
        quick: _,
        quiet: _,
        private: _,
        seed: _,
        sensors: _,
        idle_time: _,
        roofline: _,
    } = run;
    let Model { model, device: _, dtype: _, backend: _, tf32: _, download: _ } = model;
    let Registries { offline: _, plain_http: _, cache } = registries;
    for Parsed(report) in report {
        report.plugin = Meant::anchored(&report.plugin, folder);
        if let Some(out) = &mut report.out {
            out.anchor(folder);
        }
    }
    for place in [recording, recordings].into_iter().flatten() {
        Destination::anchor(place, folder);
    }
    for plugin in plugins.values_mut() {
        plugin.anchor(folder);
    }
    *plugin = plugin.take().map(|plugin| Meant::anchored(&plugin, folder));
    *cache = cache.take().map(|cache| folder.join(cache));
    // A name such as owner/name is one of the Hugging Face hub.
    *model = model.take().map(|model| match model.starts_with('.') {
        true => folder.join(model).display().to_string(),
        false => model,
    });
    *report_set =
        std::mem::take(report_set).into_iter().map(|(name, set)| (Meant::anchored(&name, folder), set)).collect();
}
