//! Numbers along the axis of a chart.

/// Round values from `least` to `most`, about `count` of them. `base` is what they are round multiples of.
pub fn ticks((least, most): (f64, f64), count: usize, base: f64) -> Vec<f64> {
    let rough = (most - least) / count.max(1) as f64 / base;
    if !rough.is_finite() || rough <= 0.0 {
        return vec![least];
    }
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|round| round * power).into_iter().find(|step| *step >= rough * 0.7);
    let step = step.unwrap_or(rough) * base;
    let first = (least / step - 1e-9).ceil();
    let ticks = (0..=count * 3).map(|index| (first + index as f64) * step);
    ticks.take_while(|tick| *tick <= most + step * 1e-9).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks((0.0, 1.0), 2, 1.0), [0.0, 0.5, 1.0]);
        assert_eq!(ticks((0.0, 3072.0), 3, 1024.0), [0.0, 1024.0, 2048.0, 3072.0]);
        assert_eq!(ticks((1.0, 1.0), 4, 1.0), [1.0]);
        assert_eq!(ticks((12.0, 31.0), 4, 1.0), [15.0, 20.0, 25.0, 30.0]);
        assert_eq!(ticks((10.0, 20.0), 2, 1.0), [10.0, 15.0, 20.0]);
    }

    #[test]
    fn there_are_as_many_ticks_as_the_axis_has_room_for() {
        assert_eq!(ticks((0.0, 14.2), 10, 1.0).last(), Some(&14.0));
    }
}
