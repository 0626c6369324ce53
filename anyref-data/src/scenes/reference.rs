//! Reference pictures: another rendering or another instance of a noun.

use image::RgbImage;
use rand::Rng;

use super::background::Backgrounds;
use super::composer::canvas::{Canvas, light};
use super::library::Cutout;
use super::made_up::MadeUp;
use super::sprite::{Placement, Sprite};

/// Style of reference pictures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReferenceStyle {
    /// Long side in pixels.
    pub size: u32,
    /// Whether the background is blacked out, as in the paper's mask cropping.
    pub mask_crop: bool,
    /// Whether validation backgrounds are used.
    pub held_out: bool,
}

/// Object depicted in a reference picture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depicted<'a> {
    /// Picture of the object.
    pub sprite: &'a Sprite,
    /// Whether it may be mirrored.
    pub mirror: bool,
}

impl<'a> From<&'a Cutout> for Depicted<'a> {
    fn from(cutout: &'a Cutout) -> Self {
        Self {
            sprite: &cutout.sprite,
            mirror: cutout.mirror,
        }
    }
}

impl<'a> From<&'a MadeUp> for Depicted<'a> {
    fn from(made_up: &'a MadeUp) -> Self {
        Self {
            sprite: &made_up.sprite,
            mirror: true,
        }
    }
}

/// Draws a tight crop of an object under another transform, light and background.
pub(crate) fn picture(
    shown: Depicted,
    backgrounds: &Backgrounds,
    style: ReferenceStyle,
    rng: &mut impl Rng,
) -> RgbImage {
    let turn = 0.44;
    let mut placement = Placement {
        centre: [0.0, 0.0],
        long_side: style.size as f32,
        angle: rng.random_range(-turn..=turn),
        flip: shown.mirror && rng.random_bool(0.5),
        soft: rng.random_bool(0.5),
    };
    let [w, h] = shown
        .sprite
        .size()
        .map(|side| side as f32 / shown.sprite.long_side());
    let (sin, cos) = (placement.angle.sin().abs(), placement.angle.cos());
    let (box_w, box_h) = (w * cos + h * sin, w * sin + h * cos);
    let margin = 1.0 + rng.random_range(0.0..0.2f32);
    // The long side covers the rotated box and its margin.
    placement.long_side = style.size as f32 / (box_w.max(box_h) * margin);
    let side = |length: f32| {
        let tight = length * placement.long_side * margin;
        (tight.round() as usize).clamp(8, style.size as usize)
    };
    let (width, height) = (side(box_w), side(box_h));
    placement.centre = [0.5 * width as f32, 0.5 * height as f32];
    let patch = shown.sprite.draw(&placement);
    let mut canvas = Canvas::new(width, height);
    if !style.mask_crop {
        backgrounds.paint(&mut canvas.pixels, width, style.held_out, 0.6, rng);
    }
    canvas.blend(&patch, &light(rng));
    if !style.mask_crop {
        canvas.develop(4.0, 0.2, rng);
    }
    canvas.into_image()
}
