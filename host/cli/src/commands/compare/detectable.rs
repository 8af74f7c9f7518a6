//! How small a change a comparison could have found, in words.

use harness_core::compare::Row;
use harness_core::statistics::POWER;
use harness_core::text::visible_line;

use super::words::{named, number, size};

/// What `detectable` means.
pub(super) fn detectable_words() -> String {
    format!("the smallest true change that {} % of such comparisons find", number(POWER * 100.0))
}

/// What is detectable of each metric, in lines as wide as the table.
pub(super) fn detectable_list(rows: &[Row]) -> Option<String> {
    const WIDTH: usize = 96;
    let known: Vec<String> =
        rows.iter().filter_map(|row| Some(format!("{} {}", named(row), size(row.detectable?)))).collect();
    let mut lines = vec![format!("Detectable, {}:", detectable_words())];
    for (at, text) in known.iter().enumerate() {
        let text = visible_line(text);
        let end = if at + 1 < known.len() { "," } else { "" };
        match lines.last_mut().filter(|line| at > 0 && line.chars().count() + text.chars().count() < WIDTH) {
            Some(line) => line.push_str(&format!(" {text}{end}")),
            None => lines.push(format!("  {text}{end}")),
        }
    }
    (!known.is_empty()).then(|| lines.join("\n"))
}
