//! The versions of the contract, side by side.
//!
//! Everything in this crate speaks the newest version. An older one is a thin layer over it: its names, each served by the
//! newest version's function, and what has another type there converted. Types are compared by structure, so whatever is
//! the same in both needs no conversion.

#[cfg(test)]
mod tests;
mod v0_1_0;

use std::marker::PhantomData;

use wasmtime::Store;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, HasSelf, Instance, Lift, Linker, Lower, Resource, TypedFunc,
};

use crate::bindings::{self, common, recordings, wit_report};
use crate::state::{RecordingHandle, State};

/// The versions of the contract that this host links, oldest first.
pub const CONTRACT_VERSIONS: &[&str] = &["0.1.0", "0.2.0"];

/// Defines what plugins of every version import.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    v0_1_0::add_to_linker(linker)?;
    bindings::workload::WorkloadPlugin::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

/// `harness:plugin/NAME@VERSION`, as its name and version.
pub(crate) fn item(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("harness:plugin/")?.split_once('@')
}

pub(crate) type Values = Vec<(String, String)>;

/// `describe` of either kind, the same in every version.
pub(crate) type Describe = Export<(), common::Description>;
/// `workload.run`, the same in every version.
pub(crate) type Run = Export<(Values,), Result<Vec<recordings::Reading>, common::Failure>>;
/// `report.render`, the same in every version.
pub(crate) type Render = Export<(Resource<RecordingHandle>, Values), Result<wit_report::Output, common::Failure>>;

/// A function that a plugin exports.
pub(crate) struct Export<Params, Return> {
    index: ComponentExportIndex,
    signature: PhantomData<fn(Params) -> Return>,
}

impl<Params, Return> Export<Params, Return>
where
    Params: ComponentNamedList + Lower,
    Return: Lift + Send + Sync + 'static,
    (Return,): ComponentNamedList + Lift,
{
    /// Finds it in a component. `interface` has the name and the version.
    pub(crate) fn of(component: &Component, interface: &str, function: &str) -> wasmtime::Result<Self> {
        let instance = component.get_export_index(None, interface);
        let index = instance.and_then(|instance| component.get_export_index(Some(&instance), function));
        let index =
            index.ok_or_else(|| wasmtime::format_err!("it exports no function `{function}` in `{interface}`"))?;
        Ok(Self { index, signature: PhantomData })
    }

    pub(crate) fn call(&self, store: &mut Store<State>, plugin: &Instance, params: Params) -> wasmtime::Result<Return> {
        let function: TypedFunc<Params, (Return,)> = plugin.get_typed_func(&mut *store, self.index)?;
        Ok(function.call(store, params)?.0)
    }
}
