//! `harness plugin pull` and `harness plugin push`.

use harness_registry::{Artifact, Reference};
use harness_sandbox::{Limits, sha256};

use super::plugin::describe;
use crate::args::{PluginPull, PluginPush};
use crate::failure::Failure;
use crate::log::tell;
use crate::{Outcome, deliver, plugins, units};

impl PluginPull {
    pub(crate) fn execute(self) -> Outcome {
        let (_, plugins) = self.sources.read()?;
        let reference: Reference = self.reference.parse()?;
        let pulled = plugins.registry().pull(&reference)?;
        if let Some(file) = &self.output {
            std::fs::write(file, &pulled.component)
                .map_err(|error| Failure::usage(format!("can't write {}: {error}", file.display())))?;
        }
        let place = match self.output.as_deref().or(pulled.path.as_deref()) {
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
        let (_, plugins) = self.sources.read()?;
        let reference: Reference = self.reference.parse()?;
        // What no harness could use is not sent.
        let component = plugins.find(&self.plugin, None)?;
        let plugin = component.load(&plugins::sandbox()?)?;
        let description = describe(&plugin, &Limits::default())?;
        let pushed = plugins.registry().push(
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
