//! The layout of a component as an OCI artifact: how it is written, and what is taken for one.

use std::collections::BTreeMap;

use harness_core::keyed;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::text::shown;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const LAYER: &str = "application/wasm";

/// The most bytes of a manifest: what the OCI distribution specification asks registries to take at least.
pub(crate) const MOST_MANIFEST: u64 = 4 << 20;
/// The most bytes of a component. One with an interpreter in it has 12 to 18 MB.
pub const MOST_COMPONENT: u64 = 256 << 20;

/// A component and what is said of it, to be pushed.
#[derive(Clone, Debug)]
pub struct Artifact<'a> {
    /// Its bytes.
    pub component: &'a [u8],
    /// Everything that it imports.
    pub imports: &'a [String],
    /// Everything that it exports.
    pub exports: &'a [String],
    /// What it is called.
    pub title: &'a str,
    /// Its own version.
    pub version: &'a str,
    /// One sentence.
    pub description: &'a str,
}

/// What is sent beside the component.
pub(crate) struct Documents {
    pub(crate) layer: Digest,
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
}

/// As `wkg` has it: what tells a registry or an index what is in the artifact.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    created: &'static str,
    author: Option<&'a str>,
    architecture: &'static str,
    os: &'static str,
    layer_digests: [&'a str; 1],
    component: Component<'a>,
}

#[derive(Serialize)]
struct Component<'a> {
    exports: &'a [String],
    imports: &'a [String],
    target: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'static str,
    config: Descriptor<'a>,
    layers: [Descriptor<'a>; 1],
    annotations: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'static str,
    digest: &'a str,
    size: usize,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

/// The documents of an artifact. The same component gives the same bytes, so it has one digest in every registry: that is why
/// its time is the epoch.
pub(crate) fn documents(artifact: &Artifact<'_>) -> Result<Documents, serde_json::Error> {
    let layer = Digest::of(artifact.component);
    let config = serde_json::to_vec(&Config {
        created: "1970-01-01T00:00:00Z",
        author: None,
        architecture: "wasm",
        os: "wasip2",
        layer_digests: [layer.as_str()],
        component: Component { exports: artifact.exports, imports: artifact.imports, target: None },
    })?;
    let manifest = serde_json::to_vec(&Manifest {
        schema_version: 2,
        media_type: MANIFEST,
        config: Descriptor {
            media_type: CONFIG,
            digest: Digest::of(&config).as_str(),
            size: config.len(),
            annotations: BTreeMap::new(),
        },
        layers: [Descriptor {
            media_type: LAYER,
            digest: layer.as_str(),
            size: artifact.component.len(),
            // By which tools name the file that they write.
            annotations: [("org.opencontainers.image.title", format!("{}.wasm", artifact.title))].into(),
        }],
        annotations: [
            ("org.opencontainers.image.title", artifact.title),
            ("org.opencontainers.image.version", artifact.version),
            ("org.opencontainers.image.description", artifact.description),
        ]
        .into(),
    })?;
    Ok(Documents { layer, config, manifest })
}

/// The component that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    schema_version: u32,
    media_type: Option<String>,
    #[serde(default, deserialize_with = "keyed::optional")]
    config: Option<FoundDescriptor>,
    #[serde(default, deserialize_with = "keyed::list")]
    layers: Vec<FoundDescriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FoundDescriptor {
    media_type: String,
    digest: String,
    size: u64,
}

/// Reads a manifest that was checked against its digest. The error says what is wrong with it.
pub(crate) fn layer(manifest: &[u8]) -> Result<Layer, String> {
    let found: Found = keyed::document(manifest)
        .map_err(|error| format!("its manifest can't be read ({})", shown(&error.to_string(), 200)))?;
    match found.media_type.as_deref() {
        None | Some(MANIFEST) => {}
        Some(INDEX) => return Err("it is an index of several artifacts".into()),
        Some(other) => return Err(format!("its manifest is of the type '{}', not {MANIFEST}", shown(other, 100))),
    }
    if found.schema_version != 2 {
        return Err(format!("its manifest is of version {}, not 2", found.schema_version));
    }
    match &found.config {
        Some(config) if config.media_type == CONFIG => {}
        Some(config) => {
            return Err(format!("its config is of the type '{}', not {CONFIG}", shown(&config.media_type, 100)));
        }
        None => return Err("its manifest has no config".into()),
    }
    let [layer] = found.layers.as_slice() else {
        return Err(format!("it has {} layers, and a component is one", found.layers.len()));
    };
    if layer.media_type != LAYER {
        return Err(format!("its layer is of the type '{}', not {LAYER}", shown(&layer.media_type, 100)));
    }
    if layer.size > MOST_COMPONENT {
        return Err(format!("its component has {} bytes, and {MOST_COMPONENT} are the most", layer.size));
    }
    let digest = layer
        .digest
        .parse()
        .map_err(|what: String| format!("its layer's digest can't be used: {}", shown(&what, 200)))?;
    Ok(Layer { digest, size: layer.size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact() -> Documents {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        documents(&Artifact {
            component: b"\0asm",
            imports: &names(&["harness:plugin/bench@0.1.0"]),
            exports: &names(&["harness:plugin/workload@0.1.0"]),
            title: "mine",
            version: "0.1.0",
            description: "Measures.",
        })
        .unwrap()
    }

    /// The bytes, because their hash is what users pin: a change here gives every plugin a new digest.
    #[test]
    fn an_artifact_is_written_as_wkg_writes_it() {
        let documents = artifact();
        assert_eq!(
            String::from_utf8(documents.config).unwrap(),
            r#"{"created":"1970-01-01T00:00:00Z","author":null,"architecture":"wasm","os":"wasip2","layerDigests":["sha256:cd5d4935a48c0672cb06407bb443bc0087aff947c6b864bac886982c73b3027f"],"component":{"exports":["harness:plugin/workload@0.1.0"],"imports":["harness:plugin/bench@0.1.0"],"target":null}}"#
        );
        let manifest: serde_json::Value = serde_json::from_slice(&documents.manifest).unwrap();
        assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
        assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
        assert_eq!(manifest["layers"][0]["annotations"]["org.opencontainers.image.title"], "mine.wasm");
        assert_eq!(manifest["annotations"]["org.opencontainers.image.version"], "0.1.0");
        assert_eq!(layer(&documents.manifest).unwrap(), Layer { digest: Digest::of(b"\0asm"), size: 4 });
    }

    #[test]
    fn what_is_no_component_is_refused_by_its_manifest() {
        let whole: serde_json::Value = serde_json::from_slice(&artifact().manifest).unwrap();
        let changed = |pointer: &str, value: serde_json::Value| {
            let mut manifest = whole.clone();
            *manifest.pointer_mut(pointer).unwrap() = value;
            layer(&serde_json::to_vec(&manifest).unwrap()).unwrap_err()
        };
        let twice = [whole["layers"][0].clone(), whole["layers"][0].clone()];
        let docker = "application/vnd.docker.distribution.manifest.v2+json";
        for (error, what) in [
            (changed("/mediaType", docker.into()), "manifest is of the type 'application/vnd.docker"),
            (changed("/mediaType", INDEX.into()), "an index of several artifacts"),
            (changed("/schemaVersion", 1.into()), "of version 1"),
            (changed("/config", serde_json::Value::Null), "no config"),
            (changed("/config/mediaType", "a/b\u{1b}[2J".into()), "config is of the type 'a/b\\u{1b}[2J'"),
            (changed("/layers", twice.as_slice().into()), "2 layers"),
            (changed("/layers", serde_json::json!([])), "0 layers"),
            (changed("/layers/0/mediaType", "application/gzip".into()), "layer is of the type 'application/gzip'"),
            (changed("/layers/0/digest", "sha256:../../x".into()), "digest can't be used"),
            (changed("/layers/0/size", (MOST_COMPONENT + 1).into()), "268435457 bytes"),
            (changed("/layers/0/size", (-1).into()), "can't be read"),
            (changed("/layers/0/digest", format!("\u{202e}{}", "x".repeat(1 << 20)).into()), "used: '\\u{202e}xxx"),
            (changed("/layers/0/size", format!("\u{202e}{}", "x".repeat(1 << 20)).into()), "can't be read"),
            (changed("/mediaType", "x".repeat(1 << 20).into()), "manifest is of the type 'xxx"),
            (layer("[".repeat(1 << 20).as_bytes()).unwrap_err(), "can't be read"),
            (layer(format!("{{\"x\":{}", "[".repeat(1 << 20)).as_bytes()).unwrap_err(), "can't be read"),
            (layer(b"").unwrap_err(), "can't be read"),
            (layer(b"[]").unwrap_err(), "can't be read (invalid type: sequence, expected an object"),
            (
                changed("/layers/0", serde_json::json!([LAYER, "x", 1])),
                "can't be read (invalid type: sequence, expected an object",
            ),
            (changed("/config", 5.into()), "can't be read (invalid type: integer `5`, expected an object"),
            (layer(b"<html>").unwrap_err(), "can't be read"),
        ] {
            assert!(error.contains(what) && error.len() < 600, "{what}: {error}");
            assert!(!error.contains(['\u{1b}', '\u{202e}']), "{what}: {error}");
        }
    }
}
