//! Figures: how they come about of other figures, and how people read them, with the texts beside them. Each rule is here once, for
//! the host that compares recordings and for the plugins that show one; a value's unit is the caller's.
//!
//! This crate knows nothing of recordings, of the host or of plugins.

pub mod format;
pub mod markdown;
pub mod page;
pub mod statistics;
pub mod text;
