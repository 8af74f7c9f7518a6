//! The thread that reads a GPU through each run.
//!
//! A call into NVML can hang, so nobody waits for the thread without a limit: it writes each reading down in a log that it
//! shares with the run it belongs to, and whoever gives up on it takes what is there. A late thread writes into a log that
//! nobody reads any more, then does the orders that it missed, in order.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use harness_core::{SensorLog, Sensors};

use crate::device;
use crate::driver::{Device, Driver};
use crate::error::Refused;
use crate::gpm::{self, Begun};
use crate::guarded::{Asking, Watch};
use crate::readings::{self, Fetch, Going, Lost, Notes, Readings, now_in_microseconds};
use crate::summary::{self, Extent, Learnt};

/// How to sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Between two polls; 10 ms.
    pub interval: Duration,
    /// The longest that [`Sensors::start`] waits for the energy counter; 2 s.
    pub start_limit: Duration,
    /// The longest that [`Sensors::stop`] waits for the last readings; 3 s.
    pub stop_limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(10),
            start_limit: Duration::from_secs(2),
            stop_limit: Duration::from_secs(3),
        }
    }
}

/// The driver's buffers hold at least two seconds, so that this leaves a second for a call that hangs.
const FETCH_EVERY: Duration = Duration::from_millis(500);

type Log = Arc<Mutex<Readings>>;

impl Notes for Log {
    fn note<R>(&self, write: impl FnOnce(&mut Readings) -> R) -> R {
        write(&mut self.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An order to the thread, which answers with its number once it is done.
struct Order {
    number: u64,
    what: What,
}

enum What {
    Start(Log),
    Stop,
}

/// Sensors of one GPU.
pub(crate) struct Sampler {
    orders: Sender<Order>,
    done: Receiver<u64>,
    number: u64,
    /// The thread owed an answer when it was last waited for. It is then waited for no more until it has answered.
    silent: bool,
    /// What it is asking the driver.
    watch: Arc<Watch>,
    run: Option<CurrentRun>,
    learnt: Learnt,
    options: Options,
}

struct CurrentRun {
    log: Log,
    start: Instant,
    start_microseconds: u64,
}

impl Sampler {
    /// Starts the thread. `uuid` is one that the driver lists.
    pub(crate) fn new(driver: &Driver, uuid: String, options: Options) -> Result<Self, Refused> {
        let (orders, inbox) = mpsc::channel();
        let (answers, done) = mpsc::channel();
        let watch = Arc::new(Watch::default());
        let driver = driver.here(Arc::clone(&watch));
        let worker = Worker { interval: options.interval, orders: inbox, done: answers, lost: false };
        std::thread::Builder::new()
            .name("nvml-sampler".to_owned())
            .spawn(move || worker.serve(&driver, &uuid))
            .map_err(|error| Refused::new(format!("the sensors' thread could not be started: {error}")))?;
        Ok(Self { orders, done, number: 0, silent: false, watch, run: None, learnt: Learnt::default(), options })
    }

    /// Whether the order was done in time.
    fn order(&mut self, what: What, limit: Duration) -> bool {
        self.number += 1;
        if self.orders.send(Order { number: self.number, what }).is_err() {
            return false;
        }
        let limit = if self.silent { Duration::ZERO } else { limit };
        let deadline = Instant::now() + limit;
        loop {
            match self.done.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(number) if number == self.number => {
                    self.silent = false;
                    return true;
                }
                Ok(_) => {}
                Err(_) => {
                    self.silent = true;
                    return false;
                }
            }
        }
    }
}

impl Sensors for Sampler {
    fn start(&mut self) {
        let log = Log::default();
        let said = self.silent;
        let ready = self.order(What::Start(log.clone()), self.options.start_limit);
        if !ready {
            let asking = self.watch.now();
            log.note(|readings| readings.silent_at_start = asking);
            if !said {
                tracing::warn!(
                    "the NVIDIA driver has not answered{}; the run goes on, and may have no sensor readings",
                    named(asking)
                );
            }
        }
        // The thread's own time, or its first readings would lie microseconds before the run.
        let begun = if ready { log.note(|readings| readings.begun) } else { None };
        let (start, start_microseconds) = begun.unwrap_or_else(|| (Instant::now(), now_in_microseconds()));
        self.run = Some(CurrentRun { log, start, start_microseconds });
    }

    fn stop(&mut self) -> SensorLog {
        let stop = Instant::now();
        let Some(run) = self.run.take() else { return summary::nothing("the sensors were not started") };
        let said = self.silent;
        if !self.order(What::Stop, self.options.stop_limit) {
            let asking = self.watch.now();
            run.log.note(|readings| readings.silent_at_end = asking);
            if !said {
                tracing::warn!(
                    "the NVIDIA driver has not answered{}; the run keeps the readings of sensors that were read to its end",
                    named(asking)
                );
            }
        }
        let readings = run.log.note(|readings| readings.clone());
        let extent = Extent {
            start: run.start,
            stop,
            start_microseconds: run.start_microseconds,
            interval: self.options.interval,
        };
        summary::sum_up(&readings, &extent, &mut self.learnt)
    }
}

/// The function that is waited for, for a message.
fn named(asking: Option<Asking>) -> String {
    asking.map(|asking| format!(": {} has not returned", asking.function)).unwrap_or_default()
}

/// The thread's side.
struct Worker {
    interval: Duration,
    orders: Receiver<Order>,
    done: Sender<u64>,
    /// The GPU was found lost, and that was said.
    lost: bool,
}

impl Worker {
    /// Until the sampler is dropped. A GPU that was not found is looked for again at each run.
    fn serve(mut self, driver: &Driver, uuid: &str) {
        let mut device = Err(Refused::new(""));
        while let Ok(Order { number, what }) = self.orders.recv() {
            let What::Start(log) = what else {
                self.answer(number);
                continue;
            };
            if device.is_err() {
                device = device::find(driver, uuid);
            }
            match &device {
                Ok(device) => self.run(device, number, &log),
                Err(error) => {
                    log.note(|readings| readings.unreachable = Some(error.to_string()));
                    self.answer(number);
                }
            }
        }
    }

    /// Nobody may be listening any more, which is no failure.
    fn answer(&self, number: u64) {
        let _ = self.done.send(number);
    }

    fn run(&mut self, device: &Device, number: u64, log: &Log) {
        let mut fetch = Fetch::new();
        readings::power_limit(device, log);
        let first = readings::energy(device, log);
        let gpm = gpm::begin(device);
        if first.is_err() {
            self.note_loss(log);
        }
        log.note(|readings| readings.begun = Some((Instant::now(), now_in_microseconds())));
        self.answer(number);
        let stop = match first.and_then(|()| self.sample(device, log, &mut fetch)) {
            Ok(stop) => {
                if stop.is_some() && last_readings(device, log, &mut fetch, gpm).is_err() {
                    self.note_loss(log);
                }
                stop
            }
            Err(Lost) => {
                self.note_loss(log);
                self.orders.recv().ok()
            }
        };
        if let Some(Order { number, .. }) = stop {
            self.answer(number);
        }
    }

    /// Until the order to stop, which is handed back; `None` when the sampler is gone.
    fn sample(&self, device: &Device, log: &Log, fetch: &mut Fetch) -> Result<Option<Order>, Lost> {
        let mut next_fetch = Instant::now() + FETCH_EVERY;
        let mut next = Instant::now();
        loop {
            readings::poll(device, log)?;
            if Instant::now() >= next_fetch {
                fetch.fetch(device, log)?;
                next_fetch = Instant::now() + FETCH_EVERY;
            }
            // Polls that were missed while NVML hung are not made up for.
            next = (next + self.interval).max(Instant::now());
            match self.orders.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Ok(stop) => return Ok(Some(stop)),
            }
        }
    }

    fn note_loss(&mut self, log: &Log) {
        log.note(|readings| readings.lost = readings.lost.or_else(|| Some(Instant::now())));
        if !self.lost {
            self.lost = true;
            tracing::warn!("the GPU is lost (NVML_ERROR_GPU_IS_LOST): its sensors give nothing more");
        }
    }
}

/// The counters first, since they must be read near to the run's end; GPM before energy, whose counter moves slower.
fn last_readings(device: &Device, log: &Log, fetch: &mut Fetch, gpm: Begun) -> Going {
    let figures = gpm.end(device);
    log.note(|log| log.gpm = Some(figures));
    readings::energy(device, log)?;
    fetch.fetch(device, log)
}
