//! The contract does not change under a version that it has: `wit/LOCK` has a line a version with the hash of its text.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().fold("sha256:".to_owned(), |hash, byte| hash + &format!("{byte:02x}"))
}

/// Of `package harness:plugin@0.1.0;`.
fn version(wit: &str) -> &str {
    let package = wit.lines().find_map(|line| line.strip_prefix("package harness:plugin@"));
    package.unwrap().trim_end_matches(';')
}

/// What the lock has to be for a contract, or what to do.
fn checked(lock: &str, wit: &str, update: bool) -> Result<String, String> {
    let (version, hash) = (version(wit), hash(wit));
    let mut lines: Vec<String> = lock.lines().map(str::to_owned).collect();
    let line = lines.iter_mut().find(|line| line.split(' ').next() == Some(version));
    let released = line.as_ref().is_some_and(|line| line.ends_with(" released"));
    let known = line.as_ref().is_some_and(|line| line.split(' ').nth(1) == Some(&hash));
    match line {
        _ if known => {}
        _ if released => {
            return Err(format!(
                "wit/plugin.wit changed, but {version} is released and never changes: keep its text as wit/{version}/plugin.wit, and \
                 give the package the next version. wit/VERSIONING.md says which and how"
            ));
        }
        _ if !update => {
            return Err(format!(
                "wit/plugin.wit changed, and wit/LOCK does not know its text as {version}, which is not released yet: \
                 UPDATE_DOCS=1 cargo test -p harness-bundle writes the hash anew"
            ));
        }
        Some(line) => *line = format!("{version} {hash}"),
        None => lines.push(format!("{version} {hash}")),
    }
    Ok(lines.join("\n") + "\n")
}

#[test]
fn the_contract_has_the_text_of_its_version() {
    let lock = fs::read_to_string(folder().join("LOCK")).unwrap_or_default();
    let wit = fs::read_to_string(folder().join("plugin.wit")).unwrap();
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    match checked(&lock, &wit, update) {
        Ok(checked) if checked != lock => fs::write(folder().join("LOCK"), checked).unwrap(),
        Ok(_) => {}
        Err(message) => panic!("{message}"),
    }
}

/// Bindings for old plugins are made from these.
#[test]
fn earlier_versions_are_kept_as_they_were_released() {
    let current = fs::read_to_string(folder().join("plugin.wit")).unwrap();
    let lock = fs::read_to_string(folder().join("LOCK")).unwrap();
    for line in lock.lines() {
        let mut words = line.split(' ');
        let (Some(earlier), Some(expected)) = (words.next(), words.next()) else {
            panic!("wit/LOCK: '{line}' is no version and hash")
        };
        if earlier != version(&current) {
            let kept = fs::read_to_string(folder().join(earlier).join("plugin.wit")).unwrap_or_default();
            assert_eq!(hash(&kept), expected, "wit/{earlier}/plugin.wit is not the text that was released");
        }
    }
}

#[test]
fn a_released_version_never_changes() {
    let wit = |version: &str, body: &str| format!("/// Doc.\npackage harness:plugin@{version};\n{body}");
    let first = checked("", &wit("0.1.0", "a"), true).unwrap();
    assert_eq!(checked(&first, &wit("0.1.0", "a"), false).unwrap(), first);
    assert!(checked(&first, &wit("0.1.0", "b"), false).unwrap_err().contains("UPDATE_DOCS=1"));
    let changed = checked(&first, &wit("0.1.0", "b"), true).unwrap();
    assert_ne!(changed, first);

    let released = changed.replace('\n', " released\n");
    assert_eq!(checked(&released, &wit("0.1.0", "b"), false).unwrap(), released);
    assert!(checked(&released, &wit("0.1.0", "c"), true).unwrap_err().contains("never changes"));
    let next = checked(&released, &wit("0.2.0", "c"), true).unwrap();
    assert!(next.starts_with(&released) && next.lines().count() == 2, "{next}");
}
