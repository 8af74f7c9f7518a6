//! What can be wrong with a plugin, said once for the person who runs it and once for its author.

/// Why a plugin can't be used, or what it did wrong. Each message is whole: what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The file is no component.
    #[error("{plugin} is {what}, and a plugin is a WebAssembly component. {remedy}")]
    NotAComponent {
        /// Which.
        plugin: String,
        /// What it is instead.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// Compiling it takes too much of this machine.
    #[error("{plugin} was not loaded: {limit}. Do so only for a file that you trust")]
    LoadLimit {
        /// Which.
        plugin: String,
        /// Which limit, and how to raise it.
        limit: String,
    },
    /// The process that compiles it gave nothing that can be used.
    #[error(
        "{plugin} can't be loaded: {what}. Use another build of it; if it is your own, tell those who make harness"
    )]
    Compiler {
        /// Which.
        plugin: String,
        /// What happened.
        what: String,
    },
    /// A component of something else.
    #[error(
        "{plugin} is a component, but no plugin: it exports neither `harness:plugin/workload` nor `harness:plugin/report`\
         {found}. Check that this is the file you meant. For its author: export one of the two interfaces of wit/plugin.wit"
    )]
    NotAPlugin {
        /// Which.
        plugin: String,
        /// ', only …', or empty.
        found: String,
    },
    /// It has one of the two kinds, and the other was asked for.
    #[error("{plugin} is no {wanted} plugin: it exports only `harness:plugin/{has}`. {remedy}")]
    WrongKind {
        /// Which.
        plugin: String,
        /// `workload` or `report`.
        wanted: &'static str,
        /// `workload` or `report`.
        has: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Built against a contract that this host does not have.
    #[error(
        "{plugin} was built for version {found} of the plugin contract, and this harness has {supported}. {remedy}"
    )]
    Contract {
        /// Which.
        plugin: String,
        /// The component's version.
        found: String,
        /// The host's versions.
        supported: String,
        /// What to do.
        remedy: String,
    },
    /// It wants something that no host gives.
    #[error(
        "{plugin} can't be linked: {reason}. A plugin gets the interfaces of wit/plugin.wit and an empty WASI 0.2, nothing \
         else: use a build of it that asks for no more. For its author: remove the import, or build for the target wasm32-wasip2 (in \
         JavaScript with `--disable http fetch-event`)"
    )]
    Link {
        /// Which.
        plugin: String,
        /// What wasmtime said.
        reason: String,
    },
    /// A setting that is not one of the plugin's.
    #[error("{plugin} has no setting '{setting}'{known}")]
    UnknownSetting {
        /// Which.
        plugin: String,
        /// What the user gave.
        setting: String,
        /// '; it has: …', or '; it has none'.
        known: String,
    },
    /// A setting's value that the plugin refused.
    #[error("{plugin} can't be run as asked: {message}. `harness plugin inspect {plugin}` shows its settings")]
    BadSetting {
        /// Which.
        plugin: String,
        /// What it said.
        message: String,
    },
    /// A value that breaks the contract's rules.
    #[error(
        "{plugin} returned something that can't be used from `{function}`: {what}. This is an error of the plugin; tell its author"
    )]
    BadValue {
        /// Which.
        plugin: String,
        /// Which export.
        function: &'static str,
        /// What is wrong.
        what: String,
    },
    /// A limit ended it.
    #[error("{plugin} was ended: {limit}")]
    Limit {
        /// Which.
        plugin: String,
        /// Which limit, and how to raise it.
        limit: String,
    },
    /// The system gives the sandbox too little, whatever the plugin does.
    #[error("{plugin} can't be run here: {what}")]
    System {
        /// Which.
        plugin: String,
        /// What is missing, and what to do.
        what: String,
    },
    /// It panicked or trapped.
    #[error("{plugin} failed in `{function}`: {message}")]
    Trap {
        /// Which.
        plugin: String,
        /// Which export.
        function: &'static str,
        /// Its panic message, or the trap.
        message: String,
    },
    /// It returned an error.
    #[error("{plugin} gave up: {message}")]
    Returned {
        /// Which.
        plugin: String,
        /// What it said.
        message: String,
    },
    /// The sandbox itself.
    #[error("the plugin sandbox can't start: {0}")]
    Sandbox(String),
}

impl PluginError {
    /// Whether the plugin can't be used at all, or not as asked, rather than failed at its work.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::NotAComponent { .. }
            | Self::LoadLimit { .. }
            | Self::Compiler { .. }
            | Self::NotAPlugin { .. }
            | Self::WrongKind { .. }
            | Self::Contract { .. }
            | Self::Link { .. }
            | Self::UnknownSetting { .. }
            | Self::BadSetting { .. } => true,
            Self::BadValue { .. }
            | Self::Limit { .. }
            | Self::Trap { .. }
            | Self::Returned { .. }
            | Self::System { .. }
            | Self::Sandbox(_) => false,
        }
    }
}
