//! What is shown on stderr while the model works: one line that is redrawn on a terminal, plain lines elsewhere.
//!
//! The measured window only adds to two counters; a thread of this module reads them and draws.

use std::io::IsTerminal;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use harness_core::text::visible_line;
use harness_core::{Observer, Plan, Progress, Run};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::log::{is_quiet, note, note_lines, tell, tell_lines};
use crate::units;

/// How often a terminal is redrawn; the drawing takes some tens of microseconds of another core.
pub(crate) const REDRAW: Duration = Duration::from_millis(200);
/// How often a plain line is printed during a run or a download.
pub(crate) const PLAIN: Duration = Duration::from_secs(15);

/// The terminal: notes go above the progress line.
#[derive(Clone)]
pub(crate) struct Screen {
    bar: ProgressBar,
    terminal: bool,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal && !is_quiet() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style =
                ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
            bar.with_style(style)
        } else {
            ProgressBar::hidden()
        };
        Self { bar, terminal }
    }

    /// A line that stays, unless quiet.
    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| note(line));
    }

    /// Several lines that stay, unless quiet.
    pub(crate) fn say_lines(&self, text: &str) {
        self.bar.suspend(|| note_lines(text));
    }

    /// A line that stays even when quiet.
    pub(crate) fn warn(&self, line: &str) {
        self.bar.suspend(|| tell(&format!("warning: {line}")));
    }

    /// Several lines that stay even when quiet.
    pub(crate) fn insist_lines(&self, text: &str) {
        self.bar.suspend(|| tell_lines(text));
    }

    /// The line that is redrawn; elsewhere than on a terminal a line that stays, unless quiet.
    pub(crate) fn update(&self, line: String) {
        if self.terminal {
            self.bar.set_message(visible_line(&line).into_owned());
            self.bar.tick();
        } else {
            self.say(&line);
        }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Takes the progress line away.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// What the whole invocation is expected to do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Total {
    pub(crate) runs: u64,
    pub(crate) iterations: u64,
}

/// Shows runs as they happen.
pub(crate) struct Display {
    screen: Screen,
    total: Option<Total>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    started: Option<Instant>,
    /// Iterations of finished runs, warm-up included.
    done: u64,
    drawing: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Display {
    pub(crate) fn new(screen: Screen, total: Option<Total>) -> Self {
        Self { screen, total, state: Mutex::default() }
    }

    /// Ends the drawing of a run that did not finish.
    pub(crate) fn stop(&self) {
        Self::end_drawing(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.screen.clear();
    }

    fn end_drawing(state: &mut State) {
        if let Some((stop, thread)) = state.drawing.take() {
            drop(stop);
            // A drawing thread that panicked has nothing more to draw.
            let _ = thread.join();
        }
    }
}

impl Observer for Display {
    fn run_started(&self, index: usize, plan: &Plan, progress: &Arc<Progress>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Self::end_drawing(&mut state);
        let started = *state.started.get_or_insert_with(Instant::now);
        if is_quiet() {
            return;
        }
        let line = Line {
            screen: self.screen.clone(),
            progress: Arc::clone(progress),
            label: plan.label.clone(),
            index,
            most_warmup: plan.most_warmup(),
            iterations: plan.iterations,
            total: self.total,
            done: state.done,
            started,
            run_started: Instant::now(),
        };
        let (stop, stopped) = mpsc::channel();
        let every = if self.screen.terminal { REDRAW } else { PLAIN };
        let thread = std::thread::Builder::new().name("progress".into()).spawn(move || {
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(every) {
                line.screen.update(line.text());
            }
        });
        // Without a thread there is no progress line; the measurement is the same.
        state.drawing = thread.ok().map(|thread| (stop, thread));
    }

    fn run_finished(&self, index: usize, run: &Run) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Self::end_drawing(&mut state);
        state.done += u64::from(run.iterations) + u64::from(run.warmup);
        if self.screen.terminal || is_quiet() {
            return;
        }
        let rate = run.values.get("tokens_per_second").map(|rate| format!(", {rate:.1} tokens/s")).unwrap_or_default();
        let of = run.asked.map(|asked| format!(" of {}", units::count(asked.into()))).unwrap_or_default();
        let ended = if run.asked.is_some() { ", as its time was up" } else { "" };
        self.screen.say(&format!(
            "{}: {}{of} iterations in {}{rate}{ended}",
            heading(index, self.total, &run.label),
            units::count(run.iterations.into()),
            units::rough(Duration::from_secs_f64(run.wall_time.clamp(0.0, 1e9))),
        ));
    }
}

/// `run 3/10`, and the run's label where it says more.
fn heading(index: usize, total: Option<Total>, label: &str) -> String {
    let number = index as u64 + 1;
    let of = total.map(|total| format!("/{}", total.runs.max(number))).unwrap_or_default();
    let named = if label == format!("run {number}") { String::new() } else { format!(" '{label}'") };
    format!("run {number}{of}{named}")
}

/// One run's line.
struct Line {
    screen: Screen,
    progress: Arc<Progress>,
    label: String,
    index: usize,
    most_warmup: u32,
    iterations: u32,
    total: Option<Total>,
    done: u64,
    started: Instant,
    run_started: Instant,
}

impl Line {
    fn text(&self) -> String {
        let served = self.progress.iterations.load(Ordering::Relaxed);
        let tokens = self.progress.tokens.load(Ordering::Relaxed);
        let place = match self.progress.warmup.load(Ordering::Relaxed) {
            Progress::WARMING_UP => format!("warm-up {served}/{}", self.most_warmup),
            warmup => format!("iteration {}/{}", served.saturating_sub(warmup), self.iterations),
        };
        let elapsed = self.run_started.elapsed().as_secs_f64();
        let rate = if elapsed > 0.0 { format!(", {:.1} tokens/s", tokens as f64 / elapsed) } else { String::new() };
        let left =
            self.left(u64::from(served)).map(|left| format!(", {} left", units::rough(left))).unwrap_or_default();
        format!("{}: {place}{rate}{left}", heading(self.index, self.total, &self.label))
    }

    /// Time to the end at the pace so far.
    fn left(&self, served: u64) -> Option<Duration> {
        let done = self.done + served;
        let total = self.total?.iterations;
        if done == 0 || total <= done {
            return None;
        }
        let pace = self.started.elapsed().as_secs_f64() / done as f64;
        Duration::try_from_secs_f64(pace * (total - done) as f64).ok()
    }
}
