//! The facts of a recording: this machine, this harness, the model and the settings.

use harness_core::{Facts, ModelInfo};
use harness_sandbox::{Description, Plugin};

use crate::machine::Machine;

/// What is true before the first run.
pub(crate) fn gather(
    start: &str,
    seed: u64,
    model: &ModelInfo,
    plugin: &Plugin,
    description: &Description,
    settings: &[(String, String)],
    gpu: Vec<(String, String)>,
) -> Facts {
    let mut facts = Facts::new();
    let mut add = |name: &str, value: String| {
        facts.insert(name.to_owned(), value);
    };
    add("start", start.to_owned());
    for (name, value) in machine().into_iter().chain(Machine::this().processors()) {
        add(name, value);
    }
    for (name, value) in gpu {
        add(&name, value);
    }
    add("harness.version", env!("CARGO_PKG_VERSION").into());
    add("harness.commit", env!("HARNESS_COMMIT").into());
    add("harness.profile", env!("HARNESS_PROFILE").into());
    add("plugin.name", description.name.clone());
    add("plugin.version", description.version.clone());
    add("plugin.sha256", plugin.sha256().to_owned());
    add("plugin.contract", plugin.contract().to_owned());
    add("model.name", model.name.clone());
    add("model.backend", model.backend.clone());
    add("model.device", model.device.clone());
    add("model.dtype", model.dtype.clone());
    add("model.weights", model.weights.clone());
    add("model.parameters", model.parameters.to_string());
    add("model.layers", model.layers.to_string());
    add("model.heads", model.heads.to_string());
    add("model.width", model.width.to_string());
    add("model.vocabulary", model.vocabulary.to_string());
    add("model.context", model.context.to_string());
    add("model.token_times", model.token_times.as_str().into());
    for (name, value) in settings {
        add(&format!("setting.{name}"), value.clone());
    }
    add("seed", seed.to_string());
    add("command", command_line());
    facts
}

/// What this machine is called.
pub(crate) fn host_name() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned())
}

/// What Linux says of the machine; what it does not say is left out.
fn machine() -> Vec<(&'static str, String)> {
    let read =
        |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|t| !t.is_empty());
    let field = |text: Option<String>, name: &str| {
        text?.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    let memory = field(read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.strip_suffix(" kB").and_then(|kib| kib.trim().parse::<u64>().ok()))
        .map(|kib| (kib * 1024).to_string());
    [
        ("host.name", host_name().filter(|name| !name.is_empty())),
        ("os.kernel", read("/proc/sys/kernel/osrelease").map(|release| format!("{} {release}", std::env::consts::OS))),
        ("cpu.model", field(read("/proc/cpuinfo"), "model name")),
        ("cpu.cores", std::thread::available_parallelism().ok().map(|cores| cores.to_string())),
        ("memory.total", memory),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

/// The command line, quoted so that a shell takes it again.
fn command_line() -> String {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let quoted = shlex::Quoter::new().allow_nul(true).join(arguments.iter().map(String::as_str));
    format!("harness {}", quoted.unwrap_or_else(|_| arguments.join(" ")))
}
