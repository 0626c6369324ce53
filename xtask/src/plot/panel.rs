//! A frame with curves and their names.

use std::fmt::Write;

use super::axis::{Axis, label};
use super::curves::Curve;

/// Size of a panel with its labels.
pub const WIDTH: f64 = 660.0;
/// Height of a panel with its labels.
pub const HEIGHT: f64 = 280.0;
/// Left, top, right and bottom of the frame inside the panel.
const FRAME: [f64; 4] = [50.0, 34.0, 430.0, 246.0];
const LINE: f64 = 17.0;
/// Colours that people with any colour vision can tell apart (Okabe and Ito).
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
];

/// What a panel shows.
#[derive(Debug)]
pub struct Panel<'a> {
    /// Its heading.
    pub title: String,
    /// Its curves: plain for training, dotted at each point for validation.
    pub curves: &'a [Curve],
    /// What the points follow one another by.
    pub across: String,
    /// The range of values.
    pub y: Axis,
}

/// Panels with their axes on a page, so many a row.
pub fn page(columns: usize, panels: &[(Panel<'_>, Axis)]) -> String {
    let rows = panels.len().div_ceil(columns);
    let (width, height) = (WIDTH * columns as f64, HEIGHT * rows as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (index, (panel, x)) in panels.iter().enumerate() {
        let (row, column) = (index / columns, index % columns);
        svg.push_str(&panel.draw([column as f64 * WIDTH, row as f64 * HEIGHT], x));
    }
    svg.push_str("</svg>\n");
    svg
}

impl Panel<'_> {
    /// The panel at a place of the picture.
    pub fn draw(&self, [x0, y0]: [f64; 2], x: &Axis) -> String {
        let [left, top, right, bottom] = FRAME;
        let across = |value: f64| left + x.place(value) * (right - left);
        let down = |value: f64| bottom - self.y.place(value) * (bottom - top);
        let mut svg = format!("<g transform=\"translate({x0} {y0})\">\n");
        let _ = writeln!(
            svg,
            "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{}</text>",
            top - 12.0,
            escaped(&self.title)
        );
        for tick in x.ticks() {
            let at = across(tick);
            grid_line(&mut svg, [at, top, at, bottom]);
            text(&mut svg, [at, bottom + 16.0], "middle", &label(tick));
        }
        for tick in self.y.ticks() {
            let at = down(tick);
            grid_line(&mut svg, [left, at, right, at]);
            text(&mut svg, [left - 6.0, at + 4.0], "end", &label(tick));
        }
        text(&mut svg, [right, bottom + 30.0], "end", &self.across);
        for (index, curve) in self.curves.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let points: Vec<(f64, f64)> = curve
                .points
                .iter()
                .filter(|point| point.1.is_finite())
                .map(|point| (across(point.0), down(point.1)))
                .collect();
            let path: Vec<_> = points
                .iter()
                .map(|(x, y)| format!("{x:.1},{y:.1}"))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.4\" points=\"{}\"/>",
                path.join(" ")
            );
            let marked = curve.validation || points.len() == 1;
            for (x, y) in points.iter().filter(|_| marked) {
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\"/>"
                );
            }
            let at = top + 8.0 + LINE * index as f64;
            let last = curve
                .values()
                .last()
                .map_or_else(String::new, |value| format!(" {value:.3}"));
            let _ = writeln!(
                svg,
                "<rect x=\"{}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>",
                right + 12.0,
                at - 9.0
            );
            text(
                &mut svg,
                [right + 27.0, at],
                "start",
                &format!("{}{last}", curve.name),
            );
        }
        svg.push_str("</g>\n");
        svg
    }
}

fn grid_line(svg: &mut String, [x1, y1, x2, y2]: [f64; 4]) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#dddddd\"/>"
    );
}

fn text(svg: &mut String, [x, y]: [f64; 2], anchor: &str, words: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        escaped(words)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
