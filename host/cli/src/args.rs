//! What the user typed. Nothing here is interpreted: `settings` makes ready objects of it and of `harness.toml`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use harness_engine::{DTypeChoice, DeviceChoice};

use crate::units;

/// Measures what a GPU gives to language-model inference.
///
/// A sandboxed plugin decides what to run; the harness runs it on a GPT-2 that it owns, reads the clock and the
/// GPU's sensors, and records every figure.
#[derive(Debug, Parser)]
#[command(
    version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("HARNESS_COMMIT"), ")"),
    max_term_width = 100,
    after_help = "Try `harness run --quick` first. Exit codes: 0 done, 1 it ran and failed, 2 the arguments, the \
                  configuration, the model or a plugin can't be used, 3 a comparison found a regression, 4 recordings \
                  can't be compared, or show too little for a gate, 130 interrupted."
)]
pub(crate) struct Arguments {
    /// Say more on stderr, with a plugin's debug lines; twice for everything, with its trace lines
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Box<Run>),
    Report(Report),
    Recordings(Recordings),
    Compare(Box<Compare>),
    Baseline(Baseline),
    Generate(Box<Generate>),
    Plugin(PluginCommand),
    Devices(Devices),
    Doctor(Doctor),
    Completions(Completions),
    Man(Man),
}

/// Run a workload plugin, record its runs and report them.
///
/// Without arguments: the documented test, 10 runs of 100 generations of 50 tokens on GPT-2.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    harness run --quick                             a rehearsal of a few seconds\n  \
    harness run --device cuda:0 --dtype f16         the documented test on the first GPU\n  \
    harness run --set runs=3 --set prompt='Once upon a time'\n  \
    harness run --sweep batch=1,8,64 --sweep prompt-tokens=16..512*2 --dry-run\n  \
    harness run --plugin mine.wasm --report csv=figures.csv --report markdown\n  \
    harness run --backend simulated                 no model, no GPU: to try plugins and reports")]
pub(crate) struct Run {
    /// Workload plugin: a file, the name of a built-in one, or oci://REGISTRY/NAME@sha256:DIGEST [default: default]
    #[arg(long, value_name = "NAME|FILE|REF", help_heading = "What to run")]
    pub(crate) plugin: Option<String>,
    /// What the workload plugin's file must have as its sha256; anything else is refused before it is compiled
    #[arg(long, value_name = "HEX", help_heading = "What to run")]
    pub(crate) sha256: Option<crate::plugins::Pin>,
    /// Setting of the workload plugin; `harness plugin inspect` lists them
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = units::pair, help_heading = "What to run")]
    pub(crate) set: Vec<(String, String)>,
    /// Run every combination of these values of settings, each into a recording of its own in one folder: lists (1,8,64),
    /// FIRST..LAST+STEP, FIRST..LAST*FACTOR. With --recording FOLDER of an earlier sweep, its finished points are kept
    #[arg(long = "sweep", value_name = "KEY=VALUES", value_parser = units::pair, help_heading = "What to run")]
    pub(crate) sweep: Vec<(String, String)>,
    /// Run nothing: say what would be run, and about how long it takes
    #[arg(long, help_heading = "What to run")]
    pub(crate) dry_run: bool,
    /// Rehearse: the plugin's quick settings, done in seconds
    #[arg(long, help_heading = "What to run")]
    pub(crate) quick: bool,
    /// Seed of synthetic weights and prompts, and of the plugin's randomness [default: 0]
    #[arg(long, value_name = "N", help_heading = "What to run")]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) model: Model,
    /// GPU whose sensors are read: `auto` (the model's), `none`, NVML's number, or a UUID [default: auto]
    #[arg(long, value_name = "GPU", help_heading = "Where to run")]
    pub(crate) sensors: Option<String>,
    /// Measure before the test how fast the device's memory can be read, and what share of that decoding reaches (backend fused,
    /// or the CPU)
    #[arg(long, help_heading = "Where to run")]
    pub(crate) roofline: bool,
    /// How long the idle GPU's power is measured before the test, the model loaded; 0s leaves it out [default: 1s, with
    /// --quick 0s]
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Where to run")]
    pub(crate) idle_time: Option<Duration>,
    /// Report plugin and where its output goes; the workload's own report on the terminal without any
    #[arg(long, value_name = "NAME|FILE|REF[=OUT]", help_heading = "Output")]
    pub(crate) report: Vec<String>,
    /// Setting of a report plugin, by the name that --report has for it
    #[arg(long, value_name = "NAME.KEY=VALUE", help_heading = "Output")]
    pub(crate) report_set: Vec<String>,
    /// Where to record [default: a new file, for a sweep a new folder, among `harness recordings`]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) recording: Option<PathBuf>,
    /// Go on with the recording of a test that was killed or ended: its runs are kept, and those that are missing are measured. With
    /// the settings that it was recorded with
    #[arg(long, value_name = "FILE", conflicts_with_all = ["recording", "sweep", "dry_run"], help_heading = "Output")]
    pub(crate) resume: Option<PathBuf>,
    /// Record neither the command line nor the host's name, and of the model's path the last component only
    #[arg(long, help_heading = "Output")]
    pub(crate) private: bool,
    /// No progress and no notes, only the report and errors
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) registries: Registries,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) driver: Driver,
}

/// What plugins can be named by: the configuration's names, and registries.
#[derive(Debug, Args)]
pub(crate) struct Sources {
    /// Configuration that is trusted, in place of a harness.toml in this folder
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) registries: Registries,
}

/// How plugins named by oci:// are fetched.
#[derive(Debug, Default, Args)]
pub(crate) struct Registries {
    /// Fetch nothing: a plugin named by oci:// is on this machine already, or it is an error
    #[arg(long, help_heading = "Registries")]
    pub(crate) offline: bool,
    /// Speak plain HTTP with a registry, named with its port; with those on this machine it is spoken anyway
    #[arg(long, value_name = "REGISTRY", help_heading = "Registries")]
    pub(crate) plain_http: Vec<String>,
}

/// What the model is and where it runs.
#[derive(Debug, Args)]
pub(crate) struct Model {
    /// A size (gpt2, gpt2-medium, gpt2-large, gpt2-xl), a folder, or a Hugging Face id [default: gpt2]
    #[arg(long, value_name = "NAME|DIR|ID", help_heading = "Where to run")]
    pub(crate) model: Option<String>,
    /// auto, cpu, or cuda:N [default: auto]
    #[arg(long, value_name = "DEVICE", help_heading = "Where to run")]
    pub(crate) device: Option<DeviceChoice>,
    /// f32, f16 or bf16 [default: the checkpoint's; f32 for synthetic weights]
    #[arg(long, value_name = "DTYPE", help_heading = "Where to run")]
    pub(crate) dtype: Option<DTypeChoice>,
    /// auto, fused (our own kernels, on a GPU), candle, or simulated [default: auto]
    #[arg(long, value_name = "BACKEND", help_heading = "Where to run")]
    pub(crate) backend: Option<crate::settings::BackendChoice>,
    /// Let f32 products of prompts run on tensor cores with inputs rounded to tf32: faster and less exact
    #[arg(long, help_heading = "Where to run")]
    pub(crate) tf32: bool,
    /// Fetch the model from the Hugging Face hub where it is not on this machine
    #[arg(long, help_heading = "Where to run")]
    pub(crate) download: bool,
    /// Setting of the simulated model: time-to-first-token, time-per-token, jitter, run-jitter, cold, memory, memory-peak, fail-at, real-time
    #[arg(long = "simulate", value_name = "KEY=VALUE", value_parser = units::pair, help_heading = "Where to run")]
    pub(crate) simulate: Vec<(String, String)>,
    /// Configuration that is trusted, in place of a harness.toml in this folder
    #[arg(long, value_name = "FILE", help_heading = "Where to run")]
    pub(crate) config: Option<PathBuf>,
}

/// How much of this machine a plugin may use.
#[derive(Debug, Default, Args)]
pub(crate) struct Limits {
    /// Memory of a plugin [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = units::bytes, help_heading = "Limits")]
    pub(crate) max_memory: Option<u64>,
    /// Memory that compiling a plugin may take [default: 416MiB]
    #[arg(long, value_name = "SIZE", value_parser = units::bytes, help_heading = "Limits")]
    pub(crate) max_load_memory: Option<u64>,
    /// Processor time that compiling a plugin may take; on the clock twice as much [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Limits")]
    pub(crate) max_load_time: Option<Duration>,
    /// Time that a plugin may take to say what it is [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Limits")]
    pub(crate) max_describe_time: Option<Duration>,
    /// Time that a report may take [default: 1m]
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Limits")]
    pub(crate) max_render_time: Option<Duration>,
    /// Time in a plugin between two calls of the host [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Limits")]
    pub(crate) max_call_time: Option<Duration>,
    /// Time in a plugin and in the host on its behalf in all, the model's work left out [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Limits")]
    pub(crate) max_guest_time: Option<Duration>,
    /// What a plugin hands over at once [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = units::bytes, help_heading = "Limits")]
    pub(crate) max_output: Option<u64>,
    /// Lines that a plugin logs [default: 1000]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_log_lines: Option<u64>,
    /// Iterations in all, warm-up included [default: 10000000]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_iterations: Option<u64>,
    /// Runs of a recording [default: 10000]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_runs: Option<u64>,
    /// Bytes of a recording, at most 2GiB [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = units::recording_bytes, help_heading = "Limits")]
    pub(crate) max_recording: Option<u64>,
    /// Wall time of the whole recording [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Limits")]
    pub(crate) max_time: Option<Duration>,
}

/// How long the GPU's driver is waited for.
#[derive(Debug, Default, Args)]
pub(crate) struct Driver {
    /// Time that the NVIDIA driver may take to open and to say what it is asked before a test [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Limits")]
    pub(crate) max_driver_time: Option<Duration>,
}

impl Driver {
    /// Where no configuration has a say.
    pub(crate) fn limit(&self) -> Duration {
        self.max_driver_time.unwrap_or(harness_telemetry::LIMIT)
    }
}

/// Show a recording with any report plugin; no GPU or model needed.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The recording [default: the latest]
    pub(crate) recording: Option<PathBuf>,
    /// Report plugin: a file, the name of a built-in one, or oci://REGISTRY/NAME@sha256:DIGEST [default: default]
    #[arg(long = "with", value_name = "NAME|FILE|REF[=OUT]")]
    pub(crate) with: Option<String>,
    /// Setting of the report plugin
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = units::pair)]
    pub(crate) set: Vec<(String, String)>,
    /// Show the plugin neither the command line nor the host's name, and of the model's path the last component only
    #[arg(long)]
    pub(crate) private: bool,
    #[command(flatten)]
    pub(crate) sources: Sources,
    #[command(flatten)]
    pub(crate) limits: Limits,
}

/// List the recordings, newest first.
#[derive(Debug, Args)]
pub(crate) struct Recordings {
    /// Configuration that is trusted, in place of a harness.toml in this folder
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Compare recordings: each metric's change with its interval, and a verdict.
///
/// Each NEW is compared with BASE by itself; with --base and --new the recordings of a side are pooled by run. A side is a
/// recording, `baseline:NAME`, or the name of a baseline where no file is called so.
#[derive(Debug, Args)]
#[command(
    override_usage = "harness compare [OPTIONS] BASE NEW...\n       harness compare [OPTIONS] [--paired] --base A... --new B...\n       \
                      harness compare [OPTIONS] --interleave 'ARGS A' 'ARGS B' [--rounds N]",
    after_help = "Examples:\n  \
    harness compare old.jsonl new.jsonl\n  \
    harness compare baseline:main new.jsonl --fail-on-regression 3\n  \
    harness compare --base a1.jsonl a2.jsonl --new b1.jsonl b2.jsonl --format markdown\n  \
    harness compare old.jsonl new.jsonl --format html > comparison.html\n  \
    harness compare --interleave '--dtype f16 --set runs=1' '--dtype bf16 --set runs=1' --rounds 5\n\n\
    Exit codes: 3 a metric is worse by more than --fail-on-regression allows, 4 the recordings can't be compared, or show too little for \
    the gate to pass. With --fail-on-regression the last line begins with PASS or FAIL.\n\
    docs/comparing.md says how it is decided."
)]
pub(crate) struct Compare {
    /// The base, then what is compared with it
    #[arg(value_name = "RECORDING", required_unless_present_any = ["base", "interleave"], num_args = 2..)]
    pub(crate) sides: Vec<String>,
    /// Recordings of the base, pooled by run
    #[arg(long, value_name = "RECORDING", num_args = 1.., conflicts_with = "sides", requires = "new")]
    pub(crate) base: Vec<String>,
    /// Recordings of the other side, pooled by run
    #[arg(long, value_name = "RECORDING", num_args = 1.., conflicts_with = "sides", requires = "base")]
    pub(crate) new: Vec<String>,
    /// The recordings of --base and --new were made in pairs, one right after the other, in the orders A B and B A, and are given
    /// in that order: test the pairs, so that slow drift falls out
    #[arg(long, requires = "base", conflicts_with_all = ["sides", "interleave"])]
    pub(crate) paired: bool,
    /// Run both configurations here in turn, A B B A, so that drift hits both alike, and compare them as pairs; ARGS are those
    /// of `harness run`
    #[arg(long, value_names = ["ARGS A", "ARGS B"], num_args = 2, allow_hyphen_values = true, conflicts_with_all = ["sides", "base", "new"])]
    pub(crate) interleave: Vec<String>,
    /// How often A B B A is run
    #[arg(long, value_name = "N", requires = "interleave", conflicts_with_all = ["sides", "base", "new"], default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Exit with 3 if a metric is worse by more than so many percent
    #[arg(long, value_name = "PCT", value_parser = units::percent, allow_negative_numbers = true)]
    pub(crate) fail_on_regression: Option<f64>,
    /// With --fail-on-regression: exit with 4 if the runs don't tell of a metric (ambiguous), or it can't be compared
    #[arg(long, requires = "fail_on_regression")]
    pub(crate) fail_on_inconclusive: bool,
    /// With --fail-on-regression: let a recording count that failed, was stopped or interrupted, or has no end; without, that
    /// is exit code 4
    #[arg(long, requires = "fail_on_regression")]
    pub(crate) allow_incomplete: bool,
    /// Compare this metric only; may be given several times
    #[arg(long = "metric", value_name = "NAME")]
    pub(crate) metrics: Vec<String>,
    /// Changes under so many percent count for nothing [default: 1, or --fail-on-regression where that is less]
    #[arg(long, value_name = "PCT", value_parser = units::percent, allow_negative_numbers = true)]
    pub(crate) threshold: Option<f64>,
    /// How to show it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: CompareFormat,
    /// Show neither the host's name nor folders: of paths, also those of recordings, the last component only. What --interleave records
    /// is as private
    #[arg(long)]
    pub(crate) private: bool,
    /// Compare also what did other work
    #[arg(long)]
    pub(crate) force: bool,
    /// Configuration that is trusted, in place of a harness.toml in this folder
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// How a comparison is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompareFormat {
    Table,
    Markdown,
    Json,
    /// One page for a browser, with a chart; no network, no script
    Html,
}

/// Keep recordings by name, to compare with.
#[derive(Debug, Args)]
pub(crate) struct Baseline {
    #[command(subcommand)]
    pub(crate) action: BaselineAction,
    /// Configuration that is trusted, in place of a harness.toml in this folder
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BaselineAction {
    /// Keep a copy of a recording under a name
    Save {
        /// Letters, digits, '.', '-' and '_', beginning with a letter or a digit
        name: String,
        /// The recording [default: the latest]
        recording: Option<PathBuf>,
        /// Take the place of the baseline of that name
        #[arg(long)]
        replace: bool,
    },
    /// List the baselines
    List,
    /// Remove a baseline; the recording that it was copied from stays
    Remove {
        /// Its name
        name: String,
    },
}

/// Continue a prompt once; nothing is recorded.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// The text to continue
    #[arg(required_unless_present = "tokens", conflicts_with = "tokens")]
    pub(crate) prompt: Option<String>,
    /// The token ids to continue, with commas between
    #[arg(long, value_name = "1,2,3", value_delimiter = ',', num_args = 1..)]
    pub(crate) tokens: Vec<u32>,
    /// How many tokens to generate; 0 only encodes the prompt
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) max_new_tokens: u32,
    /// Draw the next token instead of taking the most likely one; over 0
    #[arg(long, value_name = "T")]
    pub(crate) temperature: Option<f32>,
    /// Draw from the K most likely tokens only
    #[arg(long, value_name = "K", requires = "temperature")]
    pub(crate) top_k: Option<u32>,
    /// Draw from the most likely tokens that together reach the probability P
    #[arg(long, value_name = "P", requires = "temperature")]
    pub(crate) top_p: Option<f32>,
    /// Go on past the end of the text, to exactly `--max-new-tokens`
    #[arg(long)]
    pub(crate) ignore_end_of_text: bool,
    /// Seed of sampling and of synthetic weights [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Print tokens, text, times and the model as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// With --json: the logits after the last prompt token, too
    #[arg(long, requires = "json")]
    pub(crate) logits: bool,
    #[command(flatten)]
    pub(crate) model: Model,
}

/// Look at plugins.
#[derive(Debug, Args)]
pub(crate) struct PluginCommand {
    #[command(subcommand)]
    pub(crate) action: PluginAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginAction {
    /// List the built-in plugins
    List,
    /// Show what a plugin is, what can be set, and what it exports and imports
    Inspect(PluginNamed),
    New(PluginNew),
    Test(Box<PluginTest>),
    /// Check that a plugin can be used here: its contract, what it exports and imports, its size and how long it takes to load
    Check(PluginNamed),
    Pull(PluginPull),
    Push(PluginPush),
}

/// A plugin to look at.
#[derive(Debug, Args)]
pub(crate) struct PluginNamed {
    /// A file, the name of a built-in plugin, or oci://REGISTRY/NAME@sha256:DIGEST
    #[arg(value_name = "NAME|FILE|REF")]
    pub(crate) plugin: String,
    #[command(flatten)]
    pub(crate) sources: Sources,
    #[command(flatten)]
    pub(crate) limits: Limits,
}

/// Fetch a plugin from a registry, check and keep it, and print the reference that names it for good
///
/// A plugin is run by that reference, oci://REGISTRY/NAME@sha256:DIGEST. The digest is of the artifact's manifest, which names the
/// component's own sha256.
#[derive(Debug, Args)]
pub(crate) struct PluginPull {
    /// oci://REGISTRY/NAME:TAG, or with @sha256:DIGEST
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Write the component here, too
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) sources: Sources,
}

/// Put a plugin into a registry, and print the reference that names it for good
///
/// The same file has the same digest in every registry. `docker login` or `podman login` keeps the name and
/// password that harness uses.
#[derive(Debug, Args)]
pub(crate) struct PluginPush {
    /// A file, or the name of a built-in plugin
    #[arg(value_name = "NAME|FILE")]
    pub(crate) plugin: String,
    /// oci://REGISTRY/NAME:TAG
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    #[command(flatten)]
    pub(crate) sources: Sources,
    #[command(flatten)]
    pub(crate) limits: Limits,
}

/// Make a folder with a plugin in it that builds and runs, to change into your own
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    harness plugin new prompt-lengths --lang rust                a workload\n  \
    harness plugin new team-report --lang python --kind report   a report")]
pub(crate) struct PluginNew {
    /// The folder's and the plugin's name: lower-case letters, digits and '-', beginning with a letter
    pub(crate) name: String,
    /// The language
    #[arg(long, value_name = "LANG")]
    pub(crate) lang: PluginLanguage,
    /// What it is
    #[arg(long, value_name = "KIND", default_value = "workload")]
    pub(crate) kind: PluginKind,
}

/// In which a plugin can be made anew; any that compiles to a component will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PluginLanguage {
    Rust,
    Javascript,
    Python,
}

/// What a new plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PluginKind {
    /// Decides what to run
    Workload,
    /// Shows what was recorded
    Report,
    /// A workload and a report in one file
    Both,
}

/// Try a plugin: a workload on the simulated model, a report on sample recordings, under the limits
///
/// Exit code 1 if it fails, runs nothing, or returns figures that the runs don't bear out.
#[derive(Debug, Args)]
pub(crate) struct PluginTest {
    /// A file, the name of a built-in plugin, or oci://REGISTRY/NAME@sha256:DIGEST
    #[arg(value_name = "NAME|FILE|REF")]
    pub(crate) plugin: String,
    /// Setting of the workload, or of a plugin that is only a report
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = units::pair)]
    pub(crate) set: Vec<(String, String)>,
    /// Setting of the report, over a --set of the same name
    #[arg(long = "report-set", value_name = "KEY=VALUE", value_parser = units::pair)]
    pub(crate) report_set: Vec<(String, String)>,
    /// Run the workload with its whole settings instead of its quick ones
    #[arg(long)]
    pub(crate) whole: bool,
    #[command(flatten)]
    pub(crate) sources: Sources,
    #[command(flatten)]
    pub(crate) limits: Limits,
}

/// List the devices that a model can run on, and the GPUs whose sensors can be read.
#[derive(Debug, Args)]
pub(crate) struct Devices {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) driver: Driver,
}

/// Look for what would spoil a measurement: the state of the GPUs and of this machine, with what to do.
///
/// What it finds is advice: the exit code is 0 whatever that is.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) driver: Driver,
}

/// Print a shell's completion script.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// Print the manual page, or write one page a command into a folder.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder
    pub(crate) folder: Option<PathBuf>,
}
