//! Charts as SVG: lines, steps, dots and bars over one horizontal axis.
//!
//! Colours are those of the page that a chart stands in. A chart in a file of its own brings the same ones along.

use std::fmt::Write;

use crate::html::escape;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 40.0;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A line from point to point.
    Line,
    /// A value holds until the next.
    Steps,
    /// A dot each.
    Dots,
    /// From nothing up to the value.
    Bars,
}

/// Values that belong together.
#[derive(Clone, Debug)]
pub struct Series {
    /// What they are.
    pub name: String,
    /// How they are drawn.
    pub style: Style,
    /// Horizontal and vertical.
    pub points: Vec<(f64, f64)>,
}

/// A chart.
#[derive(Clone, Debug, Default)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// What the horizontal axis is, with its unit.
    pub x: String,
    /// What the vertical axis is, with its unit.
    pub y: String,
    /// Names of the places 0, 1, 2 and so on of the horizontal axis, where it has no numbers.
    pub labels: Vec<String>,
    /// What is shown.
    pub series: Vec<Series>,
    /// Stretches of the horizontal axis that are set off, such as faults.
    pub zones: Vec<(f64, f64, String)>,
    /// A limit on the vertical axis.
    pub limit: Option<(f64, String)>,
}

impl Plot {
    /// As part of a page.
    pub fn inline(&self) -> String {
        self.draw("")
    }

    /// As a file of its own.
    pub fn file(&self) -> String {
        self.draw(&format!("<style>{}</style>", crate::html::STYLE))
    }

    fn draw(&self, style: &str) -> String {
        let (from, to) = self.across();
        let (low, top) = self.upwards();
        let x = |value: f64| LEFT + (value - from) / (to - from) * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - (value - low) / (top - low) * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{}\">{style}<text x=\"{LEFT}\" y=\"15\" font-weight=\"600\">{}</text>",
            escape(&self.title),
            escape(&self.title)
        );
        let mut put = |text: String| svg.push_str(&text);
        for (begin, end, what) in &self.zones {
            let (left, right) = (x(begin.max(from)), x(end.min(to)));
            if right > left {
                put(format!(
                    "<rect class=\"zone\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
                    right - left,
                    HEIGHT - TOP - BOTTOM,
                    escape(what)
                ));
            }
        }
        for tick in ticks(low, top, 4) {
            put(format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{2:.1}\" y2=\"{2:.1}\"/><text class=\"quiet\" x=\"{1}\" y=\"{3:.1}\" text-anchor=\"end\">{4}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y(tick),
                y(tick) + 4.0,
                number(tick)
            ));
        }
        let places: Vec<(f64, String)> = match self.labels.is_empty() {
            true => ticks(from, to, 8)
                .into_iter()
                .map(|tick| (tick, number(tick)))
                .collect(),
            false => self
                .labels
                .iter()
                .enumerate()
                .map(|(place, label)| (place as f64, escape(label)))
                .collect(),
        };
        for (place, label) in places {
            put(format!(
                "<text class=\"quiet\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                x(place),
                HEIGHT - BOTTOM + 15.0
            ));
        }
        put(format!(
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{1}\" y2=\"{1}\"/><text class=\"quiet\" x=\"{0}\" y=\"{2}\" text-anchor=\"end\">{3}</text><text class=\"quiet\" x=\"8\" y=\"32\">{4}</text>",
            WIDTH - RIGHT,
            HEIGHT - BOTTOM,
            HEIGHT - 6.0,
            escape(&self.x),
            escape(&self.y)
        ));
        let mut key = WIDTH - RIGHT;
        for (place, series) in self.series.iter().enumerate().rev() {
            let color = format!("var(--c{})", place % 6);
            put(shape(series, &color, &x, &y));
            key -= 12.0 + 6.6 * series.name.chars().count() as f64;
            put(format!(
                "<rect x=\"{key:.0}\" y=\"25\" width=\"9\" height=\"9\" fill=\"{color}\"/><text class=\"quiet\" x=\"{:.0}\" y=\"33\">{}</text>",
                key + 12.0,
                escape(&series.name)
            ));
            key -= 10.0;
        }
        if let Some((limit, name)) = &self.limit {
            put(format!(
                "<line class=\"rule\" x1=\"{LEFT}\" x2=\"{0}\" y1=\"{1:.1}\" y2=\"{1:.1}\"/><text class=\"quiet\" x=\"{0}\" y=\"{2:.1}\" text-anchor=\"end\">{3}</text>",
                WIDTH - RIGHT,
                y(*limit),
                y(*limit) - 4.0,
                escape(name)
            ));
        }
        svg + "</svg>"
    }

    fn across(&self) -> (f64, f64) {
        if !self.labels.is_empty() {
            return (-0.5, self.labels.len() as f64 - 0.5);
        }
        let points = self
            .series
            .iter()
            .flat_map(|series| &series.points)
            .map(|(x, _)| *x);
        let (from, to) = points.fold((f64::MAX, f64::MIN), |(from, to), x| (from.min(x), to.max(x)));
        if from < to {
            (from, to)
        } else {
            (from.min(0.0), from.clamp(0.0, 1e300) + 1.0)
        }
    }

    /// Nothing is always on the vertical axis.
    fn upwards(&self) -> (f64, f64) {
        let points = self
            .series
            .iter()
            .flat_map(|series| &series.points)
            .map(|(_, y)| *y);
        let all = points.chain(self.limit.iter().map(|(limit, _)| *limit));
        let (low, top) = all.fold((0.0, 0.0), |(low, top), y| (f64::min(low, y), f64::max(top, y)));
        let room = (top - low) * 0.06;
        if low < top {
            (if low < 0.0 { low - room } else { low }, top + room)
        } else {
            (0.0, 1.0)
        }
    }
}

fn shape(series: &Series, color: &str, x: &impl Fn(f64) -> f64, y: &impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    match series.style {
        Style::Line | Style::Steps => {
            for (place, (across, up)) in series.points.iter().enumerate() {
                let (across, up) = (x(*across), y(*up));
                let _ = match (place, series.style) {
                    (0, _) => write!(path, "M{across:.1} {up:.1}"),
                    (_, Style::Steps) => write!(path, "H{across:.1}V{up:.1}"),
                    _ => write!(path, "L{across:.1} {up:.1}"),
                };
            }
            format!("<path class=\"series\" style=\"stroke:{color}\" d=\"{path}\"/>")
        }
        Style::Dots => {
            for (across, up) in &series.points {
                let _ = write!(
                    path,
                    "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.6\" style=\"fill:{color}\"/>",
                    x(*across),
                    y(*up)
                );
            }
            path
        }
        Style::Bars => {
            let gaps = series.points.windows(2).map(|pair| x(pair[1].0) - x(pair[0].0));
            let width = gaps.fold(60.0, f64::min) * 0.8;
            for (across, up) in &series.points {
                let _ = write!(
                    path,
                    "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" style=\"fill:{color}\"/>",
                    x(*across) - width / 2.0,
                    y(*up),
                    y(0.0) - y(*up)
                );
            }
            path
        }
    }
}

/// Round numbers between two.
pub(crate) fn ticks(from: f64, to: f64, count: u32) -> Vec<f64> {
    let rough = (to - from) / f64::from(count);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|part| part * power)
        .find(|step| *step >= rough);
    let step = step.unwrap_or(power * 10.0);
    let first = (from / step).ceil();
    let all = (0..=count * 2).map(|place| (first + f64::from(place)) * step);
    all.take_while(|tick| *tick <= to + step * 1e-9).collect()
}

fn number(value: f64) -> String {
    // Sums of steps are not round.
    let rounded = (value * 1e6).round() / 1e6;
    match rounded.abs() {
        large if large >= 1e6 => format!("{}M", rounded / 1e6),
        large if large >= 1e4 => format!("{}k", rounded / 1e3),
        _ => rounded.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks(0.0, 100.0, 5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(13.0, 52.0, 4), [20.0, 30.0, 40.0, 50.0]);
        assert_eq!(number(0.1 + 0.2), "0.3");
        assert_eq!(number(12_000.0), "12k");
    }

    #[test]
    fn a_plot_says_what_it_shows_and_escapes_names() {
        let plot = Plot {
            title: "a < b".to_owned(),
            series: vec![Series {
                name: "s".to_owned(),
                style: Style::Steps,
                points: vec![(0.0, 1.0), (2.0, 3.0)],
            }],
            ..Plot::default()
        };
        assert!(plot.inline().contains("aria-label=\"a &lt; b\""));
        assert!(!plot.inline().contains("<style>") && plot.file().contains("<style>"));
        // Nothing to show is an empty chart and no panic.
        assert!(Plot::default().inline().ends_with("</svg>"));
    }
}
