//! The functions of NVML that harness calls, each with what it gives checked.
//!
//! Nothing else calls the library. The way of a call is the [`Driver`]'s: guarded, or in the thread that asks. A function that the
//! library lacks is an error like another, and so is an answer that can't be true (`plausible`). Lists are asked for in bounded
//! room, texts are read no further than their room. The library is neither shut down nor unloaded: either may hang where
//! a call did, and the process's end does both.

#![allow(unsafe_code, reason = "NVML is a C library")]

mod device;
mod gpm;
mod lists;

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nvml_wrapper_sys::bindings::{NvmlLib, nvmlDevice_t, nvmlReturn_enum_NVML_SUCCESS, nvmlReturn_t};

pub(crate) use self::device::{Device, Memory};
pub(crate) use self::gpm::{METRICS, Sample};
pub(crate) use self::lists::Buffer;
use crate::error::{Error, Refused};
use crate::guarded::{Guard, Silent, Watch};
use crate::plausible;

/// NVML, loaded and initialised. Clones share it.
#[derive(Clone)]
pub(crate) struct Driver {
    library: &'static NvmlLib,
    way: Way,
}

/// How calls are made.
#[derive(Clone)]
enum Way {
    /// By a thread that is waited for no longer than a limit.
    Guarded(Arc<Guard>),
    /// By the thread that asks.
    Here(Arc<Watch>),
}

/// Whether a driver's library was loaded, which then has code that runs at the process's end.
pub fn was_loaded() -> bool {
    LOADED.load(Ordering::SeqCst)
}

static LOADED: AtomicBool = AtomicBool::new(false);

/// Why the library gives no driver.
pub(crate) enum Unopened {
    /// There is none of that name.
    NotFound,
    /// It is there, and can't be used.
    Refused(Refused),
}

/// Calls a function of the library by the driver's way: `$call` is run with it under the name `$f`.
macro_rules! ask {
    ($driver:expr, $function:ident, |$f:ident| $call:expr) => {{
        let library = $driver.library;
        $driver.ask(stringify!($function), move || {
            let $f = library.$function.as_ref().map_err(|_| $crate::error::Error::Missing(stringify!($function)))?;
            $call
        })
    }};
}
use ask;

/// Room for the longest of NVML's texts, which is 96 bytes long.
const TEXT: usize = 128;

/// What NVML says of its return code.
fn check(code: nvmlReturn_t) -> Result<(), Error> {
    if code == nvmlReturn_enum_NVML_SUCCESS { Ok(()) } else { Err(Error::Code(code)) }
}

/// A GPU, as the library refers to it. It is never followed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Handle(usize);

impl Handle {
    fn raw(self) -> nvmlDevice_t {
        std::ptr::with_exposed_provenance_mut(self.0)
    }
}

impl Driver {
    /// Loads the library and initialises it.
    pub(crate) fn open(name: &OsStr, guard: Arc<Guard>) -> Result<Self, Unopened> {
        let shown = name.to_string_lossy().into_owned();
        let refuse = |refused: Refused| Err(Unopened::Refused(refused));
        if let Err(damage) = crate::file::check(name) {
            return refuse(Refused::new(format!(
                "the NVIDIA driver's {shown} can't be loaded: {damage}; reinstall the driver"
            )));
        }
        let loaded = guard.ask(&format!("loading {shown}"), {
            let name = name.to_owned();
            // SAFETY: what the loader runs is the driver's, in this process as in any that uses its GPU.
            move || unsafe { NvmlLib::new(name) }.map(|library| -> &'static NvmlLib { Box::leak(Box::new(library)) })
        });
        let library = match loaded {
            Err(silent) => return refuse(silent.into()),
            Ok(Ok(library)) => {
                LOADED.store(true, Ordering::SeqCst);
                library
            }
            Ok(Err(error)) => {
                let error = error.to_string();
                // Another file that the library needs may be missing, too.
                let it = format!("{shown}: cannot open shared object file: No such file or directory");
                return match error.contains(&it) {
                    true => Err(Unopened::NotFound),
                    false => refuse(Refused::new(format!("the NVIDIA driver's {shown} could not be loaded: {error}"))),
                };
            }
        };
        let driver = Self { library, way: Way::Guarded(guard) };
        // SAFETY: as nvml.h has it.
        match ask!(driver, nvmlInit_v2, |init| check(unsafe { init() })) {
            Ok(()) => Ok(driver),
            Err(Error::Missing(function)) => refuse(Refused::new(format!("{shown} is no NVML: it lacks {function}"))),
            Err(error) => refuse(error.into()),
        }
    }

    /// The same driver, called by the thread that asks; `watch` tells others what it is asking.
    pub(crate) fn here(&self, watch: Arc<Watch>) -> Self {
        Self { library: self.library, way: Way::Here(watch) }
    }

    /// For another question of the user's, the whole time again.
    pub(crate) fn renew(&self) {
        if let Way::Guarded(guard) = &self.way {
            guard.renew();
        }
    }

    /// Whether it was given up on.
    pub(crate) fn silence(&self) -> Option<Silent> {
        match &self.way {
            Way::Guarded(guard) => guard.silence(),
            Way::Here(_) => None,
        }
    }

    fn ask<T: Send + 'static>(
        &self,
        function: &'static str,
        call: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        match &self.way {
            Way::Guarded(guard) => guard.ask(function, call).map_err(Error::Silent)?,
            Way::Here(watch) => watch.ask(function, call),
        }
    }

    pub(crate) fn driver_version(&self) -> Result<String, Error> {
        ask!(self, nvmlSystemGetDriverVersion, |f| {
            // SAFETY: as nvml.h has it: there is the room that is named.
            text("nvmlSystemGetDriverVersion", |place, room| unsafe { f(place, room) })
        })
    }

    pub(crate) fn nvml_version(&self) -> Result<String, Error> {
        ask!(self, nvmlSystemGetNVMLVersion, |f| {
            // SAFETY: as above.
            text("nvmlSystemGetNVMLVersion", |place, room| unsafe { f(place, room) })
        })
    }

    /// The newest CUDA that the driver serves, as `13.0`.
    pub(crate) fn cuda_version(&self) -> Result<String, Error> {
        let version = ask!(self, nvmlSystemGetCudaDriverVersion_v2, |f| {
            let mut version = 0;
            // SAFETY: as nvml.h has it: there is a place for the answer.
            check(unsafe { f(&raw mut version) })?;
            plausible::within("nvmlSystemGetCudaDriverVersion_v2", version, &plausible::CUDA_VERSION)
        })?;
        Ok(format!("{}.{}", version / 1000, version % 1000 / 10))
    }

    /// How many GPUs there are.
    pub(crate) fn count(&self) -> Result<u32, Error> {
        ask!(self, nvmlDeviceGetCount_v2, |f| {
            let mut count = 0;
            // SAFETY: as above.
            check(unsafe { f(&raw mut count) })?;
            plausible::within("nvmlDeviceGetCount_v2", count, &plausible::GPUS)
        })
    }

    /// The GPU of that number in the driver's order.
    pub(crate) fn device(&self, index: u32) -> Result<Device, Error> {
        let handle = ask!(self, nvmlDeviceGetHandleByIndex_v2, |f| {
            let mut device: nvmlDevice_t = std::ptr::null_mut();
            // SAFETY: as above.
            check(unsafe { f(index, &raw mut device) })?;
            Ok(Handle(device.expose_provenance()))
        })?;
        Ok(Device { driver: self.clone(), handle })
    }

    /// The GPU of that UUID, also a slice of a partitioned one.
    pub(crate) fn device_by_uuid(&self, uuid: &str) -> Result<Device, Error> {
        let Ok(uuid) = std::ffi::CString::new(uuid) else {
            return Err(Error::Code(nvml_wrapper_sys::bindings::nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT));
        };
        let handle = ask!(self, nvmlDeviceGetHandleByUUID, |f| {
            let mut device: nvmlDevice_t = std::ptr::null_mut();
            // SAFETY: as above, and the UUID is a C string.
            check(unsafe { f(uuid.as_ptr(), &raw mut device) })?;
            Ok(Handle(device.expose_provenance()))
        })?;
        Ok(Device { driver: self.clone(), handle })
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Driver")
    }
}

/// What a function writes where it is given a place and how many bytes there are.
fn text(
    function: &'static str,
    write: impl FnOnce(*mut std::ffi::c_char, u32) -> nvmlReturn_t,
) -> Result<String, Error> {
    let mut bytes = [0_u8; TEXT];
    check(write(bytes.as_mut_ptr().cast(), TEXT as u32))?;
    plausible::text(function, &bytes)
}
