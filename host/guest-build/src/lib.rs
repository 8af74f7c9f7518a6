//! For build scripts: compiles the packages of a guest workspace to WebAssembly components.
//!
//! The guests build in a target folder of their own inside the outer one, shared by its profiles, so that the inner
//! cargo never waits for a lock that the outer one holds.

// Cargo reads a build script's standard output.
#![allow(clippy::print_stdout)]

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What guests are compiled for.
pub const TARGET: &str = "wasm32-wasip2";

/// Why there are no components. Its `Debug` is its message, so that a build script's `main` can return it.
pub struct BuildError(String);

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BuildError {}

/// Compiles `packages` of the guest workspace in the folder `workspace` and returns the component of each, in their
/// order.
///
/// A package's component bears its name, so each must be a `cdylib` whose library is not named otherwise. Cargo is told
/// to run the build script again when anything in the workspace changes but its target folders, or anything in `watch`:
/// what the guests read from outside it.
///
/// # Errors
///
/// When the target's standard library is missing and can't be added, when cargo is not found, or when a guest does not
/// compile. The message says what to do, or what the compiler said.
pub fn build(workspace: &Path, packages: &[&str], watch: &[&Path]) -> Result<Vec<PathBuf>, BuildError> {
    let workspace = fs::canonicalize(workspace)
        .map_err(|error| BuildError(format!("no guest workspace at {}: {error}", workspace.display())))?;
    let Some(name) = workspace.file_name() else {
        return Err(BuildError(format!("{} has no name to call its target folder by", workspace.display())));
    };
    println!("cargo::rerun-if-env-changed=CARGO");
    watch_folder(&workspace)?;
    for path in watch {
        println!("cargo::rerun-if-changed={}", path.display());
    }

    let toolchain = Toolchain::of_this_build()?;
    toolchain.require_target()?;
    let target = outer_target_folder()?.join("guests").join(name);
    let mut cargo = toolchain.cargo(&workspace);
    cargo.args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"]).arg(&target);
    for package in packages {
        cargo.args(["--package", package]);
    }
    let output = cargo.output().map_err(|error| BuildError(format!("can't run {cargo:?}: {error}")))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(BuildError(format!("the guests in {} did not compile; cargo said:\n{said}", workspace.display())));
    }
    packages
        .iter()
        .map(|package| {
            let component = target.join(TARGET).join("release").join(format!("{}.wasm", package.replace('-', "_")));
            if component.is_file() {
                Ok(component)
            } else {
                Err(BuildError(format!(
                    "cargo built {package} but left no {}: a guest needs `crate-type = [\"cdylib\"]` and no other library name",
                    component.display()
                )))
            }
        })
        .collect()
}

/// The target folder of the cargo that runs this build script.
///
/// # Errors
///
/// Outside a build script.
pub fn outer_target_folder() -> Result<PathBuf, BuildError> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    // OUT_DIR is <target>[/<triple>]/<profile>/build/<package>/out; cargo marks <target> with this file.
    let marked = out.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    marked
        .or_else(|| out.ancestors().nth(4))
        .map(Path::to_owned)
        .ok_or_else(|| BuildError(format!("OUT_DIR={} is in no target folder", out.display())))
}

fn variable(name: &str) -> Result<OsString, BuildError> {
    env::var_os(name).ok_or_else(|| BuildError(format!("{name} is not set; this belongs in a build script")))
}

/// The cargo and rustc of the outer build, which may not be the default ones of the guests' folder.
struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
}

impl Toolchain {
    fn of_this_build() -> Result<Self, BuildError> {
        let cargo = PathBuf::from(variable("CARGO")?);
        // Cargo's own RUSTC says only 'rustc' where rustup is in use, and that may be another toolchain's.
        let sibling = cargo.with_file_name(format!("rustc{}", env::consts::EXE_SUFFIX));
        let rustc = if sibling.is_file() { sibling } else { PathBuf::from(variable("RUSTC")?) };
        Ok(Self { cargo, rustc })
    }

    fn cargo(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.cargo);
        command.current_dir(folder);
        for (name, _) in env::vars_os().filter(|(name, _)| is_of_the_outer_build(name)) {
            command.env_remove(name);
        }
        command.env("RUSTC", &self.rustc);
        command
    }

    fn require_target(&self) -> Result<(), BuildError> {
        let sysroot = self.sysroot()?;
        let library = sysroot.join("lib/rustlib").join(TARGET).join("lib");
        if library.is_dir() {
            return Ok(());
        }
        // <rustup home>/toolchains/<name>
        let toolchain = sysroot
            .parent()
            .filter(|parent| parent.ends_with("toolchains"))
            .and_then(|_| sysroot.file_name())
            .and_then(|name| name.to_str());
        let Some(toolchain) = toolchain else {
            return Err(BuildError(format!(
                "plugins are compiled for {TARGET}, and {} has no standard library for it.\nInstall the one that \
                 belongs to this rustc, or build with a rustup toolchain: rustup target add {TARGET}",
                sysroot.display()
            )));
        };
        let mut rustup = Command::new("rustup");
        rustup.args(["target", "add", TARGET, "--toolchain", toolchain]);
        let why = match rustup.output() {
            Ok(_) if library.is_dir() => return Ok(()),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        Err(BuildError(format!(
            "plugins are compiled for {TARGET}, whose standard library is missing and could not be added:\n{why}\n\n\
             Run this, then build again:\n\n    rustup target add {TARGET} --toolchain {toolchain}\n"
        )))
    }

    fn sysroot(&self) -> Result<PathBuf, BuildError> {
        let mut rustc = Command::new(&self.rustc);
        rustc.args(["--print", "sysroot"]);
        let output = rustc.output().map_err(|error| BuildError(format!("can't run {rustc:?}: {error}")))?;
        if !output.status.success() {
            return Err(BuildError(format!("{rustc:?} failed:\n{}", String::from_utf8_lossy(&output.stderr))));
        }
        Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    }
}

/// Whether an environment variable tells of the outer build what must not reach the inner one, such as its flags and
/// its target folder. What says how to reach crates stays, and so does cargo's job server, lest two cargos use every
/// core.
fn is_of_the_outer_build(name: &std::ffi::OsStr) -> bool {
    const KEPT: &[&str] = &["CARGO_HOME", "CARGO_MAKEFLAGS", "RUSTUP_HOME"];
    const KEPT_PREFIXES: &[&str] =
        &["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_SOURCE_"];
    let Some(name) = name.to_str() else { return false };
    let outer = name.starts_with("CARGO") || name.starts_with("RUST") || name == "__CARGO_FIX_PLZ";
    outer && !KEPT.contains(&name) && !KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Prints what cargo shall watch of a folder: everything but hidden entries and target folders.
fn watch_folder(folder: &Path) -> Result<(), BuildError> {
    let failed = |error: io::Error| BuildError(format!("can't read {}: {error}", folder.display()));
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with('.'));
        if hidden || path.ends_with("target") {
            continue;
        }
        if path.is_dir() && path.join("Cargo.toml").is_file() {
            watch_folder(&path)?;
        } else {
            // Cargo watches all that is in a folder, new files too.
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inner_build_hears_nothing_of_the_outer_one() {
        for name in [
            "CARGO",
            "CARGO_MANIFEST_DIR",
            "CARGO_TARGET_DIR",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
            "CARGO_ENCODED_RUSTFLAGS",
        ] {
            assert!(is_of_the_outer_build(name.as_ref()), "{name}");
        }
        for name in ["CARGO_HOME", "RUSTUP_HOME", "PATH", "CARGO_NET_OFFLINE", "CARGO_MAKEFLAGS"] {
            assert!(!is_of_the_outer_build(name.as_ref()), "{name}");
        }
    }
}
