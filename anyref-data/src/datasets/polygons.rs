//! Rasterisation of COCO's polygons, pixel for pixel as pycocotools fills them.
//!
//! The outline is drawn at five times the resolution. Wherever it crosses the middle of a column of
//! the picture, the column toggles between outside and inside at that height; the sorted heights
//! are the mask's runs.

use anyref_decoder::rle::{Merge, Rle};

use super::error::{Error, Result};

/// Subpixels a pixel.
const FINE: f64 = 5.0;
/// Largest accepted coordinate in pixels; a larger outline would take minutes to draw.
const LARGEST: f64 = 1e5;

/// Union of polygons `x0, y0, x1, y1, ...` in a mask of `[height, width]`; an empty list gives an
/// empty mask.
///
/// # Errors
/// When a polygon has fewer than two points, an odd number of coordinates, or coordinates out of
/// range.
pub fn rasterise(polygons: &[Vec<f64>], size: [usize; 2]) -> Result<Rle> {
    let masks = polygons.iter().map(|polygon| fill(polygon, size));
    merged(&masks.collect::<Result<Vec<_>>>()?, size)
}

/// Fills one polygon.
fn fill(polygon: &[f64], size: [usize; 2]) -> Result<Rle> {
    let [height, width] = size;
    if polygon.len() < 4 || polygon.len() % 2 == 1 {
        let reason = format!("a polygon of {} numbers has no area", polygon.len());
        return Err(Error::mask(reason));
    }
    if let Some(value) = polygon
        .iter()
        .find(|value| value.is_nan() || value.abs() > LARGEST)
    {
        return Err(Error::mask(format!("a polygon has the coordinate {value}")));
    }
    let area = u32::try_from(height.saturating_mul(width)).map_err(Error::mask)?;
    let fine: Vec<[i32; 2]> = polygon
        .chunks_exact(2)
        .map(|point| [point[0], point[1]].map(|value| (FINE * value + 0.5) as i32))
        .collect();
    let mut changes = Vec::new();
    let mut last: Option<[i32; 2]> = None;
    for (index, &from) in fine.iter().enumerate() {
        let to = fine[(index + 1) % fine.len()];
        outline(from, to, |point| {
            if let Some(change) = last.and_then(|last| change(last, point, size)) {
                changes.push(change);
            }
            last = Some(point);
        });
    }
    changes.push(area);
    changes.sort_unstable();
    let mut before = 0;
    let runs: Vec<u32> = changes
        .into_iter()
        .map(|place| place - std::mem::replace(&mut before, place))
        .collect();
    Rle::from_counts(&runs, size).map_err(Error::mask)
}

/// Visits the subpixels of the line between two corners, both included.
fn outline(from: [i32; 2], to: [i32; 2], mut visit: impl FnMut([i32; 2])) {
    let [dx, dy] = [(from[0] - to[0]).abs(), (from[1] - to[1]).abs()];
    // The line advances along the longer side, in ascending order.
    let along = usize::from(dx < dy);
    let across = 1 - along;
    let steps = dx.max(dy);
    let backwards = from[along] > to[along];
    let (start, end) = if backwards { (to, from) } else { (from, to) };
    // For equal corners, `steps` is 0 and `step` too.
    let slope = f64::from(end[across] - start[across]) / f64::from(steps.max(1));
    for step in 0..=steps {
        let step = if backwards { steps - step } else { step };
        let mut point = [0; 2];
        point[along] = start[along] + step;
        point[across] = (f64::from(start[across]) + slope * f64::from(step) + 0.5) as i32;
        visit(point);
    }
}

/// Position of the toggle between two neighbouring subpixels of the outline, counted column by
/// column.
fn change(last: [i32; 2], point: [i32; 2], [height, width]: [usize; 2]) -> Option<u32> {
    if last[0] == point[0] {
        return None;
    }
    let column = match point[0] < last[0] {
        true => point[0],
        false => point[0] - 1,
    };
    let pixel = |fine: i32| (f64::from(fine) + 0.5) / FINE - 0.5;
    let x = pixel(column);
    if x.floor() != x || x < 0.0 || x > width as f64 - 1.0 {
        return None;
    }
    let y = pixel(last[1].min(point[1]))
        .clamp(0.0, height as f64)
        .ceil();
    Some(x as u32 * height as u32 + y as u32)
}

/// Union of masks of equal size.
fn merged(masks: &[Rle], size: [usize; 2]) -> Result<Rle> {
    match masks {
        [] => {
            let area = u32::try_from(size[0].saturating_mul(size[1])).map_err(Error::mask)?;
            Rle::from_counts(&[area], size).map_err(Error::mask)
        }
        _ => Rle::merge(masks, Merge::Union).map_err(Error::mask),
    }
}
