//! Nameless objects: the outline of one cut-out with another surface, or a drawing of a noun that
//! scenes never show.
//!
//! Every object of a training set has a name, so a reference picture could be answered by its name
//! alone. Nameless objects can only be found by their looks, as an object never seen in training
//! must be.

use image::{Rgba, RgbaImage, imageops};
use rand::Rng;

use super::field;
use super::library::Library;
use super::sprite::{Sprite, premultiply, unpremultiply};

/// Largest ratio by which one side is stretched against the other.
const STRETCH: f32 = 1.5;
/// Probability that a noun that scenes never show keeps its surface.
const UNCHANGED: f64 = 0.5;

/// Nameless object, and the cut-out that lent its outline.
#[derive(Debug)]
pub(crate) struct MadeUp {
    /// Picture of the object.
    pub sprite: Sprite,
    /// Index in the library of the cut-out that lent the outline.
    pub outline: usize,
}

impl MadeUp {
    /// Makes an object from training cut-outs; `None` when there are none.
    pub(crate) fn draw(library: &Library, rng: &mut impl Rng) -> Option<Self> {
        let outline = any_cutout(library, rng)?;
        let lender = &library.cutouts()[outline];
        let mut picture = stretched(&lender.sprite.picture(), rng);
        if !library.nouns(false).contains(&lender.noun) && rng.random_bool(UNCHANGED) {
            let sprite = Sprite::from_rgba(&picture)?;
            return Some(Self { sprite, outline });
        }
        let surface = match rng.random_range(0..3) {
            0 => None,
            1 => Some(painted(picture.dimensions(), rng)),
            _ => {
                let other = any_cutout(library, rng)?;
                Some(covering(
                    &library.cutouts()[other].sprite.picture(),
                    picture.dimensions(),
                ))
            }
        };
        let recolour = Recolour::draw(rng);
        let share: f32 = rng.random_range(0.35..0.9);
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            let own = recolour.of([pixel[0], pixel[1], pixel[2]]);
            let over = surface.as_ref().map(|surface| surface.get_pixel(x, y).0);
            let share = over.map_or(0.0, |over| share * f32::from(over[3]) / 255.0);
            let over = over.unwrap_or_default();
            for (channel, own) in own.into_iter().enumerate() {
                let mixed = own + (f32::from(over[channel]) - own) * share;
                pixel[channel] = mixed.clamp(0.0, 255.0) as u8;
            }
        }
        let sprite = Sprite::from_rgba(&picture)?;
        Some(Self { sprite, outline })
    }
}

/// Cut-out of a noun that scenes show, or any other not held out of training.
fn any_cutout(library: &Library, rng: &mut impl Rng) -> Option<usize> {
    if rng.random_bool(0.5) {
        return library.draw_cutout(rng);
    }
    let noun = library.draw_noun(false, rng)?;
    library.draw_instance(noun, rng)
}

/// Picture stretched to another aspect ratio.
fn stretched(picture: &RgbaImage, rng: &mut impl Rng) -> RgbaImage {
    let ratio = STRETCH.powf(rng.random_range(-0.5..=0.5));
    let side = |length: u32, factor: f32| ((length as f32 * factor).round() as u32).max(2);
    let (width, height) = (
        side(picture.width(), ratio),
        side(picture.height(), 1.0 / ratio),
    );
    resized(picture, width, height)
}

/// Random texture of a given size.
fn painted((width, height): (u32, u32), rng: &mut impl Rng) -> RgbaImage {
    let mut colours = vec![[0; 3]; (width * height) as usize];
    field::paint(&mut colours, width as usize, rng);
    let mut pixels = colours.into_iter();
    RgbaImage::from_fn(width, height, |_, _| {
        let [r, g, b] = pixels.next().unwrap_or_default();
        Rgba([r, g, b, 255])
    })
}

/// Middle of a picture, enlarged to cover a given size.
fn covering(picture: &RgbaImage, (width, height): (u32, u32)) -> RgbaImage {
    let (w, h) = (picture.width(), picture.height());
    let middle = imageops::crop_imm(
        picture,
        w / 5,
        h / 5,
        (3 * w / 5).max(1),
        (3 * h / 5).max(1),
    );
    resized(&middle.to_image(), width, height)
}

/// Resizes a picture with straight alpha. Transparent pixels do not bleed into their neighbours'
/// colours.
fn resized(picture: &RgbaImage, width: u32, height: u32) -> RgbaImage {
    let mut picture = picture.clone();
    premultiply(&mut picture);
    let mut picture = imageops::resize(&picture, width, height, imageops::FilterType::Triangle);
    unpremultiply(&mut picture);
    picture
}

/// Change of colours: channels are permuted, and some are inverted.
struct Recolour {
    from: [usize; 3],
    gain: [f32; 3],
    shift: [f32; 3],
}

impl Recolour {
    fn draw(rng: &mut impl Rng) -> Self {
        let first = rng.random_range(0..3);
        let second = (first + rng.random_range(1..3)) % 3;
        Self {
            from: [first, second, 3 - first - second],
            gain: std::array::from_fn(|_| {
                let gain = rng.random_range(0.6..1.2);
                if rng.random_bool(0.25) { -gain } else { gain }
            }),
            shift: std::array::from_fn(|_| rng.random_range(-40.0..40.0)),
        }
    }

    fn of(&self, pixel: [u8; 3]) -> [f32; 3] {
        std::array::from_fn(|channel| {
            let value = f32::from(pixel[self.from[channel]]) - 128.0;
            128.0 + value * self.gain[channel] + self.shift[channel]
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::scenes::background::Backgrounds;
    use crate::scenes::library::Cutout;
    use crate::scenes::shapes;

    #[test]
    fn resizing_leaves_no_dark_rim() {
        let disc = RgbaImage::from_fn(64, 64, |x, y| {
            let inside = (x as f32 - 32.0).hypot(y as f32 - 32.0) < 24.0;
            Rgba(if inside { [200, 120, 40, 255] } else { [0; 4] })
        });
        let small = resized(&disc, 41, 29);
        let edge = small.pixels().filter(|p| p[3] > 20).collect::<Vec<_>>();
        assert!(edge.iter().any(|p| p[3] < 200));
        for pixel in edge {
            for (c, value) in [200u8, 120, 40].into_iter().enumerate() {
                assert!(pixel[c].abs_diff(value) <= 8, "{pixel:?}");
            }
        }
    }

    #[test]
    fn it_has_the_outline_of_a_known_thing_and_other_colours() {
        let library = shapes::library();
        for seed in 0..20 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let made_up = MadeUp::draw(&library, &mut rng).unwrap();
            let of = library.cutouts()[made_up.outline].sprite.picture();
            let it = made_up.sprite.picture();
            let again =
                imageops::resize(&it, of.width(), of.height(), imageops::FilterType::Triangle);
            let (mut outside, mut solid, mut changed) = (0, 0, 0.0);
            for (a, b) in of.pixels().zip(again.pixels()) {
                outside += usize::from((a[3] >= 128) != (b[3] >= 128));
                if a[3] == 255 && b[3] == 255 {
                    solid += 1;
                    changed += (0..3)
                        .map(|c| f32::from(a[c].abs_diff(b[c])) / 3.0)
                        .sum::<f32>();
                }
            }
            let pixels = (of.width() * of.height()) as f32;
            assert!(outside as f32 <= 0.03 * pixels, "{seed}: {outside}");
            assert!(changed / solid as f32 > 8.0, "{seed}: {changed} {solid}");
        }
    }

    #[test]
    fn drawings_that_scenes_never_show_lend_outlines_too() {
        let cutout = |noun: &str, photo: bool, colour: [u8; 3]| {
            let [r, g, b] = colour;
            let disc = RgbaImage::from_fn(64, 64, |x, y| {
                let inside = (x as f32 - 32.0).hypot(y as f32 - 32.0) < 24.0;
                Rgba([r, g, b, if inside { 255 } else { 0 }])
            });
            Cutout {
                sprite: Sprite::from_rgba(&disc).unwrap(),
                noun: noun.to_owned(),
                name: noun.to_owned(),
                category: "test".to_owned(),
                photo,
                mirror: true,
            }
        };
        let cutouts = vec![
            cutout("cup", true, [200, 120, 40]),
            cutout("bee", false, [220, 210, 30]),
            cutout("owl", false, [90, 60, 30]),
        ];
        let backgrounds = Backgrounds::procedural();
        let novel = |noun: &str| noun == "owl";
        let library = Library::new(cutouts, BTreeMap::new(), backgrounds, novel, 0.0);
        assert_eq!(library.nouns(false), ["cup"]);
        let (mut cups, mut bees, mut unchanged) = (0, 0, 0);
        for seed in 0..200 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let made_up = MadeUp::draw(&library, &mut rng).unwrap();
            let picture = made_up.sprite.picture();
            let middle = picture.get_pixel(picture.width() / 2, picture.height() / 2);
            match library.cutouts()[made_up.outline].noun.as_str() {
                "cup" => {
                    cups += 1;
                    assert_ne!(middle.0, [200, 120, 40, 255], "{seed}");
                }
                "bee" => {
                    bees += 1;
                    unchanged += usize::from(middle.0 == [220, 210, 30, 255]);
                }
                other => panic!("{seed}: {other}"),
            }
        }
        // A quarter of them are drawings, and half of these are unchanged.
        assert!((30..80).contains(&bees) && cups + bees == 200, "{bees}");
        assert!((10..50).contains(&unchanged), "{unchanged} of {bees}");
    }
}
