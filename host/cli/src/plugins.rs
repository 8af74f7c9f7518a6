//! Finds plugins: one that the configuration names, a built-in one, an artifact of a registry, or a file. Which of them is meant, the
//! text's form says, so that no file that lies about is taken for something else. Where a hash is pinned, nothing is compiled that
//! has another.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Once;

use harness_bundle::{BUILTINS, builtin};
use harness_core::doctor::Confinement;
use harness_core::{input, keyed};
use harness_registry::{Options, Reference, Registry, RegistryError, private_folder};
use harness_sandbox::{ChildCompiler, Compiler, LoadLimits, Plugin, Sandbox, sha256};
use serde::Deserialize;

use crate::config::{Layer, Parsed};
use crate::destination::Bounds;
use crate::failure::Failure;
use crate::file_names::CONFIGURATION;
use crate::log::tell;
use crate::meant::Meant;
use crate::places;
use crate::progress::Screen;

/// The most bytes of a plugin's file.
const MAX_COMPONENT: u64 = 256 << 20;

/// What the system takes from the process that compiles plugins.
pub(crate) fn confinement() -> Result<Confinement, String> {
    let compiler = ChildCompiler::of_this_binary(LoadLimits::default()).map_err(|error| error.to_string())?;
    let harness_sandbox::Confinement { files, system_calls } = compiler.confinement()?;
    Ok(Confinement { files, system_calls })
}

/// A sandbox that compiles within limits, with the cache of this user, if there is a place for one.
pub(crate) fn sandbox(limits: LoadLimits, screen: &Screen) -> Result<Sandbox, Failure> {
    static SAID: Once = Once::new();
    let cache = places::cache()
        .ok_or_else(|| "there is no folder to keep them in; set HOME or XDG_CACHE_HOME to an absolute path".to_owned());
    // What lies there is run, so it must be this user's alone.
    let cache = cache.and_then(|folder| match private_folder(&folder) {
        Ok(()) => Ok(folder),
        Err(error) => Err(format!("{error}; XDG_CACHE_HOME names another folder above it")),
    });
    if let Err(reason) = &cache {
        SAID.call_once(|| screen.say(&format!("plugins are compiled each time: {reason}")));
    }
    let compiler = ChildCompiler::of_this_binary(limits)
        .map_err(|error| Failure::failed(format!("the file of this program can't be found: {error}")))?;
    Ok(Sandbox::new(Compiler::Child(compiler), cache.ok().as_deref())?)
}

/// What a plugin can be used as.
pub(crate) fn kind(plugin: &Plugin) -> &'static str {
    match (plugin.is_workload(), plugin.is_report()) {
        (true, true) => "workload, report",
        (true, false) => "workload",
        _ => "report",
    }
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

/// A name that can be given to a plugin: one that means nothing else, wherever it is read.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub(crate) struct Name(String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if builtin(&name).is_some() {
            return Err(format!("'{name}' is the name of a built-in plugin; choose another for yours"));
        }
        match Meant::by(&name) {
            Meant::Name if !name.is_empty() && !name.contains('=') => Ok(Self(name)),
            _ => Err(format!(
                "'{name}' can't name a plugin, as it reads like a file or a reference; use a word without '/', '.', ':' and '='"
            )),
        }
    }
}

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A plugin that the configuration gives a name.
#[derive(Clone, Debug)]
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
    /// An artifact that a configuration names that was found: it is not fetched, only taken if the user has fetched it.
    Kept(Reference),
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        keyed::table::<D, Entry>(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

impl Layer for Named {
    fn over(self, _: Self) -> Self {
        self
    }
}

impl Named {
    /// Makes a file relative to the folder.
    pub(crate) fn anchor(&mut self, folder: &Path) {
        if let Place::File(path) = &mut self.place {
            *path = folder.join(&path);
        }
    }

    /// Leaves it what a configuration that was found may name.
    pub(crate) fn confine(&mut self, bounds: &Bounds) -> Result<(), String> {
        self.place = match &self.place {
            Place::File(path) => Place::File(bounds.below(path)?),
            Place::Artifact(reference) | Place::Kept(reference) => Place::Kept(reference.clone()),
        };
        Ok(())
    }
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
pub(crate) type Known = BTreeMap<Name, Named>;

/// Everything that a plugin can be named by.
#[derive(Clone, Debug)]
pub(crate) struct Plugins {
    known: Known,
    /// How registries are spoken to, or why none is.
    registries: Result<Options, String>,
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
    pub(crate) fn new(known: Known, registries: Result<Options, String>) -> Self {
        Self { known, registries }
    }

    pub(crate) fn registry(&self) -> Result<Registry, Failure> {
        self.registries.clone().map(Registry::new).map_err(Failure::usage)
    }

    /// Finds the plugin that the user named and compiles it.
    pub(crate) fn load(&self, sandbox: &Sandbox, named: &str, pin: Option<&Pin>) -> Result<Plugin, Failure> {
        self.find(named, pin)?.load(sandbox)
    }

    /// Finds the plugin that the user named. `pin` is what the user says it must be, beside what the configuration says.
    pub(crate) fn find(&self, named: &str, pin: Option<&Pin>) -> Result<Component, Failure> {
        let component = if let Some(entry) = self.known.get(named) {
            let (place, bytes) = match &entry.place {
                Place::File(path) => (path.display().to_string(), read(path)?),
                Place::Artifact(reference) => (reference.to_string(), self.registry()?.component(reference)?),
                Place::Kept(reference) => (reference.to_string(), self.kept(named, reference)?),
            };
            let component = Component { name: format!("{named} ({place})"), bytes: bytes.into() };
            component.check(entry.sha256.as_ref(), "the configuration")?;
            component
        } else {
            match (Meant::by(named), builtin(named)) {
                (Meant::Reference, _) => {
                    Component { name: named.to_owned(), bytes: self.registry()?.component(&named.parse()?)?.into() }
                }
                (_, Some(builtin)) => {
                    not_the_file(named, builtin.name);
                    Component { name: builtin.name.to_owned(), bytes: builtin.wasm.into() }
                }
                // Also what is no file, such as a pipe, or a circle of links: reading says what it is.
                (Meant::File, None) if Path::new(named).symlink_metadata().is_ok() => {
                    Component { name: named.to_owned(), bytes: read(Path::new(named))?.into() }
                }
                (Meant::File | Meant::Name, None) => return Err(self.unknown(named)),
            }
        };
        component.check(pin, "--sha256")?;
        Ok(component)
    }

    /// An artifact that is on this machine already.
    fn kept(&self, named: &str, reference: &Reference) -> Result<Vec<u8>, Failure> {
        let options = self.registries.clone().map_err(Failure::usage)?;
        match Registry::new(Options { offline: true, ..options }).component(reference) {
            Err(RegistryError::Offline { .. }) => Err(Failure::usage(format!(
                "{named} is {reference}, as the {} found in this folder says, and is not on this machine; nothing is fetched because a configuration says so that was not given: `harness plugin pull {reference}` fetches it, or --config {} trusts all that is in there",
                CONFIGURATION, CONFIGURATION
            ))),
            found => Ok(found?),
        }
    }

    /// Whether the name can be one of a plugin; nothing is opened.
    pub(crate) fn knows(&self, named: &str) -> bool {
        self.known.contains_key(named)
            || match Meant::by(named) {
                Meant::Name => builtin(named).is_some(),
                Meant::Reference => true,
                Meant::File => Path::new(named).is_file(),
            }
    }

    fn unknown(&self, named: &str) -> Failure {
        let path = Path::new(named);
        if path.is_file() {
            return Failure::usage(format!(
                "there is no plugin '{named}', but a file of that name, which is named with its folder: ./{named}; the built-in plugins are {}",
                builtins()
            ));
        }
        if path.exists() {
            return Failure::usage(format!(
                "{named} is no file; give a plugin's .wasm file, or the name of a built-in one"
            ));
        }
        Failure::usage(format!(
            "there is no plugin '{named}': no file of that name, and {}the built-in ones are {}",
            self.listed(),
            builtins()
        ))
    }

    fn listed(&self) -> String {
        let names: Vec<&str> = self.known.keys().map(Name::as_str).collect();
        if names.is_empty() { String::new() } else { format!("the configuration names {}, and ", names.join(", ")) }
    }
}

fn builtins() -> String {
    BUILTINS.iter().map(|builtin| builtin.name).collect::<Vec<_>>().join(", ")
}

/// Says which of the two is meant, once, where a file is called like a built-in plugin's file.
fn not_the_file(named: &str, builtin: &str) {
    static SAID: Once = Once::new();
    if named != builtin && Path::new(named).exists() {
        SAID.call_once(|| {
            tell(&format!("{named} is the built-in plugin {builtin}; ./{named} is the file in this folder"))
        });
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
    fn what_is_meant_is_seen_by_the_form() {
        for (text, meant) in [
            ("csv", Meant::Name),
            ("csv.wasm", Meant::Name),
            ("cvs", Meant::Name),
            ("nightly", Meant::Name),
            ("", Meant::Name),
            ("./csv", Meant::File),
            ("./csv.wasm", Meant::File),
            ("a/csv", Meant::File),
            ("/csv", Meant::File),
            ("mine.wasm", Meant::File),
            ("mine.component", Meant::File),
            ("..", Meant::File),
            (".", Meant::File),
            ("oci://ghcr.io/team/mine:1", Meant::Reference),
        ] {
            assert_eq!(Meant::by(text), meant, "{text}");
        }
    }

    #[test]
    fn a_name_means_nothing_else() {
        for name in ["nightly", "a-b_c", "mine2"] {
            assert!(Name::try_from(name.to_owned()).is_ok(), "{name}");
        }
        for name in
            ["", "csv", "default", "csv.wasm", "mine.wasm", "./mine", "/home/me/mine", "a=b", "oci://ghcr.io/a:1"]
        {
            assert!(Name::try_from(name.to_owned()).is_err(), "{name}");
        }
    }

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
