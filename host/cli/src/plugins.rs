//! Finds plugins: one that the configuration names, a file, or one of the built-in ones by name. Where a hash is pinned,
//! nothing is compiled that has another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use harness_bundle::{BUILTINS, builtin};
use harness_sandbox::{Plugin, Sandbox, sha256};
use serde::Deserialize;

use crate::config::Parsed;
use crate::failure::Failure;
use crate::places;

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
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    /// Its file.
    path: PathBuf,
    /// What it must be.
    sha256: Option<Parsed<Pin>>,
}

/// The plugins that the configuration names.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Known(BTreeMap<String, Named>);

impl Known {
    /// Loads the plugin that the user named. What the configuration names goes before a file, and a file before a built-in
    /// plugin of the same name. `pin` is what the user says it must be, beside what the configuration says.
    pub(crate) fn load(&self, sandbox: &Sandbox, named: &str, pin: Option<&Pin>) -> Result<Plugin, Failure> {
        let check = |bytes: &[u8], place: &str, pin: Option<&Pin>, by: &str| match pin {
            Some(Pin(wanted)) if sha256(bytes) != *wanted => Err(Failure::usage(format!(
                "{place} has the sha256 {}, and {by} pins {wanted}: it is not the file that was meant; get that one, or \
                 change the pin",
                sha256(bytes)
            ))),
            _ => Ok(()),
        };
        if let Some(entry) = self.0.get(named) {
            let bytes = read(&entry.path)?;
            let place = format!("{named} ({})", entry.path.display());
            check(&bytes, &place, entry.sha256.as_ref().map(|pin| &pin.0), "the configuration")?;
            check(&bytes, &place, pin, "--sha256")?;
            return Ok(sandbox.load(&place, &bytes)?);
        }
        let path = Path::new(named);
        if path.is_file() {
            let bytes = read(path)?;
            check(&bytes, named, pin, "--sha256")?;
            return Ok(sandbox.load(named, &bytes)?);
        }
        if let Some(builtin) = builtin(named) {
            check(builtin.wasm, &format!("the built-in plugin {named}"), pin, "--sha256")?;
            return Ok(sandbox.load(builtin.name, builtin.wasm)?);
        }
        if path.exists() {
            return Err(Failure::usage(format!(
                "{named} is no file; give a plugin's .wasm file, or the name of a built-in one"
            )));
        }
        Err(Failure::usage(format!(
            "there is no plugin '{named}': no file of that name, and {}the built-in ones are {}",
            self.listed(),
            BUILTINS.iter().map(|builtin| builtin.name).collect::<Vec<_>>().join(", ")
        )))
    }

    fn listed(&self) -> String {
        let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        if names.is_empty() { String::new() } else { format!("the configuration names {}, and ", names.join(", ")) }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|source| harness_sandbox::PluginError::Unreadable { path: path.to_owned(), source }.into())
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
