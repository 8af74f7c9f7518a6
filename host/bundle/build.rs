//! Compiles the built-in plugins, lays them in `<target>/plugins/` and generates `BUILTINS`, which embeds them.

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

/// In the order in which they are listed.
const NAMES: &[&str] = &["default", "table", "json", "csv", "markdown", "html", "prometheus", "bencher", "junit"];

fn main() -> Result<(), Message> {
    bundle().map_err(|error| Message(error.to_string()))
}

fn bundle() -> Result<(), Box<dyn Error>> {
    let packages: Vec<String> = NAMES.iter().map(|name| format!("harness-{name}")).collect();
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    // Asked for now: a build script made in another checkout, with the same target folder, is not made anew.
    let workspace = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../plugins");
    let figures = workspace.join("../figures");
    let components = harness_guest_build::build(&workspace, &packages, &[&figures])?;

    let shown = harness_guest_build::outer_target_folder()?.join("plugins");
    fs::create_dir_all(&shown)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut source = String::from("/// The built-in plugins.\npub const BUILTINS: &[Builtin] = &[\n");
    for (name, component) in NAMES.iter().zip(components) {
        let file = format!("{name}.wasm");
        fs::copy(&component, shown.join(&file))?;
        // Embedded from here, where nobody deletes it.
        fs::copy(&component, out.join(&file))?;
        writeln!(
            source,
            "    Builtin {{ name: {name:?}, wasm: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\")) }},"
        )?;
    }
    source.push_str("];\n");
    fs::write(out.join("builtins.rs"), source)?;
    Ok(())
}

/// Cargo shows what `main` returns by its `Debug`.
struct Message(String);

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
