//! Calls into a driver, none of which is waited for without a limit.
//!
//! A driver whose kernel part is stuck does not return, cannot be interrupted, and may hold locks that its own clean-up waits
//! for. So a call that someone waits for is made by another thread ([`Guard`]), which is left behind when the time is over; a
//! call's results are its own until it returns, since a late one still writes them. A thread that makes calls that nobody
//! waits for, the sampler's, says which it is in ([`Watch`]). As long as any call is out ([`unanswered`]) the process must
//! end without running what the driver's library left to be run at its end.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the driver may take in all to open and to say what it is asked before a test, unless the user says otherwise.
///
/// A healthy driver takes under 1 s. One that has to wake GPUs without persistence mode takes a second or two for each, and more than
/// this with many; nobody is to wait for much longer to learn that it hangs.
pub const LIMIT: Duration = Duration::from_secs(10);

/// Calls that have not returned.
static OUT: AtomicUsize = AtomicUsize::new(0);

/// Whether a call into a driver has not returned yet.
pub fn unanswered() -> bool {
    OUT.load(Ordering::SeqCst) > 0
}

/// A call that is out, until it is dropped.
struct Out;

impl Out {
    fn new() -> Self {
        OUT.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        OUT.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The driver did not answer in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    /// The function that has not returned; `None` where no thread could be had to call it.
    what: Result<String, String>,
    limit: Duration,
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.limit.as_secs_f64();
        match &self.what {
            Ok(what) => write!(f, "the NVIDIA driver does not answer: {what} had not returned after {limit} s"),
            Err(why) => write!(f, "no thread could be started to ask the NVIDIA driver: {why}"),
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread that makes calls for others, who wait for all of them together no longer than a limit. After the first that takes too
/// long it is asked for nothing more.
pub(crate) struct Guard {
    limit: Duration,
    state: Mutex<State>,
}

struct State {
    jobs: Sender<Job>,
    left: Duration,
    silent: Option<Silent>,
}

impl Guard {
    pub(crate) fn new(limit: Duration) -> Result<Self, Silent> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("driver".into())
            .spawn(move || inbox.into_iter().for_each(|job| job()))
            .map_err(|error| Silent { what: Err(error.to_string()), limit })?;
        Ok(Self { limit, state: Mutex::new(State { jobs, left: limit, silent: None }) })
    }

    /// What a call gives, or that it did not return in time. Its name is for the message.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        what: &str,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Silent> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(silent) = &state.silent {
            return Err(silent.clone());
        }
        let (give, take) = mpsc::channel();
        let out = Out::new();
        let asked = Instant::now();
        let sent = state.jobs.send(Box::new(move || {
            let answer = call();
            drop(out);
            // Who gave up has gone.
            let _ = give.send(answer);
        }));
        let answer = if sent.is_ok() { take.recv_timeout(state.left) } else { Err(RecvTimeoutError::Disconnected) };
        state.left = state.left.saturating_sub(asked.elapsed());
        answer.map_err(|error| {
            let what = match error {
                RecvTimeoutError::Timeout => Ok(what.to_owned()),
                RecvTimeoutError::Disconnected => Err(format!("the one before ended in {what}")),
            };
            let silent = Silent { what, limit: self.limit };
            state.silent = Some(silent.clone());
            silent
        })
    }

    /// Gives the driver its whole time again, for another question of the user's; not once it was silent.
    pub(crate) fn renew(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).left = self.limit;
    }

    /// Whether it gave up on the driver.
    pub(crate) fn silence(&self) -> Option<Silent> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).silent.clone()
    }
}

/// What a call into another of the driver's libraries gives, in that time. Its name is for the message.
///
/// # Errors
///
/// That it did not return in time, as a clause.
pub fn within<T: Send + 'static>(
    limit: Duration,
    what: &str,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Silent> {
    Guard::new(limit)?.ask(what, call)
}

/// What a thread that nobody waits for is asking the driver.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<Option<Asking>>);

/// A call that has not returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asking {
    pub(crate) function: &'static str,
    pub(crate) since: Instant,
}

impl Watch {
    /// Makes the call in this thread.
    pub(crate) fn ask<T>(&self, function: &'static str, call: impl FnOnce() -> T) -> T {
        let _out = Out::new();
        self.set(Some(Asking { function, since: Instant::now() }));
        let answer = call();
        self.set(None);
        answer
    }

    /// The call that it is in now.
    pub(crate) fn now(&self) -> Option<Asking> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, asking: Option<Asking>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = asking;
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    #[test]
    fn a_call_that_does_not_return_is_left_and_nothing_more_is_asked() {
        let guard = Guard::new(Duration::from_millis(50)).unwrap();
        assert_eq!(guard.ask("quick", || 1), Ok(1));
        let (_keep, wait) = mpsc::channel::<()>();
        let hung = guard.ask("slow", move || wait.recv().is_err()).unwrap_err();
        assert_eq!(hung.to_string(), "the NVIDIA driver does not answer: slow had not returned after 0.05 s");
        assert!(unanswered());
        guard.renew();
        assert_eq!(guard.ask("quick", || 1), Err(hung.clone()));
        assert_eq!(guard.silence(), Some(hung));
    }

    #[test]
    fn the_time_is_for_all_calls_together_until_it_is_renewed() {
        let guard = Guard::new(Duration::from_millis(400)).unwrap();
        let slow = || guard.ask("slow", || sleep(Duration::from_millis(100)));
        assert_eq!((slow(), slow()), (Ok(()), Ok(())));
        guard.renew();
        assert_eq!(slow(), Ok(()));
        let asked = (0..10).map(|_| slow()).take_while(Result::is_ok).count();
        assert!(asked < 4, "{asked}");
    }
}
