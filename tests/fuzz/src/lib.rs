//! What the fuzz targets share: bounds on what one input may take, files in memory, and a guest that does as it is told.

pub mod bounds;
pub mod guest;
pub mod scratch;
pub mod sections;
