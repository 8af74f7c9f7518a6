//! A published size without its files. A program of its own, since it sets the environment.

#![allow(unsafe_code, reason = "sets the environment, before there are threads")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{generate, greedy};
use harness_core::MemoryKind;
use harness_engine::{DTypeChoice, DeviceChoice, LoadOptions};

#[test]
fn a_published_size_without_files_is_synthetic_and_says_so() {
    // The cache of this machine must not have it.
    let nowhere = tempfile::tempdir().unwrap();
    // SAFETY: this is the program's only test, and no thread of it reads the environment meanwhile.
    unsafe { std::env::set_var("HF_HUB_CACHE", nowhere.path()) };
    let options =
        LoadOptions { device: DeviceChoice::Cpu, dtype: Some(DTypeChoice::BF16), seed: 4, ..Default::default() };
    let mut model = harness_engine::load(&options).unwrap();
    let info = model.backend.info().clone();
    assert_eq!((info.weights.as_str(), info.dtype.as_str(), info.parameters), ("synthetic:4", "bf16", 124_439_808));
    assert_eq!(
        model.notes,
        ["the weights of gpt2 are synthetic, drawn from the seed 4: as fast as trained ones, but the text means \
             nothing; use --download or a model folder for real ones"]
    );
    let tokens = generate(&mut model, &[greedy(&[464, 2003], 3)]);
    assert_eq!(tokens[0].len(), 3);
    let memory = model.backend.memory().unwrap();
    assert_eq!(memory.kind, MemoryKind::Resident);
    assert!(memory.allocated > 200 << 20 && memory.peak >= memory.allocated);
}
