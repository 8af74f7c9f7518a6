//! What an instance of a component takes beside its linear memories and tables, which wasmtime asks the limiter for.
//!
//! wasmtime allocates a context for each core instance, which holds its globals, its functions that have references, and its
//! imports, and each passive element segment, without asking anybody. Their sizes are in the metadata of the compiled
//! component, and a component says statically which modules it instantiates how often.

use object::read::elf::ElfFile64;
use object::{Object, ObjectSection};
use serde::{Deserialize, Serialize};
use wasmtime_environ::component::{ComponentArtifacts, GlobalInitializer, InstantiateModule, VMComponentOffsets};
use wasmtime_environ::{HostPtr, Module, StaticModuleIndex, VMOffsets, obj};

/// What one instance takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Footprint {
    /// Core instances.
    pub(crate) instances: u64,
    /// Bytes of all of them.
    pub(crate) bytes: u64,
}

/// About what wasmtime keeps of an instance beside its context.
const INSTANCE: u64 = 1 << 10;
/// About what it keeps of a component inside the component, with its table of handles.
const PART: u64 = 512;
/// An element of a passive segment: `wasmtime`'s `ValRaw`.
const ELEMENT: u64 = 16;
/// A passive segment, whatever is in it, with its allocation.
const SEGMENT: u64 = 64;

impl Footprint {
    /// Reads it from what `Engine::precompile_component` made.
    pub(crate) fn of(artifact: &[u8]) -> Result<Self, String> {
        let unreadable = |error: &dyn std::fmt::Display| format!("what was compiled can't be read again ({error})");
        let file = ElfFile64::<object::Endianness>::parse(artifact).map_err(|error| unreadable(&error))?;
        let section = file.section_by_name(obj::ELF_WASMTIME_INFO).ok_or_else(|| unreadable(&"no metadata"))?;
        let metadata = section.data().map_err(|error| unreadable(&error))?;
        let artifacts: ComponentArtifacts = postcard::from_bytes(metadata).map_err(|error| unreadable(&error))?;
        let component = &artifacts.info.component;
        let context = u64::from(VMComponentOffsets::new(HostPtr, component).size_of_vmctx());
        let parts = u64::from(component.num_runtime_component_instances);
        let mut footprint = Self { instances: 0, bytes: context.saturating_add(parts.saturating_mul(PART)) };
        let sizes: Vec<u64> = artifacts.static_modules.values().map(|compiled| size(&compiled.module)).collect();
        for initializer in &component.initializers {
            if let GlobalInitializer::InstantiateModule(InstantiateModule::Static(index, _), _) = initializer {
                let size = sizes.get(StaticModuleIndex::as_u32(*index) as usize).copied().unwrap_or(0);
                footprint.instances += 1;
                footprint.bytes = footprint.bytes.saturating_add(size);
            }
        }
        Ok(footprint)
    }
}

fn size(module: &Module) -> u64 {
    let context = u64::from(VMOffsets::new(HostPtr, module).size_of_vmctx());
    let elements =
        module.passive_elements.values().map(|(_, count)| count.saturating_mul(ELEMENT).saturating_add(SEGMENT));
    elements.fold(context + INSTANCE, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Footprint {
        let engine = wasmtime::Engine::new(&crate::compile::config(true)).unwrap();
        Footprint::of(&engine.precompile_component(&wat::parse_str(text).unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn what_each_instance_takes_is_counted() {
        let twice = |module: &str, times: usize| {
            let instances = "(core instance (instantiate $m))".repeat(times);
            of(&format!("(component (core module $m {module}) {instances})"))
        };
        assert_eq!(twice("", 0).instances, 0);
        let globals = "(global (mut i64) (i64.const 1))".repeat(1000);
        let (none, one, three) = (twice(&globals, 0), twice(&globals, 1), twice(&globals, 3));
        assert_eq!((one.instances, three.instances), (1, 3));
        assert!(one.bytes - none.bytes >= 16_000, "{one:?}");
        assert_eq!(three.bytes - none.bytes, 3 * (one.bytes - none.bytes));
        let elements = format!("(func $f) (table 1 funcref) (elem func {})", "$f ".repeat(10_000));
        assert!(twice(&elements, 1).bytes >= 160_000);
        assert!(twice(&"(elem funcref)".repeat(1000), 1).bytes >= 64_000);
    }

    #[test]
    fn instances_of_nested_components_are_counted() {
        let nested = "(component $a (core module $m (global (mut i64) (i64.const 1))) (core instance (instantiate $m)) (core instance (instantiate $m)))";
        let three = of(&format!(
            "(component {nested} (instance (instantiate $a)) (instance (instantiate $a)) (instance (instantiate $a)))"
        ));
        assert_eq!(three.instances, 6);
    }

    #[test]
    fn what_is_no_artifact_is_said() {
        for bytes in [&b""[..], b"\x7fELF", &[0; 4096]] {
            assert!(Footprint::of(bytes).unwrap_err().contains("can't be read again"));
        }
    }
}
