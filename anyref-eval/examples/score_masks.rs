//! Scores of predicted masks by RefCOCO's formulas, with 95 % intervals.
//!
//! ```sh
//! cargo run --release -p anyref-eval --example score_masks
//! ```
//!
//! Two systems answer the same 40 questions: one is off by a pixel, the other by up to four.

use anyhow::Result;
use anyref_decoder::rle::Rle;
use anyref_eval::confidence;
use anyref_eval::metrics::{Overlap, Referring};

const SIZE: usize = 64;

/// A disc around `(x, y)`.
fn disc(x: usize, y: usize, radius: usize) -> Result<Rle> {
    let inside = |at: usize| {
        let (dx, dy) = ((at % SIZE).abs_diff(x), (at / SIZE).abs_diff(y));
        dx * dx + dy * dy <= radius * radius
    };
    let pixels: Vec<bool> = (0..SIZE * SIZE).map(inside).collect();
    Ok(Rle::from_mask(&pixels, [SIZE, SIZE])?)
}

fn main() -> Result<()> {
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for question in 0..40 {
        let (x, y, radius) = (20 + question % 23, 18 + question % 29, 5 + question % 11);
        let truth = disc(x, y, radius)?;
        near.push(Overlap::of(&disc(x + 1, y, radius)?, &truth, None)?);
        far.push(Overlap::of(
            &disc(x + question % 5, y, radius)?,
            &truth,
            None,
        )?);
    }
    let percent = |value: Option<f64>| format!("{:5.1}", 100.0 * value.unwrap_or(f64::NAN));
    let scores = confidence::score(&Referring, &near, 1000, 0);
    // The same questions: differences vary less than the scores.
    let differences = confidence::compare(&Referring, &near, &far, 1000, 0);
    for (score, difference) in scores.iter().zip(&differences) {
        let [from, to] = [0, 1].map(|end| percent(score.interval.map(|ends| ends[end])));
        let (value, ahead) = (percent(score.value), percent(difference.difference));
        println!(
            "{:6} {value} ({from} to {to}), {ahead} ahead of the other",
            score.name
        );
    }
    Ok(())
}
