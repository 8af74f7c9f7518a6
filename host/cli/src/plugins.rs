//! Finds plugins: one that the configuration names, an artifact of a registry, a file, or one of the built-in ones by name. Where
//! a hash is pinned, nothing is compiled that has another.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use harness_bundle::{BUILTINS, builtin};
use harness_core::input;
use harness_registry::{Reference, Registry};
use harness_sandbox::{Plugin, Sandbox, sha256};
use serde::Deserialize;

use crate::config::Parsed;
use crate::failure::Failure;
use crate::places;

/// The most bytes of a plugin's file.
const MAX_COMPONENT: u64 = 256 << 20;

/// A sandbox with the cache of this user.
pub(crate) fn sandbox() -> Result<Sandbox, Failure> {
    Ok(Sandbox::new(Some(&places::cache()))?)
}

/// The sha256 that a plugin must have, in lowercase hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pin(String);

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        match hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => Ok(Self(hex.to_ascii_lowercase())),
            false => Err(format!(
                "'{text}' is no sha256: it has 64 hexadecimal digits, as `harness plugin inspect` shows them"
            )),
        }
    }
}

/// A plugin that the configuration gives a name.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Entry")]
pub(crate) struct Named {
    place: Place,
    /// What it must be.
    sha256: Option<Pin>,
}

/// Where a named plugin is.
#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    Artifact(Reference),
}

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: Option<PathBuf>,
    reference: Option<String>,
    sha256: Option<Parsed<Pin>>,
}

impl TryFrom<Entry> for Named {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Self, String> {
        let place = match (entry.path, entry.reference) {
            (Some(path), None) => Place::File(path),
            (None, Some(text)) => Place::Artifact(text.parse().map_err(|error| format!("{error}"))?),
            _ => {
                return Err(
                    "a plugin has either a path, or a reference such as oci://REGISTRY/NAME@sha256:DIGEST".into()
                );
            }
        };
        Ok(Self { place, sha256: entry.sha256.map(|pin| pin.0) })
    }
}

/// The plugins that the configuration names.
pub(crate) type Known = BTreeMap<String, Named>;

/// Everything that a plugin can be named by.
#[derive(Clone, Debug)]
pub(crate) struct Plugins {
    known: Known,
    registry: Registry,
}

/// A plugin's bytes, as they were found.
pub(crate) struct Component {
    /// For messages.
    name: String,
    pub(crate) bytes: Cow<'static, [u8]>,
}

impl Component {
    /// Compiles it.
    pub(crate) fn load(&self, sandbox: &Sandbox) -> Result<Plugin, Failure> {
        Ok(sandbox.load(&self.name, &self.bytes)?)
    }

    fn check(&self, pin: Option<&Pin>, by: &str) -> Result<(), Failure> {
        match pin {
            Some(Pin(wanted)) if sha256(&self.bytes) != *wanted => Err(Failure::usage(format!(
                "{} has the sha256 {}, and {by} pins {wanted}: it is not the file that was meant; get that one, or change the pin",
                self.name,
                sha256(&self.bytes)
            ))),
            _ => Ok(()),
        }
    }
}

impl Plugins {
    pub(crate) fn new(known: Known, registry: Registry) -> Self {
        Self { known, registry }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Finds the plugin that the user named and compiles it.
    pub(crate) fn load(&self, sandbox: &Sandbox, named: &str, pin: Option<&Pin>) -> Result<Plugin, Failure> {
        self.find(named, pin)?.load(sandbox)
    }

    /// Finds the plugin that the user named. What the configuration names goes before a file, and a file before a built-in
    /// plugin of the same name. `pin` is what the user says it must be, beside what the configuration says.
    pub(crate) fn find(&self, named: &str, pin: Option<&Pin>) -> Result<Component, Failure> {
        let component = if let Some(entry) = self.known.get(named) {
            let (place, bytes) = match &entry.place {
                Place::File(path) => (path.display().to_string(), read(path)?),
                Place::Artifact(reference) => (reference.to_string(), self.registry.component(reference)?),
            };
            let component = Component { name: format!("{named} ({place})"), bytes: bytes.into() };
            component.check(entry.sha256.as_ref(), "the configuration")?;
            component
        } else if Reference::is_meant(named) {
            Component { name: named.to_owned(), bytes: self.registry.component(&named.parse()?)?.into() }
        } else {
            let path = Path::new(named);
            match (path.is_file(), builtin(named)) {
                (true, _) => Component { name: named.to_owned(), bytes: read(path)?.into() },
                (false, Some(builtin)) => Component { name: builtin.name.to_owned(), bytes: builtin.wasm.into() },
                (false, None) => return Err(self.unknown(named)),
            }
        };
        component.check(pin, "--sha256")?;
        Ok(component)
    }

    /// Whether the name can be one of a plugin; nothing is opened.
    pub(crate) fn knows(&self, named: &str) -> bool {
        self.known.contains_key(named)
            || Reference::is_meant(named)
            || Path::new(named).is_file()
            || builtin(named).is_some()
    }

    fn unknown(&self, named: &str) -> Failure {
        if Path::new(named).exists() {
            return Failure::usage(format!(
                "{named} is no file; give a plugin's .wasm file, or the name of a built-in one"
            ));
        }
        Failure::usage(format!(
            "there is no plugin '{named}': no file of that name, and {}the built-in ones are {}",
            self.listed(),
            BUILTINS.iter().map(|builtin| builtin.name).collect::<Vec<_>>().join(", ")
        ))
    }

    fn listed(&self) -> String {
        let names: Vec<&str> = self.known.keys().map(String::as_str).collect();
        if names.is_empty() { String::new() } else { format!("the configuration names {}, and ", names.join(", ")) }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    input::read(path, MAX_COMPONENT).map_err(|error| {
        Failure::usage(format!("can't read the plugin {}: {}; give a plugin's .wasm file", path.display(), error.fault))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_with_and_without_their_algorithm() {
        let hex = "0123456789abcdef".repeat(4);
        for text in [hex.clone(), hex.to_uppercase(), format!("sha256:{hex}")] {
            assert_eq!(text.parse(), Ok(Pin(hex.clone())), "{text}");
        }
        for text in ["", "abc", &hex[1..], &format!("{hex}0"), &"g".repeat(64), &format!("md5:{hex}")] {
            assert!(text.parse::<Pin>().is_err(), "{text}");
        }
    }
}
