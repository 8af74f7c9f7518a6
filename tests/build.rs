//! Compiles the guests that tests run: hostile ones, and the example that stands alone.

use std::path::Path;

use harness_guest_build::{BuildError, build};

fn main() -> Result<(), BuildError> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wit = here.join("../wit");
    for (name, workspace, package) in
        [("HOSTILE", "guests/hostile", "hostile"), ("EXAMPLE", "../examples/prompt-lengths", "prompt-lengths")]
    {
        let components = build(&here.join(workspace), &[package], &[&wit])?;
        for component in components {
            println!("cargo::rustc-env={name}={}", component.display());
        }
    }
    Ok(())
}
