//! Finds plugins: a file, or one of the built-in ones by name.

use std::path::Path;

use harness_bundle::{BUILTINS, builtin};
use harness_sandbox::{Plugin, Sandbox};

use crate::failure::Failure;
use crate::places;

/// A sandbox with the cache of this user.
pub(crate) fn sandbox() -> Result<Sandbox, Failure> {
    Ok(Sandbox::new(Some(&places::cache()))?)
}

/// Loads the plugin that the user named. A file goes before a built-in one of the same name.
pub(crate) fn load(sandbox: &Sandbox, named: &str) -> Result<Plugin, Failure> {
    let path = Path::new(named);
    if path.is_file() {
        return Ok(sandbox.load_file(path)?);
    }
    if let Some(builtin) = builtin(named) {
        return Ok(sandbox.load(builtin.name, builtin.wasm)?);
    }
    if path.exists() {
        return Err(Failure::usage(format!(
            "{named} is no file; give a plugin's .wasm file, or the name of a built-in one"
        )));
    }
    let names: Vec<&str> = BUILTINS.iter().map(|builtin| builtin.name).collect();
    Err(Failure::usage(format!(
        "there is no plugin '{named}': no file of that name, and the built-in ones are {}",
        names.join(", ")
    )))
}
