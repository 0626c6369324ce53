//! Cut-out pictures as mipmaps, drawn rotated, flipped and resized into small patches.

use std::path::Path;

use image::{Rgba, RgbaImage};

use super::error::{Error, Result};

/// Largest long side of a sprite in pixels.
const LONGEST: u32 = 320;
/// Long side at which the mipmap stops.
const SHORTEST: usize = 12;
/// Alpha from which a pixel counts as the object.
pub(crate) const SOLID: u8 = 128;

/// Premultiplied RGBA at one scale, inside a transparent border of one pixel.
#[derive(Debug)]
struct Level {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 4]>,
}

impl Level {
    /// Level of half the size, each pixel the mean of four.
    fn halved(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let stride = self.width + 2;
        let mut pixels = vec![[0; 4]; (width + 2) * (height + 2)];
        for y in 0..height {
            for x in 0..width {
                let at = |dx: usize, dy: usize| {
                    let (sx, sy) = (2 * x + dx, 2 * y + dy);
                    self.pixels
                        [(sy + 1).min(self.height + 1) * stride + (sx + 1).min(self.width + 1)]
                };
                let four = [at(0, 0), at(1, 0), at(0, 1), at(1, 1)];
                pixels[(y + 1) * (width + 2) + x + 1] = std::array::from_fn(|c| {
                    ((four.iter().map(|p| u32::from(p[c])).sum::<u32>() + 2) / 4) as u8
                });
            }
        }
        Self {
            width,
            height,
            pixels,
        }
    }
}

/// Position and transform of a drawn sprite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Centre of the sprite in pixels.
    pub centre: [f32; 2],
    /// Length of the sprite's long side in pixels, before the rotation.
    pub long_side: f32,
    /// Rotation in radians, clockwise.
    pub angle: f32,
    /// Whether it is mirrored left to right.
    pub flip: bool,
    /// Whether edges are softened by a small blur.
    pub soft: bool,
}

/// Drawn sprite: premultiplied RGBA and the position of its first pixel.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    /// Left edge in the scene; may be negative.
    pub x: i32,
    /// Top edge in the scene; may be negative.
    pub y: i32,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Premultiplied RGBA, row by row.
    pub pixels: Vec<[u8; 4]>,
}

impl Patch {
    /// Number of solid pixels, visible or hidden.
    pub(crate) fn solid_area(&self) -> usize {
        self.pixels.iter().filter(|p| p[3] >= SOLID).count()
    }

    /// Applies a 3x3 binomial blur; the margin left by the drawing keeps the edge inside.
    fn soften(&mut self) {
        let (w, h) = (self.width, self.height);
        let mut rows = vec![[0u16; 4]; w * h];
        for y in 0..h {
            let line = &self.pixels[y * w..(y + 1) * w];
            for x in 1..w - 1 {
                let (a, b, c) = (line[x - 1], line[x], line[x + 1]);
                rows[y * w + x] = std::array::from_fn(|k| {
                    u16::from(a[k]) + 2 * u16::from(b[k]) + u16::from(c[k])
                });
            }
        }
        for y in 1..h - 1 {
            for x in 0..w {
                let (a, b, c) = (
                    rows[(y - 1) * w + x],
                    rows[y * w + x],
                    rows[(y + 1) * w + x],
                );
                self.pixels[y * w + x] =
                    std::array::from_fn(|k| ((a[k] + 2 * b[k] + c[k] + 8) >> 4) as u8);
            }
        }
    }
}

/// Multiplies colours by their alpha, so that transparent pixels do not weigh in averages.
pub(super) fn premultiply(picture: &mut RgbaImage) {
    for p in picture.pixels_mut() {
        let a = u32::from(p[3]);
        (0..3).for_each(|c| p[c] = ((u32::from(p[c]) * a + 127) / 255) as u8);
    }
}

/// Divides colours by their alpha, the inverse of [`premultiply`].
pub(super) fn unpremultiply(picture: &mut RgbaImage) {
    for p in picture.pixels_mut() {
        let a = u32::from(p[3]);
        let straight = |value: u8| match a {
            0 => 0,
            a => ((u32::from(value) * 255 + a / 2) / a).min(255) as u8,
        };
        (0..3).for_each(|c| p[c] = straight(p[c]));
    }
}

/// Cut-out picture as a mipmap.
#[derive(Debug)]
pub(crate) struct Sprite {
    levels: Vec<Level>,
}

impl Sprite {
    /// Reads a picture with transparency; `None` when it has no solid pixel.
    ///
    /// # Errors
    /// When the file cannot be read or decoded.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>> {
        let picture = image::open(path).map_err(|source| Error::Picture {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::from_rgba(&picture.into_rgba8()))
    }

    /// Crops straight-alpha RGBA to its content and builds the mipmap.
    pub(crate) fn from_rgba(picture: &RgbaImage) -> Option<Self> {
        let (mut x0, mut y0, mut x1, mut y1) = (u32::MAX, u32::MAX, 0, 0);
        for (x, y, _) in picture.enumerate_pixels().filter(|(_, _, p)| p[3] > 16) {
            (x0, y0) = (x0.min(x), y0.min(y));
            (x1, y1) = (x1.max(x + 1), y1.max(y + 1));
        }
        if x1 <= x0 {
            return None;
        }
        let mut picture = image::imageops::crop_imm(picture, x0, y0, x1 - x0, y1 - y0).to_image();
        premultiply(&mut picture);
        let longest = picture.width().max(picture.height());
        if longest > LONGEST {
            let fit = |side: u32| (side * LONGEST).div_ceil(longest).max(1);
            let (w, h) = (fit(picture.width()), fit(picture.height()));
            picture =
                image::imageops::resize(&picture, w, h, image::imageops::FilterType::Triangle);
        }
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let mut pixels = vec![[0; 4]; (width + 2) * (height + 2)];
        for (x, y, p) in picture.enumerate_pixels() {
            pixels[(y as usize + 1) * (width + 2) + x as usize + 1] = p.0;
        }
        let mut levels = vec![Level {
            width,
            height,
            pixels,
        }];
        while let Some(last) = levels
            .last()
            .filter(|l| l.width.max(l.height) >= 2 * SHORTEST)
        {
            let next = last.halved();
            levels.push(next);
        }
        Some(Self { levels })
    }

    /// Long side in pixels as loaded; drawing it much larger shows blur.
    pub(crate) fn long_side(&self) -> f32 {
        self.levels[0].width.max(self.levels[0].height) as f32
    }

    /// Width and height in pixels as loaded.
    pub(crate) fn size(&self) -> [usize; 2] {
        [self.levels[0].width, self.levels[0].height]
    }

    /// Picture as loaded, with straight alpha.
    pub(crate) fn picture(&self) -> RgbaImage {
        let level = &self.levels[0];
        let stride = level.width + 2;
        let mut picture = RgbaImage::from_fn(level.width as u32, level.height as u32, |x, y| {
            Rgba(level.pixels[(y as usize + 1) * stride + x as usize + 1])
        });
        unpremultiply(&mut picture);
        picture
    }

    /// Draws the sprite, bilinearly from the nearest level.
    pub(crate) fn draw(&self, placement: &Placement) -> Patch {
        let base = &self.levels[0];
        let scale = placement.long_side / self.long_side();
        let wanted = (-scale.log2()).round().max(0.0) as usize;
        let level = &self.levels[wanted.min(self.levels.len() - 1)];
        let (sin, cos) = placement.angle.sin_cos();
        let (bw, bh) = (base.width as f32, base.height as f32);
        let half_w = 0.5 * scale * (bw * cos.abs() + bh * sin.abs());
        let half_h = 0.5 * scale * (bw * sin.abs() + bh * cos.abs());
        let [cx, cy] = placement.centre;
        let (x, y) = (
            (cx - half_w).floor() as i32 - 2,
            (cy - half_h).floor() as i32 - 2,
        );
        let width = ((cx + half_w).ceil() as i32 + 2 - x).max(4) as usize;
        let height = ((cy + half_h).ceil() as i32 + 2 - y).max(4) as usize;

        // Scene to level coordinates; 1.0 more for the border, 0.5 less for pixel centres.
        let (lx, ly) = (
            level.width as f32 / bw / scale,
            level.height as f32 / bh / scale,
        );
        let mirror = if placement.flip { -1.0 } else { 1.0 };
        let step = [cos * lx * mirror, -sin * ly];
        let down = [sin * lx * mirror, cos * ly];
        let (dx, dy) = (x as f32 + 0.5 - cx, y as f32 + 0.5 - cy);
        let start = [
            dx * step[0] + dy * down[0] + 0.5 * level.width as f32 + 0.5,
            dx * step[1] + dy * down[1] + 0.5 * level.height as f32 + 0.5,
        ];
        let fixed = |v: f32| (v * 65536.0) as i32;
        let (su, sv) = (fixed(step[0]), fixed(step[1]));
        let stride = level.width + 2;
        let (end_u, end_v) = (
            (level.width as i32 + 1) << 16,
            (level.height as i32 + 1) << 16,
        );
        let mut pixels = vec![[0u8; 4]; width * height];
        for (row, line) in pixels.chunks_exact_mut(width).enumerate() {
            let mut u = fixed(start[0] + row as f32 * down[0]);
            let mut v = fixed(start[1] + row as f32 * down[1]);
            for out in line {
                if u >= 0 && v >= 0 && u < end_u && v < end_v {
                    let at = (v >> 16) as usize * stride + (u >> 16) as usize;
                    let (fu, fv) = ((u as u32 >> 8) & 255, (v as u32 >> 8) & 255);
                    let weights = [
                        (256 - fu) * (256 - fv),
                        fu * (256 - fv),
                        (256 - fu) * fv,
                        fu * fv,
                    ];
                    let (a, b) = (level.pixels[at], level.pixels[at + 1]);
                    let (c, d) = (level.pixels[at + stride], level.pixels[at + stride + 1]);
                    *out = std::array::from_fn(|k| {
                        ((u32::from(a[k]) * weights[0]
                            + u32::from(b[k]) * weights[1]
                            + u32::from(c[k]) * weights[2]
                            + u32::from(d[k]) * weights[3]
                            + 32768)
                            >> 16) as u8
                    });
                }
                u += su;
                v += sv;
            }
        }
        let mut patch = Patch {
            x,
            y,
            width,
            height,
            pixels,
        };
        if placement.soft {
            patch.soften();
        }
        patch
    }
}
