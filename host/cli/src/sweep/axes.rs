//! What a sweep runs: every combination of the values of some settings.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::failure::Failure;

/// The most points of a sweep: more are a mistake, or a week.
const MOST_POINTS: usize = 10_000;

/// The most settings that are swept at once.
const MOST_AXES: usize = 16;
/// The most bytes that the values of all points have together: each point has a copy of its own.
const MOST_BYTES: usize = 16 << 20;

/// A setting and the values it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    pub(crate) setting: String,
    pub(crate) values: Vec<String>,
}

/// One combination: settings and values, in the order of the axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point(pub(crate) Vec<(String, String)>);

impl Axis {
    /// `1,8,64`, `16..512*2`, `0..100+25`, or several of these with commas between.
    pub(crate) fn parse(setting: &str, text: &str) -> Result<Self, Failure> {
        let wrong = |what: String| Failure::usage(format!("--sweep {setting}={text}: {what}"));
        let mut values: Vec<String> = Vec::new();
        for part in text.split(',').map(str::trim) {
            if part.is_empty() {
                return Err(wrong("there is a value missing; write such as 1,8,64".into()));
            }
            // Two dots in a text are two dots; after a number they begin a range, and one that is wrong is refused.
            match part.split_once("..") {
                Some((first, rest)) if is_number(first) => values.extend(range(first, rest).map_err(&wrong)?),
                _ => values.push(part.to_owned()),
            }
            if values.len() > MOST_POINTS {
                return Err(wrong(format!("it has more than {MOST_POINTS} values")));
            }
        }
        Self::new(setting, values)
    }

    /// Of values as they are.
    pub(crate) fn new(setting: &str, values: Vec<String>) -> Result<Self, Failure> {
        if values.len() > MOST_POINTS {
            return Err(Failure::usage(format!(
                "the sweep of '{setting}' has more than {MOST_POINTS} values; use fewer"
            )));
        }
        let mut seen = HashSet::new();
        if values.is_empty() {
            return Err(Failure::usage(format!("the sweep of '{setting}' has no values; leave it out, or give some")));
        }
        if let Some(twice) = values.iter().find(|value| !seen.insert(value.as_str())) {
            return Err(Failure::usage(format!("the sweep of '{setting}' has the value '{twice}' twice")));
        }
        Ok(Self { setting: setting.to_owned(), values })
    }
}

fn is_number(text: &str) -> bool {
    text.ends_with(|last: char| last.is_ascii_digit()) && text.trim_start().parse::<f64>().is_ok()
}

/// The numbers of `FIRST..LAST+STEP` or `FIRST..LAST*FACTOR`.
fn range(first: &str, rest: &str) -> Result<Vec<String>, String> {
    let form = || {
        format!(
            "'{first}..{rest}' is no range; write FIRST..LAST+STEP or FIRST..LAST*FACTOR, such as 16..512*2, in whole numbers"
        )
    };
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| form());
    let (last, step, times) = match (rest.split_once('+'), rest.split_once('*')) {
        (Some((last, step)), None) => (number(last)?, number(step)?, false),
        (None, Some((last, factor))) => (number(last)?, number(factor)?, true),
        _ => return Err(form()),
    };
    let first = number(first)?;
    if last < first {
        return Err(format!("'{first}..{rest}' ends before it begins"));
    }
    if step == 0 || (times && (step == 1 || first == 0)) {
        return Err(format!(
            "'{first}..{rest}' never gets on; use a step over 0, or a factor over 1 from a number over 0"
        ));
    }
    let mut values = Vec::new();
    let mut next = Some(first);
    while let Some(value) = next.filter(|&value| value <= last) {
        values.push(value.to_string());
        if values.len() > MOST_POINTS {
            return Err(format!("'{first}..{rest}' has more than {MOST_POINTS} values"));
        }
        next = if times { value.checked_mul(step) } else { value.checked_add(step) };
    }
    Ok(values)
}

/// Every combination, the last axis changing fastest.
pub(crate) fn points(axes: &[Axis]) -> Result<Vec<Point>, Failure> {
    if axes.len() > MOST_AXES {
        return Err(Failure::usage(format!(
            "the sweep has {} settings, and may have {MOST_AXES}; use fewer",
            axes.len()
        )));
    }
    let number = axes.iter().fold(1, |number: usize, axis| number.saturating_mul(axis.values.len()));
    let longest = |axis: &Axis| axis.setting.len() + axis.values.iter().map(String::len).max().unwrap_or(0);
    let bytes = axes.iter().map(longest).sum::<usize>().saturating_mul(number);
    if number <= MOST_POINTS && bytes > MOST_BYTES {
        return Err(Failure::usage(format!(
            "the values of the sweep's {number} points have {bytes} bytes together, and may have {MOST_BYTES}; use shorter or fewer ones"
        )));
    }
    if let Some(twice) = axes
        .iter()
        .enumerate()
        .find_map(|(at, axis)| axes[..at].iter().any(|other| other.setting == axis.setting).then_some(&axis.setting))
    {
        return Err(Failure::usage(format!("--sweep has '{twice}' twice; give all of its values at once")));
    }
    let mut points = vec![Point(Vec::new())];
    for axis in axes {
        if points.len().saturating_mul(axis.values.len()) > MOST_POINTS {
            return Err(Failure::usage(format!("the sweep has more than {MOST_POINTS} points; use fewer values")));
        }
        let with = |point: &Point, value: &String| {
            let mut settings = point.0.clone();
            settings.push((axis.setting.clone(), value.clone()));
            Point(settings)
        };
        points = points.iter().flat_map(|point| axis.values.iter().map(move |value| with(point, value))).collect();
    }
    Ok(points)
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings: Vec<String> = self.0.iter().map(|(setting, value)| format!("{setting}={value}")).collect();
        f.write_str(&settings.join(" "))
    }
}

impl Point {
    /// As a file name, if no other point has the same.
    fn plain(&self) -> String {
        const MOST: usize = 120;
        let text = self.to_string().replace(' ', "_");
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-.=_".contains(c) { c } else { '_' };
        text.chars().take(MOST).map(plain).collect()
    }
}

/// Plain file names of all points of a sweep, in their order: no two are the same, also where case is not told apart.
pub(crate) fn file_names(points: &[Point]) -> Vec<String> {
    let plain: Vec<String> = points.iter().map(Point::plain).collect();
    let mut met: HashMap<String, usize> = HashMap::new();
    for name in &plain {
        *met.entry(name.to_ascii_lowercase()).or_default() += 1;
    }
    let named = |(mut name, place): (String, usize)| {
        // Texts that differ only in what a file name can't hold are told apart by their place.
        if met.get(&name.to_ascii_lowercase()).is_some_and(|&points| points > 1) {
            name = format!("{name}-{place}");
            while met.contains_key(&name.to_ascii_lowercase()) {
                name.push('_');
            }
        }
        format!("{name}.jsonl")
    };
    plain.into_iter().zip(1..).map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(text: &str) -> Vec<String> {
        Axis::parse("x", text).unwrap().values
    }

    #[test]
    fn lists_and_ranges() {
        assert_eq!(values("1,8,64"), ["1", "8", "64"]);
        assert_eq!(values("16..512*2"), ["16", "32", "64", "128", "256", "512"]);
        assert_eq!(values("0..100+25"), ["0", "25", "50", "75", "100"]);
        assert_eq!(values("1..7+4"), ["1", "5"]);
        assert_eq!(values("1, 8..32*2, 0.5"), ["1", "8", "16", "32", "0.5"]);
        assert_eq!(values("Wait..., well..done"), ["Wait...", "well..done"]);
        assert_eq!(values("18446744073709551615..18446744073709551615+1").len(), 1);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in [
            "",
            "1,,2",
            "1..8",
            "1..8*1",
            "0..8*2",
            "1..8+0",
            "8..1+1",
            "1..b+1",
            "0.5..2+0.5",
            "-1..5+1",
            "1..8*2+1",
            "1,1",
            "1..99999+1",
        ] {
            assert!(Axis::parse("x", text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_product_of_two_axes() {
        let axes = [Axis::parse("batch", "1,8").unwrap(), Axis::parse("prompt-tokens", "16,32").unwrap()];
        let points = points(&axes).unwrap();
        let shown: Vec<String> = points.iter().map(Point::to_string).collect();
        assert_eq!(
            shown,
            [
                "batch=1 prompt-tokens=16",
                "batch=1 prompt-tokens=32",
                "batch=8 prompt-tokens=16",
                "batch=8 prompt-tokens=32"
            ]
        );
        assert_eq!(file_names(&points)[3], "batch=8_prompt-tokens=32.jsonl");
        assert!(super::points(&[axes[0].clone(), axes[0].clone()]).is_err());
    }

    #[test]
    fn file_names_differ_whatever_the_values_are() {
        let long = "x".repeat(300);
        for values in [
            &["x!", "x?", "x_-1", "x_-2"][..],
            &["a", "A"],
            &["x!", "X?", "x_-1", "x_-1_"],
            &[&long, &(long.clone() + "y")],
        ] {
            let axis = Axis::new("b", values.iter().map(|value| (*value).to_owned()).collect()).unwrap();
            let names = file_names(&points(&[axis]).unwrap());
            let different: HashSet<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
            assert_eq!(different.len(), values.len(), "{names:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = Axis::parse("x", &text);
        }

        #[test]
        fn file_names_are_plain_and_differ(values in prop::collection::hash_set("[^,]{1,12}", 1..8)) {
            let points: Vec<Point> = values.into_iter().map(|value| Point(vec![("prompt".into(), value)])).collect();
            let mut names = file_names(&points);
            prop_assert!(names.iter().all(|name| !name.contains('/') && !name.starts_with('.')));
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), points.len());
        }
    }
}
