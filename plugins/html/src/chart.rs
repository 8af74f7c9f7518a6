//! Charts as inline SVG. Colours are the page's, by class; what a chart shows is said in words in its label.

use std::fmt::Write;

use harness_figures::page::{Escaped, heading, ticks};
use harness_plugin::format::{Scale, count, plural, quantity};

use crate::digest::{RunDigest, Samples, Sensor};
use crate::series::{Histogram, range, thinned};

/// Of a small chart, and of one of two in a row, in the charts' own unit: about a pixel.
const SMALL: (f64, f64) = (340.0, 182.0);
const WIDE: (f64, f64) = (520.0, 260.0);
const TOP: f64 = 30.0;
const BOTTOM: f64 = 40.0;
const RIGHT: f64 = 12.0;
/// Over this many, points of all runs are thinned together.
const MOST_LINES: usize = 600;
const MOST_POINTS: usize = 2_000;
/// Unit of what is counted.
const COUNT: &str = "requests";

/// Maps figures to places in a chart.
struct Frame {
    size: (f64, f64),
    left: f64,
    x: (f64, f64),
    y: (f64, f64),
    scale: Scale,
    factor: f64,
    /// In the figures' unit.
    ticks: Vec<f64>,
    decimals: usize,
}

impl Frame {
    /// With `y` in a unit that is scaled, such as `s`.
    fn new(size: (f64, f64), x: (f64, f64), y: (f64, f64), unit: &str) -> Self {
        let scale = Scale::of(y.1, unit);
        let factor = factor(&scale);
        let mut ticks = ticks(y, if size == SMALL { 4 } else { 5 }, if unit == "B" { factor } else { 1.0 });
        if unit == COUNT {
            ticks.retain(|tick| tick.fract() == 0.0);
        }
        let decimals = decimals(&ticks, factor);
        let longest = ticks.iter().map(|tick| fixed(*tick / factor, decimals).len()).max().unwrap_or(0);
        Self { size, left: 16.0 + 6.5 * longest as f64, x, y, scale, factor, ticks, decimals }
    }

    fn x(&self, value: f64) -> f64 {
        let width = self.size.0 - self.left - RIGHT;
        self.left + width * (value - self.x.0) / (self.x.1 - self.x.0).max(f64::MIN_POSITIVE)
    }

    fn y(&self, value: f64) -> f64 {
        let height = self.size.1 - TOP - BOTTOM;
        self.size.1 - BOTTOM - height * (value - self.y.0) / (self.y.1 - self.y.0).max(f64::MIN_POSITIVE)
    }

    fn bottom(&self) -> f64 {
        self.size.1 - BOTTOM
    }

    /// The chart, with its axes. `labels` are texts at places of the horizontal axis, `(what, below)` names both.
    fn svg(&self, described: &str, marks: &str, labels: &[(f64, String)], (what, below): (&str, &str)) -> String {
        let (width, height) = self.size;
        let (right, bottom) = (width - RIGHT, self.bottom());
        let mut axes = String::new();
        for tick in &self.ticks {
            let (y, text) = (self.y(*tick), fixed(*tick / self.factor, self.decimals));
            let (left, base) = (self.left, y + 4.0);
            let _ = write!(
                axes,
                "<path class=\"grid\" d=\"M{left:.1} {y:.1}H{right:.1}\"/><text class=\"end\" x=\"{:.1}\" y=\"{base:.1}\">{text}</text>",
                left - 6.0
            );
        }
        for (at, text) in labels {
            let (x, y) = (self.x(*at), bottom + 16.0);
            // A label at the edge would be cut off.
            let class = if x > right - 14.0 { "end" } else { "middle" };
            let x = if class == "end" { right } else { x };
            let _ = write!(axes, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", Escaped(text));
        }
        let middle = (self.left + right) / 2.0;
        format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">{axes}<path class=\"axis\" d=\"M{:.1} \
             {bottom:.1}H{right:.1}\"/>{marks}<text class=\"name\" x=\"{:.1}\" y=\"12\">{}</text><text class=\"name middle\" \
             x=\"{middle:.1}\" y=\"{:.1}\">{}</text></svg>",
            Escaped(described),
            self.left,
            2.0,
            Escaped(what),
            height - 4.0,
            Escaped(below),
        )
    }
}

/// What one of the scale is, in the base unit. The scale does not tell it, but shows numbers by it.
fn factor(scale: &Scale) -> f64 {
    const LARGE: f64 = 1_099_511_627_776.0;
    let shown: Option<f64> = scale.number(LARGE, 17).replace(',', "").parse().ok();
    shown.filter(|shown| *shown > 0.0).map_or(1.0, |shown| LARGE / shown)
}

/// Digits after the point that tell ticks apart.
fn decimals(ticks: &[f64], factor: f64) -> usize {
    let step = match ticks {
        [first, second, ..] => (second - first) / factor,
        [only] => only.abs() / factor / 1e3,
        [] => 1.0,
    };
    (0..9)
        .find(|digits| (step * 10f64.powi(*digits) + 1e-3).fract() < 2e-3 && step * 10f64.powi(*digits) > 0.9)
        .unwrap_or(2) as usize
}

fn fixed(value: f64, decimals: usize) -> String {
    if decimals == 0 && value >= 10_000.0 { count(value.round() as u64) } else { format!("{value:.decimals$}") }
}

/// A range with room around it, so that no mark lies on an edge; never below `floor`.
fn roomy((least, most): (f64, f64), floor: f64) -> (f64, f64) {
    let room = ((most - least) * 0.08).max(most.abs() * 0.005).max(1e-9);
    ((least - room).max(floor), most + room)
}

/// The latency of each request of one run. Of all runs' charts `y` is the same, so that they can be compared at a glance;
/// what is greater has a mark at the edge.
pub(crate) fn latencies(run: &RunDigest, samples: &Samples, y: (f64, f64)) -> String {
    let count = samples.count as f64;
    let frame = Frame::new(SMALL, (1.0 - count * 0.01, count * 1.01), roomy(y, 0.0), "s");
    let mut marks = String::new();
    if let Some(mean) = run.latency.filter(|mean| (frame.y.0..=frame.y.1).contains(mean)) {
        let (left, right, y) = (frame.left, SMALL.0 - RIGHT, frame.y(mean));
        let _ = write!(marks, "<path class=\"mean\" d=\"M{left:.1} {y:.1}H{right:.1}\"/>");
    }
    let (inside, beyond): (Vec<_>, Vec<_>) = samples.points.iter().partition(|(_, value)| *value <= frame.y.1);
    let class = if samples.points.len() > 200 { "dots fine" } else { "dots" };
    let _ = write!(marks, "<path class=\"{class}\" d=\"{}\"/>", dots(&frame, inside));
    for (x, value) in beyond {
        let (x, shown) = (frame.x(*x), quantity(*value, "s"));
        let _ = write!(marks, "<path class=\"beyond\" d=\"M{x:.1} {TOP}l-4 7h8z\"><title>{shown}</title></path>");
    }
    let mean = run.latency.map(|mean| format!(", mean {}", quantity(mean, "s"))).unwrap_or_default();
    let described = format!(
        "{}: latency of {}, from {} to {}{mean}{}{}.",
        run.label,
        plural(samples.count, "request"),
        quantity(samples.least, "s"),
        quantity(samples.most, "s"),
        samples.median.map(|median| format!(", median {}", quantity(median, "s"))).unwrap_or_default(),
        samples.p99.map(|p99| format!(", 99th percentile {}", quantity(p99, "s"))).unwrap_or_default(),
    );
    let labels: Vec<(f64, String)> = whole_ticks(samples.count, 4);
    frame.svg(&described, &marks, &labels, (&unit_name("latency", &frame.scale), "request"))
}

fn dots<'a>(frame: &Frame, points: impl IntoIterator<Item = &'a (f64, f64)>) -> String {
    points.into_iter().fold(String::new(), |mut path, (x, y)| {
        let _ = write!(path, "M{:.1} {:.1}h0", frame.x(*x), frame.y(*y));
        path
    })
}

/// Numbers from 1 to `last`, all where they are few.
fn whole_ticks(last: usize, wanted: usize) -> Vec<(f64, String)> {
    let wanted = match last {
        0..=12 => last,
        // Their numbers are too long for more.
        10_000.. => wanted.min(2),
        _ => wanted,
    };
    let mut places: Vec<f64> =
        ticks((0.0, last as f64), wanted, 1.0).into_iter().filter(|at| at.fract() == 0.0).collect();
    places.retain(|at| *at >= 1.0);
    // The first is 1, where the next would be too near for both to be read.
    let step = match places.as_slice() {
        [first, second, ..] => second - first,
        _ => 1.0,
    };
    places.retain(|at| *at - 1.0 > step * 0.6);
    places.insert(0, 1.0);
    places.into_iter().map(|at| (at, count(at as u64))).collect()
}

fn unit_name(what: &str, scale: &Scale) -> String {
    match scale.symbol() {
        "" => what.to_owned(),
        symbol => format!("{what}, {symbol}"),
    }
}

/// How often each latency occurred.
pub(crate) fn histogram(histogram: &Histogram) -> String {
    let highest = histogram.counts.iter().copied().max().unwrap_or(0) as f64;
    let (start, end) = (histogram.start, histogram.end());
    let alike = end <= start;
    let room = (start * 0.01).max(1e-9);
    let span = if alike { (start - room, start + room) } else { (start, end) };
    let frame = Frame::new(WIDE, span, (0.0, highest * 1.05), COUNT);
    let scale = Scale::of(span.1, "s");
    let factor = factor(&scale);
    let mut marks = String::new();
    for (index, count) in histogram.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let from = start + histogram.width * index as f64;
        let to = from + histogram.width;
        let (left, right, top) = match alike {
            false => (frame.x(from) + 0.5, frame.x(to) - 0.5, frame.y(*count as f64)),
            true => (frame.x(start) - 20.0, frame.x(start) + 20.0, frame.y(*count as f64)),
        };
        let more = if index + 1 == histogram.counts.len() && histogram.beyond > 0 { " or more" } else { "" };
        let (width, height) = (right - left, frame.bottom() - top);
        let (from, to) = (scale.number(from, 4), scale.number(to, 4));
        let _ = write!(
            marks,
            "<rect class=\"bar\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"><title>{from} to {to} \
             {}{more}: {}</title></rect>",
            scale.symbol(),
            plural(*count as usize, "request"),
        );
    }
    let places = if alike { vec![start] } else { ticks(span, 5, 1.0) };
    let digits = decimals(&places, factor);
    let labels: Vec<(f64, String)> = places.into_iter().map(|at| (at, fixed(at / factor, digits))).collect();
    let total: u64 = histogram.counts.iter().sum();
    let mode = histogram.counts.iter().zip(0u32..).max_by_key(|(count, index)| (**count, u32::MAX - index));
    let mode = mode.map(|(_, index)| start + histogram.width * f64::from(index)).unwrap_or(start);
    let described = format!(
        "Histogram of {}: from {} up; most often from {} to {}, {} in the fullest of {}.",
        plural(total as usize, "latency sample"),
        quantity(start, "s"),
        quantity(mode, "s"),
        quantity(mode + histogram.width, "s"),
        highest,
        plural(histogram.counts.len(), "bar"),
    );
    frame.svg(&described, &marks, &labels, (COUNT, &unit_name("latency", &scale)))
}

/// Each run's latency: a bar from the least to the greatest, the mean a dot.
pub(crate) fn spread(runs: &[RunDigest]) -> Option<String> {
    let values = runs.iter().flat_map(|run| {
        run.latency.into_iter().chain(run.samples.iter().flat_map(|samples| [samples.least, samples.most]))
    });
    let found = range(values)?;
    let frame = Frame::new(WIDE, (0.5, runs.len() as f64 + 0.5), roomy(found, 0.0), "s");
    let mut marks = String::new();
    for (run, number) in runs.iter().zip(1u32..) {
        let x = frame.x(f64::from(number));
        let mut mark = String::new();
        if let Some(samples) = &run.samples {
            let (least, common, most) = (frame.y(samples.least), frame.y(samples.common), frame.y(samples.most));
            let _ = write!(
                mark,
                "<path class=\"whisker\" d=\"M{x:.1} {least:.1}V{most:.1}\"/><path class=\"range\" d=\"M{x:.1} {least:.1}V{common:.1}\"/>"
            );
        }
        if let Some(latency) = run.latency {
            let _ = write!(mark, "<path class=\"dot of-run\" d=\"M{x:.1} {:.1}h0\"/>", frame.y(latency));
        }
        let mean = run.latency.map(|latency| format!(": mean {}", quantity(latency, "s"))).unwrap_or_default();
        let _ = write!(marks, "<g><title>{}{mean}</title>{mark}</g>", Escaped(&run.label));
    }
    let described = format!(
        "Latency of each of {}: all between {} and {}; the runs' means are in the table of runs.",
        plural(runs.len(), "run"),
        quantity(found.0, "s"),
        quantity(found.1, "s"),
    );
    Some(frame.svg(&described, &marks, &whole_ticks(runs.len(), 10), (&unit_name("latency", &frame.scale), "run")))
}

/// A sensor's readings over the runs, those marked in which clocks were held down.
pub(crate) fn sensor(sensor: &Sensor, runs: &[RunDigest]) -> String {
    let unit = &sensor.metric.unit;
    let mut y = roomy(sensor.range, if sensor.range.0 >= 0.0 { 0.0 } else { f64::NEG_INFINITY });
    if unit == "1" {
        // A share of little would lie on the floor of a chart of the whole.
        y = (0.0, if sensor.range.1 > 0.25 { y.1.max(1.0) } else { y.1 * 1.2 });
    }
    let frame = Frame::new(SMALL, (0.0, runs.len() as f64), y, unit);
    let mut marks = String::new();
    for (index, run) in runs.iter().enumerate() {
        let (left, right) = (frame.x(index as f64), frame.x(index as f64 + 1.0));
        if run.throttled().is_some() {
            let (width, height) = (right - left, frame.bottom() - TOP);
            let _ = write!(
                marks,
                "<rect class=\"throttled\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height:.1}\"><title>{}: clocks were \
                 held down</title></rect><path class=\"flag\" d=\"M{:.1} {TOP}l-4 -6h8z\"/>",
                Escaped(&run.label),
                (left + right) / 2.0
            );
        }
        if index > 0 && runs.len() <= 50 {
            let _ = write!(marks, "<path class=\"grid\" d=\"M{left:.1} {TOP}V{:.1}\"/>", frame.bottom());
        }
    }
    for line in lines(sensor) {
        match line.as_slice() {
            [] => {}
            [only] => {
                let _ = write!(marks, "<path class=\"dot\" d=\"{}\"/>", dots(&frame, [only]));
            }
            points => {
                let points: Vec<String> =
                    points.iter().map(|(x, y)| format!("{:.1},{:.1}", frame.x(*x), frame.y(*y))).collect();
                let _ = write!(marks, "<polyline class=\"line\" points=\"{}\"/>", points.join(" "));
            }
        }
    }
    let labels: Vec<(f64, String)> =
        whole_ticks(runs.len(), 5).into_iter().map(|(at, text)| (at - 0.5, text)).collect();
    let name = heading(&sensor.metric.name);
    frame.svg(&sensor_words(sensor, runs), &marks, &labels, (&unit_name(&name, &frame.scale), "run"))
}

/// One a run, side by side.
fn lines(sensor: &Sensor) -> Vec<Vec<(f64, f64)>> {
    let placed = sensor.lines.iter().enumerate().map(|(run, line)| {
        let place = |(at, value): &(f64, f64)| (run as f64 + at, *value);
        line.iter().map(place).collect()
    });
    let placed: Vec<Vec<(f64, f64)>> = placed.collect();
    if placed.len() <= MOST_LINES { placed } else { vec![thinned(&placed.concat(), MOST_POINTS)] }
}

fn sensor_words(sensor: &Sensor, runs: &[RunDigest]) -> String {
    let unit = &sensor.metric.unit;
    let means = range(sensor.means.iter().flatten().copied());
    let means = means.map(|(least, most)| match least == most {
        true => format!("; the mean of each run is {}", quantity(least, unit)),
        false => format!("; the runs' means are between {} and {}", quantity(least, unit), quantity(most, unit)),
    });
    let throttled = match runs.iter().filter(|run| run.throttled().is_some()).count() {
        0 if runs.iter().any(|run| run.throttling.is_none()) => String::new(),
        0 => "; no run was throttled".to_owned(),
        some => format!("; throttled in {some} of {}", plural(runs.len(), "run")),
    };
    format!(
        "{} over {}: readings from {} to {}{}{throttled}.",
        heading(&sensor.metric.name),
        plural(runs.len(), "run"),
        quantity(sensor.range.0, unit),
        quantity(sensor.range.1, unit),
        means.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_tells_its_factor() {
        for (value, unit, expected) in [
            (0.01, "s", 1e-3),
            (1e-9, "s", 1e-9),
            (5e9, "B", 1_073_741_824.0),
            (1.5e9, "Hz", 1e9),
            (0.5, "1", 0.01),
            (3.0, "requests", 1.0),
        ] {
            let found = factor(&Scale::of(value, unit));
            assert!((found / expected - 1.0).abs() < 1e-9, "{value} {unit}: {found}");
        }
    }

    #[test]
    fn ticks_have_the_digits_that_tell_them_apart() {
        assert_eq!(decimals(&[0.0, 0.5, 1.0], 1.0), 1);
        assert_eq!(decimals(&[0.1, 0.12], 1e-3), 0);
        assert_eq!(decimals(&[0.0, 0.25], 1.0), 2);
        assert_eq!(fixed(12_000.0, 0), "12,000");
    }

    #[test]
    fn marks_stay_inside_their_frame() {
        let frame = Frame::new(SMALL, (1.0, 100.0), roomy((0.1, 0.2), 0.0), "s");
        assert!(frame.y(0.2) > TOP && frame.y(0.1) < frame.bottom());
        assert!(frame.x(1.0) >= frame.left && frame.x(100.0) <= SMALL.0 - RIGHT + 1e-9);
        let flat = Frame::new(SMALL, (1.0, 1.0), roomy((0.0, 0.0), 0.0), "s");
        assert!(flat.x(1.0).is_finite() && flat.y(0.0).is_finite());
    }
}
