//! What the end-to-end tests share: a folder of their own for each test, the guests, the golden data.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[cfg(target_os = "linux")]
pub mod peak;
pub mod raw;

pub use fake_nvml;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use serde_json::Value;

/// A plugin that breaks a rule, chosen by its setting `act`.
pub const HOSTILE: &str = env!("HOSTILE");

/// A workload from outside this workspace, built against the contract alone: `examples/latency-sweep`.
pub const EXAMPLE: &str = env!("EXAMPLE");

/// Another one: `examples/until-stable`.
pub const UNTIL_STABLE: &str = env!("UNTIL_STABLE");

/// A component that is made to do harm; `hostile/README.md` says which.
pub fn hostile(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile").join(name)
}

/// The folder with golden data.
pub fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// A component that was built while `contract` was the newest version.
pub struct Legacy {
    /// Such as `0.1.0`.
    pub contract: String,
    /// Such as `default.wasm`.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
}

/// All of `legacy/`, by version and name; those that are kept packed are unpacked in `place`.
pub fn legacy(place: &Place) -> Vec<Legacy> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut found = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("legacy");
    for version in entries(&folder).into_iter().filter(|path| path.is_dir()) {
        let contract = name(&version);
        for file in entries(&version) {
            let (name, path) = match name(&file).strip_suffix(".zst") {
                Some(unpacked) => {
                    let path = place.write(&format!("legacy-{contract}/{unpacked}"), unpack(&file));
                    (unpacked.to_owned(), path)
                }
                None => (name(&file), file),
            };
            found.push(Legacy { contract: contract.clone(), name, path });
        }
    }
    found
}

fn unpack(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut decoder = zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap();
    // What `zstd --long=27` packs.
    decoder.window_log_max(27).unwrap();
    std::io::Read::read_to_end(&mut decoder, &mut bytes).unwrap();
    bytes
}

/// A file of the golden data as JSON.
pub fn golden_json(path: &str) -> Value {
    let path = golden().join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// A user's machine: a home folder, a present folder, and no GPU unless one is put there.
pub struct Place {
    folder: tempfile::TempDir,
    library_path: Option<PathBuf>,
}

impl Place {
    /// A new one.
    #[allow(clippy::new_without_default, reason = "it makes folders")]
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), library_path: None }
    }

    /// One with a GPU whose driver plays a scenario of `fake-nvml`.
    pub fn with_gpu(scenario: &str) -> Self {
        let mut place = Self::new();
        let driver = place.path("driver");
        std::fs::create_dir(&driver).unwrap();
        fake_nvml::install(&driver, scenario).unwrap();
        place.library_path = Some(driver);
        place
    }

    /// The present folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the present folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in the present folder.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, contents).unwrap();
        path
    }

    /// A command that runs here and sees nothing of the machine's own settings. Compiled plugins are cached for all tests.
    pub fn command(&self, program: &str) -> Command {
        // A test that hangs fails. The binary takes the first TERM for a request to end, so it is killed.
        let mut command = Command::new("timeout");
        command
            // Whoever runs the tests may ignore signals, as a script does in the background.
            .args(["--signal=KILL", "120", "env", "--default-signal=HUP,INT,TERM"])
            .arg(program)
            .current_dir(self.folder())
            .env_clear()
            .env("HOME", self.folder())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HF_HOME", self.path(".cache/huggingface"))
            .env("XDG_CACHE_HOME", std::env::temp_dir().join("harness-tests-cache"));
        if let Some(path) = &self.library_path {
            command.env("LD_LIBRARY_PATH", path);
        }
        command
    }

    /// Writes the user's own configuration, which nobody else can write to.
    pub fn configure(&self, text: &str) -> PathBuf {
        let path = self.write(".config/harness/config.toml", text);
        #[cfg(unix)]
        for (path, mode) in [(path.as_path(), 0o600), (path.parent().unwrap(), 0o700)] {
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
        path
    }

    /// The recordings that were made here, newest first.
    pub fn recordings(&self) -> Vec<PathBuf> {
        let folder = self.path(".local/share/harness/recordings");
        let mut found: Vec<PathBuf> =
            std::fs::read_dir(folder).map(|entries| entries.map(|e| e.unwrap().path()).collect()).unwrap_or_default();
        found.sort();
        found.reverse();
        found
    }

    /// The newest recording's lines.
    pub fn recording(&self) -> Vec<Value> {
        let path = self.recordings().first().cloned().unwrap_or_else(|| panic!("nothing was recorded"));
        lines(&path)
    }
}

/// Sends a signal, such as `INT`, to the binary that [`Place::command`] started, not to `timeout` before it.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("pkill").args([&format!("-{name}"), "-P", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// A recording's lines.
pub fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a command printed, for a message.
pub fn told(output: &Output) -> String {
    format!("{}\n--- stdout\n{}\n--- stderr\n{}", output.status, stdout(output), stderr(output))
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
