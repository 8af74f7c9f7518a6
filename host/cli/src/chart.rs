//! Lines over numbers, as SVG.

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

/// What is drawn.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    /// With its unit, and so is `y`.
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    pub(crate) lines: Vec<Line>,
}

/// One line, by `x`.
pub(crate) struct Line {
    /// Empty where there is only one.
    pub(crate) name: String,
    pub(crate) points: Vec<Dot>,
}

/// A figure and its interval, from `low` to `high`.
#[derive(Clone, Copy)]
pub(crate) struct Dot {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

const SIZE: (u32, u32) = (800, 480);
const LABELS: (&str, u32) = ("sans-serif", 13);
/// Of values so far apart, equal steps would leave most in one corner.
const LOGARITHMIC_FROM: f64 = 16.0;

impl Chart<'_> {
    /// The picture; none where there are not two places on the x axis, or a number is none.
    pub(crate) fn svg(&self) -> Result<Option<String>, String> {
        let dots = || self.lines.iter().flat_map(|line| &line.points);
        if dots().any(|dot| [dot.x, dot.y, dot.low, dot.high].iter().any(|number| !number.is_finite())) {
            return Ok(None);
        }
        let reach = |number: fn(&Dot) -> f64| {
            dots().map(number).fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), n| (least.min(n), most.max(n)))
        };
        let (least, most) = reach(|dot| dot.x);
        // Also where there is no dot at all.
        if least >= most {
            return Ok(None);
        }
        // From 0, so that twice as high is twice as much.
        let top = reach(|dot| dot.high.max(dot.y)).1 * 1.05;
        let rows = 0.0..if top > 0.0 { top } else { 1.0 };
        let drawn = if least > 0.0 && most / least >= LOGARITHMIC_FROM {
            self.draw((least / 1.15..most * 1.15).log_scale(), rows)
        } else {
            let margin = (most - least) * 0.04;
            self.draw(least - margin..most + margin, rows)
        };
        drawn.map(Some)
    }

    fn draw<X>(&self, columns: X, rows: std::ops::Range<f64>) -> Result<String, String>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut text = String::new();
        let result = self.draw_into(&mut text, columns, rows);
        result.map(|()| text).map_err(|error| error.to_string())
    }

    fn draw_into<X>(
        &self,
        text: &mut String,
        columns: X,
        rows: std::ops::Range<f64>,
    ) -> Result<(), Box<dyn std::error::Error>>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(self.title, ("sans-serif", 18))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(84)
            .build_cartesian_2d(columns, rows)?;
        let number = |value: &f64| harness_core::format::Scale::of(1.0, "").number(*value, 3);
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .label_style(LABELS)
            .axis_desc_style(LABELS)
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&number)
            .y_label_formatter(&number)
            .draw()?;
        for (index, line) in self.lines.iter().enumerate() {
            let color = Palette99::pick(index).to_rgba();
            let drawn = chart
                .draw_series(LineSeries::new(line.points.iter().map(|dot| (dot.x, dot.y)), color.stroke_width(2)))?;
            if !line.name.is_empty() {
                drawn
                    .label(&line.name)
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
            }
            chart.draw_series(
                line.points
                    .iter()
                    .map(|dot| ErrorBar::new_vertical(dot.x, dot.low, dot.y, dot.high, color.filled(), 8)),
            )?;
        }
        if self.lines.iter().any(|line| !line.name.is_empty()) {
            chart
                .configure_series_labels()
                .label_font(LABELS)
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK.mix(0.3))
                .position(SeriesLabelPosition::UpperLeft)
                .draw()?;
        }
        root.present()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(f64, f64)]) -> Result<Option<String>, String> {
        let points = points.iter().map(|&(x, y)| Dot { x, y, low: y * 0.9, high: y * 1.1 }).collect();
        let lines = vec![Line { name: "batch=<1>".into(), points }];
        Chart { title: "speed & size", x: "prompt", y: "tokens/s", lines }.svg()
    }

    #[test]
    fn lines_are_drawn_with_names_that_are_text() {
        let svg = chart(&[(1.0, 5.0), (16.0, 9.0), (64.0, 7.0)]).unwrap().unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(svg.contains("speed &amp; size") && svg.contains("batch=&lt;1&gt;") && !svg.contains("<1>"), "{svg}");
        assert!(svg.contains("<polyline"), "{svg}");
    }

    #[test]
    fn what_can_not_be_drawn_is_none() {
        assert_eq!(chart(&[]), Ok(None));
        assert_eq!(chart(&[(1.0, 5.0)]), Ok(None));
        assert_eq!(chart(&[(1.0, f64::NAN), (2.0, 1.0)]), Ok(None));
        assert!(chart(&[(0.0, 0.0), (2.0, 0.0)]).unwrap().is_some());
    }
}
