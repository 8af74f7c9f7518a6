//! What the fuzz targets in `tests/fuzz` reach of this crate beside its public parts.

use crate::metric::Reading;
use crate::recording::Recording;

/// The summary, each reading checked against the runs as it is when a recording ends.
pub fn audited(recording: &Recording) -> Vec<Reading> {
    let mut summary = recording.summary.clone();
    for reading in &mut summary {
        recording.audit(reading);
    }
    summary
}
