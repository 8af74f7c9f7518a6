//! Compiles the guests that tests run: hostile ones, and the examples in Rust, which stand alone.

use std::path::PathBuf;

use harness_guest_build::{BuildError, build};

fn main() -> Result<(), BuildError> {
    // Cargo runs a build script in its package's folder. Asked for when it runs: one made in another checkout, with the
    // same target folder, is not made anew.
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let wit = here.join("../wit");
    for (name, workspace, package) in [
        ("HOSTILE", "guests/hostile", "hostile"),
        ("EXAMPLE", "../examples/latency-sweep", "latency-sweep"),
        ("UNTIL_STABLE", "../examples/until-stable", "until-stable"),
    ] {
        let components = build(&here.join(workspace), &[package], &[&wit])?;
        for component in components {
            println!("cargo::rustc-env={name}={}", component.display());
        }
    }
    Ok(())
}
