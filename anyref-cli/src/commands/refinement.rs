//! Refinement of a mask click by click.

use anyhow::Result;
use anyref_core::{EarlierMask, EncodedPicture, Engine, Mask, MaskPrompt, Multimask, Point};

use super::clicks::parse_point;

/// Mask and the clicks on it so far.
#[derive(Debug, Default)]
pub struct Refinement {
    points: Vec<Point>,
    mask: Option<EarlierMask>,
}

impl Refinement {
    /// Refinement of a mask without clicks, or of none.
    pub fn of(mask: Option<&Mask>) -> Self {
        Self {
            points: Vec::new(),
            mask: mask.map(Mask::earlier),
        }
    }

    /// Clicks so far.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Adds a click, `x,y` or `x,y,0`, and predicts the mask for all clicks; an invalid click is
    /// left out.
    pub fn click(
        &mut self,
        engine: &dyn Engine,
        picture: &EncodedPicture,
        click: &str,
    ) -> Result<Mask> {
        let mut points = self.points.clone();
        points.push(parse_point(click)?);
        let prompt = MaskPrompt {
            points,
            region: None,
            mask: self.mask.clone(),
        };
        let prompts = [prompt];
        let predictions = engine.prompt_masks(picture, &prompts, Multimask::default())?;
        let best = predictions[0].best();
        let [prompt] = prompts;
        self.points = prompt.points;
        self.mask = Some(best.low_res.clone().into());
        Ok(best.mask.clone())
    }
}
