//! Figures as people read them: `12.3 ms` for 0.0123 s.

/// How values of one metric are shown: one scale for all of them, so that they can be compared at a glance.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    factor: f64,
    symbol: String,
}

const KIB: f64 = 1024.0;

/// From here on a number is written with an exponent.
const MOST_PLAIN: f64 = 1e15;

impl Scale {
    /// The scale on which `value`, in the base unit `unit`, reads best.
    pub fn of(value: f64, unit: &str) -> Self {
        let size = value.abs();
        let steps: &[(f64, &str)] = match unit {
            "s" => &[(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")],
            "B" => &[(KIB * KIB * KIB, "GiB"), (KIB * KIB, "MiB"), (KIB, "KiB"), (1.0, "B")],
            "J" => &[(1e3, "kJ"), (1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ")],
            "W" => &[(1.0, "W"), (1e-3, "mW")],
            "Hz" => &[(1e9, "GHz"), (1e6, "MHz"), (1e3, "kHz"), (1.0, "Hz")],
            "1" => &[(0.01, "%")],
            "Cel" => &[(1.0, "°C")],
            "1/s" => &[(1.0, "/s")],
            other => return Self { factor: 1.0, symbol: other.to_owned() },
        };
        let whole = if size > 0.0 { size } else { 1.0 };
        let step = steps.iter().find(|(factor, _)| whole >= *factor).or(steps.last());
        let (factor, symbol) = step.copied().unwrap_or((1.0, ""));
        Self { factor, symbol: symbol.to_owned() }
    }

    /// The unit on this scale, such as `ms`.
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// A value on this scale, without the unit, to that many significant digits; digits before the point all stay.
    pub fn number(&self, value: f64, significant: u32) -> String {
        // Tokens are counted: a whole number of them has no digits after the point to show.
        if self.symbol == "tokens" && value.fract() == 0.0 && value.abs() < MOST_PLAIN {
            return group(&value.to_string());
        }
        number(value / self.factor, significant)
    }
}

/// A value with its unit, to four significant digits.
///
/// ```
/// use harness_figures::format::quantity;
///
/// assert_eq!(quantity(0.0123, "s"), "12.30 ms");
/// assert_eq!(quantity(497_759_232.0, "B"), "474.7 MiB");
/// assert_eq!(quantity(0.873, "1"), "87.30 %");
/// ```
pub fn quantity(value: f64, unit: &str) -> String {
    let scale = Scale::of(value, unit);
    format!("{} {}", scale.number(value, 4), scale.symbol())
}

/// A count with its thousands apart: `124,439,808`.
pub fn count(value: u64) -> String {
    group(&value.to_string())
}

/// `1 run`, `10 runs`.
pub fn plural(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{} {one}s", self::count(count as u64)) }
}

/// Lines of a text, broken at spaces so that none has more than `width` characters, unless a single word has.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut room = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        match lines.last_mut() {
            Some(line) if length < room => {
                line.push(' ');
                line.push_str(word);
                room -= length + 1;
            }
            _ => {
                lines.push(word.to_owned());
                room = width.saturating_sub(length);
            }
        }
    }
    lines
}

fn number(value: f64, significant: u32) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    if value.abs() >= MOST_PLAIN {
        return format!("{value:.*e}", significant.saturating_sub(1) as usize);
    }
    let shown = |value: f64| {
        let magnitude = value.abs().log10().floor() as i32;
        let decimals = (significant as i32 - 1 - magnitude).clamp(0, 9) as usize;
        format!("{value:.decimals$}")
    };
    // Rounding can carry into a new digit: 9.9996 is 10.00, not 10.000. And what is left of equal numbers after
    // subtracting is no figure: it is 0, without digits.
    let text = shown(value);
    let text = match text.parse::<f64>() {
        Ok(0.0) => "0".to_owned(),
        Ok(rounded) => shown(rounded),
        Err(_) => text,
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if fraction.is_empty() { group(whole) } else { format!("{}.{fraction}", group(whole)) }
}

fn group(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        for (value, unit, text) in [
            (2.5, "s", "2.500 s"),
            (0.000_084, "s", "84.00 µs"),
            (0.999_96, "s", "1,000 ms"),
            (0.0, "s", "0 s"),
            (1536.0, "B", "1.500 KiB"),
            (497_759_232.0, "B", "474.7 MiB"),
            (80.0 * KIB * KIB * KIB, "B", "80.00 GiB"),
            (1.98e9, "Hz", "1.980 GHz"),
            (0.0, "1", "0 %"),
            (1.8e-18, "1", "0 %"),
            (1.0, "1", "100.0 %"),
            (312.44, "W", "312.4 W"),
            (0.0021, "J", "2.100 mJ"),
            (54.0, "Cel", "54.00 °C"),
            (12.3456, "1/s", "12.35 /s"),
            (67_423.4, "tokens/s", "67,423 tokens/s"),
            (5000.0, "tokens", "5,000 tokens"),
            (12.0, "tokens", "12 tokens"),
            (1e60, "tokens", "1.000e60 tokens"),
            (999e12, "s", "999,000,000,000,000 s"),
            (-1e15, "s", "-1.000e15 s"),
            (12.5, "tokens", "12.50 tokens"),
            (9.9996, "widgets", "10.00 widgets"),
            (-0.5, "s", "-500.0 ms"),
            (f64::NAN, "s", "NaN s"),
        ] {
            let scale = Scale::of(value, unit);
            assert_eq!(format!("{} {}", scale.number(value, 4), scale.symbol()), text, "{value} {unit}");
            assert_eq!(quantity(value, unit), text, "{value} {unit}");
        }
    }

    #[test]
    fn one_scale_holds_several_values() {
        let scale = Scale::of(0.5, "s");
        assert_eq!(scale.number(0.001_23, 2), "1.2");
        assert_eq!(scale.number(1.5, 2), "1,500");
    }

    #[test]
    fn text_is_wrapped_at_spaces() {
        assert_eq!(wrap("one two  three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a b c d e f g h", 9), ["a b c d e", "f g h"]);
        assert_eq!(wrap("incomprehensible it is", 5), ["incomprehensible", "it is"]);
        assert!(wrap(" ", 5).is_empty());
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(124_439_808), "124,439,808");
        assert_eq!(plural(1, "run"), "1 run");
        assert_eq!(plural(1000, "run"), "1,000 runs");
    }
}
