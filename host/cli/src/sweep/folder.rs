//! The folder of a sweep: whose it is, and that no other works in it.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::Path;

use harness_core::input::{self, InputError};
use harness_core::private;
use harness_core::text::visible_line;
use harness_engine::DTypeChoice;
use harness_sandbox::Description;
use serde_json::{Value, json};

use crate::advice::freeing;
use crate::failure::Failure;
use crate::invocation::file_stem;
use crate::progress::Screen;
use crate::settings::{ModelSettings, RunSettings};
use crate::{Outcome, files, now, units};

/// Beside the points: what was swept, so that a folder is not gone on with by another sweep.
const MANIFEST: &str = "sweep.json";
/// The most bytes of it.
const MAX_MANIFEST: u64 = 4 << 20;

/// Writes what was swept again, where it went meanwhile: without it another sweep could go on with the folder.
pub(super) fn keep(folder: &Path, manifest: &Value, screen: &Screen) -> Outcome {
    let path = &folder.join(MANIFEST);
    let there = |text: &str| serde_json::from_str::<Value>(text).is_ok_and(|there| there == *manifest);
    match input::read_text(path, MAX_MANIFEST) {
        Ok(text) if there(&text) => return Ok(()),
        Err(error) if error.is_missing() => {}
        _ => {
            return Err(Failure::failed(format!(
                "something else changed {} meanwhile, so that the sweep can't be gone on with; the recordings beside it are whole",
                path.display()
            )));
        }
    }
    match files::create(path, format!("{manifest:#}\n").as_bytes()) {
        Ok(()) => {
            screen.warn(&format!("{} was removed meanwhile, and is written again", path.display()));
            Ok(())
        }
        Err(error) => {
            let told = format!("{} was removed meanwhile, and can't be written again: {error}", path.display());
            Err(Failure::of_place(error.kind(), told))
        }
    }
}

/// Takes a folder away in which nothing was recorded.
pub(super) fn tidy(folder: &Path) {
    let only_manifest = std::fs::read_dir(folder)
        .is_ok_and(|entries| entries.into_iter().all(|entry| entry.is_ok_and(|entry| entry.file_name() == MANIFEST)));
    if only_manifest {
        // Where it can't be removed, it is as good as any other empty folder.
        let _ = std::fs::remove_file(folder.join(MANIFEST)).and_then(|()| std::fs::remove_dir(folder));
    }
}

pub(super) fn new_name(description: &Description) -> String {
    let time = now::in_names(now::now());
    format!("{time}-{}-sweep", file_stem(&description.name))
}

/// What all points share. A folder with another is another sweep's.
pub(super) fn manifest(settings: &RunSettings, sha256: &str) -> Value {
    let swept = |name: &String| settings.sweep.iter().any(|axis| axis.setting == *name);
    let set: Vec<String> =
        settings.set.iter().filter(|(name, _)| !swept(name)).map(|(name, value)| format!("{name}={value}")).collect();
    let mut manifest = json!({
        "schema": "harness-sweep/1",
        "swept": settings.sweep.iter().map(|axis| axis.setting.as_str()).collect::<Vec<_>>(),
        "plugin": sha256, "set": set, "quick": settings.quick, "seed": settings.seed,
    });
    let model_name = |model: &str| if settings.private { private::last_component(model) } else { model.to_owned() };
    let model = match &settings.model {
        // Not whether it may be fetched: that is no other model.
        ModelSettings::Gpt2(options) => json!({
            "backend": options.backend.to_string(), "model": model_name(&options.model), "device": options.device.to_string(),
            "dtype": options.dtype.map(DTypeChoice::as_str), "tf32": options.tf32,
        }),
        ModelSettings::Simulated(simulated) => json!({
            "backend": "simulated",
            "time-to-first-token": units::exact(simulated.time_to_first_token),
            "time-per-token": units::exact(simulated.time_per_token),
            "jitter": simulated.jitter, "run-jitter": simulated.run_jitter, "cold": simulated.cold,
            "memory": simulated.memory, "memory-peak": simulated.memory_peak,
            "fail-at": simulated.fail_at, "real-time": simulated.real_time,
        }),
    };
    if let (Value::Object(manifest), Value::Object(model)) = (&mut manifest, model) {
        manifest.extend(model);
    }
    manifest
}

/// Makes the folder, or finds that it is this sweep's. While what it returns is held, no other sweep works in the folder.
pub(super) fn open(folder: &Path, manifest: &Value) -> Result<File, Failure> {
    let failed = |error: std::io::Error| {
        let told = format!(
            "can't make a sweep in {}: {error}; {}name another folder with --recording",
            folder.display(),
            freeing(&error)
        );
        Failure::of_place(error.kind(), told)
    };
    let path = folder.join(MANIFEST);
    let unread = |error: InputError| {
        Failure::usage(format!(
            "can't read the sweep's {}: {}; name another folder with --recording",
            path.display(),
            error.fault
        ))
    };
    if path.is_symlink() {
        return Err(Failure::usage(format!(
            "{} is a link, and no sweep's; name another folder with --recording",
            path.display()
        )));
    }
    let written = match input::read_text(&path, MAX_MANIFEST) {
        Ok(text) => text,
        Err(error) if error.is_missing() => {
            std::fs::create_dir_all(folder).map_err(failed)?;
            match files::create(&path, format!("{manifest:#}\n").as_bytes()) {
                // Another was a moment faster; what it wrote is looked at like any other.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                written => written.map_err(failed)?,
            }
            input::read_text(&path, MAX_MANIFEST).map_err(unread)?
        }
        Err(error) => return Err(unread(error)),
    };
    // Nothing is shown of a file that may be another's.
    let other: Value = serde_json::from_str(&written).unwrap_or_default();
    if other.get("schema") != manifest.get("schema") {
        return Err(Failure::usage(format!(
            "{} is not what a sweep wrote; name another folder with --recording",
            path.display()
        )));
    }
    if other == *manifest {
        return alone(folder, &path);
    }
    let of = |manifest: &Value, key: &str| manifest.get(key).map_or("none".to_owned(), Value::to_string);
    let keys: BTreeSet<&String> =
        [manifest, &other].into_iter().filter_map(Value::as_object).flat_map(|all| all.keys()).collect();
    let differs = keys.into_iter().filter(|key| manifest.get(*key) != other.get(*key));
    let list: Vec<String> =
        differs.map(|key| format!("  {key}: {} now, {} there", of(manifest, key), of(&other, key))).collect();
    Err(Failure::Usage(format!(
        "{} is another sweep's folder:\n{}\nname another with --recording",
        visible_line(&folder.display().to_string()),
        list.join("\n")
    )))
}

/// The sweep's file, locked: two that measure at once would spoil each other's figures, and set aside each other's
/// recordings.
fn alone(folder: &Path, manifest: &Path) -> Result<File, Failure> {
    let file = input::open(manifest, MAX_MANIFEST).map_err(Failure::usage)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Failure::usage(format!(
            "another harness is at work on the sweep in {}; wait for it, or name another folder with --recording",
            folder.display()
        ))),
        // Not every file system can lock.
        Err(TryLockError::Error(_)) | Ok(()) => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugins_name_leads_its_folder_nowhere() {
        let named = |name: &str| Description {
            name: name.into(),
            version: String::new(),
            summary: String::new(),
            settings: Vec::new(),
        };
        for name in ["x/../../../y", "..\\y", "/etc", "a:b"] {
            let folder = new_name(&named(name));
            assert!(!folder.contains(['/', '\\', ':']) && folder.ends_with("-sweep"), "{folder}");
        }
    }
}
