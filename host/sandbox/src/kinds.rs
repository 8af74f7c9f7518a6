//! What a component has of the contract.

/// What a component has of the contract.
#[derive(Clone, Debug)]
pub(crate) struct Kinds {
    /// The interface that it exports, such as `harness:plugin/workload@0.2.0`.
    pub(crate) workload: Option<String>,
    pub(crate) report: Option<String>,
    /// The version that it was built for; several where it was put together from parts.
    pub(crate) contract: String,
    pub(crate) exports: Vec<String>,
    pub(crate) imports: Vec<String>,
}
