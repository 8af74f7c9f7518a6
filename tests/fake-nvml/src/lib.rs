//! An NVML whose answers are scripted, so that tests load a `libnvidia-ml.so.1` through the very code that loads the
//! driver's.
//!
//! A test takes this crate as a dev-dependency: cargo then builds the shared library, too, and [`install`] copies it to
//! where the test wants it. A process finds it as the driver's when that folder is in `LD_LIBRARY_PATH`; a test can also
//! open the file by its path. Each copy is a library of its own with a state of its own, so tests may run side by side.
//!
//! What it plays is a list of words, separated by commas, in the file `fake-nvml.scenario` beside the library
//! ([`install`] writes it) or in the environment variable `FAKE_NVML`, which wins:
//!
//! | word | what happens |
//! | --- | --- |
//! | `normal` | one GPU, [`SXM`], at work |
//! | `gpus:N` | that many of it, which may be none |
//! | `two-gpus` | [`PCIE`] is number 0 and [`SXM`] number 1; CUDA, which puts the fastest first, would say the opposite |
//! | `no-FIELD` | `NVML_ERROR_NOT_SUPPORTED` for `energy`, `buffer`, `utilization`, `memory`, `power`, `temperature`, `clocks`, `throttle`, `limits` or `gpm` |
//! | `lost-after:MS` | `NVML_ERROR_GPU_IS_LOST` from then on |
//! | `lost` | the same from the beginning |
//! | `twins` | every GPU says the first one's UUID |
//! | `hang:MS` | the first power reading 50 ms into the run takes that long |
//! | `hang-start:MS`, `hang-stop:MS` | the first or the second reading of the energy counter does |
//! | `throttled:MS`, `hot:MS`, `brake:MS` | the power cap, heat or a power brake holds clocks down from then on |
//! | `uneven` | buffered utilisation has windows of 100 and 300 ms in turn, with 80 and 40 per cent |
//! | `gpm-forbidden` | `NVML_ERROR_NO_PERMISSION` for samples of GPM |
//! | `mig` | the GPU is partitioned |
//! | `old-driver` | the driver is 470, its CUDA 11.4, and its library has no functions for GPM; only as a word of [`install`] |
//! | `sick` | the GPU is set and placed badly, partitioned, hot, and another process is on it |
//! | `stall`, `stall:MS` | the energy counter stands still, always or from then on |
//! | `wrap`, `restart`, `jump` | by its second reading the energy counter went past 2^64, began at 0, or got a megajoule more |
//! | `FUNCTION=KIND@CALL` | from its CALLth call on (counted from 1), one of [`FUNCTIONS`] goes wrong: `fail.CODE` returns that code, `hang` never returns, `lie` succeeds with the largest values, text without an end and numbers that are none, `zero` succeeds with zeros and empty text |
//! | `without:FUNCTION` | the library lacks that function; only as a word of [`install`] |
//! | `hang-load`, `hang-exit` | loading the library never ends, or leaving the process does not |
//! | `mark` | the library makes [`MARK_FILE`] beside itself when it is loaded |
//! | `no-driver`, `mismatch` | `nvmlInit` fails as without a loaded driver, or with another version of it |
//!
//! Times count from the first reading of the energy counter: harness takes that just before its first measured run.
//! Answers depend on the time since `nvmlInit` alone. They imitate an H100 as it was seen to answer: buffered utilisation
//! each 200 ms, buffered power each 20 ms, no buffered clocks, an energy counter that moves each 100 ms, and slots with
//! the time 0 where a buffer has nothing new.

mod answers;
mod exports;
mod faults;
mod gpm;
mod gpu;
mod scenario;
mod state;

use std::io;
use std::path::{Path, PathBuf};

pub use exports::FUNCTIONS;
pub use gpu::{Gpu, PCIE, SXM};

/// The name under which the driver installs NVML.
pub const LIBRARY_NAME: &str = "libnvidia-ml.so.1";

/// What a library that was told to `mark` makes beside itself.
pub const MARK_FILE: &str = "fake-nvml.loaded";

const SCENARIO_FILE: &str = "fake-nvml.scenario";

/// Copies the library into a folder as `libnvidia-ml.so.1`, to play that scenario, and returns the copy's path.
///
/// # Errors
///
/// When the scenario has an unknown word, the library was not built, or the folder can't be written.
pub fn install(folder: &Path, scenario: &str) -> io::Result<PathBuf> {
    let parsed = scenario::parse(scenario).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let library = folder.join(LIBRARY_NAME);
    let mut bytes = std::fs::read(library_path()?)?;
    if parsed.old_driver {
        hide(&mut bytes, b"nvmlGpm");
    }
    for function in &parsed.without {
        // Whole names only.
        hide(&mut bytes, &[function.as_bytes(), &[0]].concat());
    }
    std::fs::write(&library, bytes)?;
    std::fs::write(folder.join(SCENARIO_FILE), scenario)?;
    Ok(library)
}

/// Renames what a library exports under names that start so. The linker finds names by their hashes, which stay, and then compares
/// them: it finds neither the old nor the new ones.
fn hide(library: &mut [u8], prefix: &[u8]) {
    let mut at = 0;
    while let Some(found) = library[at..].windows(prefix.len()).position(|bytes| bytes == prefix) {
        library[at + found] = b'_';
        at += found + prefix.len();
    }
}

/// The shared library as cargo built it, beside the test that asks or a folder above.
///
/// # Errors
///
/// When it is not there.
pub fn library_path() -> io::Result<PathBuf> {
    let test = std::env::current_exe()?;
    test.ancestors()
        .skip(1)
        .take(2)
        .flat_map(|folder| [folder.join("deps"), folder.to_path_buf()])
        .map(|folder| folder.join("libfake_nvml.so"))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            let place = test.parent().unwrap_or(&test).display().to_string();
            io::Error::new(io::ErrorKind::NotFound, format!("libfake_nvml.so was not built in {place}"))
        })
}
