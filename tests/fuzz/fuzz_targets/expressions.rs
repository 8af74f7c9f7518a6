//! What is written as one word or line: values of a sweep, sizes and times, devices, references, reports, file names. Each input is
//! read as all of them.
#![no_main]

use std::collections::HashSet;
use std::time::Duration;

use harness_core::text::{deceives, visible_line};
use harness_engine::{DTypeChoice, DeviceChoice};
use harness_fuzz::bounds::within;
use harness_registry::Reference;
use harness_sandbox::file_name;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // The values of an axis and the points of two of them are up to ten thousand short texts.
    within((16 << 20) + 4096 * text.len(), Duration::from_secs(2), || {
        if let Some(names) = harness::fuzzing::sweep(text) {
            assert!(names.iter().take(50).all(|name| file_name::fault(name).is_none()), "{names:?}");
            assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{names:?}");
        }
        harness::fuzzing::units(text);
        if let Some(plugin) = harness::fuzzing::names(text) {
            assert!(!plugin.is_empty() && text.starts_with(&plugin));
        }
        if let Ok(device) = text.parse::<DeviceChoice>() {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        if let Ok(dtype) = text.parse::<DTypeChoice>() {
            assert_eq!(dtype.to_string(), text);
        }
        match text.parse::<Reference>() {
            Ok(reference) => assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference),
            Err(error) => assert!(!error.to_string().contains(deceives)),
        }
        if file_name::fault(text).is_none() {
            assert!(text.len() <= 255 && !text.contains(['/', '\\', '\0']) && !text.starts_with(['.', '-']));
        }
        assert_eq!(file_name::folded(&file_name::folded(text)), file_name::folded(text));
        assert!(!visible_line(text).contains(deceives));
    });
});
