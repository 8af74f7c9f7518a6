//! What a plugin says of itself.

use crate::{Description, Setting};

impl Description {
    /// A plugin without settings; `summary` is one sentence.
    pub fn new(name: impl Into<String>, version: impl Into<String>, summary: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into(), summary: summary.into(), settings: Vec::new() }
    }

    /// Adds something that the user can set.
    #[must_use]
    pub fn setting(mut self, setting: Setting) -> Self {
        self.settings.push(setting);
        self
    }
}

impl Setting {
    /// A setting of that name (lower case, digits and `-`, starting with a letter); `help` is one sentence.
    pub fn new(name: impl Into<String>, help: impl Into<String>, default: impl Into<String>) -> Self {
        Self { name: name.into(), help: help.into(), default: default.into(), quick: None }
    }

    /// Sets the value under `--quick`, for a rehearsal of a few seconds.
    #[must_use]
    pub fn quick(mut self, value: impl Into<String>) -> Self {
        self.quick = Some(value.into());
        self
    }
}
