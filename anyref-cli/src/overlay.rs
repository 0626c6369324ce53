//! Pictures with masks, boxes and words over them.

use anyref_core::{Mask, Point, Reference};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use crate::lettering::{self, wrapped};

/// Colours of masks, distinct on most pictures; the ninth mask has the first again.
const COLOURS: [Rgb<u8>; 8] = [
    Rgb([255, 64, 64]),
    Rgb([56, 156, 255]),
    Rgb([80, 220, 100]),
    Rgb([255, 200, 40]),
    Rgb([200, 90, 255]),
    Rgb([40, 220, 220]),
    Rgb([255, 130, 40]),
    Rgb([255, 120, 190]),
];
const STRIP: Rgb<u8> = Rgb([26, 28, 34]);
const QUESTION: Rgb<u8> = Rgb([170, 176, 190]);
const ANSWER: Rgb<u8> = Rgb([255, 255, 255]);
const BOX: Rgb<u8> = Rgb([255, 255, 255]);
const CLICK_ON: Rgb<u8> = Rgb([0, 170, 60]);
const CLICK_OFF: Rgb<u8> = Rgb([210, 0, 30]);
const WAVE: Rgb<u8> = Rgb([120, 220, 255]);
/// Opacity of a mask's colour over the picture.
const OPACITY: f32 = 0.42;
/// Height of a line of text, before enlargement.
const LINE: u32 = 14;
/// Space around text, before enlargement.
const MARGIN: u32 = 4;
/// Height of the strip's thumbnails, before enlargement.
const THUMBNAIL: u32 = 40;
/// Approximate long side to which small pictures are enlarged, so that words are readable.
const READABLE: u32 = 512;
/// Smallest width of a strip, with room for a word.
const MIN_WIDTH: u32 = 160;

/// Drawing over a picture.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// Masks in the picture's size.
    pub masks: &'a [Mask],
    /// References of the question: boxes are drawn in the picture, pictures and sounds below it.
    pub references: &'a [Reference],
    /// Clicks on and off an object.
    pub points: &'a [Point],
    /// Question in words.
    pub question: &'a str,
    /// Words of the answer.
    pub answer: &'a str,
}

impl Overlay<'_> {
    /// Draws over a picture, enlarged by a whole number if it is small.
    pub fn draw(&self, picture: &RgbImage) -> RgbImage {
        let long = picture.width().max(picture.height()).max(1);
        self.draw_enlarged(picture, (READABLE / long).clamp(1, 8))
    }

    /// Draws over a picture enlarged by `factor`.
    pub fn draw_enlarged(&self, picture: &RgbImage, factor: u32) -> RgbImage {
        let (width, height) = (picture.width() * factor, picture.height() * factor);
        let mut scene = match factor {
            1 => picture.clone(),
            _ => imageops::resize(picture, width, height, FilterType::CatmullRom),
        };
        for (index, mask) in self.masks.iter().enumerate() {
            paint(&mut scene, mask, factor, COLOURS[index % COLOURS.len()]);
        }
        for reference in self.references {
            if let Some(corners) = reference.region() {
                frame(&mut scene, corners.map(|at| at * factor as f32), factor);
            }
        }
        for point in self.points {
            dot(&mut scene, point, factor);
        }
        let strip = self.strip(width.max(MIN_WIDTH), factor.max(long_side(picture) / 1024));
        let mut sheet = RgbImage::from_pixel(strip.width(), height + strip.height(), STRIP);
        imageops::replace(&mut sheet, &scene, 0, 0);
        imageops::replace(&mut sheet, &strip, 0, i64::from(height));
        sheet
    }

    /// Strip below: thumbnails of the references, then question and answer.
    fn strip(&self, width: u32, scale: u32) -> RgbImage {
        let (margin, line_height) = (MARGIN * scale, LINE * scale);
        let room = width.saturating_sub(2 * margin) as f32;
        let broken = |text| {
            wrapped(text, room, |line| {
                lettering::width(line, line_height as f32)
            })
        };
        let lines: Vec<(String, Rgb<u8>)> = broken(self.question)
            .into_iter()
            .map(|line| (line, QUESTION))
            .chain(broken(self.answer).into_iter().map(|line| (line, ANSWER)))
            .collect();
        let thumbnails = self.thumbnails(THUMBNAIL * scale);
        let top = if thumbnails.is_empty() {
            0
        } else {
            margin + THUMBNAIL * scale
        };
        let height = top + margin + line_height * lines.len() as u32 + margin;
        let mut strip = RgbImage::from_pixel(width, height, STRIP);
        let mut x = margin;
        for thumbnail in &thumbnails {
            imageops::replace(&mut strip, thumbnail, i64::from(x), i64::from(margin));
            x += thumbnail.width() + margin;
        }
        for (row, (line, colour)) in lines.iter().enumerate() {
            let at = [margin, top + margin + line_height * row as u32];
            lettering::write(&mut strip, at, line_height as f32, line, *colour);
        }
        strip
    }

    fn thumbnails(&self, height: u32) -> Vec<RgbImage> {
        let thumbnail = |reference: &Reference| match reference {
            Reference::Image(reference) => {
                let image = reference.image();
                let width = (image.width() * height / image.height().max(1)).clamp(1, 3 * height);
                Some(imageops::resize(image, width, height, FilterType::Triangle))
            }
            Reference::Audio(sound) => Some(wave(&sound.samples, [2 * height, height])),
            Reference::Text(_) | Reference::Box(_) | Reference::Mask(_) => None,
        };
        self.references.iter().filter_map(thumbnail).collect()
    }
}

/// Arranges pictures of several rows on one sheet.
pub fn contact_sheet(rows: &[Vec<RgbImage>]) -> RgbImage {
    const GAP: u32 = 8;
    let row_height = |row: &Vec<RgbImage>| row.iter().map(RgbImage::height).max().unwrap_or(0);
    let row_width = |row: &Vec<RgbImage>| row.iter().map(|tile| tile.width() + GAP).sum::<u32>();
    let width = rows.iter().map(row_width).max().unwrap_or(0) + GAP;
    let height = rows.iter().map(|row| row_height(row) + GAP).sum::<u32>() + GAP;
    let mut sheet = RgbImage::from_pixel(width, height, Rgb([255, 255, 255]));
    let mut y = GAP;
    for row in rows {
        let mut x = GAP;
        for tile in row {
            imageops::replace(&mut sheet, tile, i64::from(x), i64::from(y));
            x += tile.width() + GAP;
        }
        y += row_height(row) + GAP;
    }
    sheet
}

fn long_side(picture: &RgbImage) -> u32 {
    picture.width().max(picture.height())
}

/// Tints a mask's pixels and draws its outline in full colour.
fn paint(scene: &mut RgbImage, mask: &Mask, factor: u32, colour: Rgb<u8>) {
    let [height, width] = mask.rle.size();
    let inside = mask.rle.to_mask();
    let at = |x: i64, y: i64| {
        let (x, y) = (
            x.div_euclid(i64::from(factor)),
            y.div_euclid(i64::from(factor)),
        );
        let within = x >= 0 && y >= 0 && x < width as i64 && y < height as i64;
        within && inside[y as usize * width + x as usize]
    };
    let reach = i64::from(factor.max(long_side(scene) / 1024).max(1));
    for (x, y, pixel) in scene.enumerate_pixels_mut() {
        let (x, y) = (i64::from(x), i64::from(y));
        if !at(x, y) {
            continue;
        }
        let edge = [(reach, 0), (-reach, 0), (0, reach), (0, -reach)]
            .iter()
            .any(|(dx, dy)| !at(x + dx, y + dy));
        let share = if edge { 1.0 } else { OPACITY };
        for (value, tint) in pixel.0.iter_mut().zip(colour.0) {
            *value = (f32::from(*value) * (1.0 - share) + f32::from(tint) * share) as u8;
        }
    }
}

/// Draws a dashed box, black between the dashes so that it shows on anything.
fn frame(scene: &mut RgbImage, corners: [f32; 4], factor: u32) {
    let (width, height) = scene.dimensions();
    let thick = factor.max(long_side(scene) / 512).max(1);
    let dash = 4 * thick;
    let clamp = |at: f32, limit: u32| (at.max(0.0) as u32).min(limit.saturating_sub(1));
    // The right and the lower edge lie just outside of the box.
    let last = |at: f32, first: u32, limit: u32| clamp(at.ceil() - 1.0, limit).max(first);
    let [left, top] = [clamp(corners[0], width), clamp(corners[1], height)];
    let [right, bottom] = [last(corners[2], left, width), last(corners[3], top, height)];
    let mut dot = |x: u32, y: u32, along: u32| {
        let colour = if (along / dash).is_multiple_of(2) {
            BOX
        } else {
            Rgb([0, 0, 0])
        };
        if x < width && y < height {
            scene.put_pixel(x, y, colour);
        }
    };
    for offset in 0..thick {
        for x in left..=right {
            dot(x, top + offset, x - left);
            dot(x, bottom.saturating_sub(offset), x - left);
        }
        for y in top..=bottom {
            dot(left + offset, y, y - top);
            dot(right.saturating_sub(offset), y, y - top);
        }
    }
}

/// Draws a click as a disc, green on the object and red off it, ringed in white.
fn dot(scene: &mut RgbImage, point: &Point, factor: u32) {
    let centre = [point.x, point.y].map(|at| (at + 0.5) * factor as f32 - 0.5);
    let radius = (long_side(scene) as f32 / 100.0).max(3.0);
    let reach = |at: f32, limit: u32| {
        let first = (at - radius).ceil().max(0.0) as u32;
        first..((at + radius).floor().max(-1.0) + 1.0).min(limit as f32) as u32
    };
    let colour = if point.on { CLICK_ON } else { CLICK_OFF };
    for y in reach(centre[1], scene.height()) {
        for x in reach(centre[0], scene.width()) {
            let distance = (x as f32 - centre[0]).hypot(y as f32 - centre[1]);
            if distance <= radius {
                let ring = distance > radius * 0.65;
                scene.put_pixel(x, y, if ring { BOX } else { colour });
            }
        }
    }
}

/// Waveform of a sound.
fn wave(samples: &[f32], [width, height]: [u32; 2]) -> RgbImage {
    let mut picture = RgbImage::from_pixel(width, height, Rgb([12, 13, 16]));
    let peak = samples
        .iter()
        .fold(0.0f32, |peak, sample| peak.max(sample.abs()))
        .max(1e-6);
    for x in 0..width {
        let span = |column: u32| samples.len() * column as usize / width as usize;
        let part = &samples[span(x)..span(x + 1)];
        let reach = part
            .iter()
            .fold(0.0f32, |most, sample| most.max(sample.abs()))
            / peak;
        let half = (reach * (height / 2) as f32) as u32;
        for y in (height / 2).saturating_sub(half)..(height / 2 + half + 1).min(height) {
            picture.put_pixel(x, y, WAVE);
        }
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyref_decoder::rle::Rle;

    #[test]
    fn masks_are_tinted_and_nothing_else() {
        let picture = RgbImage::from_pixel(40, 30, Rgb([100; 3]));
        let mask: Vec<bool> = (0..1200).map(|i| i % 40 < 20 && i / 40 < 15).collect();
        let mask = Mask {
            rle: Rle::from_mask(&mask, [30, 40]).unwrap(),
            score: 1.0,
            words: None,
            low_res: None,
        };
        let overlay = Overlay {
            masks: &[mask],
            references: &[],
            points: &[],
            question: "?",
            answer: ".",
        };
        let drawn = overlay.draw_enlarged(&picture, 1);
        assert_eq!(drawn.width(), MIN_WIDTH);
        assert_eq!(drawn.get_pixel(19, 7), &COLOURS[0]);
        assert_ne!(drawn.get_pixel(10, 7), picture.get_pixel(10, 7));
        assert_eq!(drawn.get_pixel(30, 20), picture.get_pixel(30, 20));
    }

    #[test]
    fn boxes_are_framed_from_within() {
        let picture = RgbImage::from_pixel(40, 30, Rgb([100; 3]));
        let boxes = [
            Reference::Box([10.0, 5.0, 20.0, 15.0]),
            Reference::Box([30.0, 20.0, 31.5, 20.5]),
        ];
        let overlay = Overlay {
            masks: &[],
            references: &boxes,
            points: &[],
            question: "?",
            answer: ".",
        };
        let drawn = overlay.draw_enlarged(&picture, 1);
        let framed = |x, y| drawn.get_pixel(x, y) != picture.get_pixel(x, y);
        for (x, y) in [(10, 5), (19, 5), (10, 14), (19, 14), (30, 20), (31, 20)] {
            assert!(framed(x, y), "{x},{y}");
        }
        for (x, y) in [(9, 5), (20, 10), (15, 15), (15, 10), (32, 20), (30, 21)] {
            assert!(!framed(x, y), "{x},{y}");
        }
    }

    #[test]
    fn clicks_are_dots_on_and_off_the_object() {
        let picture = RgbImage::from_pixel(40, 30, Rgb([100; 3]));
        let click = |x, y, on| Point { x, y, on };
        let overlay = Overlay {
            masks: &[],
            references: &[],
            points: &[click(10.0, 5.0, true), click(39.0, 29.0, false)],
            question: "?",
            answer: ".",
        };
        let drawn = overlay.draw_enlarged(&picture, 1);
        assert_eq!(drawn.get_pixel(10, 5), &CLICK_ON);
        assert_eq!(drawn.get_pixel(39, 29), &CLICK_OFF);
        assert_eq!(drawn.get_pixel(13, 5), &BOX);
        assert_eq!(drawn.get_pixel(20, 15), picture.get_pixel(20, 15));
    }

    #[test]
    fn any_size_can_be_drawn() {
        for (width, height) in [(1, 1), (3000, 3), (3, 3000)] {
            let picture = RgbImage::new(width, height);
            let boxes = [Reference::Box([0.0, 0.0, width as f32, height as f32])];
            let overlay = Overlay {
                masks: &[],
                references: &boxes,
                points: &[],
                question: "what is this?",
                answer: "a line.",
            };
            let drawn = overlay.draw(&picture);
            assert!(drawn.width() >= width && drawn.height() > height);
        }
    }
}
