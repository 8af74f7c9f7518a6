//! Tables as the commands print them.

use comfy_table::{ContentArrangement, Table, presets};

use crate::units;

/// Columns, no lines.
pub(super) fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_width(units::TABLE_WIDTH);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table
}
