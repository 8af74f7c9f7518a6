//! Plugins as OCI artifacts: how they are named, fetched, verified, kept on this machine, and pushed.
//!
//! This crate alone knows OCI and the network; to it a component is bytes. The layout is the one that `wkg` reads and writes: a
//! manifest with the config `application/vnd.wasm.config.v0+json` and one layer `application/wasm`
//! ([CNCF TAG Runtime, Wasm OCI Artifact](https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/)).
//!
//! A reference's digest is the sha256 of the manifest, as every OCI tool has it; the manifest names the sha256 of the component.
//! So the one pins the other. Nothing is returned that was not checked against its digest, whether it came from a registry or
//! from the cache.
//!
//! All requests go through one client (`network/http.rs`), bounded in time, size and redirects; which addresses a registry may
//! name, and which of them may have its password, `network/address.rs` alone says.

mod cache;
mod credentials;
mod digest;
mod error;
mod file;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod layout;
mod network;
mod private_folder;
mod reference;
mod registry;
mod text;

pub use error::RegistryError;
pub use layout::{Artifact, MOST_COMPONENT};
pub use network::Times;
pub use private_folder::{FolderError, private_folder};
pub use reference::Reference;
pub use registry::{Options, Pulled, Registry};
