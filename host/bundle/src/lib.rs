//! The built-in plugins, compiled from `plugins/` by the build script and embedded.
//!
//! The same components lie as files in `target/plugins/`.

/// A plugin that comes with harness.
#[derive(Clone, Copy)]
pub struct Builtin {
    /// As the user names it, without `.wasm`.
    pub name: &'static str,
    /// The component's bytes.
    pub wasm: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/builtins.rs"));

/// The built-in plugin of that name, with or without `.wasm`.
pub fn builtin(name: &str) -> Option<&'static Builtin> {
    let name = name.strip_suffix(".wasm").unwrap_or(name);
    BUILTINS.iter().find(|builtin| builtin.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtins_are_components_found_by_name_and_file_name() {
        for name in ["default", "table", "json", "csv", "markdown", "html", "prometheus", "bencher", "junit"] {
            let found = builtin(name).unwrap();
            assert_eq!(builtin(&format!("{name}.wasm")).unwrap().name, name);
            // Magic, then version 13 and layer 1: a component, where a core module has version 1 and layer 0.
            assert_eq!(&found.wasm[..8], b"\0asm\x0d\0\x01\0", "{name}");
        }
        assert!(builtin("other").is_none());
        assert!(builtin(".wasm").is_none());
    }
}
