//! `harness plugin pull` and `harness plugin push`.

use harness_registry::{Artifact, Reference};
use harness_sandbox::sha256;

use super::plugin::describe;
use crate::args::{PluginPull, PluginPush};
use crate::destination::{Destination, Unwritable};
use crate::failure::Failure;
use crate::log::tell;
use crate::progress::Screen;
use crate::{Outcome, deliver, files, plugins, settings, units};

impl PluginPull {
    pub(crate) fn execute(self) -> Outcome {
        let (_, plugins) = self.sources.read()?;
        let reference: Reference = self.reference.parse()?;
        let output = self.output.map(Destination::named);
        let cant =
            |file: &Destination, why: &str| Failure::usage(format!("can't write {}: {why}", file.path().display()));
        let unwritten = |file: &Destination, error: &Unwritable| {
            error.failure(format!("can't write {}: {error}", file.path().display()))
        };
        if let Some(file) = &output {
            let place = file.check().map_err(|error| unwritten(file, &error))?;
            files::check(&place).map_err(|error| unwritten(file, &Unwritable::Failed(error)))?;
            if files::is_recording(&place) {
                return Err(cant(file, "that is a recording, which is not replaced; name another file"));
            }
        }
        let pulled = plugins.registry()?.pull(&reference)?;
        if let Some(file) = &output {
            file.put(&pulled.component).map_err(|error| unwritten(file, &error))?;
        }
        let place = match output.as_ref().map(Destination::path).or(pulled.path.as_deref()) {
            Some(path) => format!("in {}", path.display()),
            None => {
                "kept nowhere: name a folder in HARNESS_ARTIFACTS, by its absolute path, or a file with --output".into()
            }
        };
        tell(&format!(
            "{} bytes, sha256 {}, {place}",
            units::count(pulled.component.len() as u64),
            sha256(&pulled.component),
        ));
        deliver::line(&pulled.reference.to_string())
    }
}

impl PluginPush {
    pub(crate) fn execute(self) -> Outcome {
        let (config, plugins) = self.sources.read()?;
        let reference: Reference = self.reference.parse()?;
        // What no harness could use is not sent.
        let component = plugins.find(&self.plugin, None)?;
        let plugin =
            component.load(&plugins::sandbox(settings::load_limits(&self.limits, &config), &Screen::new())?)?;
        let description = describe(&plugin, &settings::limits(&self.limits, &config))?;
        let pushed = plugins.registry()?.push(
            &reference,
            &Artifact {
                component: &component.bytes,
                imports: plugin.imports(),
                exports: plugin.exports(),
                title: &description.name,
                version: &description.version,
                description: &description.summary,
            },
        )?;
        tell(&format!(
            "pushed {} {}, {} bytes, sha256 {}, to {reference}",
            description.name,
            description.version,
            units::count(component.bytes.len() as u64),
            plugin.sha256()
        ));
        deliver::line(&pushed.to_string())
    }
}
