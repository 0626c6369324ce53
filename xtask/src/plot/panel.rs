//! Panel with curves and their names.

use anyhow::Result;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use super::axis::{Axis, label};
use super::curves::Curve;

/// Size of a panel with its labels, in pixels.
const SIZE: (u32, u32) = (660, 280);
/// Width of the frame with its labels; the names of the curves stand to the right of it.
const FRAME_WIDTH: u32 = 440;
/// Vertical position of the first curve's name, from the panel's upper edge.
const NAMES: i32 = 33;
/// Distance between the curves' names.
const LINE: i32 = 17;
const FONT: (&str, u32) = ("sans-serif", 13);
const GRID: RGBColor = RGBColor(221, 221, 221);
/// Colours distinguishable with any colour vision (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    BLACK,
];

/// Content of a panel.
#[derive(Debug)]
pub struct Panel<'a> {
    /// Heading of the panel.
    pub title: String,
    /// Curves: plain for training, dotted at each point for validation.
    pub curves: &'a [Curve],
    /// Label of the horizontal axis.
    pub across: String,
    /// Range of the horizontal axis.
    pub x: Axis,
    /// Range of the values.
    pub y: Axis,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws panels on a page of `columns` columns, as an SVG picture.
///
/// # Errors
///
/// When the picture cannot be drawn.
pub fn page(columns: usize, panels: &[Panel<'_>]) -> Result<String> {
    let rows = panels.len().div_ceil(columns);
    let mut svg = String::new();
    {
        let size = (SIZE.0 * columns as u32, SIZE.1 * rows as u32);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        for (area, panel) in root.split_evenly((rows, columns)).iter().zip(panels) {
            panel.draw(area)?;
        }
        root.present()?;
    }
    Ok(svg)
}

impl Panel<'_> {
    fn draw(&self, area: &Area<'_>) -> Result<()> {
        let (frame, names) = area.split_horizontally(FRAME_WIDTH);
        match self.y.is_logarithmic() {
            true => self.draw_curves(&frame, self.y.range().log_scale())?,
            false => self.draw_curves(&frame, self.y.range())?,
        }
        self.draw_names(&names)
    }

    fn draw_curves<Y>(&self, frame: &Area<'_>, y: Y) -> Result<()>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(frame)
            .caption(&self.title, ("sans-serif", 14, FontStyle::Bold))
            .margin(10)
            .x_label_area_size(34)
            .y_label_area_size(44)
            .build_cartesian_2d(self.x.range(), y)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(FONT)
            .x_desc(&self.across)
            .x_labels(6)
            .y_labels(8)
            .x_label_formatter(&label)
            .y_label_formatter(&label)
            .draw()?;
        for (curve, colour) in self.curves.iter().zip(COLOURS.iter().cycle()) {
            let points: Vec<(f64, f64)> = curve
                .points
                .iter()
                .filter(|point| point.1.is_finite())
                .map(|point| (self.x.clamp(point.0), self.y.clamp(point.1)))
                .collect();
            let marked = curve.validation || points.len() == 1;
            let marks = points.iter().filter(|_| marked);
            chart.draw_series(marks.map(|point| Circle::new(*point, 3, colour.filled())))?;
            chart.draw_series(LineSeries::new(points, colour.stroke_width(1)))?;
        }
        Ok(())
    }

    /// Names of the curves with their last values.
    fn draw_names(&self, area: &Area<'_>) -> Result<()> {
        for (index, (curve, colour)) in self.curves.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let top = NAMES + LINE * index as i32;
            let last = curve.values().last();
            let last = last.map_or_else(String::new, |value| format!(" {value:.3}"));
            area.draw(&Rectangle::new([(2, top), (12, top + 10)], colour.filled()))?;
            let name = format!("{}{last}", curve.name);
            area.draw(&Text::new(name, (17, top - 1), FONT.into_font()))?;
        }
        Ok(())
    }
}
