//! Functions that fail, hang or lie from some call on, and a library that is loaded or left badly.

#![allow(unsafe_code, reason = "it is a C library")]

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use nvml_wrapper_sys::bindings::nvmlReturn_t;

use crate::scenario::Scenario;
use crate::state;

/// What goes wrong in a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It returns that code.
    Fail(nvmlReturn_t),
    /// It never returns.
    Hang,
    /// It succeeds with the largest values, text without an end and numbers that are none.
    Lie,
    /// It succeeds with zeros and empty text.
    Zero,
}

/// What goes wrong in which function, from which of its calls on, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) function: String,
    pub(crate) kind: Kind,
    pub(crate) from: u32,
}

/// What is written over an answer; nothing for an argument that is handed in.
pub(crate) trait Lie {
    fn tell(self, zero: bool);
}

/// `FUNCTION=KIND@CALL`.
pub(crate) fn parse(word: &str) -> Option<Fault> {
    let (function, what) = word.split_once('=')?;
    let (kind, from) = what.split_once('@')?;
    let kind = match kind.split_once('.') {
        Some(("fail", code)) => Kind::Fail(code.parse().ok()?),
        Some(_) => return None,
        None => match kind {
            "hang" => Kind::Hang,
            "lie" => Kind::Lie,
            "zero" => Kind::Zero,
            _ => return None,
        },
    };
    let function = crate::FUNCTIONS.iter().find(|known| **known == function)?;
    Some(Fault { function: (*function).to_owned(), kind, from: from.parse().ok()? })
}

/// Counts a call, and says what goes wrong in it.
pub(crate) fn begin(function: &'static str) -> Option<Kind> {
    static CALLS: Mutex<Option<HashMap<&str, u32>>> = Mutex::new(None);
    let fault = scenario().faults.iter().find(|fault| fault.function == function)?;
    let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    let call = calls.get_or_insert_default().entry(function).or_default();
    *call += 1;
    (*call >= fault.from).then_some(fault.kind)
}

/// For longer than any test waits.
pub(crate) fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Read once: what the loader calls must not fail, so a scenario that can't be read is the normal one there.
fn scenario() -> &'static Scenario {
    static SCENARIO: OnceLock<Scenario> = OnceLock::new();
    SCENARIO.get_or_init(|| state::scenario().unwrap_or_default())
}

/// What the loader calls before `dlopen` returns, as it does in a test, where there is no such scenario.
extern "C" fn loaded() {
    if scenario().mark {
        let _ = state::own_folder().map(|folder| std::fs::write(folder.join(crate::MARK_FILE), ""));
    }
    if scenario().hang_load {
        hang();
    }
}

/// What the loader calls when the process ends.
extern "C" fn left() {
    if scenario().hang_exit {
        hang();
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static LOADED: extern "C" fn() = loaded;

#[used]
#[unsafe(link_section = ".fini_array")]
static LEFT: extern "C" fn() = left;
