//! The engine and the linker that all plugins share, and how a component is recognised and loaded.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use harness_core::text::visible_line;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

use crate::cache::Cache;
use crate::compile::{self, CompileError, Compiled, Compiler};
use crate::error::PluginError;
use crate::guest_clock::TICK;
use crate::kinds::Kinds;
use crate::limits::LimitError;
use crate::plugin::{Loaded, Plugin, refused};
use crate::state::State;
use crate::versions::{self, CONTRACT_VERSIONS};
use crate::wasi;

/// The engine and linker of an invocation, and what compiles and keeps components.
pub struct Sandbox {
    engine: Engine,
    linker: Arc<Linker<State>>,
    compiler: Compiler,
    cache: Option<Cache>,
}

impl Sandbox {
    /// A sandbox that keeps compiled components in `cache`, a folder that must be this user's own: what is in it is run. `None`
    /// compiles each time.
    pub fn new(compiler: Compiler, cache: Option<&Path>) -> Result<Self, PluginError> {
        let failed = |error: wasmtime::Error| PluginError::Sandbox(format!("{error:#}"));
        let engine = Engine::new(&compile::config(compile::memory_images())).map_err(failed)?;
        let mut linker = Linker::<State>::new(&engine);
        wasi::add_to_linker(&mut linker).map_err(failed)?;
        versions::add_to_linker(&mut linker).map_err(failed)?;
        tick(&engine)
            .map_err(|error| PluginError::Sandbox(format!("no thread for the clock of its limits: {error}")))?;
        let cache = cache.map(|folder| Cache::new(folder, &engine));
        Ok(Self { engine, linker: Arc::new(linker), compiler, cache })
    }

    /// Loads a component. `plugin` names it in messages.
    pub fn load(&self, plugin: &str, bytes: &[u8]) -> Result<Plugin, PluginError> {
        recognise(plugin, bytes)?;
        let started = Instant::now();
        let sha256 = sha256(bytes);
        let Compiled { footprint, artifact } = self.compiled(plugin, bytes, &sha256)?;
        let component = deserialize(&self.engine, &artifact).map_err(|error| match compile::out_of_memory(&error) {
            true => refused(plugin),
            false => PluginError::Compiler {
                plugin: plugin.to_owned(),
                what: format!("what was compiled can't be used ({})", first_line(&error)),
            },
        })?;
        drop(artifact);
        let kinds = self.contract(plugin, &component)?;
        let loaded = Loaded { sha256, component, kinds, footprint, started };
        Plugin::link(plugin, loaded, &self.engine, &self.linker)
    }

    /// From the cache, or compiled and kept.
    fn compiled(&self, plugin: &str, bytes: &[u8], sha256: &str) -> Result<Compiled, PluginError> {
        if let Some(compiled) = self.cache.as_ref().and_then(|cache| cache.get(sha256)) {
            return Ok(compiled);
        }
        let plugin = || plugin.to_owned();
        let compiled = self.compiler.compile(&self.engine, bytes).map_err(|error| match error {
            CompileError::Invalid(reason) => PluginError::NotAComponent {
                plugin: plugin(),
                what: format!("damaged ({})", visible_line(&reason)),
                remedy: "Build or download it again".into(),
            },
            CompileError::OutOfMemory => {
                PluginError::Compiler { plugin: plugin(), what: "there is no memory for it".into() }
            }
            CompileError::Limit(LimitError(limit)) => PluginError::LoadLimit { plugin: plugin(), limit },
            CompileError::System(what) => PluginError::System { plugin: plugin(), what },
            CompileError::Broken(what) => {
                PluginError::Compiler { plugin: plugin(), what: visible_line(&what).into_owned() }
            }
        })?;
        if let Some(cache) = &self.cache
            && let Err(error) = cache.put(sha256, &compiled)
        {
            tracing::warn!(target: "harness::note", "{} is compiled anew each time: it can't be kept in the cache: {error}", plugin());
        }
        Ok(compiled)
    }

    /// Which of the two interfaces the component exports, and of which version.
    fn contract(&self, plugin: &str, component: &Component) -> Result<Kinds, PluginError> {
        let ty = component.component_type();
        let exports: Vec<(String, bool)> = ty
            .exports(&self.engine)
            .map(|(name, item)| (name.to_owned(), matches!(item.ty, ComponentItem::ComponentInstance(_))))
            .collect();
        let imports: Vec<String> = ty.imports(&self.engine).map(|(name, _)| name.to_owned()).collect();
        let ours = exports.iter().map(|(name, _)| name).chain(&imports).filter_map(|name| versions::item(name));
        let mut built_for: Vec<&str> = ours.map(|(_, version)| version).collect();
        if let Some(unknown) = built_for.iter().find(|version| !CONTRACT_VERSIONS.contains(version)) {
            return Err(unknown_version(plugin, unknown));
        }
        let place = |version: &str| CONTRACT_VERSIONS.iter().position(|known| *known == version);
        built_for.sort_by_key(|version| place(version));
        built_for.dedup();
        // One that exports several versions of an interface is called through the newest.
        let exported = |interface: &str| {
            let instances = exports.iter().filter(|(_, instance)| *instance).map(|(name, _)| name);
            let known = instances.filter_map(|name| Some((name, versions::item(name)?)));
            let of_it = known.filter(|(_, (item, _))| *item == interface);
            of_it.max_by_key(|(_, (_, version))| place(version)).map(|(name, _)| name.to_owned())
        };
        let (workload, report) = (exported("workload"), exported("report"));
        let contract = built_for.join(", ");
        if workload.is_none() && report.is_none() {
            let names: Vec<&str> = exports.iter().take(4).map(|(name, _)| name.as_str()).collect();
            let found =
                if names.is_empty() { ", nor anything else".into() } else { format!(", only {}", names.join(", ")) };
            return Err(PluginError::NotAPlugin { plugin: plugin.to_owned(), found });
        }
        Ok(Kinds { workload, report, contract, exports: exports.into_iter().map(|(name, _)| name).collect(), imports })
    }
}

fn unknown_version(plugin: &str, found: &str) -> PluginError {
    let number =
        |version: &str| -> Vec<u64> { version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect() };
    let newest = CONTRACT_VERSIONS.last().copied().unwrap_or_default();
    let remedy = if number(found) > number(newest) {
        format!(
            "Use a newer harness, or a build of the plugin for {newest}. For its author: build against wit/ of harness {}",
            env!("CARGO_PKG_VERSION")
        )
    } else {
        format!(
            "Use a newer build of the plugin. For its author: build against {newest}; wit/VERSIONING.md says what changed"
        )
    };
    PluginError::Contract {
        plugin: plugin.to_owned(),
        found: found.to_owned(),
        supported: CONTRACT_VERSIONS.join(", "),
        remedy,
    }
}

/// Says what a file is that is no component, before a compiler says it less kindly.
fn recognise(plugin: &str, bytes: &[u8]) -> Result<(), PluginError> {
    let refuse = |what: &str, remedy: &str| {
        Err(PluginError::NotAComponent { plugin: plugin.to_owned(), what: what.to_owned(), remedy: remedy.to_owned() })
    };
    match bytes {
        [] => refuse("an empty file", "Build or download it again"),
        // Magic, then version and layer: a component has layer 1.
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => refuse(
            "a core WebAssembly module",
            "Ask for a build of it that is one. For its author: build for the target wasm32-wasip2, or wrap it with `wasm-tools \
             component new`",
        ),
        [0, b'a', b's', b'm', ..] => refuse("WebAssembly of an unknown or cut encoding", "Build or download it again"),
        _ => refuse("no WebAssembly at all", "Check that this is the file you meant"),
    }
}

fn first_line(error: &wasmtime::Error) -> String {
    format!("{error:#}").lines().next().unwrap_or_default().to_owned()
}

/// The hash by which a plugin is known: of its bytes, in lowercase hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What makes a component of an artifact of this engine.
#[allow(unsafe_code, reason = "wasmtime runs what it is given here as native code, and can't tell where it comes from")]
fn deserialize(engine: &Engine, artifact: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: artifacts come from this sandbox's own compiler or from its cache, which this user alone can write to.
    unsafe { Component::deserialize(engine, artifact) }
}

/// Moves the engine's epoch on until the engine is gone.
fn tick(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new().name("guest-clock".into()).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    })?;
    Ok(())
}
