use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness_core::{Facts, Recorder, Status};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

use super::*;
use crate::{Compiler, Limits, NoLog, PluginError, Sandbox};

fn text(version: &str) -> PathBuf {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let newest = CONTRACT_VERSIONS.last() == Some(&version);
    if newest { wit.join("plugin.wit") } else { wit.join(version).join("plugin.wit") }
}

/// A component that imports and exports all of a contract, and traps where it is called.
fn everything_of(version: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_file(text(version)).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

/// Linking compares types: a function that is missing or has another type fails here.
#[test]
fn every_version_is_served_whole() {
    for version in CONTRACT_VERSIONS {
        let plugin = Sandbox::new(Compiler::InProcess, None).unwrap().load(version, &everything_of(version)).unwrap();
        assert_eq!(plugin.contract(), *version);
        let trapped = |result: Result<(), PluginError>| {
            let message = result.unwrap_err().to_string();
            assert!(message.contains("unreachable"), "{version}: {message}");
        };
        let limits = Limits::default();
        trapped(plugin.describe_workload(&limits).map(drop));
        trapped(plugin.describe_report(&limits).map(drop));
        let recording =
            Recorder::in_memory(Facts::new()).end(Status::Complete, None, Vec::new(), String::new()).recording;
        trapped(plugin.render(Arc::new(recording), &[], &limits, Arc::new(NoLog)).map(drop));
    }
}

#[test]
fn the_newest_version_is_the_text_in_wit() {
    let wit = std::fs::read_to_string(text("0.2.0")).unwrap();
    assert!(wit.contains(&format!("package harness:plugin@{};", CONTRACT_VERSIONS.last().unwrap())));
}
