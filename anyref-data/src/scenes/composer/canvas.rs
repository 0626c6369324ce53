//! Canvas of a scene: blending, shadows, nameless patches and the final development.

use std::sync::OnceLock;

use image::RgbImage;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::scenes::field::Rgb;
use crate::scenes::sprite::Patch;

/// Factor by which the resolution of shadows is reduced.
const COARSE: usize = 4;
/// Length of the table of normal deviates.
const DEVIATES: usize = 1 << 16;

/// Picture in memory.
pub(crate) struct Canvas {
    pub(crate) pixels: Vec<Rgb>,
    width: usize,
    height: usize,
}

/// Calls `f` with the scene offset and the pixels of each row of a patch, clipped to the scene.
pub(crate) fn rows(
    patch: &Patch,
    width: usize,
    height: usize,
    mut f: impl FnMut(usize, &[[u8; 4]]),
) {
    let left = (-patch.x).clamp(0, patch.width as i32) as usize;
    let right = (width as i32 - patch.x).clamp(left as i32, patch.width as i32) as usize;
    for (row, pixels) in patch.pixels.chunks_exact(patch.width).enumerate() {
        let y = patch.y + row as i32;
        if y >= 0 && (y as usize) < height && right > left {
            let x = (patch.x + left as i32) as usize;
            f(y as usize * width + x, &pixels[left..right]);
        }
    }
}

/// Random brightness and tint of one object, in 1/256.
pub(crate) fn light(rng: &mut impl Rng) -> [u32; 3] {
    let brightness: f32 = rng.random_range(0.72..1.22);
    std::array::from_fn(|_| (brightness * rng.random_range(0.94..1.06) * 256.0) as u32)
}

impl Canvas {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self {
            pixels: vec![[0; 3]; width * height],
            width,
            height,
        }
    }

    /// Blends a patch over the canvas under a light.
    pub(crate) fn blend(&mut self, patch: &Patch, light: &[u32; 3]) {
        rows(patch, self.width, self.height, |at, pixels| {
            for (under, over) in self.pixels[at..].iter_mut().zip(pixels) {
                let alpha = u32::from(over[3]);
                if alpha == 0 {
                    continue;
                }
                for c in 0..3 {
                    let lit = ((u32::from(over[c]) * light[c]) >> 8).min(alpha);
                    let left = u32::from(under[c]) * (255 - alpha);
                    under[c] = (lit + ((left * 257 + 32768) >> 16)).min(255) as u8;
                }
            }
        });
    }

    /// Darkens the canvas by the blurred, shifted shadow of a patch.
    pub(crate) fn shade(&mut self, patch: &Patch, rng: &mut impl Rng) {
        let reach = (patch.width.max(patch.height) as f32 * 0.08).max(2.0);
        let dx = rng.random_range(-reach..=reach) as i32;
        let dy = rng.random_range(0.0..=reach) as i32;
        let depth: f32 = rng.random_range(0.15..0.55);
        let margin = 3;
        let (cols, lines) = (
            patch.width.div_ceil(COARSE) + 2 * margin,
            patch.height.div_ceil(COARSE) + 2 * margin,
        );
        let mut cells = vec![0f32; cols * lines];
        let unit = 1.0 / (255 * COARSE * COARSE) as f32;
        for (y, row) in patch.pixels.chunks_exact(patch.width).enumerate() {
            let line = &mut cells[(y / COARSE + margin) * cols + margin..];
            for (x, pixel) in row.iter().enumerate() {
                line[x / COARSE] += f32::from(pixel[3]) * unit;
            }
        }
        for _ in 0..2 {
            cells = box_blur(&cells, cols);
        }
        let (x0, y0) = (patch.x + dx, patch.y + dy);
        let pad = (margin * COARSE) as i32;
        let coarse = COARSE as f32;
        for y in (y0 - pad + 2).max(0)..(y0 + patch.height as i32 + pad - 8).min(self.height as i32)
        {
            let v = ((y - y0 + pad) as f32 + 0.5) / coarse - 0.5;
            let row = (v.max(0.0) as usize).min(lines - 2);
            let t = (v - row as f32).clamp(0.0, 1.0);
            let (above, below) = (&cells[row * cols..], &cells[(row + 1) * cols..]);
            for x in
                (x0 - pad + 2).max(0)..(x0 + patch.width as i32 + pad - 8).min(self.width as i32)
            {
                let u = ((x - x0 + pad) as f32 + 0.5) / coarse - 0.5;
                let col = (u.max(0.0) as usize).min(cols - 2);
                let s = (u - col as f32).clamp(0.0, 1.0);
                let top = above[col] + (above[col + 1] - above[col]) * s;
                let low = below[col] + (below[col + 1] - below[col]) * s;
                let dark = depth * (top + (low - top) * t);
                if dark > 0.004 {
                    let keep = ((1.0 - dark) * 256.0) as u32;
                    let pixel = &mut self.pixels[y as usize * self.width + x as usize];
                    pixel
                        .iter_mut()
                        .for_each(|c| *c = ((u32::from(*c) * keep) >> 8) as u8);
                }
            }
        }
    }

    /// Pastes a rounded piece of another texture: a distractor with edges and no name.
    pub(crate) fn paste_blob(&mut self, texture: &Canvas, rng: &mut impl Rng) {
        let short = self.width.min(self.height) as f32;
        let (rx, ry) = (
            short * rng.random_range(0.06..0.28),
            short * rng.random_range(0.06..0.28),
        );
        let (cx, cy) = (
            rng.random_range(0.0..self.width as f32),
            rng.random_range(0.0..self.height as f32),
        );
        let (sin, cos) = rng.random_range(0.0..std::f32::consts::PI).sin_cos();
        let square = rng.random_bool(0.4);
        let gain = 0.25 * rx.min(ry) * 255.0;
        let reach = rx.max(ry) * 1.45;
        let range = |c: f32, side: usize| {
            ((c - reach).max(0.0) as usize)..((c + reach).max(0.0) as usize).min(side)
        };
        for y in range(cy, self.height) {
            for x in range(cx, self.width) {
                let (dx, dy) = (x as f32 - cx, y as f32 - cy);
                let (u, v) = ((cos * dx + sin * dy) / rx, (cos * dy - sin * dx) / ry);
                let (mut uu, mut vv) = (u * u, v * v);
                if square {
                    (uu, vv) = (uu * uu, vv * vv);
                }
                let alpha = ((1.0 - uu - vv) * gain).clamp(0.0, 255.0) as u32;
                if alpha > 0 {
                    let at = y * self.width + x;
                    for c in 0..3 {
                        let over = u32::from(texture.pixels[at][c]) * alpha;
                        let under = u32::from(self.pixels[at][c]) * (255 - alpha);
                        self.pixels[at][c] = ((over + under) / 255) as u8;
                    }
                }
            }
        }
    }

    /// Applies the scene's light, sometimes a blur, and sensor noise.
    pub(crate) fn develop(&mut self, noise: f32, blur: f64, rng: &mut impl Rng) {
        if rng.random_bool(blur) {
            self.blur();
        }
        let brightness: f32 = rng.random_range(0.8..1.15);
        let contrast: f32 = rng.random_range(0.8..1.15);
        let curves: [[f32; 256]; 3] = std::array::from_fn(|_| {
            let gain = brightness * rng.random_range(0.94..1.06);
            std::array::from_fn(|i| ((i as f32 * gain) - 128.0) * contrast + 128.5)
        });
        let sigma = rng.random_range(0.0..=noise.max(f32::MIN_POSITIVE));
        let table = deviates();
        for line in self.pixels.chunks_exact_mut(self.width) {
            let room = DEVIATES.saturating_sub(3 * line.len()).max(1);
            let start = rng.random_range(0..room);
            for (x, pixel) in line.iter_mut().enumerate() {
                for c in 0..3 {
                    let deviate = table[(start + 3 * x + c) % DEVIATES];
                    // The cast from float saturates.
                    pixel[c] = (curves[c][pixel[c] as usize] + sigma * deviate) as u8;
                }
            }
        }
    }

    /// Applies a 3x3 binomial blur, leaving the outermost pixels unchanged.
    fn blur(&mut self) {
        let w = self.width;
        let mut rows = vec![[0u16; 3]; self.pixels.len()];
        for (out, line) in rows.chunks_exact_mut(w).zip(self.pixels.chunks_exact(w)) {
            for (x, sum) in out.iter_mut().enumerate() {
                let (a, b, c) = (line[x.saturating_sub(1)], line[x], line[(x + 1).min(w - 1)]);
                *sum = std::array::from_fn(|k| {
                    u16::from(a[k]) + 2 * u16::from(b[k]) + u16::from(c[k])
                });
            }
        }
        for i in w..self.pixels.len().saturating_sub(w) {
            self.pixels[i] = std::array::from_fn(|k| {
                ((rows[i - w][k] + 2 * rows[i][k] + rows[i + w][k] + 8) >> 4) as u8
            });
        }
    }

    pub(crate) fn into_image(self) -> RgbImage {
        let (width, height) = (self.width as u32, self.height as u32);
        RgbImage::from_raw(width, height, self.pixels.into_flattened())
            .expect("the canvas holds width times height pixels")
    }
}

/// Means over 3x3 cells; the outermost cells stay 0.
fn box_blur(cells: &[f32], cols: usize) -> Vec<f32> {
    let mut out = vec![0.0; cells.len()];
    let inner = cols + 1..cells.len() - cols - 1;
    for (mean, at) in out[inner.clone()].iter_mut().zip(inner) {
        let row = |at: usize| cells[at - 1] + cells[at] + cells[at + 1];
        *mean = (row(at - cols) + row(at) + row(at + cols)) / 9.0;
    }
    out
}

/// Fixed table of normal deviates: fast noise without a generator in the pixel loop.
fn deviates() -> &'static [f32] {
    static TABLE: OnceLock<Vec<f32>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut rng = SmallRng::seed_from_u64(1);
        let uniform = |rng: &mut SmallRng| rng.random_range(-0.5..0.5f32);
        // Twelve uniform deviates add up to a nearly normal one of unit variance.
        (0..DEVIATES)
            .map(|_| (0..12).map(|_| uniform(&mut rng)).sum())
            .collect()
    })
}
