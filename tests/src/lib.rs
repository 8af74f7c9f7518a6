//! What the end-to-end tests share: a folder of their own for each test, the guests, the golden data.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A plugin that breaks a rule, chosen by its setting `act`.
pub const HOSTILE: &str = env!("HOSTILE");

/// A workload from outside this workspace, built against `wit/` alone.
pub const EXAMPLE: &str = env!("EXAMPLE");

/// The folder with golden data.
pub fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// The folder with components that were built for each version of the contract, a folder a version.
pub fn legacy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("legacy")
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
            .args(["--signal=KILL", "120"])
            .arg(program)
            .current_dir(self.folder())
            .env_clear()
            .env("HOME", self.folder())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("XDG_CACHE_HOME", std::env::temp_dir().join("harness-tests-cache"));
        if let Some(path) = &self.library_path {
            command.env("LD_LIBRARY_PATH", path);
        }
        command
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
